/* One try at a callback: signed, posted, and after a 307 or 308 signed anew and posted there. Knows
 * no queue and no records.
 *
 * What is signed is what goes out: the body's very bytes, and the path as it stands in the request.
 */
#include "callback/callback_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define METHOD "POST"
#define ANSWER_BYTES_MAX (1u << 20)
#define ANSWER_BYTES_READ 65536 /* of one that says it was taken */

/* --- Signing ---------------------------------------------------------------------------------- */

void callback_sign(const struct callback_signing *signing, char signature[DIGEST_HEX_SIZE])
{
    uint8_t mac[DIGEST_SIZE];
    struct str text = {0};
    str_printf(&text, "%s\n%s\n%s\n", signing->method, signing->path, signing->timestamp);
    str_append(&text, signing->body, signing->body_len);
    digest_hmac(signing->secret, strlen(signing->secret), text.data, text.len, mac);
    digest_hex(mac, signature);
    str_finish(&text);
}

/* As the receiver sees it in the request line, without the query. */
static char *path_of(const char *url)
{
    const char *path = strstr(url, "://") + 3;
    path += strcspn(path, "/?");
    size_t len = strcspn(path, "?");
    return len > 0 ? mem_copy_text(path, len) : mem_copy_string("/");
}

struct headers {
    char *timestamp, *signature;
    const char *list[4];
};

static void sign(const struct manifest_callbacks *manifest, const char *url,
                 const struct callback *callback, struct headers *headers)
{
    char timestamp[32], signature[DIGEST_HEX_SIZE];
    struct timespec now;
    char *path = path_of(url);
    size_t count = 0;
    *headers = (struct headers){.list = {"Content-Type: application/json"}};
    if (manifest->secret) {
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(timestamp, sizeof(timestamp), "%lld",
                 (long long)now.tv_sec * 1000 + (long long)(now.tv_nsec / CLOCK_MS));
        const struct callback_signing signing = {.secret = manifest->secret,
                                                 .method = METHOD,
                                                 .path = path,
                                                 .timestamp = timestamp,
                                                 .body = callback->body.data,
                                                 .body_len = callback->body.len};
        callback_sign(&signing, signature);
        headers->timestamp = str_format("%s: %s", manifest->timestamp_header, timestamp);
        headers->signature = str_format("%s: %s", manifest->signature_header, signature);
        headers->list[++count] = headers->timestamp;
        headers->list[++count] = headers->signature;
    }
    free(path);
}

static void headers_finish(struct headers *headers)
{
    free(headers->timestamp);
    free(headers->signature);
}

/* --- Judging ---------------------------------------------------------------------------------- */

enum callback_fate callback_judge(int code, int status)
{
    if (code == ERR_INVALID)
        return CALLBACK_REFUSED; /* no URL, or an address that is not allowed */
    if (code != 0)
        return CALLBACK_RETRY;
    if (status >= 200 && status <= 299)
        return CALLBACK_TAKEN;
    if (status == 307 || status == 308)
        return CALLBACK_FOLLOW;
    return status == 408 || status == 429 || status >= 500 ? CALLBACK_RETRY : CALLBACK_REFUSED;
}

