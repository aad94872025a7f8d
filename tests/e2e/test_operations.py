"""What jobs ask for beside speech, through a batch, a worker and the local API alike: voices of the library, stored results,
what the host knows and can do; and how results are handed over.
"""

import base64
import hashlib
import io
import json
import tarfile
import time

from common import run
from s3_server import S3Server
from test_voices import wav
from worker_common import TIMEOUT_S
from operations_common import FIXED_KEYS, HIGH, LONG, LOW, ROOMY, SHORT, OperationCase


class Voices(OperationCase):
    def test_voice_comes_is_listed_speaks_travels_and_goes(self):
        for _ in self.fronts(worker=ROOMY):
            made = self.good(op="voice_create", name="Anna B", voice="anna", audio=LOW, voice_text="What she says.",
                             language="en", consent="given", metadata={"kids": False}, options=SHORT)
            self.assertEqual((made["op"], made["voice"]["id"], made["voice"]["name"]), ("voice_create", "anna", "Anna B"))
            self.assertEqual((made["voice"]["transcript"], made["voice"]["consent"]), ("What she says.", "given"))
            self.assertEqual((made["metadata"], made["voice"]["metadata"]), ({"kids": False}, {"kids": False}))
            self.assertNotIn("audio", made, "no sample was asked for")
            self.assertEqual(made["profile"]["plugin"], "tone")
            self.assertEqual(len(list((self.library / "anna" / "profiles").glob("*.bin"))), 1)
            self.assertEqual(made["timings_ms"]["total"] > 0, True)
            self.good(op="upload", name="Bob", audio=HIGH)
            listed = self.good(op="voice_list")
            self.assertEqual(([v["id"] for v in listed["voices"]], listed["count"], listed["next"]),
                             (["Bob", "anna"], 2, None))
            by_name, by_profile, bob = self.ask_many(
                {"text": "Hi", "seed": 1, "voice": "anna"},
                {"text": "Hi", "seed": 1, "voice": {"id": "x", "profile": made["profile"]["base64"]}},
                {"text": "Hi", "seed": 1, "voice": "Bob"})
            self.assertEqual(by_name["audio"]["sha256"], by_profile["audio"]["sha256"])
            self.assertNotEqual(by_name["audio"]["sha256"], bob["audio"]["sha256"], "FM-72: the voice is used")
            file = self.good(op="voice_export", voice="anna")["file"]
            packed = self.content(file)
            self.assertEqual((file["filename"], file["bytes"]), ("anna.tar", len(packed)))
            with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
                self.assertEqual(tar.getnames()[0], "manifest.json")
            self.assertEqual(self.good(op="voice_delete", voice="anna")["voice"]["id"], "anna")
            self.assertFalse((self.library / "anna").exists())
            self.bad("voice_not_found", op="voice_delete", voice="anna")
            self.bad("voice_not_found", op="voice_export", voice="anna")
            self.bad("voice_not_found", text="Hi", voice="anna")

    def test_sample_is_the_jobs_audio(self):
        for _ in self.fronts():
            made, spoken, default = self.ask_many(
                {"op": "voice_create", "name": "Anna", "audio": LOW, "sample_text": "I am {name}.", "seed": 3,
                 "options": SHORT},
                {"text": "I am Anna.", "voice": "Anna", "seed": 3, "options": SHORT},
                {"op": "voice_create", "name": "Bob", "audio": HIGH, "sample": True, "format": "flac", "options": SHORT})
            self.assertEqual(self.content(made["audio"]), self.content(spoken["audio"]))
            self.assertEqual((made["seed"], default["audio"]["format"]), (3, "flac"))
            self.assertTrue(self.content(default["audio"]).startswith(b"fLaC"))

    def test_fm_30_all_pages_of_a_library(self):
        for front in self.fronts():
            for i in range(1205 if front == "worker" else 25):
                self.write(f"{self.library}/v{i:04}.wav", wav(seconds=0.01))
            names, cursor, pages = [], {}, 0
            limit = 500 if front == "worker" else 10
            while True:
                page = self.good(op="voice_list", limit=limit, **cursor)
                names += [voice["id"] for voice in page["voices"]]
                pages += 1
                if not page["next"]:
                    break
                cursor = {"cursor": page["next"]}
            whole = self.good(op="voice_list")
            self.assertEqual(names, [voice["id"] for voice in whole["voices"]])
            self.assertEqual((len(names), pages, whole["next"]), (whole["count"], 3, None))
            older = self.good(endpoint="list_voices")
            self.assertEqual((len(older["voices"]), older["count"]), (len(names), len(names)))

    def test_fm_49_same_name_again_is_an_error_or_replaces_all(self):
        for _ in self.fronts():
            first = self.good(op="voice_create", name="Anna", audio=LOW)
            self.bad("invalid_request", "replace", op="voice_create", name="Anna", audio=HIGH)
            again = self.good(op="voice_create", name="Anna", audio=HIGH, replace=True)
            self.assertNotEqual(first["profile"]["base64"], again["profile"]["base64"])
            self.assertEqual(len(list((self.library / "Anna" / "profiles").glob("*.bin"))), 1)

    def test_urls_of_callbacks_are_not_kept_with_a_voice(self):
        self.begin("worker")
        url = "http://127.0.0.1:9/done?token=secret"
        self.good(op="upload", name="Anna", audio=LOW, metadata={"callback_url": url, "a": 1})
        self.assertEqual(self.good(op="voice_list")["voices"][0]["metadata"], {"a": 1})

    def test_time_of_the_job_ends_the_storing_of_a_voice(self):
        with S3Server(faults=["stall"]) as server:
            self.begin("worker", storage=self.bucket(server))
            self.bad("timeout", "ran longer than 1 s", op="voice_create", name="Anna", audio=LOW, timeout_s=1)
            self.workers[-1].wait_log(event="object of a failed voice may be left")
            self.assertFalse((self.library / "Anna").exists())
            self.good(text="Hi", options=SHORT)

    def test_fm_83_new_voice_that_comes_twice_is_the_same_voice(self):
        """As a platform sends a job again whose worker died; profile and sample are made again or found."""
        for _ in self.fronts():
            job = {"op": "voice_create", "name": "Anna B", "audio": LOW, "language": "en", "metadata": {"a": [1, {"b": 2}]},
                   "sample": True, "seed": 1, "options": SHORT}
            first, again = self.ask_many(job, job)
            self.assertEqual(first["voice"], again["voice"])
            self.assertEqual(first["profile"], again["profile"])
            self.assertEqual(first["audio"]["sha256"], again["audio"]["sha256"])
            self.assertEqual(self.good(**job, replace=True)["voice"]["created"], first["voice"]["created"])
            for change in ({"audio": HIGH}, {"language": "de"}, {"voice_text": "x"}, {"consent": "y"},
                           {"metadata": {"a": [1, {"b": 3}]}}):
                self.bad("invalid_request", "already", **{**job, **change})
            self.good(op="upload", **{name: job[name] for name in ("name", "audio", "language", "metadata")})

    def test_new_voice_needs_no_model_that_nobody_named(self):
        """Whether it fails before or after the job came."""
        broken = {"model_type": "broken", "plugin": "tone.so", "required": False, "options": {"load_ms": 1000, "fail": True}}
        for front in self.FRONTS:
            if front == "batch":
                continue  # loads before it begins
            self.begin(front, models=(broken, {"model_type": "tone"}), default_model="broken")
            for name in ("Anna", "Bert"):
                answer = self.good(op="voice_create", name=name, audio=LOW)
                self.assertEqual(answer["voice"]["id"], name)
                warning, = answer["warnings"]
                self.assertTrue(warning.startswith("no profile is made and no sample is spoken: model_type: "), warning)
                self.bad("model_failed", op="voice_create", name="Carl", audio=LOW, model_type="broken")
                self.bad("model_failed", op="voice_create", name="Carl", audio=LOW, sample=True)
            self.end()

    def test_new_voice_that_fails_leaves_nothing(self):
        models = ({"model_type": "tone", "options": {"profile_fail": True}},)
        for _ in self.fronts(models=models):
            self.bad("invalid_request", "profile_fail", op="voice_create", name="Anna", audio=LOW)
            self.assertFalse((self.library / "Anna").exists())
            self.assertEqual(self.good(op="upload", name="Anna", audio=LOW)["voice"]["id"], "Anna", "needs no model")

    def test_new_voice_whose_plugin_does_not_stop_leaves_nothing(self):
        models = ({"model_type": "deaf", "plugin": "faulty_profile.so", "options": {"fault": "never_asks", "wait_ms": 5000},
                   "required": False},)
        self.begin("api", models=models, host={"cancel_grace_s": 0.2, "log_level": "debug"})
        self.good(op="upload", name="Bert", audio=LOW)
        self.bad("timeout", "did not stop when asked", op="voice_create", name="Anna", audio=LOW, timeout_s=1)
        self.assertEqual([voice["id"] for voice in self.good(op="voice_list")["voices"]], ["Bert"])
        self.assertEqual(self.good(op="upload", name="Anna", audio=LOW)["voice"]["id"], "Anna", "it comes again")
        deadline = time.monotonic() + TIMEOUT_S
        while self.good(op="capabilities")["models"][0]["state"] != "ready":  # its session is back
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(len(self.good(op="voice_list")["voices"]), 2, "what came after it stays")

    def test_fm_53_no_name_leaves_the_library_and_no_file_is_read(self):
        secret = self.write("secret.wav", wav())
        bad = ("../x", "a/b", "..", ".", "", " ", "a\\b", "/etc/passwd", "a\u0000b"[:1] + "\u0001", "x" * 10000)
        for front in self.fronts():
            for name in bad:
                with self.subTest(name[:20]):
                    error = self.bad("invalid_request", op="voice_create", voice=name, audio=LOW)
                    self.assertEqual(error["field"], "voice")
            for name in ("../x", "a/b", "a\\b", "x" * 10000):
                with self.subTest(name[:20]):
                    self.assertEqual(self.bad("invalid_request", op="upload", voice_name=name, audio=LOW)["field"], "name")
                    self.assertIn(self.bad("invalid_request", op="voice_delete", voice=name)["field"], ("voice",))
                    self.assertIn(self.bad("invalid_request", op="voice_export", voice=name)["field"], ("voice",))
            for name in ("../x", "a/b", "..", "x" * 10000):
                self.assertEqual(self.bad("invalid_request", op="download", job_id=name)["field"], "job_id")
            if front != "batch":
                self.bad("invalid_request", "no file", op="voice_create", name="x", audio=str(secret))
            self.bad("unsupported", "unsupported:", action="download_file", file_path="/etc/passwd")
            self.bad("unsupported", "unsupported:", action="list_files")
            self.assertFalse(self.library.exists(), "nothing was written")

    def test_fm_70_bad_recordings_and_wrong_types(self):
        cases = [({"audio": base64.b64encode(wav(peak=0)).decode()}, "audio"),
                 ({"audio": base64.b64encode(b"no audio at all" * 40).decode()}, "audio"),
                 ({"audio": base64.b64encode(wav(seconds=0.1)).decode()}, "audio"),
                 ({"audio": ""}, "audio"), ({"audio": 7}, "audio"), ({}, "audio"),
                 ({"audio": LOW, "replace": "yes"}, "replace"), ({"audio": LOW, "sample": 1}, "sample"),
                 ({"audio": LOW, "sample_text": ["x"]}, "sample_text"), ({"audio": LOW, "metadata": 7}, "metadata"),
                 ({"audio": LOW, "consent": {}}, "consent"), ({"audio": LOW, "limit": 3}, "limit"),
                 ({"audio": LOW, "name": 7}, "name"), ({"audio": LOW, "options": {"nobody": 1}}, "options.nobody"),
                 ({"audio": LOW, "text_file": "x"}, "text_file")]
        for _ in self.fronts():
            for fields, field in cases:
                with self.subTest(field=field, **{k: str(v)[:20] for k, v in fields.items()}):
                    error = self.bad("invalid_request", **{"op": "voice_create", "name": "x", **fields})
                    self.assertEqual(error["field"], field)
            self.assertEqual(self.bad("invalid_request", op="voice_list", limit=0)["field"], "limit")
            self.assertEqual(self.bad("invalid_request", op="voice_list", cursor=5)["field"], "cursor")
            self.assertFalse(self.library.exists(), "nothing was written")

    def test_recording_in_the_storage_below_the_prefix_only(self):
        for front in self.FRONTS:
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server, prefix="app"))
                server.put = lambda key, body: self.put(server, key, body)
                server.put("app/voices/recorded/anna.wav", wav(150))
                server.put("app/results/secret.wav", wav(600))
                inline = self.good(text="Hi", seed=1, voice=LOW)["audio"]["sha256"]
                for key in ("voices/recorded/anna.wav", f"s3://{server.bucket}/voices/recorded/anna.wav",
                            f"s3://{server.bucket}/app/voices/recorded/anna.wav"):
                    self.assertEqual(self.good(text="Hi", seed=1, voice=key)["audio"]["sha256"], inline)
                made = self.good(name="Anna", audio_path="voices/recorded/anna.wav")
                self.assertEqual(made["voice_id"] if front != "batch" else made["voice"]["id"], "Anna")
                for key in (f"s3://{server.bucket}/results/secret.wav", "s3://other/voices/recorded/anna.wav",
                            "voices/../results/secret.wav", f"s3://{server.bucket}/voices/../results/secret.wav"):
                    self.bad("invalid_request", text="Hi", voice=key)
                    self.bad("invalid_request", op="voice_create", name="x", audio=key)
                self.bad("voice_not_found", "no object", text="Hi", voice="voices/recorded/nobody.wav")
                self.end()

    def put(self, server, key, body):
        """An object that somebody else has put there."""
        from s3_server import Object
        server.objects[key] = Object(body, "audio/wav", {}, hashlib.md5(body).hexdigest(), 1.7e9)

    def test_fm_82_objects_of_a_new_voice_are_used_by_another_worker(self):
        for front in self.FRONTS:
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server, voices_prefix="private/users/"), worker=ROOMY)
                made = self.good(name="Anna", audio_data=LOW, language="en", user_id="u1",
                                 metadata={"is_kids_voice": True}, options=SHORT, seed=1)
                self.assertRegex(made["recorded_path"], r"^private/users/u1/en/kids/recorded/Anna_[0-9a-f]{16}\.wav$")
                self.assertRegex(made["profile_path"], r"^private/users/u1/en/kids/profiles/Anna_[0-9a-f]{16}\.bin$")
                self.assertRegex(made["sample_path"], r"^private/users/u1/en/kids/samples/Anna_[0-9a-f]{16}\.wav$")
                self.assertEqual(sorted(server.objects),
                                 sorted([made["recorded_path"], made["profile_path"], made["sample_path"]]))
                self.assertEqual(server.objects[made["recorded_path"]].body, base64.b64decode(LOW))
                self.assertEqual(self.content({"url": made["recorded_url"]}), base64.b64decode(LOW))
                self.assertEqual(self.content({"url": made["sample_url"]}), server.objects[made["sample_path"]].body)
                self.assertEqual(made["audio"]["url"], made["sample_url"])
                kept = server.objects[made["profile_path"]]
                self.assertEqual((kept.metadata["voice_id"], kept.metadata["user_id"], kept.metadata["model_type"]),
                                 ("Anna", "u1", "tone"))
                uploaded = self.good(op="upload", name="Bob", audio=HIGH)
                self.assertRegex(uploaded["recorded_path"], r"^private/users/recorded/Bob_[0-9a-f]{16}\.wav$")
                again = self.good(op="voice_create", voice="bea", audio=uploaded["recorded_path"])
                self.assertRegex(again["recorded_path"], r"^private/users/recorded/bea_[0-9a-f]{16}\.wav$")
                here = self.good(text="Hi", voice="Anna", seed=1, options=SHORT)
                self.end()
                self.begin(front, storage=self.bucket(server, voices_prefix="private/users/"), worker=ROOMY)
                for voice in ({"profile_path": made["profile_path"]}, {"voice_profile": made["profile_path"]},
                              {"voice": {"profile": f"s3://{server.bucket}/{made['profile_path']}"}},
                              {"metadata": {"profile_path": made["profile_path"]}},
                              {"voice": made["recorded_path"]}, {"voice": {"audio": made["recorded_path"]}}):
                    there = self.good(text="Hi", seed=1, options=SHORT, **voice)
                    self.assertEqual(there["audio"]["sha256"], here["audio"]["sha256"], f"FM-72, FM-88: {voice}")
                both = self.good(text="Hi", seed=1, options=SHORT, voice_id="nobody", profile_path="private/users/none.bin",
                                 profile_base64=made["profile"]["base64"])
                self.assertEqual(both["audio"]["sha256"], here["audio"]["sha256"], "what the job has counts")
                self.end()

    def test_deleted_voice_leaves_nothing_in_the_storage(self):
        for front in self.FRONTS:
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server))
                made = []
                for name, audio, more in (("Anna", LOW, {"user_id": "u"}), ("Anna", HIGH, {"user_id": "u", "replace": True}),
                                          ("Anna_0123456789abcdef", LOW, {"user_id": "u"}), ("Annabel", LOW, {})):
                    made.append(self.good(op="voice_create", voice=name, audio=audio, language="en", **more))
                self.put(server, "voices/u/en/recorded/Anna_note.txt", b"x")
                self.assertEqual(len(server.objects), 9)
                self.good(op="voice_delete", voice="Anna", user_id="u")
                left = {"voices/u/en/recorded/Anna_note.txt", *(voice[name] for voice in made[2:]
                                                                for name in ("recorded_path", "profile_path"))}
                self.assertEqual(set(server.objects), left)
                self.end()
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server))
                self.good(op="upload", voice="Anna", audio=LOW)
                server.faults.append("403")
                self.assertEqual(self.one(op="voice_delete", voice="Anna")["error"]["code"], "storage_failed")
                self.assertTrue((self.library / "Anna").exists(), "it can be tried again")
                self.good(op="voice_delete", voice="Anna")
                self.assertEqual(server.objects, {})
                self.end()

    def test_replaced_voice_leaves_nothing_elsewhere_in_the_storage(self):
        """Its language, and whether it is for children, are parts of its keys."""
        for front in self.FRONTS:
            with S3Server() as server:
                self.begin(front, storage=self.bucket(server))
                said = {"op": "voice_create", "voice": "anna", "user_id": "u", "replace": True}
                self.good(**said, audio=LOW, language="en")
                self.put(server, "voices/u/en/recorded/anna_note.txt", b"x")
                self.good(**said, audio=HIGH, language="en")
                self.assertEqual(len(server.objects), 5, "what has a key of the same voice stays until the voice goes")
                for more in ({"language": "fr"}, {"language": "fr", "metadata": {"is_kids_voice": True}}):
                    made = self.good(**said, audio=HIGH, **more)
                    self.assertNotIn("warnings", made)
                    self.assertEqual(set(server.objects), {"voices/u/en/recorded/anna_note.txt", made["recorded_path"],
                                                           made["profile_path"]})
                server.faults += ["403"]
                warning, = self.good(**said, audio=HIGH, language="de")["warnings"]
                self.assertIn("as it was before may be left in the storage", warning)
                self.end()

    def test_deleting_a_voice_breaks_none_that_was_made_of_it(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server), worker=ROOMY)
            first = self.good(op="upload", voice="anna", audio=LOW)
            second = self.good(op="upload", voice="bob", audio=first["recorded_path"])
            self.assertEqual(self.content({"url": second["recorded_url"]}), base64.b64decode(LOW))
            self.good(op="voice_delete", voice="anna")
            self.assertEqual(list(server.objects), [second["recorded_path"]])
            self.good(text="Hi", voice=second["recorded_path"], options=SHORT)
            self.put(server, "voices/u/recorded/mine.wav", wav(600))
            third = self.good(op="upload", voice="carl", audio="voices/u/recorded/mine.wav")
            self.assertEqual(third["recorded_path"], "voices/u/recorded/mine.wav", "the client's own object stays the recording")
            self.assertEqual(len(server.objects), 2)
            self.good(op="voice_delete", voice="carl")
            self.assertIn("voices/u/recorded/mine.wav", server.objects, "it is not ours to remove")

    def test_a_voice_that_is_not_found_in_the_storage_is_said(self):
        for front in self.FRONTS:
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server))
                for made, deleted, words in (({"user_id": "u"}, {}, 'without "user_id"'), ({}, {"user_id": "u"}, 'under this "user_id"')):
                    self.good(op="upload", voice="Anna", audio=LOW, **made)
                    warning, = self.good(op="voice_delete", voice="Anna", **deleted)["warnings"]
                    self.assertIn("storage", warning)
                    self.assertIn(words, warning)
                    self.assertEqual(len(server.objects), 1)
                    self.good(op="upload", voice="Anna", audio=LOW, **made)
                    self.assertNotIn("warnings", self.good(op="voice_delete", voice="Anna", **made))
                    self.assertEqual(server.objects, {})
                self.end()

    def test_voices_rm_says_what_it_leaves(self):
        audio = self.write("a.wav", wav())
        for storage, lines in (({}, 0), ({"storage": {"dir": str(self.dir / "objects")}}, 1)):
            manifest = self.manifest({"model_type": "tone"}, paths={"voices": str(self.dir / "voices")}, **storage)
            self.assert_exit(run("voices", "add", "anna", "--audio", audio, "-m", manifest), 0)
            self.assertIn("--replace", run("voices", "add", "anna", "--audio", audio, "-m", manifest).stderr)
            done = run("voices", "rm", "anna", "-m", manifest)
            self.assert_exit(done, 0)
            self.assertEqual(len([line for line in done.stderr.splitlines() if "voice_delete" in line]), lines, done.stderr)

    def test_errors_name_their_cause(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server))
            for field, most in (("voice", 128), ("name", 256)):
                error = self.bad("invalid_request", op="upload", audio=LOW, **{field: "x" * 10000})
                self.assertEqual((error["field"], error["message"]), (field, f"is 10000 bytes long, at most {most}"))
            silent = base64.b64encode(wav(peak=0)).decode()
            self.assertTrue(self.bad("invalid_request", op="upload", name="x", audio=silent)["message"].startswith("is silent"))
            error = self.bad("invalid_request", "storage.voices_prefix", op="upload", name="x", audio_path="private/x/r.wav")
            self.assertEqual(error["field"], "audio")
            self.good(op="upload", name="x", audio=LOW)
            self.bad("invalid_request", '"replace": true', op="upload", name="x", audio=HIGH)

    def test_fm_69_profile_objects_that_do_not_fit(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server))
            made = self.good(op="voice_create", voice="anna", audio=LOW)
            whole = server.objects[made["profile_path"]].body
            for name, body in (("voices/cut.bin", whole[:-1]), ("voices/noise.bin", b"no profile" * 10),
                               ("voices/empty.bin", b""), ("voices/other.bin", whole.replace(b'"tone"', b'"f5tt"'))):
                self.put(server, name, body)
                self.assertEqual(self.bad("invalid_request", op="tts", text="Hi", profile_path=name)["field"], "voice_profile")
            server.http.handle_error = lambda *args: None  # we leave in the midst of what is too large
            self.put(server, "voices/large.bin", b"x" * (11 << 20))
            self.bad("too_large", op="tts", text="Hi", profile_path="voices/large.bin")
            self.assertEqual(self.bad("voice_not_found", op="tts", text="Hi", profile_path="voices/gone.bin")["field"],
                             "voice_profile")
            for path in ("a/b.npy", "voices/../x.bin", f"s3://other/{made['profile_path']}", "/etc/passwd"):
                self.bad("invalid_request", op="tts", text="Hi", profile_path=path)

    def test_fm_80_new_voice_that_cannot_be_stored_is_no_success(self):
        for faults in (["403"], ["ok", "403"], ["ok", "ok", "403"]):
            with S3Server(faults=faults) as server:
                self.begin("worker", storage=self.bucket(server))
                answer = self.one(op="voice_create", name="Anna", audio=LOW, sample=True, options=SHORT)
                self.assertEqual((answer["status"], answer["error"]["code"]), ("error", "storage_failed"), answer)
                self.assertNotIn("recorded_path", answer)
                self.assertFalse((self.library / "Anna").exists(), "whole or not at all")
                self.assertEqual(list(server.objects), [], "nor in the storage")
                self.assertEqual(self.good(op="voice_create", name="Anna", audio=LOW)["voice"]["id"], "Anna")

    def test_new_voice_whose_sample_cannot_be_handed_over_is_no_success(self):
        """To the storage that came with the job."""
        job = {"op": "voice_create", "name": "Anna", "audio": LOW, "sample": True, "seed": 1, "options": SHORT}
        with S3Server() as server, S3Server() as callers:
            own = {"endpointUrl": callers.endpoint, "bucketName": callers.bucket, "accessId": callers.access_key,
                   "accessSecret": callers.secret_key}
            for storage in (None, self.bucket(server)):
                self.begin("worker", storage=storage)
                for was_there in (False, True):
                    if was_there:
                        self.good(**job)
                    callers.faults.append("403")
                    answer = self.final(self.plane.wait(self.plane.submit({"input": job, "s3Config": own}), TIMEOUT_S).final)
                    self.assertEqual((answer["status"], answer["error"].get("code")), ("error", "storage_failed"), answer)
                    for name in ("voice", "recorded_path", "sample_path", "audio"):
                        self.assertNotIn(name, answer)
                    self.assertEqual((self.library / "Anna").exists(), was_there, "whole or not at all")
                    self.assertEqual(len(server.objects), 3 if storage and was_there else 0)
                self.end()

    def test_new_voice_too_large_for_the_answer_is_no_success(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server), worker={"body_bytes_max": 20000, "inline_chars_max": 1000000})
            job = {"op": "voice_create", "name": "Anna", "audio": LOW, "sample": True, "response": "inline"}
            self.bad("too_large", "worker.body_bytes_max", **job, options=LONG)
            self.assertFalse((self.library / "Anna").exists())
            self.assertEqual(list(server.objects), [])
            self.good(**job, options=SHORT)

    def test_new_voice_that_fails_removes_no_objects_of_another_worker(self):
        """Who has made the same voice in the same bucket."""
        with S3Server() as server:
            for faults in ([], ["ok", "ok", "403"]):
                self.begin("worker", storage=self.bucket(server))
                server.faults += faults
                answer = self.one(op="voice_create", name="Anna", audio=LOW, sample=bool(faults), options=SHORT)
                self.assertEqual(answer["status"], "error" if faults else "ok", answer)
                self.assertEqual(sorted(key.split("/")[1] for key in server.objects), ["profiles", "recorded"])
                self.end()

    def test_large_recording_travels_in_a_job(self):
        recording = wav(150, seconds=220)  # 7 MB
        for front in ("worker", "api"):
            self.begin(front)
            lines = base64.encodebytes(recording).decode()
            self.assertGreater(len(lines), 9 << 20)
            self.assertEqual(self.good(op="upload", name="Anna", audio=lines)["voice"]["reference"]["bytes"], len(recording))
            one, other = self.ask_many({"text": "Hi", "seed": 1, "voice": lines, "options": SHORT},
                                       {"text": "Hi", "seed": 1, "voice": "Anna", "options": SHORT})
            self.assertEqual(one["audio"]["sha256"], other["audio"]["sha256"])
            self.assertEqual(self.good(op="capabilities")["limits"]["voice_inline_bytes_max"], 50 << 20)
            self.end()

    def test_file_storage_has_voices_too(self):
        for _ in self.fronts(storage={"dir": str(self.dir / "objects"), "public_base_url": "https://cdn.example"}):
            self.write("objects/voices/anna.wav", wav(150))
            self.assertEqual(self.good(text="Hi", seed=1, voice="voices/anna.wav")["audio"]["sha256"],
                             self.good(text="Hi", seed=1, voice=LOW)["audio"]["sha256"])


