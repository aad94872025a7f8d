/* Operations that are no speech: voices of the library, stored results, what this host knows and
 * can do. Each fills result->answer; they run on a runner's thread like any job, without a session.
 * Knows no platform.
 */
#include "job/job_private.h"

#include "job/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROFILE_INLINE_MAX (1u << 20) /* bytes of a profile that comes back inside the result */

static const char *voices_dir(const struct attempt *attempt)
{
    return attempt->runner->manifest->paths.voices;
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(object, name, text);
}

static void add_integer(cJSON *object, const char *name, uint64_t number)
{
    cJSON_AddItemToObject(object, name, json_create_int64((int64_t)number));
}

/* --- Voices
 * ----------------------------------------------------------------------------------------------- */

/* Errors of the library name the fields of an import. */
static int in_our_words(struct err *err)
{
    if (strcmp(err->field, "id") == 0)
        snprintf(err->field, sizeof(err->field), "voice");
    else if (strcmp(err->field, "transcript") == 0)
        snprintf(err->field, sizeof(err->field), "voice_text");
    return err->code;
}

static cJSON *entry_json(const struct voice_entry *entry)
{
    struct str text = {0};
    struct err none;
    voice_entry_write(entry, &text);
    cJSON *json = json_parse(text.data, text.len, &JSON_LIMITS_DEFAULT, &none);
    str_finish(&text);
    return json;
}

/* As a system listed them whose voices were files; `name` is what its clients ask for. */
static cJSON *older_entry_json(const struct voice_entry *entry)
{
    cJSON *json = cJSON_CreateObject();
    add_text(json, "name", entry->id);
    add_integer(json, "size", entry->reference.bytes);
    add_text(json, "last_modified", entry->updated[0] ? entry->updated : NULL);
    return json;
}

static int list_voices(struct attempt *attempt, struct result *result, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    bool is_older = attempt->job->op == OP_LIST_VOICES;
    struct voice_list list = {0};
    if (voice_library_list(voices_dir(attempt), ask->cursor, ask->limit, &list, err) != 0)
        return err->code;
    cJSON *voices = cJSON_AddArrayToObject(result->answer, "voices");
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(voices, is_older ? older_entry_json(&list.items[i])
                                              : entry_json(&list.items[i]));
    for (size_t i = 0; i < list.unreadable.count; i++)
        text_list_add(&attempt->warnings, mem_copy_string(list.unreadable.items[i]));
    add_integer(result->answer, "count", list.total);
    cJSON_AddItemToObject(result->answer, "next",
                          list.next ? cJSON_CreateString(list.next) : cJSON_CreateNull());
    voice_list_finish(&list);
    return 0;
}

static int delete_voice(struct attempt *attempt, struct result *result, struct err *err)
{
    const char *id = attempt->job->ask.voice;
    struct voice_entry entry = {0};
    struct err damaged = {0};
    int found = voice_library_get(voices_dir(attempt), id, &entry, &damaged);
    if (voice_library_remove(voices_dir(attempt), found == 0 ? entry.id : id, err) != 0) {
        voice_entry_finish(&entry);
        return in_our_words(err);
    }
    if (found == 0)
        cJSON_AddItemToObject(result->answer, "voice", entry_json(&entry));
    else
        add_text(cJSON_AddObjectToObject(result->answer, "voice"), "id", id);
    voice_entry_finish(&entry);
    return 0;
}

static int put_voice(struct attempt *attempt, struct voice_entry *entry, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    const struct voice_import import = {
        .id = ask->voice,
        .name = ask->name,
        .audio = ask->audio,
        .base_dir = ask->base_dir,
        .fetch = attempt_fetch(attempt),
        .inline_max = VOICE_INLINE_BYTES_MAX,
        .transcript = ask->transcript,
        .language = ask->language,
        .consent = ask->consent,
        .metadata = attempt->job->metadata,
        .replace = ask->replace,
    };
    return voice_library_put(voices_dir(attempt), &import, entry, err) == 0 ? 0 : in_our_words(err);
}

static int upload_voice(struct attempt *attempt, struct result *result, struct err *err)
{
    struct voice_entry entry = {0};
    int code = put_voice(attempt, &entry, err);
    if (code == 0) {
        char *message = str_format("Voice '%s' uploaded successfully", entry.name);
        cJSON_AddItemToObject(result->answer, "voice", entry_json(&entry));
        add_text(result->answer, "message", message);
        free(message);
    }
    voice_entry_finish(&entry);
    return code;
}

