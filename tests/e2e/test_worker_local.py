"""`voxhost worker` without a platform: one job from the command line (conformance case 50) and the local API server
(case 51), with what it has beyond the Python SDK's.

What FastAPI says to wrong requests was recorded from runpod 1.12.0.
"""

import base64
import contextlib
import http.client
import http.server
import json
import queue
import re
import signal
import socket
import threading
import time
import unittest

from common import Case, run
from worker_common import WorkerCase, tone

TIMEOUT_S = 60  # for one event, on a loaded machine with sanitizers
JSON = {"Content-Type": "application/json"}
NOT_FOUND = {"status": "FAILED", "error": "Job ID not found"}
LONG = {"sleep_ms": 3600000}  # a job that ends only when it is cancelled


def body_of(done):
    """The one line that a one-shot run prints."""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    return json.loads(lines[0])


def members(pairs):
    """For json.loads: an object of these, none of which may stand twice."""
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a member twice in {names}"
    return dict(pairs)


def errors_of(done):
    return [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]


class OneShot(Case):
    def once(self, *arguments, **kw):
        return run("worker", "--manifest", self.manifest(), *arguments, cwd=self.dir, **kw)

    def test_case_50_test_input_runs_one_job(self):
        done = self.once("--test_input", json.dumps(tone(format="wav", duration_ms=100)))
        self.assert_exit(done, 0)
        output = body_of(done)["output"]
        self.assertEqual((output["id"], output["status"]), ("local_test", "ok"))
        self.assertTrue(base64.b64decode(output["audio"]["base64"]).startswith(b"RIFF"))

    def test_case_50_file_is_run_and_the_argument_wins(self):
        self.write("test_input.json", json.dumps(tone(id="from_file")))
        done = self.once()
        self.assert_exit(done, 0)
        self.assertEqual(body_of(done)["output"]["id"], "from_file")
        done = self.once("--test_input", json.dumps(tone(id="from_argument")))
        self.assert_exit(done, 0)
        self.assertEqual(body_of(done)["output"]["id"], "from_argument")

    def test_case_50_failure_prints_the_error_and_ends_with_1(self):
        done = self.once("--test_input", json.dumps({"input": {"text": "x", "model_type": "nobody"}}))
        self.assert_exit(done, 1)
        body = body_of(done)
        self.assertEqual(json.loads(body["error"])["error_code"], "unknown_model")
        self.assertEqual(errors_of(done)[-1]["job"], "local_test")

    def test_case_50_no_job_is_an_error_line_and_1(self):
        for arguments in ([], ["--test_input", "{"], ["--test_input", "{}"], ["--test_input", '{"input": null}'],
                          ["--test_input", "[]"], ["--test_input", '"input"'], ["--test_input", '{"input": []}']):
            with self.subTest(arguments):
                done = self.once(*arguments)
                self.assert_exit(done, 1)
                self.assertTrue(errors_of(done), done.stderr)
                self.assertEqual(errors_of(done)[0]["component"], "worker")

    def test_case_50_file_that_is_no_json_ends_with_1(self):
        self.write("test_input.json", b'{"input": "\xff"}')
        done = self.once()
        self.assert_exit(done, 1)
        self.assertIn("test_input.json", errors_of(done)[0]["reason"])

    def test_stream_prints_the_aggregated_list(self):
        done = run("worker", "--manifest", self.manifest(worker={"stream_chunk_bytes": 4096}), "--test_input",
                   json.dumps(tone(stream=True, format="pcm", duration_ms=500)), cwd=self.dir)
        self.assert_exit(done, 0)
        chunks = body_of(done)["output"]
        audio = b"".join(base64.b64decode(chunk.get("audio_base64", "")) for chunk in chunks)
        self.assertGreater(len(chunks), 3)
        self.assertEqual(len(audio), 24000)
        self.assertEqual(chunks[-1]["status"], "ok")


class Signalled(WorkerCase):
    def test_signal_ends_the_one_job(self):
        worker = self.start_command({}, "--manifest", self.manifest(), "--test_input", json.dumps(tone(**LONG)))
        worker.wait_log(event="model ready")
        worker.stop(code=1)
        self.assertEqual(json.loads(json.loads(worker.out)["error"])["error_code"], "cancelled")


class Hooks:
    """A receiver of webhooks: `taken` has (path, body); `statuses` are what it answers first, then 200."""

    def __init__(self, case, *statuses):
        self.taken, waiting = queue.Queue(), list(statuses)
        taken = self.taken

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(waiting.pop(0) if waiting else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                taken.put((self.path, json.loads(body)))

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        case.addCleanup(server.server_close)
        case.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}/hook?token=hush"

    def next(self):
        return self.taken.get(timeout=TIMEOUT_S)[1]


