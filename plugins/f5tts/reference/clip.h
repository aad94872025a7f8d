/* Private to reference/: the part of a recording that is used. */
#ifndef F5_CLIP_H
#define F5_CLIP_H

#include "sound.h"

#include <stdbool.h>

struct clip {
    float *samples; /* interleaved, owned: what was kept; behind it zeros up to `frames_total` */
    uint64_t frames_speech; /* without the quiet ends; 0: all is quiet */
    uint64_t frames_total;  /* with the silence that is appended */
    uint32_t channels, rate_hz;
    bool clipped; /* the end was left out */
};

/* The scale of a recording: 16-bit when all samples are, else 32-bit. */
double clip_full_scale(const float *samples, uint64_t count);

/* Cuts, trims and pads as upstream's preprocess_ref_audio_text. 0, or -1: out of memory. */
int clip_make(const struct sound *sound, struct clip *out);
void clip_finish(struct clip *clip);

/* All pieces of the sound, joined; `frames` long. NULL: out of memory. */
float *clip_join(const struct sound *sound, const struct span *pieces, size_t count,
                 uint32_t rate_hz, uint64_t frames);

#endif
