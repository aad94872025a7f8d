"""What F5-TTS does beside being equal to upstream: what a job's fields change and what they must not, files of a model, prepared
voices, long texts, streams, and signals."""
import hashlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import wave

from common import (DATA, PLUGIN, REFERENCES, V0, V1, VOXHOST, Case, batch, job, manifest, safetensors_read, safetensors_write,
                    torch_write, wav_f32, wav_write)

TWO_CHUNKS = {"text": "One two three. Four five six.", "voice_text": "Hi.", "speed": 0.4}
# On the tiny model frames beyond the letters are quiet enough to count as a pause.
PAUSE = {"voice": str(REFERENCES / "ref_short.wav"), "voice_text": "Hi.",
         "text": "This one sentence goes on without any stop so that its letters reach far into the frames which are still to be "
                 "spoken and then there is nothing left. Another sentence comes here and it is as long as the first one was so "
                 "that two chunks have a loud part and a part that counts as a pause."}
# Two sentences of 4 s each beside a reference of 1 s: a chunk of its own for each, and long enough to be interrupted.
LONG = {"text": "The first sentence is here. The second sentence is here.", "voice_text": "Hi.", "speed": 0.4,
        "options": {"nfe_step": 256, "fix_duration": 10}}


class Changes(unittest.TestCase):
    """Every field of a job changes the wave, and nothing else does."""

    # name: (the job that it is a change of, fields)
    CHANGES = {
        "text": ("base", {"text": "Hello, word."}),
        "seed": ("base", {"seed": 2}),
        "voice": ("base", {"voice": str(REFERENCES / "ref_16k.wav")}),
        "voice_text": ("base", {"voice_text": "Some call me nurture."}),
        "speed": ("base", {"speed": 1.1}),
        "nfe_step": ("base", {"options": {"nfe_step": 4}}),
        "cfg_strength": ("base", {"options": {"cfg_strength": 2.1}}),
        "sway_sampling_coef": ("base", {"options": {"sway_sampling_coef": -0.9}}),
        "target_rms": ("base", {"options": {"target_rms": 0.2}}),
        "fix_duration": ("base", {"options": {"fix_duration": 3}}),
        "ode_method": ("base", {"options": {"ode_method": "midpoint"}}),
        "cross_fade_duration": ("chunks", {"options": {"fix_duration": 3.2, "cross_fade_duration": 0.2}}),
        "remove_silence": ("pause", {"options": {"fix_duration": 9.5, "target_rms": 0.75, "remove_silence": True}}),
        "silence_trim": ("silences", {"options": {"silence_trim": False, "fix_duration": 13}}),
    }

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        folder = pathlib.Path(cls.folder.name)
        bases = {
            "base": {},
            "chunks": TWO_CHUNKS | {"options": {"fix_duration": 3.2}},
            "pause": PAUSE | {"options": {"fix_duration": 9.5, "target_rms": 0.75}},
            "silences": {"voice": str(REFERENCES / "long_pauses.flac"), "voice_text": "A long one with pauses.",
                         "options": {"fix_duration": 13}},
        }
        jobs = [job(name, **fields) for name, fields in bases.items()]
        jobs += [job(name, **(bases[of] | fields)) for name, (of, fields) in cls.CHANGES.items()]
        jobs += [job("again")]
        path = manifest(folder, {"v1": V1})
        cls.first = batch(folder, path, jobs)[1]
        parallel = manifest(folder, {"v1": V1}, sessions=2)
        cls.second = batch(folder, parallel, jobs[::-1], out="second")[1]
        cls.waves = {name: wav_f32(folder / "out" / result["audio"]["path"])
                     for name, result in cls.first.items() if result["status"] == "ok"}

    def test_every_job_speaks(self):
        for name, result in self.first.items():
            self.assertEqual(result["status"], "ok", f"{name}: {result.get('error')}")

    def test_every_field_changes_the_wave(self):
        for name, (of, _) in self.CHANGES.items():
            with self.subTest(name):
                self.assertNotEqual(self.waves[name], self.waves[of])

    def test_same_job_gives_same_bytes(self):
        self.assertEqual(self.first["again"]["audio"]["sha256"], self.first["base"]["audio"]["sha256"])

    def test_order_process_and_parallel_sessions_change_nothing(self):
        for name, result in self.first.items():
            with self.subTest(name):
                self.assertEqual(self.second[name]["audio"]["sha256"], result["audio"]["sha256"])

    def test_lengths_are_what_was_asked_for(self):
        self.assertAlmostEqual(len(self.waves["fix_duration"]) / 24000, 3 - 1.1 - 1.15, delta=0.6)
        self.assertLess(len(self.waves["speed"]), len(self.waves["base"]))
        # The whole stays the same: what the overlap takes is added to the chunks.
        self.assertAlmostEqual(len(self.waves["chunks"]), len(self.waves["cross_fade_duration"]), delta=2 * 256)

    def test_remove_silence_shortens_pauses_only(self):
        self.assertLess(len(self.waves["remove_silence"]), len(self.waves["pause"]) - 24000)
        self.assertGreater(len(self.waves["remove_silence"]), 0)


