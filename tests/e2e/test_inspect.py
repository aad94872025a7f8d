"""config, plugins and doctor: the verbs that look, and change nothing."""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import unittest

from common import DATA, SANITIZE, TEST_PLUGINS, Case, run

SOURCE = pathlib.Path(__file__).resolve().parents[2]
WIDTH_MAX = 100
# A sanitizer turns the crash into an exit.
DEADLY = "ends the process when it is opened" if SANITIZE else "crashes when it is opened (SIGSEGV)"

# A plugin that says of itself what none of ours does.
STRANGER = r"""
#include "vox/helpers.h"

static int32_t init(const struct vox_host *h, const struct vox_load *l, struct vox_model **m, struct vox_error *e)
{
    (void)h; (void)l; (void)m;
    return vox_fail(e, VOX_EMODEL, "never loads");
}
static void fini(struct vox_model *m) { (void)m; }
static int32_t open_(struct vox_model *m, struct vox_session **s, struct vox_error *e)
{
    (void)m; (void)s;
    return vox_fail(e, VOX_EMODEL, "never opens");
}
static void close_(struct vox_session *s) { (void)s; }
static int32_t speak(struct vox_session *s, const struct vox_job *j, struct vox_error *e)
{
    (void)s; (void)j;
    return vox_fail(e, VOX_EMODEL, "never speaks");
}
static const char *const modes[] = {"fast", "fine", NULL};
static const struct vox_option options[] = {
    {sizeof(struct vox_option), VOX_OPTION_FLOAT, "warmth", "How warm", "0.5", 0, 1, NULL},
    {sizeof(struct vox_option), VOX_OPTION_CHOICE, "mode", "How well", "\"fast\"", 0, 0, modes},
    {sizeof(struct vox_option), VOX_OPTION_STRING, "note", NULL, NULL, 0, 0, NULL},
};
const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD, .id = "stranger", .version = "0.9", .summary = "Two\nlines, and \xff no UTF-8",
    .code_licence = "MIT", .weights_licence = "CC-BY-NC-4.0",
    .capabilities = VOX_CAP_CLONING | VOX_CAP_NEEDS_TRANSCRIPT,
    .job_options = options, .job_option_count = 3, .job_option_size = sizeof(options[0]),
    .init = init, .fini = fini, .open = open_, .close = close_, .speak = speak,
};
"""

PLUGIN_KEYS = {
    "path", "error", "hidden_by", "id", "version", "summary", "abi", "code_licence", "weights_licence",
    "non_commercial", "capabilities", "languages", "sample_rate", "channels", "speakers", "load_options",
    "job_options",
}  # fmt: skip


def build_stranger(folder):
    (folder / "stranger.c").write_text(STRANGER)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    path = folder / "stranger.so"
    command = [compiler, "-shared", "-fPIC", "-I", SOURCE / "sdk/include", "-o", path, folder / "stranger.c"]
    subprocess.run(command, check=True)
    return path


class Help(unittest.TestCase):
    def test_help_says_what_the_verb_does_and_shows_examples(self):
        wanted = {
            "config": ["--reference", "--json", "--manifest", "--set", "where it came from", "exit code 2"],
            "plugins": ["--json", "--manifest", "VOXHOST_PLUGIN_PATH", "Exit codes"],
            "doctor": ["--json", "--load", "--manifest", "Exit codes"],
        }
        for verb, texts in wanted.items():
            with self.subTest(verb=verb):
                done = run(verb, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                flat = " ".join(done.stdout.split())
                for text in texts + ["Examples:", f"voxhost {verb} "]:
                    self.assertIn(text, flat)

    def test_wrong_use_is_exit_2(self):
        for arguments in (["config", "--no-such"], ["config", "extra"], ["doctor", "extra"], ["plugins", "--set"]):
            with self.subTest(arguments=arguments):
                done = run(*arguments)
                self.assertEqual(done.returncode, 2)
                self.assertIn("--help", done.stderr)

    def test_output_that_cannot_be_written_is_an_error(self):
        for verb in ("config", "plugins", "doctor"):
            with self.subTest(verb=verb), open("/dev/full", "w") as full:
                done = run(verb, stdout=full)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stderr.count("standard output cannot be written: No space left"), 1)


