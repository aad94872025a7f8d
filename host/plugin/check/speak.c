/* Conformance cases on what is heard: audio, seeds, speeds, speakers, languages, texts. */
#include "plugin/check/cases.h"

#include <stdlib.h>
#include <string.h>

#define PEAK_MIN 1e-4       /* -80 dB: below it is silence */
#define PEAK_MAX 10.0       /* above it, samples are integers */
#define SPEED_RATIO_MIN 1.5 /* of the lengths at speed 0.5 and 2; 4 is exact */
#define TRIED_MAX 16        /* speakers and languages */
#define LONG_TEXT_SIZE 20000
#define LONG_TEXT_SHARE 0.1 /* of the time limit, before the long text is cancelled */

enum check_outcome check_speak_works(struct check_cx *cx)
{
    return cx_speak(cx) ? CHECK_PASS : CHECK_FAIL;
}

/* --- One job ---------------------------------------------------------------------------------- */

enum check_outcome check_begin_once(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_BEGIN_TWICE);
}

enum check_outcome check_begin_first(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_WRITE_EARLY);
}

enum check_outcome check_format_sane(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_FORMAT);
}

enum check_outcome check_samples_given(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_WRITE_NULL);
}

enum check_outcome check_samples_finite(struct check_cx *cx)
{
    return cx_speak_keeping(cx, BREACH_NOT_FINITE);
}

enum check_outcome check_format_declared(struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    const struct take *take = cx_speak(cx);
    if (!take)
        return CHECK_FAIL;
    if (entry->sample_rate && take->format.sample_rate != entry->sample_rate)
        return cx_fail(cx, "begin with %u Hz, the entry says %u", take->format.sample_rate,
                       entry->sample_rate);
    if (entry->channels && take->format.channels != entry->channels)
        return cx_fail(cx, "begin with %u channels, the entry says %u", take->format.channels,
                       entry->channels);
    return CHECK_PASS;
}

enum check_outcome check_samples_level(struct check_cx *cx)
{
    const struct take *take = cx_speak(cx);
    if (!take)
        return CHECK_FAIL;
    if (take->peak > PEAK_MAX)
        return cx_fail(cx, "the loudest sample is %g, expected about -1..1", take->peak);
    return CHECK_PASS;
}

enum check_outcome check_samples_heard(struct check_cx *cx)
{
    const struct take *take = cx_speak(cx);
    if (!take)
        return CHECK_FAIL;
    if (take->peak < PEAK_MIN)
        return cx_fail(cx, "the loudest sample of %llu frames is %g",
                       (unsigned long long)take->frames, take->peak);
    return CHECK_PASS;
}

/* --- Two jobs --------------------------------------------------------------------------------- */

enum check_outcome check_speak_twice(struct check_cx *cx)
{
    const struct take *first = cx_speak(cx);
    const struct take *second = first ? cx_speak(cx) : NULL;
    return second ? CHECK_PASS : CHECK_FAIL;
}

enum check_outcome check_same_seed(struct check_cx *cx)
{
    const struct take *first = cx_speak(cx);
    const struct take *second = first ? cx_speak(cx) : NULL;
    if (!second)
        return CHECK_FAIL;
    if (!takes_equal(first, second))
        return cx_fail(cx, "the same job gave %llu frames, then %llu other ones",
                       (unsigned long long)first->frames, (unsigned long long)second->frames);
    return CHECK_PASS;
}

/* A used session has spoken another text, with another seed. */
enum check_outcome check_no_trace(struct check_cx *cx)
{
    static const char other_text[] = "Something else entirely, said before.";
    struct take *other = take_create(cx);
    const struct take *fresh = cx_speak(cx);
    if (!fresh)
        return CHECK_FAIL;
    cx->entry->close(cx->session);
    cx->session = NULL;
    other->given.job.text = (struct vox_str){other_text, sizeof(other_text) - 1};
    other->given.job.seed = 77;
    if (!cx_speak_take(cx, other))
        return CHECK_FAIL;
    const struct take *used = cx_speak(cx);
    if (!used)
        return CHECK_FAIL;
    return takes_equal(fresh, used) ? CHECK_PASS
                                    : cx_fail(cx, "a job sounds otherwise after another one");
}

static struct take *speak_seed(struct check_cx *cx, int64_t seed)
{
    struct take *take = take_create(cx);
    take->given.job.seed = seed;
    return cx_speak_take(cx, take) ? take : NULL;
}

enum check_outcome check_seed_range(struct check_cx *cx)
{
    return speak_seed(cx, 0) && speak_seed(cx, INT64_MAX) ? CHECK_PASS : CHECK_FAIL;
}

