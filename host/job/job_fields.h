/* The fields of a job and its operations: tables for the parser and the reference, and reading
 * values by their type. Inside host/job only.
 */
#ifndef JOB_FIELDS_H
#define JOB_FIELDS_H

#include "job/job.h"

enum field {
    FIELD_ID,
    FIELD_OP,
    FIELD_MODEL_TYPE,
    FIELD_TEXT,
    FIELD_TEXT_FILE,
    FIELD_VOICE,
    FIELD_VOICE_TEXT,
    FIELD_VOICE_PROFILE,
    FIELD_LANGUAGE,
    FIELD_SEED,
    FIELD_SPEED,
    FIELD_FORMAT,
    FIELD_ENCODING,
    FIELD_SAMPLE_RATE,
    FIELD_OUTPUT,
    FIELD_TIMESTAMPS,
    FIELD_TIMEOUT_S,
    FIELD_STREAM,
    FIELD_OPTIONS,
    FIELD_RESPONSE,
    FIELD_USER_ID,
    FIELD_STORY_ID,
    FIELD_METADATA,
    FIELD_NAME,
    FIELD_AUDIO,
    FIELD_CONSENT,
    FIELD_REPLACE,
    FIELD_SAMPLE,
    FIELD_SAMPLE_TEXT,
    FIELD_CURSOR,
    FIELD_LIMIT,
    FIELD_JOB_ID,
    FIELD_TYPE,
    FIELD_RETURN_WORD_TIMINGS,
    FIELD_TIMING_FORMAT,
    FIELD_CALLBACK_URL, /* these two: read by job_caller_read */
    FIELD_ERROR_CALLBACK_URL,
    FIELD_COUNT,
};

enum field_type {
    TYPE_TEXT,
    TYPE_VOICE,
    TYPE_INTEGER,
    TYPE_NUMBER,
    TYPE_BOOL,
    TYPE_NAMES,
    TYPE_OPTIONS
};

struct field_spec {
    const char *name;
    enum field_type type;
    double minimum, maximum;
    const char *const *choices; /* TEXT and NAMES */
    size_t choice_count;
    const char *fallback; /* for the reference */
    const char *help;
};

extern const struct field_spec job_fields[FIELD_COUNT];

#define FIELD_BIT(field) (UINT64_C(1) << (field))
#define OP_BIT(op) (1u << (op))

/* What a job may ask for. */
struct op_spec {
    const char *name;
    uint64_t fields; /* that it takes, as FIELD_BIT */
    const char *help;
};
extern const struct op_spec job_ops[OP_COUNT];

/* What other clients call our operations, as `endpoint` and `action`; `why` set: refused with that
 * reason. */
struct op_alias {
    const char *name;
    enum job_op op;
    const char *why;
};
extern const struct op_alias job_op_aliases[];
extern const size_t job_op_alias_count;

/* What other clients call our fields; `ops`: in these operations, as OP_BIT. */
struct field_alias {
    const char *name;
    enum field field;
    unsigned ops;
};
extern const struct field_alias job_aliases[];
extern const size_t job_alias_count;

/* Fields of older clients that have no meaning here. */
enum older_fate { OLDER_KEPT, OLDER_IGNORED, OLDER_REFUSED };
struct older_field {
    const char *name;
    enum older_fate fate; /* KEPT: in the job's metadata */
    const char *why;      /* for the warning or the refusal */
};
extern const struct older_field job_older_fields[];
extern const size_t job_older_field_count;

/* --- Reading ---------------------------------------------------------------------------------- */

/* The members of a job, sorted. */
struct given {
    const cJSON *values[FIELD_COUNT]; /* NULL: absent or null */
    const struct job_context *context;
    bool is_cloning; /* of the older system that always spoke a sample of a new voice */
};

/* Finds the operation: by name, by an older selector, or by fields that only one has. */
int given_op(const cJSON *json, enum job_op *op, bool *is_cloning, struct err *err);
/* Sorts the members of `json` for job->op; warnings and what is kept go into the job. */
int given_sort(const cJSON *json, struct given *given, struct job *job, struct err *err);

int given_wrong(enum field field, const cJSON *value, const char *expected, struct err *err);
/* *text is NULL when absent; borrowed from the JSON. */
int given_text(const struct given *given, enum field field, const char **text, struct err *err);
/* *index is -1 when absent. */
int given_choice(const struct given *given, enum field field, int *index, struct err *err);
int given_wrong_choice(enum field field, const char *text, struct err *err);
int given_number(const struct given *given, enum field field, double *number, int64_t *integer,
                 bool *present, struct err *err);
int given_bool(const struct given *given, enum field field, bool *value, bool *present,
               struct err *err);
int given_check_text(enum field field, const char *text, size_t len, int64_t size_max,
                     struct err *err);
/* "Anna.wav", as a system called its voices whose names were those of files, becomes "Anna". */
void given_drop_ending(char *name);
/* A choice in words: "one of a, b". */
void given_expected(const struct field_spec *spec, struct str *out);

/* When `text` names an object in the storage ("s3://bucket/key", or a key below
 * storage.voices_prefix), *url is how the runner fetches it, the caller's; else NULL. ERR_INVALID,
 * ERR_UNSUPPORTED for one that may not be read. */
int given_object(const struct given *given, enum field field, const char *text, char **url,
                 struct err *err);

/* The fields of operations other than speech. */
int given_ask(const struct given *given, struct job *job, struct err *err);

#endif
