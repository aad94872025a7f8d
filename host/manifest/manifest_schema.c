/* Every key of a manifest: type, limits, default, environment variable and help, a table per
 * section. The parser, the overrides, `voxhost config` and configs/REFERENCE.md read these tables;
 * nothing else in the host knows a key's name. It must not know what plugins make of their options.
 */
#include "manifest/manifest_private.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_all[] = {"trace", "notset", NULL}; /* of RunPod's SDK */
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
    {"storage", KEY_SECTION, .help = "Where results go that are too large to be sent."},
    {"callbacks", KEY_SECTION, .help = "Where the outcome of jobs is posted to."},
    {"worker", KEY_SECTION, .help = "`voxhost worker`."},
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
    {"model_tiers", KEY_DIRS, AT(model_tiers), .max = MANIFEST_TIERS_MAX, .fallback = "",
     .help =
         "Directories where a relative `model_dir` is looked for when `models` does not hold it: "
         "the first that does wins. One that is empty, or that `voxhost pull` has not "
         "completed, holds nothing. Behind them may stand buckets, `s3://BUCKET/PREFIX`, with "
         "endpoint and keys of `storage`: what they hold is fetched to `models` when the model is "
         "loaded, if `copy_up` is true."},
    {"copy_up", KEY_BOOL, AT(copy_up), .fallback = "false",
     .help = "A model found in `model_tiers` is copied to `models` before it is loaded, where that "
             "leaves `host.min_free_mb` free. A bucket's has to be, or it is not loaded."},
};
#undef AT

#define AT(member) .offset = offsetof(struct manifest_host, member)
static const struct key_spec host_keys[] = {
    {"log_level", KEY_CHOICE, AT(log_level), .min = LOG_DEBUG, .choices = log_levels,
     .lowest = log_all, .fallback = "info",
     .env = "VOXHOST_LOG_LEVEL RUNPOD_LOG_LEVEL RUNPOD_DEBUG_LEVEL",
     .help = "Lines below it are not written."},
    {"log_format", KEY_CHOICE, AT(log_format), .min = LOG_FORMAT_AUTO, .choices = log_formats,
     .fallback = "auto", .env = "VOXHOST_LOG_FORMAT",
     .help = "`auto`: text on a terminal, else JSON lines."},
    {"concurrency", KEY_INT, AT(concurrency), .min = 0, .max = MANIFEST_CONCURRENCY_MAX,
     .fallback = "0", .env = "VOXHOST_CONCURRENCY",
     .help = "Jobs at the same time over all models; 0: the sum of all `sessions`."},
    {"min_free_mb", KEY_INT, AT(min_free_mb), .min = 0, .max = 1 << 20, .fallback = "64",
     .env = "VOXHOST_MIN_FREE_MB",
     .help = "Disks keep this much free: what would be written beyond that is refused before it is "
             "made, with a clear error (results, stored objects, voices, caches, temporary files, "
             "downloaded and copied models)."},
    {"cache_keep_days", KEY_FLOAT, AT(cache_keep_days), .min = 0, .max = 36500, .fallback = "0",
     .env = "VOXHOST_CACHE_KEEP_DAYS",
     .help = "When a model is loaded, files in its cache directory that nobody has read or written "
             "for so many days are removed; 0: none. Most disks note a reading once a day, those "
             "mounted with `noatime` never."},
    {"cache_keep_mb", KEY_INT, AT(cache_keep_mb), .min = 0, .max = 1 << 30, .fallback = "0",
     .env = "VOXHOST_CACHE_KEEP_MB",
     .help = "Then those that were not used for longest, until a cache has no more than this; 0: "
             "however much it has. Files of the last 10 minutes stay."},
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
    {"fetch_private", KEY_BOOL, AT(fetch_private), .fallback = "false",
     .env = "VOXHOST_FETCH_PRIVATE",
     .help = "URLs of jobs may also lead to private, loopback and other special addresses."},
    {"fetch_timeout_s", KEY_FLOAT, AT(fetch_timeout_s), .min = 0.1, .max = 600, .fallback = "30",
     .env = "VOXHOST_FETCH_TIMEOUT_S", .help = "For downloading what a job names by URL."},
    {"fetch_mb_max", KEY_INT, AT(fetch_mb_max), .min = 1, .max = 1024, .fallback = "64",
     .env = "VOXHOST_FETCH_MB_MAX", .help = "The largest such download."},
};
#undef AT

