"""A plugin exports vox_entry and nothing else."""
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


if __name__ == "__main__":
    unittest.main()
