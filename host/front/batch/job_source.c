/* Where the jobs of a batch come from; see job_source.h. Chooses the format and hands its records
 * on; the formats are source_lines.c, source_json.c, source_yaml.c and source_csv.c over
 * source_input.c.
 */
#include "front/batch/job_source_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STDIN_NAME "(standard input)"

/* --- For the formats -------------------------------------------------------------------------- */

bool source_keep(struct job_source *source, const char *data, size_t len)
{
    if (len > JOB_RECORD_BYTES_MAX - source->record.len)
        return false;
    str_append(&source->record, data, len);
    return true;
}

void source_fail_too_large(struct err *err)
{
    err_set(err, ERR_INVALID, NULL, "larger than the limit of %u bytes for one job",
            JOB_RECORD_BYTES_MAX);
}

void source_parse_object(struct job_source *source, struct job_record *record)
{
    struct str *text = &source->record;
    while (text->len && json_is_space(text->data[text->len - 1]))
        text->data[--text->len] = '\0';
    cJSON *json = json_parse(str_text(text), text->len, &JSON_LIMITS_DEFAULT, &record->err);
    if (!json) {
        if (memchr(str_text(text), '\n', text->len))
            err_prefix(&record->err, "in this job's text"); /* its lines count from 1 */
    } else if (!cJSON_IsObject(json)) {
        err_set(&record->err, ERR_INVALID, NULL,
                "expected an object with the fields of a job, got %s", json_kind(json));
    } else if (cJSON_IsArray(json_get(json, "jobs"))) {
        err_set(&record->err, ERR_INVALID, "jobs",
                "a list \"jobs\" must be the first and only member of a JSON file's one object");
    } else {
        record->json = json;
        return;
    }
    cJSON_Delete(json);
}

/* --- Choosing --------------------------------------------------------------------------------- */

static const struct {
    const char *extension;
    enum job_file_format format;
} extensions[] = {
    {".jsonl", JOB_FILE_JSONL}, {".ndjson", JOB_FILE_JSONL}, {".json", JOB_FILE_JSON},
    {".yaml", JOB_FILE_YAML},   {".yml", JOB_FILE_YAML},     {".csv", JOB_FILE_CSV},
};

/* By the first characters; an empty file is an empty file of JSON lines. */
static int choose_by_content(struct input *in, enum job_file_format *format, struct err *err)
{
    size_t prefix_len;
    int code = input_skip_space(in, err);
    *format = JOB_FILE_JSONL;
    if (code <= 0)
        return code;
    if (in->data[in->at] == '[') {
        *format = JOB_FILE_JSON;
        return 0;
    }
    if (in->data[in->at] != '{')
        return err_set(
            err, ERR_INVALID, NULL,
            "%s: cannot tell the format: expected JSON lines or a JSON array, a name that "
            "ends in .jsonl .json .yaml .yml or .csv, or --text-lines for plain text",
            in->name);
    code = json_find_jobs(in, &prefix_len, err);
    if (prefix_len)
        *format = JOB_FILE_JSON;
    return code;
}

static int choose(struct input *in, const char *path, enum job_file_format *format, struct err *err)
{
    const char *dot = strrchr(fs_name_of(path), '.');
    for (size_t i = 0; dot && i < sizeof(extensions) / sizeof(extensions[0]); i++)
        if (text_equal_nocase(dot, extensions[i].extension)) {
            *format = extensions[i].format;
            return 0;
        }
    if (dot && text_equal_nocase(dot, ".txt"))
        return err_set(err, ERR_INVALID, NULL,
                       "%s: plain text: give --text-lines to speak every line as a job", in->name);
    return choose_by_content(in, format, err);
}

static const struct source_driver *driver_of(enum job_file_format format)
{
    switch (format) {
    case JOB_FILE_JSON:
        return &source_json;
    case JOB_FILE_YAML:
        return &source_yaml;
    case JOB_FILE_CSV:
        return &source_csv;
    case JOB_FILE_TEXT:
        return &source_text;
    case JOB_FILE_JSONL:
    case JOB_FILE_AUTO:
        break;
    }
    return &source_jsonl;
}

/* --- The source ------------------------------------------------------------------------------- */

static int open_source(struct job_source *source, const struct job_source_options *options,
                       struct err *err)
{
    enum job_file_format format = options->format;
    if (!options->path) {
        source->driver = &source_list;
        source->name = mem_copy_string(options->list_file);
        source->yaml.list = options->list;
        return source_list.open(source, err);
    }
    source->name = mem_copy_string(strcmp(options->path, "-") == 0 ? STDIN_NAME : options->path);
    int code = input_open(&source->in, options->path, source->name, options->stop, err);
    if (code)
        return code;
    if (format == JOB_FILE_AUTO)
        code = choose(&source->in, options->path, &format, err);
    if (code)
        return code;
    source->driver = driver_of(format);
    return source->driver->open ? source->driver->open(source, err) : 0;
}

int job_source_open(const struct job_source_options *options, struct job_source **source,
                    struct err *err)
{
    struct job_source *made = mem_alloc(sizeof(*made));
    made->in = (struct input){.fd = -1, .stop = options->stop};
    int code = open_source(made, options, err);
    if (code) {
        job_source_close(made);
        return code;
    }
    *source = made;
    return 0;
}

int job_source_next(struct job_source *source, struct job_record *record, struct err *err)
{
    *record = (struct job_record){0};
    if (source->in.stop && *source->in.stop)
        return err_set(err, ERR_CANCELLED, NULL, "%s: reading was stopped", source->name);
    int code = source->driver->next(source, record, err);
    if (code > 0)
        record->number = ++source->count;
    return code;
}

const char *job_source_place(struct job_source *source, const struct job_record *record)
{
    str_clear(&source->place);
    str_puts(&source->place, source->name);
    if (record->line)
        str_printf(&source->place, ":%" PRIu64, record->line);
    return str_text(&source->place);
}

double job_source_fraction(const struct job_source *source)
{
    const struct input *in = &source->in;
    if (source->driver->fraction)
        return source->driver->fraction(source);
    if (in->ended && in->at == in->len)
        return 1;
    if (!in->file_size)
        return -1;
    double fraction = (double)(in->read_size - (in->len - in->at)) / (double)in->file_size;
    return fraction < 1 ? fraction : 1; /* the file may have grown */
}

void job_source_close(struct job_source *source)
{
    if (!source)
        return;
    if (source->driver && source->driver->close)
        source->driver->close(source);
    input_close(&source->in);
    str_finish(&source->record);
    str_finish(&source->place);
    free(source->name);
    free(source);
}
