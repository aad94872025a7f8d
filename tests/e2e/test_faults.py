"""Signals, full disks and plugins that misbehave: one clear error for the job, and the rest goes on."""

import hashlib
import json
import os
import signal
import subprocess
import time
import unittest

from common import VOXHOST, Case, environment


class FaultCase(Case):
    def start(self, manifest, jobs, *args, **kw):
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **kw}
        command = [VOXHOST, "batch", "--manifest", manifest, "--jobs", jobs, "--out", self.dir / "out", *map(str, args)]
        process = subprocess.Popen(command, env=environment(), **kw)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def finish(self, process, code, timeout=30):
        out, err = process.communicate(timeout=timeout)
        self.assertEqual(process.returncode, code, err)
        return err

    def wait_for(self, condition, what, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.005)
        self.fail(f"waited in vain for {what}")

    def lines(self):
        try:
            return (self.dir / "out" / "results.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def running_jobs(self):
        """Jobs that run have a temporary file each; 0 is what the results were rewritten to."""
        return len(list((self.dir / "out").glob(".voxhost-*/[1-9]*")))

    def assert_files_match_results(self):
        named = {"results.jsonl"}
        for result in self.by_id().values():
            if result["status"] == "ok":
                path = result["audio"]["path"]
                named.add(path)
                data = (self.dir / "out" / path).read_bytes()
                self.assertEqual(hashlib.sha256(data).hexdigest(), result["audio"]["sha256"])
        self.assertEqual({p.name for p in (self.dir / "out").iterdir()}, named)


class Signals(FaultCase):
    def check_stop(self, number, code):
        manifest = self.manifest({"model_type": "tone", "sessions": 2})
        jobs = self.jobs(*({"id": f"j{i}", "text": "x", "options": {"sleep_ms": 800}} for i in range(20)))
        process = self.start(manifest, jobs)
        self.wait_for(lambda: self.lines() >= 2 and self.running_jobs() == 2, "two jobs in flight after two others")
        process.send_signal(number)
        self.finish(process, code)
        results = self.by_id()
        self.assertEqual({r["status"] for r in results.values()}, {"ok"})
        self.assertTrue(4 <= len(results) <= 6, f"{len(results)} results: the ones in flight, not the ones behind them")
        self.assert_no_leftovers()
        self.assert_files_match_results()
        done = self.batch(manifest, jobs, "--resume", "--json", "--concurrency", 2)
        self.assert_exit(done, 0)
        self.assertEqual(json.loads(done.stdout)["skipped"], len(results))
        self.assertEqual(len(self.by_id()), 20)

    def test_sigterm_finishes_what_is_in_flight(self):
        self.check_stop(signal.SIGTERM, 143)

    def test_sigint_finishes_what_is_in_flight(self):
        self.check_stop(signal.SIGINT, 130)

    def test_what_does_not_finish_in_time_is_cancelled_and_recorded(self):
        manifest = self.manifest({"model_type": "tone"}, host={"drain_s": 0.2})
        process = self.start(manifest, self.jobs({"id": "long", "text": "x", "options": {"sleep_ms": 60000}},
                                                 {"id": "next", "text": "x"}))
        self.wait_for(self.running_jobs, "the job")
        begun = time.monotonic()
        process.terminate()
        self.finish(process, 143)
        self.assertLess(time.monotonic() - begun, 30)
        self.assertEqual({id: r["error"]["code"] for id, r in self.by_id().items()}, {"long": "cancelled"})
        self.assertTrue(self.by_id()["long"]["error"]["retryable"])
        self.assert_files_match_results()

    def test_what_ignores_the_cancellation_is_given_up(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so"}, host={"drain_s": 0.1, "cancel_grace_s": 0.1})
        process = self.start(manifest, self.jobs({"id": "hang", "text": "x", "options": {"fault": "hangs"}}))
        self.wait_for(self.running_jobs, "the job")
        begun = time.monotonic()
        process.terminate()
        self.finish(process, 143)
        self.assertLess(time.monotonic() - begun, 30)
        error = self.by_id()["hang"]["error"]
        self.assertEqual(error["code"], "cancelled")
        self.assertIn("did not stop", error["message"])
        self.assert_files_match_results()

    def test_a_plugin_that_hangs_in_open_does_not_keep_the_process(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so", "options": {"fault": "open_hangs"}},
                                 host={"drain_s": 0.1, "cancel_grace_s": 0.1})
        process = self.start(manifest, self.jobs({"id": "hang", "text": "x"}))
        self.wait_for(lambda: (self.dir / "out/results.jsonl").exists(), "the start")
        time.sleep(0.3)  # into open; nothing outside shows it
        process.terminate()
        self.finish(process, 143, timeout=15)
        self.assert_no_leftovers()

    def test_a_second_signal_ends_at_once(self):
        process = self.start(self.manifest(), self.jobs({"text": "x", "options": {"sleep_ms": 60000}}))
        self.wait_for(self.running_jobs, "the job")
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.finish(process, 143)
        self.assertLess(time.monotonic() - begun, 30)

    def test_a_signal_ends_the_wait_for_standard_input(self):
        for text in ("", '{"id":"a","text":"x"}\n'):
            with self.subTest(text=text):
                process = self.start(self.manifest(), "-", stdin=subprocess.PIPE)
                process.stdin.write(text)
                process.stdin.flush()
                if text:
                    self.wait_for(self.lines, "the first job")
                else:
                    time.sleep(0.2)
                begun = time.monotonic()
                process.terminate()
                self.assertEqual(process.wait(10), 143)
                self.assertLess(time.monotonic() - begun, 30)
                self.end(process)
        self.assertEqual(list(self.by_id()), ["a"])

    def test_a_signal_ends_the_wait_for_models(self):
        process = self.start(self.manifest({"model_type": "tone", "options": {"load_ms": 60000}}), self.jobs({"text": "x"}))
        time.sleep(0.3)
        begun = time.monotonic()
        process.terminate()
        self.finish(process, 143)
        self.assertLess(time.monotonic() - begun, 30)


class Storage(FaultCase):
    def test_standard_output_may_be_closed(self):
        manifest, jobs = self.manifest(), self.jobs({"id": "a", "text": "x"})
        reader, writer = os.pipe()
        os.close(reader)
        process = self.start(manifest, jobs, stdout=writer)
        os.close(writer)
        error = self.finish(process, 0)
        self.assertIn("standard output", error)
        self.assertEqual(self.by_id()["a"]["status"], "ok")

    def test_standard_error_may_be_closed(self):
        reader, writer = os.pipe()
        os.close(reader)
        process = self.start(self.manifest(), self.jobs({"id": "a", "text": "x"}, {"id": "b", "text": ""}), stderr=writer)
        os.close(writer)
        self.assertEqual(process.wait(30), 1)
        self.assertEqual(len(self.by_id()), 2)

    def test_streams_that_were_never_open_take_nothing_from_files(self):
        manifest = self.manifest(jobs=[{"id": "a", "text": "x"}, {"id": "b", "text": ""}])
        process = subprocess.Popen(["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', VOXHOST, "batch", "-m", manifest,
                                    "-o", self.dir / "out"], env=environment())
        self.assertEqual(process.wait(30), 1)
        lines = (self.dir / "out" / "results.jsonl").read_text().splitlines()
        self.assertEqual(sorted(json.loads(line)["id"] for line in lines), ["a", "b"])

    def test_a_place_that_cannot_be_written_fails_its_job_only(self):
        (self.dir / "out").mkdir()
        (self.dir / "out" / "file").write_text("in the way")
        (self.dir / "out" / "folder.wav").mkdir()
        done = self.batch(self.manifest(), self.jobs(
            {"id": "below", "text": "x", "output": "file/x.wav"}, {"id": "folder", "text": "x"}, {"id": "good", "text": "x"}))
        self.assert_exit(done, 1)
        results = self.by_id()
        for id, path in (("below", "out/file"), ("folder", "out/folder.wav")):
            self.assertEqual(results[id]["error"]["code"], "storage_failed")
            self.assertIn(path, results[id]["error"]["message"])
        self.assertEqual(results["good"]["status"], "ok")
        self.assert_no_leftovers()

    def test_a_full_disk_fails_jobs_and_resume_completes(self):
        out = self.dir / "out"
        out.mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", out], stderr=subprocess.DEVNULL).returncode == 0
        if not mounted:
            self.skipTest("a small file system to fill needs mount(2): run as root with CAP_SYS_ADMIN")
        self.addCleanup(subprocess.run, ["umount", "-l", out])
        filler = out / "filler"
        filler.write_bytes(b"x" * 500_000)
        manifest = self.manifest(host={"min_free_mb": 0})
        jobs = [{"id": f"small{i}", "text": "x", "options": {"duration_ms": 20}} for i in range(6)]
        jobs[3:3] = [{"id": f"big{i}", "text": "x", "options": {"duration_ms": 12_000}} for i in range(3)]  # 576 kB each
        done = self.batch(manifest, self.jobs(*jobs))
        self.assert_exit(done, 1)
        results = self.by_id()
        self.assertEqual({id for id, r in results.items() if r["status"] == "ok"}, {f"small{i}" for i in range(6)})
        for i in range(3):
            error = results[f"big{i}"]["error"]
            self.assertEqual(error["code"], "storage_failed")
            self.assertIn("No space left on device", error["message"])
            self.assertTrue(error["retryable"])
        self.assertEqual({p.name for p in out.iterdir()}, {"filler", "results.jsonl", *(f"small{i}.wav" for i in range(6))})
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", out], check=True)
        done = self.batch(manifest, self.jobs(*jobs), "--resume", "--json")
        self.assert_exit(done, 0)
        self.assertEqual(json.loads(done.stdout)["skipped"], 6)
        self.assert_files_match_results()

    def test_results_that_cannot_be_written_stop_the_run(self):
        out = self.dir / "out"
        out.mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", out], stderr=subprocess.DEVNULL).returncode == 0
        if not mounted:
            self.skipTest("a small file system to fill needs mount(2): run as root with CAP_SYS_ADMIN")
        self.addCleanup(subprocess.run, ["umount", "-l", out])
        manifest = self.manifest(host={"min_free_mb": 0})
        jobs = self.jobs(*({"id": f"j{i}", "text": "x", "options": {"duration_ms": 1}} for i in range(2000)))
        done = self.batch(manifest, jobs)
        self.assert_exit(done, 1)
        self.assertIn("results.jsonl: cannot be written: No space left on device", done.stderr)
        self.assertLess(len(self.by_id()), 200)  # by_id: no line is torn
        self.assertEqual(list(out.glob(".voxhost*")), [])
        subprocess.run(["mount", "-o", "remount,size=32m", out], check=True)
        self.assert_exit(self.batch(manifest, jobs, "--resume"), 0)
        self.assertEqual(len(self.by_id()), 2000)
        self.assert_files_match_results()


class Plugins(FaultCase):
    """faulty.so: every way to break the contract in a job costs that job alone."""

    BROKE = 'plugin "faulty" broke the contract: '
    # fault: code of the error or ok, fragment of the message
    TABLE = {
        "none": ("ok", ""),
        "returns_einval": ("invalid_request", "faulty: asked to return -1"),
        "returns_enotfound": ("voice_not_found", "faulty: asked to return"),
        "returns_eunsupported": ("unsupported", "faulty: asked to return"),
        "returns_enomem": ("out_of_memory", "faulty: asked to return"),
        "returns_ecancelled": ("internal", "nobody had asked"),
        "returns_einternal": ("internal", "faulty: asked to return"),
        "returns_esink": ("internal", "blamed the output"),
        "returns_unknown_code": ("internal", "unknown code -99"),
        "returns_positive_code": ("internal", "unknown code 7"),
        "fails_after_audio": ("invalid_request", "asked to fail after half the beep"),
        "message_empty": ("invalid_request", "without saying why"),
        "message_two_lines": ("invalid_request", "first line second line"),
        "message_not_utf8": ("invalid_request", "not UTF-8: "),
        "message_unterminated": ("invalid_request", "xxx"),
        "message_other_code": ("invalid_request", "the message has VOX_EMODEL"),
        "never_begins": ("internal", "made no audio"),
        "no_audio": ("internal", "made no audio"),
        "write_before_begin": ("internal", BROKE + "it wrote before begin"),
        "begin_twice": ("internal", BROKE + "it called begin twice"),
        "format_rate_zero": ("internal", BROKE + "it began with 0 Hz"),
        "format_rate_low": ("internal", BROKE + "it began with 100 Hz"),
        "format_rate_high": ("internal", BROKE + "it began with 4000000000 Hz"),
        "format_channels_zero": ("internal", "0 channels"),
        "format_channels_many": ("internal", "99 channels"),
        "format_size_zero": ("internal", "without a format"),
        "write_nan": ("internal", "not finite (NaN) at frame"),
        "write_infinity": ("internal", "not finite (infinity) at frame"),
        "write_null": ("internal", "from NULL"),
        "write_other_thread": ("ok", ""),
        "error_ignored": ("ok", ""),
        "error_replaced": ("ok", ""),
        "write_after_error": ("ok", ""),
        "marks_unordered": ("internal", "words out of order"),
        "mark_past_text": ("internal", "of a text of 11"),
        "mark_range_reversed": ("internal", "marked the bytes 11..0"),
        "mark_negative_time": ("internal", "marked a word from -1 s"),
        "mark_past_audio": (None, ""),
        "mark_time_reversed": ("internal", "marked a word"),
        "mark_time_nan": ("internal", "marked a word"),
        "mark_not_utf8": (None, ""),
        "progress_huge": ("ok", ""),
        "progress_nan": ("ok", ""),
        "progress_no_stage": ("ok", ""),
        "warning_not_utf8": ("ok", "not UTF-8: "),
        "warning_long": ("ok", "xxx"),
        "warnings_flood": ("ok", "99936 more warnings"),
        "nondeterministic": ("ok", ""),
        "ignores_seed": ("ok", ""),
        "leaks_descriptor": ("ok", ""),
        "prints_stderr": ("ok", ""),
        "changes_locale": (None, ""),
    }

    def manifest_of(self, **top):
        return self.manifest({"model_type": "faulty", "plugin": "faulty.so"}, {"model_type": "tone"}, default_model="faulty", **top)

    def test_every_fault_of_a_job_costs_that_job_alone(self):
        jobs = []
        for fault in self.TABLE:
            jobs += [{"id": fault, "text": "hello there", "options": {"fault": fault}, "timestamps": ["srt"]},
                     {"id": f"after_{fault}", "text": "hello there"}]
        done = self.batch(self.manifest_of(), self.jobs(*jobs))
        self.assert_exit(done, 1)
        results = self.by_id()
        for fault, (code, fragment) in self.TABLE.items():
            with self.subTest(fault=fault):
                result = results[fault]
                error = result.get("error", {"code": "ok", "message": " ".join(result.get("warnings", []))})
                if code:
                    self.assertEqual(error["code"], code, error["message"])
                self.assertIn(fragment, error["message"])
                self.assertEqual([c for c in error["message"] if ord(c) < 32], [])
                self.assertLessEqual(len(error["message"]), 1024 if code != "ok" else 10**7)
                self.assertEqual(results[f"after_{fault}"]["status"], "ok", results[f"after_{fault}"].get("error"))
        names = {p.name for p in (self.dir / "out").iterdir()}
        self.assertEqual(names - {"results.jsonl"},
                         {r["audio"]["path"] for r in results.values() if r["status"] == "ok"} |
                         {s for r in results.values() for s in r.get("subtitles", [])})

    def test_a_lost_device_or_bad_weights_end_the_model_with_the_reason(self):
        for fault in ("returns_emodel", "returns_edevice"):
            with self.subTest(fault=fault):
                jobs = [{"id": "good", "text": "x"}, {"id": "bad", "text": "x", "options": {"fault": fault}}]
                jobs += [{"id": f"after{i}", "text": "x"} for i in range(300)] + [{"id": "other", "text": "x", "model_type": "tone"}]
                self.assert_exit(self.batch(self.manifest_of(), self.jobs(*jobs)), 1)
                results = self.by_id()
                self.assertEqual([results[i]["status"] for i in ("good", "other")], ["ok", "ok"])
                for id in ("bad", "after0", "after299"):
                    self.assertEqual(results[id]["error"]["code"], "model_failed")
                    self.assertIn("asked to return", results[id]["error"]["message"])

    def test_a_plugin_that_ends_when_cancelled_but_claims_success_is_not_believed(self):
        jobs = self.jobs({"id": "part", "text": "x", "timeout_s": 0.2, "options": {"fault": "cancel_is_ok"}}, {"id": "next", "text": "x"})
        self.assert_exit(self.batch(self.manifest_of(), jobs), 1)
        results = self.by_id()
        self.assertEqual(results["part"]["error"]["code"], "timeout")
        self.assertEqual(results["next"]["status"], "ok")
        self.assert_files_match_results()

    def test_a_job_over_its_time_is_cancelled(self):
        jobs = self.jobs({"id": "late", "text": "x", "model_type": "tone", "timeout_s": 0.1, "options": {"sleep_ms": 60000}},
                         {"id": "next", "text": "x", "model_type": "tone"})
        self.assert_exit(self.batch(self.manifest_of(), jobs), 1)
        error = self.by_id()["late"]["error"]
        self.assertEqual((error["code"], error["retryable"]), ("timeout", True))
        self.assertIn("0.1 s", error["message"])
        done = self.batch(self.manifest_of(host={"job_timeout_s": 0.1}), jobs)
        self.assertEqual(self.by_id()["late"]["error"]["code"], "timeout")
        self.assertEqual(self.by_id()["next"]["status"], "ok")
        self.assert_files_match_results()

    def test_a_hang_is_answered_and_the_rest_goes_on(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so", "sessions": 2}, {"model_type": "tone"},
                                 default_model="faulty", host={"cancel_grace_s": 0.1})
        for fault in ("hangs", "ignores_cancel"):
            with self.subTest(fault=fault):
                jobs = [{"id": "hang", "text": "x", "timeout_s": 0.2, "options": {"fault": fault}}]
                jobs += [{"id": f"j{i}", "text": "x"} for i in range(20)] + [{"id": "tone", "text": "x", "model_type": "tone"}]
                begun = time.monotonic()
                done = self.batch(manifest, self.jobs(*jobs))
                self.assert_exit(done, 1)
                self.assertLess(time.monotonic() - begun, 30)
                results = self.by_id()
                self.assertEqual(results["hang"]["error"]["code"], "timeout")
                self.assertIn('plugin "faulty" did not stop', results["hang"]["error"]["message"])
                self.assertEqual({r["status"] for id, r in results.items() if id != "hang"}, {"ok"})
                self.assert_files_match_results()

    def test_when_every_session_hangs_the_model_has_failed(self):
        manifest = self.manifest_of(host={"cancel_grace_s": 0.1})
        jobs = [{"id": "hang", "text": "x", "timeout_s": 0.1, "options": {"fault": "hangs"}}, {"id": "next", "text": "x"},
                {"id": "tone", "text": "x", "model_type": "tone"}]
        self.assert_exit(self.batch(manifest, self.jobs(*jobs)), 1)
        results = self.by_id()
        self.assertEqual(results["next"]["error"]["code"], "model_failed")
        self.assertIn("hangs", results["next"]["error"]["message"])
        self.assertEqual(results["tone"]["status"], "ok")

    def test_a_session_that_comes_back_late_is_used_no_more_and_replaced(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so", "sessions": 3}, host={"cancel_grace_s": 0})
        jobs = []
        for i in range(30):
            jobs += [{"id": f"hang{i}", "text": "x", "timeout_s": 0.04, "options": {"fault": "hangs", "hang_ms": 40 + i % 4}},
                     {"id": f"good{i}", "text": "x"}]
        self.batch(manifest, self.jobs(*jobs))
        results = self.by_id()
        self.assertEqual(len(results), 60)
        for i in range(30):
            hung, good = results[f"hang{i}"], results[f"good{i}"]
            self.assertTrue(hung["status"] == "ok" or hung["error"]["code"] in ("timeout", "model_failed"), hung)
            self.assertTrue(good["status"] == "ok" or good["error"]["code"] == "model_failed", good)
        self.assert_files_match_results()

    def crash(self, fault, **model):
        manifest = self.manifest({"model_type": "crashing", "plugin": "faulty.so", **model})
        jobs = [{"id": f"j{i}", "text": "x"} for i in range(6)]
        jobs[3]["options"] = {"fault": fault}
        return manifest, jobs, self.batch(manifest, self.jobs(*jobs), "--concurrency", 1)

    def test_a_crash_names_plugin_model_and_job_and_resume_does_the_rest(self):
        for fault, number in (("crashes", signal.SIGSEGV), ("crashes_after_audio", signal.SIGSEGV), ("aborts", signal.SIGABRT)):
            with self.subTest(fault=fault):
                manifest, jobs, done = self.crash(fault)
                self.assertEqual(done.returncode, -number, done.stderr)
                fatal = [line for line in done.stderr.splitlines() if "fatal" in line]
                self.assertEqual(len(fatal), 1, done.stderr)
                for part in ('plugin "faulty"', 'model "crashing"', 'job "j3"', "--resume"):
                    self.assertIn(part, fatal[0])
                self.assertEqual(sorted(self.by_id()), ["j0", "j1", "j2", "j3"])
                for _ in range(2):  # the same job is not let in again, the others are done
                    done = self.batch(manifest, self.jobs(*jobs), "--resume", "--json")
                    self.assert_exit(done, 1)
                    self.assertEqual(json.loads(done.stdout)["failed"], 1)
                    results = self.by_id()
                    self.assertEqual(len(results), 6)
                    self.assertIn("brought the process down", results["j3"]["error"]["message"])
                jobs[3]["options"] = {"fault": "none"}
                done = self.batch(manifest, self.jobs(*jobs), "--resume", "--json")
                self.assert_exit(done, 0)
                self.assertEqual(json.loads(done.stdout)["skipped"], 5)
                self.assert_files_match_results()
                self.assert_no_leftovers()
                (self.dir / "out/results.jsonl").unlink()

    def test_a_plugin_that_ends_the_process_is_not_success(self):
        manifest, jobs, done = self.crash("exits")
        self.assertNotEqual(done.returncode, 0, done.stderr)
        for part in ('plugin "faulty"', 'model "crashing"', 'job "j3"'):
            self.assertIn(part, done.stderr)
        self.assertEqual(sorted(self.by_id()), ["j0", "j1", "j2", "j3"])

    def test_a_crash_while_closing_a_failed_session_does_not_cost_its_result(self):
        manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so", "options": {"fault": "close_crashes"}})
        jobs = self.jobs({"id": "failed", "text": "x", "options": {"fault": "returns_einternal"}})
        done = self.batch(manifest, jobs)
        self.assertEqual(done.returncode, -signal.SIGSEGV)
        self.assertEqual(self.by_id()["failed"]["error"]["code"], "internal")

    def test_open_that_fails_fails_its_jobs(self):
        for fault, code, reason in (("open_fails", "out_of_memory", "asked to fail"), ("open_no_session", "internal", "without a session")):
            with self.subTest(fault=fault):
                manifest = self.manifest({"model_type": "faulty", "plugin": "faulty.so", "options": {"fault": fault}}, {"model_type": "tone"})
                jobs = self.jobs(*({"id": f"j{i}", "text": "x", "model_type": "faulty"} for i in range(5)),
                                 {"id": "tone", "text": "x", "model_type": "tone"})
                self.assert_exit(self.batch(manifest, jobs), 1)
                results = self.by_id()
                self.assertEqual(results["tone"]["status"], "ok")
                for i in range(5):
                    self.assertEqual(results[f"j{i}"]["error"]["code"], code)
                    self.assertIn(reason, results[f"j{i}"]["error"]["message"])

    INIT = {
        "init_fails": "faulty: asked to fail",
        "init_no_memory": "asked to have no memory",
        "init_device": "asked to lose the device",
        "init_silent": "without saying why",
        "init_unknown_code": "unknown code -99",
        "init_positive_code": "unknown code 7",
        "init_no_model": "without a model",
    }

    def test_a_required_model_that_does_not_load_ends_the_run(self):
        for fault, reason in self.INIT.items():
            with self.subTest(fault=fault):
                manifest = self.manifest({"model_type": "tone"}, {"model_type": "broken", "plugin": "faulty.so", "options": {"fault": fault}})
                done = self.batch(manifest, self.jobs({"text": "x", "model_type": "tone"}))
                self.assert_exit(done, 3)
                complaints = [line for line in done.stderr.splitlines() if line.startswith("voxhost:")]
                self.assertEqual(len(complaints), 1)
                self.assertIn('required model "broken"', complaints[0])
                self.assertIn(reason, complaints[0])
        self.assertFalse((self.dir / "out/results.jsonl").exists())

    def test_an_optional_model_that_does_not_load_leaves_the_rest_serving(self):
        """FM-58."""
        broken = [{"model_type": fault, "plugin": "faulty.so", "required": False, "options": {"fault": fault}} for fault in self.INIT]
        manifest = self.manifest({"model_type": "tone"}, *broken)
        jobs = self.jobs(*({"id": name, "text": "x", "model_type": name} for name in ["tone", *self.INIT]))
        self.assert_exit(self.batch(manifest, jobs), 1)
        results = self.by_id()
        self.assertEqual(results["tone"]["status"], "ok")
        for fault, reason in self.INIT.items():
            error = results[fault]["error"]
            self.assertEqual((error["code"], error["retryable"]), ("model_failed", False))
            self.assertIn(reason, error["message"])


if __name__ == "__main__":
    unittest.main()
