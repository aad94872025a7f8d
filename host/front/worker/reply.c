/* The bodies that a worker sends; see reply.h. Between the result of a job and whoever posts it:
 * knows the names and limits of the platform, and no connections.
 *
 * Whatever comes from outside passes json_write_string, which makes valid UTF-8 of anything. Base64
 * needs no escapes and is copied as it is.
 */
#include "front/worker/reply.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_TEXT_MAX 16384 /* bytes of one text of an error report */
/* The same where there is no room: even escaped twice (\u0001 is 7 bytes then), the report fits
 * the least worker.body_bytes_max, 4096. */
#define REPORT_TEXT_MIN 64
#define STREAM_LAST_MAX 900000 /* bytes of the last chunk; the platform's limit is 1 MB */

static void put_base64(struct str *out, const char *key, const struct str *base64)
{
    json_write_key(out, key);
    str_putc(out, '"');
    str_append(out, str_text(base64), base64->len);
    str_putc(out, '"');
}

static void cut_to(struct str *out, size_t len)
{
    if (!out->data)
        return;
    out->len = len;
    out->data[len] = '\0';
}

/* --- The error report ------------------------------------------------------------------------- */

const char *reply_error_type(enum err_code code)
{
    switch (code) {
    case ERR_INVALID:
        return "InvalidInput";
    case ERR_UNKNOWN_MODEL:
        return "UnknownModel";
    case ERR_MODEL_LOADING:
        return "ModelLoading";
    case ERR_MODEL_FAILED:
        return "ModelFailed";
    case ERR_VOICE_NOT_FOUND:
        return "VoiceNotFound";
    case ERR_UNSUPPORTED:
        return "Unsupported";
    case ERR_NO_MEMORY:
        return "OutOfMemory";
    case ERR_CANCELLED:
        return "Cancelled";
    case ERR_TIMEOUT:
        return "Timeout";
    case ERR_STORAGE:
        return "StorageFailed";
    case ERR_TOO_LARGE:
        return "PayloadTooLarge";
    case ERR_INTERNAL:
    case ERR_NONE:
        break;
    }
    return "InternalError";
}

/* A text of at most `max` bytes: of a longer one the head and the tail. */
static void put_clipped(struct str *out, const char *key, const char *text, size_t max)
{
    static const char gap[] = " ... ";
    size_t len = strlen(text);
    if (len <= max) {
        json_write_text(out, key, text);
        return;
    }
    size_t half = (max - (sizeof(gap) - 1)) / 2, tail = len - half;
    while (tail < len && ((unsigned char)text[tail] & 0xc0) == 0x80)
        tail++; /* to the next whole character */
    struct str clipped = {0};
    str_append(&clipped, text, utf8_cut(text, len, half));
    str_puts(&clipped, gap);
    str_puts(&clipped, text + tail);
    json_write_text(out, key, str_text(&clipped));
    str_finish(&clipped);
}

/* Where it happened, in place of the lines of code that a Python worker names. */
static void put_place(struct str *out, const struct err *err, const struct result *result,
                      size_t max)
{
    struct str place = {0};
    str_printf(&place, "voxhost %s", VOXHOST_VERSION);
    if (result && result->id)
        str_printf(&place, ", job %s", result->id);
    if (result && result->model_type)
        str_printf(&place, ", model %s", result->model_type);
    if (err->field[0])
        str_printf(&place, ", field %s", err->field);
    put_clipped(out, "error_traceback", str_text(&place), max);
    str_finish(&place);
}

static void write_report(const struct reply_context *context, const struct err *err,
                         const struct result *result, size_t text_max, struct str *out)
{
    struct str message = {0};
    if (err->field[0])
        str_printf(&message, "%s: ", err->field);
    str_puts(&message, err->message);
    str_putc(out, '{');
    json_write_text(out, "error_type", reply_error_type(err->code));
    put_clipped(out, "error_message", str_text(&message), text_max);
    put_place(out, err, result, text_max);
    put_clipped(out, "hostname", context->hostname, text_max);
    put_clipped(out, "worker_id", context->worker_id, text_max);
    put_clipped(out, "runpod_version", context->manifest->runpod_version, text_max);
    json_write_text(out, "error_code", err_word(err->code));
    if (err->field[0])
        put_clipped(out, "error_field", err->field, text_max);
    str_putc(out, '}');
    str_finish(&message);
}

/* The member `error`: the report as a string, since an object would read as success (SDK issue
 * 299). */
static void put_report(const struct reply_context *context, const struct err *err,
                       const struct result *result, size_t text_max, struct str *body)
{
    struct str report = {0};
    write_report(context, err, result, text_max, &report);
    json_write_text(body, "error", str_text(&report));
    str_finish(&report);
}

