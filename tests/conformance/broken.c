/* broken: a model that breaks the clauses which tests/plugins/faulty does not, so that every case of
 * `voxhost check` has something that it must fail. The load option `break` takes a name of BREAKS; "none"
 * behaves well. Loaded by tests/conformance only.
 */
#include "vox/helpers.h"
#include "vox/plugin.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RATE_HZ 8000
#define BLOCK_FRAMES 400
#define SPEED_BLOCKS 40 /* of a text at speed 1 */
#define LONG_TEXT_SIZE 10000
#define OPEN_MAX 50

#define BREAKS(X)                                                               \
    X(none, "behaves well")                                                     \
    X(weights, "init needs the file weights in model_dir")                      \
    X(model_dir, "init fails without a word when model_dir is not there")       \
    X(device, "init raises an error of no known code for a CUDA device")        \
    X(open_limit, "open fails for the fiftieth session")                        \
    X(log_two_lines, "a log message of two lines")                              \
    X(silent, "all samples are 0")                                              \
    X(integers, "samples are -32768..32767")                                    \
    X(second_job, "a session fails from its second job on")                     \
    X(trace, "a job's pitch depends on the texts before it")                    \
    X(seed_zero, "fails for the seed 0")                                        \
    X(speed_four, "fails for speeds over 3")                                    \
    X(speed_ignored, "claims VOX_CAP_SPEED, and every speed is the same")       \
    X(speaker_fails, "fails for its second speaker")                            \
    X(speakers_same, "both speakers have one pitch")                            \
    X(default_second, "speaks as the second speaker when there is no voice")    \
    X(voice_ignored, "speaks for a speaker that it does not have")              \
    X(language_fails, "refuses a language of its entry")                        \
    X(language_unknown, "fails with VOX_EINTERNAL for an unknown language")     \
    X(letter, "crashes on a text of one byte")                                  \
    X(punctuation, "crashes on a text without a letter")                        \
    X(utf8, "fails without a word on text beyond ASCII")                        \
    X(long_text, "crashes on a text over 10,000 bytes")                         \
    X(cancel_first, "asks cancelled often, and believes only the first answer") \
    X(cancel_sticks, "speaks otherwise after it was cancelled")                 \
    X(job_size, "takes only a job of its own size")                             \
    X(warns, "calls warn without asking whether it is there")                   \
    X(own_thread, "speaks on the thread that opened the session only")

enum fault {
#define X(name, text) BREAK_##name,
    BREAKS(X)
#undef X
};

#define X(name, text) #name,
static const char *const break_names[] = {BREAKS(X) NULL};
#undef X

static const struct vox_option load_options[] = {
    {.size = (uint32_t)sizeof(struct vox_option),
     .type = VOX_OPTION_CHOICE,
     .name = "break",
     .help = "what goes wrong",
     .fallback = "\"none\"",
     .choices = break_names},
};

static const struct vox_speaker speakers[] = {
    {.size = (uint32_t)sizeof(struct vox_speaker), .id = "low", .language = "en"},
    {.size = (uint32_t)sizeof(struct vox_speaker), .id = "high", .language = "en"},
};

struct vox_model {
    enum fault fault;
    int open_count;
    const struct vox_host *host;
};

struct vox_session {
    struct vox_model *model;
    pthread_t opener;
    int job_count;
    int cancelled;
    uint64_t first_size; /* of the first text */
    int trace;           /* how many other texts there were */
    float block[BLOCK_FRAMES];
};

/* --- Model and session ------------------------------------------------------------------------- */

static int is_there(struct vox_str folder, const char *name)
{
    char path[4096];
    struct stat info;
    int len = snprintf(path, sizeof(path), "%.*s/%s", (int)folder.size, folder.data, name);
    return len > 0 && (size_t)len < sizeof(path) && stat(path, &info) == 0;
}

