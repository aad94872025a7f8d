"""What the tests of `voxhost pull` share."""

import hashlib
import json
import random
import subprocess
import time

from common import VOXHOST, Case, environment, run
from hub_server import HubServer

REPO = "owner/name"
CHUNK = 16 << 20  # hub_private.h
TOKEN = "hf_testtoken123"
RECORD = "voxhost-pull.json"


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class PullCase(Case):
    def setUp(self):
        super().setUp()
        self.hub = HubServer()
        self.addCleanup(self.hub.__exit__)
        self.into = self.dir / "into"

    def pull(self, *args, name=REPO, env=None, into=None, **kw):
        return run("pull", name, "--endpoint", self.hub.endpoint, "--dir", into or self.into, *args, env=env, **kw)

    def start(self, *args, name=REPO, env=None, **kw):
        return subprocess.Popen([VOXHOST, "pull", name, "--endpoint", self.hub.endpoint, "--dir", str(self.into), *args],
                                env=environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **kw)

    def files(self, folder=None):
        folder = folder or self.into
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def record(self, folder=None):
        return json.loads(((folder or self.into) / RECORD).read_text())

    def assert_pulled(self, files, folder=None):
        """These files and the record, and nothing else: no part, state or lock is left."""
        found = self.files(folder)
        found.pop(RECORD)
        self.assertEqual({path: hashlib.sha256(data).hexdigest() for path, data in found.items()},
                         {path: hashlib.sha256(data).hexdigest() for path, data in files.items()})

    def assert_failed(self, done, *texts, code=1):
        self.assert_exit(done, code)
        self.assertNotIn("Traceback", done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        complaint = [line for line in done.stderr.splitlines() if line.startswith("voxhost: ")]
        self.assertEqual(len(complaint), 1, done.stderr)

    def wait_for(self, what, timeout=60):
        end = time.monotonic() + timeout
        while not what():
            self.assertLess(time.monotonic(), end, "it did not happen")
            time.sleep(0.01)



class PulledCase(PullCase):
    """After a pull."""

    FILES = {"a.bin": noise(200000), "sub/b.txt": b"hello"}

    def setUp(self):
        super().setUp()
        self.hub.add(REPO, self.FILES)
        self.assert_exit(self.pull(), 0)
        self.hub.log.clear()
