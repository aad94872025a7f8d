/* The inside of running a job, shared by runner.c and attempt.c. */
#ifndef JOB_PRIVATE_H
#define JOB_PRIVATE_H

#include "job/job.h"

#include <stdatomic.h>

enum stop_reason { STOP_NONE, STOP_CANCELLED, STOP_TIMEOUT };

/* One run of one job. A plugin that never comes back keeps it: `detached` then says that the host has
 * answered for it and takes nothing more. */
struct attempt {
    struct vox_job abi;
    const struct job *job;
    const struct runner_options *runner;
    struct session session;
    atomic_int stop;          /* enum stop_reason */
    atomic_bool saw_stop;     /* the plugin asked after that: what it wrote may be a part only */
    atomic_uint progress_ppm; /* of one job, in millionths */
    int64_t begun;            /* clock_now */

    pthread_mutex_t lock;
    /* guarded by lock */
    bool detached;
    bool closed; /* speak returned */
    struct sink *sink;
    char *temp; /* the sink's file; NULL: a stream or memory */
    bool in_memory;
    bool begin_called;
    struct err err;   /* the first failure that the plugin caused or met in us */
    int32_t err_code; /* what we answered then */
    bool broke_contract;
    int64_t sink_ns;  /* spent in the sink */
    int64_t voice_ns; /* spent on decoding the voice */
    struct audio_word *words;
    size_t word_count, word_cap;
    struct text_list warnings;
    uint64_t warning_count;
};

/* The job's model has a session reserved for it. */
struct attempt *attempt_create(const struct job *job, const struct runner_options *runner);
/* Runs it to the end: session, voice, speak, encode, store. Fills everything of `result` but the queue's times. `fate` is
 * what to do with the session. False when the attempt was detached meanwhile: then `result` is empty. */
bool attempt_run(struct attempt *attempt, struct result *result, enum session_fate *fate);
/* Answers for an attempt whose plugin does not come back; false when it just did, or is inside a write. */
bool attempt_detach(struct attempt *attempt, struct result *result);
/* What every result of the job has, whatever happens. */
struct result *attempt_result(const struct job *job);
void attempt_destroy(struct attempt *attempt);

#endif