static const char *const storage_types[] = {"none", "file", "s3", NULL};
/* In the order in which they are looked at: RunPod's, Cloudflare's, AWS's. */
const char *const manifest_families[] = {"BUCKET_", "R2_ NEXT_PUBLIC_R2_", "S3_ AWS_", NULL};

#define AT(member) .offset = offsetof(struct manifest_storage, member)
static const struct key_spec storage_keys[] = {
    {"type", KEY_CHOICE, AT(type), .min = STORAGE_NONE, .choices = storage_types,
     .fallback_note =
         "`file` when `dir` is named and the manifest names no bucket or endpoint; `s3` when a "
         "bucket is named, or an endpoint other than by `AWS_ENDPOINT_URL`",
     .help = "`none`: nothing is stored, whatever else is said."},
    {"dir", KEY_DIR, AT(dir), .fallback_note = "none",
     .help = "Of `type: file`: objects are files below it. A worker of a queue needs a "
             "`public_base_url` then."},
    {"endpoint", KEY_TEXT, .flags = KEY_FAMILY | KEY_FAMILY_SIGN, AT(endpoint),
     .fallback_note = "R2's for an `account_id`, else that of AWS in the region",
     .env = "BUCKET_ENDPOINT_URL R2_ENDPOINT R2_ENDPOINT_URL AWS_ENDPOINT_URL",
     .help = "Of an S3-compatible service: `https://HOST`, or with the bucket in it."},
    {"bucket", KEY_TEXT, .flags = KEY_FAMILY | KEY_FAMILY_SIGN, AT(bucket),
     .fallback_note = "in the endpoint",
     .env = "BUCKET_NAME R2_BUCKET R2_BUCKET_NAME S3_BUCKET S3_BUCKET_NAME",
     .help = "The bucket; it must exist."},
    {"region", KEY_TEXT, .flags = KEY_FAMILY, AT(region), .fallback_note = "by the endpoint",
     .env = "BUCKET_REGION R2_REGION AWS_REGION AWS_DEFAULT_REGION",
     .help = "The region that requests are signed for."},
    {"account_id", KEY_NAME, .flags = KEY_FAMILY, AT(account_id), .fallback_note = "none",
     .env = "R2_ACCOUNT_ID", .help = "Of Cloudflare R2, where no endpoint is named."},
    {"access_key", KEY_SECRET, .flags = KEY_FAMILY | KEY_FAMILY_SIGN, AT(access_key),
     .env = "BUCKET_ACCESS_KEY_ID R2_ACCESS_KEY_ID AWS_ACCESS_KEY_ID",
     .help = "The access key's id."},
    {"secret_key", KEY_SECRET, .flags = KEY_FAMILY, AT(secret_key),
     .env = "BUCKET_SECRET_ACCESS_KEY R2_SECRET_ACCESS_KEY AWS_SECRET_ACCESS_KEY",
     .help = "Its secret."},
    {"session_token", KEY_SECRET, .flags = KEY_FAMILY, AT(session_token),
     .env = "BUCKET_SESSION_TOKEN R2_SESSION_TOKEN AWS_SESSION_TOKEN",
     .help = "With temporary credentials."},
    {"credentials_file", KEY_DIR, .flags = KEY_FAMILY, AT(credentials_file),
     .fallback_note = "none", .env = "AWS_SHARED_CREDENTIALS_FILE",
     .help =
         "Where no key is named: an INI file whose section `[default]` has `aws_access_key_id`, "
         "`aws_secret_access_key` and perhaps `aws_session_token`."},
    {"public_base_url", KEY_TEXT, .flags = KEY_FAMILY, AT(public_base_url),
     .fallback_note = "none: URLs are signed",
     .env = "BUCKET_PUBLIC_URL R2_PUBLIC_URL NEXT_PUBLIC_R2_PUBLIC_URL",
     .help = "What anyone can fetch objects from: a URL is this, `/` and the object's name."},
    {"key_template", KEY_TEXT, AT(key_template), .fallback = "{random}/{job_id}.{ext}",
     .help = "The name of a result: text and `{job_id}`, `{user_id}`, `{story_id}`, `{voice}`, "
             "`{language}`, `{model_type}`, `{date}` (UTC), `{ext}`, `{random}` (32 digits that "
             "follow from the job's id and a secret: of a bucket its secret key, of a directory "
             "the file `.voxhost-salt` in it; nobody else can guess them). A second result of the "
             "same name replaces the first. What a job does not say is `none`."},
    {"voices_prefix", KEY_TEXT, AT(voices_prefix), .fallback = "voices/",
     .help = "What names of stored voices begin with."},
    {"keep_days", KEY_FLOAT, AT(keep_days), .min = 0, .max = 36500, .fallback = "0",
     .help = "Of `type: file`: results that are older are removed; 0: none. "
             "Only files whose names `key_template` can have made, never those of `voices_prefix` "
             "or in folders of other sections. (For a bucket: its lifecycle rules.)"},
    {"keep_mb", KEY_INT, AT(keep_mb), .min = 0, .max = 1 << 30, .fallback = "0",
     .help = "Then the oldest results, until they have no more than this together; 0: however much "
             "they have. Files of the last 10 minutes stay."},
    {"prefix", KEY_TEXT, AT(prefix), .fallback_note = "none", .env = "BUCKET_PREFIX",
     .help = "What names of objects begin with, such as `output`."},
    {"path_style", KEY_BOOL, AT(path_style), .fallback = "true", .env = "BUCKET_PATH_STYLE",
     .help = "`true`: `HOST/BUCKET/NAME`; `false`: `BUCKET.HOST/NAME`."},
    {"presign_ttl_s", KEY_INT, AT(presign_ttl_s), .min = 1, .max = 604800, .fallback = "3600",
     .env = "BUCKET_PRESIGN_TTL_S", .help = "How long, in seconds, the URL of a result is good."},
};
#undef AT

