/* The manifest: one YAML file, checked whole, as one immutable struct. It knows the words of a
 * manifest, not what plugins make of them: model options are checked against a plugin's schema in
 * plugin/.
 *
 * Every key stands in one table per section (manifest_schema.c) with its type, limits, default and
 * help; the parser, `voxhost config` and configs/REFERENCE.md all read that table. A value comes
 * from the command line (--set), else the manifest, else the environment, else its default.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "base/base.h"

#define MANIFEST_MODELS_MAX 64
#define MANIFEST_ALIASES_MAX 32
#define MANIFEST_SESSIONS_MAX 256
#define MANIFEST_CONCURRENCY_MAX 1024 /* threads; the command line may not ask for more either */
#define MANIFEST_TIERS_MAX 8
#define MODEL_TYPE_SIZE_MAX 64 /* [A-Za-z0-9][A-Za-z0-9._-]*; unique without regard to case */

enum value_source { SOURCE_DEFAULT, SOURCE_ENVIRONMENT, SOURCE_MANIFEST, SOURCE_COMMAND_LINE };

/* Directories are absolute. */
struct manifest_paths {
    char *models; /* default ./models */
    char *cache;  /* default ./cache */
    char *voices; /* default ./voices */
    /* Where a relative model_dir is looked for after `models`: directories, then buckets of the
     * storage's service ("s3://BUCKET/PREFIX"), which no path shows: who loads the model asks. */
    struct text_list model_tiers;
    bool copy_up; /* what a tier holds is copied to `models` before it is loaded */
};

struct manifest_host {
    int64_t log_level;      /* enum log_level; default info */
    int64_t log_format;     /* enum manifest_log_format */
    int64_t concurrency;    /* jobs at the same time over all models; 0: the sum of all sessions */
    int64_t min_free_mb;    /* disks that we write to keep this much free; default 64 */
    double cache_keep_days; /* 0: for ever */
    int64_t cache_keep_mb;  /* of each model's; 0: any */
    int64_t text_bytes_max; /* of one job's text; default 1,000,000 */
    double job_timeout_s;   /* running time of a job that names none; 0: no limit */
    double load_timeout_s;  /* a job waits so long for its model to load; default 600 */
    double cancel_grace_s;  /* a cancelled job that still runs after this is given up; default 10 */
    double drain_s;         /* after SIGTERM, running jobs may take so long; default 30 */
    struct text_list plugin_path; /* absolute; searched after the manifest's folder */
    bool fetch_private;           /* URLs of jobs may lead to private addresses */
    double fetch_timeout_s;       /* of a download that a job names */
    int64_t fetch_mb_max;
};

enum manifest_storage_type { STORAGE_NONE, STORAGE_FILE, STORAGE_S3 };

/* The endpoint is there if and only if the type is STORAGE_S3, `dir` if it is STORAGE_FILE. The
 * keys and the token come from one place: the manifest, or one family of variables (see
 * manifest_storage_section). */
struct manifest_storage {
    int64_t type; /* enum manifest_storage_type, resolved */
    char *dir;    /* absolute */
    char *endpoint, *bucket, *region, *account_id;
    char *access_key, *secret_key, *session_token;
    char *credentials_file; /* absolute; read by storage_open when there is no access_key */
    char *prefix, *public_base_url;
    bool path_style;
    int64_t presign_ttl_s;
    char *key_template;  /* checked by manifest_key_template_check */
    char *voices_prefix; /* a relative path that ends with "/" */
    double keep_days;    /* of STORAGE_FILE only, as keep_mb; 0: for ever */
    int64_t keep_mb;     /* 0: any */
    int64_t min_free_mb; /* host.min_free_mb */
};

/* What a key template may name: "{job_id}" and so on. */
enum manifest_key_field {
    KEY_FIELD_JOB_ID,
    KEY_FIELD_USER_ID,
    KEY_FIELD_STORY_ID,
    KEY_FIELD_VOICE,
    KEY_FIELD_LANGUAGE,
    KEY_FIELD_MODEL_TYPE,
    KEY_FIELD_DATE,
    KEY_FIELD_EXT,
    KEY_FIELD_RANDOM, /* 32 digits that only who has the secret can find */
    KEY_FIELD_COUNT
};
extern const char *const manifest_key_fields[KEY_FIELD_COUNT + 1]; /* ends with NULL */

/* Is this a template of relative paths that cannot leave what they begin with? ERR_INVALID says
 * what is wrong. */
int manifest_key_template_check(const char *text, struct err *err);

/* Where the outcome of jobs is posted to; see host/callback. */
struct manifest_callbacks {
    char *url, *error_url; /* of jobs that name none; NULL: none */
    char *secret;          /* NULL: callbacks are not signed */
    char *timestamp_header, *signature_header;
    int64_t attempts;   /* in all */
    double timeout_s;   /* of each */
    char *dead_letters; /* absolute, or "storage:PREFIX/" */
    char *
        letters_dir; /* absolute: that, or what is still to be sent, and what the storage did not take */
    double keep_days; /* of dead letters; 0: for ever */
    int64_t keep_mb;  /* of all of them; 0: any */
    cJSON *rewrite;   /* URLs of jobs that begin with a name begin with its text; NULL: none */
};

