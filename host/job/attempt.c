/* One run of one job on one session: what the plugin may call, what it may not, and what its
 * outcome means. Knows no queue. The lock is held only inside callbacks and around changes, never
 * across speak().
 */
#include "job/job_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK_S_MAX 604800.0 /* a week */

static_assert(offsetof(struct attempt, scratch) == 0, "vox.scratch/1 finds it by job->self");

static struct attempt *attempt_of(const struct vox_job *job)
{
    return job->self;
}

/* --- What the plugin calls -------------------------------------------------------------------- */

/* Keeps the first failure, and that it was the plugin's fault. With the lock. */
__attribute__((format(printf, 2, 3))) static int32_t contract_broken(struct attempt *attempt,
                                                                     const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    attempt->broke_contract = true;
    if (attempt->err.code == ERR_NONE || attempt->err.code == ERR_CANCELLED) {
        err_set(&attempt->err, ERR_INTERNAL, NULL, "plugin \"%s\" broke the contract: %s",
                model_entry(attempt->job->model)->id, message);
        attempt->err_code = VOX_EINVAL;
    }
    return attempt->err_code;
}

/* A code when nothing more may be taken, VOX_OK else. With the lock. */
static int32_t refuse(struct attempt *attempt, const char *call)
{
    if (attempt->detached || attempt->closed)
        return VOX_ECANCELLED;
    if (attempt->err.code != ERR_NONE)
        return contract_broken(attempt, "it called %s after one had failed", call);
    return VOX_OK;
}

/* With the lock. */
static int32_t sink_failed(struct attempt *attempt)
{
    attempt->err_code = attempt->err.code == ERR_INTERNAL ? VOX_EINVAL : VOX_ESINK;
    if (attempt->err.code == ERR_INTERNAL) {
        attempt->broke_contract = true;
        err_prefix(&attempt->err, "plugin \"%s\"", model_entry(attempt->job->model)->id);
    }
    return attempt->err_code;
}

static int32_t job_cancelled(const struct vox_job *job)
{
    struct attempt *attempt = attempt_of(job);
    bool stop = atomic_load_explicit(&attempt->stop, memory_order_relaxed) != STOP_NONE;
    if (stop)
        atomic_store_explicit(&attempt->saw_stop, true, memory_order_relaxed);
    return stop;
}

static void job_progress(const struct vox_job *job, double fraction, const char *stage)
{
    (void)stage;
    double kept = fraction > 0 && fraction <= 1 ? fraction : fraction > 1 ? 1 : 0;
    atomic_store_explicit(&attempt_of(job)->progress_ppm, (unsigned)(kept * 1e6),
                          memory_order_relaxed);
}

static int32_t begin_locked(struct attempt *attempt, const struct vox_format *format)
{
    if (attempt->begin_called)
        return contract_broken(attempt, "it called begin twice");
    attempt->begin_called = true;
    if (!format || !VOX_HAS(format, channels))
        return contract_broken(attempt, "it called begin without a format");
    if (format->sample_rate < AUDIO_RATE_MIN || format->sample_rate > AUDIO_RATE_MAX ||
        format->channels < 1 || format->channels > AUDIO_CHANNELS_MAX)
        return contract_broken(attempt, "it began with %u Hz and %u channels", format->sample_rate,
                               format->channels);
    if (sink_begin(attempt->sink, format->sample_rate, format->channels, &attempt->err) != 0)
        return sink_failed(attempt);
    return VOX_OK;
}

static int32_t job_begin(const struct vox_job *job, const struct vox_format *format)
{
    struct attempt *attempt = attempt_of(job);
    pthread_mutex_lock(&attempt->lock);
    int32_t code = refuse(attempt, "begin");
    if (code == VOX_OK)
        code = begin_locked(attempt, format);
    pthread_mutex_unlock(&attempt->lock);
    return code;
}

static int32_t write_locked(struct attempt *attempt, const float *pcm, uint64_t frames)
{
    if (!attempt->begin_called)
        return contract_broken(attempt, "it wrote before begin");
    if (frames == 0)
        return VOX_OK;
    if (!pcm)
        return contract_broken(attempt, "it wrote %llu frames from NULL",
                               (unsigned long long)frames);
    int64_t begun = clock_now();
    int result = sink_write(attempt->sink, pcm, frames, &attempt->err);
    attempt->sink_ns += clock_now() - begun;
    return result == 0 ? VOX_OK : sink_failed(attempt);
}