class ApiCase(WorkerCase):
    def serve(self, *models, arguments=(), env=None, **top):
        """Starts the server on a free port."""
        top.setdefault("host", {"log_level": "debug"})
        self.worker = self.start_command(env or {}, "--manifest", self.manifest(*models, **top), "--rp_serve_api",
                                         "--rp_api_port", "0", *arguments)
        self.port = int(self.worker.wait_log(event="serving")["port"])

    def ask(self, method, path, body=None, headers=None):
        """-> status, body, headers. A body that is not bytes goes as JSON."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            if body is not None and not isinstance(body, bytes):
                body, headers = json.dumps(body), JSON if headers is None else headers
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            raw = answer.read()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(raw, object_pairs_hook=members) if raw and "json" in kind else raw, answer.headers

    def get(self, path, status=200):
        got, body, _ = self.ask("GET", path)
        self.assertEqual(got, status, body)
        return body

    def post(self, path, body=None, status=200):
        got, answer, _ = self.ask("POST", path, body)
        self.assertEqual(got, status, answer)
        return answer

    def submit(self, **options):
        return self.post("/run", tone(**options))["id"]

    def wait_for(self, look, wanted, what):
        deadline = time.monotonic() + TIMEOUT_S
        while (seen := look()) != wanted:
            self.assertLess(time.monotonic(), deadline, f"{what} is {seen}, expected {wanted}")
            time.sleep(0.02)

    def wait_state(self, job, state):
        self.wait_for(lambda: self.get(f"/status/{job}")["status"], state, f"the status of {job}")

    def start_runsync(self, job=None, **options):
        """A /runsync in a thread of its own; call the result for its answer."""
        job = job or tone(**options)
        answers = queue.Queue()
        threading.Thread(target=lambda: answers.put(self.ask("POST", "/runsync", job)), daemon=True).start()
        return lambda: answers.get(timeout=TIMEOUT_S)

    def counts(self):
        return self.get("/health")["jobs"]


class Routes(ApiCase):
    """Case 51: every row of the table of the SDK's server."""

    def test_case_51_runsync_answers_with_the_output(self):
        self.serve(env={"RUNPOD_POD_ID": "pod-7"})
        answer = self.post("/runsync", tone(duration_ms=100))
        self.assertRegex(answer["id"], r"^test-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertEqual(set(answer), {"id", "status", "output", "delayTime", "executionTime", "workerId"})
        self.assertEqual((answer["status"], answer["workerId"]), ("COMPLETED", "pod-7"))
        self.assertEqual(answer["output"]["audio"]["duration_s"], 0.1)
        self.assertIsInstance(answer["delayTime"], int)
        self.assertIsInstance(answer["executionTime"], int)

    def test_case_51_runsync_failure_is_200_failed_with_a_text(self):
        self.serve()
        answer = self.post("/runsync", {"input": {"text": ""}})
        self.assertEqual(answer["status"], "FAILED")
        self.assertEqual(json.loads(answer["error"])["error_field"], "text")

    def test_case_51_run_then_post_status_once_then_get_for_long(self):
        self.serve()
        started = self.post("/run", tone(sleep_ms=200))
        self.assertEqual(set(started), {"id", "status"})
        self.assertEqual(started["status"], "IN_QUEUE")
        job = started["id"]
        ended = self.post(f"/status/{job}")
        self.assertEqual((ended["id"], ended["status"], ended["output"]["status"]), (job, "COMPLETED", "ok"))
        self.assertGreaterEqual(ended["executionTime"], 190)
        self.assertEqual(self.post(f"/status/{job}"), {"id": job, **NOT_FOUND})
        self.assertEqual(self.get(f"/status/{job}"), ended)
        self.assertEqual(self.get(f"/status/{job}"), ended)

    def test_case_51_unknown_ids(self):
        self.serve()
        for path in ("/status/nobody", "/stream/nobody"):
            self.assertEqual(self.post(path), {"id": "nobody", **NOT_FOUND})
            self.assertEqual(self.get(path, 404), {"id": "nobody", **NOT_FOUND})
        for path in ("/cancel/nobody", "/retry/nobody"):
            self.assertEqual(self.post(path, status=404), {"id": "nobody", **NOT_FOUND})

    def test_case_51_post_stream_has_all_chunks_once(self):
        self.serve(worker={"stream_chunk_bytes": 4096})
        job = self.submit(stream=True, format="pcm", duration_ms=500)
        answer = self.post(f"/stream/{job}")
        self.assertEqual(set(answer), {"id", "status", "stream"})
        self.assertEqual(answer["status"], "COMPLETED")
        audio = b"".join(base64.b64decode(chunk["output"].get("audio_base64", "")) for chunk in answer["stream"])
        self.assertEqual(len(audio), 24000)
        self.assertEqual(answer["stream"][-1]["output"]["status"], "ok")
        self.assertEqual(self.post(f"/stream/{job}"), {"id": job, **NOT_FOUND})
        self.assertEqual(self.get(f"/stream/{job}"), {"id": job, "status": "COMPLETED", "stream": []})

    def test_case_51_post_stream_of_a_job_without_one(self):
        self.serve()
        job = self.submit()
        self.assertEqual(self.post(f"/stream/{job}"), {
            "id": job, "status": "FAILED", "error": "Stream not supported, handler must be a generator."})
        self.assertEqual(self.post(f"/status/{job}")["status"], "COMPLETED")

    def test_case_51_stream_that_fails_says_why(self):
        self.serve()
        job = self.post("/run", {"input": {"text": "", "stream": True, "format": "pcm"}})["id"]
        answer = self.post(f"/stream/{job}")
        self.assertEqual(answer["status"], "FAILED")
        self.assertEqual(json.loads(answer["error"])["error_field"], "text")

    def test_case_51_realtime_answers_with_the_bare_body(self):
        self.serve(env={"RUNPOD_ENDPOINT_ID": "ep1"})
        answer = self.post("/ep1/realtime", {"id": "mine", **tone()})
        self.assertEqual(set(answer), {"output"})
        self.assertEqual(answer["output"]["id"], "mine")
        answer = self.post("/ep1/realtime", {"id": "mine", "input": [1]})
        self.assertIsInstance(answer["error"], str)
        self.assertEqual(self.post("/ep1/realtime", {"id": 5}, 422)["detail"], [
            {"type": "string_type", "loc": ["body", "id"], "msg": "Input should be a valid string", "input": 5},
            {"type": "missing", "loc": ["body", "input"], "msg": "Field required", "input": {"id": 5}}])
        self.assertEqual(self.ask("GET", "/ep1/realtime")[0], 405)

    def test_platform_is_pinged_with_what_runs(self):
        plane = self.start_plane()
        self.serve(env=plane.environment(ping_interval_ms=200))
        job = self.submit(**LONG)
        plane.wait_for(lambda: plane.pings and plane.pings[-1].ids == [job], TIMEOUT_S, "a ping with the job")
        self.post(f"/cancel/{job}")
        plane.wait_for(lambda: plane.pings[-1].ids == [], TIMEOUT_S, "a ping without it")
        self.assertEqual(plane.on("take", "take_batch", "stop"), [])

    def test_case_51_realtime_only_with_an_endpoint(self):
        self.serve()
        self.assertEqual(self.post("/ep1/realtime", {"id": "mine", **tone()}, 404), {"detail": "Not Found"})

    def test_case_51_pages(self):
        self.serve()
        status, page, headers = self.ask("GET", "/")
        self.assertEqual((status, headers["Content-Type"].split(";")[0]), (200, "text/html"))
        status, _, headers = self.ask("GET", "/docs")
        self.assertEqual((status, headers["Location"]), (307, "/"))
        paths = self.get("/openapi.json")["paths"]
        self.assertEqual(set(paths["/status/{id}"]), {"get", "post"})
        for path in paths:  # the documents tell the truth
            self.assertIn(path, page.decode())
            self.assertEqual(self.ask("DELETE", path.replace("{id}", "x"))[0], 405, path)

    def test_case_51_unknown_paths_and_methods(self):
        self.serve()
        for path in ("/nobody", "/status", "/status/", "/status/a/b", "/run/x", "/runs"):
            self.assertEqual(self.get(path, 404), {"detail": "Not Found"}, path)
        for method, path, allow in (("GET", "/run", "POST"), ("GET", "/runsync", "POST"), ("GET", "/cancel/x", "POST"),
                                    ("PUT", "/status/x", "GET, POST"), ("POST", "/health", "GET"),
                                    ("POST", "/ping", "GET")):
            status, body, headers = self.ask(method, path)
            self.assertEqual((status, body, headers["Allow"]), (405, {"detail": "Method Not Allowed"}, allow), path)

    def test_case_51_invalid_bodies_are_422_in_fastapis_words(self):
        no_object = {"type": "dataclass_type", "loc": ["body"], "ctx": {"class_name": "DefaultRequest"},
                     "msg": "Input should be a dictionary or an instance of DefaultRequest"}
        no_input = {"type": "missing", "loc": ["body", "input"], "msg": "Field required"}
        no_dict = {"type": "dict_type", "loc": ["body", "input"], "msg": "Input should be a valid dictionary"}
        no_body = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
        no_hook = {"type": "string_type", "loc": ["body", "webhook"], "input": 5,
                   "msg": "Input should be a valid string"}
        cases = [
            (b'{"input":{}}', {}, [{**no_object, "input": '{"input":{}}'}]),
            (b'{"input":{}}', {"Content-Type": "text/plain"}, [{**no_object, "input": '{"input":{}}'}]),
            (b"", JSON, [no_body]),
            (b'"abc"', JSON, [{**no_object, "input": "abc"}]),
            (b"[1]", JSON, [{**no_object, "input": [1]}]),
            (b'{"a":1}', JSON, [{**no_input, "input": {"a": 1}}]),
            (b'{"input":null}', JSON, [{**no_dict, "input": None}]),
            (b'{"input":[1],"webhook":5}', JSON, [{**no_dict, "input": [1]}, no_hook]),
            (b'{"input":"' + b"x" * 5000 + b'"}', JSON, [{**no_dict, "input": None}]),  # too long to show
        ]
        self.serve()
        for path in ("/run", "/runsync"):
            for body, headers, detail in cases:
                with self.subTest(path=path, body=body[:50]):
                    status, answer, _ = self.ask("POST", path, body, headers)
                    self.assertEqual((status, answer), (422, {"detail": detail}))
        for body in (b"{bad", b'{"input":{}} x', b'{"input":{"text":"\xff"}}', b"[" * 1000):
            with self.subTest(body[:50]):
                status, answer, _ = self.ask("POST", "/run", body, JSON)
                detail = answer["detail"][0]
                self.assertEqual((status, detail["type"], detail["msg"]), (422, "json_invalid", "JSON decode error"))
        self.assertEqual(self.counts()["inQueue"], 0)

    def test_content_types_that_are_json(self):
        self.serve()
        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"):
            status, answer, _ = self.ask("POST", "/runsync", json.dumps(tone()).encode(), {"Content-Type": kind})
            self.assertEqual((status, answer["status"]), (200, "COMPLETED"), kind)

    def test_body_of_more_than_20_mb_is_413(self):
        self.serve()
        status, _, _ = self.ask("POST", "/run", b'{"input":"' + b"x" * (21 << 20) + b'"}', JSON)
        self.assertEqual(status, 413)
        self.assertEqual(self.post("/runsync", tone())["status"], "COMPLETED")


class Jobs(ApiCase):
    """What the SDK's server lacks."""

    def test_run_goes_through_queue_progress_and_end(self):
        self.serve()
        first, second = self.submit(duration_ms=1000, sleep_ms=700), self.submit()
        self.wait_state(first, "IN_PROGRESS")
        self.wait_for(lambda: "output" in self.get(f"/status/{first}"), True, "is there a progress: it")
        running = self.get(f"/status/{first}")
        if running["status"] == "IN_PROGRESS":
            self.assertTrue(0 <= running["output"]["progress"] <= 1)
            self.assertEqual(self.get(f"/status/{second}"), {"id": second, "status": "IN_QUEUE"})
        self.wait_state(first, "COMPLETED")
        self.wait_state(second, "COMPLETED")
        self.assertGreaterEqual(self.get(f"/status/{second}")["delayTime"], 600)

    def test_concurrency_is_of_jobs(self):
        self.serve({"model_type": "tone", "sessions": 2}, arguments=["--rp_api_concurrency", "2"])
        jobs = [self.submit(**LONG) for _ in range(3)]
        self.wait_for(lambda: (self.counts()["inProgress"], self.counts()["inQueue"]), (2, 1), "running and waiting")
        states = [self.get(f"/status/{job}")["status"] for job in jobs]
        self.assertEqual(states, ["IN_PROGRESS", "IN_PROGRESS", "IN_QUEUE"])
        for job in jobs:
            self.post(f"/cancel/{job}")

    def test_runsync_with_wait_answers_in_time(self):
        self.serve()
        for wait in ("999", "300001", "x", "", "1000.0"):
            status, answer, _ = self.ask("POST", f"/runsync?wait={wait}", tone())
            self.assertEqual((status, answer["detail"][0]["loc"]), (422, ["query", "wait"]), wait)
        answer = self.post("/runsync?wait=1000", tone(**LONG))
        self.assertEqual(answer["status"], "IN_PROGRESS")
        self.assertEqual(self.get(f"/status/{answer['id']}")["status"], "IN_PROGRESS")
        self.post(f"/cancel/{answer['id']}")
        self.assertEqual(self.post("/runsync?wait=300000", tone())["status"], "COMPLETED")

    def test_cancel_of_running_and_of_waiting_jobs(self):
        self.serve()
        running, waiting = self.submit(**LONG), self.submit()
        self.wait_state(running, "IN_PROGRESS")
        answer = self.post(f"/cancel/{waiting}")
        self.assertEqual(answer, {"id": waiting, "status": "CANCELLED"})
        self.assertEqual(self.get(f"/status/{waiting}"), answer)
        self.assertEqual(self.post(f"/cancel/{running}"), {"id": running, "status": "CANCELLED"})
        self.wait_state(running, "CANCELLED")
        self.assertNotIn("output", self.get(f"/status/{running}"))
        done = self.submit()
        self.post(f"/status/{done}")
        self.assertEqual(self.post(f"/cancel/{done}"), {"id": done, "status": "COMPLETED"})

    def test_a_cancelled_job_is_that_whatever_its_plugin_makes_of_it(self):
        self.serve({"model_type": "faulty", "plugin": "faulty.so"}, host={"cancel_grace_s": 600})
        job = self.post("/run", {"input": {"text": "x", "options": {"fault": "ignores_cancel", "hang_ms": 1000}}})["id"]
        self.wait_state(job, "IN_PROGRESS")
        time.sleep(0.3)  # likely its plugin has begun; else this shows nothing
        self.assertEqual(self.post(f"/cancel/{job}")["status"], "CANCELLED")
        self.wait_for(lambda: self.counts()["inProgress"], 0, "running")
        said = self.get(f"/status/{job}")
        self.assertEqual((said["status"], "output" in said), ("CANCELLED", False))

    def test_cancel_answers_those_who_wait(self):
        self.serve()
        answer = self.start_runsync(**LONG)
        self.wait_for(lambda: self.counts()["inProgress"], 1, "running")
        job = self.worker.wait_log(event="job accepted")["job"]
        self.post(f"/cancel/{job}")
        self.assertEqual(answer()[1]["status"], "CANCELLED")

    def test_client_that_leaves_cancels_its_runsync(self):
        self.serve()
        body = json.dumps(tone(**LONG)).encode()
        request = b"POST /runsync HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        with socket.create_connection(("localhost", self.port)) as client:
            client.sendall(request % (len(body), body))
            self.wait_for(lambda: self.counts()["inProgress"], 1, "running")
        self.wait_for(lambda: self.counts()["inProgress"], 0, "running")
        self.assertEqual(self.worker.wait_log(event="job failed")["code"], "cancelled")

    def test_client_that_leaves_post_status_leaves_the_job(self):
        self.serve()
        job = self.submit(sleep_ms=1500)
        with socket.create_connection(("localhost", self.port)) as client:
            client.sendall(b"POST /status/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % job.encode())
            self.wait_state(job, "IN_PROGRESS")
        self.assertEqual(self.post(f"/status/{job}")["status"], "COMPLETED")

    def test_retry_runs_a_failed_job_again(self):
        self.serve()
        job = self.post("/run", {"input": {"text": ""}})["id"]
        self.assertEqual(self.post(f"/status/{job}")["status"], "FAILED")
        self.assertEqual(self.post(f"/retry/{job}"), {"id": job, "status": "IN_QUEUE"})
        self.assertEqual(self.post(f"/status/{job}")["status"], "FAILED")
        self.assertEqual(self.counts(), {"completed": 0, "failed": 2, "inProgress": 0, "inQueue": 0, "retried": 1})
        done = self.submit()
        self.post(f"/status/{done}")
        self.assertEqual(self.post(f"/retry/{done}", status=400)["error"],
                         "the job is COMPLETED; only one that is FAILED can be tried again")

    def test_purge_cancels_what_waits(self):
        self.serve()
        running = self.submit(**LONG)
        self.wait_state(running, "IN_PROGRESS")
        waiting = [self.submit() for _ in range(3)]
        self.assertEqual(self.post("/purge-queue"), {"removed": 3, "status": "completed"})
        self.assertEqual({self.get(f"/status/{job}")["status"] for job in waiting}, {"CANCELLED"})
        self.assertEqual(self.get(f"/status/{running}")["status"], "IN_PROGRESS")
        self.post(f"/cancel/{running}")

    def test_full_queue_is_429_and_too_many_results_are_forgotten(self):
        self.serve()
        running = self.submit(**LONG)
        self.wait_state(running, "IN_PROGRESS")
        connection = http.client.HTTPConnection("localhost", self.port, timeout=TIMEOUT_S)
        statuses, ids = [], []
        with contextlib.closing(connection):
            for _ in range(1001):
                connection.request("POST", "/run", json.dumps(tone()), JSON)
                answer = connection.getresponse()
                ids.append(json.load(answer).get("id"))
                statuses.append(answer.status)
        self.assertEqual((statuses[:1000], statuses[1000]), ([200] * 1000, 429))
        self.assertEqual(self.post("/purge-queue")["removed"], 1000)
        self.assertEqual(self.get(f"/status/{ids[1]}")["status"], "CANCELLED")
        self.submit()
        self.post(f"/cancel/{running}")
        # 1002 have ended then: the oldest are forgotten.
        self.wait_for(lambda: self.ask("GET", f"/status/{ids[0]}")[0], 404, "the status of the oldest")
        self.assertEqual(self.get(f"/status/{ids[999]}")["status"], "CANCELLED")

    def test_get_stream_hands_each_chunk_out_once(self):
        self.serve(worker={"stream_chunk_bytes": 2048})
        job = self.submit(stream=True, format="pcm", duration_ms=1000, sleep_ms=500)
        seen, pulls, status = [], 0, ""
        deadline = time.monotonic() + TIMEOUT_S
        while status != "COMPLETED":
            answer = self.get(f"/stream/{job}")
            status = answer["status"]
            pulls += bool(answer["stream"])
            seen += answer["stream"]
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertGreaterEqual(pulls, 2)  # some came while it ran
        audio = [chunk["output"] for chunk in seen if "audio_base64" in chunk["output"]]
        self.assertEqual([chunk["index"] for chunk in audio], list(range(len(audio))))
        self.assertEqual(sum(len(base64.b64decode(chunk["audio_base64"])) for chunk in audio), 48000)
        self.assertEqual(self.get(f"/status/{job}")["output"], [chunk["output"] for chunk in seen])

    def test_chunks_are_only_taken_by_who_gets_them(self):
        self.serve(worker={"stream_chunk_bytes": 4096})
        job = self.submit(stream=True, format="pcm", duration_ms=1000, block_frames=16384, **LONG)
        self.wait_for(lambda: "output" in self.get(f"/status/{job}"), True, "progress")  # the first block is there
        status, _, headers = self.ask("HEAD", f"/stream/{job}")
        self.assertEqual((status, headers["Allow"]), (405, "GET, POST"))
        with socket.create_connection(("localhost", self.port), timeout=TIMEOUT_S) as client:
            client.sendall(b"POST /stream/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % job.encode())
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):  # its end: the server knows that we have gone
                pass
        self.assertEqual([chunk["output"]["index"] for chunk in self.get(f"/stream/{job}")["stream"]], [0])
        self.post(f"/cancel/{job}")

    def test_stream_that_nobody_takes_ends_all_the_same(self):
        self.serve(worker={"stream_chunk_bytes": 4096})
        job = self.submit(stream=True, format="pcm", duration_ms=5000)
        self.assertEqual(self.post(f"/status/{job}")["status"], "COMPLETED")

    def test_stream_that_nobody_takes_fails_when_it_is_too_large(self):
        self.serve()
        job = self.submit(stream=True, format="pcm", duration_ms=1200000)  # 57.6 MB, in base64 76.8 MB
        answer = self.post(f"/status/{job}")
        self.assertEqual(answer["status"], "FAILED")
        self.assertIn("nobody took the chunks", answer["error"])


class Webhooks(ApiCase):
    def test_each_end_is_told_in_the_platforms_shape(self):
        hooks = Hooks(self)
        self.serve()
        job = {**tone(), "webhook": hooks.url}
        answer = self.post("/runsync", job)
        self.assertEqual(hooks.next(), {**answer, **job})
        failed = {"input": {"text": ""}, "webhook": hooks.url}
        answer = self.post("/runsync", failed)
        self.assertEqual(hooks.next(), {**answer, **failed})
        endless = self.post("/run", {**tone(**LONG), "webhook": hooks.url})["id"]
        self.wait_state(endless, "IN_PROGRESS")
        self.post(f"/cancel/{endless}")
        told = hooks.next()
        self.assertEqual((told["id"], told["status"]), (endless, "CANCELLED"))
        self.assertNotIn("hush", self.worker.log)

    def test_webhook_is_tried_again_after_ten_seconds(self):
        hooks = Hooks(self, 500)
        self.serve()
        self.post("/runsync", {**tone(), "webhook": hooks.url})
        first = hooks.next()
        begun = time.monotonic()
        self.assertEqual(hooks.next(), first)
        self.assertGreater(time.monotonic() - begun, 9)
        self.assertEqual(self.worker.wait_log(event="webhook failed")["reason"], "answered with status 500")

    def test_job_that_ends_while_draining_is_told(self):
        hooks = Hooks(self)
        self.serve()
        job = self.post("/run", {**tone(sleep_ms=500), "webhook": hooks.url})["id"]
        self.wait_state(job, "IN_PROGRESS")
        self.worker.stop()
        self.assertEqual(hooks.next()["status"], "COMPLETED")

    def assert_refused(self, url):
        job = self.post("/runsync", {**tone(), "webhook": url})["id"]
        reason = self.worker.wait_log(component="worker", level="warn", job=job)["reason"]
        self.assertRegex(reason, "not a public one|user name|http or https|expected a URL|resolve", url)

    def test_private_addresses_are_refused(self):
        hooks = Hooks(self)
        self.serve(arguments=["--rp_api_host", "0.0.0.0"])
        for url in (hooks.url, "http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/",
                    "http://0x7f.1/", "http://a@127.0.0.1/", "http://a\\@127.0.0.1/", "file:///etc/passwd"):
            self.assert_refused(url)
        self.assertTrue(hooks.taken.empty())

    def test_a_server_for_this_machine_may_tell_this_machine_only(self):
        self.serve()
        for url in ("http://10.0.0.1/", "http://localhost@10.0.0.1/", "http://localhost.10.0.0.1/"):
            self.assert_refused(url)

    def test_private_addresses_can_be_allowed(self):
        hooks = Hooks(self)
        self.serve(arguments=["--rp_api_host", "0.0.0.0"], host={"fetch_private": True})
        self.post("/runsync", {**tone(), "webhook": hooks.url})
        self.assertEqual(hooks.next()["status"], "COMPLETED")


class Stopping(ApiCase):
    def test_idle_server_ends_at_once(self):
        self.serve()
        self.assertLess(self.worker.stop(), 5)

    def test_what_runs_and_waits_is_finished_and_nothing_new_taken(self):
        self.serve()
        answer = self.start_runsync(sleep_ms=1500)
        self.wait_for(lambda: self.counts()["inProgress"], 1, "running")
        waiting = self.start_runsync()
        self.wait_for(lambda: self.counts()["inQueue"], 1, "waiting")
        self.worker.signal(signal.SIGTERM)
        self.worker.wait_log(event="stopping")
        self.assertEqual(self.post("/run", tone(), 503), {"error": "the server is stopping"})
        self.assertEqual(self.get("/ready", 503)["state"], "stopping")
        self.assertEqual(answer()[1]["status"], "COMPLETED")
        self.assertEqual(waiting()[1]["status"], "COMPLETED")
        self.worker.wait()

    def test_what_takes_longer_than_drain_s_is_failed(self):
        self.serve(host={"drain_s": 0.2, "log_level": "debug"})
        answer, waiting = self.start_runsync(**LONG), None
        self.wait_for(lambda: self.counts()["inProgress"], 1, "running")
        waiting = self.start_runsync()
        self.wait_for(lambda: self.counts()["inQueue"], 1, "waiting")
        self.worker.stop()
        self.assertEqual(answer()[1]["status"], "FAILED")
        self.assertEqual(waiting()[1]["error"], "the server is stopping")

    def test_plugin_that_hangs_does_not_keep_the_server(self):
        for fault, options in (("hangs", {}), ("none", {"fault": "open_hangs", "hang_ms": 600000})):
            with self.subTest(f"{fault} {options}"):
                self.serve({"model_type": "faulty", "plugin": "faulty.so", "options": options},
                           host={"drain_s": 0.2, "cancel_grace_s": 0.2})
                answer = self.start_runsync({"input": {"text": "x", "options": {"fault": fault, "hang_ms": 600000}}})
                self.wait_for(lambda: self.counts()["inProgress"], 1, "running")
                self.worker.stop()
                self.assertEqual(answer()[1]["status"], "FAILED")

    def test_second_signal_ends_at_once(self):
        self.serve()
        self.submit(**LONG)
        self.wait_for(lambda: self.counts()["inProgress"], 1, "running")
        self.worker.signal(signal.SIGTERM)
        self.worker.wait_log(event="stopping")
        self.worker.stop(code=128 + signal.SIGTERM)

    def test_port_in_use_is_wrong_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = run("worker", "--manifest", self.manifest(), "--rp_serve_api", "--rp_api_host", "127.0.0.1",
                       "--rp_api_port", taken.getsockname()[1])
        self.assert_exit(done, 2)


class Health(ApiCase):
    def free_port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    def workers_health(self):
        return {name for name, count in self.get("/health")["workers"].items() if count}

    def test_ping_is_204_while_loading_then_200(self):
        self.serve({"model_type": "tone", "options": {"load_ms": 1000}})
        self.assertEqual(self.ask("GET", "/ping")[:2], (204, b""))
        self.assertEqual(self.get("/ready", 503)["state"], "starting")
        self.assertEqual(self.workers_health(), {"initializing"})
        self.assertEqual(self.post("/runsync", tone())["status"], "COMPLETED")  # waits for the model
        self.assertEqual(self.get("/ping"), {"state": "ready"})
        ready = self.get("/ready")
        self.assertEqual(ready["models"][0]["state"], "ready")
        self.assertGreaterEqual(ready["models"][0]["load_ms"], 1000)
        self.assertEqual(self.workers_health(), {"idle", "ready"})

    def test_required_model_that_failed_is_503(self):
        self.serve({"model_type": "tone", "options": {"fail": True}})
        self.wait_for(lambda: self.ask("GET", "/ping")[0], 503, "the status of /ping")
        model = self.get("/ready", 503)["models"][0]
        self.assertEqual(model["state"], "failed")
        self.assertIn("options.fail is true", model["error"])
        self.assertEqual(self.workers_health(), {"unhealthy"})
        answer = self.post("/runsync", tone())
        self.assertEqual(json.loads(answer["error"])["error_code"], "model_failed")

    def test_other_models_do_not_matter(self):
        self.serve({"model_type": "tone"}, {"model_type": "late", "preload": False},
                   {"model_type": "broken", "required": False, "options": {"fail": True}}, default_model="tone")
        self.wait_for(lambda: self.ask("GET", "/ready")[0], 200, "the status of /ready")

    def test_health_port(self):
        port = self.free_port()
        self.serve(worker={"health_port": port, "health_host": "127.0.0.1"}, env={"RUNPOD_POD_ID": "pod-7"})
        self.post("/runsync", tone())
        self.post("/runsync", {"input": {"text": ""}})
        self.port = port
        health = self.get("/health")
        self.assertEqual((health["worker"], health["state"]), ("pod-7", "ready"))
        self.assertEqual(health["jobs"], {"ok": 1, "failed": 1, "in_progress": 0})
        self.assertEqual(self.get("/run", 404), {"detail": "Not Found"})
        self.assertEqual(self.ask("POST", "/health")[0], 405)

    def test_metrics_are_prometheus_text(self):
        self.serve()
        self.post("/runsync", tone(duration_ms=500))
        self.post("/runsync", {"input": {"text": "x", "model_type": 'ev"il\n'}})
        status, text, headers = self.ask("GET", "/metrics")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        values, types = {}, {}
        for line in text.decode().splitlines():
            if line.startswith("# TYPE"):
                name, kind = line.split()[2:]
                self.assertNotIn(name, types, "a family stands twice")
                types[name] = kind
            elif not line.startswith("#"):
                match = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z_]+="[^"\\]*",?)*\})?) ([0-9.e+-]+)', line)
                self.assertTrue(match, line)
                values[match[1]] = float(match[2])
        self.assertEqual(values['voxhost_jobs_total{model_type="tone",code="ok"}'], 1)
        self.assertEqual(values['voxhost_jobs_total{model_type="",code="unknown_model"}'], 1)
        self.assertEqual(values['voxhost_audio_seconds_total{model_type="tone"}'], 0.5)
        self.assertEqual(values['voxhost_job_seconds_bucket{model_type="tone",le="+Inf"}'], 1)
        self.assertEqual(values['voxhost_job_seconds_count{model_type="tone"}'], 1)
        self.assertEqual(values['voxhost_model_ready{model_type="tone"}'], 1)
        self.assertEqual(values["voxhost_jobs_accepted_total"], 2)
        self.assertEqual(values["voxhost_jobs_in_progress"], 0)
        self.assertGreater(values["process_resident_memory_bytes"], 1e6)
        self.assertLess(abs(values["process_start_time_seconds"] - time.time()), 3600)
        self.assertEqual(types["voxhost_job_seconds"], "histogram")


if __name__ == "__main__":
    unittest.main()
