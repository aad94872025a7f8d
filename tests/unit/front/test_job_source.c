/* Job files of every format: which records they give, where each stands, and what is said of wrong ones. */
#include "front/batch/job_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* --- Helpers --------------------------------------------------------------------------------------------- */

struct world {
    char dir[32];
    char *path; /* the file of the last call of make_file */
    char *name;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    memcpy(w->dir, "/tmp/job-source-XXXXXX", 23);
    *state = w;
    return w && mkdtemp(w->dir) ? 0 : -1;
}

static void drop_file(struct world *w)
{
    if (w->path)
        unlink(w->path);
    free(w->path);
    free(w->name);
    w->path = w->name = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    drop_file(w);
    rmdir(w->dir);
    free(w);
    return 0;
}

static void make_file(struct world *w, const char *name, const char *data, size_t len)
{
    drop_file(w);
    w->path = fs_join(w->dir, name);
    w->name = mem_copy_string(name);
    int fd = open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, data, len), 0);
    close(fd);
}

static int open_path(const char *path, enum job_file_format format, struct job_source **source,
                     struct err *err)
{
    struct job_source_options options = {.path = path, .format = format};
    return job_source_open(&options, source, err);
}

/* Every record as "LINE JSON" or "LINE !FIELD: MESSAGE", a line each. */
static char *read_records(struct job_source *source)
{
    struct str out = {0};
    struct job_record record;
    struct err err = {0};
    uint64_t number = 0;
    int code;
    while ((code = job_source_next(source, &record, &err)) > 0) {
        assert_true(number == 0 || record.number == number + 1);
        number = record.number;
        assert_true((record.json != NULL) != (record.err.code != 0));
        str_printf(&out, "%" PRIu64 " ", record.line);
        if (record.json)
            json_write(&out, record.json);
        else
            str_printf(&out, "!%s: %s", record.err.field, record.err.message);
        str_putc(&out, '\n');
        cJSON_Delete(record.json);
    }
    assert_int_equal(code, 0);
    assert_int_equal(job_source_next(source, &record, &err), 0);
    return str_take(&out);
}

static void assert_bytes(struct world *w, const char *name, enum job_file_format format,
                         const char *data, size_t len, const char *expected)
{
    struct job_source *source;
    struct err err = {0};
    make_file(w, name, data, len);
    if (open_path(w->path, format, &source, &err))
        fail_msg("%s: %s", data, err.message);
    char *records = read_records(source);
    assert_string_equal(records, expected);
    free(records);
    job_source_close(source);
}

static void assert_records(struct world *w, const char *name, const char *text,
                           const char *expected)
{
    assert_bytes(w, name, JOB_FILE_AUTO, text, strlen(text), expected);
}

/* `message` follows the directory. */
static void assert_refused(struct world *w, const char *name, const char *text, const char *message)
{
    struct job_source *source = NULL;
    struct err err = {0};
    make_file(w, name, text, strlen(text));
    assert_int_equal(open_path(w->path, JOB_FILE_AUTO, &source, &err), ERR_INVALID);
    assert_null(source);
    size_t len = strlen(w->dir) + 1;
    assert_true(strlen(err.message) > len && strncmp(err.message, w->dir, len - 1) == 0);
    assert_string_equal(err.message + len, message);
}

/* --- JSON lines ------------------------------------------------------------------------------------------ */

static void jsonl_gives_a_record_per_line_and_skips_blank_ones(void **state)
{
    assert_records(*state, "a.jsonl",
                   "{\"text\":\"a\"}\n\n  \t\n{\"text\": \"b\", \"seed\": 1e0}\n",
                   "1 {\"text\":\"a\"}\n4 {\"text\":\"b\",\"seed\":1e0}\n");
    assert_records(*state, "a.NDJSON", "{\"text\":\"a\"}", "1 {\"text\":\"a\"}\n");
}