static int32_t job_write(const struct vox_job *job, const float *pcm, uint64_t frames)
{
    struct attempt *attempt = attempt_of(job);
    pthread_mutex_lock(&attempt->lock);
    int32_t code = refuse(attempt, "write");
    if (code == VOX_OK)
        code = write_locked(attempt, pcm, frames);
    pthread_mutex_unlock(&attempt->lock);
    return code;
}

static int32_t mark_locked(struct attempt *attempt, const struct vox_mark *mark)
{
    const struct audio_word *last =
        attempt->word_count ? &attempt->words[attempt->word_count - 1] : NULL;
    if (!mark || !VOX_HAS(mark, end_s))
        return contract_broken(attempt, "it marked without a mark");
    if (!(mark->start_s >= 0 && mark->end_s >= mark->start_s && mark->end_s <= MARK_S_MAX))
        return contract_broken(attempt, "it marked a word from %g s to %g s", mark->start_s,
                               mark->end_s);
    if (mark->text_begin > mark->text_end || mark->text_end > attempt->job->text_len)
        return contract_broken(attempt, "it marked the bytes %llu..%llu of a text of %zu",
                               (unsigned long long)mark->text_begin,
                               (unsigned long long)mark->text_end, attempt->job->text_len);
    if (last && mark->start_s < last->start_s)
        return contract_broken(attempt, "it marked words out of order");
    if (attempt->word_count == JOB_WORDS_MAX)
        return VOX_OK;
    if (attempt->word_count == attempt->word_cap) {
        attempt->word_cap = attempt->word_cap ? 2 * attempt->word_cap : 32;
        attempt->words = mem_resize(attempt->words, attempt->word_cap, sizeof(*attempt->words));
    }
    assert(attempt->words);
    struct str word = {0};
    plugin_text(mark->word.data ? mark->word.data : "", mark->word.size, &word);
    attempt->words[attempt->word_count++] = (struct audio_word){
        str_take(&word), mark->text_begin, mark->text_end, mark->start_s, mark->end_s,
    };
    return VOX_OK;
}

static int32_t job_mark(const struct vox_job *job, const struct vox_mark *mark)
{
    struct attempt *attempt = attempt_of(job);
    pthread_mutex_lock(&attempt->lock);
    int32_t code = refuse(attempt, "mark");
    if (code == VOX_OK)
        code = mark_locked(attempt, mark);
    pthread_mutex_unlock(&attempt->lock);
    return code;
}

static void job_warn(const struct vox_job *job, struct vox_str message)
{
    struct attempt *attempt = attempt_of(job);
    pthread_mutex_lock(&attempt->lock);
    if (!attempt->detached && !attempt->closed && ++attempt->warning_count <= JOB_WARNINGS_MAX) {
        struct str text = {0};
        plugin_text(message.data ? message.data : "", message.size, &text);
        text_list_add(&attempt->warnings, str_take(&text));
    }
    pthread_mutex_unlock(&attempt->lock);
}

/* --- Creation --------------------------------------------------------------------------------- */

struct attempt *attempt_create(const struct job *job, const struct runner_options *runner,
                               struct voice_cache *voices, struct recent *recent)
{
    struct attempt *attempt = mem_alloc(sizeof(*attempt));
    attempt->job = job;
    attempt->runner = runner;
    attempt->voices = voices;
    attempt->recent = recent;
    attempt->voice = job->has_voice ? &job->voice : NULL;
    attempt->session.model = attempt->scratch.model = job->model;
    attempt->begun = clock_now();
    pthread_mutex_init(&attempt->lock, NULL);
    attempt->abi = (struct vox_job){
        .size = sizeof(struct vox_job),
        .id = {job->id, strlen(job->id)},
        .text = {job->text, job->text_len},
        .language = {job->language, job->language ? strlen(job->language) : 0},
        .seed = job->seed,
        .speed = job->speed,
        .options = job->options.values,
        .option_count = job->options.count,
        .self = attempt,
        .cancelled = job_cancelled,
        .progress = job_progress,
        .begin = job_begin,
        .write = job_write,
        .mark = job_mark,
        .warn = job_warn,
    };
    return attempt;
}

