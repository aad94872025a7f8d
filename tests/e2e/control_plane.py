"""A RunPod control plane for tests: the server side of the queue protocol, on loopback, with scripted faults.

It stands where api.runpod.ai stands for a worker: hands out jobs, takes results, hears pings. It knows the wire
protocol and nothing about voxhost, so that the Python SDK can be run against it as well. Standard library only.

    with ControlPlane(hold_s=20) as plane:
        env = plane.environment()                   # what the platform puts into a worker's environment
        job = plane.submit({"input": {"text": "x"}})
        plane.wait(job, 30).final                   # {"output": ...} or {"error": ...}
        plane.violations                            # [] or what the worker did wrong, one line each

Routes: take, take_batch, stop (GET, held), done (results and progress), stream (chunks), ping.

ControlPlane(hold_s, key, max_body, ping_grace_s, dead_after_s, orphan_after, light)
    hold_s          a take or stop poll with nothing to say is answered 204 after this time
    max_body        a larger POST to done is answered 400
    ping_grace_s    a job must be in every ping that begins this long after its take was answered
    dead_after_s    a worker without a ping for so long is dead: what it has in progress is queued again
    orphan_after    so many pings in a row of its worker without a job's id: the job is queued again
    light           for long runs: only the last 1000 requests and pings, no bodies in jobs
environment(worker_id, endpoint, query, worker, take, ping_interval_ms, **variables)
    query: what follows "?" in every URL, "" for a bare "?", None for no "?". worker: the placeholder in GET_JOB.
    take: the path piece of GET_JOB, "job-take" or "next" (the same route, but nothing can be derived from it).
    variables: environment variables to add or replace; None removes one.
submit(job) -> id       a dict with input and no id gets one. Anything else goes out as it is (bytes: verbatim)
submit_as(id, bytes)        the same for bytes that the plane itself cannot read
submit_many(jobs), cancel(id), retry(id), duplicate(id) (hands it out once more while it runs), signal_stop(list)
script(route, [Answer...])  the next exchanges on that route go so, then it behaves again
fault(route, function)      function(request) -> Answer or None, asked when no script is left; None takes it away
outage("refuse" | "reset" | "hang"), recover(), close_connections(reset=False), read_rate (bytes/s, None: no limit)
requests, pings, connections_seen, violations, notes; states[state] counts jobs; job(id), jobs
wait(id, timeout) -> Job in a terminal state; wait_for(predicate, timeout) -> its first true value. Both raise
TimeoutError. Predicates run on the server's thread after each event: keep them short.
hold() is a context in which the state stands still, for looking at several things at once.
"""

import asyncio
import collections
import json
import socket
import threading
import time
import typing
import urllib.parse
import uuid

from control_wire import NORMAL, Answer, Connection, NotStrict, strict_json

__all__ = ["Answer", "ControlPlane"]

KEY = "rpa_CONTROLPLANE0123456789"
CHUNK_MAX = 1_000_000
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
ROUTES = {  # path piece -> route, method, has a job id
    "job-take": ("take", "GET", False),
    "next": ("take", "GET", False),
    "job-take-batch": ("take_batch", "GET", False),
    "job-stop": ("stop", "GET", False),
    "job-done": ("done", "POST", True),
    "job-stream": ("stream", "POST", True),
    "ping": ("ping", "GET", False),
}


class Job:
    __slots__ = ("id body state worker submitted taken delivered finished acked final finals progress "
                 "chunks retried deliveries absent").split()

    def __init__(self, job_id, body):
        self.id, self.body, self.state, self.worker = job_id, body, "IN_QUEUE", None
        self.submitted = time.monotonic()
        self.taken = self.delivered = None  # handed out; the answer with it was written whole
        self.finished = self.acked = None  # first final result accepted; its 2xx was written
        self.final, self.finals, self.progress, self.chunks = None, [], [], []
        self.retried = self.deliveries = self.absent = 0

    def __repr__(self):
        return f"<job {self.id} {self.state}>"


class Ping(typing.NamedTuple):
    time: float
    ids: list
    status: typing.Optional[str]
    check: typing.Optional[str]
    reason: typing.Optional[str]
    version: typing.Optional[str]
    worker: str


