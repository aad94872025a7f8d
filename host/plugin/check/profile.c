/* Conformance cases on profiles of voices (vox/ext/profile.h): what make gives to its sink, what
 * check takes and refuses, and how the model speaks with it. Without a recording they are skipped.
 */
#include "plugin/check/cases.h"

#include "vox/ext/profile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CANCEL_NS_MAX (2 * CLOCK_S) /* from the first yes to the end of make */
#define CHANGES_MAX 64              /* bytes of a profile that are changed, one at a time */
#define CHANGED_SPOKEN_MAX 8        /* of those profiles, when check takes them */

/* One call of make: the wishes of the case, then what the plugin did. Belongs to the cx that made
 * it, so that a plugin which keeps the sink meets it. */
struct making {
    struct making *next;
    const struct vox_profile *extension;
    struct vox_session *session;
    const struct vox_voice *voice;
    bool is_cancelled, is_refused; /* cancelled() says yes; write fails */

    struct vox_profile_sink sink;
    int32_t code;
    struct vox_error error;
    struct str bytes;
    bool active, was_refused;
    pthread_t thread;
    int64_t cancelled_at, ended_at;
    const char *breach; /* the first one, in words; NULL: none */
};

/* --- The sink --------------------------------------------------------------------------------- */

static void breach(struct making *making, const char *what)
{
    if (!making->breach)
        making->breach = what;
}

static struct making *making_of(const struct vox_profile_sink *sink)
{
    struct making *making = sink->self;
    if (!making->active)
        breach(making, "a function of the sink was called after make");
    else if (!pthread_equal(making->thread, pthread_self()))
        breach(making, "a function of the sink was called on another thread than make");
    return making;
}

static int32_t sink_cancelled(const struct vox_profile_sink *sink)
{
    struct making *making = making_of(sink);
    if (making->is_cancelled && making->cancelled_at == 0)
        making->cancelled_at = clock_now();
    return making->is_cancelled || !making->active;
}

static int32_t sink_write(const struct vox_profile_sink *sink, const void *data, uint64_t size)
{
    struct making *making = making_of(sink);
    if (making->was_refused)
        breach(making, "write was called after it had failed");
    if (size && !data)
        breach(making, "write was called with bytes at NULL");
    if (making->is_refused || !making->active || (size && !data) ||
        size > VOX_PROFILE_SIZE_MAX - making->bytes.len)
        making->was_refused = true;
    if (!making->was_refused)
        str_append(&making->bytes, data, (size_t)size);
    return making->was_refused ? VOX_ESINK : VOX_OK;
}

/* --- Calls ------------------------------------------------------------------------------------ */

static const struct vox_profile *find_profile(const struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    return VOX_HAS(entry, extension) && entry->extension ? entry->extension(VOX_PROFILE_ID) : NULL;
}

static enum check_outcome no_profiles(struct check_cx *cx)
{
    return cx_skip(cx, "the plugin does not have " VOX_PROFILE_ID);
}

/* CHECK_PASS: there is all that a case needs, and the session of the cx. */
static enum check_outcome prepare(struct check_cx *cx)
{
    if (!find_profile(cx))
        return no_profiles(cx);
    if (!cx->options->voice)
        return cx_skip(cx, "a profile is made from a recording: --voice");
    return cx_session(cx) ? CHECK_PASS : CHECK_FAIL;
}

/* From the recording of the cx, on its session. */
static struct making *making_create(struct check_cx *cx)
{
    struct making *making = mem_alloc(sizeof(*making));
    making->next = cx->makings;
    cx->makings = making;
    making->extension = find_profile(cx);
    making->session = cx->session;
    making->voice = cx->options->voice;
    return making;
}

void makings_destroy(struct making *first)
{
    for (struct making *making = first, *next; making; making = next) {
        next = making->next;
        str_finish(&making->bytes);
        free(making);
    }
}

static void *making_run(void *arg)
{
    struct making *making = arg;
    str_clear(&making->bytes);
    making->sink = (struct vox_profile_sink){.size = (uint32_t)sizeof(making->sink),
                                             .self = making,
                                             .cancelled = sink_cancelled,
                                             .write = sink_write};
    making->error = (struct vox_error){.size = (uint32_t)sizeof(making->error)};
    making->thread = pthread_self();
    making->active = true;
    making->code =
        making->extension->make(making->session, making->voice, &making->sink, &making->error);
    making->active = false;
    making->ended_at = clock_now();
    return NULL;
}