class Files(Case):
    """Which file is the checkpoint, which architecture it has, and how its names may lie."""

    def models(self, tree):
        """Makes model folders {folder: {file: source}} below self.dir with v1's vocabulary and vocoder."""
        for folder, files in tree.items():
            (self.dir / folder).mkdir(parents=True)
            for name, source in {"vocab.txt": DATA / "v1/vocab.txt", "vocos": DATA / "v1/vocos", **files}.items():
                (self.dir / folder / name).symlink_to(source)

    def speak(self, models):
        """{model: (model_dir, options)}; {model: result} of one small job each."""
        path = self.dir / "voxhost.yaml"
        entries = [{"model_type": name, "plugin": PLUGIN, "model_dir": str(folder), "options": options, "required": False}
                   for name, (folder, options) in models.items()]
        path.write_text(json.dumps({"version": 1, "paths": {"cache": str(self.dir / "cache")}, "models": entries}))
        return batch(self.dir, path, [job(name, model_type=name) for name in models])[1]

    def test_arch_is_told_from_official_names_and_else_asked_for(self):
        weights = DATA / "v1/model_tiny_v1.safetensors"
        v1 = {"F5TTS_v1_Base": "model_1250000.safetensors", "F5TTS_v1_Small": "model_1.safetensors",
              "mine_v1": "last.safetensors", "a/tuned": "voice_v1.safetensors"}
        v0 = {"F5TTS_Base": "model_1200000.safetensors", "F5TTS_Base_bigvgan": "model_1.safetensors",
              "F5TTS_Small": "model_2.safetensors", "mine-v0": "last.safetensors"}
        unknown = {"tuned": "model_last.safetensors", "v1/deep/below": "model_last.safetensors"}
        every = v1 | v0 | unknown
        self.models({folder: {name: weights} for folder, name in every.items()})
        models = {folder.replace("/", "."): (self.dir / folder, {}) for folder in every}
        models |= {"v1": (self.dir / "tuned", {"arch": "v1"}), "v0": (self.dir / "tuned", {"arch": "v0"})}
        results = self.speak(models)
        waves = {arch: self.assert_ok(results[arch]) for arch in ("v1", "v0")}
        self.assertNotEqual(waves["v1"], waves["v0"])
        for arch, names in (("v1", v1), ("v0", v0)):
            for folder in names:
                with self.subTest(folder):
                    self.assertEqual(self.assert_ok(results[folder.replace("/", ".")]), waves[arch])
        for folder in unknown:
            with self.subTest(folder):
                self.assert_error(results[folder.replace("/", ".")], "model_failed", "model_type", "options.arch: cannot be told from",
                                  "model_last.safetensors", "v1", "v0")

    def test_arch_option_wins_over_the_name(self):
        self.models({"F5TTS_Base": {"model.safetensors": DATA / "v1/model_tiny_v1.safetensors"}})
        results = self.speak({"named": (self.dir / "F5TTS_Base", {}), "told": (self.dir / "F5TTS_Base", {"arch": "v1"}),
                              "plain": (DATA, V1)})
        self.assertEqual(self.assert_ok(results["told"]), self.assert_ok(results["plain"]))
        self.assertNotEqual(self.assert_ok(results["named"]), self.assert_ok(results["told"]))

    def test_default_checkpoint_is_the_only_safetensors_else_the_only_pt(self):
        good, old = DATA / "v1/model_tiny_v1.safetensors", DATA / "v0/model_tiny_v0.pt"
        self.models({
            "one": {"a.safetensors": good}, "both": {"a.safetensors": good, "b.pt": old},
            "old": {"b.pt": old}, "two": {"a.safetensors": good, "b.safetensors": good}, "none": {},
            "two_old": {"a.pt": old, "b.pt": old},
        })
        (self.dir / "one" / ".hidden.safetensors").write_bytes(b"no")
        v1 = {"arch": "v1"}
        results = self.speak({name: (self.dir / name, v1) for name in ("one", "both", "old", "two", "none", "two_old")} |
                             {"chosen": (self.dir / "two", v1 | {"checkpoint": "b.safetensors"}), "v1": (DATA, V1),
                              "v0_as_v1": (DATA, V1 | {"checkpoint": V0["checkpoint"]})})
        for name in ("one", "both", "chosen"):
            self.assertEqual(self.assert_ok(results[name]), self.assert_ok(results["v1"]), name)
        self.assertEqual(self.assert_ok(results["old"]), self.assert_ok(results["v0_as_v1"]))
        self.assert_error(results["two"], "model_failed", "model_type", "2 files *.safetensors", "options.checkpoint")
        self.assert_error(results["two_old"], "model_failed", "model_type", "2 files *.pt", "options.checkpoint")
        self.assert_error(results["none"], "model_failed", "model_type", "no *.safetensors and no *.pt")

    def test_paths_are_relative_to_model_dir_or_absolute(self):
        absolute = {"arch": "v1"} | {key: str(DATA / V1[key]) for key in ("checkpoint", "vocab", "vocoder")}
        results = self.speak({"relative": (DATA, V1), "absolute": (self.dir, absolute)})
        self.assertEqual(self.assert_ok(results["relative"]), self.assert_ok(results["absolute"]))

    def test_layouts_of_a_checkpoint_speak_alike(self):
        ema = safetensors_read(DATA / V1["checkpoint"])
        plain = {name.removeprefix("ema_model."): tensor for name, tensor in ema.items()}
        bare = {name: tensor for name, tensor in plain.items() if name.startswith("transformer.")}
        zeros = {name: (dtype, shape, bytes(len(data))) for name, (dtype, shape, data) in bare.items()}
        adam = {"state": {i: {"step": ("F32", [], bytes(4)), "exp_avg": tensor} for i, tensor in enumerate(zeros.values())},
                "param_groups": [{"lr": 7.5e-5, "betas": [0.9, 0.999], "params": [0, 1], "foreach": None, "amsgrad": False}]}
        files = {
            "plain.safetensors": safetensors_write(self.dir / "plain.safetensors", plain),
            "bare.safetensors": safetensors_write(self.dir / "bare.safetensors", bare),
            # As training saves it: raw weights, averaged weights, optimizer. The averaged ones speak.
            "training.pt": torch_write(self.dir / "training.pt", {
                "model_state_dict": zeros, "optimizer_state_dict": adam, "ema_model_state_dict": ema,
                "scheduler_state_dict": {"_step_count": 7, "_last_lr": [1e-5]}, "update": 1250000}),
            "averaged.pt": torch_write(self.dir / "averaged.pt", {"ema_model_state_dict": ema}),
            "raw.pt": torch_write(self.dir / "raw.pt", {"model_state_dict": bare, "step": 3}),
        }
        results = self.speak({"v1": (DATA, V1)} | {name: (DATA, V1 | {"checkpoint": str(path)}) for name, path in files.items()})
        for name in files:
            with self.subTest(name):
                self.assertEqual(self.assert_ok(results[name]), self.assert_ok(results["v1"]))


