/* tone: a model for tests that speaks every text as one sine wave. Deterministic, and so cheap that a
 * run of many short jobs measures the host. Loaded from build/tests/plugins only.
 *
 *   length   characters x ms_per_char / speed, or duration_ms
 *   pitch    the voice's (speaker, or zero crossings of the recording), raised by 0..1/2 by the seed
 *   order    begin, marks of all words, first block, sleep_ms, the other blocks
 *   profile  vox.profile/1: the pitch of the recording; speaks with it alone
 *   scratch  vox.scratch/1: with scratch_files, so many files before begin, each in a folder inside the
 *            one of the file before it
 *   progress after each block; progress_calls times, evenly over the block, where there are many
 *
 * It must not know what becomes of its audio. The model is read only after init, and all that a job
 * changes lies in its session, so sessions run in parallel.
 */
#include "vox/plugin.h"
#include "vox/ext/profile.h"
#include "vox/ext/scratch.h"
#include "vox/helpers.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TABLE_BITS 12
#define TABLE_SIZE (1u << TABLE_BITS)
#define BLOCK_FRAMES_MAX 16384
#define CHANNELS_MAX 2
#define SLEEP_STEP_MS 10
#define VOICE_FRAMES_MAX 192000 /* of a recording that are listened to */
#define PITCH_MIN_HZ 50.0
#define PITCH_MAX_HZ 2000.0
#define SCRATCH_FILES_MAX 50

struct vox_model {
    float wave[TABLE_SIZE];           /* one period */
    struct vox_str count_profiles_in; /* the cache directory; empty: they are not counted */
    int64_t profile_ms;
    bool profile_fail;
    const struct vox_scratch *scratch; /* NULL: the host has none */
};

struct vox_session {
    const struct vox_model *model;
    float block[BLOCK_FRAMES_MAX * CHANNELS_MAX];
};

/* --- Schema ------------------------------------------------------------------------------------ */

enum load_option {
    LOAD_MS,
    LOAD_FAIL,
    LOAD_API_KEY,
    LOAD_WRITE_CACHE,
    LOAD_COUNT_PROFILES,
    LOAD_PROFILE_MS,
    LOAD_PROFILE_FAIL
};

#define OPTION(kind, key, text, default_json, low, high)                                \
    {                                                                                   \
        .size = (uint32_t)sizeof(struct vox_option), .type = (kind), .name = (key),     \
        .help = (text), .fallback = (default_json), .minimum = (low), .maximum = (high) \
    }

static const struct vox_option load_options[] = {
    [LOAD_MS] = OPTION(VOX_OPTION_INT, "load_ms", "how long loading takes", "0", 0, 3600000),
    [LOAD_FAIL] = OPTION(VOX_OPTION_BOOL, "fail", "loading fails", "false", 0, 0),
    [LOAD_API_KEY] = OPTION(VOX_OPTION_STRING, "api_key", "a secret; not used", NULL, 0, 0),
    [LOAD_WRITE_CACHE] = OPTION(VOX_OPTION_BOOL, "write_cache",
                                "writes tone.txt into the cache directory", "false", 0, 0),
    [LOAD_COUNT_PROFILES] =
        OPTION(VOX_OPTION_BOOL, "count_profiles",
               "adds a line to profiles.txt in the cache directory for each profile it makes",
               "false", 0, 0),
    [LOAD_PROFILE_MS] =
        OPTION(VOX_OPTION_INT, "profile_ms", "how long making a profile takes", "0", 0, 3600000),
    [LOAD_PROFILE_FAIL] =
        OPTION(VOX_OPTION_BOOL, "profile_fail", "making a profile fails", "false", 0, 0),
};

enum job_option {
    JOB_MS_PER_CHAR,
    JOB_DURATION_MS,
    JOB_SLEEP_MS,
    JOB_RATE,
    JOB_CHANNELS,
    JOB_AMPLITUDE,
    JOB_BLOCK_FRAMES,
    JOB_PROGRESS_CALLS,
    JOB_SCRATCH_FILES
};