/* The model cannot use it: an error when it is to speak; else the voice is there all the same. */
static int find_new_voice(struct attempt *attempt, const char *id, struct err *err)
{
    const struct voice_places places = {voices_dir(attempt), NULL};
    const struct voice_request request = {.voice = id};
    const struct vox_entry *entry = model_entry(attempt->job->model);
    int code = voice_find(&request, entry, &places, &attempt->new_voice, err);
    if (code == 0 && attempt->new_voice.is_speaker)
        code = err_set(err, ERR_INVALID, "voice", "\"%s\" is a speaker of plugin \"%s\"", id,
                       entry->id);
    if (code == 0) {
        attempt->voice = &attempt->new_voice;
    } else if (!attempt->job->text) {
        text_list_add(&attempt->warnings, str_format("no profile is made: %s", err->message));
        *err = (struct err){0};
        code = 0;
    }
    return code;
}

int operation_take_voice(struct attempt *attempt, struct result *result, struct err *err)
{
    struct voice_entry entry = {0};
    int64_t begun = clock_now();
    bool was_there =
        attempt->job->ask.voice &&
        voice_library_get(voices_dir(attempt), attempt->job->ask.voice, &entry, err) == 0;
    voice_entry_finish(&entry);
    *err = (struct err){0};
    entry = (struct voice_entry){0};
    int code = put_voice(attempt, &entry, err);
    if (code == 0) {
        result->answer = cJSON_CreateObject();
        cJSON_AddItemToObject(result->answer, "voice", entry_json(&entry));
        attempt->voice_is_new = !was_there && !attempt->job->ask.replace;
        if (attempt->job->model)
            code = find_new_voice(attempt, entry.id, err);
    }
    attempt->voice_ns += clock_now() - begun;
    voice_entry_finish(&entry);
    return code;
}

static int create_voice(struct attempt *attempt, struct result *result, struct err *err)
{
    return operation_take_voice(attempt, result, err);
}

void operation_end_voice(struct attempt *attempt, struct result *result)
{
    const cJSON *id = json_get(json_get(result->answer, "voice"), "id");
    struct err none;
    if (result->err.code != ERR_NONE) {
        if (attempt->voice_is_new && id) /* whole or not at all: the caller may try again */
            voice_library_remove(voices_dir(attempt), id->valuestring, &none);
        cJSON_Delete(result->answer);
        result->answer = NULL;
        return;
    }
    if (!attempt->profile.len)
        return;
    const struct vox_entry *entry = model_entry(attempt->job->model);
    cJSON *profile = cJSON_AddObjectToObject(result->answer, "profile");
    struct str base64 = {0};
    add_text(profile, "plugin", entry->id);
    add_text(profile, "version", entry->version);
    add_integer(profile, "bytes", attempt->profile.len);
    if (attempt->profile.len <= PROFILE_INLINE_MAX) {
        str_append_base64(&base64, attempt->profile.data, attempt->profile.len);
        add_text(profile, "base64", str_text(&base64));
    }
    str_finish(&base64);
}

/* --- Files in answers
 * ------------------------------------------------------------------------------------- */

/* What is known of a file before it is handed over. */
struct parcel {
    const char *filename;
    struct str bytes;
    const char *key; /* where it is in the storage; NULL: nowhere yet */
    uint64_t len;
};

static cJSON *add_file(struct result *result, const struct parcel *parcel)
{
    cJSON *file = cJSON_AddObjectToObject(result->answer, "file");
    add_text(file, "filename", parcel->filename);
    add_text(file, "content_type", storage_content_type(parcel->filename));
    add_integer(file, "bytes", parcel->len);
    return file;
}

/* Into the output folder. */
static int file_to_store(struct attempt *attempt, const struct parcel *parcel,
                         struct result *result, struct err *err)
{
    struct store *store = attempt->runner->store;
    const char *ending = strrchr(parcel->filename, '.');
    char *temp = store_temp(store);
    char *name = str_format("%s%s", attempt->job->id, ending ? ending : ""); /* nobody else's */
    const struct storage_get get = {
        .key = parcel->key, .path = temp, .bytes_max = UINT64_MAX, .stop = &attempt->stop};
    int code = parcel->key ? storage_get(attempt->runner->storage, &get, err)
                           : fs_write_file(temp, str_text(&parcel->bytes), parcel->bytes.len, err);
    if (code == 0)
        code = store_commit(store, temp, name, NULL, err);
    else
        unlink(temp);
    if (code == 0)
        add_text(add_file(result, parcel), "path", name);
    free(name);
    free(temp);
    return code;
}

