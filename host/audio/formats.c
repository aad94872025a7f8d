/* The tables of audio formats: names, MIME types, sample rates, and which encodings go with
 * which. */
#include "audio/audio_private.h"

#include <string.h>

const char *const audio_format_names[AUDIO_FORMAT_COUNT] = {"wav", "flac", "mp3",
                                                            "ogg", "opus", "pcm"};
const char *const audio_encoding_names[AUDIO_ENCODING_COUNT] = {"pcm16", "pcm24", "float32"};

#define RATES_MAX 9
#define ENCODING_BIT(encoding) (1u << (encoding))

struct format {
    unsigned encodings;        /* ENCODING_BITs */
    uint32_t rates[RATES_MAX]; /* ascending, 0 after the last; none: any */
};

static const struct format formats[AUDIO_FORMAT_COUNT] = {
    [AUDIO_WAV] = {ENCODING_BIT(AUDIO_PCM16) | ENCODING_BIT(AUDIO_PCM24) |
                       ENCODING_BIT(AUDIO_FLOAT32),
                   {0}},
    [AUDIO_FLAC] = {ENCODING_BIT(AUDIO_PCM16) | ENCODING_BIT(AUDIO_PCM24), {0}},
    [AUDIO_MP3] = {ENCODING_BIT(AUDIO_PCM16),
                   {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}},
    [AUDIO_OGG] = {ENCODING_BIT(AUDIO_PCM16), {0}},
    [AUDIO_OPUS] = {ENCODING_BIT(AUDIO_PCM16), {8000, 12000, 16000, 24000, 48000}},
    [AUDIO_PCM] = {ENCODING_BIT(AUDIO_PCM16) | ENCODING_BIT(AUDIO_PCM24) |
                       ENCODING_BIT(AUDIO_FLOAT32),
                   {0}},
};

int audio_format_from(const char *name)
{
    for (int i = 0; i < AUDIO_FORMAT_COUNT; i++)
        if (strcmp(audio_format_names[i], name) == 0)
            return i;
    return -1;
}

/* "8000, 12000, ..." */
static void list_rates(const struct format *format, struct str *out)
{
    for (size_t i = 0; i < RATES_MAX && format->rates[i]; i++)
        str_printf(out, "%s%u", i ? ", " : "", format->rates[i]);
}

/* "pcm16 or pcm24" */
static void list_encodings(const struct format *format, struct str *out)
{
    for (size_t i = 0; i < AUDIO_ENCODING_COUNT; i++)
        if (format->encodings & ENCODING_BIT(i))
            str_printf(out, "%s%s", out->len ? " or " : "", audio_encoding_names[i]);
}

static bool has_rate(const struct format *format, uint32_t rate)
{
    if (!format->rates[0])
        return true;
    for (size_t i = 0; i < RATES_MAX && format->rates[i]; i++)
        if (format->rates[i] == rate)
            return true;
    return false;
}

int audio_spec_check(const struct audio_spec *spec, struct err *err)
{
    const struct format *format = &formats[spec->format];
    const char *name = audio_format_names[spec->format];
    struct str list = {0};
    int result = 0;
    if (!(format->encodings & ENCODING_BIT(spec->encoding))) {
        list_encodings(format, &list);
        result = err_set(err, ERR_INVALID, "encoding", "%s takes %s, not %s", name, str_text(&list),
                         audio_encoding_names[spec->encoding]);
    } else if (spec->sample_rate &&
               (spec->sample_rate < AUDIO_RATE_MIN || spec->sample_rate > AUDIO_RATE_MAX)) {
        result = err_set(err, ERR_INVALID, "sample_rate",
                         "expected %d..%d Hz, or 0 for the model's own, got %u", AUDIO_RATE_MIN,
                         AUDIO_RATE_MAX, spec->sample_rate);
    } else if (spec->sample_rate && !has_rate(format, spec->sample_rate)) {
        list_rates(format, &list);
        result = err_set(err, ERR_INVALID, "sample_rate", "%s has %s Hz, got %u", name,
                         str_text(&list), spec->sample_rate);
    }
    str_finish(&list);
    return result;
}

uint32_t audio_rate_for(enum audio_format format, uint32_t model_rate)
{
    const uint32_t *rates = formats[format].rates;
    uint32_t rate = model_rate;
    for (size_t i = 0; i < RATES_MAX && rates[i]; i++) {
        rate = rates[i];
        if (rate >= model_rate)
            break;
    }
    return rate;
}