static const struct vox_option job_options[] = {
    [JOB_MS_PER_CHAR] = OPTION(VOX_OPTION_INT, "ms_per_char", "milliseconds of audio per character",
                               "50", 1, 10000),
    [JOB_DURATION_MS] = OPTION(VOX_OPTION_INT, "duration_ms",
                               "length of the audio, whatever text and speed", NULL, 1, 36000000),
    [JOB_SLEEP_MS] =
        OPTION(VOX_OPTION_INT, "sleep_ms", "sleeps so long after the first block, unless cancelled",
               "0", 0, 3600000),
    [JOB_RATE] = OPTION(VOX_OPTION_INT, "rate", "sample rate, Hz", "24000", 8000, 192000),
    [JOB_CHANNELS] = OPTION(VOX_OPTION_INT, "channels", "number of channels", "1", 1, CHANNELS_MAX),
    [JOB_AMPLITUDE] = OPTION(VOX_OPTION_FLOAT, "amplitude",
                             "peak; above 1 it clips in integer formats", "0.5", 0, 4),
    [JOB_BLOCK_FRAMES] =
        OPTION(VOX_OPTION_INT, "block_frames", "frames per write", "1024", 1, BLOCK_FRAMES_MAX),
    [JOB_PROGRESS_CALLS] = OPTION(VOX_OPTION_INT, "progress_calls",
                                  "reports progress so many times for each block", "1", 0, 1000000),
    [JOB_SCRATCH_FILES] =
        OPTION(VOX_OPTION_INT, "scratch_files",
               "writes so many temporary files, each a folder deeper", "0", 0, SCRATCH_FILES_MAX),
};

#define SPEAKER(name, text)                                                           \
    {                                                                                 \
        .size = (uint32_t)sizeof(struct vox_speaker), .id = (name), .language = "en", \
        .summary = (text)                                                             \
    }

enum speaker { SPEAKER_LOW, SPEAKER_HIGH };

static const struct vox_speaker speakers[] = {
    [SPEAKER_LOW] = SPEAKER("low", "from 110 Hz"),
    [SPEAKER_HIGH] = SPEAKER("high", "from 440 Hz"),
};

static const double speaker_pitch_hz[] = {[SPEAKER_LOW] = 110.0, [SPEAKER_HIGH] = 440.0};

static const char *const languages[] = {"en", "de", NULL};

/* --- Helpers ----------------------------------------------------------------------------------- */

static void sleep_for_ms(int64_t ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) != 0)
        ;
}

/* Returns VOX_ECANCELLED as soon as the host asks for it. */
static int32_t sleep_unless_cancelled(const struct vox_job *job, int64_t ms)
{
    while (ms > 0) {
        int64_t step = ms < SLEEP_STEP_MS ? ms : SLEEP_STEP_MS;
        sleep_for_ms(step);
        ms -= step;
        if (job->cancelled(job))
            return VOX_ECANCELLED;
    }
    return VOX_OK;
}

/* splitmix64: neighbouring seeds give unrelated numbers in 0..1. */
static double seed_fraction(int64_t seed)
{
    uint64_t z = (uint64_t)seed + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Half the zero crossings per second of the first channel. */
static double recording_pitch_hz(const struct vox_voice *voice)
{
    uint64_t frames = voice->frames < VOICE_FRAMES_MAX ? voice->frames : VOICE_FRAMES_MAX;
    uint64_t crossings = 0;
    for (uint64_t i = 1; i < frames; i++) {
        float before = voice->pcm[(i - 1) * voice->channels];
        float after = voice->pcm[i * voice->channels];
        crossings += (before < 0) != (after < 0);
    }
    double hz = 0.5 * (double)crossings * (double)voice->sample_rate / (double)frames;
    return fmin(fmax(hz, PITCH_MIN_HZ), PITCH_MAX_HZ);
}

/* --- Profiles ------------------------------------------------------------------------------------ */

#define PROFILE_HEAD "tone profile: "
#define PROFILE_TAIL " Hz" /* shows that nothing was cut off */
#define PROFILE_SIZE_MAX 64

static int32_t profile_read(struct vox_str profile, double *hz, struct vox_error *error)
{
    char text[PROFILE_SIZE_MAX + 1], *end = text;
    uint64_t head = sizeof(PROFILE_HEAD) - 1;
    if (profile.size > head && profile.size <= PROFILE_SIZE_MAX &&
        memcmp(profile.data, PROFILE_HEAD, head) == 0) {
        memcpy(text, profile.data + head, (size_t)(profile.size - head));
        text[profile.size - head] = '\0';
        *hz = strtod(text, &end);
        if (end != text && strcmp(end, PROFILE_TAIL) == 0 && *hz >= PITCH_MIN_HZ &&
            *hz <= PITCH_MAX_HZ)
            return VOX_OK;
    }
    return vox_fail(error, VOX_EINVAL, "these bytes are no profile of tone");
}

static int32_t profile_check(struct vox_session *session, struct vox_str profile,
                             struct vox_error *error)
{
    double hz;
    (void)session;
    return profile_read(profile, &hz, error);
}

static void count_profile(const struct vox_model *model)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%.*s/profiles.txt", (int)model->count_profiles_in.size,
                       model->count_profiles_in.data);
    FILE *file = len > 0 && (size_t)len < sizeof(path) ? fopen(path, "a") : NULL;
    if (!file)
        return;
    fputs("made\n", file);
    fclose(file);
}

