/* Operations that hand over files: what is stored of other jobs, by their id, and files in answers.
 * Part of operation.c.
 */
#include "job/job_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEARCHED_DAYS 8 /* of a template with {date}: today and a week back */

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(object, name, text);
}

static void add_integer(cJSON *object, const char *name, uint64_t number)
{
    cJSON_AddItemToObject(object, name, json_create_int64((int64_t)number));
}

/* --- Files in answers ------------------------------------------------------------------------- */

static cJSON *add_file(struct result *result, const struct operation_file *file)
{
    cJSON *json = cJSON_AddObjectToObject(result->answer, "file");
    add_text(json, "filename", file->filename);
    add_text(json, "content_type", storage_content_type(file->filename));
    add_integer(json, "bytes", file->len);
    return json;
}

/* Into the output folder. */
static int file_to_store(struct attempt *attempt, const struct operation_file *file,
                         struct result *result, struct err *err)
{
    struct store *store = attempt->runner->store;
    const char *ending = strrchr(file->filename, '.');
    char *temp = store_temp(store);
    char *name = str_format("%s%s", attempt->job->id, ending ? ending : ""); /* nobody else's */
    const struct storage_get get = {
        .key = file->key, .path = temp, .bytes_max = UINT64_MAX, .stop = &attempt->stop};
    const struct runner_options *runner = attempt->runner;
    int code = fs_check_room(store_dir(store), file->len, runner->manifest->host.min_free_mb,
                             runner->log, err);
    if (code == 0)
        code = file->key ? storage_get(runner->storage, &get, err)
                         : fs_write_file(temp, str_text(&file->bytes), file->bytes.len, err);
    if (code == 0)
        code = store_commit(store, temp, name, NULL, err);
    else
        unlink(temp);
    if (code == 0)
        add_text(add_file(result, file), "path", name);
    free(name);
    free(temp);
    return code;
}

/* A name in the storage for what is not there yet. */
static int put_file(struct attempt *attempt, const struct operation_file *file, struct str *key,
                    struct err *err)
{
    const struct job *job = attempt->job;
    const char *ending = strrchr(file->filename, '.');
    const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_JOB_ID] = job->id,
        [KEY_FIELD_USER_ID] = job->user_id,
        [KEY_FIELD_STORY_ID] = job->story_id,
        [KEY_FIELD_VOICE] = job->ask.voice,
        [KEY_FIELD_EXT] = ending ? ending + 1 : "bin",
    };
    const struct storage_put put = {
        .content_type = storage_content_type(file->filename),
        .data = str_text(&file->bytes),
        .len = file->bytes.len,
        .stop = &attempt->stop,
    };
    int code =
        storage_key(attempt->runner->storage, attempt->runner->manifest->storage.key_template,
                    values, (int64_t)time(NULL), key, err);
    struct storage_put named = put;
    named.key = str_text(key);
    return code == 0 ? storage_put(attempt->runner->storage, &named, err) : code;
}

/* By the rules for audio: inline up to a limit, else by URL, else it cannot be answered. */
static int file_to_answer(struct attempt *attempt, struct operation_file *file,
                          struct result *result, struct err *err)
{
    struct storage *storage = attempt->runner->storage;
    enum job_response response = attempt->job->response;
    uint64_t chars_max = (uint64_t)attempt->runner->manifest->worker.inline_chars_max;
    bool fits = (file->len + 2) / 3 * 4 <= chars_max;
    struct str text = {0}, key = {0};
    int code = 0;
    if (response == RESPONSE_URL && !storage)
        return err_set(err, ERR_UNSUPPORTED, "response", "unsupported: there is no storage");
    if (response == RESPONSE_URL || (response == RESPONSE_AUTO && !fits && storage)) {
        if (!file->key)
            code = put_file(attempt, file, &key, err);
        if (code == 0)
            code = storage_url(storage, file->key ? file->key : str_text(&key), &text, err);
    } else if (!fits) {
        code =
            err_set(err, ERR_TOO_LARGE, "response",
                    "the file has %llu bytes: as base64 more than worker.inline_chars_max (%llu)",
                    (unsigned long long)file->len, (unsigned long long)chars_max);
    } else {
        if (file->key)
            code = storage_read(storage, file->key, (size_t)file->len, &attempt->stop, &file->bytes,
                                err);
        if (code == 0)
            str_append_base64(&text, file->bytes.data, file->bytes.len);
    }
    if (code == 0) {
        bool is_url = response == RESPONSE_URL || !fits;
        add_text(add_file(result, file), is_url ? "url" : "base64", str_text(&text));
    }
    str_finish(&text);
    str_finish(&key);
    return code;
}

