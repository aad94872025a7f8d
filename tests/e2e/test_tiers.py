"""Where a model is found among several directories and buckets (paths.model_tiers), and the copy that is made of it."""

import fcntl
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time
import unittest

from common import VOXHOST, Case, environment, run
from s3_server import Object, S3Server
from teller import compile_teller

PYTHON = os.environ.get("VOXHOST_STORAGE_PYTHON")


class TierCase(Case):
    def setUp(self):
        super().setUp()
        self.plugin = compile_teller(self.dir / "teller.so", self.dir)
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

    def test_a_model_that_is_not_as_it_was_pulled_is_not_copied(self):
        """FM-75: the copy would hide the tier after it was mended."""
        files = {name: (self.dir / "volume/m" / name).read_bytes() for name in ("w.bin", "sub/vocab.txt")}
        entries = [{"path": name, "from": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                   for name, data in files.items()]
        record = json.dumps({"version": 1, "sources": [{"repo": "owner/name", "revision": "main", "commit": "a" * 40,
                                                        "licence": "mit", "files": entries}]})
        wrong = record.replace('"path": "w.bin",', '"path": "w.bin", "wrong": true,')
        size = len(self.data)
        manifest = self.tiers("volume", copy_up=True)
        for data, text, reason in ((self.data[:-1], record, f"w.bin has {size - 1} bytes, expected {size}"),
                                   (self.data, wrong, "w.bin is not as recorded, as voxhost pull --verify found"),
                                   (self.data, "{}", "is no record of a pull")):
            with self.subTest(reason=reason):
                self.write("volume/m/w.bin", data)
                self.write("volume/m/voxhost-pull.json", text)
                done = self.assert_given(manifest, "volume/m")
                [line] = [line for line in done.stderr.splitlines() if "model not copied up" in line]
                self.assertIn(reason, line)
                self.assertIn("pull it there again", line)
                self.assertEqual(list((self.dir / "local").iterdir()), [])
        self.write("volume/m/voxhost-pull.json", record)
        os.utime(self.dir / "volume/m/w.bin", (1, 1700000000))
        self.assert_given(manifest, "local/m")
        self.assert_copied()

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


class BucketCase(TierCase):
    """A tier that is a bucket, of the S3 that checks every signature."""

    def setUp(self):
        super().setUp()
        self.server = S3Server(bucket="weights")
        self.server.http.handle_error = lambda *args: None  # clients that are killed
        self.server.__enter__()
        self.addCleanup(self.server.__exit__)
        self.files = {"w.bin": random.Random(2).randbytes(20 << 20), "vocab.txt": b"a\nb\n", "empty": b"",
                      "sub/deep/x y%20\u00fc.bin": random.Random(3).randbytes(5000)}

    def put(self, files, prefix="models/m/"):
        for name, data in files.items():
            etag = '"%s"' % hashlib.md5(data).hexdigest()
            self.server.objects[prefix + name] = Object(data, "application/octet-stream", {}, etag, 1700000000)

    def record(self, files, **wrong):
        """What `voxhost pull` would have written."""
        entries = [{"path": name, "from": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                   for name, data in files.items()]
        source = {"repo": "owner/name", "revision": "main", "commit": "a" * 40, "licence": "mit", "files": entries, **wrong}
        return json.dumps({"version": 1, "sources": [source]}).encode()

    def storage(self, **more):
        return {"type": "s3", "endpoint": self.server.endpoint, "bucket": "results", "region": self.server.region,
                "access_key": self.server.access_key, "secret_key": self.server.secret_key, "path_style": True, **more}

    def bucket(self, *tiers, storage=None, model=None, **paths):
        paths = {"models": "local", "model_tiers": list(tiers or ["s3://weights/models"]), "copy_up": True, **paths}
        return self.manifest({"model_type": "m", "plugin": str(self.plugin), **(model or {})}, paths=paths,
                             storage=storage or self.storage(), host={"min_free_mb": 1})

    def fetched(self, folder="local/m"):
        folder = self.dir / folder
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def assert_fetched(self, files=None):
        self.assertEqual({name: hashlib.sha256(data).hexdigest() for name, data in self.fetched().items()},
                         {name: hashlib.sha256(data).hexdigest() for name, data in (files or self.files).items()})
        self.assertEqual([path.name for path in (self.dir / "local").iterdir()], ["m"])

    def gets(self):
        return [key for method, key, status, _ in self.server.log if method == "GET" and key and status in (200, 206)]

    def assert_not_loaded(self, manifest, *texts):
        done = self.speak(manifest)
        self.assertNotEqual(done.returncode, 0)
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertFalse((self.dir / "local/m").exists())
        self.assertNotIn(self.server.secret_key, done.stdout + done.stderr)
        return done


class Bucket(BucketCase):
    def test_a_model_of_a_bucket_is_fetched_and_loaded_from_disk(self):
        self.put(self.files)
        self.put({"w.bin": b"other"}, prefix="models/m2/")
        done = self.assert_given(self.bucket(), "local/m", "--set", "host.log_level=debug")
        self.assertIn("model fetched from its bucket", done.stderr)
        self.assert_fetched()
        self.assertEqual((self.dir / "local/m/w.bin").stat().st_mtime, 1700000000)
        self.server.log.clear()
        self.assert_given(self.bucket(), "local/m")
        self.assertEqual(self.server.log, [], "the bucket was asked for what is on disk")

    def test_directories_win_and_no_bucket_is_asked(self):
        self.put(self.files)
        self.write("volume/m/w.bin", "volume")
        self.assert_given(self.bucket("volume", "s3://weights/models", copy_up=False), "volume/m")
        self.assertEqual(self.server.log, [])

    def test_the_first_bucket_that_holds_it_whole_wins(self):
        self.put({"w.bin": b"x", "voxhost-pull.part": b""}, prefix="half/m/")
        self.put({"w.bin": b"third"}, prefix="m/")
        done = self.assert_given(self.bucket("s3://weights/none/", "s3://weights/half", "s3://weights"), "local/m")
        self.assertIn("not whole", done.stderr)
        self.assert_fetched({"w.bin": b"third"})

    def test_a_model_that_no_bucket_holds_is_left_to_its_plugin(self):
        done = self.assert_given(self.bucket(), "local/m")
        self.assertIn("local/m does not exist", done.stderr)
        self.assertEqual(list((self.dir / "local").iterdir()), [])

    def test_what_a_pull_recorded_is_checked(self):
        """FM-75: size and digest of what a model needs are checked before it is loaded."""
        self.put({**self.files, "voxhost-pull.json": self.record(self.files)})
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched({**self.files, "voxhost-pull.json": self.record(self.files)})
        shutil.rmtree(self.dir / "local/m")
        self.put({"w.bin": self.files["w.bin"][:-1] + b"?"})
        self.assert_not_loaded(self.bucket(), "w.bin", "SHA-256", "s3://weights/models/m")
        self.put({"w.bin": self.files["w.bin"]})
        del self.server.objects["models/m/vocab.txt"]
        self.assert_not_loaded(self.bucket(), "vocab.txt is missing, by its voxhost-pull.json")
        self.put({"vocab.txt": self.files["vocab.txt"], "voxhost-pull.json": b"{}"})
        self.assert_not_loaded(self.bucket(), "is no record of a pull")

    def test_without_copy_up_it_says_what_to_set(self):
        self.put(self.files)
        for copy_up, text in ((True, "is loaded"), (False, "is loaded, if paths.copy_up is set to true")):
            done = run("doctor", "-m", self.bucket(copy_up=copy_up), "--json")
            [advice] = [check["advice"] for check in json.loads(done.stdout)["checks"] if "model_dir" in check["message"]]
            self.assertEqual(advice, f"s3://weights/models is asked for it when the model {text}")
        self.assert_not_loaded(self.bucket(copy_up=False), "s3://weights/models/m", "paths.copy_up", "set it to true",
                               f"model_dir {self.dir / 'local/m'} does not exist")
        self.assertEqual(self.gets(), [])

    def test_without_room_nothing_is_fetched(self):
        """FM-07, FM-65: space is checked before the first byte."""
        self.put(self.files)
        manifest = self.bucket()
        done = self.speak(manifest, "--set", f"host.min_free_mb={1 << 23}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("host.min_free_mb", done.stderr)
        self.assertEqual(self.gets(), [])
        self.assertFalse((self.dir / "local/m").exists())

    def test_servers_that_fail_leave_no_model_and_lose_nothing_that_was_whole(self):
        self.put(self.files)
        self.put({f"small{i}": b"x" * i for i in range(1, 9)})
        self.files.update({f"small{i}": b"x" * i for i in range(1, 9)})
        self.server.get_faults.extend(["ok"] * 8 + ["403"] * 40)  # the list and some files, then nothing more
        self.assert_not_loaded(self.bucket(), "s3://weights/models/m", "AccessDenied")
        here = {f"models/m/{name}" for name in self.fetched("local/.m.copy")}
        self.server.get_faults.clear()
        self.server.log.clear()
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched()
        self.assertEqual(here & set(self.gets()), set(), "what was whole was fetched again")

    def test_cut_and_reset_connections_are_tried_again(self):
        self.put(self.files)
        self.server.get_faults.extend(["ok", "cut", "500", "slow", "reset"])
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched()

    def test_wrong_keys_and_missing_sections_say_so(self):
        self.put(self.files)
        self.assert_not_loaded(self.bucket(storage=self.storage(secret_key="wrong")), "SignatureDoesNotMatch")
        self.assert_not_loaded(self.bucket("s3://nobucket/x"), "s3://nobucket/x/m", "NoSuchBucket")
        self.assert_not_loaded(self.bucket(storage={"type": "file", "dir": "out"}), "storage names no S3 service")

    def test_what_lies_in_the_way_is_not_touched(self):
        self.put(self.files)
        self.write("local/m/w.bin.part", "half")
        done = self.speak(self.bucket())
        self.assertIn("is in the way", done.stderr)
        self.assertEqual(self.fetched(), {"w.bin.part": b"half"})
        (self.dir / "local/m/w.bin.part").unlink()
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched()

    def test_keys_that_lead_elsewhere_are_no_files_of_it(self):
        self.put({"w.bin": b"x", "../../evil": b"y", "a//b": b"y", "sub/": b"", "/etc/x": b"y"})
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched({"w.bin": b"x"})
        self.assertFalse((self.dir / "evil").exists())

    def test_several_processes_fetch_once(self):
        """FM-33"""
        self.put(self.files)
        command = [VOXHOST, "speak", "-m", str(self.bucket()), "x", "-o", str(self.dir / "x.wav")]
        running = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for _ in range(4)]
        for process in running:
            out, err = process.communicate(timeout=120)
            self.assertIn(f"given {self.dir / 'local/m'}", out + err)
        self.assert_fetched()
        self.assertEqual(len(self.gets()), len(self.files), "w.bin has two ranges, the empty file none")

    def test_who_fetches_is_waited_for_by_a_lock_that_network_disks_know(self):
        """FM-33: a file is locked, since many such disks lock no directories, or not for other machines."""
        self.put(self.files)
        held = self.write("local/.copy.lock", "").open("r+b")
        self.addCleanup(held.close)
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen([VOXHOST, "speak", "-m", str(self.bucket()), "x", "-o", str(self.dir / "x.wav"),
                                    "--set", "host.log_level=debug"],
                                   env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        waited = any("waiting" in line for line in process.stderr)
        self.assertTrue(waited, "it did not wait")
        self.assertEqual(self.gets(), [])
        fcntl.flock(held, fcntl.LOCK_UN)
        process.communicate(timeout=60)
        self.assert_fetched()

    def test_kill_in_the_middle_leaves_no_half_model(self):
        """FM-33: nothing that was killed counts as a model, and no lock outlives its holder."""
        self.put({**self.files, "voxhost-pull.json": self.record(self.files)})
        command = [VOXHOST, "speak", "-m", str(self.bucket()), "x", "-o", str(self.dir / "x.wav")]
        for _ in range(8):
            process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if (self.dir / "local/m").exists():
                self.assert_fetched({**self.files, "voxhost-pull.json": self.record(self.files)})
                shutil.rmtree(self.dir / "local/m")
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched({**self.files, "voxhost-pull.json": self.record(self.files)})

    def test_a_signal_ends_it_while_a_server_hangs(self):
        self.put(self.files)
        self.server.get_faults.extend(["ok"] + ["stall"] * 8)
        process = subprocess.Popen([VOXHOST, "speak", "-m", str(self.bucket()), "x", "-o", str(self.dir / "x.wav")],
                                   env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.kill)
        end = time.monotonic() + 60
        while self.server.get_faults and len(self.server.get_faults) > 5 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 143)
        self.assertFalse((self.dir / "local/m").exists())
        self.server.get_faults.clear()
        self.assert_given(self.bucket(), "local/m")
        self.assert_fetched()

    def test_manifests_that_cannot_be_meant_are_refused(self):
        """FM-36: a key that would do nothing is an error."""
        for tier in ("s3://", "s3:///x",  "s3://b/../x", "s3://b//x", "s3://u:p@b/x", "gs://b/x", "s3://b/x?y"):
            done = self.speak(self.bucket(tier))
            self.assert_exit(done, 2)
            self.assertIn(f'paths.model_tiers[0]: expected a directory or s3://BUCKET/PREFIX, got "{tier}"', done.stderr)
        done = self.speak(self.bucket("s3://weights/models", "volume"))
        self.assert_exit(done, 2)
        self.assertIn("expected the directories first", done.stderr)


@unittest.skipUnless(PYTHON and pathlib.Path(PYTHON).exists(), "VOXHOST_STORAGE_PYTHON names no interpreter with moto")
class BucketOfMoto(BucketCase):
    def test_a_model_comes_from_a_server_that_others_wrote(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        moto = subprocess.Popen([PYTHON, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        self.addCleanup(moto.wait)
        self.addCleanup(moto.kill)
        script = self.write("fill.py", "import boto3, sys, pathlib, time, botocore\n"
                            "s3 = boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id='k', aws_secret_access_key='s',\n"
                            "                  region_name='us-east-1')\n"
                            "for _ in range(300):\n"
                            "    try:\n        s3.create_bucket(Bucket='weights'); break\n"
                            "    except botocore.exceptions.EndpointConnectionError:\n        time.sleep(0.1)\n"
                            "root = pathlib.Path(sys.argv[2])\n"
                            "for path in root.rglob('*'):\n"
                            "    if path.is_file():\n        s3.upload_file(str(path), 'weights', 'a/m/' + str(path.relative_to(root)))\n")
        for name, data in self.files.items():
            self.write(f"original/{name}", data)
        endpoint = f"http://127.0.0.1:{port}"
        subprocess.run([PYTHON, script, endpoint, self.dir / "original"], check=True, timeout=120)
        self.assert_given(self.bucket("s3://weights/a", storage=self.storage(endpoint=endpoint)), "local/m")
        self.assert_fetched()


class Weights(TierCase):
    """What is said when a model's files are not there, or not what `voxhost pull` brought."""

    def model(self, plugin="f5tts.so", **more):
        shutil.copy(self.plugin, self.dir / plugin)
        return self.manifest({"model_type": "m", "plugin": str(self.dir / plugin), "model_dir": "m", **more},
                             paths={"models": "local", "cache": "cache"})

    def pulled(self, files):
        entries = [{"path": name, "from": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                   for name, data in files.items()]
        for name, data in files.items():
            self.write(f"local/m/{name}", data)
        self.write("local/m/voxhost-pull.json", json.dumps({"version": 1, "sources": [
            {"repo": "owner/name", "revision": "main", "commit": "a" * 40, "licence": "mit", "files": entries}]}))

    def doctor(self, manifest, *args):
        done = run("doctor", "-m", manifest, "--json", *args)
        checks = [check for check in json.loads(done.stdout)["checks"] if check["subject"] == "model m"]
        return done.returncode, {check["message"]: (check["level"], check["advice"]) for check in checks
                                 if "model_dir" in check["message"] or "weights" in check["message"]}

    def test_a_missing_directory_names_the_pull_that_fills_it(self):
        """FM-75, FM-89: a path that is missing is said to be missing, and is no repository."""
        manifest, place = self.model(), self.dir / "local/m"
        done = self.speak(manifest)
        self.assert_exit(done, 3)
        self.assertIn(f"model_dir {place} does not exist: voxhost pull f5tts --dir {place} fetches it", done.stderr)
        _, found = self.doctor(manifest)
        self.assertEqual(list(found.values()), [("warn", f"voxhost pull f5tts --dir {place} fetches it")])
        place.mkdir()
        self.assertIn(f"model_dir {place} is empty: voxhost pull f5tts --dir {place} fetches it", self.speak(manifest).stderr)
        self.write("local/m/voxhost-pull.part", "")
        self.assertIn("holds a pull that was not completed: voxhost pull f5tts", self.speak(manifest).stderr)
        code, found = self.doctor(manifest)
        self.assertEqual((code, found[f"weights: a pull into {place} was not completed"][0]), (1, "fail"))
        (place / "voxhost-pull.part").unlink()
        self.write("local/m/w.bin", b"x")
        self.assertNotIn("voxhost pull", self.speak(manifest).stderr, "nothing is known to be wrong with it")

    def test_a_plugin_that_nobody_knows_gets_no_pull(self):
        done = self.speak(self.model("teller2.so"))
        self.assertIn("does not exist: put the model's files there, or set model_dir", done.stderr)

    def test_a_loop_of_links_is_said_to_be_one(self):
        """FM-46"""
        manifest = self.model()
        (self.dir / "local/m").symlink_to("m2")
        (self.dir / "local/m2").symlink_to("m")
        self.assertIn("Too many levels of symbolic links", self.speak(manifest).stderr)
        code, found = self.doctor(manifest)
        self.assertIn("Too many levels of symbolic links", list(found)[0])

    def test_files_that_are_not_as_recorded_are_found(self):
        """FM-75: sizes by default and before a load, digests when asked for."""
        files = {"w.bin": b"weights", "sub/vocab.txt": b"a\nb\n"}
        manifest = self.model()
        self.pulled(files)
        code, found = self.doctor(manifest)
        self.assertEqual(code, 0)
        self.assertIn("weights: 2 files are as voxhost pull recorded them (sizes; --weights reads them)", found)
        self.write("local/m/w.bin", b"wEights")
        self.assertEqual(self.doctor(manifest)[0], 0)
        code, found = self.doctor(manifest, "--weights")
        self.assertEqual(code, 1)
        [(message, (level, advice))] = [item for item in found.items() if "w.bin" in item[0]]
        self.assertIn("has the SHA-256", message)
        place = self.dir / "local/m"
        self.assertEqual((level, advice), ("fail", f"voxhost pull --verify --dir {place} notes what is wrong, then "
                                                   f"voxhost pull f5tts --dir {place} mends it"))
        self.write("local/m/w.bin", b"weight")
        (self.dir / "local/m/sub/vocab.txt").unlink()
        code, found = self.doctor(manifest)
        self.assertEqual(code, 1)
        self.assertEqual(found["weights: w.bin has 6 bytes, expected 7"][0], "fail")
        self.assertEqual(found["weights: sub/vocab.txt is missing"][0], "fail")
        done = self.speak(manifest)
        self.assertIn("w.bin has 6 bytes, expected 7: voxhost pull f5tts", done.stderr)
        self.assertIn("not as voxhost pull recorded it", done.stderr)
        self.write("local/m/voxhost-pull.json", "{}")
        code, found = self.doctor(manifest)
        self.assertEqual(code, 1)
        self.assertIn("is no record of a pull", str(found))


if __name__ == "__main__":
    unittest.main()
