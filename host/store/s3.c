/* One request to an S3-compatible service, from its parts to an answer or the sentence of the
 * error: signs (s3_sign.c), sends over host/http, and tries again what may pass. Keeps connections
 * for the next request. What requests are for is known in s3_objects.c, s3_upload.c and
 * s3_download.c. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define USER_AGENT "voxhost/" VOXHOST_VERSION
#define ATTEMPTS_MAX 3
#define PAUSE_FIRST_S 0.5
#define PAUSE_MAX_S 30.0 /* however long Retry-After asks for */
#define STOP_POLL_MS 20
#define PATIENCE_S 30.0
#define STALL_S 60.0
#define TIME_MIN (10 * CLOCK_MS)       /* before a deadline: less is no time for anything */
#define BYTES_PER_S_MIN (256.0 * 1024) /* slower than this is no use to a worker */
#define ANSWER_BYTES_MAX (8u << 20)    /* a page of a list: 1,000 objects */
#define IDLE_CLIENTS_MAX 16
#define HEADERS_MAX (STORAGE_METADATA_MAX + 5)
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { TEXT_COUNT = 7 };

struct s3 {
    struct s3_target target;
    char *texts[TEXT_COUNT]; /* what the target points to */
    char *name;
    pthread_mutex_t lock;
    struct http_client *idle[IDLE_CLIENTS_MAX]; /* guarded by lock */
    size_t idle_count;                          /* guarded by lock */
    atomic_int_least64_t clock_correction_s;    /* not 0 once a server has refused our time */
    atomic_int_least64_t clock_skew_s;          /* as the last answer had it */
};

static bool is_stopped(const atomic_int *stop)
{
    return stop && atomic_load(stop) != 0;
}

static bool is_late(const struct s3_request *request)
{
    return request->deadline != 0 && clock_now() + TIME_MIN >= request->deadline;
}

static const char *token_of(const struct s3_target *target)
{
    return target->session_token && *target->session_token ? target->session_token : NULL;
}

/* --- Life ------------------------------------------------------------------------------------- */

static void copy_target(struct s3 *s3, const struct s3_target *target)
{
    s3->target = *target;
    const char **const members[TEXT_COUNT] = {&s3->target.endpoint,   &s3->target.bucket,
                                              &s3->target.region,     &s3->target.access_key,
                                              &s3->target.secret_key, &s3->target.session_token,
                                              &s3->target.prefix};
    for (size_t i = 0; i < TEXT_COUNT; i++)
        *members[i] = s3->texts[i] = mem_copy_string(*members[i]);
}

int s3_open(const struct s3_target *target, struct s3 **out, struct err *err)
{
    struct s3_place place;
    *out = NULL;
    if (s3_place_find(target, NULL, &place, err) != 0)
        return err->code;
    struct s3 *s3 = mem_alloc(sizeof(*s3));
    copy_target(s3, target);
    pthread_mutex_init(&s3->lock, NULL);
    s3->name = target->bucket && *target->bucket
                   ? str_format("bucket \"%s\" at %s", target->bucket, place.host)
                   : mem_copy_string(place.host);
    s3_place_finish(&place);
    *out = s3;
    return 0;
}

void s3_close(struct s3 *s3)
{
    if (!s3)
        return;
    for (size_t i = 0; i < s3->idle_count; i++)
        http_client_destroy(s3->idle[i]);
    for (size_t i = 0; i < TEXT_COUNT; i++)
        free(s3->texts[i]);
    pthread_mutex_destroy(&s3->lock);
    free(s3->name);
    free(s3);
}

const char *s3_name(const struct s3 *s3)
{
    return s3->name;
}

char *s3_key_base(const struct s3 *s3)
{
    const char *prefix = s3->target.prefix ? s3->target.prefix : "";
    size_t len = strlen(prefix);
    return str_format("%s%s", prefix, len == 0 || prefix[len - 1] == '/' ? "" : "/");
}

/* The label keeps it apart from all that signing does with the key. */
void s3_secret_of(const struct s3 *s3, uint8_t out[DIGEST_SIZE])
{
    static const char label[] = "voxhost: names of objects";
    digest_hmac(s3->target.secret_key, strlen(s3->target.secret_key), label, sizeof(label) - 1,
                out);
}

int64_t s3_clock_skew(const struct s3 *s3)
{
    return atomic_load(&s3->clock_skew_s);
}

