/* Operations that are no speech: voices of the library, what this host knows and can do; results of
 * other jobs are in operation_result.c, a voice's objects in operation_store.c. Each fills result->answer; they run on a runner's thread like any job, without a session.
 * Knows no platform.
 */
#include "job/job_private.h"

#include "job/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* --- Voices ----------------------------------------------------------------------------------- */

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

/* As a system listed them whose voices were files; `name` is what its clients ask for: as it was
 * given where that leads to the voice, else its id. The ending is for those clients (legacy.c). */
static cJSON *older_entry_json(const struct voice_entry *entry)
{
    cJSON *json = cJSON_CreateObject();
    char *id = voice_id_from_name(entry->name);
    add_text(json, "name", strcmp(id, entry->id) == 0 ? entry->name : entry->id);
    free(id);
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
    if (found == 0 && !entry.is_plain && operation_forget_voice(attempt, &entry, err) != 0) {
        voice_entry_finish(&entry);
        return err->code;
    }
    if (voice_library_remove_unless(voices_dir(attempt), found == 0 ? entry.id : id, &attempt->stop,
                                    err) != 0) {
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

/* What a new voice replaces, so that one that fails later leaves what it found: whether there is a
 * voice of that id, and what it is, where that can be read. */
static bool read_old(struct attempt *attempt, struct voice_entry *old)
{
    struct err none;
    const struct job_ask *ask = &attempt->job->ask;
    int code =
        voice_library_get(voices_dir(attempt), ask->voice ? ask->voice : ask->name, old, &none);
    if (code == 0 && !old->is_plain)
        return true;
    voice_entry_finish(old);
    *old = (struct voice_entry){0};
    return code != 0 && code != ERR_VOICE_NOT_FOUND;
}

static int put_voice(struct attempt *attempt, struct voice_entry *entry, struct err *err)
{
    const struct job_ask *ask = &attempt->job->ask;
    const struct runner_options *runner = attempt->runner;
    int64_t min_free_mb = runner->manifest->host.min_free_mb;
    if (fs_check_room(voices_dir(attempt), 0, min_free_mb, runner->log, err) != 0)
        return err->code; /* before anything is fetched */
    struct voice_entry old = {0};
    bool was_there = read_old(attempt, &old);
    /* Whoever lists voices sees it. */
    cJSON *metadata = job_public_metadata(attempt->job);
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
        .metadata = metadata->child ? metadata : NULL,
        .replace = ask->replace,
        .same_is_fine = true,
    };
    int code = voice_library_put(voices_dir(attempt), &import, entry, err);
    if (code == 0) {
        pthread_mutex_lock(&attempt->lock);
        attempt->made_voice = was_there ? NULL : mem_copy_string(entry->id);
        pthread_mutex_unlock(&attempt->lock);
        operation_forget_old(attempt, &old, entry);
    }
    voice_entry_finish(&old);
    cJSON_Delete(metadata);
    return code == 0 ? 0 : in_our_words(err);
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
    int code = put_voice(attempt, &entry, err);
    if (code == 0) {
        result->answer = cJSON_CreateObject();
        cJSON_AddItemToObject(result->answer, "voice", entry_json(&entry));
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

void operation_undo_voice(struct attempt *attempt, const atomic_int *stop)
{
    struct err none;
    pthread_mutex_lock(&attempt->lock);
    const char *id = attempt->made_voice;
    if (id && voice_library_remove_unless(voices_dir(attempt), id, stop, &none) == 0) {
        free(attempt->made_voice);
        attempt->made_voice = NULL;
    }
    pthread_mutex_unlock(&attempt->lock);
}

void operation_end_voice(struct attempt *attempt, struct result *result)
{
    if (result->err.code != ERR_NONE) {
        operation_undo_voice(attempt, NULL);
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

static int export_voice(struct attempt *attempt, struct result *result, struct err *err)
{
    struct voice_entry entry = {0};
    struct operation_file file = {0};
    if (voice_library_get(voices_dir(attempt), attempt->job->ask.voice, &entry, err) != 0)
        return in_our_words(err);
    char *filename = str_format("%s.tar", entry.id);
    int code = voice_library_export(voices_dir(attempt), entry.id, &file.bytes, err);
    if (code == 0) {
        cJSON_AddItemToObject(result->answer, "voice", entry_json(&entry));
        file.filename = filename;
        file.len = file.bytes.len;
        code = operation_hand_over(attempt, &file, result, err);
    } else {
        in_our_words(err);
    }
    str_finish(&file.bytes);
    free(filename);
    voice_entry_finish(&entry);
    return code;
}

/* --- What this host can do -------------------------------------------------------------------- */

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

/* --- Public ----------------------------------------------------------------------------------- */

int operation_run(struct attempt *attempt, struct result *result)
{
    static int (*const operations[OP_COUNT])(struct attempt *, struct result *, struct err *) = {
        [OP_VOICE_CREATE] = create_voice,
        [OP_VOICE_LIST] = list_voices,
        [OP_VOICE_DELETE] = delete_voice,
        [OP_VOICE_EXPORT] = export_voice,
        [OP_UPLOAD] = upload_voice,
        [OP_LIST_VOICES] = list_voices,
        [OP_DOWNLOAD] = operation_download,
        [OP_STATUS] = operation_status,
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
