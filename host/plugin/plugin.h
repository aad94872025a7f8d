/* Plugins and the models that they run: finding and opening libraries, checking options against
 * their schemas, bringing models from their tiers and loading them in the background, handing out
 * sessions, and the conformance check. Knows the manifest and the ABI; knows no jobs, files of
 * results or front ends.
 *
 *     plugin_open -> entry -> options_check -> models_create -> model_reserve -> session_take -> ...
 */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "base/base.h"
#include "manifest/manifest.h"
#include "vox/plugin.h"

#include <signal.h>

/* --- Libraries -------------------------------------------------------------------------------- */

struct plugin; /* an opened library; lives until the process ends */

/* The absolute path of `name`: as it is when absolute, else in `first_dir` (NULL: none), then in
 * each folder of `search`, then in the program's own plugin folders. The caller's; NULL with the
 * folders in `err`. */
char *plugin_find(const char *name, const char *first_dir, const struct text_list *search,
                  struct err *err);
/* The folders that plugin_find looks in, `search` first, then the program's own. */
void plugin_dirs(const struct text_list *search, struct text_list *dirs);

/* Opens the library at an absolute path and checks its entry; the same file twice is one plugin.
 * One open at a time in the process. ERR_MODEL_FAILED names the file and what is wrong with it. */
int plugin_open(const char *path, struct plugin **plugin, struct err *err);
const struct vox_entry *plugin_entry(const struct plugin *plugin);
const char *plugin_path(const struct plugin *plugin);
/* Opens the tensor library, which plugins bring along when they need it, and appends one line about
 * it; nothing when this build has none. Fails when there is one that cannot be opened. */
int plugin_tensors_about(struct str *about, struct err *err);
/* Only one thread at a time may be in a plugin's [load] functions. */
void plugin_lock(struct plugin *plugin);
/* False, without the lock, when *stop is not 0 before it can be had. */
bool plugin_lock_unless(struct plugin *plugin, const atomic_int *stop);
void plugin_unlock(struct plugin *plugin);

/* Checks an entry as plugin_open does, for whoever has it by other means. */
int plugin_entry_check(const struct vox_entry *entry, struct err *err);

/* --- Options ---------------------------------------------------------------------------------- */

/* A schema, whose elements may be larger than those we were compiled with. */
struct option_schema {
    const struct vox_option *options;
    uint32_t count, stride;
};

struct option_schema plugin_load_schema(const struct vox_entry *entry);
struct option_schema plugin_job_schema(const struct vox_entry *entry);
const struct vox_option *option_at(struct option_schema schema, uint32_t index);
const struct vox_speaker *plugin_speaker(const struct vox_entry *entry, uint32_t index);

/* Checked values in the schema's order; owns its strings. All zero is an empty one. */
struct option_set {
    struct vox_value *values;
    uint32_t count;
};

/* Checks `given`, then `defaults` for what is not given, then the schema's own defaults. Both are
 * objects or NULL. Unknown names, wrong types and ranges are ERR_INVALID with the field
 * "options.NAME" and a suggestion. `loose`: numbers and booleans may come as text, as CSV brings
 * them. */
int options_check(struct option_schema schema, const cJSON *given, const cJSON *defaults,
                  bool loose, struct option_set *set, struct err *err);
void option_set_finish(struct option_set *set);
/* Appends the set values as a JSON object in the schema's order. */
void option_set_write(struct option_schema schema, const struct option_set *set, struct str *out);
/* What an option accepts, in words: "integer 1..256", "one of euler, midpoint". */
void option_expected(const struct vox_option *option, struct str *out);

/* --- Models and sessions ---------------------------------------------------------------------- */

enum model_state { MODEL_UNLOADED, MODEL_LOADING, MODEL_READY, MODEL_FAILED };
extern const char *const model_state_names[];

struct models;
struct model;

/* One open session. */
struct session {
    struct model *model;
    struct vox_session *handle;
};

/* Opens the plugin of every model of the manifest and checks its load options and job defaults;
 * loads nothing. A model whose plugin or options are wrong is FAILED from the start, with the
 * reason. `manifest` and `log` are borrowed until models_destroy. */
struct models *models_create(const struct manifest *manifest, const struct log *log);
/* Checks each load option and each job default of every model whose plugin could be opened by
 * itself, and adds all that are wrong, with their places in the manifest. False when any is. */
bool models_check_options(const struct models *models, struct problems *problems);
/* `changed` is called, from any thread, whenever a model or a session may have become free, and not
 * any more once models_watch(models, NULL, NULL) has returned. It must not call this. */
void models_watch(struct models *models, void (*changed)(void *arg), void *arg);
/* Closes idle sessions and unloads what is loaded. False when a plugin still runs (a loader or a
 * session that never came back): then memory is left alone and the process should end by _exit. */
bool models_destroy(struct models *models);

