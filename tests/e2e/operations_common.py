"""One way to ask a batch, a worker and the local API for the same thing: what the tests of operations share."""

import base64
import json
import urllib.request

from common import BUILD, run
from test_voices import wav
from test_worker_local import ApiCase
from worker_common import TIMEOUT_S

SHORT, LONG = {"duration_ms": 10}, {"duration_ms": 500}  # 524 and 24,044 bytes of wav
LOW, HIGH = (base64.b64encode(wav(hz)).decode() for hz in (150, 600))
TEMPLATE = str(BUILD / "tests" / "conformance" / "conformance_template.so")  # reports no word times
ROOMY = {"inline_chars_max": 1000000}
FIXED_KEYS = "results/{user_id}/{job_id}.{ext}"


class OperationCase(ApiCase):
    FRONTS = ("batch", "worker", "api")

    def begin(self, front, storage=None, worker=None, models=(), **top):
        """Makes self.ask_one(job) answer through a front end; each has a library of its own."""
        self.home = f"{front}-{len(list(self.dir.iterdir()))}"
        self.library = self.dir / self.home / "voices"
        top = {"paths": {"voices": str(self.library), "cache": str(self.dir / self.home / "cache")},
               "host": {"log_level": "debug", "fetch_private": True}, **top}
        if storage:
            top["storage"] = storage
        top["worker"] = {"inline_chars_max": 20000, **(worker or {})}
        models = models or ({"model_type": "tone", "aliases": ["beep"]},)
        self.outs = 0
        if front == "batch":
            manifest = self.manifest(*models, **top)
            self.ask_many = lambda *jobs: self.ask_batch(manifest, jobs)
        elif front == "worker":
            plane = self.plane = self.start_plane(hold_s=5)
            self.start_worker(plane, *models, **top)
            self.ask_many = lambda *jobs: [self.final(plane.wait(plane.submit({"input": job}), TIMEOUT_S).final)
                                           for job in jobs]
        else:
            self.serve(*models, **top)
            self.ask_many = lambda *jobs: [self.final(self.post("/runsync", {"input": job})) for job in jobs]

    def ask_batch(self, manifest, jobs):
        self.outs += 1
        self.out = self.dir / self.home / f"out{self.outs}"
        jobs = [{"id": f"j{i}", **job} for i, job in enumerate(jobs)]
        done = run("batch", "--manifest", manifest, "--jobs", self.jobs(*jobs), "--out", self.out, "--concurrency", "1")
        self.assertIn(done.returncode, (0, 1), done.stderr)
        results = self.by_id(self.out)
        return [results[job["id"]] for job in jobs]

    def final(self, body):
        """The output; of a failure, also what the body says."""
        self.error = body.get("error")
        output = body.get("output") or {}
        if self.error and not output:  # the local API shows the text alone
            try:
                report = json.loads(self.error)
                output = {"status": "error", "error": {"code": report["error_code"], "message": report["error_message"],
                                                       "field": report.get("error_field")}}
            except ValueError:
                output = {"status": "error", "error": {"message": self.error}}
        return output

    def one(self, **job):
        answer, = self.ask_many(job)
        return answer

    def good(self, **job):
        answer = self.one(**job)
        self.assertNotEqual(answer["status"], "error", answer)
        return answer

    def bad(self, code, *words, **job):
        answer = self.one(**job)
        self.assertEqual((answer["status"], answer["error"].get("code")), ("error", code), answer)
        for word in words:
            self.assertIn(word, answer["error"]["message"])
        self.assertNotIn("audio", answer)
        return answer["error"]

    def content(self, file):
        """The bytes of a `file` or an `audio`, wherever they are."""
        if "path" in file:
            return (self.out / file["path"]).read_bytes()
        if "url" in file:
            with urllib.request.urlopen(file["url"], timeout=TIMEOUT_S) as answer:
                return answer.read()
        return base64.b64decode(file["base64"], validate=True)

    def fronts(self, **options):
        """One front end after the other."""
        for front in self.FRONTS:
            self.begin(front, **options)
            yield front
            self.end()

    def end(self):
        for worker in self.workers:
            if worker.process.returncode is None:
                worker.stop()

    def bucket(self, server, **more):
        return {"endpoint": server.endpoint, "bucket": server.bucket, "access_key": server.access_key,
                "secret_key": server.secret_key, **more}