static int32_t profile_make(struct vox_session *session, const struct vox_voice *voice,
                            const struct vox_profile_sink *sink, struct vox_error *error)
{
    const struct vox_model *model = session->model;
    char text[PROFILE_SIZE_MAX];
    if (model->profile_fail)
        return vox_fail(error, VOX_EINVAL, "options.profile_fail is true");
    for (int64_t left = model->profile_ms; left > 0; left -= SLEEP_STEP_MS) {
        sleep_for_ms(left < SLEEP_STEP_MS ? left : SLEEP_STEP_MS);
        if (sink->cancelled(sink))
            return vox_fail(error, VOX_ECANCELLED, "cancelled");
    }
    if (sink->cancelled(sink))
        return vox_fail(error, VOX_ECANCELLED, "cancelled");
    if (model->count_profiles_in.size)
        count_profile(model);
    int len =
        snprintf(text, sizeof(text), PROFILE_HEAD "%.17g" PROFILE_TAIL, recording_pitch_hz(voice));
    return sink->write(sink, text, (uint64_t)len);
}

static const struct vox_profile profile_extension = {
    .size = (uint32_t)sizeof(struct vox_profile),
    .revision = 1,
    .flags = VOX_PROFILE_ALONE,
    .make = profile_make,
    .check = profile_check,
};

static const void *tone_extension(const char *id)
{
    return strcmp(id, VOX_PROFILE_ID) == 0 ? &profile_extension : NULL;
}

static int32_t voice_pitch_hz(const struct vox_voice *voice, double *hz, struct vox_error *error)
{
    if (voice && voice->profile.size > 0)
        return profile_read(voice->profile, hz, error);
    if (voice && voice->frames > 0) {
        *hz = recording_pitch_hz(voice);
        return VOX_OK;
    }
    for (uint32_t i = 0; i < VOX_COUNT(speakers); i++) {
        if (!voice || vox_str_is(voice->id, speakers[i].id)) {
            *hz = speaker_pitch_hz[i];
            return VOX_OK;
        }
    }
    return vox_fail(error, VOX_ENOTFOUND, "unknown speaker \"%.*s\", expected low or high",
                    (int)(voice->id.size < 64 ? voice->id.size : 64), voice->id.data);
}

/* --- Temporary files ---------------------------------------------------------------------------- */

static bool is_empty_dir(const char *path)
{
    int entries = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        entries++;
    if (dir)
        closedir(dir);
    return entries == 2; /* . and .. */
}

/* Appends to the text and returns whether it fitted. */
static bool append(char *path, size_t size, const char *text)
{
    size_t len = strlen(path);
    int added = snprintf(path + len, size - len, "%s", text);
    return added > 0 && (size_t)added < size - len;
}

static bool write_file(const char *path)
{
    FILE *file = fopen(path, "wx");
    bool written = file && fputs("temporary\n", file) >= 0;
    return file && fclose(file) == 0 && written;
}

static int32_t write_scratch(const struct vox_scratch *scratch, const struct vox_job *job,
                             struct vox_error *error)
{
    char path[4096] = "";
    const char *dir = scratch ? scratch->dir(job) : NULL;
    if (!dir)
        return vox_fail(error, VOX_ESINK, "no scratch folder");
    if (!is_empty_dir(dir) || !append(path, sizeof(path), dir))
        return vox_fail(error, VOX_EINTERNAL, "%s: is no empty folder", dir);
    if (scratch->dir(job) != dir)
        return vox_fail(error, VOX_EINTERNAL, "%s: was another folder at first", dir);
    for (int64_t i = 0; i < job->options[JOB_SCRATCH_FILES].integer; i++) {
        size_t len = strlen(path);
        if (!append(path, sizeof(path), "/file") || !write_file(path))
            return vox_fail(error, VOX_EINVAL, "%s: cannot be written", path);
        path[len] = '\0';
        if (!append(path, sizeof(path), "/folder") || mkdir(path, 0700) != 0)
            return vox_fail(error, VOX_EINVAL, "%s: cannot be made", path);
    }
    return VOX_OK;
}