size_t models_count(const struct models *models);
struct model *models_at(struct models *models, size_t index);
/* By name or alias, without regard to case; ERR_UNKNOWN_MODEL lists what there is. */
struct model *models_find(struct models *models, const char *name, struct err *err);
const char *model_name(const struct model *model); /* the manifest's model_type */
const struct manifest_model *model_manifest(const struct model *model);
const struct vox_entry *
model_entry(const struct model *model);                   /* NULL: its plugin could not be opened */
const char *model_plugin_path(const struct model *model); /* NULL likewise */
/* A digest of the model's options and of name, size and time of the files in its folder, as they
 * were when it was first asked for: what belongs to one checkpoint and no other is known by it. */
void model_identity(struct model *model, char out[DIGEST_HEX_SIZE]);
enum model_state model_state(struct model *model, struct err *why); /* why: set when FAILED */
/* What a job for a model that FAILED is told (ERR_MODEL_FAILED, of the field model_type); else 0. */
int model_refuse(struct model *model, struct err *err);
int64_t model_load_ms(struct model *model);
int64_t model_load_begun(struct model *model); /* clock_now then; 0: it has not */
int64_t model_ready_at(struct model *model);   /* clock_now when loading ended; 0: it has not */

/* Starts loading in a thread of its own, unless it was started before. Plugins load side by side;
 * the models of one plugin one after the other. */
void model_load_start(struct model *model);
/* Waits until the model is READY (0) or FAILED (its code), until `deadline` (clock_now;
 * ERR_MODEL_LOADING) or until *stop is set (ERR_CANCELLED). */
int model_wait(struct model *model, int64_t deadline, const volatile sig_atomic_t *stop,
               struct err *err);

enum model_reservation { MODEL_RESERVED, MODEL_BUSY, MODEL_WAIT };
/* Reserves the right to one session: MODEL_RESERVED, MODEL_BUSY when all are in use, MODEL_WAIT
 * when the model is not loaded yet (loading starts), or a negative code as model_refuse does.
 * Never blocks. */
int model_reserve(struct model *model, struct err *err);
/* After MODEL_RESERVED: an idle session, or a new one, which waits while another model of the plugin
 * is loaded; ERR_CANCELLED when *stop is not 0 before that ends. On failure session->handle is NULL,
 * and the reservation still has to be given back: by session_give with SESSION_DISCARD. */
int session_take(struct model *model, const atomic_int *stop, struct session *session,
                 struct err *err);

enum session_fate {
    SESSION_KEEP,    /* good for the next job */
    SESSION_DISCARD, /* its state is unknown: closed */
    SESSION_LOST, /* its thread never came back: left alone, and one session fewer for the model */
};
/* Gives the session and the reservation back. */
void session_give(struct session *session, enum session_fate fate);
/* The thread of a lost session came back after all: closes it, and the model has it back. */
void session_recover(struct session *session);
/* No further job may run on this model: bad weights, a lost device. */
void model_fail(struct model *model, const struct err *why);

/* The folder of one job's temporary files, which its plugin may ask for by vox.scratch/1. What
 * job->self points at begins with it. All zero but the model: not asked for. */
struct job_scratch {
    struct model *model;
    char *dir;      /* NULL: there is none */
    struct err err; /* why there is none though the plugin asked */
};
/* Removes it with all that is in it; call when speak has returned. */
void job_scratch_end(struct job_scratch *scratch);

/* The err_code for a plugin's negative VOX_E* code. */
enum err_code plugin_code(int32_t code);
/* Turns a plugin's failure into ours: "flite: the message". Takes care of texts that are not
 * terminated, not UTF-8, of several lines or empty, and of codes that the ABI does not know.
 * Returns err->code. */
int plugin_failure(struct err *err, const char *who, const char *call, int32_t code,
                   const struct vox_error *error);
/* Appends one line of valid UTF-8 from whatever a plugin handed us. */
void plugin_text(const char *data, size_t size_max, struct str *out);

/* --- Conformance ------------------------------------------------------------------------------ */

/* `voxhost check`: runs every case (or those named) against the plugin, each in a child process
 * with a time limit, and prints a line each. Returns the exit code: 0 when none failed, 1 when some
 * did, 2 when the plugin cannot be tried. */
struct check_options {
    const char *plugin_path; /* as the user gave it */
    const char *model_dir;   /* for plugins that need weights; NULL: an empty folder */
    const char *device;      /* NULL: auto */
    const cJSON *load_options, *job_options; /* objects, or NULL */
    const char *text;                        /* what to speak; NULL: a short English sentence */
    const struct vox_voice *voice; /* a recording, for plugins that need one; NULL: none */
    const char *const *cases;      /* names; NULL: all */
    size_t case_count;
    bool json, list;
    bool in_process;  /* run in this process, for a debugger */
    double timeout_s; /* per case */
    /* What makes this program do the same again, from the verb on, without the choice of cases;
     * ends with NULL. For children, unless in_process. */
    const char *const *child_args;
    const char *work_dir; /* in a child: its folder; its outcome goes to CHECK_REPORT_FD */
};
#define CHECK_REPORT_FD 3
int check_run(const struct check_options *options);

#endif