#define AT(member) .offset = offsetof(struct manifest_callbacks, member)
static const struct key_spec callbacks_keys[] = {
    {"url", KEY_TEXT, AT(url), .fallback_note = "none", .env = "VOXHOST_CALLBACK_URL",
     .help = "What jobs that name no `callback_url` are reported to."},
    {"error_url", KEY_TEXT, AT(error_url), .fallback_note = "derived from `url`",
     .env = "VOXHOST_CALLBACK_ERROR_URL",
     .help = "The same for jobs that failed. Derived: `/api/tts/...` has its last name replaced by "
             "`error-callback`, else `/error-callback` is appended."},
    {"secret", KEY_SECRET, AT(secret),
     .env = "VOXHOST_CALLBACK_SECRET MINSTRALY_API_SHARED_SECRET DAEZEND_API_SHARED_SECRET",
     .help = "Signs callbacks; without it they go unsigned."},
    {"timestamp_header", KEY_TEXT, AT(timestamp_header), .fallback = "X-Minstraly-Timestamp",
     .help = "The header with the time of signing, in milliseconds since 1970."},
    {"signature_header", KEY_TEXT, AT(signature_header), .fallback = "X-Minstraly-Signature",
     .help = "The header with the HMAC-SHA256, in hex, of `POST`, the URL's path (without its "
             "query), that time, each with a line end, and the body."},
    {"attempts", KEY_INT, AT(attempts), .min = 1, .max = 20, .fallback = "4",
     .env = "VOXHOST_CALLBACK_ATTEMPTS", .help = "Tries of one callback, with growing pauses."},
    {"timeout_s", KEY_FLOAT, AT(timeout_s), .min = 0.1, .max = 300, .fallback = "15",
     .env = "VOXHOST_CALLBACK_TIMEOUT_S", .help = "For one try, redirects included."},
    {"dead_letters", KEY_DIR, AT(dead_letters), .fallback = MANIFEST_LETTERS_DIR,
     .env = "VOXHOST_CALLBACK_DEAD_LETTERS",
     .help = "Callbacks that nobody took are kept there, for `voxhost callbacks replay`; with "
             "`storage:PREFIX` as objects `PREFIX/DATE/ID.json` of `storage`, and only what is "
             "still to be sent lies in `" MANIFEST_LETTERS_DIR "`."},
    {"keep_days", KEY_FLOAT, AT(keep_days), .min = 0, .max = 36500, .fallback = "0",
     .env = "VOXHOST_CALLBACK_KEEP_DAYS",
     .help = "Dead letters that are older are removed; 0: none are."},
    {"keep_mb", KEY_INT, AT(keep_mb), .min = 0, .max = 1 << 30, .fallback = "0",
     .env = "VOXHOST_CALLBACK_KEEP_MB",
     .help = "The oldest dead letters are removed while all take more; 0: any size."},
    {"rewrite", KEY_MAP, AT(rewrite), .fallback_note = "none",
     .help = "`{FROM: TO}`: a URL of a job that is `FROM`, or goes on behind it with `/` or `?`, "
             "has `TO` in its place."},
};
#undef AT

