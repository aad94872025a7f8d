/* From a JSON object to a checked job, by the table in job_fields.c. Nothing is coerced, and all
 * fields are checked before anything runs. Knows no queue and no result.
 */
#include "job/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- The fields ------------------------------------------------------------------------------- */

static int check_id(const char *id, struct err *err)
{
    if (!id[0] || strlen(id) > JOB_ID_SIZE_MAX || id[0] == '.' || strchr(id, '/') ||
        !fs_path_is_inside(id))
        return err_set(err, ERR_INVALID, "id",
                       "expected 1 to %d bytes without '/' and control characters and without a "
                       "leading '.', got \"%.60s\"",
                       JOB_ID_SIZE_MAX, id);
    return 0;
}

static int read_id(const struct given *given, struct job *job, struct err *err)
{
    const char *id;
    int result = given_text(given, FIELD_ID, &id, err);
    if (result == 0 && id)
        result = check_id(id, err);
    if (result == 0)
        job->id = mem_copy_string(id ? id : given->context->default_id);
    return result;
}

static int no_model_named(const struct manifest *manifest, struct err *err)
{
    struct str known = {0};
    for (size_t i = 0; i < manifest->model_count; i++)
        str_printf(&known, "%s%s", i ? ", " : "", manifest->models[i].model_type);
    err_set(err, ERR_INVALID, "model_type",
            "missing, and the manifest has no default_model: expected one of %s", str_text(&known));
    str_finish(&known);
    return ERR_INVALID;
}

static int read_model(const struct given *given, struct job *job, struct err *err)
{
    const struct manifest *manifest = given->context->manifest;
    const char *name;
    int result = given_text(given, FIELD_MODEL_TYPE, &name, err);
    if (result != 0)
        return result;
    if (!name)
        name = manifest_default_model(manifest);
    if (!name)
        return no_model_named(manifest, err);
    job->model = models_find(given->context->models, name, err);
    if (!job->model)
        return err->code;
    return model_refuse(job->model, err);
}

static int read_text_file(const struct given *given, const char *name, struct str *text,
                          struct err *err)
{
    const struct job_context *context = given->context;
    if (!context->base_dir)
        return err_set(err, ERR_INVALID, "text_file", "jobs from here may not name files");
    struct stat info;
    char *path = fs_absolute(context->base_dir, name);
    int result = 0;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        result = err_set(err, ERR_INVALID, "text_file", "%s: is not a file", path);
    if (result == 0)
        result = fs_read_text(path, (size_t)context->manifest->host.text_bytes_max, text, err);
    if (result != 0)
        snprintf(err->field, sizeof(err->field), "text_file");
    free(path);
    return result;
}

static int read_text(const struct given *given, struct job *job, struct err *err)
{
    const char *text, *file;
    struct str content = {0};
    enum field field = FIELD_TEXT;
    int result = given_text(given, FIELD_TEXT, &text, err);
    if (result == 0)
        result = given_text(given, FIELD_TEXT_FILE, &file, err);
    if (result != 0)
        return result;
    if (text && file)
        return err_set(err, ERR_INVALID, "text_file", "given together with \"text\"");
    if (!text && !file)
        return err_set(err, ERR_INVALID, "text", "missing");
    if (file) {
        field = FIELD_TEXT_FILE;
        result = read_text_file(given, file, &content, err);
        text = str_text(&content);
    }
    size_t len = file ? content.len : strlen(text);
    if (result == 0)
        result =
            given_check_text(field, text, len, given->context->manifest->host.text_bytes_max, err);
    if (result == 0) {
        job->text = mem_copy_text(text, len);
        job->text_len = len;
    }
    str_finish(&content);
    return result;
}

/* The members of a voice that is an object; NULL: absent. */
struct voice_members {
    const char *id, *audio, *transcript, *language, *profile;
};

