/* What the readers of job files share: the input (bytes with a line count), the source's state and
 * the driver that each format is. Seen by job_source.c and source_*.c only.
 */
#ifndef BATCH_JOB_SOURCE_PRIVATE_H
#define BATCH_JOB_SOURCE_PRIVATE_H

#include "front/batch/job_source.h"

/* --- Input (source_input.c) ------------------------------------------------------------------- */

#define INPUT_BLOCK_SIZE (1u << 16)

/* Bytes of a file or pipe. data[at .. len) are read and not yet used. */
struct input {
    int fd; /* -1: none */
    const char *name;
    const volatile sig_atomic_t *stop;
    char *data;
    size_t at, len;
    bool ended;
    uint64_t line;      /* of data[at], from 1 */
    uint64_t read_size; /* bytes read so far */
    uint64_t file_size; /* 0: not known */
};

int input_open(struct input *in, const char *path, const char *name,
               const volatile sig_atomic_t *stop, struct err *err);
/* Waits until there is something at `at`: 1, 0 at the end, or a negative code (ERR_CANCELLED:
 * *stop). */
int input_fill(struct input *in, struct err *err);
/* Reads more behind what is there: 1, 0 at the end or when the block is full, or a negative
 * code. */
int input_more(struct input *in, struct err *err);
/* Moves behind `count` of the bytes that are there and counts their lines. */
void input_skip(struct input *in, size_t count);
/* Moves to the first byte that is not white space: 1, 0 at the end, or a negative code. */
int input_skip_space(struct input *in, struct err *err);
void input_close(struct input *in);

/* --- Source ----------------------------------------------------------------------------------- */

struct csv_source; /* source_csv.c */
struct source_driver;

enum json_mode {
    JSON_ARRAY,   /* inside [...] */
    JSON_WRAPPED, /* inside {"jobs": [...]} */
    JSON_STREAM,  /* one object after the other */
    JSON_ENDED,
};

struct job_source {
    const struct source_driver *driver;
    char *name; /* as in messages */
    struct input in;
    uint64_t count;    /* records so far */
    struct str record; /* the bytes of the record being read */
    struct str place;  /* what job_source_place gave */
    union {
        struct {
            enum json_mode mode;
            bool after_comma;
        } json;
        struct {
            struct yaml_doc *doc; /* NULL: the list is the manifest's */
            const struct yaml_node *list;
            size_t next;
        } yaml;
        struct csv_source *csv;
    };
};

/* `open` may be NULL. A wrong record is 1 with record->err set. */
struct source_driver {
    int (*open)(struct job_source *source, struct err *err);
    int (*next)(struct job_source *source, struct job_record *record, struct err *err);
    double (*fraction)(const struct job_source *source);
    void (*close)(struct job_source *source);
};

extern const struct source_driver source_jsonl, source_text, source_json, source_yaml, source_list,
    source_csv;

/* Adds bytes to source->record up to JOB_RECORD_BYTES_MAX; false: there is no room for them. */
bool source_keep(struct job_source *source, const char *data, size_t len);
/* Says that a record is over JOB_RECORD_BYTES_MAX. */
void source_fail_too_large(struct err *err);
/* Parses source->record, which must be an object, into `record`. */
void source_parse_object(struct job_source *source, struct job_record *record);
bool json_is_space(char c);
/* True when the JSON text ends inside a string, an array or an object. */
bool json_text_is_open(const char *text, size_t len);
/* The length of {"jobs":[ with its white space if the input begins so, else 0; reads what is needed
 * to tell. 0 or a negative code. */
int json_find_jobs(struct input *in, size_t *prefix_len, struct err *err);

#endif
