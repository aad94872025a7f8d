"""Disks: what is kept no longer goes, and nothing else; new work is refused before a disk is full; what a killed process
leaves is gone after the next start."""

import contextlib
import ctypes
import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import unittest.mock

from common import VOXHOST, environment, run
from operations_common import LOW
from test_voices import wav
from test_worker_local import ApiCase
from worker_common import TIMEOUT_S, tone

DAY_S = 86400
HEX = "0123456789abcdef" * 2
OURS = HEX + "/{}.wav"  # a name that the default key template makes
TEMPLATE = "{user_id}/{job_id}.{ext}"
MB = 1 << 20


def age(path, days):
    then = time.time() - days * DAY_S
    os.utime(path, (then, then), follow_symlinks=False)


def two_disks():
    """(roomy folder, tight folder, a host.min_free_mb that only the first has), or a skip."""
    places = sorted((shutil.disk_usage(place).free, place)
                    for place in (tempfile.gettempdir(), "/dev/shm") if os.access(place, os.W_OK))
    if len(places) < 2 or os.stat(places[0][1]).st_dev == os.stat(places[1][1]).st_dev:
        raise unittest.SkipTest("there is only one disk that files can be written to")
    (tight, tight_place), (roomy, roomy_place) = places
    limit_mb = (tight + roomy) // 2 // MB
    if roomy - tight < 400 * MB or limit_mb > MB:
        raise unittest.SkipTest("/dev/shm and the temporary folder have much the same room")
    return roomy_place, tight_place, limit_mb


