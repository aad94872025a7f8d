"""Every case of `voxhost check` can fail, and a fault fails the cases that are about it and no others.

A fault of faulty.so and broken.so is chosen by an option; wrong libraries are files of their own. Environment:
VOXHOST the program, BUILD the build folder, INSTRUMENTED what sanitizers or coverage the build has: their
runtimes import what plugins must not, and they are slow.
"""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import wave
from concurrent.futures import ThreadPoolExecutor

VOXHOST = os.environ["VOXHOST"]
BUILD = pathlib.Path(os.environ["BUILD"])
INSTRUMENTED = os.environ.get("INSTRUMENTED", "")
TIMEOUT_S = "8" if INSTRUMENTED else "3"
HANG_MS = 20000 if INSTRUMENTED else 8000
PARALLEL = 4  # much of the time is waiting for children to start

# faulty.so imports exit, setenv, chdir ... to be able to misbehave.
FAULTY_ALWAYS = {"banned-imports"}

# Load option of faulty.so -> the cases that fail, with FAULTY_ALWAYS.
LOAD_FAULTS = {
    "none": set(),
    "init_fails": {"init-ready"},
    "init_no_memory": {"init-ready"},
    "init_device": {"init-ready"},
    "init_silent": {"init-ready"},
    "init_unknown_code": {"init-ready"},
    "init_positive_code": {"init-ready"},
    "init_no_model": {"init-ready"},
    "init_hangs": {"init-ready"},
    "init_crashes": {"init-ready"},
    "init_exits": {"init-ready"},
    "init_prints": {"no-stdio"},
    "open_fails": {"open-ready"},
    "open_no_session": {"open-ready"},
    "open_hangs": {"open-ready"},
    "open_crashes": {"open-ready"},
    "close_leaks": {"open-no-leak"},
    "close_hangs": {"open-ready"},
    "close_crashes": {"open-ready"},
    "fini_leaks": {"reload-no-leak"},
    "fini_hangs": {"init-ready"},
    "fini_crashes": {"init-ready"},
}

# What ends speak before a word is heard is met twice: by the case on failures, too.
ENDED = {"failure-message", "speak-works"}
# Some faults come without marks, though faulty.so has VOX_CAP_MARKS.
UNMARKED = {"marks-reported"}

