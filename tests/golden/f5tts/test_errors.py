"""What goes wrong around F5-TTS: each failure says what to do about it, and the host and its other models go on."""
import json
import os
import pathlib
import pickle
import resource
import shutil
import struct
import subprocess
import tempfile
import unittest
import zipfile

from common import (DATA, PLUGIN, REFERENCES, SANITIZE, V0, V1, VOXHOST, Case, batch, job, manifest, safetensors_read,
                    safetensors_write, torch_write, wav_write)

V1_FILE, V0_FILE = DATA / V1["checkpoint"], DATA / V0["checkpoint"]
PREFIX = "ema_model.transformer."


class Command:
    """An object whose unpickling would run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def with_pickle(path, tree):
    """A file as torch.save writes it, with a pickle of our own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(tree, protocol=2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return path


def changed(path, tensors, **changes):
    """Writes `tensors` with some of them replaced; None: left out. Names have __ for a dot."""
    whole = dict(tensors)
    for name, value in changes.items():
        whole.pop(PREFIX + name.replace("__", "."), None)
        if value is not None:
            whole[PREFIX + name.replace("__", ".")] = value
    return safetensors_write(path, whole)


def with_value(tensor, index, value):
    dtype, shape, data = tensor
    return dtype, shape, data[:4 * index] + struct.pack("<f", value) + data[4 * index + 4:]


class Models(unittest.TestCase):
    """Models that cannot be loaded, all in one manifest beside a good one, each with one job."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        models = {name: V1 | options for name, options in {**cls.checkpoints(), **cls.others()}.items()}
        models["v1"] = V1
        path = manifest(cls.folder, models, required=False)
        whole = json.loads(path.read_text())
        whole["models"].append(whole["models"][0] | {"model_type": "no_folder", "model_dir": str(cls.folder / "nowhere"),
                                                     "options": {"arch": "v1"}})
        path.write_text(json.dumps(whole))
        names = [entry["model_type"] for entry in whole["models"]]
        cls.run_, cls.results = batch(cls.folder, path, [job(name, model_type=name) for name in names])

    @classmethod
    def checkpoints(cls):
        raw, old, good = V1_FILE.read_bytes(), V0_FILE.read_bytes(), safetensors_read(V1_FILE)
        f = cls.folder
        (f / "cut.safetensors").write_bytes(raw[:-1000])
        (f / "cut_header.safetensors").write_bytes(raw[:500])
        (f / "cut_size.safetensors").write_bytes(raw[:5])
        (f / "empty.safetensors").write_bytes(b"")
        (f / "corrupt.safetensors").write_bytes(raw[:8] + raw[8:].replace(b'"dtype"', b'"dt\0pe"', 1))
        (f / "huge_header.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + raw[8:])
        (f / "text.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        (f / "cut.pt").write_bytes(old[:len(old) // 2])
        (f / "noise.pt").write_bytes(bytes(range(256)) * 16)
        bias, proj = good[PREFIX + "proj_out.bias"], good[PREFIX + "proj_out.weight"]
        q = good[PREFIX + "transformer_blocks.1.attn.to_q.weight"]
        changed(f / "nan.safetensors", good, proj_out__weight=with_value(proj, 3 * 32 + 17, float("nan")))
        changed(f / "infinite.safetensors", good, transformer_blocks__1__attn__to_q__weight=with_value(q, 33, float("inf")))
        changed(f / "unfit.safetensors", good, proj_out__bias=None, proj_out__weight=("F32", [99, 32], proj[2][:99 * 128]),
                surplus__weight=bias)
        nothing = {name: None for name in (f"transformer_blocks__{i}__{part}__{kind}" for i in range(2)
                                           for part in ("attn__to_k", "attn__to_v", "ff__ff__2", "attn_norm__linear")
                                           for kind in ("weight", "bias"))}
        changed(f / "many.safetensors", good, **nothing)
        safetensors_write(f / "other.safetensors", {"encoder.weight": bias, "decoder.weight": proj})
        e2 = {name: tensor for name, tensor in good.items() if "transformer_blocks" not in name and "text_blocks" not in name}
        for part, tensor in (("to_q", q), ("to_k", q), ("to_v", q)):
            e2[f"{PREFIX}layers.0.2.{part}.weight"] = tensor
        safetensors_write(f / "e2.safetensors", e2)
        with_pickle(f / "evil.pt", {"ema_model_state_dict": Command(f"touch {f}/was_run")})
        names = ["cut.safetensors", "cut_header.safetensors", "cut_size.safetensors", "empty.safetensors", "corrupt.safetensors",
                 "huge_header.safetensors", "text.safetensors", "cut.pt", "noise.pt", "nan.safetensors", "infinite.safetensors",
                 "unfit.safetensors", "many.safetensors", "other.safetensors", "e2.safetensors", "evil.pt", "missing.safetensors"]
        return {name.replace(".", "_"): {"checkpoint": str(f / name)} for name in names} | {"folder": {"checkpoint": str(f)}}

    @classmethod
    def others(cls):
        f, vocab = cls.folder, (DATA / "v1/vocab.txt").read_text(encoding="utf-8")
        (f / "vocab_short.txt").write_text("\n".join(vocab.split("\n")[:-2]) + "\n", encoding="utf-8")
        (f / "vocab_long.txt").write_text(vocab + "extra\n", encoding="utf-8")
        (f / "vocab_bytes.txt").write_bytes(b" \n\xff\xfe\n")
        (f / "vocab_empty.txt").write_bytes(b"")
        config = (DATA / "v1/vocos/config.yaml").read_text()
        changes = {"hop": ("hop_length: 256", "hop_length: 300"), "mels": ("input_channels: 100", "input_channels: 80"),
                   "not_vocos": ("ISTFTHead", "IMDCTSymExpHead"), "no_layers": ("num_layers: ", "number_of_layers: "),
                   "deeper": ("num_layers: ", "num_layers: 1")}
        configs = {name: config.replace(old, new) for name, (old, new) in changes.items()}
        configs |= {"not_yaml": "a: [1\nb: }", "good": config}
        for name, text in configs.items():
            (f / f"vocos_{name}").mkdir()
            (f / f"vocos_{name}" / "config.yaml").write_text(text)
            (f / f"vocos_{name}" / "pytorch_model.bin").symlink_to(DATA / "v1/vocos/pytorch_model.bin")
        (f / "vocos_good").rename(f / "vocos_no_weights")
        (f / "vocos_no_weights" / "pytorch_model.bin").unlink()
        shutil.copytree(f / "vocos_no_weights", f / "vocos_cut")
        (f / "vocos_cut" / "pytorch_model.bin").write_bytes((DATA / "v1/vocos/pytorch_model.bin").read_bytes()[:100000])
        shutil.copytree(DATA / "v0/vocos", f / "vocos_nan")
        weights = safetensors_read(DATA / "v0/vocos/model.safetensors")
        name = "backbone.final_layer_norm.bias"
        safetensors_write(f / "vocos_nan" / "model.safetensors", weights | {name: with_value(weights[name], 2, float("nan"))})
        (f / "vocos_no_config").mkdir()
        vocoders = [*(f"vocos_{name}" for name in configs if name != "good"), "vocos_no_weights", "vocos_cut", "vocos_nan",
                    "vocos_no_config", "vocos_missing"]
        vocabs = ["vocab_short", "vocab_long", "vocab_bytes", "vocab_empty", "vocab_missing"]
        return ({name: {"vocoder": str(f / name)} for name in vocoders} |
                {name: {"vocab": str(f / f"{name}.txt")} for name in vocabs})

    def assert_refused(self, name, *parts):
        result = self.results[name]
        self.assertEqual((result["status"], result["error"]["code"]), ("error", "model_failed"), f"{name}: {result}")
        for part in parts:
            self.assertIn(part, result["error"]["message"], name)

    def check(self, expected):
        for name, parts in expected.items():
            with self.subTest(name):
                self.assert_refused(name, *parts)

    def test_the_good_model_speaks_and_the_host_ends_orderly(self):
        self.assertEqual(self.results["v1"]["status"], "ok", self.results["v1"])
        self.assertEqual(self.run_.returncode, 1, self.run_.stderr[-2000:])
        self.assertEqual([name for name, result in self.results.items() if result["status"] == "ok"], ["v1"])

    def test_damaged_safetensors(self):
        self.check({
            "cut_safetensors": ("cut.safetensors: is cut off", "its tensors need"),
            "cut_header_safetensors": ("is cut off", "its header alone needs"),
            "cut_size_safetensors": ("cut_size.safetensors: is neither a safetensors file nor",),
            "empty_safetensors": ("empty.safetensors: is empty",),
            "corrupt_safetensors": ("corrupt.safetensors: header byte",),
            "huge_header_safetensors": ("has a header of 1152921504606846976 bytes",),
            "text_safetensors": ("is a git-lfs pointer, not the weights",),
            "missing_safetensors": ("missing.safetensors: No such file or directory",),
            "folder": ("is not a file",),
        })

    def test_damaged_torch_files(self):
        self.check({"cut_pt": ("cut.pt: ",),
                    "noise_pt": ("noise.pt: is neither a safetensors file nor one that torch.save wrote",)})

    def test_code_in_a_pickle_is_never_run(self):
        self.assert_refused("evil_pt", "evil.pt: holds no tensors outside of objects, whose code is never run")
        self.assertFalse((self.folder / "was_run").exists())

    def test_values_that_are_no_numbers_are_named(self):
        self.check({
            "nan_safetensors": ("ema_model.transformer.proj_out.weight is NaN or infinite at [3, 17]",),
            "infinite_safetensors": ("ema_model.transformer.transformer_blocks.1.attn.to_q.weight is NaN or infinite at [1, 1]",),
            "vocos_nan": ("backbone.final_layer_norm.bias is NaN or infinite at [2]",),
        })

    def test_missing_misshapen_and_unused_weights_are_in_one_error(self):
        self.assert_refused("unfit_safetensors", "ema_model.transformer.proj_out.bias is missing",
                            "ema_model.transformer.proj_out.weight has shape [99, 32], expected [100, 32]",
                            "ema_model.transformer.surplus.weight is not used")

    def test_a_long_list_is_whole_in_the_log(self):
        events = [json.loads(line) for line in self.run_.stderr.splitlines() if line.startswith("{")]
        told = [event["event"] for event in events if event.get("component") == "many_safetensors"]
        for i in range(2):
            for name in ("attn.to_k", "attn.to_v", "ff.ff.2", "attn_norm.linear"):
                for kind in ("weight", "bias"):
                    self.assertIn(f"ema_model.transformer.transformer_blocks.{i}.{name}.{kind} is missing", " ".join(told))
        self.assert_refused("many_safetensors", "is missing", "more")

    def test_other_models_are_told_apart(self):
        self.check({
            "e2_safetensors": ("e2.safetensors: unsupported: this is an E2-TTS model (UNetT), expected F5-TTS (DiT)",),
            "other_safetensors": ("other.safetensors: is no F5-TTS checkpoint",),
        })

    def test_vocabularies(self):
        self.check({
            "vocab_short": ("options.vocab: has 337 symbols, and the checkpoint 338", "vocab.txt that came with"),
            "vocab_long": ("options.vocab: has 339 symbols, and the checkpoint 338",),
            "vocab_bytes": ("vocab_bytes.txt: byte 2 is not UTF-8",),
            "vocab_empty": ("vocab_empty.txt: expected a file of 1..",),
            "vocab_missing": ("vocab_missing.txt: No such file or directory",),
        })

    def test_vocoders(self):
        self.check({
            "vocos_missing": ("vocoder: ", "vocos_missing/config.yaml cannot be read"),
            "vocos_no_config": ("vocoder: ", "vocos_no_config/config.yaml cannot be read"),
            "vocos_no_weights": ("vocoder: ", "neither pytorch_model.bin nor model.safetensors"),
            "vocos_hop": ("vocoder: ", "expected 100 mel channels and a hop of 256, got 100 and 300"),
            "vocos_mels": ("vocoder: ", "expected 100 mel channels and a hop of 256, got 80 and 256"),
            "vocos_not_yaml": ("vocoder: ", "is not YAML"),
            "vocos_not_vocos": ("vocoder: ", "head.class_path: unsupported: expected vocos.heads.ISTFTHead, got "
                                "vocos.heads.IMDCTSymExpHead"),
            "vocos_no_layers": ("vocoder: ", "backbone.init_args.num_layers: expected integer 1..", "got nothing"),
            "vocos_deeper": ("backbone.convnext.", ".dwconv.weight is missing"),
            "vocos_cut": ("pytorch_model.bin: ",),
        })

    def test_model_dir_that_is_not_there(self):
        self.assert_refused("no_folder", "nowhere", "No such file or directory")


class Jobs(unittest.TestCase):
    """Jobs that are refused or warned about, in one batch."""

    OUT_OF_RANGE = {
        "nfe_step": (0, 257, 7.5, "32"), "cfg_strength": (-0.1, 101, "2"), "sway_sampling_coef": (-1.1, 1.1),
        "cross_fade_duration": (-0.1, 11), "target_rms": (0, 1.5), "fix_duration": (0, -1, 4000), "remove_silence": (1, "yes"),
        "ode_method": ("rk4", 1), "silence_trim": ("no", 0), "nfe_steps": (32,),
    }

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        f = pathlib.Path(temporary.name)
        second = 24000 * b"\x00\x10"
        wav_write(f / "short.wav", second[:2 * 11000])
        wav_write(f / "long.wav", 31 * second)
        wav_write(f / "minutes.wav", 8000 * 601 * b"\x00\x10", rate=8000)
        wav_write(f / "nine.wav", 9 * second, channels=9)
        wav_write(f / "zero.wav", bytes(48000))
        wav_write(f / "opposite.wav", 24000 * struct.pack("<2h", 8000, -8000), channels=2)
        wav_write(f / "nan.wav", struct.pack("<24000f", *[0.25] * 12000, float("nan"), *[0.25] * 11999), sample_size=4)
        wav_write(f / "blank.wav", second)
        (f / "blank.txt").write_text(" \n")
        wav_write(f / "said.wav", (REFERENCES / "ref_24k_mono.wav").read_bytes()[44:])
        (f / "said.txt").write_text("Some call me nature.\n")
        (f / "text.wav").write_text("this is no audio")

        def without(name, *fields, **more):
            return {key: value for key, value in job(name, **more).items() if key not in fields}

        whole = {"silence_trim": False}
        jobs = [
            job("good"),
            job("silent", voice=str(REFERENCES / "silent.wav")), job("zero", voice=str(f / "zero.wav"), options=whole),
            job("opposite", voice=str(f / "opposite.wav"), options=whole),
            job("short", voice=str(f / "short.wav")), job("short_whole", voice=str(f / "short.wav"), options=whole),
            job("long", voice=str(f / "long.wav"), options=whole), job("minutes", voice=str(f / "minutes.wav")),
            job("nine", voice=str(f / "nine.wav")), job("nan", voice=str(f / "nan.wav")),
            job("no_audio", voice=str(f / "text.wav")), job("nowhere", voice=str(f / "nowhere.wav")),
            without("no_voice", "voice", "voice_text"), without("no_transcript", "voice_text"),
            without("blank_file", "voice_text", voice=str(f / "blank.wav")), job("blank_transcript", voice_text=" "),
            without("transcript_beside", "voice_text", voice=str(f / "said.wav")),
            job("fix_too_long", options={"fix_duration": 88}), job("fix_longest", options={"fix_duration": 87, "nfe_step": 1}),
            job("unknown", text="Hello \u2603\u2603 world \u0416."), job("only_unknown", text="\u2603" * 12),
            job("last"),
        ]
        for option, values in cls.OUT_OF_RANGE.items():
            jobs += [job(f"{option}-{i}", options={option: value}) for i, value in enumerate(values)]
        cls.run_, cls.results = batch(f, manifest(f, {"v1": V1}), jobs)

    def assert_error(self, name, code, field, *parts):
        result = self.results[name]
        self.assertEqual(result["status"], "error", f"{name}: {result}")
        self.assertEqual((result["error"]["code"], result["error"].get("field")), (code, field), result["error"])
        for part in parts:
            self.assertIn(part, result["error"]["message"], name)

    def test_the_host_goes_on(self):
        self.assertEqual(self.run_.returncode, 1, self.run_.stderr[-2000:])
        sha = self.results["good"]["audio"]["sha256"]
        self.assertEqual(self.results["last"]["audio"]["sha256"], sha)

    def test_transcript_is_asked_for_and_never_invented(self):
        self.assert_error("no_transcript", "invalid_request", "voice_text", "needs what is said in the recording")
        self.assert_error("blank_file", "invalid_request", "voice_text", "needs what is said in the recording")
        self.assert_error("blank_transcript", "invalid_request", "voice_text")
        self.assertEqual(self.results["transcript_beside"]["status"], "ok", self.results["transcript_beside"])

    def test_voice_is_needed(self):
        self.assert_error("no_voice", "invalid_request", "voice", "voice")
        self.assert_error("nowhere", "voice_not_found", "voice", "no voice")

    def test_references_that_cannot_be_imitated(self):
        for name, part in {
                "silent": "is silent", "zero": "is silent",
                "opposite": "the reference is silent when its channels are mixed",
                # 0.46 s of sound, whatever silence is put behind it.
                "short": "expected at least 0.5 s", "short_whole": "the reference is only 0.46 s long; expected at least 0.5 s",
                "long": "the reference is 31.0 s long; expected at most 30 s without silence_trim",
                "nan": "not finite"}.items():
            with self.subTest(name):
                self.assertEqual(self.results[name]["status"], "error", self.results[name])
                self.assertEqual(self.results[name]["error"]["code"], "invalid_request", self.results[name])
                self.assertIn(part, self.results[name]["error"]["message"])

    def test_references_over_the_limits(self):
        for name, part in {"minutes": "600", "nine": "channels", "no_audio": "is no audio that can be read"}.items():
            with self.subTest(name):
                self.assertEqual(self.results[name]["status"], "error", self.results[name])
                self.assertIn(self.results[name]["error"]["code"], ("invalid_request", "unsupported"))
                self.assertIn(part, self.results[name]["error"]["message"])

    def test_fix_duration_beyond_the_model(self):
        result = self.results["fix_too_long"]
        self.assertEqual(result["error"]["code"], "invalid_request")
        self.assertIn("options.fix_duration: reference and speech together would take 88.0 s, and the model holds 87.4 s",
                      result["error"]["message"])
        longest = self.results["fix_longest"]
        self.assertEqual(longest["status"], "ok", longest)
        self.assertGreater(longest["audio"]["duration_s"], 84)

    def test_unknown_tokens_are_counted(self):
        self.assertEqual(self.results["unknown"]["status"], "ok")
        warnings = " ".join(self.results["unknown"]["warnings"])
        self.assertIn("text, voice_text: 3 of the tokens are not in the model's vocabulary", warnings)
        for token in "\u2603\u0416":
            self.assertIn(token, warnings)
        self.assertIn("text, voice_text: 12 of the tokens", " ".join(self.results["only_unknown"]["warnings"]))
        self.assertNotIn("warnings", self.results["good"])

    def test_options_out_of_range_name_field_and_value(self):
        for option, values in self.OUT_OF_RANGE.items():
            for i, value in enumerate(values):
                with self.subTest(option, value=value):
                    expected = "unknown option" if option == "nfe_steps" else "expected"
                    self.assert_error(f"{option}-{i}", "invalid_request", f"options.{option}", expected)


class Host(Case):
    def speak(self, path, *args):
        voice = ["-v", REFERENCES / "ref_24k_mono.wav", "--voice-text", "Some call me nature."]
        return subprocess.run([VOXHOST, "speak", "-m", path, *voice, "-O", "nfe_step=5", *args, "Hello, world.", "-o",
                               self.dir / "a.wav"], capture_output=True, text=True, timeout=120)

    def test_model_that_cannot_be_loaded_is_exit_3_and_one_line(self):
        done = self.speak(manifest(self.dir, {"v1": V1 | {"vocoder": "nowhere"}}))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("nowhere/config.yaml cannot be read", done.stderr)
        self.assertFalse((self.dir / "a.wav").exists())

    def test_load_options_are_checked_before_anything_is_loaded(self):
        for options, expected in (({"arch": "v2"}, 'arch: expected one of v1, v0, got "v2"'),
                                  ({"dtype": "fp64"}, "dtype: expected one of fp32, bf16, auto"),
                                  ({"threads": -1}, "threads: expected integer 0..1024"), ({"chekpoint": "x"}, "unknown option")):
            done = self.speak(manifest(self.dir, {"v1": V1 | options}))
            self.assertIn(done.returncode, (2, 3), done.stderr)
            self.assertIn(expected, done.stderr)

    def test_licence_is_told_at_load_and_in_the_list(self):
        done = self.batch([job("a")])[0]
        lines = [json.loads(line) for line in done.stderr.splitlines() if "CC-BY-NC" in line]
        self.assertEqual([line["level"] for line in lines], ["warn"])
        listed = subprocess.run([VOXHOST, "plugins", PLUGIN], capture_output=True, text=True, timeout=60)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn("CC-BY-NC-4.0", listed.stdout)

    def test_profile_that_cannot_be_kept_costs_a_warning_only(self):
        sha = self.assert_ok(self.batch([job("a")], out="first")[1]["a"])
        profile = list((self.dir / "cache").rglob("*.f5ref"))[0]
        profile.unlink()
        profile.mkdir()  # what root cannot overwrite either
        done, results = self.batch([job("a")])
        self.assertEqual(self.assert_ok(results["a"]), sha)
        warnings = [json.loads(line) for line in done.stderr.splitlines() if "the prepared reference is not kept" in line]
        self.assertEqual([(line["level"], line["component"]) for line in warnings], [("warn", "v1")])
        self.assertIn("cannot be written", warnings[0]["event"])
        self.assertEqual([path.name for path in profile.parent.glob("[!.]*")], [profile.name], "a temporary file was left")

    def test_evil_object_beside_good_weights_is_dropped(self):
        tensors = safetensors_read(V1_FILE)
        path = torch_write(self.dir / "evil.pt", {"ema_model_state_dict": tensors, "run": Command(f"touch {self.dir}/was_run")})
        models = {"v1": V1, "evil": V1 | {"checkpoint": str(path)}}
        results = self.batch([job(name, model_type=name) for name in models], models=models)[1]
        self.assertEqual(self.assert_ok(results["evil"]), self.assert_ok(results["v1"]))
        self.assertFalse((self.dir / "was_run").exists())

    @unittest.skipIf(SANITIZE, "sanitizers reserve memory of their own")
    def test_out_of_memory_ends_the_job_only(self):
        # What the program takes before the long job depends on the machine, so the first limit that the job does not fit is it.
        models = {"v1": V1 | {"threads": 2}}
        jobs = [job("before"), job("long", options={"fix_duration": 87, "nfe_step": 1}), job("after")]
        for limit in range(450 << 20, 150 << 20, -50 << 20):
            done, results = self.batch(jobs, models=models, out=f"out{limit}",
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
            self.assertEqual(self.assert_ok(results["before"]), self.assert_ok(results["after"]))
            if results["long"]["status"] == "error":
                self.assertEqual(results["long"]["error"]["code"], "out_of_memory", results["long"])
                self.assertIn("out of memory", results["long"]["error"]["message"])
                self.assertTrue(results["long"]["error"]["retryable"])
                self.assertFalse((self.dir / f"out{limit}" / "long.wav").exists())
                self.assertEqual(done.returncode, 1, done.stderr[-2000:])
                return
        self.fail("no limit made it run out of memory")


if __name__ == "__main__":
    unittest.main()