class DiskCase(ApiCase):
    def old(self, name, days=30, size=100):
        path = self.write(name, b"x" * size)
        age(path, days)
        return path

    def names(self, folder):
        """The files below a folder but for what is hidden."""
        root = self.dir / folder
        return sorted(str(path.relative_to(root)) for path in root.rglob("*")
                      if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts))

    def one_batch(self, code=0, *models, out="out", jobs=({"id": "j", "text": "x"},), **top):
        done = self.batch(self.manifest(*models, **top), self.jobs(*jobs), "--set", "host.log_level=debug", out=out)
        self.assert_exit(done, code)
        self.log = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        return done

    def logged(self, event):
        return [line for line in self.log if line["event"] == event]

    def stop(self, code=0):
        self.worker.stop(code)

    def answer(self, **options):
        """Of the local API: the output, or of a failure its report."""
        response = {name: options.pop(name) for name in ("response",) if name in options}
        job = {"input": options} if "op" in options else tone(**options)
        body = self.post("/runsync", {**job, "input": {**job["input"], **response}})
        return body["output"] if body["status"] == "COMPLETED" else json.loads(body["error"])


    def disks(self, *silent):
        """Of /health, once the disks of these uses alone cannot be asked: what is said of a disk may be late."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            disks = self.get("/health")["disks"]
            if [use for disk in disks if "error" in disk for use in disk["uses"]] == list(silent):
                return disks
            self.assertLess(time.monotonic(), deadline, disks)
            time.sleep(0.05)


class Retention(DiskCase):
    def storage(self, **more):
        return {"type": "file", "dir": str(self.dir / "st"), **more}

    def fill(self):
        self.old("st/" + OURS.format("old"))
        self.old(f"st/{HEX}/old.srt")
        self.old("st/" + OURS.format("new"), days=2)
        self.old("st/voices/anna.wav")
        self.old("st/notes.txt")
        self.old("st/photos/summer.wav")
        self.old("st/.hidden/old.wav")

    KEPT = [OURS.format("new"), "notes.txt", "photos/summer.wav", "voices/anna.wav"]

    def test_a_batch_removes_old_results_and_nothing_else(self):
        """FM-08: cleaning up does what it says; FM-66: only what is ours."""
        self.fill()
        self.one_batch(storage=self.storage(keep_days=7.5))
        self.assertEqual(self.names("st"), self.KEPT)
        self.assertTrue((self.dir / "st/.hidden/old.wav").exists())
        line, = self.logged("old results removed")
        self.assertEqual((line["removed_files"], line["removed_bytes"], line["left_files"]), (2, 200, 1))
        age(self.dir / "st" / OURS.format("new"), 9)
        self.one_batch(out="out2", storage=self.storage(keep_days=7.5))
        self.assertEqual(self.names("st"), self.KEPT[1:])
        self.assertFalse((self.dir / "st" / HEX).exists(), "an empty folder is left")

    def test_off_by_default(self):
        self.fill()
        whole = self.names("st")
        self.one_batch(storage=self.storage())
        self.serve(storage=self.storage())
        self.assertEqual(self.answer(response="url")["status"], "ok")
        self.stop()
        self.assertEqual([name for name in self.names("st") if name in whole], whole)
        self.assertEqual(self.logged("old results removed"), [])

    def test_the_local_api_keeps_the_size_and_writes_on(self):
        for name, days in (("a", 4), ("b", 3), ("c", 2)):
            self.old("st/" + OURS.format(name), days=days, size=MB)
        self.old("st/big.bin", size=9 * MB)
        self.serve(storage=self.storage(keep_mb=2))
        line = self.worker.wait_log(event="old results removed")
        self.assertEqual((line["removed_files"], line["left_bytes"]), (1, 2 * MB))
        made = pathlib.Path(self.answer(response="url")["audio"]["url"])
        self.assertTrue(made.exists())
        self.stop()
        self.assertEqual(self.names("st"), sorted([OURS.format("b"), OURS.format("c"), "big.bin",
                                                   str(made.relative_to(self.dir / "st"))]))

    def test_a_worker_of_a_queue_sweeps_at_its_start(self):
        self.fill()
        plane = self.start_plane(hold_s=5)
        worker = self.start_worker(plane, storage=self.storage(keep_days=7, public_base_url="https://files.example"))
        worker.wait_log(event="old results removed")
        worker.stop()
        self.assertEqual(self.names("st"), self.KEPT)

    def test_folders_of_others_inside_are_never_touched(self):
        """FM-66: models, caches, voices, dead letters and a batch's own results have the names of results here."""
        roots = ("models", "cache", "voices", "letters", "tier", "weights", "private", "out")
        for root in roots:
            self.old(f"data/{root}/old.wav")
        self.old("data/u1/old.wav")
        model = {"model_type": "tone", "model_dir": str(self.dir / "data/weights"),
                 "cache_dir": str(self.dir / "data/private")}
        paths = {name: str(self.dir / "data" / name) for name in ("models", "cache", "voices")}
        self.one_batch(0, model, out="data/out", paths={**paths, "model_tiers": [str(self.dir / "data/tier")]},
                       callbacks={"dead_letters": str(self.dir / "data/letters")},
                       storage={"type": "file", "dir": str(self.dir / "data"), "key_template": TEMPLATE, "keep_days": 1,
                                "voices_prefix": "recordings"})
        for root in roots:
            self.assertTrue((self.dir / "data" / root / "old.wav").exists(), root)
        self.assertFalse((self.dir / "data/u1").exists())

    def test_a_directory_that_is_also_another_is_not_swept(self):
        """FM-66."""
        self.old("both/u1/old.wav")
        both = str(self.dir / "both")
        self.one_batch(paths={"voices": both},
                       storage={"type": "file", "dir": both, "key_template": TEMPLATE, "keep_days": 1})
        self.assertEqual(self.names("both"), ["u1/old.wav"])
        self.assertIn("also", self.logged("not all could be swept")[0]["reason"])

    def test_dead_letters_in_the_storage_are_no_results(self):
        """FM-66: the template would make their names as well."""
        letter = self.old("st/letters/2020-01-31/x.json")
        self.old("st/u1/2020-01-31/x.json")
        self.one_batch(callbacks={"dead_letters": "storage:letters"},
                       storage=self.storage(keep_days=1, key_template="{user_id}/{date}/{job_id}.{ext}"))
        self.assertTrue(letter.exists())
        self.assertFalse((self.dir / "st/u1").exists())

    def test_links_are_not_followed(self):
        """FM-46: links in circles and out of the directory."""
        outside = self.old("outside/old.wav")
        (self.dir / "st").mkdir()
        (self.dir / "st" / HEX).symlink_to("../outside")
        (self.dir / "st" / HEX[::-1]).symlink_to(".")
        self.old("st/u1/old.wav")
        (self.dir / "st/u1/loop").symlink_to("..")
        (self.dir / "st/u1/self.wav").symlink_to("self.wav")
        for template in ("{random}/{job_id}.{ext}", TEMPLATE):
            self.one_batch(out=f"out-{len(template)}", storage=self.storage(keep_days=1, key_template=template))
        self.assertTrue(outside.exists())
        self.assertFalse((self.dir / "st/u1/old.wav").exists())
        self.assertTrue((self.dir / "st/u1/self.wav").is_symlink())

    def test_a_bucket_has_rules_of_its_own(self):
        for key in ("keep_days", "keep_mb"):
            done = run("config", "--manifest", self.manifest(storage={"type": "s3", "bucket": "b", key: 1}))
            self.assert_exit(done, 2)
            self.assertIn(f"storage.{key}", done.stderr)
            self.assertIn("lifecycle", done.stderr)


    def test_a_signal_ends_the_sweep_of_a_batch(self):
        """The first one: a storage that does not answer is not waited for."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        manifest = self.manifest(
            storage={"type": "s3", "endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}", "bucket": "results",
                     "access_key": "a", "secret_key": "s"},
            callbacks={"dead_letters": "storage:lost", "keep_days": 1})
        process = subprocess.Popen([VOXHOST, "batch", "--manifest", manifest, "--jobs", self.jobs({"id": "j", "text": "x"}),
                                    "--out", self.dir / "out"], env=environment(), stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        listener.settimeout(TIMEOUT_S)
        asked, _ = listener.accept()
        self.addCleanup(asked.close)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        listener.settimeout(0)
        with self.assertRaises(BlockingIOError, msg="it tried again"):
            listener.accept()


class Caches(DiskCase):
    def load(self, out="out", **host):
        self.one_batch(out=out, host=host)

    def cache(self):
        return self.names("cache/tone")

    def test_a_cache_is_swept_when_its_model_is_loaded(self):
        self.old("cache/tone/old.bin", 30)
        self.old("cache/tone/deep/old.bin", 30)
        read = self.old("cache/tone/read.bin", 30)
        os.utime(read, (time.time() - 2 * DAY_S, read.stat().st_mtime))
        self.old("cache/tone/new.bin", 2)
        self.old("cache/other/old.bin", 30)
        self.load(out="first")
        self.assertEqual(len(self.cache()), 4, "off by default")
        self.load(cache_keep_days=7)
        self.assertEqual(self.cache(), ["new.bin", "read.bin"])
        self.assertEqual(self.names("cache/other"), ["old.bin"])
        line, = self.logged("cache swept")
        self.assertEqual((line["component"], line["removed_files"], line["removed_bytes"]), ("tone", 2, 200))

    def test_the_size_of_a_cache_is_kept_by_use(self):
        for name, days in (("a.bin", 3), ("b.bin", 2), ("c.bin", 1)):
            self.old(f"cache/tone/{name}", days, MB)
        used = self.dir / "cache/tone/a.bin"
        os.utime(used, (time.time() - 3600, used.stat().st_mtime))
        self.write("cache/tone/fresh.bin", b"x" * MB)
        self.load(cache_keep_mb=2)
        self.assertEqual(self.cache(), ["a.bin", "fresh.bin"])

    def test_folders_of_others_in_a_cache_stay(self):
        """FM-66, FM-46."""
        self.old("cache/tone/voices/anna.wav")
        self.old("cache/tone/st/x.wav")
        self.old("cache/tone/old.bin")
        outside = self.old("outside/old.bin")
        (self.dir / "cache/tone/out").symlink_to("../../outside")
        (self.dir / "cache/tone/loop").symlink_to(".")
        self.one_batch(paths={"voices": str(self.dir / "cache/tone/voices")}, host={"cache_keep_days": 1},
                       storage={"type": "file", "dir": str(self.dir / "cache/tone/st")})
        self.assertEqual(self.cache(), ["st/x.wav", "voices/anna.wav"])
        self.assertTrue(outside.exists())

    def test_a_cache_in_use_by_another_process_is_left_alone(self):
        """FM-09; and a killed process leaves no lock."""
        self.serve()
        self.assertEqual(self.answer()["status"], "ok")
        self.old("cache/tone/old.bin")
        self.load(cache_keep_days=1)
        self.assertEqual(self.cache(), ["old.bin"])
        self.assertEqual(self.logged("cache not swept")[0]["reason"], "another process uses it")
        self.ends_with(self.worker, -signal.SIGKILL)
        self.worker.signal(signal.SIGKILL)
        self.worker.wait(-signal.SIGKILL)
        self.load(out="out2", cache_keep_days=1)
        self.assertEqual(self.cache(), [])


class Room(DiskCase):
    """FM-65: refused with what to do, before anything is made."""

    def setUp(self):
        roomy, tight, self.limit_mb = two_disks()
        super().setUp()
        shutil.rmtree(self.dir)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="voxhost-test-", dir=roomy))
        self.tight = pathlib.Path(tempfile.mkdtemp(prefix="voxhost-test-", dir=tight))
        for folder in (self.dir, self.tight):
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.host = {"min_free_mb": self.limit_mb, "fetch_private": True, "log_level": "debug"}

    def assert_refused(self, error, folder):
        code = error.get("code") or error.get("error_code")
        message = error.get("message") or error.get("error_message")
        self.assertEqual(code, "storage_failed", error)
        self.assertIn(str(folder), message)
        self.assertRegex(message, rf"its disk has \d+ MB free, host.min_free_mb wants {self.limit_mb}")
        self.assertIn("free some", message)

    def test_batch_and_speak_write_no_file(self):
        self.write("anna.wav", wav())
        done = run("voices", "add", "anna", "--audio", self.dir / "anna.wav", "--manifest", self.manifest())
        self.assert_exit(done, 0)
        done = self.one_batch(1, out=self.tight / "out", host=self.host, jobs=[
            {"id": "a", "text": "x"}, {"id": "b", "text": "x", "timestamps": ["srt"]},
            {"id": "c", "op": "voice_export", "voice": "anna"}])
        for result in self.results(self.tight / "out"):
            self.assert_refused(result["error"], self.tight / "out")
            self.assertTrue(result["error"]["retryable"])
        self.assertEqual([path.name for path in (self.tight / "out").iterdir()], ["results.jsonl"])
        self.assertIn("has less free than host.min_free_mb wants", done.stderr)
        done = run("speak", "--manifest", self.manifest(host=self.host), "x", "-o", self.tight / "x.wav")
        self.assert_exit(done, 1)
        self.assertIn("host.min_free_mb", done.stderr)
        self.assertFalse((self.tight / "x.wav").exists())
        done = run("speak", "--manifest", self.manifest(host=self.host), "x", "-o", "-", text=False)
        self.assert_exit(done, 0)  # a stream needs no disk

    def test_results_by_url_are_refused_before_they_are_made(self):
        self.serve(host=self.host, storage={"type": "file", "dir": str(self.tight / "st")},
                   worker={"inline_chars_max": 2000})
        forever = {"sleep_ms": 3600000}
        self.assert_refused(self.answer(response="url", **forever), self.tight / "st")
        self.assertEqual(self.answer(response="inline")["status"], "ok")
        self.assertEqual(self.answer()["status"], "ok")
        self.assert_refused(self.answer(duration_ms=500), self.tight / "st")
        self.assertEqual(self.names(self.tight / "st"), [])
        disks = {use: disk for disk in self.disks() for use in disk["uses"]}
        self.assertTrue(disks["storage"]["low"])
        self.assertFalse(disks["cache"]["low"])
        self.assertLess(disks["storage"]["free_mb"], self.limit_mb)
        self.assertLessEqual(disks["storage"]["free_mb"], disks["storage"]["total_mb"])
        self.worker.wait_log(level="warn", component="disk", dir=str(self.tight / "st"), uses="storage")
        line, = self.worker.wait_logs(1, level="info", component="disk")
        self.assertIn("cache", line["uses"])

    def test_a_queue_worker_refuses_too(self):
        plane = self.start_plane(hold_s=5)
        self.start_worker(plane, host=self.host, worker={"inline_chars_max": 2000},
                          storage={"type": "file", "dir": str(self.tight / "st"), "public_base_url": "https://f.example"})
        final = plane.wait(plane.submit(tone(duration_ms=500)), TIMEOUT_S).final
        self.assert_refused(json.loads(final["error"]), self.tight / "st")
        self.assertEqual(self.names(self.tight / "st"), [])

    def test_voices_are_refused_before_they_are_fetched(self):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/anna.wav"
        library = self.tight / "voices"
        top = {"host": self.host, "paths": {"voices": str(library)}}
        self.serve(**top)
        for op in ("voice_create", "upload"):
            self.assert_refused(self.answer(op=op, name="anna", audio=url), library)
        self.stop()
        self.one_batch(1, jobs=[{"id": "a", "op": "upload", "name": "anna", "audio": url},
                                {"id": "b", "op": "voice_create", "name": "anna", "audio": url, "text": "x"}], **top)
        for result in self.results():
            self.assert_refused(result["error"], library)
        self.assertEqual(asked, [])
        manifest = self.manifest(**top)
        self.write("anna.wav", wav())
        for arguments in (("add", "anna", "--audio", self.dir / "anna.wav"), ("import", self.dir / "anna.tar")):
            done = run("voices", *arguments, "--manifest", manifest)
            self.assert_exit(done, 1)
            self.assertIn("host.min_free_mb", done.stderr)
        self.assertFalse(library.exists())

    def test_doctor_tells_of_every_disk(self):
        manifest = self.manifest(host=self.host, storage={"type": "file", "dir": str(self.tight / "st")})
        checks = json.loads(run("doctor", "--json", "--manifest", manifest, cwd=self.dir).stdout)["checks"]
        disks = {check["level"]: check["message"] for check in checks if check["subject"] == "disk"}
        self.assertIn(f"{self.tight}/st (storage)", disks["warn"])
        self.assertIn("cache, voices", disks["ok"])


class Mounts(DiskCase):
    def test_a_disk_that_cannot_be_asked_stops_nothing(self):
        """FM-01: a warning with its reason."""
        (self.dir / "loop").symlink_to("loop")
        self.serve(paths={"voices": str(self.dir / "loop/voices")})
        self.assertEqual(self.answer()["status"], "ok")
        line, = self.worker.wait_logs(1, level="warn", event="free space is unknown")
        self.assertIn("symbolic links", line["reason"])
        self.disks("voices")

    def test_a_folder_may_be_real_linked_empty_or_missing(self):
        """FM-02: what a volume looks like when it is mounted."""
        (self.dir / "real/kept").mkdir(parents=True)
        (self.dir / "empty").mkdir()
        (self.dir / "linked").symlink_to("real")
        for name in ("real", "empty", "linked", "missing/below"):
            self.serve(storage={"type": "file", "dir": str(self.dir / name), "keep_days": 1})
            url = self.answer(response="url")["audio"]["url"]
            self.assertTrue(url.startswith(str(self.dir / name) + "/"), url)
            self.assertTrue(os.path.getsize(url) > 44)
            self.stop()
        self.assertTrue((self.dir / "real/kept").is_dir())


class HangingDisk(DiskCase):
    """FM-01: a mount whose server never answers, as a network disk that is gone."""

    def setUp(self):
        super().setUp()
        self.gone = self.dir / "gone"
        self.gone.mkdir()
        try:
            self.server = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            self.skipTest(f"a hanging disk cannot be made here: {error}")
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.server},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"gone", bytes(self.gone), b"fuse", 0, options) != 0:
            os.close(self.server)
            self.skipTest(f"a hanging disk cannot be mounted here: {os.strerror(ctypes.get_errno())}")
        self.addCleanup(self.unmount)
        no_leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # it waits for a thread that waits for the disk
        patch = unittest.mock.patch.dict(os.environ, ASAN_OPTIONS=no_leaks)
        patch.start()
        self.addCleanup(patch.stop)

    def unmount(self):
        if self.server is not None:
            subprocess.run(["umount", "-l", self.gone], check=True)
            os.close(self.server)  # whoever waits for it gets an error
            self.server = None

    def test_a_worker_answers_all_the_same(self):
        self.serve(paths={"voices": str(self.gone / "voices")})
        self.worker.wait_log(level="warn", component="disk", event="does not answer", dir=str(self.gone / "voices"))
        self.assertEqual(self.answer()["status"], "ok")
        for _ in range(2):
            dead, = [disk for disk in self.disks("voices") if "error" in disk]
            self.assertEqual(dead, {"dir": str(self.gone / "voices"), "uses": ["voices"], "error": "does not answer"})
        self.assertEqual(self.get("/ready")["state"], "ready")
        self.stop()

    def test_operations_that_hang_are_answered(self):
        """In their time, as a plugin that hangs; those behind them run, and the worker ends when it is told to."""
        plane = self.start_plane()
        worker = self.start_worker(plane, concurrency=2, paths={"voices": str(self.gone / "voices")},
                                   host={"job_timeout_s": 1, "cancel_grace_s": 0.5, "drain_s": 1})
        for operation in ({"op": "capabilities"}, {"op": "upload", "name": "Anna", "audio": LOW}, {"op": "voice_list"}):
            job = plane.wait(plane.submit({"input": operation}), TIMEOUT_S)
            self.assertEqual(job.state, "FAILED")
            report = json.loads(job.final["error"])
            self.assertEqual(report["error_code"], "timeout")
            self.assertIn("did not stop when asked: maybe a disk does not answer", report["error_message"])
            self.assertEqual(plane.wait(plane.submit(tone()), TIMEOUT_S).state, "COMPLETED")
        held = plane.submit({"input": {"op": "capabilities"}})
        plane.wait_for(lambda: plane.job(held).delivered, TIMEOUT_S)
        worker.stop()
        self.assertEqual(plane.job(held).state, "FAILED")

    def test_a_disk_that_comes_back_is_seen(self):
        self.serve(paths={"voices": str(self.gone / "voices")})
        self.worker.wait_log(event="does not answer")
        self.unmount()
        self.assertEqual([disk["uses"] for disk in self.disks()], [["cache", "voices", "callbacks"]])
        self.stop()


class FullDisk(DiskCase):
    SIZE_MB = 8

    def setUp(self):
        super().setUp()
        self.small = self.dir / "small"
        self.small.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.SIZE_MB}m", "tmpfs", self.small],
                              capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.small], check=True)

    def test_a_disk_that_is_full_leaves_nothing_half_written(self):
        """FM-07: ENOSPC in the middle of a file, with the threshold off."""
        jobs = [{"id": f"j{i}", "text": "x", "options": {"duration_ms": 60000}} for i in range(6)]  # 2.9 MB each
        self.one_batch(1, {"model_type": "tone", "sessions": 2}, out="small/out", host={"min_free_mb": 0}, jobs=jobs)
        results = self.by_id("small/out")
        made = {result["id"] for result in results.values() if result["status"] == "ok"}
        self.assertTrue(1 <= len(made) <= 2, made)
        for result in results.values():
            if result["status"] == "ok":
                audio = (self.small / "out" / result["audio"]["path"]).read_bytes()
                self.assertEqual(hashlib.sha256(audio).hexdigest(), result["audio"]["sha256"])
            else:
                self.assertEqual((result["error"]["code"], result["error"]["retryable"]), ("storage_failed", True))
                self.assertIn("No space left", result["error"]["message"])
        self.assertEqual(len(list((self.small / "out").glob("*.wav"))), len(made))
        self.assert_no_leftovers("small/out")

    def test_the_threshold_leaves_room(self):
        """FM-65: the same with a threshold: jobs are refused while there is still room for it."""
        jobs = [{"id": f"j{i}", "text": "x", "options": {"duration_ms": 20000}} for i in range(10)]  # 1 MB each
        self.one_batch(1, out="small/out", host={"min_free_mb": 4}, jobs=jobs)
        messages = [result["error"]["message"] for result in self.by_id("small/out").values() if "error" in result]
        self.assertTrue(2 <= len(messages) < len(jobs), messages)
        for message in messages:
            self.assertIn("host.min_free_mb wants 4", message)
        self.assertGreater(shutil.disk_usage(self.small).free, 2 * MB)

    def test_an_object_that_does_not_fit_is_refused_whole(self):
        self.serve(host={"min_free_mb": 1}, paths={"cache": str(self.dir / "roomy")}, worker={"audio_mb_max": 64},
                   storage={"type": "file", "dir": str(self.small / "st")})
        report = self.answer(response="url", duration_ms=200000)  # 9.6 MB
        self.assertEqual(report["error_code"], "storage_failed")
        self.assertIn("beside the 10 MB that are to be written", report["error_message"])
        self.assertEqual(self.names("small/st"), [])
        self.assertEqual(self.answer(response="url")["status"], "ok")


class Killed(DiskCase):
    FILES, ROUNDS = 3000, 6

    def kill_later(self, command, after_s):
        """Runs a command and kills it, unless it ends before."""
        process = subprocess.Popen([VOXHOST, *map(str, command)], env=environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
            return
        process.kill()
        process.wait(TIMEOUT_S)

    def hidden(self, folder):
        return sorted(path.name for path in (self.dir / folder).rglob(".*"))

    def test_killed_in_a_sweep_and_while_jobs_write_leaves_nothing_to_the_next(self):
        """FM-09."""
        st = self.dir / "st"
        for i in range(self.FILES):
            folder = st / f"u{i % 7}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"o{i}.wav").write_bytes(b"x")
            age(folder / f"o{i}.wav", 9)
        kept = self.old("st/u1/new.wav", 0.5)
        foreign = self.old("st/u1/notes.txt", 9)
        model = {"model_type": "tone", "sessions": 4}
        storage = {"type": "file", "dir": str(st), "key_template": TEMPLATE, "keep_days": 1}
        manifest = self.manifest(model, storage=storage)
        jobs = self.jobs(*({"id": f"j{i}", "text": "x", "options": {"duration_ms": 2000}} for i in range(400)))
        command = ("batch", "--manifest", manifest, "--jobs", jobs, "--out", self.dir / "out")
        for _ in range(self.ROUNDS):
            self.kill_later(command, 0.02 + 0.3 * random.random())
        self.one_batch(0, model, storage=storage)
        self.assertEqual(self.names("st"), ["u1/new.wav", "u1/notes.txt"])
        self.assertTrue(kept.exists() and foreign.exists())
        self.assert_no_leftovers("out")
        self.assertEqual(self.hidden("st"), [])
        self.assertEqual(self.hidden("cache"), [".voxhost.lock"])


if __name__ == "__main__":
    unittest.main()
