/* The reference recording of a job: from what the host decoded to the 24 kHz wave that the model
 * imitates, as f5_tts 1.1.22 (infer/utils_infer.py) with pydub 0.25.1 and torchaudio 2.11.0 makes
 * it; the removal of silence from finished speech, which is the same work; and prepared references
 * kept in the cache directory.
 *
 * Must not know tensors, jobs or text. No state: all [any]. */
#ifndef F5_REFERENCE_H
#define F5_REFERENCE_H

#include "vox/plugin.h"

#include <stdbool.h>

#define F5_RATE_HZ 24000
#define F5_REFERENCE_SECONDS_MIN 0.5   /* after trimming */
#define F5_REFERENCE_SECONDS_MAX 30.0  /* that are used without silence_trim: the model's context */
#define F5_REFERENCE_INPUT_S_MAX 600.0 /* that are looked at */

/* A recording, borrowed: interleaved, as struct vox_voice has it. */
struct f5_pcm {
    const float *samples;
    uint64_t frames;
    uint32_t channels, rate_hz;
};

struct f5_reference_options {
    bool
        silence_trim; /* as upstream: at most 12 s, cut at silence, quiet ends off, 50 ms of silence behind */
    float target_rms; /* quieter recordings are made this loud; louder ones stay */
};

struct f5_reference {
    float *samples; /* mono, F5_RATE_HZ; owned */
    uint64_t count;
    float rms; /* before scaling, of the clip at its own rate */
    double
        seconds; /* frames / rate of the clip at its own rate, which upstream's chunk length rests on */
    bool
        clipped; /* more than 12 s: the end was left out, and the transcript should have no more than is used */
};

/* On success `out` is the caller's, for f5_reference_finish; after a failure it is empty.
 * VOX_EINVAL: silent, shorter than F5_REFERENCE_SECONDS_MIN, too long, empty, not finite, or of a
 * rate or channel count that is out of bounds. VOX_ENOMEM. */
int32_t f5_reference_prepare(const struct f5_pcm *pcm, const struct f5_reference_options *options,
                             struct f5_reference *out, struct vox_error *error);
void f5_reference_finish(struct f5_reference *reference);

/* Shortens pauses of over 1 s in finished speech (mono, F5_RATE_HZ), as upstream's remove_silence
 * does to the 16-bit file that it wrote, so that the result has 16-bit values. `*out` comes from
 * malloc and is the caller's to free(); `*out_count` is 0 when all was silent. VOX_ENOMEM. */
int32_t f5_remove_silence(const float *samples, uint64_t count, float **out, uint64_t *out_count,
                          struct vox_error *error);

/* --- Prepared references in the cache directory ----------------------------------------------- */

#define F5_PROFILE_KEY_SIZE 65 /* hex digits of a SHA-256, and the end */

/* The name of what f5_reference_prepare would make of these inputs. VOX_ENOMEM when libcrypto has
 * none. */
int32_t f5_profile_key(const struct f5_pcm *pcm, const struct f5_reference_options *options,
                       char key[F5_PROFILE_KEY_SIZE]);

/* True when `cache_dir` has the key in good order; then `out` is the caller's. Whatever is wrong
 * with the file, it is as if there were none. */
bool f5_profile_load(const char *cache_dir, const char *key, struct f5_reference *out);

/* Writes under a temporary name and renames, so that writers and readers may be many. A failure
 * (VOX_EINTERNAL, VOX_ENOMEM) leaves nothing behind and costs only the next job its time. */
int32_t f5_profile_save(const char *cache_dir, const char *key,
                        const struct f5_reference *reference, struct vox_error *error);

#endif
