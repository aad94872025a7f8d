"""`voxhost worker` in queue mode: heartbeat, stop channel, fresh workers, shutdown and start-up, cases 37 to 49 of the
protocol's conformance checklist."""

import json
import os
import signal
import time
import unittest

from control_plane import Answer
from worker_common import TIMEOUT_S, WorkerCase, tone

NOT_AT_ONCE_S = 10  # what must happen at once happens within this, on any machine
INTERVAL_MS = 200
# Computes for hours: resampling keeps a CPU busy, and mp3 keeps the result small.
BUSY = dict(duration_ms=36_000_000, rate=192_000, block_frames=16384, sample_rate=8000, format="mp3")


def sleeper(text="x", **options):
    """A job that waits until it is cancelled, or for a minute."""
    return tone(text, **{"sleep_ms": 60_000, "duration_ms": 500, **options})


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def error_of(job):
    """The report in a final body's error, which is a string that holds JSON."""
    return json.loads(job.final["error"])


class LifeCase(WorkerCase):
    def pings_between(self, plane, begin, end):
        with plane.hold():
            return [ping for ping in plane.pings if begin <= ping.time < end]

    def wait_ping(self, plane, ids, after=0.0):
        """The first ping begun after a time that names just these ids."""
        def found():
            return next((ping for ping in plane.pings if ping.time > after and ping.ids == ids), None)

        return plane.wait_for(found, TIMEOUT_S, f"a ping with {ids}")

    def wait_running(self, plane, *ids):
        for job_id in ids:
            job = plane.job(job_id)
            plane.wait_for(lambda: job.delivered is not None, TIMEOUT_S, f"{job_id} to be taken")

    def cancel(self, plane, worker, *ids):
        """Cancels running jobs and waits until the worker knows."""
        for job_id in ids:
            plane.cancel(job_id)
        for job_id in ids:
            worker.wait_log(event="job stopped by the platform", job=job_id)

    def assert_runs_a_job(self, plane):
        self.assertEqual(plane.wait(plane.submit(tone()), TIMEOUT_S).state, "COMPLETED")

    def posts_about(self, plane, job_id):
        return [request for request in plane.on("done", "stream") if request.job_id == job_id]


