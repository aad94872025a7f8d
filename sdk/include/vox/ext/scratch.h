/* The extension "vox.scratch/1" of the host: a folder for the temporary files of one job.
 *
 * init asks host->extension(host, VOX_SCRATCH_ID) for it and keeps the pointer, which is valid as
 * long as the host; NULL: this host has none. A job that never asks has no folder and costs
 * nothing. What is to last longer than the job belongs into load->cache_dir; make of vox.profile/1,
 * which has no job, has no folder.
 */
#ifndef VOX_EXT_SCRATCH_H
#define VOX_EXT_SCRATCH_H

#include "vox/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VOX_SCRATCH_ID "vox.scratch/1"

/* The host's side. */
struct vox_scratch {
    uint32_t size;
    uint32_t reserved;
    /* The job's own folder: absolute, terminated, valid during speak. The first call makes it,
     * empty; later ones return the same. The host removes it with all that is in it when speak
     * returns, however the job ended: no file in it may be open by then, and nothing may use the
     * path any more. NULL: there is none, the disk being too full for instance. The host has said
     * why: do without, or return VOX_ESINK, and the job fails with that reason. [session] */
    const char *(*dir)(const struct vox_job *job);
};

#ifdef __cplusplus
}
#endif

#endif
