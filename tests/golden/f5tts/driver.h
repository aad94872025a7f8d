/* A host in miniature: loads the F5-TTS plugin, whose entry is linked in, and runs cases of
 * cases.json as jobs. Between the tests that look into the model and vox_entry; knows no tensors.
 * What goes wrong on the way to a job fails the test.
 */
#ifndef GOLDEN_F5TTS_DRIVER_H
#define GOLDEN_F5TTS_DRIVER_H

#include "vox/plugin.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* What all tests of a program share: cmocka's group setup and teardown. */
struct driver_fixture {
    cJSON *cases; /* cases.json */
    char cache_dir[64];
};
int driver_fixture_init(void **state);
int driver_fixture_finish(void **state);

/* The case of that name, borrowed. */
cJSON *driver_case_find(const cJSON *cases, const char *name);

/* A loaded model and what it borrows. */
struct driver_model {
    struct vox_model *model;
    struct vox_load load;
    struct vox_value *values;
    cJSON *texts; /* holds the values' strings */
};

/* Loads the model of a case. `cache_dir` is borrowed until driver_model_finish. */
void driver_model_init(struct driver_model *model, const cJSON *of_case, const char *cache_dir);
void driver_model_finish(struct driver_model *model);
struct vox_session *driver_session_open(struct driver_model *model);

/* A job and what it has written. */
struct driver_job {
    struct vox_job job;
    struct vox_voice voice;
    struct vox_value *values;
    cJSON *texts;
    float *wave; /* [count] */
    uint64_t count;
    double fraction;     /* of its progress */
    double cancel_after; /* says stop from this fraction on; 0: never */
    bool cancel;         /* says stop now */
};

/* Borrows the strings of `of_case` until driver_job_finish. */
void driver_job_init(struct driver_job *job, const cJSON *of_case);
void driver_job_finish(struct driver_job *job);
/* Fails no test, so that any thread may call it. Forgets the wave of the run before. */
int32_t driver_job_run(struct driver_job *job, struct vox_session *session,
                       struct vox_error *error);

#endif
