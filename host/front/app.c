/* What the verbs share; see app.h. */
#include "front/app.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_AFTER_SIGNAL_S 5.0 /* callbacks; what stops us has waited for jobs already */

/* --- Arguments -------------------------------------------------------------------------------- */

static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    struct app_arguments *arguments = state->input;
    switch (key) {
    case 'm':
        arguments->manifest_file = argument;
        return 0;
    case 's':
        if (arguments->override_count == APP_OVERRIDES_MAX)
            argp_error(state, "--set stands more than %d times", APP_OVERRIDES_MAX);
        arguments->overrides[arguments->override_count++] = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option common_options[] = {
    {"manifest", 'm', "FILE", 0, "The YAML manifest; without one, the built-in flite voice speaks",
     100},
    {"set", 's', "KEY=VALUE", 0,
     "Override a key of the manifest: host.log_level=debug, models.flite.sessions=2", 100},
    {0},
};

const struct argp app_argp = {common_options, parse_common, NULL, NULL, NULL, NULL, NULL};

void app_parse(const struct argp *argp, const char *verb, int argc, char **argv, void *input)
{
    char name[64];
    snprintf(name, sizeof(name), "voxhost %s", verb);
    argv[0] = name; /* what argp shows in usage and errors */
    argp_parse(argp, argc, argv, 0, NULL, input);
    argv[0] = (char *)(uintptr_t)verb;
}

bool app_number(const char *text, double *number)
{
    if (!json_number_valid(text, strlen(text)))
        return false;
    *number = strtod(text, NULL);
    return true;
}

bool app_integer(const char *text, int64_t *integer)
{
    cJSON *node = json_number_valid(text, strlen(text)) ? json_create_number(text) : NULL;
    bool good = node && json_int64(node, integer);
    cJSON_Delete(node);
    return good;
}

/* --- The parts -------------------------------------------------------------------------------- */

const char *app_getenv(const char *name, void *arg)
{
    (void)arg;
    return getenv(name);
}

int app_read_manifest(const struct app_arguments *arguments, struct manifest **manifest,
                      struct str *report)
{
    struct manifest_input input = {
        .file = arguments->manifest_file,
        .overrides = arguments->overrides,
        .override_count = arguments->override_count,
        .getenv = app_getenv,
        .cpu_count = sysconf(_SC_NPROCESSORS_ONLN),
    };
    return manifest_load(&input, manifest, report);
}

int app_open(struct app *app, const struct app_arguments *arguments)
{
    struct str report = {0};
    *app = (struct app){0};
    if (app_read_manifest(arguments, &app->manifest, &report) != 0) {
        fs_write_all(STDERR_FILENO, str_text(&report), report.len);
        str_finish(&report);
        return EXIT_WRONG_USE;
    }
    str_finish(&report);
    const struct manifest_host *host = &app->manifest->host;
    app->log = (struct log){
        .fd = STDERR_FILENO,
        .level = (enum log_level)host->log_level,
        .json = host->log_format == LOG_FORMAT_JSON ||
                (host->log_format == LOG_FORMAT_AUTO && !isatty(STDERR_FILENO)),
    };
    return 0;
}

int app_open_models(struct app *app)
{
    struct problems problems = {.file = app->manifest->file};
    struct str report = {0};
    app->models = models_create(app->manifest, &app->log);
    bool good = models_check_options(app->models, &problems);
    problems_print(&problems, &report);
    fs_write_all(STDERR_FILENO, str_text(&report), report.len);
    str_finish(&report);
    problems_finish(&problems);
    return good ? 0 : EXIT_WRONG_USE;
}

uint32_t app_concurrency(const struct app *app, int64_t wanted)
{
    int64_t sum = 0;
    if (!wanted)
        wanted = app->manifest->host.concurrency;
    for (size_t i = 0; i < app->manifest->model_count; i++)
        sum += app->manifest->models[i].sessions;
    if (!wanted)
        wanted = sum < MANIFEST_CONCURRENCY_MAX ? sum : MANIFEST_CONCURRENCY_MAX;
    return (uint32_t)wanted;
}

int app_take_stdout(void)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0)
        return STDOUT_FILENO;
    dup2(STDERR_FILENO, STDOUT_FILENO);
    return fd;
}

int app_callback_options(struct app *app, struct callback_options *options, struct err *err)
{
    const struct manifest *manifest = app->manifest;
    int result = 0;
    if (!app->letters && manifest_letters_prefix(&manifest->callbacks))
        result = storage_open(&manifest->storage, &app->letters, err);
    *options = (struct callback_options){
        .manifest = &manifest->callbacks,
        .fetch_private = manifest->host.fetch_private,
        .log = &app->log,
        .storage = app->letters,
        .min_free_mb = manifest->host.min_free_mb,
    };
    return result;
}

struct callback_sender *app_callbacks(struct app *app)
{
    struct callback_options options;
    struct err err = {0};
    if (app_callback_options(app, &options, &err) != 0)
        LOG_EVENT(&app->log, LOG_ERROR, "callback",
                  "dead letters stay on disk: the storage cannot be opened",
                  LOG_TEXT("reason", err.message));
    return callback_sender_create(&options);
}

void app_callbacks_end(const struct app *app, struct callback_sender *sender, bool all_back)
{
    bool stopping = app_signal != 0;
    double left_s = sender ? app->manifest->host.drain_s : 0;
    if (stopping && left_s > FLUSH_AFTER_SIGNAL_S)
        left_s = FLUSH_AFTER_SIGNAL_S;
    int64_t deadline = clock_now() + (int64_t)(left_s * (double)CLOCK_S);
    (all_back ? callback_sender_destroy : callback_sender_end)(sender, deadline,
                                                               stopping ? NULL : &app_signal);
}

int app_close(struct app *app, int exit_code)
{
    if (!models_destroy(app->models))
        _exit(exit_code); /* a plugin's thread still uses what we would free */
    storage_close(app->letters);
    manifest_destroy(app->manifest);
    *app = (struct app){0};
    return exit_code;
}

void app_complain(const struct err *err)
{
    struct str line = {0};
    str_printf(&line, "voxhost: %s%s%s\n", err->field, err->field[0] ? ": " : "", err->message);
    fs_write_all(STDERR_FILENO, line.data, line.len);
    str_finish(&line);
}

/* --- Signals ---------------------------------------------------------------------------------- */

volatile sig_atomic_t app_signal;

static void (*volatile signal_wake)(void *arg);
static void *volatile signal_wake_arg;

static void on_signal(int number)
{
    int saved = errno;
    if (app_signal)
        _exit(EXIT_SIGNAL + number);
    app_signal = number;
    if (signal_wake)
        signal_wake(signal_wake_arg);
    errno = saved;
}

void app_wake_on_signal(void (*wake)(void *arg), void *arg)
{
    signal_wake = NULL;
    signal_wake_arg = arg;
    signal_wake = wake;
}

void app_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}
