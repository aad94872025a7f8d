/* One job through flite: text in, audio and marks out through the job's functions. */
#ifndef FLITE_SPEECH_H
#define FLITE_SPEECH_H

#include "cage.h"
#include "text.h"

#include <flite/flite.h>

/* flite ends an utterance after 500 tokens if nothing else does (src/synth/flite.c, flite_ts_to_speech).
 * Its parameter smoothing (src/cg/cst_mlpg.c) cannot be interrupted and takes about 0.5 ms for each second
 * of the utterance, so that here the length is bounded too, in letters of ordinary text, of which 15 make
 * a second: at a comma after the first, anywhere after the second. */
#define UTTERANCE_TOKENS_MAX 500
#define UTTERANCE_COMMA_LETTERS 600
#define UTTERANCE_LETTERS_MAX 800

#define CHUNK_FRAMES 1024

struct speech {
    const struct vox_job *job;
    const cst_voice *voice;
    struct cage *cage;
    struct text text;
    struct text_token token;
    uint64_t token_begin[UTTERANCE_TOKENS_MAX], token_end[UTTERANCE_TOKENS_MAX];
    uint64_t text_end; /* of the utterance */
    uint64_t frames;   /* written */
    bool begun, spoken;
    float pcm[CHUNK_FRAMES];
};

/* Speaks job->text with `voice`, which no other thread may use meanwhile. `speech` is scratch. */
int32_t speech_run(struct speech *speech, struct cage *cage, const cst_voice *voice,
                   const struct vox_job *job, struct vox_error *error);

#endif
