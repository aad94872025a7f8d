"""How bench.py measures: commands under `measure`, both sides in turn, medians of one run. Knows none of the cases."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess


class Wrong(Exception):
    """A side failed, or the sides did not do the same work: there is nothing to compare."""


def row(name, value, unit, goal, met, **facts):
    """A line of the report. `facts`: {side: what was measured}, shown below it."""
    return {"name": name, "value": value, "unit": unit, "goal": goal, "met": met, **facts}


class Bench:
    """Where things are, and what was asked for."""

    def __init__(self, build, folder, cores, rounds, quick):
        self.build = build
        self.folder = folder
        self.cores = cores
        self.rounds = rounds
        self.quick = quick

    def program(self, name):
        path = self.build / ("voxhost" if name == "voxhost" else f"tests/bench/{name}")
        if not os.access(path, os.X_OK):
            raise Wrong(f"{path} is missing: ./dev bench builds it")
        return str(path)

    def count(self, full):
        """How many of the `full` number of jobs, texts or lines to take."""
        return full // 20 if self.quick else full

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def manifest(self, model_type, plugin):
        """A manifest (as JSON, which is YAML) of one model with a session for each core."""
        return self.write(f"{model_type}.yaml", json.dumps({
            "version": 1,
            "paths": {"cache": str(self.folder / "cache")},
            "models": [{"model_type": model_type, "plugin": str(self.build / plugin), "sessions": self.cores}],
        }))

    def fresh(self, name):
        """An empty folder. Removing the old one is not part of any measurement."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def measure(self, *command, env=None):
        """Runs a command to its end: {"wall_s", "user_s", "sys_s", "peak_kb"}."""
        result = self.folder / "measured.json"
        log = self.folder / "measured.log"
        with log.open("w") as out:
            done = subprocess.run([self.program("measure"), result, *map(str, command)], stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, env=env, check=False)
        if done.returncode != 0:
            tail = log.read_text(errors="replace")[-2000:]
            raise Wrong(f"{pathlib.Path(command[0]).name} ended with {done.returncode}:\n{tail}")
        return json.loads(result.read_text())

    def alternate(self, sides, rounds, check=None):
        """Runs each of `sides` ({name: function that measures}) in every round, in turning order. Calls `check`
        after the first round, with all outputs still there. Returns {name: {quantity: median}}."""
        names = list(sides)
        taken = {name: [] for name in names}
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                taken[name].append(sides[name]())
            if number == 0 and check:
                check()
        return {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                for name, runs in taken.items()}


def machine():
    """The facts that a figure depends on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown CPU")
    return f"{model}, {os.cpu_count()} CPUs, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}"
