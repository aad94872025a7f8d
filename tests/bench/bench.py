"""Speed and memory of voxhost beside the flite program, minimal C programs and upstream models. README.md has figures.

usage: bench.py [--build DIR] [--dir DIR] [--cores N] [--rounds N] [--quick] [--json] [CASE...]

Both sides of a comparison run in turn on the same cores, and the ratio is that of their medians. Exit code: 1 when a
side failed or the sides' outputs differ, else 0, whether a goal is met or not: a busy machine misses some.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import wave

from f5.case import f5
from harness import Bench, Wrong, machine, row
from pull_bench import pull
from storage.case import storage
from worker.case import worker

SENTENCES = 1000
TONE_JOBS = 20000
LINES_FEW, LINES_MANY = 10_000, 1_000_000
MEMORY_GOAL_KB = 4096

WORDS = {
    "determiner": "the a this every some one no another".split(),
    "adjective": "old quiet narrow bright hungry careful distant wooden curious heavy early famous gentle".split(),
    "noun": "captain river window orchestra market engine garden letter mountain teacher bicycle harbour theory "
            "kitchen signal winter question bridge doctor machine".split(),
    "verb": "follows remembers paints answers crosses repairs describes watches carries builds avoids measures".split(),
    "adverb": "slowly quickly often never carefully suddenly almost always today".split(),
    "number": "3 12 47 180 1969 2024".split(),
    "joint": ["and", "but", "because", "while", "although", ", and", ", so"],
}


def sentence(rng):
    """5 to 25 words of grammatical nonsense, one utterance."""
    length = rng.randint(5, 25)
    words = []
    while len(words) < length:
        if words:
            words.append(rng.choice(WORDS["joint"]))
        pattern = rng.choice([
            "determiner noun verb determiner noun", "determiner adjective noun adverb verb determiner noun",
            "determiner noun verb number adjective noun", "determiner adjective noun verb determiner adjective noun",
        ])
        words += [rng.choice(WORDS[kind]) for kind in pattern.split()]
    text = " ".join(words[:length]).replace(" ,", ",")
    return text[0].upper() + text[1:].rstrip(",") + rng.choice("...?!")


def json_lines(jobs):
    return "".join(json.dumps(job) + "\n" for job in jobs)


def results(folder):
    with open(folder / "results.jsonl", encoding="utf-8") as file:
        return {result["id"]: result for result in map(json.loads, file)}


def pcm(path):
    with wave.open(str(path), "rb") as file:
        return file.getparams()[:4], file.readframes(file.getnframes())


# --- Cases -------------------------------------------------------------------------------------------------


def throughput(bench):
    """Sentences through flite: batch, the flite program once for each, and a C loop over libflite."""
    rng = random.Random(3)
    texts = [sentence(rng) for _ in range(bench.count(SENTENCES))]
    names = [f"s{number:05}" for number in range(len(texts))]
    listed = bench.write("texts.txt", "".join(text + "\n" for text in texts))
    jobs = bench.write("texts.jsonl", json_lines({"id": name, "text": text, "voice": "slt"}
                                                 for name, text in zip(names, texts)))
    manifest = bench.manifest("flite", "plugins/flite.so")
    loop = ('n=0; while IFS= read -r text; do flite -voice slt -t "$text" "$2/$(printf s%05d $n).wav" || exit 1; '
            "n=$((n+1)); done <$1")

    def check():
        for name in names:
            spoken = [pcm(bench.folder / side / f"{name}.wav") for side in ("batch", "program", "loop")]
            if spoken.count(spoken[0]) != 3:
                raise Wrong(f"throughput: {name}.wav is not the same from batch, the flite program and the C loop")
        if len(results(bench.folder / "batch")) != len(texts):
            raise Wrong("throughput: results.jsonl lacks results")

    sides = bench.alternate({
        "batch": lambda: bench.measure(bench.program("voxhost"), "batch", "--manifest", manifest, "--jobs", jobs,
                                       "--out", bench.fresh("batch")),
        "program": lambda: bench.measure("sh", "-c", loop, "sh", listed, bench.fresh("program")),
        "loop": lambda: bench.measure(bench.program("flite_min"), listed, bench.fresh("loop"), bench.cores),
    }, bench.rounds or 3, check)
    faster = sides["program"]["wall_s"] / sides["batch"]["wall_s"]
    slower = sides["batch"]["wall_s"] / sides["loop"]["wall_s"]
    return [
        row(f"{len(texts)} sentences: throughput of batch / flite program", faster, "x", ">= 1.8", faster >= 1.8,
            batch=sides["batch"], program=sides["program"]),
        row(f"{len(texts)} sentences: time of batch / C loop over libflite", slower, "x", "<= 1.15", slower <= 1.15,
            batch=sides["batch"], loop=sides["loop"]),
    ]


def tone_jobs(count, duration_ms):
    return ({"id": f"t{number:05}", "text": "tone", "seed": number, "options": {"duration_ms": duration_ms}}
            for number in range(count))


def overhead(bench):
    """Many short jobs of the tone plugin: batch beside a C program that writes the same files and lines."""
    count = bench.count(TONE_JOBS)
    jobs = bench.write("tone.jsonl", json_lines(tone_jobs(count, 50)))
    manifest = bench.manifest("tone", "tests/plugins/tone.so")
    differ = ("timings_ms", "rtf", "job_hash")

    def check():
        ours, theirs = results(bench.folder / "batch"), results(bench.folder / "minimal")
        if len(ours) != count or ours.keys() != theirs.keys():
            raise Wrong("overhead: results.jsonl lacks results")
        for name, result in ours.items():
            if list(result) != list(theirs[name]):
                raise Wrong(f"overhead: the results of {name} have different fields")
            if any(value != theirs[name][key] for key, value in result.items() if key not in differ):
                raise Wrong(f"overhead: the results of {name} differ")
            for side in ("batch", "minimal"):
                data = (bench.folder / side / f"{name}.wav").read_bytes()
                if hashlib.sha256(data).hexdigest() != result["audio"]["sha256"]:
                    raise Wrong(f"overhead: {side}/{name}.wav is not what its result says")

    sides = bench.alternate({
        "batch": lambda: bench.measure(bench.program("voxhost"), "batch", "--manifest", manifest, "--jobs", jobs,
                                       "--out", bench.fresh("batch")),
        "minimal": lambda: bench.measure(bench.program("tone_min"), jobs, bench.fresh("minimal"), bench.cores),
    }, bench.rounds or 9, check)
    ours, theirs = sides["batch"], sides["minimal"]
    wall = ours["wall_s"] / theirs["wall_s"]
    cpu = (ours["user_s"] + ours["sys_s"]) / (theirs["user_s"] + theirs["sys_s"])
    return [
        row(f"{count} tone jobs of 50 ms: time of batch / minimal C program", wall, "x", "<= 2", wall <= 2,
            batch=ours, minimal=theirs),
        row(f"{count} tone jobs of 50 ms: CPU time of batch / minimal C program", cpu, "x", None, None),
    ]


def memory(bench):
    """Peak memory of batch by the length of the job file, for real and in a dry run."""
    manifest = bench.manifest("tone", "tests/plugins/tone.so")
    few, many = bench.count(LINES_FEW), bench.count(LINES_MANY)
    files = {}
    for count in (few, many):
        files[count] = str(bench.folder / f"lines-{count}.jsonl")
        with open(files[count], "w", encoding="utf-8") as file:
            file.writelines(json.dumps(job) + "\n" for job in tone_jobs(count, 1))

    def batch(count, *more):
        out = bench.fresh("batch")
        run = bench.measure(bench.program("voxhost"), "batch", "--manifest", manifest, "--jobs", files[count],
                            "--out", out, *more)
        if not more:
            with open(out / "results.jsonl", "rb") as file:
                if sum(1 for _ in file) != count:
                    raise Wrong(f"memory: results.jsonl has not {count} lines")
        return run

    rows = []
    for what, more, rounds in (("", (), 1), (", dry run", ("--dry-run",), 3)):
        sides = bench.alternate({"few": lambda more=more: batch(few, *more),
                                 "many": lambda more=more: batch(many, *more)}, bench.rounds or rounds)
        grown = int(sides["many"]["peak_kb"] - sides["few"]["peak_kb"])
        rows.append(row(f"peak memory, {many} lines - {few} lines{what}", grown, "KiB", "<= 4096",
                        grown <= MEMORY_GOAL_KB, few=sides["few"], many=sides["many"]))
    bench.fresh("batch")
    return rows


def startup(bench):
    """One short text: voxhost speak beside the flite program, and what the dynamic linker maps."""
    text = "Hello, world."
    # The host makes its cache folder under HOME; none of the tester's is touched.
    env = {"PATH": os.environ["PATH"], "HOME": str(bench.folder)}
    ours, theirs = bench.folder / "speak.wav", bench.folder / "flite.wav"
    speak = (bench.program("voxhost"), "speak", text, "-o", ours)

    def check():
        if pcm(ours) != pcm(theirs):
            raise Wrong("startup: voxhost and flite do not say the same")

    sides = bench.alternate({
        "voxhost": lambda: bench.measure(*speak, env=env),
        "flite": lambda: bench.measure("flite", "-voice", "slt", text, theirs, env=env),
    }, bench.rounds or 30, check)
    ratio = sides["voxhost"]["wall_s"] / sides["flite"]["wall_s"]
    rows = [
        row("one short text: time of voxhost speak / flite program", ratio, "x", "<= 1.3", ratio <= 1.3, **sides),
        row("one short text: peak memory of voxhost speak", int(sides["voxhost"]["peak_kb"]), "KiB", None, None),
        row("one short text: peak memory of the flite program", int(sides["flite"]["peak_kb"]), "KiB", None, None),
    ]
    for name, command in (("voxhost --help", (speak[0], "--help")), ("voxhost speak", speak)):
        mapped = mapped_objects(command, env)
        heavy = [path for path in mapped if re.search(r"torch|c10|cuda", pathlib.Path(path).name)]
        rows.append(row(f"{name}: objects mapped, of them torch's", len(heavy), f"of {len(mapped)}", "0", not heavy,
                        mapped=mapped))
    return rows


def mapped_objects(command, env):
    """Every object that the dynamic linker maps for the command, those that it opens later too."""
    done = subprocess.run(list(map(str, command)), env={**env, "LD_DEBUG": "files"}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", check=True)
    mapped = sorted(set(re.findall(r"file=(\S+) \[0\];  generating link map", done.stderr)))
    if not mapped:
        raise Wrong("startup: LD_DEBUG tells nothing: this is not the glibc that the bench knows")
    return mapped


CASES = {case.__name__: case for case in (throughput, overhead, memory, startup, pull, storage, f5, worker)}
# f5 needs torch, the network once, and a quarter of an hour; worker needs four minutes.
USUAL = [name for name in CASES if name not in ("f5", "worker")]


# --- Program -----------------------------------------------------------------------------------------------


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; default: all but f5 and worker")
    parser.add_argument("--build", default="build", type=pathlib.Path, help="the build folder (build)")
    parser.add_argument("--dir", help="where outputs are written; default: /dev/shm where 8 GiB are free, else the "
                                      "build folder")
    parser.add_argument("--cores", default=2, type=int, help="cores and threads (2)")
    parser.add_argument("--rounds", default=0, type=int, help="times that each side runs (depends on the case)")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the work, for a first look")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    arguments = parser.parse_args()
    for name in arguments.cases:
        if name not in CASES:
            parser.error(f"no case {name}: {', '.join(CASES)}")
    return arguments


def choose_folder(arguments):
    shm = "/dev/shm"
    if not arguments.dir and os.path.isdir(shm) and shutil.disk_usage(shm).free >= 8 << 30:
        return shm
    return arguments.dir or str(arguments.build)


def show(rows):
    width = max(len(row["name"]) for row in rows)
    for entry in rows:
        value = f"{entry['value']:.2f}" if isinstance(entry["value"], float) else str(entry["value"])
        goal = "" if entry["goal"] is None else f"goal {entry['goal']:8} {'met' if entry['met'] else 'MISSED'}"
        print(f"{entry['name']:{width}}  {value:>8} {entry['unit']:6} {goal}".rstrip(), flush=True)
        for side, facts in entry.items():
            if isinstance(facts, dict):
                print(f"    {side:10} {facts['wall_s'] * 1000:10.1f} ms wall {facts['user_s'] * 1000:10.1f} ms user "
                      f"{facts['sys_s'] * 1000:10.1f} ms system {facts['peak_kb']:8.0f} KiB peak", flush=True)


def main():
    arguments = parse_arguments()
    arguments.build = arguments.build.resolve()
    cores = sorted(os.sched_getaffinity(0))[:arguments.cores]
    os.sched_setaffinity(0, cores)
    where = choose_folder(arguments)
    rows = []
    with tempfile.TemporaryDirectory(prefix="voxhost-bench-", dir=where) as folder:
        bench = Bench(arguments.build, pathlib.Path(folder), len(cores), arguments.rounds, arguments.quick)
        if not arguments.json:
            print(f"{machine()}; {len(cores)} cores used; outputs in {where}", flush=True)
        try:
            for name in arguments.cases or USUAL:
                found = CASES[name](bench)
                rows += found
                if not arguments.json:
                    show(found)
        except Wrong as wrong:
            print(f"bench: {wrong}", file=sys.stderr)
            return 1
    if arguments.json:
        print(json.dumps({"machine": machine(), "cores": len(cores), "folder": where, "quick": arguments.quick,
                          "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
