"""Results that are too large for an answer: uploaded to the manifest's storage or to the job's own, else a clear failure."""

import base64
import hashlib
import json
import urllib.request

from s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from test_voices import wav
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

    def config(self, server):
        return {"endpointUrl": server.endpoint, "bucketName": server.bucket, "accessId": ACCESS_KEY, "accessSecret": SECRET_KEY}

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

    def test_timeout_s_bounds_the_upload(self):
        """Three tries of 30 s else."""
        for own in (False, True):
            with self.subTest(own=own), S3Server(faults=["stall"] * 3) as server:
                plane, _ = self.start(None if own else server)
                job = {"input": {"text": "x", "timeout_s": 3, **({} if own else {"response": "url"}), "options": LARGE}}
                if own:
                    job["s3Config"] = self.config(server)
                report = json.loads(self.answer(plane, job)["error"])
                self.assertEqual(report["error_code"], "timeout", report)
                self.assertIn("ran longer than 3 s (timeout_s)", report["error_message"])
                self.assertEqual(server.objects, {})
                self.assertGreater(len(server.faults), 1, "it was tried again")

    def test_timeout_s_bounds_the_upload_of_what_stands_beside_the_audio(self):
        with S3Server(faults=["stall"]) as server:
            plane, _ = self.start(server)
            job = {"input": {"text": "x", "timeout_s": 3, "response": "url", "timestamps": ["srt"], "options": LARGE}}
            report = json.loads(self.answer(plane, job)["error"])
            self.assertEqual(report["error_code"], "timeout", report)
            self.assertEqual(server.objects, {}, "what has no time for its subtitles has none for the audio")

    def test_timeout_s_that_is_not_over_changes_nothing(self):
        with S3Server(faults=["slow", "reset"]) as server:
            plane, _ = self.start(server)
            self.assert_uploaded(self.answer(plane, {"input": {"text": "x", "timeout_s": 3600, "options": LARGE}})["output"])

    def test_fm_29_an_older_client_gets_its_audio_without_the_times_that_could_not_be_stored(self):
        for how in ({"local_voice": None}, {"timing_format": "all"}):
            for faults in (["403"], ["500", "reset", "500"]):
                with self.subTest(how=how, faults=faults), S3Server(faults=["ok", *faults]) as server:
                    plane, _ = self.start(server)
                    job = {"text": "Hello there", "return_word_timings": True, "timeout_s": 600, "options": LARGE, **how}
                    output = self.answer(plane, {"input": job})["output"]
                    self.assertEqual(output["status"], "completed", output)
                    self.assertEqual(len(self.fetched(output["audio_url"])), output["audio"]["bytes"])
                    self.assertIn("the timestamps (srt): ", output["timing_error"])
                    for member in ("timing_files", "subtitle_texts", "subtitle_urls"):
                        self.assertNotIn(member, output)

    def test_fm_29_an_older_client_gets_its_audio_without_a_list_of_words_that_could_not_be_stored(self):
        with S3Server(faults=["ok", "ok", "403"]) as server:
            plane, _ = self.start(server, body_bytes_max=65536)
            job = {"text": "a " * 3000, "return_word_timings": True, "options": {"ms_per_char": 1}}
            output = self.answer(plane, {"input": job})["output"]
            self.assertEqual(output["status"], "completed", output)
            self.assertIn("the list of words", output["timing_error"])
            self.assertEqual(len(self.fetched(output["audio_url"])), output["audio"]["bytes"])
            self.assertEqual(set(output["timing_files"]), {"srt"})
            self.assertNotIn("words", output)

    def test_a_file_that_could_not_be_stored_is_named(self):
        for job, faults, named in (({"timestamps": ["srt", "json"]}, ["ok", "403"], "the timestamps (json)"),
                                   ({"timestamps": ["srt"], "local_voice": None}, ["403"], "the timestamps (srt)"),
                                   ({"timestamps": ["srt"]}, ["ok", "403"], "the audio")):
            with self.subTest(job=job, faults=faults), S3Server(faults=faults) as server:
                plane, _ = self.start(server)
                job = {"text": "Hello there", "response": "url", "options": LARGE, **job}
                report = json.loads(self.answer(plane, {"input": job})["error"])
                self.assertEqual(report["error_code"], "storage_failed", report)
                self.assertIn(named + ": ", report["error_message"])
                self.assertEqual(report.get("error_field") == "timestamps", named != "the audio", report)

    def test_fm_81_metadata_that_cannot_be_kept_takes_nothing_with_it(self):
        with S3Server() as server:
            plane, _ = self.start(server)
            job = {"id": "j1", "text": "Hi", "response": "url", "user_id": "u7", "story_id": "s1", "timestamps": ["srt"],
                   "metadata": {"a b": 1, "long": "x" * 3000, "genre": "horror"}, "options": LARGE}
            output = self.answer(plane, {"input": job})["output"]
            self.assertEqual(len(server.objects), 2)
            for item in server.objects.values():
                self.assertEqual(item.metadata, {"genre": "horror", "job_id": "j1", "user_id": "u7", "story_id": "s1",
                                                 "model_type": "tone"})
            warning, = (text for text in output["warnings"] if "metadata is not kept" in text)
            self.assertIn('"a b"', warning)
            self.assertIn('"long"', warning)
            self.assertNotIn("genre", warning)

    def test_fm_81_a_new_voice_keeps_the_metadata_that_can_be_kept(self):
        with S3Server() as server:
            plane = self.start_plane(hold_s=5)
            self.start_worker(plane, env=server.environment(), paths={"voices": str(self.dir / "voices")})
            job = {"op": "upload", "name": "Anna", "audio": base64.b64encode(wav(150)).decode(), "user_id": "u7",
                   "metadata": {"a b": 1, "long": "x" * 3000, "genre": "horror"}}
            output = self.answer(plane, {"input": job})["output"]
            kept = server.objects[output["recorded_path"]].metadata
            self.assertEqual({name: kept.get(name) for name in ("genre", "user_id", "voice_name", "long")},
                             {"genre": "horror", "user_id": "u7", "voice_name": "Anna", "long": None})
            warning, = (text for text in output["warnings"] if "metadata is not kept" in text)
            self.assertIn('"a b"', warning)

    def test_fm_32_the_content_type_is_that_of_the_audio_whatever_its_key(self):
        with S3Server() as server:
            plane = self.start_plane(hold_s=5)
            storage = {"type": "s3", "endpoint": server.endpoint, "bucket": server.bucket, "access_key": ACCESS_KEY,
                       "secret_key": SECRET_KEY, "path_style": True, "key_template": "{job_id}"}
            self.start_worker(plane, storage=storage, worker=WORKER)
            for name, kind in (("wav", "audio/wav"), ("mp3", "audio/mpeg")):
                job = {"id": name + "1.srt", "text": "Hi", "format": name, "response": "url", "options": LARGE}
                self.assertEqual(self.answer(plane, {"input": job})["output"]["status"], "ok")
                self.assertEqual(server.objects[name + "1.srt"].content_type, kind)

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
            config = self.config(server)
            self.assert_uploaded(self.answer(plane, {**tone(**LARGE), "s3Config": config})["output"])
            self.assert_uploaded(self.answer(plane, {**tone(**SMALL), "s3Config": config})["output"])
            self.assertIn("base64", self.answer(plane, {**tone(**SMALL), "s3Config": {}})["output"]["audio"])
            for wrong in ({**config, "endpointUrl": "ftp://x"}, {**config, "accessSecret": None}, {**config, "bucketName": 5}):
                report = json.loads(self.answer(plane, {**tone(**SMALL), "s3Config": wrong})["error"])
                self.assertEqual(report["error_field"], "s3Config", report)
                self.assertNotIn(SECRET_KEY, json.dumps(report))
            self.assertNotIn(SECRET_KEY, worker.log)

    def test_fm_66_whose_bucket_it_is_learns_nothing_of_names_in_ours(self):
        with S3Server() as server:
            plane, _ = self.start(server)
            config = self.config(server)
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
            config = self.config(server)
            report = json.loads(self.answer(plane, {**tone(**SMALL), "s3Config": config})["error"])
            self.assertEqual((report["error_code"], report["error_field"]), ("invalid_request", "s3Config"))
            self.assertEqual(server.log, [])

    def test_half_a_configuration_is_refused_at_the_start(self):
        plane = self.start_plane(hold_s=1)
        worker = self.start_worker(plane, env={"BUCKET_ENDPOINT_URL": "http://127.0.0.1:9"}, wait=False)
        worker.wait(2)
        self.assertIn("storage.", worker.log)
        self.assertEqual(plane.requests, [])
