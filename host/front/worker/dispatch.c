/* Dispatch; see dispatch.h. The answer is made in the runner's thread, after the session is free again: base64 and
 * uploads keep no model waiting.
 */
#include "front/worker/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Base64 of the largest chunk and what is around it stay below the 900,000 bytes that the platform should get. */
#define STREAM_CHUNK_BYTES_MAX 600000

/* A job between submission and answer. */
struct active {
    struct active *next;
    uint64_t ticket;
    struct stream *stream; /* NULL: none */
    cJSON *s3_config;      /* NULL: none */
};

struct dispatch {
    struct dispatch_options options;
    struct s3_target storage; /* endpoint NULL: none */
    struct runner *runner;
    atomic_int stop_uploads;
    pthread_mutex_t lock;
    struct active *actives; /* guarded by lock */
};

static const volatile sig_atomic_t never;

void answer_destroy(struct answer *answer)
{
    if (!answer)
        return;
    str_finish(&answer->body);
    stream_destroy(answer->stream);
    free(answer);
}

/* --- The table of jobs ------------------------------------------------------------------------------------ */

static void active_add(struct dispatch *dispatch, const struct active *job)
{
    struct active *active = mem_alloc(sizeof(*active));
    *active = *job;
    pthread_mutex_lock(&dispatch->lock);
    active->next = dispatch->actives;
    dispatch->actives = active;
    pthread_mutex_unlock(&dispatch->lock);
}

/* Forgets the job; what it has is the caller's. All zero when it was never there. */
static struct active active_remove(struct dispatch *dispatch, uint64_t ticket)
{
    struct active found = {0};
    pthread_mutex_lock(&dispatch->lock);
    struct active **link = &dispatch->actives;
    while (*link && (*link)->ticket != ticket)
        link = &(*link)->next;
    if (*link) {
        struct active *active = *link;
        found = *active;
        *link = active->next;
        free(active);
    }
    pthread_mutex_unlock(&dispatch->lock);
    return found;
}

static void abort_stream(struct dispatch *dispatch, uint64_t ticket)
{
    pthread_mutex_lock(&dispatch->lock);
    struct active *active = dispatch->actives;
    while (active && active->ticket != ticket)
        active = active->next;
    if (active && active->stream)
        stream_abort(active->stream);
    pthread_mutex_unlock(&dispatch->lock);
}

/* --- From a result to an answer ------------------------------------------------------------------------------ */

/* ID.wav below a folder that nobody can guess. */
static char *object_key(const struct result *result)
{
    struct str name = {0};
    for (const char *c = result->id; *c && name.len < 100; c++)
        str_putc(&name, strchr("/\\?#%", *c) || (unsigned char)*c <= ' ' ? '_' : *c);
    char *key =
        str_format("%016llx%016llx/%.*s.%s", (unsigned long long)random_u64(),
                   (unsigned long long)random_u64(), (int)utf8_cut(str_text(&name), name.len, 100),
                   name.data && name.data[0] != '.' ? name.data : "audio",
                   audio_format_names[result->audio.format]);
    str_finish(&name);
    return key;
}

/* The job's own storage, as the platform hands it over. ERR_INVALID when it is none. */
static int read_s3_config(const struct dispatch *dispatch, const cJSON *config,
                          struct s3_target *target, struct err *err)
{
    static const char *const names[] = {"endpointUrl", "bucketName", "accessId", "accessSecret"};
    const char *values[4] = {NULL};
    for (size_t i = 0; i < 4; i++) {
        const cJSON *value = json_get(config, names[i]);
        if (value && !cJSON_IsNull(value) && !cJSON_IsString(value))
            return err_set(err, ERR_INVALID, "s3Config", "%s: expected a string, got %s", names[i],
                           json_kind(value));
        values[i] = value ? value->valuestring : NULL;
    }
    *target = (struct s3_target){
        .endpoint = values[0],
        .bucket = values[1],
        .access_key = values[2],
        .secret_key = values[3],
        .path_style = dispatch->storage.path_style,
        .presign_ttl_s = dispatch->storage.presign_ttl_s,
        .public_only = !dispatch->options.app->manifest->host.fetch_private,
    };
    int code = s3_target_check(target, err);
    if (code != 0) {
        err_prefix(err, "%s", err->field);
        snprintf(err->field, sizeof(err->field), "s3Config");
    }
    return code;
}

static void upload(struct dispatch *dispatch, const struct s3_target *target, struct result *result)
{
    struct str url = {0};
    struct err err = {0};
    char *key = object_key(result);
    int64_t begun = clock_now();
    int code = s3_put(target, key, audio_content_type(result->audio.format), result->data.data,
                      result->data.len, &dispatch->stop_uploads, &err);
    if (code == 0)
        code = s3_url(target, key, (int64_t)time(NULL), &url, &err);
    if (code == 0)
        result->url = str_take(&url);
    else
        result->err = err;
    result->ms.store += (double)(clock_now() - begun) / CLOCK_MS;
    str_finish(&url);
    free(key);
}