class Heartbeat(LifeCase):
    def test_case_37_interval_also_while_the_cpu_is_busy(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, concurrency=2, urls={"ping_interval_ms": INTERVAL_MS})
        first = plane.wait_for(lambda: plane.pings[0] if plane.pings else None, TIMEOUT_S, "a ping").time
        take = plane.on("take", "take_batch")[0]
        self.assertLess(first - take.begun, NOT_AT_ONCE_S)  # before or with it
        busy = plane.submit_many([tone(**BUSY), tone(**BUSY)])
        self.wait_running(plane, *busy)
        begin, used = time.monotonic(), cpu_s(worker.pid)
        time.sleep(4)
        end, used = time.monotonic(), cpu_s(worker.pid) - used
        pings = self.pings_between(plane, begin, end)
        expected = (end - begin) / (INTERVAL_MS / 1000)
        self.assertGreater(used, 0.2)  # the jobs did compute
        self.assertGreater(len(pings), expected * 0.6)
        self.assertLess(len(pings), expected * 1.1 + 1)
        for before, after in zip(pings, pings[1:]):
            self.assertLess(after.time - before.time, 2)
        self.assertEqual({tuple(ping.ids) for ping in pings[1:]}, {tuple(busy)})
        self.cancel(plane, worker, *busy)

    def test_case_38_ids_from_acceptance_to_acknowledgement(self):
        plane = self.start_plane(ping_grace_s=2)
        self.start_worker(plane, concurrency=3, urls={"ping_interval_ms": INTERVAL_MS})
        self.wait_ping(plane, [])
        self.assertIsNone(plane.on("ping")[-1].param("job_id"))
        refuse = True
        plane.fault("done", lambda request: Answer(status=503) if refuse and request.final else None)
        short, long = plane.submit_many([tone(id="short-u1"), sleeper(id="long-u1")])
        self.wait_ping(plane, [short, long])
        named = next(request for request in plane.on("ping") if request.param("job_id"))
        self.assertTrue(named.query.startswith("job_id=short-u1"), named.query)
        both = [request for request in plane.on("ping") if "%2C" in request.query]
        self.assertIn("job_id=short-u1%2Clong-u1&runpod_version=1.12.0", both[0].query)
        # The result is ready and refused: the job stays in the pings.
        plane.wait_for(lambda: sum(request.final for request in plane.on("done")) >= 2, TIMEOUT_S, "a second try")
        self.wait_ping(plane, [short, long], time.monotonic())
        refuse = False
        acked = plane.wait_for(lambda: plane.job(short).acked, TIMEOUT_S, "the result to be taken")
        after = plane.wait_for(lambda: next((p for p in plane.pings if p.time > acked + 2), None), TIMEOUT_S)
        self.assertEqual(after.ids, [long])
        for ping in self.pings_between(plane, plane.job(short).delivered + 2, plane.job(short).acked):
            self.assertIn(short, ping.ids)
        plane.cancel(long)
        self.wait_ping(plane, [], time.monotonic())

    def test_case_38_a_first_job_is_named_at_once(self):
        """An idle worker does not wait for its next ping, if the last one was some time ago."""
        plane = self.start_plane()
        worker = self.start_worker(plane, urls={"ping_interval_ms": 6000})
        first = self.wait_ping(plane, [])
        time.sleep(3.2)
        job_id = plane.submit(sleeper())
        self.assertLess(self.wait_ping(plane, [job_id]).time, first.time + 5.5)
        self.cancel(plane, worker, job_id)

    def test_case_39_failing_pings_stop_nothing(self):
        plane = self.start_plane(ping_grace_s=60)
        worker = self.start_worker(plane, urls={"ping_interval_ms": 500})
        wrong = [Answer(status=500), Answer(reset=True), Answer(stall=True), Answer(delay_s=20), Answer(drop="after"),
                 Answer(status=404), Answer(status=429, headers=(("Retry-After", "100"),))]
        plane.script("ping", wrong)
        begin = time.monotonic()
        self.assert_runs_a_job(plane)
        plane.wait_for(lambda: plane.script_left("ping") == 0, TIMEOUT_S, "pings that fail")
        worker.wait_log(event="pings are answered again")
        pings = self.pings_between(plane, begin, time.monotonic() + 1)
        self.assertGreaterEqual(len(pings), 2)  # those that stalled or were reset are not counted there
        took = time.monotonic() - begin
        self.assertGreater(took, (len(wrong) - 1) * 0.5 - 1)  # "500" is milliseconds
        self.assertLess(took, NOT_AT_ONCE_S)  # the stalled ones would take 20 s
        worker.wait_log(event="pings fail")
        self.assertLessEqual(len(worker.events(component="ping")), len(wrong))  # changes are logged, not failures
        self.assert_runs_a_job(plane)

    def test_case_40_without_key_or_pod_id(self):
        for missing in ("RUNPOD_AI_API_KEY", "RUNPOD_POD_ID", "RUNPOD_WEBHOOK_PING"):
            with self.subTest(missing):
                plane = self.start_plane(**({"key": None} if missing == "RUNPOD_AI_API_KEY" else {}))
                worker = self.start_worker(plane, env={missing: None}, urls={"ping_interval_ms": INTERVAL_MS})
                self.assert_runs_a_job(plane)
                time.sleep(3 * INTERVAL_MS / 1000)
                worker.stop()
                self.assertEqual(plane.on("ping"), [])
                self.assertEqual(plane.notes, [])  # the result came from the worker that took the job


