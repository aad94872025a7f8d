/* Dispatch; see dispatch.h. The answer is made in the runner's thread, after the session is free
 * again: base64 and uploads keep no model waiting.
 */
#include "front/worker/dispatch.h"
#include "front/worker/legacy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Base64 of the largest chunk and what is around it stay below the 900,000 bytes that the platform
 * should get. */
#define STREAM_CHUNK_BYTES_MAX 600000

/* A job between submission and answer. */
struct active {
    struct active *next;
    uint64_t ticket;
    struct stream *stream; /* NULL: none */
    struct storage *own;   /* the job brought it; NULL: none */
    char *key;             /* of its audio in storage */
    cJSON *metadata;       /* kept with that; NULL: none */
    enum job_response response;
    bool older_timings;    /* word times are an extra of an older client: the audio goes without */
    double timeout_s;      /* the job's; 0: none */
    int64_t deadline;      /* clock_now: of its uploads; 0: none */
    struct legacy *legacy; /* of an older client; NULL */
};

struct dispatch {
    struct dispatch_options options;
    struct storage *storage; /* NULL: none */
    struct runner *runner;
    atomic_int stop_uploads;
    pthread_mutex_t lock;
    struct active *actives; /* guarded by lock */
};

void answer_destroy(struct answer *answer)
{
    if (!answer)
        return;
    str_finish(&answer->body);
    stream_destroy(answer->stream);
    free(answer);
}

/* --- The table of jobs ------------------------------------------------------------------------ */

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

/* --- From a result to an answer --------------------------------------------------------------- */

/* What the job's audio will be called in storage; the caller's. NULL: it cannot be called
 * anything. */
static char *object_key(const struct dispatch *dispatch, const struct storage *storage,
                        const struct job *job, struct err *err)
{
    struct str key = {0};
    const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_JOB_ID] = job->id,
        [KEY_FIELD_USER_ID] = job->user_id,
        [KEY_FIELD_STORY_ID] = job->story_id,
        [KEY_FIELD_VOICE] = job->has_voice ? job->voice.id : job->ask.voice,
        [KEY_FIELD_LANGUAGE] = job->language,
        [KEY_FIELD_MODEL_TYPE] = job->model ? model_name(job->model) : NULL,
        [KEY_FIELD_EXT] = audio_format_names[job->spec.format],
    };
    const char *template = dispatch->options.app->manifest->storage.key_template;
    if (storage_key(storage, template, values, (int64_t)time(NULL), &key, err) != 0)
        str_finish(&key);
    return key.data;
}

/* Opens the job's own storage, as the platform hands it over. ERR_INVALID when it is none. Asks no
 * server. */
static int open_s3_config(const struct dispatch *dispatch, const cJSON *config,
                          struct storage **storage, struct err *err)
{
    static const char *const names[] = {"endpointUrl", "bucketName", "accessId", "accessSecret"};
    const struct manifest *manifest = dispatch->options.app->manifest;
    const char *values[4] = {NULL};
    if (!cJSON_IsObject(config))
        return err_set(err, ERR_INVALID, "s3Config", "expected an object, got %s",
                       json_kind(config));
    for (size_t i = 0; i < 4; i++) {
        const cJSON *value = json_get(config, names[i]);
        if (value && !cJSON_IsNull(value) && !cJSON_IsString(value))
            return err_set(err, ERR_INVALID, "s3Config", "%s: expected a string, got %s", names[i],
                           json_kind(value));
        values[i] = value ? value->valuestring : NULL;
    }
    const struct s3_target target = {
        .endpoint = values[0],
        .bucket = values[1],
        .access_key = values[2],
        .secret_key = values[3],
        .path_style = manifest->storage.path_style,
        .presign_ttl_s = manifest->storage.presign_ttl_s,
        .public_only = !manifest->host.fetch_private,
    };
    int code = storage_open_s3(&target, storage, err);
    if (code != 0) {
        err_prefix(err, "%s", err->field);
        snprintf(err->field, sizeof(err->field), "s3Config");
    }
    return code;
}

