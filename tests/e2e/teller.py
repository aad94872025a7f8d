"""Plugins that fail to load, and say by that what they saw: which directory they were given, for one."""

import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def plugin_that_says(id, message, declarations="", capabilities="0"):
    """The C source of a plugin whose init fails. message: what it says, as arguments of printf, with `l` the load struct."""
    return f"""
#include "vox/helpers.h"
{declarations}
static int32_t init(const struct vox_host *h, const struct vox_load *l, struct vox_model **m, struct vox_error *e)
{{
    (void)h; (void)l; (void)m;
    return vox_fail(e, VOX_EMODEL, {message});
}}
static void fini(struct vox_model *m) {{ (void)m; }}
static int32_t open_(struct vox_model *m, struct vox_session **s, struct vox_error *e)
{{
    (void)m; (void)s; (void)e;
    return VOX_EMODEL;
}}
static void close_(struct vox_session *s) {{ (void)s; }}
static int32_t speak(struct vox_session *s, const struct vox_job *j, struct vox_error *e)
{{
    (void)s; (void)j; (void)e;
    return VOX_EMODEL;
}}
const struct vox_entry vox_entry = {{
    VOX_ENTRY_HEAD, .id = "{id}", .version = "1", .capabilities = {capabilities},
    .init = init, .fini = fini, .open = open_, .close = close_, .speak = speak,
}};
"""


def compile_teller(path, work_dir):
    """Makes the plugin at `path`, which is returned."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    source = work_dir / "teller.c"
    message = r'"given %.*s", (int)l->model_dir.size, l->model_dir.data'
    source.write_text(plugin_that_says("teller", message), encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-I", SOURCE / "sdk/include", "-o", path, source], check=True)
    return path