/* The operator's own URL may lead anywhere, and redirect within its own server. */
static bool is_trusted(const struct manifest_callbacks *manifest, const char *named,
                       const char *url)
{
    const struct job_caller nobody = {0};
    bool found = false;
    for (int is_error = 0; is_error < 2 && !found; is_error++) {
        char *own = callback_url_for(manifest, &nobody, is_error);
        found = own && strcmp(own, named) == 0;
        free(own);
    }
    return found && http_url_same_origin(named, url);
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* The rest of a long answer is not waited for. */
static int drop_answer(const struct http_response *head, const void *data, size_t len, void *arg)
{
    size_t *taken = arg;
    (void)head;
    (void)data;
    *taken += len;
    return *taken > ANSWER_BYTES_READ;
}

/* Of an answer that says it was taken and then does not come whole, the head has said all. */
static enum callback_fate judge_response(int code, const struct http_response *response)
{
    enum callback_fate begun = callback_judge(0, response->begun_status);
    return code != 0 && begun == CALLBACK_TAKEN ? begun : callback_judge(code, response->status);
}

char *callback_host_of(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    char *copy = mem_copy_text(host, strcspn(host, "/?#"));
    for (char *c = copy; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    return copy;
}

static void explain(const char *url, int status, struct err *err)
{
    char *host = callback_host_of(url);
    if (status >= 300 && status <= 399 && callback_judge(0, status) != CALLBACK_FOLLOW)
        err_set(err, ERR_INVALID, NULL,
                "%.255s: answered with status %d, by which a callback would lose its body; name "
                "the URL that it leads to",
                host, status);
    else
        err_set(err, callback_judge(0, status) == CALLBACK_RETRY ? ERR_INTERNAL : ERR_INVALID, NULL,
                "%.255s: answered with status %d", host, status);
    free(host);
}

/* One exchange. *next: where it leads, for CALLBACK_FOLLOW. */
static enum callback_fate exchange(const struct callback_options *options,
                                   struct http_client *client, const struct callback *callback,
                                   const char *url, int64_t deadline, const atomic_int *stop,
                                   char **next, struct callback_answer *answer)
{
    size_t taken = 0;
    struct headers headers;
    struct http_response response;
    int64_t left_ms = (deadline - clock_now() + CLOCK_MS - 1) / CLOCK_MS; /* rounded up */
    sign(options->manifest, url, callback, &headers);
    const struct http_request request = {
        .method = METHOD,
        .url = url,
        .headers = headers.list,
        .body = str_text(&callback->body),
        .body_len = callback->body.len,
        .timeout_s = left_ms > 1 ? (double)left_ms / 1000 : 0.001,
        .response_max = ANSWER_BYTES_MAX,
        .public_only =
            !options->fetch_private && !is_trusted(options->manifest, callback->url, url),
        .keep_headers = true,
        .take = drop_answer,
        .take_arg = &taken,
    };
    int code = http_client_send(client, &request, stop, &response);
    enum callback_fate fate = judge_response(code, &response);
    answer->retry_after_s = response.retry_after_s;
    if (fate == CALLBACK_FOLLOW) {
        char *location = http_response_header(&response, "Location");
        *next = location ? http_url_follow(url, location) : NULL;
        free(location);
    }
    if (fate == CALLBACK_TAKEN)
        answer->err = (struct err){0};
    else if (code != 0)
        answer->err = response.err;
    else
        explain(url, response.status, &answer->err);
    headers_finish(&headers);
    str_finish(&response.body);
    str_finish(&response.headers);
    return fate;
}

/* As libcurl will spell it in the request. NULL: it is none, or a redirect put a password into it,
 * which would stand in messages. */
static char *normal_url(const char *url)
{
    char *normal = http_url_follow(url, url);
    if (!normal)
        return NULL;
    normal[strcspn(normal, "#")] = '\0';
    char *host = callback_host_of(normal);
    if (strchr(host, '@')) {
        free(normal);
        normal = NULL;
    }
    free(host);
    return normal;
}

enum callback_fate callback_try(const struct callback_options *options, struct http_client *client,
                                const struct callback *callback, const atomic_int *stop,
                                struct callback_answer *answer)
{
    int64_t deadline = clock_now() + (int64_t)(options->manifest->timeout_s * (double)CLOCK_S);
    enum callback_fate fate = CALLBACK_FOLLOW;
    char *url = normal_url(callback->url);
    *answer = (struct callback_answer){.retry_after_s = -1};
    for (int hop = 0; url && fate == CALLBACK_FOLLOW && hop <= HTTP_REDIRECTS_MAX; hop++) {
        char *next = NULL;
        fate = exchange(options, client, callback, url, deadline, stop, &next, answer);
        if (fate == CALLBACK_FOLLOW) {
            free(url);
            url = next ? normal_url(next) : NULL;
        }
        free(next);
    }
    if (fate == CALLBACK_FOLLOW) { /* it ended in the middle */
        fate = CALLBACK_REFUSED;
        if (answer->err.code == ERR_NONE)
            err_set(&answer->err, ERR_INVALID, NULL, "expected an http or https URL");
        else
            err_prefix(&answer->err, "%s",
                       url ? "too many redirects" : "a redirect to no URL that may be followed");
    }
    free(url);
    return fate;
}