/* The audio becomes a part of the answer; or goes to the job's own storage, or, when it is too large, to ours. */
static void place_audio(struct dispatch *dispatch, const cJSON *s3_config, struct result *result)
{
    size_t inline_max = (size_t)dispatch->options.app->manifest->worker.inline_chars_max;
    size_t chars = (result->data.len + 2) / 3 * 4;
    struct s3_target target = dispatch->storage;
    struct err err = result->err;
    if (err.code == ERR_TOO_LARGE)
        err_set(
            &result->err, ERR_TOO_LARGE, NULL,
            "%s (worker.audio_mb_max, and worker.inline_chars_max where there is no storage): ask "
            "for a smaller format such as mp3 or opus, or a shorter text",
            err.message);
    if (err.code != ERR_NONE)
        return;
    if (s3_config && read_s3_config(dispatch, s3_config, &target, &result->err) == 0)
        upload(dispatch, &target, result);
    else if (!s3_config && chars > inline_max)
        upload(dispatch, &target, result);
    else if (!s3_config)
        str_append_base64(&result->base64, result->data.data, result->data.len);
    str_finish(&result->data);
}

static void finish_stream(struct dispatch *dispatch, struct stream *stream, struct result *result,
                          struct str *body)
{
    struct str last = {0};
    reply_stream_last(dispatch->options.reply, result, &last);
    stream_end(stream, &last);
    reply_final_stream(dispatch->options.reply, result, stream_chunks(stream),
                       dispatch->options.app->manifest->worker.refresh, body);
    str_finish(&last);
}

/* The reason for a refusal quotes the job, which is its caller's affair: the log has the field alone, and that only when its
 * name is ours. */
static void log_result(const struct log *log, const struct result *result)
{
    const char *model = result->model_type ? result->model_type : "";
    enum err_code code = result->err.code;
    bool quotes = code == ERR_INVALID || code == ERR_UNKNOWN_MODEL || code == ERR_VOICE_NOT_FOUND ||
                  code == ERR_UNSUPPORTED;
    char field[64];
    snprintf(field, sizeof(field), "%.*s", (int)strcspn(result->err.field, "."), result->err.field);
    if (!job_has_field(field))
        field[0] = '\0';
    if (code != ERR_NONE)
        LOG_EVENT(log, LOG_WARN, "worker", "job failed", LOG_TEXT("job", result->id),
                  LOG_TEXT("model", model), LOG_TEXT("code", err_word(code)),
                  LOG_TEXT("field", quotes ? field : result->err.field),
                  LOG_TEXT("reason", quotes ? "" : result->err.message));
    else
        LOG_EVENT(log, LOG_INFO, "worker", "job finished", LOG_TEXT("job", result->id),
                  LOG_TEXT("model", model), LOG_NUMBER("audio_s", result->audio.duration_s),
                  LOG_NUMBER("total_ms", result->ms.total));
}

static void answer_result(struct dispatch *dispatch, uint64_t ticket, bool is_stream,
                          struct result *result)
{
    const struct dispatch_options *options = &dispatch->options;
    struct answer *answer = mem_alloc(sizeof(*answer));
    struct active active = active_remove(dispatch, ticket);
    answer->ticket = ticket;
    answer->is_stream = is_stream || active.stream;
    answer->stream = active.stream;
    answer->refresh = options->app->manifest->worker.refresh;
    result->line = 0;
    if (answer->stream) {
        finish_stream(dispatch, answer->stream, result, &answer->body);
    } else {
        place_audio(dispatch, active.s3_config, result);
        reply_final(options->reply, result, answer->refresh, &answer->body);
    }
    answer->code = result->err.code;
    metrics_job_ends(options->metrics, result);
    log_result(&options->app->log, result);
    cJSON_Delete(active.s3_config);
    result_destroy(result);
    options->answered(answer, options->arg);
}

static void take_result(struct result *result, void *arg)
{
    answer_result(arg, result->ticket, false, result);
}

/* --- From an input to a job ---------------------------------------------------------------------------------- */

static int make_job(struct dispatch *dispatch, const struct submission *submission,
                    struct job **job, struct err *err)
{
    struct job_context context = {
        .models = dispatch->options.app->models,
        .manifest = dispatch->options.app->manifest,
        .default_id = submission->id,
        .may_stream = true,
    };
    if (!submission->input) {
        *err = *submission->why;
        return err->code;
    }
    return job_parse(submission->input, &context, job, err);
}

static struct stream *make_stream(struct dispatch *dispatch, uint64_t ticket)
{
    const struct manifest_worker *worker = &dispatch->options.app->manifest->worker;
    struct stream_options options = {
        .chunk_min = (size_t)worker->stream_chunk_bytes,
        .chunk_max = STREAM_CHUNK_BYTES_MAX,
        .aggregate_max = worker->stream_aggregate ? (size_t)worker->body_bytes_max : 0,
        .ready = dispatch->options.chunk_ready,
        .arg = dispatch->options.arg,
        .ticket = ticket,
    };
    return stream_create(&options);
}

