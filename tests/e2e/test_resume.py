"""voxhost batch over and over: --resume, shards, and SIGKILL at any moment."""

import base64
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

from common import VOXHOST, Case, environment
from test_voices import wav


class ResumeCase(Case):
    def setUp(self):
        super().setUp()
        self.out = self.dir / "out"

    def summary(self, manifest, jobs, *args, code=0, **kw):
        done = self.batch(manifest, jobs, "--json", *args, **kw)
        self.assert_exit(done, code)
        counts = json.loads(done.stdout)
        return counts["ok"], counts["failed"], counts["skipped"]

    def start(self, manifest, jobs, *args, env=None):
        return subprocess.Popen(
            [VOXHOST, "batch", "--manifest", manifest, "--jobs", jobs, "--out", self.out, *args],
            env=environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def assert_whole(self, ids):
        """Every job has exactly one result, every result its file byte for byte, and there is nothing else."""
        results = self.by_id()
        self.assertEqual(sorted(results), sorted(ids))
        for id, result in results.items():
            self.assertEqual(result["status"], "ok", result)
            data = (self.out / result["audio"]["path"]).read_bytes()
            self.assertEqual(hashlib.sha256(data).hexdigest(), result["audio"]["sha256"], id)
        self.assert_no_leftovers()
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), sorted(["results.jsonl", *(f"{i}.wav" for i in ids)]))


