/* Jobs of the conformance cases: their callbacks write down what a plugin does with them. */
#include "plugin/check/harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_START UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define DIGEST_PRIME UINT64_C(0x100000001b3)
#define WARNING_SIZE_MAX 1000
#define WARNINGS_MAX 100
#define TAIL_BYTE 0xa5

static const char default_text[] = "The quick brown fox jumps over the lazy dog.";

/* --- Rules ------------------------------------------------------------------------------------ */

/* Notes the first breach of a rule. */
__attribute__((format(printf, 3, 4))) static void breach(struct take *take, enum breach rule,
                                                         const char *format, ...)
{
    va_list args;
    char *note = take->breaches.notes[rule];
    if (note[0])
        return;
    va_start(args, format);
    vsnprintf(note, sizeof(take->breaches.notes[rule]), format, args);
    va_end(args);
}

/* The take of a callback, or NULL when the call does not count. */
static struct take *take_of(const struct vox_job *job, const char *callback)
{
    struct take *take = job->self;
    if (!take->active) {
        breach(take, BREACH_AFTER_SPEAK, "%s was called for a job that had ended", callback);
        return NULL;
    }
    if (!pthread_equal(take->thread, pthread_self()))
        breach(take, BREACH_OTHER_THREAD, "%s was called on another thread than speak", callback);
    return take;
}

static bool format_is_sane(const struct vox_format *format)
{
    return VOX_HAS(format, channels) && format->sample_rate >= 8000 &&
           format->sample_rate <= 192000 && format->channels >= 1 && format->channels <= 8;
}

/* --- Callbacks -------------------------------------------------------------------------------- */

static int32_t job_cancelled(const struct vox_job *job)
{
    struct take *take = take_of(job, "cancelled");
    if (!take)
        return 1;
    bool yes = take->poll_count++ >= take->cancel_poll;
    if (!yes && take->cancel_time != CLOCK_NEVER)
        yes = clock_now() >= take->cancel_time;
    if (yes && take->cancelled_at == 0)
        take->cancelled_at = clock_now();
    return yes;
}

static void job_progress(const struct vox_job *job, double fraction, const char *stage)
{
    struct take *take = take_of(job, "progress");
    if (!take)
        return;
    if (!(fraction >= 0 && fraction <= 1))
        breach(take, BREACH_PROGRESS, "a progress of %g, expected 0..1", fraction);
    if (!stage || !text_is_line(stage, strlen(stage)) || !stage[0])
        breach(take, BREACH_PROGRESS, "progress in a stage without a name");
}

static int32_t job_begin(const struct vox_job *job, const struct vox_format *format)
{
    struct take *take = take_of(job, "begin");
    if (!take)
        return VOX_ESINK;
    if (take->refused)
        breach(take, BREACH_AFTER_ERROR, "begin was called after begin or write had failed");
    if (take->begin_count++ > 0) {
        breach(take, BREACH_BEGIN_TWICE, "begin was called again");
        return VOX_OK;
    }
    take->format = (struct vox_format){.size = format->size};
    if (VOX_HAS(format, sample_rate))
        take->format.sample_rate = format->sample_rate;
    if (VOX_HAS(format, channels))
        take->format.channels = format->channels;
    if (!format_is_sane(format))
        breach(take, BREACH_FORMAT,
               "begin with %u Hz, %u channels in a struct of %u bytes, expected 8000..192000 Hz "
               "and 1..8 channels",
               take->format.sample_rate, take->format.channels, format->size);
    take->refused = take->begin_answer != VOX_OK;
    return take->begin_answer;
}

/* Reads the samples; of a format that cannot be, how many there are is not known. */
static void take_listen(struct take *take, const float *pcm, uint64_t frames)
{
    const unsigned char *bytes = (const unsigned char *)pcm;
    uint64_t samples = frames * take->format.channels;
    if (take->begin_count == 0 || !format_is_sane(&take->format))
        return;
    for (uint64_t i = 0; i < samples; i++) {
        double size = fabs((double)pcm[i]);
        if (!isfinite(pcm[i]))
            breach(take, BREACH_NOT_FINITE, "sample %llu of write %llu is %g",
                   (unsigned long long)i, (unsigned long long)take->write_count, (double)pcm[i]);
        else if (size > take->peak)
            take->peak = size;
    }
    for (uint64_t i = 0; i < samples * sizeof(*pcm); i++)
        take->digest = (take->digest ^ bytes[i]) * DIGEST_PRIME;
}

