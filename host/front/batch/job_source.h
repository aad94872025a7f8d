/* Where the jobs of a batch come from: JSON lines, a JSON array, YAML, CSV, plain text lines, or
 * the manifest's own list. Read as a stream, record by record, so that memory does not grow with
 * the file (YAML is read whole and limited to 16 MiB). Makes JSON objects; what a job means is
 * job/'s business.
 */
#ifndef BATCH_JOB_SOURCE_H
#define BATCH_JOB_SOURCE_H

#include "base/base.h"

#include <signal.h>

enum job_file_format {
    JOB_FILE_AUTO, /* by extension, else by the first characters */
    JOB_FILE_JSONL,
    JOB_FILE_JSON, /* an array of jobs, {"jobs": [...]}, or job objects one after the other */
    JOB_FILE_YAML, /* a list of jobs, or a map with "jobs" */
    JOB_FILE_CSV,  /* first row: names of fields; "options.NAME" for options; empty cell: absent */
    JOB_FILE_TEXT, /* a line is the text of a job */
};

#define JOB_RECORD_BYTES_MAX (8u << 20) /* of one record */
#define JOB_YAML_BYTES_MAX (16u << 20)

struct job_source_options {
    const char *path;             /* "-": standard input; NULL: `list` */
    const struct yaml_node *list; /* the manifest's jobs */
    const char *list_file;        /* the manifest's name, for messages */
    enum job_file_format format;
    const volatile sig_atomic_t
        *stop; /* when set, waiting for input ends; a signal interrupts the wait */
};

/* One record of the source. */
struct job_record {
    uint64_t number; /* from 1 */
    uint64_t line;   /* where it begins; 0: not known */
    cJSON *json;     /* an object, the caller's; NULL: the record is wrong, see `err` */
    bool loose;      /* CSV and YAML: numbers may be text and text may look like a number */
    struct err err;
};

struct job_source;

/* ERR_INVALID when the source cannot be read, or is a YAML, JSON or CSV file that is wrong as a
 * whole; ERR_CANCELLED after *stop. */
int job_source_open(const struct job_source_options *options, struct job_source **source,
                    struct err *err);
/* The next record: 1, or 0 at the end, or ERR_CANCELLED after *stop, or another negative code when
 * nothing more can be read. A wrong record is 1 with record->err, and the next call goes on after
 * it where the format allows that (JSON lines, CSV, text). */
int job_source_next(struct job_source *source, struct job_record *record, struct err *err);
/* "jobs.jsonl:17" for messages; borrowed until the next call. */
const char *job_source_place(struct job_source *source, const struct job_record *record);
/* How much has been read, 0..1; negative when not known (a pipe). */
double job_source_fraction(const struct job_source *source);
void job_source_close(struct job_source *source);

#endif
