/* One job on one model: reference, text, chunks, sampling, stitching. Sits between plugin.c (the
 * ABI) and the parts below it; knows no option names.
 */
#ifndef F5TTS_SPEECH_H
#define F5TTS_SPEECH_H

#include "model.h"
#include "reference/reference.h"
#include "text/text.h"

/* Immutable after init; shared by sessions. */
struct vox_model {
    const struct vox_host *host;
    char *cache_dir;
    struct vt_setup setup;
    vt_cx *cx; /* holds the weights */
    struct f5_dit dit;
    struct f5_vocos vocos;
    struct f5_mel mel;
    struct f5_vocab *vocab;
    struct f5_lexicon *lexicon;
};

struct vox_session {
    const struct vox_model *model;
    vt_cx *cx;
    struct f5_modulations modulations; /* of the last grid */
};

/* What a job may choose; names and meanings are upstream's. */
struct f5_speech_options {
    struct f5_sampling sampling;
    double cross_fade_s;
    double target_rms;
    double fix_duration_s; /* reference and speech together; 0: by the lengths of the texts */
    bool remove_silence, silence_trim;
};

/* Runs the job on the calling thread. Audio leaves chunk by chunk. */
int32_t f5_speech_run(struct vox_session *session, const struct vox_job *job,
                      const struct f5_speech_options *options, struct vox_error *error);

#endif