/* A name in the storage for what is not there yet. */
static int put_file(struct attempt *attempt, const struct parcel *parcel, struct str *key,
                    struct err *err)
{
    const struct job *job = attempt->job;
    const char *ending = strrchr(parcel->filename, '.');
    const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_JOB_ID] = job->id,
        [KEY_FIELD_USER_ID] = job->user_id,
        [KEY_FIELD_STORY_ID] = job->story_id,
        [KEY_FIELD_VOICE] = job->ask.voice,
        [KEY_FIELD_EXT] = ending ? ending + 1 : "bin",
    };
    const struct storage_put put = {
        .content_type = storage_content_type(parcel->filename),
        .data = str_text(&parcel->bytes),
        .len = parcel->bytes.len,
        .stop = &attempt->stop,
    };
    int code = storage_key(attempt->runner->manifest->storage.key_template, values,
                           (int64_t)time(NULL), key, err);
    struct storage_put named = put;
    named.key = str_text(key);
    return code == 0 ? storage_put(attempt->runner->storage, &named, err) : code;
}

/* By the rules for audio: inline up to a limit, else by URL, else it cannot be answered. */
static int file_to_answer(struct attempt *attempt, struct parcel *parcel, struct result *result,
                          struct err *err)
{
    struct storage *storage = attempt->runner->storage;
    enum job_response response = attempt->job->response;
    uint64_t chars_max = (uint64_t)attempt->runner->manifest->worker.inline_chars_max;
    bool fits = (parcel->len + 2) / 3 * 4 <= chars_max;
    struct str text = {0}, key = {0};
    int code = 0;
    if (response == RESPONSE_URL && !storage)
        return err_set(err, ERR_UNSUPPORTED, "response", "unsupported: there is no storage");
    if (response == RESPONSE_URL || (response == RESPONSE_AUTO && !fits && storage)) {
        if (!parcel->key)
            code = put_file(attempt, parcel, &key, err);
        if (code == 0)
            code = storage_url(storage, parcel->key ? parcel->key : str_text(&key), &text, err);
    } else if (!fits) {
        code =
            err_set(err, ERR_TOO_LARGE, "response",
                    "the file has %llu bytes: as base64 more than worker.inline_chars_max (%llu)",
                    (unsigned long long)parcel->len, (unsigned long long)chars_max);
    } else {
        if (parcel->key)
            code = storage_read(storage, parcel->key, (size_t)parcel->len, &attempt->stop,
                                &parcel->bytes, err);
        if (code == 0)
            str_append_base64(&text, parcel->bytes.data, parcel->bytes.len);
    }
    if (code == 0) {
        bool is_url = response == RESPONSE_URL || !fits;
        add_text(add_file(result, parcel), is_url ? "url" : "base64", str_text(&text));
    }
    str_finish(&text);
    str_finish(&key);
    return code;
}

static int hand_over(struct attempt *attempt, struct parcel *parcel, struct result *result,
                     struct err *err)
{
    return attempt->runner->store ? file_to_store(attempt, parcel, result, err)
                                  : file_to_answer(attempt, parcel, result, err);
}

static int export_voice(struct attempt *attempt, struct result *result, struct err *err)
{
    struct voice_entry entry = {0};
    struct parcel parcel = {0};
    if (voice_library_get(voices_dir(attempt), attempt->job->ask.voice, &entry, err) != 0)
        return in_our_words(err);
    char *filename = str_format("%s.tar", entry.id);
    int code = voice_library_export(voices_dir(attempt), entry.id, &parcel.bytes, err);
    if (code == 0) {
        cJSON_AddItemToObject(result->answer, "voice", entry_json(&entry));
        parcel.filename = filename;
        parcel.len = parcel.bytes.len;
        code = hand_over(attempt, &parcel, result, err);
    } else {
        in_our_words(err);
    }
    str_finish(&parcel.bytes);
    free(filename);
    voice_entry_finish(&entry);
    return code;
}

/* --- Results of other jobs
 * -------------------------------------------------------------------------------- */

static int unknown_job(const char *id, struct err *err)
{
    return err_set(err, ERR_INVALID, "job_id",
                   "there is no job \"%s\" among the last %d of this process", id,
                   RUNNER_RECENT_MAX);
}

