/* From a JSON object to a checked job, by the table in job_fields.c. Nothing is coerced, and all fields are
 * checked before anything runs. Knows no queue and no result.
 */
#include "job/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- Sorting members into fields --------------------------------------------------------------------------- */

struct given {
    const cJSON *values[FIELD_COUNT]; /* NULL: absent or null */
    const struct job_context *context;
};

static int field_index(const char *name, bool *is_alias)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strcmp(job_fields[i].name, name) == 0)
            return *is_alias = false, (int)i;
    for (size_t i = 0; i < JOB_ALIAS_COUNT; i++)
        if (strcmp(job_aliases[i].name, name) == 0)
            return *is_alias = true, (int)job_aliases[i].field;
    return -1;
}

static int unknown_field(const char *name, struct err *err)
{
    const char *names[FIELD_COUNT];
    for (size_t i = 0; i < FIELD_COUNT; i++)
        names[i] = job_fields[i].name;
    const char *meant = suggest(name, names, FIELD_COUNT);
    if (meant)
        return err_set(err, ERR_INVALID, name, "unknown field (did you mean \"%s\"?)", meant);
    return err_set(err, ERR_INVALID, name,
                   "unknown field; the model's own options stand under \"options\"");
}

static int sort_members(const cJSON *json, struct given *given, struct job *job, struct err *err)
{
    const cJSON *member;
    if (!cJSON_IsObject(json))
        return err_set(err, ERR_INVALID, NULL,
                       "expected an object with the fields of a job, got %s", json_kind(json));
    cJSON_ArrayForEach(member, json)
    {
        bool is_alias;
        int index = field_index(member->string, &is_alias);
        if (index < 0)
            return unknown_field(member->string, err);
        if (cJSON_IsNull(member))
            continue;
        if (given->values[index])
            return err_set(err, ERR_INVALID, member->string, "given twice: as \"%s\" and as \"%s\"",
                           given->values[index]->string, member->string);
        given->values[index] = member;
        if (is_alias)
            text_list_add(&job->warnings, str_format("\"%s\" is taken as \"%s\"", member->string,
                                                     job_fields[index].name));
    }
    return 0;
}

/* --- Values by type ------------------------------------------------------------------------------------------ */

static int wrong(enum field field, const cJSON *value, const char *expected, struct err *err)
{
    char shown[128];
    return err_set(err, ERR_INVALID, job_fields[field].name, "expected %s, got %s", expected,
                   json_show(value, shown, sizeof(shown)));
}

/* *text is NULL when absent; borrowed from the JSON. */
static int get_text(const struct given *given, enum field field, const char **text, struct err *err)
{
    const cJSON *value = given->values[field];
    *text = NULL;
    if (!value)
        return 0;
    bool number_is_text = given->context->loose || field == FIELD_ID; /* by its literal */
    if (!cJSON_IsString(value) && !(number_is_text && cJSON_IsNumber(value)))
        return wrong(field, value, "string", err);
    *text = value->valuestring;
    return 0;
}

static int choice_index(const struct field_spec *spec, const char *text)
{
    for (size_t i = 0; i < spec->choice_count; i++)
        if (strcmp(spec->choices[i], text) == 0)
            return (int)i;
    return -1;
}

static int wrong_choice(enum field field, const char *text, struct err *err)
{
    const struct field_spec *spec = &job_fields[field];
    struct str known = {0};
    const char *meant = suggest(text, spec->choices, spec->choice_count);
    for (size_t i = 0; i < spec->choice_count; i++)
        str_printf(&known, "%s%s", i ? ", " : "", spec->choices[i]);
    err_set(err, ERR_INVALID, spec->name, "expected one of %s, got \"%.100s\"%s%s%s",
            str_text(&known), text, meant ? " (did you mean \"" : "", meant ? meant : "",
            meant ? "\"?)" : "");
    str_finish(&known);
    return ERR_INVALID;
}

/* *index is -1 when absent. */
static int get_choice(const struct given *given, enum field field, int *index, struct err *err)
{
    const char *text;
    *index = -1;
    int result = get_text(given, field, &text, err);
    if (result != 0 || !text)
        return result;
    *index = choice_index(&job_fields[field], text);
    return *index < 0 ? wrong_choice(field, text, err) : 0;
}

static int get_number(const struct given *given, enum field field, double *number, int64_t *integer,
                      bool *present, struct err *err)
{
    const struct field_spec *spec = &job_fields[field];
    const cJSON *value = given->values[field];
    *present = value != NULL;
    if (!value)
        return 0;
    cJSON *loosened = NULL;
    if (given->context->loose && cJSON_IsString(value) &&
        json_number_valid(value->valuestring, strlen(value->valuestring)))
        loosened = json_create_number(value->valuestring);
    const cJSON *used = loosened ? loosened : value;
    bool good = cJSON_IsNumber(used) && used->valuedouble >= spec->minimum &&
                used->valuedouble <= spec->maximum;
    *number = good ? used->valuedouble : 0;
    if (good && spec->type == TYPE_INTEGER)
        good = json_int64(used, integer);
    cJSON_Delete(loosened);
    if (good)
        return 0;
    char expected[96];
    if (field == FIELD_SEED)
        snprintf(expected, sizeof(expected), "integer 0..9223372036854775807");
    else
        snprintf(expected, sizeof(expected), "%s %g..%g",
                 spec->type == TYPE_INTEGER ? "integer" : "number", spec->minimum, spec->maximum);
    return wrong(field, value, expected, err);
}

