/* The fields of operations other than speech, checked: a part of job_parse. Looks at nothing but
 * the job. */
#include "job/job_fields.h"

#include <stdlib.h>
#include <string.h>

static const char default_sample[] = "Hello, my name is {name}. This is how I sound.";

static int take_text(const struct given *given, enum field field, size_t len_max, char **out,
                     struct err *err)
{
    const char *text;
    int result = given_text(given, field, &text, err);
    if (result == 0 && text)
        result = given_check_text(field, text, strlen(text), (int64_t)len_max, err);
    if (result == 0)
        *out = mem_copy_string(text);
    return result;
}

static int missing(enum field field, struct err *err)
{
    return err_set(err, ERR_INVALID, job_fields[field].name, "missing");
}

/* --- Voices ----------------------------------------------------------------------------------- */

void given_drop_ending(char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len > 4 && text_equal_nocase(name + len - 4, ".wav"))
        name[len - 4] = '\0';
}

/* A name is for people, and goes into file names only by way of an id; a path is a mistake, or
 * worse. */
static int check_name(const char *name, struct err *err)
{
    if (strpbrk(name, "/\\"))
        return err_set(err, ERR_INVALID, "name",
                       "expected a name without '/' and '\\', got \"%.60s\"", name);
    return 0;
}

static int check_id(const char *id, struct err *err)
{
    if (voice_id_valid(id))
        return 0;
    return err_set(
        err, ERR_INVALID, "voice",
        "expected an id of letters, digits, '.', '_', '-', at most %d bytes, that begins "
        "with a letter or digit, got \"%.60s\"",
        VOICE_ID_LEN_MAX, id);
}

/* What `audio_path` always was, where it can be nothing else. */
static bool is_foreign_key(const struct given *given, const char *audio)
{
    return audio && strcmp(given->values[FIELD_AUDIO]->string, "audio_path") == 0 &&
           given->context->manifest->storage.type != STORAGE_NONE && !given->context->base_dir &&
           !strstr(audio, "://") && strncmp(audio, "data:", 5) != 0;
}

/* The recording: what is said of it here decides what the runner may touch. */
static int take_audio(const struct given *given, struct job *job, struct err *err)
{
    const char *audio, *prefix = given->context->manifest->storage.voices_prefix;
    char *url = NULL;
    int result = given_text(given, FIELD_AUDIO, &audio, err);
    if (result == 0 && (!audio || text_is_blank(audio, strlen(audio))))
        result = missing(FIELD_AUDIO, err);
    if (result == 0)
        result = given_object(given, FIELD_AUDIO, audio, &url, err);
    if (result == 0 && !url && is_foreign_key(given, audio))
        result = err_set(err, ERR_INVALID, job_fields[FIELD_AUDIO].name,
                         "expected the key of an object below \"%s\" (storage.voices_prefix)",
                         prefix ? prefix : "");
    if (result == 0) {
        job->ask.audio = url ? url : mem_copy_string(audio);
        job->ask.base_dir = mem_copy_string(given->context->base_dir);
    }
    return result;
}

static char *fill_in_name(const char *text, const char *name)
{
    static const char place[] = "{name}";
    struct str out = {0};
    for (const char *next; (next = strstr(text, place)); text = next + strlen(place)) {
        str_append(&out, text, (size_t)(next - text));
        str_puts(&out, name);
    }
    str_puts(&out, text);
    return str_take(&out);
}

/* The sample is the job's text. */
static int take_sample(const struct given *given, struct job *job, struct err *err)
{
    const char *text;
    bool wanted, present;
    int result = given_bool(given, FIELD_SAMPLE, &wanted, &present, err);
    if (result == 0)
        result = given_text(given, FIELD_SAMPLE_TEXT, &text, err);
    if (result == 0 && text)
        result = given_check_text(FIELD_SAMPLE_TEXT, text, strlen(text),
                                  given->context->manifest->host.text_bytes_max, err);
    if (result != 0 || (present ? !wanted : !text && !given->is_cloning))
        return result;
    job->text =
        fill_in_name(text ? text : default_sample, job->ask.name ? job->ask.name : job->ask.voice);
    job->text_len = strlen(job->text);
    return 0;
}

/* Its system put what came in the place of what was there; there was nothing to say so with. */
static bool is_older_upload(const struct given *given)
{
    const cJSON *selector = given->values[FIELD_OP];
    return selector && strcmp(selector->string, "endpoint") == 0;
}