void attempt_destroy(struct attempt *attempt)
{
    sink_destroy(attempt->sink);
    for (size_t i = 0; i < attempt->word_count; i++)
        free(attempt->words[i].word);
    free(attempt->words);
    text_list_finish(&attempt->warnings);
    free(attempt->temp);
    voice_ref_finish(&attempt->new_voice);
    free(attempt->made_voice);
    str_finish(&attempt->profile);
    str_finish(&attempt->profile_file);
    pthread_mutex_destroy(&attempt->lock);
    free(attempt);
}

struct result *attempt_result(const struct job *job)
{
    struct result *result = mem_alloc(sizeof(*result));
    result->id = mem_copy_string(job->id);
    job_caller_copy(&job->caller, &result->caller);
    result->op = job->op;
    result->model_type = job->model ? mem_copy_string(model_name(job->model)) : NULL;
    result->has_seed = job->text != NULL;
    result->seed = job->seed;
    result->metadata = job->metadata ? cJSON_Duplicate(job->metadata, true) : NULL;
    result->timing_error = mem_copy_string(job->timing_error);
    result->ticket = job->ticket;
    memcpy(result->hash, job->hash, sizeof(result->hash));
    memcpy(result->given_hash, job->given_hash, sizeof(result->given_hash));
    return result;
}

/* --- Outcome ---------------------------------------------------------------------------------- */

static int stopped(const struct attempt *attempt, struct err *err)
{
    if (atomic_load(&attempt->stop) == STOP_TIMEOUT)
        return err_set(err, ERR_TIMEOUT, NULL, "ran longer than %g s (timeout_s)",
                       attempt->job->timeout_s);
    return err_set(err, ERR_CANCELLED, NULL, "cancelled before it was finished");
}

/* What speak's answer means, given what we saw. With the lock. */
static int judge(struct attempt *attempt, int32_t code, const struct vox_error *error,
                 struct err *err)
{
    const char *plugin = model_entry(attempt->job->model)->id;
    if (attempt->err.code != ERR_NONE) {
        *err = attempt->err;
        return err->code;
    }
    if (code == VOX_OK && atomic_load(&attempt->saw_stop))
        return stopped(attempt, err);
    if (code == VOX_ECANCELLED) {
        if (atomic_load(&attempt->stop) != STOP_NONE)
            return stopped(attempt, err);
        return err_set(err, ERR_INTERNAL, NULL,
                       "plugin \"%s\" answered \"cancelled\" though nobody had asked", plugin);
    }
    if (code == VOX_ESINK && attempt->scratch.err.code != ERR_NONE) {
        *err = attempt->scratch.err;
        return err->code;
    }
    if (code == VOX_ESINK)
        return err_set(err, ERR_INTERNAL, NULL,
                       "plugin \"%s\" blamed the output, which had not failed", plugin);
    if (code != VOX_OK)
        return plugin_failure(err, plugin, "speak", code, error);
    if (!attempt->begin_called)
        return err_set(err, ERR_INTERNAL, NULL, "plugin \"%s\" made no audio", plugin);
    return 0;
}

static enum session_fate session_after(const struct attempt *attempt, int32_t code, int result)
{
    bool unknown =
        code == VOX_EINTERNAL || code == VOX_EDEVICE || code > VOX_OK || code < VOX_ESINK;
    return attempt->broke_contract || unknown || (result == ERR_INTERNAL) ? SESSION_DISCARD
                                                                          : SESSION_KEEP;
}

/* --- Steps ------------------------------------------------------------------------------------ */

static int open_sink(struct attempt *attempt, struct err *err)
{
    const struct runner_options *runner = attempt->runner;
    const struct audio_spec *spec = &attempt->job->spec;
    if (attempt->job->writer)
        return sink_open_writer(attempt->job->writer, spec, &attempt->sink, err);
    if (!runner->store && runner->stream_fd >= 0)
        return sink_open_stream(runner->stream_fd, spec, &attempt->sink, err);
    if (!runner->store) {
        attempt->in_memory = true;
        return sink_open_memory(attempt->job->memory_max, spec, &attempt->sink, err);
    }
    attempt->temp = store_temp(runner->store);
    return sink_open_file(attempt->temp, spec, &attempt->sink, err);
}