/* What is kept with the objects of a job: what its caller says of it, and what we know. */
static cJSON *object_metadata(const struct job *job)
{
    const struct {
        const char *name, *value;
    } known[] = {
        {"job_id", job->id},         {"user_id", job->user_id},
        {"story_id", job->story_id}, {"voice_id", job->has_voice ? job->voice.id : job->ask.voice},
        {"language", job->language}, {"model_type", model_name(job->model)}};
    cJSON *metadata = job_public_metadata(job);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].value && !json_get(metadata, known[i].name))
            cJSON_AddStringToObject(metadata, known[i].name, known[i].value);
    return metadata;
}

/* One object of a job on its way to the storage. */
struct upload {
    const char *what; /* for messages */
    bool is_timing;   /* not the audio */
    const char *key, *content_type;
    const char *data;
    size_t len;
};

/* Says its URL: the caller's. */
static int upload_one(struct dispatch *dispatch, const struct active *active,
                      const struct upload *upload, char **url, struct err *err)
{
    struct storage *storage = active->own ? active->own : dispatch->storage;
    struct str text = {0};
    const struct storage_put put = {
        .key = upload->key,
        .content_type = upload->content_type,
        .data = upload->data,
        .len = upload->len,
        .metadata = active->metadata,
        .stop = &dispatch->stop_uploads,
        .deadline = active->deadline,
    };
    int code = storage_put(storage, &put, err);
    if (code == 0)
        code = storage_url(storage, upload->key, &text, err);
    *url = code == 0 ? str_take(&text) : NULL;
    str_finish(&text);
    if (code == ERR_TIMEOUT) {
        err_prefix(err, "ran longer than %g s (timeout_s)", active->timeout_s);
    } else if (code != 0) {
        bool is_about_timing = upload->is_timing && code == ERR_STORAGE;
        const char *field = is_about_timing ? "timestamps" : active->own ? "s3Config" : "";
        if (!err->field[0])
            snprintf(err->field, sizeof(err->field), "%s", field);
        err_prefix(err, "%s", upload->what);
    }
    return code;
}

/* Metadata that the storage cannot keep is no reason to lose the audio. */
static void fit_metadata(struct dispatch *dispatch, const struct active *active,
                         struct result *result)
{
    char *warning =
        storage_fit_metadata(active->own ? active->own : dispatch->storage, active->metadata);
    if (warning)
        text_list_add(&result->warnings, warning);
}

/* Leaves no text behind, however it ends. */
static int upload_subtitles(struct dispatch *dispatch, const struct active *active,
                            struct result *result, struct err *err)
{
    int code = 0;
    for (unsigned i = 0; i < SUBTITLE_FORMAT_COUNT; i++) {
        char *text = result->subtitle_texts[i];
        if (text && code == 0) {
            char *name = result_subtitle_name(active->key, (enum subtitle_format)i);
            char *what = str_format("the timestamps (%s)", subtitle_format_names[i]);
            const struct upload upload = {what, true,        name, storage_content_type(name),
                                          text, strlen(text)};
            code = upload_one(dispatch, active, &upload, &result->subtitle_urls[i], err);
            free(what);
            free(name);
        }
        free(text);
        result->subtitle_texts[i] = NULL;
    }
    return code;
}

static int upload_audio(struct dispatch *dispatch, const struct active *active,
                        struct result *result, struct err *err)
{
    const struct upload upload = {"the audio",
                                  false,
                                  active->key,
                                  storage_content_type(audio_format_names[result->audio.format]),
                                  str_text(&result->data),
                                  result->data.len};
    int code = upload_one(dispatch, active, &upload, &result->url, err);
    if (code == 0 && !active->own && !result->key) /* of ours only: for later */
        result->key = mem_copy_string(active->key);
    return code;
}

