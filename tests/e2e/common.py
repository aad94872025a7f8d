"""What the end-to-end tests share: where the build is, how to run the program, small files to run it on."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["VOXHOST_BUILD"])
VOXHOST = str(BUILD / "voxhost")
TEST_PLUGINS = BUILD / "tests" / "plugins"
DATA = pathlib.Path(__file__).parent / "data"
SANITIZE = os.environ.get("VOXHOST_SANITIZE", "")


def environment(**extra):
    """A clean environment: what is set on the tester's machine must not change a test."""
    env = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    env.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
    env.update(extra)
    return env


def run(*args, env=None, timeout=120, **kw):
    """Runs voxhost; text in and out unless text=False is given."""
    kw.setdefault("text", True)
    if "input" not in kw:
        kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    return subprocess.run([VOXHOST, *map(str, args)], env=environment(**(env or {})), timeout=timeout, **kw)


class Case(unittest.TestCase):
    """A test with a folder of its own in self.dir."""

    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="voxhost-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text, encoding="utf-8")
        return path

    def manifest(self, *models, name="manifest.yaml", **top):
        """Writes a manifest (as JSON, which is YAML); a model is a dict, with tone.so as its default plugin."""
        whole = {"version": 1, **top, "models": []}
        for model in models or ({"model_type": "tone"},):
            model = dict(model)
            model.setdefault("plugin", "tone.so")
            if "/" not in model["plugin"] and (TEST_PLUGINS / model["plugin"]).exists():
                model["plugin"] = str(TEST_PLUGINS / model["plugin"])
            whole["models"].append(model)
        return self.write(name, json.dumps(whole))

    def jobs(self, *jobs, name="jobs.jsonl"):
        return self.write(name, "".join(json.dumps(job) + "\n" for job in jobs))

    def batch(self, manifest, jobs, *args, out="out", **kw):
        return run("batch", "--manifest", manifest, "--jobs", jobs, "--out", self.dir / out, *args, **kw)

    def results(self, out="out"):
        """The lines of results.jsonl; every one must be whole."""
        text = (self.dir / out / "results.jsonl").read_text(encoding="utf-8")
        self.assertTrue(text == "" or text.endswith("\n"), "the last line is cut off")
        return [json.loads(line) for line in text.splitlines()]

    def by_id(self, out="out"):
        results = self.results(out)
        ids = [result["id"] for result in results]
        self.assertEqual(len(ids), len(set(ids)), f"an id stands twice in results.jsonl: {sorted(ids)}")
        return {result["id"]: result for result in results}

    def assert_exit(self, done, code):
        self.assertEqual(done.returncode, code, f"stdout:\n{done.stdout}\nstderr:\n{done.stderr}")

    def assert_no_leftovers(self, out="out"):
        """Nothing temporary, hidden or half-written is left in the output folder."""
        left = [str(path) for path in (self.dir / out).rglob("*") if path.name.startswith(".")]
        self.assertEqual(left, [])
