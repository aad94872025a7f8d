"""Models and plugins through the real binary: what loads, what does not and why, and each model's cache directory."""

import json
import os
import shutil
import stat
import subprocess
import time
import unittest

from common import TEST_PLUGINS, Case, run


class ModelCase(Case):
    def one_job(self, *models, code=0, jobs=None, **top):
        """One job for each model."""
        jobs = jobs or [{"id": m["model_type"], "text": "x", "model_type": m["model_type"]} for m in models]
        done = self.batch(self.manifest(*models, **top), self.jobs(*jobs))
        self.assert_exit(done, code)
        return done

    def reason(self, done):
        """The one complaint of a run that could not start."""
        complaints = [line for line in done.stderr.splitlines() if line.startswith("voxhost:")]
        self.assertEqual(len(complaints), 1, done.stderr)
        return complaints[0]


class Plugins(ModelCase):
    """Libraries that are no good plugins."""

    # library: fragment of the reason
    WRONG = {
        "faulty_major": "was built for plugin ABI 99.",
        "faulty_no_entry": "has no symbol vox_entry",
        "faulty_text": "is not a shared object",
        "faulty_empty": "is not a shared object",
        "faulty_cut": "was it cut off?",
        "faulty_magic": "begins with 12345678",
        "faulty_size": "vox_entry has",
        "faulty_size_head": "vox_entry has",
        "faulty_no_init": "vox_entry.init is NULL",
        "faulty_no_fini": "vox_entry.fini is NULL",
        "faulty_no_speak": "vox_entry.speak is NULL",
        "faulty_no_id": "vox_entry.id",
        "faulty_bad_id": "vox_entry.id",
        "faulty_no_version": "vox_entry.version",
        "faulty_undefined": "faulty_nowhere",
        "faulty_option_duplicate": '"draft" stands twice',
        "faulty_option_no_name": "has no name",
        "faulty_option_type": "unknown type 99",
        "faulty_option_range": "minimum over its maximum",
        "faulty_option_default": "default of options.steps",
        "faulty_option_default_type": "default of options.steps",
        "faulty_option_default_json": "default of options.steps",
        "faulty_option_no_choices": "has no choices",
        "faulty_option_choice_default": "default of options.steps",
    }

    def test_wrong_libraries_fail_their_model_with_the_reason(self):
        models = [{"model_type": name, "plugin": name + ".so", "required": False} for name in self.WRONG]
        self.one_job({"model_type": "tone"}, *models, code=1)
        results = self.by_id()
        self.assertEqual(results["tone"]["status"], "ok")
        for name, fragment in self.WRONG.items():
            with self.subTest(library=name):
                error = results[name]["error"]
                self.assertEqual((error["code"], error["field"]), ("model_failed", "model_type"))
                for part in (f'model "{name}" failed', "manifest.yaml:", f"{name}.so: ", fragment):
                    self.assertIn(part, error["message"])

    def test_a_required_model_with_a_wrong_library_ends_the_run(self):
        for name in ("faulty_major", "faulty_no_entry", "faulty_text", "faulty_cut"):
            with self.subTest(library=name):
                reason = self.reason(self.one_job({"model_type": "m", "plugin": name + ".so"}, code=3))
                for part in ('required model "m"', "manifest.yaml:1:", self.WRONG[name]):
                    self.assertIn(part, reason)
                self.one_job({"model_type": "m", "plugin": name + ".so", "preload": False}, code=3)
        self.assertFalse((self.dir / "out" / "results.jsonl").exists())

    def test_a_missing_plugin_names_the_places_looked_at(self):
        reason = self.reason(self.one_job({"model_type": "m", "plugin": "nowhere.so"}, code=3, host={"plugin_path": ["./more"]}))
        for part in ('plugin "nowhere.so"', f"{self.dir},", f"{self.dir}/more,", "plugins"):
            self.assertIn(part, reason)
        reason = self.reason(self.one_job({"model_type": "m", "plugin": "/nowhere/x.so"}, code=3))
        self.assertIn("/nowhere/x.so: cannot be read: No such file or directory", reason)
        self.assertIn("is not a file", self.reason(self.one_job({"model_type": "m", "plugin": "/tmp"}, code=3)))

    def test_plugins_are_found_beside_the_manifest_and_in_the_search_path(self):
        (self.dir / "more").mkdir()
        shutil.copy(TEST_PLUGINS / "tone.so", self.dir / "beside.so")
        shutil.copy(TEST_PLUGINS / "tone.so", self.dir / "more" / "found.so")
        self.one_job({"model_type": "a", "plugin": "beside.so"}, {"model_type": "b", "plugin": "found.so"},
                     host={"plugin_path": ["more"]})

    def test_older_and_newer_plugins_of_the_same_abi_work(self):
        self.one_job(*({"model_type": name, "plugin": f"faulty_{name}.so"} for name in ("older", "newer")))

    def test_a_library_that_exports_more_still_speaks(self):
        self.one_job({"model_type": "m", "plugin": "faulty_exports.so"})