int operation_hand_over(struct attempt *attempt, struct operation_file *file, struct result *result,
                        struct err *err)
{
    return attempt->runner->store ? file_to_store(attempt, file, result, err)
                                  : file_to_answer(attempt, file, result, err);
}

/* --- Results of other jobs -------------------------------------------------------------------- */

static int unknown_job(const char *id, struct err *err)
{
    return err_set(err, ERR_INVALID, "job_id",
                   "there is no job \"%s\" among the last %d of this process", id,
                   RUNNER_RECENT_MAX);
}

int operation_status(struct attempt *attempt, struct result *result, struct err *err)
{
    struct recent_job job;
    const char *id = attempt->job->ask.job_id;
    if (!recent_find(attempt->recent, id, &job))
        return unknown_job(id, err);
    add_text(result->answer, "job_id", id);
    add_text(result->answer, "state", recent_state_names[job.state]);
    if (job.state == RECENT_FAILED)
        add_text(result->answer, "code", err_word(job.code));
    add_text(result->answer, "message", job.message);
    if (job.state == RECENT_RUNNING)
        add_integer(result->answer, "number", job.number); /* for the runner, which adds progress */
    recent_job_finish(&job);
    return 0;
}

/* What is asked for: the name of it as we remember it; NULL: we do not. Borrowed from `job`. */
static const char *remembered(const struct job_ask *ask, const struct recent_job *job)
{
    const char *audio = job->key ? job->key : job->path;
    if (!ask->wants_timing)
        return ask->format && strcmp(ask->format, audio_format_names[job->format]) != 0 ? NULL
                                                                                        : audio;
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        if (job->subtitles[i] &&
            (!ask->format || strcmp(ask->format, subtitle_format_names[i]) == 0))
            return job->subtitles[i];
    return NULL;
}

static int check_is_over(const struct recent_job *job, struct err *err)
{
    if (job->state < RECENT_FINISHED)
        return err_set(err, ERR_INVALID, "job_id", "job \"%s\" has not ended: it is %s", job->id,
                       recent_state_names[job->state]);
    if (job->state == RECENT_FAILED)
        return err_set(err, ERR_INVALID, "job_id", "job \"%s\" has failed: %s", job->id,
                       job->message);
    return 0;
}

/* Files of this run's own folder stay where they are. */
static int answer_path(struct attempt *attempt, const char *path, struct result *result,
                       struct err *err)
{
    struct operation_file answer = {.filename = fs_name_of(path)};
    char *full = fs_join(store_dir(attempt->runner->store), path);
    FILE *file = fopen(full, "re");
    int code = 0;
    if (file && fseek(file, 0, SEEK_END) == 0)
        answer.len = (uint64_t)ftell(file);
    else
        code = err_set(err, ERR_STORAGE, "job_id", "%s is not there any more", path);
    if (file)
        fclose(file);
    if (code == 0)
        add_text(add_file(result, &answer), "path", path);
    free(full);
    return code;
}

static int not_there(struct attempt *attempt, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    const char *template = attempt->runner->manifest->storage.key_template;
    bool lacks_user = strstr(template, "{user_id}") && !attempt->job->user_id;
    bool lacks_story = strstr(template, "{story_id}") && !attempt->job->story_id;
    return err_set(err, ERR_INVALID, "job_id",
                   "there is no %s of job \"%s\" in the storage%s%s%s%s%s",
                   ask->wants_timing ? "timing file" : "audio", ask->job_id,
                   ask->format ? " as " : "", ask->format ? ask->format : "",
                   lacks_user || lacks_story ? "; its name has what the job had as " : "",
                   lacks_user    ? "user_id"
                   : lacks_story ? "story_id"
                                 : "",
                   lacks_user && lacks_story ? " and story_id" : "");
}

/* --- By the template alone: for jobs that this process does not know (any more) --------------- */