class Stop(LifeCase):
    def test_case_41_running_job(self):
        plane = self.start_plane()
        self.start_worker(plane, concurrency=2, worker={"progress_s": 0.1})
        stopped, sibling = plane.submit_many([sleeper(), tone(sleep_ms=2000)])
        self.wait_running(plane, stopped, sibling)
        plane.wait_for(lambda: plane.job(stopped).progress, TIMEOUT_S, "progress")
        plane.cancel(stopped)
        begin = time.monotonic()
        following = plane.submit(tone())
        self.assertEqual(plane.wait(following, TIMEOUT_S).state, "COMPLETED")
        freed_s = plane.job(following).taken - begin
        self.assertLess(freed_s, NOT_AT_ONCE_S)
        self.assertEqual(plane.wait(sibling, TIMEOUT_S).state, "COMPLETED")
        self.assertEqual([r for r in self.posts_about(plane, stopped) if r.begun > begin + 0.5], [])
        self.assertEqual(plane.job(stopped).finals, [])
        self.wait_ping(plane, [], begin)

    def test_case_41_stream_that_nobody_takes(self):
        """The model waits for a slow server when the stop comes, and a chunk is on its way."""
        plane = self.start_plane()
        self.start_worker(plane, worker={"stream_chunk_bytes": 1000})
        plane.fault("stream", lambda request: Answer(delay_s=60))
        job_id = plane.submit(tone(stream=True, duration_ms=600_000))
        plane.wait_for(lambda: self.posts_about(plane, job_id), TIMEOUT_S, "a chunk")
        plane.signal_stop([job_id])
        self.assert_runs_a_job(plane)
        self.assertEqual(len(self.posts_about(plane, job_id)), 1)
        self.wait_ping(plane, [], time.monotonic())

    def test_case_41_job_whose_result_is_on_its_way(self):
        plane = self.start_plane()
        self.start_worker(plane)
        plane.fault("done", lambda request: Answer(status=500))
        job_id = plane.submit(tone())
        plane.wait_for(lambda: self.posts_about(plane, job_id), TIMEOUT_S, "a result")
        plane.cancel(job_id)
        self.wait_ping(plane, [], time.monotonic())
        tries = len(self.posts_about(plane, job_id))
        plane.fault("done", None)
        time.sleep(2)  # the next tries were due within 1.5 s
        self.assertEqual(len(self.posts_about(plane, job_id)), tries)
        self.assert_runs_a_job(plane)

    def test_case_41_plugin_that_does_not_listen(self):
        """It is given up: its slot is free, and the worker still ends in time and well."""
        plane = self.start_plane()
        worker = self.start_worker(plane, {"model_type": "faulty", "plugin": "faulty.so", "required": False},
                                   {"model_type": "tone"},
                                   arguments=("--rp_api_concurrency", "1"), host={"cancel_grace_s": 0.5})
        deaf = {"input": {"text": "x", "model_type": "faulty", "options": {"fault": "hangs", "hang_ms": 60_000}}}
        job_id = plane.submit(deaf)
        self.wait_running(plane, job_id)
        plane.cancel(job_id)
        following = plane.submit(tone(model_type="tone"))
        self.assertEqual(plane.wait(following, TIMEOUT_S).state, "COMPLETED")
        self.assertEqual(self.posts_about(plane, job_id), [])
        self.assertLess(worker.stop(), 2 * NOT_AT_ONCE_S)

    def test_case_41_worker_that_ends_meanwhile(self):
        """A stopped job that is slow to end holds a shutdown up no longer than it lasts."""
        plane = self.start_plane()
        worker = self.start_worker(plane, {"model_type": "faulty", "plugin": "faulty.so"})
        slow = {"input": {"text": "x", "options": {"fault": "hangs", "hang_ms": 1000}}}
        job_id = plane.submit(slow)
        self.wait_running(plane, job_id)
        plane.cancel(job_id)
        worker.wait_log(event="job stopped by the platform")
        self.assertLess(worker.stop(), 5)
        self.assertEqual(self.posts_about(plane, job_id), [])

    def test_case_42_waiting_job_and_nonsense(self):
        plane = self.start_plane()
        # three jobs are held, one session runs them one by one
        worker = self.start_worker(plane, {"model_type": "tone", "sessions": 1}, worker={"progress_s": 0},
                                   arguments=("--rp_api_concurrency", "3"), host={"log_level": "debug"})
        first, waiting, third = plane.submit_many([sleeper(), tone(sleep_ms=1000), tone()])
        self.wait_running(plane, first, waiting, third)
        plane.signal_stop(["unknown-u1", 7, None, {"id": first}, [waiting], ""])
        plane.cancel(waiting)
        worker.wait_log(event="job stopped by the platform", job=waiting)
        self.wait_ping(plane, [first, third], time.monotonic())
        plane.cancel(first)
        self.assertEqual(plane.wait(third, TIMEOUT_S).state, "COMPLETED")
        self.assertEqual(self.posts_about(plane, first) + self.posts_about(plane, waiting), [])
        self.assertEqual(worker.events(event="job finished", job=waiting), [])
        self.assertEqual(len(worker.wait_logs(4, event="a job to stop has no text for an id")), 4)
        self.assert_runs_a_job(plane)

    def test_case_42_channel_that_is_not_there(self):
        plane = self.start_plane()
        plane.fault("stop", lambda request: Answer(status=404))
        worker = self.start_worker(plane)
        time.sleep(4)
        polls = plane.on("stop")
        self.assertLessEqual(len(polls), 5)  # after pauses of at least 0.5, 1, 2 and 4 s
        self.assertGreaterEqual(len(polls), 2)
        self.assertEqual(len(worker.wait_logs(1, component="stop")), 1)
        plane.fault("stop", None)
        self.assert_runs_a_job(plane)

    def test_case_42_answers_that_are_none(self):
        plane = self.start_plane()
        plane.script("stop", [Answer(status=200, body=b"<html>", headers=(("Content-Type", "text/html"),)),
                              Answer(status=200, body=b'{"jobsToStop": "all"}'), Answer(status=200, body=b"[1"),
                              Answer(status=200, body=b'{"jobsToStop": []}')])
        self.start_worker(plane)
        job_id = plane.submit(sleeper())
        plane.wait_for(lambda: plane.script_left("stop") == 0, TIMEOUT_S, "four answers")
        times = [request.begun for request in plane.on("stop")]
        for before, after in zip(times, times[1:]):
            self.assertGreater(after - before, 0.9)  # a second between them
        plane.cancel(job_id)
        self.assert_runs_a_job(plane)