/* What stands in results.jsonl for a job that brought the process down: short, since it is made for
 * every job. */
static void write_crash_record(const struct job *job, struct str *out)
{
    str_puts(out, "{\"id\":");
    json_write_string(out, job->id, strlen(job->id));
    str_puts(out, ",\"status\":\"error\",\"model_type\":\"");
    str_puts(out, model_name(job->model));
    str_puts(out, "\",\"error\":{\"code\":\"internal\",\"message\":\"" JOB_CRASHED_MESSAGE
                  "\",\"retryable\":false},\"crashed\":true,\"job_hash\":\"");
    str_puts(out, job->hash);
    str_puts(out, "\"}\n");
}

/* An object of the storage, for a voice whose recording is there. */
static int fetch_object(const char *url, const struct voice_fetch *fetch, struct str *bytes,
                        struct err *err)
{
    struct storage *storage = fetch->storage;
    const char *key = strchr(url + strlen("s3://"), '/');
    if (!storage || !key)
        return err_set(err, ERR_UNSUPPORTED, "voice",
                       "unsupported here: there is no storage to read objects from");
    struct err why = {0}; /* has something too when a later attempt went well */
    int result = storage_read(storage, key + 1, fetch->bytes_max, fetch->stop, bytes, &why);
    if (result != 0 && strcmp(why.field, "key") == 0)
        return err_set(err, ERR_VOICE_NOT_FOUND, "voice", "there is no object %s", key + 1);
    if (result != 0)
        *err = why;
    return result;
}

struct voice_fetch attempt_fetch(struct attempt *attempt)
{
    const struct manifest_host *limits = &attempt->runner->manifest->host;
    return (struct voice_fetch){
        .allow_private = limits->fetch_private,
        .timeout_s = limits->fetch_timeout_s,
        .bytes_max = (size_t)limits->fetch_mb_max << 20,
        .stop = &attempt->stop,
        .object = fetch_object,
        .storage = attempt->runner->storage,
    };
}

/* The recording, decoded once for many jobs. */
static int open_voice(struct attempt *attempt, struct voice_use *use, struct vox_voice *voice,
                      struct err *err)
{
    const struct voice_fetch fetch = attempt_fetch(attempt);
    int64_t begun = clock_now();
    int code = voice_open(attempt->voices, attempt->voice, &fetch, use, voice, err);
    attempt->voice_ns = clock_now() - begun;
    if (code == 0)
        attempt->abi.voice = voice;
    return code;
}

/* The plugin at work: the voice's profile, where it makes one, then the job. */
static int run_plugin(struct attempt *attempt, struct voice_use *use, struct vox_voice *voice,
                      enum session_fate *fate, struct err *err)
{
    struct vox_error error = {.size = sizeof(error)};
    int64_t begun = clock_now();
    int result = attempt->voice ? voice_profile(use, attempt->voice, &attempt->session,
                                                &attempt->stop, voice, err)
                                : 0;
    attempt->voice_ns += clock_now() - begun;
    if (result == 0 && attempt->job->op == OP_VOICE_CREATE && voice->profile.size) {
        str_append(&attempt->profile, voice->profile.data, (size_t)voice->profile.size);
        voice_profile_file(use, &attempt->session, voice, &attempt->profile_file);
    }
    int32_t code = use->plugin_code;
    if (result == 0 && attempt->job->text)
        code =
            model_entry(attempt->job->model)->speak(attempt->session.handle, &attempt->abi, &error);
    pthread_mutex_lock(&attempt->lock);
    attempt->closed = true;
    for (size_t i = 0; i < use->warnings.count && !attempt->detached; i++)
        text_list_add(&attempt->warnings, mem_copy_string(use->warnings.items[i]));
    if (result == 0 && attempt->job->text)
        result = judge(attempt, code, &error, err);
    else if (result == ERR_CANCELLED)
        result = stopped(attempt, err);
    *fate = session_after(attempt, code, result);
    pthread_mutex_unlock(&attempt->lock);
    if (code == VOX_EMODEL || code == VOX_EDEVICE)
        model_fail(attempt->job->model, err);
    return result;
}