class Options(ModelCase):
    """Load options and defaults of the manifest are checked against the plugin's schema."""

    def check(self, *fragments, **model):
        done = self.one_job({"model_type": "m", **model}, code=2)
        [section] = model.keys() & {"options", "defaults"}
        [name] = model[section]
        manifest = self.dir / "manifest.yaml"
        column = manifest.read_text().index(json.dumps(name) + ": ") + 1
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith(f"{manifest}:1:{column}: models[0].{section}.{name}: "), done.stderr)
        for part in fragments:
            self.assertIn(part, done.stderr)

    def test_wrong_load_options(self):
        self.check("unknown option of this model", 'did you mean "load_ms"?', options={"load_mss": 1})
        self.check("expected integer 0..3600000", '"1"', options={"load_ms": "1"})
        self.check("expected integer 0..3600000", "-1", options={"load_ms": -1})
        self.check("expected true or false", options={"fail": 1})
        self.check("expected one of none", plugin="faulty.so", options={"fault": "nonsense"})

    def test_wrong_defaults(self):
        self.check('did you mean "sleep_ms"?', defaults={"sleep_mss": 1})
        self.check("expected integer 8000..192000", defaults={"rate": 1})

    def test_all_wrong_ones_of_all_models_come_in_one_report(self):
        text = "\n".join((
            "version: 1",
            "models:",
            "  - model_type: a",
            f"    plugin: {TEST_PLUGINS / 'tone.so'}",
            "    options:",
            "      load_ms: 0",
            "      load_mss: 1",
            "      fail: 1",
            "  - model_type: b",
            f"    plugin: {TEST_PLUGINS / 'tone.so'}",
            "    required: false",
            "    defaults: {rate: 1, sleep_ms: 0, sleep_mss: 2}",
            ""))
        manifest = self.write("manifest.yaml", text)
        expected = [
            f'{manifest}:7:7: models[0].options.load_mss: unknown option of this model (did you mean "load_ms"?)',
            f"{manifest}:8:7: models[0].options.fail: expected true or false, got 1",
            f"{manifest}:12:16: models[1].defaults.rate: expected integer 8000..192000, got 1",
            f'{manifest}:12:38: models[1].defaults.sleep_mss: unknown option of this model (did you mean "sleep_ms"?)',
        ]
        jobs = self.jobs({"text": "x", "model_type": "a"})
        for done in (self.batch(manifest, jobs), self.batch(manifest, jobs, "--dry-run"),
                     run("speak", "Hi", "-m", manifest, "-t", "a", "-o", self.dir / "x.wav")):
            self.assert_exit(done, 2)
            self.assertEqual((done.stderr.splitlines(), done.stdout), (expected, ""))
        self.assertFalse((self.dir / "out" / "results.jsonl").exists())
        self.assertFalse((self.dir / "cache").exists())
        self.assertFalse((self.dir / "x.wav").exists())

    def test_options_reach_the_plugin(self):
        self.assertIn("options.fail is true", self.reason(self.one_job({"model_type": "m", "options": {"fail": True}}, code=3)))

    def test_secrets_are_never_shown(self):
        secret, number = "s3cr3t-0123456789", "40302010"
        good = self.manifest({"model_type": "tone", "options": {"api_key": secret}}, host={"log_level": "debug"})
        wrong = [self.manifest({"model_type": "tone", "options": {"api_key": value}}, name=f"wrong{i}.yaml")
                 for i, value in enumerate(([secret], {"a": secret}, int(number)))]
        typo = self.manifest({"model_type": "tone", "options": {"api_kye": secret}}, name="typo.yaml")
        jobs = self.jobs({"text": "x"}, {"text": "x", "options": {"fault": 1}})
        runs = [self.batch(self.manifest(name="plain.yaml"), jobs, "--set", f"models.tone.options.api_key={secret}")]
        for manifest in (good, *wrong, typo):
            runs.append(self.batch(manifest, jobs))
            runs.append(run("doctor", "--manifest", manifest))
        for manifest in (good, *wrong):
            runs.append(run("config", "--manifest", manifest))
            self.assertIn("***", runs[-1].stdout)
            runs.append(run("config", "--manifest", manifest, "--json"))
            self.assertIn("***", runs[-1].stdout)
        said = "\n".join(done.stdout + done.stderr for done in runs) + (self.dir / "out/results.jsonl").read_text()
        self.assertEqual([line for line in said.splitlines() if secret in line or number in line], [])