/* In the place of the report: the text alone that an older client looks for. */
static void put_legacy_error(const struct legacy *legacy, const struct err *err, size_t text_max,
                             struct str *body)
{
    struct str text = {0};
    legacy_error(legacy, err, &text);
    put_clipped(body, "error", str_text(&text), text_max);
    str_finish(&text);
}

static void end_body(bool refresh, struct str *body)
{
    if (refresh) {
        json_write_key(body, "stopPod");
        str_puts(body, "true");
    }
    str_putc(body, '}');
}

/* What follows the output, and the end of the body. */
static void put_end(const struct reply_context *context, const struct legacy *legacy,
                    const struct result *result, bool refresh, size_t text_max, struct str *body)
{
    if (result->err.code != ERR_NONE && legacy)
        put_legacy_error(legacy, &result->err, text_max, body);
    else if (result->err.code != ERR_NONE)
        put_report(context, &result->err, result, text_max, body);
    end_body(refresh, body);
}

void reply_failure(const struct reply_context *context, const struct err *err, bool refresh,
                   struct str *body)
{
    size_t begin = body->len;
    for (size_t text_max = REPORT_TEXT_MAX;; text_max = REPORT_TEXT_MIN) {
        cut_to(body, begin);
        str_putc(body, '{');
        put_report(context, err, NULL, text_max, body);
        end_body(refresh, body);
        if (body->len - begin <= (size_t)context->manifest->body_bytes_max ||
            text_max == REPORT_TEXT_MIN)
            return;
    }
}

/* --- The final body --------------------------------------------------------------------------- */

static void put_error_fields(const struct err *err, struct str *out)
{
    if (err->code == ERR_NONE)
        return;
    json_write_text(out, "error_code", err_word(err->code));
    if (err->field[0])
        json_write_text(out, "error_field", err->field);
}

/* What older clients look for, but for the audio. */
static void put_legacy_fields(const struct result *result, struct str *out)
{
    if (result->err.code == ERR_NONE && (result->op == OP_TTS || result->audio.frames)) {
        if (result->url)
            json_write_text(out, "audio_url", result->url);
        json_write_key(out, "duration");
        json_write_number(out, result->audio.duration_s);
        json_write_key(out, "sample_rate");
        str_printf(out, "%u", (unsigned)result->audio.sample_rate);
    }
    if (result->id && !json_get(result->answer, "job_id"))
        json_write_text(out, "job_id", result->id);
}

/* Writes the body from `begin` on; `copy`: with the audio a second time. False when it is too
 * long; it is not whole then if the copy is to blame. */
static bool write_final(const struct reply_context *context, const struct legacy *legacy,
                        const struct result *result, bool copy, bool refresh, size_t begin,
                        struct str *body)
{
    static const char around_copy[] = ",\"audio_base64\":\"\"},\"stopPod\":true}";
    size_t size_max = (size_t)context->manifest->body_bytes_max;
    cut_to(body, begin);
    str_puts(body, "{\"output\":{");
    result_write_members(result, body);
    if (context->manifest->legacy_fields)
        put_legacy_fields(result, body);
    if (legacy)
        legacy_write(legacy, result, body);
    put_error_fields(&result->err, body);
    if (copy) {
        if (body->len - begin + result->base64.len + sizeof(around_copy) > size_max)
            return false;
        put_base64(body, legacy_audio_member(legacy), &result->base64);
    }
    str_putc(body, '}');
    put_end(context, legacy, result, refresh, REPORT_TEXT_MAX, body);
    return body->len - begin <= size_max;
}

bool reply_fits(const struct reply_context *context, const struct legacy *legacy,
                const struct result *result)
{
    enum { SLACK = 2048 }; /* for what legacy_prepare adds */
    struct str body = {0};
    bool fits = write_final(context, legacy, result, false, false, 0, &body) &&
                body.len + (legacy ? SLACK : 0) <= (size_t)context->manifest->body_bytes_max;
    str_finish(&body);
    return fits;
}

/* A result that cannot be sent becomes a failure that can. */
static void refuse_size(const struct reply_context *context, struct result *result, size_t size)
{
    bool is_speech = result->op == OP_TTS;
    if (result->err.code == ERR_NONE)
        err_set(&result->err, ERR_TOO_LARGE, NULL,
                "the reply would be %zu bytes, and at most %lld may be sent "
                "(worker.body_bytes_max): %s",
                size, (long long)context->manifest->body_bytes_max,
                is_speech ? "ask for mp3 or opus, a shorter text or fewer timestamps, or set up "
                            "`storage`"
                          : "ask for a page with `limit`, or for a URL with `response`");
    result->status = NULL;
    cJSON_Delete(result->answer);
    result->answer = NULL;
    str_finish(&result->data);
    str_finish(&result->base64);
    for (size_t i = 0; i < result->word_count; i++)
        free(result->words[i].word);
    free(result->words);
    result->words = NULL;
    result->word_count = 0;
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++) {
        free(result->subtitle_texts[i]);
        result->subtitle_texts[i] = NULL;
    }
}