static int32_t job_write(const struct vox_job *job, const float *pcm, uint64_t frames)
{
    struct take *take = take_of(job, "write");
    if (!take)
        return VOX_ESINK;
    if (take->refused)
        breach(take, BREACH_AFTER_ERROR, "write was called after begin or write had failed");
    if (take->begin_count == 0)
        breach(take, BREACH_WRITE_EARLY, "write was called before begin");
    if (!pcm && frames > 0)
        breach(take, BREACH_WRITE_NULL, "a write of %llu frames at NULL",
               (unsigned long long)frames);
    else
        take_listen(take, pcm, frames);
    take->frames += frames;
    if (take->write_count++ < take->write_refused)
        return VOX_OK;
    take->refused = true;
    return take->write_answer;
}

/* A text range lies between characters of the text. */
static bool range_is_in(struct vox_str text, uint64_t begin, uint64_t end)
{
    if (begin > end || end > text.size)
        return false;
    bool cuts_begin = begin < text.size && ((unsigned char)text.data[begin] & 0xc0) == 0x80;
    bool cuts_end = end < text.size && ((unsigned char)text.data[end] & 0xc0) == 0x80;
    return !cuts_begin && !cuts_end;
}

static int32_t job_mark(const struct vox_job *job, const struct vox_mark *mark)
{
    struct take *take = take_of(job, "mark");
    if (!take)
        return VOX_ESINK;
    if (!VOX_HAS(mark, end_s)) {
        breach(take, BREACH_MARK_WORD, "a mark of %u bytes, expected at least %zu", mark->size,
               sizeof(*mark));
        return VOX_OK;
    }
    if (mark->word.size == 0 || !mark->word.data || !text_is_line(mark->word.data, mark->word.size))
        breach(take, BREACH_MARK_WORD, "mark %llu has no word of UTF-8",
               (unsigned long long)take->mark_count);
    if (take->mark_count >= job->text.size)
        breach(take, BREACH_MARK_WORD, "more marks than the text has bytes (%llu)",
               (unsigned long long)job->text.size);
    if (!range_is_in(job->text, mark->text_begin, mark->text_end))
        breach(take, BREACH_MARK_TEXT, "mark %llu has the range %llu..%llu of a text of %llu bytes",
               (unsigned long long)take->mark_count, (unsigned long long)mark->text_begin,
               (unsigned long long)mark->text_end, (unsigned long long)job->text.size);
    if (!isfinite(mark->start_s) || !isfinite(mark->end_s) || mark->start_s < 0 ||
        mark->end_s < mark->start_s)
        breach(take, BREACH_MARK_TIME, "mark %llu lasts from %g to %g s",
               (unsigned long long)take->mark_count, mark->start_s, mark->end_s);
    if (take->mark_count > 0 && mark->start_s < take->last_mark_start_s)
        breach(take, BREACH_MARK_ORDER, "mark %llu starts at %g s, the one before at %g s",
               (unsigned long long)take->mark_count, mark->start_s, take->last_mark_start_s);
    take->last_mark_start_s = mark->start_s;
    if (mark->end_s > take->last_mark_end_s)
        take->last_mark_end_s = mark->end_s;
    take->mark_count++;
    return VOX_OK;
}

static void job_warn(const struct vox_job *job, struct vox_str message)
{
    struct take *take = take_of(job, "warn");
    if (!take)
        return;
    if (!VOX_HAS(job, warn))
        breach(take, BREACH_WARNING, "warn was called, though the job's size leaves it out");
    else if (message.size > WARNING_SIZE_MAX)
        breach(take, BREACH_WARNING, "a warning of %llu bytes, expected a line",
               (unsigned long long)message.size);
    else if (message.size == 0 || !message.data || !text_is_line(message.data, message.size))
        breach(take, BREACH_WARNING, "a warning that is not one line of UTF-8");
    if (++take->warning_count > WARNINGS_MAX)
        breach(take, BREACH_WARNING, "more than %d warnings for one job", WARNINGS_MAX);
}

/* --- Temporary files ------------------------------------------------------------------------ */

static const char *scratch_dir(const struct vox_job *job)
{
    struct take *take = take_of(job, "dir of " VOX_SCRATCH_ID);
    struct err err = {0};
    if (!take)
        return NULL;
    take->scratch_count++;
    if (take->scratch_refused)
        return NULL;
    if (!take->scratch[0]) {
        pthread_mutex_lock(&take->cx->lock);
        uint64_t number = ++take->cx->scratch_number;
        pthread_mutex_unlock(&take->cx->lock);
        snprintf(take->scratch, sizeof(take->scratch), "%s/.scratch/%llu", take->cx->cache_dir,
                 (unsigned long long)number);
        if (fs_make_dirs(take->scratch, 0700, &err) != 0)
            take->scratch[0] = '\0';
    }
    return take->scratch[0] ? take->scratch : NULL;
}

