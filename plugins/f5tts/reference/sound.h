/* Private to reference/: what pydub 0.25.1 does with a recording: lengths and slices in
 * milliseconds, loudness, the search for silence, change of rate. Samples stay float here and hold
 * integers / full_scale. */
#ifndef F5_SOUND_H
#define F5_SOUND_H

#include <stddef.h>
#include <stdint.h>

#define SOUND_16_BIT 32768.0
#define SOUND_32_BIT 2147483648.0

struct sound {
    const float *samples; /* interleaved, borrowed */
    uint64_t frames;
    uint32_t channels, rate_hz;
    double full_scale; /* SOUND_16_BIT or SOUND_32_BIT: loudness is rounded to its steps */
};

/* Frames; what lies past the end of the sound is silence (a length rounded up to a millisecond). */
struct span {
    uint64_t begin, end;
};

struct silence_rule {
    int64_t window_ms; /* the shortest silence */
    int64_t keep_ms;   /* of it on either side of a piece */
    double level_db;   /* silent up to this, of full scale */
};

/* The loudness of a sound on a grid of milliseconds, made once for several splits. */
struct levels;

/* Lengths and positions as pydub rounds them. */
uint64_t sound_ms(uint64_t frames, uint32_t rate_hz);
uint64_t sound_frame(uint64_t ms, uint32_t rate_hz);

/* NULL: out of memory. `sound` is borrowed until sound_levels_destroy. */
struct levels *sound_levels_create(const struct sound *sound);
void sound_levels_destroy(struct levels *levels);

/* The pieces between silences (silence.split_on_silence): an array for free(), of `*count`; none
 * when all is silent. NULL: out of memory. */
struct span *sound_split(const struct levels *levels, const struct silence_rule *rule,
                         size_t *count);

/* How many ms of the span are quieter than `level_db`, in steps of 10, from its begin or from its
 * end (silence.detect_leading_silence). */
uint64_t sound_quiet_ms(const struct sound *sound, struct span span, double level_db, int from_end);

/* Frames that `frames` become, and copying a span to another rate, as audioop.ratecv does it
 * (linear). `rate_hz` is the sound's own or more. Writes at most `frames_max` frames and returns
 * how many. */
uint64_t sound_converted(uint64_t frames, uint32_t from_hz, uint32_t to_hz);
uint64_t sound_copy(const struct sound *sound, struct span span, uint32_t rate_hz, float *out,
                    uint64_t frames_max);

#endif
