/* Requests and answers of older clients; see legacy.h. Where versions of one system contradict each
 * other, the newer one holds.
 */
#include "front/worker/legacy.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_INPUT_MAX 500 /* bytes of the text in metadata */

enum family { FAMILY_FILES, FAMILY_VOICES };

struct legacy {
    enum family family;
    enum job_op op;
    bool is_result;   /* endpoint "result": the answer of the job that is asked for */
    bool has_profile; /* in the job */
    bool has_paths;   /* of the versions that answered with a path, whatever the size */
    char *text, *voice, *name, *model, *job_id, *format, *timing_format; /* NULL: absent */
};

/* --- Recognising ------------------------------------------------------------------------------ */

static bool has(const cJSON *json, const char *name)
{
    const cJSON *value = json_get(json, name);
    return value && !cJSON_IsNull(value);
}

static bool has_any(const cJSON *json, const char *const *names)
{
    for (; *names; names++)
        if (has(json, *names))
            return true;
    return false;
}

static char *copy(const cJSON *json, const char *const *names)
{
    for (; *names; names++) {
        const cJSON *value = json_get(json, *names);
        if (cJSON_IsString(value) || cJSON_IsNumber(value))
            return mem_copy_string(value->valuestring);
    }
    return NULL;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

struct legacy *legacy_recognise(const cJSON *input)
{
    if (!cJSON_IsObject(input) || has(input, "op"))
        return NULL;
    bool files = has_any(input, NAMES("endpoint", "local_voice", "return_word_timings",
                                      "timing_format", "timing_method", "voice_file_url"));
    bool voices = has_any(input, NAMES("voice_id", "profile_base64", "embedding_base64",
                                       "profile_path", "audio_data", "audio_path", "story_type",
                                       "is_kids_voice", "responseFormat", "action"));
    if (!files && !voices)
        return NULL;
    struct legacy *legacy = mem_alloc(sizeof(*legacy));
    const cJSON *endpoint = json_get(input, "endpoint"), *metadata = json_get(input, "metadata");
    legacy->family = files ? FAMILY_FILES : FAMILY_VOICES;
    legacy->op = job_op_of(input);
    legacy->is_result = cJSON_IsString(endpoint) && strcmp(endpoint->valuestring, "result") == 0;
    legacy->has_profile =
        has_any(input, NAMES("profile_base64", "embedding_base64", "profile_path"));
    legacy->has_paths = has_any(input, NAMES("story_type", "is_kids_voice", "user_id", "story_id",
                                             "metadata", "audio_path"));
    legacy->text = copy(input, NAMES("text"));
    legacy->voice = copy(input, NAMES("local_voice", "voice_id", "voice"));
    if (!legacy->voice && cJSON_IsObject(metadata))
        legacy->voice = copy(metadata, NAMES("voice_id"));
    legacy->name = copy(input, NAMES("voice_name", "name"));
    legacy->model = copy(input, NAMES("model_type", "model"));
    legacy->job_id = copy(input, NAMES("job_id"));
    legacy->format = copy(input, NAMES("format"));
    legacy->timing_format = copy(input, NAMES("timing_format"));
    return legacy;
}

void legacy_destroy(struct legacy *legacy)
{
    if (!legacy)
        return;
    free(legacy->text);
    free(legacy->voice);
    free(legacy->name);
    free(legacy->model);
    free(legacy->job_id);
    free(legacy->format);
    free(legacy->timing_format);
    free(legacy);
}

/* Without a voice of its own such a job must not be spoken by another one. */
int legacy_check(const struct legacy *legacy, struct err *err)
{
    bool lacks_voice = !legacy->voice && !legacy->has_profile;
    if (legacy->family == FAMILY_VOICES && legacy->op == OP_TTS && legacy->text && lacks_voice)
        return err_set(err, ERR_INVALID, "voice", "missing");
    return 0;
}

bool legacy_prefers_url(const struct legacy *legacy)
{
    return legacy->op == OP_TTS && (legacy->family == FAMILY_FILES || legacy->has_paths);
}

const char *legacy_audio_member(const struct legacy *legacy)
{
    return legacy && legacy->family == FAMILY_FILES ? "audio_data" : "audio_base64";
}

/* --- The answer's own members ----------------------------------------------------------------- */

static const char *answer_text(const struct result *result, const char *name)
{
    const cJSON *value = json_get(result->answer, name);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

/* The state of a job in the words of the system that had jobs in the background. */
static const char *older_state(const char *state)
{
    static const char *const states[][2] = {{"queued", "QUEUED"},
                                            {"running", "PROCESSING"},
                                            {"finished", "COMPLETED"},
                                            {"failed", "ERROR"}};
    for (size_t i = 0; state && i < 4; i++)
        if (strcmp(states[i][0], state) == 0)
            return states[i][1];
    return "ERROR";
}

static const char *files_status(const struct legacy *legacy, const struct result *result)
{
    switch (legacy->op) {
    case OP_UPLOAD:
        return answer_text(result, "message");
    case OP_DOWNLOAD:
        return legacy->is_result ? "completed" : "ready";
    case OP_STATUS:
        return older_state(answer_text(result, "state"));
    case OP_TTS:
        return "completed";
    default:
        return "success";
    }
}

static void add_metadata(cJSON *metadata, const char *name, cJSON *value)
{
    if (json_get(metadata, name))
        cJSON_Delete(value);
    else
        cJSON_AddItemToObject(metadata, name, value);
}

static void fill_voice_metadata(const struct result *result, cJSON *metadata)
{
    bool has_profile = json_get(result->answer, "profile") != NULL;
    const char *path = answer_text(result, "profile_path"),
               *sample = answer_text(result, "sample_path");
    add_metadata(metadata, "profile_exists", cJSON_CreateBool(has_profile));
    add_metadata(metadata, "has_profile_support", cJSON_CreateBool(has_profile));
    if (path)
        add_metadata(metadata, "profile_path", cJSON_CreateString(path));
    if (sample)
        add_metadata(metadata, "sample_file", cJSON_CreateString(fs_name_of(sample)));
}

/* What these systems put into `metadata`, beside what the caller did. */
static void fill_metadata(const struct legacy *legacy, struct result *result)
{
    char now[CLOCK_TEXT_SIZE];
    cJSON *metadata = result->metadata ? result->metadata : cJSON_CreateObject();
    const char *name = legacy->name ? legacy->name : legacy->voice;
    const char *url_type = legacy->has_paths ? "firebase_path" : "file_path_only";
    clock_text(now);
    result->metadata = metadata;
    if (legacy->voice)
        add_metadata(metadata, "voice_id", cJSON_CreateString(legacy->voice));
    if (name)
        add_metadata(metadata, "voice_name", cJSON_CreateString(name));
    if (legacy->text) {
        size_t len = strlen(legacy->text);
        if (len > TEXT_INPUT_MAX)
            len = utf8_cut(legacy->text, len, TEXT_INPUT_MAX);
        char *head = mem_copy_text(legacy->text, len);
        add_metadata(metadata, "text_input", cJSON_CreateString(head));
        free(head);
    }
    if (legacy->op == OP_VOICE_CREATE)
        fill_voice_metadata(result, metadata);
    add_metadata(metadata, "generation_time", cJSON_CreateNumber(result->ms.total / 1000));
    add_metadata(metadata, "timestamp", cJSON_CreateString(now));
    if (!result->audio.frames)
        return;
    if (legacy->op == OP_TTS && result->key)
        add_metadata(metadata, "tts_file", cJSON_CreateString(fs_name_of(result->key)));
    cJSON *shape = cJSON_CreateArray();
    cJSON_AddItemToArray(shape, json_create_int64(result->audio.channels));
    cJSON_AddItemToArray(shape, json_create_int64((int64_t)result->audio.frames));
    add_metadata(metadata, "audio_shape", shape);
    add_metadata(metadata, "sample_rate", json_create_int64(result->audio.sample_rate));
    add_metadata(metadata, "format", cJSON_CreateString(audio_format_names[result->audio.format]));
    add_metadata(metadata, "response_type",
                 cJSON_CreateString(result->url ? url_type : "audio_data"));
}

/* Names of its voices were those of files. */
static void name_as_given(const struct legacy *legacy, struct result *result)
{
    char *message = str_format("Voice '%s' uploaded successfully", legacy->name);
    cJSON_DeleteItemFromObjectCaseSensitive(result->answer, "message");
    cJSON_AddStringToObject(result->answer, "message", message);
    free(message);
}

static void list_as_files(struct result *result)
{
    cJSON *voice;
    cJSON_ArrayForEach(voice, json_get(result->answer, "voices"))
    {
        const cJSON *name = json_get(voice, "name");
        if (!cJSON_IsString(name))
            continue;
        char *file = str_format("%s.wav", name->valuestring);
        cJSON_ReplaceItemInObjectCaseSensitive(voice, "name", cJSON_CreateString(file));
        free(file);
    }
}

void legacy_prepare(const struct legacy *legacy, struct result *result)
{
    if (result->err.code != ERR_NONE)
        return;
    if (legacy->family == FAMILY_FILES) {
        if (legacy->op == OP_UPLOAD && legacy->name)
            name_as_given(legacy, result);
        if (legacy->op == OP_LIST_VOICES)
            list_as_files(result);
        result->status = files_status(legacy, result);
    } else {
        result->status = "success";
        fill_metadata(legacy, result);
    }
}

static void put_number(struct str *out, const char *key, double number)
{
    json_write_key(out, key);
    json_write_number(out, number);
}

static void put_timing_files(const struct result *result, struct str *out)
{
    const char *separator = "{";
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++) {
        if (!result->subtitle_urls[i])
            continue;
        if (*separator == '{')
            json_write_key(out, "timing_files");
        str_printf(out, "%s\"%s\":", separator, subtitle_format_names[i]);
        json_write_string(out, result->subtitle_urls[i], strlen(result->subtitle_urls[i]));
        separator = ",";
    }
    if (*separator == ',')
        str_putc(out, '}');
}

/* Inline, where nothing is stored, as the first version had them. */
static void put_word_timings(const struct result *result, struct str *out)
{
    json_write_key(out, "word_timings");
    for (size_t i = 0; i < result->word_count; i++) {
        const struct audio_word *word = &result->words[i];
        str_puts(out, i ? ",{\"word\":" : "[{\"word\":");
        json_write_string(out, word->word, strlen(word->word));
        put_number(out, "start_time", word->start_s);
        put_number(out, "end_time", word->end_s);
        str_puts(out, ",\"confidence\":1}");
    }
    str_putc(out, ']');
}

static void put_files_speech(const struct legacy *legacy, const struct result *result,
                             struct str *out)
{
    bool has_times = false;
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        has_times = has_times || result->subtitle_urls[i] || result->subtitle_texts[i];
    json_write_text(out, "text", legacy->text);
    if (!has_times)
        return;
    put_timing_files(result, out);
    json_write_text(out, "timing_format", legacy->timing_format ? legacy->timing_format : "srt");
    json_write_text(out, "timing_method", "model");
    put_number(out, "word_count", (double)result->word_count);
    if (!result->url && result->word_count)
        put_word_timings(result, out);
}

/* What the system called the type of a file, where that is not ours. */
static const char *older_content_type(const char *format, const char *ours)
{
    static const char *const types[][2] = {
        {"srt", "text/plain"}, {"ass", "text/plain"}, {"csv", "text/csv"}};
    for (size_t i = 0; format && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i][0], format) == 0)
            return types[i][1];
    return ours;
}