static int32_t broken_init(const struct vox_host *host, const struct vox_load *load,
                           struct vox_model **model, struct vox_error *error)
{
    enum fault fault = (enum fault)load->options[0].integer;
    if (fault == BREAK_weights && !is_there(load->model_dir, "weights"))
        return vox_fail(error, VOX_EMODEL, "weights: cannot be read");
    if (fault == BREAK_model_dir && !is_there(load->model_dir, "."))
        return VOX_EMODEL;
    if (fault == BREAK_device && load->device.size > 4)
        return vox_fail(error, -1000, "no such device");
    struct vox_model *made = calloc(1, sizeof(*made));
    if (!made)
        return vox_fail(error, VOX_ENOMEM, "no memory for a model");
    made->fault = fault;
    made->host = host;
    vox_logf(host, VOX_LOG_DEBUG, fault == BREAK_log_two_lines ? "one\ntwo" : "one");
    *model = made;
    return VOX_OK;
}

static void broken_fini(struct vox_model *model)
{
    free(model);
}

static int32_t broken_open(struct vox_model *model, struct vox_session **session,
                           struct vox_error *error)
{
    if (model->fault == BREAK_open_limit && ++model->open_count >= OPEN_MAX)
        return vox_fail(error, VOX_ENOMEM, "asked to fail");
    struct vox_session *made = calloc(1, sizeof(*made));
    if (!made)
        return vox_fail(error, VOX_ENOMEM, "no memory for a session");
    made->model = model;
    made->opener = pthread_self();
    *session = made;
    return VOX_OK;
}

static void broken_close(struct vox_session *session)
{
    free(session);
}

/* --- Jobs --------------------------------------------------------------------------------------- */

static int has_letter(struct vox_str text)
{
    for (uint64_t i = 0; i < text.size; i++)
        if ((text.data[i] | 0x20) >= 'a' && (text.data[i] | 0x20) <= 'z')
            return 1;
    return 0;
}