class Asking(OperationCase):
    def test_fm_20_and_21_unknown_operations_list_the_valid_ones(self):
        names = ("tts, voice_create, voice_list, voice_delete, voice_export, upload, list_voices, download, status, "
                 "capabilities")
        for _ in self.fronts():
            for selector in ("op", "endpoint", "action"):
                answer = self.one(**{selector: "lst_voices", "text": "Hi"})
                self.assertEqual(answer["status"], "error")
                self.assertIn(names, answer["error"]["message"])
                self.assertIn('did you mean "list_voices"?', answer["error"]["message"])
                self.assertEqual(self.one(**{selector: 7, "text": "Hi"})["status"], "error")
            self.bad("invalid_request", "no field of the operation voice_list", op="voice_list", text="Hi")
            self.bad("invalid_request", "given twice", op="voice_list", endpoint="list_voices")

    def test_fm_39_and_43_unknown_and_failed_models_differ(self):
        models = ({"model_type": "tone"}, {"model_type": "broken", "plugin": "tone.so", "options": {"fail": True},
                                           "required": False})
        for _ in self.fronts(models=models):
            for fields in ({"text": "Hi"}, {"op": "voice_create", "name": "x", "audio": LOW}):
                error = self.bad("unknown_model", "tone, broken", model_type="chatterbox", **fields)
                self.assertEqual(error["field"], "model_type")
                self.bad("model_failed", "options.fail", model_type="broken", **fields)
            self.assertFalse(self.library.exists())

    def test_fm_18_37_51_no_voice_no_seed_and_too_much_text(self):
        for _ in self.fronts(host={"text_bytes_max": 100, "fetch_private": True, "log_level": "debug"},
                             models=({"model_type": "tone"},)):
            spoken = self.good(text="Hi", options=SHORT)
            self.assertIsInstance(spoken["seed"], int)
            again = self.good(text="Hi", options=SHORT, seed=spoken["seed"])
            self.assertEqual(again["audio"]["sha256"], spoken["audio"]["sha256"])
            self.assertEqual(self.bad("invalid_request", "at most 100", text="x" * 101)["field"], "text")

    def test_capabilities(self):
        models = ({"model_type": "tone", "aliases": ["beep"]}, {"model_type": "broken", "plugin": "tone.so",
                                                               "options": {"fail": True}, "required": False})
        for _ in self.fronts(models=models):
            self.good(op="upload", name="Anna", audio=LOW)
            can = self.good(op="capabilities")
            tone, broken = can["models"]
            self.assertEqual((tone["model_type"], tone["aliases"], tone["plugin"]), ("tone", ["beep"], "tone"))
            self.assertTrue(tone["cloning"] and tone["seed"] and not tone["needs_voice"])
            self.assertIn("integer", tone["options"]["duration_ms"])
            self.assertEqual((tone["languages"], tone["speakers"]), (["en", "de"], ["low", "high"]))
            self.assertIn(broken["state"], ("loading", "failed"))
            self.assertEqual((can["voices"], can["storage"]), (1, False))
            self.assertIn("voice_create", can["ops"])
            self.assertIn("flac", can["formats"])
            self.assertEqual(can["limits"]["inline_chars_max"], 20000)

    def test_status_of_jobs_of_this_process(self):
        for front in self.fronts():
            if front == "batch":
                _, _, good, bad = self.ask_many({"id": "a", "text": "Hi", "options": SHORT},
                                                {"id": "b", "text": "Hi", "timeout_s": 0.01, "options": {"sleep_ms": 60000}},
                                                {"op": "upload", "name": "x", "audio": LOW},
                                                {"op": "status", "job_id": "a"}, {"op": "status", "job_id": "b"})[1:]
                self.assertEqual(good["state"], "finished")
            else:
                self.good(id="a", text="Hi", options=SHORT)
                self.one(id="b", text="Hi", timeout_s=0.01, options={"sleep_ms": 60000})
                self.assertEqual(self.good(op="status", job_id="a")["state"], "finished")
                bad = self.good(op="status", job_id="b")
            self.assertEqual((bad["job_id"], bad["state"], bad["code"]), ("b", "failed", "timeout"))
            error = self.bad("invalid_request", "no job", op="status", job_id="nobody")
            self.assertEqual(error["field"], "job_id")
            self.bad("invalid_request", "missing", op="status")

    def test_status_is_told_while_the_host_is_at_work(self):
        self.begin("api", models=({"model_type": "tone", "sessions": 2},))
        running = self.post("/run", {"input": {"id": "r", "text": "Hi", "options": {"sleep_ms": 3600000}}})["id"]
        self.worker.wait_log(event="job accepted", job="r")
        self.wait_for(lambda: self.good(op="status", job_id="r")["state"], "running", "the job")
        self.wait_for(lambda: "progress" in self.good(op="status", job_id="r"), True, "progress")
        self.good(op="capabilities")
        answer = self.one(endpoint="status", job_id="r")
        self.assertEqual(answer["status"], "PROCESSING")
        self.one(endpoint="result", job_id="r")
        self.assertEqual(self.error, "Job is not complete. Status: PROCESSING")
        self.post(f"/cancel/{running}")

    def test_quick_operations_wait_for_no_place(self):
        """At one job at a time, and that place taken."""
        self.begin("api", models=({"model_type": "tone"},), host={"log_level": "debug", "fetch_private": True,
                                                                 "concurrency": 1})
        self.good(op="upload", name="Anna", audio=LOW)
        running = self.post("/run", {"input": {"id": "r", "text": "Hi", "options": {"sleep_ms": 3600000}}})["id"]
        waiting = self.post("/run", {"input": {"text": "Hi", "options": SHORT}})["id"]
        self.worker.wait_log(event="job accepted", job="r")
        self.wait_for(lambda: self.good(op="status", job_id="r")["state"], "running", "the job")
        self.assertEqual(self.good(op="voice_list")["count"], 1)
        self.assertEqual(self.good(endpoint="list_voices")["count"], 1)
        self.assertEqual(self.good(op="capabilities")["voices"], 1)
        self.assertEqual(self.good(op="status", job_id="r")["state"], "running")
        self.assertEqual(self.get(f"/status/{waiting}")["status"], "IN_QUEUE")
        self.post(f"/cancel/{running}")
        self.wait_for(lambda: self.get(f"/status/{waiting}")["status"], "COMPLETED", "the job that waited")

    def test_many_questions_do_not_hold_up_speech(self):
        """More wait than jobs may run at once, and each reads a large library."""
        self.begin("api", models=({"model_type": "tone"},), host={"log_level": "debug", "concurrency": 1})
        self.good(op="upload", name="Anna", audio=LOW)
        entry = (self.library / "Anna" / "voice.json").read_text()
        for i in range(500):
            (self.library / f"v{i}").mkdir()
            (self.library / f"v{i}" / "voice.json").write_text(entry.replace('"Anna"', f'"v{i}"'))
        for i in range(20):
            self.post("/run", {"input": {"id": f"q{i}", "op": "voice_list"}})
        self.good(id="speech", text="Hi", options=SHORT)
        self.worker.wait_log(event="job finished", job="q19")
        ended = [line["job"] for line in self.worker.events(event="job finished")]
        self.assertLess(ended.index("speech"), ended.index("q19"))

    def test_quick_operations_are_answered_by_a_worker_at_work(self):
        """More jobs are taken than there are sessions."""
        plane = self.start_plane(hold_s=5)
        worker = self.start_worker(plane, {"model_type": "tone", "sessions": 1},
                                   host={"log_level": "debug", "concurrency": 3})
        running = plane.submit({"input": {"id": "r", "text": "Hi", "options": {"sleep_ms": 3600000}}})
        waiting = plane.submit({"input": {"text": "Hi", "options": SHORT}})
        worker.wait_log(event="job accepted", job="r")
        for job in ({"op": "status", "job_id": "r"}, {"op": "voice_list"}, {"op": "capabilities"}):
            self.assertEqual(self.final(plane.wait(plane.submit({"input": job}), TIMEOUT_S).final)["status"], "ok")
        plane.cancel(running)
        plane.wait(waiting, TIMEOUT_S)

    def test_metadata_and_ids_come_back_and_name_objects(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server, key_template="{user_id}/{story_id}/{job_id}.{ext}"))
            metadata = {"a": [1, {"b": None}], "user_id": "u7", "story_id": "s1", "name": "Zoë"}
            answer = self.good(id="j1", text="Hi", response="url", metadata=metadata, options=SHORT)
            self.assertEqual(answer["metadata"], metadata)
            self.assertEqual(list(server.objects), ["u7/s1/j1.wav"])
            kept = server.objects["u7/s1/j1.wav"].metadata
            self.assertEqual((kept["user_id"], kept["job_id"], kept["model_type"]), ("u7", "j1", "tone"))
            self.assertEqual(kept["a"], '[1,{"b":null}]', "FM-81: what is no text becomes one")
            self.assertEqual(base64.b64decode(kept["name"].removeprefix("base64:")).decode(), "Zoë")
            for metadata in ({"a b": 1}, {"long": "x" * 3000}, {f"m{i}": i for i in range(100)}):
                answer = self.good(id="j3", text="Hi", response="url", metadata=metadata, options=SHORT, timestamps=["srt"])
                self.assertEqual(answer["metadata"], metadata)
                self.assertEqual([w for w in answer["warnings"] if "metadata is not kept" in w], answer["warnings"][:1])
            server.objects.clear()
            self.good(id="j1", text="Hi", response="url", user_id="u7", story_id="s1", options=SHORT)
            self.good(id="j2", text="Hi", response="url", user_id="../x", story_id="s1", options=SHORT)
            key = [key for key in server.objects if key != "u7/s1/j1.wav"][0]
            self.assertNotIn("..", key.split("/"))
            server.objects.clear()
            self.good(id="j4", text="Hi", response="url", user_id=7, metadata={"story_id": 1}, options=SHORT)
            self.assertEqual(list(server.objects), ["7/1/j4.wav"])
            self.assertEqual(self.bad("invalid_request", text="Hi", user_id=[7])["field"], "user_id")


