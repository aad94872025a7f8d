"""`voxhost worker` in queue mode: streams and progress, cases 30 to 36 of the protocol's conformance checklist."""

import base64
import os
import time
import unittest

from common import SANITIZE
from control_plane import Answer
from worker_common import TIMEOUT_S, WorkerCase, tone

CHUNK_BODY_MAX = 900_000  # bytes of JSON; the platform's own limit is 1 MB
SLOW_S = 0.3  # of a slow stream server, for each chunk
RSS_GROWTH_MAX = (512 if SANITIZE else 48) << 20  # with sanitizers freed memory is kept for a while


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def audio_of(chunks):
    """The audio of a stream's chunks, which all but the last have."""
    return b"".join(base64.b64decode(chunk["output"]["audio_base64"]) for chunk in chunks[:-1])


class Streams(WorkerCase):
    def stream_audio(self, job):
        """The audio, after a look at what every whole stream has: chunks in order, then the facts."""
        self.assertEqual([chunk["output"]["index"] for chunk in job.chunks[:-1]], list(range(len(job.chunks) - 1)))
        last = job.chunks[-1]["output"]
        self.assertEqual(last["status"], "ok")
        self.assertNotIn("audio_base64", last)
        return audio_of(job.chunks)

    def assert_one_after_another(self, plane, job):
        """Each POST about the job begins when the one before is answered, and the final result is the last."""
        posts = [request for request in plane.on("stream", "done") if request.job_id == job.id]
        self.assertEqual([request.final for request in posts], [False] * (len(posts) - 1) + [True])
        for before, after in zip(posts, posts[1:]):
            self.assertGreaterEqual(after.begun, before.ended)
        return posts

    def test_case_30_chunks_in_order_then_final(self):
        plane = self.start_plane()
        self.start_worker(plane, worker={"stream_aggregate": False, "stream_chunk_bytes": 5000})
        whole, streamed = plane.submit_many([
            tone(format="pcm", seed=7, duration_ms=2000), tone(format="pcm", seed=7, duration_ms=2000, stream=True)])
        expected = base64.b64decode(plane.wait(whole, TIMEOUT_S).final["output"]["audio"]["base64"])
        job = plane.wait(streamed, TIMEOUT_S)
        self.assertEqual(self.stream_audio(job), expected)
        self.assertGreater(len(job.chunks), 10)
        self.assertEqual(job.final, {"output": []})
        posts = self.assert_one_after_another(plane, job)
        self.assertEqual({request.param("isStream") for request in posts[:-1]}, {"false"})
        self.assertEqual({request.route for request in posts[:-1]}, {"stream"})
        self.assertEqual(posts[-1].param("isStream"), "true")
        done = [request for request in plane.on("done") if request.job_id == whole and request.final]
        self.assertEqual([request.param("isStream") for request in done], ["false"])

    def test_case_30_aggregate_has_all_chunks(self):
        plane = self.start_plane()
        self.start_worker(plane, worker={"stream_aggregate": True, "stream_chunk_bytes": 5000})
        for format_name, magic in (("pcm", b""), ("wav", b"RIFF"), ("mp3", b"\xff")):
            with self.subTest(format_name):
                job = plane.wait(plane.submit(tone(format=format_name, stream=True, duration_ms=2000)), TIMEOUT_S)
                self.assertTrue(self.stream_audio(job).startswith(magic))
                self.assertEqual(job.final, {"output": [chunk["output"] for chunk in job.chunks]})

    def test_case_30_aggregate_that_does_not_fit_is_left_out(self):
        plane = self.start_plane()
        self.start_worker(plane, worker={"body_bytes_max": 100_000})
        job = plane.wait(plane.submit(tone(format="pcm", stream=True, duration_ms=5000)), TIMEOUT_S)
        self.assertEqual(len(self.stream_audio(job)), 5 * 48000)
        self.assertEqual(job.final, {"output": []})

    def test_case_31_slow_server_holds_the_model_up(self):
        plane = self.start_plane()
        self.start_worker(plane)
        plane.fault("stream", lambda request: Answer(delay_s=SLOW_S))
        job = plane.wait(plane.submit(tone(format="pcm", stream=True, duration_ms=5000)), TIMEOUT_S)
        self.assertEqual(len(self.stream_audio(job)), 5 * 48000)
        self.assert_one_after_another(plane, job)
        # The model may be ahead by the chunk on its way, those that wait (2), and what it just made.
        held_up_ms = (len(job.chunks) - 1 - 4) * SLOW_S * 1000
        self.assertGreater(held_up_ms, 2000)
        self.assertGreater(job.chunks[-1]["output"]["timings_ms"]["total"], held_up_ms)

    def test_case_31_memory_stays_bounded(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, worker={"stream_chunk_bytes": 600_000, "stream_aggregate": False})
        plane.wait(plane.submit(tone(format="pcm", stream=True, duration_ms=5000)), TIMEOUT_S)
        before = rss(worker.pid)
        plane.fault("stream", lambda request: Answer(delay_s=SLOW_S))
        # 2.7 GB of audio, more than a second of work
        job = plane.job(plane.submit(tone(format="pcm", encoding="float32", stream=True, duration_ms=1_800_000,
                                          rate=192_000, channels=2, block_frames=16384)))
        plane.wait_for(lambda: len(job.chunks) >= 6, TIMEOUT_S, "six chunks")
        self.assertLess(rss(worker.pid) - before, RSS_GROWTH_MAX)
        plane.cancel(job.id)
        plane.fault("stream", None)
        self.assertEqual(plane.wait(plane.submit(tone()), TIMEOUT_S).state, "COMPLETED")

    def test_case_32_lost_chunk_is_passed_over(self):
        plane = self.start_plane()
        worker = self.start_worker(plane)
        failed = [Answer(status=500)] * 3
        plane.script("stream", [Answer(), *failed, Answer(), Answer(status=503), Answer(drop="before")])
        job = plane.wait(plane.submit(tone(format="pcm", stream=True, duration_ms=3000)), TIMEOUT_S)
        self.assertEqual(plane.script_left("stream"), 0)
        indices = [chunk["output"].get("index") for chunk in job.chunks]
        self.assertEqual(indices, [0, *range(2, len(job.chunks)), None])  # the one that failed twice came through
        self.assertEqual(job.state, "COMPLETED")
        bodies = [request.body for request in plane.on("stream")]
        self.assertEqual(bodies[1:4], [bodies[1]] * 3)
        self.assertEqual(bodies[5:8], [bodies[5]] * 3)
        self.assert_one_after_another(plane, job)
        self.assertEqual(len(worker.wait_logs(1, event="a chunk of a stream is lost", job=job.id)), 1)

    def test_case_32_the_result_does_not_wait_for_chunks_that_nobody_takes(self):
        plane = self.start_plane()
        plane.script("stream", [Answer()])
        plane.fault("stream", lambda request: Answer(stall=True))
        worker = self.start_worker(plane, worker={"request_s": 1})
        job = plane.wait(plane.submit(tone(format="pcm", stream=True, duration_ms=3000)), TIMEOUT_S)
        self.assertEqual(job.state, "COMPLETED")
        worker.wait_log(event="the last chunks of a stream are lost", job=job.id)

    def test_case_33_error_in_mid_stream(self):
        plane = self.start_plane()
        self.start_worker(plane, {"model_type": "faulty", "plugin": "faulty.so"}, worker={"stream_chunk_bytes": 1000})
        broken = {"input": {"text": "x", "stream": True, "format": "pcm", "options": {"fault": "fails_after_audio"}}}
        job = plane.wait(plane.submit(broken), TIMEOUT_S)
        self.assertEqual(job.state, "FAILED")
        self.assertGreater(len(job.chunks), 1)
        self.assertGreater(len(audio_of(job.chunks)), 1000)
        self.assertEqual(job.chunks[-1]["output"]["status"], "error")
        self.assertIn("error_message", job.final["error"])
        self.assertEqual(job.final["output"], [chunk["output"] for chunk in job.chunks])
        self.assertEqual(self.assert_one_after_another(plane, job)[-1].param("isStream"), "true")

    def test_case_33_error_before_any_audio(self):
        """A job that asks for a stream and is wrong gets a final result and no chunk that has audio."""
        plane = self.start_plane()
        self.start_worker(plane)
        job = plane.wait(plane.submit(tone(stream=True, duration_ms="long")), TIMEOUT_S)
        self.assertEqual(job.state, "FAILED")
        self.assertEqual(audio_of(job.chunks), b"")

    def test_case_34_large_chunks_are_split(self):
        plane = self.start_plane()
        self.start_worker(plane, worker={"stream_chunk_bytes": 600_000, "stream_aggregate": False,
                                         "inline_chars_max": 20_000_000, "body_bytes_max": 20_000_000})
        options = dict(format="pcm", encoding="float32", seed=3, rate=192_000, channels=2, block_frames=16384,
                       duration_ms=2500)
        whole, streamed = plane.submit_many([tone(**options), tone(stream=True, **options)])
        expected = base64.b64decode(plane.wait(whole, TIMEOUT_S).final["output"]["audio"]["base64"])
        job = plane.wait(streamed, TIMEOUT_S)
        self.assertEqual(self.stream_audio(job), expected)
        sizes = [len(request.body) for request in plane.on("stream")]
        self.assertGreater(sizes[0], CHUNK_BODY_MAX / 2)
        self.assertLess(max(sizes), CHUNK_BODY_MAX)

    def test_case_35_without_a_stream_url(self):
        plane = self.start_plane()
        worker = self.start_worker(plane, worker={"stream_chunk_bytes": 1000}, env={"RUNPOD_WEBHOOK_POST_STREAM": None})
        job = plane.wait(plane.submit(tone(format="pcm", stream=True, duration_ms=2000)), TIMEOUT_S)
        self.assertEqual(job.state, "COMPLETED")
        self.assertEqual(plane.on("stream"), [])
        output = job.final["output"]  # it is complete without them, since it repeats all chunks
        self.assertEqual(len(audio_of([{"output": chunk} for chunk in output])), 2 * 48000)
        self.assertEqual(len([entry for entry in worker.wait_logs(1, level="warn") if "STREAM" in entry["event"]]), 1)