class Refresh(LifeCase):
    def test_case_43_no_take_after_the_acknowledged_flag(self):
        plane = self.start_plane()
        refusals = [Answer(status=500), Answer(status=503)]
        plane.fault("done", lambda request: refusals.pop() if request.job_id == "first-u1" and refusals else None)
        worker = self.start_worker(plane, concurrency=1, worker={"refresh": True})
        first, second = plane.submit_many([tone(id="first-u1"), tone(id="second-u1")])
        job = plane.wait(first, TIMEOUT_S)
        self.assertEqual(job.final["stopPod"], True)
        worker.wait(0)
        tries = [request for request in self.posts_about(plane, first) if request.final]
        self.assertEqual(len(tries), 3)
        self.assertEqual({request.body for request in tries}, {tries[0].body})
        self.assertEqual([r for r in plane.on("take", "take_batch") if r.begun > tries[-1].ended + 0.5], [])
        # The slot was free while the result was refused, so another job may have come: it is not lost.
        other = plane.job(second)
        self.assertIn(other.state, ("IN_QUEUE", "COMPLETED"))

    def test_case_43_also_in_the_body_that_stands_for_one_that_was_refused(self):
        plane = self.start_plane()
        plane.script("done", [Answer(400)])
        worker = self.start_worker(plane, worker={"refresh": True})
        job = plane.wait(plane.submit(tone()), TIMEOUT_S)
        self.assertEqual((job.state, job.final["stopPod"]), ("FAILED", True))
        worker.wait(0)

    def test_case_43_failed_job_and_others_that_run(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, concurrency=2, worker={"refresh": True})
        slow, wrong = plane.submit_many([tone(sleep_ms=1500), tone(duration_ms="long")])
        job = plane.wait(wrong, TIMEOUT_S)
        self.assertEqual((job.state, job.final["stopPod"]), ("FAILED", True))
        worker.wait(0)
        self.assertEqual(plane.job(slow).state, "COMPLETED")