const struct vox_scratch take_scratch = {
    .size = (uint32_t)sizeof(struct vox_scratch),
    .dir = scratch_dir,
};

/* --- Jobs ------------------------------------------------------------------------------------- */

void take_reset(struct take *take)
{
    struct take clean = {.given = take->given,
                         .begin_answer = take->begin_answer,
                         .write_answer = take->write_answer,
                         .write_refused = take->write_refused,
                         .cancel_poll = take->cancel_poll,
                         .cancel_time = take->cancel_time,
                         .scratch_refused = take->scratch_refused,
                         .digest = DIGEST_START,
                         .session = take->session,
                         .cx = take->cx,
                         .next = take->next};
    *take = clean;
}

struct take *take_create(struct check_cx *cx)
{
    const char *text = cx->options->text ? cx->options->text : default_text;
    struct take *take = mem_alloc(sizeof(*take));
    take->cx = cx;
    take->next = cx->takes;
    cx->takes = take;
    take->write_refused = take->cancel_poll = UINT64_MAX;
    take->write_answer = VOX_ESINK;
    take->cancel_time = CLOCK_NEVER;
    memset(take->given.tail, TAIL_BYTE, sizeof(take->given.tail));
    take->given.job = (struct vox_job){.size = (uint32_t)sizeof(struct vox_job) +
                                               (cx->future ? TAKE_TAIL_SIZE : 0),
                                       .id = {"check", 5},
                                       .text = {text, strlen(text)},
                                       .voice = cx->options->voice,
                                       .seed = 1,
                                       .speed = 1,
                                       .options = cx->job_values.values,
                                       .option_count = cx->job_values.count,
                                       .self = take,
                                       .cancelled = job_cancelled,
                                       .progress = job_progress,
                                       .begin = job_begin,
                                       .write = job_write,
                                       .mark = job_mark,
                                       .warn = job_warn};
    take_reset(take);
    return take;
}

void take_speak(struct take *take, struct vox_session *session)
{
    take->answer.error = (struct vox_error){.size = (uint32_t)sizeof(take->answer.error)};
    memset(take->answer.tail, TAIL_BYTE, sizeof(take->answer.tail));
    take->thread = pthread_self();
    take->active = true;
    take->code = take->cx->entry->speak(session, &take->given.job, &take->answer.error);
    take->active = false;
    take->ended_at = clock_now();
    struct err ignored = {0}; /* what cannot be removed goes with the case's folder */
    if (take->scratch[0])
        tree_remove(take->scratch, &ignored);
}

bool take_spoke(struct take *take)
{
    struct check_cx *cx = take->cx;
    const char *message = take->answer.error.message;
    size_t len = strnlen(message, sizeof(take->answer.error.message)), bad = len;
    if (!utf8_valid(message, len, &bad))
        len = bad;
    if (take->code != VOX_OK)
        cx_fail(cx, "speak returned %s (%d)%s%.*s", code_name(take->code), take->code,
                len ? ": " : "", (int)len, message);
    else if (take->begin_count == 0)
        cx_fail(cx, "speak returned VOX_OK and never called begin");
    else if (take->frames == 0)
        cx_fail(cx, "speak returned VOX_OK and wrote no audio");
    else
        return true;
    return false;
}

bool cx_speak_take(struct check_cx *cx, struct take *take)
{
    if (!cx_session(cx))
        return false;
    take_speak(take, cx->session);
    return take_spoke(take);
}

struct take *cx_speak(struct check_cx *cx)
{
    struct take *take = take_create(cx);
    return cx_speak_take(cx, take) ? take : NULL;
}

enum check_outcome cx_speak_keeping(struct check_cx *cx, enum breach rule)
{
    const struct take *take = cx_speak(cx);
    return take ? cx_expect_kept(cx, &take->breaches, rule) : CHECK_FAIL;
}

bool takes_equal(const struct take *a, const struct take *b)
{
    return a->frames == b->frames && a->digest == b->digest &&
           a->format.sample_rate == b->format.sample_rate &&
           a->format.channels == b->format.channels;
}

bool cx_spoke_or_refused(struct check_cx *cx, struct take *take)
{
    if (take->code == VOX_OK)
        return true;
    if (take->code != VOX_EINVAL && take->code != VOX_EUNSUPPORTED && take->code != VOX_ENOMEM)
        return take_spoke(take);
    return cx_failure_is_proper(cx, "speak", take->code, &take->answer.error);
}
