"""Requests of older clients, with the answers that they expect."""

import base64
import json

from s3_server import S3Server
from operations_common import HIGH, LONG, LOW, ROOMY, SHORT, TEMPLATE, OperationCase


class Older(OperationCase):
    """Requests as the replaced systems took them, with the members that they documented."""

    def test_files_family_speaks(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server, key_template="output/{job_id}.{ext}"), worker=ROOMY)
            self.good(endpoint="upload", voice_name="anna.wav", voice_file=LOW)
            answer = self.good(endpoint="tts", text="Hello there", local_voice="anna.wav", speed=1.5,
                               return_word_timings=True, timing_format="vtt", timing_method="whisperx", seed=7)
            self.assertEqual((answer["status"], answer["text"], answer["seed"]), ("completed", "Hello there", 7))
            self.assertEqual((answer["timing_format"], answer["timing_method"], answer["word_count"]), ("vtt", "model", 2))
            self.assertEqual(list(answer["timing_files"]), ["vtt"])
            self.assertTrue(self.content({"url": answer["timing_files"]["vtt"]}).startswith(b"WEBVTT"))
            self.assertTrue(self.content({"url": answer["audio_url"]}).startswith(b"RIFF"), "FM-24: a URL, whatever the size")
            self.assertAlmostEqual(answer["duration"], answer["audio"]["duration_s"], places=5)
            self.assertEqual(answer["job_id"], answer["id"])
            job = {"endpoint": "download", "job_id": answer["job_id"]}
            audio = self.good(**job)
            self.assertEqual((audio["status"], audio["content_type"], audio["filename"]),
                             ("ready", "audio/wav", answer["job_id"] + ".wav"))
            self.assertTrue(base64.b64decode(audio["audio_data"]).startswith(b"RIFF"))
            timing = self.good(**job, type="timing", format="vtt")
            self.assertEqual((timing["format"], timing["content_type"]), ("vtt", "text/vtt"))
            self.assertTrue(base64.b64decode(timing["timing_data"]).startswith(b"WEBVTT"))
            self.assertEqual(self.good(endpoint="status", job_id=answer["job_id"])["status"], "COMPLETED")
            self.assertIn("audio_data", self.good(endpoint="result", job_id=answer["job_id"]))

    def test_timing_files_of_the_files_family(self):
        """A.8: a cue or row for each word, in the layouts that its clients parse; FM-32: the types that it named."""
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server), worker=ROOMY)
            job = {"text": "Hello there you", "return_word_timings": True, "seed": 1}
            answer = self.good(timing_format="all", **job)
            self.assertEqual(set(answer["timing_files"]), {"srt", "vtt", "csv", "json", "ass"})
            files = {name: self.content({"url": url}).decode() for name, url in answer["timing_files"].items()}
            self.assertTrue(files["csv"].startswith("word,start_time,end_time,confidence\nHello,0.000,"), files["csv"])
            self.assertEqual([files[name].count(sign) for name, sign in (("srt", "-->"), ("vtt", "-->"), ("ass", "Dialogue:"))],
                             [3, 3, 3])
            data = json.loads(files["json"])
            self.assertEqual((data["job_id"], data["timing_data"]["full_text"]), (answer["job_id"], "Hello there you"))
            self.assertEqual(set(data["timing_data"]["words"][0]), {"word", "start_time", "end_time", "confidence"})
            for name, kind in (("srt", "text/plain"), ("vtt", "text/vtt"), ("csv", "text/csv"), ("json", "application/json"),
                               ("ass", "text/plain")):
                timing = self.good(endpoint="download", job_id=answer["job_id"], type="timing", format=name)
                self.assertEqual((timing["content_type"], timing["format"]), (kind, name))
            compact = self.good(timing_format="compact", **job)
            self.assertTrue(self.content({"url": compact["timing_files"]["csv"]}).startswith(b"word,start,end\nHello,"))
            ours = self.good(timestamps=["csv"], text="Hello there you", response="url")
            self.assertTrue(self.content({"url": ours["subtitle_urls"]["csv"]}).startswith(b"word,start,end,text_begin"))

    def test_files_family_without_storage_is_inline(self):
        self.begin("api", worker=ROOMY)
        answer = self.good(text="Hello there", return_word_timings=True, seed=1)
        self.assertEqual(answer["audio_data"], answer["audio"]["base64"])
        self.assertNotIn("audio_base64", answer)
        self.assertEqual([word["word"] for word in answer["word_timings"]], ["Hello", "there"])
        self.assertEqual(set(answer["word_timings"][0]), {"word", "start_time", "end_time", "confidence"})

    def test_fm_29_times_that_cannot_be_had_have_a_reason(self):
        self.begin("worker", models=({"model_type": "plain", "plugin": TEMPLATE},))
        answer = self.good(text="Hi", return_word_timings=True)
        self.assertIn("reports no word times", answer["timing_error"])
        self.assertIn("audio_data", answer)
        self.assertNotIn("timing_files", answer)

    def test_files_family_manages_voices(self):
        self.begin("worker")
        answer = self.good(endpoint="upload", voice_name="My Voice.wav", file=LOW, reference_text="What I say.")
        self.assertEqual(answer["status"], "Voice 'My Voice.wav' uploaded successfully")
        self.assertEqual(answer["message"], answer["status"])
        self.good(op="upload", voice="anna", name="My Voice", audio=LOW)
        listed = self.good(endpoint="list_voices")
        self.assertEqual((listed["status"], listed["count"]), ("success", 2))
        self.assertEqual(set(listed["voices"][0]), {"name", "size", "last_modified"})
        self.assertEqual([voice["name"] for voice in listed["voices"]], ["anna.wav", "My Voice.wav"])
        for voice in listed["voices"]:
            self.good(endpoint="tts", text="Hi", local_voice=voice["name"])

    def test_files_family_uploads_a_name_again(self):
        """A.2: it put voices/NAME, whatever was there; its clients know no `replace`."""
        self.begin("worker")
        for audio in (LOW, HIGH):
            self.good(endpoint="upload", voice_name="anna.wav", file=audio)
        spoken = self.good(text="Hi", voice="anna", seed=1, options=SHORT)
        self.assertEqual(spoken["audio"]["sha256"], self.good(text="Hi", voice=HIGH, seed=1, options=SHORT)["audio"]["sha256"])
        for job in ({"endpoint": "upload", "replace": False}, {"op": "upload"}):
            self.assertEqual(self.one(voice_name="anna", file=LOW, **job)["status"], "error")

    def test_fm_92_files_family_errors_in_its_words(self):
        self.begin("worker")
        cases = [({"endpoint": "tts"}, "Text input is required"),
                 ({"endpoint": "tts", "text": ""}, "Text input is required"),
                 ({"text": "Hi", "local_voice": "nobody.wav"}, "Failed to download voice file: nobody.wav"),
                 ({"endpoint": "upload", "voice_file_url": "https://x.example/a.wav"}, "voice_name is required for upload"),
                 ({"endpoint": "upload", "voice_name": "x"}, "voice_file_url is required for upload"),
                 ({"endpoint": "upload", "voice_name": "../x", "voice_file_url": "https://x.example/a.wav"},
                  "Failed to process voice upload: name: "),
                 ({"endpoint": "download"}, "job_id is required for download"),
                 ({"endpoint": "status", "job_id": "x"}, "Invalid job_id."),
                 ({"endpoint": "result", "job_id": "x"}, "Invalid job_id."),
                 ({"text": "Hi", "timing_format": "doc"}, "timing_format: expected one of srt"),
                 ({"text": "Hi", "timing_format": 7}, "timing_format: expected string"),
                 ({"text": "Hi", "endpoint": "nothing"}, "endpoint: expected one of tts")]
        for job, text in cases:
            with self.subTest(text):
                answer = self.one(**job)
                self.assertEqual(answer["status"], "error")
                self.assertTrue(self.error.startswith(text), self.error)
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server, key_template="output/{job_id}.{ext}"))
            self.one(endpoint="download", job_id="gone")
            self.assertEqual(self.error, "Audio file not found for job_id: gone")
            self.one(endpoint="result", job_id="gone")
            self.assertEqual(self.error, "Invalid job_id.", "A.5")
            self.one(id="bad", text="Hi", timeout_s=0.01, options={"sleep_ms": 60000})
            self.one(endpoint="result", job_id="bad")
            self.assertEqual(self.error, "Job is not complete. Status: ERROR")
            self.one(endpoint="download", job_id="gone", type="timing", format="ass")
            self.assertEqual(self.error, "Timing file not found for job_id: gone, format: ass")

    def test_voices_family_creates_and_speaks_without_a_library(self):
        for model in ("tone", "BEEP"):
            self.begin("worker", worker=ROOMY)
            made = self.good(name="Anna", audio_data=LOW, audio_format="webm", responseFormat="base64", model_type=model)
            self.assertEqual((made["status"], made["voice_id"], made["voice_name"]), ("success", "Anna", "Anna"))
            self.assertTrue(base64.b64decode(made["audio_base64"]).startswith(b"RIFF"), "the sample")
            self.assertGreater(made["generation_time"], 0, "FM-55")
            self.assertTrue(made["metadata"]["profile_exists"] and made["created_date"])
            self.good(op="voice_delete", voice="Anna")
            spoken = self.good(text="Hi", voice_id=made["voice_id"], profile_base64=made["profile_base64"])
            self.assertEqual((spoken["status"], spoken["voice_id"], spoken["model"]), ("success", "Anna", "tone"))
            self.assertEqual(spoken["audio_base64"], spoken["audio"]["base64"])
            meta = spoken["metadata"]
            self.assertEqual((meta["voice_id"], meta["text_input"], meta["response_type"], meta["sample_rate"]),
                             ("Anna", "Hi", "audio_data", 24000))
            self.assertEqual(meta["audio_shape"], [1, round(spoken["duration"] * 24000)])
            self.assertEqual(meta["format"], "wav", "FM-47: a true label")

    def test_voices_family_with_paths(self):
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server, key_template="{user_id}/{story_id}/{job_id}.{ext}"))
            self.good(op="upload", voice="anna", audio=LOW)
            answer = self.good(id="a", text="Hi", voice_id="anna", language="en", story_type="user", is_kids_voice=False,
                               metadata={"user_id": "u", "story_id": "s", "story_name": "T"}, genre="horror")
            self.assertEqual(answer["storage_path"], "u/s/a.wav")
            for name in ("audio_url", "audio_path", "storage_url", "r2_url", "firebase_url"):
                self.assertEqual(answer[name], answer["audio"]["url"])
            self.assertEqual((answer["metadata"]["story_name"], answer["metadata"]["story_type"]), ("T", "user"))
            self.assertEqual(answer["metadata"]["response_type"], "firebase_path")
            self.assertIn('"genre" is kept in metadata and changes nothing', answer["warnings"])
            large = self.good(text="Hi", voice_id="anna", profile_base64=None, options=LONG)
            self.assertEqual((large["file_path"], large["audio_base64"]), (large["audio_url"], None))
            self.assertEqual(large["metadata"]["response_type"], "file_path_only")

    def test_voices_family_with_keys(self):
        """A.11 and A.12: a new voice is answered with the keys of its objects, and a job names them."""
        with S3Server() as server:
            self.begin("worker", storage=self.bucket(server), worker=ROOMY)
            made = self.good(name="Anna", audio_data=LOW, audio_format="webm", language="en", user_id="u", options=SHORT)
            for name, kind in (("profile_path", "profiles"), ("embedding_path", "profiles"), ("r2_profile_path", "profiles"),
                               ("sample_path", "samples"), ("sample_audio_path", "samples"), ("r2_sample_path", "samples"),
                               ("recorded_path", "recorded")):
                self.assertTrue(made[name].startswith(f"voices/u/en/{kind}/Anna_"), name)
                self.assertIn(made[name], server.objects)
            self.good(op="voice_delete", voice="Anna")
            spoken = self.good(text="Hi", voice_id="Anna", profile_path=made["profile_path"], seed=1, options=SHORT)
            self.assertEqual((spoken["status"], spoken["voice_id"]), ("success", "Anna"))
            other = self.good(text="Hi", voice_id="Anna", metadata={"profile_path": made["profile_path"]}, seed=1,
                              options=SHORT)
            self.assertEqual(other["audio"]["sha256"], spoken["audio"]["sha256"])
            cloned = self.good(name="Bea", audio_path=made["recorded_path"], sample=False)
            self.assertTrue(cloned["recorded_path"].startswith("voices/recorded/Bea_"), cloned["recorded_path"])
            self.assertEqual(cloned["voice_id"], "Bea")
            self.one(text="Hi", voice_id="Anna", profile_path="other/b.npy")
            self.assertTrue(self.error.startswith('profile_path: expected the key of an object below "voices/"'), self.error)

    def test_audio_stands_once_in_an_answer_with_its_url(self):
        with S3Server() as server:
            self.begin("api", storage=self.bucket(server), worker=ROOMY)
            for job in ({"name": "Anna", "audio_data": LOW}, {"text": "Hi", "voice_id": "low", "quality": "x"}):
                made = self.good(callback_url="http://127.0.0.1:9/done", options=SHORT, **job)
                self.assertEqual(self.content({"url": made["audio"]["url"]}), base64.b64decode(made["audio_base64"]))

    def test_fm_48_and_63_voices_family_errors_in_its_words(self):
        self.begin("worker")
        cases = [({"text": "Hi", "story_type": "user"}, "Both text and voice_id are required"),
                 ({"voice_id": "low"}, "Both text and voice_id are required"),
                 ({"voice_id": "low", "profile_base64": "AAAA"}, "text, voice_id, and profile_base64 are required"),
                 ({"voice_id": "low", "model_type": "higgs"}, "Unknown model type: higgs. Available: tone"),
                 ({"name": "x"}, "name and either audio_data or audio_path are required"),
                 ({"audio_data": LOW}, "name and either audio_data or audio_path are required"),
                 ({"text": "Hi", "voice_id": "x", "profile_base64": "!"}, "Failed to decode voice profile data: "),
                 ({"text": "Hi", "voice_id": "x", "profile_path": "a/b.npy"}, "profile_path: unsupported: there is no storage"),
                 ({"text": "Hi", "voice_id": "x", "storage_path": "../x"}, "storage_path: unsupported: "),
                 ({"prompt": "Hi", "yt_url": "https://x.example"}, None)]
        for job, text in cases:
            with self.subTest(text):
                answer = self.one(**job)
                self.assertEqual(answer["status"], "error")
                if text and not (text.startswith("name and") and "audio_data" not in job):
                    self.assertTrue(self.error.startswith(text), self.error)
                    self.assertEqual(answer["message"], self.error)
                self.assertTrue(self.error, "FM-63: never a failure without `error`")

    def test_fm_42_recordings_and_profiles_stay_out_of_the_log(self):
        self.begin("worker", worker=ROOMY)
        self.good(name="Anna", audio_data=LOW)
        self.one(text="Hi", voice_id="x", profile_base64=HIGH[:4000])
        self.assertNotIn(LOW[1000:1040], self.workers[-1].log)
        self.assertNotIn(HIGH[1000:1040], self.workers[-1].log)

    def test_older_members_can_be_switched_off(self):
        self.begin("worker", worker={"legacy_fields": False})
        answer = self.good(endpoint="tts", text="Hi", options=SHORT)
        self.assertEqual(answer["status"], "ok")
        self.assertNotIn("audio_data", answer)