static void jsonl_takes_windows_line_ends_and_a_byte_order_mark(void **state)
{
    assert_records(*state, "a.jsonl", "\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}\r\n",
                   "1 {\"text\":\"a\"}\n3 {\"text\":\"b\"}\n");
    assert_records(*state, "a.jsonl", "\xef\xbb\xbf", "");
}

static void jsonl_goes_on_after_a_wrong_line(void **state)
{
    assert_records(
        *state, "a.jsonl",
        "{\"text\":1e999}\n[1]\n\"x\"\n{\"a\":1,\"a\":2}\nnonsense\n{\"text\":\"b\"}\n",
        "1 !: byte 9: the number 1e999 is beyond the range of a double\n"
        "2 !: expected an object with the fields of a job, got array (every line must be "
        "one job; a file with a JSON array is named .json)\n"
        "3 !: expected an object with the fields of a job, got string\n"
        "4 !: byte 8: the key \"a\" is already in this object\n"
        "5 !: byte 1: expected a value, got 'n'\n"
        "6 {\"text\":\"b\"}\n");
}

static void jsonl_reports_bytes_that_are_not_text(void **state)
{
    static const char data[] = "{\"text\":\"a\0b\"}\n{\"text\":\"\xff\"}\n{\"text\":\"c\"}\n";
    assert_bytes(*state, "a.jsonl", JOB_FILE_AUTO, data, sizeof(data) - 1,
                 "1 !: byte 11: the control character 0x00 must be escaped in a string\n"
                 "2 !: byte 10: the byte 0xff is not UTF-8\n"
                 "3 {\"text\":\"c\"}\n");
}

static void jsonl_says_when_the_last_line_is_cut_off(void **state)
{
    assert_records(*state, "a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b",
                   "1 {\"text\":\"a\"}\n"
                   "2 !: byte 9: the string that begins here has no closing '\"' (the file ends "
                   "inside this line: was it cut off?)\n");
    assert_records(*state, "a.jsonl", "{\"text\":01}",
                   "1 !: byte 10: expected no digit after a leading 0, got '1'\n");
}

static char *long_text(size_t len, const char *before, const char *after)
{
    struct str s = {0};
    str_puts(&s, before);
    char *fill = malloc(len);
    memset(fill, 'x', len);
    str_append(&s, fill, len);
    free(fill);
    str_puts(&s, after);
    return str_take(&s);
}

#define TOO_LARGE "larger than the limit of 8388608 bytes for one job"

static void a_record_over_the_limit_is_an_error_and_the_next_goes_on(void **state)
{
    char *text = long_text(JOB_RECORD_BYTES_MAX, "{\"text\":\"", "\"}\n{\"text\":\"b\"}\n");
    assert_records(*state, "a.jsonl", text, "1 !: " TOO_LARGE "\n2 {\"text\":\"b\"}\n");
    assert_bytes(*state, "a.txt", JOB_FILE_TEXT, text, strlen(text),
                 "1 !: " TOO_LARGE "\n2 {\"text\":\"{\\\"text\\\":\\\"b\\\"}\"}\n");
    free(text);
    text = long_text(JOB_RECORD_BYTES_MAX, "[{\"text\":\"", "\"},\n{\"text\":\"b\"}]\n");
    assert_records(*state, "a.json", text, "1 !: " TOO_LARGE "\n2 {\"text\":\"b\"}\n");
    free(text);
    text = long_text(JOB_RECORD_BYTES_MAX, "text\n", ",\"a\nb\"\"\"\nc\n");
    assert_records(*state, "a.csv", text, "2 !: " TOO_LARGE "\n4 {\"text\":\"c\"}\n");
    free(text);
}

static void a_record_at_the_limit_is_taken(void **state)
{
    struct job_source *source;
    struct job_record record;
    struct err err = {0};
    char *text = long_text(JOB_RECORD_BYTES_MAX - 11, "{\"text\":\"", "\"}");
    make_file(*state, "a.jsonl", text, strlen(text));
    free(text);
    assert_int_equal(open_path(((struct world *)*state)->path, JOB_FILE_AUTO, &source, &err), 0);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    assert_non_null(record.json);
    cJSON_Delete(record.json);
    job_source_close(source);
}

