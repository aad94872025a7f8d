"""The case `worker`: voxhost's worker beside the Python SDK's with an empty handler, on the same control plane.

Called by bench.py. Makes the SDK's environment once, below BUILD/bench/worker. A run of a side is the life of one
worker: its start, jobs one at a time for an idle worker, jobs without a pause, SIGTERM. README.md says what is compared.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import time

from harness import Wrong, row

HERE = pathlib.Path(__file__).parent
SDK_PYTHON = HERE.parents[2] / ".venv-test/bin/python3"
INPUT = {"model_type": "tone", "text": "tone", "options": {"duration_ms": 1}}
HOLD_S = 20  # what the platform is said to hold a poll
COMMAND_LIMIT_S = 300
END_LIMIT_S = 120
IDLE, QUEUED = 100, 6000  # jobs of voxhost in a run
SDK_IDLE, SDK_QUEUED = 10, 20  # it does one a second
MB = 1e6


# --- The sides ---------------------------------------------------------------------------------------------


def prepare():
    """The SDK's Python."""
    if not SDK_PYTHON.exists():
        raise Wrong(f"worker: no {SDK_PYTHON}: ./dev setup makes it")
    return SDK_PYTHON


def environment(port):
    base = f"http://127.0.0.1:{port}/v2/bench"
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=none",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID",
        "RUNPOD_AI_API_KEY": "rpa_BENCH",
        "RUNPOD_POD_ID": "pod-1",
        "RUNPOD_ENDPOINT_ID": "bench",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


# --- One worker --------------------------------------------------------------------------------------------


def processes(session):
    """All processes of a worker, which began a session of its own."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(stat.parent.name))
    return found


def cpu_s(pids):
    """CPU time to the nanosecond, where /proc/PID/stat has hundredths of a second. Threads that ended count, too."""
    libc, clock, total = ctypes.CDLL(None), ctypes.c_int(), 0.0
    for pid in pids:
        if libc.clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
            raise Wrong(f"worker: process {pid} has ended")
        total += time.clock_gettime(clock.value)
    return total


def memory_kb(pids):
    """(resident, of that in private pages), summed up"""
    resident = private = 0
    for pid in pids:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        for line in rollup.splitlines()[1:]:
            name, value = line.split(":")
            resident += int(value.split()[0]) if name == "Rss" else 0
            private += int(value.split()[0]) if name in ("Private_Clean", "Private_Dirty") else 0
    return resident, private


class Plane:
    """control_plane.c, told what to do next."""

    def __init__(self, bench):
        self.process = subprocess.Popen([bench.program("control_plane"), json.dumps(INPUT), str(HOLD_S)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Wrong("worker: the control plane ended, see above")
        return json.loads(line)

    def tell(self, command, process):
        """Its answer, as long as the worker lives that it depends on."""
        deadline = time.monotonic() + COMMAND_LIMIT_S
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        while not select.select([self.process.stdout], [], [], 0.5)[0]:
            if process.poll() is not None:
                raise Wrong(f"worker: ended with {process.returncode} before \"{command}\" was done")
            if time.monotonic() > deadline:
                raise Wrong(f"worker: \"{command}\" was not done within {COMMAND_LIMIT_S} s")
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def end(process):
    """Seconds from SIGTERM to the end, END_LIMIT_S when it did not come."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        return END_LIMIT_S
    if code != 0:
        raise Wrong(f"worker: exit code {code} after SIGTERM")
    return time.monotonic() - begun


def drive(plane, process, begun, idle, queued):
    facts = {"start_s": plane.tell("ready", process)["first_take"] * 1e-9 - begun}
    if idle:
        facts["idle_s"] = statistics.median(plane.tell(f"idle {idle}", process)["latency"]) * 1e-9
    pids = processes(process.pid)
    spent = cpu_s(pids)
    found = plane.tell(f"queued {queued}", process)
    plane.tell("ready", process)
    facts["cpu_s"] = (cpu_s(pids) - spent) / queued
    facts["resident_kb"], facts["private_kb"] = memory_kb(processes(process.pid))
    facts["processes"] = len(pids)
    facts["interval_s"] = statistics.median(found["interval"]) * 1e-9
    facts["less_own_s"] = statistics.median(map(int.__sub__, found["interval"], found["own"])) * 1e-9
    facts["per_s"] = queued / (found["elapsed"] * 1e-9)
    facts["result_bytes"] = found["result_bytes"]
    facts["end_s"] = end(process)
    return facts


