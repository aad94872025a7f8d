"""voxhost speak: files, streams, errors."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time
import unittest
import wave

from common import BUILD, VOXHOST, Case, environment, run

MAGIC = {"wav": b"RIFF", "flac": b"fLaC", "ogg": b"OggS", "opus": b"OggS"}


class Speak(Case):
    def speak(self, *args, **kw):
        kw.setdefault("env", {"XDG_CACHE_HOME": str(self.dir / "home")})
        return run("speak", *args, **kw)

    def test_built_in_voice_speaks_without_a_manifest(self):
        out = self.dir / "hello.wav"
        done = self.speak("Hello, world.", "-o", out)
        self.assert_exit(done, 0)
        self.assertIn("16000 Hz, flite", done.stdout)
        with wave.open(str(out)) as wav:
            self.assertEqual((wav.getframerate(), wav.getnchannels(), wav.getsampwidth()), (16000, 1, 2))
            seconds = wav.getnframes() / 16000
            samples = struct.unpack(f"<{wav.getnframes()}h", wav.readframes(wav.getnframes()))
        self.assertTrue(0.5 < seconds < 3, seconds)
        rms = (sum(s * s for s in samples) / len(samples)) ** 0.5
        self.assertGreater(rms, 300, "it is silent")
        self.assertEqual([path.name for path in self.dir.iterdir() if path.name.startswith(".")], [])

    def test_audio_equals_the_flite_program(self):
        text = "The quick brown fox jumps over the lazy dog."
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", self.dir / "theirs.wav"], check=True)
        self.assert_exit(self.speak(text, "-v", "rms", "-o", self.dir / "ours.wav"), 0)
        frames = []
        for name in ("theirs.wav", "ours.wav"):
            with wave.open(str(self.dir / name)) as wav:
                frames.append(wav.readframes(wav.getnframes()))
        self.assertEqual(frames[0], frames[1])

    def test_the_name_decides_the_format(self):
        for name, magic in MAGIC.items():
            out = self.dir / f"a.{name}"
            self.assert_exit(self.speak("One.", "-o", out), 0)
            self.assertEqual(out.read_bytes()[:4], magic)
        self.assert_exit(self.speak("One.", "-o", self.dir / "a.mp3"), 0)
        self.assertEqual((self.dir / "a.mp3").read_bytes()[0], 0xFF)
        done = self.speak("One.", "-f", "mp3", "-o", self.dir / "b.wav")
        self.assert_exit(done, 2)
        self.assertIn("format: mp3 does not fit the name", done.stderr)
        self.assertFalse((self.dir / "b.wav").exists())
        done = self.speak("One.", "-o", self.dir / "a.m4a")
        self.assert_exit(done, 2)
        self.assertIn('".m4a" is no format', done.stderr)
        self.assertFalse((self.dir / "a.m4a").exists())
        self.assert_exit(self.speak("One.", "-f", "wav", "-o", self.dir / "a.sound"), 0)
        self.assert_exit(self.speak("One.", "-o", self.dir / "A.FLAC"), 0)
        self.assertEqual((self.dir / "A.FLAC").read_bytes()[:4], b"fLaC")
        self.assert_exit(self.speak("One.", "-o", f"{self.dir}/new/"), 2)

    def test_a_refused_job_is_a_result_too(self):
        done = self.speak("--json", "-v", "nobody", "One.", "-o", self.dir / "a.wav")
        self.assert_exit(done, 2)
        result = json.loads(done.stdout)
        self.assertEqual((result["status"], result["error"]["code"], result["error"]["field"]),
                         ("error", "voice_not_found", "voice"))

    def test_stream_to_stdout_is_the_same_audio(self):
        self.assert_exit(self.speak("A stream.", "-o", self.dir / "a.pcm"), 0)
        done = self.speak("A stream.", "-f", "pcm", "-o", "-", text=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout, (self.dir / "a.pcm").read_bytes())
        wav = self.speak("A stream.", "-o", "-", text=False).stdout
        self.assertEqual(wav[:4] + wav[40:44], b"RIFF\xff\xff\xff\xff")
        self.assertEqual(wav[44:], done.stdout)

    def test_text_from_standard_input(self):
        self.assert_exit(self.speak("-", "-o", self.dir / "a.wav", input="From a pipe."), 0)
        self.assert_exit(self.speak("From a pipe.", "-o", self.dir / "b.wav"), 0)
        self.assertEqual((self.dir / "a.wav").read_bytes(), (self.dir / "b.wav").read_bytes())

    def test_json_result_is_true(self):
        done = self.speak("--json", "Twelve words.", "-o", self.dir / "a.wav", "--seed", "9223372036854775807")
        result = json.loads(done.stdout)
        self.assertEqual((result["status"], result["seed"]), ("ok", 9223372036854775807))
        self.assertEqual(result["audio"]["bytes"], (self.dir / "a.wav").stat().st_size)
        self.assertEqual([word["word"] for word in result["words"]], ["twelve", "words"])
        self.assertEqual("Twelve words."[result["words"][1]["text_begin"]:result["words"][1]["text_end"]], "words")

    def test_speed_and_rate_change_the_audio(self):
        plain = json.loads(self.speak("--json", "Some words to say.", "-o", self.dir / "a.wav").stdout)
        fast = json.loads(self.speak("--json", "--speed", "2", "--sample-rate", "48000", "Some words to say.", "-o",
                                     self.dir / "b.wav").stdout)
        self.assertAlmostEqual(fast["audio"]["duration_s"] / plain["audio"]["duration_s"], 0.5, delta=0.1)
        self.assertEqual(fast["audio"]["sample_rate"], 48000)

    def test_wrong_use_says_what_and_starts_nothing(self):
        cases = [
            (["-o", "x.wav"], "what to say is missing"),
            (["Hi"], "-o FILE is missing"),
            (["Hi", "-o", "x.wav", "--speed", "9"], "speed: expected number 0.25..4"),
            (["Hi", "-o", "x.wav", "--seed", "-1"], "seed: expected integer"),
            (["Hi", "-o", "x.wav", "-v", "bob"], 'voice: no voice "bob", expected one of: slt'),
            (["Hi", "-o", "x.wav", "-t", "flit"], 'did you mean "flite"?'),
            (["Hi", "-o", "x.wav", "-O", "nfe=3"], "options.nfe: unknown option"),
            (["Hi", "-o", "x.wav", "--set", "host.log_levle=info"], 'did you mean "log_level"?'),
            (["  ", "-o", "x.wav"], "text: is empty"),
            (["Hi", "-o", str(self.dir)], "is a directory"),
            (["Hi", "-o", "x.wav", "-m", "nothing.yaml"], "nothing.yaml"),
            (["Hi", "--nonsense"], "unrecognized option"),
        ]
        for args, expected in cases:
            done = self.speak(*args, cwd=self.dir)
            self.assert_exit(done, 2)
            self.assertIn(expected, done.stderr)
            self.assertFalse((self.dir / "x.wav").exists())

    def test_bytes_that_are_no_text_are_refused(self):
        done = self.speak("-", "-o", self.dir / "a.wav", input=b"caf\xe9", text=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"text: is not UTF-8 at byte 4", done.stderr)
        done = self.speak("-", "-o", self.dir / "a.wav", input=b"a\0b", text=False)
        self.assertIn(b"NUL", done.stderr)
        done = self.speak("-", "-o", self.dir / "a.wav", input=b"word " * 2_000_000, text=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"larger than 1000000 bytes", done.stderr)

    def test_model_that_cannot_load_is_exit_3_with_the_reason(self):
        manifest = self.manifest({"model_type": "tone", "options": {"fail": True}})
        done = self.speak("-m", manifest, "Hi", "-o", self.dir / "a.wav")
        self.assert_exit(done, 3)
        self.assertIn("tone:", done.stderr)
        done = self.speak("-m", self.manifest({"model_type": "x", "plugin": "nowhere.so"}), "Hi", "-o", self.dir / "a.wav")
        self.assert_exit(done, 3)
        self.assertIn('plugin "nowhere.so" is in none of', done.stderr)
        self.assertIn("manifest.yaml:1:", done.stderr)

    def test_only_the_model_that_speaks_is_loaded(self):
        manifest = self.manifest({"model_type": "tone"}, {"model_type": "slow", "options": {"load_ms": 60000}})
        self.assert_exit(self.speak("-m", manifest, "-t", "tone", "Hi", "-o", self.dir / "a.wav", timeout=30), 0)

    def test_failure_leaves_no_file(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so"})
        for fault in ("fails_after_audio", "write_nan", "no_audio"):
            done = self.speak("-m", manifest, "-O", f"fault={fault}", "Hi", "-o", self.dir / "a.wav")
            self.assert_exit(done, 1)
            self.assertEqual(sorted(path.name for path in self.dir.iterdir()), ["cache", "manifest.yaml"])

    def test_closed_output_is_an_error_and_no_crash(self):
        process = subprocess.Popen([VOXHOST, "speak", "word " * 2000, "-o", "-"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment(XDG_CACHE_HOME=str(self.dir)))
        process.stdout.read(100)
        process.stdout.close()
        error = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(60), 1, error)
        self.assertIn("Broken pipe", error)

    def start(self, *args, **kw):
        process = subprocess.Popen([VOXHOST, "speak", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment(XDG_CACHE_HOME=str(self.dir)), **kw)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_signal_ends_the_wait_for_text(self):
        process = self.start("-", "-o", self.dir / "a.wav", stdin=subprocess.PIPE)
        process.stdin.write(b"half a ")
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)

    def test_signal_ends_it_while_nobody_reads(self):
        process = self.start("--set", "host.cancel_grace_s=0.1", "word " * 2000, "-o", "-")
        self.assertEqual(len(process.stdout.read(44)), 44)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 143)

    def test_what_a_plugin_prints_spoils_neither_audio_nor_json(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so"})
        args = ["-m", manifest, "-O", "fault=prints_stdout", "Hi"]
        done = self.speak(*args, "-o", "-", text=False)
        self.assertEqual(done.stdout[:4], b"RIFF")
        self.assertIn(b"printed by a plugin", done.stderr)
        done = self.speak(*args, "--json", "-o", self.dir / "a.wav")
        self.assertEqual(json.loads(done.stdout)["status"], "ok")

    def test_hang_in_open_is_bounded(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so",
                                  "options": {"fault": "open_hangs", "hang_ms": 60000}}, host={"cancel_grace_s": 0.2})
        done = self.speak("-m", manifest, "--timeout", "0.2", "Hi", "-o", self.dir / "a.wav", timeout=30)
        self.assert_exit(done, 1)
        self.assertIn("ran longer than 0.2 s", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become a user without a home")
    def test_user_without_a_home_can_speak(self):
        self.dir.chmod(0o777)
        subprocess.run(["cmake", "--install", BUILD, "--prefix", self.dir / "usr", "--component", "host"], check=True,
                       stdout=subprocess.DEVNULL)  # the build folder may be closed to others
        done = subprocess.run(["setpriv", "--reuid", "4242", "--clear-groups", self.dir / "usr/bin/voxhost", "speak", "Hi",
                               "-o", self.dir / "a.wav"], env={"HOME": "/", "PATH": os.environ["PATH"]},
                              capture_output=True, text=True, timeout=60)
        shutil.rmtree("/tmp/voxhost-4242", ignore_errors=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_signal_ends_it_and_leaves_nothing(self):
        manifest = self.manifest()
        process = subprocess.Popen([VOXHOST, "speak", "-m", manifest, "-O", "sleep_ms=60000", "Hi", "-o",
                                    self.dir / "a.wav"], stderr=subprocess.PIPE, env=environment())
        deadline = time.monotonic() + 30
        while not list(self.dir.glob(".voxhost-*/0")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=30)[1].decode()
        self.assertEqual(process.returncode, 143, error)
        self.assertEqual(list(self.dir.glob(".voxhost*")) + list(self.dir.glob("*.wav")), [])

    def test_pipe_and_device_are_written_and_not_replaced(self):
        fifo = self.dir / "fifo"
        os.mkfifo(fifo)
        reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
        self.assert_exit(self.speak("Hi.", "-f", "flac", "-o", fifo), 0)
        self.assertEqual(reader.communicate(timeout=30)[0][:4], b"fLaC")
        self.assert_exit(self.speak("Hi.", "-o", "/dev/null"), 0)
        self.assertTrue(pathlib.Path("/dev/null").is_char_device())

    def test_recording_changes_the_voice(self):
        self.assert_exit(self.speak("A reference.", "-v", "kal16", "-o", self.dir / "ref.wav"), 0)
        manifest = self.manifest(paths={"voices": str(self.dir / "voices")})
        shas = []
        for voice in ([], ["-v", str(self.dir / "ref.wav")], ["-v", "anna"]):
            (self.dir / "voices").mkdir(exist_ok=True)
            (self.dir / "voices" / "anna.wav").write_bytes((self.dir / "ref.wav").read_bytes())
            done = self.speak("-m", manifest, "--json", "--seed", "1", *voice, "Hi there", "-o", self.dir / "a.wav")
            self.assert_exit(done, 0)
            shas.append(json.loads(done.stdout)["audio"]["sha256"])
        self.assertNotEqual(shas[0], shas[1])
        self.assertEqual(shas[1], shas[2])
        (self.dir / "noise.wav").write_bytes(b"this is no audio at all")
        done = self.speak("-m", manifest, "-v", self.dir / "noise.wav", "Hi", "-o", self.dir / "a.wav")
        self.assert_exit(done, 1)
        self.assertIn("voice: ", done.stderr)


class Install(Case):
    def test_installed_tree_finds_its_plugin_and_speaks(self):
        prefix = self.dir / "usr"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix, "--component", "host"], check=True,
                       stdout=subprocess.DEVNULL)
        done = subprocess.run([prefix / "bin" / "voxhost", "speak", "Installed.", "-o", self.dir / "a.wav"],
                              env=environment(XDG_CACHE_HOME=str(self.dir)), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.dir / "a.wav").read_bytes()[:4], b"RIFF")

    def test_help_and_version(self):
        self.assertIn("speak", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^voxhost \d+\.\d+\.\d+$")
        self.assert_exit(run(), 2)
        done = run("spek")
        self.assert_exit(done, 2)
        self.assertIn('did you mean "speak"?', done.stderr)


if __name__ == "__main__":
    unittest.main()
