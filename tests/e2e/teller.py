"""A plugin that fails to load, and says by that which directory it was given."""

import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]

PLUGIN = r"""
#include "vox/helpers.h"
static int32_t init(const struct vox_host *h, const struct vox_load *l, struct vox_model **m, struct vox_error *e)
{
    (void)h; (void)m;
    return vox_fail(e, VOX_EMODEL, "given %.*s", (int)l->model_dir.size, l->model_dir.data);
}
static void fini(struct vox_model *m) { (void)m; }
static int32_t open_(struct vox_model *m, struct vox_session **s, struct vox_error *e)
{
    (void)m; (void)s; (void)e;
    return VOX_EMODEL;
}
static void close_(struct vox_session *s) { (void)s; }
static int32_t speak(struct vox_session *s, const struct vox_job *j, struct vox_error *e)
{
    (void)s; (void)j; (void)e;
    return VOX_EMODEL;
}
const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD, .id = "teller", .version = "1", .capabilities = 0,
    .init = init, .fini = fini, .open = open_, .close = close_, .speak = speak,
};
"""


def compile_teller(path, work_dir):
    """Makes the plugin at `path`, which is returned."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    source = work_dir / "teller.c"
    source.write_text(PLUGIN, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-I", SOURCE / "sdk/include", "-o", path, source], check=True)
    return path
