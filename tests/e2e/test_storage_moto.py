"""host/store against parts that others wrote: the S3 of moto, and botocore's signatures of hundreds of made-up requests. Needs an
interpreter with storage-requirements.txt, named by VOXHOST_STORAGE_PYTHON; skipped without one."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import pathlib
import time
import unittest
import urllib.error
import urllib.request

from common import run
from storage_common import TOOL, StorageCase, sha256

PYTHON = os.environ.get("VOXHOST_STORAGE_PYTHON")
PART = 16 << 20
REQUESTS = 800
HERE = pathlib.Path(__file__).parent
ALPHABET = "abcXYZ019-._~ /+%&=?#@:;,!$'()*[]{}|<>\"\\^`äß文🎵éÅ"


def setUpModule():
    if not PYTHON or not pathlib.Path(PYTHON).exists():
        print("skipped: VOXHOST_STORAGE_PYTHON names no interpreter with moto and botocore", file=sys.stderr)
        raise unittest.SkipTest("VOXHOST_STORAGE_PYTHON is not set")


class Signatures(unittest.TestCase):
    def key(self, rng):
        names = ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 20))).replace("/", "") or "x"
                 for _ in range(rng.randint(1, 4))]
        # "." and ".." are no names of ours, and Python's URL parser strips tabs.
        return "/".join(name if name not in (".", "..") else "dot" for name in names)

    def request(self, rng):
        token = "".join(rng.choice("abcXYZ019/+=") for _ in range(rng.randint(1, 300))) if rng.random() < 0.5 else None
        request = {
            "endpoint": rng.choice(["https://s3.amazonaws.com", "http://localhost:9000", "https://s3.eu-west-1.amazonaws.com",
                                    "http://minio.example.com:8080"]),
            "bucket": rng.choice(["bucket", "a-b-c", "x" * 63]), "region": rng.choice(["us-east-1", "auto", "eu-west-1"]),
            "access_key": "AKIA" + "".join(rng.choice("ABCDEF0123") for _ in range(16)),
            "secret_key": "".join(rng.choice("abcXYZ019/+") for _ in range(40)), "session_token": token,
            "path_style": rng.random() < 0.5, "prefix": rng.choice(["", "out", "a b/ü"]), "key": self.key(rng),
            "now": rng.randint(1_000_000_000, 2_000_000_000), "expires": rng.randint(1, 604800)}
        if rng.random() < 0.5:
            request.update(self.header_form(rng, request))
        return request

    def header_form(self, rng, request):
        payload = hashlib.sha256(rng.randbytes(10)).hexdigest()
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(request["now"]))
        host = request["endpoint"].partition("://")[2]
        headers = {"host": host if request["path_style"] else f"{request['bucket']}.{host}",
                   "x-amz-content-sha256": payload, "x-amz-date": date}
        if request["session_token"]:
            headers["x-amz-security-token"] = request["session_token"]
        if rng.random() < 0.7:
            headers["content-type"] = rng.choice(["audio/wav", "audio/ogg; codecs=opus", "text/csv; charset=utf-8"])
        for name in ("x-amz-meta-user_id", "x-amz-meta-name"):
            if rng.random() < 0.3:
                headers[name] = rng.choice(["17", "base64:WsO2", "some words"])
        return {"headers": sorted(headers.items()), "payload_hash": payload,
                "method": rng.choice(["PUT", "GET", "HEAD", "DELETE", "POST"]),
                "query": rng.choice(["", "uploads=", "partNumber=7&uploadId=a%2Bb%3D", "uploadId=x"])}

    def test_hundreds_of_requests_are_signed_as_botocore_signs_them(self):
        rng = random.Random(6)
        requests = [self.request(rng) for _ in range(REQUESTS)]
        lines = "".join(json.dumps(request, ensure_ascii=False) + "\n" for request in requests)
        ours = subprocess.run([TOOL, "-", "sign"], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
        theirs = subprocess.run([PYTHON, HERE / "storage_oracle.py"], input=lines, capture_output=True, text=True,
                                check=True).stdout.splitlines()
        self.assertEqual((len(ours), len(theirs)), (REQUESTS, REQUESTS))
        forms = {"headers": 0, "query": 0}
        for request, our, their in zip(requests, ours, theirs):
            self.assertEqual(self.parts(our), self.parts(their), request)
            forms["headers" if "headers" in request else "query"] += 1
        self.assertGreater(min(forms.values()), 200)

    def parts(self, line):
        """The order of a query's parts is each one's own."""
        url, _, rest = line.partition(" ")
        base, mark, query = rest.partition("?")
        return url, base, sorted(query.split("&")) if mark else None


class Moto(StorageCase):
    """Accepts any signature; the shape of every request and answer is what counts here."""

    @classmethod
    def setUpClass(cls):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            cls.port = taken.getsockname()[1]
        cls.server = subprocess.Popen([PYTHON, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(cls.port)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.end)
        cls.endpoint = f"http://127.0.0.1:{cls.port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(cls.endpoint + "/moto-api/").read()
                break
            except OSError:
                time.sleep(0.1)
        urllib.request.urlopen(urllib.request.Request(cls.endpoint + "/results", method="PUT")).read()

    @classmethod
    def end(cls):
        cls.server.send_signal(signal.SIGTERM)
        cls.server.wait()

    def setUp(self):
        super().setUp()
        self.use(endpoint=self.endpoint, bucket="results", access_key="moto-key", secret_key="moto-secret", prefix=self.id())

    def test_objects_go_there_and_back(self):
        keys = ["a b+c%d.wav", "ä/文.json", "x/y/&<>'\".srt", "plain.ogg"]
        for key in keys:
            self.put(key, key.encode(), '{"user_id": 5, "name": "Zoë"}')
            self.assertEqual(self.ok("read", key, 1000), key)
            self.assertEqual(self.ok("head", key).split(" ", 1)[0], str(len(key.encode())))
            with urllib.request.urlopen(self.ok("url", key).strip()) as answer:
                self.assertEqual(answer.read(), key.encode())
                self.assertEqual(answer.headers["x-amz-meta-user_id"], "5")
                self.assertEqual(answer.headers["x-amz-meta-name"], "base64:Wm/Dqw==")
        self.assertEqual(self.keys(), sorted(keys, key=str.encode))
        for key in keys:
            self.ok("delete", key)
        self.assertEqual(self.keys(), [])
        for verb in (["head", "no"], ["read", "no", 1], ["get", "no", self.dir / "got"]):
            self.assertIn("no such object", self.fails("invalid_request", *verb))

    def test_large_and_empty_objects(self):
        for size in (0, PART, 2 * PART, 3 * PART + 1):
            path = self.file("data", size)
            self.ok("put", "x.wav", path)
            digest = sha256(path.read_bytes())
            self.assertEqual(self.ok("get", "x.wav", self.dir / "got", digest).strip(), digest)

    def test_fm_30_a_list_of_more_than_a_page(self):
        for number in range(1003):
            url = f"{self.endpoint}/results/{self.id()}/{number:05}"
            urllib.request.urlopen(urllib.request.Request(url, data=b"1", method="PUT")).read()
        self.assertEqual(self.keys(), [f"{number:05}" for number in range(1003)])

    def test_doctor(self):
        done = run("doctor", "--storage", "-m", self.dir / "manifest.yaml")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.use(endpoint=self.endpoint, bucket="no-such-bucket", access_key="moto-key", secret_key="moto-secret")
        done = run("doctor", "--storage", "-m", self.dir / "manifest.yaml")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("NoSuchBucket", done.stdout)


if __name__ == "__main__":
    unittest.main()