/* True when there is a profile now; else the reason is set. */
static bool was_made(struct check_cx *cx, const struct making *making)
{
    if (making->was_refused && !making->is_refused)
        cx_fail(cx, "make wrote bytes at NULL or more than VOX_PROFILE_SIZE_MAX");
    else if (making->code == VOX_OK && making->bytes.len == 0)
        cx_fail(cx, "make returned VOX_OK and an empty profile");
    else if (making->code == VOX_OK)
        return true;
    else if (cx_failure_is_proper(cx, "make", making->code, &making->error))
        cx_fail(cx, "make returned %s (%d): %s", code_name(making->code), making->code,
                making->error.message);
    return false;
}

/* A profile of the recording, or NULL with the reason. */
static struct making *make_profile(struct check_cx *cx)
{
    struct making *making = making_create(cx);
    making_run(making);
    return was_made(cx, making) ? making : NULL;
}

/* A make that is cancelled or whose write fails from the start. */
static struct making *make_stopped(struct check_cx *cx, bool is_cancelled)
{
    struct making *making = making_create(cx);
    making->is_cancelled = is_cancelled;
    making->is_refused = !is_cancelled;
    making_run(making);
    return making;
}

static bool same_bytes(const struct making *a, const struct making *b)
{
    return a->bytes.len == b->bytes.len && memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0;
}

static struct vox_str bytes_of(const struct making *making)
{
    return (struct vox_str){making->bytes.data, making->bytes.len};
}

static int32_t call_check(struct check_cx *cx, struct vox_str bytes, struct vox_error *error)
{
    *error = (struct vox_error){.size = (uint32_t)sizeof(*error)};
    return find_profile(cx)->check(cx->session, bytes, error);
}

/* A job of the recording with this profile; `alone`: without its samples. */
static struct take *speak_with(struct check_cx *cx, struct vox_str bytes, bool alone)
{
    struct vox_voice voice = *cx->options->voice;
    struct take *take = take_create(cx);
    voice.profile = bytes;
    if (alone) {
        voice.pcm = NULL;
        voice.frames = 0;
        voice.sample_rate = voice.channels = 0;
    }
    take->given.job.voice = &voice;
    take_speak(take, cx->session);
    take->given.job.voice = NULL;
    return take;
}

/* --- The extension ---------------------------------------------------------------------------- */

enum check_outcome check_profile_extension(struct check_cx *cx)
{
    const struct vox_profile *profile = find_profile(cx);
    if (!profile)
        return no_profiles(cx);
    if (!VOX_HAS(profile, check))
        return cx_fail(cx, "struct vox_profile has %u bytes, expected at least %zu", profile->size,
                       offsetof(struct vox_profile, check) + sizeof(profile->check));
    if (!profile->make || !profile->check)
        return cx_fail(cx, "%s is NULL", profile->make ? "check" : "make");
    if (!(cx->entry->capabilities & VOX_CAP_CLONING))
        return cx_fail(cx, "profiles are made from recordings, but VOX_CAP_CLONING is not set");
    return CHECK_PASS;
}

/* --- make ------------------------------------------------------------------------------------- */

enum check_outcome check_profile_made(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    return outcome == CHECK_PASS && !make_profile(cx) ? CHECK_FAIL : outcome;
}

/* Another session makes one at the same time. */
static enum check_outcome make_parallel(struct check_cx *cx, const struct making *alone,
                                        struct vox_session *other)
{
    struct making *here = making_create(cx), *there = making_create(cx);
    pthread_t thread;
    there->session = other;
    if (pthread_create(&thread, NULL, making_run, there) != 0)
        return cx_fail(cx, "no thread");
    making_run(here);
    pthread_join(thread, NULL);
    if (!was_made(cx, here) || !was_made(cx, there))
        return CHECK_FAIL;
    if (!same_bytes(here, alone) || !same_bytes(there, alone))
        return cx_fail(cx, "two sessions at once make another profile than one alone");
    return CHECK_PASS;
}

enum check_outcome check_profile_deterministic(struct check_cx *cx)
{
    struct vox_session *other = NULL;
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    const struct making *first = make_profile(cx);
    const struct making *second = first ? make_profile(cx) : NULL;
    if (!second)
        return CHECK_FAIL;
    if (!same_bytes(first, second))
        return cx_fail(cx, "the same recording gave %zu bytes, then %zu other ones",
                       first->bytes.len, second->bytes.len);
    if (!cx_open_session(cx, &other))
        return CHECK_FAIL;
    outcome = make_parallel(cx, first, other);
    cx->entry->close(other);
    return outcome;
}

