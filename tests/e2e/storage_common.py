"""What the tests of storage share: host/store by its tool, on a manifest of a bucket or a directory."""

import hashlib
import json
import os
import re
import subprocess

from common import BUILD, Case, environment

TOOL = BUILD / "tests" / "e2e" / "storage_tool"
TIMEOUT_S = 120


class StorageCase(Case):
    storage = {}  # the section of the manifest

    def use(self, **section):
        """Sets the section; None leaves a key out."""
        self.storage = {key: value for key, value in section.items() if value is not None}
        self.manifest(storage=self.storage)

    def use_server(self, server, **more):
        self.use(**{"endpoint": server.endpoint, "bucket": server.bucket, "region": server.region,
                    "access_key": server.access_key, "secret_key": server.secret_key,
                    "session_token": server.session_token or None, **more})

    def command(self, *args):
        return [TOOL, self.dir / "manifest.yaml", *map(str, args)]

    def tool(self, *args, env=None, timeout=TIMEOUT_S):
        return subprocess.run(self.command(*args), env=environment(**(env or {})), timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def ok(self, *args, **kw):
        done = self.tool(*args, **kw)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def fails(self, code, *args, **kw):
        """The message of an operation that fails with this code."""
        done = self.tool(*args, **kw)
        message = done.stderr.decode()
        self.assertEqual((done.returncode, message.partition(" ")[0]), (1, code), message)
        for secret in ("secret_key", "access_key", "session_token"):
            if self.storage.get(secret):
                self.assertNotIn(self.storage[secret], message)
        return message

    def file(self, name, size, seed=b"x"):
        """A file of bytes that repeat nowhere."""
        blocks = (hashlib.sha512(seed + str(i).encode()).digest() * 64 for i in range(size // 4096 + 1))
        return self.write(name, b"".join(blocks)[:size])

    def put(self, key, data, *more):
        return self.ok("put", key, self.write("to-put", data), *more)

    def keys(self, prefix="", *more):
        return [line.split(" ", 2)[2] for line in self.ok("list", prefix, *more).splitlines()]

    def assert_no_parts(self, folder=None):
        self.assertEqual([path for path in (folder or self.dir).rglob("*.part")], [])


def sha256(data):
    return hashlib.sha256(data).hexdigest()
