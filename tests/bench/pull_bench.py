"""`voxhost pull` of one large file, digest checked, beside `curl` that only stores it. The hub is tests/e2e/hub_server.py."""

import contextlib
import pathlib
import shutil
import subprocess
import sys

from harness import Wrong, row

HUB = pathlib.Path(__file__).parents[1] / "e2e/hub_server.py"
BYTES = 1 << 30
SPEED_GOAL = 0.8
MEMORY_GOAL_KB = 32 << 10


@contextlib.contextmanager
def hub_of(path):
    """The endpoint of a hub that has this file as owner/name."""
    process = subprocess.Popen([sys.executable, "-B", HUB, path], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.kill()
        process.wait()


def make_file(bench):
    path = bench.folder / "big.bin"
    block = bytes(range(256)) * 4096
    with path.open("wb") as file:
        for number in range(bench.count(BYTES) // len(block)):
            file.write(number.to_bytes(8, "little") + block[8:])
    return path


def pull(bench):
    if not shutil.which("curl"):
        raise Wrong("curl is missing")
    source = make_file(bench)
    with hub_of(source) as endpoint:
        def with_voxhost():
            return bench.measure(bench.program("voxhost"), "pull", "owner/name", "--endpoint", endpoint,
                                 "--dir", bench.fresh("pulled"))

        def with_curl():
            return bench.measure("curl", "-sSfL", "-o", bench.fresh("curled") / "big.bin",
                                 f"{endpoint}/owner/name/resolve/main/big.bin")

        def check():
            for name in ("pulled", "curled"):
                if (bench.folder / name / "big.bin").stat().st_size != source.stat().st_size:
                    raise Wrong(f"{name}/big.bin has another size than the file that was served")

        sides = bench.alternate({"voxhost": with_voxhost, "curl": with_curl}, bench.rounds or 3, check)
    speed = sides["curl"]["wall_s"] / sides["voxhost"]["wall_s"]
    peak = sides["voxhost"]["peak_kb"]
    size = f"{source.stat().st_size / 1e9:.2f} GB"
    return [row(f"{size} from a hub: throughput of pull / curl", speed, "x", f">= {SPEED_GOAL}", speed >= SPEED_GOAL, **sides),
            row(f"{size} from a hub: peak memory of pull", peak, "KiB", f"<= {MEMORY_GOAL_KB}", peak <= MEMORY_GOAL_KB)]