/* Whole, then with a write that fails; looked at when the model is gone. */
enum check_outcome check_profile_sink(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    const struct making *whole = make_profile(cx);
    const struct making *refused = whole ? make_stopped(cx, false) : NULL;
    if (!refused)
        return CHECK_FAIL;
    cx_down(cx);
    if (whole->breach || refused->breach)
        return cx_fail(cx, "%s", whole->breach ? whole->breach : refused->breach);
    return CHECK_PASS;
}

enum check_outcome check_profile_write_error(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    const struct making *making = make_stopped(cx, false);
    if (making->code != VOX_ESINK)
        return cx_fail(cx, "write returned VOX_ESINK, make returned %s", code_name(making->code));
    return CHECK_PASS;
}

enum check_outcome check_profile_cancelled(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    const struct making *making = make_stopped(cx, true);
    const int64_t waited = making->ended_at - making->cancelled_at;
    if (making->cancelled_at == 0)
        return cx_fail(cx, "make ended with %s and never asked cancelled()",
                       code_name(making->code));
    if (making->code != VOX_ECANCELLED)
        return cx_fail(cx, "make returned %s, expected VOX_ECANCELLED", code_name(making->code));
    if (waited > CANCEL_NS_MAX)
        return cx_fail(cx, "make went on for %.1f s after it was cancelled",
                       (double)waited / (double)CLOCK_S);
    return CHECK_PASS;
}

/* A recording of `frames` zeros gives a profile, or is refused as a text may be. */
static bool make_from_silence(struct check_cx *cx, uint64_t frames, uint32_t rate,
                              uint32_t channels)
{
    struct vox_voice voice = *cx->options->voice;
    struct making *making = making_create(cx);
    float *pcm = mem_alloc_array((size_t)frames * channels, sizeof(*pcm));
    voice.pcm = pcm;
    voice.frames = frames;
    voice.sample_rate = rate;
    voice.channels = channels;
    making->voice = &voice;
    making_run(making);
    making->voice = NULL;
    free(pcm);
    if (making->code == VOX_EINVAL || making->code == VOX_EUNSUPPORTED ||
        making->code == VOX_ENOMEM)
        return cx_failure_is_proper(cx, "make", making->code, &making->error);
    return was_made(cx, making);
}

enum check_outcome check_profile_odd_recordings(struct check_cx *cx)
{
    static const struct {
        uint64_t frames;
        uint32_t rate, channels;
    } recordings[] = {{1, 8000, 1}, {4000, 8000, 1}, {96000, 192000, 2}, {22050, 44100, 8}};
    enum check_outcome outcome = prepare(cx);
    for (size_t i = 0; i < sizeof(recordings) / sizeof(*recordings) && outcome == CHECK_PASS; i++) {
        uint64_t frames = recordings[i].frames;
        if (make_from_silence(cx, frames, recordings[i].rate, recordings[i].channels))
            continue;
        char *why = str_take(&cx->reason);
        outcome =
            cx_fail(cx, "%llu silent frames, %u Hz, %u channels: %s", (unsigned long long)frames,
                    recordings[i].rate, recordings[i].channels, why);
        free(why);
    }
    return outcome;
}

/* --- check and speak -------------------------------------------------------------------------- */

enum check_outcome check_profile_taken(struct check_cx *cx)
{
    struct vox_error error;
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    const struct making *making = make_profile(cx);
    if (!making)
        return CHECK_FAIL;
    int32_t code = call_check(cx, bytes_of(making), &error);
    if (code != VOX_OK)
        return cx_fail(cx, "check returned %s (%d) for what make had just made", code_name(code),
                       code);
    return take_spoke(speak_with(cx, bytes_of(making), false)) ? CHECK_PASS : CHECK_FAIL;
}

/* The recording is not needed any more, so it changes nothing. */
enum check_outcome check_profile_alone(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    if (!(find_profile(cx)->flags & VOX_PROFILE_ALONE))
        return cx_skip(cx, "the plugin does not have VOX_PROFILE_ALONE");
    const struct making *making = make_profile(cx);
    if (!making)
        return CHECK_FAIL;
    struct take *both = speak_with(cx, bytes_of(making), false);
    struct take *alone = speak_with(cx, bytes_of(making), true);
    if (!take_spoke(both) || !take_spoke(alone))
        return CHECK_FAIL;
    if (!takes_equal(both, alone))
        return cx_fail(cx, "a profile alone does not sound as it does with its recording");
    return CHECK_PASS;
}

