/* Puts an object into S3-compatible storage and makes the URL by which others get it: from a
 * finished result to the sentence of the error. Signs with s3_sign.c, sends over host/http;
 * knows no job and no audio. */
#include "store/store_private.h"

#include "http/http.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define USER_AGENT "voxhost/" VOXHOST_VERSION
#define ATTEMPTS_MAX 3
#define PAUSE_FIRST_S 0.5
#define PAUSE_MAX_S 30.0 /* however long Retry-After asks for */
#define STOP_POLL_MS 20
#define STOPPED "the upload was stopped"
#define TIMEOUT_BASE_S 30.0
#define BYTES_PER_S_MIN (256.0 * 1024) /* slower than this is no use to a worker */
#define ANSWER_BYTES_MAX (64u << 10)
#define WORD_LEN_MAX 64 /* of an error code or region that a server tells us */

/* One upload and what its attempts have taught us. */
struct upload {
    const struct s3_target *target;
    struct s3_place place;
    const char *content_type;
    const void *data;
    size_t len;
    char payload_hash[DIGEST_HEX_SIZE];
    const atomic_int *stop;
    bool clock_corrected;
    int64_t clock_skew_s; /* the server's clock less ours */
};

static bool is_stopped(const atomic_int *stop)
{
    return stop && atomic_load(stop) != 0;
}

static struct s3_signing start_signing(const struct s3_target *target, const struct s3_place *place,
                                       const char *method, int64_t now_unix_s)
{
    struct s3_signing signing = {method,        place->host,        place->path,
                                 place->region, target->access_key, target->secret_key,
                                 .date = {0}};
    s3_date(now_unix_s, signing.date);
    return signing;
}

static const char *token_of(const struct s3_target *target)
{
    return target->session_token && *target->session_token ? target->session_token : NULL;
}

/* --- One attempt ------------------------------------------------------------------------------ */

/* The signed headers and the signature, as text for the request; `lines` must be empty. */
static void sign_upload(const struct upload *u, struct text_list *lines)
{
    struct s3_signing signing =
        start_signing(u->target, &u->place, "PUT", (int64_t)time(NULL) + u->clock_skew_s);
    struct s3_header headers[] = {{"content-type", u->content_type},
                                  {"host", u->place.host},
                                  {"x-amz-content-sha256", u->payload_hash},
                                  {"x-amz-date", signing.date},
                                  {"x-amz-security-token", token_of(u->target)}};
    size_t count = sizeof(headers) / sizeof(headers[0]) - (token_of(u->target) ? 0 : 1);
    struct str authorization = {0};
    s3_sign_headers(&signing, "", headers, count, u->payload_hash, &authorization);
    for (size_t i = 0; i < count; i++)
        if (strcmp(headers[i].name, "host") != 0) /* goes out by itself */
            text_list_add(lines, str_format("%s: %s", headers[i].name, headers[i].value));
    text_list_add(lines, str_format("authorization: %s", str_text(&authorization)));
    str_finish(&authorization);
}

static int send_upload(const struct upload *u, struct http_response *response)
{
    struct text_list lines = {0};
    sign_upload(u, &lines);
    const char **headers = mem_alloc_array(lines.count + 1, sizeof(*headers));
    for (size_t i = 0; i < lines.count; i++)
        headers[i] = lines.items[i];
    char *url = str_format("%s%s", u->place.origin, u->place.path);
    struct http_request request = {.method = "PUT",
                                   .url = url,
                                   .headers = headers,
                                   .body = u->data,
                                   .body_len = u->len,
                                   .timeout_s = TIMEOUT_BASE_S + (double)u->len / BYTES_PER_S_MIN,
                                   .response_max = ANSWER_BYTES_MAX,
                                   .public_only = u->target->public_only};
    int result = http_send(&request, USER_AGENT, u->stop, response);
    free(url);
    free(headers);
    text_list_finish(&lines);
    return result;
}

/* --- The answer ------------------------------------------------------------------------------- */

/* The text of an element like <Code>SlowDown</Code> when it is one word; else "". Enough of XML
 * for that: S3 escapes nothing in it and nests none. */
static void find_word(const struct str *body, const char *element, char out[WORD_LEN_MAX + 1])
{
    char *open = str_format("<%s>", element);
    const char *at = strstr(str_text(body), open);
    const char *word = at ? at + strlen(open) : "";
    size_t len = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:");
    if (len > WORD_LEN_MAX || word[len] != '<')
        len = 0;
    memcpy(out, word, len);
    out[len] = '\0';
    free(open);
}

static bool may_pass(int status)
{
    return status == 0 || status == 408 || status == 429 || status >= 500;
}