# Job option of faulty.so -> the cases that fail, with FAULTY_ALWAYS.
JOB_FAULTS = {
    "none": set(),
    "returns_einval": {"speak-works"},
    "returns_enotfound": {"speak-works"},
    "returns_eunsupported": {"speak-works"},
    "returns_enomem": {"speak-works"},
    "returns_ecancelled": {"speak-works"},
    "returns_emodel": {"speak-works"},
    "returns_einternal": {"speak-works"},
    "returns_edevice": {"speak-works"},
    "returns_esink": {"speak-works"},
    "returns_unknown_code": ENDED,
    "returns_positive_code": ENDED,
    "fails_after_audio": {"speak-works"},
    "message_empty": ENDED,
    "message_two_lines": ENDED,
    "message_not_utf8": ENDED,
    "message_unterminated": ENDED,
    "message_other_code": ENDED,
    "session_spoiled": {"speak-works"},
    "never_begins": {"speak-works"},
    "no_audio": {"speak-works"},
    "write_before_begin": {"begin-before-write", "begin-error-propagates", "nothing-after-error"},
    "begin_twice": {"begin-once"},
    "format_rate_zero": {"format-sane"} | UNMARKED,
    "format_rate_low": {"format-sane"} | UNMARKED,
    "format_rate_high": {"format-sane"} | UNMARKED,
    "format_channels_zero": {"speak-works"},
    "format_channels_many": {"speak-works"},
    "format_size_zero": {"format-sane"} | UNMARKED,
    "write_nan": {"finite-samples"} | UNMARKED,
    "write_infinity": {"finite-samples"} | UNMARKED,
    "write_null": {"samples-given", "cancel-at-once"} | UNMARKED,
    "write_other_thread": {"callbacks-on-own-thread"} | UNMARKED,
    "write_late": {"nothing-after-speak"},
    "error_ignored": {"begin-error-propagates", "write-error-propagates", "nothing-after-error",
                      "cancel-at-once"} | UNMARKED,
    "error_replaced": {"begin-error-propagates", "write-error-propagates", "cancel-at-once"},
    "write_after_error": {"begin-error-propagates", "nothing-after-error"},
    "marks_unordered": {"marks-ordered"},
    "mark_past_text": {"marks-in-text"},
    "mark_range_reversed": {"marks-in-text"},
    "mark_negative_time": {"marks-in-audio"},
    "mark_past_audio": {"marks-in-audio"},
    "mark_time_reversed": {"marks-in-audio"},
    "mark_time_nan": {"marks-in-audio"},
    "mark_not_utf8": {"marks-words"},
    "marks_flood": {"marks-words"},
    "progress_huge": {"progress-range"},
    "progress_nan": {"progress-range"},
    "progress_no_stage": {"progress-range"},
    "warning_not_utf8": {"warnings-are-lines", "old-host"},
    "warning_long": {"warnings-are-lines", "old-host"},
    "warnings_flood": {"warnings-are-lines"},
    "hangs": ENDED,
    "ignores_cancel": {"cancel-at-once"} | UNMARKED,
    "cancel_is_ok": {"cancel-at-once"} | UNMARKED,
    "nondeterministic": {"same-seed-same-audio"} | UNMARKED,
    "ignores_seed": {"seed-changes-audio"} | UNMARKED,
    "shares_state": {"two-sessions-parallel", "cancel-at-once"} | UNMARKED,
    "crashes": ENDED,
    "crashes_after_audio": ENDED,
    "aborts": ENDED,
    "exits": ENDED,
    "leaks_memory": {"no-leak"},
    "leaks_descriptor": {"no-descriptor-leak"},
    "leaves_thread": {"no-thread-leak"},
    "prints_stdout": {"no-stdio"},
    "prints_stderr": {"no-stdio"},
    "reads_environment": {"ignores-environment"},
    "changes_environment": {"keeps-environment"},
    "changes_directory": {"keeps-directory"},
    "changes_locale": {"keeps-locale"},
    "changes_signal": {"keeps-signals"},
    "blocks_signal": {"keeps-signals"},
    "changes_umask": {"keeps-umask"},
    "writes_stray_file": {"no-stray-files"},
    "scratch_fails": {"speak-works"},
    "scratch_hangs": ENDED,
    "scratch_crashes": ENDED,
    "scratch_kept_open": {"scratch-let-go"},
    "scratch_kept_path": {"scratch-let-go"},
    "scratch_needed": {"scratch-refused"},
}
# Load option of faulty_profile.so -> the cases on profiles that fail.
PROFILE_FAULTS = {
    "none": set(),
    "fails": {"profile-made"},
    "silent": {"profile-odd-recordings"},
    "internal": {"profile-odd-recordings"},
    "crashes": {"profile-made"},
    "empty": {"profile-made"},
    "huge": {"profile-made"},
    "random": {"profile-deterministic"},
    "by_session": {"profile-deterministic"},
    "thread": {"profile-sink"},
    "late": {"profile-sink"},
    "error_ignored": {"profile-write-error"},
    "error_replaced": {"profile-write-error"},
    "write_after_error": {"profile-sink"},
    "never_asks": {"profile-cancelled"},
    "cancel_is_ok": {"profile-cancelled"},
    "spoils": {"profile-session-survives"},
    "leaks": {"profile-no-leak"},
    "refuses": {"profile-taken"},
    "unspoken": {"profile-taken"},
    "alone": {"profile-alone"},
    "takes_all": {"profile-damaged"},
    "wordless": {"profile-damaged", "profile-changed"},
    "other_code": {"profile-damaged", "profile-changed"},
    "check_crashes": {"profile-damaged", "profile-changed", "profile-session-survives"},
    "unchecked": {"profile-changed"},
}
SLOW_FAULTS = {"ignores_cancel", "cancel_is_ok"}  # take their time in every job: it must be short

