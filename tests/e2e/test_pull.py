"""`voxhost pull`: what it fetches, checks, records and refuses."""

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import unittest

from common import VOXHOST, environment, run
from hub_server import Blob
from teller import compile_teller
from pull_common import CHUNK, RECORD, REPO, TOKEN, PullCase, PulledCase, noise


class Basics(PullCase):
    FILES = {"model.safetensors": noise(CHUNK * 2 + 12345), "config.json": b"{}", "empty.txt": b"",
             "sub/deep/x y%20ü.bin": noise(5000, 2), "sub/git.txt": b"small\n"}

    def test_a_repository_lands_whole_checked_and_recorded(self):
        commit = self.hub.add(REPO, self.FILES, licence="apache-2.0")
        done = self.pull()
        self.assert_exit(done, 0)
        self.assert_pulled(self.FILES)
        self.assertIn("licence: apache-2.0", done.stdout)
        self.assertIn(str(self.into), done.stdout)
        record = self.record()
        self.assertEqual(record["version"], 1)
        [source] = record["sources"]
        self.assertEqual((source["repo"], source["revision"], source["commit"], source["licence"]),
                         (REPO, "main", commit, "apache-2.0"))
        self.assertEqual(source["endpoint"], self.hub.endpoint)
        self.assertRegex(source["date"], r"^20\d\d-\d\d-\d\dT")
        for entry in source["files"]:
            self.assertEqual(entry["sha256"], hashlib.sha256(self.FILES[entry["path"]]).hexdigest())
            self.assertEqual(entry["size"], len(self.FILES[entry["path"]]))
        self.assertEqual({entry["path"] for entry in source["files"]}, set(self.FILES))

    def test_large_files_come_in_ranges_over_several_connections(self):
        self.hub.add(REPO, {"big.bin": noise(CHUNK * 3 + 1)})
        self.hub.rate = 40 << 20
        self.assert_exit(self.pull("--jobs", 4), 0)
        ranges = {request.range for request in self.hub.requests("cdn")}
        self.assertEqual(ranges, {f"bytes={at}-{min(at + CHUNK, CHUNK * 3 + 1) - 1}" for at in range(0, CHUNK * 3 + 1, CHUNK)})

    def test_what_is_there_is_not_fetched_again(self):
        self.hub.add(REPO, self.FILES)
        self.assert_exit(self.pull(), 0)
        self.hub.log.clear()
        self.assert_exit(self.pull(), 0)
        self.assertEqual([request.path for request in self.hub.log], [f"/api/models/{REPO}/revision/main"])

    def test_files_that_another_hand_put_there_are_checked_not_fetched(self):
        data = noise(100000)
        self.hub.add(REPO, {"a.bin": data, "b.bin": data[::-1]})
        self.write("into/a.bin", data)
        self.write("into/b.bin", b"\0" * len(data))
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": data, "b.bin": data[::-1]})
        self.assertEqual(len(self.hub.requests("cdn")), 1)

    def test_a_new_commit_replaces_what_changed(self):
        self.hub.add(REPO, {"a.bin": noise(9000), "b.bin": noise(9000, 2)})
        self.assert_exit(self.pull(), 0)
        self.hub.log.clear()
        commit = self.hub.add(REPO, {"a.bin": noise(9000), "b.bin": noise(9000, 3)})
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": noise(9000), "b.bin": noise(9000, 3)})
        self.assertEqual(len(self.hub.requests("cdn")), 1)
        [source] = self.record()["sources"]
        self.assertEqual(source["commit"], commit)

    def test_a_revision_may_be_a_tag_a_pull_request_or_a_commit(self):
        first = self.hub.add(REPO, {"a.txt": b"one"}, revision="v1.0")
        self.hub.add(REPO, {"a.txt": b"two"}, revision="refs/pr/1")
        for revision, text in (("v1.0", b"one"), ("refs/pr/1", b"two"), (first, b"one")):
            self.assert_exit(self.pull(name=f"{REPO}@{revision}"), 0)
            self.assert_pulled({"a.txt": text})

    def test_include_and_exclude_choose(self):
        self.hub.add(REPO, {"a/x.bin": b"1", "a/y.txt": b"2", "b/x.bin": b"3", "c.bin": b"4"})
        self.assert_exit(self.pull("--include", "*.bin", "--exclude", "b/"), 0)
        self.assert_pulled({"a/x.bin": b"1", "c.bin": b"4"})
        self.assert_exit(self.pull("--include", "a/*"), 0)
        self.assert_pulled({"a/x.bin": b"1", "a/y.txt": b"2", "c.bin": b"4"})
        [source] = self.record()["sources"]
        self.assertEqual(sorted(entry["path"] for entry in source["files"]), ["a/x.bin", "a/y.txt", "c.bin"])
        self.assert_failed(self.pull("--include", "*.gguf"), "no file matches", code=2)

    def test_a_renamed_repository_is_followed(self):
        self.hub.add("new/name", {"a.bin": noise(5000)})
        self.hub.add(REPO, {}, moved_to="new/name")
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": noise(5000)})

    def test_hf_endpoint_names_the_hub(self):
        self.hub.add(REPO, {"a.txt": b"x"})
        done = run("pull", REPO, "--dir", self.into, env={"HF_ENDPOINT": self.hub.endpoint + "/"})
        self.assert_exit(done, 0)
        self.assert_pulled({"a.txt": b"x"})

    def test_progress_is_json_lines_or_a_bar_on_a_terminal(self):
        self.hub.add(REPO, {"big.bin": noise(4 << 20)})
        done = self.pull()
        self.assert_exit(done, 0)
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        last = [line for line in lines if line.get("event") == "downloading" or line.get("msg") == "downloading"]
        self.assertEqual(json.loads(done.stderr.splitlines()[-1]).get("bytes"), 4 << 20, last)
        controller, terminal = pty.openpty()
        done = subprocess.run([VOXHOST, "pull", REPO, "--endpoint", self.hub.endpoint, "--dir", str(self.dir / "2")],
                              env=environment(), stderr=terminal, stdout=subprocess.PIPE, timeout=60)
        os.close(terminal)
        shown = os.read(controller, 100000).decode()
        os.close(controller)
        self.assertEqual(done.returncode, 0)
        self.assertIn("100.0%", shown)
        self.assertIn("1 of 1 files", shown)