class Resume(ResumeCase):
    """What is done again and what is not."""

    JOBS = [{"id": i, "text": f"text {i}"} for i in "abcd"]

    def setUp(self):
        super().setUp()
        self.plain = self.manifest()
        self.file = self.jobs(*self.JOBS)
        self.assertEqual(self.summary(self.plain, self.file), (4, 0, 0))

    def resume(self, *jobs, manifest=None, code=0):
        counts = self.summary(manifest or self.plain, self.jobs(*(jobs or self.JOBS)), "--resume", code=code)
        self.before, self.after = getattr(self, "after", None), self.by_id()
        return counts

    def test_what_is_done_is_skipped(self):
        before = (self.out / "results.jsonl").read_bytes()
        self.assertEqual(self.resume(), (0, 0, 4))
        self.assertEqual((self.out / "results.jsonl").read_bytes(), before)

    def test_without_resume_all_is_done_again(self):
        self.assertEqual(self.summary(self.plain, self.file), (4, 0, 0))
        self.assert_whole("abcd")

    def test_lost_and_damaged_audio_is_done_again(self):
        (self.out / "a.wav").unlink()
        os.truncate(self.out / "b.wav", 100)
        with open(self.out / "c.wav", "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        self.assertEqual(self.resume(), (3, 0, 1))
        self.assert_whole("abcd")

    def test_lost_subtitles_are_done_again(self):
        jobs = [{**job, "timestamps": ["srt"]} for job in self.JOBS]
        self.assertEqual(self.resume(*jobs), (4, 0, 0))
        (self.out / "b.srt").unlink()
        self.assertEqual(self.resume(*jobs), (1, 0, 3))
        self.assertTrue((self.out / "b.srt").exists())

    def test_changed_jobs_are_done_again_and_replace_their_result(self):
        changed = [dict(job) for job in self.JOBS]
        changed[0]["text"] += "!"
        changed[1]["options"] = {"ms_per_char": 10}
        changed[2]["encoding"] = "pcm24"
        old = self.by_id()
        self.assertEqual(self.resume(*changed), (3, 0, 1))
        self.assert_whole("abcd")
        for id in "abc":
            self.assertNotEqual(self.after[id]["job_hash"], old[id]["job_hash"])

    def test_a_signal_leaves_one_result_of_a_job_that_was_replaced(self):
        jobs = [dict(job) for job in self.JOBS]
        jobs[0]["text"] += "!"
        jobs[1]["options"] = {"sleep_ms": 60000}
        manifest = self.manifest(host={"drain_s": 0.1}, name="other.yaml")
        running = self.start(manifest, self.jobs(*jobs), "--resume")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (
                (self.out / "results.jsonl").read_bytes().count(b"\n") == 5 and list(self.out.glob(".voxhost-*/[1-9]*"))):
            time.sleep(0.005)  # until b runs
        running.terminate()
        stderr = running.communicate(timeout=30)[1]
        self.assertEqual(running.returncode, 143, stderr)
        self.assertNotIn(b"stopped while reading", stderr)
        self.assertEqual({id: result["status"] for id, result in self.by_id().items()},
                         {"a": "ok", "b": "error", "c": "ok", "d": "ok"})
        jobs[1] = self.JOBS[1]
        self.assertEqual(self.resume(*jobs), (1, 0, 3))
        self.assert_whole("abcd")

    def test_changed_defaults_of_the_manifest_count(self):
        manifest = self.manifest({"model_type": "tone", "defaults": {"ms_per_char": 10}}, name="other.yaml")
        self.assertEqual(self.resume(manifest=manifest), (4, 0, 0))
        self.assertEqual(self.resume(manifest=manifest), (0, 0, 4))
        self.assert_whole("abcd")

    def test_what_cannot_change_the_audio_does_not_count(self):
        manifest = self.manifest({"model_type": "tone", "aliases": ["t"], "sessions": 3}, host={"drain_s": 5}, name="other.yaml")
        jobs = [{**job, "model_type": "T", "timeout_s": 100} for job in reversed(self.JOBS)]
        self.assertEqual(self.resume(*jobs, manifest=manifest), (0, 0, 4))

    def test_failed_jobs_are_tried_again(self):
        jobs = [*self.JOBS, {"id": "e", "text": ""}]
        self.assertEqual(self.resume(*jobs, code=1), (0, 1, 4))
        self.assertEqual(self.resume(*jobs, code=1), (0, 1, 4))
        jobs[-1]["text"] = "now"
        self.assertEqual(self.resume(*jobs), (1, 0, 4))
        self.assert_whole("abcde")

    def test_a_job_that_was_changed_and_now_fails_has_one_result(self):
        jobs = [dict(job) for job in self.JOBS]
        jobs[0]["text"] = ""
        jobs[1].update(text="other", timeout_s=0.05, options={"sleep_ms": 5000})
        self.assertEqual(self.resume(*jobs, code=1), (0, 2, 2))
        self.assertEqual([self.after[i]["status"] for i in "abcd"], ["error", "error", "ok", "ok"])
        self.assertEqual(self.resume(), (2, 0, 2))
        self.assert_whole("abcd")

    def test_a_duplicate_does_not_spoil_the_first(self):
        jobs = [*self.JOBS, {"id": "a", "text": "again"}]
        for _ in range(2):
            self.assert_exit(self.batch(self.plain, self.jobs(*jobs), "--resume"), 1)
            self.assertEqual(sorted((r["id"], r["status"]) for r in self.results()),
                             [("a", "error"), ("a", "ok"), ("b", "ok"), ("c", "ok"), ("d", "ok")])
        self.assertEqual(self.resume(), (0, 0, 4))
        self.assert_whole("abcd")

    def test_a_line_that_was_cut_off_is_dropped(self):
        path = self.out / "results.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:3]) + lines[3][:40])
        self.assertEqual(self.resume(), (1, 0, 3))
        self.assert_whole("abcd")

    def test_a_last_line_without_its_end_counts(self):
        path = self.out / "results.jsonl"
        path.write_bytes(path.read_bytes()[:-1])
        self.assertEqual(self.resume(), (0, 0, 4))
        self.assert_whole("abcd")

    def test_junk_in_the_results_is_dropped(self):
        path = self.out / "results.jsonl"
        path.write_bytes(b"junk\n\0\0\n[]\n{}\n\n" + path.read_bytes() + b'{"id":5}\n\xff\xff\n')
        self.assertEqual(self.resume(), (0, 0, 4))
        self.assert_whole("abcd")

    def test_results_that_point_outside_are_not_believed(self):
        path = self.out / "results.jsonl"
        text = path.read_text(encoding="utf-8")
        (self.dir / "a.wav").write_bytes((self.out / "a.wav").read_bytes())
        path.write_text(text.replace('"a.wav"', '"../a.wav"'), encoding="utf-8")
        self.assertEqual(self.resume(), (1, 0, 3))
        self.assert_whole("abcd")

    def test_a_stray_folder_of_a_killed_run_is_removed(self):
        for name in (".voxhost-0123456789abcdef",):
            (self.out / name).mkdir()
            (self.out / name / "lock").touch()
            (self.out / name / "0").write_bytes(b"x" * 1000)
        self.assertEqual(self.resume(), (0, 0, 4))
        self.assert_no_leftovers()


class Operations(ResumeCase):
    """What is no speech is kept too, until something that it hangs on is done again."""

    LOW, HIGH = (base64.b64encode(wav(hz)).decode() for hz in (150, 600))
    SPEECH = {"id": "t", "text": "spoken", "timestamps": ["srt"]}
    ANNA = {"id": "up", "op": "upload", "name": "Anna B", "audio": LOW, "replace": True}
    EXPORT = {"id": "out", "op": "voice_export", "voice": "Anna B"}
    LIST = {"id": "list", "op": "voice_list"}
    DELETE = {"id": "gone", "op": "voice_delete", "voice": "voice_anna_b"}
    DOWNLOAD = {"id": "d", "op": "download", "job_id": "t"}
    TIMING = {"id": "dt", "op": "download", "job_id": "t", "type": "timing"}
    STATUS = {"id": "s", "op": "status", "job_id": "t"}

    def setUp(self):
        super().setUp()
        self.library = self.dir / "voices"
        self.plain = self.manifest(paths={"voices": str(self.library)})

    def go(self, *jobs, args=("--resume",), code=0):
        """Counts, and the ids of the results that are new."""
        before = self.by_id() if self.out.exists() else {}
        counts = self.summary(self.plain, self.jobs(*jobs), *args, code=code)
        after = self.by_id()
        self.assert_no_leftovers()
        return counts, {id for id, result in after.items() if result != before.get(id)}

    def test_every_finished_operation_is_kept(self):
        made = {"id": "made", "op": "voice_create", "name": "Bea", "audio": self.HIGH, "sample_text": "I am Bea."}
        jobs = (self.SPEECH, self.DOWNLOAD, self.TIMING, self.STATUS, self.ANNA, made, self.LIST,
                {"id": "v", "text": "hi", "voice": "Bea"}, {"id": "old", "op": "list_voices"}, {"id": "can", "op": "capabilities"}, self.EXPORT, self.DELETE)
        ids = {job["id"] for job in jobs}
        self.assertEqual(self.go(*jobs, args=()), ((len(jobs), 0, 0), ids))
        before = (self.out / "results.jsonl").read_bytes()
        for _ in range(2):
            self.assertEqual(self.go(*jobs), ((0, 0, len(jobs)), set()))
        self.assertEqual((self.out / "results.jsonl").read_bytes(), before)
        self.assertEqual(sorted(path.name for path in self.library.iterdir() if path.is_dir()), ["Bea"])
        for shard in ("0/2", "1/2"):
            self.assertEqual(self.go(*jobs, args=("--resume", "--shard", shard))[1], set())
        self.assertEqual((self.out / "results.jsonl").read_bytes(), before)

    def test_a_lost_or_cut_file_is_made_again(self):
        self.go(self.ANNA, self.EXPORT)
        path = self.out / self.by_id()["out"]["file"]["path"]
        whole = path.read_bytes()
        for damage in (path.unlink, lambda: os.truncate(path, 100)):
            damage()
            self.assertEqual(self.go(self.ANNA, self.EXPORT), ((1, 0, 1), {"out"}))
            self.assertEqual(len(path.read_bytes()), len(whole))
        self.assertEqual(self.go(self.ANNA, self.EXPORT), ((0, 0, 2), set()))

    def test_what_names_a_job_that_is_done_again_is_done_again(self):
        jobs = (self.SPEECH, self.DOWNLOAD, self.TIMING, {"id": "other", "text": "x"})
        self.go(*jobs)
        (self.out / "t.wav").unlink()
        self.assertEqual(self.go(*jobs), ((3, 0, 1), {"t", "d", "dt"}))
        changed = ({**self.SPEECH, "text": "spoken anew, and longer"}, *jobs[1:])
        self.assertEqual(self.go(*changed), ((3, 0, 1), {"t", "d", "dt"}))
        results = self.by_id()
        self.assertEqual(results["d"]["file"]["bytes"], results["t"]["audio"]["bytes"])
        self.assertEqual(self.go(*changed), ((0, 0, 4), set()))

    def test_what_names_a_job_that_is_wrong_now_does_not_keep_its_result(self):
        self.go(self.SPEECH, self.DOWNLOAD)
        self.assertEqual(self.go({**self.SPEECH, "text": ""}, self.DOWNLOAD, code=1)[0], (0, 2, 0))
        self.assertEqual(self.go(self.SPEECH, self.DOWNLOAD), ((2, 0, 0), {"t", "d"}))

    def test_a_new_operation_knows_the_kept_jobs(self):
        self.go(self.SPEECH)
        jobs = (self.SPEECH, self.DOWNLOAD, self.TIMING, self.STATUS, {**self.DOWNLOAD, "id": "d2", "format": "wav"})
        self.assertEqual(self.go(*jobs), ((4, 0, 1), {"d", "dt", "s", "d2"}))
        results = self.by_id()
        self.assertEqual([results[id]["file"]["path"] for id in ("d", "dt", "d2")], ["t.wav", "t.srt", "t.wav"])
        self.assertEqual(results["s"]["state"], "finished")

    def test_a_changed_voice_is_followed_by_what_names_it(self):
        other = {"id": "bob", "op": "upload", "name": "Bob", "audio": self.HIGH}
        bye = {"id": "bye", "op": "voice_delete", "voice": "Bob"}
        jobs = [other, bye, self.ANNA, {"id": "v", "text": "hi", "voice": "Anna B"}, self.EXPORT, self.LIST, self.SPEECH,
                self.DOWNLOAD]
        self.go(*jobs)
        old = self.by_id()
        jobs[2] = {**self.ANNA, "audio": self.HIGH}
        self.assertEqual(self.go(*jobs), ((4, 0, 4), {"up", "v", "out", "list"}))
        new = self.by_id()
        self.assertNotEqual(new["out"]["voice"], old["out"]["voice"])
        self.assertNotEqual(new["v"]["audio"]["sha256"], old["v"]["audio"]["sha256"])
        self.assertEqual(self.go(*jobs), ((0, 0, 8), set()))

    def test_a_deleted_voice_that_is_made_again_is_deleted_again(self):
        jobs = [self.ANNA, self.EXPORT, self.DELETE]
        self.go(*jobs)
        jobs[0] = {**self.ANNA, "audio": self.HIGH}
        self.assertEqual(self.go(*jobs), ((3, 0, 0), {"up", "out", "gone"}))
        self.assertFalse((self.library / "voice_anna_b").exists())
        self.assertEqual(self.go(*jobs), ((0, 0, 3), set()))

    def test_speech_is_kept_when_its_voice_is_deleted_behind_it(self):
        jobs = [self.ANNA, {"id": "v", "text": "hi", "voice": "Anna B"}, self.DELETE]
        self.go(*jobs)
        self.assertEqual(self.go(*jobs), ((0, 0, 3), set()))
        audio = (self.out / "v.wav").read_bytes()
        whole = (self.out / "results.jsonl").read_bytes()
        for spoil in (lambda: (self.out / "v.wav").unlink(), lambda: jobs[1].update(text="other")):
            spoil()
            self.assertEqual(self.go(*jobs, code=1), ((0, 1, 2), {"v"}))
            self.assertEqual(self.by_id()["v"]["error"]["code"], "voice_not_found")
            (self.out / "results.jsonl").write_bytes(whole)
            (self.out / "v.wav").write_bytes(audio)

    def test_files_that_lie_outside_are_not_believed(self):
        self.go(self.ANNA, self.EXPORT)
        path, name = self.out / "results.jsonl", self.by_id()["out"]["file"]["path"]
        (self.dir / name).write_bytes((self.out / name).read_bytes())
        path.write_text(path.read_text(encoding="utf-8").replace(f'"{name}"', f'"../{name}"'), encoding="utf-8")
        self.assertEqual(self.go(self.ANNA, self.EXPORT), ((1, 0, 1), {"out"}))


class Folder(ResumeCase):
    """What a run may do to its folder while others are there."""

    def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(self):
        ids = [f"j{i}" for i in range(4)]
        slow = self.manifest({"model_type": "tone", "defaults": {"sleep_ms": 500}})
        file = self.jobs(*({"id": i, "text": "x"} for i in ids))
        first = self.start(slow, file)
        deadline = time.monotonic() + 20
        while not list(self.out.glob("j0.wav")) and time.monotonic() < deadline:
            time.sleep(0.005)
        for args in ((), ("--resume",), ("--shard", "1/2")):
            done = self.batch(slow, file, *args)
            self.assert_exit(done, 2)
            self.assertIn(f"{self.out}: another run (shard 0 of 1) is writing into this folder", done.stderr)
        self.assertIsNone(first.poll(), "the first ended before the others were tried")
        error = first.communicate(timeout=60)[1]
        self.assertEqual(first.returncode, 0, error)
        self.assert_whole(ids)
        self.assertEqual(self.summary(slow, file, "--resume"), (0, 0, 4))

    def test_a_symbolic_link_does_not_lead_out(self):
        outside = self.dir / "outside"
        outside.mkdir()
        self.out.mkdir()
        (self.out / "sub").symlink_to(outside)
        jobs = self.jobs({"id": "a", "text": "x", "output": "sub/a.wav"}, {"id": "b", "text": "x", "output": "sub/new/b.wav"},
                         {"id": "c", "text": "x", "output": "other/c.wav"})
        self.assert_exit(self.batch(self.manifest(), jobs), 1)
        results = self.by_id()
        for id in "ab":
            error = results[id]["error"]
            self.assertEqual((error["code"], error["field"]), ("invalid_request", "output"))
            self.assertIn("through a symbolic link", error["message"])
        self.assertEqual(results["c"]["status"], "ok")
        self.assertEqual(list(outside.iterdir()), [])
        self.assert_no_leftovers()


class Kill(ResumeCase):
    """SIGKILL loses nothing and doubles nothing."""

    COUNT = 240

    def setUp(self):
        super().setUp()
        self.random = random.Random(self.id())
        self.plain = self.manifest({"model_type": "tone", "sessions": 4, "defaults": {"sleep_ms": 8}})
        self.ids = [f"j{i}" for i in range(self.COUNT)]
        self.file = self.jobs(*({"id": i, "text": f"text of {i}"} for i in self.ids))

    def lines(self):
        try:
            return (self.out / "results.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def kill_some_time(self, *running):
        """Kills once something was written in this life, a random moment later."""
        before, deadline = self.lines(), time.monotonic() + 20
        while self.lines() == before and time.monotonic() < deadline and any(p.poll() is None for p in running):
            time.sleep(0.001)
        for process in self.random.sample(running, len(running)):
            time.sleep(self.random.random() * 0.04)
            process.send_signal(signal.SIGKILL)
        for process in running:
            process.communicate()

    def test_killed_at_any_moment_resumes_with_every_job_once(self):
        for _ in range(10):
            self.kill_some_time(self.start(self.plain, self.file, "--resume"))
        self.assertGreater(self.lines(), 0)
        ok, failed, skipped = self.summary(self.plain, self.file, "--resume")
        self.assertEqual((ok + skipped, failed), (self.COUNT, 0))
        self.assertGreater(ok, 0, "it was not killed early enough")
        self.assertGreater(skipped, 0)
        self.assert_whole(self.ids)

    def test_killed_at_its_start_leaves_nothing(self):
        for _ in range(25):
            process = self.start(self.plain, self.file, "--resume")
            time.sleep(self.random.random() * 0.03)
            process.kill()
            process.communicate()
        self.summary(self.plain, self.file, "--resume")
        self.assert_whole(self.ids)

    def test_concurrent_shards_in_one_folder_survive_kills(self):
        shards = ["0/3", "1/3", "2/3"]
        for _ in range(5):
            self.kill_some_time(*(self.start(self.plain, self.file, "--resume", "--shard", s) for s in shards))
        # One shard is killed while another goes on to its end: what the one tears, the other must not suffer from.
        for victim in shards:
            last = shards[shards.index(victim) - 1]
            survivor = self.start(self.plain, self.file, "--resume", "--shard", last)
            self.kill_some_time(self.start(self.plain, self.file, "--resume", "--shard", victim))
            self.assertEqual(survivor.communicate(timeout=60)[1] and survivor.returncode, 0)
        running = [self.start(self.plain, self.file, "--resume", "--shard", s) for s in shards]
        for process in running:
            error = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 0, error)
        self.assert_whole(self.ids)

    def test_a_torn_line_does_not_swallow_the_next_of_another_shard(self):
        self.assertEqual(self.summary(self.plain, self.jobs({"id": "x", "text": "x"}, name="x.jsonl"))[0], 1)
        running = self.start(self.plain, self.jobs({"id": "y", "text": "y", "options": {"sleep_ms": 700}}, name="y.jsonl"),
                             "--resume", "--shard", "0/1")
        deadline = time.monotonic() + 20
        while not list(self.out.glob(".voxhost-*/1")) and time.monotonic() < deadline:
            time.sleep(0.005)  # until it is inside the job; 0 is what the results are rewritten to
        with open(self.out / "results.jsonl", "ab") as file:
            file.write(b'{"id":"torn","sta')
        self.assertEqual(running.wait(20), 0)
        running.stderr.close()
        good = []
        for line in (self.out / "results.jsonl").read_text(encoding="utf-8").splitlines():
            try:
                good.append(json.loads(line)["id"])
            except ValueError:
                self.assertIn("torn", line)
        self.assertIn("y", good)


class Records(ResumeCase):
    """Lines in which no job can be seen."""

    def test_a_broken_line_never_displaces_a_job_of_its_number(self):
        manifest = self.manifest()
        jobs = self.write("jobs.jsonl", 'junk\n{"id": "job-1", "text": "z"}\n')
        for args in ([], ["--resume"], ["--resume"], ["--resume"]):
            self.assert_exit(self.batch(manifest, jobs, *args), 1)
            results = {r["id"]: r for r in self.results()}
            self.assertEqual(len(self.results()), 2)
            self.assertEqual(results["job-1"]["status"], "ok")
            self.assertEqual((results[None]["line"], results[None]["record"]), (1, 1))


class Shards(ResumeCase):
    """The parts make the whole."""

    def setUp(self):
        super().setUp()
        self.plain = self.manifest()
        self.ids = [f"j{i}" for i in range(60)]
        self.file = self.jobs(*({"id": i, "text": "x"} for i in self.ids))

    def parts(self, shards, env=({}, {}, {})):
        found = []
        for number, (shard, variables) in enumerate(zip(shards, env)):
            out = f"part{number}"
            shutil.rmtree(self.dir / out, ignore_errors=True)
            self.assert_exit(self.batch(self.plain, self.file, "--shard", shard, out=out, env=variables), 0)
            found.append(sorted(self.by_id(out)))
            self.assertTrue(5 < len(found[-1]) < 40, "a lopsided part")
        self.assertEqual(sorted(sum(found, [])), sorted(self.ids))
        return found

    def test_zero_and_one_based_numbers_cover_everything_without_overlap(self):
        self.assertEqual(sorted(self.parts(["0/3", "1/3", "2/3"])), sorted(self.parts(["1/3", "2/3", "3/3"])))

    def test_schedulers_variables(self):
        expected = self.parts(["0/3", "1/3", "2/3"])
        for name, variables in {
            "slurm": lambda i: {"SLURM_ARRAY_TASK_ID": str(i + 5), "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "7",
                                "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "1"},
            "srun": lambda i: {"SLURM_STEP_ID": "0", "SLURM_PROCID": str(i), "SLURM_NTASKS": "3"},
            "kubernetes": lambda i: {"JOB_COMPLETION_INDEX": str(i), "JOB_COMPLETIONS": "3"},
            "aws": lambda i: {"AWS_BATCH_JOB_ARRAY_INDEX": str(i), "AWS_BATCH_JOB_ARRAY_SIZE": "3"},
            "runpod": lambda i: {"RUNPOD_POD_ID": "x", "NODE_RANK": str(i), "NUM_NODES": "3"},
        }.items():
            with self.subTest(scheduler=name):
                self.assertEqual(self.parts(["auto"] * 3, [variables(i) for i in range(3)]), expected)

    def test_auto_without_a_scheduler_says_what_it_looked_for(self):
        done = self.batch(self.plain, self.file, "--shard", "auto")
        self.assert_exit(done, 2)
        for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "NODE_RANK"):
            self.assertIn(name, done.stderr)
        done = self.batch(self.plain, self.file, "--shard", "auto", env={"JOB_COMPLETION_INDEX": "1"})
        self.assert_exit(done, 2)
        self.assertIn("JOB_COMPLETIONS", done.stderr)

    def test_shards_share_a_folder_and_redo_only_their_own(self):
        for shard in ("0/2", "1/2"):
            self.assert_exit(self.batch(self.plain, self.file, "--shard", shard), 0)
        self.assert_whole(self.ids)
        ok, _, _ = self.summary(self.plain, self.file, "--shard", "0/2")
        self.assertTrue(0 < ok < 60)
        self.assert_whole(self.ids)
        self.assertEqual(self.summary(self.plain, self.file, "--resume"), (0, 0, 60))

    def test_a_wrong_job_is_answered_by_one_shard_only(self):
        self.write("jobs.jsonl", '{"id":"a","text":"x"}\n{"id":"bad","text":""}\nbroken\n')
        codes = [self.batch(self.plain, self.dir / "jobs.jsonl", "--shard", f"{i}/3").returncode for i in range(3)]
        self.assertEqual(sorted(map(str, (r["id"] for r in self.results()))), ["None", "a", "bad"])
        self.assertIn(1, codes)

    def test_outputs_clash_across_shards_too(self):
        jobs = self.jobs(*({"id": f"j{i}", "text": "x", "output": "same.wav"} for i in range(8)))
        for i in range(3):
            self.batch(self.plain, jobs, "--shard", f"{i}/3")
        self.assertEqual([r["id"] for r in self.results() if r["status"] == "ok"], ["j0"])


if __name__ == "__main__":
    unittest.main()
