/* `voxhost worker`: a RunPod serverless worker, and its local modes. It reads the environment and
 * the command line, loads the models in the background, and hands over to the queue or to a local
 * mode.
 *
 * The command line's --rp_ options are those of the Python SDK (runpod 1.12.0: worker.py).
 */
#include "front/disks.h"
#include "front/housekeeping.h"
#include "front/worker/fitness.h"
#include "front/worker/health.h"
#include "front/worker/heartbeat.h"
#include "front/worker/local.h"
#include "front/worker/queue.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker_arguments {
    struct app_arguments common;
    const char *test_input, *api_host, *log_level;
    int64_t api_port, concurrency;
    bool serve_api;
};

struct worker {
    struct worker_arguments arguments;
    struct app app;
    struct worker_settings settings;
    struct reply_context reply;
    struct metrics *metrics;
    struct storage *storage; /* NULL: none */
    struct callback_sender *callbacks;
    struct disk_watch *disks;
    struct health *health;
    atomic_int stopping;
    int stdout_fd;
};

/* --- Preparing -------------------------------------------------------------------------------- */

/* The SDK's names; ours are fewer. */
static bool set_log_level(struct worker *worker)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"NOTSET", LOG_DEBUG}, {"TRACE", LOG_DEBUG}, {"DEBUG", LOG_DEBUG},
                  {"INFO", LOG_INFO},    {"WARN", LOG_WARN},   {"ERROR", LOG_ERROR}};
    const char *wanted = worker->arguments.log_level;
    for (size_t i = 0; wanted && i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (text_equal_nocase(wanted, levels[i].name)) {
            worker->app.log.level = levels[i].level;
            return true;
        }
    }
    return !wanted;
}

static bool serves_queue(const struct worker *worker)
{
    return worker->settings.take_url && !worker->settings.realtime_port &&
           !worker->arguments.serve_api && !worker->arguments.test_input;
}

static int open_storage(struct worker *worker)
{
    const struct manifest_storage *manifest = &worker->app.manifest->storage;
    struct err err = {0};
    int result = 0;
    if (manifest->type == STORAGE_FILE && !manifest->public_base_url && serves_queue(worker))
        result = err_set(&err, ERR_INVALID, "storage.public_base_url",
                         "is missing: who asked cannot reach a file on this worker");
    if (result == 0)
        result = storage_open(manifest, &worker->storage, &err);
    if (result == 0)
        return 0;
    app_complain(&err);
    return EXIT_WRONG_USE;
}

/* Everything that can be wrong before anything is started. */
static int prepare(struct worker *worker)
{
    struct str report = {0};
    struct err err = {0};
    int exit_code = app_open(&worker->app, &worker->arguments.common);
    if (exit_code != 0)
        return exit_code;
    if (!set_log_level(worker)) {
        err_set(&err, ERR_INVALID, NULL,
                "--rp_log_level: expected ERROR, WARN, INFO or DEBUG, got \"%s\"",
                worker->arguments.log_level);
        app_complain(&err);
        return EXIT_JOBS_FAILED; /* as the SDK */
    }
    if (settings_read(app_getenv, NULL, &worker->settings, &report) != 0) {
        fs_write_all(STDERR_FILENO, str_text(&report), report.len);
        str_finish(&report);
        return EXIT_WRONG_USE;
    }
    str_finish(&report);
    exit_code = open_storage(worker);
    if (exit_code == 0)
        exit_code = app_open_models(&worker->app);
    return exit_code;
}

static int start_health(struct worker *worker)
{
    const struct manifest_worker *manifest = &worker->app.manifest->worker;
    struct err err = {0};
    struct health_options options = {
        .host = manifest->health_host,
        .port = (uint16_t)manifest->health_port,
        .disks = worker->disks,
        .models = worker->app.models,
        .metrics = worker->metrics,
        .worker_id = worker->settings.worker_id,
        .stopping = &worker->stopping,
    };
    if (!manifest->health_port || health_start(&options, &worker->health, &err) == 0)
        return 0;
    err_prefix(&err, "worker.health_port");
    app_complain(&err);
    return EXIT_WRONG_USE;
}

