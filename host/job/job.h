/* Jobs: from an untrusted JSON object to a checked struct, through a queue to a session of the
 * right model, to audio in the store and a result. Front ends only make jobs and take results.
 *
 *     job_parse -> runner_submit -> (a worker: session, voice, speak, sink, commit) -> runner's `done`
 *
 * What a job asks for is its operation: to speak, or something about voices, results or this host.
 */
#ifndef JOB_H
#define JOB_H

#include "audio/audio.h"
#include "base/base.h"
#include "plugin/plugin.h"
#include "store/store.h"
#include "voice/voice.h"

/* --- A job ------------------------------------------------------------------------------------ */

#define JOB_ID_SIZE_MAX 200
#define JOB_WARNINGS_MAX 64 /* further ones are counted */
#define JOB_WORDS_MAX 1000000

enum job_op {
    OP_TTS,
    OP_VOICE_CREATE,
    OP_VOICE_LIST,
    OP_VOICE_DELETE,
    OP_VOICE_EXPORT,
    OP_UPLOAD,
    OP_LIST_VOICES,
    OP_DOWNLOAD,
    OP_STATUS,
    OP_CAPABILITIES,
    OP_COUNT
};
extern const char *const job_op_names[OP_COUNT];

enum job_response { RESPONSE_AUTO, RESPONSE_INLINE, RESPONSE_URL };

/* What operations other than speech ask for; NULL: absent. */
struct job_ask {
    char *voice;      /* an id */
    char *name;       /* of a new voice */
    char *audio;      /* likewise: URL, base64, "s3://..." or path */
    char *transcript; /* likewise, as the next three */
    char *language, *consent;
    bool replace;
    char *base_dir;     /* of paths; NULL: none may be named */
    char *cursor;       /* where a page of voices begins */
    size_t limit;       /* voices in it; 0: all */
    char *job_id;       /* of the job that is asked about */
    bool wants_timing;  /* its subtitles, not its audio */
    const char *format; /* of that; static; NULL: what there is */
};

#define JOB_METADATA_BYTES_MAX 65536

/* Who asked, and what he wants to hear again with the outcome. All zero: nobody in particular. */
struct job_caller {
    enum job_op op;                          /* OP_COUNT: it cannot be told */
    char *callback_url, *error_callback_url; /* NULL: not named */
    /* What of the job is repeated, an object of some of: user_id, story_id, story_name, voice_id,
     * voice_name, story_type, language, is_kids_voice, text_length (characters), metadata. NULL:
     * nothing */
    cJSON *echo;
};

/* Reads a job for that, also one that is wrong elsewhere: what cannot be used is left out. A wrong
 * URL and metadata that are too large are ERR_INVALID. Members that are absent are looked for in
 * the job's `metadata` as well. */
int job_caller_read(const cJSON *json, struct job_caller *caller, struct err *err);
void job_caller_copy(const struct job_caller *from, struct job_caller *to);
void job_caller_finish(struct job_caller *caller);

/* Checked; immutable once made. Owns its parts. */
struct job {
    char *id;
    struct job_caller caller;
    enum job_op op;
    struct job_ask ask;
    struct model *
        model; /* borrowed; its plugin is open, it need not be loaded. NULL: the operation needs none */
    bool model_is_optional; /* of voice_create: nobody has asked for it */
    char *text; /* valid UTF-8, not blank; NULL: nothing is spoken, the model makes a profile */
    size_t text_len;
    char *language; /* NULL: the plugin's default */
    struct voice_ref voice;
    bool has_voice;
    bool has_seed;
    int64_t seed; /* drawn at random when the job names none */
    double speed;
    struct audio_spec spec;
    char *output;                        /* relative path of the audio; by default ID.FORMAT */
    unsigned subtitles;                  /* bit set of enum subtitle_format */
    bool older_timings, compact_timings; /* these as an older system wrote them */
    struct option_set options;
    char
        *timing_error; /* why an older client does not get the word times that it asked for; NULL */
    enum job_response response;
    char *user_id, *story_id;  /* NULL: absent */
    cJSON *metadata;           /* an object, or NULL */
    double timeout_s;          /* running time; 0: no limit */
    bool stream;               /* the caller wants the audio as it is made */
    struct text_list warnings; /* names of older clients and the like */
    char hash
        [DIGEST_HEX_SIZE]; /* of all that decides what the audio will be; names a result of --resume */
    /* Set by the front end before runner_submit: */
    char given_hash[DIGEST_HEX_SIZE]; /* for the result; empty: it needs none */
    uint64_t ticket; /* its own name for the job, not 0; see runner_cancel_job. 0: none */
    const struct sink_writer
        *writer; /* takes the audio; borrowed until the result. NULL: as the runner's options say */
    size_t memory_max; /* bytes of the audio, where it goes to memory */
};

