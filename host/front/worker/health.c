/* What a worker tells those who watch it; see health.h. Every answer is made on the spot from the
 * models' states and the counters. Knows no jobs and no platform.
 */
#include "front/worker/health.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES_MAX 4096
#define CONNECTIONS_MAX 64
#define CONNECTION_TIMEOUT_S 10.0
#define STOP_GRACE_S 0.2

static const char *const state_names[] = {"starting", "ready", "failed", "stopping"};

enum health_state health_state(const struct health_options *options)
{
    enum health_state state = HEALTH_READY;
    if (atomic_load(options->stopping))
        return HEALTH_STOPPING;
    for (size_t i = 0; i < models_count(options->models); i++) {
        struct model *model = models_at(options->models, i);
        const struct manifest_model *manifest = model_manifest(model);
        enum model_state loaded = model_state(model, NULL);
        if (!manifest->required)
            continue;
        if (loaded == MODEL_FAILED)
            return HEALTH_FAILED;
        if (loaded == MODEL_LOADING || (loaded == MODEL_UNLOADED && manifest->preload))
            state = HEALTH_STARTING;
    }
    return state;
}

/* --- Bodies ----------------------------------------------------------------------------------- */

static void write_model(struct model *model, struct str *out)
{
    struct err why = {0};
    enum model_state state = model_state(model, &why);
    str_putc(out, '{');
    json_write_text(out, "model_type", model_name(model));
    str_printf(out, ",\"state\":\"%s\"", model_state_names[state]);
    if (state == MODEL_READY)
        str_printf(out, ",\"load_ms\":%" PRId64, model_load_ms(model));
    if (state == MODEL_FAILED)
        json_write_text(out, "error", why.message);
    str_putc(out, '}');
}

static void write_health(const struct health_options *options, enum health_state state,
                         bool with_disks, struct str *out)
{
    struct metrics_jobs jobs = metrics_jobs(options->metrics);
    str_putc(out, '{');
    json_write_text(out, "version", VOXHOST_VERSION);
    json_write_text(out, "worker", options->worker_id);
    str_printf(out,
               ",\"state\":\"%s\",\"jobs\":{\"ok\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"in_progress\":%" PRIu64 "},\"models\":[",
               state_names[state], jobs.ok, jobs.failed, jobs.in_progress);
    for (size_t i = 0; i < models_count(options->models); i++) {
        if (i)
            str_putc(out, ',');
        write_model(models_at(options->models, i), out);
    }
    str_putc(out, ']');
    if (with_disks) {
        str_puts(out, ",\"disks\":");
        disk_watch_write(options->disks, out);
    }
    str_putc(out, '}');
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* RunPod's load balancer: 204 is a worker that starts; any other but 200 is a sick one. */
static int ping_status(enum health_state state)
{
    return state == HEALTH_READY ? 200 : state == HEALTH_STARTING ? 204 : 503;
}

static void answer_get(const struct health_options *options, const char *path,
                       struct http_exchange *exchange)
{
    static const char *const no_store[] = {"Cache-Control: no-store", NULL};
    enum health_state state = health_state(options);
    const char *type = "application/json";
    struct str body = {0};
    int status = 200;
    if (strcmp(path, "/metrics") == 0) {
        type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_write(options->metrics, &body);
    } else if (strcmp(path, "/ping") == 0) {
        status = ping_status(state);
        if (status != 204)
            str_printf(&body, "{\"state\":\"%s\"}", state_names[state]);
    } else {
        bool is_ready = strcmp(path, "/ready") == 0;
        if (is_ready && state != HEALTH_READY)
            status = 503;
        write_health(options, state, !is_ready, &body);
    }
    http_exchange_answer(exchange, status, type, no_store, &body);
}

static void answer_detail(struct http_exchange *exchange, int status, const char *const *headers,
                          const char *detail)
{
    struct str body = {0};
    str_printf(&body, "{\"detail\":\"%s\"}", detail);
    http_exchange_answer(exchange, status, "application/json", headers, &body);
}

bool health_handle(const struct health_options *options, struct http_exchange *exchange)
{
    static const char *const paths[] = {"/health", "/ready", "/ping", "/metrics"};
    static const char *const allow[] = {"Allow: GET", NULL};
    const char *path = http_exchange_path(exchange);
    size_t i = 0;
    while (i < sizeof(paths) / sizeof(paths[0]) && strcmp(paths[i], path) != 0)
        i++;
    if (i == sizeof(paths) / sizeof(paths[0]))
        return false;
    if (strcmp(http_exchange_method(exchange), "GET") == 0)
        answer_get(options, paths[i], exchange);
    else
        answer_detail(exchange, 405, allow, "Method Not Allowed");
    return true;
}

/* --- The port --------------------------------------------------------------------------------- */

struct health {
    struct health_options options;
    struct http_server *server;
};

static void handle(struct http_exchange *exchange, void *arg)
{
    const struct health *health = arg;
    if (!health_handle(&health->options, exchange))
        answer_detail(exchange, 404, NULL, "Not Found");
}

int health_start(const struct health_options *options, struct health **health, struct err *err)
{
    struct health *h = mem_alloc(sizeof(*h));
    h->options = *options;
    struct http_server_options server = {
        .host = options->host,
        .port = options->port,
        .body_max = REQUEST_BYTES_MAX,
        .timeout_s = CONNECTION_TIMEOUT_S,
        .connections_max = CONNECTIONS_MAX,
        .handle = handle,
        .arg = h,
    };
    *health = NULL;
    if (http_server_start(&server, &h->server, err) != 0) {
        free(h);
        return err->code;
    }
    *health = h;
    return 0;
}

void health_stop(struct health *health)
{
    if (!health)
        return;
    http_server_stop(health->server, STOP_GRACE_S);
    free(health);
}