static void note_timing_error(struct result *result, const struct err *err)
{
    free(result->timing_error);
    result->timing_error = mem_copy_string(err->message);
}

/* To the job's own storage, or to ours. Subtitles first: who can see the audio sees all of it. But
 * where the audio goes without them, they take nothing of its time. */
static void upload_all(struct dispatch *dispatch, const struct active *active,
                       struct result *result)
{
    struct err err = {0}; /* has something too when a later attempt went well */
    int64_t begun = clock_now();
    int code = 0;
    free(result->url); /* of a sample, which the job's own storage gets as well */
    result->url = NULL;
    fit_metadata(dispatch, active, result);
    if (!active->older_timings)
        code = upload_subtitles(dispatch, active, result, &err);
    if (code == 0)
        code = upload_audio(dispatch, active, result, &err);
    if (code != 0)
        result->err = err;
    else if (active->older_timings && upload_subtitles(dispatch, active, result, &err) != 0)
        note_timing_error(result, &err);
    result->ms.store += (double)(clock_now() - begun) / CLOCK_MS;
}

/* They have no room in the answer. */
static void drop_words(struct result *result)
{
    for (size_t i = 0; i < result->word_count; i++)
        free(result->words[i].word);
    result->word_count = 0;
}

static void upload_words(struct dispatch *dispatch, const struct active *active,
                         struct result *result)
{
    struct err err = {0};
    struct str text = {0};
    int64_t begun = clock_now();
    const char *dot = strrchr(fs_name_of(active->key), '.');
    size_t stem = dot ? (size_t)(dot - active->key) : strlen(active->key);
    char *name = str_format("%.*s.words.json", (int)stem, active->key);
    result_write_words(result, &text);
    const struct upload upload = {"the list of words", true,    name, storage_content_type(name),
                                  str_text(&text),     text.len};
    fit_metadata(dispatch, active, result);
    int code = upload_one(dispatch, active, &upload, &result->words_url, &err);
    if (code != 0 && active->older_timings) {
        note_timing_error(result, &err);
        drop_words(result);
    } else if (code != 0) {
        result->err = err;
    }
    result->ms.store += (double)(clock_now() - begun) / CLOCK_MS;
    free(name);
    str_finish(&text);
}

/* Can the audio, its subtitles and words be so long that it matters? For most answers this spares
 * writing them twice; JSON makes 6 characters of one at most. */
static bool is_long(const struct dispatch *dispatch, const struct result *result)
{
    enum { WORD_CHARS = 128, SAFETY = 8 };
    size_t chars = result->base64.len + result->word_count * WORD_CHARS;
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        chars += result->subtitle_texts[i] ? strlen(result->subtitle_texts[i]) : 0;
    return chars > (size_t)dispatch->options.app->manifest->worker.body_bytes_max / SAFETY;
}

/* What makes the answer too long for the platform goes to the storage: first the audio and the
 * subtitles, then the words. */
static void shorten_answer(struct dispatch *dispatch, const struct active *active,
                           struct result *result)
{
    const struct reply_context *reply = dispatch->options.reply;
    bool may_upload =
        (active->own || dispatch->storage) && active->key && active->response != RESPONSE_INLINE;
    if (result->err.code != ERR_NONE || !may_upload || !is_long(dispatch, result) ||
        reply_fits(reply, active->legacy, result))
        return;
    if (!result->url)
        upload_all(dispatch, active, result);
    str_finish(&result->base64);
    if (result->err.code == ERR_NONE && result->word_count &&
        !reply_fits(reply, active->legacy, result))
        upload_words(dispatch, active, result);
}

/* A callback has no audio, only where it is. */
static bool is_called_back(const struct dispatch *dispatch, const struct result *result)
{
    char *url =
        dispatch->options.callbacks && dispatch->storage
            ? callback_url_for(&dispatch->options.app->manifest->callbacks, &result->caller, false)
            : NULL;
    free(url);
    return url != NULL;
}