static void put_files_download(const struct result *result, struct str *out)
{
    const cJSON *file = json_get(result->answer, "file");
    const char *type = answer_text(result, "type");
    bool is_timing = type && strcmp(type, "timing") == 0;
    const cJSON *filename = json_get(file, "filename"), *ours = json_get(file, "content_type");
    const char *dot = cJSON_IsString(filename) ? strrchr(filename->valuestring, '.') : NULL;
    const char *format = dot ? dot + 1 : NULL;
    json_write_text(out, "content_type",
                    older_content_type(format, cJSON_IsString(ours) ? ours->valuestring : NULL));
    json_write_text(out, "filename", cJSON_IsString(filename) ? filename->valuestring : NULL);
    json_write_text(out, "format", format);
    const cJSON *url = json_get(file, "url"), *base64 = json_get(file, "base64");
    if (cJSON_IsString(url))
        json_write_text(out, is_timing ? "timing_url" : "audio_url", url->valuestring);
    if (cJSON_IsString(base64))
        json_write_text(out, is_timing ? "timing_data" : "audio_data", base64->valuestring);
}

/* One place under all the names that it had. */
static void put_places(const struct legacy *legacy, const struct result *result, struct str *out)
{
    static const char *const urls[] = {"audio_path", "storage_url", "r2_url", "firebase_url",
                                       "firebase_path"};
    if (!result->url)
        return;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        json_write_text(out, urls[i], result->url);
    json_write_text(out, "storage_path", result->key);
    json_write_text(out, "r2_path", result->key);
    if (!legacy->has_paths) {
        json_write_text(out, "file_path", result->url);
        put_number(out, "file_size_mb", (double)result->audio.bytes / (1 << 20));
        if (!result->base64.len) { /* else reply.c puts it there */
            json_write_key(out, "audio_base64");
            str_puts(out, "null");
        }
    }
}