/* Without storage there is no use for more than the answer can hold. */
static size_t memory_max(const struct dispatch *dispatch, bool has_storage)
{
    const struct manifest_worker *worker = &dispatch->options.app->manifest->worker;
    size_t storable = (size_t)worker->audio_mb_max << 20;
    size_t answerable = (size_t)worker->inline_chars_max / 4 * 3;
    return has_storage || storable < answerable ? storable : answerable;
}

void dispatch_submit(struct dispatch *dispatch, const struct submission *submission)
{
    struct job *job = NULL;
    struct err err = {0};
    metrics_job_begins(dispatch->options.metrics);
    if (make_job(dispatch, submission, &job, &err) != 0) {
        bool is_stream = cJSON_IsObject(submission->input) &&
                         cJSON_IsTrue(json_get(submission->input, "stream"));
        answer_result(dispatch, submission->ticket, is_stream,
                      result_refused(submission->id, 0, &err));
        return;
    }
    struct active active = {.ticket = submission->ticket};
    bool has_storage = dispatch->storage.endpoint || cJSON_IsObject(submission->s3_config);
    if (job->stream)
        active.stream = make_stream(dispatch, submission->ticket);
    if (cJSON_IsObject(submission->s3_config))
        active.s3_config = cJSON_Duplicate(submission->s3_config, true);
    job->ticket = submission->ticket;
    job->writer = active.stream ? stream_writer(active.stream) : NULL;
    job->memory_max = memory_max(dispatch, has_storage);
    LOG_EVENT(&dispatch->options.app->log, LOG_DEBUG, "worker", "job accepted",
              LOG_TEXT("job", job->id), LOG_TEXT("model", model_name(job->model)));
    active_add(dispatch, &active);
    runner_submit(dispatch->runner, job, 0, &never);
}

void dispatch_cancel(struct dispatch *dispatch, uint64_t ticket)
{
    abort_stream(dispatch, ticket);
    runner_cancel_job(dispatch->runner, ticket);
}

double dispatch_progress(struct dispatch *dispatch, uint64_t ticket)
{
    return runner_job_progress(dispatch->runner, ticket);
}

/* --- Life ---------------------------------------------------------------------------------------------------- */

struct s3_target dispatch_storage(const struct manifest_storage *storage)
{
    return (struct s3_target){
        .endpoint = storage->endpoint,
        .bucket = storage->bucket,
        .region = storage->region,
        .access_key = storage->access_key,
        .secret_key = storage->secret_key,
        .session_token = storage->session_token,
        .prefix = storage->prefix,
        .path_style = storage->path_style,
        .presign_ttl_s = storage->presign_ttl_s,
    };
}

struct dispatch *dispatch_create(const struct dispatch_options *options)
{
    const struct manifest *manifest = options->app->manifest;
    struct dispatch *dispatch = mem_alloc(sizeof(*dispatch));
    dispatch->options = *options;
    dispatch->storage = dispatch_storage(&manifest->storage);
    pthread_mutex_init(&dispatch->lock, NULL);
    struct runner_options runner = {
        .models = options->app->models,
        .host = &manifest->host,
        .log = &options->app->log,
        .stream_fd = -1,
        .concurrency = options->concurrency,
        .done = take_result,
        .arg = dispatch,
    };
    dispatch->runner = runner_create(&runner);
    if (dispatch->runner)
        return dispatch;
    pthread_mutex_destroy(&dispatch->lock);
    free(dispatch);
    return NULL;
}

bool dispatch_wait(struct dispatch *dispatch, int64_t deadline)
{
    return runner_wait(dispatch->runner, deadline);
}

void dispatch_cancel_all(struct dispatch *dispatch)
{
    uint64_t *tickets;
    size_t count = 0;
    atomic_store(&dispatch->stop_uploads, 1);
    pthread_mutex_lock(&dispatch->lock);
    for (struct active *active = dispatch->actives; active; active = active->next)
        count++;
    tickets = mem_alloc_array(count, sizeof(*tickets));
    count = 0;
    for (struct active *active = dispatch->actives; active; active = active->next)
        tickets[count++] = active->ticket;
    pthread_mutex_unlock(&dispatch->lock);
    for (size_t i = 0; i < count; i++)
        dispatch_cancel(dispatch, tickets[i]);
    free(tickets);
}

bool dispatch_stop(struct dispatch *dispatch)
{
    dispatch_cancel_all(dispatch);
    return runner_stop(dispatch->runner);
}

bool dispatch_destroy(struct dispatch *dispatch)
{
    if (!runner_destroy(dispatch->runner))
        return false;
    pthread_mutex_destroy(&dispatch->lock);
    free(dispatch);
    return true;
}