class Known(PullCase):
    F5 = {"F5TTS_v1_Base/model_1250000.safetensors": noise(10000), "F5TTS_v1_Base/vocab.txt": b" \nA\n",
          "F5TTS_Base/model_1200000.safetensors": noise(10000, 2), "README.md": b"#"}
    VOCOS = {"config.yaml": b"a: 1", "pytorch_model.bin": noise(8000, 3), "README.md": b"#"}
    IN_PLACE = {"model_1250000.safetensors": F5["F5TTS_v1_Base/model_1250000.safetensors"], "vocab.txt": b" \nA\n",
                "vocos/config.yaml": b"a: 1", "vocos/pytorch_model.bin": VOCOS["pytorch_model.bin"]}

    def setUp(self):
        super().setUp()
        self.hub.add("SWivid/F5-TTS", self.F5, licence="cc-by-nc-4.0")
        self.hub.add("charactr/vocos-mel-24khz", self.VOCOS, licence="mit")

    def test_f5tts_lies_where_its_manifest_expects_it(self):
        """FM-45: the loader and the downloader use the same directory. FM-44, FM-10: whatever HF_HOME says."""
        home = self.dir / "hf"
        manifest = self.write("configs/f5.yaml", json.dumps({
            "version": 1, "paths": {"models": "../models", "cache": "../cache"},
            "models": [{"model_type": "narrator", "aliases": ["n"], "plugin": "f5tts.so", "model_dir": "f5"}]}))
        for name in ("f5tts", "narrator", "N"):
            done = run("pull", name, "--manifest", manifest, "--endpoint", self.hub.endpoint,
                       env={"HF_HOME": str(home), "HF_HUB_CACHE": str(home), "TRANSFORMERS_CACHE": str(home),
                            "HOME": str(self.dir / "home")})
            self.assert_exit(done, 0)
            self.assert_pulled(self.IN_PLACE, self.dir / "models/f5")
            self.assertIn(str(self.dir / "models/f5"), done.stdout)
            self.assertIn("not for commercial use", done.stdout)
        self.assertFalse(home.exists())
        self.assertFalse((self.dir / "home").exists())
        shown = json.loads(run("config", "--manifest", manifest, "--json").stdout)
        self.assertEqual(shown["models"][0]["model_dir"]["value"], str(self.dir / "models/f5"))
        licences = {source["repo"]: source["licence"] for source in self.record(self.dir / "models/f5")["sources"]}
        self.assertEqual(set(licences), {"SWivid/F5-TTS", "charactr/vocos-mel-24khz"})

    def test_what_was_pulled_is_what_the_loader_is_given(self):
        """FM-45: end to end, with the manifest that says where, and with a tier that holds it already."""
        plugin = self.dir / "f5tts.so"
        compile_teller(plugin, self.dir)
        for tiers in ([], ["volume"]):
            manifest = self.manifest({"model_type": "m", "plugin": str(plugin)}, paths={"models": "models", "model_tiers": tiers})
            place = self.dir / ("volume" if tiers else "models") / "m"
            if tiers:
                shutil.move(self.dir / "models/m", place)
                (place / "vocab.txt").unlink()
            self.assert_exit(run("pull", "f5tts", "-m", manifest, "--endpoint", self.hub.endpoint), 0)
            self.assert_pulled(self.IN_PLACE, place)
            done = run("speak", "-m", manifest, "x", "-o", self.dir / "x.wav")
            self.assertRegex(done.stderr, re.escape(f"given {place}") + r"(?![\w/])")
            (self.dir / "volume").mkdir(exist_ok=True)

    def test_without_a_manifest_the_built_in_one_says_where(self):
        done = run("pull", "f5tts", "--endpoint", self.hub.endpoint, env={"VOXHOST_MODELS": str(self.dir / "m")})
        self.assert_exit(done, 0)
        self.assert_pulled(self.IN_PLACE, self.dir / "m/f5tts")

    def test_a_file_that_was_moved_away_is_an_error(self):
        self.hub.add("charactr/vocos-mel-24khz", {"config.yaml": b"a: 1"})
        self.assert_failed(self.pull(name="f5tts"), "charactr/vocos-mel-24khz", "pytorch_model.bin")
        self.assertFalse(self.into.exists())

    def test_offline_wants_every_file_of_the_model(self):
        """FM-79: nothing is downloaded that was not asked for."""
        self.assert_exit(self.pull("--include", "*vocab.txt", "--include", "*config.yaml", name="f5tts"), 0)
        self.hub.log.clear()
        self.assert_failed(self.pull("--offline", name="f5tts"), "model_1250000.safetensors", "offline")
        self.assert_failed(self.pull(name="f5tts", env={"HF_HUB_OFFLINE": "1"}), "model_1250000.safetensors")
        self.assertEqual(self.hub.log, [])
        self.assert_exit(self.pull(name="f5tts"), 0)
        self.hub.log.clear()
        self.assert_exit(self.pull("--offline", name="f5tts"), 0)
        (self.into / "vocos/config.yaml").unlink()
        self.assert_failed(self.pull("--offline", name="f5tts"))
        self.assertEqual(self.hub.log, [])

    def test_names_that_are_neither_model_nor_repository(self):
        """FM-89: a path is not a repository id, and says so."""
        self.assert_failed(self.pull(name="f5ttts"), "neither a known model (f5tts, chatterbox", code=2)
        (self.dir / "models").mkdir()
        for name in (str(self.dir / "models"), "./models/f5", "../f5", "~/f5"):
            self.assert_failed(self.pull(name=name), "is a path", "--dir", code=2)
        for name in ("a/b/c", "a/..", "a/b@", "a/b@x y", "a/-b", "a/b?c", "/b", "a/", "ä/b", "a/" + "b" * 200, "a" * 10000):
            self.assert_exit(self.pull(name=name), 2)
        self.assert_exit(run("pull"), 2)
        self.assertEqual(self.hub.log, [])