static void put_new_voice(const struct result *result, struct str *out)
{
    static const char *const names[][2] = {{"id", "voice_id"},
                                           {"name", "voice_name"},
                                           {"language", "language"},
                                           {"created", "created_date"}};
    const cJSON *voice = json_get(result->answer, "voice");
    const cJSON *profile = json_get(json_get(result->answer, "profile"), "base64");
    for (size_t i = 0; i < 4; i++)
        if (cJSON_IsString(json_get(voice, names[i][0])))
            json_write_text(out, names[i][1], json_get(voice, names[i][0])->valuestring);
    if (cJSON_IsString(profile))
        json_write_text(out, "profile_base64", profile->valuestring);
    json_write_text(out, "embedding_path", answer_text(result, "profile_path"));
    json_write_text(out, "r2_profile_path", answer_text(result, "profile_path"));
    json_write_text(out, "r2_sample_path", answer_text(result, "sample_path"));
    const char *sample = answer_text(result, "sample_path");
    if (!sample)
        json_write_text(out, "sample_path", result->url);
    json_write_text(out, "sample_audio_path", sample ? sample : result->url);
}

/* What the systems called their models when these spoke. */
static const char *older_model(const struct legacy *legacy, const struct result *result)
{
    static const char *const names[][2] = {{"chatterbox", "chatterbox_tts"},
                                           {"higgs", "higgs_audio_v2"},
                                           {"higgs_audio", "higgs_audio_v2"}};
    const char *model = result->model_type;
    for (size_t i = 0; model && legacy->op == OP_TTS && i < 3; i++)
        if (strcmp(names[i][0], model) == 0)
            return names[i][1];
    return model;
}