class Config(Case):
    def value(self, manifest, *arguments, key="log_level", **env):
        done = run("config", "--manifest", manifest, "--json", *arguments, env=env)
        self.assert_exit(done, 0)
        entry = json.loads(done.stdout)["host"][key]
        return entry["value"], entry["source"]

    def test_command_line_wins_over_manifest_over_environment_over_default(self):
        silent = self.manifest(name="silent.yaml")
        says = self.manifest(name="says.yaml", host={"log_level": "warn"})
        level = {"VOXHOST_LOG_LEVEL": "error"}
        self.assertEqual(self.value(silent), ("info", "default"))
        self.assertEqual(self.value(silent, **level), ("error", "environment"))
        self.assertEqual(self.value(says, **level), ("warn", "manifest"))
        self.assertEqual(self.value(silent, RUNPOD_LOG_LEVEL="ERROR", RUNPOD_DEBUG_LEVEL="DEBUG"), ("error", "environment"))
        self.assertEqual(self.value(silent, RUNPOD_DEBUG_LEVEL="Warn"), ("warn", "environment"))
        for all_lines in ("TRACE", "notset"):  # the SDK's
            self.assertEqual(self.value(silent, RUNPOD_LOG_LEVEL=all_lines), ("debug", "environment"))
        self.assertEqual(self.value(says, RUNPOD_LOG_LEVEL="ERROR"), ("warn", "manifest"))
        override = ("--set", "host.log_level=debug")
        self.assertEqual(self.value(says, *override, **level), ("debug", "command_line"))

    def test_text_names_the_source_of_each_key(self):
        manifest = self.write("m.yaml", "version: 1\nmodels:\n  - model_type: tone\n    plugin: tone.so\n")
        done = run("config", "-m", manifest, "-s", "models.tone.sessions=3", env={"VOXHOST_CACHE": "/var/c"})
        self.assert_exit(done, 0)
        for line in (
            "model_type: tone  # from manifest line 3",
            "sessions: 3  # from the command line",
            "cache: /var/c  # from environment variable VOXHOST_CACHE",
            "cache_dir: /var/c/tone  # default",
            f"voices: {self.dir}/voices  # default",
        ):
            self.assertIn(line, done.stdout)

    def test_output_is_a_manifest_with_the_same_values(self):
        first = run("config", "-m", DATA / "manifests/good/full.yaml")
        self.assert_exit(first, 0)
        second = run("config", "-m", self.write("again.yaml", first.stdout))
        self.assert_exit(second, 0)
        values = [re.sub(r"(?m)^# .*\n|  # .*", "", done.stdout) for done in (first, second)]
        self.assertEqual(*values)

    def test_secrets_are_not_shown(self):
        manifest = self.manifest({"model_type": "a", "options": {"api_key": "hunter2", "arch": "v1"}})
        for arguments in ((), ("--json",)):
            done = run("config", "-m", manifest, *arguments)
            self.assert_exit(done, 0)
            self.assertNotIn("hunter2", done.stdout)
            self.assertIn("***", done.stdout)
            self.assertIn("v1", done.stdout)

    def test_reference_is_the_committed_one(self):
        done = run("config", "--reference")
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout, (SOURCE / "configs/REFERENCE.md").read_text())

    def test_every_broken_manifest_is_refused_with_its_reasons(self):
        broken = sorted((DATA / "manifests").glob("*.yaml"))
        self.assertGreater(len(broken), 50)
        for path in broken:
            with self.subTest(path.name):
                expected = re.findall(rb"# expect: ([^\n]*)", path.read_bytes())
                self.assertTrue(expected, "says no expectation")
                done = run("config", "-m", path, text=False)
                self.assertEqual((done.returncode, done.stdout), (2, b""))
                for text in expected:
                    self.assertIn(text, done.stderr)

    def test_every_good_manifest_is_taken(self):
        good = sorted((DATA / "manifests/good").glob("*.yaml"))
        self.assertTrue(good)
        for path in good:
            with self.subTest(path.name):
                self.assert_exit(run("config", "-m", path), 0)

    def test_missing_manifest_and_wrong_override_are_exit_2(self):
        missing = run("config", "-m", self.dir / "none.yaml")
        self.assert_exit(missing, 2)
        self.assertIn("none.yaml", missing.stderr)
        override = run("config", "--set", "host.log_levle=info")
        self.assert_exit(override, 2)
        self.assertIn('did you mean "log_level"', override.stderr)