class Tokens(PullCase):
    def test_a_line_end_behind_the_token_is_no_part_of_it(self):
        self.hub.add(REPO, {"a.bin": noise(9000)}, token=TOKEN)
        self.assert_exit(self.pull(env={"HF_TOKEN": TOKEN + "\n"}), 0)
        self.assertEqual({request.authorization for request in self.hub.requests("hub")}, {f"Bearer {TOKEN}"})
        self.hub.add("owner/open", {"a.bin": noise(9000)})
        self.assert_exit(self.pull(name="owner/open", env={"HF_TOKEN": "\n"}), 0)

    def test_a_token_that_has_expired_is_said_to_be_the_reason(self):
        """The hub answers 401 for a repository that anybody may read."""
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.hub_statuses = [(401, {"X-Error-Message": "Invalid credentials in Authorization header"})]
        self.assert_failed(self.pull(env={"HF_TOKEN": TOKEN}), "does not take the token of HF_TOKEN", "renew it")

    def test_the_token_goes_to_the_hub_alone_and_is_shown_nowhere(self):
        self.hub.add(REPO, {"big.bin": noise(CHUNK + 7), "small.txt": b"x"}, token=TOKEN)
        self.hub.cdn_statuses = [(500, {})]
        done = self.pull("--set", "host.log_level=debug", env={"HF_TOKEN": TOKEN})
        self.assert_exit(done, 0)
        self.assertEqual({request.authorization for request in self.hub.requests("hub")}, {f"Bearer {TOKEN}"})
        self.assertEqual({request.authorization for request in self.hub.requests("cdn")}, {None})
        self.assertNotIn(TOKEN, done.stdout + done.stderr)
        for data in self.files().values():
            self.assertNotIn(TOKEN.encode(), data)

    def test_a_listing_that_redirects_elsewhere_does_not_take_the_token_along(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.hub_statuses = [(307, {"Location": f"{self.hub.cdn}/repos/x"})]
        self.assert_exit(self.pull(env={"HF_TOKEN": TOKEN}), 1)
        self.assertEqual({request.authorization for request in self.hub.requests("cdn")}, {None})

    def test_a_token_that_would_be_two_headers_is_refused(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        for token in ("a\r\nX-Evil: 1", "a b", "ä", "x" * 1000):
            self.assert_failed(self.pull(env={"HF_TOKEN": token}), "HF_TOKEN", code=2)
        self.assertEqual(self.hub.log, [])


class Disk(PullCase):
    def test_a_full_disk_is_found_before_the_first_byte(self):
        """FM-65, FM-07: space is checked before a download, and the message says what to do."""
        huge = {"sha256": "a" * 64, "size": 1 << 40, "pointerSize": 100}
        self.hub.add(REPO, {"a.bin": Blob("a.bin", noise(9000), fields={"lfs": huge})})
        done = self.pull("--set", "host.min_free_mb=100000")
        self.assert_failed(done, "MB free", "min_free_mb", "--dir")
        self.assertEqual(self.hub.requests("cdn"), [])
        self.assertEqual(self.files(), {})

    def test_a_directory_that_cannot_be_written_is_an_error(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.write("file", "x")
        self.assert_failed(self.pull(into=self.dir / "file/sub"), "file")

    def test_no_room_while_writing_is_an_error_that_names_the_file(self):
        self.hub.add(REPO, {"a.bin": noise(3 << 20)})
        done = subprocess.run(["bash", "-c", 'ulimit -f 1024; trap "" XFSZ; exec "$@"', "-", VOXHOST, "pull", REPO,
                               "--endpoint", self.hub.endpoint, "--dir", str(self.into)], env=environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assert_failed(done, "a.bin.part", "File too large")


class Verifying(PulledCase):
    def verify(self, *args):
        return run("pull", "--verify", "--dir", self.into, *args)

    def test_verify_finds_a_flipped_bit_a_missing_and_a_cut_file(self):
        """FM-75: what a model needs is listed with size and digest, and checked."""
        done = self.verify()
        self.assert_exit(done, 0)
        self.assertIn("ok    a.bin", done.stdout)
        data = bytearray(self.FILES["a.bin"])
        data[123456] ^= 4
        self.write("into/a.bin", bytes(data))
        done = self.verify()
        self.assert_failed(done, "1 of 2 files")
        self.assertIn("WRONG a.bin: has the SHA-256", done.stdout)
        self.write("into/a.bin", bytes(data[:-1]))
        self.assertIn("WRONG a.bin: has 199999 bytes, expected 200000", self.verify().stdout)
        (self.into / "a.bin").unlink()
        self.assertIn("WRONG a.bin: is missing", self.verify(REPO).stdout)
        self.assert_exit(self.verify("--exclude", "a.bin"), 0)
        self.assertEqual(self.hub.log, [], "the network was asked")

    def test_a_directory_without_a_record_or_with_a_damaged_one_is_an_error(self):
        self.assert_failed(self.verify("other/repo"), "no file of other/repo is recorded")
        self.assert_failed(run("pull", "--verify", "--dir", self.dir / "none"), "has no voxhost-pull.json")
        record = self.into / RECORD
        text = record.read_text()
        for damaged in ("", "{}", text[:-20], text.replace("a.bin", "../a.bin"), text.replace('"version":1', '"version":2')):
            record.write_text(damaged)
            self.assert_failed(self.verify(), RECORD)
            self.assert_failed(self.pull(), RECORD)

    def test_offline_takes_what_is_there_and_names_what_is_not(self):
        self.assert_exit(self.pull("--offline"), 0)
        self.assert_failed(self.pull("--offline", name="other/repo"), "other/repo")
        self.assert_failed(self.pull("--offline", name=f"{REPO}@v2"), f"{REPO}@v2")
        (self.into / "sub/b.txt").unlink()
        done = self.pull(env={"HF_HUB_OFFLINE": "TRUE"})
        self.assert_failed(done, "offline")
        self.assertIn("sub/b.txt: is missing", done.stdout)
        self.assertEqual(self.hub.log, [])


if __name__ == "__main__":
    unittest.main()
