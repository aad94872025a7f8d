/* The HTTP client: many requests in one thread, over libcurl's multi interface. Easy handles are
 * kept for the next request, connections by libcurl. Knows requests and answers; no jobs, no
 * RunPod. */
#include "http/http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IDLE_CALLS_MAX 64 /* easy handles that wait for a next request */
#define IDLE_CONNECTIONS_MAX 128L
#define POLL_MS_MAX 60000
#define STOP_POLL_NS (100 * CLOCK_MS)

struct http_call {
    struct transfer transfer;
    struct http_client *client;
    void (*done)(struct http_response *response, void *arg);
    void *arg;
    bool in_flight;                 /* libcurl has it */
    struct http_call *next, **prev; /* of the list that it is in */
};

struct http_client {
    const struct curl_api *curl;
    CURLM *multi;
    char *user_agent;
    int wake_fd;
    struct http_call *in_flight;
    struct http_call *dropped; /* by http_client_reconnect; `done` is still to be called */
    struct http_call *idle;
    size_t idle_count;
};

/* --- Calls ----------------------------------------------------------------------------------- */

static void list_add(struct http_call **list, struct http_call *call)
{
    call->next = *list;
    call->prev = list;
    if (*list)
        (*list)->prev = &call->next;
    *list = call;
}

static void list_remove(struct http_call *call)
{
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    call->next = NULL;
    call->prev = NULL;
}

/* Takes the first one out; NULL when there is none. */
static struct http_call *list_pop(struct http_call **list)
{
    struct http_call *call = *list;
    if (call) {
        *list = call->next;
        if (*list)
            (*list)->prev = list;
        call->next = NULL;
        call->prev = NULL;
    }
    return call;
}

static void destroy_call(struct http_call *call)
{
    call->transfer.curl->easy_cleanup(call->transfer.easy);
    free(call);
}

/* An idle call or a new one, in no list; NULL when libcurl has no handle. */
static struct http_call *take_call(struct http_client *client)
{
    struct http_call *call = list_pop(&client->idle);
    if (call) {
        client->idle_count--;
        return call;
    }
    call = mem_alloc(sizeof(*call));
    call->client = client;
    call->transfer.curl = client->curl;
    call->transfer.easy = client->curl->easy_init();
    if (!call->transfer.easy) {
        free(call);
        return NULL;
    }
    return call;
}

/* Keeps a call, which is in no list, for a next request. */
static void keep_call(struct http_call *call)
{
    struct http_client *client = call->client;
    transfer_reset(&call->transfer);
    if (client->idle_count >= IDLE_CALLS_MAX) {
        destroy_call(call);
        return;
    }
    list_add(&client->idle, call);
    client->idle_count++;
}

/* Takes a call back from libcurl, if that has it. */
static void stop_call(struct http_call *call)
{
    if (call->in_flight)
        call->client->curl->multi_remove_handle(call->client->multi, call->transfer.easy);
    call->in_flight = false;
}

/* Tells the caller. The call is in no list, so that `done` may start and cancel others. */
static void end_call(struct http_call *call)
{
    call->done(&call->transfer.response, call->arg);
    keep_call(call);
}

struct http_call *http_client_start_by(struct http_client *client,
                                       const struct http_request *request,
                                       const struct http_rules *rules,
                                       void (*done)(struct http_response *response, void *arg),
                                       void *arg, struct err *err)
{
    struct http_call *call = take_call(client);
    if (!call) {
        err_set(err, ERR_INTERNAL, NULL, "libcurl gives no handle");
        return NULL;
    }
    call->done = done;
    call->arg = arg;
    if (transfer_prepare(&call->transfer, request, rules, client->user_agent, err) != 0)
        goto failed;
    client->curl->easy_setopt(call->transfer.easy, CURLOPT_PRIVATE, call);
    if (client->curl->multi_add_handle(client->multi, call->transfer.easy) != CURLM_OK) {
        err_set(err, ERR_INTERNAL, NULL, "libcurl takes no further request");
        goto failed;
    }
    call->in_flight = true;
    list_add(&client->in_flight, call);
    return call;
failed:
    keep_call(call);
    return NULL;
}

static struct http_rules rules_of(const struct http_request *request, bool redirects)
{
    return (struct http_rules){redirects, request->public_only,
                               request->public_only || request->public_address};
}

struct http_call *http_client_start(struct http_client *client, const struct http_request *request,
                                    void (*done)(struct http_response *response, void *arg),
                                    void *arg, struct err *err)
{
    const struct http_rules rules = rules_of(request, !request->no_redirects);
    return http_client_start_by(client, request, &rules, done, arg, err);
}

void http_call_cancel(struct http_call *call)
{
    stop_call(call);
    list_remove(call);
    keep_call(call);
}

bool http_call_is_answered(const struct http_call *call)
{
    return call->transfer.answered;
}

bool http_call_has_begun(const struct http_call *call)
{
    curl_off_t first_byte_us = 0;
    call->client->curl->easy_getinfo(call->transfer.easy, CURLINFO_STARTTRANSFER_TIME_T,
                                     &first_byte_us);
    return first_byte_us > 0;
}

/* --- The loop -------------------------------------------------------------------------------- */

/* True when something ended. */
static bool end_dropped(struct http_client *client)
{
    struct http_call *call;
    bool ended = false;
    while ((call = list_pop(&client->dropped))) {
        end_call(call);
        ended = true;
    }
    return ended;
}

/* Lets libcurl work and ends what is complete. `client->multi` may be another one after each
 * `done`. */