class ControlPlane:
    def __init__(self, hold_s=20.0, key=KEY, max_body=20_000_000, ping_grace_s=1.0, dead_after_s=None,
                 orphan_after=None, light=False):
        self.hold_s, self.key, self.max_body, self.ping_grace_s = hold_s, key, max_body, ping_grace_s
        self.dead_after_s, self.orphan_after, self.light = dead_after_s, orphan_after, light
        self.read_rate = None
        self.requests = collections.deque(maxlen=1000) if light else []
        self.pings = collections.deque(maxlen=1000) if light else []
        self.violations, self.notes = [], []
        self.jobs, self.states, self.counts = {}, collections.Counter(), collections.Counter()
        self.connections_seen = 0
        self.dead_workers = set()
        self._lock = threading.RLock()  # guards all of it; the server's thread holds it while it handles an event
        self._queue = collections.deque()  # (job or None, bytes to hand out)
        self._held = collections.defaultdict(dict)  # worker -> {id: job that it took and is not rid of}
        self._stops = collections.defaultdict(list)  # worker -> ids to stop, not yet said
        self._waiting_takes, self._waiting_stops = [], []
        self._takes_in_flight = collections.defaultdict(list)
        self._last_ping = {}
        self._scripts, self._faults = collections.defaultdict(collections.deque), {}
        self._connections, self._waiters = {}, []
        self._refusing = self.hanging = False
        self._server = self._placeholder = None
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._loop_failed)
        self._thread = threading.Thread(target=self.loop.run_forever, name="control-plane", daemon=True)
        self._thread.start()
        self.port = 0
        self._call(self._listen())
        if dead_after_s:
            self.loop.call_soon_threadsafe(self._bury_dead_workers)

    # The test's side.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.loop.is_closed():
            return
        self._call(self._shut())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self, worker_id="pod-1", endpoint="ep", query="gpu=NVIDIA+RTX+A5000", worker="$ID", take="job-take",
                    ping_interval_ms=10000, **variables):
        tail = "" if query is None else "?" + query
        base = f"{self.url}/v2/{endpoint}"
        env = {
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/{take}/{worker}{tail}",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID{tail}",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID{tail}",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID",
            "RUNPOD_PING_INTERVAL": str(ping_interval_ms),
            "RUNPOD_AI_API_KEY": self.key,
            "RUNPOD_POD_ID": worker_id,
            "RUNPOD_ENDPOINT_ID": endpoint,
        }
        env.update(variables)
        return {name: value for name, value in env.items() if value is not None}

    def submit(self, job):
        return self.submit_many([job])[0]

    def submit_many(self, jobs):
        """Queues all of them before a worker can take the first; the ids, None for what has none."""
        with self._lock:
            ids = [self._enqueue(job) for job in jobs]
        self._soon(self._serve)
        return ids

    def submit_as(self, job_id, body):
        """Queues a job of this id that goes out as these bytes, whatever they are."""
        with self._lock:
            self._admit(job_id, body)
        self._soon(self._serve)

    def retry(self, job_id):
        """Puts a job back into the queue, as the cloud's /retry and its automatic retries do."""
        with self._lock:
            self._requeue(self.jobs[job_id])
        self._soon(self._serve)

    def duplicate(self, job_id):
        """Hands a job out once more, whatever its state."""
        with self._lock:
            self._queue.append((None, self.jobs[job_id].body))
        self._soon(self._serve)

    def cancel(self, job_id):
        with self._lock:
            job = self.jobs[job_id]
            if job.state in TERMINAL:
                return
            was = job.state
            self._set_state(job, "CANCELLED")
            if was == "IN_PROGRESS":
                self._stops[job.worker].append(job_id)
        self._soon(self._serve)

    def signal_stop(self, ids, worker_id="pod-1"):
        """Says so on the stop channel, whatever the ids are; the jobs' states do not change."""
        with self._lock:
            self._stops[worker_id].extend(ids)
        self._soon(self._serve)

    def script(self, route, answers):
        assert route in {name for name, _, _ in ROUTES.values()}, route
        with self._lock:
            self._scripts[route].extend(answers)

    def script_left(self, route):
        with self._lock:
            return len(self._scripts[route])

    def fault(self, route, function):
        assert route in {name for name, _, _ in ROUTES.values()}, route
        with self._lock:
            self._faults[route] = function

    def outage(self, how="refuse"):
        """Closes every connection; new ones are refused, reset, or accepted and never answered."""
        assert how in ("refuse", "reset", "hang"), how
        self._call(self._outage(how))

    def recover(self):
        self._call(self._recover())

    def close_connections(self, reset=False):
        self._call(self._close_connections(reset))

    @property
    def connections(self):
        """How many are open."""
        with self._lock:
            return len(self._connections)

    def job(self, job_id):
        with self._lock:
            return self.jobs[job_id]

    def on(self, *routes):
        """The requests on these routes so far, in order."""
        with self._lock:
            return [request for request in self.requests if request.route in routes]

    def hold(self):
        return self._lock

    def wait(self, job_id, timeout=30):
        job = self.job(job_id)
        return self.wait_for(lambda: job if job.state in TERMINAL else None, timeout, f"job {job_id} to end")

    def wait_for(self, predicate, timeout=30, what="what was waited for"):
        with self._lock:
            value = predicate()
            if value:
                return value
            waiter = [predicate, threading.Event(), None, None]
            self._waiters.append(waiter)
        waiter[1].wait(timeout)
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                waiter[2] = predicate()  # it may depend on the clock
            if waiter[3]:
                raise waiter[3]
            if not waiter[2]:
                raise TimeoutError(f"{what}: not within {timeout} s; last requests {list(self.requests)[-5:]}")
            return waiter[2]

    # Jobs and their states; the lock is held.

    def _enqueue(self, job):
        if isinstance(job, dict):
            job = {"id": str(uuid.uuid4()) + "-u1", **job} if "id" not in job and "input" in job else job
        body = bytes(job) if isinstance(job, (bytes, bytearray)) else json.dumps(job, ensure_ascii=False).encode()
        if isinstance(job, (bytes, bytearray)):
            try:
                job = json.loads(body.decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                job = None
        job_id = job.get("id") if isinstance(job, dict) else None
        if not isinstance(job_id, str) or not job_id:
            self._queue.append((None, body))
            return None
        return self._admit(job_id, body)

    def _admit(self, job_id, body):
        assert job_id not in self.jobs, f"{job_id}: submitted already; duplicate() hands it out again"
        record = Job(job_id, body)
        self.jobs[job_id] = record
        self.states["IN_QUEUE"] += 1
        self._queue.append((record, body))
        return job_id

    def _set_state(self, job, state):
        self.states[job.state] -= 1
        self.states[state] += 1
        job.state = state
        if state == "IN_PROGRESS":
            self._held[job.worker][job.id] = job
        elif state in ("IN_QUEUE", "CANCELLED"):
            self._held[job.worker].pop(job.id, None)
        if self.light and state in TERMINAL:
            job.body = b""

    def _requeue(self, job):
        if job.state == "IN_QUEUE":
            return
        self._set_state(job, "IN_QUEUE")
        job.retried += 1
        job.taken = job.delivered = job.finished = job.acked = None
        job.absent = 0
        self._queue.append((job, job.body))

    def _next_jobs(self, worker, count):
        """Up to count entries off the queue, marked as taken; what was cancelled meanwhile is passed over."""
        bodies, jobs = [], []
        while self._queue and len(bodies) < count:
            job, body = self._queue.popleft()
            if job is not None:
                if job.state != "IN_QUEUE":
                    continue
                job.worker, job.taken, job.deliveries = worker, time.monotonic(), job.deliveries + 1
                self._set_state(job, "IN_PROGRESS")
                jobs.append(job)
            bodies.append(body)
        return bodies, jobs

    # The server's thread.

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def _soon(self, function):
        self.loop.call_soon_threadsafe(function)

    def _loop_failed(self, loop, context):
        error = context.get("exception")
        if not isinstance(error, (ConnectionError, TimeoutError)):
            self._violate(None, f"the control plane itself failed: {context['message']}: {error!r}")

    def _socket(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        return sock

    async def _listen(self):
        self._server = await self.loop.create_server(lambda: Connection(self), sock=self._socket(), backlog=256)

    async def _shut(self):
        await self._outage("reset")
        self._server.close()
        if self._placeholder:
            self._placeholder.close()
        await asyncio.sleep(0)

    async def _outage(self, how):
        with self._lock:
            self._refusing, self.hanging = how == "reset", how == "hang"
        if how == "refuse" and self._placeholder is None:
            self._server.close()
            await asyncio.sleep(0)
            self._placeholder = self._socket()  # bound, not listening: nobody else gets the port
        await self._close_connections(True)

    async def _recover(self):
        with self._lock:
            self._refusing = self.hanging = False
        if self._placeholder:
            self._placeholder.close()
            self._placeholder = None
            await self._listen()
        else:
            await self._close_connections(True)  # those that were left hanging

    async def _close_connections(self, reset):
        for connection in list(self._connections.values()):
            connection.cut(reset)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def connected(self, connection):
        with self._lock:
            self.connections_seen += 1
            self._connections[self.connections_seen] = connection
            if self._refusing:
                connection.cut(True)
            return self.connections_seen

    def disconnected(self, connection):
        with self._lock:
            self._connections.pop(connection.number, None)
            request = connection.current
            if request:
                self._end(request, False)
            self._wake()

    def broken(self, connection, why):
        with self._lock:
            self._violate(None, why)
            connection.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.transport.close()

    def _violate(self, request, what):
        self.violations.append(f"{request.method} {request.target}: {what}" if request else what)

    def _wake(self):
        for waiter in list(self._waiters):
            try:
                waiter[2] = waiter[0]()
            except Exception as error:  # the test's own; it is raised where it waits
                waiter[3] = error
            if waiter[2] or waiter[3]:
                self._waiters.remove(waiter)
                waiter[1].set()

    def arrived(self, request):
        with self._lock:
            self.requests.append(request)
            method = self._place(request)
            self.counts[request.route] += 1
            if request.route is None:
                self._reply(request, 404, {"error": "no such route"})
            elif request.method != method:
                self._violate(request, f"{method} is the method of this route")
                self._reply(request, 405, {"error": "method not allowed"})
            else:
                self._check_headers(request)
                sound = request.job_id is None or self._check_body(request)
                request.answer = self._next_answer(request)
                self._handle(request, sound)
            self._wake()

    def _place(self, request):
        """Finds route, worker and job in /v2/<endpoint>/<piece>/<worker>[/<job>]; returns the route's method."""
        parts = request.path.split("/")
        route, method, has_job = ROUTES.get(parts[3] if len(parts) > 3 else "", (None, None, False))
        if route is None or parts[:2] != ["", "v2"] or len(parts) != (6 if has_job else 5):
            self._violate(request, "no such route")
            return None
        if "&" in request.path:  # a parameter was appended to a URL without a query
            self._violate(request, "a parameter in the path")
            parts[-1], _, tail = parts[-1].partition("&")
            request.params += urllib.parse.parse_qsl(tail, keep_blank_values=True)
        request.route, request.worker = route, urllib.parse.unquote(parts[4])
        request.job_id = urllib.parse.unquote(parts[5]) if has_job else None
        if "$" in request.target:
            self._violate(request, "a placeholder was not replaced")
        return method

    def _check_headers(self, request):
        if request.header("Authorization") != self.key:
            self._violate(request, f"Authorization: {request.header('Authorization')}")
        if request.header("Expect") is not None:
            self._violate(request, "an Expect header")
        if request.header("Transfer-Encoding") is not None:
            self._violate(request, "a request with Transfer-Encoding")
        correlation = request.header("X-Request-ID")
        if request.job_id is None:
            if correlation is not None:
                self._violate(request, f"X-Request-ID: {correlation}")
        elif correlation is None or urllib.parse.unquote(
                correlation.encode("latin-1").decode("utf-8", "replace")) != urllib.parse.unquote(request.job_id):
            self._violate(request, f"X-Request-ID: {correlation}")

    def _next_answer(self, request):
        if self._scripts[request.route]:
            return self._scripts[request.route].popleft()
        function = self._faults.get(request.route)
        return (function(request) if function else None) or NORMAL

    def _handle(self, request, sound):
        answer = request.answer
        if request.header("Authorization") != self.key:
            return self._reply(request, 401, {"error": "unauthorized"})
        if request.route in ("take", "take_batch"):
            self._count_take(request)
        elif not sound:
            return self._reply(request, 400, {"error": "bad body"})
        if answer.processed(request.route):
            getattr(self, "_on_" + request.route)(request)
        else:
            self._reply(request, answer.status or 200)

    def _on_take(self, request):
        self._waiting_takes.append(request)
        request.timer = self.loop.call_later(self.hold_s, self._nothing, self._waiting_takes, request)
        self._serve()

    def _on_take_batch(self, request):
        size = request.param("batch_size") or ""
        if not size.isdigit() or int(size) < 1:
            self._violate(request, f"batch_size: {size}")
            return self._reply(request, 400)
        self._on_take(request)

    def _on_stop(self, request):
        self._waiting_stops.append(request)
        request.timer = self.loop.call_later(self.hold_s, self._nothing, self._waiting_stops, request)
        self._serve()

    def _nothing(self, waiting, request):
        with self._lock:
            if request in waiting:
                waiting.remove(request)
                self._reply(request, 204)

    def _count_take(self, request):
        """Two takes at once are wrong, unless the first was hung up on and we have not seen that yet."""
        def still_wrong(first):
            with self._lock:
                if first.status is not None or first.ended is None:
                    self._violate(request, f"a second take while {first.target} is in flight")

        in_flight = self._takes_in_flight[request.worker]
        for first in in_flight:
            self.loop.call_later(0.1, still_wrong, first)
        in_flight.append(request)

    def _serve(self):
        """Hands out what there is to those who wait for it."""
        with self._lock:
            while self._waiting_takes and self._queue:
                request = self._waiting_takes[0]
                batch = request.route == "take_batch"
                bodies, jobs = self._next_jobs(request.worker, int(request.param("batch_size")) if batch else 1)
                if not bodies:
                    break
                self._waiting_takes.pop(0)
                request.timer.cancel()
                request.jobs = jobs
                self._reply(request, 200, b"[" + b",".join(bodies) + b"]" if batch else bodies[0])
            for request in list(self._waiting_stops):
                ids = self._stops.pop(request.worker, None)
                if ids:
                    self._waiting_stops.remove(request)
                    request.timer.cancel()
                    self._reply(request, 200, {"jobsToStop": ids})
            self._wake()

    def _check_body(self, request):
        """What every POST must be, also one that a script lets fail."""
        body_max = self.max_body if request.route == "done" else CHUNK_MAX
        if len(request.body) > body_max:
            self._violate(request, f"a body of {len(request.body)} bytes, more than {body_max}")
            return request.route != "done"  # the cloud splits larger chunks
        try:
            request.value = strict_json(request.body)
            if not isinstance(request.value, dict):
                raise NotStrict("no object")
        except (ValueError, RecursionError) as error:
            self._violate(request, f"the body is not JSON: {error}")
            return False
        progress = request.value.get("status") == "IN_PROGRESS"
        request.final = request.route == "done" and not progress
        if request.final and not isinstance(request.value.get("error", ""), str):
            self._violate(request, f"error is no string: {request.value['error']!r}")
        if request.param("isStream") not in (("true", "false") if request.final else ("false",)):
            self._violate(request, f"isStream: {request.param('isStream')}")
        return True

    def _on_done(self, request):
        job = self._job_for(request, "a final result" if request.final else "progress")
        if job is None:
            return self._reply(request, 404, {"error": "job not found"})
        if request.final:
            self._finish(job, request.value)
        else:
            job.progress.append(request.value)
        self._reply(request, 200, {"status": "ok"})

    def _finish(self, job, body):
        job.finals.append(None if self.light else body)
        if job.state not in TERMINAL:
            job.final, job.finished = job.finals[-1], time.monotonic()
            error = body.get("error")
            self._set_state(job, "FAILED" if isinstance(error, str) and error else "COMPLETED")

    def _job_for(self, request, what):
        """The job that a POST is about, if it may have one; what is too late or astray is put down."""
        job = self.jobs.get(request.job_id)
        if job is None or job.deliveries == 0:
            self._violate(request, f"{what} for a job that was never handed out")
            return None
        if request.worker != job.worker:
            self.notes.append(f"{request.target}: {what} of another worker than {job.worker}")
        if job.state == "CANCELLED":
            self.notes.append(f"{request.target}: {what} for a cancelled job")
            return None
        if not request.final and job.finished is not None:
            self._violate(request, f"{what} after the final result")
        elif request.final and job.acked is not None:
            self._violate(request, "a second final result")
        return job

    def _on_stream(self, request):
        job = self._job_for(request, "a chunk")
        if job is None:
            return self._reply(request, 404, {"error": "job not found"})
        job.chunks.append(None if self.light else request.value)
        self._reply(request, 200, {"status": "ok"})

    def _on_ping(self, request):
        ids = (request.param("job_id") or "").split(",") if request.param("job_id") else []
        self.pings.append(Ping(request.begun, ids, request.param("status"), request.param("check"),
                               request.param("reason"), request.param("runpod_version"), request.worker))
        self._last_ping[request.worker] = request.begun
        listed = set(ids)
        for job in list(self._held[request.worker].values()):
            job.absent = 0 if job.id in listed else job.absent + 1
            if job.absent and job.delivered is not None and request.begun > job.delivered + self.ping_grace_s:
                self._violate(request, f"job {job.id} is in progress and not in the ping")
            if self.orphan_after and job.absent >= self.orphan_after and job.state == "IN_PROGRESS":
                self.notes.append(f"job {job.id}: orphan of {request.worker}, queued again")
                self._requeue(job)
        self._reply(request, 200, {"status": "ok"})
        self._serve()

    def _bury_dead_workers(self):
        with self._lock:
            now = time.monotonic()
            for worker, last in list(self._last_ping.items()):
                if now - last > self.dead_after_s:
                    del self._last_ping[worker]
                    self.dead_workers.add(worker)
                    for job in list(self._held[worker].values()):
                        if job.state == "IN_PROGRESS":
                            self._requeue(job)
            self._serve()
        self.loop.call_later(self.dead_after_s / 10, self._bury_dead_workers)

    def _reply(self, request, status, body=b""):
        answer = request.answer
        headers = tuple(answer.headers)
        if answer.status is not None:
            status, body = answer.status, b"" if answer.body is None else answer.body
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        if body and not any(name.lower() == "content-type" for name, _ in headers):
            headers = (("Content-Type", "application/json"), *headers)
        if answer.delay_s:
            self.loop.call_later(answer.delay_s, self._send, request, status, headers, body)
        else:
            self._send(request, status, headers, body)

    def _send(self, request, status, headers, body):
        with self._lock:
            connection = self._connections.get(request.connection)
            if connection is None or connection.current is not request:
                return
            answer = request.answer
            if answer.drop or (answer.reset and answer.truncate is None):
                self._end(request, False)
                connection.cut(answer.reset)
            elif not answer.stall:
                request.status = status
                self._end(request, connection.respond(request, status, headers, body))
            self._wake()

    def _end(self, request, sent):
        """The exchange is over: the worker has its answer, or never will."""
        if request.ended is not None:
            return
        request.ended, request.sent = time.monotonic(), sent
        if request.timer:
            request.timer.cancel()
        for waiting in (self._waiting_takes, self._waiting_stops, self._takes_in_flight[request.worker]):
            if request in waiting:
                waiting.remove(request)
        told = request.final and request.answer and request.answer.truncate is not None  # its status is what counts
        if not sent and not told:
            return
        if request.route in ("take", "take_batch"):
            for job in request.jobs:
                job.delivered = request.ended
        elif request.final:
            job = self.jobs.get(request.job_id)
            if job and 200 <= request.status < 300 and job.finished is not None and job.acked is None:
                job.acked = request.ended
            if job and request.status < 500 and request.status not in (408, 425, 429):
                self._held[request.worker].pop(job.id, None)