/* --- JSON ------------------------------------------------------------------------------------------------ */

static void json_array_gives_each_item_and_its_line(void **state)
{
    assert_records(
        *state, "a.json",
        "\n[ {\"text\":\"a]},[\\\"\"},\n\n  {\"text\":\"b\",\n \"options\":{\"x\":[1,2]}}\n , "
        "{}\n]\n\n",
        "2 {\"text\":\"a]},[\\\"\"}\n4 {\"text\":\"b\",\"options\":{\"x\":[1,2]}}\n6 {}\n");
    assert_records(*state, "a.JSON", "[{\"text\":\"a\"}]", "1 {\"text\":\"a\"}\n");
}

static void json_without_jobs_is_no_error(void **state)
{
    assert_records(*state, "a.json", "[]", "");
    assert_records(*state, "a.json", " [ \r\n ] ", "");
    assert_records(*state, "a.json", "", "");
    assert_records(*state, "a.json", "\n \n", "");
    assert_records(*state, "a.json", "{\"jobs\": []}", "");
    assert_records(*state, "a.jsonl", "\r\n\n", "");
    assert_records(*state, "a.csv", "", "");
    assert_records(*state, "a.csv", "text,id\r\n", "");
    assert_records(*state, "a.yaml", "", "");
    assert_records(*state, "a.yaml", "[]\n", "");
    assert_records(*state, "a.yaml", "jobs:\n", "");
    assert_records(*state, "none", "", "");
}

static void json_array_goes_on_after_a_wrong_item(void **state)
{
    assert_records(
        *state, "a.json", "[{\"text\":01},\n7,\n{\"a\":[}},\n{\n\"text\" 1},\n,{\"text\":\"b\"},]",
        "1 !: byte 10: expected no digit after a leading 0, got '1'\n"
        "2 !: expected an object with the fields of a job, got integer\n"
        "3 !: byte 7: expected a value, got '}'\n"
        "4 !: in this job's text: line 2, column 8 (byte 10): expected ':' after a key, got '1'\n"
        "6 !: expected a job, got nothing between the commas\n"
        "6 {\"text\":\"b\"}\n"
        "6 !: expected a job, got nothing between the commas\n");
}

static void json_that_is_cut_off_or_goes_on_says_where(void **state)
{
    assert_records(*state, "a.json", "[{\"text\":\"a\"},\n\n{\"text\":\"b\n\n",
                   "1 {\"text\":\"a\"}\n"
                   "3 !: the file ends inside the job that begins here: was it cut off?\n");
    assert_records(*state, "a.json", "[{\"text\":\"a\"}\n",
                   "1 !: the file ends inside the job that begins here: was it cut off?\n");
    assert_records(
        *state, "a.json", "[{\"text\":\"a\"},\n",
        "1 {\"text\":\"a\"}\n2 !: the file ends before the closing ]: was it cut off?\n");
    assert_records(*state, "a.json", "[]\n[]", "2 !: text after the end of the list of jobs\n");
}

static void json_object_with_jobs_is_a_list(void **state)
{
    assert_records(*state, "a.json", " {\n \"jobs\" :\n[{\"text\":\"a\"},\n{\"text\":\"b\"}]\n}\n",
                   "3 {\"text\":\"a\"}\n4 {\"text\":\"b\"}\n");
    assert_records(
        *state, "a.json", "{\"jobs\":[{\"text\":\"a\"}]",
        "1 {\"text\":\"a\"}\n1 !: the file ends before the closing }: was it cut off?\n");
    assert_records(*state, "a.json", "{\"jobs\":[],\n\"x\":1}",
                   "1 !: expected } after the list \"jobs\" (nothing else may be in the object)\n");
    assert_records(
        *state, "a.json", "{\"x\":1,\"jobs\":[]}",
        "1 !jobs: a list \"jobs\" must be the first and only member of a JSON file's one "
        "object\n");
}