class Plugins(Case):
    def listing(self, *arguments, code=0, **env):
        done = run("plugins", "--json", *arguments, env=env)
        self.assert_exit(done, code)
        whole = json.loads(done.stdout)
        self.assertEqual(list(whole), ["plugins"])
        return whole["plugins"]

    def test_text_shows_what_flite_can_do_in_100_columns(self):
        done = run("plugins", "flite.so")
        self.assert_exit(done, 0)
        for text in ("flite ", "code: ", "weights: ", "16000 Hz, 1 channel", "reports word times", "slt (en-US)", "the default"):
            self.assertIn(text, done.stdout)
        self.assertNotIn("COMMERCIAL", done.stdout)
        wide = [line for line in done.stdout.splitlines() if len(line) > WIDTH_MAX and "/" not in line]
        self.assertEqual(wide, [])

    def test_json_has_the_same_keys_for_every_usable_plugin(self):
        plugins = self.listing("flite.so", TEST_PLUGINS / "tone.so", TEST_PLUGINS / "faulty.so")
        self.assertEqual([plugin["id"] for plugin in plugins], ["flite", "tone", "faulty"])
        for plugin in plugins:
            self.assertEqual(set(plugin), PLUGIN_KEYS)
            self.assertIsNone(plugin["error"])
            self.assertEqual(plugin["abi"], "1.0")
            for option in plugin["load_options"] + plugin["job_options"]:
                self.assertLessEqual({"name", "type", "expected", "default", "help"}, set(option))
        flite = plugins[0]
        self.assertEqual([s["id"] for s in flite["speakers"]], ["slt", "rms", "awb", "kal", "kal16"])
        self.assertLessEqual({"speed", "marks"}, set(flite["capabilities"]))
        self.assertFalse(flite["non_commercial"])

    def test_a_plugin_from_elsewhere_is_described(self):
        plugin = self.listing(build_stranger(self.dir))[0]
        self.assertTrue(plugin["non_commercial"])
        self.assertEqual(plugin["summary"], "Two lines, and ")
        self.assertEqual(plugin["capabilities"], ["cloning", "needs_transcript"])
        self.assertIsNone(plugin["languages"])
        warmth, mode, note = plugin["job_options"]
        self.assertEqual(warmth["expected"], "number 0..1")
        self.assertEqual((warmth["minimum"], warmth["maximum"], warmth["default"]), (0, 1, 0.5))
        self.assertEqual((mode["choices"], mode["default"]), (["fast", "fine"], "fast"))
        self.assertEqual((note["type"], note["default"], note["help"]), ("string", None, None))
        done = run("plugins", self.dir / "stranger.so")
        self.assert_exit(done, 0)
        for text in ("weights: CC-BY-NC-4.0 NOT FOR COMMERCIAL USE", 'one of fast, fine; default "fast"'):
            self.assertIn(text, done.stdout)

    def test_folder_lists_every_library_with_its_error_and_exits_0(self):
        plugins = self.listing(VOXHOST_PLUGIN_PATH=str(TEST_PLUGINS))
        by_name = {os.path.basename(plugin["path"]): plugin for plugin in plugins}
        self.assertLessEqual({path.name for path in TEST_PLUGINS.glob("*.so")} | {"flite.so"}, set(by_name))
        expected = {
            "faulty_major.so": "ABI 99.0",
            "faulty_no_entry.so": "no symbol vox_entry",
            "faulty_text.so": "no ELF header",
            "faulty_empty.so": "no ELF header",
            "faulty_cut.so": "damaged",
            "faulty_undefined.so": "cannot be loaded",
            "faulty_option_range.so": '"steps"',
            "faulty_crashes_when_loaded.so": DEADLY,
        }
        for name, text in expected.items():
            self.assertIn(text, by_name[name]["error"])
            self.assertNotIn("id", by_name[name])
        for name in ("tone.so", "faulty.so", "faulty_newer.so", "faulty_older.so"):
            self.assertIsNone(by_name[name]["error"], name)
        self.assert_exit(run("plugins", env={"VOXHOST_PLUGIN_PATH": str(TEST_PLUGINS)}), 0)

    def test_named_plugin_that_is_none_is_exit_1(self):
        for name in (TEST_PLUGINS / "faulty_major.so", self.dir / "none.so", "none.so", self.dir):
            with self.subTest(name=str(name)):
                bad, good = self.listing(name, "flite.so", code=1)
                self.assertTrue(bad["error"])
                self.assertIsNone(good["error"])
                text = run("plugins", name)
                self.assert_exit(text, 1)
                self.assertIn("unusable", text.stdout)

    def test_name_that_was_found_before_is_hidden(self):
        first, second = self.dir / "first", self.dir / "second"
        for folder in (first, second):
            folder.mkdir()
            shutil.copy(TEST_PLUGINS / "tone.so", folder)
        tones = [p for p in self.listing(VOXHOST_PLUGIN_PATH=f"{first}:{second}") if p["path"].endswith("/tone.so")]
        self.assertEqual([p["path"] for p in tones], [f"{first}/tone.so", f"{second}/tone.so"])
        self.assertEqual([p["hidden_by"] for p in tones], [None, f"{first}/tone.so"])
        again = self.listing(VOXHOST_PLUGIN_PATH=f"{first}:{first}")
        self.assertEqual(len([p for p in again if p["path"].endswith("/tone.so")]), 1)

    def test_manifest_folder_comes_first_and_its_models_count(self):
        shutil.copy(TEST_PLUGINS / "tone.so", self.dir / "flite.so")
        manifest = self.manifest({"model_type": "f", "plugin": "flite.so"}, {"model_type": "t"})
        plugins = self.listing("--manifest", manifest)
        self.assertEqual(plugins[0]["path"], f"{self.dir}/flite.so")
        self.assertEqual(plugins[0]["id"], "tone")
        shipped = [p["hidden_by"] for p in plugins[1:] if p["path"].endswith("/flite.so")]
        self.assertEqual(shipped, [f"{self.dir}/flite.so"])
        self.assertEqual(plugins[-1]["path"], str(TEST_PLUGINS / "tone.so"))

    def test_wrong_manifest_is_exit_2(self):
        done = run("plugins", "-m", DATA / "manifests/version_2.yaml")
        self.assert_exit(done, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("version_2.yaml:", done.stderr)


class Doctor(Case):
    def checks(self, *arguments, code=0, **env):
        done = run("doctor", "--json", *arguments, env=env)
        self.assert_exit(done, code)
        whole = json.loads(done.stdout)
        self.assertEqual(whole["exit_code"], code)
        for level, count in (("warn", whole["warnings"]), ("fail", whole["failures"])):
            self.assertEqual(len([c for c in whole["checks"] if c["level"] == level]), count)
        return whole["checks"]

    def fails(self, checks):
        return [f"{check['subject']}: {check['message']}" for check in checks if check["level"] == "fail"]

    def test_healthy_machine_with_the_built_in_manifest(self):
        done = run("doctor", env={"HOME": str(self.dir)})
        self.assert_exit(done, 0)
        *lines, last = done.stdout.splitlines()
        for line in lines:
            self.assertRegex(line, r"^(ok  |warn)  \S")
        self.assertRegex(last, r"^\d+ ok, \d+ warn, 0 FAIL$")
        for text in ("libyaml ", "cJSON ", "libsndfile-", "libsoxr-", "OpenSSL ", "plugin flite ", "cpu", "memory"):
            self.assertIn(text, done.stdout)
        self.assertRegex(done.stdout, r"encoders +wav, flac, mp3, ogg, opus, pcm")
        self.assertEqual(list(self.dir.iterdir()), [], "the doctor left something behind")

    def test_wrong_manifest_is_reported_whole_beside_the_machine(self):
        path = DATA / "manifests/many_errors.yaml"
        expected = re.findall(r"# expect: ([^\n]*)", path.read_text())
        checks = self.checks("-m", path, code=2)
        fails = "\n".join(self.fails(checks))
        for text in expected:
            self.assertIn(text, fails)
        self.assertIn("libraries", [check["subject"] for check in checks])
        self.assert_exit(run("doctor", "-m", path), 2)

    def test_missing_plugin_is_exit_3_when_required_else_1(self):
        for required, code in ((True, 3), (False, 1)):
            manifest = self.manifest({"model_type": "t"}, {"model_type": "x", "plugin": "x.so", "required": required})
            fails = self.fails(self.checks("-m", manifest, code=code))
            self.assertEqual(len(fails), 1)
            self.assertIn('model x: ', fails[0])
            self.assertIn('plugin "x.so" is in none of', fails[0])

    def test_wrong_option_names_the_option_and_its_place(self):
        manifest = self.manifest({"model_type": "f", "plugin": "faulty.so", "options": {"falt": "none"}})
        fails = self.fails(self.checks("-m", manifest, code=3))
        self.assertIn('did you mean "fault"', fails[0])
        self.assertIn(f"{manifest}:1:", fails[0])

    def test_missing_model_dir_is_a_warning_where_weights_are_needed(self):
        build_stranger(self.dir)
        manifest = self.manifest({"model_type": "s", "plugin": "stranger.so"})
        warnings = [c for c in self.checks("-m", manifest) if c["level"] == "warn" and c["subject"] == "model s"]
        self.assertEqual(len(warnings), 1)
        self.assertIn(f"model_dir {self.dir}/models/s", warnings[0]["message"])
        self.assertTrue(warnings[0]["advice"])
        for setting, level in (({}, "ok"), ({"model_dir": "set"}, "warn")):
            manifest = self.manifest({"model_type": "f", "plugin": "flite.so", **setting})
            levels = [c["level"] for c in self.checks("-m", manifest) if c["message"].startswith("model_dir ")]
            self.assertEqual(levels, [level])

    def test_cache_that_cannot_be_made_is_a_fail(self):
        self.write("file", "")
        fails = self.fails(self.checks("-m", self.manifest(paths={"cache": "file/cache"}), code=3))
        self.assertEqual(len(fails), 1)
        self.assertIn(f"cache directory {self.dir}/file/cache/tone cannot be made", fails[0])

    def test_cache_names_its_source_and_is_not_made(self):
        cache = str(self.dir / "elsewhere")
        messages = [c["message"] for c in self.checks("-m", self.manifest(), VOXHOST_CACHE=cache)]
        wanted = f"cache directory {cache}/tone, from: default; paths.cache from: environment variable VOXHOST_CACHE"
        self.assertIn(wanted, messages)
        self.assertFalse(os.path.exists(cache))

    def test_too_little_space_is_a_fail(self):
        limit_mb = 1 << 20
        if shutil.disk_usage(self.dir).free >> 20 >= limit_mb:
            self.skipTest("this disk has more free than host.min_free_mb can ask for")
        fails = self.fails(self.checks("-m", self.manifest(host={"min_free_mb": limit_mb}), code=3))
        self.assertIn("1048576 MB", fails[0])

    def test_load_loads_and_says_how_long_it_took(self):
        checks = self.checks("--load", "-m", self.manifest())
        messages = [check["message"] for check in checks if check["subject"] == "model tone"]
        self.assertTrue([m for m in messages if re.fullmatch(r"ready, loaded in \d+ ms", m)], messages)
        self.assertEqual(stat.S_IMODE((self.dir / "cache/tone").stat().st_mode), 0o700)

    def test_load_reports_a_model_that_fails(self):
        for required, code in ((True, 3), (False, 1)):
            faulty = {"model_type": "f", "plugin": "faulty.so", "options": {"fault": "init_fails"}}
            manifest = self.manifest({**faulty, "required": required})
            self.assertEqual(self.fails(self.checks("-m", manifest)), [])
            fails = self.fails(self.checks("--load", "-m", manifest, code=code))
            self.assertEqual(len(fails), 1)
            self.assertIn("model f: loading: faulty: ", fails[0])

    def test_load_ends_when_a_plugin_hangs(self):
        hangs = {"model_type": "f", "plugin": "faulty.so", "options": {"fault": "init_hangs"}}
        manifest = self.manifest(hangs, host={"load_timeout_s": 0.2})
        fails = self.fails(self.checks("--load", "-m", manifest, code=3))
        self.assertIn("still loading", fails[0])

    def test_plugin_that_crashes_when_opened_is_a_fail(self):
        manifest = self.manifest({"model_type": "c", "plugin": "faulty_crashes_when_loaded.so"}, {"model_type": "t"})
        fails = self.fails(self.checks("-m", manifest, code=3))
        self.assertEqual(len(fails), 1)
        self.assertIn(DEADLY, fails[0])

    def test_gpu_that_is_not_there_is_a_warning(self):
        if any(pathlib.Path("/dev").glob("nvidia[0-9]*")):
            self.skipTest("this machine has a GPU")
        checks = self.checks("-m", self.manifest({"model_type": "t", "device": "cuda:0"}))
        warnings = [check["message"] for check in checks if check["level"] == "warn"]
        self.assertTrue([m for m in warnings if "cuda:0" in m], warnings)


if __name__ == "__main__":
    unittest.main()