class Progress(WorkerCase):
    def posts(self, plane, job_id):
        """What was posted to the job: its progress updates and its final result."""
        posts = [request for request in plane.on("done") if request.job_id == job_id]
        self.assertEqual([request.final for request in posts], [False] * (len(posts) - 1) + [True])
        for before, after in zip(posts, posts[1:]):
            self.assertGreaterEqual(after.begun, before.ended)
        return posts[:-1], posts[-1]

    def test_case_36_the_last_of_many_values_is_sent(self):
        plane = self.start_plane()
        self.start_worker(plane, worker={"progress_s": 0.2})
        # 3 of 4 parts of the audio in a thousand calls, then a pause
        job_id = plane.submit(tone(duration_ms=800, rate=8000, block_frames=4800, progress_calls=1000, sleep_ms=1500))
        job = plane.wait(job_id, TIMEOUT_S)
        progress, _ = self.posts(plane, job_id)
        values = [request.value["output"]["progress"] for request in progress]
        self.assertEqual(values[-1], 0.75)
        self.assertEqual(values, sorted(set(values)))  # a value is said once
        self.assertLessEqual(len(values), 3)  # the calls take no time; on a busy machine an earlier value may be seen
        self.assertEqual(job.state, "COMPLETED")

    def test_case_36_slow_server(self):
        """Values that come while an update is on its way are passed over, and the final result waits for it."""
        plane = self.start_plane()
        self.start_worker(plane, worker={"progress_s": 0.05})
        plane.fault("done", lambda request: None if request.final else Answer(delay_s=1))
        # computes for a while, with a call every few ms of it
        job_id = plane.submit(tone(duration_ms=500_000, rate=192_000, block_frames=16384, sample_rate=8000,
                                   format="mp3", progress_calls=10))
        job = plane.wait(job_id, TIMEOUT_S)
        progress, final = self.posts(plane, job_id)
        values = [request.value["output"]["progress"] for request in progress]
        ran_s = final.begun - job.delivered
        self.assertGreaterEqual(len(values), 1)
        self.assertLessEqual(len(values), ran_s + 1)
        self.assertEqual(values, sorted(set(values)))
        time.sleep(1.5)  # nothing comes after the final result
        self.assertEqual(self.posts(plane, job_id)[1], final)

    def test_case_36_switched_off(self):
        plane = self.start_plane()
        self.start_worker(plane, worker={"progress_s": 0})
        job_id = plane.submit(tone(duration_ms=800, rate=8000, block_frames=4800, progress_calls=1000, sleep_ms=500))
        plane.wait(job_id, TIMEOUT_S)
        self.assertEqual(self.posts(plane, job_id)[0], [])


if __name__ == "__main__":
    unittest.main()