class Voices(Case):
    """References in any file, and the profiles that are kept of them."""

    def test_profile_is_kept_used_and_made_again(self):
        sha = self.assert_ok(self.batch([job("a")])[1]["a"])
        profiles = list((self.dir / "cache").rglob("*.f5ref"))
        self.assertEqual(len(profiles), 1)
        path, whole, written = profiles[0], profiles[0].read_bytes(), profiles[0].stat().st_mtime_ns

        def speak(out):
            return self.assert_ok(self.batch([job("a")], out=out)[1]["a"])

        self.assertEqual(speak("kept"), sha)
        self.assertEqual(path.stat().st_mtime_ns, written, "it was made again")
        # Samples at half their size, with the right digest: a wave that only a job which reads the file can give.
        header_size = struct.unpack_from("<I", whole, 12)[0]
        samples = struct.unpack(f"<{(len(whole) - 32 - header_size) // 4}f", whole[header_size:-32])
        other = whole[:header_size] + struct.pack(f"<{len(samples)}f", *(x / 2 for x in samples))
        path.write_bytes(other + hashlib.sha256(other).digest())
        self.assertNotEqual(speak("other"), sha)
        for name, damaged in (("flipped", whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:]), ("cut", whole[:-100]),
                              ("empty", b""), ("noise", b"no profile at all")):
            path.write_bytes(damaged)
            self.assertEqual(speak(name), sha, name)
            self.assertEqual(path.read_bytes(), whole, name)
        path.unlink()
        self.assertEqual(speak("deleted"), sha)
        self.assertEqual(path.read_bytes(), whole)

    def test_one_profile_for_each_way_of_preparing(self):
        jobs = [job("a"), job("b", options={"target_rms": 0.3}), job("c", options={"silence_trim": False}),
                job("d", seed=2, text="Another text.", voice_text="Other words.")]
        for result in self.batch(jobs)[1].values():
            self.assert_ok(result)
        self.assertEqual(len(list((self.dir / "cache").rglob("*.f5ref"))), 3)

    def test_same_samples_in_another_file_are_the_same_voice(self):
        with wave.open(str(REFERENCES / "ref_24k_mono.wav")) as source:
            pcm = source.readframes(source.getnframes())
        samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
        deep = b"".join(b"\0" + pcm[i:i + 2] for i in range(0, len(pcm), 2))
        floats = struct.pack(f"<{len(samples)}f", *(x / 32768 for x in samples))
        double = b"".join(2 * pcm[i:i + 2] for i in range(0, len(pcm), 2))
        files = {"plain": wav_write(self.dir / "plain.wav", pcm), "deep": wav_write(self.dir / "deep.wav", deep, sample_size=3),
                 "float": wav_write(self.dir / "float.wav", floats, sample_size=4),
                 "stereo": wav_write(self.dir / "stereo.wav", double, channels=2)}
        results = self.batch([job("original")] + [job(name, voice=str(path)) for name, path in files.items()])[1]
        for name in files:
            with self.subTest(name):
                self.assertEqual(self.assert_ok(results[name]), self.assert_ok(results["original"]))

    def test_rates_channels_depths_and_codecs(self):
        names = ["ref_8k.wav", "ref_16k.wav", "ref_24bit.wav", "ref_44k_stereo.wav", "ref_short.wav", "long_no_pause.flac"]
        results = self.batch([job(name.replace(".", "_"), voice=str(REFERENCES / name)) for name in names])[1]
        shas = set()
        for name in names:
            result = results[name.replace(".", "_")]
            shas.add(self.assert_ok(result))
            self.assertGreater(result["audio"]["duration_s"], 0.2, name)
        self.assertEqual(len(shas), len(names))
        self.assertIn("longer than 12 s", " ".join(results["long_no_pause_flac"]["warnings"]))

    def test_flac_and_wav_of_one_recording_are_the_same_voice(self):
        made = self.batch([job("wav", format="wav", encoding="pcm16"), job("flac", format="flac", encoding="pcm16")], out="made")[1]
        for result in made.values():
            self.assert_ok(result)
        voices = [job(name, voice=str(self.dir / "made" / made[name]["audio"]["path"])) for name in ("wav", "flac")]
        results = self.batch(voices)[1]
        self.assertEqual(self.assert_ok(results["wav"]), self.assert_ok(results["flac"]))


