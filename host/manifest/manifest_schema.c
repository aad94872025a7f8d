/* Every key of a manifest: type, limits, default, environment variable and help, a table per section.
 * The parser, the overrides, `voxhost config` and configs/REFERENCE.md read these tables; nothing else
 * in the host knows a key's name. It must not know what plugins make of their options.
 */
#include "manifest/manifest_private.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"auto", "text", "json", NULL};

#define AT(member) .offset = offsetof(struct manifest, member)
static const struct key_spec root_keys[] = {
    {"version", KEY_INT, .flags = KEY_REQUIRED | KEY_FILE_ONLY, AT(version),
     .min = MANIFEST_VERSION, .max = MANIFEST_VERSION, .help = "The version of this format."},
    {"default_model", KEY_NAME, AT(default_model), .fallback_note = "none",
     .help = "The model of jobs that name none: a `model_type` or an alias."},
    {"paths", KEY_SECTION, .help = "Where models, caches and voices lie."},
    {"host", KEY_SECTION, .help = "The host itself: log, limits, times."},
    {"models", KEY_LIST, .flags = KEY_REQUIRED, .help = "The models, a list."},
    {"jobs", KEY_LIST, .help = "A list of jobs that `voxhost batch` runs."},
    {.name = "storage", .type = KEY_UNSUPPORTED},
    {.name = "callbacks", .type = KEY_UNSUPPORTED},
    {.name = "worker", .type = KEY_UNSUPPORTED},
    {.name = "server", .type = KEY_UNSUPPORTED},
};
#undef AT

#define AT(member) .offset = offsetof(struct manifest_paths, member)
static const struct key_spec paths_keys[] = {
    {"models", KEY_DIR, AT(models), .fallback = "models", .env = "VOXHOST_MODELS",
     .help = "What a relative `model_dir` starts from."},
    {"cache", KEY_DIR, AT(cache), .fallback = "cache", .env = "VOXHOST_CACHE",
     .help = "What a relative `cache_dir` starts from."},
    {"voices", KEY_DIR, AT(voices), .fallback = "voices", .env = "VOXHOST_VOICES",
     .help = "The voice library."},
};
#undef AT

#define AT(member) .offset = offsetof(struct manifest_host, member)
static const struct key_spec host_keys[] = {
    {"log_level", KEY_CHOICE, AT(log_level), .min = LOG_DEBUG, .choices = log_levels,
     .fallback = "info", .env = "VOXHOST_LOG_LEVEL", .help = "Lines below it are not written."},
    {"log_format", KEY_CHOICE, AT(log_format), .min = LOG_FORMAT_AUTO, .choices = log_formats,
     .fallback = "auto", .env = "VOXHOST_LOG_FORMAT",
     .help = "`auto`: text on a terminal, else JSON lines."},
    {"concurrency", KEY_INT, AT(concurrency), .min = 0, .max = MANIFEST_CONCURRENCY_MAX,
     .fallback = "0", .env = "VOXHOST_CONCURRENCY",
     .help = "Jobs at the same time over all models; 0: the sum of all `sessions`."},
    {"min_free_mb", KEY_INT, AT(min_free_mb), .min = 0, .max = 1 << 20, .fallback = "64",
     .env = "VOXHOST_MIN_FREE_MB", .help = "A cache directory's disk must have this much free."},
    {"text_bytes_max", KEY_INT, AT(text_bytes_max), .min = 1, .max = 8 << 20, .fallback = "1000000",
     .env = "VOXHOST_TEXT_BYTES_MAX", .help = "The longest text of a job."},
    {"job_timeout_s", KEY_FLOAT, AT(job_timeout_s), .min = 0, .max = 604800, .fallback = "0",
     .env = "VOXHOST_JOB_TIMEOUT_S", .help = "Running time of a job that names none; 0: no limit."},
    {"load_timeout_s", KEY_FLOAT, AT(load_timeout_s), .min = 0.01, .max = 86400, .fallback = "600",
     .env = "VOXHOST_LOAD_TIMEOUT_S", .help = "A job waits so long for its model to load."},
    {"cancel_grace_s", KEY_FLOAT, AT(cancel_grace_s), .min = 0, .max = 3600, .fallback = "10",
     .env = "VOXHOST_CANCEL_GRACE_S",
     .help = "A cancelled job that still runs after this is given up."},
    {"drain_s", KEY_FLOAT, AT(drain_s), .min = 0, .max = 86400, .fallback = "30",
     .env = "VOXHOST_DRAIN_S", .help = "After SIGTERM, running jobs may take so long."},
    {"plugin_path", KEY_DIRS, AT(plugin_path), .max = MANIFEST_PLUGIN_PATH_MAX, .fallback = "",
     .env = "VOXHOST_PLUGIN_PATH",
     .help = "Directories searched for plugins after the manifest's folder (the variable: parted "
             "by colons)."},
};
#undef AT

