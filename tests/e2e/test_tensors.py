"""The tensor library is opened by the plugins that need it and by nothing else, and is found or missed with a clear line.

Stand-ins take the place of libvoxtensor and libtorch, so that builds without torch run these tests too."""

import json
import pathlib
import shutil
import subprocess
import unittest

from common import BUILD, VOXHOST, Case, environment, run
from teller import SOURCE, plugin_that_says

HAS_TORCH = (BUILD / "plugins/f5tts.so").exists()
TENSORS = "libvoxtensor.so.1"

PLUGIN = plugin_that_says("needy", '"%s", vt_about()', "const char *vt_about(void);", "VOX_CAP_TENSORS")


class Tensors(Case):
    """self.program is a copy of voxhost in a folder of its own, whose lib/ has what a test puts there."""

    def setUp(self):
        super().setUp()
        self.program = self.dir / "program/voxhost"
        self.program.parent.mkdir()
        shutil.copy(VOXHOST, self.program)
        self.stand_in(TENSORS, 'const char *vt_about(void); const char *vt_about(void) { return "a stand-in"; }')
        self.plugin = self.compile("needy.so", PLUGIN, self.dir / "made" / TENSORS)

    def compile(self, name, text, *libraries):
        source, path = self.write(f"{name}.c", text), self.dir / "made" / name
        path.parent.mkdir(exist_ok=True)
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        subprocess.run([compiler, "-shared", "-fPIC", "-I", SOURCE / "sdk/include", f"-Wl,-soname,{name}", "-o", path, source,
                        "-Wl,--no-as-needed", *libraries], check=True)
        return path

    def stand_in(self, name, text="int x; ", *libraries):
        return self.compile(name, text, *libraries)

    def give(self, path):
        """Puts a library where the program looks for its own."""
        folder = self.program.parent / "lib"
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)

    def voxhost(self, *arguments):
        return subprocess.run([self.program, *map(str, arguments)], env=environment(HOME=str(self.dir)), capture_output=True,
                              text=True, timeout=120)

    def sheet(self):
        return json.loads(self.voxhost("plugins", "--json", self.plugin).stdout)["plugins"][0]

    def doctor(self):
        checks = json.loads(self.voxhost("doctor", "--json").stdout)["checks"]
        return next(check for check in checks if check["subject"] == "tensors")

    def test_missing_library_is_named_with_what_to_do(self):
        error = self.sheet()["error"]
        self.assertIn(f"{self.plugin}: needs {TENSORS}", error)
        self.assertIn("WITH_TORCH=ON", error)
        found = self.doctor()
        self.assertEqual(found["level"], "ok")
        self.assertIn("not built", found["message"])

    def test_plugin_from_elsewhere_gets_the_library_of_the_host(self):
        self.give(self.dir / "made" / TENSORS)
        sheet = self.sheet()
        self.assertIsNone(sheet["error"])
        self.assertEqual((sheet["id"], sheet["capabilities"]), ("needy", ["tensors"]))
        self.assertEqual(self.doctor()["message"], "a stand-in")
        checked = self.voxhost("check", self.plugin, "--case", "init-ready")
        self.assertIn("a stand-in", checked.stdout)

    def test_library_without_libtorch_names_the_missing_file(self):
        torch = self.stand_in("libtorch_cpu.so")
        self.give(self.stand_in(TENSORS, "const char *vt_about(void); const char *vt_about(void) { return 0; }", torch))
        for message in (self.sheet()["error"], self.doctor()["message"]):
            self.assertIn("needs libtorch, whose libtorch_cpu.so is not found", message)
        self.assertEqual(self.doctor()["level"], "warn")

    def test_another_missing_library_is_not_mistaken_for_it(self):
        self.plugin = self.compile("other.so", PLUGIN, self.stand_in("libother.so.3", "const char *vt_about(void) {return 0;}"))
        error = self.sheet()["error"]
        self.assertIn("libother.so.3", error)
        self.assertNotIn("tensor", error)


class Without(Case):
    def test_flite_runs_without_the_tensor_library(self):
        text = "A sentence that fills the pipe. " * 400
        with subprocess.Popen([VOXHOST, "speak", "-o", "-", text], env=environment(HOME=str(self.dir)), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdout.read(4096)  # it speaks, and waits for a reader
            maps = pathlib.Path(f"/proc/{process.pid}/maps").read_text()
            process.kill()
        self.assertIn("flite.so", maps)
        for name in ("libvoxtensor", "libtorch", "libc10"):
            self.assertNotIn(name, maps)


class F5tts(Case):
    def test_example_manifest_is_taken(self):
        done = run("config", "--manifest", SOURCE / "configs/f5tts.yaml")
        self.assert_exit(done, 0)
        self.assertIn("plugin: f5tts.so", done.stdout)

    @unittest.skipUnless(HAS_TORCH, "built without torch")
    def test_installed_plugin_finds_its_libraries(self):
        prefix = self.dir / "prefix"
        subprocess.run(["cmake", "--install", BUILD, "--component", "host", "--prefix", prefix], check=True, capture_output=True)
        done = subprocess.run([prefix / "bin/voxhost", "plugins", "--json", "f5tts.so"], env=environment(HOME=str(self.dir)),
                              capture_output=True, text=True)
        sheet = json.loads(done.stdout)["plugins"][0]
        self.assertIsNone(sheet["error"])
        self.assertTrue(sheet["path"].startswith(str(prefix)))
        self.assertTrue(sheet["non_commercial"])
        self.assertTrue((pathlib.Path(sheet["path"]).parent / "f5tts.lexicon").exists())