class Shutdown(LifeCase):
    def test_case_44_idle(self):
        plane = self.start_plane(hold_s=60)
        worker = self.start_worker(plane)
        plane.wait_for(lambda: plane.on("stop"), TIMEOUT_S, "the stop channel")
        self.assertLess(worker.stop(), NOT_AT_ONCE_S)  # either poll would last a minute

    def test_case_44_idle_under_failures(self):
        """What waits to be tried again does not keep an idle worker."""
        plane = self.start_plane()
        worker = self.start_worker(plane)
        plane.outage("refuse")
        worker.wait_log(component="take", event="no job could be asked for")
        self.assertLess(worker.stop(), NOT_AT_ONCE_S)

    def test_case_45_running_job_is_finished_and_delivered(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, concurrency=2, urls={"ping_interval_ms": INTERVAL_MS})
        job_id = plane.submit(tone(sleep_ms=2500))
        self.wait_ping(plane, [job_id])
        plane.script("done", [Answer(status=500)])
        begin = time.monotonic()
        worker.signal(signal.SIGTERM)
        worker.wait_log(event="no more jobs are taken", reason="SIGTERM")
        drained = time.monotonic()
        plane.wait_for(lambda: all(request.ended for request in plane.on("take", "take_batch", "stop")), TIMEOUT_S)
        other = plane.submit(tone())
        worker.wait(0)
        job = plane.job(job_id)
        self.assertEqual(job.state, "COMPLETED")
        self.assertEqual(plane.job(other).state, "IN_QUEUE")
        self.assertEqual([r for r in plane.on("take", "take_batch", "stop") if r.begun > drained], [])
        pings = [ping for ping in self.pings_between(plane, begin, job.acked) if ping.ids == [job_id]]
        self.assertGreaterEqual(len(pings), (job.acked - begin) / (INTERVAL_MS / 1000) * 0.5)
        self.assertLess(job.acked - pings[-1].time, 2)

    def test_case_46_job_in_the_same_instant(self):
        """Its answer is on its way, or just written, when the signal comes."""
        plane = self.start_plane()
        plane.script("take", [Answer(slow_s=2)])
        worker = self.start_worker(plane)
        job_id = plane.submit(tone())
        plane.wait_for(lambda: plane.job(job_id).taken, TIMEOUT_S, "the job to be handed out")
        time.sleep(0.5)  # the head of the answer is there, its body is not
        self.assertGreater(worker.stop(), 1)
        self.assertEqual(plane.job(job_id).state, "COMPLETED")

    def test_case_46_job_of_which_one_byte_is_there(self):
        plane = self.start_plane()
        plane.script("take", [Answer(head_s=0.4)])
        worker = self.start_worker(plane)
        job_id = plane.submit(tone())
        plane.wait_for(lambda: plane.job(job_id).taken, TIMEOUT_S, "the job to be handed out")
        worker.stop()
        self.assertEqual(plane.job(job_id).state, "COMPLETED")

    def test_case_46_job_after_the_drain(self):
        """There is no time left to run it: it is told so, and not left without an answer."""
        plane = self.start_plane()
        plane.script("take", [Answer(slow_s=2)])
        worker = self.start_worker(plane, host={"drain_s": 0.2, "cancel_grace_s": 0.5})
        job_id = plane.submit(sleeper())
        plane.wait_for(lambda: plane.job(job_id).taken, TIMEOUT_S, "the job to be handed out")
        time.sleep(0.5)  # the head of the answer is there, its body is not
        worker.stop(timeout=30)
        self.assertEqual(plane.job(job_id).state, "FAILED")
        self.assertEqual(error_of(plane.job(job_id))["error_type"], "Cancelled")

    def test_case_46_job_just_before(self):
        for _ in range(8):
            plane = self.start_plane()
            worker = self.start_worker(plane)
            job_id = plane.submit(tone())
            plane.wait_for(lambda: plane.job(job_id).delivered, TIMEOUT_S, "the job to be handed out")
            worker.stop()
            self.assertEqual(plane.job(job_id).state, "COMPLETED")

    def test_case_47_drain_budget(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, {"model_type": "tone", "sessions": 1}, host={"drain_s": 0.5},
                                   arguments=("--rp_api_concurrency", "2"))
        running, waiting = plane.submit_many([sleeper(), sleeper()])
        self.wait_running(plane, running, waiting)
        worker.stop()
        for job_id in (running, waiting):
            job = plane.job(job_id)
            self.assertEqual(job.state, "FAILED")
            self.assertEqual(error_of(job)["error_type"], "Cancelled")

    def test_case_47_second_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                plane = self.start_plane()
                worker = self.start_worker(plane)
                job_id = plane.submit(sleeper())
                self.wait_running(plane, job_id)
                worker.signal(number)
                worker.wait_log(event="no more jobs are taken")
                begin = time.monotonic()
                worker.signal(number)
                worker.wait(128 + number)
                self.assertLess(time.monotonic() - begin, NOT_AT_ONCE_S)

    def test_case_45_result_that_waits_for_another_try(self):
        """However long it was to wait: there is no other time."""
        plane = self.start_plane()
        plane.script("done", [Answer(429, headers=(("Retry-After", "60"),))])
        worker = self.start_worker(plane, host={"drain_s": 5})
        job_id = plane.submit(tone())
        worker.wait_log(event="a result is tried again")
        self.assertLess(worker.stop(), 5)
        self.assertEqual(plane.job(job_id).state, "COMPLETED")

    def test_plugin_that_hangs_in_close(self):
        """Its job is answered already: it holds nobody up, not even the end."""
        plane = self.start_plane()
        options = {"fault": "close_hangs", "hang_ms": 60_000}
        worker = self.start_worker(plane, {"model_type": "faulty", "plugin": "faulty.so", "options": options},
                                   host={"cancel_grace_s": 0.5})
        job_id = plane.submit({"input": {"text": "x", "options": {"fault": "returns_einternal"}}})
        self.assertEqual(plane.wait(job_id, TIMEOUT_S).state, "FAILED")
        self.assertLess(worker.stop(timeout=30), 2 * NOT_AT_ONCE_S)

    def test_case_47_chunks_that_nobody_takes_keep_no_result(self):
        plane = self.start_plane()
        plane.fault("stream", lambda request: Answer(stall=True))
        worker = self.start_worker(plane, host={"drain_s": 1})
        job_id = plane.submit(tone(stream=True, format="pcm", duration_ms=200))
        plane.wait_for(lambda: plane.on("stream"), TIMEOUT_S, "a chunk")
        worker.stop()
        self.assertEqual(plane.job(job_id).state, "COMPLETED")

    def test_case_47_progress_that_nobody_takes_keeps_no_result(self):
        plane = self.start_plane()
        plane.fault("done", lambda request: None if request.final else Answer(stall=True))
        worker = self.start_worker(plane, host={"drain_s": 3}, worker={"progress_s": 0.1})
        job_id = plane.submit(tone(sleep_ms=1500))
        plane.wait_for(lambda: plane.on("done"), TIMEOUT_S, "progress")
        worker.stop()
        self.assertEqual(plane.job(job_id).state, "COMPLETED")

    def test_case_47_result_that_cannot_be_delivered(self):
        """The drain ends although the platform is gone, says which job was lost, and fails."""
        plane = self.start_plane()
        worker = self.start_worker(plane, host={"drain_s": 1})
        job_id = plane.submit(tone(sleep_ms=500))
        self.wait_running(plane, job_id)
        plane.outage("refuse")
        worker.stop(code=1)
        lost = [entry for entry in worker.events(level="error") if entry.get("job") == job_id]
        self.assertEqual(len(lost), 1, worker.log)


