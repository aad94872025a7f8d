/* The host that conformance cases play: one plugin, one model, one session, and jobs whose every
 * callback is written down. Talks the raw ABI, and answers a plugin that breaks a rule as if it had
 * not, so that each case sees its own rule broken and no other.
 *
 *     check_cx_init -> cx_open -> (case: cx_load, cx_session, cx_speak ...) -> cx_down -> check_cx_finish
 */
#ifndef CHECK_HARNESS_H
#define CHECK_HARNESS_H

#include "plugin/plugin.h"
#include "vox/ext/scratch.h"

#include <pthread.h>

enum check_outcome { CHECK_PASS, CHECK_FAIL, CHECK_SKIP };

/* Rules that callbacks watch; each has its first breach noted in words. */
enum breach {
    BREACH_FORMAT,       /* begin: a rate, channel count or size that cannot be */
    BREACH_BEGIN_TWICE,  /* begin again */
    BREACH_WRITE_EARLY,  /* write before begin */
    BREACH_WRITE_NULL,   /* frames without samples */
    BREACH_NOT_FINITE,   /* a sample that is NaN or infinite */
    BREACH_AFTER_ERROR,  /* begin or write after one of them failed */
    BREACH_OTHER_THREAD, /* a callback from a thread that is not in speak */
    BREACH_AFTER_SPEAK,  /* a callback for a job that has ended */
    BREACH_MARK_WORD,
    BREACH_MARK_ORDER,
    BREACH_MARK_TEXT,
    BREACH_MARK_TIME,
    BREACH_PROGRESS,
    BREACH_WARNING,
    BREACH_LOG,
    BREACH_COUNT
};

struct breaches {
    char notes[BREACH_COUNT][192]; /* empty: kept */
};

#define TAKE_TAIL_SIZE 64

/* One job: the wishes of the case, then what the plugin did. Belongs to the cx that made it. */
struct take {
    struct {
        struct vox_job job; /* set any input before take_speak */
        unsigned char tail[TAKE_TAIL_SIZE];
    } given;
    int32_t begin_answer, write_answer; /* what begin and the write below return */
    uint64_t write_refused;             /* index of the first write that fails; UINT64_MAX: none */
    uint64_t cancel_poll; /* from this call of cancelled() on: yes; UINT64_MAX: never */
    int64_t cancel_time;  /* from this clock_now on: yes; CLOCK_NEVER */
    bool scratch_refused; /* the job gets no folder for temporary files */

    int32_t code; /* what speak returned */
    struct {
        struct vox_error error;
        unsigned char tail[TAKE_TAIL_SIZE];
    } answer;
    struct breaches breaches;
    struct vox_format format; /* of the first begin */
    uint64_t begin_count, write_count, frames, poll_count, mark_count, warning_count;
    uint64_t scratch_count; /* calls of vox.scratch/1 */
    char scratch[256];      /* the folder that it got; "": none. Gone when speak has returned */
    uint64_t digest;        /* of all samples */
    double peak, last_mark_start_s, last_mark_end_s;
    int64_t cancelled_at, ended_at; /* when cancelled() first said yes; when speak returned */
    bool refused;                   /* begin or write has failed */
    bool active;                    /* speak runs */
    pthread_t thread;
    struct vox_session *session; /* for take_thread */
    struct check_cx *cx;
    struct take *next;
};

struct process_state;
struct making; /* of a profile: profile.c */

struct check_cx {
    const struct check_options *options;
    const char *path; /* of the library, absolute */
    const char *work_dir;
    char *run_dir, *cache_dir, *model_dir, *plugin_dir;
    bool future;                   /* play a host whose structs have grown */
    const struct vox_entry *entry; /* after cx_open */
    struct option_set load_values, job_values;
    struct {
        struct vox_host host;
        unsigned char tail[TAKE_TAIL_SIZE];
    } host;
    struct {
        struct vox_load load;
        unsigned char tail[TAKE_TAIL_SIZE];
    } load;
    int32_t init_code;           /* of cx_load */
    struct vox_model *model;     /* closed and freed by cx_down */
    struct vox_session *session; /* likewise */
    struct take *takes;
    struct making *makings;
    uint64_t scratch_number;  /* of the last folder; guarded by lock */
    struct breaches breaches; /* BREACH_LOG; guarded by lock */
    pthread_mutex_t lock;
    struct process_state *before; /* before the library was opened */
    struct str reason;            /* of a failure or a skip; after a pass, a note */
};

/* Makes the folders below work_dir and goes into one of them. */
int check_cx_init(struct check_cx *cx, const struct check_options *options, const char *path,
                  const char *work_dir, struct err *err);
void check_cx_finish(struct check_cx *cx);

__attribute__((format(printf, 2, 3))) enum check_outcome cx_fail(struct check_cx *cx,
                                                                 const char *format, ...);
__attribute__((format(printf, 2, 3))) enum check_outcome cx_skip(struct check_cx *cx,
                                                                 const char *format, ...);

/* The functions below return false or NULL with the reason set, ready for `return CHECK_FAIL`. */

/* Opens the library as the host does; twice is once. */
bool cx_open(struct check_cx *cx);
/* Checks the option values that the user gave against the schemas. */
bool cx_options(struct check_cx *cx);
/* Loads the model, from `model_dir` unless NULL. cx_init_model leaves the code to the case. */
int32_t cx_init_model(struct check_cx *cx, const char *model_dir, const char *device,
                      struct vox_error *error);
bool cx_load(struct check_cx *cx);
bool cx_open_session(struct check_cx *cx, struct vox_session **session);
/* The session of the cx, with its model when there is none. */
bool cx_session(struct check_cx *cx);
/* Closes the session and frees the model, if any. */
void cx_down(struct check_cx *cx);

/* A job with the default text, on the session of the cx. */
struct take *take_create(struct check_cx *cx);
/* Forgets what was seen. */
void take_reset(struct take *take);
void take_speak(struct take *take, struct vox_session *session);
/* Speaks on the session of the cx; the text must come out. */
bool cx_speak_take(struct check_cx *cx, struct take *take);
/* Both in one: makes a job and speaks it. */
struct take *cx_speak(struct check_cx *cx);
/* True when the plugin spoke, else the reason is what it returned instead. */
bool take_spoke(struct take *take);
/* The host's side of vox.scratch/1. */
extern const struct vox_scratch take_scratch;
bool takes_equal(const struct take *a, const struct take *b); /* the same audio, bit by bit */

/* True for a failure that carries a known code and one proper line. */
bool cx_failure_is_proper(struct check_cx *cx, const char *call, int32_t code,
                          const struct vox_error *error);
/* The text may be refused, but properly: the job ends by VOX_OK, or by VOX_EINVAL, VOX_EUNSUPPORTED
 * or VOX_ENOMEM with a line. */
bool cx_spoke_or_refused(struct check_cx *cx, struct take *take);
/* Fails with the note when the rule was broken. */
enum check_outcome cx_expect_kept(struct check_cx *cx, const struct breaches *breaches,
                                  enum breach breach);
/* Speaks a job, and fails when it broke the rule. */
enum check_outcome cx_speak_keeping(struct check_cx *cx, enum breach rule);
const char *code_name(int32_t code);             /* "VOX_EINVAL"; "an unknown code" */
bool text_is_line(const char *text, size_t len); /* UTF-8 without control characters */

#endif