def run(bench, command, idle, queued):
    """The life of one worker."""
    log = bench.folder / "worker.log"
    plane = Plane(bench)
    process = None
    try:
        env = environment(plane.answer()["port"])
        with log.open("w") as out:
            begun = time.monotonic()
            process = subprocess.Popen(list(map(str, command)), env=env, cwd=bench.folder, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out, start_new_session=True)
        return drive(plane, process, begun, idle, queued)
    except Wrong as wrong:
        raise Wrong(f"{wrong}\n{log.read_text(errors='replace')[-2000:]}") from None
    finally:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the SDK's pings are a process of their own
            process.wait()
        plane.close()


# --- The comparison ----------------------------------------------------------------------------------------


def voxhost(bench, sessions, idle, queued):
    manifest = bench.write(f"worker-{sessions}.yaml", json.dumps({
        "version": 1,
        "paths": {"cache": str(bench.folder / "cache")},
        "models": [{"model_type": "tone", "plugin": str(bench.build / "tests/plugins/tone.so"), "sessions": sessions}],
    }))
    return run(bench, [bench.program("voxhost"), "worker", "--manifest", manifest], idle, queued)


def rows_of(ours, theirs, two):
    idle_ms, next_ms, end_ms = ours["idle_s"] * 1e3, ours["less_own_s"] * 1e3, ours["end_s"] * 1e3
    start, cpu = theirs["start_s"] / ours["start_s"], theirs["cpu_s"] / ours["cpu_s"]
    resident_mb = ours["resident_kb"] * 1024 / MB
    return [
        row(f"idle worker, job written to result read (SDK {theirs['idle_s'] * 1e3:.1f} ms)", idle_ms, "ms", "<= 1",
            idle_ms <= 1),
        row(f"back to back, result to result, less the plane's own time (SDK {theirs['less_own_s'] * 1e3:.1f} ms)",
            next_ms, "ms", "<= 1", next_ms <= 1),
        row("back to back, result to result, all of it", ours["interval_s"] * 1e3, "ms", None, None),
        row(f"empty jobs in a second at concurrency 1 (SDK {theirs['per_s']:.2f})", round(ours["per_s"]), "/s",
            ">= 2000", ours["per_s"] >= 2000),
        row("empty jobs in a second at concurrency 2", round(two["per_s"]), "/s", None, None),
        row(f"start to first take: SDK ({theirs['start_s'] * 1e3:.0f} ms) / voxhost ({ours['start_s'] * 1e3:.1f} ms)",
            start, "x", ">= 30", start >= 30),
        row(f"resident memory (SDK {theirs['resident_kb'] * 1024 / MB:.1f} MB in {theirs['processes']:.0f} processes)",
            resident_mb, "MB", "< 12", resident_mb < 12),
        row(f"of that private pages (SDK {theirs['private_kb'] * 1024 / MB:.1f} MB)",
            ours["private_kb"] * 1024 / MB, "MB", None, None),
        row(f"CPU time of a job: SDK ({theirs['cpu_s'] * 1e3:.2f} ms) / voxhost ({ours['cpu_s'] * 1e3:.3f} ms)", cpu,
            "x", ">= 10", cpu >= 10),
        row(f"SIGTERM to the end, both polls held (SDK {theirs['end_s']:.1f} s)", end_ms, "ms", "< 100",
            end_ms < 100),
    ]


def worker(bench):
    """voxhost's worker beside the Python SDK's: latency, throughput, start, memory, CPU time and end."""
    python = prepare()
    result_bytes = []

    def ours():
        facts = voxhost(bench, 1, bench.count(IDLE), bench.count(QUEUED))
        result_bytes.append(int(facts["result_bytes"]))
        return facts

    def theirs():
        counts = (3, 3) if bench.quick else (SDK_IDLE, SDK_QUEUED)
        return run(bench, [python, "-B", HERE / "handler.py", str(result_bytes[0])], *counts)

    sides = bench.alternate({
        "voxhost": ours,  # first: it says how large a result is
        "sdk": theirs,
        "voxhost_2": lambda: voxhost(bench, 2, 0, bench.count(QUEUED)),
    }, bench.rounds or 3)
    rows = rows_of(sides["voxhost"], sides["sdk"], sides["voxhost_2"])
    rows[0]["sides"] = [{"side": name, **facts} for name, facts in sides.items()]  # for --json
    return rows
