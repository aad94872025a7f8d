/* The inside of running a job, shared by runner.c, attempt.c, operation.c and recent.c. */
#ifndef JOB_PRIVATE_H
#define JOB_PRIVATE_H

#include "job/job.h"

#include <stdatomic.h>

/* --- recent.c: what `status` and `download` know ---------------------------------------------- */

enum recent_state { RECENT_QUEUED, RECENT_RUNNING, RECENT_FINISHED, RECENT_FAILED };
extern const char *const recent_state_names[];

struct recent_job {
    char *id;
    uint64_t number;
    enum recent_state state;
    enum err_code code; /* of a failure, with its message */
    char *message;
    char *key, *path; /* of the audio, in the storage or the store; NULL: not there */
    enum audio_format format;
    char *subtitles[SUBTITLE_FORMAT_COUNT]; /* keys or paths, as those of the audio */
};

struct recent;
struct recent *recent_create(void);
void recent_destroy(struct recent *recent);
uint64_t recent_add(struct recent *recent, const char *id); /* its number */
void recent_run(struct recent *recent, uint64_t number);
void recent_end(struct recent *recent, const struct result *result);
/* A copy of the youngest of that id; false: there is none. */
bool recent_find(struct recent *recent, const char *id, struct recent_job *out);
void recent_job_finish(struct recent_job *job);

/* --- attempt.c -------------------------------------------------------------------------------- */

enum stop_reason { STOP_NONE, STOP_CANCELLED, STOP_TIMEOUT };

/* One run of one job. A plugin or a disk that never comes back keeps it: `detached` then says that
 * the host has answered for it and takes nothing more. */
struct attempt {
    struct job_scratch scratch; /* first, since abi.self points here */
    struct vox_job abi;
    const struct job *job;
    const struct runner_options *runner;
    struct voice_cache *voices;
    struct recent *recent;
    const struct voice_ref *voice; /* the job's, or the new one; NULL: none */
    struct voice_ref new_voice;    /* of voice_create, once it is in the library */
    struct str profile;            /* of that: what the model made */
    struct str profile_file;       /* the same as a file that says what it belongs to */
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
    char *made_voice; /* the id of what it has added to the library; NULL: nothing, or it went */
};

/* The job's model has a session reserved for it. */
struct attempt *attempt_create(const struct job *job, const struct runner_options *runner,
                               struct voice_cache *voices, struct recent *recent);
/* Runs it to the end: session, voice, speak, encode, store. Fills everything of `result` but the
 * queue's times. `fate` is what to do with the session. False when the attempt was detached
 * meanwhile: then `result` is empty. */
bool attempt_run(struct attempt *attempt, struct result *result, enum session_fate *fate);
/* Answers for an attempt that does not come back; false when it just did, or is inside a write. */
bool attempt_detach(struct attempt *attempt, struct result *result);
/* What every result of the job has, whatever happens. */
struct result *attempt_result(const struct job *job);
void attempt_destroy(struct attempt *attempt);
/* Why it was asked to stop. */
int attempt_stopped(const struct attempt *attempt, struct err *err);
/* How recordings are fetched for it. */
struct voice_fetch attempt_fetch(struct attempt *attempt);

/* --- operation.c: what is no speech ----------------------------------------------------------- */

/* Does all of an operation without a model. Fills result->answer, or its error. */
int operation_run(struct attempt *attempt, struct result *result);
/* Takes the new voice into the library: attempt->voice is that then. */
int operation_take_voice(struct attempt *attempt, struct result *result, struct err *err);
/* Removes it again, when it was not there before: the caller may try again. Waits for another writer
 * only until *stop is not 0 (NULL: never). */
void operation_undo_voice(struct attempt *attempt, const atomic_int *stop);
/* The rest of voice_create, after the profile and the sample are made or have failed. */
void operation_end_voice(struct attempt *attempt, struct result *result);

/* --- operation_store.c ------------------------------------------------------------------------ */

/* Puts what a new voice consists of into the storage, if there is one, and says where: recorded_path,
 * profile_path, sample_path, and the same with _url. When one of them fails, so does the job, and
 * what it had put goes again, unless it was asked to stop. Nothing for other jobs. */
void operation_keep_voice(struct attempt *attempt, struct result *result);
/* Removes result->made_objects. */
void operation_remove_made(const struct runner_options *runner, const struct result *result,
                           const atomic_int *stop);
/* Removes these again, also of what the voice was before it was replaced. */
int operation_forget_voice(struct attempt *attempt, const struct voice_entry *entry,
                           struct err *err);
/* Likewise, once `entry` has replaced `old` (all zero: nothing), where its keys are others. What
 * may be left is a warning. */
void operation_forget_old(struct attempt *attempt, const struct voice_entry *old,
                          const struct voice_entry *entry);

/* --- operation_result.c ----------------------------------------------------------------------- */

/* What is known of a file before it is handed over. */
struct operation_file {
    const char *filename;
    struct str bytes;
    const char *key; /* where it is in the storage; NULL: nowhere yet */
    uint64_t len;
};
/* Into the output folder where there is one, else into the answer. */
int operation_hand_over(struct attempt *attempt, struct operation_file *file, struct result *result,
                        struct err *err);
int operation_status(struct attempt *attempt, struct result *result, struct err *err);
int operation_download(struct attempt *attempt, struct result *result, struct err *err);

#endif
