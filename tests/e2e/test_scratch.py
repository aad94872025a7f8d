"""Folders for the temporary files of jobs (vox.scratch/1): whatever becomes of a job, and of the process, nothing stays.

FM-09: a process removes only what is its own or a dead process's, never what is in use.
"""

import random
import time
import unittest

from common import run
from test_faults import FaultCase

FILES = 5  # temporary files of a job, each a folder deeper


def tone(id, **options):
    return {"id": id, "text": "x", "options": {"scratch_files": FILES, **options}}


def faulty(id, fault, hang_ms=60000):
    return {"id": id, "model_type": "faulty", "text": "x", "options": {"fault": fault, "hang_ms": hang_ms}}


class ScratchCase(FaultCase):
    def make_manifest(self, sessions=1, **host):
        return self.manifest({"model_type": "tone", "sessions": sessions},
                             {"model_type": "faulty", "plugin": "faulty.so", "sessions": sessions},
                             default_model="tone", host=host)

    def runs(self, model="tone"):
        """The folders of processes in the model's cache directory."""
        return sorted((self.dir / "cache" / model / ".scratch").glob("run-*"))

    def folders(self, model="tone"):
        """Those of jobs; they may vanish at any time."""
        return sorted((self.dir / "cache" / model / ".scratch").glob("run-*/[0-9]*"))

    def is_full(self, model="tone"):
        """A job has written its files."""
        return any((folder / "/".join(["folder"] * FILES)).exists() or (folder / "file").exists() and model == "faulty"
                   for folder in self.folders(model))

    def wait_until_full(self, model="tone"):
        self.wait_for(lambda: self.is_full(model), "a job's temporary files")

    def assert_clean(self, model="tone"):
        self.assertEqual(self.runs(model), [])

    def start_again(self, manifest, model="tone"):
        """The next start of a process with this cache directory; its job needs no folder."""
        job = {"text": "x", "model_type": model}
        done = run("batch", "--manifest", manifest, "--jobs", self.jobs(job, name="again.jsonl"), "--out", self.dir / "again")
        self.assert_exit(done, 0)


class Jobs(ScratchCase):
    def test_finished_jobs_leave_nothing(self):
        manifest = self.make_manifest(sessions=3)
        self.assert_exit(self.batch(manifest, self.jobs(*(tone(f"j{i}") for i in range(30)))), 0)
        self.assertEqual({r["status"] for r in self.results()}, {"ok"})
        self.assert_clean()
        self.assert_exit(run("speak", "--manifest", manifest, "x", "-o", self.dir / "x.wav", "--option", "scratch_files=3"), 0)
        self.assert_clean()

    def test_a_job_that_needs_none_makes_none(self):
        self.assert_exit(self.batch(self.make_manifest(), self.jobs({"text": "x"})), 0)
        self.assertFalse((self.dir / "cache" / "tone" / ".scratch").exists())

    def test_the_folder_goes_with_the_job_and_not_with_the_process(self):
        """Success, failure, timeout: each gone while another job of the same process has its own."""
        manifest = self.make_manifest(sessions=2)
        jobs = self.jobs(faulty("fails", "scratch_fails"), tone("done"), {**tone("late", sleep_ms=60000), "timeout_s": 0.2},
                         tone("long", sleep_ms=60000))
        process = self.start(manifest, jobs, "--set", "host.drain_s=0.1")
        self.wait_for(lambda: self.lines() == 3, "three results")
        self.wait_until_full()
        self.wait_for(lambda: len(self.folders()) == 1 and self.folders("faulty") == [], "the other folders to go")
        self.assertEqual(len(self.runs()), 1)
        process.terminate()
        self.finish(process, 143)
        results = self.by_id()
        self.assertEqual({id: r.get("error", {}).get("code") for id, r in results.items()},
                         {"fails": "invalid_request", "done": None, "late": "timeout", "long": "cancelled"})
        self.assert_clean()
        self.assert_clean("faulty")

    def test_a_cancelled_job_leaves_nothing(self):
        process = self.start(self.make_manifest(drain_s=0.1), self.jobs(tone("long", sleep_ms=60000)))
        self.wait_until_full()
        process.terminate()
        self.finish(process, 143)
        self.assertEqual(self.by_id()["long"]["error"]["code"], "cancelled")
        self.assert_clean()

    def test_sigterm_lets_the_job_end_and_its_folder_with_it(self):
        process = self.start(self.make_manifest(), self.jobs(tone("short", sleep_ms=3000)))
        self.wait_until_full()
        process.terminate()
        self.finish(process, 143)
        self.assertEqual(self.by_id()["short"]["status"], "ok")
        self.assert_clean()