static int tell_status(struct attempt *attempt, struct result *result, struct err *err)
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

/* Where the storage would have it by the template; for jobs that this process does not know (any
 * more). */
static int computed_key(struct attempt *attempt, const char *format, struct str *key,
                        struct err *err)
{
    static const char *const known[] = {"{job_id}", "{user_id}", "{story_id}", "{ext}"};
    const struct job *job = attempt->job;
    const char *template = attempt->runner->manifest->storage.key_template;
    size_t places = 0, filled = 0;
    for (const char *p = template; (p = strchr(p, '{')); p++) {
        places++;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            filled += strncmp(p, known[i], strlen(known[i])) == 0;
    }
    if (places != filled || !strstr(template, known[0]))
        return err_set(err, ERR_UNSUPPORTED, "job_id",
                       "unsupported: this process does not know the job, and where its result is "
                       "follows from its id only with a storage.key_template of {job_id}, "
                       "{user_id}, {story_id} and {ext}");
    const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_JOB_ID] = job->ask.job_id,
        [KEY_FIELD_USER_ID] = job->user_id,
        [KEY_FIELD_STORY_ID] = job->story_id,
        [KEY_FIELD_EXT] = format,
    };
    return storage_key(template, values, (int64_t)time(NULL), key, err);
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
    struct parcel parcel = {.filename = fs_name_of(path)};
    char *full = fs_join(store_dir(attempt->runner->store), path);
    FILE *file = fopen(full, "re");
    int code = 0;
    if (file && fseek(file, 0, SEEK_END) == 0)
        parcel.len = (uint64_t)ftell(file);
    else
        code = err_set(err, ERR_STORAGE, "job_id", "%s is not there any more", path);
    if (file)
        fclose(file);
    if (code == 0)
        add_text(add_file(result, &parcel), "path", path);
    free(full);
    return code;
}

static int not_there(struct attempt *attempt, const char *format, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    return err_set(err, ERR_INVALID, "job_id", "there is no %s of job \"%s\" in the storage%s%s",
                   ask->wants_timing ? "timing file" : "audio", ask->job_id, format ? " as " : "",
                   format ? format : "");
}

static int fetch_result(struct attempt *attempt, const char *key, struct result *result,
                        struct err *err)
{
    struct storage_object object = {0};
    struct parcel parcel = {.filename = fs_name_of(key), .key = key};
    int code = storage_head(attempt->runner->storage, key, &attempt->stop, &object, err);
    if (code != 0 && strcmp(err->field, "key") == 0)
        return not_there(attempt, NULL, err);
    parcel.len = object.len;
    if (code == 0)
        code = hand_over(attempt, &parcel, result, err);
    str_finish(&parcel.bytes);
    return code;
}

static int download(struct attempt *attempt, struct result *result, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    const char *fallback = ask->wants_timing ? "srt" : "wav", *name = NULL;
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
        code = not_there(attempt, ask->format, err);
    if (code == 0 && !name) {
        code = computed_key(attempt, ask->format ? ask->format : fallback, &key, err);
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

/* --- What this host can do
 * -------------------------------------------------------------------------------- */

static void add_names(cJSON *object, const char *name, const char *const *names, size_t count)
{
    cJSON *list = cJSON_AddArrayToObject(object, name);
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(names[i]));
}

static void add_options(cJSON *object, const struct vox_entry *entry)
{
    cJSON *options = cJSON_AddObjectToObject(object, "options");
    struct option_schema schema = plugin_job_schema(entry);
    for (uint32_t i = 0; i < schema.count; i++) {
        const struct vox_option *option = option_at(schema, i);
        struct str expected = {0};
        option_expected(option, &expected);
        add_text(options, option->name, str_text(&expected));
        str_finish(&expected);
    }
}

static void add_plugin(cJSON *object, const struct vox_entry *entry)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } abilities[] = {{VOX_CAP_CLONING, "cloning"},
                     {VOX_CAP_NEEDS_VOICE, "needs_voice"},
                     {VOX_CAP_NEEDS_TRANSCRIPT, "needs_transcript"},
                     {VOX_CAP_STREAMING, "streaming"},
                     {VOX_CAP_MARKS, "word_times"},
                     {VOX_CAP_SEED, "seed"},
                     {VOX_CAP_SPEED, "speed"}};
    add_text(object, "plugin", entry->id);
    add_text(object, "version", entry->version);
    for (size_t i = 0; i < sizeof(abilities) / sizeof(abilities[0]); i++)
        cJSON_AddBoolToObject(object, abilities[i].name,
                              (entry->capabilities & abilities[i].bit) != 0);
    size_t count = 0;
    while (entry->languages && entry->languages[count])
        count++;
    if (entry->languages)
        add_names(object, "languages", entry->languages, count);
    cJSON *speakers = cJSON_AddArrayToObject(object, "speakers");
    for (uint32_t i = 0; i < entry->speaker_count; i++)
        cJSON_AddItemToArray(speakers, cJSON_CreateString(plugin_speaker(entry, i)->id));
    add_options(object, entry);
}