/* Can a key follow from what the asker says? */
static int check_template(const char *template, struct err *err)
{
    static const char *const known[] = {"{job_id}", "{random}", "{user_id}", "{story_id}",
                                        "{date}",   "{ext}",    NULL};
    for (const char *p = template; (p = strchr(p, '{')); p++) {
        size_t i = 0;
        while (known[i] && strncmp(p, known[i], strlen(known[i])) != 0)
            i++;
        if (!known[i])
            return err_set(err, ERR_UNSUPPORTED, "job_id",
                           "unsupported: this process does not know the job, and where its result "
                           "is does not follow from its id, since storage.key_template has %.*s}",
                           (int)strcspn(p, "}"), p);
    }
    if (!strstr(template, known[0]) && !strstr(template, known[1]))
        return err_set(err, ERR_UNSUPPORTED, "job_id",
                       "unsupported: this process does not know the job, and storage.key_template "
                       "has neither {job_id} nor {random}");
    return 0;
}

/* The key of the result in a format (of audio, or of subtitles) of a day. */
static int computed_key(struct attempt *attempt, const char *format, int64_t day, struct str *key,
                        struct err *err)
{
    const struct job *job = attempt->job;
    bool is_timing = job->ask.wants_timing;
    const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_JOB_ID] = job->ask.job_id,
        [KEY_FIELD_USER_ID] = job->user_id,
        [KEY_FIELD_STORY_ID] = job->story_id,
        [KEY_FIELD_EXT] = is_timing ? audio_format_names[AUDIO_WAV] : format,
    };
    str_clear(key);
    int code = storage_key(attempt->runner->storage,
                           attempt->runner->manifest->storage.key_template, values, day, key, err);
    if (code == 0 && is_timing) {
        char *name =
            result_subtitle_name(str_text(key), (enum subtitle_format)subtitle_format_from(format));
        str_clear(key);
        str_puts(key, name);
        free(name);
    }
    return code;
}

/* Looks for each format that may be meant, the days back that it may be of. */
static int search_storage(struct attempt *attempt, struct str *key, struct err *err)
{
    enum { DAY_S = 86400 };
    const struct job_ask *ask = &attempt->job->ask;
    const char *template = attempt->runner->manifest->storage.key_template;
    const char *const *formats = ask->wants_timing ? subtitle_format_names : audio_format_names;
    size_t count = ask->wants_timing ? (size_t)SUBTITLE_FORMAT_COUNT : AUDIO_FORMAT_COUNT;
    int days = strstr(template, "{date}") ? SEARCHED_DAYS : 1;
    struct storage_object object;
    int code = check_template(template, err);
    if (code != 0)
        return code;
    for (int day = 0; day < days; day++)
        for (size_t i = 0; i < count; i++) {
            if (ask->format && strcmp(ask->format, formats[i]) != 0)
                continue;
            code = computed_key(attempt, formats[i], (int64_t)time(NULL) - (int64_t)day * DAY_S,
                                key, err);
            if (code == 0)
                code = storage_head(attempt->runner->storage, str_text(key), &attempt->stop,
                                    &object, err);
            if (code == 0 || strcmp(err->field, "key") != 0)
                return code;
        }
    return not_there(attempt, err);
}

static int fetch_result(struct attempt *attempt, const char *key, struct result *result,
                        struct err *err)
{
    struct storage_object object = {0};
    struct operation_file file = {.filename = fs_name_of(key), .key = key};
    int code = storage_head(attempt->runner->storage, key, &attempt->stop, &object, err);
    if (code != 0 && strcmp(err->field, "key") == 0)
        return not_there(attempt, err);
    file.len = object.len;
    if (code == 0)
        code = operation_hand_over(attempt, &file, result, err);
    str_finish(&file.bytes);
    return code;
}

int operation_download(struct attempt *attempt, struct result *result, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    const char *name = NULL;
    struct recent_job job;
    struct str key = {0};
    bool is_known = recent_find(attempt->recent, ask->job_id, &job);
    int code = is_known ? check_is_over(&job, err) : 0;
    if (is_known && code == 0)
        name = remembered(ask, &job);
    if (code == 0 && !name && !attempt->runner->storage)
        code = err_set(err, ERR_UNSUPPORTED, "job_id",
                       "unsupported: there is no storage that results are kept in");
    if (code == 0 && !name && is_known && (job.key || job.path))
        code = not_there(attempt, err);
    if (code == 0 && !name) {
        code = search_storage(attempt, &key, err);
        name = str_text(&key);
    }
    add_text(result->answer, "job_id", ask->job_id);
    add_text(result->answer, "type", ask->wants_timing ? "timing" : "audio");
    if (code == 0 && is_known && job.path && !job.key)
        code = answer_path(attempt, name, result, err);
    else if (code == 0)
        code = fetch_result(attempt, name, result, err);
    recent_job_finish(&job);
    str_finish(&key);
    return code;
}
