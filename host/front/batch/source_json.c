/* JSON job files as a stream; see job_source_private.h.
 *
 * Accepted: [job, ...]; {"jobs": [job, ...]} with nothing else in the object; and one object after
 * the other, each a job (so a single job and JSON lines under the name .json). Only where a job
 * ends is found here; its text then goes to json_parse, so a wrong job that is still balanced is
 * that record's error and the next one goes on. After what cannot be balanced nothing is read any
 * more.
 */
#include "front/batch/job_source_private.h"

/* Where a scan stands in JSON text. */
struct scan {
    int depth;
    bool in_string, escaped;
};

static void scan_byte(struct scan *s, char c)
{
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else
            s->in_string = c != '"';
    } else if (c == '"') {
        s->in_string = true;
    } else if (c == '{' || c == '[') {
        s->depth++;
    } else if ((c == '}' || c == ']') && s->depth > 0) {
        s->depth--;
    }
}

bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool json_text_is_open(const char *text, size_t len)
{
    struct scan s = {0};
    for (size_t i = 0; i < len; i++)
        scan_byte(&s, text[i]);
    return s.in_string || s.depth > 0;
}

enum prefix { PREFIX_NO, PREFIX_PART, PREFIX_YES };

/* Compares the text with {"jobs":[ between whose tokens white space may stand. *prefix_len: how
 * much of the text it takes. */
static enum prefix match_prefix(const char *text, size_t len, size_t *prefix_len)
{
    const char *expected = "{\"jobs\":[";
    struct scan s = {0};
    for (size_t i = 0; i < len; i++) {
        if (!s.in_string && json_is_space(text[i]))
            continue;
        if (text[i] != *expected++)
            return PREFIX_NO;
        scan_byte(&s, text[i]);
        if (!*expected) {
            *prefix_len = i + 1;
            return PREFIX_YES;
        }
    }
    return PREFIX_PART;
}

int json_find_jobs(struct input *in, size_t *prefix_len, struct err *err)
{
    int code;
    *prefix_len = 0;
    do {
        if (match_prefix(in->data + in->at, in->len - in->at, prefix_len) != PREFIX_PART)
            return 0;
    } while ((code = input_more(in, err)) > 0);
    return code;
}

static int open_json(struct job_source *source, struct err *err)
{
    struct input *in = &source->in;
    size_t prefix_len;
    int code = input_skip_space(in, err);
    if (code == 0)
        source->json.mode = JSON_ENDED;
    if (code <= 0)
        return code;
    if (in->data[in->at] == '[') {
        source->json.mode = JSON_ARRAY;
        input_skip(in, 1);
        return 0;
    }
    if (in->data[in->at] != '{')
        return err_set(err, ERR_INVALID, NULL,
                       "%s:%llu: expected a JSON array of jobs, or an object with \"jobs\"",
                       source->name, (unsigned long long)in->line);
    code = json_find_jobs(in, &prefix_len, err);
    source->json.mode = prefix_len ? JSON_WRAPPED : JSON_STREAM;
    input_skip(in, prefix_len);
    return code;
}

/* True when the byte, outside of any nesting, ends a record without being part of it. */
static bool ends_before(const struct job_source *source, const struct scan *s, char c)
{
    if (s->in_string || s->depth > 0)
        return false;
    return source->json.mode == JSON_STREAM ? c == '\n' : c == ',' || c == ']';
}

/* Reads the record that begins here into source->record. 1, 0 when the file ends in it, or a
 * negative code. */
static int read_record(struct job_source *source, bool *fits, struct err *err)
{
    struct input *in = &source->in;
    struct scan s = {0};
    int code;
    *fits = true;
    str_clear(&source->record);
    while ((code = input_fill(in, err)) > 0) {
        size_t count = 0, there = in->len - in->at;
        bool ended = false;
        while (count < there && !ended) {
            char c = in->data[in->at + count];
            ended = ends_before(source, &s, c);
            if (ended)
                break;
            scan_byte(&s, c);
            count++;
            ended = source->json.mode == JSON_STREAM && c == '}' && s.depth == 0 && !s.in_string;
        }
        *fits = *fits && source_keep(source, in->data + in->at, count);
        input_skip(in, count);
        if (ended)
            return 1;
    }
    if (code == 0 && source->json.mode == JSON_STREAM && !s.in_string && s.depth == 0)
        return 1; /* a word at the end of the file */
    return code;
}

/* A record that is nothing but an error, after which nothing is read. */
static int end_with_error(struct job_source *source, struct job_record *record, const char *message)
{
    source->json.mode = JSON_ENDED;
    err_set(&record->err, ERR_INVALID, NULL, "%s", message);
    return 1;
}

/* After the array's ']': what may follow it? */
static int close_array(struct job_source *source, struct job_record *record, struct err *err)
{
    struct input *in = &source->in;
    bool wrapped = source->json.mode == JSON_WRAPPED;
    source->json.mode = JSON_ENDED;
    int code = input_skip_space(in, err);
    if (wrapped && code >= 0) {
        record->line = in->line;
        if (code == 0)
            return end_with_error(source, record,
                                  "the file ends before the closing }: was it cut off?");
        if (in->data[in->at] != '}')
            return end_with_error(
                source, record,
                "expected } after the list \"jobs\" (nothing else may be in the object)");
        input_skip(in, 1);
        code = input_skip_space(in, err);
    }
    record->line = in->line;
    if (code > 0)
        return end_with_error(source, record, "text after the end of the list of jobs");
    return code;
}

/* Passes the comma behind an item of the array; the ']' stays. */
static int pass_comma(struct job_source *source, struct err *err)
{
    int code = input_fill(&source->in, err);
    source->json.after_comma = code > 0 && source->in.data[source->in.at] == ',';
    if (source->json.after_comma)
        input_skip(&source->in, 1);
    return code;
}

static int next_json(struct job_source *source, struct job_record *record, struct err *err)
{
    struct input *in = &source->in;
    bool fits, array = source->json.mode != JSON_STREAM;
    if (source->json.mode == JSON_ENDED)
        return 0;
    int code = input_skip_space(in, err);
    record->line = in->line;
    if (code < 0 || (code == 0 && !array))
        return code;
    if (code == 0)
        return end_with_error(source, record,
                              "the file ends before the closing ]: was it cut off?");
    if (array && in->data[in->at] == ']' && !source->json.after_comma) {
        input_skip(in, 1);
        return close_array(source, record, err);
    }
    code = read_record(source, &fits, err);
    if (code < 0)
        return code;
    if (code == 0)
        return end_with_error(source, record,
                              "the file ends inside the job that begins here: was it cut off?");
    if (array && (code = pass_comma(source, err)) < 0)
        return code;
    if (!fits)
        source_fail_too_large(&record->err);
    else if (source->record.len == 0)
        err_set(&record->err, ERR_INVALID, NULL, "expected a job, got nothing between the commas");
    else
        source_parse_object(source, record);
    return 1;
}

const struct source_driver source_json = {.open = open_json, .next = next_json};