/* A voice that travels in the job, with all that belongs to it. */
static int read_voice_object(const cJSON *value, struct voice_members *members, struct err *err)
{
    const struct {
        const char *name;
        const char **text;
    } known[] = {{"id", &members->id},
                 {"audio", &members->audio},
                 {"transcript", &members->transcript},
                 {"language", &members->language},
                 {"profile", &members->profile}};
    enum { KNOWN_COUNT = sizeof(known) / sizeof(known[0]) };
    const cJSON *member;
    cJSON_ArrayForEach(member, value)
    {
        size_t i = 0;
        while (i < KNOWN_COUNT && strcmp(known[i].name, member->string) != 0)
            i++;
        if (i == KNOWN_COUNT)
            return err_set(err, ERR_INVALID, "voice",
                           "has no member \"%.60s\", expected id, audio, transcript, language, "
                           "profile",
                           member->string);
        if (!cJSON_IsString(member) && !cJSON_IsNull(member))
            return err_set(err, ERR_INVALID, "voice", "expected %s to be a string, got %s",
                           known[i].name, json_kind(member));
        *known[i].text = cJSON_IsString(member) ? member->valuestring : NULL;
    }
    if (members->id && !voice_id_valid(members->id))
        return err_set(err, ERR_INVALID, "voice",
                       "expected an id of letters, digits, '.', '_', '-'");
    return 0;
}

static int check_voice_texts(const struct voice_request *request, bool text_is_of_job,
                             struct err *err)
{
    if (request->voice && text_is_blank(request->voice, strlen(request->voice)))
        return err_set(err, ERR_INVALID, "voice", "is empty");
    if (request->language &&
        (!request->language[0] || strlen(request->language) > VOICE_LANGUAGE_LEN_MAX))
        return err_set(err, ERR_INVALID, "voice", "expected language to be a BCP 47 tag");
    if (!request->transcript)
        return 0;
    if (text_is_of_job && !request->voice)
        return err_set(err, ERR_INVALID, "voice_text", "given without a voice");
    return given_check_text(FIELD_VOICE_TEXT, request->transcript, strlen(request->transcript),
                            VOICE_TRANSCRIPT_BYTES_MAX, err);
}

/* A profile may be an object in the storage, which `profile_path` always was. */
static int find_profile(const struct given *given, struct voice_request *request, char **url,
                        struct err *err)
{
    const struct manifest_storage *storage = &given->context->manifest->storage;
    const cJSON *value = given->values[FIELD_VOICE_PROFILE];
    bool is_path = value && strcmp(value->string, "profile_path") == 0;
    int result = given_object(given, FIELD_VOICE_PROFILE, request->profile, url, err);
    if (result == 0 && is_path && storage->type == STORAGE_NONE)
        return err_set(err, ERR_UNSUPPORTED, "profile_path",
                       "unsupported: there is no storage to read objects from (the manifest's "
                       "`storage`); send the profile as profile_base64, or name a voice of the "
                       "library");
    if (result == 0 && is_path && !*url)
        return err_set(err, ERR_INVALID, "profile_path",
                       "expected the key of an object below \"%s\" (storage.voices_prefix)",
                       storage->voices_prefix ? storage->voices_prefix : "");
    if (*url) {
        request->profile_url = *url;
        request->profile = NULL;
    }
    return result;
}

/* With what stands in the storage by its place. */
static int find_voice(const struct given *given, struct voice_request *request, struct job *job,
                      struct err *err)
{
    struct voice_places places = {given->context->manifest->paths.voices, given->context->base_dir};
    const cJSON *value = given->values[FIELD_VOICE];
    size_t len = request->voice ? strlen(request->voice) : 0;
    char *url = NULL, *stem = NULL, *profile_url = NULL;
    int result = given_object(given, FIELD_VOICE, request->voice, &url, err);
    if (result == 0)
        result = find_profile(given, request, &profile_url, err);
    if (url)
        request->voice = url;
    else if (len > 4 && strcmp(value->string, "local_voice") == 0 && !strchr(request->voice, '/') &&
             strcmp(request->voice + len - 4, ".wav") == 0)
        request->voice = stem = mem_copy_text(request->voice, len - 4); /* its names were files */
    if (result == 0)
        result = voice_find(request, model_entry(job->model), &places, &job->voice, err);
    free(stem);
    free(url);
    free(profile_url);
    return result;
}