/* Its metadata for whoever may fetch its objects: a copy, never NULL, without the URLs that it is
 * reported to, which may hold tokens. The caller's. */
cJSON *job_public_metadata(const struct job *job);

/* What a job is read against. */
struct job_context {
    struct models *models;
    const struct manifest *manifest;
    const char *base_dir; /* text_file and voice paths start here; NULL: jobs may not name files */
    const char *default_id; /* for a job without one */
    bool may_stream;        /* else a job that asks for it is refused */
    bool loose;             /* CSV and YAML: numbers may be text, and text look like a number */
};

/* Makes a job. ERR_INVALID and others name the field; all fields are checked before anything runs.
 * A job of a model that has failed is refused with that model's reason. */
int job_parse(const cJSON *json, const struct job_context *context, struct job **job,
              struct err *err);
void job_destroy(struct job *job); /* takes NULL */
/* Before it runs: the model of a job that can do without it cannot be had. Takes over `why`, as a
 * warning. */
void job_do_without_model(struct job *job, struct err *why);

/* The id that job_parse would use, when it is usable at all, for results of jobs that are refused.
 * The caller's; a copy of `default_id` else. */
char *job_id_of(const cJSON *json, const char *default_id);

/* The operation that job_parse would find; OP_COUNT: none. */
enum job_op job_op_of(const cJSON *json);
/* Is it one that only looks at what is known: answered at once, whatever else runs or waits? */
bool job_op_is_quick(enum job_op op);
/* Does the job change the library of voices? */
bool job_changes_voices(const struct job *job);

/* Is there a field of that name in a job? */
bool job_has_field(const char *name);

/* Appends the text of configs/JOBS.md. */
void job_reference(struct str *out);

/* --- A result --------------------------------------------------------------------------------- */

struct result {
    char *id; /* NULL: see record */
    struct job_caller caller;
    enum job_op op;
    char *model_type; /* NULL: never known */
    struct err err;   /* code ERR_NONE: ok */
    bool has_seed;
    int64_t seed;
    uint64_t ticket; /* the job's */
    uint64_t number; /* for runner_remember; 0: it was refused */
    char *path;      /* of the audio, relative to the store; NULL: none */
    char *url;       /* where the audio can be fetched; NULL: nowhere */
    char *key;       /* of the audio in the storage; NULL: it is not there */
    const char
        *status;     /* what older clients want to see instead of "ok" and "error"; static; NULL */
    cJSON *answer;   /* an object: what the operation has to say; NULL: nothing */
    cJSON *metadata; /* the job's */
    char *timing_error; /* likewise */
    struct str data;    /* the audio itself, when it went to memory */
    struct str base64;  /* the same for JSON, when a front end answers with it */
    struct audio_info audio;
    struct text_list subtitles;                  /* relative paths */
    char *subtitle_texts[SUBTITLE_FORMAT_COUNT]; /* when they went to memory; NULL: not asked for */
    char *subtitle_urls[SUBTITLE_FORMAT_COUNT];  /* when they are in the storage */
    struct audio_word *words;
    size_t word_count;
    char *words_url; /* when they are in the storage, since they are too many; NULL */
    struct text_list warnings;
    char *made_voice; /* the id of a voice that was not in the library before; NULL: none */
    struct text_list made_objects; /* keys of that voice which were not in the storage before */
    struct {
        double queue, load, voice, synth, encode, store, total;
    } ms;
    char hash[DIGEST_HEX_SIZE];       /* the job's; empty: the job was refused */
    char given_hash[DIGEST_HEX_SIZE]; /* of the job as it was given; empty: not to be told */
    uint64_t line;                    /* of the job file; 0: none */
    uint64_t record;                  /* of the job file, from 1, when there is no id */
};