static int speak(struct attempt *attempt, enum session_fate *fate, struct err *err)
{
    struct voice_use use = {0};
    struct vox_voice voice = {0};
    struct str record = {0};
    int result = attempt->voice ? open_voice(attempt, &use, &voice, err) : 0;
    if (result != 0)
        return result == ERR_CANCELLED ? stopped(attempt, err) : result;
    if (crash_records())
        write_crash_record(attempt->job, &record);
    crash_enter(record.data, "plugin \"%s\" (model \"%s\", job \"%s\")%s",
                model_entry(attempt->job->model)->id, model_name(attempt->job->model),
                attempt->job->id, record.len ? "; batch --resume goes on without this job" : "");
    result = run_plugin(attempt, &use, &voice, fate, err);
    crash_leave();
    job_scratch_end(&attempt->scratch);
    str_finish(&record);
    attempt->abi.voice = NULL;
    voice_close(&use);
    return result;
}

static int finish_sink(struct attempt *attempt, struct result *result, struct err *err)
{
    int64_t begun = clock_now();
    int code = sink_finish(attempt->sink, &result->audio, err);
    if (code == 0 && attempt->in_memory)
        sink_take(attempt->sink, &result->data);
    result->ms.encode = (double)(clock_now() - begun + attempt->sink_ns) / CLOCK_MS;
    if (code != 0)
        return code;
    if (result->audio.frames == 0)
        return err_set(err, ERR_INTERNAL, NULL, "plugin \"%s\" made no audio",
                       model_entry(attempt->job->model)->id);
    if (result->audio.clipped)
        text_list_add(&attempt->warnings,
                      str_format("%llu samples were louder than full scale and were clipped",
                                 (unsigned long long)result->audio.clipped));
    if (attempt->warning_count > JOB_WARNINGS_MAX)
        text_list_add(&attempt->warnings,
                      str_format("%llu more warnings",
                                 (unsigned long long)(attempt->warning_count - JOB_WARNINGS_MAX)));
    return 0;
}

static int store_subtitle(struct attempt *attempt, enum subtitle_format format,
                          struct result *result, struct err *err)
{
    const struct job *job = attempt->job;
    struct str text = {0};
    const struct subtitle_older older = {job->id, job->language, job->compact_timings};
    if (job->older_timings)
        subtitle_write_older(format, &older, attempt->words, attempt->word_count, &text);
    else
        subtitle_write(format, job->text, attempt->words, attempt->word_count, &text);
    if (!attempt->temp) {
        result->subtitle_texts[format] = str_take(&text);
        return 0;
    }
    char *temp = store_temp(attempt->runner->store);
    char *name = result_subtitle_name(job->output, format);
    int code = fs_write_file(temp, str_text(&text), text.len, err);
    if (code == 0)
        code = store_commit(attempt->runner->store, temp, name, NULL, err);
    else
        unlink(temp); /* on a full disk what was written of it is needed */
    if (code == 0)
        text_list_add(&result->subtitles, mem_copy_string(name));
    str_finish(&text);
    free(temp);
    free(name);
    return code;
}

/* Subtitles first: the audio's name stands for the whole job. */
static int store_all(struct attempt *attempt, struct result *result, struct err *err)
{
    int code = 0;
    for (unsigned i = 0; i < SUBTITLE_FORMAT_COUNT && code == 0; i++)
        if (attempt->job->subtitles & (1u << i))
            code = store_subtitle(attempt, (enum subtitle_format)i, result, err);
    if (!attempt->temp)
        return code;
    if (code == 0)
        code = store_commit(attempt->runner->store, attempt->temp, attempt->job->output, NULL, err);
    else
        unlink(attempt->temp);
    if (code == 0)
        result->path = mem_copy_string(attempt->job->output);
    return code;
}

