"""The case `f5`: the F5-TTS plugin beside upstream's Python, on a random model of the official size.

Called by bench.py. Makes what it needs once, below BUILD/bench/f5: upstream's environment and the model. Each side
loads the model once and speaks the same jobs: the first twice, with different seeds (the second finds the voice
prepared), then a long one. README.md says what is compared.
"""

import datetime
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

from harness import Wrong, row

HERE = pathlib.Path(__file__).parent
REQUIREMENTS = HERE.parents[1] / "golden/f5tts/requirements.txt"
# 5 s of voice; the speech gets as many more frames as its text has more bytes: 10 s.
VOICE_TEXT = "Some call me nature, and others call me mother nature here."
TEXT = ("I do not really care what you call me, for I have been a silent spectator, watching "
        "species evolve, empires rise, and fall.")
SPEECH_S = 10, 0.2
DIFFERENCE_MAX = 1e-3


# --- What both sides need ----------------------------------------------------------------------------------


def make_once(folder, make):
    """Calls make(folder) unless it was done before. A half-made folder counts as not made."""
    done = folder.with_name(folder.name + ".done")
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        done.touch()
    return folder


def make_environment(folder):
    """Upstream's packages, without those that inference does not need."""
    print(f"bench: installing upstream f5-tts and torch into {folder} (once)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", "--no-deps", "--retries", "1", "-r", REQUIREMENTS],
                   check=True)
    # Built for another torch: it does not load, and the Python parts do without.
    for lib in folder.glob("lib/python3*/site-packages/torchaudio/lib"):
        shutil.rmtree(lib)


def prepare(bench):
    """(python of upstream's environment, folder of the model)"""
    folder = bench.build / "bench/f5"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        python = make_once(folder / "venv", make_environment) / "bin/python"
        model = make_once(folder / "F5TTS_v1_Base", lambda path: subprocess.run(
            [python, "-B", HERE / "make_checkpoint.py", path], check=True))
    except subprocess.CalledProcessError as error:
        raise Wrong(f"f5: {' '.join(map(str, error.cmd))} ended with {error.returncode}") from error
    for path in model.glob("*.safetensors"):
        with path.open("rb") as file:
            while file.read(1 << 24):  # into the page cache, for both sides alike
                pass
    return python, model


# --- The sides ---------------------------------------------------------------------------------------------


def facts(run, ready_s, jobs_s):
    return {**run, "ready_s": ready_s, **{f"job{number}_s": seconds for number, seconds in enumerate(jobs_s)}}


def upstream(bench, python, model, steps, out, *flags):
    task = bench.write("f5-task.json", json.dumps({
        "model": str(model), "voice": str(model / "voice.wav"), "voice_text": VOICE_TEXT, "text": TEXT,
        "threads": bench.cores, "jobs": [{"seed": n, "nfe_step": count} for n, count in enumerate(steps)]}))
    out = bench.fresh(out)
    begun = time.time()
    run = bench.measure(python, "-B", HERE / "speak_upstream.py", task, out, *flags)
    times = json.loads((out / "times.json").read_text())
    return facts(run, times["ready"] - begun, times["jobs_s"])


def ready_time(log):
    """When the host logged that the model is ready, in seconds since the epoch."""
    for line in log.splitlines():
        if '"model ready"' in line:
            return datetime.datetime.fromisoformat(json.loads(line)["time"].replace("Z", "+00:00")).timestamp()
    raise Wrong("f5: voxhost's log has no \"model ready\"")


def voxhost(bench, model, steps, out, dtype):
    manifest = bench.write("f5.yaml", json.dumps({
        "version": 1,
        "paths": {"cache": str(bench.fresh("f5-cache"))},
        "host": {"log_format": "json"},
        "models": [{"model_type": "f5tts", "plugin": str(bench.build / "plugins/f5tts.so"), "model_dir": str(model),
                    "device": "cpu", "options": {"arch": "v1", "dtype": dtype, "threads": bench.cores}}],
    }))
    jobs = bench.write("f5.jsonl", "".join(json.dumps({
        "id": str(n), "text": TEXT, "voice": str(model / "voice.wav"), "voice_text": VOICE_TEXT, "seed": n,
        "encoding": "float32", "options": {"nfe_step": count}}) + "\n" for n, count in enumerate(steps)))
    out = bench.fresh(out)
    begun = time.time()
    run = bench.measure(bench.program("voxhost"), "batch", "--manifest", manifest, "--jobs", jobs, "--out", out)
    ready_s = ready_time((bench.folder / "measured.log").read_text(errors="replace")) - begun
    lines = map(json.loads, (out / "results.jsonl").read_text("utf-8").splitlines())
    timings = {int(result["id"]): result["timings_ms"] for result in lines}
    return facts(run, ready_s, [(timings[n]["voice"] + timings[n]["synth"]) / 1000 for n in range(len(steps))])


# --- The comparison ----------------------------------------------------------------------------------------


