"""The voice library: its verbs, what may not go in, profiles that are made once and never stale, several processes at once,
and processes that are killed at any moment."""

import base64
import hashlib
import http.server
import io
import json
import math
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tarfile
import threading
import time
import unittest

from common import SANITIZE, VOXHOST, Case, environment, run
from s3_server import Object, S3Server

FFMPEG = shutil.which("ffmpeg")


def wav(hz=220.0, seconds=1.0, peak=0.5, rate=16000):
    """A sine as 16 bit mono WAV."""
    frames = int(seconds * rate)
    samples = b"".join(struct.pack("<h", round(32767 * peak * math.sin(math.tau * hz * i / rate)))
                       for i in range(min(frames, rate))) * math.ceil(seconds)
    samples = samples[:2 * frames]
    head = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return head + b"data" + struct.pack("<I", len(samples)) + samples


class VoiceCase(Case):
    def setUp(self):
        super().setUp()
        self.library = self.dir / "voices"
        self.make_manifest()
        self.low = self.write("low.wav", wav(150))
        self.high = self.write("high.wav", wav(600))

    def make_manifest(self, host=None, **options):
        self.manifest_file = self.manifest({"model_type": "tone", "options": {"count_profiles": True, **options},
                                            "sessions": 2}, host=host or {}, paths={"voices": "voices", "cache": "cache"})

    def voices(self, *args, manifest=None, **kw):
        return run("voices", *args, "--manifest", manifest or self.manifest_file, **kw)

    def add(self, id, audio, *args):
        done = self.voices("add", id, "--audio", audio, *args)
        self.assert_exit(done, 0)
        return done

    def fails(self, *args, code=1):
        """The one line that says why."""
        done = self.voices(*args)
        self.assert_exit(done, code)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def speak(self, *jobs, args=(), out="out", code=0):
        """Results by id; every job has a text and a seed."""
        shutil.rmtree(self.dir / out, ignore_errors=True)
        jobs = self.jobs(*({"id": str(i), "text": "Hello", "seed": 1, **job} for i, job in enumerate(jobs)),
                         name=f"{out}.jsonl")
        done = self.batch(self.manifest_file, jobs, *args, out=out)
        self.assert_exit(done, code)
        return self.by_id(out)

    def sha(self, **job):
        return self.speak(job)["0"]["audio"]["sha256"]

    def serve(self, files):
        """Serves them on loopback, "/hang" not at all; the base URL."""
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                self.server.paths.append(path)
                if path == "/hang":
                    self.server.release.wait(60)
                    return
                body = files.get(path, b"")
                self.send_response(200 if path in files else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.paths, self.server.release = [], threading.Event()
        self.server.handle_error = lambda *args: None  # clients that go away are meant to
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        for cleanup in (thread.join, self.server.server_close, self.server.shutdown, self.server.release.set):
            self.addCleanup(cleanup)
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def profiles_made(self):
        path = self.dir / "cache" / "tone" / "profiles.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def kept_profiles(self, id):
        return sorted((self.library / id / "profiles").glob("*.bin"))

    def blob(self, id):
        """What the plugin made, out of the host's container."""
        packed = self.kept_profiles(id)[0].read_bytes()
        return packed.split(b"\n", 2)[2]


class Verbs(VoiceCase):
    def test_transcript_is_in_the_file_beside_the_recording(self):
        self.low.with_suffix(".txt").write_text("Beside it.\n")
        self.add("added", self.low)
        results = self.speak({"text": None, "seed": None, "op": "voice_create", "voice": "made", "audio": str(self.low)})
        self.assertEqual(results["0"]["voice"]["transcript"], "Beside it.")
        self.assertEqual(json.loads(self.voices("show", "added", "--json").stdout)["transcript"], "Beside it.")

    def test_voice_goes_in_is_shown_travels_and_goes(self):
        self.add("anna", self.low, "--text", "What she says.", "--language", "en-GB", "--name", "Anna B", "--consent",
                 "given 2026", "--meta", "kids=no", "--meta", "user=7")
        self.add("bob", self.high)
        listed = json.loads(self.voices("list", "--json").stdout)
        self.assertEqual((listed["count"], [v["id"] for v in listed["voices"]]), (2, ["anna", "bob"]))
        anna = json.loads(self.voices("show", "anna", "--json").stdout)
        self.assertEqual((anna["name"], anna["transcript"], anna["language"], anna["consent"], anna["metadata"]),
                         ("Anna B", "What she says.", "en-GB", "given 2026", {"kids": "no", "user": "7"}))
        self.assertEqual((anna["reference"]["format"], anna["reference"]["duration_s"], anna["reference"]["bytes"]),
                         ("wav", 1, self.low.stat().st_size))
        self.assertEqual((self.library / "anna" / anna["reference"]["file"]).read_bytes(), self.low.read_bytes())
        self.assertIn("What she says.", self.voices("show", "anna").stdout)

        before = self.sha(voice="anna")
        file = self.dir / "anna.voice.tar"
        self.assert_exit(self.voices("export", "anna", "-o", file), 0)
        self.assert_exit(self.voices("rm", "anna"), 0)
        self.assertIn("no voice", self.fails("show", "anna"))
        self.assertEqual(self.speak({"voice": "anna"}, code=1)["0"]["error"]["code"], "voice_not_found")
        self.assert_exit(self.voices("import", file), 0)
        self.assertIn('already', self.fails("import", file))
        self.assert_exit(self.voices("import", file, "--as", "copy"), 0)
        for id in ("anna", "copy"):
            again = json.loads(self.voices("show", id, "--json").stdout)
            self.assertEqual((again["id"], again["created"], again["profiles"]), (id, anna["created"], [
                f"tone 1.0, {len(self.blob(id))} bytes"]))
            self.assertEqual(self.sha(voice=id), before)
        self.assertEqual(self.profiles_made(), 1, "the profile travels with the voice")
        self.assertEqual(sorted(p.name for p in self.library.iterdir()), [".voxhost.lock", "anna", "bob", "copy"])

    def test_recording_in_the_storage(self):
        with S3Server() as server:
            body = self.low.read_bytes()
            server.objects["in/low.wav"] = Object(body, "audio/wav", {}, hashlib.md5(body).hexdigest(), 1.7e9)
            keys = {"endpoint": server.endpoint, "bucket": server.bucket, "access_key": server.access_key,
                    "secret_key": server.secret_key, "prefix": "in"}
            sets = [word for key, value in keys.items() for word in ("--set", f"storage.{key}={value}")]
            url = f"s3://{server.bucket}/in/low.wav"
            self.add("anna", url, *sets)
            self.assertEqual(len(list((self.library / "anna").glob("reference-*.wav"))), 1)
            for audio, reason in (("s3://other/low.wav", "the manifest's own bucket"), (url + "x", "no such object"),
                                  (f"s3://{server.bucket}", "the manifest's own bucket")):
                self.assertIn(reason, self.fails("add", "bob", "--audio", audio, *sets))
        self.assertIn("there is no storage", self.fails("add", "bob", "--audio", url))
        self.assertEqual(sorted(p.name for p in self.library.iterdir()), [".voxhost.lock", "anna"])

    def test_plain_folder_is_read(self):
        self.write("voices/carl.wav", wav(300))
        self.write("voices/carl.txt", "What he says.\n")
        self.assertIn("carl", self.voices("list").stdout)
        self.assertEqual(json.loads(self.voices("show", "carl", "--json").stdout)["transcript"], "What he says.")
        plain = self.sha(voice="carl")
        file = self.dir / "carl.tar"
        self.assert_exit(self.voices("export", "carl", "-o", file), 0)
        self.assert_exit(self.voices("import", file, "--as", "carl2"), 0)
        self.assertEqual(self.sha(voice="carl2"), plain)
        self.assertIn("plain recording", self.fails("rm", "carl"))

    def test_name_makes_an_id(self):
        done = self.voices("add", "--name", "Anna Bell", "--audio", self.low, "--json")
        self.assert_exit(done, 0)
        self.assertEqual(json.loads(done.stdout)["id"], "voice_anna_bell")
        self.assertEqual(self.sha(voice="Anna Bell"), self.sha(voice="voice_anna_bell"))

    def test_wrong_use(self):
        for args in ((), ("lits",), ("list", "x"), ("show",), ("add", "x"), ("add", "--audio", "x"), ("export", "x"),
                     ("import",), ("rm", "x", "y"), ("list", "--replace"), ("show", "x", "--audio", "y"),
                     ("add", "x", "--audio", "y", "--meta", "z"), ("add", "x", "--audio", "y", "--text", "a", "--text-file", "b")):
            self.fails(*args, code=2)
        self.assertIn('did you mean "list"', self.fails("lits", code=2))


class BadInput(VoiceCase):
    def test_ids_that_are_none(self):
        for id in ("../x", "a/b", "..", ".hidden", "a\x01b", "a" * 10000, "", "x\n", "ä", "a b", "-x", "/etc/x"):
            args = ("add", "--audio", self.low, "--", id)
            done = run("voices", "--manifest", self.manifest_file, *args)
            self.assertEqual(done.returncode, 1, repr(id))
            self.assertIn("id: ", done.stderr)
            self.assertLess(len(done.stderr), 1000)
            show = run("voices", "--manifest", self.manifest_file, "show", "--", id)
            self.assertEqual(show.returncode, 1, repr(id))
        self.assertFalse(self.library.exists())

    def test_recordings_that_are_no_voices(self):
        cases = {
            "empty": (b"", "is empty"), "noise": (b"#!/bin/sh\necho no audio in here\n" * 50, "is no audio"),
            "silent": (wav(peak=0), "is silent"), "brief": (wav(seconds=0.2), "too short"),
            "cut": (wav()[:9000], "is cut off"), "text": ("Hello\n".encode() * 10, "is no audio"),
            "long": (wav(seconds=610, rate=8000), "is longer than 600 s"),
            "hours": (wav(seconds=3 * 3600, rate=16000), "is longer than 600 s"),
        }
        for name, (content, message) in cases.items():
            path = self.write(f"{name}.wav", content)
            self.assertIn(message, self.fails("add", "x", "--audio", path))
            path.unlink()
        self.assertIn("cannot be read", self.fails("add", "x", "--audio", self.dir / "missing.wav"))
        self.assertIn("not a regular file", self.fails("add", "x", "--audio", self.dir))
        self.assertIn("there is no storage", self.fails("add", "x", "--audio", "s3://bucket/voices/x.wav"))
        self.assertFalse(self.library.exists(), "nothing half-written")

    def test_urls_that_lead_to_no_voice(self):
        url = self.serve({"/voice.webm": wav(300), "/noise.wav": b"no audio at all, whatever its name"})
        self.assertIn("not a public one", self.fails("add", "x", "--audio", f"{url}/voice.webm?key=secret"))
        self.assertEqual(self.server.paths, [])
        self.make_manifest(host={"fetch_private": True, "fetch_timeout_s": 1, "fetch_mb_max": 1})
        for path, message in (("/missing?key=secret", "status 404"), ("/noise.wav?key=secret", "is no audio"),
                              ("/hang?key=secret", "no whole answer within 1 s")):
            said = self.fails("add", "x", "--audio", url + path)
            self.assertIn(message, said)
            self.assertNotIn("secret", said)
        self.assertIn("user name", self.fails("add", "x", "--audio", "http://me:secret@127.0.0.1/"))
        self.assertFalse(self.library.exists(), "nothing half-written")
        self.add("x", f"{url}/voice.webm?key=secret")
        self.assertNotIn("secret", (self.library / "x" / "voice.json").read_text())

    def test_damaged_recording_in_a_job(self):
        encoded = base64.b64encode(wav(peak=0)).decode()
        error = self.speak({"voice": encoded}, code=1)["0"]["error"]
        self.assertEqual((error["code"], error["field"]), ("invalid_request", "voice"))
        self.assertIn("is silent", error["message"])
        self.add("anna", self.low)
        reference = next((self.library / "anna").glob("reference-*"))
        reference.write_bytes(wav(900))
        error = self.speak({"voice": "anna"}, code=1)["0"]["error"]
        self.assertEqual((error["code"], error["field"]), ("storage_failed", "voice"))
        self.assertIn("is damaged", error["message"])

    def test_damaged_portable_files(self):
        self.add("anna", self.low)
        file = self.dir / "anna.tar"
        self.assert_exit(self.voices("export", "anna", "-o", file), 0)
        whole = file.read_bytes()
        rng = random.Random(1)
        for i in range(12):
            bad = bytearray(whole)
            if i % 2:
                bad = bad[:rng.randrange(len(bad) - 1024)]
            else:
                bad[2048 + rng.randrange(30000)] ^= 0xff
            self.assertIn("voxhost: ", self.fails("import", self.write("bad.tar", bytes(bad)), "--as", "copy"))
        recording = next(at for at in range(512, len(whole), 512) if whole[at:at + 10] == b"reference-")
        self.assertIn("manifest.json", self.fails("import", self.write("bad.tar", whole[recording:]), "--as", "copy"))
        self.assertEqual(json.loads(self.voices("list", "--json").stdout)["count"], 1)
        self.assertIn("cannot be written", self.fails("export", "anna", "-o", self.dir / "missing" / "x.tar"))

    def test_fm_53_portable_files_with_evil_members(self):
        """Announced truly in manifest.json, so that nothing but their kind or name tells."""
        self.add("anna", self.low)
        self.assert_exit(self.voices("export", "anna", "-o", self.dir / "anna.tar"), 0)
        with tarfile.open(self.dir / "anna.tar") as tar:
            voice = json.load(tar.extractfile("manifest.json"))
            recording = voice["files"][0]["name"]
            content = tar.extractfile(recording).read()

        def pack(*members, change=lambda manifest: None, kind=tarfile.USTAR_FORMAT):
            """Members are (name, bytes) or (TarInfo, bytes)."""
            manifest = json.loads(json.dumps(voice))
            manifest["files"] += [{"name": name if isinstance(name, str) else name.name, "bytes": len(body),
                                   "sha256": hashlib.sha256(body).hexdigest()} for name, body in members]
            change(manifest)
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
                for name, body in (("manifest.json", json.dumps(manifest).encode()), (recording, content), *members):
                    info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))
            return out.getvalue()

        def of_kind(name, kind, target=""):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            return info

        outside = str(self.dir / "outside.txt")
        odd = "profiles/\x1b[31mred.bin"
        evil = [pack((name, b"x")) for name in
                (outside, "../outside.txt", "profiles/../../outside.txt", "voice.json", "profiles/x.json", "profiles/.x.bin",
                 "profiles/a/b.bin", "profiles/x.bin", odd)]
        evil += [pack((of_kind("profiles/x.bin", kind, target), b"")) for kind, target in
                 ((tarfile.SYMTYPE, outside), (tarfile.LNKTYPE, recording), (tarfile.DIRTYPE, ""), (tarfile.FIFOTYPE, ""),
                  (tarfile.CHRTYPE, ""), (tarfile.GNUTYPE_SPARSE, ""))]
        evil += [pack((recording, content)), pack(("x" * 120, b"x"), kind=tarfile.GNU_FORMAT),
                 pack(("n\u00e4me", b"x"), kind=tarfile.PAX_FORMAT),
                 pack(change=lambda m: m["voice"].update(id="../x")),
                 pack(change=lambda m: m["voice"]["reference"].update(file="../" + recording)),
                 pack(change=lambda m: m["files"][0].update(name=outside)),
                 pack(change=lambda m: m["files"][0].update(bytes=1 << 62)),
                 pack(change=lambda m: m["files"].clear()), pack(change=lambda m: m.update(format="voxhost-voice/9"))]
        huge = bytearray(pack())
        huge[124:136] = b"77777777777\0"
        huge[148:156] = b"        "
        huge[148:156] = b"%06o\0 " % sum(huge[:512])
        for i, data in enumerate([*evil, bytes(huge), b"", b"\0" * 4096]):
            with self.subTest(i):
                said = self.fails("import", self.write("evil.tar", data), "--as", "copy")
                self.assertNotIn("\x1b", said)
        self.assertEqual([path.name for path in self.library.iterdir() if not path.name.startswith(".")], ["anna"])
        self.assertFalse(pathlib.Path(outside).exists())
        self.assert_exit(self.voices("import", self.write("good.tar", pack()), "--as", "copy"), 0)