class LongText(Case):
    CHEAP = {"nfe_step": 1, "cfg_strength": 0, "cross_fade_duration": 0}

    def check(self, text, speed):
        """Speaks the text, and once more with other letters at its end: (result, first different sample / samples)."""
        assert text.isascii()
        jobs = [job(name, text=words, speed=speed, options=self.CHEAP) for name, words in (("a", text), ("b", text[:-4] + "zzz."))]
        results = self.batch(jobs)[1]
        waves = []
        for name in ("a", "b"):
            self.assert_ok(results[name])
            waves.append(wav_f32(self.dir / "out" / results[name]["audio"]["path"]))
        # Upstream's rule: frames by bytes, the transcript with ". " behind it read as one space more.
        facts = {fact["file"]: fact for fact in json.loads((DATA / "preprocess.json").read_text())}["ref_24k_mono.wav"]
        frames = facts["frames_24k"] // 256 / len("Some call me nature.  ") * len(text) / speed
        self.assertAlmostEqual(len(waves[0]) / (256 * frames), 1, delta=0.02)
        self.assertEqual(len(waves[0]), len(waves[1]))
        different = next(i for i, (a, b) in enumerate(zip(*waves)) if a != b)
        return results["a"], different / len(waves[0])

    def test_sentences_are_spoken_chunk_by_chunk_and_none_is_cut(self):
        # Some 60 s: the beginning is the same to the bit, since the other letters are in the last chunk.
        result, different = self.check("The quick brown fox jumps over a lazy dog, and so on. " * 10 + "The end is not cut.", 1)
        self.assertGreater(result["audio"]["duration_s"], 40)
        self.assertGreater(different, 0.5)

    def test_one_sentence_beyond_the_model_is_split_and_not_cut(self):
        result, different = self.check("word after word " * 14 + "and this.", 0.25)
        self.assertGreater(result["audio"]["duration_s"], 87.4)
        self.assertGreater(different, 0.3)

    def test_one_word_beyond_the_model_is_split_and_not_cut(self):
        result, different = self.check("a" * 240 + "end.", 0.25)
        self.assertGreater(result["audio"]["duration_s"], 87.4)
        self.assertGreater(different, 0.3)