class Start(LifeCase):
    def assert_unhealthy(self, plane, check, error_type):
        """One report, which names what failed."""
        reports = [ping for ping in plane.pings if ping.status]
        self.assertEqual([(ping.status, ping.check) for ping in reports], [("unhealthy", check)])
        self.assertTrue(reports[0].reason.startswith(error_type + ": "), reports[0].reason)
        self.assertLessEqual(len(reports[0].reason), 256)
        return reports[0]

    def test_case_48_unfit_machine(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, env={"RUNPOD_MIN_MEMORY_GB": "100000"}, wait=False)
        worker.wait(1)
        report = self.assert_unhealthy(plane, "memory", "OutOfMemory")
        self.assertIn("RUNPOD_MIN_MEMORY_GB asks for 100000.00", report.reason)
        self.assertEqual([request.route for request in plane.requests], ["ping"])
        self.assertNotIn(" ", plane.requests[0].target)
        self.assertEqual(report.version, "1.12.0")

    def test_case_48_report_that_hangs(self):
        plane = self.start_plane()
        plane.script("ping", [Answer(stall=True)])
        worker = self.start_worker(plane, env={"RUNPOD_MIN_MEMORY_GB": "100000"}, wait=False)
        begin = time.monotonic()
        worker.wait(1)
        self.assertLess(time.monotonic() - begin, 2 + NOT_AT_ONCE_S)  # it gives the report 2 s
        self.assertEqual([request.route for request in plane.requests], ["ping"])

    def test_case_48_skipped(self):
        plane = self.start_plane()
        self.start_worker(plane, env={"RUNPOD_MIN_MEMORY_GB": "100000", "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true"})
        self.assert_runs_a_job(plane)

    def test_case_49_pings_and_a_take_while_the_model_loads(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, {"model_type": "tone", "options": {"load_ms": 2500}},
                                   urls={"ping_interval_ms": INTERVAL_MS})
        job_id = plane.submit(tone())
        self.wait_ping(plane, [job_id])
        self.assertEqual(plane.job(job_id).state, "IN_PROGRESS")
        job = plane.wait(job_id, TIMEOUT_S)
        self.assertEqual(job.state, "COMPLETED")
        self.assertGreater(job.final["output"]["timings_ms"]["load"], 0)
        loaded = job.finished
        pings = self.pings_between(plane, worker.begun, loaded)
        self.assertGreater(len(pings), (loaded - worker.begun) / (INTERVAL_MS / 1000) * 0.3)
        takes = [request for request in plane.on("take", "take_batch") if request.begun < loaded - 0.5]
        self.assertEqual(len(takes), 1)

    def fail_to_load(self, plane, load_ms):
        return self.start_worker(plane, {"model_type": "tone", "options": {"load_ms": load_ms, "fail": True}})

    def assert_failed_to_load(self, plane, worker, job_id):
        worker.wait(1)
        job = plane.job(job_id)
        self.assertEqual(job.state, "FAILED")
        self.assertEqual(error_of(job)["error_type"], "ModelFailed")
        self.assertIn("options.fail is true", error_of(job)["error_message"])
        self.assertIn("options.fail is true", self.assert_unhealthy(plane, "model_load", "ModelFailed").reason)

    def test_case_49_held_job_fails_with_the_model(self):
        plane = self.start_plane()
        worker = self.fail_to_load(plane, 1500)
        self.ends_with(worker, 1)
        job_id = plane.submit(tone())
        self.wait_running(plane, job_id)
        other = plane.submit(tone())
        self.assert_failed_to_load(plane, worker, job_id)
        self.assertEqual(plane.job(other).state, "IN_QUEUE")

    def test_case_49_one_job_is_claimed_to_be_told(self):
        """A broken worker without a job waits a moment for one, so that somebody hears of it."""
        plane = self.start_plane()
        worker = self.fail_to_load(plane, 0)
        self.ends_with(worker, 1)
        worker.wait_log(event="this worker is of no use and ends")
        jobs = plane.submit_many([tone(), tone()])
        self.assert_failed_to_load(plane, worker, jobs[0])
        self.assertEqual(plane.job(jobs[1]).state, "IN_QUEUE")

    def test_case_49_model_that_is_not_required(self):
        plane = self.start_plane()
        self.start_worker(plane, {"model_type": "tone"},
                          {"model_type": "broken", "required": False, "options": {"fail": True}})
        job = plane.wait(plane.submit(tone(model_type="broken")), TIMEOUT_S)
        self.assertEqual(error_of(job)["error_type"], "ModelFailed")
        self.assertEqual(plane.wait(plane.submit(tone(model_type="tone")), TIMEOUT_S).state, "COMPLETED")


if __name__ == "__main__":
    unittest.main()
