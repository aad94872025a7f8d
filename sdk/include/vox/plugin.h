/* The voxhost plugin ABI: everything that crosses between the host and a plugin.
 *
 * A plugin is a shared object that exports one const data symbol, `vox_entry`, and nothing else. It
 * knows how to run one family of speech models. There are three lifetimes:
 *
 *     entry (the library, for ever)  ->  model (weights, shared)  ->  session (one job at a time)
 *
 *     init(host, load) ........ preloads the weights, returns a model
 *       open(model) ........... makes a session: the mutable state of one timeline
 *         speak(session, job) . runs a job; audio leaves through job->begin and job->write
 *       close(session)
 *     fini(model)
 *
 * Rules that hold everywhere:
 *   - Text is UTF-8, sized, not terminated, and borrowed for the call, unless said otherwise.
 *   - No memory changes owner: inputs are borrowed for the call, outputs are pushed.
 *   - A function returns VOX_OK or a negative VOX_E* code, and on failure writes one line for the person
 *     who has to act on it into the caller's struct vox_error.
 *   - Structs begin with `size`, grow at the end only, and are read through VOX_HAS. struct vox_str
 *     and struct vox_value are frozen instead, since they travel in arrays.
 *   - A plugin touches no environment variable, working directory, locale, signal, standard stream or
 *     path that it was not handed, and calls neither exit nor abort.
 *   - No C++ exception leaves a plugin. Nothing runs or prints when the library is opened or the process ends.
 *   - Threads of its own are joined before the call that started them returns, and call nothing of the host but log.
 *
 * Thread tags, at the end of a function's comment:
 *   [load]     one call at a time per plugin; other plugins may load at the same time
 *   [session]  one call at a time per session; sessions of one model may run in parallel, and the calls
 *              for a session may come from different threads over time
 *   [any]      from any thread, at any time
 */
#ifndef VOX_PLUGIN_H
#define VOX_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Version ---------------------------------------------------------------------------------- */

#define VOX_MAGIC 0x31584f56u /* "VOX1", little endian */
#define VOX_ABI_MAJOR 1       /* differs: the host refuses the plugin, naming both */
#define VOX_ABI_MINOR 0       /* differs: works; what is missing reads as absent */

/* True when the struct behind `ptr` was compiled with `field`. */
#define VOX_HAS(ptr, field) \
    ((ptr)->size >=         \
     (size_t)((const char *)&(ptr)->field - (const char *)(ptr)) + sizeof((ptr)->field))

#if defined(__GNUC__)
#define VOX_EXPORT __attribute__((visibility("default")))
#else
#define VOX_EXPORT
#endif

/* --- Codes ------------------------------------------------------------------------------------- */

/* What went wrong, by what the host does next. */
#define VOX_OK 0
#define VOX_EINVAL (-1)       /* the request is wrong; retrying it is useless */
#define VOX_ENOTFOUND (-2)    /* the voice that the job names is unknown to this model */
#define VOX_EUNSUPPORTED (-3) /* a valid request that this plugin cannot serve */
#define VOX_ENOMEM (-4)       /* host or device memory ran out; the model stays usable */
#define VOX_ECANCELLED (-5)   /* the host asked, through `cancelled` */
#define VOX_EMODEL (-6)       /* weights or configuration are bad: the host disables the model */
#define VOX_EINTERNAL (-7)    /* session state unknown: the host discards the session */
#define VOX_EDEVICE (-8)      /* the device is lost: the host disables the model */
#define VOX_ESINK (-9) /* begin, write or an extension of the host refused, and it knows why */

/* The caller owns it. `message` is terminated, one line, without a final full stop. */
struct vox_error {
    uint32_t size;
    int32_t code;
    char message[504];
};

/* Borrowed UTF-8; `data` may be NULL when `size` is 0. Frozen. */
struct vox_str {
    const char *data;
    uint64_t size; /* bytes */
};

/* --- Options: what a manifest (load options) or a job (job options) may set --------------------- */

#define VOX_OPTION_BOOL 1u
#define VOX_OPTION_INT 2u
#define VOX_OPTION_FLOAT 3u
#define VOX_OPTION_STRING 4u
#define VOX_OPTION_CHOICE 5u /* a string out of `choices` */

/* One option of a schema. The host checks type, range and spelling before the plugin sees a value. */
struct vox_option {
    uint32_t size;
    uint32_t type;    /* VOX_OPTION_* */
    const char *name; /* snake_case; unique in its schema */
    const char *help; /* one line */
    const char
        *fallback; /* default as JSON text ("16", "\"cpu\"", "true"); NULL: absent by default */
    double minimum, maximum;    /* inclusive, for INT and FLOAT; both 0: no limit */
    const char *const *choices; /* for CHOICE: terminated by NULL */
};