/* The audio becomes a part of the answer; or goes to the job's own storage, or, when it is too
 * large or asked for, to ours. */
static void place_audio(struct dispatch *dispatch, const struct active *active,
                        struct result *result)
{
    size_t inline_max = (size_t)dispatch->options.app->manifest->worker.inline_chars_max;
    size_t chars = (result->data.len + 2) / 3 * 4;
    bool older_wants_url =
        active->legacy && legacy_prefers_url(active->legacy) && dispatch->storage;
    bool wants_url =
        active->response == RESPONSE_URL || (active->response == RESPONSE_AUTO && older_wants_url);
    struct err err = result->err;
    if (err.code == ERR_TOO_LARGE && !err.field[0])
        err_set(
            &result->err, ERR_TOO_LARGE, NULL,
            "%s (worker.audio_mb_max, and worker.inline_chars_max where there is no storage): ask "
            "for a smaller format such as mp3 or opus, or a shorter text",
            err.message);
    if (err.code != ERR_NONE || !result->data.len)
        return;
    bool has_url = result->url && !active->own; /* a sample has one already */
    if (active->own || wants_url || (active->response == RESPONSE_AUTO && chars > inline_max)) {
        if (!has_url)
            upload_all(dispatch, active, result);
    } else {
        if (active->response == RESPONSE_AUTO && !has_url && is_called_back(dispatch, result))
            upload_all(dispatch, active, result);
        if (result->err.code == ERR_NONE)
            str_append_base64(&result->base64, result->data.data, result->data.len);
    }
    shorten_answer(dispatch, active, result);
    str_finish(&result->data);
}

static void finish_stream(struct dispatch *dispatch, struct stream *stream, struct result *result,
                          struct str *body)
{
    struct str last = {0};
    reply_stream_last(result, &last);
    stream_end(stream, &last);
    reply_final_stream(dispatch->options.reply, result, stream_chunks(stream),
                       dispatch->options.app->manifest->worker.refresh, body);
    str_finish(&last);
}

/* The reason for a refusal quotes the job, which is its caller's affair: the log has the field
 * alone, and that only when its name is ours. */
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

/* The time that a job has counts from when it began to run. */
static int64_t deadline_of(const struct active *active, const struct result *result)
{
    double ran_ms = result->ms.total - result->ms.queue;
    double left_ms = active->timeout_s * 1e3 - (ran_ms > 0 ? ran_ms : 0);
    return active->timeout_s > 0 ? clock_now() + (int64_t)(left_ms * CLOCK_MS) : 0;
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
        active.deadline = deadline_of(&active, result);
        place_audio(dispatch, &active, result);
        runner_undo_voice(dispatch->runner, result);
        reply_final(options->reply, active.legacy, result, answer->refresh, &answer->body);
        runner_undo_voice(dispatch->runner, result); /* what was too large to be sent */
    }
    answer->code = result->err.code;
    runner_remember(dispatch->runner, result);
    metrics_job_ends(options->metrics, result);
    log_result(&options->app->log, result);
    struct callback *callback =
        options->callbacks ? callback_prepare_job(options->callbacks, result) : NULL;
    storage_close(active.own);
    cJSON_Delete(active.metadata);
    free(active.key);
    legacy_destroy(active.legacy);
    result_destroy(result);
    options->answered(answer, options->arg);
    if (callback)
        callback_release(options->callbacks, callback);
}

static void take_result(struct result *result, void *arg)
{
    answer_result(arg, result->ticket, false, result);
}

/* --- From an input to a job ------------------------------------------------------------------- */

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

/* Without storage, and where the caller wants it inline, there is no use for more than the answer
 * can hold. */