class Results(OperationCase):
    def test_fm_31_32_54_88_downloads_by_job_id_also_from_another_worker(self):
        for front in self.FRONTS[1:]:
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server, key_template=FIXED_KEYS))
                spoken = self.good(id="a", text="Hello there", response="url", user_id="u", timestamps=["srt", "json"],
                                   options=LONG)
                self.assertNotIn("subtitle_texts", spoken)
                self.assertEqual(sorted(server.objects), ["results/u/a.json", "results/u/a.srt", "results/u/a.wav"])
                self.assertEqual([server.objects[f"results/u/a.{end}"].content_type for end in ("wav", "srt", "json")],
                                 ["audio/wav", "application/x-subrip", "application/json"])
                srt = server.objects["results/u/a.srt"].body
                self.assertEqual(self.content({"url": spoken["subtitle_urls"]["srt"]}), srt)
                audio = self.good(op="download", job_id="a")
                self.assertEqual(hashlib.sha256(self.content(audio["file"])).hexdigest(), spoken["audio"]["sha256"])
                self.assertIn("url", audio["file"], "it is larger than inline_chars_max")
                timing = self.good(op="download", job_id="a", type="timing")
                self.assertEqual((timing["file"]["filename"], self.content(timing["file"])), ("a.srt", srt))
                self.assertIn("base64", timing["file"])
                self.assertIn("url", self.good(op="download", job_id="a", type="timing", response="url")["file"])
                self.bad("too_large", op="download", job_id="a", response="inline")
                error = self.bad("invalid_request", op="download", job_id="a", type="timing", format="wav")
                self.assertEqual(error["field"], "format")
                self.bad("invalid_request", "no timing file", op="download", job_id="a", type="timing", format="ass")
                # Of another process: by the template alone.
                server.objects["results/u/b.wav"] = server.objects["results/u/a.wav"]
                self.assertEqual(self.content(self.good(op="download", job_id="b", user_id="u")["file"]),
                                 server.objects["results/u/b.wav"].body)
                self.bad("invalid_request", "no audio", op="download", job_id="b", user_id="other")
                self.end()

    def test_fm_88_download_of_another_workers_job_by_its_id_alone(self):
        """With the template that nobody can guess keys of, and no more said than the job's id."""
        for front in self.FRONTS:
            with self.subTest(front), S3Server() as server:
                self.begin("worker", storage=self.bucket(server))
                spoken = self.good(id="a-1", text="Hello there", response="url", timestamps=["vtt"], format="flac",
                                   options=SHORT)
                self.assertRegex(sorted(server.objects)[0], r"^[0-9a-f]{32}/a-1\.flac$")
                self.end()
                self.begin(front, storage=self.bucket(server))
                file = self.good(op="download", job_id="a-1")["file"]
                self.assertEqual(hashlib.sha256(self.content(file)).hexdigest(), spoken["audio"]["sha256"])
                self.assertEqual(file["content_type"], "audio/flac")
                timing = self.good(op="download", job_id="a-1", type="timing")["file"]
                self.assertTrue(self.content(timing).startswith(b"WEBVTT"))
                self.bad("invalid_request", "no audio", op="download", job_id="a-1", format="mp3")
                self.bad("invalid_request", "no audio", op="download", job_id="a-2")
                self.end()

    def test_download_by_other_templates(self):
        with S3Server() as server:
            for template, fields in (("{date}/{user_id}/{job_id}.{ext}", {"user_id": "u"}),
                                     ("{story_id}-{random}.{ext}", {"story_id": "s"})):
                storage = self.bucket(server, key_template=template)
                self.begin("worker", storage=storage)
                spoken = self.good(id="a", text="Hi", response="url", options=SHORT, **fields)
                self.end()
                self.begin("worker", storage=storage)
                file = self.good(op="download", job_id="a", **fields)["file"]
                self.assertEqual(hashlib.sha256(self.content(file)).hexdigest(), spoken["audio"]["sha256"])
                self.bad("invalid_request", f"as {list(fields)[0]}", op="download", job_id="a")
                self.end()
            for template, word in (("{voice}/{job_id}.{ext}", "{voice}"), ("x.{ext}", "neither {job_id} nor {random}")):
                self.begin("worker", storage=self.bucket(server, key_template=template))
                self.bad("unsupported", word, op="download", job_id="a")
                self.end()

    def test_wrong_storage_of_a_job_is_noticed_before_it_speaks(self):
        plane = self.start_plane(hold_s=5)
        worker = self.start_worker(plane, host={"log_level": "debug"})
        good = {"endpointUrl": "http://127.0.0.1:9", "bucketName": "b", "accessId": "a", "accessSecret": "s"}
        for wrong in ({**good, "bucketName": None}, {**good, "accessId": 7}, {**good, "endpointUrl": "ftp://x"}, "text"):
            body = plane.wait(plane.submit({"input": {"text": "Hi", "options": {"sleep_ms": 3600000}}, "s3Config": wrong}),
                              TIMEOUT_S).final
            self.assertEqual(json.loads(body["error"])["error_field"], "s3Config", wrong)
        body = plane.wait(plane.submit({"input": {"op": "capabilities"}, "s3Config": "text"}), TIMEOUT_S).final
        self.assertEqual(body["output"]["status"], "ok", "it has no use for one")
        self.assertFalse(worker.events(event="job accepted", model="tone"))

    def test_words_and_subtitles_too_long_for_an_answer_go_to_the_storage(self):
        text = "word " * 1000
        job = {"id": "a", "text": text, "timestamps": ["srt", "json"], "options": {"ms_per_char": 1}}
        limits = {"body_bytes_max": 60000, "inline_chars_max": 1000000}
        for front in self.FRONTS[1:]:
            with self.subTest(front), S3Server() as server:
                self.begin(front, storage=self.bucket(server, key_template="{job_id}.{ext}"), worker=limits)
                answer = self.good(**job)
                self.assertEqual(sorted(server.objects), ["a.json", "a.srt", "a.wav", "a.words.json"])
                words = json.loads(self.content({"url": answer["words_url"]}))
                self.assertEqual((len(words), words[0]["word"]), (1000, "word"))
                self.assertEqual(set(answer["subtitle_urls"]), {"srt", "json"})
                self.assertEqual(hashlib.sha256(self.content(answer["audio"])).hexdigest(), answer["audio"]["sha256"])
                self.assertNotIn("words", answer)
                self.bad("too_large", "worker.body_bytes_max", **job, response="inline")
                older = self.good(text=text, return_word_timings=True, options={"ms_per_char": 1})
                self.assertEqual((older["word_count"], set(older["timing_files"])), (1000, {"srt"}))
                self.end()
                self.begin(front, worker=limits)
                self.bad("too_large", "set up `storage`", **job)
                self.end()

    def test_batch_downloads_into_its_folder(self):
        with S3Server() as server:
            self.begin("batch", storage=self.bucket(server, key_template="{job_id}.{ext}"))
            server.objects["far.flac"] = server_object = Voices.put(self, server, "far.flac", b"fLaC...") or \
                server.objects["far.flac"]
            fetched, = self.ask_many({"op": "download", "job_id": "far", "format": "flac"})
            self.assertEqual(self.content(fetched["file"]), server_object.body)
            self.assertEqual((fetched["file"]["content_type"], fetched["file"]["path"]), ("audio/flac", "j0.flac"))
            near = self.ask_many({"id": "a", "text": "Hi", "options": SHORT}, {"op": "upload", "name": "x", "audio": LOW},
                                 {"op": "download", "job_id": "a"})[2]
            self.assertEqual(near["file"]["path"], "a.wav")
            spoken, fetched, other = self.ask_many({"text": "Hi", "output": "b.flac", "options": SHORT},
                                                   {"id": "b", "op": "download", "job_id": "far"},
                                                   {"id": "c", "op": "download", "job_id": "far"})
            self.assertIn("stands already", fetched["error"]["message"], "one would replace the other")
            self.assertTrue(self.content(spoken["audio"]) != server_object.body == self.content(other["file"]))

    def test_nothing_is_kept_without_storage(self):
        for front in self.FRONTS[1:]:
            self.begin(front)
            self.good(id="a", text="Hi", options=SHORT)
            self.bad("unsupported", "no storage", op="download", job_id="a")
            self.bad("unsupported", "no storage", text="Hi", response="url")

    def test_fm_62_response_of_a_job(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server))
            self.assertIn("base64", self.good(text="Hi", options=SHORT)["audio"])
            self.assertIn("url", self.good(text="Hi", options=LONG)["audio"])
            self.assertIn("url", self.good(text="Hi", options=SHORT, response="url")["audio"])
            self.assertIn("base64", self.good(text="Hi", options=SHORT, response="inline")["audio"])
            self.bad("too_large", text="Hi", options=LONG, response="inline")
            self.assertEqual(self.bad("invalid_request", text="Hi", response="binary")["field"], "response")

    def test_fm_80_failed_upload_of_subtitles_is_no_success(self):
        for faults in (["403"], ["ok", "403"]):
            with S3Server(faults=faults) as server:
                self.begin("worker", storage=self.bucket(server))
                answer = self.one(text="Hi", response="url", timestamps=["srt"], options=SHORT)
                self.assertEqual((answer["status"], answer["error"]["code"]), ("error", "storage_failed"))
                self.assertNotIn("audio_url", answer)

    def test_batch_keeps_what_was_done_to_voices_when_it_resumes(self):
        self.begin("batch")
        manifest = self.dir / "manifest.yaml"
        jobs = self.jobs({"id": "new", "op": "voice_create", "name": "Anna", "audio": LOW},
                         {"id": "say", "text": "Hi", "voice": "Anna", "options": SHORT},
                         {"id": "all", "op": "voice_list"})
        for more in ((), ("--resume",)):
            self.assert_exit(run("batch", "--manifest", manifest, "--jobs", jobs, "--out", self.dir / "kept", *more), 0)
            results = self.by_id("kept")
            self.assertEqual({name: result["status"] for name, result in results.items()},
                             {"new": "ok", "say": "ok", "all": "ok"})
        self.assert_exit(run("batch", "--manifest", manifest, "--jobs", self.jobs({"op": "voice_list"}), "--dry-run"), 0)