/* One whose connections may still be open, or a new one; NULL when there is no libcurl. */
static struct http_client *take_client(struct s3 *s3)
{
    struct http_client *client = NULL;
    pthread_mutex_lock(&s3->lock);
    if (s3->idle_count > 0)
        client = s3->idle[--s3->idle_count];
    pthread_mutex_unlock(&s3->lock);
    return client ? client : http_client_create(USER_AGENT);
}

static void keep_client(struct s3 *s3, struct http_client *client)
{
    pthread_mutex_lock(&s3->lock);
    if (s3->idle_count < IDLE_CLIENTS_MAX) {
        s3->idle[s3->idle_count++] = client;
        client = NULL;
    }
    pthread_mutex_unlock(&s3->lock);
    http_client_destroy(client);
}

/* --- One attempt ------------------------------------------------------------------------------ */

static struct s3_signing start_signing(const struct s3_target *target, const struct s3_place *place,
                                       const char *method, int64_t now_unix_s)
{
    struct s3_signing signing = {method,        place->host,        place->path,
                                 place->region, target->access_key, target->secret_key,
                                 .date = {0}};
    s3_date(now_unix_s, signing.date);
    return signing;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct s3_header *)a)->name, ((const struct s3_header *)b)->name);
}

/* The signed headers and the signature, as text for the request; `lines` must be empty. */
static void sign_request(const struct s3 *s3, const struct s3_request *request,
                         const struct s3_place *place, struct text_list *lines)
{
    const char *token = token_of(&s3->target);
    const char *hash = request->payload_hash ? request->payload_hash : EMPTY_HASH;
    struct s3_signing signing =
        start_signing(&s3->target, place, request->method,
                      (int64_t)time(NULL) + atomic_load(&s3->clock_correction_s));
    struct s3_header headers[HEADERS_MAX] = {{"host", place->host},
                                             {"x-amz-content-sha256", hash},
                                             {"x-amz-date", signing.date},
                                             {"x-amz-security-token", token}};
    size_t count = token ? 4 : 3;
    for (size_t i = 0; i < request->header_count && count < HEADERS_MAX; i++)
        headers[count++] = request->headers[i];
    qsort(headers, count, sizeof(headers[0]), by_name);
    struct str authorization = {0};
    s3_sign_headers(&signing, request->query ? request->query : "", headers, count, hash,
                    &authorization);
    for (size_t i = 0; i < count; i++) { /* for libcurl ';' says that there is no value */
        bool empty = !*headers[i].value;
        text_list_add(lines,
                      str_format("%s%s%s", headers[i].name, empty ? ";" : ": ", headers[i].value));
    }
    text_list_add(lines, str_format("authorization: %s", str_text(&authorization)));
    for (size_t i = 0; request->lines && request->lines[i]; i++)
        text_list_add(lines, mem_copy_string(request->lines[i]));
    str_finish(&authorization);
}

/* How long one attempt may take: never 0, which would be for ever. */
static double time_for(const struct s3_request *request)
{
    double bytes = (double)(request->body_len + request->expected_len);
    double time_s =
        (request->patience_s > 0 ? request->patience_s : PATIENCE_S) + bytes / BYTES_PER_S_MIN;
    if (request->deadline == 0)
        return time_s;
    int64_t left = request->deadline - clock_now();
    double left_s = (double)(left > TIME_MIN ? left : TIME_MIN) / CLOCK_S;
    return left_s < time_s ? left_s : time_s;
}

static int send_request(struct s3 *s3, const struct s3_request *request,
                        const struct s3_place *place, int attempt, struct http_response *response)
{
    struct text_list lines = {0};
    struct http_client *client = take_client(s3);
    *response = (struct http_response){.retry_after_s = -1};
    if (!client)
        return err_set(&response->err, ERR_INTERNAL, NULL, "no HTTP client: libcurl is missing");
    sign_request(s3, request, place, &lines);
    const char **headers = mem_alloc_array(lines.count + 1, sizeof(*headers));
    for (size_t i = 0; i < lines.count; i++)
        headers[i] = lines.items[i];
    const char *query = request->query ? request->query : "";
    char *url = str_format("%s%s%s%s", place->origin, place->path, *query ? "?" : "", query);
    struct http_request http = {
        .method = request->method,
        .url = url,
        .headers = headers,
        .body = request->body,
        .body_len = (size_t)request->body_len,
        .body_read = request->body_read,
        .body_arg = request->arg,
        .take = request->take,
        .take_arg = request->arg,
        .timeout_s = time_for(request),
        .stall_timeout_s = request->patience_s > STALL_S ? request->patience_s : STALL_S,
        .response_max = ANSWER_BYTES_MAX,
        .public_only = s3->target.public_only,
        .keep_headers = true,
        .expect = attempt > 1 && request->body_len > 0,
    };
    if (request->begin)
        request->begin(request->arg);
    int result = http_client_send(client, &http, request->stop, response);
    keep_client(s3, client);
    free(url);
    free(headers);
    text_list_finish(&lines);
    return result;
}

