"""What jobs store: names by the template, in a bucket or a directory, and never a URL to nothing."""

import hmac
import json
import unittest
import urllib.request

from common import Case, run
from s3_server import S3Server

LARGE = {"duration_ms": 500}


class Jobs(Case):
    def speak(self, storage, job=None, code=0, env=None, **options):
        """The output of one job of the worker's local mode, whose audio is too large for the answer."""
        manifest = self.manifest(storage=storage, worker={"inline_chars_max": 100})
        job = {"text": "hello", "options": LARGE, "seed": 1, **(job or {})}
        done = run("worker", "-m", manifest, "--test_input", json.dumps({"id": "job 1", "input": job}), env=env, **options)
        self.assert_exit(done, code)
        self.log = done.stderr
        return json.loads(done.stdout)

    def bucket(self, server, **more):
        return {"endpoint": server.endpoint, "bucket": server.bucket, "access_key": server.access_key,
                "secret_key": server.secret_key, **more}

    def test_fm_82_names_follow_the_template(self):
        with S3Server() as server:
            output = self.speak(self.bucket(server, key_template="results/{user_id}/{model_type}/{date}/{job_id}.{ext}"),
                                {"id": "a b?c"})["output"]
            name, = server.objects
            self.assertRegex(name, r"^results/none/tone/\d{4}-\d\d-\d\d/a_b_c-[0-9a-f]{8}\.wav$")
            with urllib.request.urlopen(output["audio_url"]) as answer:
                self.assertEqual(len(answer.read()), output["audio"]["bytes"])

    def test_fm_66_an_object_is_found_by_its_job_and_the_secret(self):
        """In another process too."""
        with S3Server() as server:
            for _ in range(2):  # the second replaces the first
                self.speak(self.bucket(server), {"id": "a17"})
            secret = hmac.digest(server.secret_key.encode(), b"voxhost: names of objects", "sha256")
            ours = hmac.digest(secret, b"a17", "sha256").hex()[:32] + "/a17.wav"
            self.assertEqual(list(server.objects), [ours])
        folder = self.dir / "objects"
        for _ in range(2):
            self.speak({"dir": str(folder)}, {"id": "a17"})
        path, = folder.rglob("*.wav")
        self.assertRegex(str(path.relative_to(folder)), r"^[0-9a-f]{32}/a17\.wav$")
        self.assertNotEqual(str(path.relative_to(folder)), ours)
        self.assertEqual((folder / ".voxhost-salt").stat().st_mode & 0o777, 0o600)

    def test_a_directory_takes_results_too(self):
        folder = self.dir / "objects"
        output = self.speak({"dir": str(folder), "key_template": "{job_id}.{ext}"})["output"]
        path, = folder.rglob("*.wav")
        self.assertEqual(output["audio"]["url"], str(path))
        self.assertEqual(path.stat().st_size, output["audio"]["bytes"])
        output = self.speak({"dir": str(folder), "public_base_url": "https://cdn.example"})["output"]
        self.assertRegex(output["audio"]["url"], r"^https://cdn\.example/[0-9a-f]{32}/.*\.wav$")

    def test_fm_88_a_queue_never_answers_with_a_path_of_this_worker(self):
        manifest = self.manifest(storage={"dir": str(self.dir / "objects")})
        done = run("worker", "-m", manifest, env={"RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:9/$ID",
                                                  "RUNPOD_WEBHOOK_POST_OUTPUT": "http://127.0.0.1:9/$ID",
                                                  "RUNPOD_AI_API_KEY": "k", "RUNPOD_POD_ID": "p"})
        self.assert_exit(done, 2)
        self.assertIn("storage.public_base_url", done.stderr)

    def test_fm_80_a_failed_upload_fails_the_job(self):
        with S3Server(faults=["403"]) as server:
            result = self.speak(self.bucket(server), code=1)
            self.assertIn("storage_failed", json.dumps(result))
            self.assertNotIn("audio_url", json.dumps(result))

    def test_credentials_of_a_file_serve_too(self):
        with S3Server() as server:
            keys = self.write("keys", f"[default]\naws_access_key_id = {server.access_key}\n"
                                      f"aws_secret_access_key = {server.secret_key}\n")
            storage = {"endpoint": server.endpoint, "bucket": server.bucket, "credentials_file": str(keys)}
            self.speak(storage)
            self.assertEqual(len(server.objects), 1)
            self.assertNotIn(server.secret_key, self.log)


if __name__ == "__main__":
    unittest.main()
