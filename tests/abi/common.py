"""What the ABI tests share: the source tree, the compilers, and running a program."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "sdk" / "include"
HEADERS = sorted(INCLUDE.glob("vox/**/*.h"))
CC = os.environ.get("CC", "cc")
CXX = os.environ.get("CXX", "c++")


def build_dir():
    """The build directory, taken off the command line before unittest reads it."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} BUILD_DIR")
    return pathlib.Path(sys.argv.pop(1)).resolve()


def run(*command, **options):
    """Runs a program and returns its standard output; what it said is the text of a failure."""
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120,
                            **options)
    if result.returncode != 0:
        shown = " ".join(str(c) for c in command)
        said = (result.stdout + result.stderr)[-4000:]
        raise AssertionError(f"{shown}: status {result.returncode}\n{said}")
    return result.stdout


def exported_symbols(library):
    lines = run("nm", "-D", "--defined-only", "--format=posix", library).splitlines()
    return sorted(line.split()[0] for line in lines)
