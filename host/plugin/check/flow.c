/* Conformance cases on a job's callbacks: marks, progress, warnings, errors, cancelling,
 * threads. */
#include "plugin/check/cases.h"

#include <pthread.h>
#include <string.h>

#define CANCEL_NS_MAX (2 * CLOCK_S) /* from the first yes to the end of speak */
#define CANCEL_TEXT_REPEATS 10
#define MARK_SLACK_S 0.05 /* by which the last word may end after the audio */
#define PARALLEL_ROUNDS 5

/* --- Marks, progress, warnings ---------------------------------------------------------------- */

enum check_outcome check_marks_reported(struct check_cx *cx)
{
    if (!(cx->entry->capabilities & VOX_CAP_MARKS))
        return cx_skip(cx, "the plugin does not have VOX_CAP_MARKS");
    const struct take *take = cx_speak(cx);
    if (!take)
        return CHECK_FAIL;
    return take->mark_count ? CHECK_PASS : cx_fail(cx, "no mark was reported");
}

enum check_outcome check_marks_words(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_MARK_WORD);
}

enum check_outcome check_marks_ordered(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_MARK_ORDER);
}

enum check_outcome check_marks_text(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_MARK_TEXT);
}

enum check_outcome check_marks_audio(struct check_cx *cx)
{
    const struct take *take = cx_speak(cx);
    if (!take)
        return CHECK_FAIL;
    double rate = take->format.sample_rate;
    if (rate > 0 && take->last_mark_end_s > (double)take->frames / rate + MARK_SLACK_S)
        return cx_fail(cx, "a mark ends at %g s, the audio at %g s", take->last_mark_end_s,
                       (double)take->frames / rate);
    return cx_expect_kept(cx, &take->breaches, BREACH_MARK_TIME);
}

enum check_outcome check_log_lines(struct check_cx *cx)
{
    if (!cx_speak(cx))
        return CHECK_FAIL;
    cx_down(cx);
    return cx_expect_kept(cx, &cx->breaches, BREACH_LOG);
}

enum check_outcome check_progress_range(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_PROGRESS);
}

enum check_outcome check_warnings_lines(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_WARNING);
}

/* --- When and where --------------------------------------------------------------------------- */

enum check_outcome check_same_thread(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_OTHER_THREAD);
}

enum check_outcome check_not_after_speak(struct check_cx *cx)
{
    const struct take *first = cx_speak(cx);
    if (!first || !cx_speak(cx))
        return CHECK_FAIL;
    cx_down(cx);
    return cx_expect_kept(cx, &first->breaches, BREACH_AFTER_SPEAK);
}

/* --- Cancelling ------------------------------------------------------------------------------- */

static enum check_outcome expect_cancelled(struct check_cx *cx, const struct take *take)
{
    if (take->cancelled_at == 0)
        return cx_fail(cx, "speak ended with %s after asking cancelled() %llu times",
                       code_name(take->code), (unsigned long long)take->poll_count);
    if (take->code != VOX_ECANCELLED)
        return cx_fail(cx, "speak returned %s, expected VOX_ECANCELLED", code_name(take->code));
    int64_t waited = take->ended_at - take->cancelled_at;
    if (waited > CANCEL_NS_MAX)
        return cx_fail(cx, "speak went on for %.1f s after it was cancelled",
                       (double)waited / (double)CLOCK_S);
    return CHECK_PASS;
}

enum check_outcome check_cancel_at_once(struct check_cx *cx)
{
    struct take *take = take_create(cx);
    if (!cx_session(cx))
        return CHECK_FAIL;
    take->cancel_poll = 0;
    take_speak(take, cx->session);
    return expect_cancelled(cx, take);
}

/* Counts how often a longer text asks, then says yes half-way. */
enum check_outcome check_cancel_midway(struct check_cx *cx)
{
    struct str text = {0};
    struct take *whole = take_create(cx), *half = take_create(cx);
    enum check_outcome outcome = CHECK_FAIL;
    for (int i = 0; i < CANCEL_TEXT_REPEATS; i++) {
        str_append(&text, whole->given.job.text.data, whole->given.job.text.size);
        str_putc(&text, ' ');
    }
    whole->given.job.text = half->given.job.text = (struct vox_str){text.data, text.len};
    if (!cx_speak_take(cx, whole))
        goto out;
    if (whole->poll_count < 2) {
        outcome = cx_fail(cx, "a text of %zu bytes asked cancelled() %llu times", text.len,
                          (unsigned long long)whole->poll_count);
        goto out;
    }
    half->cancel_poll = whole->poll_count / 2;
    take_speak(half, cx->session);
    outcome = expect_cancelled(cx, half);
out:
    str_finish(&text);
    return outcome;
}

/* --- Errors of the host ----------------------------------------------------------------------- */

/* Speaks with begin (`write_index` UINT64_MAX) or a write refused. */
static struct take *speak_refused(struct check_cx *cx, uint64_t write_index)
{
    struct take *take = take_create(cx);
    if (!cx_session(cx))
        return NULL;
    if (write_index == UINT64_MAX)
        take->begin_answer = VOX_ESINK;
    take->write_refused = write_index;
    take_speak(take, cx->session);
    return take;
}

enum check_outcome check_begin_error(struct check_cx *cx)
{
    const struct take *take = speak_refused(cx, UINT64_MAX);
    if (!take)
        return CHECK_FAIL;
    if (take->code != VOX_ESINK)
        return cx_fail(cx, "begin returned VOX_ESINK, speak returned %s", code_name(take->code));
    if (take->write_count > 0)
        return cx_fail(cx, "begin failed, and speak wrote");
    return CHECK_PASS;
}

