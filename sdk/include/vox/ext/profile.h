/* The extension "vox.profile/1" of a plugin: what a model computes from a voice once, so that it
 * need not again.
 *
 * The host asks the entry's extension() for it, calls make() once for a recording, keeps the bytes
 * (in memory, and beside the recording when the voice lies in its library), and hands them back as
 * job->voice->profile from then on. A profile belongs to the very recording and transcript, plugin
 * id, plugin version, `revision` and checkpoint that it was made with: when one of them is another,
 * the host makes a new one. What comes from outside (a job that carries its profile) goes through
 * check() before every use.
 */
#ifndef VOX_EXT_PROFILE_H
#define VOX_EXT_PROFILE_H

#include "vox/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VOX_PROFILE_ID "vox.profile/1"
#define VOX_PROFILE_SIZE_MAX (UINT64_C(10) << 20) /* bytes */

/* speak() takes a voice that has a profile and no frames: the recording is not needed any more, and
 * the audio is the same with it and without. */
#define VOX_PROFILE_ALONE (UINT64_C(1) << 0)

/* Where make() puts the profile; host-owned, valid during the call. */
struct vox_profile_sink {
    uint32_t size;
    uint32_t reserved;
    void *self; /* the host's own */
    /* Not 0 when make should end: return VOX_ECANCELLED soon. Ask once before the first write, and
     * then as often as in a job. [session] */
    int32_t (*cancelled)(const struct vox_profile_sink *sink);
    /* Appends bytes. When it fails, make returns the code unchanged. [session] */
    int32_t (*write)(const struct vox_profile_sink *sink, const void *data, uint64_t size);
};

/* The plugin's side; static, like the entry. */
struct vox_profile {
    uint32_t size;
    uint32_t revision; /* of the bytes' format; only what this one made is handed back */
    uint64_t flags;    /* VOX_PROFILE_* */
    /* Makes the profile of a recording (voice->profile is empty): at least one byte and
     * VOX_PROFILE_SIZE_MAX at most. Deterministic. After any failure but VOX_EINTERNAL and
     * VOX_EDEVICE the session is as good as new. [session] */
    int32_t (*make)(struct vox_session *session, const struct vox_voice *voice,
                    const struct vox_profile_sink *sink, struct vox_error *error);
    /* Can this model speak with these bytes? VOX_EINVAL: no, and the message says why; the host
     * then makes the profile anew where it has the recording, and refuses the job where it has not.
     * Trusts nothing in them: they may be cut, changed, of another revision or checkpoint, or no
     * profile at all, and only the bytes themselves can say so. Other codes are failures of the
     * session, as in speak. [session] */
    int32_t (*check)(struct vox_session *session, struct vox_str profile, struct vox_error *error);
};

#ifdef __cplusplus
}
#endif

#endif
