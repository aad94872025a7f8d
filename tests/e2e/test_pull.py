"""`voxhost pull` against a hub that misbehaves: what it fetches, checks, resumes, shares, records and refuses."""

import fcntl
import hashlib
import json
import os
import pathlib
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from common import VOXHOST, Case, environment, run
from hub_server import Blob, HubServer
from teller import compile_teller

REPO = "owner/name"
CHUNK = 16 << 20  # hub_private.h
TOKEN = "hf_testtoken123"
RECORD = "voxhost-pull.json"


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class PullCase(Case):
    def setUp(self):
        super().setUp()
        self.hub = HubServer()
        self.addCleanup(self.hub.__exit__)
        self.into = self.dir / "into"

    def pull(self, *args, name=REPO, env=None, into=None, **kw):
        return run("pull", name, "--endpoint", self.hub.endpoint, "--dir", into or self.into, *args, env=env, **kw)

    def start(self, *args, name=REPO, env=None, **kw):
        return subprocess.Popen([VOXHOST, "pull", name, "--endpoint", self.hub.endpoint, "--dir", str(self.into), *args],
                                env=environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **kw)

    def files(self, folder=None):
        folder = folder or self.into
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def record(self, folder=None):
        return json.loads(((folder or self.into) / RECORD).read_text())

    def assert_pulled(self, files, folder=None):
        """These files and the record, and nothing else: no part, state or lock is left."""
        found = self.files(folder)
        found.pop(RECORD)
        self.assertEqual({path: hashlib.sha256(data).hexdigest() for path, data in found.items()},
                         {path: hashlib.sha256(data).hexdigest() for path, data in files.items()})

    def assert_failed(self, done, *texts, code=1):
        self.assert_exit(done, code)
        self.assertNotIn("Traceback", done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        complaint = [line for line in done.stderr.splitlines() if line.startswith("voxhost: ")]
        self.assertEqual(len(complaint), 1, done.stderr)

    def wait_for(self, what, timeout=60):
        end = time.monotonic() + timeout
        while not what():
            self.assertLess(time.monotonic(), end, "it did not happen")
            time.sleep(0.01)


# Pulls from a hub at a public address, that leads to 127.0.0.1 and then to itself; prints what came of it.
REDIRECTS = """
import fcntl, json, socket, struct, subprocess, sys
folder, voxhost, into = sys.argv[1:]
sys.path.insert(0, folder)
from hub_server import HubServer

PUBLIC = "93.184.216.34"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS: up
    fcntl.ioctl(control, 0x8916, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(PUBLIC)))  # SIOCSIFADDR
found = []
for cdn in ("127.0.0.1", PUBLIC):
    with HubServer("0.0.0.0") as hub:
        hub.add("owner/name", {"a.bin": b"x" * 9000})
        hub.cdn_host = hub.cdn.replace("127.0.0.1", cdn)
        done = subprocess.run([voxhost, "pull", "owner/name", "--dir", into, "--endpoint", hub.endpoint.replace("127.0.0.1", PUBLIC)],
                              capture_output=True, text=True, timeout=60)
        found.append({"code": done.returncode, "stderr": done.stderr, "cdn": len(hub.requests("cdn"))})
print(json.dumps(found))
"""


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


class Faults(PullCase):
    def test_cut_connections_are_taken_up_where_they_were_cut(self):
        files = {f"{i}.bin": noise(3_000_000, i) for i in range(4)}
        self.hub.add(REPO, files)
        self.hub.cut = 0.5
        self.assert_exit(self.pull(timeout=200), 0)
        self.assert_pulled(files)
        size = sum(map(len, files.values()))
        self.assertLess(self.hub.sent, size * 2, "cut answers were begun anew")

    def test_wrong_bytes_are_thrown_away_and_fetched_once_more(self):
        data = noise(2_000_000)
        self.hub.add(REPO, {"a.bin": data})
        self.hub.corrupt = 1
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": data})

    def test_wrong_bytes_twice_are_an_error_and_leave_nothing(self):
        self.hub.add(REPO, {"a.bin": noise(2_000_000)})
        self.hub.corrupt = 100
        self.assert_failed(self.pull(), "a.bin", "digest", "expected")
        self.assertEqual(self.files(), {"voxhost-pull.part": b"a.bin\n"})

    def test_wrong_bytes_of_a_small_file_are_found_too(self):
        self.hub.add(REPO, {"a.json": Blob("a.json", b"{}", fields={"blobId": "0" * 40})})
        self.assert_failed(self.pull(), "a.json", "0" * 40)
        self.assertNotIn("a.json", self.files())

    def test_sizes_that_disagree_are_errors(self):
        data = noise(CHUNK + 5)
        wrong = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data) + 1, "pointerSize": 100}
        self.hub.add(REPO, {"a.bin": Blob("a.bin", data, fields={"lfs": wrong})})
        self.assert_failed(self.pull(), "a.bin", f"the hub has {len(data)} bytes, its list says {len(data) + 1}")
        self.hub.add(REPO, {"a.bin": data})
        self.hub.wrong_total = len(data) + 7
        self.assert_failed(self.pull(), f"the server has {len(data) + 7} bytes")
        self.assertEqual(set(self.files()), {"voxhost-pull.part"})

    def test_another_file_behind_the_link_is_an_error(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.resolve_headers = {"X-Linked-ETag": '"' + "1" * 64 + '"'}
        self.assert_failed(self.pull(), "the hub has the digest 1111")
        self.hub.resolve_headers = {"X-Repo-Commit": "2" * 40}
        self.assert_failed(self.pull(), "the hub answers with commit 2222")

    def test_a_server_without_ranges_sends_it_whole(self):
        data = noise(CHUNK * 2 + 9)
        self.hub.add(REPO, {"a.bin": data})
        self.hub.no_ranges = True
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": data})

    def test_an_address_that_expires_is_asked_for_again(self):
        data = noise(CHUNK * 4)
        self.hub.add(REPO, {"a.bin": data})
        self.hub.expire = 1
        self.assert_exit(self.pull("--jobs", 1), 0)
        self.assert_pulled({"a.bin": data})

    def test_a_busy_hub_is_asked_again_when_it_says(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.hub_statuses = [(429, {"Retry-After": "1"}), (503, {})]
        self.hub.cdn_statuses = [(500, {}), (429, {"Retry-After": "1"})]
        begun = time.monotonic()
        self.assert_exit(self.pull(), 0)
        self.assertGreater(time.monotonic() - begun, 1.9)
        self.assert_pulled({"a.bin": noise(9000)})

    def test_a_hub_that_wants_hours_is_not_waited_for(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.hub_statuses = [(429, {"Retry-After": "7200"})]
        self.assert_failed(self.pull(), "wants 7200 s to pass")
        self.hub.cdn_statuses = [(429, {"Retry-After": "7200"})]
        self.assert_failed(self.pull(), "wants 7200 s to pass", "a.bin")

    def test_the_hubs_own_limit_is_waited_for(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.hub_statuses = [(429, {"RateLimit": '"api";r=0;t=2'})]
        begun = time.monotonic()
        self.assert_exit(self.pull(), 0)
        self.assertGreaterEqual(time.monotonic() - begun, 3)
        self.hub.hub_statuses = [(429, {"RateLimit": '"api";r=0;t=4000'})]
        self.assert_failed(self.pull(), "wants 4001 s to pass")

    def test_who_refuses_is_named(self):
        """A firewall lets the hub through and not where it leads to."""
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.cdn_statuses = [(403, {"Retry-After": "9999"})]
        self.assert_failed(self.pull(), self.hub.cdn.partition("//")[2] + " answered with status 403")

    def test_an_endpoint_may_have_a_path(self):
        self.hub.add(REPO, {"a.bin": noise(9000), "b.txt": b"b"}, token=TOKEN)
        self.hub.base = "/mirror/hf"
        done = run("pull", REPO, "--dir", self.into, env={"HF_ENDPOINT": self.hub.endpoint + "/mirror/hf/", "HF_TOKEN": TOKEN})
        self.assert_exit(done, 0)
        self.assert_pulled({"a.bin": noise(9000), "b.txt": b"b"})

    def test_refusals_say_what_to_do(self):
        self.hub.add("owner/gated", {"a.bin": noise(9000)}, gated=True, token="hf_other")
        self.hub.add("owner/secret", {"a.bin": noise(9000)}, token="hf_other")
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.assert_failed(self.pull(name="owner/gated"), "gated", "owner/gated", "accept its terms", "it is not set")
        self.assert_failed(self.pull(name="owner/gated", env={"HF_TOKEN": TOKEN}), "present one may not")
        self.assert_failed(self.pull(name="owner/secret"), "no such repository, or it is private", "HF_TOKEN is not set")
        self.assert_failed(self.pull(name="owner/none"), "no such repository")
        self.assert_failed(self.pull(name=f"{REPO}@v9"), 'has no revision "v9"')
        self.assert_exit(self.pull(name="owner/gated", env={"HF_TOKEN": "hf_other"}), 0)

    def test_a_hub_that_is_not_there_is_an_error(self):
        done = run("pull", REPO, "--dir", self.into, "--endpoint", "http://127.0.0.1:9", timeout=120)
        self.assert_failed(done, "127.0.0.1")
        for endpoint in ("ftp://x", "nonsense", "http://u:p@x/", "http://x/?a=1"):
            self.assert_failed(run("pull", REPO, "--dir", self.into, "--endpoint", endpoint), "endpoint", code=2)

    def test_lists_that_cannot_be_true_are_refused(self):
        good = json.dumps({"sha": "a" * 40, "siblings": [{"rfilename": "NAME", "size": 1, "blobId": "b" * 40}]})
        cases = ["", "[]", "nonsense", '{"siblings": []}', good.replace("a" * 40, "../x"), good.replace("b" * 40, "zz"),
                 good.replace('"size": 1', '"size": -1'), good.replace('"size": 1', '"size": 1e99'), good[:-5],
                 good.replace('"size": 1, ', ""), json.dumps({"sha": "a" * 40, "siblings": [
                     {"rfilename": f"{i}", "size": 1, "blobId": "b" * 40} for i in range(10001)]})]
        for name in ("../x", "/etc/x", "a/../../x", "a//b", "", ".", "a/./b", "x\\u0000y", "x\\ny", "x" * 256,
                     "a/" * 600 + "x", "x.part", "x.part.state", "sub/voxhost-pull.json"):
            cases.append(good.replace("NAME", name))
        self.hub.add(REPO, {})
        for text in cases:
            with self.subTest(text=text[:100]):
                self.hub.list_text = text or " "
                self.assert_failed(self.pull(), REPO)
        self.assertFalse(self.into.exists())
        self.assertFalse((self.dir / "x").exists())

    def test_a_path_that_is_a_file_elsewhere_is_an_error(self):
        self.hub.add(REPO, {"a": noise(5000), "a/b": noise(5000, 2)})
        self.assert_exit(self.pull(), 1)

    def test_redirects_that_lead_nowhere_end(self):
        self.hub.add(REPO, {"a.bin": noise(9000)})
        self.hub.cdn_host = self.hub.endpoint + f"/{REPO}/resolve/main/a.bin?x="
        self.assert_failed(self.pull(), "a.bin", "too many redirects")
        self.hub.cdn_host = "file:///etc/passwd?"
        self.assert_failed(self.pull(), "a.bin", "redirect leads nowhere")

    def test_a_public_hub_leads_to_no_private_address(self):
        """In a network of its own, where a public address is this machine's."""
        network = ["unshare", "--map-root-user", "--net"]
        if not shutil.which("unshare") or subprocess.run([*network, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no network namespace can be made here")
        script = self.write("redirects.py", REDIRECTS)
        done = subprocess.run([*network, sys.executable, "-B", script, pathlib.Path(__file__).parent, VOXHOST, self.into],
                              env=environment(), capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        refused, allowed = json.loads(done.stdout)
        self.assertEqual((refused["code"], refused["cdn"]), (1, 0), refused)
        self.assertIn("a.bin: the hub leads to 127.0.0.1: its address is not a public one", refused["stderr"])
        self.assertEqual((allowed["code"], allowed["cdn"]), (0, 1), allowed)

    def test_a_connection_that_hangs_is_given_up(self):
        data = noise(2_000_000)
        self.hub.add(REPO, {"a.bin": data})
        self.hub.stall = 1
        self.assert_exit(self.pull(timeout=200), 0)
        self.assert_pulled({"a.bin": data})


class Leftovers(PullCase):
    """What lies in the directory already, from other hands and from runs that were killed."""

    def setUp(self):
        super().setUp()
        self.data = noise(50000)
        self.hub.add(REPO, {"a.bin": self.data, "sub/b.txt": b"b"})
        self.whole = {"a.bin": self.data, "sub/b.txt": b"b"}

    def test_states_of_killed_runs_go_with_the_file(self):
        for name in ("a.bin.part", "a.bin.part.state", "a.bin.part.state.new"):
            self.write(f"into/{name}", "x")
        self.assert_exit(self.pull(), 0)
        self.assert_pulled(self.whole)
        for name in ("a.bin.part.state", "a.bin.part.state.new"):
            self.write(f"into/{name}", "x")
        self.assert_exit(self.pull(), 0)
        self.assert_pulled(self.whole)

    def test_links_are_not_written_through(self):
        """FM-46, and a stranger's link in a directory that several use."""
        victim = self.write("victim", "mine")
        for name in ("a.bin.part", "voxhost-pull.part", "voxhost-pull.json.part"):
            (self.into / "sub").mkdir(parents=True, exist_ok=True)
            (self.into / name).symlink_to(victim)
            self.assert_failed(self.pull(), f"{name}: is a symbolic link", "remove it")
            (self.into / name).unlink()
            (self.into / "voxhost-pull.part").unlink(missing_ok=True)
        (self.into / "a.bin.part.state.new").symlink_to(victim)
        (self.into / "a.bin").unlink(missing_ok=True)
        (self.into / "a.bin").symlink_to("a.bin")  # a loop
        self.hub.cut = 0.3
        self.assert_exit(self.pull(), 0)
        self.assert_pulled(self.whole)
        self.assertFalse((self.into / "a.bin").is_symlink())
        self.assertEqual(victim.read_text(), "mine")

    def test_a_directory_that_loops_is_an_error(self):
        """FM-46"""
        self.into.symlink_to("into2")
        (self.dir / "into2").symlink_to("into")
        self.assert_failed(self.pull(), "into")

    def test_a_pipe_in_a_files_place_is_not_waited_for(self):
        self.hub.add(REPO, {**self.whole, "empty.txt": b""})
        self.into.mkdir()
        os.mkfifo(self.into / "empty.txt")
        self.assert_exit(self.pull(timeout=60), 0)
        self.assert_pulled({**self.whole, "empty.txt": b""})

    def test_a_directory_in_a_files_place_is_found_before_the_download(self):
        (self.into / "a.bin").mkdir(parents=True)
        self.assert_failed(self.pull(), "a.bin: is a directory")
        self.assertEqual(self.hub.requests("cdn"), [])

    def test_names_of_ours_are_refused_only_where_they_are_wanted(self):
        self.hub.add(REPO, {**self.whole, "split.part": b"1"})
        self.assert_failed(self.pull(), "split.part", "--exclude")
        self.assertFalse(self.into.exists())
        self.assert_exit(self.pull("--exclude", "*.part"), 0)
        self.assert_pulled(self.whole)

    def test_names_that_differ_in_case_only_need_a_disk_that_tells_them_apart(self):
        self.hub.add(REPO, {"A.txt": b"1", "a.txt": b"2"})
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"A.txt": b"1", "a.txt": b"2"})
        for name in ("A.txt", "a.txt"):
            (self.into / name).unlink()
        self.write("into/VOXHOST-PULL.PART", "")  # as on a disk that ignores case
        self.assert_failed(self.pull(), '"A.txt" and "a.txt" have one place on this disk', "--exclude")
        self.assertEqual(self.hub.requests("cdn"), [])

    def test_a_record_that_would_not_change_is_not_written(self):
        """A volume may be read-only by then."""
        self.assert_exit(self.pull(), 0)
        before = (self.into / RECORD).stat()
        self.assert_exit(self.pull(), 0)
        self.assertEqual((self.into / RECORD).stat().st_ino, before.st_ino)
        self.hub.add(REPO, {**self.whole, "sub/b.txt": b"c"})
        self.assert_exit(self.pull(), 0)
        self.assertNotEqual((self.into / RECORD).stat().st_ino, before.st_ino)

    def test_a_smaller_pull_does_not_hide_a_larger_one_that_was_killed(self):
        """FM-75: what is not whole stays marked until every file is there."""
        self.hub.cdn_statuses = [(403, {})] * 50
        process = self.start()
        self.wait_for(lambda: self.hub.requests("cdn"))
        process.kill()
        process.communicate()
        self.hub.cdn_statuses = []
        self.assertEqual((self.into / "voxhost-pull.part").read_text(), "a.bin\nsub/b.txt\n")
        self.assert_exit(self.pull("--include", "*.txt"), 0)
        self.assertEqual((self.into / "voxhost-pull.part").read_text(), "a.bin\n")
        self.assert_failed(self.pull("--verify"), "was not completed")
        self.assert_failed(self.pull("--offline"), "was not completed")
        self.assert_exit(self.pull(), 0)
        self.assert_pulled(self.whole)
        self.assert_exit(self.pull("--verify"), 0)

    def test_two_pulls_of_different_files_share_the_mark(self):
        """FM-33"""
        self.hub.add(REPO, {"a.bin": noise(4 << 20), "b.txt": b"b"})
        self.hub.rate = 128 << 10
        process = self.start("--include", "a.bin")
        self.wait_for(lambda: self.hub.requests("cdn"))
        self.assert_exit(self.pull("--include", "b.txt"), 0)
        self.assertEqual((self.into / "voxhost-pull.part").read_text(), "a.bin\n")
        self.hub.rate = 0
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assert_pulled({"a.bin": noise(4 << 20), "b.txt": b"b"})


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


class Resuming(PullCase):
    def slow(self, size=24 << 20, rate=8 << 20):
        data = noise(size)
        self.hub.add(REPO, {"a.bin": data})
        self.hub.rate = rate
        return data

    def test_sigint_leaves_parts_that_the_next_run_goes_on_with(self):
        data = self.slow()
        process = self.start("--jobs", "2")
        self.wait_for(lambda: self.hub.sent > 6 << 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("the next run goes on", err)
        self.assertEqual(set(self.files()), {"a.bin.part", "a.bin.part.state", "voxhost-pull.part"})
        here = sum(json.loads((self.into / "a.bin.part.state").read_text())["done"])
        self.assertGreater(here, 1 << 20)
        self.hub.rate = 0
        self.hub.log.clear()
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": data})
        ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", request.range) for request in self.hub.requests("cdn")]
        self.assertEqual(sum(int(match[2]) - int(match[1]) + 1 for match in ranges), len(data) - here)

    def test_kill_at_random_points_never_leaves_a_wrong_file(self):
        """FM-33: a lock never outlives its holder, and what lies under its name is whole."""
        files = {"a.bin": noise(20 << 20), "b.bin": noise(3 << 20, 2), "c.txt": b"c"}
        self.hub.add(REPO, files)
        self.hub.rate = 16 << 20
        self.hub.cut = 0.2
        for round_ in range(8):
            process = self.start()
            try:
                process.wait(random.uniform(0.05, 1.2))
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
            for path, data in self.files().items():
                if path in files:
                    self.assertEqual(data, files[path], f"round {round_}")
        self.hub.rate, self.hub.cut = 0, 0
        self.assert_exit(self.pull(), 0)
        self.assert_pulled(files)

    def test_a_file_that_changed_on_the_server_is_begun_anew(self):
        data = self.slow()
        process = self.start()
        self.wait_for(lambda: self.hub.sent > 4 << 20)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 143)
        self.hub.rate, self.hub.other_etag = 0, '"another"'
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": data})

    def test_damaged_states_and_parts_cost_a_download_not_a_wrong_file(self):
        data = noise(CHUNK + 100)
        self.hub.add(REPO, {"a.bin": data})
        digest = hashlib.sha256(data).hexdigest()
        claims_all = json.dumps({"digest": digest, "size": len(data), "chunk_size": CHUNK, "etag": "",
                                 "done": [CHUNK, 100]})
        states = ["", "nonsense", "{}", claims_all, claims_all.replace("100]", "101]"), claims_all.replace(", 100]", "]"),
                  claims_all.replace(f'"chunk_size": {CHUNK}', '"chunk_size": 0'),
                  claims_all.replace(f'"chunk_size": {CHUNK}', '"chunk_size": 1')]
        for state in states:
            for size in (0, len(data)):
                with self.subTest(state=state[:60], size=size):
                    self.write("into/a.bin.part", b"\1" * size)
                    self.write("into/a.bin.part.state", state)
                    self.assert_exit(self.pull(), 0)
                    self.assert_pulled({"a.bin": data})
                    (self.into / "a.bin").unlink()

    def test_two_processes_share_one_directory(self):
        """FM-33: two downloads of the same file at the same time are one."""
        files = {f"{i}.bin": noise(2 << 20, i) for i in range(6)}
        self.hub.add(REPO, files)
        self.hub.rate = 8 << 20
        processes = [self.start("--jobs", "2") for _ in range(3)]
        for process in processes:
            out, err = process.communicate(timeout=200)
            self.assertEqual(process.returncode, 0, err)
        self.assert_pulled(files)
        self.assertEqual(len(self.hub.requests("cdn")), len(files), "a file was fetched twice")
        [source] = self.record()["sources"]
        self.assertEqual(len(source["files"]), len(files))

    def test_who_is_stopped_while_it_waits_leaves_the_others_part_alone(self):
        """FM-33"""
        data = self.slow(rate=4 << 20)
        first = self.start()
        self.wait_for(lambda: self.hub.sent > 1 << 20)
        second = self.start()
        for line in second.stderr:
            if "another process fetches this file" in line:
                break
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=60)
        self.assertEqual(second.returncode, 130)
        self.assertTrue((self.into / "a.bin.part").exists(), "the part of a pull that runs was removed")
        self.hub.rate = 0
        _, err = first.communicate(timeout=100)
        self.assertEqual(first.returncode, 0, err)
        self.assert_pulled({"a.bin": data})

    def test_two_revisions_in_one_directory_never_make_a_record_that_lies(self):
        """FM-33: by the record and the size alone, the other revision's file would pass for ours later."""
        self.hub.add(REPO, {"a.bin": noise(9000), "slow.bin": noise(4 << 20)})
        self.hub.add(REPO, {"a.bin": noise(9000, 2)}, revision="v2")
        self.hub.rate = 128 << 10
        process = self.start("--jobs", "1")
        self.wait_for(lambda: (self.into / "a.bin").exists())
        self.assert_exit(self.pull(name=f"{REPO}@v2"), 0)
        self.hub.rate = 0
        _, err = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 1)
        self.assertIn("a.bin: was replaced meanwhile", err)
        self.assert_exit(run("pull", "--verify", "--dir", self.into), 0)
        self.assert_exit(self.pull(), 0)
        self.assert_pulled({"a.bin": noise(9000), "slow.bin": noise(4 << 20)})

    def test_a_lock_that_is_held_is_waited_for(self):
        data = noise(100000)
        self.hub.add(REPO, {"a.bin": data})
        part = self.write("into/a.bin.part", b"")
        with part.open("r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = self.start()
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(2)
            self.assertEqual(self.hub.requests("cdn"), [])
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("another process fetches this file", err)
        self.assert_pulled({"a.bin": data})


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
        done = subprocess.run(["bash", "-c", f'ulimit -f 1024; trap "" XFSZ; exec "$@"', "-", VOXHOST, "pull", REPO,
                               "--endpoint", self.hub.endpoint, "--dir", str(self.into)], env=environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assert_failed(done, "a.bin.part", "File too large")


class Verifying(PullCase):
    FILES = {"a.bin": noise(200000), "sub/b.txt": b"hello"}

    def setUp(self):
        super().setUp()
        self.hub.add(REPO, self.FILES)
        self.assert_exit(self.pull(), 0)
        self.hub.log.clear()

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
