"""Sizes, offsets, types and constants of vox/plugin.h and vox/ext are those of abi.golden, byte for byte."""
import difflib
import pathlib
import re
import sys
import tempfile
import unittest

import common

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "abi.golden"
UPDATE = """Plugins in the field have the golden layout. New fields go to a struct's end and raise
VOX_ABI_MINOR; anything else raises VOX_ABI_MAJOR. When the change is meant, bring tests/abi/layout.c up
to the header, then: python3 tests/abi/test_layout.py --update"""


def current_layout():
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "layout"
        common.run(common.CC, "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", common.INCLUDE,
                   HERE / "layout.c", "-o", program)
        return common.run(program)


class Layout(unittest.TestCase):
    def test_layout_is_the_golden_one(self):
        golden = GOLDEN.read_text()
        try:
            layout = current_layout()
        except AssertionError as error:
            self.fail(f"{error}\n{UPDATE}")
        diff = "".join(difflib.unified_diff(golden.splitlines(True), layout.splitlines(True),
                                            "abi.golden", "vox/plugin.h"))
        self.assertFalse(diff, f"\n{diff}\n{UPDATE}")

    def test_every_struct_and_constant_is_listed(self):
        headers = [common.INCLUDE / "vox" / "plugin.h", *sorted((common.INCLUDE / "vox" / "ext").glob("*.h"))]
        header = "".join(path.read_text() for path in headers)
        golden = GOLDEN.read_text()
        structs = re.findall(r"^struct (\w+) \{", header, re.M)
        constants = re.findall(r"^#define (VOX_(?:MAGIC|OK|E[A-Z]+(?= \()|(?:ABI|CAP|OPTION|LOG)_\w+|PROFILE_(?!ID\b)\w+))\s",
                               header, re.M)
        self.assertGreater(len(structs), 10)
        self.assertEqual(sorted(structs), sorted(re.findall(r"^(\w+): size", golden, re.M)))
        self.assertEqual(sorted(constants), sorted(re.findall(r"^(\w+) =", golden, re.M)))


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        GOLDEN.write_text(current_layout())
    else:
        unittest.main()
