/* The local API server: routes of the Python SDK's development server (FastAPI's answers to what is
 * wrong, too) and of the platform, on the jobs of local_jobs.c; see local.h. Knows no models and no
 * audio.
 *
 * Where the two differ, POST /status and /stream are the SDK's: they answer with the end of a job,
 * once. The SDK runs the job only then; here they wait for it. GET is the platform's: how the job
 * is now.
 */
#include "front/worker/local_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define CONNECTION_TIMEOUT_S 60.0
#define STOP_GRACE_S 1.0

struct api {
    const struct worker_settings *settings;
    struct local_jobs *jobs;
    struct health_options health;
    atomic_int stopping;
};

/* --- What routes do: append a body and return its status, or 0 when local_jobs.c will answer -- */

typedef int handler(struct api *api, struct http_exchange *exchange, const char *id,
                    struct str *out);

static int add_job(struct api *api, struct http_exchange *exchange, bool realtime,
                   const struct local_wait *wait, struct str *out)
{
    struct local_request request;
    if (!local_request_read(exchange, realtime, &request, out))
        return 422;
    request.sync = wait;
    int status = local_jobs_add(api->jobs, &request, wait, out);
    local_request_finish(&request);
    return status;
}

static int post_run(struct api *api, struct http_exchange *exchange, const char *id,
                    struct str *out)
{
    (void)id;
    return add_job(api, exchange, false, NULL, out);
}

static int post_runsync(struct api *api, struct http_exchange *exchange, const char *id,
                        struct str *out)
{
    struct local_wait wait = {exchange, LOCAL_VIEW_STATUS, CLOCK_NEVER, true};
    (void)id;
    if (!local_request_wait(exchange, &wait.deadline, out))
        return 422;
    return add_job(api, exchange, false, &wait, out);
}

static int post_realtime(struct api *api, struct http_exchange *exchange, const char *id,
                         struct str *out)
{
    const struct local_wait wait = {exchange, LOCAL_VIEW_BODY, CLOCK_NEVER, true};
    (void)id;
    return add_job(api, exchange, true, &wait, out);
}

static int get_status(struct api *api, struct http_exchange *exchange, const char *id,
                      struct str *out)
{
    (void)exchange;
    return local_jobs_show(api->jobs, id, LOCAL_VIEW_STATUS, out);
}

static int post_status(struct api *api, struct http_exchange *exchange, const char *id,
                       struct str *out)
{
    const struct local_wait wait = {exchange, LOCAL_VIEW_STATUS, CLOCK_NEVER, false};
    return local_jobs_await(api->jobs, id, &wait, out);
}

static int get_stream(struct api *api, struct http_exchange *exchange, const char *id,
                      struct str *out)
{
    (void)exchange;
    return local_jobs_show(api->jobs, id, LOCAL_VIEW_STREAM, out);
}

static int post_stream(struct api *api, struct http_exchange *exchange, const char *id,
                       struct str *out)
{
    const struct local_wait wait = {exchange, LOCAL_VIEW_STREAM, CLOCK_NEVER, false};
    return local_jobs_await(api->jobs, id, &wait, out);
}

static int post_cancel(struct api *api, struct http_exchange *exchange, const char *id,
                       struct str *out)
{
    (void)exchange;
    return local_jobs_cancel(api->jobs, id, out);
}

static int post_retry(struct api *api, struct http_exchange *exchange, const char *id,
                      struct str *out)
{
    (void)exchange;
    return local_jobs_retry(api->jobs, id, out);
}

static int post_purge(struct api *api, struct http_exchange *exchange, const char *id,
                      struct str *out)
{
    (void)exchange;
    (void)id;
    return local_jobs_purge(api->jobs, out);
}

/* The platform's shape, for an endpoint of one worker, and the disks. */
static int get_health(struct api *api, struct http_exchange *exchange, const char *id,
                      struct str *out)
{
    enum health_state state = health_state(&api->health);
    (void)exchange;
    (void)id;
    str_puts(out, "{\"jobs\":");
    bool running = local_jobs_count(api->jobs, out) > 0;
    bool ready = state == HEALTH_READY;
    str_printf(out,
               ",\"workers\":{\"idle\":%d,\"initializing\":%d,\"ready\":%d,\"running\":%d,"
               "\"throttled\":0,\"unhealthy\":%d},\"disks\":",
               ready && !running, state == HEALTH_STARTING, ready, running, state == HEALTH_FAILED);
    disk_watch_write(api->health.disks, out);
    str_putc(out, '}');
    return 200;
}

/* --- The table of routes ---------------------------------------------------------------------- */

static handler get_page, get_openapi;