void legacy_write(const struct legacy *legacy, const struct result *result, struct str *out)
{
    if (legacy->family == FAMILY_VOICES && result->err.code != ERR_NONE) {
        struct str text = {0};
        legacy_error(legacy, &result->err, &text);
        json_write_text(out, "message", str_text(&text));
        str_finish(&text);
    }
    if (result->err.code != ERR_NONE)
        return;
    if (legacy->family == FAMILY_FILES && legacy->op == OP_TTS)
        put_files_speech(legacy, result, out);
    else if (legacy->family == FAMILY_FILES && legacy->op == OP_DOWNLOAD)
        put_files_download(result, out);
    if (legacy->family == FAMILY_FILES)
        return;
    if (legacy->op == OP_VOICE_CREATE)
        put_new_voice(result, out);
    else if (legacy->op == OP_TTS)
        json_write_text(out, "voice_id", legacy->voice);
    put_places(legacy, result, out);
    put_number(out, "generation_time", result->ms.total / 1000);
    json_write_text(out, "model", older_model(legacy, result));
    json_write_text(out, "callback_url", result->caller.callback_url);
}

/* --- Failures --------------------------------------------------------------------------------- */

static bool lacks(const struct err *err, const char *field)
{
    return err->code == ERR_INVALID && strcmp(err->field, field) == 0 &&
           (strcmp(err->message, "missing") == 0 || strcmp(err->message, "is empty") == 0);
}

static void put_own(const struct err *err, struct str *out)
{
    str_printf(out, "%s%s%s", err->field, err->field[0] ? ": " : "", err->message);
}

static void put_behind(const char *words, const struct err *err, struct str *out)
{
    str_puts(out, words);
    put_own(err, out);
}

static void files_speech_error(const struct legacy *legacy, const struct err *err, struct str *out)
{
    if (lacks(err, "text"))
        str_puts(out, "Text input is required");
    else if (err->code == ERR_VOICE_NOT_FOUND ||
             (strcmp(err->field, "voice") == 0 && legacy->voice))
        str_printf(out, "Failed to download voice file: %.200s",
                   legacy->voice ? legacy->voice : "");
    else if (err->code == ERR_MODEL_FAILED || err->code == ERR_MODEL_LOADING)
        put_behind("Model not available: ", err, out);
    else if (err->code == ERR_STORAGE && strcmp(err->field, "timestamps") != 0)
        str_puts(out, "Failed to upload generated audio to S3");
    else if (err->code == ERR_INTERNAL)
        put_behind("F5-TTS inference failed: ", err, out);
    else
        put_own(err, out);
}

