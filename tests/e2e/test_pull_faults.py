"""`voxhost pull` against a hub that misbehaves, beside other processes, and after runs that were killed."""

import fcntl
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from common import VOXHOST, environment, run
from hub_server import Blob
from pull_common import CHUNK, RECORD, REPO, TOKEN, PullCase, PulledCase, noise


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


class Repairing(PulledCase):
    """A file in place that is no more what was pulled, of the same size."""

    def setUp(self):
        super().setUp()
        self.path = self.into / "a.bin"

    def damage(self, same_time=True):
        """Flips a bit; `same_time`: as a disk does that rots."""
        times = self.path.stat()
        data = bytearray(self.path.read_bytes())
        data[123456] ^= 4
        self.path.write_bytes(data)
        later = times.st_mtime_ns + (0 if same_time else 1)
        os.utime(self.path, ns=(later, later))

    def verify(self, *args):
        return run("pull", "--verify", "--dir", self.into, *args)

    def assert_mended(self):
        """FM-75"""
        done = self.pull()
        self.assert_exit(done, 0)
        self.assertIn("1 checked by digest, 1 not read", done.stdout)
        self.assertEqual(len(self.hub.requests("cdn")), 1, "other than the damaged file was fetched")
        self.assert_pulled(self.FILES)
        self.assert_exit(self.verify(), 0)
        self.assert_exit(self.pull("--offline"), 0)

    def test_what_verify_found_wrong_the_next_pull_fetches(self):
        for args in ((), ("--offline",), (REPO, "--offline")):
            with self.subTest(args=args):
                self.damage()
                self.assert_failed(self.verify(*args), "1 of 2 files", "pull again")
                self.assertEqual(self.hub.log, [], "the network was asked")
                for _ in range(2):
                    self.assert_failed(self.verify(*args), "1 of 2 files")
                done = self.pull("--offline")
                self.assert_failed(done, "offline")
                self.assertIn("a.bin: is not as recorded, as voxhost pull --verify found", done.stdout)
                self.assert_mended()
                self.hub.log.clear()

    def test_a_note_is_for_one_file_and_survives_a_pull_of_others(self):
        self.damage()
        self.assert_failed(self.verify(), "1 of 2 files")
        self.assert_exit(self.pull("--include", "*.txt"), 0)
        self.assert_exit(self.verify("--include", "*.txt"), 0)
        self.assert_failed(self.pull("--offline"), "offline")
        self.assert_mended()

    def test_a_file_that_was_mended_by_hand_is_read_and_kept(self):
        self.damage()
        self.assert_failed(self.verify(), "1 of 2 files")
        self.write("into/a.bin", self.FILES["a.bin"])
        self.assert_exit(self.pull(), 0)
        self.assertEqual(self.hub.requests("cdn"), [])
        self.assert_exit(self.pull("--offline"), 0)
        self.damage()
        self.assert_failed(self.verify(), "1 of 2 files")
        self.write("into/a.bin", self.FILES["a.bin"])
        self.assert_exit(self.verify(), 0)
        self.assert_exit(self.pull("--offline"), 0)

    def test_a_file_of_another_time_is_read_without_being_asked(self):
        self.damage(same_time=False)
        self.assert_mended()

    def test_what_was_not_read_is_not_said_to_be_checked(self):
        self.damage()
        done = self.pull()
        self.assert_exit(done, 0)
        self.assertIn("0 checked by digest, 2 not read, of size and time as recorded (--verify reads them)", done.stdout)

    def test_a_copy_without_times_is_read_once_and_then_recorded(self):
        os.utime(self.path, (1, 1700000000))
        for text in ("1 checked by digest, 1 not read", "0 checked by digest, 2 not read"):
            done = self.pull()
            self.assert_exit(done, 0)
            self.assertIn(text, done.stdout)
        self.assertEqual(self.hub.requests("cdn"), [])
        second = self.record()["sources"][0]["files"]
        self.assertIn(1700000000 * 10**9, [entry["mtime_unix_ns"] for entry in second])

    def test_whole_seconds_as_archives_keep_them_will_do(self):
        seconds = self.path.stat().st_mtime_ns // 10**9
        os.utime(self.path, (seconds, seconds))
        self.assertIn("0 checked by digest", self.pull().stdout)

    def test_a_record_of_older_versions_is_taken_up(self):
        record = self.record()
        for entry in record["sources"][0]["files"]:
            del entry["mtime_unix_ns"]
        self.write(f"into/{RECORD}", json.dumps(record))
        self.assertIn("2 checked by digest;", self.pull().stdout)
        self.assertIn("0 checked by digest", self.pull().stdout)
        self.assertEqual(self.hub.requests("cdn"), [])

    def test_a_directory_that_takes_no_notes(self):
        """A volume may be read-only; a link where the new record would be written stands for that."""
        (self.into / f"{RECORD}.part").symlink_to("elsewhere")
        os.utime(self.path, (1, 1700000000))
        self.assert_exit(self.pull(), 0)
        self.damage()
        done = self.verify()
        self.assert_failed(done, "1 of 2 files are missing or wrong, which cannot be noted", f"{RECORD}.part")
        self.assertIn("WRONG a.bin: has the SHA-256", done.stdout)
        self.assertFalse((self.into / "elsewhere").exists())
        (self.into / f"{RECORD}.part").unlink()
        self.assert_failed(self.verify(), "1 of 2 files")
        self.assert_mended()


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
