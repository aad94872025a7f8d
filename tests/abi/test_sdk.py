"""The installed SDK is enough to build a plugin, by CMake and by pkg-config, and the host speaks with it."""
import os
import pathlib
import shutil
import tempfile
import unittest
import wave

import common

BUILD = common.build_dir()
HOST = BUILD / "voxhost"
CLICK_FRAMES = 960  # of the template, for one character


class Sdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.prefix = pathlib.Path(cls.folder.name) / "prefix"
        common.run("cmake", "--install", BUILD, "--component", "sdk", "--prefix", cls.prefix)

    def copy_template(self, name):
        """A copy of the installed template, outside both trees."""
        copy = pathlib.Path(self.folder.name) / name
        shutil.copytree(self.prefix / "share" / "vox-sdk" / "template", copy)
        return copy

    def build_with_cmake(self):
        template = self.copy_template(f"cmake_{self._testMethodName}")
        common.run("cmake", "-S", template, "-B", template / "build",
                   f"-DCMAKE_PREFIX_PATH={self.prefix}")
        common.run("cmake", "--build", template / "build")
        return template

    def build_with_make(self):
        template = self.copy_template(f"make_{self._testMethodName}")
        found = list(self.prefix.rglob("vox-sdk.pc"))
        self.assertEqual(1, len(found))
        common.run("make", "-C", template, env={**os.environ, "PKG_CONFIG_PATH": str(found[0].parent)})
        return template

    def check(self, template):
        """The plugin is well formed, passes the conformance check and speaks by its own manifest."""
        plugin = template / "template.so"
        self.assertEqual(["vox_entry"], common.exported_symbols(plugin))
        if not HOST.exists():
            self.skipTest(f"{HOST} is not built: the plugin was built, not run")
        common.run(HOST, "check", plugin)
        common.run(HOST, "speak", "--manifest", template / "manifest.yaml", "-o",
                   template / "out.wav", "hi")
        with wave.open(str(template / "out.wav")) as audio:
            self.assertEqual((16000, 1), (audio.getframerate(), audio.getnchannels()))
            self.assertEqual(2 * CLICK_FRAMES, audio.getnframes())
            self.assertTrue(any(audio.readframes(audio.getnframes())))

    def tensor_plugin(self):
        """A plugin that calls the tensor library, made out of tree by find_package."""
        folder = self.copy_template(f"tensors_{self._testMethodName}")
        lists = folder / "CMakeLists.txt"
        text = lists.read_text().replace("find_package(VoxSdk REQUIRED)", "find_package(VoxSdk REQUIRED COMPONENTS voxtensor)")
        lists.write_text(text.replace("SOURCES plugin.c", "SOURCES plugin.c LIBRARIES VoxSdk::voxtensor"))
        source = folder / "plugin.c"
        source.write_text('#include "vox/tensor.h"\n' + source.read_text().replace('"envelope of %d frames", CLICK_FRAMES', '"%s", vt_about()'))
        self.assertIn("vt_about", source.read_text())
        return folder

    def test_tensor_plugin_builds_by_find_package(self):
        if not (BUILD / "lib" / "libvoxtensor.so").exists():
            self.skipTest("built without torch")
        whole = pathlib.Path(self.folder.name) / "whole"
        for component in ("sdk", "host"):
            common.run("cmake", "--install", BUILD, "--component", component, "--prefix", whole)
        folder = self.tensor_plugin()
        common.run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={whole}")
        common.run("cmake", "--build", folder / "build")
        self.assertIn("libvoxtensor.so.1", common.run("readelf", "-d", folder / "template.so"))
        common.run(HOST, "check", folder / "template.so", "--case", "speak-works")

    def test_tensor_plugin_is_refused_without_the_library(self):
        folder = self.tensor_plugin()
        with self.assertRaisesRegex(AssertionError, "voxtensor"):
            common.run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_only_the_sdk_is_installed(self):
        files = {f.name for f in self.prefix.rglob("*") if f.is_file()}
        self.assertLessEqual({h.name for h in common.HEADERS}, files)
        self.assertNotIn("voxhost", files)
        self.assertFalse([f for f in files if f.endswith((".so", ".a"))])

    def test_nothing_installed_names_the_source_or_build_tree(self):
        for file in self.prefix.rglob("*"):
            if file.is_file():
                text = file.read_text()
                for tree in (common.ROOT, BUILD):
                    self.assertNotIn(str(tree), text, file)

    def test_template_builds_by_find_package(self):
        self.check(self.build_with_cmake())

    def test_template_builds_by_pkg_config(self):
        self.check(self.build_with_make())


if __name__ == "__main__":
    unittest.main()
