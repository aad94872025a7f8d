/* From word marks to what is shown: the private link between subtitle_cues.c and subtitle.c. */
#ifndef SUBTITLE_H
#define SUBTITLE_H

#include "audio/audio.h"

struct cue {
    char *text; /* one line of UTF-8, white space collapsed */
    double start_s, end_s;
};

/* Owned by the caller: each text, and the array. */
struct cue *subtitle_cues(const char *text, const struct audio_word *words, size_t count,
                          size_t *cue_count);

#endif