/* --- Text -------------------------------------------------------------------------------------- */

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static uint64_t text_character_count(struct vox_str text)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < text.size; i++)
        count += (uint64_t)starts_character(text.data[i]);
    return count;
}

/* Every character lasts equally long, so a word's times follow from where it stands. */
static int32_t mark_words(const struct vox_job *job, double character_s)
{
    struct vox_str text = job->text;
    uint64_t i = 0, character = 0;
    int32_t code = VOX_OK;
    while (code == VOX_OK) {
        while (i < text.size && is_space(text.data[i])) {
            i++;
            character++;
        }
        if (i == text.size)
            break;
        struct vox_mark mark = {.size = (uint32_t)sizeof(mark), .text_begin = i};
        mark.start_s = (double)character * character_s;
        for (; i < text.size && !is_space(text.data[i]); i++)
            character += (uint64_t)starts_character(text.data[i]);
        mark.text_end = i;
        mark.end_s = (double)character * character_s;
        mark.word = (struct vox_str){text.data + mark.text_begin, i - mark.text_begin};
        code = job->mark(job, &mark);
    }
    return code;
}

/* --- Entry ------------------------------------------------------------------------------------- */

static int32_t cache_write(const struct vox_load *load, struct vox_error *error)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%.*s/tone.txt", (int)load->cache_dir.size,
                       load->cache_dir.data);
    FILE *file = len > 0 && (size_t)len < sizeof(path) ? fopen(path, "w") : NULL;
    if (!file)
        return vox_fail(error, VOX_EMODEL, "cache_dir: tone.txt cannot be written");
    fprintf(file, "%.*s\n", (int)load->model_type.size, load->model_type.data);
    if (fclose(file) != 0)
        return vox_fail(error, VOX_EMODEL, "cache_dir: tone.txt cannot be written");
    return VOX_OK;
}

static int32_t tone_init(const struct vox_host *host, const struct vox_load *load,
                         struct vox_model **model, struct vox_error *error)
{
    const struct vox_value *options = load->options;
    sleep_for_ms(options[LOAD_MS].integer);
    if (options[LOAD_FAIL].integer)
        return vox_fail(error, VOX_EMODEL, "options.fail is true");
    if (options[LOAD_WRITE_CACHE].integer) {
        int32_t code = cache_write(load, error);
        if (code != VOX_OK)
            return code;
    }
    struct vox_model *made = calloc(1, sizeof(*made));
    if (!made)
        return vox_fail(error, VOX_ENOMEM, "no memory for the wave table");
    for (uint32_t i = 0; i < TABLE_SIZE; i++)
        made->wave[i] = (float)sin(2.0 * 3.14159265358979323846 * i / TABLE_SIZE);
    if (options[LOAD_COUNT_PROFILES].integer)
        made->count_profiles_in = load->cache_dir;
    made->profile_ms = options[LOAD_PROFILE_MS].integer;
    made->profile_fail = options[LOAD_PROFILE_FAIL].integer != 0;
    made->scratch = host->extension(host, VOX_SCRATCH_ID);
    vox_logf(host, VOX_LOG_DEBUG, "wave table of %u points", TABLE_SIZE);
    *model = made;
    return VOX_OK;
}

static void tone_fini(struct vox_model *model)
{
    free(model);
}

static int32_t tone_open(struct vox_model *model, struct vox_session **session,
                         struct vox_error *error)
{
    struct vox_session *made = malloc(sizeof(*made));
    if (!made)
        return vox_fail(error, VOX_ENOMEM, "no memory for a session");
    made->model = model;
    *session = made;
    return VOX_OK;
}

static void tone_close(struct vox_session *session)
{
    free(session);
}

