/* Jobs: from an untrusted JSON object to a checked struct, through a queue to a session of the right model,
 * to audio in the store and a result. Front ends only make jobs and take results.
 *
 *     job_parse -> runner_submit -> (a worker: session, voice, speak, sink, commit) -> runner's `done`
 */
#ifndef JOB_H
#define JOB_H

#include "audio/audio.h"
#include "base/base.h"
#include "plugin/plugin.h"
#include "store/store.h"
#include "voice/voice.h"

/* --- A job -------------------------------------------------------------------------------------------- */

#define JOB_ID_SIZE_MAX 200
#define JOB_WARNINGS_MAX 64 /* further ones are counted */
#define JOB_WORDS_MAX 1000000

/* Checked; immutable once made. Owns its parts. */
struct job {
    char *id;
    struct model *model; /* borrowed; its plugin is open, it need not be loaded */
    char *text;          /* valid UTF-8, not blank */
    size_t text_len;
    char *language; /* NULL: the plugin's default */
    struct voice_ref voice;
    bool has_voice;
    bool has_seed;
    int64_t seed; /* drawn at random when the job names none */
    double speed;
    struct audio_spec spec;
    char *output;       /* relative path of the audio; by default ID.FORMAT */
    unsigned subtitles; /* bit set of enum subtitle_format */
    struct option_set options;
    double timeout_s;          /* running time; 0: no limit */
    bool stream;               /* the caller wants the audio as it is made */
    struct text_list warnings; /* names of older clients and the like */
    char hash
        [DIGEST_HEX_SIZE]; /* of all that decides what the audio will be; names a result of --resume */
    /* Set by the front end before runner_submit: */
    uint64_t ticket; /* its own name for the job, not 0; see runner_cancel_job. 0: none */
    const struct sink_writer
        *writer; /* takes the audio; borrowed until the result. NULL: as the runner's options say */
    size_t memory_max; /* bytes of the audio, where it goes to memory */
};

/* What a job is read against. */
struct job_context {
    struct models *models;
    const struct manifest *manifest;
    const char *base_dir; /* text_file and voice paths start here; NULL: jobs may not name files */
    const char *default_id; /* for a job without one */
    bool may_stream;        /* else a job that asks for it is refused */
    bool loose;             /* CSV and YAML: numbers may be text, and text look like a number */
};

/* Makes a job. ERR_INVALID and others name the field; all fields are checked before anything runs. A job of a
 * model that has failed is refused with that model's reason. */
int job_parse(const cJSON *json, const struct job_context *context, struct job **job,
              struct err *err);
void job_destroy(struct job *job); /* takes NULL */

/* The id that job_parse would use, when it is usable at all, for results of jobs that are refused. The
 * caller's; a copy of `default_id` else. */
char *job_id_of(const cJSON *json, const char *default_id);

/* Is there a field of that name in a job? */
bool job_has_field(const char *name);

/* Appends the text of configs/JOBS.md. */
void job_reference(struct str *out);

/* --- A result ------------------------------------------------------------------------------------------ */

struct result {
    char *id;         /* NULL: see record */
    char *model_type; /* NULL: never known */
    struct err err;   /* code ERR_NONE: ok */
    bool has_seed;
    int64_t seed;
    uint64_t ticket;   /* the job's */
    char *path;        /* of the audio, relative to the store; NULL: none */
    char *url;         /* where the audio can be fetched; NULL: nowhere */
    struct str data;   /* the audio itself, when it went to memory */
    struct str base64; /* the same for JSON, when a front end answers with it */
    struct audio_info audio;
    struct text_list subtitles;                  /* relative paths */
    char *subtitle_texts[SUBTITLE_FORMAT_COUNT]; /* when they went to memory; NULL: not asked for */
    struct audio_word *words;
    size_t word_count;
    struct text_list warnings;
    struct {
        double queue, load, voice, synth, encode, store, total;
    } ms;
    char hash[DIGEST_HEX_SIZE]; /* the job's; empty: the job was refused */
    uint64_t line;              /* of the job file; 0: none */
    uint64_t record;            /* of the job file, from 1, when there is no id */
};

/* A result for a job that was refused; `id` NULL: a record in which no job could be seen, known by its number. */
struct result *result_refused(const char *id, uint64_t record, const struct err *err);
/* Appends the result as one JSON object without a line end. `data` is left out. */
void result_write(const struct result *result, struct str *out);
/* The same members without the braces, for whoever has more to say in the same object. */
void result_write_members(const struct result *result, struct str *out);
/* Seconds of work per second of audio; 0 when there is no audio. */
double result_rtf(const struct result *result);
void result_destroy(struct result *result);

/* Of a job during which its plugin brought the process down. */
#define JOB_CRASHED_MESSAGE                                                                      \
    "its plugin brought the process down; it is not tried again unless the job changes or this " \
    "line is removed"

/* --- Running -------------------------------------------------------------------------------------------- */

#define RUNNER_QUEUE_MAX 256 /* jobs that wait; then runner_submit blocks */

struct runner;

struct runner_options {
    struct models *models;
    const struct manifest_host *host; /* limits and times */
    const struct log *log;
    struct store *store;  /* where audio goes; NULL: stream_fd */
    int stream_fd;        /* the audio of the one job goes here as it is made; -1: memory */
    uint32_t concurrency; /* jobs at the same time, >= 1 */
    /* Takes a result, from a worker's thread; several at the same time. */
    void (*done)(struct result *result, void *arg);
    void *arg;
};

/* Everything in `options` is borrowed until runner_destroy. */
struct runner *runner_create(const struct runner_options *options);
/* Queues a job and takes it over; `line` goes into its result. Blocks while the queue is full, until *stop is
 * set: then ERR_CANCELLED, and the job is destroyed. */
int runner_submit(struct runner *runner, struct job *job, uint64_t line,
                  const volatile sig_atomic_t *stop);
/* True when nothing waits or runs; waits for that until `deadline`. */
bool runner_wait(struct runner *runner, int64_t deadline);
/* Forgets what waits; what runs goes on. Returns how many were forgotten. */
size_t runner_drop_queued(struct runner *runner);
/* Asks what runs to end. */
void runner_cancel(struct runner *runner);
/* Asks what runs to end and waits until all is answered. False when a plugin hangs where the watchdog cannot answer
 * for it (open, close, a write that blocks): then the process should end by _exit, without runner_destroy. */
bool runner_stop(struct runner *runner);
/* Asks one job to end: one that waits is answered with ERR_CANCELLED at once (by this thread), one that runs as soon as
 * its plugin looks. False when there is no such job. */
bool runner_cancel_job(struct runner *runner, uint64_t ticket);
/* How far a job is, 0 to 1, as its plugin says; negative when it does not run. */
double runner_job_progress(struct runner *runner, uint64_t ticket);
/* Ends the workers and frees. False when a plugin never came back: then the process should end by _exit. */
bool runner_destroy(struct runner *runner);

#endif