class Hanging(ScratchCase):
    def test_a_session_that_is_given_up_keeps_its_folder_for_the_next_process(self):
        manifest = self.make_manifest(cancel_grace_s=0.1)
        process = self.start(manifest, self.jobs({**faulty("hangs", "scratch_hangs"), "timeout_s": 0.2},
                                                 tone("long", sleep_ms=60000)), "--set", "host.drain_s=0.1")
        self.wait_for(lambda: self.lines() == 1, "the answer for it")
        self.wait_until_full()
        self.assertTrue(self.is_full("faulty"), "it may still be in use")
        process.terminate()
        self.finish(process, 143)
        self.assertIn("did not stop", self.by_id()["hangs"]["error"]["message"])
        self.assertEqual(self.folders(), [])
        self.assertTrue(self.is_full("faulty"))
        self.start_again(manifest, "faulty")
        self.assert_clean("faulty")
        self.start_again(manifest)
        self.assert_clean()

    def test_a_session_that_comes_back_late_takes_its_folder_along(self):
        manifest = self.make_manifest(cancel_grace_s=0.1, drain_s=0.1)
        process = self.start(manifest, self.jobs({**faulty("late", "scratch_hangs", 4000), "timeout_s": 0.2},
                                                 tone("long", sleep_ms=60000)))
        self.wait_for(lambda: self.lines() == 1, "the answer for it")
        self.wait_for(lambda: self.folders("faulty") == [], "its return")
        self.assertIsNone(process.poll())
        process.terminate()
        self.finish(process, 143)
        self.assertEqual(self.by_id()["late"]["error"]["code"], "timeout")
        self.assert_clean("faulty")


class Dead(ScratchCase):
    def test_sigkill_is_cleaned_up_after_by_the_next_start(self):
        manifest = self.make_manifest()
        process = self.start(manifest, self.jobs(tone("long", sleep_ms=60000)))
        self.wait_until_full()
        process.kill()
        process.wait()
        self.assertTrue(self.is_full())
        self.start_again(manifest)
        self.assert_clean()

    def test_a_crash_is_cleaned_up_after_by_the_next_start(self):
        manifest = self.make_manifest()
        self.batch(manifest, self.jobs(faulty("crash", "scratch_crashes")))
        self.assertTrue(self.is_full("faulty"))
        self.start_again(manifest, "faulty")
        self.assert_clean("faulty")

    def test_a_second_process_leaves_the_first_one_alone(self):
        """Two processes on one cache directory; one is killed, a third one comes."""
        manifest = self.make_manifest()
        first = self.start(manifest, self.jobs(tone("first", sleep_ms=60000), name="first.jsonl"))
        self.wait_until_full()
        mine = self.runs()
        second = self.start(manifest, self.jobs(tone("second", sleep_ms=60000), name="second.jsonl"),
                            "--out", self.dir / "second", "--set", "host.drain_s=0.1")
        self.wait_for(lambda: len(self.folders()) == 2 and all(
            (folder / "folder/file").exists() for folder in self.folders()), "both jobs")
        self.assertTrue(set(mine) < set(self.runs()))
        first.kill()
        first.wait()
        self.start_again(manifest)
        left = self.runs()
        self.assertEqual((len(left), set(left) & set(mine)), (1, set()))
        self.assertTrue(self.is_full(), "what lives was left alone")
        second.terminate()
        self.finish(second, 143)
        self.start_again(manifest)
        self.assert_clean()

    def test_killed_at_random_points(self):
        """kill -9 in the making, the writing and the removing; the last start leaves nothing, the results are whole."""
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        manifest = self.make_manifest(sessions=2)
        jobs = self.jobs(*(tone(f"j{i}", scratch_files=40) for i in range(400)))
        for round in range(6):
            process = self.start(manifest, jobs, "--resume")
            self.wait_for(lambda: self.runs() or process.poll() is not None, "the first folder")
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
            process.communicate()
            self.assertLessEqual(len(self.runs()), 1, f"seed {seed}, round {round}: what died before is left")
        self.assert_exit(self.batch(manifest, jobs, "--resume"), 0)
        self.assertEqual({result["status"] for result in self.results()}, {"ok"}, f"seed {seed}")
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
