"""The control plane of the tests itself: what it answers, how its faults look on the wire, what it calls a violation.

A test double that can be wrong proves nothing. The client here is a bare socket, so that nothing is helpful behind
our back.
"""

import gzip
import json
import select
import socket
import threading
import time
import unittest

from control_plane import Answer, ControlPlane
from control_wire import strict_json

QUERY = "gpu=NVIDIA+RTX+A5000"


class Client:
    """One connection of a worker; every part of a request can be spoilt."""

    def __init__(self, plane, worker="pod-1"):
        self.plane, self.worker, self.buffer = plane, worker, b""
        self.sock = socket.create_connection(("127.0.0.1", plane.port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, method, path, body=None, headers=None):
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        for name, value in {"Authorization": self.plane.key, **(headers or {})}.items():
            if value is not None:
                lines.append(f"{name}: {value}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def receive(self):
        """(status, headers, body); ConnectionError where the answer is cut."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if headers.get("Transfer-Encoding") == "chunked":
            return int(first.split()[1]), headers, self.chunks()
        length = int(headers.get("Content-Length", 0))
        while len(self.buffer) < length:
            self.more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(first.split()[1]), headers, body

    def chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                self.more()
            size, _, self.buffer = self.buffer.partition(b"\r\n")
            while len(self.buffer) < int(size, 16) + 2:
                self.more()
            if int(size, 16) == 0:
                self.buffer = self.buffer[2:]
                return body
            body, self.buffer = body + self.buffer[:int(size, 16)], self.buffer[int(size, 16) + 2:]

    def more(self):
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def ask(self, *args, **kw):
        self.send(*args, **kw)
        return self.receive()

    def take(self, extra="job_in_progress=0", **kw):
        return self.ask("GET", f"/v2/ep/job-take/{self.worker}?{QUERY}&{extra}", **kw)

    def batch(self, size):
        return self.ask("GET", f"/v2/ep/job-take-batch/{self.worker}?{QUERY}&batch_size={size}&job_in_progress=0")

    def stop(self):
        return self.ask("GET", f"/v2/ep/job-stop/{self.worker}?{QUERY}")

    def post(self, piece, job, body, stream="false", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Request-ID": job, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.ask("POST", f"/v2/ep/{piece}/{self.worker}/{job}?{QUERY}&isStream={stream}", body, headers)

    def done(self, job, body, **kw):
        return self.post("job-done", job, body, **kw)

    def ping(self, query="runpod_version=1.12.0"):
        return self.ask("GET", f"/v2/ep/ping/{self.worker}?{query}")

    def waits(self, seconds=0.2):
        return not select.select([self.sock], [], [], seconds)[0]


class Plane(unittest.TestCase):
    maxDiff = None
    options = {}

    def setUp(self):
        self.plane = ControlPlane(**{"hold_s": 10, "ping_grace_s": 0, **self.options})
        self.addCleanup(self.plane.close)
        self.client = self.connect()

    def connect(self, worker="pod-1"):
        client = Client(self.plane, worker)
        self.addCleanup(client.sock.close)
        return client

    def taken(self, job=None):
        """Submits a job and takes it."""
        job_id = self.plane.submit(job or {"input": 1})
        status, _, body = self.client.take()
        self.assertEqual((status, json.loads(body)["id"]), (200, job_id))
        return job_id

    def assert_violation(self, *parts):
        self.assertEqual(len(self.plane.violations), 1, self.plane.violations)
        for part in parts:
            self.assertIn(part, self.plane.violations[0])

    def assert_clean(self):
        self.assertEqual(self.plane.violations, [])


class Taking(Plane):
    def test_jobs_go_out_first_in_first_out_and_whole(self):
        ids = self.plane.submit_many([{"id": f"j{i}", "input": {"text": "grün"}, "webhook": None} for i in range(3)])
        for job_id in ids:
            status, headers, body = self.client.take()
            self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
            self.assertEqual(json.loads(body), {"id": job_id, "input": {"text": "grün"}, "webhook": None})
            self.assertEqual(self.plane.job(job_id).state, "IN_PROGRESS")
        self.assert_clean()

    def test_a_take_is_held_until_a_job_comes(self):
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}&job_in_progress=0")
        self.assertTrue(self.client.waits())
        job_id = self.plane.submit({"input": {}})
        status, _, body = self.client.receive()
        self.assertEqual((status, json.loads(body)), (200, {"id": job_id, "input": {}}))

    def test_a_batch_is_an_array_of_at_most_batch_size(self):
        ids = self.plane.submit_many([{"input": i} for i in range(5)])
        self.assertEqual([job["id"] for job in json.loads(self.client.batch(3)[2])], ids[:3])
        self.assertEqual([job["id"] for job in json.loads(self.client.batch(9)[2])], ids[3:])
        self.assertEqual(self.client.ask("GET", f"/v2/ep/job-take-batch/pod-1?{QUERY}")[0], 400)
        self.assert_violation("batch_size")

    def test_whatever_is_submitted_goes_out_as_it_is(self):
        raw = b'{"id":"a","input":"\xff","input":2}'
        self.assertEqual(self.plane.submit_many([raw, None, [], {"input": 1, "id": 7}, b"{", {"webhook": 1}]),
                         ["a", None, None, None, None, None])
        bodies = [self.client.take()[2] for _ in range(6)]
        self.assertEqual(bodies, [raw, b"null", b"[]", b'{"input": 1, "id": 7}', b"{", b'{"webhook": 1}'])

    def test_a_job_whose_taker_hung_up_goes_to_the_next(self):
        first = self.connect()
        first.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}&job_in_progress=0")
        self.plane.wait_for(lambda: self.plane.counts["take"] == 1, 5)
        first.sock.close()
        self.plane.wait_for(lambda: self.plane.connections == 1, 5)
        self.taken()
        self.assert_clean()

    def test_cancelled_in_the_queue_is_never_handed_out(self):
        first, second = self.plane.submit_many([{"input": 1}, {"input": 2}])
        self.plane.cancel(first)
        self.assertEqual(json.loads(self.client.take()[2])["id"], second)
        self.assertEqual(self.plane.job(first).state, "CANCELLED")

    def test_duplicate_and_retry_hand_out_again(self):
        job_id = self.taken()
        self.plane.duplicate(job_id)
        self.assertEqual(json.loads(self.client.take()[2])["id"], job_id)
        self.client.done(job_id, {"error": "x"})
        self.assertEqual(self.plane.job(job_id).state, "FAILED")
        self.plane.retry(job_id)
        self.assertEqual((self.plane.job(job_id).state, self.plane.job(job_id).retried), ("IN_QUEUE", 1))
        self.assertEqual(json.loads(self.client.take()[2])["id"], job_id)
        self.client.done(job_id, {"output": 2})
        self.assertEqual((self.plane.job(job_id).state, self.plane.job(job_id).final), ("COMPLETED", {"output": 2}))
        self.assert_clean()


class HeldShortly(Plane):
    options = {"hold_s": 0.3}

    def test_polls_end_with_204_after_the_hold(self):
        for ask in (self.client.take, self.client.stop):
            began = time.monotonic()
            self.assertEqual(ask()[0], 204)
            self.assertGreater(time.monotonic() - began, 0.28)

    def test_every_event_wakes_who_waits(self):
        began = time.monotonic()
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
        self.plane.wait_for(lambda: self.plane.requests and self.plane.requests[-1].status == 204, 20)
        self.client.receive()
        self.plane.script("ping", [Answer(delay_s=0.3), Answer(stall=True)])
        self.client.send("GET", "/v2/ep/ping/pod-1")
        self.plane.wait_for(lambda: self.plane.requests[-1].route == "ping" and self.plane.requests[-1].sent, 20)
        self.client.receive()
        job_id = self.plane.submit({"input": 1})
        for happens, seen in (
                (lambda: self.client.send("GET", "/v2/ep/ping/pod-1"), lambda: self.plane.counts["ping"] == 2),
                (self.client.sock.close, lambda: self.plane.connections == 0),
                (lambda: self.plane.cancel(job_id), lambda: self.plane.states["CANCELLED"])):
            timer = threading.Timer(0.3, happens)
            timer.start()
            self.plane.wait_for(seen, 20)
            timer.join()
        self.assertLess(time.monotonic() - began, 19, "something was only seen when the time was over")


class Results(Plane):
    def test_final_progress_and_chunks_are_kept_in_order(self):
        job_id = self.taken()
        self.assertEqual(self.client.done(job_id, {"status": "IN_PROGRESS", "output": 0.5})[0], 200)
        for i in range(3):
            self.assertEqual(self.client.post("job-stream", job_id, {"output": i})[0], 200)
        self.assertIsNone(self.plane.job(job_id).finished)
        self.assertEqual(self.client.done(job_id, {"output": []}, stream="true")[0], 200)
        job = self.plane.wait(job_id, 5)
        self.assertEqual((job.state, job.final, job.finals), ("COMPLETED", {"output": []}, [{"output": []}]))
        self.assertEqual(job.progress, [{"status": "IN_PROGRESS", "output": 0.5}])
        self.assertEqual(job.chunks, [{"output": i} for i in range(3)])
        self.assertTrue(job.submitted <= job.taken <= job.delivered <= job.finished <= job.acked)
        self.assertEqual(job.worker, "pod-1")
        self.assertEqual(self.plane.states["COMPLETED"], 1)
        self.assert_clean()

    def test_only_an_error_string_with_text_fails_a_job(self):
        for body, state in (({}, "COMPLETED"), ({"error": ""}, "COMPLETED"), ({"error": "x"}, "FAILED"),
                            ({"error": {"a": 1}}, "COMPLETED")):
            job_id = self.taken()
            self.client.done(job_id, body)
            self.assertEqual(self.plane.job(job_id).state, state)

    def test_requests_are_recorded_exactly(self):
        job_id = self.taken({"id": "ä/1", "input": None})
        self.client.ask("POST", f"/v2/ep/job-done/pod-1/%C3%A4%2F1?{QUERY}&isStream=false&a=%2C", b'{"output":1}',
                        {"X-Request-ID": "%C3%A4%2F1", "x-Case": "b"})
        take, done = self.plane.requests
        self.assertEqual((take.route, take.method, take.status, take.sent), ("take", "GET", 200, True))
        self.assertEqual((done.path, done.query), ("/v2/ep/job-done/pod-1/%C3%A4%2F1", f"{QUERY}&isStream=false&a=%2C"))
        self.assertEqual(done.params, [("gpu", "NVIDIA RTX A5000"), ("isStream", "false"), ("a", ",")])
        self.assertEqual((done.worker, done.job_id, done.body), ("pod-1", job_id, b'{"output":1}'))
        self.assertIn(("x-Case", "b"), done.headers)
        self.assertEqual(done.connection, take.connection)
        self.assertTrue(take.begun <= take.arrived <= take.ended <= done.begun)
        self.assert_clean()

    def test_a_head_in_pieces_and_a_large_body_arrive(self):
        job_id = self.taken()
        body = json.dumps({"output": "x" * 3_000_000}).encode()
        head = (f"POST /v2/ep/job-done/pod-1/{job_id}?isStream=false HTTP/1.1\r\nAuthorization: {self.plane.key}\r\n"
                f"X-Request-ID: {job_id}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        for i in range(0, len(head), 7):
            self.client.sock.sendall(head[i:i + 7])
            time.sleep(0.001)
        self.client.sock.sendall(body)
        self.assertEqual(self.client.receive()[0], 200)
        self.assertEqual(len(self.plane.job(job_id).final["output"]), 3_000_000)
        self.assert_clean()

    def test_two_requests_in_one_write_are_answered_in_turn(self):
        ids = self.plane.submit_many([{"input": 1}, {"input": 2}])
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}&job_in_progress=0")
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}&job_in_progress=0")
        self.assertEqual([json.loads(self.client.receive()[2])["id"] for _ in range(2)], ids)
        self.assert_clean()


class Stopping(Plane):
    def test_cancelling_a_running_job_goes_out_on_the_stop_channel(self):
        job_id = self.taken()
        poll = self.connect()
        poll.send("GET", f"/v2/ep/job-stop/pod-1?{QUERY}")
        self.assertTrue(poll.waits())
        self.plane.cancel(job_id)
        self.assertEqual(json.loads(poll.receive()[2]), {"jobsToStop": [job_id]})
        self.assertEqual(self.client.done(job_id, {"output": 1})[0], 404)
        job = self.plane.job(job_id)
        self.assertEqual((job.state, job.finals), ("CANCELLED", []))
        self.assert_clean()
        self.assertEqual(len(self.plane.notes), 1)

    def test_signals_wait_for_the_poll_of_their_worker(self):
        self.plane.signal_stop(["a", 7])
        other = self.connect("pod-2")
        other.send("GET", f"/v2/ep/job-stop/pod-2?{QUERY}")
        self.assertTrue(other.waits())
        self.assertEqual(json.loads(self.client.stop()[2]), {"jobsToStop": ["a", 7]})


class Violations(Plane):
    def test_two_takes_at_once(self):
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
        self.connect().send("GET", f"/v2/ep/job-take-batch/pod-1?{QUERY}&batch_size=2")
        self.plane.wait_for(lambda: self.plane.counts["take_batch"], 5)
        time.sleep(0.3)
        self.assert_violation("take while", "in flight")

    def test_two_workers_may_take_at_once(self):
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
        self.connect("pod-2").send("GET", f"/v2/ep/job-take/pod-2?{QUERY}")
        self.plane.wait_for(lambda: self.plane.counts["take"] == 2, 5)
        time.sleep(0.3)
        self.assert_clean()

    def test_a_take_that_was_hung_up_on_is_not_in_flight(self):
        first = self.connect()
        first.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
        self.plane.wait_for(lambda: self.plane.counts["take"], 5)
        first.sock.close()
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
        self.plane.wait_for(lambda: self.plane.counts["take"] == 2, 5)
        time.sleep(0.3)
        self.assert_clean()

    def test_progress_after_the_final_result(self):
        job_id = self.taken()
        self.client.done(job_id, {"output": 1})
        self.client.done(job_id, {"status": "IN_PROGRESS", "output": 1})
        self.assert_violation("progress after the final result")

    def test_chunk_after_the_final_result(self):
        job_id = self.taken()
        self.client.done(job_id, {"output": 1})
        self.client.post("job-stream", job_id, {"output": 1})
        self.assert_violation("chunk after the final result")

    def test_second_final_after_an_answered_one(self):
        job_id = self.taken()
        self.client.done(job_id, {"output": 1})
        self.assert_clean()
        self.client.done(job_id, {"output": 1})
        self.assert_violation("second final")
        self.assertEqual(len(self.plane.job(job_id).finals), 2)

    def test_second_final_after_a_lost_answer_is_right(self):
        job_id = self.taken()
        self.plane.script("done", [Answer(drop="after"), Answer(status=500, process=True)])
        with self.assertRaises(ConnectionError):
            self.client.done(job_id, {"output": 1})
        self.client = self.connect()
        self.assertEqual(self.client.done(job_id, {"output": 1})[0], 500)
        self.assertEqual(self.client.done(job_id, {"output": 1})[0], 200)
        self.assertEqual(self.plane.job(job_id).finals, [{"output": 1}] * 3)
        self.assert_clean()

    def test_final_for_a_job_that_was_never_handed_out(self):
        self.assertEqual(self.client.done("nobody", {"output": 1})[0], 404)
        self.assert_violation("never handed out")

    def test_bodies_that_are_no_strict_json(self):
        job_id = self.taken()
        bad = [b'{"output": NaN}', b'{"output": -Infinity}', b'{"output": "\xff"}', b'{"output": "\\ud800"}', b"{", b"",
               b"[]", b'{"output": 1, "output": 2}', b'{"output": "\x01"}']
        for count, body in enumerate(bad, 1):
            self.assertEqual(self.client.done(job_id, body)[0], 400, body)
            self.assertEqual(len(self.plane.violations), count, body)
        self.assertEqual(self.plane.job(job_id).finals, [])
        self.assertEqual(strict_json('{"a":"\\ud83d\\ude00é"}'.encode()), {"a": "\U0001f600é"})

    def test_error_that_is_no_string(self):
        self.client.done(self.taken(), {"error": {"message": "x"}})
        self.assert_violation("error is no string")

    def test_body_and_chunk_over_their_limits(self):
        self.plane.max_body = 1000
        job_id = self.taken()
        self.assertEqual(self.client.done(job_id, {"output": "x" * 1000})[0], 400)
        self.assertEqual(self.plane.job(job_id).state, "IN_PROGRESS")
        self.assertEqual(self.client.post("job-stream", job_id, {"output": "x" * 1_000_000})[0], 200)
        self.assertEqual(len(self.plane.violations), 2, self.plane.violations)

    def test_authorization(self):
        for value in (None, "", "Bearer " + self.plane.key):
            self.assertEqual(self.client.take(headers={"Authorization": value})[0], 401)
        self.assertEqual(len(self.plane.violations), 3)

    def test_request_ids(self):
        job_id = self.taken()
        self.client.done(job_id, {"status": "IN_PROGRESS", "output": 1}, X_Request_ID="other")
        self.client.post("job-stream", job_id, {"output": 1}, X_Request_ID=None)
        self.client.ask("GET", "/v2/ep/ping/pod-1", headers={"X-Request-ID": job_id})
        self.assertEqual(sum("X-Request-ID" in line for line in self.plane.violations), 3, self.plane.violations)

    def test_framing(self):
        job_id = self.taken()
        self.client.sock.sendall((
            f"POST /v2/ep/job-done/pod-1/{job_id}?isStream=false HTTP/1.1\r\nAuthorization: {self.plane.key}\r\n"
            f"X-Request-ID: {job_id}\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n").encode())
        self.assertEqual(self.client.receive()[0], 100)
        self.client.sock.sendall(b'4\r\n{"ou\r\n9;x=y\r\ntput": 1}\r\n0\r\n\r\n')
        self.assertEqual(self.client.receive()[0], 200)
        self.assertEqual(self.plane.job(job_id).final, {"output": 1})
        self.assertEqual(len(self.plane.violations), 2, self.plane.violations)

    def test_is_stream_placeholders_and_paths(self):
        job_id = self.taken()
        self.client.done(job_id, {"status": "IN_PROGRESS", "output": 1}, stream="true")
        self.client.post("job-stream", job_id, {"output": 1}, stream="true")
        self.client.done(job_id, {"output": 1}, stream="1")
        self.assertEqual(len(self.plane.violations), 3, self.plane.violations)
        self.assertEqual(self.client.ask("GET", "/v2/ep/elsewhere/pod-1")[0], 404)
        self.assertEqual(self.client.ask("POST", "/v2/ep/job-take/pod-1", b"")[0], 405)
        self.assertEqual(self.client.ask("GET", "/v2/ep/ping/$RUNPOD_POD_ID")[0], 200)
        self.plane.submit({"input": 1})
        self.assertEqual(self.client.ask("GET", "/v2/ep/job-take/pod-1&job_in_progress=0")[0], 200)
        self.assertEqual(self.plane.requests[-1].param("job_in_progress"), "0")
        self.assertEqual(len(self.plane.violations), 7, self.plane.violations)

    def test_a_job_missing_from_a_ping(self):
        job_id = self.taken()
        self.client.ping(f"job_id=a%2C{job_id}&runpod_version=1")
        self.assert_clean()
        self.client.ping()
        self.assert_violation("not in the ping")
        self.client.done(job_id, {"output": 1})
        self.client.ping()
        self.assertEqual(len(self.plane.violations), 1)
        self.assertEqual(self.plane.pings[0].ids, ["a", job_id])

    def test_a_job_stays_in_pings_until_its_result_is_answered(self):
        job_id = self.taken()
        self.plane.script("done", [Answer(status=503), Answer(status=429), Answer(drop="after")])
        for count in (1, 2):
            self.client.done(job_id, {"output": 1})
            self.client.ping()
            self.assertEqual(len(self.plane.violations), count)
        with self.assertRaises(ConnectionError):
            self.client.done(job_id, {"output": 1})
        self.assertEqual(self.plane.job(job_id).state, "COMPLETED")
        self.client = self.connect()
        self.client.ping()
        self.assertEqual(len(self.plane.violations), 3)

    def test_a_job_that_the_worker_never_got_need_not_be_in_pings(self):
        self.plane.submit({"input": 1})
        self.plane.script("take", [Answer(drop="after")])
        with self.assertRaises(ConnectionError):
            self.client.take()
        self.connect().ping()
        self.assert_clean()

    def test_a_cancelled_or_refused_job_need_not_be_in_pings(self):
        job_id = self.taken()
        self.plane.cancel(job_id)
        self.client.ping()
        self.plane.script("done", [Answer(status=404)])
        self.client.done(self.taken(), {"output": 1})
        self.client.ping()
        self.assert_clean()

    def test_what_is_no_http_request(self):
        heads = (b"GET /\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                 b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
        for count, head in enumerate(heads, 1):
            client = self.connect()
            client.sock.sendall(head)
            self.assertEqual(client.receive()[0], 400)
            self.assertEqual(len(self.plane.violations), count)

    def test_a_result_of_another_worker_is_noted(self):
        job_id = self.taken()
        self.assertEqual(self.connect("pod-2").done(job_id, {"output": 1})[0], 200)
        self.assert_clean()
        self.assertIn("another worker", self.plane.notes[0])


class Pings(Plane):
    options = {"orphan_after": 2, "dead_after_s": 0.5, "ping_grace_s": 60}

    def test_unhealthy_reports_are_kept(self):
        self.client.ping("status=unhealthy&check=gpu&reason=E%3A+x+%26+y&runpod_version=1.12.0")
        ping = self.plane.pings[0]
        self.assertEqual((ping.status, ping.check, ping.reason, ping.version, ping.ids, ping.worker),
                         ("unhealthy", "gpu", "E: x & y", "1.12.0", [], "pod-1"))

    def test_an_orphan_is_queued_again(self):
        job_id = self.taken()
        for query in ("", f"job_id={job_id}", ""):
            self.client.ping(query)
            self.assertEqual(self.plane.job(job_id).state, "IN_PROGRESS")
        self.client.ping()
        self.assertEqual((self.plane.job(job_id).state, self.plane.job(job_id).retried), ("IN_QUEUE", 1))
        self.assertEqual(json.loads(self.client.take()[2])["id"], job_id)
        self.client.ping()
        self.assertEqual(self.plane.job(job_id).state, "IN_PROGRESS")
        self.assertEqual(len(self.plane.notes), 1)

    def test_jobs_of_a_dead_worker_are_queued_again(self):
        job_id = self.taken()
        self.client.ping(f"job_id={job_id}")
        self.assertEqual(json.loads(self.connect("pod-2").take()[2])["id"], job_id)
        self.assertEqual(self.plane.dead_workers, {"pod-1"})
        self.assertEqual((self.plane.job(job_id).worker, self.plane.job(job_id).retried), ("pod-2", 1))


class Faults(Plane):
    def test_scripted_statuses_leave_the_state_alone(self):
        job_id = self.taken()
        self.plane.script("done", [Answer(status=500), Answer(status=429, headers=(("Retry-After", "2"),)),
                                   Answer(status=201, body="made")])
        self.assertEqual(self.client.done(job_id, {"output": 1})[0], 500)
        status, headers, _ = self.client.done(job_id, {"output": 1})
        self.assertEqual((status, headers["Retry-After"]), (429, "2"))
        self.assertEqual(self.plane.job(job_id).state, "IN_PROGRESS")
        status, _, body = self.client.done(job_id, {"output": 1})
        self.assertEqual((status, body, self.plane.job(job_id).state), (201, b"made", "COMPLETED"))
        self.assertEqual(self.plane.script_left("done"), 0)
        self.assert_clean()

    def test_a_scripted_take_hands_out_nothing(self):
        job_id = self.plane.submit({"input": 1})
        self.plane.script("take", [
            Answer(status=200, body="<html>", headers=(("Content-Type", "text/html"),)), Answer(status=200),
            Answer(status=200, body={"id": "x", "input": "é"}), Answer(status=204), Answer(status=401)])
        answers = [self.client.take() for _ in range(5)]
        self.assertEqual([answer[0] for answer in answers], [200, 200, 200, 204, 401])
        self.assertEqual(answers[0][1]["Content-Type"], "text/html")
        self.assertEqual(answers[1][1]["Content-Length"], "0")
        self.assertEqual(json.loads(answers[2][2]), {"id": "x", "input": "é"})
        self.assertNotIn("Content-Length", answers[3][1])
        self.assertEqual(json.loads(self.client.take()[2])["id"], job_id)

    def test_gzip_chunked_slow_and_delayed_answers_are_whole(self):
        ids = self.plane.submit_many([{"input": "x" * 5000} for _ in range(5)])
        self.plane.script("take", [Answer(gzip=True), Answer(chunked=True), Answer(gzip=True, chunked=True),
                                   Answer(slow_s=0.3), Answer(delay_s=0.3)])
        for i, job_id in enumerate(ids):
            began = time.monotonic()
            status, headers, body = self.client.take()
            self.assertEqual(headers.get("Content-Encoding") == "gzip", i in (0, 2))
            self.assertEqual(headers.get("Transfer-Encoding") == "chunked", i in (1, 2))
            body = gzip.decompress(body) if i in (0, 2) else body
            self.assertEqual((status, json.loads(body)["id"]), (200, job_id))
            if i > 2:
                self.assertGreater(time.monotonic() - began, 0.28)
        self.assert_clean()

    def test_truncated_answers(self):
        for chunked in (False, True):
            job_id = self.plane.submit({"input": "x" * 100})
            self.plane.script("take", [Answer(truncate=10, chunked=chunked)])
            with self.connect() as client:
                client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
                with self.assertRaises(ConnectionError):
                    client.receive()
            self.assertEqual((self.plane.job(job_id).state, self.plane.job(job_id).delivered), ("IN_PROGRESS", None))

    def test_drops_and_resets(self):
        for answer, error, state in (
                (Answer(drop="before"), ConnectionError, "IN_QUEUE"),
                (Answer(reset=True), ConnectionResetError, "IN_QUEUE"),
                (Answer(drop="after"), ConnectionError, "IN_PROGRESS"),
                (Answer(drop="after", reset=True), ConnectionResetError, "IN_PROGRESS")):
            with self.connect() as client:
                job_id = self.plane.submit({"input": 1})
                self.plane.script("take", [answer])
                with self.assertRaises(error):
                    client.take()
                self.assertEqual(self.plane.job(job_id).state, state, answer)
                self.plane.cancel(job_id)
            self.assertFalse(self.plane.requests[-1].sent)

    def test_a_stalled_exchange_stays_open_and_does_nothing(self):
        job_id = self.taken()
        self.plane.script("done", [Answer(stall=True), Answer(stall=True, process=True)])
        for state in ("IN_PROGRESS", "COMPLETED"):
            client = self.connect()
            client.send("POST", f"/v2/ep/job-done/pod-1/{job_id}?isStream=false", b"{}", {"X-Request-ID": job_id})
            self.assertTrue(client.waits(0.3))
            self.assertEqual(self.plane.job(job_id).state, state)
        self.assert_clean()

    def test_a_fault_function_is_asked_after_the_script(self):
        seen = []

        def fault(request):
            seen.append(request.target)
            return Answer(status=503) if len(seen) == 1 else None

        self.plane.fault("ping", fault)
        self.plane.script("ping", [Answer(status=404)])
        self.assertEqual([self.client.ping()[0] for _ in range(3)], [404, 503, 200])
        self.plane.fault("ping", None)
        self.client.ping()
        self.assertEqual(len(seen), 2)

    def test_outages(self):
        self.client.send("GET", f"/v2/ep/job-take/pod-1?{QUERY}")
        self.plane.wait_for(lambda: self.plane.counts["take"], 5)
        self.plane.outage("refuse")
        with self.assertRaises(ConnectionError):
            self.client.receive()
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        self.plane.recover()
        self.client = self.connect()
        self.taken()
        self.plane.outage("reset")
        with self.assertRaises(ConnectionError):
            self.connect().ping()
        self.plane.recover()
        self.plane.outage("hang")
        client = self.connect()
        client.send("GET", "/v2/ep/ping/pod-1")
        self.assertTrue(client.waits(0.3))
        self.plane.recover()
        with self.assertRaises(ConnectionError):
            client.receive()
        self.assertEqual(self.connect().ping()[0], 200)
        self.assertEqual(self.plane.counts["ping"], 1)

    def test_closing_connections_leaves_the_server_up(self):
        for reset in (False, True):
            with self.connect() as client:
                client.ping()
                self.plane.close_connections(reset)
                with self.assertRaises(ConnectionError):
                    client.ping()
        self.assertEqual(self.connect().ping()[0], 200)

    def test_slow_reading_slows_the_sender(self):
        job_id = self.taken()
        self.plane.read_rate = 4_000_000
        began = time.monotonic()
        self.client.done(job_id, {"output": "x" * 2_000_000})
        self.assertGreater(time.monotonic() - began, 0.3)


class Waiting(Plane):
    def later(self, seconds, function):
        timer = threading.Timer(seconds, function)
        timer.start()
        self.addCleanup(timer.join)

    def test_wait_for_wakes_by_events_and_raises_after_the_time(self):
        job_id = self.taken()
        self.later(0.2, lambda: self.client.done(job_id, {"output": 1}))
        began = time.monotonic()
        self.assertEqual(self.plane.wait(job_id, 10).final, {"output": 1})
        self.assertLess(time.monotonic() - began, 5)
        with self.assertRaises(TimeoutError):
            self.plane.wait_for(lambda: False, 0.1)

    def test_an_accepted_result_is_seen_before_its_answer_is_sent(self):
        job_id = self.taken()
        self.plane.script("done", [Answer(delay_s=3)])
        self.later(0.2, lambda: self.client.done(job_id, {"output": 1}))
        self.assertIsNone(self.plane.wait(job_id, 10).acked)
        self.assertIsNotNone(self.plane.wait_for(lambda: self.plane.job(job_id).acked, 10))

    def test_an_error_in_a_predicate_comes_out_where_it_waits(self):
        self.later(0.1, self.client.ping)
        with self.assertRaises(ZeroDivisionError):
            self.plane.wait_for(lambda: 1 // (1 - len(self.plane.pings)) and False, 10)


class Light(Plane):
    options = {"light": True}

    def test_a_long_run_keeps_no_bodies_but_all_counts(self):
        for _ in range(1100):
            self.client.done(self.taken(), {"output": "x"})
        self.assertEqual((self.plane.states["COMPLETED"], self.plane.counts["done"]), (1100, 1100))
        self.assertEqual(len(self.plane.requests), 1000)
        job = next(iter(self.plane.jobs.values()))
        self.assertEqual((job.final, job.finals, job.body), (None, [None], b""))
        self.assert_clean()


class Environment(Plane):
    def test_variables_are_as_the_platform_sets_them(self):
        env = self.plane.environment(worker_id="w", endpoint="e", ping_interval_ms=500, RUNPOD_WEBHOOK_PING=None, X="y")
        base = f"http://127.0.0.1:{self.plane.port}/v2/e"
        self.assertEqual(env, {
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=NVIDIA+RTX+A5000",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000",
            "RUNPOD_PING_INTERVAL": "500", "RUNPOD_AI_API_KEY": self.plane.key, "RUNPOD_POD_ID": "w",
            "RUNPOD_ENDPOINT_ID": "e", "X": "y"})
        self.assertEqual(self.plane.environment()["RUNPOD_WEBHOOK_PING"], f"{self.plane.url}/v2/ep/ping/$RUNPOD_POD_ID")
        for query, tail in ((None, ""), ("", "?")):
            env = self.plane.environment(query=query, worker="$RUNPOD_POD_ID", take="next")
            self.assertEqual(env["RUNPOD_WEBHOOK_GET_JOB"], f"{self.plane.url}/v2/ep/next/$RUNPOD_POD_ID{tail}")


if __name__ == "__main__":
    unittest.main()
