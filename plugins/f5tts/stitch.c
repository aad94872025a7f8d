/* Cross-fades as f5_tts/infer/utils_infer.py, infer_batch_process: linear ramps that include both
 * ends, in double precision.
 */
#include "stitch.h"

#include "reference/reference.h"

#include <stdlib.h>

static int32_t emit(struct f5_stitch *stitch, const float *pcm, uint64_t count)
{
    int32_t code = VOX_OK;
    if (count == 0)
        return VOX_OK;
    if (!stitch->begun) {
        struct vox_format format = {
            .size = sizeof(format), .sample_rate = F5_RATE_HZ, .channels = 1};
        code = stitch->job->begin(stitch->job, &format);
        stitch->begun = true;
    }
    return code == VOX_OK ? stitch->job->write(stitch->job, pcm, count) : code;
}

/* out[0..count) = the end of one wave going down while the start of the next comes up. */
static void cross_fade(float *out, const float *down, const float *up, uint64_t count)
{
    double step = count > 1 ? 1.0 / (double)(count - 1) : 0;
    for (uint64_t i = 0; i < count; i++)
        out[i] = (float)(down[i] * (1 - (double)i * step) + up[i] * ((double)i * step));
}

int32_t f5_stitch_add(struct f5_stitch *stitch, const float *wave, uint64_t count,
                      struct vox_error *error)
{
    uint64_t fade = stitch->fade;
    if (fade > stitch->tail_size)
        fade = stitch->tail_size;
    if (fade > count)
        fade = count;
    uint64_t size = stitch->tail_size + count - fade;
    float *joined = malloc((size_t)(size ? size : 1) * sizeof(*joined));
    if (!joined)
        return vox_fail(error, VOX_ENOMEM, "out of memory for %llu samples",
                        (unsigned long long)size);
    uint64_t before = stitch->tail_size - fade;
    if (before)
        memcpy(joined, stitch->tail, (size_t)before * sizeof(*joined));
    cross_fade(joined + before, stitch->tail + before, wave, fade);
    memcpy(joined + before + fade, wave + fade, (size_t)(count - fade) * sizeof(*joined));

    uint64_t settled = stitch->keep || size <= stitch->fade ? 0 : size - stitch->fade;
    int32_t code = emit(stitch, joined, settled);
    memmove(joined, joined + settled, (size_t)(size - settled) * sizeof(*joined));
    free(stitch->tail);
    stitch->tail = joined;
    stitch->tail_size = size - settled;
    return code;
}

int32_t f5_stitch_end(struct f5_stitch *stitch, struct vox_error *error)
{
    if (stitch->keep) {
        float *speech;
        uint64_t count;
        int32_t code = f5_remove_silence(stitch->tail, stitch->tail_size, &speech, &count, error);
        if (code != VOX_OK)
            return code;
        free(stitch->tail);
        stitch->tail = speech;
        stitch->tail_size = count;
        if (count == 0)
            return vox_fail(
                error, VOX_EUNSUPPORTED,
                "options.remove_silence: the speech is silent throughout, so nothing is left");
    }
    return emit(stitch, stitch->tail, stitch->tail_size);
}

void f5_stitch_finish(struct f5_stitch *stitch)
{
    free(stitch->tail);
    stitch->tail = NULL;
    stitch->tail_size = 0;
}
