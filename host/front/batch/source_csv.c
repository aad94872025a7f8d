/* CSV job files over libcsv; see job_source_private.h.
 *
 * The first row names the fields; "options.NAME" is a member of the job's options. An unquoted
 * empty cell is an absent field, a row of nothing else is a blank line. libcsv gets the file line
 * by line and calls back, so that after every line it is known whether a row is complete; a wrong
 * row ends with its line.
 */
#include "front/batch/job_source_private.h"

#include <csv.h>
#include <stdlib.h>
#include <string.h>

#define CSV_COLUMNS_MAX 1000
#define CSV_BLOCK_SIZE 4096
#define OPTIONS_PREFIX "options."
#define LIST_COLUMN "timestamps"
#define LIST_SEPARATORS " ,;"

struct cell {
    size_t at, len; /* in source->record, with a NUL behind */
    bool absent;
};

struct csv_source {
    struct csv_parser parser;
    char **columns;
    size_t column_count;
    struct cell cells[CSV_COLUMNS_MAX]; /* of the row being read */
    size_t cell_count;                  /* may be more than fit */
    struct str *text;                   /* source->record */
    uint64_t line;                      /* where the row begins */
    size_t size;                        /* of the row so far */
    bool begun, complete;
    bool in_quotes, after_quote; /* after_quote: the last byte was a quote */
    uint64_t quote_line;         /* where the quote that is open began */
};

/* --- Rows of cells ---------------------------------------------------------------------------- */

static void on_cell(void *data, size_t len, void *arg)
{
    struct csv_source *csv = arg;
    if (csv->cell_count < CSV_COLUMNS_MAX) {
        csv->cells[csv->cell_count] = (struct cell){csv->text->len, len, data == NULL};
        str_append(csv->text, data, len);
        str_putc(csv->text, '\0');
    }
    csv->cell_count++;
}

static void on_row(int end, void *arg)
{
    struct csv_source *csv = arg;
    (void)end;
    csv->complete = true;
}

static int is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r'; /* so that \r\n ends a line too */
}

static int is_end(unsigned char c)
{
    return c == '\n';
}

static void reset_parser(struct csv_source *csv)
{
    csv_free(&csv->parser);
    csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL);
    csv_set_space_func(&csv->parser, is_space);
    csv_set_term_func(&csv->parser, is_end);
    csv_set_blk_size(&csv->parser, CSV_BLOCK_SIZE);
    csv->in_quotes = csv->after_quote = false;
}

/* Follows the quotes, to know where one began that is never closed. */
static void follow_quotes(struct csv_source *csv, const char *text, size_t len, uint64_t line)
{
    for (size_t i = 0; i < len; i++) {
        bool quote = text[i] == '"';
        if (quote) {
            csv->in_quotes = !csv->in_quotes;
            if (csv->in_quotes && !csv->after_quote)
                csv->quote_line = line;
        }
        csv->after_quote = quote;
    }
}

/* The bytes up to and with the next line end, or all that are there. */
static size_t line_part(const struct input *in)
{
    const char *begin = in->data + in->at;
    const char *end = memchr(begin, '\n', in->len - in->at);
    return end ? (size_t)(end - begin) + 1 : in->len - in->at;
}

/* Passes over the rest of a wrong row: its line, and what its quotes span when `quoted`. */
static int skip_row(struct job_source *source, bool quoted, struct err *err)
{
    struct csv_source *csv = source->csv;
    struct input *in = &source->in;
    int code;
    bool ended = false;
    while (!ended && (code = input_fill(in, err)) > 0) {
        size_t len = line_part(in);
        if (quoted)
            follow_quotes(csv, in->data + in->at, len, in->line);
        ended = in->data[in->at + len - 1] == '\n' && !(quoted && csv->in_quotes);
        input_skip(in, len);
    }
    reset_parser(csv);
    return ended || code == 0 ? 1 : code;
}

static int end_of_file(struct csv_source *csv, struct err *row_err)
{
    if (!csv->begun)
        return 0;
    if (csv_fini(&csv->parser, on_cell, on_row, csv) != 0)
        err_set(row_err, ERR_INVALID, NULL,
                "the quote that begins in line %llu is not closed (was the file cut off?)",
                (unsigned long long)csv->quote_line);
    reset_parser(csv);
    return 1;
}