enum check_outcome check_seed_changes(struct check_cx *cx)
{
    if (!(cx->entry->capabilities & VOX_CAP_SEED))
        return cx_skip(cx, "the plugin does not have VOX_CAP_SEED");
    const struct take *first = speak_seed(cx, 1);
    const struct take *second = first ? speak_seed(cx, 2) : NULL;
    if (!second)
        return CHECK_FAIL;
    return takes_equal(first, second) ? cx_fail(cx, "seeds 1 and 2 give the same audio")
                                      : CHECK_PASS;
}

static struct take *speak_speed(struct check_cx *cx, double speed)
{
    struct take *take = take_create(cx);
    take->given.job.speed = speed;
    return cx_speak_take(cx, take) ? take : NULL;
}

enum check_outcome check_speed_range(struct check_cx *cx)
{
    if (!(cx->entry->capabilities & VOX_CAP_SPEED))
        return cx_skip(cx, "the plugin does not have VOX_CAP_SPEED");
    return speak_speed(cx, 0.25) && speak_speed(cx, 4) ? CHECK_PASS : CHECK_FAIL;
}

enum check_outcome check_speed_changes(struct check_cx *cx)
{
    if (!(cx->entry->capabilities & VOX_CAP_SPEED))
        return cx_skip(cx, "the plugin does not have VOX_CAP_SPEED");
    const struct take *slow = speak_speed(cx, 0.5);
    const struct take *fast = slow ? speak_speed(cx, 2) : NULL;
    if (!fast)
        return CHECK_FAIL;
    if ((double)slow->frames < SPEED_RATIO_MIN * (double)fast->frames)
        return cx_fail(cx, "%llu frames at speed 0.5, %llu at speed 2",
                       (unsigned long long)slow->frames, (unsigned long long)fast->frames);
    return CHECK_PASS;
}

/* --- Speakers and languages ------------------------------------------------------------------- */

static struct take *speak_as(struct check_cx *cx, const char *speaker)
{
    const struct vox_voice voice = {.size = (uint32_t)sizeof(voice),
                                    .id = {speaker, strlen(speaker)}};
    struct take *take = take_create(cx);
    take->given.job.voice = &voice;
    bool spoke = cx_speak_take(cx, take);
    take->given.job.voice = NULL;
    return spoke ? take : NULL;
}

static const char *speaker_id(struct check_cx *cx, uint32_t index)
{
    return plugin_speaker(cx->entry, index)->id;
}

enum check_outcome check_speakers_speak(struct check_cx *cx)
{
    if (cx->entry->speaker_count == 0)
        return cx_skip(cx, "the plugin has no speakers");
    if (check_speakers(cx) != CHECK_PASS)
        return CHECK_FAIL;
    for (uint32_t i = 0; i < cx->entry->speaker_count && i < TRIED_MAX; i++)
        if (!speak_as(cx, speaker_id(cx, i))) {
            char *why = str_take(&cx->reason);
            cx_fail(cx, "speaker \"%s\": %s", speaker_id(cx, i), why);
            free(why);
            return CHECK_FAIL;
        }
    return CHECK_PASS;
}

enum check_outcome check_speakers_differ(struct check_cx *cx)
{
    if (cx->entry->speaker_count < 2)
        return cx_skip(cx, "the plugin has fewer than two speakers");
    if (check_speakers(cx) != CHECK_PASS)
        return CHECK_FAIL;
    const struct take *first = speak_as(cx, speaker_id(cx, 0));
    const struct take *second = first ? speak_as(cx, speaker_id(cx, 1)) : NULL;
    if (!second)
        return CHECK_FAIL;
    if (takes_equal(first, second))
        return cx_fail(cx, "\"%s\" and \"%s\" give the same audio", speaker_id(cx, 0),
                       speaker_id(cx, 1));
    return CHECK_PASS;
}

enum check_outcome check_speaker_default(struct check_cx *cx)
{
    if (cx->entry->speaker_count == 0)
        return cx_skip(cx, "the plugin has no speakers");
    if (check_speakers(cx) != CHECK_PASS)
        return CHECK_FAIL;
    struct take *unnamed = take_create(cx);
    unnamed->given.job.voice = NULL;
    if (!cx_speak_take(cx, unnamed))
        return CHECK_FAIL;
    const struct take *named = speak_as(cx, speaker_id(cx, 0));
    if (!named)
        return CHECK_FAIL;
    if (!takes_equal(unnamed, named))
        return cx_fail(cx, "a job without a voice does not sound like \"%s\"", speaker_id(cx, 0));
    return CHECK_PASS;
}