class Profiles(VoiceCase):
    def test_thousand_jobs_fetch_decode_and_profile_once(self):
        url = self.serve({"/voice.wav": wav(440)})
        self.make_manifest(host={"fetch_private": True}, profile_ms=50)
        self.add("anna", self.low)
        jobs = [{"voice": voice} for _ in range(500) for voice in ("anna", f"{url}/voice.wav")]
        results = self.speak(*jobs)
        self.assertEqual(len({r["audio"]["sha256"] for r in results.values()}), 2)
        self.assertEqual(self.server.paths, ["/voice.wav"])
        self.assertEqual(self.profiles_made(), 2, "one of each voice, whatever the sessions")
        self.sha(voice="anna")
        self.assertEqual(self.profiles_made(), 2, "the library's is kept for the next process")

    def test_fm_49_replaced_voice_never_has_its_old_profile(self):
        self.add("anna", self.low)
        low = self.sha(voice="anna")
        self.add("anna", self.high, "--replace")
        high = self.sha(voice="anna")
        self.assertNotEqual(high, low)
        self.assertEqual(self.profiles_made(), 2)
        self.assertEqual(len(self.kept_profiles("anna")), 1)
        self.add("anna", self.low, "--replace", "--text", "Another transcript.")
        self.assertEqual(self.sha(voice="anna"), low)
        self.assertEqual(self.profiles_made(), 3)

    def test_profile_belongs_to_its_checkpoint(self):
        self.add("anna", self.low)
        self.sha(voice="anna")
        self.make_manifest(load_ms=1)
        self.sha(voice="anna")
        self.assertEqual((self.profiles_made(), len(self.kept_profiles("anna"))), (2, 2))

    def test_fm_69_damaged_or_foreign_profile_is_made_anew(self):
        self.add("anna", self.low)
        right = self.sha(voice="anna")
        for bad in (b"", b"raw bytes", self.kept_profiles("anna")[0].read_bytes()[:-1]):
            self.kept_profiles("anna")[0].write_bytes(bad)
            made = self.profiles_made()
            self.assertEqual(self.sha(voice="anna"), right)
            self.assertEqual(self.profiles_made(), made + 1)
            self.assertTrue(self.kept_profiles("anna")[0].read_bytes().startswith(b"voxhost-profile/1\n"))

    def test_fm_72_and_73_profile_is_used_and_is_no_placeholder(self):
        self.add("anna", self.low)
        self.add("bea", self.high)
        self.assertNotEqual(self.sha(voice="anna"), self.sha(voice="bea"))
        self.assertNotEqual(self.blob("anna"), self.blob("bea"))
        first = self.blob("anna")
        self.kept_profiles("anna")[0].unlink()
        self.sha(voice="anna")
        self.assertEqual(self.blob("anna"), first)

    def test_fm_48_no_voice_of_another_job_is_used(self):
        self.add("anna", self.low)
        self.add("bea", self.high)
        alone = {voice: self.sha(**({"voice": voice} if voice else {})) for voice in ("anna", "bea", None)}
        order = ["anna", None, "bea", None, "anna", "bea"] * 10
        results = self.speak(*({"voice": voice} if voice else {} for voice in order))
        for i, voice in enumerate(order):
            self.assertEqual(results[str(i)]["audio"]["sha256"], alone[voice])

    def test_fm_48_failed_profile_is_an_error_and_no_other_voice(self):
        self.add("anna", self.low)
        self.make_manifest(profile_fail=True)
        results = self.speak({"voice": "anna"}, {}, code=1)
        self.assertEqual(results["0"]["error"]["code"], "invalid_request")
        self.assertIn("profile_fail", results["0"]["error"]["message"])
        self.assertNotIn("audio", results["0"])
        self.assertEqual(results["1"]["status"], "ok")
        self.assertEqual(self.kept_profiles("anna"), [])

    def test_timeout_ends_the_making_of_a_profile(self):
        self.add("anna", self.low)
        self.make_manifest(profile_ms=60000)
        begun = time.monotonic()
        error = self.speak({"voice": "anna", "timeout_s": 0.3}, code=1)["0"]["error"]
        self.assertEqual(error["code"], "timeout")
        self.assertLess(time.monotonic() - begun, 30)
        self.assertEqual(self.kept_profiles("anna"), [])