/* Fills the session's block from `phase` (a turn is 2^32) and returns the phase after it. */
static uint32_t fill_block(struct vox_session *session, uint32_t phase, uint32_t step,
                           uint64_t frames, uint32_t channels, float amplitude)
{
    const float *wave = session->model->wave;
    float *out = session->block;
    for (uint64_t i = 0; i < frames; i++, phase += step) {
        float sample = amplitude * wave[phase >> (32 - TABLE_BITS)];
        for (uint32_t c = 0; c < channels; c++)
            *out++ = sample;
    }
    return phase;
}

/* `before`, `after`: where the block began and ended, of the whole. */
static void report_progress(const struct vox_job *job, double before, double after)
{
    int64_t calls = job->options[JOB_PROGRESS_CALLS].integer;
    for (int64_t i = 1; i <= calls; i++)
        job->progress(job, before + (after - before) * (double)i / (double)calls, "tone");
}

static int32_t write_tone(struct vox_session *session, const struct vox_job *job, double pitch_hz,
                          uint64_t frames)
{
    const struct vox_value *options = job->options;
    uint64_t block = (uint64_t)options[JOB_BLOCK_FRAMES].integer;
    float amplitude = (float)options[JOB_AMPLITUDE].number;
    uint32_t channels = (uint32_t)options[JOB_CHANNELS].integer;
    uint32_t step = (uint32_t)(pitch_hz / (double)options[JOB_RATE].integer * 0x1p32);
    uint32_t phase = 0;
    for (uint64_t done = 0; done < frames;) {
        uint64_t count = frames - done < block ? frames - done : block;
        if (job->cancelled(job))
            return VOX_ECANCELLED;
        phase = fill_block(session, phase, step, count, channels, amplitude);
        bool first = done == 0;
        int32_t code = job->write(job, session->block, count);
        if (code != VOX_OK)
            return code;
        report_progress(job, (double)done / (double)frames,
                        (double)(done + count) / (double)frames);
        done += count;
        if (first && sleep_unless_cancelled(job, options[JOB_SLEEP_MS].integer) != VOX_OK)
            return VOX_ECANCELLED;
    }
    return VOX_OK;
}

static int32_t tone_speak(struct vox_session *session, const struct vox_job *job,
                          struct vox_error *error)
{
    const struct vox_value *options = job->options;
    uint64_t characters = text_character_count(job->text);
    double duration_s =
        options[JOB_DURATION_MS].is_set
            ? options[JOB_DURATION_MS].number / 1000.0
            : (double)characters * options[JOB_MS_PER_CHAR].number / 1000.0 / job->speed;
    struct vox_format format = {.size = (uint32_t)sizeof(format),
                                .sample_rate = (uint32_t)options[JOB_RATE].integer,
                                .channels = (uint32_t)options[JOB_CHANNELS].integer};
    double pitch_hz = 0;
    int32_t code = VOX_OK;
    if (options[JOB_SCRATCH_FILES].integer)
        code = write_scratch(session->model->scratch, job, error);
    if (code == VOX_OK)
        code = voice_pitch_hz(job->voice, &pitch_hz, error);
    if (code == VOX_OK)
        code = job->begin(job, &format);
    if (code == VOX_OK)
        code = mark_words(job, duration_s / (double)characters);
    if (code != VOX_OK)
        return code;
    uint64_t frames = (uint64_t)llround(duration_s * (double)format.sample_rate);
    code = write_tone(session, job, pitch_hz * (1.0 + 0.5 * seed_fraction(job->seed)), frames);
    return code == VOX_ECANCELLED ? vox_fail(error, code, "cancelled") : code;
}

const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD,
    .id = "tone",
    .version = "1.0",
    .summary = "Test voice: a sine as long as the text",
    .code_licence = "MIT",
    .capabilities =
        VOX_CAP_SEED | VOX_CAP_SPEED | VOX_CAP_STREAMING | VOX_CAP_MARKS | VOX_CAP_CLONING,
    .languages = languages,
    .speakers = speakers,
    .speaker_count = VOX_COUNT(speakers),
    .speaker_size = (uint32_t)sizeof(speakers[0]),
    .load_options = load_options,
    .load_option_count = VOX_COUNT(load_options),
    .load_option_size = (uint32_t)sizeof(load_options[0]),
    .job_options = job_options,
    .job_option_count = VOX_COUNT(job_options),
    .job_option_size = (uint32_t)sizeof(job_options[0]),
    .init = tone_init,
    .fini = tone_fini,
    .open = tone_open,
    .close = tone_close,
    .speak = tone_speak,
    .extension = tone_extension,
};
