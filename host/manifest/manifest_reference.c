/* configs/REFERENCE.md: every key of every section, written from the tables. */
#include "manifest/manifest_private.h"

#include <string.h>

static const char introduction[] =
    "# Manifest reference\n"
    "\n"
    "Made by `voxhost config --reference`; do not edit.\n"
    "\n"
    "A manifest is one YAML document. Unknown and duplicate keys are errors, and all errors of a "
    "file "
    "are reported\n"
    "together. Nothing is converted: `\"16\"` is not a number, `yes` is not `true`.\n"
    "\n"
    "- A value comes from the command line (`--set`), else the manifest, else the environment, "
    "else "
    "its default;\n"
    "  `voxhost config` shows which. An empty variable counts as not set.\n"
    "- `--set KEY=VALUE`: `host.log_level=debug`, `paths.cache=/data/cache`, "
    "`default_model=flite`,\n"
    "  `models.MODEL_TYPE.sessions=2`, `models.MODEL_TYPE.options.NAME=VALUE`, "
    "`models.MODEL_TYPE.defaults.NAME=VALUE`;\n"
    "  the items of a list are parted by commas.\n"
    "- `${VAR}` and `${VAR:-default}` stand for environment variables; `$${` is a plain `${`. `~` "
    "is "
    "not expanded.\n"
    "- Two models never share a cache directory, whether by name, case or symbolic link, and none "
    "lies inside another's.\n"
    "- At most 1 MiB, 64 levels, 100,000 values (aliases count each time they are used), 64 "
    "models.\n";

static void default_append(const struct key_spec *spec, struct str *out)
{
    if (spec->flags & KEY_REQUIRED)
        str_puts(out, "required");
    else if (spec->fallback && spec->fallback[0])
        str_printf(out, "`%s`", spec->fallback);
    else if (spec->fallback_note)
        str_puts(out, spec->fallback_note);
    else
        str_puts(out, "none");
}

static void variables_append(const struct key_spec *spec, struct str *out)
{
    for (const char *name = spec->env; name && *name;) {
        size_t len = strcspn(name, " ");
        str_printf(out, "%s`%.*s`", name == spec->env ? "" : ", ", (int)len, name);
        name += len + (name[len] == ' ');
    }
}

static void section_append(const struct section *s, struct str *out)
{
    if (s->name[0])
        str_printf(out, "\n## `%s`\n\n%s\n\n", s->name, s->help);
    else
        str_printf(out, "\n## %s\n\n", s->help);
    str_puts(out, "| key | takes | default | environment | what it is |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < s->count; i++) {
        const struct key_spec *spec = &s->keys[i];
        if (spec->type == KEY_UNSUPPORTED)
            continue;
        str_printf(out, "| `%s` | ", spec->name);
        key_expected(spec, out);
        str_puts(out, " | ");
        default_append(spec, out);
        str_puts(out, " | ");
        variables_append(spec, out);
        str_printf(out, "%s| %s |\n", spec->env ? " " : "", spec->help);
    }
}

void manifest_reference(struct str *out)
{
    str_puts(out, introduction);
    section_append(&manifest_root_section, out);
    section_append(&manifest_paths_section, out);
    section_append(&manifest_host_section, out);
    section_append(&manifest_storage_section, out);
    section_append(&manifest_callbacks_section, out);
    section_append(&manifest_worker_section, out);
    section_append(&manifest_model_section, out);
}
