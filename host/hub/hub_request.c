/* Requests at the hub: who gets the token, where redirects lead, what a refusal means for the
 * person who asked, and what is worth another try. Knows no files. */
#include "hub/hub_private.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_DEFAULT 8
#define TOKEN_SIZE_MAX 512
#define API_TIMEOUT_S 60.0
#define TRIES_MAX 6
#define RETRY_FIRST_S 0.5
#define RETRY_MAX_S 20.0
#define POLL_NS (200 * CLOCK_MS)

/* --- Life ------------------------------------------------------------------------------------- */

static int set_token(struct hub *hub, const char *token, struct err *err)
{
    size_t len = strlen(token);
    while (len > 0 && strchr(" \t\r\n", token[len - 1])) /* files with secrets end in a line */
        len--;
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~' || i > TOKEN_SIZE_MAX)
            return err_set(err, ERR_INVALID, NULL,
                           "the token (HF_TOKEN) is no token: expected at most %d letters, digits "
                           "and signs, without spaces",
                           TOKEN_SIZE_MAX);
    if (len > 0)
        hub->token_header = str_format("Authorization: Bearer %.*s", (int)len, token);
    return 0;
}

int hub_create(const struct hub_options *options, struct hub **out, struct err *err)
{
    const char *endpoint = options->endpoint ? options->endpoint : HUB_ENDPOINT;
    struct hub *hub = mem_alloc(sizeof(*hub));
    int result = 0;
    hub->options = *options;
    if (!hub->options.jobs)
        hub->options.jobs = JOBS_DEFAULT;
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    hub->endpoint = mem_copy_text(endpoint, len);
    hub->client = http_client_create(HUB_AGENT);
    if (!hub->client)
        result = err_set(err, ERR_UNSUPPORTED, NULL,
                         "nothing can be downloaded here: libcurl.so.4 cannot be opened");
    else if (!http_url_same_origin(hub->endpoint, hub->endpoint) || strpbrk(hub->endpoint, "?#@ "))
        result = err_set(err, ERR_INVALID, NULL,
                         "the endpoint: expected an http or https URL without user and query");
    else if (options->token && options->token[0])
        result = set_token(hub, options->token, err);
    if (result != 0) {
        hub_destroy(hub);
        hub = NULL;
    }
    *out = hub;
    return result;
}

void hub_destroy(struct hub *hub)
{
    if (!hub)
        return;
    http_client_destroy(hub->client);
    free(hub->endpoint);
    free(hub->token_header);
    free(hub);
}

void hub_wake(void *hub)
{
    http_client_wake(((struct hub *)hub)->client);
}

/* --- Answers ---------------------------------------------------------------------------------- */

void hub_url_append(struct str *url, const char *text, bool slashes)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (const char *c = text; *c; c++) {
        if (strchr(plain, *c) || (slashes && *c == '/'))
            str_putc(url, *c);
        else
            str_printf(url, "%%%02X", (unsigned char)*c);
    }
}

bool hub_is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool hub_is_transient(int status)
{
    return status == 408 || status == 429 || status >= 500;
}

int hub_refused(const struct hub *hub, const struct http_response *response, const char *repo,
                const char *what, struct err *err)
{
    char *code = http_response_header(response, "X-Error-Code");
    char *said = http_response_header(response, "X-Error-Message");
    const char *name = code ? code : "";
    const char *with = hub->token_header ? "HF_TOKEN is set, but its account may not read it"
                                         : "HF_TOKEN is not set";
    if (response->status == 401 && hub->token_header && said &&
        strncmp(said, "Invalid credentials", 19) == 0)
        err_set(
            err, ERR_STORAGE, NULL,
            "%s: %s does not take the token of HF_TOKEN (status 401): renew it, or unset it for "
            "what is public",
            repo, hub->endpoint);
    else if (strcmp(name, "GatedRepo") == 0)
        err_set(
            err, ERR_STORAGE, NULL,
            "%s is gated (status %d): accept its terms at %s/%s, then set HF_TOKEN to a token of "
            "that account (%s)",
            repo, response->status, hub->endpoint, repo,
            hub->token_header ? "the present one may not read it" : "it is not set");
    else if (strcmp(name, "RevisionNotFound") == 0)
        err_set(err, ERR_STORAGE, NULL, "%s has no %s", repo, what);
    else if (strcmp(name, "RepoNotFound") == 0 || response->status == 401 ||
             response->status == 403)
        err_set(err, ERR_STORAGE, NULL,
                "%s: %s has no such repository, or it is private (status %d; %s)", repo,
                hub->endpoint, response->status, with);
    else if (response->status == 404)
        err_set(err, ERR_STORAGE, NULL, "%s: %s has no %s (status 404)", repo, hub->endpoint, what);
    else
        err_set(err, ERR_STORAGE, NULL, "%s: %s answered with status %d to %s", repo, hub->endpoint,
                response->status, what);
    free(code);
    free(said);
    return ERR_STORAGE;
}