static int describe_failure(const struct upload *u, const struct http_response *response,
                            int attempts, struct err *err)
{
    char word[WORD_LEN_MAX + 1], region[WORD_LEN_MAX + 1];
    struct str text = {0};
    if (u->target->bucket && *u->target->bucket)
        str_printf(&text, "bucket \"%s\" at ", u->target->bucket);
    if (response->status == 0) {
        str_puts(&text, response->err.message); /* begins with the host */
    } else {
        find_word(&response->body, "Code", word);
        find_word(&response->body, "Region", region);
        str_printf(&text, "%s: the upload was answered %d%s%s", u->place.host, response->status,
                   *word ? " " : "", word);
        if (*region && strcmp(region, u->place.region) != 0)
            str_printf(&text, " (signed for region %s, the bucket is in %s)", u->place.region,
                       region);
    }
    if (attempts > 1)
        str_printf(&text, ", in the last of %d attempts", attempts);
    int result = err_set(err, ERR_STORAGE, NULL, "%s", str_text(&text));
    str_finish(&text);
    return result;
}

/* --- Attempts --------------------------------------------------------------------------------- */

/* Before attempt `next` (2, 3 ...). */
static int pause_before(int next, double retry_after_s, const atomic_int *stop, struct err *err)
{
    const struct timespec step = {0, STOP_POLL_MS * CLOCK_MS};
    int64_t pause = backoff_ns((unsigned)next - 1, PAUSE_FIRST_S, PAUSE_MAX_S);
    double asked_s = retry_after_s < PAUSE_MAX_S ? retry_after_s : PAUSE_MAX_S;
    if (asked_s * (double)CLOCK_S > (double)pause)
        pause = (int64_t)(asked_s * (double)CLOCK_S);
    for (int64_t until = clock_now() + pause; clock_now() < until && !is_stopped(stop);)
        nanosleep(&step, NULL);
    return is_stopped(stop) ? err_set(err, ERR_CANCELLED, NULL, STOPPED) : 0;
}

/* True, once, when the server refused our time and told its own, which later attempts use. */
static bool learn_clock_skew(struct upload *u, const struct http_response *response)
{
    char word[WORD_LEN_MAX + 1];
    find_word(&response->body, "Code", word);
    if (u->clock_corrected || response->date_unix_s == 0 ||
        strcmp(word, "RequestTimeTooSkewed") != 0)
        return false;
    u->clock_skew_s = response->date_unix_s - (int64_t)time(NULL);
    u->clock_corrected = true;
    return true;
}

static int attempt_upload(const struct upload *u, int attempt, struct http_response *response,
                          struct err *err)
{
    int result = send_upload(u, response);
    if (result == ERR_CANCELLED)
        return err_set(err, ERR_CANCELLED, NULL, STOPPED);
    if (result == 0 && response->status >= 200 && response->status < 300)
        return 0;
    return describe_failure(u, response, attempt, err);
}

static int run_attempts(struct upload *u, struct err *err)
{
    for (int attempt = 1;;) {
        struct http_response response = {0};
        int result = attempt_upload(u, attempt, &response, err);
        bool again_now = result == ERR_STORAGE && learn_clock_skew(u, &response);
        bool again = result == ERR_STORAGE && may_pass(response.status) && attempt < ATTEMPTS_MAX;
        double retry_after_s = response.retry_after_s;
        str_finish(&response.body);
        if (again_now)
            continue;
        if (!again)
            return result;
        attempt++;
        if (pause_before(attempt, retry_after_s, u->stop, err) != 0)
            return err->code;
    }
}

/* --- Public ----------------------------------------------------------------------------------- */

static int check_object(const char *content_type, size_t len, struct err *err)
{
    if (len > S3_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, NULL,
                       "%zu bytes are too many for one object, at most %u are sent", len,
                       S3_BYTES_MAX);
    for (const char *p = content_type; *p; p++)
        if (*p < 0x20 || *p >= 0x7f)
            return err_set(err, ERR_INVALID, NULL, "the content type is not plain ASCII");
    return 0;
}

int s3_put(const struct s3_target *target, const char *key, const char *content_type,
           const void *data, size_t len, const atomic_int *stop, struct err *err)
{
    struct upload upload = {
        .target = target, .content_type = content_type, .data = data, .len = len, .stop = stop};
    int result = check_object(content_type, len, err);
    if (result == 0)
        result = s3_place_find(target, key, &upload.place, err);
    if (result == 0) {
        digest_of(data, len, upload.payload_hash);
        result = run_attempts(&upload, err);
    }
    s3_place_finish(&upload.place);
    return result;
}

int s3_url(const struct s3_target *target, const char *key, int64_t now_unix_s, struct str *url,
           struct err *err)
{
    struct s3_place place;
    int result = s3_place_find(target, key, &place, err);
    if (result == 0) {
        struct s3_signing signing = start_signing(target, &place, "GET", now_unix_s);
        str_printf(url, "%s%s?", place.origin, place.path);
        s3_sign_url(&signing, token_of(target), target->presign_ttl_s, url);
    }
    s3_place_finish(&place);
    return result;
}