static void json_takes_one_job_and_lines_of_jobs(void **state)
{
    assert_records(*state, "a.json", "{\n\"text\":\"a\"\n}\n", "1 {\"text\":\"a\"}\n");
    assert_records(*state, "a.json", "{\"text\":\"}\"}\n{\"text\":\"b\"} {\"text\":\"c\"}\n",
                   "1 {\"text\":\"}\"}\n2 {\"text\":\"b\"}\n2 {\"text\":\"c\"}\n");
    assert_records(*state, "a.json", "{}\n}\nword\n{\"text\":\"b\"}\n{\"text\":",
                   "1 {}\n2 !: byte 1: expected a value, got '}'\n"
                   "3 !: byte 1: expected a value, got 'w'\n4 {\"text\":\"b\"}\n"
                   "5 !: the file ends inside the job that begins here: was it cut off?\n");
    assert_refused(*state, "a.json", "\n\"text\"",
                   "a.json:2: expected a JSON array of jobs, or an object with \"jobs\"");
}

/* --- CSV ------------------------------------------------------------------------------------------------- */

static void csv_rows_are_objects_of_strings(void **state)
{
    assert_records(*state, "a.csv",
                   "id, text ,\"seed\",options.speed,options.style\n"
                   "1,\"say \"\"hi\"\", you\",7,1.5,\n"
                   "\n"
                   "2,,,,\"\"\n",
                   "2 {\"id\":\"1\",\"text\":\"say \\\"hi\\\", you\",\"seed\":\"7\","
                   "\"options\":{\"speed\":\"1.5\"}}\n"
                   "4 {\"id\":\"2\",\"options\":{\"style\":\"\"}}\n");
}

static void csv_takes_windows_line_ends_and_a_byte_order_mark(void **state)
{
    assert_records(*state, "a.CSV", "\xef\xbb\xbfid,text\r\n1,\"a\"\r\n\r\n2, b \r\n3,",
                   "2 {\"id\":\"1\",\"text\":\"a\"}\n4 {\"id\":\"2\",\"text\":\"b\"}\n"
                   "5 {\"id\":\"3\"}\n");
}

static void csv_lines_stay_exact_after_line_ends_in_quotes(void **state)
{
    assert_records(*state, "a.csv", "\"te\nxt\"\n\n\"a\n\nb\"\n\" c \"\n",
                   "4 {\"te\\nxt\":\"a\\n\\nb\"}\n7 {\"te\\nxt\":\" c \"}\n");
}

static void csv_skips_rows_of_nothing_but_empty_cells(void **state)
{
    assert_records(*state, "a.csv", "id,text\n,\n1,a\n,,,\n", "3 {\"id\":\"1\",\"text\":\"a\"}\n");
}

static void csv_splits_timestamps(void **state)
{
    assert_records(*state, "a.csv", "timestamps\nsrt;vtt\n\"srt, json\"\nass\n\"\"\n",
                   "2 {\"timestamps\":[\"srt\",\"vtt\"]}\n3 {\"timestamps\":[\"srt\",\"json\"]}\n"
                   "4 {\"timestamps\":[\"ass\"]}\n5 {\"timestamps\":[]}\n");
}

static void csv_goes_on_after_a_wrong_row(void **state)
{
    assert_records(*state, "a.csv", "id,text\n1\n2,a,b\n3,a\"b\n4,\"a\"b\n5,\"x\xff\"\n6,ok\n",
                   "2 !: expected 2 cells as in the first row, got 1\n"
                   "3 !: expected 2 cells as in the first row, got 3\n"
                   "4 !: a quote in a wrong place in line 4 (a cell with quotes is written in "
                   "quotes, and each "
                   "quote in it twice)\n"
                   "5 !: a quote in a wrong place in line 5 (a cell with quotes is written in "
                   "quotes, and each "
                   "quote in it twice)\n"
                   "6 !text: column \"text\": byte 2 of the cell is not UTF-8\n"
                   "7 {\"id\":\"6\",\"text\":\"ok\"}\n");
    static const char data[] = "text\na\0b\nc\n";
    assert_bytes(*state, "a.csv", JOB_FILE_AUTO, data, sizeof(data) - 1,
                 "2 !text: column \"text\": byte 2 of the cell is NUL\n3 {\"text\":\"c\"}\n");
}

