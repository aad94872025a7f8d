"""Callbacks through batch and worker against a receiver that verifies signatures and fails on purpose: the documented bodies, what
is tried again and what is not, dead letters and their replay, and that a process killed at any moment loses none."""

import base64
import io
import json
import math
import os
import random
import signal
import struct
import subprocess
import time
import urllib.request
import wave

from callback_server import SECRET, Receiver
from common import VOXHOST, environment, run
from s3_server import S3Server
from worker_common import TIMEOUT_S, WorkerCase, tone

QUICK = {"duration_ms": 10}
NOW = {"Retry-After": "0"}  # another try without a pause


def recording():
    """One second of a tone as WAV."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", round(9000 * math.sin(i / 17))) for i in range(16000)))
    return data.getvalue()


class CallbackCase(WorkerCase):
    def setUp(self):
        super().setUp()
        self.letters = self.dir / "letters"

    def receiver(self, **options):
        receiver = Receiver(**options)
        self.addCleanup(lambda: self.assertEqual(receiver.wrong[:3], []))
        self.addCleanup(receiver.__exit__)
        return receiver

    def with_callbacks(self, receiver, private=True, host=None, **callbacks):
        """A manifest of the tone model that calls the receiver back; leave a key out by None."""
        section = {"url": receiver.url + "/api/tts/callback", "secret": SECRET, "dead_letters": str(self.letters), **callbacks}
        return self.manifest(callbacks={key: value for key, value in section.items() if value is not None},
                             host={"fetch_private": private, **(host or {})})

    def job(self, name, **members):
        return {"id": name, "text": "hello", "options": QUICK, **members}

    def dead(self):
        """The records of the dead letters, after a look for those of dead processes."""
        done = run("callbacks", "list", "--json", "-m", self.dir / "manifest.yaml")
        self.assert_exit(done, 0)
        listed = json.loads(done.stdout)["callbacks"]
        records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.letters.glob("*.json"))]
        self.assertEqual([letter["id"] for letter in listed], [record["id"] for record in records])
        self.assertEqual([path.name for path in self.letters.glob(".*")] if self.letters.exists() else [], [])
        return records

    def replay(self, *arguments, code=0):
        done = run("callbacks", "replay", *arguments, "-m", self.dir / "manifest.yaml")
        self.assert_exit(done, code)
        return done


class Bodies(CallbackCase):
    def test_success_and_failure_are_reported_as_documented(self):
        receiver = self.receiver()
        facts = {"user_id": "u1", "story_id": "s1", "metadata": {"story_name": "Der Wald", "genre": "🌲\u0001\"\\"}}
        done = self.batch(self.with_callbacks(receiver), self.jobs(
            self.job("good", voice_name="Anna", language="de", **facts),
            self.job("bad", text="", **facts),
            self.job("plain", sample_rate=1)))
        self.assert_exit(done, 1)
        receiver.wait(3)
        good, = receiver.of("/api/tts/callback")
        self.assertEqual({key: value for key, value in good["json"].items() if key != "metadata"}, {
            "story_id": "s1", "user_id": "u1", "voice_id": "", "voice_name": "Anna", "audio_url": None,
            "storage_path": "good.wav", "r2_path": None, "language": "de", "job_id": "good"})
        metadata = good["json"]["metadata"]
        self.assertEqual(metadata["genre"], "🌲\u0001\"\\")
        self.assertGreater(metadata["generation_time"], 0)
        self.assertEqual(metadata["model_type"], "tone")
        failed = {request["json"]["job_id"]: request["json"] for request in receiver.of("/api/tts/error-callback")}
        self.assertEqual(set(failed), {"bad", "plain"})
        self.assertEqual(failed["bad"]["story_id"], "s1")
        self.assertEqual(failed["bad"]["metadata"]["error_type"], "text_validation_error")
        self.assertEqual(failed["bad"]["metadata"]["story_name"], "Der Wald")
        self.assertIn("text: ", failed["bad"]["error"])
        self.assertEqual(failed["plain"]["metadata"]["error_type"], "invalid_payload")
        self.assertEqual(failed["plain"]["metadata"]["text_length"], 5)
        self.assertEqual(self.dead(), [])

    def test_a_new_voice_is_reported_to_one_url_and_other_operations_to_none(self):
        receiver = self.receiver()
        self.write("rec.wav", recording())
        new = {"op": "voice_create", "audio": "rec.wav", "user_id": "u1", "is_kids_voice": True}
        self.batch(self.with_callbacks(receiver), self.jobs(
            {"id": "made", "voice": "anna", "name": "Anna", "language": "de", **new},
            {"id": "bad", "voice": "bert", **new, "audio": "jobs.jsonl"},
            {"id": "named", **new, "name": "Nice Name", "audio": "jobs.jsonl"},
            {"id": "refused", "name": "Nice Name.wav", "audio_data": ""}, {"id": "nameless", "name": " ", "audio_data": ""},
            {"id": "asked", "op": "capabilities"}, {"id": "listed", "op": "voice_list"}))
        self.assertEqual({request["path"] for request in receiver.requests}, {"/api/tts/callback"})
        told = {request["json"]["job_id"]: request["json"] for request in receiver.requests}
        self.assertEqual(set(told), {"made", "bad", "named", "refused", "nameless"})
        made = {key: told["made"][key] for key in ("status", "user_id", "voice_id", "voice_name", "language", "is_kids_voice")}
        self.assertEqual(made, {"status": "success", "user_id": "u1", "voice_id": "anna", "voice_name": "Anna",
                                "language": "de", "is_kids_voice": True})
        self.assertEqual((told["bad"]["status"], told["bad"]["voice_id"]), ("error", "bert"))
        self.assertEqual((told["named"]["voice_name"], told["named"]["voice_id"]), ("Nice Name", "voice_nice_name"), "C.4")
        self.assertEqual((told["refused"]["voice_name"], told["refused"]["voice_id"]), ("Nice Name.wav", "voice_nice_name"))
        self.assertEqual((told["nameless"]["voice_name"], told["nameless"]["voice_id"]), ("", ""))
        self.assertEqual(told["bad"]["metadata"]["error_type"], "invalid_payload")
        self.assertIn("audio: ", told["bad"]["error"])

    def test_a_job_names_its_own_urls(self):
        receiver = self.receiver()
        self.batch(self.with_callbacks(receiver, url=None), self.jobs(
            self.job("a", callback_url=receiver.url + "/mine?k=v"),
            self.job("b", metadata={"callback_url": receiver.url + "/theirs"}),
            self.job("c", text="", callback_url=receiver.url + "/mine", error_callback_url=receiver.url + "/oh"),
            self.job("d", text="", callback_url=receiver.url + "/hook"),
            self.job("e")))
        self.assertEqual({(request["path"], request["json"]["job_id"]) for request in receiver.requests},
                         {("/mine?k=v", "a"), ("/theirs", "b"), ("/oh", "c"), ("/hook/error-callback", "d")})

    def test_a_url_that_is_none_is_refused_before_anything_runs(self):
        receiver = self.receiver()
        urls = ["", "nonsense", "ftp://a/b", "http://u:sesame@a/", "http://a/b c", "http://a/\n", "http://" + "a" * 10000, 5, {}]
        done = self.batch(self.with_callbacks(receiver, url=None),
                          self.jobs(*(self.job(f"j{i}", callback_url=url) for i, url in enumerate(urls))))
        self.assert_exit(done, 1)
        for result in self.results():
            self.assertEqual((result["error"]["code"], result["error"]["field"]), ("invalid_request", "callback_url"))
        self.assertNotIn("sesame", done.stderr + (self.dir / "out" / "results.jsonl").read_text(encoding="utf-8"))
        self.assertEqual(receiver.requests, [])

    def test_names_of_headers_and_the_old_variables(self):
        receiver = self.receiver(timestamp="X-Daezend-Timestamp", signature="X-Daezend-Signature", secret="old")
        manifest = self.with_callbacks(receiver, secret=None, timestamp_header="X-Daezend-Timestamp",
                                       signature_header="X-Daezend-Signature")
        done = self.batch(manifest, self.jobs(self.job("a")), env={"DAEZEND_API_SHARED_SECRET": "old"})
        self.assert_exit(done, 0)
        self.assertEqual(len(receiver.requests), 1)

    def test_fm_59_a_missing_secret_is_said(self):
        receiver = self.receiver(secret=None)
        done = self.batch(self.with_callbacks(receiver, secret=None), self.jobs(self.job("a"), self.job("b")))
        self.assert_exit(done, 0)
        self.assertEqual(len(receiver.requests), 2)
        self.assertEqual(done.stderr.count("callbacks are not signed"), 1)

    def test_the_secret_stands_nowhere(self):
        receiver = self.receiver(secret="sesame")
        receiver.scripts["/api/tts/callback"] = [500]
        manifest = self.with_callbacks(receiver, secret="sesame", attempts=1, host={"log_level": "debug"})
        seen = self.batch(manifest, self.jobs(self.job("a"))).stderr + run("config", "-m", manifest).stdout
        seen += self.replay("--all", code=1).stderr + json.dumps(self.dead())
        for request in receiver.requests:
            self.assertNotIn(request["headers"]["X-Minstraly-Signature"], seen)
        self.assertNotIn("sesame", seen)

    def test_nothing_is_made_without_callbacks(self):
        done = self.batch(self.manifest(), self.jobs(self.job("a")))
        self.assert_exit(done, 0)
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), ["cache", "jobs.jsonl", "manifest.yaml", "out"])


class Trouble(CallbackCase):
    def test_what_may_pass_is_tried_again(self):
        receiver = self.receiver()
        scripts = {
            "/500": [(500, NOW), (503, NOW), 200], "/408": [(408, NOW), 201], "/429": [(429, {"Retry-After": "1"}), 200],
            "/reset": ["reset", 200], "/slow": ["slow"], "/endless": ["endless"],
            "/307": [(307, {"Location": "/there?x=1"})], "/308": [(308, {"Location": receiver.url + "/th%65re"})],
            "/odd/../%7e%2f;a=1//b": [200],
        }
        receiver.scripts.update(scripts)
        done = self.batch(self.with_callbacks(receiver), self.jobs(
            *(self.job(f"j{i}", callback_url=receiver.url + path) for i, path in enumerate(scripts))))
        self.assert_exit(done, 0)
        self.assertEqual(self.dead(), [])
        for path, count in {"/500": 3, "/408": 2, "/429": 2, "/reset": 2, "/slow": 1, "/endless": 1, "/307": 1, "/there": 1}.items():
            self.assertEqual(len(receiver.of(path)), count, path)
        first, second = receiver.of("/429")
        self.assertGreaterEqual(second["time"] - first["time"], 0.9)
        self.assertEqual(first["body"], second["body"])

    def test_fm_60_and_fm_87_what_is_refused_or_hopeless_is_a_dead_letter_and_the_job_is_well(self):
        receiver = self.receiver()
        scripts = {"/400": ([400], 1), "/401": ([401], 1), "/302": ([(302, {"Location": "/there"})], 1),
                   "/500": ([(500, NOW)], 3), "/loop": ([(307, {"Location": "/loop"})], 6)}
        for path, (script, _) in scripts.items():
            receiver.scripts[path] = script
        done = self.batch(self.with_callbacks(receiver, attempts=3), self.jobs(
            *(self.job(path[1:], callback_url=receiver.url + path + "?token=sesame") for path in scripts)))
        self.assert_exit(done, 0)
        self.assertEqual({result["status"] for result in self.results()}, {"ok"})
        for path, (_, count) in scripts.items():
            self.assertEqual(len(receiver.of(path)), count, path)
        dead = {record["job_id"]: record for record in self.dead()}
        self.assertEqual(set(dead), {path[1:] for path in scripts})
        self.assertEqual(dead["500"]["attempts"], 3)
        self.assertIn("status 500", dead["500"]["last_error"])
        self.assertEqual(dead["400"]["body"].encode(), receiver.of("/400")[0]["body"])
        self.assertNotIn("sesame", done.stderr)
        self.assertEqual(os.stat(self.letters / (dead["400"]["id"] + ".json")).st_mode & 0o077, 0)

    def test_fm_86_a_receiver_that_hangs_holds_up_no_job(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = ["hang"]
        process = subprocess.Popen(
            [VOXHOST, "batch", "-m", self.with_callbacks(receiver, timeout_s=300, host={"drain_s": 1}), "-j",
             self.jobs(*(self.job(f"j{i}") for i in range(40))), "-o", self.dir / "out"],
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertEqual(process.wait(TIMEOUT_S), 0)
        self.assertEqual(len(self.results()), 40)
        self.assertEqual(len(self.dead()), 40)

    def test_a_try_has_its_time_limit(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = ["hang"]
        done = self.batch(self.with_callbacks(receiver, timeout_s=0.5, attempts=1), self.jobs(self.job("a")))
        self.assert_exit(done, 0)
        self.assertRegex(self.dead()[0]["last_error"], r"no whole answer within 0\.\d+ s")  # what was left of 0.5 s

    def test_urls_of_jobs_lead_to_public_addresses_only(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = [(307, {"Location": receiver.url.replace("127.0.0.1", "localhost") + "/in"})]
        odd = ["[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1", "localhost"]
        self.batch(self.with_callbacks(receiver, private=False), self.jobs(
            self.job("theirs", callback_url=receiver.url + "/x"), self.job("meta", callback_url="http://169.254.169.254/x"),
            *(self.job(f"odd{i}", callback_url=f"http://{host}:1/x") for i, host in enumerate(odd)), self.job("ours")))
        dead = {record["job_id"]: record["last_error"] for record in self.dead()}
        self.assertEqual(set(dead), {"theirs", "meta", "ours", *(f"odd{i}" for i in range(len(odd)))})
        for why in dead.values():
            self.assertIn("not a public one", why)
        self.assertEqual([request["path"] for request in receiver.requests], ["/api/tts/callback"])

    def test_without_a_place_for_records_it_is_sent_all_the_same(self):
        receiver = self.receiver()
        manifest = self.with_callbacks(receiver, dead_letters=str(self.write("file", "x") / "letters"))
        done = self.batch(manifest, self.jobs(self.job("a")))
        self.assert_exit(done, 0)
        self.assertIn("not kept on disk", done.stderr)
        self.assertEqual(len(receiver.requests), 1)


class Letters(CallbackCase):
    def bury(self, receiver, count):
        receiver.scripts["/api/tts/callback"] = [404]
        self.batch(self.with_callbacks(receiver), self.jobs(*(self.job(f"j{i}") for i in range(count))))
        receiver.requests.clear()
        return self.dead()

    def test_replay_sends_the_same_bytes_and_removes_what_was_taken(self):
        receiver = self.receiver()
        dead = self.bury(receiver, 3)
        listed = run("callbacks", "list", "-m", self.dir / "manifest.yaml").stdout
        for record in dead:
            self.assertIn(f"job {record['job_id']}, 1 attempt, {receiver.url}/api/tts/callback", listed)
        self.replay(dead[0]["id"], code=1)
        self.assertEqual(self.dead()[0]["attempts"], 2)
        receiver.scripts.clear()
        receiver.requests.clear()
        self.replay(dead[1]["id"])
        self.assertEqual([request["body"].decode() for request in receiver.requests], [dead[1]["body"]])
        self.replay("--all")
        self.assertEqual({request["json"]["job_id"] for request in receiver.requests}, {"j0", "j1", "j2"})
        self.assertEqual(self.dead(), [])
        self.assertIn("No dead letters", run("callbacks", "list", "-m", self.dir / "manifest.yaml").stdout)

    def test_two_replays_at_once_send_each_once(self):
        receiver = self.receiver()
        self.bury(receiver, 20)
        receiver.scripts.clear()
        replays = [subprocess.Popen([VOXHOST, "callbacks", "replay", "--all", "-m", self.dir / "manifest.yaml"],
                                    env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(3)]
        for process in replays:
            process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(sorted(request["json"]["job_id"] for request in receiver.requests), sorted(f"j{i}" for i in range(20)))
        self.assertEqual(self.dead(), [])

    def test_a_replay_that_is_interrupted_keeps_the_letter(self):
        receiver = self.receiver()
        self.bury(receiver, 2)
        receiver.scripts["/api/tts/callback"] = ["hang"]
        for number, code in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
            receiver.requests.clear()
            process = subprocess.Popen([VOXHOST, "callbacks", "replay", "--all", "-m", self.dir / "manifest.yaml"],
                                       env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            receiver.wait(1)
            process.send_signal(number)
            self.assertEqual(process.wait(TIMEOUT_S), code)
            self.assertEqual(len(self.dead()), 2)

    def test_wrong_use_is_said(self):
        for arguments in ((), ("lsit",), ("replay",), ("list", "x"), ("replay", "x", "--all"), ("replay", "x", "--json")):
            self.assert_exit(run("callbacks", *arguments), 2)
        manifest = self.with_callbacks(self.receiver())
        for name in ("nothing", "../manifest", ".", "a" * 10000):
            self.assert_exit(run("callbacks", "replay", name, "-m", manifest), 1)

    def test_a_file_that_is_no_letter_is_named(self):
        manifest = self.with_callbacks(self.receiver())
        path = self.write("letters/x.json", "{")
        done = run("callbacks", "list", "-m", manifest)
        self.assert_exit(done, 1)
        self.assertIn(str(path), done.stderr)
        done = run("callbacks", "replay", "--all", "-m", manifest)
        self.assert_exit(done, 1)
        self.assertIn("0 of 1", done.stdout)
        self.assertTrue(path.exists())


class Ends(CallbackCase):
    def start(self, receiver, count, **options):
        jobs = self.jobs(*(self.job(f"j{i}", options={"duration_ms": 10, "sleep_ms": 5}) for i in range(count)))
        return subprocess.Popen([VOXHOST, "batch", "-m", self.with_callbacks(receiver, **options), "-j", jobs, "-o",
                                 self.dir / "out"], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def reported(self, receiver):
        return ({request["json"]["job_id"] for request in receiver.requests} |
                {record["job_id"] for record in self.dead()})

    def test_sigterm_loses_nothing(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = [500]
        process = self.start(receiver, 2000, host={"drain_s": 1})
        receiver.wait(3)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT_S), 128 + signal.SIGTERM)
        done = {result["id"] for result in self.results() if result["status"] == "ok"}
        self.assertEqual({record["job_id"] for record in self.dead()}, done)

    def test_a_job_that_crashed_is_told_once(self):
        receiver = self.receiver()
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so"}, host={"fetch_private": True}, callbacks={
            "url": receiver.url + "/in", "secret": SECRET, "dead_letters": str(self.letters)})
        jobs = self.jobs({"id": "boom", "text": "x", "options": {"fault": "crashes"}})
        self.assertNotEqual(self.batch(manifest, jobs).returncode, 0)
        for _ in range(3):
            self.assert_exit(self.batch(manifest, jobs, "--resume"), 1)
            self.assertEqual([request["json"]["job_id"] for request in receiver.requests], ["boom"])
            self.assertIn("brought the process down", self.by_id()["boom"]["error"]["message"])

    def test_two_processes_on_one_folder_lose_nothing_when_one_is_killed(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = [200, "slow", (500, NOW), 404, "hang", 200]
        manifest = self.with_callbacks(receiver, host={"drain_s": 1})
        processes = []
        for name in ("a", "b"):
            jobs = self.jobs(*(self.job(f"{name}{i}", options={"duration_ms": 10, "sleep_ms": 3}) for i in range(300)),
                             name=f"{name}.jsonl")
            processes.append(subprocess.Popen([VOXHOST, "batch", "-m", manifest, "-j", jobs, "-o", self.dir / name],
                                              env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        receiver.wait(10)
        processes[0].kill()
        processes[0].wait()
        self.assertEqual(processes[1].wait(TIMEOUT_S), 0)
        done = set()
        for name, last in (("a", -1), ("b", None)):
            lines = (self.dir / name / "results.jsonl").read_text(encoding="utf-8").splitlines()
            done |= {json.loads(line)["id"] for line in lines[:last]}
        self.assertLessEqual(done, self.reported(receiver))
        self.assertEqual(sum(name.startswith("b") for name in done), 300)

    def test_kill_loses_nothing_that_was_done(self):
        for _ in range(5):
            receiver = self.receiver()
            receiver.scripts["/api/tts/callback"] = ["slow", 200, (500, NOW), 200, "hang", 200]
            process = self.start(receiver, 1000)
            receiver.wait(1)
            time.sleep(random.uniform(0, 1))
            process.kill()
            process.wait()
            lines = (self.dir / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()
            done = {json.loads(line)["id"] for line in lines[:-1]}
            self.assertLessEqual(done, self.reported(receiver))
            receiver.scripts["/api/tts/callback"] = [200]
            self.replay("--all")
            self.assertLessEqual(done, {request["json"]["job_id"] for request in receiver.requests})
            self.assertEqual(self.dead(), [])


class Workers(CallbackCase):
    def test_a_queue_s_jobs_are_reported_with_a_url(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = [(500, NOW), 200]
        with S3Server() as server:
            plane = self.start_plane(hold_s=5)
            worker = self.start_worker(
                plane, env={**server.environment(), "MINSTRALY_API_SHARED_SECRET": SECRET}, host={"fetch_private": True},
                callbacks={"dead_letters": str(self.letters)})
            job = tone(**QUICK)
            job["input"].update(metadata={"callback_url": receiver.url + "/api/tts/callback?token=sesame", "genre": "x"},
                                user_id="u1")
            answer = plane.wait(plane.submit(job), TIMEOUT_S).final["output"]
            receiver.wait(2)
            with urllib.request.urlopen(receiver.requests[1]["json"]["audio_url"], timeout=TIMEOUT_S) as audio:
                self.assertEqual(len(audio.read()), answer["audio"]["bytes"])
            self.assertIn("base64", answer["audio"])
            name, = server.objects
            self.assertEqual(receiver.requests[1]["json"]["r2_path"], name)
            self.assertIn("genre", str(server.objects[name].metadata))
            self.assertNotIn("sesame", str(server.objects[name].metadata))
            job = tone(**QUICK)
            job["input"].update(callback_url=receiver.url + "/api/tts/callback", speed="fast", story_id="s1")
            self.assertIn("error", plane.wait(plane.submit(job), TIMEOUT_S).final)
            receiver.wait(3)
            self.assertEqual(receiver.requests[2]["path"], "/api/tts/error-callback")
            self.assertEqual(receiver.requests[2]["json"]["story_id"], "s1")
            worker.stop()
        self.assertFalse(list(self.letters.glob("*.json")))

    def test_a_worker_that_stops_leaves_dead_letters(self):
        receiver = self.receiver()
        receiver.scripts["/x"] = ["hang"]
        plane = self.start_plane(hold_s=5)
        worker = self.start_worker(plane, host={"fetch_private": True, "drain_s": 1},
                                   callbacks={"dead_letters": str(self.letters), "url": receiver.url + "/x", "secret": SECRET})
        self.assertEqual(plane.wait(plane.submit(tone(**QUICK)), TIMEOUT_S).final["output"]["status"], "ok")
        receiver.wait(1)
        worker.stop()
        self.assertEqual(len(self.dead()), 1)

    def test_one_local_job(self):
        receiver = self.receiver()
        job = {"input": self.job("a"), "id": "p1"}
        done = run("worker", "-m", self.with_callbacks(receiver), "--test_input", json.dumps(job))
        self.assert_exit(done, 0)
        self.assertEqual(json.loads(done.stdout)["output"]["status"], "ok")
        self.assertEqual([request["json"]["job_id"] for request in receiver.requests], ["a"])

    def test_metadata_around_the_input_are_those_of_the_job(self):
        """required-behaviour A.0 and A.11: ids and URLs are looked for there as well."""
        receiver = self.receiver()
        job = {"id": "p1", "input": {"text": "hello", "options": QUICK, "metadata": {"story_name": "ours"}},
               "metadata": {"callback_url": receiver.url + "/mine", "user_id": "u1", "story_id": "s1", "story_name": "theirs"}}
        manifest = self.with_callbacks(receiver, url=None)
        done = run("worker", "-m", manifest, "--test_input", json.dumps(job))
        self.assert_exit(done, 0)
        plane = self.start_plane(hold_s=5)
        worker = self.start_worker(plane, host={"fetch_private": True}, callbacks={"dead_letters": str(self.letters), "secret": SECRET})
        plane.wait(plane.submit({**job, "id": "p2"}), TIMEOUT_S)
        receiver.wait(2)
        worker.stop()
        worker = self.start_command({}, "--manifest", manifest, "--rp_serve_api", "--rp_api_port", "0")
        port = int(worker.wait_log(event="serving")["port"])
        asked = urllib.request.Request(f"http://localhost:{port}/runsync", json.dumps(job).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:
            self.assertEqual(json.loads(answer.read())["status"], "COMPLETED")
        receiver.wait(3)
        worker.stop()
        for request in receiver.requests:
            self.assertEqual((request["path"], request["json"]["user_id"], request["json"]["story_id"]), ("/mine", "u1", "s1"))
            self.assertEqual(request["json"]["metadata"]["story_name"], "ours")


    def test_a_new_voice_is_reported_with_the_places_of_its_objects(self):
        """C.4, the column of voices; A.12."""
        receiver = self.receiver()
        job = {"id": "p1", "input": {
            "op": "voice_create", "voice_id": "anna", "name": "Anna", "text": "hello", "options": QUICK,
            "audio": base64.b64encode(recording()).decode(), "metadata": {"callback_url": receiver.url + "/mine?token=sesame"}}}
        with S3Server() as server:
            done = run("worker", "-m", self.with_callbacks(receiver, url=None), "--test_input", json.dumps(job), env=server.environment())
            self.assert_exit(done, 0)
            told, = (request["json"] for request in receiver.requests)
            self.assertEqual((told["status"], told["voice_id"], told["voice_name"]), ("success", "anna", "Anna"))
            for name in ("profile_path", "sample_path", "recorded_path", "r2_profile_path", "r2_sample_path"):
                self.assertIn(told[name], server.objects, name)
            self.assertNotIn("sesame", str([item.metadata for item in server.objects.values()]))


class Storage(CallbackCase):
    """G.8 146: dead letters in the bucket."""

    def setUp(self):
        super().setUp()
        self.letters = self.dir / "failed_callbacks"
        self.server = S3Server()
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def manifest_for(self, receiver, prefix="lost/calls", **options):
        return self.with_callbacks(receiver, dead_letters="storage:" + prefix, **options)

    def bury(self, receiver, count, **options):
        receiver.scripts["/api/tts/callback"] = [404]
        done = self.batch(self.manifest_for(receiver, **options), self.jobs(*(self.job(f"j{i}") for i in range(count))),
                          env=self.server.environment())
        self.assert_exit(done, 0)
        return done

    def objects(self):
        """Key and record of each dead letter in the bucket, oldest first."""
        return [(key, json.loads(self.server.objects[key].body)) for key in sorted(self.server.objects) if "lost/calls/" in key]

    def callbacks(self, *arguments, code=0):
        done = run("callbacks", *arguments, "-m", self.dir / "manifest.yaml", env=self.server.environment())
        self.assert_exit(done, code)
        return done

    def test_they_move_there_and_come_back_by_replay(self):
        receiver = self.receiver()
        done = self.bury(receiver, 3)
        found = self.objects()
        self.assertEqual({record["job_id"] for _, record in found}, {"j0", "j1", "j2"})
        for key, record in found:
            self.assertRegex(key, r"lost/calls/\d{4}-\d\d-\d\d/\d{8}T\d{6}-[0-9a-f]{16}\.json$")
            self.assertEqual(record["last_error"].split(": ")[1], "answered with status 404")
        self.assertEqual(list(self.letters.glob("**/*.json")), [])
        self.assertNotIn(SECRET, done.stderr)
        listed = json.loads(self.callbacks("list", "--json").stdout)["callbacks"]
        self.assertEqual([(letter["job_id"], letter["place"]) for letter in listed],
                         [(record["job_id"], "storage") for _, record in found])
        self.callbacks("replay", listed[0]["id"], code=1)
        self.assertEqual(self.objects()[0][1]["attempts"], 2)
        receiver.scripts.clear()
        receiver.requests.clear()
        self.callbacks("replay", listed[1]["id"])
        self.assertEqual([request["body"].decode() for request in receiver.requests], [found[1][1]["body"]])
        self.callbacks("replay", listed[1]["id"], code=1)
        self.assertIn("2 of 2", self.callbacks("replay", "--all").stdout)
        self.assertEqual(self.objects(), [])
        self.assertIn("No dead letters", self.callbacks("list").stdout)

    def test_without_the_storage_they_stay_on_disk_and_both_are_seen(self):
        receiver = self.receiver()
        self.bury(receiver, 1)
        environment_of_nobody = {**self.server.environment(), "BUCKET_SECRET_ACCESS_KEY": "wrong"}
        self.assert_exit(self.batch(self.manifest_for(receiver), self.jobs(self.job("a"), self.job("b")), out="out2",
                                    env=environment_of_nobody), 0)
        self.assertEqual(len(list(self.letters.glob("*.json"))), 2)
        places = [letter["place"] for letter in json.loads(self.callbacks("list", "--json").stdout)["callbacks"]]
        self.assertEqual(sorted(places), ["disk", "disk", "storage"])
        done = run("callbacks", "list", "--json", "-m", self.dir / "manifest.yaml", env=environment_of_nobody)
        self.assert_exit(done, 1)
        self.assertEqual(len(json.loads(done.stdout)["callbacks"]), 2)
        receiver.scripts.clear()
        self.assertIn("3 of 3", self.callbacks("replay", "--all").stdout)
        self.assertEqual(self.objects(), [])

    def test_a_worker_that_stops_moves_what_is_pending_within_its_deadline(self):
        receiver = self.receiver()
        receiver.scripts["/x"] = ["hang"]
        receiver.scripts["/y"] = [500]
        plane = self.start_plane(hold_s=5)
        worker = self.start_worker(
            plane, env=self.server.environment(), host={"fetch_private": True, "drain_s": 5},
            callbacks={"dead_letters": "storage:lost/calls", "url": receiver.url + "/x", "secret": SECRET})
        for path in ("/x", "/y"):
            for _ in range(6):
                job = tone(**QUICK)
                job["input"]["callback_url"] = receiver.url + path
                self.assertEqual(plane.wait(plane.submit(job), TIMEOUT_S).final["output"]["status"], "ok")
        receiver.wait(2)
        worker.stop()
        self.assertEqual(len(self.objects()), 12)
        self.assertEqual(list(self.letters.glob("**/*.json")), [])

    def test_a_plugin_that_hangs_keeps_nothing_out_of_it(self):
        """Its job is answered for, by an error; its thread is still there at the end of the process."""
        receiver = self.receiver()
        receiver.scripts["/x"] = [500]
        job = {"input": {"text": "x", "timeout_s": 0.1, "error_callback_url": receiver.url + "/x",
                         "callback_url": receiver.url + "/y", "options": {"fault": "hangs", "hang_ms": 3600000}}}
        top = {"host": {"fetch_private": True, "drain_s": 1, "cancel_grace_s": 0.2, "log_level": "debug"},
               "callbacks": {"dead_letters": "storage:lost/calls", "secret": SECRET}}
        model, variables = {"model_type": "hung", "plugin": "faulty.so", "required": False}, self.server.environment()

        def queue():
            plane = self.start_plane(hold_s=5)
            worker = self.start_worker(plane, model, env=variables, **top)
            self.assertIn("error", plane.wait(plane.submit(job), TIMEOUT_S).final)
            worker.stop()

        def api():
            worker = self.start_command(variables, "--manifest", self.manifest(model, **top), "--rp_serve_api",
                                        "--rp_api_port", "0")
            request = urllib.request.Request(f"http://localhost:{worker.wait_log(event='serving')['port']}/runsync",
                                             json.dumps(job).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                self.assertEqual(json.load(answer)["status"], "FAILED")
            worker.stop()

        def one():
            self.assert_exit(run("worker", "-m", self.manifest(model, **top), "--test_input", json.dumps(job), env=variables), 1)

        for count, way in enumerate((queue, api, one), 1):
            with self.subTest(way.__name__):
                way()
                self.assertEqual(len(self.objects()), count)

    def test_kill_loses_nothing(self):
        receiver = self.receiver()
        receiver.scripts["/api/tts/callback"] = [404]
        jobs = self.jobs(*(self.job(f"j{i}", options={"duration_ms": 10, "sleep_ms": 2}) for i in range(500)))
        process = subprocess.Popen([VOXHOST, "batch", "-m", self.manifest_for(receiver), "-j", jobs, "-o", self.dir / "out"],
                                   env=environment(**self.server.environment()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        receiver.wait(5)
        time.sleep(random.uniform(0, 0.5))
        process.kill()
        process.wait()
        lines = (self.dir / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()
        done = {json.loads(line)["id"] for line in lines[:-1]}
        found = {letter["job_id"] for letter in json.loads(self.callbacks("list", "--json").stdout)["callbacks"]}
        self.assertLessEqual(done, found)

    def test_replays_that_are_killed_or_run_at_once_lose_nothing(self):
        receiver = self.receiver()
        self.bury(receiver, 6)
        receiver.scripts["/api/tts/callback"] = ["hang"]
        command = [VOXHOST, "callbacks", "replay", "--all", "-m", self.dir / "manifest.yaml"]
        options = {"env": environment(**self.server.environment()), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for number, code in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
            receiver.requests.clear()
            process = subprocess.Popen(command, **options)
            receiver.wait(1)
            process.send_signal(number)
            self.assertEqual(process.wait(TIMEOUT_S), code)
            self.assertEqual(len(self.objects()), 6)
        receiver.scripts.clear()
        receiver.requests.clear()
        for process in [subprocess.Popen(command, **options) for _ in range(3)]:
            process.wait(TIMEOUT_S)
        self.assertEqual({request["json"]["job_id"] for request in receiver.requests}, {f"j{i}" for i in range(6)})
        self.assertEqual(self.objects(), [])

    def test_the_manifest_and_the_doctor_say_what_is_wrong(self):
        receiver = self.receiver()
        for prefix in ("", "/", "/x", "../x", "a//b", "x" * 600):
            done = run("config", "-m", self.manifest_for(receiver, prefix=prefix), env=self.server.environment())
            self.assert_exit(done, 2)
            self.assertIn("callbacks.dead_letters: expected \"storage:PREFIX\"", done.stderr)
        manifest = self.manifest_for(receiver)
        done = run("config", "-m", manifest)
        self.assert_exit(done, 2)
        self.assertIn("callbacks.dead_letters: there is no storage", done.stderr)
        shown = run("config", "-m", manifest, env=self.server.environment()).stdout
        self.assertIn("dead_letters: \"storage:lost/calls/\"", shown)
        self.assertIn("the storage takes dead letters", run("doctor", "--storage", "-m", manifest, env=self.server.environment()).stdout)
        self.assertEqual(self.objects(), [])
        done = run("doctor", "--storage", "-m", manifest, env={**self.server.environment(), "BUCKET_SECRET_ACCESS_KEY": "wrong"})
        self.assert_exit(done, 1)
        self.assertIn("does not take dead letters", done.stdout)