/* Hands a part of a line to libcsv. 1, or a negative code. */
static int feed(struct job_source *source, size_t len, struct err *row_err, struct err *err)
{
    struct csv_source *csv = source->csv;
    struct input *in = &source->in;
    if (len > JOB_RECORD_BYTES_MAX - csv->size) {
        source_fail_too_large(row_err);
        if (csv->in_quotes)
            err_set(row_err, ERR_INVALID, NULL,
                    "larger than the limit of %u bytes for one job: the quote that begins in line "
                    "%llu is not closed",
                    JOB_RECORD_BYTES_MAX, (unsigned long long)csv->quote_line);
        return skip_row(source, true, err);
    }
    follow_quotes(csv, in->data + in->at, len, in->line);
    csv->size += len;
    size_t used = csv_parse(&csv->parser, in->data + in->at, len, on_cell, on_row, csv);
    if (used == len) {
        input_skip(in, len);
        return 1;
    }
    if (csv_error(&csv->parser) != CSV_EPARSE)
        return err_set(err, ERR_NO_MEMORY, NULL, "%s: out of memory", source->name);
    err_set(row_err, ERR_INVALID, NULL,
            "a quote in a wrong place in line %llu (a cell with quotes is written in quotes, and "
            "each quote in it twice)",
            (unsigned long long)in->line);
    return skip_row(source, false, err);
}

/* The next row that is not blank, into csv->cells; `row_err` says what is wrong with it. 1, 0 at
 * the end of the file, or a negative code. */
static int read_row(struct job_source *source, struct err *row_err, struct err *err)
{
    struct csv_source *csv = source->csv;
    struct input *in = &source->in;
    int code;
    csv->cell_count = csv->size = 0;
    csv->begun = csv->complete = false;
    str_clear(csv->text);
    while (!csv->complete && !row_err->code) {
        code = input_fill(in, err);
        if (code < 0)
            return code;
        if (code == 0)
            return end_of_file(csv, row_err);
        size_t len = line_part(in);
        if (!csv->begun) {
            csv->line = in->line;
            csv->begun = !text_is_blank(in->data + in->at, len);
        }
        if (!csv->begun)
            input_skip(in, len);
        else if ((code = feed(source, len, row_err, err)) < 0)
            return code;
    }
    return 1;
}

/* --- The header ------------------------------------------------------------------------------- */

/* A copy of the cell without white space around it. */
static char *trimmed(const struct csv_source *csv, const struct cell *cell)
{
    const char *text = csv->text->data + cell->at;
    size_t len = cell->len;
    while (len && is_space((unsigned char)text[len - 1]))
        len--;
    while (len && is_space((unsigned char)*text)) {
        text++;
        len--;
    }
    return mem_copy_text(text, len);
}

/* NULL, or what is wrong with the bytes of a cell; *at is where, from 1. */
static const char *find_bad_byte(const struct csv_source *csv, const struct cell *cell, size_t *at)
{
    const char *text = csv->text->data + cell->at, *nul = memchr(text, '\0', cell->len);
    size_t bad;
    if (!utf8_valid(text, cell->len, &bad)) {
        *at = bad + 1;
        return "is not UTF-8";
    }
    if (nul) {
        *at = (size_t)(nul - text) + 1;
        return "is NUL";
    }
    return NULL;
}

/* Checks column `i` against those before it. */
static int check_column(const struct job_source *source, size_t i, struct err *err)
{
    const struct csv_source *csv = source->csv;
    const char *name = csv->columns[i];
    size_t prefix_len = strlen(OPTIONS_PREFIX), at;
    const char *bad = find_bad_byte(csv, &csv->cells[i], &at);
    unsigned long long line = csv->line;
    if (bad)
        return err_set(err, ERR_INVALID, NULL, "%s:%llu: the name of column %zu: byte %zu %s",
                       source->name, line, i + 1, at, bad);
    if (!*name || strcmp(name, OPTIONS_PREFIX) == 0)
        return err_set(err, ERR_INVALID, NULL, "%s:%llu: column %zu has no name", source->name,
                       line, i + 1);
    if (csv->cell_count == 1 && strpbrk(name, ";\t"))
        return err_set(err, ERR_INVALID, NULL, "%s:%llu: the columns must be separated by commas",
                       source->name, line);
    for (size_t k = 0; k < i; k++) {
        const char *other = csv->columns[k];
        if (strcmp(name, other) == 0)
            return err_set(err, ERR_INVALID, NULL,
                           "%s:%llu: columns %zu and %zu are both named \"%s\"", source->name, line,
                           k + 1, i + 1, name);
        if ((strcmp(name, "options") == 0 && strncmp(other, OPTIONS_PREFIX, prefix_len) == 0) ||
            (strcmp(other, "options") == 0 && strncmp(name, OPTIONS_PREFIX, prefix_len) == 0))
            return err_set(err, ERR_INVALID, NULL,
                           "%s:%llu: columns \"%s\" and \"%s\" exclude each other", source->name,
                           line, other, name);
    }
    return 0;
}

