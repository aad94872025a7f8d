"""host/store against a server that checks every signature, and against a directory: whole objects or nothing, whatever goes wrong."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from common import environment, run
from s3_server import Object, S3Server
from storage_common import StorageCase, sha256

MIB = 1 << 20
PART = 16 * MIB
ODD_KEYS = ["plain.wav", "a b+c%d/e&f=g?h#i.wav", "ä/文/🎵.json", "quote'\"<>&amp;.srt", "...", "a/b/c/d.vtt",
            "star*(x)!~@$,;:[]{}|^`\\.csv"]
CONTENT_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg",
                 "opus": "audio/ogg; codecs=opus", "pcm": "audio/pcm", "srt": "application/x-subrip", "vtt": "text/vtt",
                 "csv": "text/csv; charset=utf-8", "json": "application/json", "ass": "text/x-ssa",
                 "bin": "application/octet-stream"}


class Both:
    """What a directory and a bucket have in common."""

    def test_an_object_goes_there_and_back(self):
        for key in ODD_KEYS:
            data = key.encode() * 100
            self.put(key, data)
            self.assertEqual(self.ok("read", key, 10000).encode(), data)
            self.assertEqual(self.ok("get", key, self.dir / "got").strip(), sha256(data))
            self.assertEqual((self.dir / "got").read_bytes(), data)
            size, modified, _ = self.ok("head", key).split(" ", 2)
            self.assertEqual(int(size), len(data))
            self.assertLess(abs(int(modified) - time.time()), 300)
        self.assertEqual(self.keys(), sorted(ODD_KEYS, key=str.encode))
        self.put("plain.wav", b"another")
        self.assertEqual(self.ok("read", "plain.wav", 10000), "another")
        for key in ODD_KEYS:
            self.ok("delete", key)
            self.ok("delete", key)  # nothing to delete is no error
        self.assertEqual(self.keys(), [])
        self.assert_no_parts()

    def test_nothing_and_much(self):
        for size in (0, 1, PART, PART + 1, 2 * PART, 2 * PART + 1, 3 * PART + 12345):
            path = self.file("data", size)
            self.ok("put", "x.wav", path)
            self.assertEqual(self.ok("head", "x.wav").split()[0], str(size))
            digest = sha256(path.read_bytes())
            self.assertEqual(self.ok("get", "x.wav", self.dir / "got", digest).strip(), digest)
            self.assertEqual((self.dir / "got").stat().st_size, size)

    def test_what_is_not_there_is_said_so(self):
        for verb in (["head", "no.wav"], ["get", "no.wav", self.dir / "got"], ["read", "no.wav", 10]):
            message = self.fails("invalid_request", *verb)
            self.assertIn("key: there is no such object", message)
        self.assertFalse((self.dir / "got").exists())
        self.assert_no_parts()

    def test_a_wrong_digest_and_a_limit_leave_no_file(self):
        self.put("x", b"12345")
        message = self.fails("storage_failed", "get", "x", self.dir / "got", "0" * 64)
        self.assertIn(sha256(b"12345"), message)
        self.assertIn("too_large", self.tool("read", "x", 4).stderr.decode())
        self.assertEqual(self.ok("read", "x", 5), "12345")
        self.assertFalse((self.dir / "got").exists())
        self.assert_no_parts()

    def test_keys_that_lead_elsewhere_are_refused(self):
        (self.dir / "outside").write_text("secret")
        for key in ("../outside", "/etc/passwd", "a/../../outside", "a//b", "", ".", "a/", "x" * 10000, "a\nb"):
            for verb in (["put", key, self.dir / "manifest.yaml"], ["get", key, self.dir / "got"], ["head", key],
                         ["delete", key], ["url", key], ["read", key, 10]):
                self.assertIn("key must be a relative path", self.fails("invalid_request", *verb))
        self.assertEqual((self.dir / "outside").read_text(), "secret")

    def test_a_list_of_a_prefix(self):
        for key in ("voices/a.wav", "voices/b.wav", "voices2/c.wav", "voices.txt", "z"):
            self.put(key, key.encode())
        self.assertEqual(self.keys("voices/"), ["voices/a.wav", "voices/b.wav"])
        self.assertEqual(self.keys("voices"), ["voices.txt", "voices/a.wav", "voices/b.wav", "voices2/c.wav"])
        self.assertEqual(self.keys("no"), [])
        self.assertEqual(self.keys("", 2), ["voices.txt", "voices/a.wav"])

    def test_fm_32_every_format_has_its_content_type(self):
        for ending, expected in CONTENT_TYPES.items():
            self.put(f"x.{ending}", b"1")
            self.assertEqual(self.ok("head", f"x.{ending}").split(" ", 2)[2].strip(), expected.partition(";")[0])

    def test_a_public_base_gives_plain_urls(self):
        self.use(**{**self.storage, "public_base_url": "https://cdn.example/media/", "prefix": "out put"})
        self.assertEqual(self.ok("url", "a b/ä.wav").strip(), "https://cdn.example/media/out%20put/a%20b/%C3%A4.wav")


class Directory(Both, StorageCase):
    def setUp(self):
        super().setUp()
        self.use(dir=str(self.dir / "objects"))

    def test_a_url_is_a_path(self):
        self.put("a/b.wav", b"1")
        self.assertEqual(self.ok("url", "a/b.wav").strip(), str(self.dir / "objects" / "a" / "b.wav"))

    def test_links_lead_nowhere(self):
        (self.dir / "outside").mkdir()
        (self.dir / "outside" / "secret").write_text("secret")
        self.put("a", b"1")
        (self.dir / "objects" / "link").symlink_to(self.dir / "outside")
        (self.dir / "objects" / "file").symlink_to(self.dir / "outside" / "secret")
        for key in ("link/secret", "file"):
            self.fails("invalid_request", "read", key, 100)
        self.fails("invalid_request", "put", "link/new", self.dir / "manifest.yaml")
        self.assertEqual(self.keys(), ["a"])
        self.assertEqual(os.listdir(self.dir / "outside"), ["secret"])

    def test_a_killed_put_leaves_nothing(self):
        big = self.dir / "big"
        with big.open("wb") as file:
            file.truncate(2 << 30)
        process = subprocess.Popen(self.command("put", "x.wav", big), env=environment())
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(path.stat().st_size > MIB for path in (self.dir / "objects").glob("*/[0-9]*")):
            time.sleep(0.005)
        process.kill()
        process.wait()
        self.assertEqual(self.keys(), [])
        # The next run has tidied up.
        self.assertEqual([path.name for path in (self.dir / "objects").iterdir()], [".voxhost-salt"])


class Bucket(Both, StorageCase):
    def setUp(self):
        super().setUp()
        self.server = S3Server()
        self.server.__enter__()
        self.addCleanup(self.server.__exit__)
        self.use_server(self.server)

    def test_other_styles_of_address_tokens_and_prefixes(self):
        for options in ({"path_style": False, "endpoint": self.server.virtual_endpoint}, {"prefix": "a b/c"},
                        {"endpoint": self.server.endpoint + "/" + self.server.bucket, "bucket": None}):
            self.use_server(self.server, **options)
            self.put("x/y.wav", b"data")
            self.assertEqual(self.ok("read", "x/y.wav", 10), "data")
            self.assertEqual(self.keys("x/"), ["x/y.wav"])
            self.assertEqual(self.fetched(self.ok("url", "x/y.wav").strip()), b"data")
            self.ok("delete", "x/y.wav")
        with S3Server(session_token="to/k+en==", region="eu-west-1") as server:
            self.use_server(server)
            self.ok("put", "x.wav", self.file("data", 2 * PART + 1))
            self.assertEqual(self.ok("head", "x.wav").split()[0], str(2 * PART + 1))
            self.assertEqual(len(self.fetched(self.ok("url", "x.wav").strip())), 2 * PART + 1)

    def fetched(self, url):
        # Not every resolver knows names below localhost.
        host = urllib.parse.urlsplit(url).netloc
        request = urllib.request.Request(url.replace("//results.localhost", "//127.0.0.1"), headers={"Host": host})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def test_fm_24_urls_are_presigned_since_the_bucket_is_private(self):
        self.put("x.wav", b"data")
        url = self.ok("url", "x.wav").strip()
        self.assertIn("X-Amz-Expires=3600", url)
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), b"data")
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(url.partition("?")[0])

    def test_fm_30_a_list_has_all_pages(self):
        for number in range(2501):
            self.server.objects[f"voices/{number:05}<&>.wav"] = self.object(b"1")
        self.assertEqual(self.keys("voices/"), [f"voices/{number:05}<&>.wav" for number in range(2501)])
        deadline = time.monotonic() + 60
        while len(self.server.log) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)  # the last is written when it has been answered
        self.assertEqual(len(self.server.log), 3)
        self.server.page_size = 1
        self.assertEqual(len(self.keys("voices/0000")), 10)
        self.assertEqual(len(self.keys("voices/", 3)), 3)

    def test_what_can_be_no_key_is_left_out_of_a_list(self):
        for key in ("ok", "folder/", "../up", "a//b", "/abs", "a/./b"):
            self.server.objects[key] = self.object(b"1")
        self.assertEqual(self.keys(), ["ok"])

    def object(self, body):
        return Object(body, "audio/wav", {}, '"1"', int(time.time()))

    def test_large_objects_go_up_in_parts(self):
        path = self.file("big", 3 * PART + 5)
        self.ok("put", "big.wav", path, '{"user_id": "u1"}')
        self.assertEqual(self.server.objects["big.wav"].body, path.read_bytes())
        self.assertEqual(self.server.objects["big.wav"].content_type, "audio/wav")
        self.assertEqual(self.server.objects["big.wav"].metadata, {"user_id": "u1"})
        self.assertEqual([entry[0] for entry in self.server.log].count("PUT"), 4)
        self.assertEqual(self.server.uploads, {})

    def test_parts_are_tried_again(self):
        self.server.faults.extend(["ok", "500", "reset"])
        path = self.file("big", 3 * PART)
        self.ok("put", "big.wav", path)
        self.assertEqual(sha256(self.server.objects["big.wav"].body), sha256(path.read_bytes()))
        self.assertEqual(self.server.uploads, {})

    def test_fm_80_a_failed_upload_is_a_failure_and_leaves_nothing(self):
        path = self.file("big", 3 * PART)
        # The beginning, a part, the end refused, the end that fails with status 200; no right to remove the parts.
        for faults, says in ((["403"], "403"), (["ok", "403"], "403"), (["ok"] * 4 + ["403"], "403"),
                             (["ok"] * 4 + ["error200"] * 3, "InternalError"), (["ok"] * 4 + ["empty200"] * 3, "does not say")):
            self.server.faults.clear()
            self.server.faults.extend(faults)
            message = self.fails("storage_failed", "put", "big.wav", path)
            self.assertIn(says, message)
            self.assertNotIn("could not be removed", message)
            self.assertEqual((self.server.objects, self.server.uploads), ({}, {}), faults)
        self.server.faults.extend(["ok"] * 4 + ["403"] + ["403"])
        self.assertIn("could not be removed", self.fails("storage_failed", "put", "big.wav", path))
        self.server.faults.clear()
        self.server.faults.append("403")
        self.fails("storage_failed", "put", "small.wav", self.file("small", 10))
        self.assertEqual(self.server.objects, {})

    def test_the_end_of_an_upload_is_tried_again(self):
        path = self.file("big", 3 * PART)
        for faults in (["error200"], ["empty200"], ["500"], ["lost"], ["lost", "500"]):
            self.server.faults.extend(["ok"] * 4 + faults)
            self.ok("put", "big.wav", path)
            self.assertEqual(sha256(self.server.objects.pop("big.wav").body), sha256(path.read_bytes()), faults)
            self.assertEqual(self.server.uploads, {})

    def test_fm_80_an_older_object_is_not_taken_for_the_upload(self):
        self.server.objects["big.wav"] = Object(b"old" * PART, "audio/wav", {}, '"1"', int(time.time()) - 60)
        self.server.faults.extend(["ok"] * 4 + ["noupload"])
        self.assertIn("NoSuchUpload", self.fails("storage_failed", "put", "big.wav", self.file("big", 3 * PART)))

    def test_a_refusal_before_the_body_was_read_is_heard(self):
        path = self.file("big", 2 * PART)
        for faults in (["reset", "early403"], ["500", "early403"], ["early403"] * 3):
            self.server.faults.extend(faults)
            self.assertIn("403 AccessDenied", self.fails("storage_failed", "put", "big.wav", path))
            self.server.faults.clear()

    def test_a_stopped_upload_removes_its_parts(self):
        path = self.file("big", 3 * PART)
        self.server.faults.extend(["ok", "stall", "stall", "stall"])
        process = subprocess.Popen(self.command("put", "big.wav", path), env=environment(), stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while len(self.server.faults) > 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
        self.assertIn(b"cancelled", message)
        self.assertEqual((self.server.objects, self.server.uploads), ({}, {}))

    def test_downloads_are_taken_up_after_cuts(self):
        path = self.file("big", 3 * PART + 17)
        self.ok("put", "big.wav", path)
        self.server.get_faults.extend(["cut", "500", "ok", "reset", "cut"])
        digest = sha256(path.read_bytes())
        self.assertEqual(self.ok("get", "big.wav", self.dir / "got").strip(), digest)
        self.assertEqual(sha256((self.dir / "got").read_bytes()), digest)
        self.server.get_faults.extend(["cut"] * 3)
        self.fails("storage_failed", "get", "big.wav", self.dir / "other")
        self.assertFalse((self.dir / "other").exists())
        self.assert_no_parts()

    def test_a_server_without_ranges(self):
        self.server.ranges = False
        path = self.file("big", 2 * PART + 3)
        self.ok("put", "big.wav", path)
        self.assertEqual(self.ok("get", "big.wav", self.dir / "got").strip(), sha256(path.read_bytes()))

    def test_an_object_that_is_replaced_meanwhile_is_not_mixed(self):
        self.ok("put", "big.wav", self.file("big", 3 * PART))
        old = self.server.objects["big.wav"]

        class Changing(dict):
            count = 0

            def __getitem__(objects, key):
                objects.count += 1
                return old if objects.count <= 1 else old._replace(etag='"another"')

        self.server.objects = Changing(self.server.objects)
        self.assertIn("replaced", self.fails("storage_failed", "get", "big.wav", self.dir / "got"))
        self.assertFalse((self.dir / "got").exists())

    def test_bytes_of_elsewhere_are_not_taken(self):
        self.ok("put", "big.wav", self.file("big", 3 * PART))
        self.server.get_faults.extend(["ok", "ok", "shift"])
        self.assertIn("another range", self.fails("storage_failed", "get", "big.wav", self.dir / "got"))
        self.assertFalse((self.dir / "got").exists())

    def test_an_answer_without_the_bytes_it_names_is_no_empty_object(self):
        self.put("x.wav", b"12345")
        self.server.get_faults.append("nothing")
        self.assertIn("sent 0 of 5 bytes", self.fails("storage_failed", "get", "x.wav", self.dir / "got"))
        self.assertFalse((self.dir / "got").exists())

    def test_fm_81_metadata_of_any_type_is_kept_as_text(self):
        self.put("x.wav", b"1", json.dumps({"user_id": 17, "Ratio": 0.5, "is_kids_voice": True, "none": None,
                                           "name": "Zoë 文", "list": [1, "a"], "text": "a b", "blanks": " a  b ", "empty": ""}))
        found = self.server.objects["x.wav"].metadata
        b64 = lambda text: "base64:" + base64.b64encode(text.encode()).decode()
        self.assertEqual(found, {"user_id": "17", "ratio": "0.5", "is_kids_voice": "true", "name": b64("Zoë 文"),
                                 "list": '[1,"a"]', "text": "a b", "blanks": b64(" a  b "), "empty": ""})
        self.fails("too_large", "put", "x.wav", self.dir / "to-put", json.dumps({"x": "y" * 3000}))
        self.fails("invalid_request", "put", "x.wav", self.dir / "to-put", json.dumps({"a: b\r\nc": "1"}))
        self.assertIn("metadata", self.fails("invalid_request", "put", "x.wav", self.dir / "to-put", json.dumps({"a": 1, "A": 2})))

    def test_a_wrong_clock_is_corrected_for_every_operation(self):
        with S3Server(clock_skew_s=-5000) as server:
            self.use_server(server)
            self.put("x.wav", b"1")
            self.assertEqual(self.ok("head", "x.wav").split()[0], "1")
            self.assertEqual(self.keys(), ["x.wav"])
            self.ok("get", "x.wav", self.dir / "got")

    def test_credentials_from_a_file(self):
        keys = self.write("keys", f"# mine\n[other]\naws_access_key_id = no\n[default]\naws_access_key_id={self.server.access_key}\n"
                                  f"aws_secret_access_key =  {self.server.secret_key} \n; end\n[third]\naws_secret_access_key = no\n")
        self.use_server(self.server, access_key=None, secret_key=None, credentials_file=str(keys))
        self.put("x.wav", b"1")
        self.write("keys", "[default]\naws_access_key_id = a\n")
        self.assertIn("[default]", self.fails("invalid_request", "head", "x.wav"))
        keys.unlink()
        self.assertIn("storage.credentials_file", self.fails("invalid_request", "head", "x.wav"))

    def test_variables_of_the_old_systems(self):
        """The names that the F5 and Chatterbox workers had (FM-23, FM-68: endpoint and bucket come from there too)."""
        aws = {"S3_BUCKET": "results", "AWS_ACCESS_KEY_ID": self.server.access_key,
               "AWS_SECRET_ACCESS_KEY": self.server.secret_key, "AWS_REGION": "us-east-1",
               "AWS_ENDPOINT_URL": self.server.endpoint}
        r2 = {"R2_BUCKET_NAME": "results", "R2_ACCESS_KEY_ID": self.server.access_key, "R2_REGION": "us-east-1",
              "R2_SECRET_ACCESS_KEY": self.server.secret_key, "R2_ENDPOINT": self.server.endpoint}
        self.use()
        self.write("to-put", b"1")
        for env in (aws, r2, self.server.environment(), {**r2, **{name: "no" for name in aws}},
                    {**self.server.environment(), **{name: "no" for name in (*aws, *r2)}}):
            self.server.objects.clear()
            self.ok("put", "x.wav", self.dir / "to-put", env=env)
            self.assertEqual(list(self.server.objects), ["x.wav"])


class Doctor(StorageCase):
    def doctor(self, code=None, **env):
        done = run("doctor", "--storage", "--json", "-m", self.dir / "manifest.yaml", env=env)
        checks = [check for check in json.loads(done.stdout)["checks"] if check["subject"] == "storage"]
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout)
        return checks

    def failed(self, *advice):
        """The one check that fails; its advice names these."""
        bad = [check for check in self.doctor(1) if check["level"] == "fail"]
        self.assertEqual(len(bad), 1, bad)
        for word in advice:
            self.assertIn(word, bad[0]["advice"])
        self.assertNotIn(self.storage.get("secret_key", "?"), json.dumps(bad))
        return bad[0]["message"]

    def test_all_is_well(self):
        with S3Server() as server:
            self.use_server(server)
            steps = [check["message"] for check in self.doctor(0)]
            self.assertEqual(steps[1:], ["put", "head", "get", "list", "get by a presigned URL", "delete"])
            self.assertIn("results", steps[0])
            self.assertEqual(server.objects, {})
        self.use(dir=str(self.dir / "objects"))
        self.assertEqual([check["message"] for check in self.doctor(0)][1:], ["put", "head", "get", "list", "delete"])

    def test_none_is_set_up(self):
        self.use()
        check, = self.doctor(0)
        self.assertEqual(check["level"], "warn")

    def test_what_is_wrong_is_said_with_what_to_do(self):
        with S3Server(region="eu-west-1") as server:
            self.use_server(server)
            self.use_server(server, secret_key="wrong")
            self.assertIn("SignatureDoesNotMatch", self.failed("storage.secret_key"))
            self.use_server(server, access_key="wrong")
            self.failed("storage.access_key")
            self.use_server(server, region="us-east-1")
            self.assertIn("eu-west-1", self.failed("storage.region"))
            self.use_server(server, bucket="another")
            self.failed("storage.bucket")
            self.use_server(server, session_token="old")
            self.failed("storage.session_token")
            self.use_server(server)
            server.faults.append("403")
            self.assertIn("AccessDenied", self.failed("right to put, get, list and delete"))
            self.use_server(server, endpoint="https" + server.endpoint[4:])
            self.failed("storage.endpoint", "certificate")
            self.use_server(server, public_base_url=server.endpoint)
            self.assertIn("public URL", self.failed("storage.public_base_url"))
            server.objects.clear()
        self.use_server(server)
        self.failed("storage.endpoint")  # nobody listens any more
        self.use_server(server, endpoint="http://no-such-host.invalid")
        self.failed("DNS")
        self.use_server(server, secret_key=None)
        self.assertIn("storage.secret_key: is missing", self.failed())

    def test_a_wrong_clock_is_a_warning(self):
        with S3Server(clock_skew_s=4000) as server:
            self.use_server(server)
            checks = self.doctor(0)
            warning, = [check for check in checks if check["level"] == "warn"]
            self.assertIn("ahead of", warning["message"])
            self.assertIn("NTP", warning["advice"])


if __name__ == "__main__":
    unittest.main()
