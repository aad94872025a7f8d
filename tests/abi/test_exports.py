"""A plugin exports vox_entry and nothing else; the tensor library its own API and nothing else."""
import re
import unittest

import common

BUILD = common.build_dir()
FAKES = BUILD / "tests" / "plugins"


class Exports(unittest.TestCase):
    def test_plugins_export_vox_entry_alone(self):
        shipped = sorted((BUILD / "plugins").glob("*.so"))
        self.assertTrue(shipped, f"no plugin in {BUILD / 'plugins'}")
        for plugin in shipped + [FAKES / "tone.so", FAKES / "faulty.so"]:
            with self.subTest(plugin=plugin.name):
                self.assertEqual(["vox_entry"], common.exported_symbols(plugin))

    def test_other_symbols_are_seen(self):
        self.assertLessEqual({"faulty_data", "faulty_function", "vox_entry"},
                             set(common.exported_symbols(FAKES / "faulty_exports.so")))
        self.assertEqual([], common.exported_symbols(FAKES / "faulty_no_entry.so"))

    def test_tensor_library_exports_what_its_headers_declare(self):
        library = BUILD / "lib" / "libvoxtensor.so"
        if not library.exists():
            self.skipTest("built without torch")
        declared = set()
        for header in ("tensor.h", "weights.h"):
            text = re.sub(r"/\*.*?\*/", "", (common.INCLUDE / "vox" / header).read_text(), flags=re.S)
            text = re.sub(r"\\\n|(?m:^#.*$)", "", text)
            declared |= set(re.findall(r"\b((?:vt|vox_weights?|vox_dtype)_\w+)\(", text))
        declared.discard("vt_tap_function")  # a type
        exported = {name.split("@")[0] for name in common.exported_symbols(library)} - {"VOXTENSOR_1"}
        self.assertEqual(declared, exported)


if __name__ == "__main__":
    unittest.main()