class Running(Case):
    """Processes that are watched or interrupted."""

    def start(self, *args, folder=None, **fields):
        fields = job("-", **(LONG | fields))
        options = [part for key, value in fields["options"].items() for part in ("-O", f"{key}={value}")]
        path = manifest(folder or self.dir, {"v1": V1})
        process = subprocess.Popen([VOXHOST, "speak", "-m", path, "--set", "host.cancel_grace_s=100", "--seed", "1", "--speed",
                                    str(fields["speed"]), "-v", fields["voice"], "--voice-text", fields["voice_text"], *options,
                                    fields["text"], *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def wait_until_it_samples(self, process, folder=None):
        """The profile is written right before the first step."""
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if list(((folder or self.dir) / "cache").rglob("*.f5ref")):
                return
            time.sleep(0.02)
        self.fail(process.stderr.read().decode())

    def test_first_chunk_is_out_before_the_second_is_sampled(self):
        # The first sentence is short and the second is not, so that it has hundreds of steps to go when the first is heard.
        fields = {"text": "One two three. " + "A second sentence, which is much longer than the first one was, and goes on.",
                  "options": {"nfe_step": 128, "fix_duration": 7, "cross_fade_duration": 0}}
        process = self.start("-f", "pcm", "-o", "-", **fields)
        begin = process.stdout.read(1000)
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=100)
        self.assertEqual((len(begin), process.returncode), (1000, 130), error.decode())
        quick = {"text": fields["text"], "options": fields["options"] | {"nfe_step": 1}}
        whole = self.start("-f", "pcm", "-o", "-", **quick).communicate(timeout=100)[0]
        self.assertGreater(len(whole), 60000)
        self.assertLess(len(begin + rest), len(whole) / 2, "the second chunk was there as well")

    def test_stream_is_the_file(self):
        fields = {"options": {"nfe_step": 2, "fix_duration": 4}}
        stream, error = self.start("-f", "pcm", "-o", "-", **fields).communicate(timeout=100)
        self.start("-o", self.dir / "a.pcm", **fields).communicate(timeout=100)
        self.assertEqual(stream, (self.dir / "a.pcm").read_bytes(), error.decode())
        self.assertGreater(len(stream), 10000)

    def test_signal_ends_a_long_job_and_leaves_no_file(self):
        process = self.start("-o", self.dir / "a.wav", text="Very long text. " * 100, options={"nfe_step": 256})
        self.wait_until_it_samples(process)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, 130, error)
        # The whole job takes minutes, and the host would give the plugin up after 100 s.
        self.assertLess(time.monotonic() - sent, 50, "it did not stop at a step")
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), ["cache", "voxhost.yaml"])

    def test_timeout_ends_a_job_and_the_next_one_speaks(self):
        results = self.batch([job("long", text="Very long text. " * 100, timeout_s=0.5, options={"nfe_step": 256}),
                              job("next")])[1]
        self.assertEqual(results["long"]["error"]["code"], "timeout")
        self.assert_ok(results["next"])
        self.assertEqual([path.name for path in (self.dir / "out").glob("*.wav")], ["next.wav"])

    def test_two_processes_share_the_checkpoint(self):
        folders = [self.dir / "one", self.dir / "two"]
        processes = []
        for folder in folders:
            folder.mkdir()
            processes.append(self.start("-o", folder / "a.wav", folder=folder, text="Very long text. " * 100,
                                        options={"nfe_step": 256}))
        for process, folder in zip(processes, folders):
            self.wait_until_it_samples(process, folder)
        for process in processes:
            mapping = self.mapping_of(process.pid, DATA / V1["checkpoint"])
            self.assertGreaterEqual(mapping["Size"] * 1024, (DATA / V1["checkpoint"]).stat().st_size)
            self.assertEqual((mapping["Private_Dirty"], mapping["Shared_Dirty"], mapping["Anonymous"]), (0, 0, 0))
            self.assertGreater(mapping["Shared_Clean"], 0)

    def mapping_of(self, pid, path):
        """The numbers that /proc/PID/smaps has for the only mapping of a file."""
        found, inside = [], False
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                inside = len(words) > 5 and os.path.realpath(line.split(None, 5)[5]) == os.path.realpath(path)
                if inside:
                    self.assertTrue(words[1].startswith("r--"), line)
                    found.append({})
            elif inside and words[-1] == "kB":
                found[-1][words[0][:-1]] = int(words[1])
        self.assertEqual(len(found), 1)
        return found[0]


