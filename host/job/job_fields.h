/* The fields of a job: one table for the parser and the reference. Inside host/job only. */
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
    FIELD_COUNT,
};

enum field_type { TYPE_TEXT, TYPE_INTEGER, TYPE_NUMBER, TYPE_BOOL, TYPE_NAMES, TYPE_OPTIONS };

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

/* What other clients call our fields. */
struct field_alias {
    const char *name;
    enum field field;
};
#define JOB_ALIAS_COUNT 15
extern const struct field_alias job_aliases[JOB_ALIAS_COUNT];

#endif