#define MANIFEST_LETTERS_DIR "failed_callbacks" /* by default */
/* What names of dead letters in the storage begin with, "PREFIX/"; NULL: they stay on disk.
 * Borrowed. */
const char *manifest_letters_prefix(const struct manifest_callbacks *callbacks);

/* Is this an http or https URL that something may be posted to: no credentials, no fragment,
 * printable ASCII? */
#define MANIFEST_URL_SIZE_MAX 2048
bool manifest_callback_url_valid(const char *url);

struct manifest_worker {
    int64_t inline_chars_max; /* of base64; longer audio is uploaded */
    int64_t body_bytes_max;   /* of a result; a longer one is never sent */
    int64_t audio_mb_max;     /* of one job, in memory */
    bool legacy_fields;
    double request_s;  /* of one exchange with the platform, long polls apart */
    double delivery_s; /* a result is tried so long */
    double progress_s; /* 0: no progress updates */
    int64_t stream_chunk_bytes;
    bool stream_aggregate;
    bool refresh;
    char *runpod_version;
    int64_t health_port; /* 0: none */
    char *health_host;
};

enum manifest_log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct manifest_model {
    char *model_type;         /* as written; the routing key */
    struct text_list aliases; /* other names that jobs may use */
    char *plugin;             /* "flite.so", or a path; found by plugin_find */
    char *model_dir;          /* absolute; default: paths.models/model_type */
    char *
        cache_dir; /* absolute; default: paths.cache/model_type; no other model's, no other's parent */
    char *device;     /* auto | cpu | cuda | cuda:N */
    bool preload;     /* default true */
    bool required;    /* default true */
    int64_t sessions; /* 1..MANIFEST_SESSIONS_MAX, resolved: in the file 0 means one per CPU */
    cJSON *options;   /* object; load options as given */
    cJSON *defaults;  /* object; job options as given */
    int line, column; /* of the entry, for later messages */
    unsigned char *sources; /* enum value_source of each key in the table of this section */
};

struct manifest {
    char *file; /* as the user named it; "(built-in)" for the embedded one */
    char *dir;  /* absolute; what relative paths start from */
    int64_t version;
    char *default_model; /* a model_type or alias of `models`; NULL: none */
    struct manifest_paths paths;
    struct manifest_host host;
    struct manifest_storage storage;
    struct manifest_callbacks callbacks;
    struct manifest_worker worker;
    struct manifest_model *models;
    size_t model_count;                     /* >= 1 */
    const struct yaml_node *jobs;           /* the `jobs:` list, or NULL; checked by who runs it */
    struct manifest_private *private_parts; /* the document, sources of the keys */
};

/* Where a manifest comes from and what is laid over it. */
struct manifest_input {
    const char *file;             /* NULL: the embedded manifest */
    const char *const *overrides; /* "host.log_level=debug", "models.flite.sessions=2" */
    size_t override_count;
    yaml_lookup getenv; /* looks up environment variables */
    void *getenv_arg;
    int64_t cpu_count; /* what sessions: 0 stands for */
};

/* Reads and checks a manifest. On failure returns a negative code, *out is NULL and `report` holds
 * every problem, a line each: "file:line:column: models[1].sesions: unknown key (did you mean
 * "sessions"?)". The embedded manifest's paths start from $XDG_CACHE_HOME/voxhost, else
 * $HOME/.cache/voxhost, else /tmp/voxhost-UID. */
int manifest_load(const struct manifest_input *input, struct manifest **out, struct str *report);
/* The same from memory: `name` stands in messages, relative paths start from `dir`. */
int manifest_parse(const char *text, size_t len, const char *name, const char *dir,
                   const struct manifest_input *input, struct manifest **out, struct str *report);
void manifest_destroy(struct manifest *m);

/* Appends the folders whose content is somebody's own, so that nobody else may clear them up:
 * models, voices, dead letters. Not the caches, and not storage.dir. */
void manifest_owned_dirs(const struct manifest *m, struct text_list *dirs);

/* The model of that name or alias, without regard to case, or NULL. */
const struct manifest_model *manifest_model_find(const struct manifest *m, const char *name);
/* Of speech that names no model: default_model, else the only one; NULL: neither. Borrowed. */
const char *manifest_default_model(const struct manifest *m);

/* Where the option `name` of the model's map `section` ("options", "defaults") stands in the file.
 * For a value that the command line gave: where the model stands. */
void manifest_place(const struct manifest *m, const struct manifest_model *model,
                    const char *section, const char *name, int *line, int *column);

/* Appends the effective value of every key with where it came from: YAML with comments for people,
 * or JSON. Secrets are shown as "***": keys marked so, and model options whose name ends in key,
 * token, secret or password. */
void manifest_print(const struct manifest *m, bool json, struct str *out);

/* Appends configs/REFERENCE.md's text: every key of every section. */
void manifest_reference(struct str *out);

/* True for a directory with a model in it: it is not empty, and holds nothing that is still being
 * downloaded (*.part). */
bool manifest_dir_holds_model(const char *dir);

/* Is this one of paths.model_tiers a bucket? */
#define MANIFEST_BUCKET_TIER "s3://"
bool manifest_tier_is_bucket(const char *tier);

/* Appends the text of the embedded manifest. */
void manifest_embedded(struct str *out);

#endif