static void csv_says_where_an_open_quote_began(void **state)
{
    assert_records(*state, "a.csv", "id,text\n1,a\n\"2\n2\",\"b \"\"\nc\n\"\"d\n",
                   "2 {\"id\":\"1\",\"text\":\"a\"}\n"
                   "3 !: the quote that begins in line 4 is not closed (was the file cut off?)\n");
    char *text = long_text(JOB_RECORD_BYTES_MAX, "text\na\n\"b\n", "\n\"\nc\n");
    assert_records(*state, "a.csv", text,
                   "2 {\"text\":\"a\"}\n3 !: " TOO_LARGE
                   ": the quote that begins in line 3 is not closed\n6 {\"text\":\"c\"}\n");
    free(text);
}

static void csv_with_a_wrong_header_is_refused(void **state)
{
    assert_refused(*state, "a.csv", "id,text,id\n1,a,b\n",
                   "a.csv:1: columns 1 and 3 are both named \"id\"");
    assert_refused(*state, "a.csv", "\nid,,text\n", "a.csv:2: column 2 has no name");
    assert_refused(*state, "a.csv", "id,\" \"\n", "a.csv:1: column 2 has no name");
    assert_refused(*state, "a.csv", "options.\n", "a.csv:1: column 1 has no name");
    assert_refused(*state, "a.csv", "options.a,options\n",
                   "a.csv:1: columns \"options.a\" and \"options\" exclude each other");
    assert_refused(*state, "a.csv", "id;text\n1;a\n",
                   "a.csv:1: the columns must be separated by commas");
    assert_refused(*state, "a.csv", "id,te\xff\n",
                   "a.csv:1: the name of column 2: byte 3 is not UTF-8");
    assert_refused(
        *state, "a.csv", "id,\"text\n1,a\n",
        "a.csv:1: the quote that begins in line 1 is not closed (was the file cut off?)");
}

/* --- Text ------------------------------------------------------------------------------------------------ */

static void text_lines_are_jobs(void **state)
{
    static const char data[] = "\xef\xbb\xbfHello.\r\n\n  \xc3\xa4 \"x\" \nbad\0one\nb\xff\n{last";
    assert_bytes(*state, "a.txt", JOB_FILE_TEXT, data, sizeof(data) - 1,
                 "1 {\"text\":\"Hello.\"}\n3 {\"text\":\"  \xc3\xa4 \\\"x\\\" \"}\n"
                 "4 !text: byte 4: a NUL byte is not allowed in text\n"
                 "5 !text: byte 2: the byte 0xff is not UTF-8\n6 {\"text\":\"{last\"}\n");
}

/* --- YAML and the manifest's list -------------------------------------------------------------------------- */

static void yaml_list_and_map_give_jobs(void **state)
{
    assert_records(
        *state, "a.yaml",
        "\xef\xbb\xbf# jobs\r\n- text: \"${HOME}\"\r\n  seed: 7\r\n- {text: no}\r\n- 3\r\n",
        "2 {\"text\":\"${HOME}\",\"seed\":7}\n4 {\"text\":\"no\"}\n"
        "5 !: expected a map with the fields of a job, got a single value\n");
    assert_records(*state, "a.yml", "jobs:\n  - text: a\n  - [b]\n",
                   "2 {\"text\":\"a\"}\n"
                   "3 !: expected a map with the fields of a job, got a list\n");
}

