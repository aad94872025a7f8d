/* A result and its JSON: the only place that knows how an outcome looks outside. */
#include "job/job_fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct result *result_refused(const char *id, uint64_t record, const struct err *err)
{
    struct result *result = mem_alloc(sizeof(*result));
    result->id = mem_copy_string(id);
    result->record = id ? 0 : record;
    result->err = *err;
    return result;
}

/* As the job names it, by whatever name the field has; NULL: it does not. */
static const cJSON *model_given(const cJSON *json, enum job_op op)
{
    const cJSON *name = json_get(json, job_fields[FIELD_MODEL_TYPE].name);
    for (size_t i = 0; i < job_alias_count && (!name || cJSON_IsNull(name)); i++)
        if (job_aliases[i].field == FIELD_MODEL_TYPE && (job_aliases[i].ops & OP_BIT(op)))
            name = json_get(json, job_aliases[i].name);
    return name && !cJSON_IsNull(name) ? name : NULL;
}

static const struct manifest_model *find_model(const cJSON *json, enum job_op op,
                                               const struct manifest *manifest)
{
    const cJSON *given = op == OP_COUNT ? NULL : model_given(json, op);
    const char *name = given          ? given->valuestring
                       : op == OP_TTS ? manifest_default_model(manifest)
                                      : NULL;
    return name ? manifest_model_find(manifest, name) : NULL;
}

void result_add_given(struct result *result, const cJSON *json, const struct manifest *manifest)
{
    struct err ignored;
    job_caller_read(json, &result->caller, &ignored);
    if (!cJSON_IsObject(json))
        return;
    const cJSON *metadata = json_get(result->caller.echo, "metadata");
    const struct manifest_model *model = find_model(json, result->caller.op, manifest);
    result->metadata = metadata ? cJSON_Duplicate(metadata, true) : NULL;
    result->model_type = model ? mem_copy_string(model->model_type) : NULL;
}

struct result *result_read(const cJSON *json)
{
    const cJSON *audio = json_get(json, "audio"), *name;
    const char *path = json_text(audio, "path"), *format = json_text(audio, "format");
    int index = format ? audio_format_from(format) : -1;
    struct result *result = mem_alloc(sizeof(*result));
    result->id = mem_copy_string(json_text(json, "id"));
    if (path && fs_path_is_inside(path) && index >= 0) {
        result->path = mem_copy_string(path);
        result->audio.format = (enum audio_format)index;
    }
    cJSON_ArrayForEach(name, json_get(json, "subtitles"))
    {
        if (cJSON_IsString(name) && fs_path_is_inside(name->valuestring))
            text_list_add(&result->subtitles, mem_copy_string(name->valuestring));
    }
    return result;
}

double result_rtf(const struct result *result)
{
    double work_ms = result->ms.voice + result->ms.synth + result->ms.encode;
    return result->audio.duration_s > 0 ? work_ms / 1000 / result->audio.duration_s : 0;
}

char *result_subtitle_name(const char *audio_name, enum subtitle_format format)
{
    const char *dot = strrchr(fs_name_of(audio_name), '.');
    size_t stem = dot ? (size_t)(dot - audio_name) : strlen(audio_name);
    return str_format("%.*s.%s", (int)stem, audio_name, subtitle_format_names[format]);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void write_integer(struct str *out, const char *key, uint64_t number)
{
    json_write_key(out, key);
    str_printf(out, "%llu", (unsigned long long)number);
}

static void write_rounded(struct str *out, const char *key, int decimals, double number)
{
    /* In integers, which print several times faster: a result has a dozen of these, and more for
     * its words. */
    static const uint64_t scales[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    double scaled = number * (double)scales[decimals] + 0.5;
    json_write_key(out, key);
    if (!(scaled >= 0 && scaled < 9e15)) {
        json_write_number(out, number); /* null when it is not finite */
        return;
    }
    uint64_t whole = (uint64_t)scaled / scales[decimals],
             rest = (uint64_t)scaled % scales[decimals];
    str_printf(out, "%" PRIu64 ".%0*" PRIu64, whole, decimals, rest);
}

static void write_list(struct str *out, const char *key, const struct text_list *list)
{
    if (!list->count)
        return;
    json_write_key(out, key);
    str_putc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            str_putc(out, ',');
        json_write_string(out, list->items[i], strlen(list->items[i]));
    }
    str_putc(out, ']');
}

static void write_audio(struct str *out, const struct result *result)
{
    const struct audio_info *audio = &result->audio;
    json_write_key(out, "audio");
    str_putc(out, '{');
    json_write_text(out, "path", result->path);
    json_write_text(out, "url", result->url);
    if (result->base64.len) { /* needs no escapes */
        json_write_key(out, "base64");
        str_putc(out, '"');
        str_append(out, result->base64.data, result->base64.len);
        str_putc(out, '"');
    }
    json_write_text(out, "format", audio_format_names[audio->format]);
    json_write_text(out, "encoding", audio_encoding_names[audio->encoding]);
    write_integer(out, "sample_rate", audio->sample_rate);
    write_integer(out, "channels", audio->channels);
    write_rounded(out, "duration_s", 6, audio->duration_s);
    write_integer(out, "bytes", audio->bytes);
    json_write_text(out, "sha256", audio->sha256);
    str_putc(out, '}');
}

static void write_by_format(struct str *out, const char *key,
                            char *const texts[SUBTITLE_FORMAT_COUNT])
{
    bool any = false;
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++) {
        if (!texts[i])
            continue;
        if (!any) {
            json_write_key(out, key);
            str_putc(out, '{');
        }
        json_write_text(out, subtitle_format_names[i], texts[i]);
        any = true;
    }
    if (any)
        str_putc(out, '}');
}

