"""Queue mode of `voxhost worker`, cases 19 to 29 of runpod-worker.md, section 7: what is posted about a job, and how it
gets there."""

import base64
import fcntl
import hashlib
import json
import signal
import time
import unittest
import urllib.request

from control_plane import Answer
from operations_common import LOW
from s3_server import S3Server
from worker_common import TIMEOUT_S, WorkerCase, tone

REPORT_KEYS = {"error_type", "error_message", "error_traceback", "hostname", "worker_id", "runpod_version"}


class Results(WorkerCase):
    def finish(self, plane, job, state="COMPLETED"):
        done = plane.wait(plane.submit(job), TIMEOUT_S)
        self.assertEqual(done.state, state, str(done.final)[:2000])
        return done

    def finals(self, plane, job_id):
        """The posts of a job's final result."""
        return [request for request in plane.on("done") if request.job_id == job_id and request.final]

    def wait_finals(self, plane, job_id, count):
        return plane.wait_for(lambda: len(self.finals(plane, job_id)) >= count and self.finals(plane, job_id),
                              TIMEOUT_S, f"{count} posts of {job_id}")

    def wait_settled(self, plane, job_id):
        """Until the pings name the job no more."""
        last = self.finals(plane, job_id)[-1].begun
        plane.wait_for(lambda: any(ping.time > last and job_id not in ping.ids for ping in plane.pings), TIMEOUT_S)

    def report(self, job):
        """The error report of a failed job, which must be a string that is a JSON object with every key."""
        self.assertIsInstance(job.final["error"], str)
        report = json.loads(job.final["error"])
        self.assertLessEqual(REPORT_KEYS, set(report))
        for key, value in report.items():
            self.assertIsInstance(value, str, key)
            self.assertNotEqual(value, "", key)
        return report

    def test_case_19_body_and_headers(self):
        plane = self.start_plane()
        worker = self.start_worker(plane)
        # An id beyond ASCII stands in the body; a body above 1 MB makes libcurl ask with Expect if it may.
        for job_id, duration_ms in (("grün-\u4e2d-\U0001f600", 10), ("large", 20000)):
            job = self.finish(plane, tone(id=job_id, duration_ms=duration_ms, sample_rate=24000))
            (done,) = self.finals(plane, job_id)
            self.assertEqual(done.method, "POST")
            self.assertEqual(done.param("isStream"), "false")
            self.assertEqual(done.header("Content-Type"), "application/x-www-form-urlencoded")
            self.assertEqual(done.header("charset"), "utf-8")
            self.assertEqual(done.header("Content-Length"), str(len(done.body)))
            self.assertEqual(done.header("Authorization"), plane.key)
            for name in ("Expect", "Transfer-Encoding"):
                self.assertIsNone(done.header(name))
            self.assertEqual(sum(name.lower() == "x-request-id" for name, _ in done.headers), 1)
            self.assertIn(json.dumps(job_id, ensure_ascii=False).encode(), done.body)
            self.assertEqual(done.body[:1] + done.body[-1:], b"{}")
            self.assertEqual(list(job.final), ["output"])
            audio = job.final["output"]["audio"]
            data = base64.b64decode(audio["base64"], validate=True)
            self.assertEqual((len(data), hashlib.sha256(data).hexdigest()), (audio["bytes"], audio["sha256"]))
            self.assertEqual(data[:4], b"RIFF")
        self.assertGreater(len(done.body), 1 << 20)
        worker.stop()

    def test_an_id_of_the_job_itself_is_in_its_answer_whatever_comes_of_it(self):
        plane = self.start_plane()
        self.start_worker(plane)
        for model in ("tone", "nobody"):
            done = plane.wait(plane.submit(tone(model_type=model) | {"id": f"platform-{model}"}), TIMEOUT_S)
            self.assertEqual(done.final["output"]["id"], f"platform-{model}")
            job = tone(model_type=model)
            job["input"]["id"] = f"own-{model}"
            self.assertEqual(plane.wait(plane.submit(job), TIMEOUT_S).final["output"]["id"], f"own-{model}")

    def test_a_refused_job_s_metadata_and_model_come_back_like_those_of_any_other(self):
        """What is wrong with the job is elsewhere: that much of it can be told."""
        metadata = {"order": 7}
        plane = self.start_plane()
        worker = self.start_worker(plane, {"model_type": "tone", "aliases": ["bell"]})
        for name, model in (("TONE", "tone"), ("bell", "tone"), (None, "tone"), ("nobody", None)):
            for key in ("model_type", "model"):
                with self.subTest(name, key=key):
                    job = tone(nonsense=1) if name else {"input": {"speed": 99, "text": "x"}}
                    job["input"] |= {"metadata": metadata, **({key: name} if name else {})}
                    done = self.finish(plane, job, "FAILED")
                    output = done.final["output"]
                    self.assertEqual((output.get("metadata"), output.get("model_type")), (metadata, model))
                    self.assertEqual(worker.wait_log(event="job failed", job=done.id)["model"], model or "")
        output = self.finish(plane, {"input": {"text": "x", "metadata": {"big": "x" * 70000}}}, "FAILED").final["output"]
        self.assertEqual((output["error_field"], output.get("metadata")), ("metadata", None))

    def test_case_20_bodies_by_outcome(self):
        """Table 3.3 for what a job can come to here: there is no {} and nothing that cannot be serialised. Members in
        the SDK's order: output, error, stopPod."""
        ok, failed, nothing = tone(id="ok"), tone(id="failed", model_type="nobody"), {"id": "nothing"}
        expected = {"ok": ["output"], "failed": ["output", "error"], "nothing": ["output", "error"]}
        plane = self.start_plane()
        self.start_worker(plane)
        for job in (ok, failed, nothing):
            done = plane.wait(plane.submit(job), TIMEOUT_S)
            self.assertEqual(list(done.final), expected[done.id])
            self.assertEqual(done.state, "COMPLETED" if done.id == "ok" else "FAILED")
            output = done.final["output"]
            self.assertIsInstance(output, dict)
            self.assertEqual((output["id"], output["job_id"]), (done.id, done.id))
            self.assertEqual(output["status"], "ok" if done.id == "ok" else "error")
            if done.id == "ok":
                self.assertEqual(output["audio_base64"], output["audio"]["base64"])
                self.assertEqual((output["duration"], output["sample_rate"]), (0.01, 24000))
                self.assertNotIn("error", output)
            else:
                report = self.report(done)
                self.assertEqual((output["error_code"], output["error_field"]),
                                 (report["error_code"], report["error_field"]))
                self.assertEqual(output["error"]["code"], report["error_code"])
        for job in (ok, failed):  # refresh_worker: stopPod in every body, after which nothing more is taken
            with self.subTest("refresh", job=job["id"]):
                plane = self.start_plane()
                plane.submit_many([job, tone(id="for-another-worker")])
                worker = self.start_worker(plane, worker={"refresh": True})
                worker.wait(0)
                done = plane.job(job["id"])
                self.assertEqual(list(done.final), expected[done.id] + ["stopPod"])
                self.assertIs(done.final["stopPod"], True)
                self.assertEqual(plane.job("for-another-worker").deliveries, 0)

    def test_case_21_error_reports(self):
        plane = self.start_plane()
        self.start_worker(plane, {"model_type": "tone"}, {"model_type": "lost", "required": False, "options": {"fail": True}},
                          default_model="tone", env={"RUNPOD_POD_HOSTNAME": "pod-1-64410"})
        wrong = {"UnknownModel": tone(model_type="nobody"), "InvalidInput": tone(nonsense=1), "ModelFailed":
                 tone(model_type="lost"), "VoiceNotFound": tone(voice="nobody"), "Timeout": tone(sleep_ms=60000)}
        wrong["Timeout"]["input"]["timeout_s"] = 0.1
        for error_type, job in wrong.items():
            with self.subTest(error_type):
                report = self.report(self.finish(plane, job, "FAILED"))
                self.assertEqual(report["error_type"], error_type)
                self.assertEqual(report["hostname"], "pod-1-64410")
                self.assertEqual((report["worker_id"], report["runpod_version"]), ("pod-1", "1.12.0"))
        other = self.start_plane()
        self.start_worker(other, env={"RUNPOD_POD_ID": None})
        report = self.report(self.finish(other, {"id": "x"}, "FAILED"))
        self.assertEqual((report["hostname"], report["worker_id"]), ("unknown", "unknown"))
        self.assertEqual(report["error_type"], "InvalidInput")

    def test_case_22_server_errors_are_retried(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, host={"log_level": "debug"})
        for first in (Answer(500), Answer(500, process=True)):  # the second was stored, and says otherwise
            plane.script("done", [first, Answer(502, "<html>Bad Gateway")])
            job = self.finish(plane, tone())
            worker.wait_log(event="result delivered", job=job.id)
            posts = self.finals(plane, job.id)
            self.assertEqual([post.status for post in posts], [500, 502, 200])
            self.assertEqual(len({post.body for post in posts}), 1)
            # From begin to begin, because the worker may have the whole answer before the plane notes its end.
            pauses = [after.begun - before.begun for before, after in zip(posts, posts[1:])]
            self.assertGreaterEqual(pauses[0], 0.24)  # 0.5 s and 1 s, of which jitter takes up to half
            self.assertGreaterEqual(pauses[1], 0.49)
            self.wait_settled(plane, job.id)
            self.assertEqual(len(self.finals(plane, job.id)), 3)
            for event in ("job finished", "result delivered", "a result is tried again"):
                self.assertEqual(len(worker.wait_logs(1, event=event, job=job.id)), 1, event)

    def test_case_23_lost_answers_are_retried(self):
        faults = {
            "busy": Answer(429, headers=(("Retry-After", "2"),)),
            "reset": Answer(reset=True),
            "closed": Answer(drop="before"),
            "unanswered": Answer(drop="after"),
            "cut": Answer(503, "{" + " " * 100, truncate=10),
            "stalled": Answer(stall=True),
            "timeout": Answer(408),
            "early": Answer(425),
            "unavailable": Answer(503, headers=(("Retry-After", "1"),)),
        }
        plane = self.start_plane()
        seen = set()

        def fault(request):
            if request.job_id in seen or request.job_id not in faults:
                return None
            seen.add(request.job_id)
            return faults[request.job_id]

        plane.fault("done", fault)
        plane.submit_many([tone(id=name) for name in faults])
        worker = self.start_worker(plane, concurrency=4, worker={"request_s": 1})
        for name in faults:
            with self.subTest(name):
                job = plane.wait(name, TIMEOUT_S)
                plane.wait_for(lambda job=job: job.acked, TIMEOUT_S)
                self.assertEqual(job.state, "COMPLETED")
                posts = self.finals(plane, name)
                self.assertEqual(len(posts), 2)
                self.assertEqual(posts[0].body, posts[1].body)
        for name, least in (("busy", 2), ("unavailable", 1)):
            first, second = self.finals(plane, name)
            self.assertGreater(second.begun - first.begun, least - 0.1)
        plane.fault("done", lambda request: Answer(503, headers=(("Retry-After", "0"),)))  # is no call for a hot loop
        hot = plane.submit(tone())
        self.wait_finals(plane, hot, 3)
        first, _, third = self.finals(plane, hot)[:3]
        self.assertGreater(third.begun - first.begun, 0.5)
        plane.fault("done", None)
        plane.wait(hot, TIMEOUT_S)
        for status, state in ((200, "COMPLETED"), (413, "FAILED")):  # its verdict is known though its body is cut
            name = f"verdict-{status}"
            plane.fault("done", lambda request, name=name, status=status: Answer(status, "{" + " " * 100, truncate=10)
                        if request.job_id == name and len(self.finals(plane, name)) == 1 else None)
            plane.submit(tone(id=name))
            self.assertEqual(plane.wait(name, TIMEOUT_S).state, state)
            worker.wait_log(event="job finished", job=name)
            plane.wait(plane.submit(tone(sleep_ms=1500)), TIMEOUT_S)  # time for another try
            self.assertEqual(len({post.body for post in self.finals(plane, name)}), len(self.finals(plane, name)))
            self.assertEqual(len(self.finals(plane, name)), 1 if status == 200 else 2)
        plane.fault("done", None)
        plane.submit(tone(id="refused", sleep_ms=300))
        plane.wait_for(lambda: plane.job("refused").delivered, TIMEOUT_S)
        plane.outage("refuse")
        worker.wait_log(event="a result is tried again", job="refused")
        plane.recover()
        job = plane.wait("refused", TIMEOUT_S)
        self.assertEqual((job.state, len(job.finals)), ("COMPLETED", 1))

    def test_case_23_an_answer_that_came_while_the_worker_was_blocked_counts(self):
        """Its loop hangs in open() for so long that it takes itself for frozen: connections are given up, but not what
        lies in them."""
        blocked_s = 11
        plane = self.start_plane()
        worker = self.start_worker(plane, concurrency=2, paths={"voices": str(self.dir / "voices")})
        made = plane.wait(plane.submit({"input": {"op": "voice_create", "name": "Slow", "audio": LOW}}), TIMEOUT_S)
        plane.wait_for(lambda: plane.job(made.id).acked, TIMEOUT_S)
        entry, = (path for path in (self.dir / "voices").glob("*/*.json"))
        with open(entry, "rb") as file:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # which nobody minds; a lease's own would end us
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            except OSError as error:
                self.skipTest(f"open() cannot be held up here: {error}")
            plane.script("done", [Answer(delay_s=blocked_s / 2)])
            first = plane.submit(tone())
            self.wait_finals(plane, first, 1)
            second = plane.submit(tone(voice=entry.parent.name))
            plane.wait_for(lambda: fcntl.fcntl(file, fcntl.F_GETLEASE) != fcntl.F_WRLCK, TIMEOUT_S, "the worker in open()")
            time.sleep(blocked_s)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        worker.wait_log(event="this process was stopped for a while: reconnecting")
        plane.wait(second, TIMEOUT_S)
        self.wait_settled(plane, first)
        self.assertEqual([post.status for post in self.finals(plane, first)], [200])

    def test_case_24_a_refused_body_is_not_sent_again(self):
        plane = self.start_plane(max_body=100_000_000)
        worker = self.start_worker(plane, urls={"ping_interval_ms": 100})
        for status in (400, 413):
            with self.subTest(status):
                plane.script("done", [Answer(status, {"error": "too large"})])
                job = self.finish(plane, tone(duration_ms=1000), "FAILED")
                self.wait_settled(plane, job.id)
                first, second = self.finals(plane, job.id)
                self.assertNotEqual(first.body, second.body)
                self.assertLess(len(second.body), 2000)
                self.assertEqual(list(job.final), ["error"])
                report = self.report(job)
                self.assertIn(str(status), report["error_message"])
                self.assertEqual(report["error_type"], "PayloadTooLarge")
                self.assertEqual(worker.wait_log(event="a result was refused", job=job.id)["bytes"], len(first.body))
        plane.script("done", [Answer(400), Answer(400)])  # the short body too: that is the end of it
        job_id = plane.submit(tone())
        self.wait_finals(plane, job_id, 2)
        self.wait_settled(plane, job_id)
        self.assertEqual(len(self.finals(plane, job_id)), 2)
        self.finish(plane, tone())
        self.ends_with(worker, 1)  # a result was lost

    def test_case_25_an_unknown_job_is_dropped(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, urls={"ping_interval_ms": 100})
        for status in (404, 409, 410):
            plane.script("done", [Answer(status)])
            job_id = plane.submit(tone())
            self.wait_finals(plane, job_id, 1)
            self.wait_settled(plane, job_id)
            self.finish(plane, tone())
            self.assertEqual(len(self.finals(plane, job_id)), 1)
            line = worker.wait_log(event="the platform does not know the job any more", job=job_id)
            self.assertEqual(line["level"], "info")

    def test_case_26_a_retry_holds_nobody_up(self):
        plane = self.start_plane()
        plane.fault("done", lambda request: Answer(503) if request.job_id == "slow" else None)
        self.start_worker(plane, urls={"ping_interval_ms": 100})
        plane.submit(tone(id="slow"))
        self.wait_finals(plane, "slow", 2)
        for _ in range(3):
            self.finish(plane, tone())
        self.wait_finals(plane, "slow", 3)
        plane.fault("done", None)
        slow = plane.wait("slow", TIMEOUT_S)
        plane.wait_for(lambda: slow.acked, TIMEOUT_S)
        with plane.hold():
            pings = [ping for ping in plane.pings if slow.delivered + 0.5 < ping.time < slow.finished]
        self.assertGreater(len(pings), 3)
        self.assertEqual([ping for ping in pings if "slow" not in ping.ids], [])
        self.wait_settled(plane, "slow")
        self.assertEqual(len(slow.finals), 1)

    def test_case_27_no_body_is_ever_too_large(self):
        """The plane counts any post above its limit as a violation."""
        limit = 100_000
        plane = self.start_plane(max_body=limit)
        self.start_worker(plane, worker={"body_bytes_max": limit, "inline_chars_max": 90_000, "progress_s": 0})
        job = self.finish(plane, tone(duration_ms=1000))  # 64 kB of base64, for which there is no room twice
        self.assertNotIn("audio_base64", job.final["output"])
        self.assertEqual(len(base64.b64decode(job.final["output"]["audio"]["base64"])), 48044)
        self.assertEqual(len(job.final["output"]["warnings"]), 1)
        for name, wrong in {"audio": tone(duration_ms=60000), "just over": tone(duration_ms=1500),
                            "words": tone(text="word " * 5000, timestamps=["json"])}.items():
            with self.subTest(name):
                job = self.finish(plane, wrong, "FAILED")
                self.assertEqual(self.report(job)["error_type"], "PayloadTooLarge")
                self.assertEqual(len(job.finals), 1)
        job = self.finish(plane, tone(duration_ms=60000, stream=True))
        self.assertEqual(job.final["output"], [])  # the chunks went before
        self.assertGreater(len(job.chunks), 10)
        with S3Server() as s3:
            plane = self.start_plane(max_body=limit)
            self.start_worker(plane, worker={"body_bytes_max": limit, "inline_chars_max": 10_000}, env=s3.environment())
            job = self.finish(plane, tone(id="a/b c", duration_ms=60000))
            output = job.final["output"]
            self.assertEqual(output["audio_url"], output["audio"]["url"])
            self.assertNotIn("base64", output["audio"])
            with urllib.request.urlopen(output["audio_url"], timeout=TIMEOUT_S) as answer:
                data = answer.read()
            self.assertEqual(hashlib.sha256(data).hexdigest(), output["audio"]["sha256"])
            self.assertIn("base64", self.finish(plane, tone()).final["output"]["audio"])
            s3.faults.extend(["403"] * 20)
            job = self.finish(plane, tone(duration_ms=60000), "FAILED")
            self.assertEqual(self.report(job)["error_type"], "StorageFailed")

    def test_case_28_bodies_are_always_json(self):
        """The plane parses every body strictly; what is not JSON in UTF-8 is a violation."""
        plane = self.start_plane()
        self.start_worker(plane, {"model_type": "tone"}, {"model_type": "faulty", "plugin": "faulty.so"},
                          default_model="tone", worker={"progress_s": 0.05})
        for fault in ("write_nan", "mark_time_nan", "mark_not_utf8", "progress_nan", "warning_not_utf8",
                      "message_not_utf8"):
            with self.subTest(fault):
                job = plane.wait(plane.submit({"input": {"text": "a b", "model_type": "faulty",
                                                         "options": {"fault": fault}}}), TIMEOUT_S)
                self.assertEqual(len(job.finals), 1)
                if job.state == "FAILED":
                    self.report(job)
        for name, body in {"nan": b'{"id": "nan", "input": {"text": "x", "options": {"amplitude": NaN}}}',
                           "utf8": b'{"id": "utf8", "input": {"text": "\xff", "\xfe": 1}}',
                           "controls": b'{"id": "controls", "input": {"text": "x", "voice": "\\u0001\\u001b\\u007f"}}',
                           "name": b'{"id": "name", "input": {"text": "x", "\\ud83d": "\\u0000"}}'}.items():
            with self.subTest(name):
                plane.submit(body)
                self.report(plane.wait(name, TIMEOUT_S))
        self.finish(plane, tone())

    def test_case_29_request_ids_of_50_jobs_at_once(self):
        plane = self.start_plane(hold_s=0.5)
        ids = plane.submit_many([tone(stream=i % 2 == 0, sleep_ms=300, duration_ms=200) for i in range(50)])
        self.start_worker(plane, concurrency=50, worker={"progress_s": 0.1}, urls={"ping_interval_ms": 100})
        for job_id in ids:
            self.assertEqual(plane.wait(job_id, TIMEOUT_S).state, "COMPLETED")
        plane.wait_for(lambda: all(plane.job(job_id).acked for job_id in ids), TIMEOUT_S)
        with plane.hold():
            self.assertGreater(max(len(ping.ids) for ping in plane.pings), 25)
            for request in plane.requests:
                self.assertEqual(request.header("X-Request-ID"), request.job_id)
            self.assertEqual({request.route for request in plane.requests} & {"take", "take_batch", "ping", "stop"},
                             {request.route for request in plane.requests} - {"done", "stream"})
            self.assertEqual({request.job_id for request in plane.on("done") if request.final}, set(ids))


if __name__ == "__main__":
    unittest.main()
