/* Faults in the order and the content of begin and write, and in what a seed promises. */
#include "beep.h"
#include "faults.h"

#include <math.h>
#include <pthread.h>

int32_t fault_beep(struct call *call)
{
    return beep_speak(call->job);
}

/* --- begin ------------------------------------------------------------------------------------- */

int32_t fault_never_begin(struct call *call)
{
    (void)call;
    return VOX_OK;
}

int32_t fault_begin_only(struct call *call)
{
    return beep_begin(call->job);
}

int32_t fault_begin_twice(struct call *call)
{
    int32_t code = beep_begin(call->job);
    return code == VOX_OK ? beep_speak(call->job) : code;
}

static int32_t speak_in_format(struct call *call, struct vox_format format)
{
    struct beep beep = beep_start(call->job->seed);
    int32_t code = call->job->begin(call->job, &format);
    return code == VOX_OK ? beep_write(call->job, &beep, BEEP_FRAMES) : code;
}

int32_t fault_begin_with_rate(struct call *call)
{
    return speak_in_format(call, (struct vox_format){.size = (uint32_t)sizeof(struct vox_format),
                                                     .sample_rate = (uint32_t)call->argument,
                                                     .channels = 1});
}

/* A host that takes the format reads 98 blocks too many, so none is written. */
int32_t fault_begin_with_channels(struct call *call)
{
    struct vox_format format = {.size = (uint32_t)sizeof(format),
                                .sample_rate = BEEP_RATE_HZ,
                                .channels = (uint32_t)call->argument};
    return call->job->begin(call->job, &format);
}

int32_t fault_begin_without_size(struct call *call)
{
    return speak_in_format(call, (struct vox_format){.sample_rate = BEEP_RATE_HZ, .channels = 1});
}

/* --- write ------------------------------------------------------------------------------------- */

int32_t fault_write_before_begin(struct call *call)
{
    struct beep beep = beep_start(call->job->seed);
    beep_write(call->job, &beep, BEEP_BLOCK_FRAMES);
    return beep_speak(call->job);
}

/* A beep with one wrong sample in its second block. */
static int32_t speak_with_sample(struct call *call, float sample)
{
    struct beep beep = beep_start(call->job->seed);
    float block[BEEP_BLOCK_FRAMES];
    int32_t code = beep_begin(call->job);
    if (code == VOX_OK)
        code = beep_write(call->job, &beep, BEEP_BLOCK_FRAMES);
    if (code != VOX_OK)
        return code;
    beep_fill(&beep, block);
    block[BEEP_BLOCK_FRAMES / 2] = sample;
    code = call->job->write(call->job, block, BEEP_BLOCK_FRAMES);
    return code == VOX_OK ? beep_write(call->job, &beep, BEEP_FRAMES - 2 * BEEP_BLOCK_FRAMES)
                          : code;
}

int32_t fault_write_nan(struct call *call)
{
    return speak_with_sample(call, NAN);
}

int32_t fault_write_infinity(struct call *call)
{
    return speak_with_sample(call, INFINITY);
}

int32_t fault_write_null(struct call *call)
{
    int32_t code = beep_begin(call->job);
    return code == VOX_OK ? call->job->write(call->job, NULL, BEEP_BLOCK_FRAMES) : code;
}

struct thread_write {
    const struct vox_job *job;
    int32_t code;
};

static void *write_in_thread(void *arg)
{
    struct thread_write *task = arg;
    struct beep beep = beep_start(task->job->seed);
    task->code = beep_write(task->job, &beep, BEEP_FRAMES);
    return NULL;
}

int32_t fault_write_other_thread(struct call *call)
{
    struct thread_write task = {.job = call->job};
    pthread_t thread;
    int32_t code = beep_begin(call->job);
    if (code != VOX_OK)
        return code;
    if (pthread_create(&thread, NULL, write_in_thread, &task) != 0)
        return vox_fail(call->error, VOX_ENOMEM, "no thread");
    pthread_join(thread, NULL);
    return task.code;
}

/* The first job of a session is a beep; each later one first writes to the job before it. */
int32_t fault_write_late(struct call *call)
{
    const struct vox_job *late = call->session->late_job;
    call->session->late_job = call->job;
    if (late) {
        float silence[BEEP_BLOCK_FRAMES] = {0};
        late->write(late, silence, BEEP_BLOCK_FRAMES);
    }
    return beep_speak(call->job);
}

/* --- Errors of begin and write ------------------------------------------------------------------- */

int32_t fault_ignore_error(struct call *call)
{
    struct beep beep = beep_start(call->job->seed);
    float block[BEEP_BLOCK_FRAMES];
    beep_begin(call->job);
    for (uint32_t done = 0; done < BEEP_FRAMES; done += BEEP_BLOCK_FRAMES) {
        beep_fill(&beep, block);
        call->job->write(call->job, block, BEEP_BLOCK_FRAMES);
    }
    return VOX_OK;
}

int32_t fault_replace_error(struct call *call)
{
    return beep_speak(call->job) == VOX_OK
               ? VOX_OK
               : vox_fail(call->error, VOX_EINVAL, "an error that is not the host's");
}

int32_t fault_write_after_error(struct call *call)
{
    struct beep beep = beep_start(call->job->seed);
    float block[BEEP_BLOCK_FRAMES];
    int32_t code = beep_speak(call->job);
    if (code != VOX_OK) {
        beep_fill(&beep, block);
        call->job->write(call->job, block, BEEP_BLOCK_FRAMES);
    }
    return code;
}

/* --- Seeds and shared state ---------------------------------------------------------------------- */

static int32_t speak_with_seed(struct call *call, int64_t seed)
{
    struct beep beep = beep_start(seed);
    int32_t code = beep_begin(call->job);
    return code == VOX_OK ? beep_write(call->job, &beep, BEEP_FRAMES) : code;
}

int32_t fault_beep_nondeterministic(struct call *call)
{
    uint64_t seed = (uint64_t)call->job->seed + call->session->model->job_count++;
    return speak_with_seed(call, (int64_t)seed);
}

int32_t fault_beep_without_seed(struct call *call)
{
    return speak_with_seed(call, 0);
}

/* Alone it is a beep from phase 0; the wait after each block lets another session in. */
int32_t fault_beep_shared(struct call *call)
{
    struct vox_model *model = call->session->model;
    struct beep beep = beep_start(call->job->seed);
    float block[BEEP_BLOCK_FRAMES];
    int32_t code = beep_begin(call->job);
    model->shared_phase = 0;
    for (uint32_t done = 0; done < BEEP_FRAMES && code == VOX_OK; done += BEEP_BLOCK_FRAMES) {
        beep.phase = model->shared_phase;
        beep_fill(&beep, block);
        model->shared_phase = beep.phase;
        code = call->job->write(call->job, block, BEEP_BLOCK_FRAMES);
        fault_sleep_ms(2);
    }
    return code;
}