static int read_voice(const struct given *given, struct job *job, struct err *err)
{
    struct voice_members members = {0};
    struct voice_request request = {0};
    const char *transcript, *profile;
    const cJSON *value = given->values[FIELD_VOICE];
    int result = given_text(given, FIELD_VOICE_TEXT, &transcript, err);
    if (result == 0)
        result = given_text(given, FIELD_VOICE_PROFILE, &profile, err);
    if (result == 0 && cJSON_IsObject(value))
        result = read_voice_object(value, &members, err);
    else if (result == 0)
        result = given_text(given, FIELD_VOICE, &request.voice, err);
    if (result != 0)
        return result;
    if (cJSON_IsObject(value)) {
        bool travels = members.audio || members.profile || profile;
        request.voice = travels ? members.audio : members.id;
        request.id = travels ? members.id : NULL;
    }
    request.transcript = transcript ? transcript : members.transcript;
    request.language = members.language;
    request.profile = profile ? profile : members.profile;
    result = check_voice_texts(&request, transcript && !request.profile, err);
    if (result == 0 && cJSON_IsObject(value) && !request.voice && !request.profile)
        result = err_set(err, ERR_INVALID, "voice", "expected an id, audio or a profile in it");
    if (result == 0)
        result = find_voice(given, &request, job, err);
    job->has_voice = result == 0 && (request.voice || request.profile || request.profile_url);
    return result;
}

static bool speaks(const struct vox_entry *entry, const char *language)
{
    size_t primary = strcspn(language, "-_");
    if (!entry->languages)
        return true;
    for (size_t i = 0; entry->languages[i]; i++) {
        const char *known = entry->languages[i];
        if (text_equal_nocase(known, language))
            return true;
        /* "en" serves "en-GB"; "en-US" serves "en". */
        if (strcspn(known, "-_") == primary &&
            (known[primary] == '\0' || language[primary] == '\0')) {
            char a[16] = "", b[16] = "";
            snprintf(a, sizeof(a), "%.*s", (int)primary, known);
            snprintf(b, sizeof(b), "%.*s", (int)primary, language);
            if (text_equal_nocase(a, b))
                return true;
        }
    }
    return false;
}