class States(ModelCase):
    """Unloaded, loading, ready, failed."""

    def test_unknown_loading_and_failed_are_three_errors(self):
        manifest = self.manifest(
            {"model_type": "tone"},
            {"model_type": "slow", "plugin": "faulty.so", "required": False, "options": {"fault": "init_hangs"}},
            {"model_type": "broken", "plugin": "faulty_magic.so", "required": False},
            host={"load_timeout_s": 0.3})
        names = ["tone", "slow", "broken", "none"]
        begun = time.monotonic()
        self.assert_exit(self.batch(manifest, self.jobs(*({"id": n, "text": "x", "model_type": n} for n in names))), 1)
        self.assertLess(time.monotonic() - begun, 30)
        results = self.by_id()
        self.assertEqual(results["tone"]["status"], "ok")
        errors = {n: results[n]["error"] for n in names[1:]}
        self.assertEqual({n: (e["code"], e["retryable"]) for n, e in errors.items()},
                         {"slow": ("model_loading", True), "broken": ("model_failed", False), "none": ("unknown_model", False)})
        self.assertIn("0.3 s", errors["slow"]["message"])
        self.assertIn("expected one of: tone, slow, broken", errors["none"]["message"])

    def test_a_required_model_that_loads_too_long_ends_the_run(self):
        reason = self.reason(self.one_job({"model_type": "m", "options": {"load_ms": 60000}}, code=3, host={"load_timeout_s": 0.2}))
        self.assertIn('model "m" is still loading', reason)

    def ready(self, done):
        return [e["component"] for e in map(json.loads, done.stderr.splitlines()) if e["event"] == "model ready"]

    def test_without_preload_a_model_loads_for_its_first_job(self):
        models = [{"model_type": "now"}, {"model_type": "later", "preload": False}, {"model_type": "never", "preload": False}]
        jobs = [{"id": "a", "text": "x", "model_type": "now"}, {"id": "b", "text": "x", "model_type": "later"}]
        done = self.one_job(*models, jobs=jobs)
        self.assertEqual(self.ready(done), ["now", "later"])
        self.assertEqual(sorted(p.name for p in (self.dir / "cache").iterdir()), ["later", "now"])

    def test_a_model_that_loads_late_holds_up_nobody(self):
        models = [{"model_type": "slow", "plugin": "faulty.so", "preload": False, "options": {"fault": "init_hangs", "hang_ms": 1500}},
                  {"model_type": "fast"}]
        jobs = [{"id": "slow", "text": "x", "model_type": "slow"}, *({"id": f"f{i}", "text": "x", "model_type": "fast"} for i in range(20))]
        done = self.batch(self.manifest(*models), self.jobs(*jobs))
        self.assertEqual(self.results()[-1]["id"], "slow", done.stderr)

    def test_plugins_load_side_by_side_and_models_of_one_plugin_in_turn(self):
        shutil.copy(TEST_PLUGINS / "tone.so", self.dir / "other.so")
        slow = {"model_type": "slow", "options": {"load_ms": 1500}}
        self.assertEqual(self.ready(self.one_job(slow, {"model_type": "quick", "plugin": "./other.so"})), ["quick", "slow"])
        models = [{"model_type": name, "options": {"load_ms": 600}} for name in "ab"]
        begun = time.monotonic()
        self.one_job(*models)
        self.assertGreaterEqual(time.monotonic() - begun, 1.2)


