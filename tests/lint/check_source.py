"""Rules of the source tree that no compiler checks: banned calls, which module may see which, size of files,
no paths of a machine. Prints every breach and exits with 1 when there is one."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX = 800
SUFFIXES = (".c", ".h", ".cpp")

# A module sees itself and these (in the order in which a job passes them).
MAY_SEE = {
    "base": set(),
    "http": {"base"},
    "manifest": {"base"},
    "plugin": {"base", "manifest", "store", "hub"},
    "audio": {"base"},
    "voice": {"base", "http", "audio", "plugin"},
    "store": {"base", "http", "manifest"},
    "hub": {"base", "http"},
    "job": {"base", "manifest", "plugin", "audio", "voice", "store"},
    "callback": {"base", "http", "manifest", "store", "job"},
    "front": {"base", "callback", "http", "hub", "manifest", "plugin", "audio", "voice", "store", "job"},
}
# Outside host/: by the start of the file's path, the folders whose headers it may include.
OUTSIDE = {
    "sdk/include": {"vox"},
    "sdk/template": {"vox"},
    "sdk/src/weights": {"vox", "weights"},
    "sdk/src/dsp": {"vox", "dsp"},
    "sdk/src/kernels": {"vox", "kernels"},
    "sdk/src/torch": {"vox", "kernels", "torch"},
    "plugins": {"vox"},  # and the plugin's own
}
LIBTORCH = re.compile(r'#include <(ATen|c10|caffe2|torch)/')
BANNED = re.compile(r"(?<![>.])\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|gets|system|alloca|popen|getenv)\s*\(")
GETENV_ALLOWED = {"host/front/app.c"}  # the edge of the process
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|home/[a-z]+)/")


def tracked(*patterns):
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
                         capture_output=True, text=True, check=True).stdout
    return [pathlib.Path(line) for line in out.splitlines() if (ROOT / line).exists()]


def without_comments(text):
    """The text with comments and string literals blanked, line for line."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_includes(path, text):
    module = path.parts[1] if len(path.parts) > 2 else "main"
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include "([a-z_]+)/([a-z_/]+\.h)"', line)
        if not match or match.group(1) == "vox" or module == "main":
            continue
        other, header = match.groups()
        if other == module:
            continue
        if other not in MAY_SEE.get(module, set()):
            yield number, f"{module} may not see {other}"
        elif header not in (f"{other}.h",):
            yield number, f"{other} is seen through {other}/{other}.h only"


def check_outside(path, text):
    """The SDK and the plugins: nothing of the host or of each other, and libtorch in sdk/src/torch only."""
    folder = next((f for f in OUTSIDE if path.is_relative_to(f)), None)
    for number, line in enumerate(text.splitlines(), 1) if folder else ():
        if LIBTORCH.match(line) and folder != "sdk/src/torch":
            yield number, "libtorch is seen in sdk/src/torch only"
        match = re.match(r'#include "([a-z0-9_.]+)/', line)
        if not match or match.group(1) in OUTSIDE[folder]:
            continue
        if folder != "plugins" or match.group(1) == ".." or not (ROOT / "plugins" / path.parts[1] / match.group(1)).is_dir():
            yield number, f"{folder} may not see {match.group(1)}"


def check_file(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    if text.count("\n") > LINES_MAX:
        yield 1, f"has over {LINES_MAX} lines"
    if path.suffix in SUFFIXES:
        if not text.startswith("/*"):
            yield 1, "does not begin with a comment that says what it does"
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            for match in BANNED.finditer(line):
                if match.group(1) == "getenv" and str(path) in GETENV_ALLOWED:
                    continue
                yield number, f"calls {match.group(1)}"
    if path.parts[0] == "host":
        yield from check_includes(path, text)
    yield from check_outside(path, text)
    if path.suffix in SUFFIXES and path.parts[0] in ("host", "sdk", "plugins"):
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield number, "names a path of a machine"


def main():
    breaches = 0
    files = tracked("*.c", "*.h", "*.cpp", "*.py")
    for path in files:
        for number, what in check_file(path):
            print(f"{path}:{number}: {what}")
            breaches += 1
    print(f"check_source: {len(files)} files, {breaches} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