static int read_language(const struct given *given, struct job *job, struct err *err)
{
    const struct vox_entry *entry = model_entry(job->model);
    const char *language;
    int result = given_text(given, FIELD_LANGUAGE, &language, err);
    if (result != 0 || !language)
        return result;
    if (!language[0] || strlen(language) > 35 ||
        language[strspn(language,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")])
        return given_wrong(FIELD_LANGUAGE, given->values[FIELD_LANGUAGE],
                           "a BCP 47 tag such as \"en\" or \"pt-BR\"", err);
    if (!speaks(entry, language)) {
        struct str known = {0};
        for (size_t i = 0; entry->languages[i]; i++)
            str_printf(&known, "%s%s", i ? ", " : "", entry->languages[i]);
        err_set(err, ERR_UNSUPPORTED, "language", "plugin \"%s\" does not speak \"%s\", only: %s",
                entry->id, language, str_text(&known));
        str_finish(&known);
        return ERR_UNSUPPORTED;
    }
    job->language = mem_copy_string(language);
    return 0;
}

static int read_numbers(const struct given *given, struct job *job, struct err *err)
{
    const struct vox_entry *entry = model_entry(job->model);
    double number;
    int64_t integer;
    bool present;
    int result = given_number(given, FIELD_SEED, &number, &job->seed, &job->has_seed, err);
    if (result != 0)
        return result;
    if (!job->has_seed)
        job->seed = (int64_t)(random_u64() >> 1);
    job->speed = 1;
    if ((result = given_number(given, FIELD_SPEED, &number, &integer, &present, err)) != 0)
        return result;
    if (present && number != 1 && !(entry->capabilities & VOX_CAP_SPEED))
        return err_set(err, ERR_UNSUPPORTED, "speed", "plugin \"%s\" has one speed only",
                       entry->id);
    if (present)
        job->speed = number;
    return 0;
}

/* The format that the end of `output` names, or -1. */
static int format_of_name(const char *output)
{
    const char *dot = strrchr(fs_name_of(output), '.');
    return dot && dot != output ? audio_format_from(dot + 1) : -1;
}

static int read_output(const struct given *given, struct job *job, int format, struct err *err)
{
    const char *output;
    int result = given_text(given, FIELD_OUTPUT, &output, err);
    if (result != 0)
        return result;
    if (output && (!fs_path_is_inside(output) || output[0] == '.'))
        return given_wrong(
            FIELD_OUTPUT, given->values[FIELD_OUTPUT],
            "a relative path that stays inside the output folder and does not begin with '.'", err);
    if (output && format < 0)
        format = format_of_name(output);
    if (format < 0)
        format = AUDIO_WAV;
    if (output && format_of_name(output) != format) {
        char expected[64];
        snprintf(expected, sizeof(expected), "a name that ends in .%s", audio_format_names[format]);
        return given_wrong(FIELD_OUTPUT, given->values[FIELD_OUTPUT], expected, err);
    }
    job->spec.format = (enum audio_format)format;
    job->output =
        output ? mem_copy_string(output) : str_format("%s.%s", job->id, audio_format_names[format]);
    return 0;
}

static int read_audio(const struct given *given, struct job *job, struct err *err)
{
    int format, encoding;
    double number;
    int64_t rate = 0;
    bool present;
    int result = given_choice(given, FIELD_FORMAT, &format, err);
    if (result == 0)
        result = given_choice(given, FIELD_ENCODING, &encoding, err);
    if (result == 0)
        result = given_number(given, FIELD_SAMPLE_RATE, &number, &rate, &present, err);
    if (result == 0)
        result = read_output(given, job, format, err);
    if (result != 0)
        return result;
    job->spec.encoding = encoding < 0 ? AUDIO_PCM16 : (enum audio_encoding)encoding;
    job->spec.sample_rate = (uint32_t)rate;
    return audio_spec_check(&job->spec, err);
}

static int read_timestamps(const struct given *given, struct job *job, struct err *err)
{
    const cJSON *value = given->values[FIELD_TIMESTAMPS], *item;
    if (!value)
        return 0;
    if (!cJSON_IsArray(value))
        return given_wrong(FIELD_TIMESTAMPS, value, "a list of srt, vtt, csv, json, ass", err);
    cJSON_ArrayForEach(item, value)
    {
        int index = cJSON_IsString(item) ? subtitle_format_from(item->valuestring) : -1;
        if (index < 0)
            return cJSON_IsString(item)
                       ? given_wrong_choice(FIELD_TIMESTAMPS, item->valuestring, err)
                       : given_wrong(FIELD_TIMESTAMPS, item, "names of subtitle formats", err);
        job->subtitles |= 1u << index;
    }
    if (job->subtitles && !(model_entry(job->model)->capabilities & VOX_CAP_MARKS))
        return err_set(err, ERR_UNSUPPORTED, "timestamps",
                       "unsupported: plugin \"%s\" reports no word times",
                       model_entry(job->model)->id);
    return 0;
}

/* Of clients whose system made word times by other means: a model without is no error for them. */
static int read_older_timings(const struct given *given, struct job *job, struct err *err)
{
    const struct vox_entry *entry = model_entry(job->model);
    const char *format;
    bool wanted, present;
    int result = given_bool(given, FIELD_RETURN_WORD_TIMINGS, &wanted, &present, err);
    if (result == 0)
        result = given_text(given, FIELD_TIMING_FORMAT, &format, err);
    if (result != 0)
        return result;
    bool all = format && strcmp(format, "all") == 0;
    if (!format || all)
        format = "srt";
    int index = subtitle_format_from(strcmp(format, "compact") == 0 ? "csv" : format);
    if (index < 0)
        return given_wrong(FIELD_TIMING_FORMAT, given->values[FIELD_TIMING_FORMAT],
                           "one of srt, vtt, csv, json, ass, compact, all", err);
    if (!wanted)
        return 0;
    job->older_timings = job->subtitles == 0;
    job->compact_timings = strcmp(format, "compact") == 0;
    if (entry->capabilities & VOX_CAP_MARKS)
        job->subtitles |= all ? (1u << SUBTITLE_FORMAT_COUNT) - 1 : 1u << index;
    else
        job->timing_error = str_format("plugin \"%s\" reports no word times", entry->id);
    return 0;
}

static int read_stream(const struct given *given, struct job *job, struct err *err)
{
    bool present;
    int result = given_bool(given, FIELD_STREAM, &job->stream, &present, err);
    if (result == 0 && job->stream && !given->context->may_stream)
        return err_set(err, ERR_UNSUPPORTED, "stream", "unsupported here: audio goes to files");
    return result;
}

static int read_options(const struct given *given, struct job *job, struct err *err)
{
    return options_check(plugin_job_schema(model_entry(job->model)), given->values[FIELD_OPTIONS],
                         model_manifest(job->model)->defaults, given->context->loose, &job->options,
                         err);
}

/* --- What decides the audio, as a digest ------------------------------------------------------ */

static void add(struct digest *digest, const char *name, const char *text, size_t len)
{
    char head[64];
    int head_len = snprintf(head, sizeof(head), "%s=%zu:", name, len);
    digest_update(digest, head, (size_t)head_len);
    digest_update(digest, text, len);
}

static void add_text(struct digest *digest, const char *name, const char *text)
{
    if (text)
        add(digest, name, text, strlen(text));
}

/* A recording that was replaced is another one; its time and size say so without reading it. */
static void add_voice_file(struct digest *digest, const char *path)
{
    struct stat info;
    char state[96];
    if (!path || stat(path, &info) != 0)
        return;
    snprintf(state, sizeof(state), "%lld %lld.%09ld", (long long)info.st_size,
             (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    add_text(digest, "voice_path", path);
    add_text(digest, "voice_state", state);
}

/* Of an operation: of all that it says. */
static void hash_operation(struct job *job, const cJSON *json)
{
    struct str text = {0};
    json_write_canonical(&text, json);
    digest_of(str_text(&text), text.len, job->hash);
    str_finish(&text);
}

/* The model's folder is left out, so that a tree may be moved: who puts another checkpoint into it
 * starts anew. */
static void compute_hash(struct job *job)
{
    const struct vox_entry *entry = model_entry(job->model);
    struct digest *digest = digest_create();
    struct str rest = {0};
    uint8_t bytes[DIGEST_SIZE];
    add_text(digest, "model_type", model_name(job->model));
    add_text(digest, "plugin", entry->id);
    add_text(digest, "version", entry->version);
    add(digest, "text", job->text, job->text_len);
    add_text(digest, "language", job->language);
    add_text(digest, "voice", job->voice.id);
    add_text(digest, "voice_text", job->voice.transcript);
    add_text(digest, "voice_language", job->voice.language);
    add_text(digest, "voice_sha256", job->voice.sha256[0] ? job->voice.sha256 : NULL);
    if (job->voice.profile.len)
        add(digest, "voice_profile", str_text(&job->voice.profile), job->voice.profile.len);
    add_voice_file(digest, job->voice.path);
    add_text(digest, "voice_url", job->voice.url);
    add_text(digest, "voice_profile_url", job->voice.profile_url);
    add(digest, "voice_bytes", str_text(&job->voice.bytes), job->voice.bytes.len);
    add_text(digest, "output", job->output);
    str_printf(&rest, "%.17g %d %d %u %u", job->speed, (int)job->spec.format,
               (int)job->spec.encoding, job->spec.sample_rate, job->subtitles);
    if (job->older_timings)
        str_puts(&rest, job->compact_timings ? " compact" : " older");
    if (job->has_seed)
        str_printf(&rest, " %lld", (long long)job->seed);
    option_set_write(plugin_job_schema(entry), &job->options, &rest);
    if (model_manifest(job->model)->options)
        json_write_canonical(&rest, model_manifest(job->model)->options);
    add(digest, "rest", str_text(&rest), rest.len);
    digest_final(digest, bytes);
    digest_hex(bytes, job->hash);
    str_finish(&rest);
    digest_destroy(digest);
}

/* --- Public ----------------------------------------------------------------------------------- */

/* Who a result is for, and how it is handed over. */
static int read_caller(const struct given *given, struct job *job, struct err *err)
{
    const char *user_id, *story_id, *response = NULL;
    const cJSON *value = given->values[FIELD_RESPONSE];
    int index = -1, result = given_text(given, FIELD_USER_ID, &user_id, err);
    if (result == 0)
        result = given_text(given, FIELD_STORY_ID, &story_id, err);
    /* Older: both are what "auto" is now, since large audio went by a URL there too. */
    if (result == 0 && value && strcmp(value->string, "responseFormat") == 0 &&
        cJSON_IsString(value))
        response = value->valuestring;
    bool is_older =
        response && (strcmp(response, "base64") == 0 || strcmp(response, "binary") == 0);
    if (result == 0 && !is_older)
        result = given_choice(given, FIELD_RESPONSE, &index, err);
    if (result != 0)
        return result;
    job->response = index < 0 ? RESPONSE_AUTO : (enum job_response)index;
    job->user_id = mem_copy_string(user_id);
    job->story_id = mem_copy_string(story_id);
    return 0;
}

static int read_timeout(const struct given *given, struct job *job, struct err *err)
{
    double number;
    int64_t integer;
    bool present;
    int result = given_number(given, FIELD_TIMEOUT_S, &number, &integer, &present, err);
    job->timeout_s = present ? number : given->context->manifest->host.job_timeout_s;
    return result;
}

typedef int reader(const struct given *, struct job *, struct err *);

static int read_all(reader *const readers[], size_t count, const struct given *given,
                    struct job *job, struct err *err)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = readers[i](given, job, err);
    return result;
}

/* What nobody asked for in so many words is no reason to refuse the voice. */
static int do_without_sample(struct job *job, struct err *err)
{
    text_list_add(&job->warnings, str_format("no %ssample is spoken: %s%s%s",
                                             job->model ? "" : "profile is made and no ",
                                             err->field, err->field[0] ? ": " : "", err->message));
    *err = (struct err){0};
    free(job->text);
    job->text = NULL;
    return 0;
}

void job_do_without_model(struct job *job, struct err *why)
{
    job->model = NULL;
    do_without_sample(job, why);
}

/* Which model makes the profile and speaks the sample; job->model stays NULL where none does.
 * Without a named one and without a sample nothing depends on it. */
static int choose_cloner(const struct given *given, struct job *job, struct err *err)
{
    bool is_needed = given->values[FIELD_MODEL_TYPE] || (job->text && !given->is_cloning);
    int result = read_model(given, job, err);
    if (result == 0 && !(model_entry(job->model)->capabilities & VOX_CAP_CLONING) && job->text)
        result = err_set(err, ERR_UNSUPPORTED, "sample",
                         "unsupported: plugin \"%s\" speaks with voices of its own only",
                         model_entry(job->model)->id);
    else if (result == 0 && !(model_entry(job->model)->capabilities & VOX_CAP_CLONING))
        job->model = NULL;
    job->model_is_optional = !is_needed;
    if (result == 0 || is_needed)
        return result;
    job_do_without_model(job, err);
    return 0;
}

/* The sample of a new voice is spoken like any text, and its profile made by the same model. */
static int read_new_voice(const struct given *given, struct job *job, struct err *err)
{
    static reader *const readers[] = {read_numbers, read_audio, read_options};
    int result = choose_cloner(given, job, err);
    if (result == 0 && job->text)
        result = read_language(given, job, err);
    if (result == ERR_UNSUPPORTED && given->is_cloning)
        result = do_without_sample(job, err);
    if (result != 0 || !job->model)
        return result;
    return read_all(readers, sizeof(readers) / sizeof(readers[0]), given, job, err);
}

static int read_speech(const struct given *given, struct job *job, struct err *err)
{
    static reader *const readers[] = {
        read_model, read_text,       read_voice,         read_language, read_numbers,
        read_audio, read_timestamps, read_older_timings, read_stream,   read_options,
    };
    return read_all(readers, sizeof(readers) / sizeof(readers[0]), given, job, err);
}

int job_parse(const cJSON *json, const struct job_context *context, struct job **out,
              struct err *err)
{
    struct given given = {.context = context};
    struct job *job = mem_alloc(sizeof(*job));
    int result = 0;
    if (!cJSON_IsObject(json))
        result = err_set(err, ERR_INVALID, NULL,
                         "expected an object with the fields of a job, got %s", json_kind(json));
    if (result == 0)
        result = given_op(json, &job->op, &given.is_cloning, err);
    if (result == 0)
        result = given_sort(json, &given, job, err);
    if (result == 0)
        result = job_caller_read(json, &job->caller, err);
    if (result == 0)
        result = read_id(&given, job, err);
    if (result == 0)
        result = read_timeout(&given, job, err);
    if (result == 0)
        result = read_caller(&given, job, err);
    if (result == 0 && job->op != OP_TTS)
        result = given_ask(&given, job, err);
    if (result == 0 && job->op == OP_TTS)
        result = read_speech(&given, job, err);
    if (result == 0 && job->op == OP_VOICE_CREATE)
        result = read_new_voice(&given, job, err);
    *out = result == 0 ? job : NULL;
    if (result != 0)
        job_destroy(job);
    else if (job->op == OP_TTS)
        compute_hash(job);
    else
        hash_operation(job, json);
    return result;
}

enum job_op job_op_of(const cJSON *json)
{
    enum job_op op;
    bool is_cloning;
    struct err none;
    if (!cJSON_IsObject(json) || given_op(json, &op, &is_cloning, &none) != 0)
        return OP_COUNT;
    return op;
}

bool job_op_is_quick(enum job_op op)
{
    return op == OP_STATUS || op == OP_CAPABILITIES || op == OP_VOICE_LIST || op == OP_LIST_VOICES;
}

bool job_changes_voices(const struct job *job)
{
    return job->op == OP_VOICE_CREATE || job->op == OP_UPLOAD || job->op == OP_VOICE_DELETE;
}

char *job_id_of(const cJSON *json, const char *default_id)
{
    struct err none;
    enum job_op op = OP_TTS;
    bool is_cloning;
    const cJSON *id = cJSON_IsObject(json) ? json_get(json, job_fields[FIELD_ID].name) : NULL;
    if (!id && cJSON_IsObject(json))
        given_op(json, &op, &is_cloning, &none);
    for (size_t i = 0; !id && cJSON_IsObject(json) && i < job_alias_count; i++)
        if (job_aliases[i].field == FIELD_ID && (job_aliases[i].ops & OP_BIT(op)))
            id = json_get(json, job_aliases[i].name);
    bool usable = id && (cJSON_IsString(id) || cJSON_IsNumber(id)) && id->valuestring &&
                  check_id(id->valuestring, &none) == 0;
    return mem_copy_string(usable ? id->valuestring : default_id);
}

void job_destroy(struct job *job)
{
    if (!job)
        return;
    free(job->id);
    job_caller_finish(&job->caller);
    free(job->text);
    free(job->language);
    free(job->output);
    free(job->ask.voice);
    free(job->ask.name);
    free(job->ask.audio);
    free(job->ask.transcript);
    free(job->ask.language);
    free(job->ask.consent);
    free(job->ask.base_dir);
    free(job->ask.cursor);
    free(job->ask.job_id);
    free(job->timing_error);
    free(job->user_id);
    free(job->story_id);
    cJSON_Delete(job->metadata);
    voice_ref_finish(&job->voice);
    option_set_finish(&job->options);
    text_list_finish(&job->warnings);
    free(job);
}