class InTheJob(VoiceCase):
    def test_voice_travels_in_the_job(self):
        self.add("anna", self.low, "--text", "What she says.")
        right = self.sha(voice="anna")
        profile = base64.b64encode(self.blob("anna")).decode()
        audio = base64.b64encode(self.low.read_bytes()).decode()
        made = self.profiles_made()
        jobs = [
            {"voice": {"id": "her", "profile": profile}},
            {"voice": {"audio": audio, "profile": profile, "transcript": "What she says.", "language": "en"}},
            {"voice_id": "her", "profile_base64": profile},
            {"voice_id": "anna", "embedding_base64": profile},
            {"profile_base64": profile, "voice": {"id": "her"}},
            {"voice": {"id": "anna"}},
        ]
        results = self.speak(*jobs)
        self.assertEqual({r["audio"]["sha256"] for r in results.values()}, {right})
        self.assertEqual(self.profiles_made(), made, "what came with the job was used")
        self.assertEqual([p.name for p in self.library.iterdir() if p.is_dir()], ["anna"], "nothing is kept")
        self.assertEqual(self.sha(voice={"audio": audio, "transcript": "Something."}), right)

    def test_profile_that_does_not_fit(self):
        audio = base64.b64encode(self.low.read_bytes()).decode()
        wrong = base64.b64encode(b"no profile of tone").decode()
        results = self.speak({"voice": {"profile": wrong}}, {"voice": {"audio": audio, "profile": wrong}}, {"voice": audio},
                             {"voice_profile": "???"}, {"voice": {"id": "nobody"}}, {"voice": {}}, {"voice": {"sound": "x"}},
                             {"voice": {"audio": 7}}, {"voice": {"id": "../x", "audio": audio}}, code=1)
        fields = {id: (r["error"]["code"], r["error"]["field"]) for id, r in results.items() if r["status"] == "error"}
        self.assertEqual(fields, {"0": ("invalid_request", "voice_profile"), "3": ("invalid_request", "voice_profile"),
                                  "4": ("voice_not_found", "voice"), "5": ("invalid_request", "voice"),
                                  "6": ("invalid_request", "voice"), "7": ("invalid_request", "voice"),
                                  "8": ("invalid_request", "voice")})
        self.assertIn("no profile of tone", results["0"]["error"]["message"])
        self.assertEqual(results["1"]["audio"]["sha256"], results["2"]["audio"]["sha256"])
        self.assertIn("made anew", " ".join(results["1"]["warnings"]))