enum check_outcome check_write_error(struct check_cx *cx)
{
    const struct take *whole = cx_speak(cx);
    if (!whole)
        return CHECK_FAIL;
    const uint64_t indexes[] = {0, whole->write_count / 2, whole->write_count - 1};
    for (size_t i = 0; i < sizeof(indexes) / sizeof(*indexes); i++) {
        const struct take *take = speak_refused(cx, indexes[i]);
        if (!take)
            return CHECK_FAIL;
        if (take->code != VOX_ESINK)
            return cx_fail(cx, "write %llu of %llu returned VOX_ESINK, speak returned %s",
                           (unsigned long long)indexes[i] + 1,
                           (unsigned long long)whole->write_count, code_name(take->code));
    }
    return CHECK_PASS;
}

enum check_outcome check_nothing_after_error(struct check_cx *cx)
{
    const struct take *begun = speak_refused(cx, UINT64_MAX);
    const struct take *written = begun ? speak_refused(cx, 0) : NULL;
    if (!written)
        return CHECK_FAIL;
    enum check_outcome outcome = cx_expect_kept(cx, &begun->breaches, BREACH_AFTER_ERROR);
    return outcome == CHECK_PASS ? cx_expect_kept(cx, &written->breaches, BREACH_AFTER_ERROR)
                                 : outcome;
}

enum check_outcome check_session_survives(struct check_cx *cx)
{
    const struct take *before = cx_speak(cx);
    struct take *cancelled = take_create(cx);
    if (!before)
        return CHECK_FAIL;
    cancelled->cancel_poll = 0;
    take_speak(cancelled, cx->session);
    const struct take *refused = speak_refused(cx, 0);
    if (cancelled->code == VOX_EINTERNAL || refused->code == VOX_EINTERNAL)
        return cx_fail(cx, "a job that was stopped ended with VOX_EINTERNAL");
    const struct take *after = cx_speak(cx);
    if (!after)
        return CHECK_FAIL;
    return takes_equal(before, after)
               ? CHECK_PASS
               : cx_fail(cx, "a job sounds otherwise after others were stopped");
}

/* --- Older and newer hosts -------------------------------------------------------------------- */

enum check_outcome check_old_host(struct check_cx *cx)
{
    struct take *take = take_create(cx);
    take->given.job.size = offsetof(struct vox_job, warn);
    if (!cx_speak_take(cx, take))
        return CHECK_FAIL;
    return cx_expect_kept(cx, &take->breaches, BREACH_WARNING);
}

static bool tail_is_whole(const unsigned char *tail)
{
    for (size_t i = 1; i < TAKE_TAIL_SIZE; i++)
        if (tail[i] != tail[0])
            return false;
    return true;
}

enum check_outcome check_future_host(struct check_cx *cx)
{
    cx->future = true;
    const struct take *take = cx_speak(cx);
    if (!take)
        return CHECK_FAIL;
    if (!tail_is_whole(take->given.tail) || !tail_is_whole(cx->host.tail) ||
        !tail_is_whole(cx->load.tail))
        return cx_fail(cx, "the plugin wrote into a struct of the host");
    return CHECK_PASS;
}

/* --- Threads ---------------------------------------------------------------------------------- */

static void *speak_in_thread(void *arg)
{
    struct take *take = arg;
    take_speak(take, take->session);
    return NULL;
}

static bool thread_start(struct check_cx *cx, pthread_t *thread, struct take *take)
{
    int error = pthread_create(thread, NULL, speak_in_thread, take);
    if (error != 0)
        cx_fail(cx, "no thread: %s", strerror(error));
    return error == 0;
}

enum check_outcome check_thread_changes(struct check_cx *cx)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++) {
        struct take *here = take_create(cx), *there = take_create(cx);
        if (!cx_speak_take(cx, here))
            return CHECK_FAIL;
        there->session = cx->session;
        if (!thread_start(cx, &thread, there))
            return CHECK_FAIL;
        pthread_join(thread, NULL);
        if (!take_spoke(there))
            return CHECK_FAIL;
    }
    return CHECK_PASS;
}

/* The other session speaks on a thread of its own; both say what one said alone. */
static enum check_outcome speak_parallel(struct check_cx *cx, struct vox_session *other)
{
    const struct take *alone = cx_speak(cx);
    pthread_t thread;
    if (!alone)
        return CHECK_FAIL;
    for (int i = 0; i < PARALLEL_ROUNDS; i++) {
        struct take *here = take_create(cx), *there = take_create(cx);
        there->session = other;
        if (!thread_start(cx, &thread, there))
            return CHECK_FAIL;
        take_speak(here, cx->session);
        pthread_join(thread, NULL);
        if (!take_spoke(here) || !take_spoke(there))
            return CHECK_FAIL;
        if (!takes_equal(alone, here) || !takes_equal(alone, there))
            return cx_fail(cx, "a job sounds otherwise while another session speaks");
    }
    return CHECK_PASS;
}

enum check_outcome check_parallel(struct check_cx *cx)
{
    struct vox_session *other = NULL;
    if (!cx_session(cx) || !cx_open_session(cx, &other))
        return CHECK_FAIL;
    enum check_outcome outcome = speak_parallel(cx, other);
    cx->entry->close(other);
    return outcome;
}
