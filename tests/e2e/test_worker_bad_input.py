"""Queue mode of `voxhost worker`: what is wrong with jobs, manifest and environment, models of every kind at the same
time, and what must not be seen or reached from outside."""

import http.server
import json
import pathlib
import threading
import unittest
import wave

from common import run
from control_plane import KEY, Answer
from worker_common import TIMEOUT_S, WorkerCase, tone

SECRET = "a-text-that-nobody-else-may-read"


class Jobs(WorkerCase):
    def fails(self, plane, job, code, field=None, words=()):
        """Submits a job that must fail so; the report."""
        done = plane.wait(plane.submit(job), TIMEOUT_S)
        self.assertEqual(done.state, "FAILED", str(done.final)[:1000])
        self.assertEqual(len(done.finals), 1)
        report = json.loads(done.final["error"])
        self.assertEqual((report["error_code"], report.get("error_field")), (code, field), report)
        for word in words:
            self.assertIn(word, report["error_message"])
        self.assertLess(len(done.final["error"]), 4000)
        return report

    def works(self, plane, job=None):
        done = plane.wait(plane.submit(job or tone()), TIMEOUT_S)
        self.assertEqual(done.state, "COMPLETED", str(done.final)[:1000])
        return done

    def test_wrong_inputs_are_answered(self):
        plane = self.start_plane()
        self.start_worker(plane)
        wrong = [
            ({"id": "none"}, "invalid_request", "input", ()),
            ({"id": "null", "input": None}, "invalid_request", "input", ()),
            ({"id": "text", "input": "text"}, "invalid_request", None, ("object",)),
            ({"id": "list", "input": [tone()["input"]]}, "invalid_request", None, ("object",)),
            ({"id": "number", "input": 17}, "invalid_request", None, ("object",)),
            ({"id": "empty", "input": {}}, "invalid_request", "text", ()),
            (tone(model_type="nobody"), "unknown_model", "model_type", ("nobody", "tone")),
            (tone(model_type=5), "invalid_request", "model_type", ("5",)),
            (tone(sleep_m=5), "invalid_request", "options.sleep_m", ("sleep_ms",)),
            (tone(sleep_ms="fast"), "invalid_request", "options.sleep_ms", ("fast",)),
            (tone(sleep_ms=-1), "invalid_request", "options.sleep_ms", ("-1",)),
            ({"input": {"text": "x", "txet": "y"}}, "invalid_request", "txet", ("text",)),
            (tone(format="mp4"), "invalid_request", "format", ("mp4", "mp3")),
            (tone(seed=1.5), "invalid_request", "seed", ("1.5",)),
            (tone(text="x" * 1000001), "invalid_request", "text", ("1000000",)),
            (tone(stream="yes"), "invalid_request", "stream", ("yes",)),
        ]
        for job, code, field, words in wrong:
            with self.subTest(str(job)[:100]):
                self.fails(plane, job, code, field, words)
        self.works(plane)

    def test_unreadable_jobs_are_answered(self):
        """Whatever a job holds that a strict reader refuses, as long as it ends and has an id."""
        plane = self.start_plane()
        self.start_worker(plane, concurrency=4)  # in batches too
        deep = b"[" * 100000 + b"]" * 100000
        inputs = {
            "utf8": b'{"text": "\xff\xfe\x80"}', "overlong": b'{"text": "\xc0\xaf"}', "half": b'{"text": "\xed\xa0\x80"}',
            "nul": b'{"text": "a\\u0000b"}', "raw-nul": b'{"text": "a\0b"}', "tab": b'{"text": "a\tb"}',
            "surrogate": b'{"text": "\\udc00\\ud800"}', "twice": b'{"text": "a", "te\\u0078t": "b"}',
            "deep": b'{"text": "x", "options": ' + deep + b"}", "deep-objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
            "many": b"[" + b"1," * 1000000 + b"1]", "nan": b'{"text": "x", "speed": NaN}',
            "huge-number": b'{"text": "x", "speed": 1e999}', "escape": b'{"text": "\\x41"}', "octal": b'{"seed": 017}',
        }
        jobs = {name: b'{"webhook": null, "id": "%s", "input": %s}' % (name.encode(), value)
                for name, value in inputs.items()}
        jobs["id-last"] = b'{"input": {"text": "\\ud800", "id": "inner"}, "x": ["id", "id"], "id" :\n"id-last" }'
        jobs["a\"\\\u00fcb"] = '{"id": "a\\"\\\\\\u00fcb", "input": {"text": "\\ud800"}}'.encode()
        for name, body in jobs.items():
            plane.submit_as(name, body)
        plane.submit(tone(id="good"))
        for name in jobs:
            with self.subTest(name):
                job = plane.wait(name, TIMEOUT_S)
                self.assertEqual(job.state, "FAILED", str(job.final)[:500])
                report = json.loads(job.final["error"])
                self.assertEqual(report["error_code"], "invalid_request")
                self.assertEqual(len(job.finals), 1)
        self.assertEqual(plane.wait("good", TIMEOUT_S).state, "COMPLETED")

    def test_input_of_20_mb(self):
        plane = self.start_plane(ping_grace_s=60)  # a sanitizer on a loaded machine reads them for seconds
        worker = self.start_worker(plane)
        self.fails(plane, tone(text="x" * 20_000_000), "invalid_request", "text", ("20000000", "1000000"))
        self.fails(plane, tone(voice="data:audio/wav;base64," + "A" * 20_000_000), "invalid_request", "voice")
        self.fails(plane, {"input": {"text": "x", "unknown": "y" * 20_000_000}}, "invalid_request", "unknown")
        self.works(plane)
        self.assertLess(len(worker.log), 20000)

    def test_ids_of_every_kind(self):
        plane = self.start_plane()
        self.start_worker(plane)
        for job_id in ("../../etc/passwd", ".hidden", "a/b", "x" * 500, "local_test", "%2e%2e", "a?b=c#d", "\u202e\u00a0 ",
                       "..", "-", "'\"<>{}"):
            with self.subTest(job_id):
                self.assertEqual(self.works(plane, tone(id=job_id)).final["output"]["id"], job_id)
        plane.submit_many([b'{"id": "%s", "input": {"text": "x"}}' % (b"x" * 600), b'{"id": {}, "input": {"text": "x"}}',
                           b'{"id": "\\u0000", "input": {"text": "x"}}'])
        self.works(plane)

    def test_models_run_at_the_same_time(self):
        plane = self.start_plane()
        self.start_worker(plane, {"model_type": "a", "sessions": 2}, {"model_type": "b", "aliases": ["bee"]},
                          {"model_type": "c"})
        ids = plane.submit_many([tone(model_type=model, duration_ms=1000, sleep_ms=60000)
                                 for model in ("a", "BEE", "a", "c")])
        # Every one of them speaks, none waits for another.
        plane.wait_for(lambda: all(plane.job(job_id).progress for job_id in ids), TIMEOUT_S)
        for job_id in ids:
            plane.cancel(job_id)
        self.works(plane, tone(model_type="b"))

    def test_sessions_limit_one_model_and_concurrency_limits_all(self):
        """By the least time that the jobs need, 0.2 s each: 6 in 2 sessions of a, or 9 in 2 slots."""
        for top, slots, least_s in (({}, 3, 0.6), ({"host": {"concurrency": 2}}, 2, 0.9)):
            with self.subTest(slots):
                plane = self.start_plane()
                self.start_worker(plane, {"model_type": "a", "sessions": 2}, {"model_type": "b"}, default_model="a", **top)
                ids = plane.submit_many([tone(model_type=name, sleep_ms=200) for name in "aabaabbaa"])
                plane.wait_for(lambda plane=plane: plane.states["COMPLETED"] == 9, TIMEOUT_S)
                self.assertEqual(plane.on("take_batch")[0].param("batch_size"), str(slots))
                jobs = [plane.job(job_id) for job_id in ids]
                self.assertGreaterEqual(max(job.finished for job in jobs) - jobs[0].taken, least_s)

    def test_job_waits_for_a_model_that_loads(self):
        plane = self.start_plane()
        # Of two plugins: one that loads opens no sessions meanwhile, whichever model they are for.
        self.start_worker(plane, {"model_type": "quick", "plugin": "faulty.so"},
                          {"model_type": "slow", "options": {"load_ms": 1500}}, default_model="quick")
        slow, quick = plane.submit_many([tone(model_type="slow"), {"input": {"text": "x", "model_type": "quick"}}])
        quick, slow = plane.wait(quick, TIMEOUT_S), plane.wait(slow, TIMEOUT_S)
        self.assertEqual((quick.state, slow.state), ("COMPLETED", "COMPLETED"))
        self.assertLess(quick.finished, slow.finished)
        self.assertGreater(slow.final["output"]["timings_ms"]["load"], 300)

    def test_failed_model_gives_its_reason(self):
        plane = self.start_plane()
        self.start_worker(plane, {"model_type": "good"},
                          {"model_type": "broken", "required": False, "options": {"fail": True}},
                          {"model_type": "late", "required": False, "options": {"load_ms": 500, "fail": True}},
                          {"model_type": "absent", "required": False, "plugin": "absent.so"}, default_model="good")
        for model in ("late", "broken"):  # one that fails while the job waits for it, one that failed before
            self.fails(plane, tone(model_type=model), "model_failed", "model_type", (model, "options.fail is true"))
        self.fails(plane, tone(model_type="absent"), "model_failed", "model_type", ("absent.so",))
        self.works(plane)


