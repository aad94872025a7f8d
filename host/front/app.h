/* What the verbs share: options common to several, the manifest with the command line laid over it,
 * the log, the models, and signals. Inside host/front only.
 */
#ifndef FRONT_APP_H
#define FRONT_APP_H

#include "base/base.h"
#include "callback/callback.h"
#include "front/front.h"
#include "manifest/manifest.h"
#include "plugin/plugin.h"

#include <argp.h>
#include <signal.h>

/* --- Arguments -------------------------------------------------------------------------------- */

#define APP_OVERRIDES_MAX 64

/* The common options: --manifest and --set. A child of a verb's argp: its input is a struct
 * app_arguments. */
struct app_arguments {
    const char *manifest_file; /* NULL: the embedded one */
    const char *overrides[APP_OVERRIDES_MAX];
    size_t override_count;
};
extern const struct argp app_argp;

/* Parses a verb's arguments; returns 0, or ends the process as argp does. */
void app_parse(const struct argp *argp, const char *verb, int argc, char **argv, void *input);

/* Strict numbers of the command line: false unless the whole text is one. */
bool app_number(const char *text, double *number);
bool app_integer(const char *text, int64_t *integer);

/* --- The parts -------------------------------------------------------------------------------- */

struct app {
    struct manifest *manifest;
    struct log log;
    struct models *models;
    struct storage *letters; /* of dead letters; NULL: they stay on disk, or nobody asked yet */
};

/* Reads the manifest with the command line laid over it; on failure `report` says why, a line a
 * problem. */
int app_read_manifest(const struct app_arguments *arguments, struct manifest **manifest,
                      struct str *report);
/* Reads the manifest and sets up the log; prints every problem of a wrong one to stderr. 0, or the
 * exit code. */
int app_open(struct app *app, const struct app_arguments *arguments);
/* Opens the plugins of all models, loads nothing. Prints every wrong load option and job default to
 * stderr. 0, or the exit code; the models are there in both cases. */
int app_open_models(struct app *app);
/* Jobs at the same time: `wanted`, where it is not 0, else host.concurrency, else all sessions of
 * all models. */
uint32_t app_concurrency(const struct app *app, int64_t wanted);
/* A descriptor of standard output for us alone; what plugins and their libraries print there goes
 * to standard error from now on, so that it spoils neither audio nor JSON. Before any plugin is
 * opened. */
int app_take_stdout(void);
/* What callbacks are sent by; the storage of dead letters is opened, if the manifest names one, and
 * is the app's. ERR_STORAGE, ERR_INVALID when it cannot be. */
int app_callback_options(struct app *app, struct callback_options *options, struct err *err);
/* What sends callbacks of this run's jobs. */
struct callback_sender *app_callbacks(struct app *app);
/* Has them sent for at most host.drain_s, after a signal for a few seconds; the rest become dead
 * letters. Takes NULL. `all_back`: nobody uses it any more, and it is freed; false: a job that hangs
 * may still end, and the process has to end by _exit. */
void app_callbacks_end(const struct app *app, struct callback_sender *sender, bool all_back);
/* Frees. When a plugin never came back, ends the process at once with `exit_code`, else returns
 * it. */
int app_close(struct app *app, int exit_code);

/* Prints "voxhost: FIELD: MESSAGE" to stderr. */
void app_complain(const struct err *err);

/* The environment for manifests: a yaml_lookup. */
const char *app_getenv(const char *name, void *arg);

/* --- Signals ---------------------------------------------------------------------------------- */

/* 0, or the first of SIGINT and SIGTERM that arrived; a second one ends the process at once. */
extern volatile sig_atomic_t app_signal;
/* `wake` is called from the handler: it must be async-signal-safe. NULL: nothing. A handler that is
 * running meanwhile may still call the one before. */
void app_wake_on_signal(void (*wake)(void *arg), void *arg);
/* Installs the handlers (without SA_RESTART, so that a wait for input ends), ignores SIGPIPE. */
void app_catch_signals(void);

#endif