static void yaml_that_is_wrong_as_a_whole_is_refused(void **state)
{
    static const char expected[] =
        "expected a list of jobs, or a map with nothing but the list \"jobs\"";
    char message[256];
    static const struct {
        const char *text, *place;
    } cases[] = {{"text: a\n", "1:1"},
                 {"jobs: [{text: a}]\nx: 1\n", "2:1"},
                 {"jobs: a\n", "1:7"},
                 {"\nword\n", "2:1"},
                 {"jobs: {text: a}\n", "1:7"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(message, sizeof(message), "a.yaml:%s: %s", cases[i].place, expected);
        assert_refused(*state, "a.yaml", cases[i].text, message);
    }
    struct world *w = *state;
    struct job_source *source;
    struct err err = {0};
    make_file(w, "a.yaml", "- {text: a\n- b: [\n", 18);
    assert_int_equal(open_path(w->path, JOB_FILE_AUTO, &source, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "a.yaml:"));
    assert_null(strchr(err.message, '\n'));
}

static void yaml_over_the_limit_is_refused(void **state)
{
    char *text = long_text(JOB_YAML_BYTES_MAX, "- text: ", "\n");
    assert_refused(
        *state, "a.yaml", text,
        "a.yaml: larger than the limit of 16777216 bytes for YAML, which is read whole (use "
        "JSON lines)");
    free(text);
}

static void the_manifests_list_gives_jobs(void **state)
{
    (void)state;
    static const char text[] = "version: 1\njobs:\n  - text: a\n  - text: b\n";
    struct problems problems = {.file = "m.yaml"};
    struct yaml_doc *doc =
        yaml_parse(text, sizeof(text) - 1, &YAML_LIMITS_DEFAULT, NULL, NULL, &problems);
    struct job_source_options options = {.list_file = "m.yaml"};
    struct job_source *source;
    struct job_record record;
    struct err err = {0};
    assert_non_null(doc);
    options.list = yaml_get(yaml_root(doc), "jobs");
    assert_int_equal(job_source_open(&options, &source, &err), 0);
    assert_true(job_source_fraction(source) == 0);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    assert_string_equal(job_source_place(source, &record), "m.yaml:3");
    assert_true(record.loose);
    assert_true(job_source_fraction(source) == 0.5);
    cJSON_Delete(record.json);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    assert_string_equal(job_source_place(source, &record), "m.yaml:4");
    cJSON_Delete(record.json);
    char *rest = read_records(source);
    assert_string_equal(rest, "");
    free(rest);
    job_source_close(source);
    options.list = yaml_get(yaml_root(doc), "version");
    assert_int_equal(job_source_open(&options, &source, &err), ERR_INVALID);
    assert_string_equal(err.message, "m.yaml:1:10: jobs: expected a list");
    yaml_destroy(doc);
}

/* --- Which format, which place ------------------------------------------------------------------------------ */

static void the_format_is_told_by_name_then_by_content(void **state)
{
    assert_records(*state, "jobs", "\n\n [{\"text\":\"a\"}]", "3 {\"text\":\"a\"}\n");
    assert_records(*state, "jobs.dat", "\n{\"text\":\"a\"}\n{\"text\":\n",
                   "2 {\"text\":\"a\"}\n"
                   "3 !: byte 9: expected a value, got the end of the text\n");
    assert_records(*state, "jobs", "{\n\"jobs\":[\n{\"text\":\"a\"}]}", "3 {\"text\":\"a\"}\n");
    assert_bytes(
        *state, "jobs.json", JOB_FILE_JSONL, "{}\n{", 4,
        "1 {}\n2 !: byte 2: expected a key in double quotes, got the end of the text (the file "
        "ends inside this line: was it cut off?)\n");
    assert_refused(*state, "jobs.txt", "{}\n",
                   "jobs.txt: plain text: give --text-lines to speak every line as a job");
    assert_refused(
        *state, "jobs", "Hello.\n",
        "jobs: cannot tell the format: expected JSON lines or a JSON array, a name that ends "
        "in .jsonl .json .yaml .yml or .csv, or --text-lines for plain text");
    assert_refused(*state, "jobs.jsonl", "\xff\xfe{", "jobs.jsonl: is UTF-16, expected UTF-8");
}

static void what_cannot_be_read_is_refused(void **state)
{
    struct world *w = *state;
    struct job_source *source = NULL;
    struct err err = {0};
    char *path = fs_join(w->dir, "none.jsonl"), message[256];
    assert_int_equal(open_path(path, JOB_FILE_AUTO, &source, &err), ERR_INVALID);
    snprintf(message, sizeof(message), "%s: cannot be read: No such file or directory", path);
    assert_string_equal(err.message, message);
    assert_int_equal(open_path(w->dir, JOB_FILE_AUTO, &source, &err), ERR_INVALID);
    snprintf(message, sizeof(message), "%s: is a directory, expected a job file", w->dir);
    assert_string_equal(err.message, message);
    make_file(w, "closed.jsonl", "{}", 2);
    assert_int_equal(chmod(w->path, 0), 0);
    if (geteuid() != 0)
        assert_int_equal(open_path(w->path, JOB_FILE_AUTO, &source, &err), ERR_INVALID);
    assert_null(source);
    free(path);
}

static void places_and_fractions_follow_the_records(void **state)
{
    struct world *w = *state;
    struct job_source *source;
    struct job_record record;
    struct err err = {0};
    char *expected = str_format("%s/a.jsonl:2", w->dir);
    make_file(w, "a.jsonl", "\n{}\n{}\n ", 8);
    assert_int_equal(open_path(w->path, JOB_FILE_AUTO, &source, &err), 0);
    assert_true(job_source_fraction(source) == 0);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    assert_string_equal(job_source_place(source, &record), expected);
    assert_false(record.loose);
    assert_true(job_source_fraction(source) == 0.5);
    cJSON_Delete(record.json);
    char *rest = read_records(source);
    assert_string_equal(rest, "3 {}\n");
    assert_true(job_source_fraction(source) == 1);
    free(rest);
    job_source_close(source);
    free(expected);
}

/* --- Pipes and stopping -------------------------------------------------------------------------------------- */

static int pipe_ends[2];

/* Makes standard input a pipe; returns the saved one. */
static int stdin_from_pipe(void)
{
    int saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(pipe_ends), 0);
    assert_true(dup2(pipe_ends[0], STDIN_FILENO) >= 0);
    close(pipe_ends[0]);
    return saved;
}