class Caches(ModelCase):
    """Every model has a private directory of its own (FM-38, FM-44)."""

    def test_cache_directories_are_private_and_separate(self):
        (self.dir / "cache" / "b").mkdir(parents=True, mode=0o755)
        write = {"options": {"write_cache": True}}
        homes = self.dir / "homes"
        homes.mkdir()
        env = {name: str(homes) for name in ("HF_HOME", "TRANSFORMERS_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME", "XDG_CACHE_HOME", "HOME")}
        models = [{"model_type": "a", **write}, {"model_type": "b", **write}, {"model_type": "c", "cache_dir": "own/place", **write},
                  {"model_type": "d", "cache_dir": str(self.dir / "absolute"), **write}]
        jobs = self.jobs(*({"id": m["model_type"], "text": "x", "model_type": m["model_type"]} for m in models))
        done = self.batch(self.manifest(*models), jobs, env=env, cwd="/")
        self.assert_exit(done, 0)
        for name, place in {"a": "cache/a", "b": "cache/b", "c": "cache/own/place", "d": "absolute"}.items():
            path = self.dir / place
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)
            self.assertEqual(sorted(p.name for p in path.iterdir()), [".voxhost.lock", "tone.txt"])
            self.assertEqual((path / "tone.txt").read_text(), name + "\n")
        self.assertEqual(list(homes.iterdir()), [])

    def refused(self, *models, **top):
        done = self.one_job(*models, code=2, **top)
        self.assertIn("cache_dir", done.stderr)
        self.assertIn("manifest.yaml:1:", done.stderr)
        return done.stderr

    def test_two_models_never_share_one(self):
        (self.dir / "cache" / "real").mkdir(parents=True)
        (self.dir / "cache" / "link").symlink_to("real")
        (self.dir / "linked").symlink_to("cache")
        same = "is the same directory as"
        self.assertIn(same, self.refused({"model_type": "a", "cache_dir": "x"}, {"model_type": "b", "cache_dir": "x"}))
        self.assertIn(same, self.refused({"model_type": "a", "cache_dir": "x"}, {"model_type": "b", "cache_dir": "./y/../x/"}))
        self.assertIn(same, self.refused({"model_type": "a"}, {"model_type": "b", "cache_dir": "a"}))
        self.assertIn(same, self.refused({"model_type": "real"}, {"model_type": "link"}))
        self.assertIn(same, self.refused({"model_type": "a", "cache_dir": "new"}, {"model_type": "b", "cache_dir": str(self.dir / "linked/new")}))
        self.assertIn(same, self.refused({"model_type": "a", "cache_dir": "F5"}, {"model_type": "b", "cache_dir": "f5"}))
        self.assertIn("lies inside", self.refused({"model_type": "a", "cache_dir": "x"}, {"model_type": "b", "cache_dir": "x/y"}))
        self.assertIn("contains", self.refused({"model_type": "a", "cache_dir": "x/y"}, {"model_type": "b", "cache_dir": "x"}))

    def test_a_mount_that_makes_two_directories_one_is_found(self):
        for name in ("one", "two"):
            (self.dir / name).mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "--bind", self.dir / "one", self.dir / "two"], stderr=subprocess.DEVNULL).returncode == 0
        if not mounted:
            self.skipTest("a bind mount needs mount(2): run as root with CAP_SYS_ADMIN")
        self.addCleanup(subprocess.run, ["umount", "-l", self.dir / "two"])
        models = [{"model_type": name, "cache_dir": str(self.dir / name / "cache")} for name in ("one", "two")]
        reason = self.reason(self.one_job(*models, code=3))  # the names differ, and nothing was there to compare
        self.assertRegex(reason, r"/cache: is the cache directory of model \"(one|two)\" as well")
        self.assertIn("is the same directory as", self.refused(*models))

    def test_a_directory_that_cannot_be_used_fails_its_model(self):
        file = self.write("file", "x")
        reason = self.reason(self.one_job({"model_type": "m", "cache_dir": str(file)}, code=3))
        self.assertIn(f"{file}: cannot make the directory: Not a directory", reason)
        self.assertIn("/proc/m", self.reason(self.one_job({"model_type": "m"}, code=3, paths={"cache": "/proc"})))
        self.one_job({"model_type": "tone"}, {"model_type": "m", "cache_dir": str(file), "required": False}, code=1)
        error = self.by_id()["m"]["error"]
        self.assertEqual(error["code"], "model_failed")
        self.assertIn(str(file), error["message"])

    def test_a_disk_with_too_little_room_names_both_numbers(self):
        reason = self.reason(self.one_job({"model_type": "m"}, code=3, host={"min_free_mb": 1048576}))
        self.assertRegex(reason, r"/cache/m: its disk has \d+ MB free, host.min_free_mb wants 1048576")

    def test_nothing_is_left_of_the_checks(self):
        self.one_job({"model_type": "m"})
        self.assertEqual([p.name for p in (self.dir / "cache/m").iterdir()], [".voxhost.lock"])


if __name__ == "__main__":
    unittest.main()