static void add_model(cJSON *models, struct model *model)
{
    const struct manifest_model *config = model_manifest(model);
    cJSON *object = cJSON_CreateObject();
    struct err why = {0};
    enum model_state state = model_state(model, &why);
    cJSON_AddItemToArray(models, object);
    add_text(object, "model_type", model_name(model));
    add_names(object, "aliases", (const char *const *)config->aliases.items, config->aliases.count);
    add_text(object, "state", model_state_names[state]);
    if (state == MODEL_FAILED)
        add_text(object, "message", why.message);
    if (model_entry(model))
        add_plugin(object, model_entry(model));
}

static void add_limits(cJSON *answer, const struct manifest *manifest)
{
    cJSON *limits = cJSON_AddObjectToObject(answer, "limits");
    add_integer(limits, "text_bytes_max", (uint64_t)manifest->host.text_bytes_max);
    add_integer(limits, "inline_chars_max", (uint64_t)manifest->worker.inline_chars_max);
    add_integer(limits, "body_bytes_max", (uint64_t)manifest->worker.body_bytes_max);
    add_integer(limits, "fetch_mb_max", (uint64_t)manifest->host.fetch_mb_max);
    add_integer(limits, "voice_inline_bytes_max", VOICE_INLINE_BYTES_MAX);
    cJSON_AddNumberToObject(limits, "voice_s_min", VOICE_SECONDS_MIN);
    cJSON_AddNumberToObject(limits, "voice_s_max", VOICE_SECONDS_MAX);
    cJSON_AddNumberToObject(limits, "job_timeout_s", manifest->host.job_timeout_s);
}

static int tell_capabilities(struct attempt *attempt, struct result *result, struct err *err)
{
    struct models *all = attempt->runner->models;
    struct voice_list list = {0};
    if (voice_library_list(voices_dir(attempt), NULL, 1, &list, err) != 0)
        return err->code;
    cJSON *answer = result->answer;
    add_text(answer, "version", VOXHOST_VERSION);
    cJSON *models = cJSON_AddArrayToObject(answer, "models");
    for (size_t i = 0; i < models_count(all); i++)
        add_model(models, models_at(all, i));
    add_integer(answer, "voices", list.total);
    add_names(answer, "ops", job_op_names, OP_COUNT);
    add_names(answer, "formats", audio_format_names, AUDIO_FORMAT_COUNT);
    add_names(answer, "encodings", audio_encoding_names, AUDIO_ENCODING_COUNT);
    add_names(answer, "timestamps", subtitle_format_names, SUBTITLE_FORMAT_COUNT);
    cJSON_AddBoolToObject(answer, "storage", attempt->runner->storage != NULL);
    add_limits(answer, attempt->runner->manifest);
    voice_list_finish(&list);
    return 0;
}

/* --- Public
 * ----------------------------------------------------------------------------------------------- */

int operation_run(struct attempt *attempt, struct result *result)
{
    static int (*const operations[OP_COUNT])(struct attempt *, struct result *, struct err *) = {
        [OP_VOICE_CREATE] = create_voice,
        [OP_VOICE_LIST] = list_voices,
        [OP_VOICE_DELETE] = delete_voice,
        [OP_VOICE_EXPORT] = export_voice,
        [OP_UPLOAD] = upload_voice,
        [OP_LIST_VOICES] = list_voices,
        [OP_DOWNLOAD] = download,
        [OP_STATUS] = tell_status,
        [OP_CAPABILITIES] = tell_capabilities,
    };
    if (attempt->job->op != OP_VOICE_CREATE)
        result->answer = cJSON_CreateObject();
    struct err err = {0}; /* has something too when a later attempt went well */
    int code = operations[attempt->job->op](attempt, result, &err);
    if (code != 0) {
        result->err = err;
        cJSON_Delete(result->answer);
        result->answer = NULL;
    }
    return code;
}