static enum check_outcome expect_refused(struct check_cx *cx, struct vox_str bytes,
                                         const char *what)
{
    struct vox_error error;
    int32_t code = call_check(cx, bytes, &error);
    if (code != VOX_EINVAL)
        return cx_fail(cx, "check returned %s for %s, expected VOX_EINVAL", code_name(code), what);
    return cx_failure_is_proper(cx, "check", code, &error) ? CHECK_PASS : CHECK_FAIL;
}

enum check_outcome check_profile_damaged(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    struct making *making = make_profile(cx);
    if (!making)
        return CHECK_FAIL;
    const uint64_t size = making->bytes.len;
    const struct {
        uint64_t size;
        const char *what;
    } cut[] = {{0, "no bytes"},
               {size > 1, "the first byte of a profile"},
               {size / 2, "the first half of a profile"},
               {size - 1, "a profile without its last byte"},
               {size + 1, "a profile with a byte too many"}};
    str_putc(&making->bytes, 'x');
    const char *bytes = making->bytes.data;
    for (size_t i = 0; i < sizeof(cut) / sizeof(*cut) && outcome == CHECK_PASS; i++)
        outcome = expect_refused(cx, (struct vox_str){bytes, cut[i].size}, cut[i].what);
    if (outcome != CHECK_PASS)
        return outcome;
    memset(making->bytes.data, 0xff, making->bytes.len);
    return expect_refused(cx, (struct vox_str){bytes, size},
                          "as many bytes of 255 as a profile has");
}

/* One changed byte may well make another good profile. */
static enum check_outcome try_changed(struct check_cx *cx, struct vox_str bytes, int *spoken)
{
    struct vox_error error;
    int32_t code = call_check(cx, bytes, &error);
    if (code == VOX_EINVAL)
        return cx_failure_is_proper(cx, "check", code, &error) ? CHECK_PASS : CHECK_FAIL;
    if (code != VOX_OK)
        return cx_fail(cx, "check returned %s, expected VOX_OK or VOX_EINVAL", code_name(code));
    if (++*spoken > CHANGED_SPOKEN_MAX)
        return CHECK_PASS;
    struct take *take = speak_with(cx, bytes, false);
    if (!cx_spoke_or_refused(cx, take))
        return CHECK_FAIL;
    return cx_expect_kept(cx, &take->breaches, BREACH_NOT_FINITE);
}

enum check_outcome check_profile_changed(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    struct making *making = make_profile(cx);
    if (!making)
        return CHECK_FAIL;
    const size_t size = making->bytes.len, step = size / CHANGES_MAX + 1;
    int spoken = 0;
    for (size_t at = 0; at < size && outcome == CHECK_PASS; at += step) {
        making->bytes.data[at] ^= 0x55;
        outcome = try_changed(cx, bytes_of(making), &spoken);
        making->bytes.data[at] ^= 0x55;
        if (outcome == CHECK_PASS)
            continue;
        char *why = str_take(&cx->reason);
        cx_fail(cx, "a profile whose byte %zu is another: %s", at, why);
        free(why);
    }
    return outcome;
}

/* --- The session ------------------------------------------------------------------------------ */

enum check_outcome check_profile_survives(struct check_cx *cx)
{
    struct vox_error error;
    enum check_outcome outcome = prepare(cx);
    if (outcome != CHECK_PASS)
        return outcome;
    const struct take *before = cx_speak(cx);
    if (!before)
        return CHECK_FAIL;
    const struct making *cancelled = make_stopped(cx, true), *refused = make_stopped(cx, false);
    call_check(cx, (struct vox_str){"no profile", 10}, &error);
    if (cancelled->code == VOX_EINTERNAL || refused->code == VOX_EINTERNAL)
        return cx_fail(cx, "a make that was stopped ended with VOX_EINTERNAL");
    const struct take *after = cx_speak(cx);
    if (!after)
        return CHECK_FAIL;
    return takes_equal(before, after)
               ? CHECK_PASS
               : cx_fail(cx, "a job sounds otherwise after a profile was not made");
}

static bool make_again(struct check_cx *cx)
{
    struct making *making = cx->makings ? cx->makings : making_create(cx);
    struct vox_error error;
    making_run(making);
    call_check(cx, bytes_of(making), &error);
    return was_made(cx, making);
}

enum check_outcome check_profile_no_leak(struct check_cx *cx)
{
    enum check_outcome outcome = prepare(cx);
    return outcome == CHECK_PASS ? check_growth(cx, make_again, "profile") : outcome;
}