static void files_upload_error(const struct err *err, struct str *out)
{
    if (lacks(err, "name"))
        str_puts(out, "voice_name is required for upload");
    else if (lacks(err, "audio"))
        str_puts(out, "voice_file_url is required for upload");
    else if (err->code == ERR_STORAGE)
        str_puts(out, "Failed to upload voice file to S3");
    else
        put_behind("Failed to process voice upload: ", err, out);
}

static void files_download_error(const struct legacy *legacy, const struct err *err,
                                 struct str *out)
{
    const char *id = legacy->job_id ? legacy->job_id : "";
    bool is_about_id = strcmp(err->field, "job_id") == 0 &&
                       (err->code == ERR_INVALID || err->code == ERR_UNSUPPORTED);
    if (lacks(err, "job_id") && !legacy->is_result)
        str_puts(out, "job_id is required for download");
    else if (strstr(err->message, "has not ended: it is queued"))
        str_puts(out, "Job is not complete. Status: QUEUED");
    else if (strstr(err->message, "has not ended"))
        str_puts(out, "Job is not complete. Status: PROCESSING");
    else if (legacy->is_result && is_about_id && strstr(err->message, "has failed: "))
        str_puts(out, "Job is not complete. Status: ERROR");
    else if (legacy->is_result && is_about_id)
        str_puts(out, "Invalid job_id.");
    else if (strstr(err->message, "there is no timing file"))
        str_printf(out, "Timing file not found for job_id: %.200s, format: %.20s", id,
                   legacy->format ? legacy->format : "srt");
    else if (strstr(err->message, "there is no audio"))
        str_printf(out, "Audio file not found for job_id: %.200s", id);
    else
        put_behind("Failed to download file: ", err, out);
}

static void files_error(const struct legacy *legacy, const struct err *err, struct str *out)
{
    switch (legacy->op) {
    case OP_TTS:
        files_speech_error(legacy, err, out);
        return;
    case OP_UPLOAD:
        files_upload_error(err, out);
        return;
    case OP_DOWNLOAD:
        files_download_error(legacy, err, out);
        return;
    case OP_LIST_VOICES:
        put_behind("Failed to list voices: ", err, out);
        return;
    case OP_STATUS:
        str_puts(out, "Invalid job_id.");
        return;
    default:
        put_own(err, out);
    }
}

static void unknown_model(const struct legacy *legacy, const struct err *err, struct str *out)
{
    static const char before[] = "expected one of: ";
    const char *known = strstr(err->message, before);
    str_printf(out, "Unknown model type: %.64s. ", legacy->model ? legacy->model : "");
    str_printf(out, "%s%s", known ? "Available: " : "",
               known ? known + strlen(before) : err->message);
}

static void voices_error(const struct legacy *legacy, const struct err *err, struct str *out)
{
    bool lacks_speech = lacks(err, "text") || lacks(err, "voice");
    bool is_higgs = legacy->model && strncasecmp(legacy->model, "higgs", 5) == 0;
    if (legacy->op == OP_VOICE_CREATE && (lacks(err, "name") || lacks(err, "audio")))
        str_puts(out, "name and either audio_data or audio_path are required");
    else if (legacy->op == OP_TTS && lacks_speech && is_higgs)
        str_puts(out, "voice_id, text, and profile_base64 are required");
    else if (legacy->op == OP_TTS && lacks_speech && legacy->has_profile)
        str_puts(out, "text, voice_id, and profile_base64 are required");
    else if (legacy->op == OP_TTS && lacks_speech)
        str_puts(out, "Both text and voice_id are required");
    else if (err->code == ERR_UNKNOWN_MODEL)
        unknown_model(legacy, err, out);
    else if (err->code == ERR_INVALID && strcmp(err->field, "voice_profile") == 0)
        put_behind("Failed to decode voice profile data: ", err, out);
    else if (err->code == ERR_INTERNAL && legacy->op == OP_TTS)
        put_behind("Failed to generate TTS: ", err, out);
    else
        put_own(err, out);
}

void legacy_error(const struct legacy *legacy, const struct err *err, struct str *out)
{
    if (legacy->family == FAMILY_FILES)
        files_error(legacy, err, out);
    else
        voices_error(legacy, err, out);
}