class Samples(Case):
    def test_pcm16_is_the_float_wave_rounded(self):
        self.batch([job("float"), job("pcm", encoding="pcm16")])
        floats = wav_f32(self.dir / "out" / "float.wav")
        with wave.open(str(self.dir / "out" / "pcm.wav")) as source:
            self.assertEqual((source.getframerate(), source.getnchannels(), source.getsampwidth()), (24000, 1, 2))
            pcm = struct.unpack(f"<{source.getnframes()}h", source.readframes(source.getnframes()))
        self.assertEqual(len(pcm), len(floats))
        self.assertLess(max(abs(a - b * 32768) for a, b in zip(pcm, floats)), 1.01)

    def test_bf16_is_close_and_fp32_is_the_default(self):
        models = {"v1": V1, "fp32": V1 | {"dtype": "fp32"}, "bf16": V1 | {"dtype": "bf16"}, "auto": V1 | {"dtype": "auto"}}
        results = self.batch([job(name, model_type=name) for name in models], models=models)[1]
        shas = {name: self.assert_ok(result) for name, result in results.items()}
        self.assertEqual(shas["v1"], shas["fp32"])
        self.assertNotEqual(shas["bf16"], shas["fp32"])
        self.assertIn(shas["auto"], (shas["fp32"], shas["bf16"]))
        a, b = (wav_f32(self.dir / "out" / f"{name}.wav") for name in ("fp32", "bf16"))
        self.assertEqual(len(a), len(b))
        aa, bb, ab = sum(x * x for x in a), sum(x * x for x in b), sum(x * y for x, y in zip(a, b))
        self.assertGreater(ab / (aa * bb) ** 0.5, 0.9)
        self.assertAlmostEqual((bb / aa) ** 0.5, 1, delta=0.1)

    def test_threads_change_nothing_to_the_ear(self):
        models = {"one": V1 | {"threads": 1}, "two": V1 | {"threads": 2}}
        results = self.batch([job(name, model_type=name) for name in models], models=models)[1]
        waves = [wav_f32(self.dir / "out" / f"{name}.wav") for name in models if self.assert_ok(results[name])]
        self.assertLess(max(abs(a - b) for a, b in zip(*waves)), 2e-5)


if __name__ == "__main__":
    unittest.main()