# Load option of broken.so -> the cases that fail.
BREAKS = {
    "none": set(),
    "weights": set(),  # skipped: see test_weights
    "model_dir": {"init-bad-model-dir"},
    "device": {"init-bad-device"},
    "open_limit": {"open-close-x100", "open-no-leak"},
    "log_two_lines": {"log-lines"},
    "silent": {"not-silent"},
    "integers": {"nominal-level"},
    "second_job": {"speak-twice", "seed-range", "speed-range", "speakers-speak", "languages-speak",
                   "nothing-after-speak", "cancel-midway", "write-error-propagates",
                   "session-changes-thread", "no-descriptor-leak", "no-thread-leak", "no-leak"},
    "trace": {"job-leaves-no-trace"},
    "seed_zero": {"seed-range"},
    "speed_four": {"speed-range"},
    "speed_ignored": {"speed-changes-length"},
    "speaker_fails": {"speakers-speak"},
    "speakers_same": {"speakers-differ", "unknown-voice-refused"},
    "default_second": {"first-speaker-is-default"},
    "voice_ignored": {"unknown-voice-refused"},
    "language_fails": {"languages-speak"},
    "language_unknown": {"unknown-language"},
    "letter": {"one-letter-text", "punctuation-only"},
    "punctuation": {"one-letter-text", "punctuation-only", "utf8-text"},
    "utf8": {"utf8-text"},
    "long_text": {"long-text"},
    "cancel_first": {"cancel-midway"},
    "cancel_sticks": {"session-survives-failure"},
    "job_size": {"old-host", "future-host"},
    "warns": {"old-host"},
    "own_thread": {"session-changes-thread", "two-sessions-parallel"},
}

# The variants have two speakers that sound alike, and speak for any other.
SPEAKERS = {"speakers-differ", "unknown-voice-refused"}
REFUSED = {"option-schemas", "entry-accepted"}

# A library -> the cases that fail.
LIBRARIES = {
    "faulty_newer": SPEAKERS,
    "faulty_older": SPEAKERS,
    "faulty_magic": {"entry-magic"},
    "faulty_major": {"abi-major"},
    "faulty_size": {"entry-size"},
    "faulty_size_head": {"entry-size"},
    "faulty_no_init": {"required-functions"},
    "faulty_no_fini": {"required-functions"},
    "faulty_no_speak": {"required-functions"},
    "faulty_no_id": {"identity", "entry-accepted"},
    "faulty_bad_id": {"identity", "entry-accepted"},
    "faulty_no_version": {"identity", "entry-accepted"},
    "faulty_other_rate": SPEAKERS | {"format-as-declared"},
    "faulty_option_duplicate": REFUSED,
    "faulty_option_no_name": REFUSED,
    "faulty_option_name": REFUSED,
    "faulty_option_type": REFUSED,
    "faulty_option_range": REFUSED,
    "faulty_option_default": REFUSED,
    "faulty_option_default_type": REFUSED,
    "faulty_option_default_json": REFUSED,
    "faulty_option_no_choices": REFUSED,
    "faulty_option_choice_default": REFUSED,
    "faulty_option_size": REFUSED,
    "faulty_options_null": REFUSED,
    "faulty_profile_name": set(),
    "faulty_profile_size": {"profile-extension"},
    "faulty_profile_no_make": {"profile-extension"},
    "faulty_profile_no_cloning": {"profile-extension"},
    "faulty_crashes_when_loaded": {"opens"},
    "faulty_no_entry": {"exported-symbols", "opens"},
    "faulty_exports": SPEAKERS | {"exported-symbols"},
    "faulty_undefined": {"opens"},
    "faulty_text": {"is-shared-object"},
    "faulty_empty": {"is-shared-object"},
    "faulty_cut": {"is-shared-object"},
    "broken_entry": {"identity", "capabilities-consistent", "languages-wellformed",
                     "unknown-extension-null"},
    "broken_openmp": {"single-openmp"},
}
# The host may refuse these before anything runs; the case of their own fails anyhow.
MAY_BE_REFUSED = {
    "faulty_bad_rate": "capabilities-consistent",
    "faulty_speaker_duplicate": "speakers-wellformed",
    "faulty_speaker_no_id": "speakers-wellformed",
}