class Setup(WorkerCase):
    def refused(self, *words, manifest=None, lacks=(), **variables):
        """Starts a worker that must end with code 2 and name all the words."""
        plane = self.start_plane()
        env = {**plane.environment(), **variables}
        env = {name: value for name, value in env.items() if value is not None}
        done = run("worker", "--manifest", manifest or self.manifest(), env=env, timeout=TIMEOUT_S)
        self.assert_exit(done, 2)
        for word in words:
            self.assertIn(word, done.stderr)
        for word in lacks:
            self.assertNotIn(word, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(plane.requests, [])
        return done.stderr

    def test_wrong_variables_are_named(self):
        url = "http://127.0.0.1/$ID?token=hidden"
        for name in ("RUNPOD_WEBHOOK_GET_JOB", "RUNPOD_WEBHOOK_POST_OUTPUT", "RUNPOD_WEBHOOK_POST_STREAM",
                     "RUNPOD_WEBHOOK_PING"):
            for value in ("ftp://host/$ID?token=hidden", "/job-take/$ID?token=hidden", "file:///etc/hidden", "http://",
                          "hidden", "http://host:99999/hidden", url + "\n", url + "\x01", "http:/hidden/x"):
                with self.subTest(name, value=value):
                    self.refused(name, **{name: value}, lacks=["hidden"])
        for name, value in (("RUNPOD_AI_API_KEY", "hidden\r\nX-Evil: 1"), ("RUNPOD_AI_API_KEY", "hidden\x7f"),
                            ("RUNPOD_PING_INTERVAL", "often"), ("RUNPOD_PING_INTERVAL", "-5"),
                            ("RUNPOD_PING_INTERVAL", "1e3"), ("RUNPOD_POD_ID", "a\nb"), ("RUNPOD_POD_ID", "x" * 5000),
                            ("RUNPOD_REALTIME_PORT", "99999")):
            with self.subTest(name, value=value[:20]):
                self.refused(name, **{name: value}, lacks=["hidden"])
        self.refused("RUNPOD_WEBHOOK_POST_OUTPUT", RUNPOD_WEBHOOK_POST_OUTPUT=None)
        text = self.refused("RUNPOD_WEBHOOK_GET_JOB", "RUNPOD_WEBHOOK_PING", "RUNPOD_AI_API_KEY", "RUNPOD_PING_INTERVAL",
                            RUNPOD_WEBHOOK_GET_JOB="ftp://x", RUNPOD_WEBHOOK_PING="x", RUNPOD_AI_API_KEY="\x01",
                            RUNPOD_PING_INTERVAL="x")
        self.assertEqual(len(text.splitlines()), 4)  # all at once

    def test_wrong_manifests(self):
        self.refused("absent.yaml", manifest=self.dir / "absent.yaml")
        self.refused("bad.yaml", manifest=self.write("bad.yaml", "version: [1"))
        self.refused("manifest.yaml", "worker.inline_char_max", "inline_chars_max",
                     manifest=self.manifest(worker={"inline_char_max": 1}))
        self.refused("storage", manifest=self.manifest(storage={"endpoint": "ftp://host", "bucket": "b"}))

    def test_optional_variables_may_be_missing(self):
        for missing in ("RUNPOD_AI_API_KEY", "RUNPOD_POD_ID", "RUNPOD_WEBHOOK_PING", "RUNPOD_WEBHOOK_POST_STREAM",
                        "RUNPOD_PING_INTERVAL", "RUNPOD_ENDPOINT_ID"):
            with self.subTest(missing):
                plane = self.start_plane()
                worker = self.start_worker(plane, env={missing: None}, wait=missing != "RUNPOD_AI_API_KEY")
                if missing == "RUNPOD_AI_API_KEY":  # this plane wants one; the worker goes on and says what is wrong
                    line = worker.wait_log(event="no job could be asked for")
                    self.assertIn("401", line["reason"])
                    plane.violations.clear()
                else:
                    done = plane.wait(plane.submit(tone(stream=True)), TIMEOUT_S)
                    self.assertEqual(done.state, "COMPLETED")
                no_pings = missing in ("RUNPOD_AI_API_KEY", "RUNPOD_POD_ID", "RUNPOD_WEBHOOK_PING")
                if no_pings:
                    self.assertEqual(plane.pings, [])
                else:
                    plane.wait_for(lambda: plane.pings, TIMEOUT_S, "a ping")
                expected = 1 if no_pings else 0
                self.assertEqual(len(worker.wait_logs(expected, component="worker", level="warn")), expected)
                worker.stop()
                if missing == "RUNPOD_AI_API_KEY":
                    plane.violations.clear()


class Voices(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:%d/voice.wav" % self.server.server_port)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.recording)))
        self.end_headers()
        self.wfile.write(self.server.recording)

    def log_message(self, *args):
        pass


class Security(WorkerCase):
    def seen_of(self, worker):
        """What others see of the process."""
        proc = pathlib.Path(f"/proc/{worker.pid}")
        names = [proc / "cmdline", proc / "comm", *proc.glob("task/*/comm")]
        return worker.log + "".join(name.read_bytes().decode("latin-1") for name in names)

    def test_key_and_payload_are_seen_nowhere(self):
        plane = self.start_plane()
        plane.script("done", [Answer(500), Answer(400)])
        plane.script("take", [Answer(500), Answer(200, "no json")])
        plane.script("ping", [Answer(500), Answer(drop="before")])
        worker = self.start_worker(plane, host={"log_level": "debug"}, worker={"progress_s": 0.1},
                                   urls={"query": "token=query-token", "ping_interval_ms": 200})
        jobs = [tone(text=SECRET, seed=1), tone(text=SECRET, stream=True), tone(text="x", voice=SECRET),
                tone(text="x", format=SECRET), tone(text="x", model_type=SECRET), {"input": SECRET},
                tone(text="x", sleep_ms=SECRET), tone(text="x", **{SECRET: 1}), {"input": {"text": "x", SECRET: 1}},
                tone(text="x", voice=f"http://user:{SECRET}@127.0.0.1/{SECRET}?{SECRET}"),
                {**tone(), "s3Config": {"accessSecret": SECRET}}, {**tone(), "webhook": f"http://127.0.0.1/{SECRET}"},
                b'{"id": "unreadable", "input": {"text": "' + SECRET.encode() + b'\\ud800"}}',
                b'{"input": {"text": "' + SECRET.encode() + b'"}}', b'{"id": "' + SECRET.encode()]
        audio = None
        for number, job in enumerate(jobs):
            job_id = plane.submit(job)
            if job_id:
                done = plane.wait(job_id, TIMEOUT_S)
                self.assertNotIn(plane.key, json.dumps(done.final))
                if number == 0 and "output" in done.final and "audio" in done.final["output"]:
                    audio = done.final["output"]["audio"]["base64"]
        done = plane.wait(plane.submit(tone(text=SECRET)), TIMEOUT_S)
        audio = audio or done.final["output"]["audio"]["base64"]
        seen = self.seen_of(worker)
        worker.stop()
        seen += worker.log
        self.assertIn("job finished", seen)
        for name, secret in (("key", plane.key), ("part of the key", KEY[4:]), ("payload", SECRET),
                             ("token in the URL", "query-token"), ("audio", audio[:200])):
            self.assertNotIn(secret, seen, name)
        for request in plane.requests:
            self.assertNotIn(plane.key, request.target)

    def test_voice_urls_lead_nowhere_inside(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Voices)
        server.paths = []
        path = self.dir / "ref.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, 24000, 0, "NONE", ""))
            out.writeframes(bytes(range(256)) * 200)
        server.recording = path.read_bytes()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        port = server.server_port
        urls = [f"http://127.0.0.1:{port}/voice.wav", f"http://localhost:{port}/voice.wav", f"http://[::1]:{port}/voice.wav",
                f"http://0x7f.1:{port}/voice.wav", f"http://2130706433:{port}/v.wav", f"http://[::ffff:127.0.0.1]:{port}/v",
                "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://100.64.0.1/", "http://0.0.0.0/",
                "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"]
        plane = self.start_plane()
        self.start_worker(plane)
        for url in urls:
            with self.subTest(url):
                done = plane.wait(plane.submit(tone(voice=url)), TIMEOUT_S)
                self.assertEqual(done.state, "FAILED")
                report = json.loads(done.final["error"])
                self.assertIn(report["error_code"], ("invalid_request", "voice_not_found", "unsupported"))
                self.assertEqual(report["error_field"], "voice")
        self.assertEqual(server.paths, [])
        plane = self.start_plane()
        self.start_worker(plane, host={"fetch_private": True})
        for path in ("/voice.wav?a=b", "/away"):
            done = plane.wait(plane.submit(tone(voice=f"http://127.0.0.1:{port}{path}")), TIMEOUT_S)
            self.assertEqual(done.state, "COMPLETED", str(done.final)[:1000])
        self.assertEqual(server.paths, ["/voice.wav?a=b", "/away", "/voice.wav"])


if __name__ == "__main__":
    unittest.main()