#define AT(member) .offset = offsetof(struct manifest_model, member)
static const struct key_spec model_keys[] = {
    {"model_type", KEY_NAME, .flags = KEY_REQUIRED | KEY_FILE_ONLY, AT(model_type),
     .help = "The name that jobs use. No two models share a name or alias, whatever the case."},
    {"aliases", KEY_NAMES, AT(aliases), .max = MANIFEST_ALIASES_MAX, .fallback = "",
     .help = "Other names for it."},
    {"plugin", KEY_FILE, .flags = KEY_REQUIRED, AT(plugin),
     .help = "The plugin's file: a path, or a name that is searched for."},
    {"model_dir", KEY_DIR, AT(model_dir), .fallback_note = "the `model_type`",
     .help = "Weights and whatever else it reads; under `paths.models` unless absolute."},
    {"cache_dir", KEY_DIR, AT(cache_dir), .fallback_note = "the `model_type`",
     .help = "Its private directory; under `paths.cache` unless absolute. Never shared."},
    {"device", KEY_DEVICE, AT(device), .fallback = "auto", .help = "Where it runs."},
    {"preload", KEY_BOOL, AT(preload), .fallback = "true", .help = "`false`: on its first job."},
    {"required", KEY_BOOL, AT(required), .fallback = "true",
     .help = "`false`: the host starts without it and its jobs get a clear error."},
    {"sessions", KEY_INT, AT(sessions), .min = 0, .max = MANIFEST_SESSIONS_MAX, .fallback = "1",
     .help = "Jobs at the same time; 0: one per CPU."},
    {"options", KEY_MAP, AT(options), .fallback_note = "none",
     .help = "Load options; `voxhost plugins` lists them."},
    {"defaults", KEY_MAP, AT(defaults), .fallback_note = "none",
     .help = "Job options for jobs that name none."},
};
#undef AT

const struct section manifest_root_section = {"", "Top level", root_keys, COUNT(root_keys)};
const struct section manifest_paths_section = {
    "paths", "Relative paths start from the manifest's folder.", paths_keys, COUNT(paths_keys)};
const struct section manifest_host_section = {"host", "The host itself.", host_keys,
                                              COUNT(host_keys)};
const struct section manifest_model_section = {"models", "Each entry of the list is one model.",
                                               model_keys, COUNT(model_keys)};

int section_find(const struct section *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->keys[i].name, name) == 0)
            return (int)i;
    return -1;
}

void *part_slot(const struct part *p, const struct key_spec *spec)
{
    return (char *)p->base + spec->offset;
}

char *part_label(const struct part *p, const char *key)
{
    return p->path[0] ? str_format("%s.%s", p->path, key) : mem_copy_string(key);
}

static void range_append(const struct key_spec *spec, const char *kind, struct str *out)
{
    if (spec->min == spec->max) {
        str_printf(out, "%.15g (no other is supported)", spec->min);
        return;
    }
    str_printf(out, "%s %.15g..%.15g", kind, spec->min, spec->max);
}

void key_expected(const struct key_spec *spec, struct str *out)
{
    switch (spec->type) {
    case KEY_NAME:
        str_printf(out, "name of at most %d letters, digits, \".\", \"_\", \"-\"",
                   MODEL_TYPE_SIZE_MAX);
        break;
    case KEY_NAMES:
        str_printf(out, "list of at most %.15g names", spec->max);
        break;
    case KEY_FILE:
    case KEY_DIR:
        str_printf(out, "path of at most %d bytes", MANIFEST_PATH_SIZE_MAX);
        break;
    case KEY_DIRS:
        str_printf(out, "list of at most %.15g paths", spec->max);
        break;
    case KEY_DEVICE:
        str_puts(out, "auto, cpu, cuda or cuda:N");
        break;
    case KEY_BOOL:
        str_puts(out, "true or false");
        break;
    case KEY_INT:
        range_append(spec, "integer", out);
        break;
    case KEY_FLOAT:
        range_append(spec, "number", out);
        break;
    case KEY_CHOICE:
        for (size_t i = 0; spec->choices[i]; i++)
            str_printf(out, "%s%s", i == 0 ? "one of " : ", ", spec->choices[i]);
        break;
    case KEY_MAP:
        str_puts(out, "map of options");
        break;
    case KEY_SECTION:
    case KEY_UNSUPPORTED:
        str_puts(out, "map of keys");
        break;
    case KEY_LIST:
        str_puts(out, "list");
        break;
    }
}

void value_free(const struct key_spec *spec, void *slot)
{
    if (spec->type == KEY_NAMES || spec->type == KEY_DIRS) {
        text_list_finish(slot);
    } else if (spec->type == KEY_MAP) {
        cJSON_Delete(*(cJSON **)slot);
        *(cJSON **)slot = NULL;
    } else if (spec->type == KEY_NAME || spec->type == KEY_FILE || spec->type == KEY_DIR ||
               spec->type == KEY_DEVICE) {
        free(*(char **)slot);
        *(char **)slot = NULL;
    }
}
