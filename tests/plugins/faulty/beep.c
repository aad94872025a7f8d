/* The well-behaved part of the faulty plugins; see beep.h. */
#include "beep.h"

struct beep beep_start(int64_t seed)
{
    const double pitch_min_hz = 300.0, pitch_span_hz = 300.0;
    uint64_t mixed = (uint64_t)seed * UINT64_C(0x9e3779b97f4a7c15);
    double pitch_hz = pitch_min_hz + pitch_span_hz * (double)(mixed >> 11) * 0x1p-53;
    return (struct beep){.step = (uint32_t)(pitch_hz / BEEP_RATE_HZ * 0x1p32)};
}

int32_t beep_begin(const struct vox_job *job)
{
    struct vox_format format = {
        .size = (uint32_t)sizeof(format), .sample_rate = BEEP_RATE_HZ, .channels = 1};
    return job->begin(job, &format);
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The words share the beep by their bytes. */
int32_t beep_mark_words(const struct vox_job *job)
{
    struct vox_str text = job->text;
    double byte_s = (double)BEEP_FRAMES / BEEP_RATE_HZ / (double)text.size;
    int32_t code = VOX_OK;
    for (uint64_t i = 0; i < text.size && code == VOX_OK;) {
        uint64_t begin = i;
        while (i < text.size && !is_space(text.data[i]))
            i++;
        if (i == begin) {
            i++;
            continue;
        }
        struct vox_mark mark = {.size = (uint32_t)sizeof(mark),
                                .word = {text.data + begin, i - begin},
                                .text_begin = begin,
                                .text_end = i,
                                .start_s = (double)begin * byte_s,
                                .end_s = (double)i * byte_s};
        code = job->mark(job, &mark);
    }
    return code;
}

void beep_fill(struct beep *beep, float *block)
{
    for (uint32_t i = 0; i < BEEP_BLOCK_FRAMES; i++, beep->phase += beep->step) {
        float turn = (float)beep->phase * 0x1p-32f;
        block[i] = (turn < 0.5f ? turn : 1.0f - turn) * 2.0f - 0.5f;
    }
}

int32_t beep_write(const struct vox_job *job, struct beep *beep, uint32_t frames)
{
    float block[BEEP_BLOCK_FRAMES];
    for (uint32_t done = 0; done < frames; done += BEEP_BLOCK_FRAMES) {
        if (job->cancelled(job))
            return VOX_ECANCELLED;
        beep_fill(beep, block);
        int32_t code = job->write(job, block, BEEP_BLOCK_FRAMES);
        if (code != VOX_OK)
            return code;
    }
    return VOX_OK;
}

int32_t beep_speak(const struct vox_job *job)
{
    struct beep beep = beep_start(job->seed);
    int32_t code = beep_begin(job);
    if (code == VOX_OK)
        code = beep_mark_words(job);
    if (code == VOX_OK)
        code = beep_write(job, &beep, BEEP_FRAMES);
    return code;
}