/* True when the machine is fit; else the platform was told. */
static bool is_fit(struct worker *worker)
{
    struct err err = {0};
    struct str reason = {0};
    struct heartbeat_options options = {
        .settings = &worker->settings,
        .runpod_version = worker->app.manifest->worker.runpod_version,
        .log = &worker->app.log,
        .metrics = worker->metrics,
    };
    if (fitness_check(app_getenv, NULL, worker->app.manifest->paths.cache, &err) == 0)
        return true;
    LOG_EVENT(&worker->app.log, LOG_ERROR, "worker", "fitness check failed",
              LOG_TEXT("check", err.field), LOG_TEXT("reason", err.message));
    str_printf(&reason, "%s: %s", reply_error_type(err.code), err.message);
    if (worker->settings.ping_url)
        heartbeat_unhealthy(&options, err.field, reason.data);
    str_finish(&reason);
    return false;
}

/* --- Running ---------------------------------------------------------------------------------- */

static void load_models(struct worker *worker)
{
    for (size_t i = 0; i < models_count(worker->app.models); i++)
        if (model_manifest(models_at(worker->app.models, i))->preload)
            model_load_start(models_at(worker->app.models, i));
}

/* What every mode does that goes on for long. */
static struct housekeeping *start_serving(struct worker *worker)
{
    const struct housekeeping_options options = {&worker->app, worker->storage, NULL};
    disk_watch_log(worker->disks, &worker->app.log, LOG_INFO);
    load_models(worker);
    return housekeeping_start(&options);
}

static int run_queue(struct worker *worker, struct dispatch_options *dispatch)
{
    struct queue_options queue = {
        .settings = &worker->settings,
        .metrics = worker->metrics,
        .stopping = &worker->stopping,
    };
    if (!is_fit(worker))
        return EXIT_JOBS_FAILED;
    LOG_EVENT(&worker->app.log, LOG_INFO, "worker", "serving a RunPod queue",
              LOG_TEXT("worker", worker->settings.worker_id), LOG_TEXT("version", VOXHOST_VERSION),
              LOG_NUMBER("models", models_count(worker->app.models)),
              LOG_NUMBER("concurrency", dispatch->concurrency));
    struct housekeeping *housekeeping = start_serving(worker);
    int exit_code = queue_run(dispatch, &queue);
    housekeeping_stop(housekeeping);
    return exit_code;
}

/* The SDK's order: the API, the realtime port, one test, the queue. */
static int run(struct worker *worker)
{
    const struct worker_arguments *arguments = &worker->arguments;
    bool realtime = !arguments->serve_api && worker->settings.realtime_port;
    struct dispatch_options dispatch = {
        .app = &worker->app,
        .reply = &worker->reply,
        .metrics = worker->metrics,
        .concurrency = app_concurrency(&worker->app, arguments->concurrency),
        .callbacks = worker->callbacks,
        .storage = worker->storage,
    };
    if (arguments->serve_api || realtime) {
        struct local_api_options api = {
            .host = realtime ? "0.0.0.0" : arguments->api_host,
            .port = (uint16_t)(realtime ? worker->settings.realtime_port : arguments->api_port),
            .settings = &worker->settings,
            .metrics = worker->metrics,
            .disks = worker->disks,
        };
        struct housekeeping *housekeeping = start_serving(worker);
        int exit_code = local_api(&dispatch, &api);
        housekeeping_stop(housekeeping);
        return exit_code;
    }
    if (arguments->test_input || !worker->settings.take_url)
        return local_test(&dispatch, arguments->test_input, worker->stdout_fd);
    return run_queue(worker, &dispatch);
}

/* --- Arguments -------------------------------------------------------------------------------- */

enum { KEY_TEST_INPUT = 256, KEY_SERVE_API, KEY_API_PORT, KEY_API_HOST, KEY_CONCURRENCY, KEY_LOG };

