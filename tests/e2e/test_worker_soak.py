"""`voxhost worker` in queue mode over longer times: logs, a freeze of the process, many jobs under random faults, and
throughput; cases 52 to 55 of the protocol's conformance checklist.

VOXHOST_SOAK_JOBS sets how many jobs the soak runs (default 3000).
"""

import json
import os
import pty
import random
import signal
import subprocess
import time
import unittest

from common import SANITIZE, VOXHOST, environment
from control_plane import Answer
from worker_common import TIMEOUT_S, WorkerCase, tone

SOAK_JOBS = int(os.environ.get("VOXHOST_SOAK_JOBS", "3000"))
SOAK_WARM_UP = 1000
SOAK_RSS_GROWTH_MAX = 6 << 20  # after the warm-up, however many jobs
SOAK_JOBS_PER_S_MIN = 10  # with all faults, on a loaded machine; else the soak has failed
LINE_MAX = 4096  # bytes of a log line
FREEZE_S = 11  # the queue notices a turn that is late by 5 s, and a turn lasts up to 5 s


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Logs(WorkerCase):
    def test_case_52_json_lines_without_secrets(self):
        """Also when everything goes wrong that names URLs, keys or what strangers wrote."""
        plane = self.start_plane(hold_s=1)
        worker = self.start_worker(plane, host={"log_level": "debug"}, urls={"query": "gpu=A&token=SECRETTOKEN"},
                                   env={"RUNPOD_WEBHOOK_PING": f"{plane.url}/v2/ep/ping/pod-1?token=SECRETTOKEN"})
        for route in ("take", "stop", "done", "ping"):
            plane.script(route, [Answer(status=500, body="SECRETTOKEN"), Answer(reset=True)])
        good, hostile, long_id = plane.submit_many([
            tone(), tone("x", voice="\x1b[2J\"\n{" + "y" * 100_000), tone(id="i" * 500)])
        for job_id in (good, hostile, long_id):
            plane.wait(job_id, TIMEOUT_S)
        plane.submit_many([b'[{"id": "\xff' + b"z" * 50_000 + b'"}]', {"id": "n" * 100_000, "input": {}}])
        plane.wait(plane.submit(tone()), TIMEOUT_S)
        self.assertEqual(len(worker.wait_logs(2, event="a job without a usable id is skipped")), 2)
        plane.outage("refuse")
        worker.wait_log(component="take", event="no job could be asked for")
        plane.recover()
        worker.stop()
        self.assertGreater(len(worker.lines), 10)
        for line in worker.lines:
            entry = json.loads(line)
            self.assertLessEqual({"time", "level", "component", "event"}, set(entry))
            self.assertLessEqual(len(line), LINE_MAX)
        self.assertEqual(worker.out, b"")
        said = worker.log + "".join(request.body.decode() for request in plane.on("done"))
        for secret in (plane.key, "SECRETTOKEN"):
            self.assertNotIn(secret, said)

    def test_case_52_plain_lines_on_a_terminal(self):
        plane = self.start_plane()
        variables = plane.environment(RUNPOD_MIN_MEMORY_GB="100000")
        ours, theirs = pty.openpty()
        process = subprocess.Popen([VOXHOST, "worker", "--manifest", self.manifest()], env=environment(**variables),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, cwd=self.dir)
        os.close(theirs)
        try:
            self.assertEqual(process.wait(TIMEOUT_S), 1)
            text = os.read(ours, 65536).decode()
        finally:
            os.close(ours)
        self.assertTrue(text.startswith("voxhost: error: worker: fitness check failed (check=memory"), text)


class Freeze(WorkerCase):
    def test_case_53_connections_closed_meanwhile(self):
        plane = self.start_plane()
        worker = self.start_worker(plane)
        self.assertEqual(plane.wait(plane.submit(tone()), TIMEOUT_S).state, "COMPLETED")
        worker.signal(signal.SIGSTOP)
        plane.close_connections(reset=True)
        time.sleep(3)
        begin = time.monotonic()
        worker.signal(signal.SIGCONT)
        self.assertEqual(plane.wait(plane.submit(tone()), TIMEOUT_S).state, "COMPLETED")
        self.assert_pinged_again(plane, begin)

    def test_case_53_connections_that_are_dead(self):
        """Nobody tells the worker that its connections have ended: its polls would wait for ever."""
        plane = self.start_plane()
        for route in ("take", "stop"):
            plane.script(route, [Answer(stall=True)])
        worker = self.start_worker(plane)
        plane.wait_for(lambda: plane.script_left("stop") == 0, TIMEOUT_S, "the stop channel")
        worker.signal(signal.SIGSTOP)
        time.sleep(FREEZE_S)
        begin = time.monotonic()
        worker.signal(signal.SIGCONT)
        self.assert_pinged_again(plane, begin)
        worker.wait_log(event="this process was stopped for a while: reconnecting")
        job_id = plane.submit(tone(sleep_ms=60_000))
        job = plane.job(job_id)
        plane.wait_for(lambda: job.delivered, TIMEOUT_S, "the job to be taken")
        self.assertLess(job.delivered - begin, 10)
        plane.cancel(job_id)  # the stop channel lives, too
        self.assertEqual(plane.wait(plane.submit(tone()), TIMEOUT_S).state, "COMPLETED")

    def assert_pinged_again(self, plane, begin):
        first = plane.wait_for(lambda: next((ping.time for ping in plane.pings if ping.time > begin), None), TIMEOUT_S)
        self.assertLess(first - begin, 5)