def library(name):
    fake = not name.startswith(("broken", "conformance"))
    return BUILD / "tests" / ("plugins" if fake else "conformance") / f"{name}.so"


def run(*args):
    return subprocess.run([VOXHOST, "check", *map(str, args)], capture_output=True, text=True,
                          timeout=280)


def check(plugin, *args, timeout_s=TIMEOUT_S):
    """The results of all cases by name."""
    done = run(plugin, "--json", "--timeout", timeout_s, *args)
    if not done.stdout:
        raise AssertionError(f"no result, exit code {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    bad = report["failed"]
    assert done.returncode == (1 if bad else 0), (done.returncode, report)
    assert report["passed"] + bad + report["skipped"] == len(report["results"])
    return {result["name"]: result for result in report["results"]}


def failed(results):
    return {name: result["reason"] for name, result in results.items()
            if result["outcome"] not in ("pass", "skip")}


def fault_args(kind, fault):
    hang_ms = 200 if fault in SLOW_FAULTS else HANG_MS
    return [f"--{kind}-options", json.dumps({"fault": fault, "hang_ms": hang_ms})]


def ignored(expected):
    """What an instrumented build imports is not the plugin's."""
    return {"banned-imports"} - set(expected) if INSTRUMENTED else set()


def recording(folder):
    """A second of a voice."""
    path = pathlib.Path(folder) / "voice.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes([0, 32] * 10 + [0, 224] * 10) * 400)
    return path


def cases():
    return [case["name"] for case in json.loads(run("--list", "--json").stdout)["cases"]]


PROFILE_CASES = {
    "profile-made", "profile-deterministic", "profile-sink", "profile-write-error", "profile-cancelled",
    "profile-odd-recordings", "profile-taken", "profile-alone", "profile-damaged", "profile-changed",
    "profile-session-survives", "profile-no-leak"}
NO_PROFILES = PROFILE_CASES | {"profile-extension"}
NO_SCRATCH = {"scratch-refused", "scratch-let-go"}


class Good(unittest.TestCase):
    # The cases that are skipped, as the plugin does not claim the ability.
    SKIPPED = {
        "flite": NO_PROFILES | NO_SCRATCH | {"unknown-extension-null", "seed-changes-audio"},
        "tone": PROFILE_CASES | NO_SCRATCH,
        "conformance_template": NO_PROFILES | NO_SCRATCH | {
            "unknown-extension-null", "seed-changes-audio", "speed-range", "speed-changes-length",
            "speakers-speak", "speakers-differ", "first-speaker-is-default",
            "unknown-voice-refused", "languages-speak", "marks-reported"},
    }

    def test_good_plugins_pass(self):
        for name, skipped in self.SKIPPED.items():
            plugin = BUILD / "plugins" / "flite.so" if name == "flite" else library(name)
            results = check(plugin, timeout_s="60")
            with self.subTest(plugin=name):
                self.assertEqual({}, {case: why for case, why in failed(results).items()
                                      if case not in ignored(set())})
                self.assertEqual(skipped, {case for case, result in results.items()
                                           if result["outcome"] == "skip"})


    def test_profiles_and_scratch_folders_pass(self):
        with tempfile.TemporaryDirectory() as folder:
            results = check(library("tone"), "--voice", recording(folder), "--job-options", '{"scratch_files":3}',
                            timeout_s="60")
        self.assertEqual(set(), set(failed(results)) - ignored(set()), failed(results))
        self.assertEqual(set(), {case for case, result in results.items() if result["outcome"] == "skip"})


class F5tts(unittest.TestCase):
    """On the tiny checkpoint of the golden tests."""
    SKIPPED = NO_PROFILES | NO_SCRATCH | {
        "unknown-extension-null", "speakers-speak", "speakers-differ", "first-speaker-is-default",
        "unknown-voice-refused", "languages-speak", "marks-reported"}

    def test_f5tts_passes(self):
        data = pathlib.Path(__file__).resolve().parents[1] / "golden" / "f5tts" / "data"
        results = check(BUILD / "plugins" / "f5tts.so", "--model-dir", data / "v1", "--load-options", '{"arch":"v1"}',
                        "--voice", data / "references" / "ref_24k_mono.wav", "--transcript", "Some call me nature.",
                        "--text", "Hello there.", "--job-options", '{"nfe_step":1}', timeout_s="60")
        self.assertEqual({}, failed(results))
        self.assertEqual(self.SKIPPED, {case for case, result in results.items() if result["outcome"] == "skip"})


class Faults(unittest.TestCase):
    """The runs go side by side; each is compared in a subTest."""

    def compare(self, runs):
        """runs: (label, plugin, arguments, expected cases)"""
        with ThreadPoolExecutor(PARALLEL) as pool:
            found = list(pool.map(lambda r: failed(check(r[1], *self.narrowed(r[2], r[3]))), runs))
        for (label, _, _, expected), got in zip(runs, found):
            with self.subTest(fault=label):
                self.assertEqual(set(expected), set(got) - ignored(expected), got)

    @staticmethod
    def narrowed(args, expected):
        """Instrumented builds are slow: only what must fail is run."""
        if not INSTRUMENTED or not expected:
            return args
        return args + [word for name in expected for word in ("--case", name)]

    def test_load_faults_fail_their_own_case(self):
        self.compare([(f, library("faulty"), fault_args("load", f), cases | FAULTY_ALWAYS)
                      for f, cases in LOAD_FAULTS.items()])

    def test_job_faults_fail_their_own_case(self):
        self.compare([(f, library("faulty"), fault_args("job", f), cases | FAULTY_ALWAYS)
                      for f, cases in JOB_FAULTS.items()])

    def test_profile_faults_fail_their_own_case(self):
        self.assertEqual(NO_PROFILES, {case for case in cases() if case.startswith("profile-")})
        chosen = [word for case in sorted(PROFILE_CASES) for word in ("--case", case)]
        with tempfile.TemporaryDirectory() as folder:
            voice = ["--voice", recording(folder)]
            self.compare([(f, library("faulty_profile"), ["--load-options", json.dumps({"fault": f}), *voice, *chosen],
                           cases) for f, cases in PROFILE_FAULTS.items()])

    def test_breaks_fail_their_own_case(self):
        self.compare([(f, library("broken"), ["--load-options", json.dumps({"break": f})], cases)
                      for f, cases in BREAKS.items()])

    def test_wrong_libraries_fail_their_own_case(self):
        self.compare([(name, library(name), [], cases) for name, cases in LIBRARIES.items()])

    def test_wrong_entries_that_a_host_may_refuse(self):
        for name, case in MAY_BE_REFUSED.items():
            with self.subTest(library=name):
                self.assertIn(case, failed(check(library(name))))

    def test_every_fault_is_in_a_table(self):
        here = pathlib.Path(__file__).parent
        faulty = (here.parent / "plugins" / "faulty" / "faults.h").read_text()
        load, _, job = faulty.partition("#define SPEAK_FAULTS")
        broken = (here / "broken.c").read_text()
        self.assertEqual(set(LOAD_FAULTS), set(re.findall(r'X\((\w+),\s*"', load)))
        self.assertEqual(set(JOB_FAULTS), set(re.findall(r'X\((\w+),\s*\w+,\s*-?\w+,[\s\\]*"', job)))
        profile = (here.parent / "plugins" / "faulty" / "profile.c").read_text()
        self.assertEqual(set(PROFILE_FAULTS), set(re.findall(r'X\((\w+),\s*"', profile)))
        self.assertEqual(set(BREAKS), set(re.findall(r'X\((\w+),\s*"', broken)))

    def test_every_case_can_fail(self):
        tables = [LOAD_FAULTS, JOB_FAULTS, PROFILE_FAULTS, BREAKS, LIBRARIES]
        proven = set().union(FAULTY_ALWAYS, MAY_BE_REFUSED.values(),
                             *(expected for table in tables for expected in table.values()))
        self.assertEqual(set(cases()), proven)
        self.assertGreaterEqual(len(cases()), 24)


class Verb(unittest.TestCase):
    def test_reason_is_told(self):
        reasons = {
            ("load", "init_crashes", "init-ready"): "SIGSEGV",
            ("load", "init_exits", "init-ready"): "the plugin ended the process, with exit code 0",
            ("load", "init_fails", "init-ready"): "init returned VOX_EMODEL (-6): asked to fail",
            ("job", "hangs", "speak-works"): f"still running after {TIMEOUT_S} s, killed",
            ("job", "prints_stdout", "no-stdio"): "faulty: printed by a plugin",
        }
        for (kind, fault, case), reason in reasons.items():
            with self.subTest(fault=fault):
                got = check(library("faulty"), "--case", case, *fault_args(kind, fault))[case]
                if "SIG" in reason and INSTRUMENTED:
                    reason = ""  # a sanitizer may catch the signal and exit
                self.assertIn(reason, got["reason"])

    def test_outcomes_are_told_apart(self):
        for fault, outcome in (("hangs", "timeout"), ("exits", "fail"), ("none", "pass")):
            with self.subTest(fault=fault):
                got = check(library("faulty"), "--case", "speak-works", *fault_args("job", fault))
                self.assertEqual(outcome, got["speak-works"]["outcome"])

    def test_text_output(self):
        done = run(BUILD / "plugins" / "flite.so", "--case", "opens", "--case", "unknown-extension-null")
        lines = done.stdout.splitlines()
        self.assertEqual((0, 3), (done.returncode, len(lines)), done)
        self.assertRegex(lines[0], r"^ok   opens +opens with all symbols bound")
        self.assertRegex(lines[1], r"^skip unknown-extension-null: ")
        self.assertEqual("1 passed, 0 failed, 1 skipped", lines[2])
        done = run(library("faulty"), "--case", "opens", "--case", "speak-works",
                   *fault_args("job", "message_two_lines"))
        self.assertEqual(1, done.returncode)
        self.assertEqual("FAIL speak-works: speak returned VOX_EINVAL (-1): first line second line",
                         done.stdout.splitlines()[1])

    def test_what_needs_a_failed_case_is_skipped(self):
        results = check(library("faulty"), *fault_args("load", "init_fails"))
        self.assertEqual("skip", results["speak-works"]["outcome"])
        self.assertEqual("needs open-ready", results["speak-works"]["reason"])

    def test_weights(self):
        """Without weights there is nothing to try; with the wrong folder init has failed."""
        args = ["--load-options", '{"break":"weights"}']
        results = check(library("broken"), *args)
        self.assertEqual("skip", results["init-ready"]["outcome"])
        self.assertIn("--model-dir", results["init-ready"]["reason"])
        self.assertEqual("skip", results["speak-works"]["outcome"])
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(library("broken"), "--model-dir", folder, *args)
            self.assertEqual({"init-ready"}, set(failed(wrong)))
            (pathlib.Path(folder) / "weights").touch()
            self.assertEqual({}, failed(check(library("broken"), "--model-dir", folder, *args)))

    def test_recording(self):
        """A plugin that needs a recording is tried with one; tone's pitch follows it."""
        results = check(library("broken_entry"), "--case", "speak-works")
        self.assertEqual("skip", results["speak-works"]["outcome"])
        self.assertIn("--voice", results["speak-works"]["reason"])
        with tempfile.TemporaryDirectory() as folder:
            path = recording(folder)
            self.assertEqual({}, failed(check(library("tone"), "--voice", path, "--transcript", "hi")))
            done = run(library("tone"), "--voice", library("tone"))
            self.assertEqual(2, done.returncode, done)

    def test_in_process(self):
        good = run(library("tone"), "--in-process")
        self.assertEqual(0, good.returncode, good)
        bad = run(library("faulty"), "--in-process", "--case", "speak-works", "--case", "opens",
                  *fault_args("job", "returns_einval"))
        self.assertEqual(1, bad.returncode, bad)
        self.assertIn("FAIL speak-works: ", bad.stdout)

    def test_wrong_use(self):
        wrong = [
            ([], "expected PLUGIN"),
            (["/no/such/plugin.so"], "/no/such/plugin.so"),
            (["no-such-plugin.so"], "no-such-plugin.so"),
            ([library("tone"), "--case", "speak-work"], 'did you mean "speak-works"?'),
            ([library("tone"), "--load-options", "{"], "--load-options"),
            ([library("tone"), "--job-options", "[]"], "--job-options"),
            ([library("tone"), "--timeout", "soon"], "--timeout soon"),
            ([library("tone"), "--timeout", "0"], "--timeout 0"),
            ([library("tone"), "--text", " "], "--text"),
            ([library("tone"), "--voice", "/no/such/voice.wav"], "--voice"),
            ([library("tone"), "--transcript", "x"], "--voice"),
            ([library("tone"), library("tone")], "one plugin"),
        ]
        for args, message in wrong:
            with self.subTest(args=args):
                done = run(*args)
                self.assertEqual((2, ""), (done.returncode, done.stdout), done)
                self.assertIn(message, done.stderr)

    def test_folder_is_no_plugin(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual({"is-shared-object"}, set(failed(check(folder))))

    def test_unknown_option_of_the_plugin(self):
        got = failed(check(library("tone"), "--case", "init-ready", "--load-options", '{"fial":true}'))
        self.assertIn('did you mean "fail"?', got["init-ready"])

    def test_damaged_library_is_refused_or_read(self):
        """Single bytes of the headers and tables changed: the reader ends with an answer."""
        whole = bytearray(library("tone").read_bytes())
        sections = int.from_bytes(whole[0x28:0x30], "little")
        places = [*range(0x10, 0x40, 2), *range(sections, min(sections + 640, len(whole)), 13)]
        with tempfile.TemporaryDirectory() as folder:
            for place in places:
                damaged = bytearray(whole)
                damaged[place] ^= 0xff
                path = pathlib.Path(folder) / "damaged.so"
                path.write_bytes(damaged)
                done = run(path, "--in-process", "--case", "is-shared-object", "--case",
                           "exported-symbols", "--case", "banned-imports")
                self.assertIn(done.returncode, (0, 1), f"byte {place}: {done}")

    def test_folders_are_removed(self):
        before = set(pathlib.Path("/tmp").glob("voxhost-check-*"))
        run(library("faulty"), "--case", "speak-works", *fault_args("job", "crashes"))
        mine = set(pathlib.Path("/tmp").glob("voxhost-check-*")) - before
        self.assertFalse([path for path in mine if (path / "speak-works").exists()])


if __name__ == "__main__":
    unittest.main()