static const struct argp_option worker_options[] = {
    {"test_input", KEY_TEST_INPUT, "JSON", 0,
     "Run this one job, print its result and end; without a queue, test_input.json is run", 0},
    {"rp_serve_api", KEY_SERVE_API, NULL, 0, "Serve jobs on a local HTTP port", 0},
    {"rp_api_port", KEY_API_PORT, "PORT", 0, "Its port; 8000", 0},
    {"rp_api_host", KEY_API_HOST, "HOST", 0, "Its address; localhost", 0},
    {"rp_api_concurrency", KEY_CONCURRENCY, "N", 0,
     "Jobs at the same time; else host.concurrency, else all sessions of all models", 0},
    {"rp_log_level", KEY_LOG, "LEVEL", 0, "ERROR, WARN, INFO or DEBUG", 0},
    {0},
};

static int64_t integer_of(struct argp_state *state, const char *option, const char *text,
                          int64_t min, int64_t max)
{
    int64_t number;
    if (!app_integer(text, &number) || number < min || number > max)
        argp_error(state, "--%s: expected integer %lld..%lld, got \"%s\"", option, (long long)min,
                   (long long)max, text);
    return number;
}

static error_t parse_argument(int key, char *argument, struct argp_state *state)
{
    struct worker_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_TEST_INPUT:
        arguments->test_input = argument;
        return 0;
    case KEY_SERVE_API:
        arguments->serve_api = true;
        return 0;
    case KEY_API_PORT:
        arguments->api_port = integer_of(state, "rp_api_port", argument, 0, 65535);
        return 0;
    case KEY_API_HOST:
        arguments->api_host = argument;
        return 0;
    case KEY_CONCURRENCY:
        arguments->concurrency =
            integer_of(state, "rp_api_concurrency", argument, 1, MANIFEST_CONCURRENCY_MAX);
        return 0;
    case KEY_LOG:
        arguments->log_level = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char worker_doc[] =
    "Serve a RunPod queue with every model of the manifest, chosen by each job's model_type.\v"
    "The platform says by the environment (RUNPOD_WEBHOOK_GET_JOB and so on) where jobs come from. "
    "Without it, one job is run and its result printed:\n\n"
    "  voxhost worker --test_input '{\"input\": {\"text\": \"Hello.\"}}'\n"
    "  voxhost worker --rp_serve_api --rp_api_port 8000\n\n"
    "SIGTERM lets what runs finish (host.drain_s) and delivers every result; a second one ends at "
    "once. Exit codes: 0; 1 when a job of a local mode failed, a required model could not be "
    "loaded, a result could not be delivered, the machine is not fit (RUNPOD_MIN_*), or "
    "--rp_log_level is wrong (as in the SDK); 2 when manifest, environment or usage are wrong.";

int verb_worker(int argc, char **argv)
{
    static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {worker_options, parse_argument, NULL, worker_doc,
                                     children,       NULL,           NULL};
    struct worker worker = {.arguments = {.api_host = "localhost", .api_port = 8000}};
    app_parse(&argp, "worker", argc, argv, &worker.arguments);
    app_catch_signals();
    worker.stdout_fd = app_take_stdout();
    crash_install();
    int exit_code = prepare(&worker);
    if (exit_code == 0) {
        worker.metrics = metrics_create(worker.app.models);
        worker.reply = (struct reply_context){&worker.app.manifest->worker,
                                              worker.settings.hostname, worker.settings.report_id};
        worker.callbacks = app_callbacks(&worker.app);
        worker.disks = disk_watch_create(worker.app.manifest);
        exit_code = start_health(&worker);
    }
    if (exit_code == 0)
        exit_code = run(&worker);
    health_stop(worker.health);
    disk_watch_destroy(worker.disks);
    app_callbacks_end(&worker.app, worker.callbacks, true);
    exit_code = app_close(&worker.app, exit_code);
    storage_close(worker.storage);
    metrics_destroy(worker.metrics);
    settings_finish(&worker.settings);
    return exit_code;
}