/* --- The answer ------------------------------------------------------------------------------- */

void s3_response_finish(struct http_response *response)
{
    str_finish(&response->body);
    str_finish(&response->headers);
}

static bool is_success(int status)
{
    return status >= 200 && status <= 299;
}

/* No answer may come the next time, but not where we gave it up ourselves, or may not ask. */
static bool may_pass(const struct http_response *response, const char *code)
{
    int status = response->status;
    if (status == 0)
        return response->err.code != ERR_CANCELLED && response->err.code != ERR_INVALID;
    return status == 408 || status == 429 || status >= 500 ||
           (status == 400 && strcmp(code, "RequestTimeout") == 0);
}

/* Where the server says that the bucket is; "" when it does not. */
static void find_region(const struct http_response *response, char out[S3_WORD_SIZE])
{
    s3_xml_word(str_text(&response->body), "Region", out);
    char *header = http_response_header(response, "x-amz-bucket-region");
    if (!*out && header && strlen(header) < S3_WORD_SIZE &&
        header[strspn(header, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0')
        memcpy(out, header, strlen(header) + 1);
    free(header);
}

static int describe_failure(const struct s3 *s3, const struct s3_request *request,
                            const struct s3_place *place, const struct http_response *response,
                            int attempts, struct err *err)
{
    char word[S3_WORD_SIZE], region[S3_WORD_SIZE], endpoint[S3_WORD_SIZE];
    const char *bucket = s3->target.bucket;
    struct str text = {0};
    if (bucket && *bucket)
        str_printf(&text, "bucket \"%s\" at ", bucket);
    if (response->status == 0) {
        str_puts(&text, response->err.message); /* begins with the host */
    } else {
        s3_xml_word(str_text(&response->body), "Code", word);
        s3_xml_word(str_text(&response->body), "Endpoint", endpoint);
        find_region(response, region);
        str_printf(&text, "%s: the %s was answered %d%s%s", place->host, request->what,
                   response->status, *word ? " " : "", word);
        if (*region && strcmp(region, place->region) != 0)
            str_printf(&text, " (signed for region %s, the bucket is in %s)", place->region,
                       region);
        else if (*endpoint && strcmp(endpoint, place->host) != 0)
            str_printf(&text, " (the bucket is at %s)", endpoint);
        if (is_success(response->status))
            str_puts(&text, " and does not say that it is done");
    }
    if (attempts > 1)
        str_printf(&text, ", in the last of %d attempts", attempts);
    bool is_ours = response->status == 0 && response->err.code == ERR_INVALID;
    int result = err_set(err, is_ours ? ERR_INVALID : ERR_STORAGE, NULL, "%s", str_text(&text));
    str_finish(&text);
    return result;
}

int s3_missing(const struct s3 *s3, struct err *err)
{
    return err_set(err, ERR_INVALID, "key", "there is no such object in %s", s3->name);
}

/* --- Attempts --------------------------------------------------------------------------------- */

static int say_stopped(const struct s3_request *request, struct err *err)
{
    return err_set(err, ERR_CANCELLED, NULL, "the %s was stopped", request->what);
}

/* `last`: what went wrong before; "": nothing. */
static int say_late(const struct s3_request *request, const char *last, struct err *err)
{
    return err_set(err, ERR_TIMEOUT, NULL, "the %s was not done in time%s%s", request->what,
                   *last ? ": " : "", last);
}

/* Before attempt `next` (2, 3 ...). */
static int pause_before(int next, double retry_after_s, const struct s3_request *request,
                        struct err *err)
{
    const struct timespec step = {0, STOP_POLL_MS * CLOCK_MS};
    int64_t pause = backoff_ns((unsigned)next - 1, PAUSE_FIRST_S, PAUSE_MAX_S);
    double asked_s = retry_after_s < PAUSE_MAX_S ? retry_after_s : PAUSE_MAX_S;
    if (asked_s * (double)CLOCK_S > (double)pause)
        pause = (int64_t)(asked_s * (double)CLOCK_S);
    for (int64_t until = clock_now() + pause;
         clock_now() < until && !is_stopped(request->stop) && !is_late(request);)
        nanosleep(&step, NULL);
    return is_stopped(request->stop) ? say_stopped(request, err) : 0;
}

/* True, once a request, when the server refused our time and told its own, which later requests
 * use. A HEAD has no word for it, only its clock. */
static bool learn_clock(struct s3 *s3, const struct s3_request *request,
                        const struct http_response *response, bool *corrected)
{
    enum { SKEW_ALLOWED_S = 600 }; /* servers take 900 */
    char word[S3_WORD_SIZE];
    s3_xml_word(str_text(&response->body), "Code", word);
    int64_t skew = atomic_load(&s3->clock_skew_s);
    int64_t used = atomic_load(&s3->clock_correction_s);
    bool silent = strcmp(request->method, "HEAD") == 0 && response->status == 403 &&
                  llabs((long long)(skew - used)) > SKEW_ALLOWED_S;
    if (*corrected || response->date_unix_s == 0 ||
        (!silent && strcmp(word, "RequestTimeTooSkewed") != 0))
        return false;
    atomic_store(&s3->clock_correction_s, skew);
    *corrected = true;
    return true;
}

static int attempt_request(struct s3 *s3, const struct s3_request *request,
                           const struct s3_place *place, int attempt,
                           struct http_response *response, struct err *err)
{
    int result = send_request(s3, request, place, attempt, response);
    if (response->date_unix_s != 0)
        atomic_store(&s3->clock_skew_s, response->date_unix_s - (int64_t)time(NULL));
    if (result == 0 && is_success(response->status) &&
        (!request->done_sign || strstr(str_text(&response->body), request->done_sign)))
        return 0;
    if (result == ERR_CANCELLED && !is_stopped(request->stop) && request->failure &&
        request->failure->code != ERR_NONE) {
        *err = *request->failure;
        return err->code;
    }
    if (result == ERR_CANCELLED)
        return say_stopped(request, err);
    result = describe_failure(s3, request, place, response, attempt, err);
    if (is_success(response->status))
        response->status = 500; /* what it would have said, had it known in time */
    return result;
}

int s3_run(struct s3 *s3, const struct s3_request *request, struct http_response *response,
           struct s3_refusal *refusal, struct err *err)
{
    struct s3_place place;
    bool corrected = false;
    *response = (struct http_response){.retry_after_s = -1};
    *refusal = (struct s3_refusal){0};
    if (s3_place_find(&s3->target, request->key, &place, err) != 0)
        return err->code;
    int result;
    for (int attempt = 1;;) {
        result = is_late(request) ? say_late(request, "", err)
                                  : attempt_request(s3, request, &place, attempt, response, err);
        *refusal = (struct s3_refusal){0};
        if (result == 0)
            break;
        refusal->status = response->status;
        s3_xml_word(str_text(&response->body), "Code", refusal->code);
        bool again_now = result == ERR_STORAGE && learn_clock(s3, request, response, &corrected);
        bool passes = result == ERR_STORAGE && may_pass(response, refusal->code);
        bool again = passes && attempt < ATTEMPTS_MAX && !request->once;
        double retry_after_s = response->retry_after_s;
        s3_response_finish(response);
        if (again_now)
            continue;
        if (again)
            result = pause_before(++attempt, retry_after_s, request, err);
        if (passes && result != ERR_CANCELLED && is_late(request)) {
            result = say_late(request, err->message, err);
            break;
        }
        if (!again || result != 0)
            break;
    }
    s3_place_finish(&place);
    return result;
}

/* --- URLs ------------------------------------------------------------------------------------- */

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

int s3_presign(const struct s3 *s3, const char *key, struct str *url, struct err *err)
{
    return s3_url(&s3->target, key, (int64_t)time(NULL) + atomic_load(&s3->clock_correction_s), url,
                  err);
}