static int is_ascii(struct vox_str text)
{
    for (uint64_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return 0;
    return 1;
}

/* The faults that end a job before it begins. VOX_OK: there is none. */
static int32_t fail_early(const struct vox_session *session, const struct vox_job *job,
                          struct vox_error *error)
{
    switch (session->model->fault) {
    case BREAK_second_job:
        if (session->job_count > 1)
            return vox_fail(error, VOX_EINVAL, "a session speaks once");
        break;
    case BREAK_seed_zero:
        if (job->seed == 0)
            return vox_fail(error, VOX_EINVAL, "the seed is 0");
        break;
    case BREAK_speed_four:
        if (job->speed > 3)
            return vox_fail(error, VOX_EUNSUPPORTED, "too fast");
        break;
    case BREAK_language_fails:
        if (vox_str_is(job->language, "de"))
            return vox_fail(error, VOX_EUNSUPPORTED, "no German");
        break;
    case BREAK_language_unknown:
        if (job->language.size > 2)
            return vox_fail(error, VOX_EINTERNAL, "what language?");
        break;
    case BREAK_letter:
        if (job->text.size == 1)
            abort();
        break;
    case BREAK_punctuation:
        if (!has_letter(job->text))
            abort();
        break;
    case BREAK_utf8:
        if (!is_ascii(job->text))
            return VOX_EINVAL;
        break;
    case BREAK_long_text:
        if (job->text.size > LONG_TEXT_SIZE)
            abort();
        break;
    case BREAK_job_size:
        if (job->size != sizeof(*job))
            return vox_fail(error, VOX_EINVAL, "a job of another size");
        break;
    case BREAK_own_thread:
        if (!pthread_equal(session->opener, pthread_self()))
            return vox_fail(error, VOX_EINTERNAL, "another thread");
        break;
    default:
        break;
    }
    return VOX_OK;
}

/* The pitch of the job's speaker, or 0 with the error. */
static double find_pitch_hz(enum fault fault, const struct vox_voice *voice,
                            struct vox_error *error)
{
    const double low_hz = 200, high_hz = 300;
    if (!voice)
        return fault == BREAK_default_second ? high_hz : low_hz;
    if (vox_str_is(voice->id, "low") || fault == BREAK_speakers_same)
        return low_hz;
    if (vox_str_is(voice->id, "high") && fault == BREAK_speaker_fails)
        vox_fail(error, VOX_EINTERNAL, "asked to fail");
    else if (vox_str_is(voice->id, "high") || fault == BREAK_voice_ignored)
        return high_hz;
    else
        vox_fail(error, VOX_ENOTFOUND, "unknown speaker");
    return 0;
}

static int32_t write_blocks(struct vox_session *session, const struct vox_job *job, double pitch_hz,
                            int blocks)
{
    enum fault fault = session->model->fault;
    const float peak = fault == BREAK_silent ? 0.0f : fault == BREAK_integers ? 32767.0f : 0.5f;
    for (int block = 0; block < blocks; block++) {
        int stop = job->cancelled(job);
        if (stop && (fault != BREAK_cancel_first || block == 0)) {
            session->cancelled = 1;
            return VOX_ECANCELLED;
        }
        for (int i = 0; i < BLOCK_FRAMES; i++) {
            double turns = pitch_hz * (block * BLOCK_FRAMES + i) / RATE_HZ;
            session->block[i] = peak * (float)sin(2 * 3.14159265358979323846 * turns);
        }
        int32_t code = job->write(job, session->block, BLOCK_FRAMES);
        if (code != VOX_OK)
            return code;
    }
    return VOX_OK;
}

static int32_t broken_speak(struct vox_session *session, const struct vox_job *job,
                            struct vox_error *error)
{
    const struct vox_format format = {
        .size = (uint32_t)sizeof(format), .sample_rate = RATE_HZ, .channels = 1};
    enum fault fault = session->model->fault;
    session->job_count++;
    int32_t code = fail_early(session, job, error);
    double pitch_hz = code == VOX_OK ? find_pitch_hz(fault, job->voice, error) : 0;
    if (pitch_hz == 0)
        return code != VOX_OK ? code : error->code;
    if (fault == BREAK_warns)
        job->warn(job, vox_text("one"));
    if (session->job_count == 1)
        session->first_size = job->text.size;
    session->trace += job->text.size != session->first_size;
    if (fault == BREAK_trace)
        pitch_hz += session->trace;
    if (fault == BREAK_cancel_sticks && session->cancelled)
        pitch_hz += 50;
    code = job->begin(job, &format);
    if (code == VOX_OK)
        code = write_blocks(session, job, pitch_hz,
                            (int)(SPEED_BLOCKS / (fault == BREAK_speed_ignored ? 1 : job->speed)));
    return code == VOX_ECANCELLED ? vox_fail(error, code, "cancelled") : code;
}

/* --- Entry -------------------------------------------------------------------------------------- */

/* The faults of the entry itself make a library of their own: broken_entry.so. */
#ifdef BROKEN_ENTRY
#define SUMMARY "Test voice: breaks\nits own entry"
#define LANGUAGE "English please"
#define CAPABILITIES (VOX_CAP_SPEED | VOX_CAP_NEEDS_VOICE)
#define EXTENSION broken_extension

static const void *broken_extension(const char *id)
{
    return id; /* has every extension there is */
}
#else
#define SUMMARY "Test voice: breaks what faulty does not"
#define LANGUAGE "de"
#define CAPABILITIES VOX_CAP_SPEED
#define EXTENSION NULL
#endif

static const char *const languages[] = {"en", LANGUAGE, NULL};

const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD,
    .id = "broken",
    .version = "1.0",
    .summary = SUMMARY,
    .code_licence = "MIT",
    .weights_licence = "MIT",
    .capabilities = CAPABILITIES,
    .sample_rate = RATE_HZ,
    .channels = 1,
    .languages = languages,
    .speakers = speakers,
    .speaker_count = VOX_COUNT(speakers),
    .speaker_size = (uint32_t)sizeof(speakers[0]),
    .load_options = load_options,
    .load_option_count = VOX_COUNT(load_options),
    .load_option_size = (uint32_t)sizeof(load_options[0]),
    .init = broken_init,
    .fini = broken_fini,
    .open = broken_open,
    .close = broken_close,
    .speak = broken_speak,
    .extension = EXTENSION,
};
