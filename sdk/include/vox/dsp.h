/* Signal processing that several models need, in plain C. Link vox_dsp. No state. All [any]. */
#ifndef VOX_DSP_H
#define VOX_DSP_H

#include "vox/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VOX_RESAMPLE_HZ_MIN 8000
#define VOX_RESAMPLE_HZ_MAX 192000
#define VOX_RESAMPLE_SAMPLES_MAX (UINT64_C(1) << 28)

struct vox_rates {
    uint32_t from_hz, to_hz; /* VOX_RESAMPLE_HZ_MIN..VOX_RESAMPLE_HZ_MAX */
};

/* Changes the sample rate of `count` mono samples as torchaudio.transforms.Resample does with its defaults
 * (windowed sinc, Hann, width 6, rolloff 0.99): the same number of samples, values within 1e-6 for input in
 * -1..1. `*out` comes from malloc and is the caller's to free(); NULL after a failure (VOX_EINVAL, VOX_ENOMEM). */
int32_t vox_resample(const float *samples, uint64_t count, struct vox_rates rates, float **out,
                     uint64_t *out_count, struct vox_error *error);

#ifdef __cplusplus
}
#endif

#endif
