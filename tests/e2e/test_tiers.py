"""Where a model is found among several directories (paths.model_tiers), and the copy that is made of it on request."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

from common import VOXHOST, Case, environment, run

SOURCE = pathlib.Path(__file__).resolve().parents[2]

# A plugin that says which directory it was given, and what lies in it.
PLUGIN = r"""
#include "vox/helpers.h"
static int32_t init(const struct vox_host *h, const struct vox_load *l, struct vox_model **m, struct vox_error *e)
{
    (void)h; (void)m;
    return vox_fail(e, VOX_EMODEL, "given %.*s", (int)l->model_dir.size, l->model_dir.data);
}
static void fini(struct vox_model *m) { (void)m; }
static int32_t open_(struct vox_model *m, struct vox_session **s, struct vox_error *e)
{
    (void)m; (void)s; (void)e;
    return VOX_EMODEL;
}
static void close_(struct vox_session *s) { (void)s; }
static int32_t speak(struct vox_session *s, const struct vox_job *j, struct vox_error *e)
{
    (void)s; (void)j; (void)e;
    return VOX_EMODEL;
}
const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD, .id = "teller", .version = "1", .capabilities = 0,
    .init = init, .fini = fini, .open = open_, .close = close_, .speak = speak,
};
"""


class TierCase(Case):
    def setUp(self):
        super().setUp()
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        self.plugin = self.dir / "teller.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-I", SOURCE / "sdk/include", "-o", self.plugin,
                        self.write("teller.c", PLUGIN)], check=True)
        for name in ("local", "volume", "far"):
            (self.dir / name).mkdir()

    def tiers(self, *tiers, model=None, **paths):
        return self.manifest({"model_type": "m", "plugin": str(self.plugin), **(model or {})},
                             paths={"models": "local", "model_tiers": list(tiers), **paths})

    def speak(self, manifest, *args):
        return run("speak", "-m", manifest, "x", "-o", self.dir / "x.wav", *args)

    def assert_given(self, manifest, folder, *args):
        """The plugin was given this directory, and `voxhost config` and `doctor` know which it is."""
        done = self.speak(manifest, *args)
        self.assertIn(f"given {self.dir / folder}", done.stdout + done.stderr)
        return done


class Choice(TierCase):
    def test_the_first_tier_that_holds_the_model_wins(self):
        """FM-02: a directory, a link to one, an empty one and a missing one are told apart."""
        manifest = self.tiers("volume", "far")
        self.assert_given(manifest, "local/m")
        self.write("far/m/w.bin", "far")
        self.assert_given(manifest, "far/m")
        (self.dir / "volume/m").mkdir()
        self.assert_given(manifest, "far/m")
        (self.dir / "volume/m").rmdir()
        self.write("elsewhere/w.bin", "linked")
        (self.dir / "volume/m").symlink_to("../elsewhere")
        self.assert_given(manifest, "volume/m")
        self.write("local/m/w.bin", "local")
        self.assert_given(manifest, "local/m")
        shown = json.loads(run("config", "-m", manifest, "--json").stdout)
        self.assertEqual(shown["models"][0]["model_dir"]["value"], str(self.dir / "local/m"))

    def test_what_is_still_being_pulled_holds_no_model(self):
        manifest = self.tiers("volume")
        self.write("volume/m/w.bin", "x")
        self.write("local/m/voxhost-pull.part", "")
        self.write("local/m/w.bin.part", "x")
        self.assert_given(manifest, "volume/m")
        (self.dir / "local/m/voxhost-pull.part").unlink()
        (self.dir / "local/m/w.bin.part").rename(self.dir / "local/m/w.bin")
        self.assert_given(manifest, "local/m")

    def test_links_that_lead_in_a_circle_or_nowhere_hold_nothing(self):
        """FM-46"""
        manifest = self.tiers("volume", "far")
        (self.dir / "local/m").symlink_to("../volume/m")
        (self.dir / "volume/m").symlink_to("../local/m")
        self.write("far/m/w.bin", "x")
        self.assert_given(manifest, "far/m")

    def test_an_absolute_model_dir_is_taken_as_it_is(self):
        self.write("volume/m/w.bin", "x")
        self.assert_given(self.tiers("volume", model={"model_dir": str(self.dir / "own")}), "own")

    def test_a_bucket_is_refused_loudly(self):
        """FM-36: a key that would do nothing is an error."""
        done = self.speak(self.tiers("volume", "s3://bucket/models"))
        self.assert_exit(done, 2)
        self.assertIn('paths.model_tiers[1]: expected a directory, got "s3://bucket/models"', done.stderr)


class CopyUp(TierCase):
    def setUp(self):
        super().setUp()
        self.data = random.Random(1).randbytes(3 << 20)
        self.write("volume/m/w.bin", self.data)
        self.write("volume/m/sub/vocab.txt", "a\nb\n")
        os.utime(self.dir / "volume/m/w.bin", (1, 1700000000))

    def assert_copied(self):
        copy = self.dir / "local/m"
        self.assertEqual((copy / "w.bin").read_bytes(), self.data)
        self.assertEqual((copy / "sub/vocab.txt").read_text(), "a\nb\n")
        self.assertEqual((copy / "w.bin").stat().st_mtime, 1700000000)
        self.assertEqual([path.name for path in (self.dir / "local").iterdir()], ["m"])
        self.assertEqual((self.dir / "volume/m/w.bin").read_bytes(), self.data, "the original was changed")

    def test_without_being_asked_nothing_is_copied(self):
        """FM-07"""
        self.assert_given(self.tiers("volume"), "volume/m")
        self.assertEqual(list((self.dir / "local").iterdir()), [])

    def test_a_model_is_copied_to_the_first_tier_and_loaded_from_there(self):
        manifest = self.tiers("volume", copy_up=True)
        self.assert_given(manifest, "local/m", "--set", "host.log_level=debug")
        self.assert_copied()
        self.assert_given(manifest, "local/m")

    def test_without_room_it_is_loaded_from_its_tier(self):
        """FM-07, FM-65: space is checked before the copy."""
        with (self.dir / "volume/m/huge.bin").open("wb") as file:
            file.truncate(1 << 43)  # a hole
        done = self.assert_given(self.tiers("volume", copy_up=True), "volume/m")
        self.assertIn("model not copied up", done.stderr)
        self.assertIn("host.min_free_mb", done.stderr)
        self.assertEqual(list((self.dir / "local").iterdir()), [])

    def test_a_copy_that_fails_is_no_failure(self):
        (self.dir / "volume/m/loop").symlink_to(".")
        done = self.assert_given(self.tiers("volume", copy_up=True), "volume/m")
        self.assertIn("model not copied up", done.stderr)
        self.assertEqual(list((self.dir / "local").iterdir()), [])

    def test_several_processes_make_one_copy(self):
        manifest = self.tiers("volume", copy_up=True)
        command = [VOXHOST, "speak", "-m", str(manifest), "x", "-o", str(self.dir / "x.wav")]
        running = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for _ in range(4)]
        for process in running:
            out, err = process.communicate(timeout=60)
            self.assertIn(f"given {self.dir / 'local/m'}", out + err)
        self.assert_copied()

    def test_kill_in_the_middle_leaves_no_half_model(self):
        self.write("volume/m/w.bin", self.data * 20)
        self.data *= 20
        os.utime(self.dir / "volume/m/w.bin", (1, 1700000000))
        manifest = self.tiers("volume", copy_up=True)
        for _ in range(8):
            process = subprocess.Popen([VOXHOST, "speak", "-m", str(manifest), "x", "-o", str(self.dir / "x.wav")],
                                       env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if (self.dir / "local/m").exists():
                break
        self.assert_given(manifest, "local/m")
        self.assert_copied()


if __name__ == "__main__":
    unittest.main()
