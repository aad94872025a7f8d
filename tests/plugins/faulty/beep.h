/* What the faulty plugins do when they behave well: 0.1 s of a triangle wave and a mark for each word.
 * In pieces, so that a fault can leave one out or repeat it. Knows nothing of faults.
 */
#ifndef BEEP_H
#define BEEP_H

#include "vox/plugin.h"

#define BEEP_RATE_HZ 16000u
#define BEEP_FRAMES 1600u
#define BEEP_BLOCK_FRAMES 160u

/* Phase and step per frame; a turn is 2^32. */
struct beep {
    uint32_t phase, step;
};

struct beep beep_start(int64_t seed);
int32_t beep_begin(const struct vox_job *job);
int32_t beep_mark_words(const struct vox_job *job);
/* Fills one block of BEEP_BLOCK_FRAMES. */
void beep_fill(struct beep *beep, float *block);
/* Writes whole blocks and asks before each of them whether the job is cancelled. */
int32_t beep_write(const struct vox_job *job, struct beep *beep, uint32_t frames);
/* All of it. */
int32_t beep_speak(const struct vox_job *job);

#endif