/* In the order of the documents; the methods of a path stand together. */
static const struct route {
    const char *method, *path;
    bool has_id; /* the path is followed by a job's id */
    bool has_body;
    handler *handle;
    const char *summary;
    const char *content_type; /* NULL: JSON */
} routes[] = {
    {"POST", "/run", false, true, post_run, "Queues a job and answers at once", NULL},
    {"POST", "/runsync", false, true, post_runsync,
     "Runs a job and answers with its end; ?wait=MILLISECONDS at most", NULL},
    {"GET", "/status/", true, false, get_status, "How a job is now", NULL},
    {"POST", "/status/", true, false, post_status,
     "Waits for the end of a job and answers with it, once", NULL},
    {"GET", "/stream/", true, false, get_stream, "The chunks of a job that nobody took yet", NULL},
    {"POST", "/stream/", true, false, post_stream,
     "Waits for the end of a job and answers with its chunks, once", NULL},
    {"POST", "/cancel/", true, false, post_cancel, "Ends a job", NULL},
    {"POST", "/retry/", true, false, post_retry, "Queues a job that failed once more", NULL},
    {"POST", "/purge-queue", false, false, post_purge, "Cancels the jobs that wait", NULL},
    {"GET", "/health", false, false, get_health, "Counts of jobs and workers", NULL},
    {"GET", "/openapi.json", false, false, get_openapi, "These routes, for programs", NULL},
    {"GET", "/", false, false, get_page, "These routes, for people", "text/html; charset=utf-8"},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

/* The id after the route's path, "" when it takes none; NULL: another route's path. */
static const char *match(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);
    if (strncmp(path, route->path, len) != 0)
        return NULL;
    const char *id = path + len;
    if (route->has_id ? !*id || strchr(id, '/') : *id)
        return NULL;
    return id;
}

static int get_page(struct api *api, struct http_exchange *exchange, const char *id,
                    struct str *out)
{
    (void)api;
    (void)exchange;
    (void)id;
    str_puts(out, "<!doctype html><meta charset=\"utf-8\"><title>voxhost worker</title>\n"
                  "<h1>voxhost worker: local API</h1>\n<table>\n");
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        str_printf(out, "<tr><td>%s<td><code>%s%s</code><td>%s\n", routes[i].method, routes[i].path,
                   routes[i].has_id ? "{id}" : "", routes[i].summary);
    str_puts(out, "</table>\n<p>A job is <code>{\"input\": {...}, \"webhook\": \"...\"}</code>, "
                  "sent as application/json. /ready, /ping and /metrics say how the worker is.\n");
    return 200;
}

static void write_operation(const struct route *route, struct str *out)
{
    str_printf(out, "\"%s\":{\"summary\":\"%s\"", route->method[0] == 'G' ? "get" : "post",
               route->summary);
    if (route->has_id)
        str_puts(out, ",\"parameters\":[{\"name\":\"id\",\"in\":\"path\",\"required\":true,"
                      "\"schema\":{\"type\":\"string\"}}]");
    if (route->has_body)
        str_puts(out, ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":"
                      "{\"schema\":{\"type\":\"object\",\"required\":[\"input\"],\"properties\":"
                      "{\"input\":{\"type\":\"object\"},\"webhook\":{\"type\":\"string\"}}}}}}");
    str_puts(out, ",\"responses\":{\"200\":{\"description\":\"Successful Response\"}");
    if (route->has_body)
        str_puts(out, ",\"422\":{\"description\":\"Validation Error\"}");
    str_puts(out, "}}");
}

static int get_openapi(struct api *api, struct http_exchange *exchange, const char *id,
                       struct str *out)
{
    (void)api;
    (void)exchange;
    (void)id;
    str_puts(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"voxhost worker\",\"version\":"
                  "\"" VOXHOST_VERSION "\"},\"paths\":{");
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        bool same = i > 0 && strcmp(routes[i].path, routes[i - 1].path) == 0;
        if (same)
            str_putc(out, ',');
        else
            str_printf(out, "%s\"%s%s\":{", i ? "}," : "", routes[i].path,
                       routes[i].has_id ? "{id}" : "");
        write_operation(&routes[i], out);
    }
    str_puts(out, "}}}");
    return 200;
}

/* --- From a request to its route -------------------------------------------------------------- */

static void answer_other(struct http_exchange *exchange, int status, const char *header,
                         const char *detail)
{
    const char *const headers[] = {header, NULL};
    struct str body = {0};
    if (detail)
        str_printf(&body, "{\"detail\":\"%s\"}", detail);
    http_exchange_answer(exchange, status, "application/json", headers, &body);
}

static void answer_by(struct api *api, struct http_exchange *exchange, handler *handle,
                      const char *id, const char *content_type)
{
    struct str body = {0};
    int status = handle(api, exchange, id, &body);
    if (status)
        http_exchange_answer(exchange, status, content_type ? content_type : "application/json",
                             NULL, &body);
}

/* /ENDPOINT/realtime, where the platform gave us an endpoint. */
static bool is_realtime(const struct api *api, const char *path)
{
    const char *endpoint = api->settings->endpoint_id;
    size_t len = endpoint ? strlen(endpoint) : 0;
    return len && path[0] == '/' && strncmp(path + 1, endpoint, len) == 0 &&
           strcmp(path + 1 + len, "/realtime") == 0;
}