static int open_csv(struct job_source *source, struct err *err)
{
    struct err header_err = {0};
    struct csv_source *csv = source->csv = mem_alloc(sizeof(*csv));
    csv->text = &source->record;
    reset_parser(csv);
    int code = read_row(source, &header_err, err);
    if (code <= 0)
        return code;
    if (header_err.code)
        return err_set(err, header_err.code, NULL, "%s:%llu: %s", source->name,
                       (unsigned long long)csv->line, header_err.message);
    if (csv->cell_count > CSV_COLUMNS_MAX)
        return err_set(err, ERR_INVALID, NULL, "%s: %zu columns, more than the limit of %d",
                       source->name, csv->cell_count, CSV_COLUMNS_MAX);
    csv->columns = mem_alloc_array(csv->cell_count, sizeof(*csv->columns));
    for (size_t i = 0; i < csv->cell_count; i++) {
        csv->columns[i] = trimmed(csv, &csv->cells[i]);
        csv->column_count = i + 1;
        code = check_column(source, i, err);
        if (code)
            return code;
    }
    return 0;
}

/* --- Jobs ------------------------------------------------------------------------------------- */

/* "srt;vtt" as a list of strings; NULL: out of memory. */
static cJSON *make_list(const char *text)
{
    cJSON *list = cJSON_CreateArray();
    for (const char *p = text; list && *(p += strspn(p, LIST_SEPARATORS));) {
        size_t len = strcspn(p, LIST_SEPARATORS);
        char *word = mem_copy_text(p, len);
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(word))) {
            cJSON_Delete(list);
            list = NULL;
        }
        free(word);
        p += len;
    }
    return list;
}

/* False: out of memory. */
static bool add_cell(cJSON *job, const char *name, const char *text)
{
    size_t prefix_len = strlen(OPTIONS_PREFIX);
    cJSON *object = job;
    if (strncmp(name, OPTIONS_PREFIX, prefix_len) == 0) {
        object = cJSON_GetObjectItemCaseSensitive(job, "options");
        if (!object)
            object = cJSON_AddObjectToObject(job, "options");
        name += prefix_len;
    }
    cJSON *value = strcmp(name, LIST_COLUMN) == 0 && object == job ? make_list(text)
                                                                   : cJSON_CreateString(text);
    if (value && cJSON_AddItemToObject(object, name, value))
        return true;
    cJSON_Delete(value);
    return false;
}

/* The row as a job, or its error. 0 or a negative code. */
static int make_job(struct csv_source *csv, struct job_record *record, struct err *err)
{
    size_t at;
    if (csv->cell_count != csv->column_count) {
        err_set(&record->err, ERR_INVALID, NULL, "expected %zu cells as in the first row, got %zu",
                csv->column_count, csv->cell_count);
        return 0;
    }
    record->json = cJSON_CreateObject();
    for (size_t i = 0; i < csv->cell_count; i++) {
        const struct cell *cell = &csv->cells[i];
        const char *bad = find_bad_byte(csv, cell, &at);
        if (bad) {
            err_set(&record->err, ERR_INVALID, csv->columns[i],
                    "column \"%s\": byte %zu of the cell %s", csv->columns[i], at, bad);
            break;
        }
        if (!cell->absent && !add_cell(record->json, csv->columns[i], csv->text->data + cell->at)) {
            cJSON_Delete(record->json);
            record->json = NULL;
            return err_set(err, ERR_NO_MEMORY, NULL, "out of memory");
        }
    }
    if (record->err.code) {
        cJSON_Delete(record->json);
        record->json = NULL;
    }
    return 0;
}

static bool row_is_empty(const struct csv_source *csv)
{
    for (size_t i = 0; i < csv->cell_count && i < CSV_COLUMNS_MAX; i++)
        if (!csv->cells[i].absent)
            return false;
    return true;
}

static int next_csv(struct job_source *source, struct job_record *record, struct err *err)
{
    struct csv_source *csv = source->csv;
    int code;
    do
        code = read_row(source, &record->err, err);
    while (code > 0 && !record->err.code && row_is_empty(csv));
    if (code <= 0)
        return code;
    record->line = csv->line;
    record->loose = true;
    if (!record->err.code)
        code = make_job(csv, record, err);
    return code < 0 ? code : 1;
}

static void close_csv(struct job_source *source)
{
    struct csv_source *csv = source->csv;
    if (!csv)
        return;
    for (size_t i = 0; i < csv->column_count; i++)
        free(csv->columns[i]);
    free(csv->columns);
    csv_free(&csv->parser);
    free(csv);
}

const struct source_driver source_csv = {.open = open_csv, .next = next_csv, .close = close_csv};