/* A result for a job that was refused; `id` NULL: a record in which no job could be seen, known by
 * its number. */
struct result *result_refused(const char *id, uint64_t record, const struct err *err);
/* What can be told of the job all the same: who asked, its metadata, its model. */
void result_add_given(struct result *result, const cJSON *json, const struct manifest *manifest);
/* Of the result of an earlier run that went well: its id, and where its files are. Never NULL. */
struct result *result_read(const cJSON *json);
/* Appends the result as one JSON object without a line end. `data` is left out. */
void result_write(const struct result *result, struct str *out);
/* The same members without the braces, for whoever has more to say in the same object. */
void result_write_members(const struct result *result, struct str *out);
/* Appends the words as a JSON list. */
void result_write_words(const struct result *result, struct str *out);
/* Seconds of work per second of audio; 0 when there is no audio. */
double result_rtf(const struct result *result);
void result_destroy(struct result *result);
/* What the subtitles beside this audio are called: "a/b.wav" has "a/b.srt". The caller's. */
char *result_subtitle_name(const char *audio_name, enum subtitle_format format);

/* Of a job during which its plugin brought the process down. */
#define JOB_CRASHED_MESSAGE                                                                      \
    "its plugin brought the process down; it is not tried again unless the job changes or this " \
    "line is removed"

/* --- Running ---------------------------------------------------------------------------------- */

#define RUNNER_RECENT_MAX 1000 /* jobs that `status` and `download` know */
/* Jobs that wait, and as many quick ones; then runner_submit may block. */
#define RUNNER_QUEUE_MAX 256

struct runner;

struct runner_options {
    struct models *models;
    const struct manifest *manifest; /* limits and times, where voices are */
    const struct log *log;
    struct store *store;     /* where audio goes; NULL: stream_fd */
    struct storage *storage; /* objects of voices and of results; NULL: none */
    int stream_fd;           /* the audio of the one job goes here as it is made; -1: memory */
    uint32_t concurrency;    /* jobs at the same time, >= 1 */
    /* Takes a result, from a worker's thread; several at the same time. */
    void (*done)(struct result *result, void *arg);
    void *arg;
};

/* Everything in `options` is borrowed until runner_destroy. */
struct runner *runner_create(const struct runner_options *options);
/* Queues a job and takes it over; `line` goes into its result. Blocks while the queue is full,
 * until *stop is set: then ERR_CANCELLED, and the job is destroyed. `stop` NULL: never blocks, the
 * caller bounds what waits. */
int runner_submit(struct runner *runner, struct job *job, uint64_t line,
                  const volatile sig_atomic_t *stop);
/* By whoever takes a result, once it has become a failure: a new voice goes again, when it was not
 * there before, and what the result tells of it. Nothing for other results. */
void runner_undo_voice(struct runner *runner, struct result *result);
/* What became of a job, for `status` and `download` of later ones: by whoever takes the result,
 * once it is where it stays. */
void runner_remember(struct runner *runner, const struct result *result);
/* The same for a job of an earlier run whose result still stands. */
void runner_recall(struct runner *runner, struct result *result);
/* True when nothing waits or runs; waits for that until `deadline`. */
bool runner_wait(struct runner *runner, int64_t deadline);
/* Forgets what waits, but for what is quick; what runs goes on. Returns how many were forgotten. */
size_t runner_drop_queued(struct runner *runner);
/* Asks what runs to end. */
void runner_cancel(struct runner *runner);
/* Asks what runs to end and waits until all is answered. False when a plugin hangs where the
 * watchdog cannot answer for it (open, close, a write that blocks): then the process should end by
 * _exit, without runner_destroy. */
bool runner_stop(struct runner *runner);
/* Asks one job to end: one that waits is answered with ERR_CANCELLED at once (by this thread), one
 * that runs as soon as its plugin looks. False when there is no such job. */
bool runner_cancel_job(struct runner *runner, uint64_t ticket);
/* How far a job is, 0 to 1, as its plugin says; negative when it does not run. */
double runner_job_progress(struct runner *runner, uint64_t ticket);
/* Ends the workers and frees. False when a plugin or a disk does not come back soon after
 * host.cancel_grace_s, be it from close after its job was answered: then the process should end by
 * _exit. */
bool runner_destroy(struct runner *runner);

#endif