class Together(VoiceCase):
    """Several processes on one library."""

    def start(self, *args):
        return subprocess.Popen([VOXHOST, "voices", *map(str, args), "--manifest", str(self.manifest_file)],
                                env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def assert_whole(self, known, out="check"):
        """Every voice that is listed can be spoken with, and nothing is unreadable."""
        listed = self.voices("list", "--json")
        self.assert_exit(listed, 0)
        ids = [voice["id"] for voice in json.loads(listed.stdout)["voices"]]
        if ids:
            for result in self.speak(*({"voice": id} for id in ids), out=out).values():
                self.assertIn(result["audio"]["sha256"], known)
        return ids

    def test_fm_33_writers_and_speakers_at_once(self):
        self.add("anna", self.low)
        low = self.sha(voice="anna")
        self.add("anna", self.high, "--replace")
        known = {low, self.sha(voice="anna")}
        stop = time.monotonic() + (12 if SANITIZE else 6)
        wrong = []
        manifest = self.write("fixed.yaml", self.manifest_file.read_text())

        def replace():
            while time.monotonic() < stop and not wrong:
                for audio in (self.low, self.high):
                    done = self.voices("add", "anna", "--audio", audio, "--replace", manifest=manifest)
                    if done.returncode:
                        wrong.append(done.stderr)

        def come_and_go():
            while time.monotonic() < stop and not wrong:
                for args in (("add", "bob", "--audio", self.low), ("rm", "bob")):
                    done = self.voices(*args, manifest=manifest)
                    if done.returncode:
                        wrong.append(done.stderr)

        threads = [threading.Thread(target=replace), threading.Thread(target=replace), threading.Thread(target=come_and_go)]
        for thread in threads:
            thread.start()
        rounds = 0
        try:
            while time.monotonic() < stop:
                self.make_manifest(load_ms=rounds % 7)
                # A file is read again when it was replaced: never an error, never a voice that is neither.
                for result in self.speak(*({"voice": "anna"} for _ in range(20))).values():
                    self.assertIn(result["audio"]["sha256"], known)
                rounds += 1
        finally:
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(rounds, 2)
        self.assertLessEqual(set(self.assert_whole(known)), {"anna", "bob"})

    def test_killed_at_any_moment(self):
        big = self.write("big.wav", wav(150, seconds=60, rate=48000))
        self.add("anna", self.low)
        self.add("small", self.high)
        file = self.dir / "small.tar"
        self.assert_exit(self.voices("export", "small", "-o", file), 0)
        self.add("probe", big)
        known = {self.sha(voice=id) for id in ("anna", "small", "probe")}
        rng = random.Random(6)
        begun = time.monotonic()
        self.add("probe", big, "--replace")
        once = time.monotonic() - begun
        for i in range(12 if SANITIZE else 30):
            args = [("add", "anna", "--audio", big, "--replace"), ("add", "anna", "--audio", self.low, "--replace"),
                    ("add", f"new{i}", "--audio", big), ("import", file, "--as", f"new{i}"), ("rm", "probe"),
                    ("import", file, "--replace", "--as", "probe")][i % 6]
            child = self.start(*args)
            time.sleep(rng.uniform(0, once))
            child.send_signal(signal.SIGKILL)
            child.communicate()
            self.assertIn("anna", self.assert_whole(known), "what was there is there, the old one or the new one")
        self.add("last", self.low)
        left = [p.name for p in self.library.iterdir() if p.name.startswith(".") and p.name != ".voxhost.lock"]
        self.assertEqual(left, [], "the next writer removes what the killed ones left")

    def test_fm_66_only_leftovers_of_its_own_are_removed(self):
        self.write("voices/anna/notes.txt", "not ours")
        self.write("voices/.hidden/file", "not ours")
        self.write("voices/carl.wav", wav(300))
        self.write("voices/.voxhost-new/reference-x.wav", "left by a killed writer")
        self.assertIn("without a voice.json", self.fails("add", "anna", "--audio", self.low))
        self.add("bob", self.low)
        self.assert_exit(self.voices("rm", "bob"), 0)
        self.assertEqual(sorted(str(p.relative_to(self.library)) for p in self.library.rglob("*") if p.is_file()),
                         [".hidden/file", ".voxhost.lock", "anna/notes.txt", "carl.wav"])

    def test_library_that_cannot_be_written(self):
        if os.geteuid() == 0:
            self.write("voices", "a file")
            self.assertIn("cannot make the directory", self.fails("add", "anna", "--audio", self.low))
            return
        self.library.mkdir(mode=0o555)
        self.assertIn("cannot be", self.fails("add", "anna", "--audio", self.low))


@unittest.skipUnless(FFMPEG, "ffmpeg is not installed")
class Ffmpeg(VoiceCase):
    def encode(self, name, *codec):
        path = self.dir / name
        subprocess.run([FFMPEG, "-v", "error", "-i", str(self.low), *codec, str(path)], check=True,
                       stdin=subprocess.DEVNULL)
        return path

    def without_ffmpeg(self, **job):
        empty = self.dir / "empty"
        empty.mkdir(exist_ok=True)
        shutil.rmtree(self.dir / "without", ignore_errors=True)
        jobs = self.jobs({"id": "a", "text": "Hello", "seed": 1, **job})
        self.batch(self.manifest_file, jobs, out="without", env={"PATH": str(empty)})
        return self.by_id("without")["a"]

    def test_m4a_and_webm_whatever_they_are_called(self):
        """FM-70: a browser's webm that is labelled wav."""
        m4a = self.encode("rec.m4a", "-c:a", "aac")
        webm = self.encode("rec.webm", "-c:a", "libopus")
        for id, path, format in (("m4a", m4a, "m4a"), ("webm", webm, "webm")):
            liar = self.write(f"{id}.wav", path.read_bytes())
            self.add(id, liar)
            shown = json.loads(self.voices("show", id, "--json").stdout)
            self.assertEqual(shown["reference"]["format"], format)
            self.assertAlmostEqual(shown["reference"]["duration_s"], 1, delta=0.15)
            self.assertEqual((self.library / id / shown["reference"]["file"]).read_bytes(), path.read_bytes())
            inline = base64.b64encode(path.read_bytes()).decode()
            results = self.speak({"voice": id}, {"voice": inline}, {"voice": str(path)})
            self.assertEqual({r["status"] for r in results.values()}, {"ok"})
            # Where there is no ffmpeg the library's voice is spoken with all the same: it was decoded when it was taken in.
            self.assertEqual(self.without_ffmpeg(voice=id)["audio"]["sha256"], results["0"]["audio"]["sha256"])
            error = self.without_ffmpeg(voice=inline)["error"]
            self.assertEqual((error["code"], error["field"]), ("unsupported", "voice"))
            self.assertIn("ffmpeg", error["message"])

    def test_portable_file_of_a_decoded_voice(self):
        self.add("a", self.encode("rec.m4a", "-c:a", "aac"))
        file = self.dir / "a.tar"
        self.assert_exit(self.voices("export", "a", "-o", file), 0)
        self.assert_exit(self.voices("import", file, "--as", "b"), 0)
        self.assertEqual(self.sha(voice="a"), self.sha(voice="b"))

    def test_damaged_and_hostile_files(self):
        whole = self.encode("rec.m4a", "-c:a", "aac").read_bytes()
        secret = self.write("secret.wav", wav(500))
        playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode()
        for content in (whole[:200], whole[:8] + playlist, b"\x1a\x45\xdf\xa3" + playlist, whole[:24] + os.urandom(5000)):
            message = self.fails("add", "x", "--audio", self.write("bad.m4a", content))
            self.assertIn("ffmpeg cannot read it", message)
        self.assertIn("is no audio", self.fails("add", "x", "--audio", self.write("bad.m3u8", playlist)))
        self.assertFalse(self.library.exists())

    def test_cut_and_damaged_files(self):
        """Of which ffmpeg decodes a part."""
        for name, codec in (("rec.webm", "libopus"), ("rec.aac", "aac")):
            whole = self.encode(name, "-c:a", codec).read_bytes()
            half = len(whole) * 6 // 10
            for content in (whole[:half], whole[:half] + bytes(200) + whole[half + 200:]):
                self.assertIn("is cut off or damaged", self.fails("add", "x", "--audio", self.write(name, content)))
        self.assertFalse(self.library.exists())

    def test_length_and_time_are_limited(self):
        long = self.encode("long.m4a", "-af", "aloop=loop=-1:size=16000", "-t", "700", "-c:a", "aac", "-b:a", "16k")
        self.assertIn("longer than 600 s", self.fails("add", "x", "--audio", long))
        sleeper = self.write("bin/ffmpeg", "#!/bin/sh\nsleep 600 &\nwait\n")
        sleeper.chmod(0o755)
        m4a = self.encode("rec.m4a", "-c:a", "aac")
        job = self.jobs({"id": "a", "text": "Hello", "voice": str(m4a), "timeout_s": 0.5})
        begun = time.monotonic()
        done = self.batch(self.manifest_file, job, env={"PATH": f"{sleeper.parent}:{os.environ['PATH']}"})
        self.assert_exit(done, 1)
        self.assertEqual(self.by_id()["a"]["error"]["code"], "timeout")
        self.assertLess(time.monotonic() - begun, 30)
        time.sleep(0.2)
        left = [p for p in pathlib.Path("/proc").glob("[0-9]*") if self.runs(p, str(sleeper))]
        self.assertEqual(left, [], "its whole process group was ended")

    @staticmethod
    def runs(process, name):
        try:
            return name.encode() in (process / "cmdline").read_bytes()
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main()