static int ask_new_voice(const struct given *given, struct job *job, struct err *err)
{
    struct job_ask *ask = &job->ask;
    bool present;
    int result = take_text(given, FIELD_VOICE, VOICE_ID_LEN_MAX, &ask->voice, err);
    if (result == 0)
        result = take_text(given, FIELD_NAME, VOICE_NAME_LEN_MAX, &ask->name, err);
    given_drop_ending(ask->name);
    if (result == 0 && !ask->voice && !ask->name)
        result = missing(FIELD_NAME, err);
    if (result == 0 && ask->name)
        result = check_name(ask->name, err);
    if (result == 0 && ask->voice)
        result = check_id(ask->voice, err);
    if (result == 0)
        result = take_audio(given, job, err);
    if (result == 0)
        result =
            take_text(given, FIELD_VOICE_TEXT, VOICE_TRANSCRIPT_BYTES_MAX, &ask->transcript, err);
    if (result == 0)
        result = take_text(given, FIELD_CONSENT, VOICE_CONSENT_LEN_MAX, &ask->consent, err);
    if (result == 0)
        result = take_text(given, FIELD_LANGUAGE, VOICE_LANGUAGE_LEN_MAX, &ask->language, err);
    if (result == 0)
        result = given_bool(given, FIELD_REPLACE, &ask->replace, &present, err);
    if (result == 0 && !present && job->op == OP_UPLOAD)
        ask->replace = is_older_upload(given);
    if (result == 0 && job->op == OP_VOICE_CREATE)
        result = take_sample(given, job, err);
    return result;
}

static int ask_voice(const struct given *given, struct job *job, struct err *err)
{
    int result = take_text(given, FIELD_VOICE, VOICE_NAME_LEN_MAX, &job->ask.voice, err);
    if (result != 0)
        return result;
    if (!job->ask.voice)
        return missing(FIELD_VOICE, err);
    return strpbrk(job->ask.voice, "/\\") ? check_id(job->ask.voice, err) : 0;
}

static int ask_voices(const struct given *given, struct job *job, struct err *err)
{
    double number;
    int64_t limit = 0;
    bool present;
    int result = take_text(given, FIELD_CURSOR, VOICE_ID_LEN_MAX, &job->ask.cursor, err);
    if (result == 0)
        result = given_number(given, FIELD_LIMIT, &number, &limit, &present, err);
    job->ask.limit = (size_t)limit;
    return result;
}

/* --- Results ---------------------------------------------------------------------------------- */

/* The format's default is that of the type: a wrong one for it is an error, not "nothing found". */
static int take_format(const struct given *given, struct job *job, struct err *err)
{
    const char *text;
    int result = given_text(given, FIELD_FORMAT, &text, err);
    const char *const *names = job->ask.wants_timing ? subtitle_format_names : audio_format_names;
    size_t count = job->ask.wants_timing ? (size_t)SUBTITLE_FORMAT_COUNT : AUDIO_FORMAT_COUNT;
    struct str known = {0};
    if (result != 0 || !text)
        return result;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0)
            job->ask.format = names[i];
        str_printf(&known, "%s%s", i ? ", " : "one of ", names[i]);
    }
    if (!job->ask.format)
        result = given_wrong(FIELD_FORMAT, given->values[FIELD_FORMAT], str_text(&known), err);
    str_finish(&known);
    return result;
}

static int ask_job(const struct given *given, struct job *job, struct err *err)
{
    int type = -1, result = take_text(given, FIELD_JOB_ID, JOB_ID_SIZE_MAX, &job->ask.job_id, err);
    if (result != 0)
        return result;
    if (!job->ask.job_id)
        return missing(FIELD_JOB_ID, err);
    if (!fs_path_is_inside(job->ask.job_id) || strchr(job->ask.job_id, '/') ||
        job->ask.job_id[0] == '.')
        result = given_wrong(FIELD_JOB_ID, given->values[FIELD_JOB_ID], "the id of a job", err);
    if (result == 0)
        result = given_choice(given, FIELD_TYPE, &type, err);
    job->ask.wants_timing = type == 1;
    if (result == 0)
        result = take_format(given, job, err);
    return result;
}

int given_ask(const struct given *given, struct job *job, struct err *err)
{
    switch (job->op) {
    case OP_VOICE_CREATE:
    case OP_UPLOAD:
        return ask_new_voice(given, job, err);
    case OP_VOICE_LIST:
    case OP_LIST_VOICES:
        return ask_voices(given, job, err);
    case OP_VOICE_DELETE:
    case OP_VOICE_EXPORT:
        return ask_voice(given, job, err);
    case OP_DOWNLOAD:
    case OP_STATUS:
        return ask_job(given, job, err);
    case OP_TTS:
    case OP_CAPABILITIES:
    case OP_COUNT:
        break;
    }
    return 0;
}