static void take_texts(struct attempt *attempt, struct result *result)
{
    result->words = attempt->words;
    result->word_count = attempt->word_count;
    attempt->words = NULL;
    attempt->word_count = 0;
    for (size_t i = 0; i < attempt->job->warnings.count; i++)
        text_list_add(&attempt->warnings, mem_copy_string(attempt->job->warnings.items[i]));
    result->warnings = attempt->warnings;
    attempt->warnings = (struct text_list){0};
}

/* Before anything is made that would find no room. */
static int check_room(const struct attempt *attempt, struct err *err)
{
    const struct runner_options *runner = attempt->runner;
    if (!attempt->job->text || attempt->job->writer || !runner->store)
        return 0;
    return fs_check_room(store_dir(runner->store), 0, runner->manifest->host.min_free_mb,
                         runner->log, err);
}

/* False: it was answered for meanwhile; later nobody answers for it any more. */
static bool close_attempt(struct attempt *attempt)
{
    pthread_mutex_lock(&attempt->lock);
    attempt->closed = true;
    bool detached = attempt->detached;
    pthread_mutex_unlock(&attempt->lock);
    return !detached;
}

/* --- Public ----------------------------------------------------------------------------------- */

bool attempt_run(struct attempt *attempt, struct result *result, enum session_fate *fate)
{
    struct err *err = &result->err;
    bool speaks = attempt->job->text != NULL;
    *fate = SESSION_KEEP;
    if (!attempt->job->model) {
        if (operation_run(attempt, result) == ERR_CANCELLED)
            stopped(attempt, err);
        if (!close_attempt(attempt))
            return false;
        take_texts(attempt, result);
        return true;
    }
    int code = session_take(attempt->job->model, &attempt->stop, &attempt->session, err);
    if (code != 0)
        *fate = SESSION_DISCARD; /* there is only the reservation to give back */
    int64_t begun = clock_now();
    pthread_mutex_lock(&attempt->lock);
    bool go_on = code == 0 && !attempt->detached;
    pthread_mutex_unlock(&attempt->lock);
    if (go_on)
        code = check_room(attempt, err);
    if (go_on && code == 0 && attempt->job->op == OP_VOICE_CREATE)
        code = operation_take_voice(attempt, result, err);
    if (code == ERR_CANCELLED && atomic_load(&attempt->stop) != STOP_NONE)
        code = stopped(attempt, err);
    pthread_mutex_lock(&attempt->lock);
    if (go_on && code == 0 && speaks)
        code = open_sink(attempt, err);
    pthread_mutex_unlock(&attempt->lock);
    if (go_on && code == 0)
        code = speak(attempt, fate, err);
    if (!close_attempt(attempt))
        return false;
    result->ms.voice = (double)attempt->voice_ns / CLOCK_MS;
    result->ms.synth =
        (double)(clock_now() - begun - attempt->sink_ns - attempt->voice_ns) / CLOCK_MS;
    if (code == 0 && speaks)
        code = finish_sink(attempt, result, err);
    if (code != 0 && attempt->temp)
        unlink(attempt->temp); /* a sink that was finished leaves its file */
    int64_t storing = clock_now();
    if (code == 0 && speaks)
        store_all(attempt, result, err);
    if (attempt->job->op == OP_VOICE_CREATE)
        operation_end_voice(attempt, result);
    result->ms.store = (double)(clock_now() - storing) / CLOCK_MS;
    take_texts(attempt, result);
    return true;
}

int attempt_stopped(const struct attempt *attempt, struct err *err)
{
    return stopped(attempt, err);
}

bool attempt_detach(struct attempt *attempt, struct result *result)
{
    const struct model *model = attempt->job->model;
    struct err *err = &result->err;
    if (pthread_mutex_trylock(&attempt->lock) != 0)
        return false;
    bool detached = !attempt->closed;
    if (detached) {
        attempt->detached = true;
        sink_destroy(attempt->sink);
        attempt->sink = NULL;
        stopped(attempt, err);
        size_t len = strlen(err->message);
        if (model)
            snprintf(err->message + len, sizeof(err->message) - len,
                     ", and plugin \"%s\" did not stop when asked: its session is given up",
                     model_entry(model)->id);
        else
            snprintf(err->message + len, sizeof(err->message) - len,
                     ", and did not stop when asked: maybe a disk does not answer");
    }
    pthread_mutex_unlock(&attempt->lock);
    return detached;
}
