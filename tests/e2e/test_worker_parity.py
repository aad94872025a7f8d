"""The same control plane drives the Python SDK's worker and `voxhost worker`; what goes over the wire must be equal.

Needs a Python with the SDK (sdk-requirements.txt), named by VOXHOST_SDK_PYTHON. Every test runs one scenario with both
and compares what was seen. INTENDED lists all that differs on purpose; each entry is tested as well.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import unittest

from common import DATA, SANITIZE, VOXHOST, Case, environment
from control_plane import Answer, ControlPlane

PYTHON = os.environ.get("VOXHOST_SDK_PYTHON", "")
TIMEOUT_S = 60  # for one event, on a loaded machine

# What differs, and why. The name is the key in what a scenario has seen.
INTENDED = {
    "take.Content-Type": ("application/json", None),  # a GET has no body
    "stop.Content-Type": ("application/json", None),
    "take.X-Request-ID after a job": (True, False),  # left over in the SDK's session: of another job
    "stop.X-Request-ID after a job": (True, False),
    "posts after 429": (1, 2),  # the SDK drops the result
    "posts after a reset": (1, 2),
    "error_type": ("<class 'ValueError'>", "UnknownModel"),  # a stable word instead of a Python type
    "members of a failed result": (["error"], ["output", "error"]),  # the output says so in the words of our results
    "members of a failed stream": (["error"], ["output", "error"]),
    "error of a failed stream is a report": (False, True),  # the SDK sends plain text here
    "take target without a query": (
        "/v2/ep/job-take/pod-1&job_in_progress=0", "/v2/ep/job-take/pod-1?job_in_progress=0"),
    "take target with an empty query": (
        "/v2/ep/job-take/pod-1?&job_in_progress=0", "/v2/ep/job-take/pod-1?job_in_progress=0"),
    "done target without a query": (
        "/v2/ep/job-done/pod-1/JOB&isStream=false", "/v2/ep/job-done/pod-1/JOB?isStream=false"),
    "done target with an empty query": (
        "/v2/ep/job-done/pod-1/JOB?&isStream=false", "/v2/ep/job-done/pod-1/JOB?isStream=false"),
    "take target with $RUNPOD_POD_ID": (
        "/v2/ep/job-take/$RUNPOD_POD_ID?gpu=NVIDIA+RTX+A5000&job_in_progress=0",  # the SDK leaves it
        "/v2/ep/job-take/pod-1?gpu=NVIDIA+RTX+A5000&job_in_progress=0"),
    "path of an id with a percent sign": ("a%20bA", "a%20b%2541"),  # the SDK's URL library decodes it
}
# What the control plane has against the SDK; see INTENDED. Against voxhost it must have nothing.
SDK_VIOLATIONS = re.compile(r"X-Request-ID|a parameter in the path|a placeholder was not replaced"
                            r"|never handed out|job .* is in progress and not in the ping")


class Sdk:
    jobs = {
        "good": {"return": {"text": "grün", "list": [1, None]}},
        "bad": {"raise": "kaputt"},
        "slow": {"sleep": 3600, "return": 1},
        "progress": {"progress": [0.25], "sleep": 1, "return": 1},
        "stream": {"yield": ["a", {"b": "ü"}, 3]},
        "bad_stream": {"yield": ["a"], "raise": "kaputt"},
        "refused_stream": {"raise": "kaputt"},
    }

    def start(self, case, env, concurrency=1, stream=False, aggregate=False, refresh=False):
        options = {"concurrency": concurrency, "stream": stream, "aggregate": aggregate, "refresh": refresh}
        env = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true", **env, "HOME": str(case.dir)}
        return [PYTHON, "-B", str(DATA / "sdk_handler.py"), json.dumps(options)], env


class Native:
    jobs = {
        "good": {"text": "grün", "model_type": "tone", "options": {"duration_ms": 10}},
        "bad": {"text": "x", "model_type": "nobody"},
        "slow": {"text": "x", "model_type": "tone", "options": {"duration_ms": 1000, "sleep_ms": 3600000}},
        "progress": {"text": "x", "model_type": "tone", "options": {"duration_ms": 1000, "sleep_ms": 2000}},
        "stream": {"text": "x", "model_type": "tone", "stream": True, "options": {"duration_ms": 2000}},
        "bad_stream": {"text": "x", "model_type": "faulty", "stream": True, "options": {"fault": "fails_after_audio"}},
        "refused_stream": {"text": "x", "model_type": "nobody", "stream": True},
    }

    def start(self, case, env, concurrency=1, stream=False, aggregate=False, refresh=False):
        worker = {"progress_s": 0.1, "stream_aggregate": aggregate, "refresh": refresh}
        models = [{"model_type": "tone", "sessions": concurrency}]
        models += [{"model_type": "faulty", "plugin": "faulty.so"}] if stream else []
        manifest = case.manifest(*models, default_model="tone", worker=worker)
        return [VOXHOST, "worker", "--manifest", str(manifest)], env


@unittest.skipIf(SANITIZE, "parity is compared once, without sanitizers: the SDK takes its time")
@unittest.skipUnless(os.path.exists(PYTHON), "VOXHOST_SDK_PYTHON is no Python with sdk-requirements.txt: ./dev setup makes one")
class Parity(Case):
    @contextlib.contextmanager
    def worker(self, kind, plane_options=None, url_options=None, **options):
        """(plane, process) of a running worker; at the end the plane must be content with it."""
        with ControlPlane(**{"hold_s": 1, "ping_grace_s": 3, **(plane_options or {})}) as plane:
            env = plane.environment(**{"ping_interval_ms": 1000, **(url_options or {})})
            command, env = kind.start(self, env, **options)
            with open(self.dir / "log", "w+b") as log:
                process = subprocess.Popen(command, env=environment(**env), stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, cwd=self.dir, start_new_session=True)
                try:
                    plane.wait_for(lambda: plane.counts["take"] + plane.counts["take_batch"], TIMEOUT_S, "a first take")
                    yield plane, process
                except Exception as error:
                    raise AssertionError(f"{type(kind).__name__}: {error}\n{self.log()[-3000:]}") from error
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)  # the SDK's pings are a process of their own
                    process.wait()
            wrong = [line for line in plane.violations
                     if isinstance(kind, Native) or not SDK_VIOLATIONS.search(line)]
            self.assertEqual(wrong, [], type(kind).__name__)

    def log(self):
        return (self.dir / "log").read_text(encoding="utf-8", errors="replace")

    def submit(self, plane, kind, name, **members):
        return plane.submit({"input": kind.jobs[name], **members})

    def finish(self, plane, kind, name, **members):
        return plane.wait(self.submit(plane, kind, name, **members), TIMEOUT_S)

    def seen(self, request):
        """What of a request must be equal; a job's id is replaced by JOB."""
        job = request.job_id or "no job"
        names = ("Authorization", "Content-Type", "charset", "Accept", "Accept-Encoding", "Transfer-Encoding", "Expect")
        seen = {f"{request.route}.{name}": request.header(name) for name in names}
        seen[request.route + ".target"] = f"{request.method} {request.target.replace(job, 'JOB')}"
        if request.method == "POST":
            seen[request.route + ".X-Request-ID is the job"] = request.header("X-Request-ID") == job
            seen[request.route + ".Content-Length"] = request.header("Content-Length") == str(len(request.body))
            seen[request.route + ".escapes"] = re.search(rb"(?<!\\)\\u", request.body) is not None
        return seen

    def compare(self, scenario):
        """Runs the scenario with both; equal but for INTENDED."""
        sdk, native = scenario(Sdk()), scenario(Native())
        self.assertEqual(sorted(sdk), sorted(native))
        for name in sdk:
            if name in INTENDED:
                self.assertEqual((sdk[name], native[name]), INTENDED[name], name)
                del native[name]
        self.assertEqual({name: sdk[name] for name in native}, native)

    def test_a_job_from_take_to_result(self):
        def scenario(kind):
            with self.worker(kind) as (plane, _):
                seen = self.seen(plane.on("take")[0])
                seen.update(self.seen(plane.wait_for(lambda: plane.on("ping"), TIMEOUT_S, "a ping without a job")[0]))
                job = self.finish(plane, kind, "good")
                seen.update(self.seen(plane.on("done")[0]))
                seen["members"], seen["state"] = list(job.final), job.state
                plane.wait_for(lambda: plane.counts["stop"] > 1 and plane.on("take", "stop")[-1].begun > job.acked + 1,
                               TIMEOUT_S, "polls after the job")
                for route in ("take", "stop"):
                    seen[route + ".X-Request-ID after a job"] = plane.on(route)[-1].header("X-Request-ID") is not None
                seen.update(self.seen(plane.on("stop")[0]))
                seen["posts"] = plane.counts["done"]
                return seen

        self.compare(scenario)

    def test_a_failed_job(self):
        def scenario(kind):
            with self.worker(kind, url_options={"RUNPOD_POD_HOSTNAME": "pod-1-host"}) as (plane, _):
                job = self.finish(plane, kind, "bad")
                seen = self.seen(plane.on("done")[0])
                report = json.loads(job.final["error"])
                seen["members of a failed result"], seen["state"] = list(job.final), job.state
                seen["error_type"] = report.pop("error_type")
                texts = [report.pop(name) for name in ("error_message", "error_traceback")]
                seen["error texts"] = [isinstance(text, str) and text != "" for text in texts]
                for name in ("hostname", "worker_id", "runpod_version"):
                    seen["report." + name] = report.pop(name)
                return seen

        self.compare(scenario)

    def test_progress(self):
        def scenario(kind):
            with self.worker(kind) as (plane, _):
                job = self.finish(plane, kind, "progress")
                seen = self.seen(plane.on("done")[0])
                seen["members"], seen["status"] = list(job.progress[0]), job.progress[0]["status"]
                seen["finals"] = len(job.finals)
                return seen

        self.compare(scenario)

    def test_a_stream(self):
        def scenario(kind):
            seen = {}
            for aggregate in (False, True):
                with self.worker(kind, stream=True, aggregate=aggregate) as (plane, _):
                    job = self.finish(plane, kind, "stream")
                    chunks, final = plane.on("stream"), plane.on("done")
                    self.assertGreater(len(chunks), 1)
                    for request in chunks:
                        seen.update(self.seen(request))
                        self.assertLess(request.ended, final[0].begun)
                    seen.update(self.seen(final[-1]))
                    seen["members of chunks"] = {tuple(chunk) for chunk in job.chunks}
                    seen[f"members, aggregate {aggregate}"] = list(job.final)
                    outputs = [chunk["output"] for chunk in job.chunks]
                    for name, value in (("nothing", []), ("all chunks", outputs)):
                        seen[f"output is {name}, aggregate {aggregate}"] = job.final["output"] == value
            return seen

        self.compare(scenario)

    def test_a_failed_stream(self):
        self.failed_stream("bad_stream")

    def test_a_stream_that_is_refused_before_its_model_is_asked(self):
        self.failed_stream("refused_stream")

    def failed_stream(self, name):
        def scenario(kind):
            with self.worker(kind, stream=True) as (plane, _):
                job = self.finish(plane, kind, name)
                seen = self.seen(plane.on("done")[-1])
                seen["chunks"] = len(job.chunks) > 0 if name == "bad_stream" else None
                seen["members of a failed stream"], seen["state"] = list(job.final), job.state
                seen["error of a failed stream is a report"] = job.final["error"].startswith("{")
                return seen

        self.compare(scenario)

    def test_forms_of_take_and_ping_as_slots_fill(self):
        def scenario(kind):
            with self.worker(kind, concurrency=3) as (plane, _):
                def next_take():
                    """A take that begins from now on; the first may be of another concurrency."""
                    count = len(plane.on("take", "take_batch"))
                    return plane.wait_for(lambda: plane.on("take", "take_batch")[count + 1:], TIMEOUT_S)[0].target

                seen = {"take with 3 free": next_take()}
                ids = []
                for free in (2, 1):
                    ids.append(self.submit(plane, kind, "slow"))
                    plane.wait_for(lambda: plane.job(ids[-1]).delivered, TIMEOUT_S)
                    seen[f"take with {free} free"] = next_take()
                    count = len(plane.pings)
                    plane.wait_for(lambda: len(plane.pings) > count + 1, TIMEOUT_S)
                    target = plane.on("ping")[-1].target
                    self.assertEqual(sorted(plane.pings[-1].ids), sorted(ids))
                    seen[f"ping with {free} free"] = re.sub("|".join(map(re.escape, ids)), "JOB", target)
                return seen

        self.compare(scenario)

    def test_a_cancelled_job_is_never_heard_of_again(self):
        def scenario(kind):
            with self.worker(kind) as (plane, _):
                job = self.submit(plane, kind, "slow")
                plane.wait_for(lambda: plane.job(job).delivered, TIMEOUT_S)
                time.sleep(0.5)  # the SDK can only stop what it has started
                plane.cancel(job)
                begun = time.monotonic()
                state = self.finish(plane, kind, "good").state
                pings = plane.wait_for(lambda: [ping for ping in plane.pings if ping.time > begun + 2], TIMEOUT_S)
                late = [request for request in plane.on("done", "stream")
                        if request.job_id == job and request.begun > begun + 0.5]
                return {"next": state, "posts": len(late), "pinged": job in pings[0].ids}

        self.compare(scenario)

    def test_a_result_is_sent_again_after_server_errors(self):
        def scenario(kind):
            with self.worker(kind) as (plane, _):
                plane.script("done", [Answer(status=500), Answer(status=502)])
                job = self.finish(plane, kind, "good")
                posts = plane.on("done")
                seen = self.seen(posts[-1])
                seen["posts"], seen["bodies"] = len(posts), len({post.body for post in posts})
                seen["state"] = job.state
                return seen

        self.compare(scenario)

    def test_a_result_is_not_sent_again_when_the_job_is_unknown(self):
        def scenario(kind):
            with self.worker(kind) as (plane, _):
                plane.script("done", [Answer(status=404)])
                first = self.submit(plane, kind, "good")
                plane.wait_for(lambda: plane.counts["done"], TIMEOUT_S)
                second = self.finish(plane, kind, "good")
                return {"posts": [request.job_id for request in plane.on("done")].count(first), "state": second.state}

        self.compare(scenario)

    def test_results_that_the_sdk_drops(self):
        def scenario(kind):
            seen = {}
            for name, answer in (("429", Answer(status=429, headers=(("Retry-After", "1"),))),
                                 ("a reset", Answer(reset=True))):
                with self.worker(kind) as (plane, _):
                    plane.script("done", [answer])
                    job = self.submit(plane, kind, "good")
                    plane.wait_for(lambda: plane.counts["done"], TIMEOUT_S)
                    if isinstance(kind, Native):
                        plane.wait(job, TIMEOUT_S)
                    self.finish(plane, kind, "good")
                    seen["posts after " + name] = [request.job_id for request in plane.on("done")].count(job)
            return seen

        self.compare(scenario)

    def test_odd_answers_to_take(self):
        job = b'{"id":"%d","input":%s}'
        typed = (("Content-Type", "Application/JSON; charset=UTF-8"),)

        def scenario(kind):
            good = json.dumps(kind.jobs["good"]).encode()
            with self.worker(kind) as (plane, _):
                plane.script("take", [
                    Answer(status=204), Answer(status=400, body="flash boot"),
                    Answer(status=200, body="", headers=typed),
                    Answer(status=200, body="<html>", headers=(("Content-Type", "text/html"),)),
                    Answer(status=200, body="null"), Answer(status=200, body="[]"), Answer(status=200, body="7"),
                    Answer(status=200, body=b'{"id":'), Answer(status=401), Answer(status=404), Answer(status=500),
                    Answer(reset=True), Answer(drop="before"), Answer(truncate=1, status=200, body=job % (0, good)),
                    Answer(headers=typed), Answer(gzip=True), Answer(chunked=True)])
                plane.wait_for(lambda: plane.script_left("take") <= 3, 5 * TIMEOUT_S, "an end of the bad answers")
                plane.submit_many([job % (i, good) for i in range(1, 4)])
                return {i: plane.wait(str(i), TIMEOUT_S).state for i in range(1, 4)}

        self.compare(scenario)

    def test_refresh_worker_ends_the_worker_after_a_job(self):
        def scenario(kind):
            with self.worker(kind, refresh=True) as (plane, process):
                job = self.finish(plane, kind, "good")
                return {"final": list(job.final), "stopPod": job.final.get("stopPod"), "exit": process.wait(TIMEOUT_S)}

        self.compare(scenario)

    def test_sigterm_ends_an_idle_worker_with_0(self):
        def scenario(kind):
            with self.worker(kind) as (plane, process):
                self.finish(plane, kind, "good")
                process.send_signal(signal.SIGTERM)
                return {"exit": process.wait(TIMEOUT_S)}

        self.compare(scenario)

    def test_urls_that_the_sdk_gets_wrong(self):
        def scenario(kind):
            seen = {}
            for name, options in (("without a query", {"query": None}), ("with an empty query", {"query": ""}),
                                  ("with $RUNPOD_POD_ID", {"worker": "$RUNPOD_POD_ID"})):
                with self.worker(kind, url_options=options) as (plane, _):
                    seen["take target " + name] = plane.on("take")[0].target
                    if name != "with $RUNPOD_POD_ID":
                        job = self.finish(plane, kind, "good")
                        seen["done target " + name] = plane.on("done")[0].target.replace(job.id, "JOB")
            with self.worker(kind) as (plane, _):
                self.submit(plane, kind, "good", id="a b%41")
                done = plane.wait_for(lambda: plane.on("done"), TIMEOUT_S)[0]
                seen["path of an id with a percent sign"] = pathlib.PurePosixPath(done.path).name
            return seen

        self.compare(scenario)


if __name__ == "__main__":
    unittest.main()