static void handle_request(struct http_exchange *exchange, void *arg)
{
    struct api *api = arg;
    const char *path = http_exchange_path(exchange), *method = http_exchange_method(exchange);
    const char *id;
    struct str allow = {0};
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!(id = match(&routes[i], path)))
            continue;
        bool takes = routes[i].handle == get_stream; /* which a HEAD must not */
        if (strcmp(routes[i].method, method) == 0 && !(takes && http_exchange_is_head(exchange))) {
            str_finish(&allow);
            answer_by(api, exchange, routes[i].handle, id, routes[i].content_type);
            return;
        }
        str_printf(&allow, "%s%s", allow.len ? ", " : "Allow: ", routes[i].method);
    }
    bool realtime = is_realtime(api, path);
    if (realtime && strcmp(method, "POST") == 0)
        answer_by(api, exchange, post_realtime, "", NULL);
    else if (realtime || allow.len)
        answer_other(exchange, 405, realtime ? "Allow: POST" : str_text(&allow),
                     "Method Not Allowed");
    else if (strcmp(path, "/docs") == 0)
        answer_other(exchange, 307, "Location: /", NULL);
    else if (!health_handle(&api->health, exchange))
        answer_other(exchange, 404, NULL, "Not Found");
    str_finish(&allow);
}

/* --- Serving ---------------------------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0;
}

/* Until a signal; then until what there is has ended, or for host.drain_s. */
static void serve(struct api *api, const struct app *app)
{
    while (!app_signal)
        local_jobs_tick(api->jobs);
    atomic_store(&api->stopping, 1);
    local_jobs_refuse(api->jobs);
    int64_t deadline = clock_now() + (int64_t)(app->manifest->host.drain_s * (double)CLOCK_S);
    LOG_EVENT(&app->log, LOG_INFO, "worker", "stopping", LOG_NUMBER("signal", app_signal));
    while (!local_jobs_idle(api->jobs) && clock_now() < deadline)
        local_jobs_tick(api->jobs);
    local_jobs_stop(api->jobs);
}

static int start_server(struct api *api, const struct local_api_options *options,
                        const struct app *app, struct http_server **server)
{
    struct err err = {0};
    const struct http_server_options http = {
        .host = options->host,
        .port = options->port,
        .body_max = LOCAL_BODY_BYTES_MAX,
        .timeout_s = CONNECTION_TIMEOUT_S,
        .connections_max = CONNECTIONS_MAX,
        .handle = handle_request,
        .arg = api,
    };
    if (http_server_start(&http, server, &err) != 0) {
        app_complain(&err);
        return EXIT_WRONG_USE;
    }
    LOG_EVENT(&app->log, LOG_INFO, "worker", "serving", LOG_TEXT("host", options->host),
              LOG_NUMBER("port", http_server_port(*server)));
    return EXIT_ALL_WELL;
}

/* Where the platform runs this server (RUNPOD_REALTIME_PORT) it wants pings; NULL: it does not, or
 * there is no thread. */
static struct heartbeat *start_heartbeat(const struct app *app,
                                         const struct local_api_options *options)
{
    const struct heartbeat_options heartbeat = {
        .settings = options->settings,
        .runpod_version = app->manifest->worker.runpod_version,
        .log = &app->log,
        .metrics = options->metrics,
    };
    return options->settings->ping_url ? heartbeat_start(&heartbeat) : NULL;
}

int local_api(struct dispatch_options *options, const struct local_api_options *api_options)
{
    const struct app *app = options->app;
    struct api api = {.settings = api_options->settings};
    struct http_server *server = NULL;
    int code = EXIT_JOBS_FAILED;
    api.health = (struct health_options){
        .disks = api_options->disks,
        .models = app->models,
        .metrics = api_options->metrics,
        .worker_id = api_options->settings->worker_id,
        .stopping = &api.stopping,
    };
    struct webhooks_options hooks = {
        .log = &app->log,
        .user_agent = api_options->settings->user_agent,
        .private = app->manifest->host.fetch_private,
        .loopback = is_loopback(api_options->host),
    };
    struct webhooks *webhooks = webhooks_create(&hooks);
    struct heartbeat *heartbeat = start_heartbeat(app, api_options);
    struct local_jobs_options jobs = {options, api_options->settings, api_options->metrics,
                                      webhooks, heartbeat};
    api.jobs = webhooks ? local_jobs_create(&jobs) : NULL;
    if (!api.jobs) {
        LOG_EVENT(&app->log, LOG_ERROR, "worker", "cannot start a thread", LOG_TEXT("for", "jobs"));
        goto out;
    }
    code = start_server(&api, api_options, app, &server);
    if (code == EXIT_ALL_WELL)
        serve(&api, app);
out:
    http_server_stop(server, STOP_GRACE_S);
    webhooks_destroy(webhooks, clock_now() + (int64_t)(WEBHOOK_TIMEOUT_S * (double)CLOCK_S));
    if (api.jobs && !local_jobs_destroy(api.jobs)) {
        app_callbacks_end(app, options->callbacks, false);
        _exit(code); /* a plugin's thread still uses what we would free */
    }
    heartbeat_stop(heartbeat);
    return code;
}