static size_t memory_max(const struct dispatch *dispatch, const struct active *active)
{
    const struct manifest_worker *worker = &dispatch->options.app->manifest->worker;
    bool can_upload = active->own || (dispatch->storage && active->response != RESPONSE_INLINE);
    size_t storable = (size_t)worker->audio_mb_max << 20;
    size_t answerable = (size_t)worker->inline_chars_max / 4 * 3;
    return can_upload || storable < answerable ? storable : answerable;
}

/* The job, and what its answer will need. */
static int prepare(struct dispatch *dispatch, const struct submission *submission,
                   struct active *active, struct job **job, struct err *err)
{
    int code = make_job(dispatch, submission, job, err);
    if (code != 0)
        return code;
    assert(*job);
    bool has_own = submission->s3_config && !cJSON_IsNull(submission->s3_config) &&
                   !(cJSON_IsObject(submission->s3_config) && !submission->s3_config->child);
    if ((*job)->response == RESPONSE_URL && !dispatch->storage && !has_own)
        return err_set(err, ERR_UNSUPPORTED, "response",
                       "unsupported: there is no storage (the manifest's `storage`)");
    if ((*job)->response == RESPONSE_URL && !has_own && (*job)->text &&
        storage_check_room(dispatch->storage, 0, &dispatch->options.app->log, err) != 0)
        return err->code;
    active->response = (*job)->response;
    active->older_timings = (*job)->older_timings;
    active->timeout_s = (*job)->timeout_s;
    if (has_own && (*job)->text &&
        open_s3_config(dispatch, submission->s3_config, &active->own, err) != 0)
        return err->code;
    if ((*job)->text)
        active->key = object_key(dispatch, has_own ? NULL : dispatch->storage, *job, err);
    if ((*job)->text && !active->key)
        return err->code;
    if ((*job)->text)
        active->metadata = object_metadata(*job);
    if ((*job)->stream)
        active->stream = make_stream(dispatch, submission->ticket);
    (*job)->ticket = submission->ticket;
    (*job)->writer = active->stream ? stream_writer(active->stream) : NULL;
    (*job)->memory_max = memory_max(dispatch, active);
    return 0;
}

void dispatch_submit(struct dispatch *dispatch, const struct submission *submission)
{
    struct job *job = NULL;
    struct active active = {.ticket = submission->ticket};
    struct err err = {0};
    metrics_job_begins(dispatch->options.metrics);
    if (dispatch->options.app->manifest->worker.legacy_fields)
        active.legacy = legacy_recognise(submission->input);
    int code = prepare(dispatch, submission, &active, &job, &err);
    if (code == 0 && active.legacy)
        code = legacy_check(active.legacy, &err);
    active_add(dispatch, &active);
    if (code != 0) {
        bool is_stream = cJSON_IsObject(submission->input) &&
                         cJSON_IsTrue(json_get(submission->input, "stream"));
        char *id = job_id_of(submission->input, submission->id);
        struct result *refused = result_refused(id, 0, &err);
        result_add_given(refused, submission->input, dispatch->options.app->manifest);
        job_destroy(job);
        answer_result(dispatch, submission->ticket, is_stream, refused);
        free(id);
        return;
    }
    LOG_EVENT(&dispatch->options.app->log, LOG_DEBUG, "worker", "job accepted",
              LOG_TEXT("job", job->id),
              LOG_TEXT("model", job->model ? model_name(job->model) : ""));
    runner_submit(dispatch->runner, job, 0, NULL);
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

/* --- Life ------------------------------------------------------------------------------------- */

struct dispatch *dispatch_create(const struct dispatch_options *options)
{
    const struct manifest *manifest = options->app->manifest;
    struct dispatch *dispatch = mem_alloc(sizeof(*dispatch));
    dispatch->options = *options;
    dispatch->storage = options->storage;
    pthread_mutex_init(&dispatch->lock, NULL);
    struct runner_options runner = {
        .models = options->app->models,
        .manifest = manifest,
        .storage = options->storage,
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