/* --- The fields ---------------------------------------------------------------------------------------------- */

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
    int result = get_text(given, FIELD_ID, &id, err);
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
    int op, result = get_choice(given, FIELD_OP, &op, err);
    if (result == 0)
        result = get_text(given, FIELD_MODEL_TYPE, &name, err);
    if (result != 0)
        return result;
    if (!name)
        name = manifest->default_model;
    if (!name && manifest->model_count == 1)
        name = manifest->models[0].model_type;
    if (!name)
        return no_model_named(manifest, err);
    job->model = models_find(given->context->models, name, err);
    if (!job->model)
        return err->code;
    struct err why = {0};
    if (model_state(job->model, &why) == MODEL_FAILED)
        return err_set(err, ERR_MODEL_FAILED, "model_type", "model \"%s\" failed: %s",
                       model_name(job->model), why.message);
    return 0;
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
        result = fs_read_file(path, (size_t)context->manifest->host.text_bytes_max, text, err);
    if (result != 0)
        snprintf(err->field, sizeof(err->field), "text_file");
    free(path);
    return result;
}

static int check_text(enum field field, const char *text, size_t len, int64_t size_max,
                      struct err *err)
{
    size_t bad;
    if (len > (size_t)size_max)
        return err_set(err, ERR_INVALID, job_fields[field].name,
                       "is %zu bytes long, at most %lld (host.text_bytes_max)", len,
                       (long long)size_max);
    if (memchr(text, '\0', len))
        return err_set(err, ERR_INVALID, job_fields[field].name, "has a NUL byte");
    if (!utf8_valid(text, len, &bad))
        return err_set(err, ERR_INVALID, job_fields[field].name, "is not UTF-8 at byte %zu",
                       bad + 1);
    if (text_is_blank(text, len))
        return err_set(err, ERR_INVALID, job_fields[field].name, "is empty");
    return 0;
}

static int read_text(const struct given *given, struct job *job, struct err *err)
{
    const char *text, *file;
    struct str content = {0};
    enum field field = FIELD_TEXT;
    int result = get_text(given, FIELD_TEXT, &text, err);
    if (result == 0)
        result = get_text(given, FIELD_TEXT_FILE, &file, err);
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
        result = check_text(field, text, len, given->context->manifest->host.text_bytes_max, err);
    if (result == 0) {
        job->text = mem_copy_text(text, len);
        job->text_len = len;
    }
    str_finish(&content);
    return result;
}

