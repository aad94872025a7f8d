/* Joins the waves of chunks by cross-fades and hands them on as soon as nothing will change them
 * any more. Between speech.c and the job's write; knows no tensors.
 */
#ifndef F5TTS_STITCH_H
#define F5TTS_STITCH_H

#include "vox/helpers.h"

#include <stdbool.h>

struct f5_stitch {
    const struct vox_job *job;
    uint64_t fade;      /* samples of a full cross-fade */
    bool keep;          /* keeps everything for f5_stitch_end instead of writing */
    bool begun;         /* the format was declared */
    float *tail;        /* what the next chunk may still fade with; with `keep`, all */
    uint64_t tail_size; /* samples */
};

/* Appends a chunk: fades over min(fade, what there is, count) samples, writes all but the last
 * `fade`. Fails with what write returned, or VOX_ENOMEM. */
int32_t f5_stitch_add(struct f5_stitch *stitch, const float *wave, uint64_t count,
                      struct vox_error *error);
/* Writes the rest; with `keep`, cuts long silences out first. */
int32_t f5_stitch_end(struct f5_stitch *stitch, struct vox_error *error);
void f5_stitch_finish(struct f5_stitch *stitch);

#endif