/* The checked value of one option, at the index of the option in its schema. Frozen. */
struct vox_value {
    uint32_t type;   /* VOX_OPTION_*, as in the schema; a CHOICE carries its string and index */
    uint32_t is_set; /* 0: neither given nor defaulted; the rest is then zero */
    int64_t integer; /* BOOL (0 or 1), INT, CHOICE (index into `choices`) */
    double number;   /* FLOAT, and INT as a double */
    struct vox_str string; /* STRING, CHOICE; `data` is terminated as well */
};

/* --- What the host lends to a plugin ----------------------------------------------------------- */

#define VOX_LOG_DEBUG 1u
#define VOX_LOG_INFO 2u
#define VOX_LOG_WARN 3u
#define VOX_LOG_ERROR 4u

/* Lives longer than every model. */
struct vox_host {
    uint32_t size;
    uint16_t abi_major, abi_minor;
    void *self; /* the host's own */
    /* Logs one line under the model's name. [any] */
    void (*log)(const struct vox_host *host, uint32_t level, struct vox_str message);
    /* The host's side of an extension ("vox.NAME/REVISION"), or NULL when it has none. [any] */
    const void *(*extension)(const struct vox_host *host, const char *id);
};

/* How to load one model. Everything in it is valid until fini() returns. */
struct vox_load {
    uint32_t size;
    uint32_t sessions;         /* how many the host will open at most, >= 1 */
    struct vox_str model_type; /* the manifest's name of the model */
    struct vox_str
        model_dir; /* absolute; read only; need not exist unless the plugin needs files */
    struct vox_str cache_dir;        /* absolute; exists, writable, this model's alone */
    struct vox_str plugin_dir;       /* absolute; where the plugin's own .so lies */
    struct vox_str device;           /* auto | cpu | cuda | cuda:N */
    const struct vox_value *options; /* one per load option, in the schema's order */
    uint32_t option_count;
    uint32_t reserved;
};

/* A reference recording, decoded by the host; or, with no frames, one of the plugin's own speakers, or
 * a profile alone (vox/ext/profile.h). */
struct vox_voice {
    uint32_t size;
    uint32_t sample_rate; /* Hz; 0 for a speaker */
    uint32_t channels;    /* 0 for a speaker */
    uint32_t reserved;
    struct vox_str id;         /* for a speaker: its id exactly as in the entry's list */
    const float *pcm;          /* interleaved, nominally -1..1 */
    uint64_t frames;           /* samples per channel */
    struct vox_str transcript; /* what is said in the recording; empty: not known */
    struct vox_str language;   /* BCP 47; empty: not known */
    struct vox_str profile;    /* bytes that this plugin made from this voice before; empty: none */
};

struct vox_format {
    uint32_t size;
    uint32_t sample_rate; /* Hz, 8000..192000 */
    uint32_t channels;    /* 1..8 */
    uint32_t reserved;
};

/* A spoken word: where it stands in the job's text and in the audio. */
struct vox_mark {
    uint32_t size;
    uint32_t reserved;
    struct vox_str word;           /* as spoken */
    uint64_t text_begin, text_end; /* byte range in job->text; empty range: not from the text */
    double start_s, end_s;         /* from the first sample written */
};

/* One job: host-owned, valid during speak(). The functions are called on the thread of speak() only. */
struct vox_job {
    uint32_t size;
    uint32_t reserved;
    struct vox_str id;
    struct vox_str text;           /* valid UTF-8 without NUL, not blank */
    struct vox_str language;       /* BCP 47; empty: the plugin's default */
    const struct vox_voice *voice; /* NULL: the plugin's default */
    int64_t seed; /* 0 .. 2^63-1; the same seed gives the same audio (VOX_CAP_SEED) */
    double speed; /* 0.25..4; 1 is normal; always 1 without VOX_CAP_SPEED */
    const struct vox_value *options; /* one per job option, in the schema's order */
    uint32_t option_count;
    uint32_t reserved2;
    void *self; /* the host's own */