#define AT(member) .offset = offsetof(struct manifest_worker, member)
static const struct key_spec worker_keys[] = {
    {"inline_chars_max", KEY_INT, AT(inline_chars_max), .min = 0, .max = 1 << 30,
     .fallback = "10000000", .env = "VOXHOST_INLINE_CHARS_MAX",
     .help = "Audio whose base64 is longer is uploaded to `storage`, else the job fails."},
    {"body_bytes_max", KEY_INT, AT(body_bytes_max), .min = 4096, .max = 1 << 30,
     .fallback = "18000000", .env = "VOXHOST_BODY_BYTES_MAX",
     .help = "The largest result that the platform takes (about 20 MB)."},
    {"audio_mb_max", KEY_INT, AT(audio_mb_max), .min = 1, .max = 64, .fallback = "64",
     .env = "VOXHOST_AUDIO_MB_MAX", .help = "The largest audio of a job; it is held in memory."},
    {"legacy_fields", KEY_BOOL, AT(legacy_fields), .fallback = "true",
     .env = "VOXHOST_LEGACY_FIELDS",
     .help =
         "Replies repeat `audio_base64`, `audio_url`, `duration`, `sample_rate` and `job_id` at "
         "their top, where older clients look."},
    {"request_s", KEY_FLOAT, AT(request_s), .min = 0.1, .max = 3600, .fallback = "30",
     .env = "VOXHOST_REQUEST_S",
     .help = "An exchange with the platform that takes longer has failed; long polls have 100 s."},
    {"delivery_s", KEY_FLOAT, AT(delivery_s), .min = 1, .max = 86400, .fallback = "600",
     .env = "VOXHOST_DELIVERY_S", .help = "A result that cannot be delivered is tried so long."},
    {"progress_s", KEY_FLOAT, AT(progress_s), .min = 0, .max = 3600, .fallback = "1",
     .env = "VOXHOST_PROGRESS_S", .help = "Between two progress updates of a job; 0: sends none."},
    {"stream_chunk_bytes", KEY_INT, AT(stream_chunk_bytes), .min = 1, .max = 600000,
     .fallback = "16384", .env = "VOXHOST_STREAM_CHUNK_BYTES",
     .help = "A chunk of a stream has at least so many bytes of audio, but for the last."},
    {"stream_aggregate", KEY_BOOL, AT(stream_aggregate), .fallback = "true",
     .env = "VOXHOST_STREAM_AGGREGATE",
     .help = "The result of a stream repeats all its chunks, where they fit."},
    {"refresh", KEY_BOOL, AT(refresh), .fallback = "false", .env = "VOXHOST_REFRESH",
     .help = "Ask the platform for a fresh worker after each job (`refresh_worker`)."},
    {"runpod_version", KEY_TEXT, AT(runpod_version), .fallback = "1.12.0",
     .env = "VOXHOST_RUNPOD_VERSION", .help = "The SDK version that pings and error reports name."},
    {"health_port", KEY_INT, AT(health_port), .min = 0, .max = 65535, .fallback = "0",
     .env = "VOXHOST_HEALTH_PORT",
     .help = "Serves `/health`, `/ready`, `/ping` and `/metrics` there; 0: nowhere."},
    {"health_host", KEY_TEXT, AT(health_host), .fallback = "0.0.0.0", .env = "VOXHOST_HEALTH_HOST",
     .help = "The address of `health_port`."},
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
const struct section manifest_storage_section = {
    "storage",
    "A directory, or a bucket of an S3-compatible service. Results that are too large to be sent "
    "go "
    "there, and their reply has a URL. Variables of one family only are used, the first of "
    "`BUCKET_*`, `R2_*` and `S3_*` with `AWS_*` that has an endpoint, a bucket or an access key; "
    "keys in the manifest are never completed from variables.",
    storage_keys, COUNT(storage_keys)};
const struct section manifest_callbacks_section = {
    "callbacks",
    "The outcome of a job is posted as JSON to the URL that the job or this section names. A "
    "callback that fails changes nothing of the job. URLs of jobs lead to public addresses only, "
    "unless `host.fetch_private` allows others; those of this section may lead anywhere.",
    callbacks_keys, COUNT(callbacks_keys)};
const struct section manifest_worker_section = {
    "worker", "`voxhost worker`, which serves a RunPod queue.", worker_keys, COUNT(worker_keys)};
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
    case KEY_TEXT:
    case KEY_SECRET:
        str_printf(out, "one line of at most %d bytes", MANIFEST_TEXT_SIZE_MAX);
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
               spec->type == KEY_DEVICE || spec->type == KEY_TEXT || spec->type == KEY_SECRET) {
        free(*(char **)slot);
        *(char **)slot = NULL;
    }
}
