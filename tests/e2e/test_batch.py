"""voxhost batch: what good job files become, and what each kind of bad input is answered with."""

import csv
import hashlib
import io
import json
import os
import pty
import subprocess
import time
import unittest
import wave

from common import VOXHOST, Case, environment, run


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Results(Case):
    """What a job becomes."""

    def run_jobs(self, *jobs, args=(), models=(), **top):
        done = self.batch(self.manifest(*models, **top), self.jobs(*jobs), *args)
        return done

    def one(self, **job):
        done = self.run_jobs({"id": "one", "text": "hello", **job})
        self.assert_exit(done, 0)
        return self.by_id()["one"]

    def test_every_job_becomes_a_file_named_by_its_id(self):
        done = self.run_jobs({"id": "a", "text": "one"}, {"id": "b c", "text": "two"}, {"id": "ü", "text": "three"})
        self.assert_exit(done, 0)
        self.assertEqual({p.name for p in (self.dir / "out").iterdir()}, {"a.wav", "b c.wav", "ü.wav", "results.jsonl"})
        self.assert_no_leftovers()

    def test_response_is_for_workers(self):
        said = ['"response" is for workers: a batch writes files']
        for response in ("url", "inline"):
            result = self.one(response=response)
            self.assertEqual((result["warnings"], result["audio"]["path"]), (said, "one.wav"))
        self.assertNotIn("warnings", self.one(response="auto"))
        done = self.run_jobs({"id": "a", "text": "x"}, {"id": "d", "op": "download", "job_id": "a", "response": "url"})
        self.assert_exit(done, 0)
        self.assertEqual((self.by_id()["d"]["warnings"], self.by_id()["d"]["file"]["path"]), (said, "a.wav"))

    def test_a_download_waits_for_the_jobs_before_it(self):
        done = self.run_jobs({"id": "a", "text": "x", "options": {"sleep_ms": 300}}, {"id": "d", "op": "download", "job_id": "a"},
                             models=({"model_type": "tone", "sessions": 4},))
        self.assert_exit(done, 0)
        self.assertEqual(self.by_id()["d"]["file"]["path"], "a.wav")

    def test_default_ids_follow_the_place_in_the_file(self):
        path = self.write("jobs.jsonl", '{"text":"one"}\n\n{"text":"two"}\n{"id":7,"text":"three"}\n')
        self.assert_exit(self.batch(self.manifest(), path), 0)
        self.assertEqual({(r["id"], r["line"]) for r in self.results()}, {("job-1", 1), ("job-2", 3), ("7", 4)})

    def test_output_may_lie_in_a_subfolder(self):
        result = self.one(output="deep/er/name.flac")
        self.assertEqual(result["audio"]["path"], "deep/er/name.flac")
        self.assertEqual((self.dir / "out/deep/er/name.flac").read_bytes()[:4], b"fLaC")

    def test_result_line_is_complete_and_matches_the_file(self):
        result = self.one(seed=3, options={"ms_per_char": 100, "rate": 16000, "channels": 2})
        path = self.dir / "out" / "one.wav"
        audio = result["audio"]
        with wave.open(str(path)) as file:
            self.assertEqual((file.getframerate(), file.getnchannels(), file.getsampwidth()), (16000, 2, 2))
            self.assertAlmostEqual(audio["duration_s"], file.getnframes() / 16000, places=6)
        self.assertAlmostEqual(audio["duration_s"], 0.5, places=3)
        self.assertEqual(audio["bytes"], path.stat().st_size)
        self.assertEqual(audio["sha256"], sha256(path))
        self.assertEqual(
            (audio["path"], audio["format"], audio["encoding"], audio["sample_rate"], audio["channels"]),
            ("one.wav", "wav", "pcm16", 16000, 2),
        )
        self.assertEqual((result["status"], result["model_type"], result["seed"], result["line"]), ("ok", "tone", 3, 1))
        self.assertEqual([(w["word"], w["text_begin"], w["text_end"]) for w in result["words"]], [("hello", 0, 5)])
        self.assertEqual(
            set(result["timings_ms"]), {"queue", "load", "voice", "synth", "encode", "store", "total"}
        )
        self.assertGreater(result["rtf"], 0)
        self.assertNotIn("error", result)

    def test_same_seed_same_audio_and_drawn_seeds_are_reported(self):
        drawn = self.one()
        self.assertTrue(0 <= drawn["seed"] < 2**63)
        again = self.one(seed=drawn["seed"])
        self.assertEqual(again["audio"]["sha256"], drawn["audio"]["sha256"])
        other = self.one(seed=drawn["seed"] ^ 1)
        self.assertNotEqual(other["audio"]["sha256"], drawn["audio"]["sha256"])
        self.assertNotEqual(self.one()["seed"], drawn["seed"])
        self.assertEqual(self.one(seed=2**63 - 1)["seed"], 2**63 - 1)

    def test_formats_have_their_own_magic_bytes(self):
        magic = {"wav": [b"RIFF"], "flac": [b"fLaC"], "ogg": [b"OggS"], "opus": [b"OggS"],
                 "mp3": [b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"]}
        done = self.run_jobs(*({"id": name, "text": "hello", "format": name} for name in [*magic, "pcm"]))
        self.assert_exit(done, 0)
        results = self.by_id()
        for name, begins in magic.items():
            data = (self.dir / "out" / f"{name}.{name}").read_bytes()
            self.assertTrue(data.startswith(tuple(begins)), f"{name} begins with {data[:4]}")
            self.assertEqual(results[name]["audio"]["format"], name)
        opus = (self.dir / "out/opus.opus").read_bytes()
        self.assertIn(b"OpusHead", opus[:100])
        self.assertEqual((self.dir / "out/pcm.pcm").stat().st_size, 2 * round(24000 * results["pcm"]["audio"]["duration_s"]))

    def test_encodings(self):
        jobs = [{"id": e, "text": "hello", "encoding": e, "options": {"amplitude": 2}} for e in ("pcm16", "pcm24", "float32")]
        self.assert_exit(self.run_jobs(*jobs, {"id": "flac24", "text": "x", "format": "flac", "encoding": "pcm24"}), 0)
        sizes = {id: r["audio"]["bytes"] for id, r in self.by_id().items()}
        self.assertAlmostEqual(sizes["pcm24"] / sizes["pcm16"], 1.5, places=1)
        self.assertAlmostEqual(sizes["float32"] / sizes["pcm16"], 2, places=1)
        with wave.open(str(self.dir / "out/pcm24.wav")) as file:
            self.assertEqual(file.getsampwidth(), 3)

    def test_clipping_is_warned_of_in_integer_formats_only(self):
        loud = self.one(options={"amplitude": 2})
        self.assertEqual(len(loud["warnings"]), 1)
        self.assertRegex(loud["warnings"][0], r"\d+ samples .*clipped")
        self.assertNotIn("warnings", self.one(encoding="float32", options={"amplitude": 2}))
        self.assertNotIn("warnings", self.one(options={"amplitude": 1}))

    def test_sample_rate_is_what_the_job_asks_for(self):
        result = self.one(sample_rate=48000)
        with wave.open(str(self.dir / "out/one.wav")) as file:
            self.assertEqual(file.getframerate(), 48000)
            self.assertAlmostEqual(file.getnframes() / 48000, 0.25, places=3)
        self.assertEqual(result["audio"]["sample_rate"], 48000)
        self.assertEqual(self.one(format="opus", options={"rate": 22050})["audio"]["sample_rate"], 24000)

    def test_speed_changes_the_length(self):
        self.assertAlmostEqual(self.one(speed=0.5)["audio"]["duration_s"], 0.5, places=3)

    def test_manifest_defaults_give_way_to_the_jobs_options(self):
        model = {"model_type": "tone", "defaults": {"duration_ms": 700}}
        done = self.run_jobs({"id": "d", "text": "x"}, {"id": "o", "text": "x", "options": {"duration_ms": 300}}, models=[model])
        self.assert_exit(done, 0)
        durations = {id: r["audio"]["duration_s"] for id, r in self.by_id().items()}
        self.assertEqual(durations, {"d": 0.7, "o": 0.3})

    def test_jobs_go_to_their_model_by_name_or_alias_in_any_case(self):
        models = [{"model_type": "Tone-A", "aliases": ["first"], "defaults": {"duration_ms": 100}},
                  {"model_type": "tone.b", "aliases": ["Second", "zwei"], "defaults": {"duration_ms": 200}}]
        names = ["tone-a", "TONE-A", "First", "tone.B", "SECOND", "zwei"]
        jobs = [{"id": str(i), "text": "x", "model_type": name} for i, name in enumerate(names)]
        self.assert_exit(self.run_jobs(*jobs, {"id": "none", "text": "x"}, models=models, default_model="second"), 0)
        results = self.by_id()
        self.assertEqual([results[str(i)]["model_type"] for i in range(6)], ["Tone-A"] * 3 + ["tone.b"] * 3)
        self.assertEqual(results["0"]["audio"]["duration_s"], 0.1)
        self.assertEqual(results["none"]["model_type"], "tone.b")

    def test_older_field_names_work_and_are_noted(self):
        done = self.run_jobs({"custom_id": "old", "input": "hello", "model": "tone", "response_format": "flac",
                              "voice_id": "high", "params": {"ms_per_char": 20}, "lang": "en"})
        self.assert_exit(done, 0)
        result = self.by_id()["old"]
        self.assertEqual((result["audio"]["path"], result["audio"]["duration_s"]), ("old.flac", 0.1))
        for old, new in (("custom_id", "id"), ("input", "text"), ("model", "model_type"), ("response_format", "format"),
                         ("voice_id", "voice"), ("params", "options"), ("lang", "language")):
            self.assertIn(f'"{old}" is taken as "{new}"', result["warnings"])

    def test_subtitle_files_stand_beside_the_audio(self):
        formats = ["srt", "vtt", "csv", "json", "ass"]
        result = self.one(text="hello wide world", output="sub/x.wav", timestamps=formats)
        self.assertEqual(sorted(result["subtitles"]), sorted(f"sub/x.{f}" for f in formats))
        text = {f: (self.dir / "out/sub" / f"x.{f}").read_text(encoding="utf-8") for f in formats}
        self.assertRegex(text["srt"], r"00:00:00,000 --> 00:00:0\d,\d{3}\n")
        self.assertTrue(text["vtt"].startswith("WEBVTT"))
        self.assertIn("[Events]", text["ass"])
        self.assertIn("wide", str(json.loads(text["json"])))
        self.assertEqual(len(list(csv.reader(io.StringIO(text["csv"])))), 4)
        self.assertEqual([w["word"] for w in result["words"]], ["hello", "wide", "world"])

    def test_text_file_is_read_from_the_job_files_folder(self):
        for number, text in enumerate(("hello", "\ufeffhello")):  # some editors put a byte order mark first
            self.write(f"texts/{number}.txt", text)
            audio = self.one(text=None, text_file=f"texts/{number}.txt")["audio"]
            self.assertAlmostEqual(audio["duration_s"], 0.25, places=3)


class Sources(Case):
    """The same jobs from every kind of file."""

    JOBS = [{"id": "a", "text": "hello, \"you\"", "seed": 1, "options": {"ms_per_char": 10}},
            {"id": "b", "text": "größer\nzweite", "seed": 2, "format": "flac"},
            {"id": "007", "text": "12", "seed": 9007199254740993, "speed": 2.0}]

    def expected(self):
        if not hasattr(self, "kept"):
            self.assert_exit(self.batch(self.manifest(), self.jobs(*self.JOBS), out="expected"), 0)
            self.kept = self.what(self.by_id("expected"))
        return self.kept

    def what(self, results):
        return {id: (r["audio"]["sha256"], r["audio"]["path"], r["seed"], r["job_hash"]) for id, r in results.items()}

    def check(self, jobs, *args, **kw):
        self.assert_exit(self.batch(self.manifest(), jobs, *args, **kw), 0)
        self.assertEqual(self.what(self.by_id()), self.expected())

    def test_json_array(self):
        self.check(self.write("jobs.json", json.dumps(self.JOBS, indent=1)))

    def test_json_object_with_jobs(self):
        self.check(self.write("jobs.json", json.dumps({"jobs": self.JOBS})))

    def test_json_lines_with_bom_and_windows_line_ends(self):
        text = "\r\n".join(json.dumps(job, ensure_ascii=False) for job in self.JOBS)
        self.check(self.write("jobs.ndjson", b"\xef\xbb\xbf" + text.encode() + b"\r\n"))

    def test_last_line_needs_no_end(self):
        self.check(self.write("jobs.jsonl", "\n".join(map(json.dumps, self.JOBS))))

    def test_yaml(self):
        self.check(self.write("jobs.yaml", """
- {id: a, text: 'hello, "you"', seed: 1, options: {ms_per_char: 10}}
- id: b
  text: "größer\\nzweite"
  seed: 2
  format: flac
- {id: 007, text: 12, seed: 9007199254740993, speed: 2.0}
"""))

    def test_csv_with_bom_and_windows_line_ends(self):
        text = ('id,text,seed,format,speed,options.ms_per_char\r\na,"hello, ""you""",1,,,10\r\n'
                'b,"größer\nzweite",2,flac,,\r\n007,12,9007199254740993,,2.0,\r\n')
        self.check(self.write("jobs.csv", b"\xef\xbb\xbf" + text.encode()))

    def test_standard_input(self):
        self.check("-", input="".join(json.dumps(job) + "\n" for job in self.JOBS))
        self.check("-", input=json.dumps(self.JOBS))

    def test_unknown_extension_is_told_by_its_content(self):
        self.check(self.write("jobs.data", json.dumps(self.JOBS)))
        self.check(self.write("jobs", "".join(json.dumps(job) + "\n" for job in self.JOBS)))

    def test_jobs_inside_the_manifest(self):
        expected = self.expected()
        manifest = self.manifest(jobs=self.JOBS)
        done = run("batch", "--manifest", manifest, "--out", self.dir / "out")
        self.assert_exit(done, 0)
        self.assertEqual(self.what(self.by_id()), expected)

    def test_text_lines(self):
        path = self.write("lines.txt", b"\xef\xbb\xbffirst\r\n\r\n{\"not\": json}\r\nlast")
        self.assert_exit(self.batch(self.manifest(), path, "--text-lines"), 0)
        found = {r["id"]: (r["line"], r["audio"]["duration_s"]) for r in self.results()}
        self.assertEqual(found, {"job-1": (1, 0.25), "job-2": (3, 0.65), "job-3": (4, 0.2)})

    def test_a_job_file_may_grow_while_it_is_read(self):
        path = self.dir / "grows.jsonl"
        path.touch()
        os.truncate(path, 0)
        with open(path, "w", encoding="utf-8") as file:
            for i in range(600):
                file.write(json.dumps({"id": f"s{i}", "text": "x", "options": {"sleep_ms": 1, "duration_ms": 1}}) + "\n")
            file.flush()
            running = subprocess.Popen(
                [VOXHOST, "batch", "--manifest", self.manifest(), "--jobs", path, "--out", self.dir / "out"],
                env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            results = self.dir / "out" / "results.jsonl"
            while running.poll() is None and not (results.exists() and results.stat().st_size):
                time.sleep(0.01)
            file.write(json.dumps({"id": "late", "text": "x"}) + "\n")
        error = running.communicate(timeout=60)[1]
        self.assertEqual(running.returncode, 0, error)
        self.assertGreaterEqual(len(self.by_id()), 600)


class Ways(Case):
    """Options of the verb."""

    def test_dry_run_writes_nothing_and_reports_wrong_jobs(self):
        jobs = self.jobs({"id": "good", "text": "x"}, {"id": "bad", "text": ""}, {"id": "good", "text": "x"})
        before = sorted(self.dir.rglob("*"))
        manifest = self.manifest()
        done = self.batch(manifest, jobs, "--dry-run", "--json")
        self.assert_exit(done, 1)
        self.assertEqual(sorted(self.dir.rglob("*")), sorted([*before, manifest]))
        self.assertIn("jobs.jsonl:2", done.stderr)
        self.assertIn("jobs.jsonl:3", done.stderr)
        self.assertEqual(json.loads(done.stdout)["failed"], 2)
        self.assert_exit(self.batch(manifest, self.jobs({"text": "x"}), "--dry-run"), 0)

    def test_json_summary(self):
        models = [{"model_type": "a"}, {"model_type": "b"}]
        jobs = self.jobs({"text": "hello", "model_type": "a"}, {"text": "hello", "model_type": "b"},
                         {"text": "hello", "model_type": "b"}, {"text": "hello", "model_type": "c"})
        done = self.batch(self.manifest(*models), jobs, "--json")
        self.assert_exit(done, 1)
        summary = json.loads(done.stdout)
        self.assertEqual((summary["ok"], summary["failed"], summary["skipped"]), (3, 1, 0))
        self.assertAlmostEqual(summary["audio_s"], 0.75)
        self.assertEqual({name: m["ok"] for name, m in summary["models"].items()}, {"a": 1, "b": 2, "(no model)": 0})

    def test_table_has_a_row_per_model_and_a_total(self):
        models = [{"model_type": "a"}, {"model_type": "b"}]
        done = self.batch(self.manifest(*models, default_model="b"), self.jobs({"text": "x"}, {"text": "x"}))
        self.assert_exit(done, 0)
        rows = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual([row[:2] for row in rows[1:3]], [["b", "2"], ["total", "2"]])

    def test_fail_fast_stops_at_the_first_failure(self):
        jobs = self.jobs({"id": "bad", "text": ""}, *({"id": str(i), "text": "x"} for i in range(50)))
        self.assert_exit(self.batch(self.manifest(), jobs, "--fail-fast"), 1)
        self.assertEqual([r["id"] for r in self.results()], ["bad"])
        slow = {"options": {"sleep_ms": 30}, "text": "x"}
        jobs = self.jobs({"id": "f", "text": "x", "model_type": "f", "options": {"fault": "returns_einval"}},
                         *({"id": str(i), "model_type": "t", **slow} for i in range(50)))
        models = [{"model_type": "f", "plugin": "faulty.so"}, {"model_type": "t"}]
        self.assert_exit(self.batch(self.manifest(*models), jobs, "--fail-fast"), 1)
        self.assertLess(len(self.results()), 40)
        self.assert_no_leftovers()

    def waits(self, manifest, jobs, *args):
        """Does the last job wait for one of the others? Those called "long..." take 1.5 s, the last one no time."""
        jobs = [{"id": name, "text": "x", "model_type": model, "options": {"sleep_ms": 1500 if "long" in name else 0}}
                for name, model in jobs]
        self.assert_exit(self.batch(manifest, self.jobs(*jobs), *args), 0)
        if self.results()[0]["id"] != jobs[-1]["id"]:
            return True
        # A session is free a moment before the result is written: the next job's may overtake it.
        return self.by_id()[jobs[-1]["id"]]["timings_ms"]["queue"] > 500

    def test_concurrency_is_how_many_run_at_a_time(self):
        manifest = self.manifest({"model_type": "tone", "sessions": 8})
        for concurrency, args in ((1, ["--concurrency", 1]), (3, ["--concurrency", 3]), (8, [])):
            with self.subTest(concurrency=concurrency):
                for long in (concurrency - 1, concurrency):
                    jobs = [*((f"long-{i}", "tone") for i in range(long)), ("short", "tone")]
                    self.assertEqual(self.waits(manifest, jobs, *args), long == concurrency)

    def test_sessions_limit_a_model_and_concurrency_all_models(self):
        models = [{"model_type": "a"}, {"model_type": "b"}]
        same, other = [("long", "a"), ("short", "a")], [("long", "a"), ("short", "b")]
        self.assertTrue(self.waits(self.manifest(*models), same))
        self.assertFalse(self.waits(self.manifest(*models), other))
        self.assertTrue(self.waits(self.manifest(*models, host={"concurrency": 1}), other))

    def test_a_slow_model_does_not_hold_up_another(self):
        models = [{"model_type": "slow"}, {"model_type": "fast"}]
        jobs = [{"id": f"s{i}", "text": "x", "model_type": "slow", "options": {"sleep_ms": 1500}} for i in range(2)]
        jobs += [{"id": f"f{i}", "text": "x", "model_type": "fast"} for i in range(40)]
        self.assert_exit(self.batch(self.manifest(*models), self.jobs(*jobs)), 0)
        order = [r["id"] for r in self.results()]
        self.assertTrue(all(order.index(f"f{i}") < order.index("s1") for i in range(40)), order)

    def test_progress_is_json_lines_when_there_is_no_terminal(self):
        jobs = self.jobs({"text": "x"}, {"text": "x", "options": {"sleep_ms": 5300}})
        done = self.batch(self.manifest(), jobs)
        self.assert_exit(done, 0)
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        progress = [line for line in lines if line.get("event") == "progress"]
        self.assertEqual(len(progress), 1)
        self.assertEqual((progress[0]["ok"], progress[0]["share"]), (1, 0.5))
        for key in ("eta_s", "rtf", "elapsed_s", "failed", "skipped"):
            self.assertIn(key, progress[0])

    def test_progress_is_a_bar_on_a_terminal(self):
        ours, theirs = pty.openpty()
        manifest = self.manifest({"model_type": "tone"})
        jobs = self.jobs({"text": "x"}, {"id": "bad", "text": ""}, {"text": "x", "options": {"sleep_ms": 900}})
        running = subprocess.Popen([VOXHOST, "batch", "--manifest", manifest, "--jobs", jobs, "--out", self.dir / "out"],
                                   env=environment(), stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # Linux: the other side is closed
                break
            if not block:
                break
            shown += block
        os.close(ours)
        self.assertEqual(running.wait(60), 1)
        self.assertRegex(shown, rb"\r\x1b\[K\[#+-+\]  67% 1 done, 1 failed, rtf \d+\.\d+, 0:00:0\d left")
        self.assertIn(b"job failed", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-40:])
        self.assertNotIn(b"{", shown)


class BadJobs(Case):
    """Each wrong job is answered with one line of its own, and the rest is done."""

    # line, code, field, fragments of the message
    TABLE = [
        ('{"id":"x1","text":""}', "invalid_request", "text", ["empty"]),
        ('{"id":"x2","text":" \\t\\n "}', "invalid_request", "text", ["empty"]),
        ('{"id":"x3"}', "invalid_request", "text", ["missing"]),
        ('{"id":"x4","text":5}', "invalid_request", "text", ["expected string", "5"]),
        ('{"id":"x5","text":"a\\u0000b"}', "invalid_request", None, ["\\u0000"]),
        (b'{"id":"x6","text":"a\0b"}', "invalid_request", None, ["byte 21"]),
        (b'{"id":"x7","text":"a\xff\xfeb"}', "invalid_request", None, ["UTF-8"]),
        (b'{"id":"x8","text":"\xed\xa0\x80"}', "invalid_request", None, ["UTF-8"]),
        ('{"id":"x9","text":"x","seed":"12"}', "invalid_request", "seed", ["expected integer 0..9223372036854775807", '"12"']),
        ('{"id":"x10","text":"x","seed":-1}', "invalid_request", "seed", ["-1"]),
        ('{"id":"x11","text":"x","seed":9223372036854775808}', "invalid_request", "seed", ["9223372036854775808"]),
        ('{"id":"x12","text":"x","seed":1.5}', "invalid_request", "seed", ["1.5"]),
        ('{"id":"x13","text":"x","seed":true}', "invalid_request", "seed", ["true"]),
        ('{"id":"x14","text":"x","speed":NaN}', "invalid_request", None, ["byte"]),
        ('{"id":"x15","text":"x","speed":1e999}', "invalid_request", None, ["1e999"]),
        ('{"id":"x16","text":"x","speed":0}', "invalid_request", "speed", ["0.25..4"]),
        ('{"id":"x17","text":"x","speeed":1}', "invalid_request", "speeed", ['did you mean "speed"?']),
        ('{"id":"x18","text":"x","options":{"sleep_mss":1}}', "invalid_request", "options.sleep_mss", ['did you mean "sleep_ms"?']),
        ('{"id":"x19","text":"x","options":{"sleep_ms":"1"}}', "invalid_request", "options.sleep_ms", ["expected integer 0..3600000", '"1"']),
        ('{"id":"x20","text":"x","options":{"sleep_ms":-1}}', "invalid_request", "options.sleep_ms", ["-1"]),
        ('{"id":"x21","text":"x","options":{"sleep_ms":1.5}}', "invalid_request", "options.sleep_ms", ["1.5"]),
        ('{"id":"x22","text":"x","options":[]}', "invalid_request", "options", ["expected"]),
        ('{"id":"x23","text":"x","model_type":"tune"}', "unknown_model", "model_type", ['"tune"', 'did you mean "tone"?']),
        ('{"id":"x24","text":"x","model_type":""}', "unknown_model", "model_type", ["expected one of"]),
        ('{"id":"x25","text":"x","voice":"nobody"}', "voice_not_found", "voice", ['"nobody"', "low, high"]),
        ('{"id":"x26","text":"x","output":"../x.wav"}', "invalid_request", "output", ["relative path", "../x.wav"]),
        ('{"id":"x27","text":"x","output":"a/../../x.wav"}', "invalid_request", "output", ["relative path"]),
        ('{"id":"x28","text":"x","output":"/tmp/x.wav"}', "invalid_request", "output", ["relative path"]),
        ('{"id":"x29","text":"x","output":".x.wav"}', "invalid_request", "output", ["'.'"]),
        ('{"id":"x30","text":"x","output":"x.flac","format":"wav"}', "invalid_request", "output", [".wav"]),
        ('{"id":"x31","text":"x","output":"x"}', "invalid_request", "output", [".wav"]),
        ('{"id":"x32","text":"x","output":"results.jsonl"}', "invalid_request", "output", [".wav"]),
        ('{"id":"x33","text":"x","output":"a\\nb.wav"}', "invalid_request", "output", ["relative path"]),
        ('{"id":"x34","text":"x","format":"wave"}', "invalid_request", "format", ['did you mean "wav"?']),
        ('{"id":"x35","text":"x","format":"mp3","encoding":"float32"}', "invalid_request", "encoding", ["mp3"]),
        ('{"id":"x36","text":"x","format":"opus","sample_rate":44100}', "invalid_request", "sample_rate", ["44100"]),
        ('{"id":"x37","text":"x","sample_rate":1}', "invalid_request", "sample_rate", ["expected"]),
        ('{"id":"x38","text":"x","timestamps":["srtt"]}', "invalid_request", "timestamps", ['did you mean "srt"?']),
        ('{"id":"x39","text":"x","timestamps":"srt"}', "invalid_request", "timestamps", ["list"]),
        ('{"id":"x40","text":"x","language":"xx"}', "unsupported", "language", ["en, de"]),
        ('{"id":"x41","text":"x","op":"clone"}', "invalid_request", "op", ["tts"]),
        ('{"id":"x42","text":"x","text_file":"y"}', "invalid_request", "text_file", ["text"]),
        ('{"id":"x43","text_file":"missing.txt"}', "invalid_request", "text_file", ["missing.txt"]),
        ('{"id":"x44","text":"x","timeout_s":-1}', "invalid_request", "timeout_s", ["-1"]),
        ('{"id":"x45","text":"x","text":"y"}', "invalid_request", None, ["text"]),
        ('{"id":"x46","text":"x","input":"y"}', "invalid_request", "input", ["twice"]),
        ('{"id":"../x47","text":"x"}', "invalid_request", "id", ["'/'"]),
        ('{"id":".x48","text":"x"}', "invalid_request", "id", ["'.'"]),
        ('{"id":"%s","text":"x"}' % ("y" * 201), "invalid_request", "id", ["200"]),
        ('{"id":"","text":"x"}', "invalid_request", "id", ["200"]),
        ('{"id":{},"text":"x"}', "invalid_request", "id", ["string"]),
        ('[]', "invalid_request", None, ["array"]),
        ('"text"', "invalid_request", None, ["string"]),
        ('null', "invalid_request", None, ["null"]),
        ('hello', "invalid_request", None, ["byte 1"]),
        ('{"id":"x","text":"x",}', "invalid_request", None, ["byte"]),
        ("{'id':'x'}", "invalid_request", None, ["byte"]),
        ('{"id":"x","text":"x"} {}', "invalid_request", None, ["byte"]),
        ("[" * 1000, "invalid_request", None, ["byte"]),
        ('{"id":"good","text":"x"}', "invalid_request", "id", ["line 1"]),
        ('{"id":"same","text":"x","output":"good.wav"}', "invalid_request", "output", ["line 1"]),
    ]

    def test_every_wrong_job_has_its_own_answer_and_the_rest_is_done(self):
        lines = [b'{"id":"good","text":"hello"}']
        lines += [row[0] if isinstance(row[0], bytes) else row[0].encode() for row in self.TABLE]
        lines += [b'{"id":"end","text":"hello"}']
        done = self.batch(self.manifest(), self.write("jobs.jsonl", b"\n".join(lines) + b"\n"))
        self.assert_exit(done, 1)
        by_line = {r["line"]: r for r in self.results()}
        self.assertEqual(len(by_line), len(lines))
        self.assertEqual(len(self.results()), len(lines))
        self.assertEqual((by_line[1]["status"], by_line[len(lines)]["status"]), ("ok", "ok"))
        for number, (text, code, field, fragments) in enumerate(self.TABLE, 2):
            with self.subTest(line=text[:80]):
                result = by_line[number]
                error = result["error"]
                self.assertEqual((result["status"], error["code"], error.get("field")), ("error", code, field), error)
                self.assertIn(f"jobs.jsonl:{number}: ", error["message"])
                for fragment in fragments:
                    self.assertIn(fragment, error["message"])
                self.assertNotIn("\n", error["message"])
                self.assertFalse(error["retryable"])
        self.assertEqual(sorted(p.name for p in (self.dir / "out").iterdir()), ["end.wav", "good.wav", "results.jsonl"])

    def failing_job(self, path, *args, manifest=None):
        self.assert_exit(self.batch(manifest or self.manifest(), path, *args), 1)
        failed = [r for r in self.results() if r["status"] == "error"]
        self.assertEqual(len(failed), 1, failed)
        return failed[0]

    def test_long_text_is_refused_with_its_limit(self):
        good = json.dumps({"id": "good", "text": "x"})
        for size, code_word in ((1_000_001, "1000000"), (10_000_000, "8388608")):
            path = self.write("jobs.jsonl", json.dumps({"id": "long", "text": "a" * size}) + "\n" + good + "\n")
            error = self.failing_job(path)["error"]
            self.assertIn(code_word, error["message"])
            self.assertIn("jobs.jsonl:1", error["message"])
            self.assertEqual(error["code"], "invalid_request")
            self.assertIn("good", [r["id"] for r in self.results() if r["status"] == "ok"])

    def test_a_refused_job_s_metadata_and_model_come_back(self):
        good = {"id": "good", "text": "x"}
        result = self.failing_job(self.jobs(good, {"text": "x", "speed": 99, "metadata": {"order": 7}}))
        good = next(r for r in self.results() if r["status"] == "ok")
        self.assertEqual((result["metadata"], result["model_type"]), ({"order": 7}, good["model_type"]))

    def test_long_text_file_is_refused(self):
        self.write("long.txt", "a" * 10_000_000)
        error = self.failing_job(self.jobs({"text_file": "long.txt"}, {"text": "x"}))["error"]
        self.assertEqual((error["code"], error["field"]), ("invalid_request", "text_file"))
        self.assertIn("1000000", error["message"])

    def test_text_lines_that_are_wrong(self):
        path = self.write("lines.txt", b"good\nbad \xff\nnul \0\nlast\n")
        self.assert_exit(self.batch(self.manifest(), path, "--text-lines"), 1)
        errors = {r["line"]: r["error"] for r in self.results() if r["status"] == "error"}
        self.assertEqual(sorted(errors), [2, 3])
        self.assertEqual({e["field"] for e in errors.values()}, {"text"})

    def test_file_that_is_cut_off(self):
        good = '{"id":"good","text":"x"}'
        self.assertIn("cut off", self.failing_job(self.write("j.jsonl", good + '\n{"id":"cut","te'))["error"]["message"])
        result = self.failing_job(self.write("j.json", "[" + good + ',\n{"id":"cut","te'))
        self.assertIn("j.json:2", result["error"]["message"])
        self.assertIn("cut off", result["error"]["message"])

    def test_csv_and_yaml_errors_name_the_line(self):
        result = self.failing_job(self.write("j.csv", "id,text,seed\na,x,1\nb,x,many\nc,x,2\n"))
        self.assertIn("j.csv:3", result["error"]["message"])
        self.assertEqual((result["id"], result["error"]["field"]), ("b", "seed"))
        result = self.failing_job(self.write("j.yaml", "- {id: a, text: x}\n- {id: b, text: x, speed: fast}\n"))
        self.assertIn("j.yaml:2", result["error"]["message"])
        self.assertEqual((result["id"], result["error"]["field"]), ("b", "speed"))

    def test_no_model_named_and_no_default(self):
        manifest = self.manifest({"model_type": "a"}, {"model_type": "b"})
        result = self.failing_job(self.jobs({"text": "x"}, {"text": "x", "model_type": "a"}), manifest=manifest)
        self.assertEqual(result["error"]["field"], "model_type")
        self.assertIn("a, b", result["error"]["message"])

    def test_failures_beyond_a_few_are_only_in_the_file(self):
        done = self.batch(self.manifest(), self.jobs(*({"id": f"b{i}", "text": ""} for i in range(100))))
        self.assert_exit(done, 1)
        self.assertLess(len(done.stderr.splitlines()), 30)
        self.assertEqual(len(self.results()), 100)


class BadUse(Case):
    """What stops a batch before it starts: exit code 2, one line that says why."""

    def check(self, done, *fragments):
        self.assert_exit(done, 2)
        for fragment in fragments:
            self.assertIn(str(fragment), done.stderr)
        self.assertLessEqual(len([l for l in done.stderr.splitlines() if l.startswith("voxhost")]), 2)

    def test_job_files_that_are_no_job_files(self):
        manifest = self.manifest()
        empty = self.write("empty.jsonl", "")
        for name, text in (("blank.jsonl", "\n \n"), ("none.json", "[]"), ("none.yaml", "jobs:\n"), ("none.csv", "id,text\n")):
            with self.subTest(name=name):
                self.check(self.batch(manifest, self.write(name, text)), name, "no jobs")
        self.check(self.batch(manifest, empty), empty, "no jobs")
        self.check(self.batch(manifest, self.dir), self.dir, "directory")
        self.check(self.batch(manifest, self.dir / "missing.jsonl"), "missing.jsonl", "No such file")
        self.check(self.batch(manifest, self.write("jobs.txt", "x\n")), "jobs.txt", "--text-lines")
        self.check(self.batch(manifest, self.write("jobs.xml", "<x/>")), "jobs.xml", "format")
        self.check(self.batch(manifest, self.write("jobs.yaml", "a: [")), "jobs.yaml:2:1")
        self.check(self.batch(manifest, self.write("jobs.yaml", "text: x\n")), "jobs.yaml:1", "list of jobs")
        self.check(self.batch(manifest, self.write("jobs.json", "5")), "jobs.json:1", "array")
        self.check(self.batch(manifest, self.write("jobs.csv", "id,text,id\na,b,c\n")), "jobs.csv:1")
        self.check(self.batch(manifest, self.write("utf16.jsonl", '{"text":"x"}'.encode("utf-16"))), "UTF-16")
        self.check(self.batch(manifest, "-", input=""), "standard input", "no jobs")
        self.assertFalse((self.dir / "out").exists())

    def test_no_jobs_named(self):
        self.check(run("batch", "--manifest", self.manifest(), "--out", self.dir / "out"), "--jobs")
        self.check(run("batch", "--manifest", self.manifest(), "--jobs", "x"), "--out")

    def test_output_folders_that_cannot_be_used(self):
        manifest, jobs = self.manifest(), self.jobs({"text": "x"})
        file = self.write("file", "x")
        self.check(self.batch(manifest, jobs, out="file"), file, "Not a directory")
        self.check(self.batch(manifest, jobs, out="file/below"), file)
        (self.dir / "out" / "results.jsonl").mkdir(parents=True)
        self.check(self.batch(manifest, jobs), "results.jsonl", "Is a directory")
        self.assert_no_leftovers()
        self.check(self.batch(manifest, jobs, out="/proc/voxhost"), "/proc/voxhost")
        slow = self.manifest({"model_type": "tone", "options": {"load_ms": 60000}}, name="slow.yaml")
        self.check(self.batch(slow, jobs, out="file"), file)  # before models load

    def test_arguments_that_are_junk(self):
        manifest, jobs = self.manifest(), self.jobs({"text": "x"})
        for value in ("0", "-1", "1.5", "many", "", "1025", "1e999"):
            with self.subTest(concurrency=value):
                self.check(self.batch(manifest, jobs, f"--concurrency={value}"), "--concurrency", f'"{value}"')
        for value in ("", "1", "/", "1/0", "3/2", "-1/2", "a/b", "1/2/3", "1/99999999999999999999", " 1/2"):
            with self.subTest(shard=value):
                self.check(self.batch(manifest, jobs, f"--shard={value}"), "--shard", f'"{value}"')
        self.check(self.batch(manifest, jobs, "--nonsense"), "nonsense")
        self.assertFalse((self.dir / "out").exists())

    def test_manifest_that_is_wrong(self):
        jobs = self.jobs({"text": "x"})
        self.check(self.batch(self.manifest({"model_type": "a", "sesions": 1}), jobs), 'did you mean "sessions"?')
        self.check(self.batch(self.dir / "missing.yaml", jobs), "missing.yaml")


if __name__ == "__main__":
    unittest.main()
