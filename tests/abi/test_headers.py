"""Every public header compiles alone, in each language version that is promised, without a warning."""
import pathlib
import tempfile
import unittest

import common

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = [
    (common.CC, "c99", ".c"),
    (common.CC, "c11", ".c"),
    (common.CC, "c17", ".c"),
    (common.CXX, "c++17", ".cpp"),
]

# Calls every macro and inline function, since an unused one is hardly compiled.
HELPERS = """
#include "vox/helpers.h"
int32_t use(const struct vox_host *host, const struct vox_job *job, struct vox_error *error);
int32_t use(const struct vox_host *host, const struct vox_job *job, struct vox_error *error)
{
    static const int array[3] = {0, 0, 0};
    if (VOX_HAS(job, warn) && vox_str_is(vox_text("a"), "a"))
        vox_warnf(job, "%u", VOX_COUNT(array));
    vox_logf(host, VOX_LOG_INFO, "%d", 1);
    return vox_fail(error, VOX_EINVAL, "%s", "no");
}
"""

# Designated initialisers are C; C++ has them from 2020 on.
ENTRY = """
#include "vox/helpers.h"
const struct vox_entry vox_entry = {VOX_ENTRY_HEAD, .id = "x", .version = "1"};
"""


class Headers(unittest.TestCase):
    def compile(self, language, text):
        compiler, standard, suffix = language
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / ("use" + suffix)
            source.write_text(text)
            common.run(compiler, f"-std={standard}", *WARNINGS, "-I", common.INCLUDE, "-c", source,
                       "-o", source.with_suffix(".o"))

    def test_each_header_compiles_alone_and_twice(self):
        self.assertIn(common.INCLUDE / "vox" / "plugin.h", common.HEADERS)
        for header in common.HEADERS:
            name = header.relative_to(common.INCLUDE)
            for language in LANGUAGES:
                with self.subTest(header=str(name), standard=language[1]):
                    self.compile(language, f'#include "{name}"\n#include "{name}"\n')

    def test_helpers_compile_when_used(self):
        for language in LANGUAGES:
            with self.subTest(standard=language[1]):
                self.compile(language, HELPERS)

    def test_entry_head_starts_an_entry_in_c(self):
        for language in LANGUAGES[:3]:
            with self.subTest(standard=language[1]):
                # An entry leaves out what it has not.
                self.compile(language, "#pragma GCC diagnostic ignored "
                             '"-Wmissing-field-initializers"\n' + ENTRY)


if __name__ == "__main__":
    unittest.main()