static void restore_stdin(int saved)
{
    dup2(saved, STDIN_FILENO);
    close(saved);
}

static void *write_slowly(void *arg)
{
    for (const char *p = arg; *p; p++) {
        assert_int_equal(write(pipe_ends[1], p, 1), 1);
        usleep(500);
    }
    close(pipe_ends[1]);
    return NULL;
}

static void standard_input_is_read_byte_by_byte_if_it_comes_so(void **state)
{
    static char text[] = "\xef\xbb\xbf {\n\"jobs\" : [ {\"text\":\"a\"},\n{\"text\":\"b\"} ] }";
    (void)state;
    struct job_source *source;
    struct job_record record;
    struct err err = {0};
    pthread_t writer;
    int saved = stdin_from_pipe();
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, text), 0);
    assert_int_equal(open_path("-", JOB_FILE_AUTO, &source, &err), 0);
    assert_true(job_source_fraction(source) < 0);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    assert_string_equal(job_source_place(source, &record), "(standard input):2");
    cJSON_Delete(record.json);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    assert_int_equal(record.line, 3);
    cJSON_Delete(record.json);
    char *rest = read_records(source);
    assert_string_equal(rest, "");
    free(rest);
    job_source_close(source);
    pthread_join(writer, NULL);
    restore_stdin(saved);
}

static volatile sig_atomic_t stop;

static void on_alarm(int number)
{
    (void)number;
    stop = 1;
}

