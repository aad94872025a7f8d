/* The voice of a job: one of the model's own speakers, or a recording (a file, a name in the voices
 * folder, base64 inside the job, or a URL). Finding is cheap and checks that it is there, but for a
 * URL; opening downloads and decodes.
 */
#ifndef VOICE_H
#define VOICE_H

#include "audio/audio.h"
#include "base/base.h"
#include "vox/plugin.h"

#include <stdatomic.h>

#define VOICE_SECONDS_MAX 600.0           /* of a recording */
#define VOICE_INLINE_BYTES_MAX (6u << 20) /* decoded */
#define VOICE_TRANSCRIPT_BYTES_MAX (64u << 10)
#define VOICE_URL_LEN_MAX 8192

/* Where to look. */
struct voice_places {
    const char *voices_dir; /* NAME.wav (flac, mp3, ogg, opus) with NAME.txt beside it */
    const char *base_dir;   /* relative paths start here; NULL: jobs may not name files */
};

/* A voice that was found; owns its parts. All zero: the model's default. */
struct voice_ref {
    char *id; /* the speaker's id as the plugin spells it, or the name for messages */
    bool is_speaker;
    char *path;       /* a recording on disk, or NULL */
    struct str bytes; /* a recording inside the job, decoded from base64 */
    char *url; /* of a recording, or NULL; never shown, since its query may hold a signature */
    char *transcript; /* NULL: none */
};

/* How a URL is downloaded. */
struct voice_fetch {
    bool allow_private; /* also from addresses that are not public ones */
    double timeout_s;
    size_t bytes_max;
    const atomic_int *stop; /* not 0: gives up with ERR_CANCELLED; NULL: never */
};

/* Finds what a job's `voice` and `voice_text` (NULL: absent) mean to a plugin. ERR_VOICE_NOT_FOUND
 * lists the speakers; ERR_UNSUPPORTED: the plugin has one voice only and cannot clone. */
int voice_find(const char *voice, const char *voice_text, const struct vox_entry *entry,
               const struct voice_places *places, struct voice_ref *ref, struct err *err);
void voice_ref_finish(struct voice_ref *ref);

/* Downloads and decodes the recording, if there is one, and fills `out`, which borrows from `ref`
 * and `clip`. */
int voice_open(const struct voice_ref *ref, const struct voice_fetch *fetch,
               struct audio_clip *clip, struct vox_voice *out, struct err *err);

#endif
