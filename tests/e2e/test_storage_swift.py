"""host/store against a server that others wrote and others run: OpenStack Swift with its S3 layer, which checks every signature. Needs
the package python3-swift of Debian or Ubuntu (`./dev test` installs it), and extended attributes in the folder for temporary files;
skipped without them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from common import environment, run
from storage_common import StorageCase, sha256

PYTHON = "/usr/bin/python3"  # the one that distribution packages are for
SERVER = pathlib.Path(__file__).parent / "swift_server.py"
ACCESS_KEY, SECRET_KEY = "swift:tester", "swift/secret+key"
PAGE = 5  # objects of a list, in swift_server.py
PART = 16 << 20


def why_not():
    if subprocess.run([PYTHON, "-c", "import swift.common.middleware.s3api.s3api"], capture_output=True, check=False).returncode != 0:
        return "OpenStack Swift is not installed: apt-get install python3-swift"
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.setxattr(file.name, "user.voxhost", b"1")
        except OSError as error:
            return f"Swift needs extended attributes, which {tempfile.gettempdir()} has not: {error}"
    return None


def setUpModule():
    reason = why_not()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        raise unittest.SkipTest(reason)


class Swift(StorageCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="voxhost-swift-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.server = subprocess.Popen([PYTHON, "-B", SERVER, cls.folder.name, "results"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.addClassCleanup(cls.end)
        port = cls.server.stdout.readline().decode().strip()
        if not port:
            raise RuntimeError("swift_server.py did not start; what it wrote stands above")
        cls.endpoint = f"http://127.0.0.1:{port}"

    @classmethod
    def end(cls):
        cls.server.stdin.close()
        cls.server.wait(timeout=60)
        cls.server.stdout.close()

    def setUp(self):
        super().setUp()
        self.use_swift()

    def has_a_part(self):
        return any(path.stat().st_size == PART for path in pathlib.Path(self.folder.name).rglob("*.data"))

    def use_swift(self, **more):
        self.use(**{"endpoint": self.endpoint, "bucket": "results", "path_style": True, "access_key": ACCESS_KEY,
                    "secret_key": SECRET_KEY, "prefix": self.id(), **more})

    def test_objects_go_there_and_back(self):
        keys = ["a b+c%d.wav", "ä/文.json", "x/y/&<>'\".srt", "plain.ogg", "star*(x)!~@$,;:[]{}|^`\\.csv", "..."]
        for key in keys:
            self.put(key, key.encode())
            self.assertEqual(self.ok("read", key, 1000), key)
            self.assertEqual(self.ok("head", key).split(" ", 1)[0], str(len(key.encode())))
            with urllib.request.urlopen(self.ok("url", key).strip()) as answer:
                self.assertEqual(answer.read(), key.encode())
        self.assertEqual(self.keys(), sorted(keys, key=str.encode))
        self.put("plain.ogg", b"another")
        self.assertEqual(self.ok("read", "plain.ogg", 1000), "another")
        for key in keys:
            self.ok("delete", key)
            self.ok("delete", key)
        self.assertEqual(self.keys(), [])
        for verb in (["head", "no"], ["read", "no", 1], ["get", "no", self.dir / "got"]):
            self.assertIn("no such object", self.fails("invalid_request", *verb))

    def test_fm_81_metadata_is_kept(self):
        self.put("x.wav", b"1", json.dumps({"user-id": 5, "name": "Zoë", "empty": "", "text": "a b"}))
        with urllib.request.urlopen(self.ok("url", "x.wav").strip()) as answer:
            kept = {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith("x-amz-meta-")}
            self.assertEqual(answer.headers["Content-Type"], "audio/wav")
        self.assertEqual(kept, {"x-amz-meta-user-id": "5", "x-amz-meta-name": "base64:Wm/Dqw==", "x-amz-meta-empty": "",
                                "x-amz-meta-text": "a b"})

    def test_large_and_empty_objects(self):
        """In parts up, in ranges down."""
        for size in (0, 1, 2 * PART, 3 * PART + 1):
            path = self.file("data", size)
            self.ok("put", "x.wav", path)
            self.assertEqual(self.ok("head", "x.wav").split()[0], str(size))
            digest = sha256(path.read_bytes())
            self.assertEqual(self.ok("get", "x.wav", self.dir / "got", digest).strip(), digest)
            self.assertEqual((self.dir / "got").stat().st_size, size)
        self.assertEqual(self.keys(), ["x.wav"])  # parts are no objects of the bucket
        self.assert_no_parts()

    def test_fm_30_a_list_has_all_pages(self):
        names = [f"voices/{number:02}.wav" for number in range(2 * PAGE + 2)]
        for name in names:
            self.put(name, b"1")
        self.put("voices2/x.wav", b"1")
        self.assertEqual(self.keys("voices/"), names)
        self.assertEqual(self.keys(), [*names, "voices2/x.wav"])
        self.assertEqual(self.keys("voices/", PAGE + 1), names[:PAGE + 1])

    def test_fm_24_urls_are_presigned(self):
        self.put("x.wav", b"data")
        url = self.ok("url", "x.wav").strip()
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), b"data")
        for wrong in (url.partition("?")[0], url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace("/x.wav?", "/y.wav?")):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(wrong)
            self.assertIn(refused.exception.code, (400, 403))

    def test_wrong_keys_are_said_so(self):
        path = self.file("data", 10)
        for wrong, says in (({"secret_key": "wrong"}, "SignatureDoesNotMatch"), ({"access_key": "nobody:here"}, "SignatureDoesNotMatch"),
                            ({"region": "eu-west-1"}, "the bucket is in us-east-1"), ({"bucket": "another"}, "NoSuchBucket")):
            self.use_swift(**wrong)
            self.assertIn(says, self.fails("storage_failed", "put", "x.wav", path))

    def test_a_stopped_upload_leaves_nothing(self):
        big = self.dir / "big"
        with big.open("wb") as file:
            file.truncate(1 << 30)
        process = subprocess.Popen(self.command("put", "big.wav", big), env=environment(), stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while process.poll() is None and not self.has_a_part() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
        self.assertIn(b"cancelled", message)
        self.assertNotIn(b"could not be removed", message)
        self.assertEqual(self.keys(), [])

    def test_doctor(self):
        done = run("doctor", "--storage", "--json", "-m", self.dir / "manifest.yaml")
        steps = [(check["level"], check["message"]) for check in json.loads(done.stdout)["checks"] if check["subject"] == "storage"]
        self.assertEqual(steps[1:], [("ok", step) for step in ("put", "head", "get", "list", "get by a presigned URL", "delete")])
        self.assertEqual(self.keys(), [])


if __name__ == "__main__":
    unittest.main()