/* Sets `stop` from a signal handler a little later. */
static void stop_soon(void)
{
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval timer = {.it_value = {.tv_usec = 50000}};
    stop = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void waiting_ends_when_stop_is_set(void **state)
{
    (void)state;
    struct job_source_options options = {.path = "-", .stop = &stop};
    struct job_source *source;
    struct job_record record;
    struct err err = {0};
    int saved = stdin_from_pipe();
    stop = 0;
    assert_int_equal(write(pipe_ends[1], "{}\n{", 4), 4);
    assert_int_equal(job_source_open(&options, &source, &err), 0);
    assert_int_equal(job_source_next(source, &record, &err), 1);
    cJSON_Delete(record.json);
    stop_soon();
    assert_int_equal(job_source_next(source, &record, &err), ERR_CANCELLED);
    assert_int_equal(err.code, ERR_CANCELLED);
    assert_int_equal(job_source_next(source, &record, &err), ERR_CANCELLED);
    job_source_close(source);
    close(pipe_ends[1]);
    restore_stdin(saved);
    stop = 0;
}

static void a_named_pipe_without_writer_can_be_stopped(void **state)
{
    struct world *w = *state;
    struct job_source *source = NULL;
    struct err err = {0};
    drop_file(w);
    w->path = fs_join(w->dir, "pipe.jsonl");
    assert_int_equal(mkfifo(w->path, 0600), 0);
    struct job_source_options options = {.path = w->path, .stop = &stop};
    stop_soon();
    assert_int_equal(job_source_open(&options, &source, &err), ERR_CANCELLED);
    assert_null(source);
    stop = 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonl_gives_a_record_per_line_and_skips_blank_ones),
        cmocka_unit_test(jsonl_takes_windows_line_ends_and_a_byte_order_mark),
        cmocka_unit_test(jsonl_goes_on_after_a_wrong_line),
        cmocka_unit_test(jsonl_reports_bytes_that_are_not_text),
        cmocka_unit_test(jsonl_says_when_the_last_line_is_cut_off),
        cmocka_unit_test(a_record_over_the_limit_is_an_error_and_the_next_goes_on),
        cmocka_unit_test(a_record_at_the_limit_is_taken),
        cmocka_unit_test(json_array_gives_each_item_and_its_line),
        cmocka_unit_test(json_without_jobs_is_no_error),
        cmocka_unit_test(json_array_goes_on_after_a_wrong_item),
        cmocka_unit_test(json_that_is_cut_off_or_goes_on_says_where),
        cmocka_unit_test(json_object_with_jobs_is_a_list),
        cmocka_unit_test(json_takes_one_job_and_lines_of_jobs),
        cmocka_unit_test(csv_rows_are_objects_of_strings),
        cmocka_unit_test(csv_takes_windows_line_ends_and_a_byte_order_mark),
        cmocka_unit_test(csv_lines_stay_exact_after_line_ends_in_quotes),
        cmocka_unit_test(csv_skips_rows_of_nothing_but_empty_cells),
        cmocka_unit_test(csv_splits_timestamps),
        cmocka_unit_test(csv_goes_on_after_a_wrong_row),
        cmocka_unit_test(csv_says_where_an_open_quote_began),
        cmocka_unit_test(csv_with_a_wrong_header_is_refused),
        cmocka_unit_test(text_lines_are_jobs),
        cmocka_unit_test(yaml_list_and_map_give_jobs),
        cmocka_unit_test(yaml_that_is_wrong_as_a_whole_is_refused),
        cmocka_unit_test(yaml_over_the_limit_is_refused),
        cmocka_unit_test(the_manifests_list_gives_jobs),
        cmocka_unit_test(the_format_is_told_by_name_then_by_content),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(places_and_fractions_follow_the_records),
        cmocka_unit_test(standard_input_is_read_byte_by_byte_if_it_comes_so),
        cmocka_unit_test(waiting_ends_when_stop_is_set),
        cmocka_unit_test(a_named_pipe_without_writer_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