static int read_voice(const struct given *given, struct job *job, struct err *err)
{
    const char *voice, *voice_text;
    struct voice_places places = {given->context->manifest->paths.voices, given->context->base_dir};
    int result = get_text(given, FIELD_VOICE, &voice, err);
    if (result == 0)
        result = get_text(given, FIELD_VOICE_TEXT, &voice_text, err);
    if (result == 0 && voice && text_is_blank(voice, strlen(voice)))
        result = err_set(err, ERR_INVALID, "voice", "is empty");
    if (result == 0 && voice_text)
        result = check_text(FIELD_VOICE_TEXT, voice_text, strlen(voice_text),
                            VOICE_TRANSCRIPT_BYTES_MAX, err);
    if (result == 0 && voice_text && !voice)
        result = err_set(err, ERR_INVALID, "voice_text", "given without a voice");
    if (result == 0)
        result = voice_find(voice, voice_text, model_entry(job->model), &places, &job->voice, err);
    job->has_voice = result == 0 && voice;
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
    int result = get_text(given, FIELD_LANGUAGE, &language, err);
    if (result != 0 || !language)
        return result;
    if (!language[0] || strlen(language) > 35 ||
        language[strspn(language,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")])
        return wrong(FIELD_LANGUAGE, given->values[FIELD_LANGUAGE],
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
    int result = get_number(given, FIELD_SEED, &number, &job->seed, &job->has_seed, err);
    if (result != 0)
        return result;
    if (!job->has_seed)
        job->seed = (int64_t)(random_u64() >> 1);
    job->speed = 1;
    if ((result = get_number(given, FIELD_SPEED, &number, &integer, &present, err)) != 0)
        return result;
    if (present && number != 1 && !(entry->capabilities & VOX_CAP_SPEED))
        return err_set(err, ERR_UNSUPPORTED, "speed", "plugin \"%s\" has one speed only",
                       entry->id);
    if (present)
        job->speed = number;
    job->timeout_s = given->context->manifest->host.job_timeout_s;
    if ((result = get_number(given, FIELD_TIMEOUT_S, &number, &integer, &present, err)) != 0)
        return result;
    if (present)
        job->timeout_s = number;
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
    int result = get_text(given, FIELD_OUTPUT, &output, err);
    if (result != 0)
        return result;
    if (output && (!fs_path_is_inside(output) || output[0] == '.'))
        return wrong(
            FIELD_OUTPUT, given->values[FIELD_OUTPUT],
            "a relative path that stays inside the output folder and does not begin with '.'", err);
    if (output && format < 0)
        format = format_of_name(output);
    if (format < 0)
        format = AUDIO_WAV;
    if (output && format_of_name(output) != format) {
        char expected[64];
        snprintf(expected, sizeof(expected), "a name that ends in .%s", audio_format_names[format]);
        return wrong(FIELD_OUTPUT, given->values[FIELD_OUTPUT], expected, err);
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
    int result = get_choice(given, FIELD_FORMAT, &format, err);
    if (result == 0)
        result = get_choice(given, FIELD_ENCODING, &encoding, err);
    if (result == 0)
        result = get_number(given, FIELD_SAMPLE_RATE, &number, &rate, &present, err);
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
        return wrong(FIELD_TIMESTAMPS, value, "a list of srt, vtt, csv, json, ass", err);
    cJSON_ArrayForEach(item, value)
    {
        int index = cJSON_IsString(item) ? subtitle_format_from(item->valuestring) : -1;
        if (index < 0)
            return cJSON_IsString(item)
                       ? wrong_choice(FIELD_TIMESTAMPS, item->valuestring, err)
                       : wrong(FIELD_TIMESTAMPS, item, "names of subtitle formats", err);
        job->subtitles |= 1u << index;
    }
    if (job->subtitles && !(model_entry(job->model)->capabilities & VOX_CAP_MARKS))
        return err_set(err, ERR_UNSUPPORTED, "timestamps",
                       "unsupported: plugin \"%s\" reports no word times",
                       model_entry(job->model)->id);
    return 0;
}

static int read_stream(const struct given *given, struct job *job, struct err *err)
{
    const cJSON *value = given->values[FIELD_STREAM];
    if (!value)
        return 0;
    if (!cJSON_IsBool(value))
        return wrong(FIELD_STREAM, value, "true or false", err);
    job->stream = cJSON_IsTrue(value);
    if (job->stream && !given->context->may_stream)
        return err_set(err, ERR_UNSUPPORTED, "stream", "unsupported here: audio goes to files");
    return 0;
}

static int read_options(const struct given *given, struct job *job, struct err *err)
{
    return options_check(plugin_job_schema(model_entry(job->model)), given->values[FIELD_OPTIONS],
                         model_manifest(job->model)->defaults, given->context->loose, &job->options,
                         err);
}

/* --- What decides the audio, as a digest ------------------------------------------------------------------------ */

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

/* The model's folder is left out, so that a tree may be moved: who puts another checkpoint into it starts anew. */
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
    add_voice_file(digest, job->voice.path);
    add_text(digest, "voice_url", job->voice.url);
    add(digest, "voice_bytes", str_text(&job->voice.bytes), job->voice.bytes.len);
    add_text(digest, "output", job->output);
    str_printf(&rest, "%.17g %d %d %u %u", job->speed, (int)job->spec.format,
               (int)job->spec.encoding, job->spec.sample_rate, job->subtitles);
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

/* --- Public -------------------------------------------------------------------------------------------------------- */

int job_parse(const cJSON *json, const struct job_context *context, struct job **out,
              struct err *err)
{
    static int (*const readers[])(const struct given *, struct job *, struct err *) = {
        read_id,      read_model, read_text,       read_voice,  read_language,
        read_numbers, read_audio, read_timestamps, read_stream, read_options,
    };
    struct given given = {.context = context};
    struct job *job = mem_alloc(sizeof(*job));
    int result = sort_members(json, &given, job, err);
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]) && result == 0; i++)
        result = readers[i](&given, job, err);
    if (result != 0) {
        job_destroy(job);
        *out = NULL;
        return result;
    }
    compute_hash(job);
    *out = job;
    return 0;
}

char *job_id_of(const cJSON *json, const char *default_id)
{
    struct err none;
    const cJSON *id = cJSON_IsObject(json) ? json_get(json, job_fields[FIELD_ID].name) : NULL;
    for (size_t i = 0; !id && cJSON_IsObject(json) && i < JOB_ALIAS_COUNT; i++)
        if (job_aliases[i].field == FIELD_ID)
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
    free(job->text);
    free(job->language);
    free(job->output);
    voice_ref_finish(&job->voice);
    option_set_finish(&job->options);
    text_list_finish(&job->warnings);
    free(job);
}
