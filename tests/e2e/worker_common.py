"""What the tests of `voxhost worker` in queue mode share: a control plane, a worker that serves it, and its log.

    plane = self.start_plane(hold_s=5)          # a ControlPlane, closed at the end
    worker = self.start_worker(plane)           # serves it with the tone plugin; its first take has arrived
    job = plane.wait(plane.submit(tone()), TIMEOUT_S)
    worker.wait_log(event="result delivered")   # needs host={"log_level": "debug"}
    worker.stop()                               # SIGTERM, exit code 0; left out, the end of the test does it

At the end of a test every worker that runs still is stopped by SIGTERM and must end with code 0, and every plane must
have seen no violation. self.ends_with(worker, code) and plane.violations.clear() are for tests that expect otherwise.
When a test fails, the logs of its workers are printed.
"""

import json
import signal
import subprocess
import sys
import threading
import time

from common import VOXHOST, Case, environment
from control_plane import ControlPlane

TIMEOUT_S = 60  # for one event, on a loaded machine with sanitizers
LOG_TAIL = 60  # lines of a failed test's workers that are shown


def tone(text="x", **options):
    """A job of the tone plugin; members of the input that are no options: model_type, stream, format, id ..."""
    outer = {name: options.pop(name) for name in ("id", "webhook", "s3Config", "policy") if name in options}
    names = ("model_type", "stream", "format", "encoding", "voice", "voice_text", "seed", "timestamps", "sample_rate")
    inner = {name: options.pop(name) for name in names if name in options}
    options.setdefault("duration_ms", 10)
    return {**outer, "input": {"text": text, **inner, "options": options}}


class Worker:
    """A running `voxhost worker`; reads its log as it comes."""

    def __init__(self, case, command, env, cwd):
        self.case, self.lines, self.ended = case, [], False
        self.changed = threading.Condition()
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd=cwd)
        self.pid = self.process.pid
        self.out = b""
        self.threads = [threading.Thread(target=self._read_log, daemon=True),
                        threading.Thread(target=self._read_out, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read_log(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _read_out(self):
        for line in self.process.stdout:
            self.out += line

    @property
    def log(self):
        """All that it wrote, stdout included."""
        with self.changed:
            return "\n".join(self.lines) + self.out.decode("utf-8", "replace")

    def events(self, **members):
        """The log's lines that have these members, as dicts: level, component, event, job, reason ..."""
        with self.changed:
            lines = list(self.lines)
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and all(entry.get(name) == value for name, value in members.items()):
                found.append(entry)
        return found

    def wait_logs(self, count, timeout=TIMEOUT_S, **members):
        """The log's lines that have these members, once there are `count`: the log may be read later than the plane sees
        what it tells of."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.events(**members)
            if len(found) >= count:
                return found
            with self.changed:
                if self.ended or not self.changed.wait(max(0, deadline - time.monotonic())):
                    raise AssertionError(f"{len(found)} log lines with {members}, expected {count}")

    def wait_log(self, timeout=TIMEOUT_S, **members):
        """The first of them; waits for it."""
        return self.wait_logs(1, timeout, **members)[0]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, code=0, timeout=TIMEOUT_S):
        """Waits until it has ended, and with this code."""
        try:
            got = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the worker has not ended within {timeout} s") from None
        finally:
            for thread in self.threads:
                thread.join(TIMEOUT_S)
            self.process.stderr.close()
            self.process.stdout.close()
        self.case.assertEqual(got, code, "exit code of the worker")

    def stop(self, code=0, timeout=TIMEOUT_S):
        """SIGTERM; returns the seconds until it had ended."""
        begun = time.monotonic()
        self.signal(signal.SIGTERM)
        self.wait(code, timeout)
        return time.monotonic() - begun


class WorkerCase(Case):
    def setUp(self):
        super().setUp()
        self.workers, self.expected_codes = [], {}

    def run(self, result=None):
        bad = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > bad:
            for worker in self.workers:
                print(f"--- log of worker {worker.pid} in {self.id()}", *worker.log.splitlines()[-LOG_TAIL:], sep="\n",
                      file=sys.stderr)
        return result

    def start_plane(self, **options):
        options.setdefault("ping_grace_s", 5)
        plane = ControlPlane(**options)
        self.addCleanup(plane.close)
        self.addCleanup(lambda: self.assertEqual(plane.violations[:5], []))
        return plane

    def start_worker(self, plane, *models, concurrency=1, env=None, urls=None, arguments=(), wait=True, **top):
        """Starts a worker. models: of the manifest, else tone with `concurrency` sessions. urls: options of
        plane.environment; env: variables to add, replace, or (None) leave out. top: sections of the manifest."""
        manifest = self.manifest(*(models or ({"model_type": "tone", "sessions": concurrency},)), **top)
        variables = plane.environment(**{"ping_interval_ms": 1000, **(urls or {})}, **(env or {}))
        return self.start_command(variables, "--manifest", manifest, *arguments, plane=plane if wait else None)

    def start_command(self, variables, *arguments, plane=None):
        """Starts `voxhost worker` with these variables and arguments; waits for its first take at `plane`."""
        worker = Worker(self, [VOXHOST, "worker", *map(str, arguments)], environment(**variables), self.dir)
        self.workers.append(worker)
        self.addCleanup(self._end, worker)
        if plane:
            plane.wait_for(lambda: any(r.begun > worker.begun for r in plane.on("take", "take_batch"))
                           or worker.process.poll() is not None, TIMEOUT_S, "a first take")
        return worker

    def ends_with(self, worker, code):
        """The worker ends with this code instead of 0, when the end of the test stops it or by itself before."""
        self.expected_codes[worker.pid] = code

    def _end(self, worker):
        if worker.process.returncode is None:
            worker.stop(self.expected_codes.get(worker.pid, 0))