enum check_outcome check_unknown_voice(struct check_cx *cx)
{
    static const struct vox_voice nobody = {.size = (uint32_t)sizeof(nobody),
                                            .id = {"no-such-speaker", 15}};
    struct take *take = take_create(cx);
    if (cx->entry->speaker_count == 0)
        return cx_skip(cx, "the plugin has no speakers");
    if (!cx_session(cx))
        return CHECK_FAIL;
    take->given.job.voice = &nobody;
    take_speak(take, cx->session);
    if (take->code != VOX_ENOTFOUND)
        return cx_fail(cx, "speak returned %s, expected VOX_ENOTFOUND", code_name(take->code));
    return cx_failure_is_proper(cx, "speak", take->code, &take->answer.error) ? CHECK_PASS
                                                                              : CHECK_FAIL;
}

static struct take *take_in_language(struct check_cx *cx, const char *language)
{
    struct take *take = take_create(cx);
    take->given.job.language = (struct vox_str){language, strlen(language)};
    return take;
}

enum check_outcome check_languages_speak(struct check_cx *cx)
{
    const char *const *languages = cx->entry->languages;
    if (!languages || !languages[0])
        return cx_skip(cx, "the plugin names no languages");
    for (size_t i = 0; languages[i] && i < TRIED_MAX; i++)
        if (!cx_speak_take(cx, take_in_language(cx, languages[i]))) {
            char *why = str_take(&cx->reason);
            cx_fail(cx, "language \"%s\": %s", languages[i], why);
            free(why);
            return CHECK_FAIL;
        }
    return CHECK_PASS;
}

enum check_outcome check_unknown_language(struct check_cx *cx)
{
    struct take *take = take_in_language(cx, "qaa-x-none");
    if (!cx_session(cx))
        return CHECK_FAIL;
    take_speak(take, cx->session);
    return cx_spoke_or_refused(cx, take) ? CHECK_PASS : CHECK_FAIL;
}

/* --- Texts ------------------------------------------------------------------------------------ */

static enum check_outcome speak_texts(struct check_cx *cx, const char *const *texts, size_t count)
{
    if (!cx_session(cx))
        return CHECK_FAIL;
    for (size_t i = 0; i < count; i++) {
        struct take *take = take_create(cx);
        take->given.job.text = (struct vox_str){texts[i], strlen(texts[i])};
        take_speak(take, cx->session);
        if (!cx_spoke_or_refused(cx, take)) {
            char *why = str_take(&cx->reason);
            cx_fail(cx, "text \"%s\": %s", texts[i], why);
            free(why);
            return CHECK_FAIL;
        }
    }
    return CHECK_PASS;
}

enum check_outcome check_text_short(struct check_cx *cx)
{
    static const char *const texts[] = {"a", "I", "7"};
    return speak_texts(cx, texts, sizeof(texts) / sizeof(*texts));
}

enum check_outcome check_text_punctuation(struct check_cx *cx)
{
    static const char *const texts[] = {"?", "...", "--", "!?;:,.", "\"'()[]{}", "%s%n %d", "\\"};
    return speak_texts(cx, texts, sizeof(texts) / sizeof(*texts));
}

enum check_outcome check_text_utf8(struct check_cx *cx)
{
    static const char *const texts[] = {
        "Stra\xc3\x9f\x65, na\xc3\xafve, \xc5\x81\xc3\xb3\x64\xc5\xba",
        "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",                    /* Cyrillic */
        "\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82",                                /* Chinese */
        "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7",                            /* Arabic */
        "smile \xf0\x9f\x98\x80 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac", /* emoji, joined */
        "e\xcc\x81\xcc\x81\xcc\x81",                                           /* combining marks */
        "\xef\xbb\xbf start \xe2\x80\x8b\xe2\x80\xae end", /* BOM, zero width, override */
        "\xf4\x8f\xbf\xbf \xef\xbf\xbd",                   /* the last code point, U+FFFD */
        "one\ttwo\r\nthree\x01 four",                      /* control characters */
    };
    return speak_texts(cx, texts, sizeof(texts) / sizeof(*texts));
}

/* A slow model may be stopped; then it has shown enough. */
enum check_outcome check_text_long(struct check_cx *cx)
{
    static const char sentence[] = "It was a bright cold day in April. ";
    struct str text = {0};
    struct take *take = take_create(cx);
    enum check_outcome outcome = CHECK_FAIL;
    if (!cx_session(cx))
        goto out;
    while (text.len < LONG_TEXT_SIZE)
        str_append(&text, sentence, sizeof(sentence) - 1);
    take->given.job.text = (struct vox_str){text.data, text.len};
    take->cancel_time =
        clock_now() + (int64_t)(LONG_TEXT_SHARE * cx->options->timeout_s * (double)CLOCK_S);
    take_speak(take, cx->session);
    if (take->code == VOX_ECANCELLED && take->cancelled_at != 0)
        outcome = CHECK_PASS;
    else
        outcome = cx_spoke_or_refused(cx, take) ? CHECK_PASS : CHECK_FAIL;
out:
    str_finish(&text);
    return outcome;
}