/* Hugging Face's own limits come as `RateLimit: "api";r=0;t=55`, often without a Retry-After. */
double hub_retry_after_s(const struct http_response *response)
{
    char *limit = http_response_header(response, "RateLimit");
    const char *left = limit ? strstr(limit, ";r=0;t=") : NULL;
    double wait_s = response->retry_after_s, reset_s;
    if (response->status == 429 && left) {
        reset_s = strtod(left + 7, NULL) + 1; /* it was rounded */
        if (reset_s > wait_s)
            wait_s = reset_s;
    }
    free(limit);
    return wait_s;
}

/* --- One small answer ------------------------------------------------------------------------- */

struct waiting {
    struct http_response response;
    bool ended;
};

static void keep(struct http_response *response, void *arg)
{
    struct waiting *waiting = arg;
    waiting->response = *response;
    response->body = (struct str){0};
    response->headers = (struct str){0};
    waiting->ended = true;
}

static void forget(struct waiting *waiting)
{
    str_finish(&waiting->response.body);
    str_finish(&waiting->response.headers);
    *waiting = (struct waiting){0};
}

static int exchange(struct hub *hub, const char *url, struct waiting *waiting, struct err *err)
{
    bool own = http_url_same_origin(url, hub->endpoint);
    const char *headers[] = {"Accept: application/json", own ? hub->token_header : NULL, NULL};
    const struct http_request request = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .timeout_s = API_TIMEOUT_S,
        .response_max = HUB_LISTING_BYTES_MAX,
        .public_address = hub->is_public && !own,
        .no_redirects = true,
        .keep_headers = true,
    };
    struct http_call *call = http_client_start(hub->client, &request, keep, waiting, err);
    if (!call)
        return err->code;
    while (!waiting->ended && !hub_stopped(hub))
        http_client_poll(hub->client, clock_now() + POLL_NS);
    hub->is_public = hub->is_public || (own && waiting->response.from_public);
    if (waiting->ended)
        return 0;
    http_call_cancel(call);
    return err_set(err, ERR_CANCELLED, NULL, "stopped");
}

/* 0: *url is where to go on; else err. */
static int follow(char **url, const struct http_response *response, struct err *err)
{
    char *location = http_response_header(response, "Location");
    char *next = location ? http_url_follow(*url, location) : NULL;
    free(location);
    if (!next)
        return err_set(err, ERR_STORAGE, NULL,
                       "a redirect leads nowhere, or from https to http: not followed");
    free(*url);
    *url = next;
    return 0;
}

static int wait_before_retry(struct hub *hub, unsigned attempt, double retry_after_s,
                             struct err *err)
{
    int64_t wait = backoff_ns(attempt, RETRY_FIRST_S, RETRY_MAX_S);
    if (retry_after_s > HUB_RETRY_AFTER_MAX_S)
        return err_set(err, ERR_STORAGE, NULL, "%s wants %.0f s to pass first: try again then",
                       hub->endpoint, retry_after_s);
    if (retry_after_s * 1e9 > (double)wait)
        wait = (int64_t)(retry_after_s * 1e9);
    int64_t until = clock_now() + wait;
    while (!hub_stopped(hub) && clock_now() < until)
        http_client_poll(hub->client, until);
    return hub_stopped(hub) ? err_set(err, ERR_CANCELLED, NULL, "stopped") : 0;
}

int hub_get(struct hub *hub, const char *from, const char *repo, const char *what, struct str *body,
            struct err *err)
{
    struct waiting waiting = {0};
    char *url = mem_copy_string(from);
    unsigned hops = 0, attempt = 0;
    int result;
    for (;;) {
        forget(&waiting);
        result = exchange(hub, url, &waiting, err);
        if (result != 0)
            break;
        struct http_response *response = &waiting.response;
        if (hub_is_redirect(response->status) && hops++ < HUB_HOPS_MAX) {
            result = follow(&url, response, err);
            if (result != 0)
                break;
            continue;
        }
        if (response->status == 200) {
            *body = response->body;
            response->body = (struct str){0};
            break;
        }
        if (response->status != 0 && !hub_is_transient(response->status)) {
            result = hub_refused(hub, response, repo, what, err);
            break;
        }
        if (response->err.code == ERR_INVALID) {
            result = err_set(err, ERR_STORAGE, NULL, "%s: %s", repo, response->err.message);
            break;
        }
        if (++attempt >= TRIES_MAX) {
            result = response->status
                         ? hub_refused(hub, response, repo, what, err)
                         : err_set(err, ERR_STORAGE, NULL, "%s", response->err.message);
            break;
        }
        result = wait_before_retry(hub, attempt, hub_retry_after_s(response), err);
        if (result != 0)
            break;
    }
    forget(&waiting);
    free(url);
    return result;
}