/* What an operation adds. */
static void write_answer(struct str *out, const struct result *result)
{
    const cJSON *member;
    if (result->metadata) {
        json_write_key(out, "metadata");
        json_write(out, result->metadata);
    }
    cJSON_ArrayForEach(member, result->answer)
    {
        json_write_key(out, member->string);
        json_write(out, member);
    }
}

void result_write_words(const struct result *result, struct str *out)
{
    str_putc(out, '[');
    for (size_t i = 0; i < result->word_count; i++) {
        const struct audio_word *word = &result->words[i];
        str_puts(out, i ? ",{" : "{");
        json_write_text(out, "word", word->word);
        write_rounded(out, "start_s", 4, word->start_s);
        write_rounded(out, "end_s", 4, word->end_s);
        write_integer(out, "text_begin", word->text_begin);
        write_integer(out, "text_end", word->text_end);
        str_putc(out, '}');
    }
    str_putc(out, ']');
}

static void write_words(struct str *out, const struct result *result)
{
    json_write_text(out, "words_url", result->words_url);
    if (!result->word_count || result->words_url)
        return;
    json_write_key(out, "words");
    result_write_words(result, out);
}

static void write_timings(struct str *out, const struct result *result)
{
    json_write_key(out, "timings_ms");
    str_putc(out, '{');
    write_rounded(out, "queue", 3, result->ms.queue);
    write_rounded(out, "load", 3, result->ms.load);
    write_rounded(out, "voice", 3, result->ms.voice);
    write_rounded(out, "synth", 3, result->ms.synth);
    write_rounded(out, "encode", 3, result->ms.encode);
    write_rounded(out, "store", 3, result->ms.store);
    write_rounded(out, "total", 3, result->ms.total);
    str_putc(out, '}');
}

static void write_error(struct str *out, const struct err *err)
{
    json_write_key(out, "error");
    str_putc(out, '{');
    json_write_text(out, "code", err_word(err->code));
    json_write_text(out, "message", err->message);
    if (err->field[0])
        json_write_text(out, "field", err->field);
    json_write_key(out, "retryable");
    str_puts(out, err_retryable(err->code) ? "true}" : "false}");
}

void result_write_members(const struct result *result, struct str *out)
{
    bool ok = result->err.code == ERR_NONE;
    bool has_audio = ok && (result->op == OP_TTS || result->audio.frames);
    json_write_key(out, "id");
    if (result->id)
        json_write_string(out, result->id, strlen(result->id));
    else
        str_puts(out, "null");
    json_write_text(out, "status", result->status ? result->status : ok ? "ok" : "error");
    if (result->op != OP_TTS)
        json_write_text(out, "op", job_op_names[result->op]);
    json_write_text(out, "model_type", result->model_type);
    if (result->has_seed)
        write_integer(out, "seed", (uint64_t)result->seed);
    if (has_audio)
        write_audio(out, result);
    write_answer(out, result);
    write_list(out, "subtitles", &result->subtitles);
    write_by_format(out, "subtitle_texts", result->subtitle_texts);
    write_by_format(out, "subtitle_urls", result->subtitle_urls);
    json_write_text(out, "timing_error", result->timing_error);
    write_words(out, result);
    write_list(out, "warnings", &result->warnings);
    if (result->hash[0])
        write_timings(out, result);
    if (has_audio)
        write_rounded(out, "rtf", 5, result_rtf(result));
    if (!ok)
        write_error(out, &result->err);
    if (result->hash[0])
        json_write_text(out, "job_hash", result->hash);
    if (result->given_hash[0])
        json_write_text(out, "given_hash", result->given_hash);
    if (result->line)
        write_integer(out, "line", result->line);
    if (result->record)
        write_integer(out, "record", result->record);
}

void result_write(const struct result *result, struct str *out)
{
    str_putc(out, '{');
    result_write_members(result, out);
    str_putc(out, '}');
}

void result_destroy(struct result *result)
{
    if (!result)
        return;
    for (size_t i = 0; i < result->word_count; i++)
        free(result->words[i].word);
    free(result->words);
    free(result->words_url);
    text_list_finish(&result->subtitles);
    text_list_finish(&result->warnings);
    free(result->made_voice);
    text_list_finish(&result->made_objects);
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        free(result->subtitle_texts[i]);
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        free(result->subtitle_urls[i]);
    cJSON_Delete(result->answer);
    cJSON_Delete(result->metadata);
    free(result->timing_error);
    free(result->key);
    str_finish(&result->data);
    str_finish(&result->base64);
    free(result->path);
    free(result->url);
    job_caller_finish(&result->caller);
    free(result->model_type);
    free(result->id);
    free(result);
}