def compare(python, ours, theirs):
    done = subprocess.run([python, "-B", HERE / "compare.py", ours, theirs], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Wrong(f"f5: {ours} and {theirs} cannot be compared:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    length_s = found["samples"] / 24000
    if found["samples"] != found["other_samples"] or abs(length_s - SPEECH_S[0]) > SPEECH_S[1]:
        raise Wrong(f"f5: {found['samples']} and {found['other_samples']} samples, expected 10 s of both")
    return found


# CPU seconds of a linear layer by MKL, which upstream gets, over those by oneDNN, in upstream's own torch on one thread.
MKL_TO_ONEDNN = """
import time, torch
torch.set_num_threads(1)
x, w, b = torch.randn(1024, 1024), torch.randn(1024, 1024), torch.randn(1024)
def best(f):
    times = []
    for _ in range(6):
        begun = time.thread_time(); f(); times.append(time.thread_time() - begun)
    return min(times)
print(best(lambda: torch.nn.functional.linear(x, w, b)) /
      best(lambda: torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "")))
"""


def cpu(python):
    """(how many times slower MKL is than oneDNN, whether the CPU multiplies bf16)"""
    slower = float(subprocess.run([python, "-c", MKL_TO_ONEDNN], check=True, capture_output=True, text=True).stdout)
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(re.search(r"^flags\s*:(.*)", file.read(), re.M).group(1).split())
    return slower, bool(flags & {"avx512_bf16", "amx_bf16"})


def time_rows(what, steps, ours, theirs, goal):
    rows = []
    for number, count in enumerate(steps):
        spent, other = ours[f"job{number}_s"], theirs[f"job{number}_s"]
        name = f"{what}, NFE {count}, job {number + 1}: time of voxhost ({spent:.1f} s) / upstream ({other:.1f} s)"
        rows.append(row(name, spent / other, "x", f"<= {goal}", spent / other <= goal))
    return rows


def fp32(bench, python, model, steps, goal):
    difference = []

    def check():
        for number in range(len(steps)):
            found = compare(python, bench.folder / f"f5-upstream/{number}.npy", bench.folder / f"f5-fp32/{number}.wav")
            if found["difference"] > DIFFERENCE_MAX:
                raise Wrong(f"f5: job {number + 1} differs from upstream by {found['difference']:.2g} "
                            f"(peak {found['peak']:.2f}), at most {DIFFERENCE_MAX} expected")
            difference.append(found["difference"])

    sides = bench.alternate({
        "upstream": lambda: upstream(bench, python, model, steps, "f5-upstream"),
        "voxhost": lambda: voxhost(bench, model, steps, "f5-fp32", "fp32"),
    }, bench.rounds or 1, check)
    ours, theirs = sides["voxhost"], sides["upstream"]
    load, peak = ours["ready_s"] / theirs["ready_s"], ours["peak_kb"] / theirs["peak_kb"]
    return time_rows("fp32", steps, ours, theirs, goal) + [
        row(f"fp32: start to ready, voxhost ({ours['ready_s']:.2f} s) / upstream ({theirs['ready_s']:.2f} s)", load,
            "x", "<= 0.25", load <= 0.25),
        row("fp32: peak memory of voxhost / upstream", peak, "x", "<= 0.6", peak <= 0.6, **sides),
        row("fp32: largest difference of the waves", f"{max(difference):.1e}", "", f"<= {DIFFERENCE_MAX}", True),
    ]


def bf16(bench, python, model, steps):
    """After fp32, whose waves of the same jobs are the truth for both sides' errors."""
    cosine = {"upstream": [], "voxhost": []}

    def check():
        for number in range(len(steps)):
            truth = bench.folder / f"f5-fp32/{number}.wav"
            for side, path in (("upstream", f"f5-autocast/{number}.npy"), ("voxhost", f"f5-bf16/{number}.wav")):
                cosine[side].append(compare(python, truth, bench.folder / path)["mel_cosine"])

    sides = bench.alternate({
        "upstream": lambda: upstream(bench, python, model, steps, "f5-autocast", "--autocast-bf16"),
        "voxhost": lambda: voxhost(bench, model, steps, "f5-bf16", "bf16"),
    }, bench.rounds or 1, check)
    ours, theirs = sides["voxhost"], sides["upstream"]
    peak, least = ours["peak_kb"] / theirs["peak_kb"], min(cosine["voxhost"])
    return time_rows("bf16", steps, ours, theirs, 0.75) + [
        row("bf16: peak memory of voxhost / upstream", peak, "x", None, None, **sides),
        row("bf16: mel cosine of voxhost to fp32", f"{least:.5f}", "", ">= 0.99", least >= 0.99),
        row("bf16: mel cosine of upstream under autocast to fp32", f"{min(cosine['upstream']):.5f}", "", None, None),
    ]


def f5(bench):
    """The F5-TTS plugin beside upstream's Python: time, start, memory and waves, in fp32 and bf16."""
    if not (bench.build / "plugins/f5tts.so").exists():
        raise Wrong("f5: plugins/f5tts.so is missing: the build has no torch (cmake -DWITH_TORCH=ON)")
    python, model = prepare(bench)
    slower, has_bf16 = cpu(python)
    goal = 0.5 if slower > 1.5 else 0.95
    print(f"bench: MKL takes {slower:.2f} times as long as oneDNN here", file=sys.stderr)
    steps = [2, 2, 3] if bench.quick else [7, 7, 32]
    rows = fp32(bench, python, model, steps, goal)
    return rows + (bf16(bench, python, model, steps[:2]) if has_bf16 else [])