static bool end_complete(struct http_client *client)
{
    const struct curl_api *curl = client->curl;
    const CURLMsg *message;
    bool ended = false;
    int count;
    curl->multi_perform(client->multi, &count);
    while ((message = curl->multi_info_read(client->multi, &count))) {
        char *private = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct http_call *call = (struct http_call *)(void *)private;
        stop_call(call);
        list_remove(call);
        transfer_complete(&call->transfer, code);
        end_call(call);
        ended = true;
    }
    return ended;
}

static int wait_ms(int64_t ns)
{
    int64_t ms = ns / CLOCK_MS + 1; /* up, so that the deadline has passed after it */
    return ms > POLL_MS_MAX ? POLL_MS_MAX : (int)ms;
}

void http_client_poll(struct http_client *client, int64_t deadline)
{
    struct curl_waitfd wake = {.fd = client->wake_fd, .events = CURL_WAIT_POLLIN};
    bool woken = false;
    for (;;) {
        bool ended = end_dropped(client);
        ended = end_complete(client) || ended;
        int64_t now = clock_now();
        if (ended || woken || now >= deadline)
            return;
        wake.revents = 0;
        client->curl->multi_poll(client->multi, &wake, 1, wait_ms(deadline - now), NULL);
        uint64_t count;
        woken = wake.revents && read(client->wake_fd, &count, sizeof(count)) > 0;
    }
}

void http_client_wake(struct http_client *client)
{
    int saved = errno; /* a signal handler leaves it as it was */
    uint64_t one = 1;
    ssize_t written = write(client->wake_fd, &one, sizeof(one));
    (void)written; /* fails only when it is awake 2^64 times already */
    errno = saved;
}

void http_client_reconnect(struct http_client *client)
{
    CURLM *fresh = client->curl->multi_init();
    struct http_call *call;
    while ((call = list_pop(&client->in_flight))) {
        stop_call(call);
        transfer_fail(&call->transfer, ERR_INTERNAL, "the connection was given up");
        list_add(&client->dropped, call);
    }
    if (!fresh)
        return; /* no memory: idle connections stay */
    client->curl->multi_setopt(fresh, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX);
    client->curl->multi_cleanup(client->multi);
    client->multi = fresh;
}

/* --- Life ------------------------------------------------------------------------------------ */

struct http_client *http_client_create(const char *user_agent)
{
    const struct curl_api *curl = curl_api_open(NULL);
    if (!curl)
        return NULL;
    struct http_client *client = mem_alloc(sizeof(*client));
    client->curl = curl;
    client->user_agent = mem_copy_string(user_agent);
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->multi = curl->multi_init();
    if (client->wake_fd < 0 || !client->multi) {
        http_client_destroy(client);
        return NULL;
    }
    curl->multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX);
    return client;
}

void http_client_destroy(struct http_client *client)
{
    struct http_call *call;
    if (!client)
        return;
    while ((call = list_pop(&client->in_flight)) || (call = list_pop(&client->dropped)) ||
           (call = list_pop(&client->idle))) {
        stop_call(call);
        transfer_reset(&call->transfer);
        destroy_call(call);
    }
    if (client->multi)
        client->curl->multi_cleanup(client->multi);
    if (client->wake_fd >= 0)
        close(client->wake_fd);
    free(client->user_agent);
    free(client);
}

/* --- One request, waiting for it ------------------------------------------------------------- */

struct waiting {
    struct http_response *response;
    bool ended;
};

static void take_response(struct http_response *response, void *arg)
{
    struct waiting *waiting = arg;
    *waiting->response = *response;
    response->body = (struct str){0};
    response->headers = (struct str){0};
    waiting->ended = true;
}

static int64_t next_look(const atomic_int *stop)
{
    return stop ? clock_now() + STOP_POLL_NS : CLOCK_NEVER;
}

static int send_by(struct http_client *client, const struct http_request *request,
                   const struct http_rules *rules, const atomic_int *stop,
                   struct http_response *response)
{
    struct waiting waiting = {.response = response};
    *response = (struct http_response){.retry_after_s = -1};
    struct http_call *call =
        http_client_start_by(client, request, rules, take_response, &waiting, &response->err);
    while (call && !waiting.ended && !(stop && atomic_load(stop) != 0))
        http_client_poll(client, next_look(stop));
    if (call && !waiting.ended) {
        http_call_cancel(call);
        err_set(&response->err, ERR_CANCELLED, NULL, "cancelled");
    }
    return response->err.code;
}

int http_client_run(const struct http_request *request, const struct http_rules *rules,
                    const char *user_agent, const atomic_int *stop, struct http_response *response)
{
    struct http_client *client = http_client_create(user_agent);
    if (!client) {
        const char *why = NULL;
        curl_api_open(&why);
        *response = (struct http_response){.retry_after_s = -1};
        return err_set(&response->err, ERR_INTERNAL, NULL, "no HTTP client: %s", why);
    }
    int result = send_by(client, request, rules, stop, response);
    http_client_destroy(client);
    return result;
}

int http_client_send(struct http_client *client, const struct http_request *request,
                     const atomic_int *stop, struct http_response *response)
{
    const struct http_rules rules = rules_of(request, false);
    return send_by(client, request, &rules, stop, response);
}

int http_send(const struct http_request *request, const char *user_agent, const atomic_int *stop,
              struct http_response *response)
{
    const struct http_rules rules = rules_of(request, false);
    return http_client_run(request, &rules, user_agent, stop, response);
}
