"""Results that are too large for an answer: uploaded to the manifest's storage or to the job's own, else a clear failure."""

import base64
import hashlib
import json
import urllib.request

from s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from worker_common import TIMEOUT_S, WorkerCase, tone

SMALL = {"duration_ms": 5}  # 284 bytes of wav
LARGE = {"duration_ms": 500}  # 24,044 bytes
WORKER = {"inline_chars_max": 2000}


class Storage(WorkerCase):
    def start(self, server=None, **worker):
        plane = self.start_plane(hold_s=5)
        process = self.start_worker(plane, env=server.environment() if server else {}, worker={**WORKER, **worker},
                                    host={"fetch_private": True})
        return plane, process

    def answer(self, plane, job):
        return plane.wait(plane.submit(job), TIMEOUT_S).final

    def fetched(self, url):
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return answer.read()

    def assert_uploaded(self, output):
        self.assertEqual(output["status"], "ok")
        self.assertNotIn("base64", output["audio"])
        self.assertNotIn("audio_base64", output)
        self.assertEqual(output["audio_url"], output["audio"]["url"])
        audio = self.fetched(output["audio_url"])
        self.assertEqual(hashlib.sha256(audio).hexdigest(), output["audio"]["sha256"])
        self.assertEqual(len(audio), output["audio"]["bytes"])

    def test_what_is_small_is_inline_and_what_is_large_has_a_url(self):
        with S3Server() as server:
            plane, _ = self.start(server)
            small = self.answer(plane, tone(**SMALL))["output"]
            audio = base64.b64decode(small["audio"]["base64"], validate=True)
            self.assertEqual(hashlib.sha256(audio).hexdigest(), small["audio"]["sha256"])
            self.assertEqual(small["audio_base64"], small["audio"]["base64"])
            self.assertEqual(server.log, [])
            self.assert_uploaded(self.answer(plane, tone(id="ä/..\\?x", **LARGE))["output"])
            name, = server.objects
            self.assertRegex(name, r"^[0-9a-f]{32}/")
            self.assertEqual(server.objects[name].content_type, "audio/wav")

    def test_an_upload_is_tried_again(self):
        with S3Server(faults=["slow", "reset"]) as server:
            plane, _ = self.start(server)
            self.assert_uploaded(self.answer(plane, tone(**LARGE))["output"])
            self.assertEqual(len(server.objects), 1)

    def test_a_server_in_another_time(self):
        with S3Server(clock_skew_s=3600) as server:
            plane, _ = self.start(server)
            output = self.answer(plane, tone(**LARGE))["output"]
            self.assertEqual(output["status"], "ok")
            self.assertEqual(len(server.objects), 1)

    def test_a_refused_upload_fails_the_job_and_the_worker_lives(self):
        with S3Server(faults=["403"]) as server:
            plane, worker = self.start(server)
            final = self.answer(plane, tone(**LARGE))
            report = json.loads(final["error"])
            self.assertEqual(report["error_type"], "StorageFailed")
            self.assertEqual(final["output"]["error_code"], "storage_failed")
            self.assertIn("403", report["error_message"])
            self.assertNotIn("base64", json.dumps(final))
            self.assert_uploaded(self.answer(plane, tone(**LARGE))["output"])
            for secret in (ACCESS_KEY, SECRET_KEY, "X-Amz-Signature"):
                self.assertNotIn(secret, worker.log)
                self.assertNotIn(secret, final["error"])

    def test_without_storage_it_is_too_large_and_says_what_to_do(self):
        plane, _ = self.start()
        final = self.answer(plane, tone(**LARGE))
        report = json.loads(final["error"])
        self.assertEqual(report["error_type"], "PayloadTooLarge")
        self.assertEqual(report["error_code"], "too_large")
        for part in ("worker.inline_chars_max", "mp3", "storage"):
            self.assertIn(part, report["error_message"])
        self.assertEqual(self.answer(plane, tone(format="opus", **SMALL))["output"]["status"], "ok")

    def test_a_job_may_bring_its_own_storage(self):
        with S3Server() as server:
            plane, worker = self.start()
            config = {"endpointUrl": server.endpoint, "bucketName": server.bucket, "accessId": ACCESS_KEY,
                      "accessSecret": SECRET_KEY}
            self.assert_uploaded(self.answer(plane, {**tone(**LARGE), "s3Config": config})["output"])
            self.assert_uploaded(self.answer(plane, {**tone(**SMALL), "s3Config": config})["output"])
            for wrong in ({**config, "endpointUrl": "ftp://x"}, {**config, "accessSecret": None}, {**config, "bucketName": 5}):
                report = json.loads(self.answer(plane, {**tone(**SMALL), "s3Config": wrong})["error"])
                self.assertEqual(report["error_field"], "s3Config", report)
                self.assertNotIn(SECRET_KEY, json.dumps(report))
            self.assertNotIn(SECRET_KEY, worker.log)

    def test_fm_66_whose_bucket_it_is_learns_nothing_of_names_in_ours(self):
        with S3Server() as server:
            plane, _ = self.start(server)
            config = {"endpointUrl": server.endpoint, "bucketName": server.bucket, "accessId": ACCESS_KEY,
                      "accessSecret": SECRET_KEY}
            for more in ({}, {}, {"s3Config": config}, {"s3Config": config}):
                job = {**tone(**LARGE), **more}
                job["input"]["id"] = "a17"
                self.assert_uploaded(self.answer(plane, job)["output"])
            self.assertEqual(len(server.objects), 3)  # ours replaces itself
            for name in server.objects:
                self.assertRegex(name, r"^[0-9a-f]{32}/a17\.wav$")

    def test_a_jobs_storage_inside_our_network_is_refused(self):
        with S3Server() as server:
            plane = self.start_plane(hold_s=5)
            self.start_worker(plane, worker=WORKER)
            config = {"endpointUrl": server.endpoint, "bucketName": server.bucket, "accessId": ACCESS_KEY,
                      "accessSecret": SECRET_KEY}
            report = json.loads(self.answer(plane, {**tone(**SMALL), "s3Config": config})["error"])
            self.assertEqual((report["error_code"], report["error_field"]), ("invalid_request", "s3Config"))
            self.assertEqual(server.log, [])

    def test_half_a_configuration_is_refused_at_the_start(self):
        plane = self.start_plane(hold_s=1)
        worker = self.start_worker(plane, env={"BUCKET_ENDPOINT_URL": "http://127.0.0.1:9"}, wait=False)
        worker.wait(2)
        self.assertIn("storage.", worker.log)
        self.assertEqual(plane.requests, [])
