/* Job files with a record on every line: JSON lines and plain text; see job_source_private.h. */
#include "front/batch/job_source_private.h"

#include <string.h>

/* One line into source->record, without its end. 1, 0 at the end of the file, or a negative code.
 * *whole: it had an end; *fits: it was within the limit, else the record is cut short. */
static int read_line(struct job_source *source, bool *whole, bool *fits, struct err *err)
{
    struct input *in = &source->in;
    int code;
    bool any = false;
    *whole = false;
    *fits = true;
    str_clear(&source->record);
    while ((code = input_fill(in, err)) > 0) {
        const char *begin = in->data + in->at;
        const char *end = memchr(begin, '\n', in->len - in->at);
        size_t len = end ? (size_t)(end - begin) : in->len - in->at;
        any = true;
        *fits = *fits && source_keep(source, begin, len);
        input_skip(in, end ? len + 1 : len);
        if (end) {
            *whole = true;
            break;
        }
    }
    if (code < 0)
        return code;
    if (source->record.len && source->record.data[source->record.len - 1] == '\r')
        source->record.data[--source->record.len] = '\0';
    return any;
}

/* The next line that is not blank; sets record->line, and record->err when the line is too long. */
static int next_line(struct job_source *source, struct job_record *record, bool *whole,
                     struct err *err)
{
    int code;
    bool fits;
    do {
        record->line = source->in.line;
        code = read_line(source, whole, &fits, err);
    } while (code > 0 && fits && text_is_blank(str_text(&source->record), source->record.len));
    if (code > 0 && !fits)
        source_fail_too_large(&record->err);
    return code;
}

static int next_jsonl(struct job_source *source, struct job_record *record, struct err *err)
{
    const struct str *text = &source->record;
    bool whole;
    int code = next_line(source, record, &whole, err);
    if (code <= 0 || record->err.code)
        return code;
    source_parse_object(source, record);
    if (!record->err.code)
        return 1;
    struct err cause = record->err;
    if (!whole && json_text_is_open(text->data, text->len))
        err_set(&record->err, cause.code, NULL,
                "%s (the file ends inside this line: was it cut off?)", cause.message);
    else if (text->data[strspn(text->data, " \t")] == '[')
        err_set(&record->err, cause.code, NULL,
                "%s (every line must be one job; a file with a JSON array is named .json)",
                cause.message);
    return 1;
}

static int next_text(struct job_source *source, struct job_record *record, struct err *err)
{
    const struct str *text = &source->record;
    bool whole;
    size_t bad;
    int code = next_line(source, record, &whole, err);
    if (code <= 0 || record->err.code)
        return code;
    const char *nul = memchr(text->data, '\0', text->len);
    if (nul) {
        err_set(&record->err, ERR_INVALID, "text", "byte %zu: a NUL byte is not allowed in text",
                (size_t)(nul - text->data) + 1);
    } else if (!utf8_valid(text->data, text->len, &bad)) {
        err_set(&record->err, ERR_INVALID, "text", "byte %zu: the byte 0x%02x is not UTF-8",
                bad + 1, (unsigned char)text->data[bad]);
    } else {
        record->json = cJSON_CreateObject();
        if (!cJSON_AddStringToObject(record->json, "text", text->data))
            return err_set(err, ERR_NO_MEMORY, NULL, "out of memory");
    }
    return 1;
}

const struct source_driver source_jsonl = {.next = next_jsonl};
const struct source_driver source_text = {.next = next_text};