/* The body that a failure has without its output, when even that is too long; for ids, warnings
 * and limits out of the ordinary. */
static void write_bare_failure(const struct reply_context *context, const struct legacy *legacy,
                               const struct result *result, bool refresh, size_t begin,
                               struct str *body)
{
    for (size_t text_max = REPORT_TEXT_MAX;; text_max = REPORT_TEXT_MIN) {
        cut_to(body, begin);
        str_putc(body, '{');
        put_end(context, legacy, result, refresh, text_max, body);
        if (body->len - begin <= (size_t)context->manifest->body_bytes_max ||
            text_max == REPORT_TEXT_MIN)
            return;
    }
}

void reply_final(const struct reply_context *context, const struct legacy *legacy,
                 struct result *result, bool refresh, struct str *body)
{
    size_t begin = body->len;
    if (legacy)
        legacy_prepare(legacy, result);
    bool copy =
        context->manifest->legacy_fields && result->err.code == ERR_NONE && result->base64.len > 0;
    if (write_final(context, legacy, result, copy, refresh, begin, body))
        return;
    if (copy) {
        text_list_add(&result->warnings,
                      str_format("audio_base64 is left out, since with it the reply would be over "
                                 "%lld bytes (worker.body_bytes_max): the audio is in audio.base64",
                                 (long long)context->manifest->body_bytes_max));
        if (write_final(context, legacy, result, false, refresh, begin, body))
            return;
    }
    refuse_size(context, result, body->len - begin);
    if (!write_final(context, legacy, result, false, refresh, begin, body))
        write_bare_failure(context, legacy, result, refresh, begin, body);
}

/* --- Streams and progress --------------------------------------------------------------------- */

static void write_stream_last(const struct result *result, struct str *chunk)
{
    str_putc(chunk, '{');
    result_write_members(result, chunk);
    put_error_fields(&result->err, chunk);
    str_putc(chunk, '}');
}

void reply_stream_last(const struct result *result, struct str *chunk)
{
    static char left_out[] = "words and subtitle_texts are left out, since with them the last "
                             "chunk would be over 900000 bytes";
    struct result last = *result; /* what it points to stays the caller's */
    size_t begin = chunk->len;
    last.base64 = (struct str){0};
    write_stream_last(&last, chunk);
    if (chunk->len - begin <= STREAM_LAST_MAX)
        return;
    last.word_count = 0;
    memset(last.subtitle_texts, 0, sizeof(last.subtitle_texts));
    last.warnings.items = mem_alloc_array(result->warnings.count + 1, sizeof(char *));
    if (result->warnings.count)
        memcpy(last.warnings.items, result->warnings.items,
               result->warnings.count * sizeof(char *));
    last.warnings.items[last.warnings.count++] = left_out;
    cut_to(chunk, begin);
    write_stream_last(&last, chunk);
    free(last.warnings.items);
}

void reply_final_stream(const struct reply_context *context, const struct result *result,
                        const struct str *chunks, bool refresh, struct str *body)
{
    static const size_t text_max[] = {REPORT_TEXT_MAX, REPORT_TEXT_MAX, REPORT_TEXT_MIN};
    size_t begin = body->len;
    for (int attempt = 0; attempt < 3; attempt++) { /* whole, without chunks, with less text */
        cut_to(body, begin);
        str_puts(body, "{\"output\":[");
        if (chunks && attempt == 0)
            str_append(body, str_text(chunks), chunks->len);
        str_putc(body, ']');
        put_end(context, NULL, result, refresh, text_max[attempt], body);
        if (body->len - begin <= (size_t)context->manifest->body_bytes_max)
            return;
    }
}

void reply_progress(double progress, struct str *body)
{
    int permille = progress > 0 ? (int)((progress < 1 ? progress : 1) * 1000 + 0.5) : 0;
    str_puts(body, "{\"status\":\"IN_PROGRESS\",\"output\":{\"progress\":");
    json_write_number(body, permille / 1000.0);
    str_puts(body, "}}");
}

void reply_chunk(uint64_t index, const struct audio_info *info, const void *data, size_t len,
                 struct str *chunk)
{
    str_printf(chunk, "{\"index\":%llu,\"audio_base64\":\"", (unsigned long long)index);
    str_append_base64(chunk, data, len);
    str_printf(chunk,
               "\",\"format\":\"%s\",\"encoding\":\"%s\",\"sample_rate\":%u,\"channels\":%u}",
               audio_format_names[info->format], audio_encoding_names[info->encoding],
               (unsigned)info->sample_rate, (unsigned)info->channels);
}

void reply_stream_body(const struct str *chunk, struct str *body)
{
    str_puts(body, "{\"output\":");
    str_append(body, str_text(chunk), chunk->len);
    str_putc(body, '}');
}