class Soak(WorkerCase):
    """Every job gets one result, whatever happens on the way, and memory does not grow."""

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("VOXHOST_SOAK_SEED", random.randrange(10**9)))
        self.random = random.Random(self.seed)

    def faults(self, plane, route, share):
        """Lets a share of the exchanges on a route go wrong."""
        kinds = [
            lambda: Answer(status=500), lambda: Answer(status=503, headers=(("Retry-After", "0"),)),
            lambda: Answer(status=429, headers=(("Retry-After", "0"),)), lambda: Answer(reset=True),
            lambda: Answer(drop="before"), lambda: Answer(drop="after"), lambda: Answer(delay_s=0.05),
            lambda: Answer(slow_s=0.05), lambda: Answer(chunked=True), lambda: Answer(gzip=True),
            lambda: Answer(truncate=1)]
        chosen = random.Random(self.random.random())

        def fault(request):
            if route == "ping":
                for job_id in (request.param("job_id") or "").split(","):
                    if job_id.startswith("sleep"):
                        plane.cancel(job_id)
            if route == "done" and request.final and chosen.random() < 0.005:
                plane.cancel(request.job_id)  # in the moment of its result
            return chosen.choice(kinds)() if chosen.random() < share else None

        plane.fault(route, fault)

    def job(self, number):
        """Mostly short ones, with streams, failures, and some that run until they are cancelled."""
        kind = self.random.random()
        if kind < 0.002:
            return tone(id=f"sleep-{number}-u1", sleep_ms=3000)
        if kind < 0.05:
            return tone(id=f"wrong-{number}-u1", duration_ms="long")
        if kind < 0.10:
            return tone(id=f"stream-{number}-u1", stream=True, format="pcm", duration_ms=600)
        return tone(id=f"short-{number}-u1", duration_ms=self.random.randrange(5, 50))

    def test_case_54_faults_on_all_routes(self):
        # A take whose answer is lost: the pings do not name the job, and it is handed out again.
        plane = self.start_plane(hold_s=1, light=True, orphan_after=10, ping_grace_s=30)
        worker = self.start_worker(plane, concurrency=4, urls={"ping_interval_ms": 100},
                                   worker={"progress_s": 0.01, "stream_aggregate": False, "request_s": 5},
                                   host={"log_level": "error"})
        for route, share in (("take", 0.02), ("take_batch", 0.02), ("stop", 0.2), ("done", 0.02), ("stream", 0.05),
                             ("ping", 0.2)):
            self.faults(plane, route, share)
        begin = time.monotonic()
        count = max(SOAK_JOBS, 2 * SOAK_WARM_UP)
        ids = plane.submit_many([self.job(number) for number in range(count)])

        def ended():
            return plane.states["COMPLETED"] + plane.states["FAILED"] + plane.states["CANCELLED"]

        limit = count / SOAK_JOBS_PER_S_MIN + TIMEOUT_S
        plane.wait_for(lambda: ended() >= SOAK_WARM_UP, limit, "the warm-up")
        warm = rss(worker.pid)
        plane.wait_for(lambda: ended() >= count, limit, f"all jobs (seed {self.seed})")
        took, hot = time.monotonic() - begin, rss(worker.pid)
        # Those that had a result have it acknowledged: the first try may have been taken and its answer lost.
        plane.wait_for(lambda: all(plane.jobs[i].acked for i in ids if plane.jobs[i].state != "CANCELLED"), limit)
        worker.stop()
        print(f"soak: {count} jobs in {took:.0f} s, {count / took:.0f}/s, rss {warm >> 10} -> {hot >> 10} KiB, "
              f"{dict(plane.states)}, {dict(plane.counts)}, seed {self.seed}", flush=True)
        with self.subTest(seed=self.seed):
            self.check_results(plane, worker, ids)
        if not SANITIZE:  # they keep what was freed
            self.assertLess(hot - warm, SOAK_RSS_GROWTH_MAX)

    def check_results(self, plane, worker, ids):
        for job_id in ids:
            job = plane.jobs[job_id]
            expected = {"short": "COMPLETED", "stream": "COMPLETED", "wrong": "FAILED", "sleep": "CANCELLED"}
            self.assertIn(job.state, (expected[job_id.split("-")[0]], "CANCELLED"), job_id)
            self.assertTrue(job.finals or job.state == "CANCELLED", job_id)
        self.assertLess(plane.states["CANCELLED"], len(ids) * 0.03)
        self.assertGreater(plane.counts["done"], len(ids))  # there were faults
        self.assertEqual(plane.violations, [])
        lost = [entry for entry in worker.events(level="error", component="delivery")
                if entry["event"] != "a chunk of a stream is lost"]
        self.assertEqual(lost, [])


class Throughput(WorkerCase):
    def rate(self, count, **options):
        plane = self.start_plane(light=True)
        self.start_worker(plane, host={"log_level": "warn"})
        begin = time.monotonic()
        plane.submit_many([tone(**options) for _ in range(count)])
        plane.wait_for(lambda: plane.states["COMPLETED"] == count, TIMEOUT_S, "all jobs")
        rate = count / (time.monotonic() - begin)
        print(f"throughput with {options}: {rate:.0f} jobs/s", flush=True)
        return rate

    def test_case_55_no_time_between_jobs(self):
        # One at a time; the Python SDK does about 1 a second.
        self.assertGreater(self.rate(500, duration_ms=10), 10)

    def test_case_55_jobs_of_10_ms(self):
        self.assertGreater(self.rate(200, sleep_ms=10), 5)


if __name__ == "__main__":
    unittest.main()