    /* Not 0 when the job should end: return VOX_ECANCELLED soon. Ask once before the first write, then
     * at every token, step and vocoder chunk, at least every 50 ms of work. [session] */
    int32_t (*cancelled)(const struct vox_job *job);
    /* How much is done, 0..1 and never less than before, and in which stage (a literal). At any time
     * during speak. [session] */
    void (*progress)(const struct vox_job *job, double fraction, const char *stage);
    /* Declares the format, exactly once, before the first write. When it fails, speak returns the
     * code unchanged and writes nothing. [session] */
    int32_t (*begin)(const struct vox_job *job, const struct vox_format *format);
    /* Hands over `frames` frames of interleaved float PCM, nominally -1..1, all finite. Takes all
     * or fails; may block. When it fails, speak returns the code unchanged. [session] */
    int32_t (*write)(const struct vox_job *job, const float *pcm, uint64_t frames);
    /* Reports a word, in order of start, before or after its audio is written. When it fails, speak
     * returns the code unchanged. [session] */
    int32_t (*mark)(const struct vox_job *job, const struct vox_mark *mark);
    /* Adds a line to the result's warnings: the job goes on, its caller should know. The last field of
     * the first version: ask VOX_HAS before newer ones, as vox_warnf does. [session] */
    void (*warn)(const struct vox_job *job, struct vox_str message);
};

/* --- What a plugin exports --------------------------------------------------------------------- */

#define VOX_CAP_CLONING (UINT64_C(1) << 0)          /* speaks with a reference recording */
#define VOX_CAP_NEEDS_VOICE (UINT64_C(1) << 1)      /* has no voice of its own */
#define VOX_CAP_NEEDS_TRANSCRIPT (UINT64_C(1) << 2) /* a recording is useless without its text */
#define VOX_CAP_STREAMING (UINT64_C(1) << 3)        /* writes audio before all of it is made */
#define VOX_CAP_MARKS (UINT64_C(1) << 4)            /* reports word times of its own */
#define VOX_CAP_SEED (UINT64_C(1) << 5)             /* the seed changes the audio */
#define VOX_CAP_SPEED (UINT64_C(1) << 6)            /* honours job->speed */
/* Computes with libvoxtensor (vox/tensor.h), which it is linked to: opening the plugin opens the library. The host finds
 * it when the plugin's own search path does not, and says so when this installation has none. */
#define VOX_CAP_TENSORS (UINT64_C(1) << 7)

/* A voice that comes with the plugin. A job that wants one has it as job->voice without frames, by its id as it stands
 * here; speak refuses other ids with VOX_ENOTFOUND. */
struct vox_speaker {
    uint32_t size;
    uint32_t reserved;
    const char *id;
    const char *language; /* BCP 47 */
    const char *summary;  /* one line */
};

struct vox_model;   /* the plugin's own */
struct vox_session; /* the plugin's own */

struct vox_entry {
    /* Frozen for ever, so that any host can read them. */
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t size;
    uint32_t reserved;

    /* What the host says and checks before it loads anything. Strings are terminated; id and version
     * are required, the rest may be NULL. */
    const char *id; /* letters, digits, '-', '_' */
    const char *version;
    const char *summary;          /* one line */
    const char *code_licence;     /* SPDX */
    const char *weights_licence;  /* SPDX, of the usual weights; NULL: has none */
    uint64_t capabilities;        /* VOX_CAP_* */
    uint32_t sample_rate;         /* native, Hz, of the default voice; 0: depends on the model */
    uint32_t channels;            /* likewise */
    const char *const *languages; /* BCP 47, terminated by NULL; NULL: any */
    /* Arrays carry the size of an element, so that elements can grow. At most 4096 speakers and 1024 options of a
     * kind. */
    const struct vox_speaker *speakers; /* the first one is the default */
    uint32_t speaker_count, speaker_size;
    const struct vox_option *load_options;
    uint32_t load_option_count, load_option_size;
    const struct vox_option *job_options;
    uint32_t job_option_count, job_option_size;

    /* Loads a model: all that its jobs will need, so that the first job is as fast as the second.
     * Required. [load] */
    int32_t (*init)(const struct vox_host *host, const struct vox_load *load,
                    struct vox_model **model, struct vox_error *error);
    /* Frees a model; its sessions are closed. Required. [load] */
    void (*fini)(struct vox_model *model);
    /* Makes a session. Required. [load] */
    int32_t (*open)(struct vox_model *model, struct vox_session **session, struct vox_error *error);
    /* Frees a session; no job runs on it. Required. [session] */
    void (*close)(struct vox_session *session);
    /* Runs one job. After any failure but VOX_EINTERNAL and VOX_EDEVICE the session is as good as new.
     * Required. [session] */
    int32_t (*speak)(struct vox_session *session, const struct vox_job *job,
                     struct vox_error *error);
    /* The plugin's side of an extension ("vox.NAME/REVISION"), or NULL when it has none. May be NULL
     * itself. [any] */
    const void *(*extension)(const char *id);
};

/* The one symbol that a plugin exports. */
extern VOX_EXPORT const struct vox_entry vox_entry;

#ifdef __cplusplus
}
#endif

#endif
