/* Faults in marks, progress and warnings. The audio around them is a good beep. */
#include "beep.h"
#include "faults.h"

#include <math.h>
#include <stdlib.h>

/* --- Marks ------------------------------------------------------------------------------------- */

/* One word for the whole text, in the middle of the beep. */
static struct vox_mark good_mark(const struct vox_job *job)
{
    return (struct vox_mark){.size = (uint32_t)sizeof(struct vox_mark),
                             .word = {"word", 4},
                             .text_begin = 0,
                             .text_end = job->text.size,
                             .start_s = 0.04,
                             .end_s = 0.06};
}

static int32_t speak_with_mark(struct call *call, struct vox_mark mark)
{
    struct beep beep = beep_start(call->job->seed);
    int32_t code = beep_begin(call->job);
    if (code == VOX_OK)
        code = call->job->mark(call->job, &mark);
    return code == VOX_OK ? beep_write(call->job, &beep, BEEP_FRAMES) : code;
}

int32_t fault_marks_unordered(struct call *call)
{
    struct vox_mark first = good_mark(call->job);
    struct vox_mark second = first;
    second.start_s = first.start_s / 2;
    struct beep beep = beep_start(call->job->seed);
    int32_t code = beep_begin(call->job);
    if (code == VOX_OK)
        code = call->job->mark(call->job, &first);
    if (code == VOX_OK)
        code = call->job->mark(call->job, &second);
    return code == VOX_OK ? beep_write(call->job, &beep, BEEP_FRAMES) : code;
}

/* The argument: how far behind the text the range ends, or -1 for an end before the begin. */
int32_t fault_mark_text_range(struct call *call)
{
    struct vox_mark mark = good_mark(call->job);
    if (call->argument > 0) {
        mark.text_end += (uint64_t)call->argument;
    } else {
        mark.text_begin = mark.text_end;
        mark.text_end = 0;
    }
    return speak_with_mark(call, mark);
}

int32_t fault_mark_time(struct call *call)
{
    struct vox_mark mark = good_mark(call->job);
    mark.start_s = (double)call->argument;
    mark.end_s = mark.start_s + 0.02;
    return speak_with_mark(call, mark);
}

int32_t fault_mark_time_reversed(struct call *call)
{
    struct vox_mark mark = good_mark(call->job);
    mark.end_s = mark.start_s / 2;
    return speak_with_mark(call, mark);
}

int32_t fault_mark_time_nan(struct call *call)
{
    struct vox_mark mark = good_mark(call->job);
    mark.start_s = mark.end_s = NAN;
    return speak_with_mark(call, mark);
}

int32_t fault_mark_not_utf8(struct call *call)
{
    struct vox_mark mark = good_mark(call->job);
    mark.word = vox_text("\xff\xfe");
    return speak_with_mark(call, mark);
}

int32_t fault_mark_flood(struct call *call)
{
    struct vox_mark mark = good_mark(call->job);
    struct beep beep = beep_start(call->job->seed);
    int32_t code = beep_begin(call->job);
    for (int64_t i = 0; i < call->argument && code == VOX_OK; i++)
        code = call->job->mark(call->job, &mark);
    return code == VOX_OK ? beep_write(call->job, &beep, BEEP_FRAMES) : code;
}

/* --- Progress ---------------------------------------------------------------------------------- */

int32_t fault_progress_huge(struct call *call)
{
    call->job->progress(call->job, 1e300, "beep");
    return beep_speak(call->job);
}

int32_t fault_progress_nan(struct call *call)
{
    call->job->progress(call->job, NAN, "beep");
    return beep_speak(call->job);
}

int32_t fault_progress_no_stage(struct call *call)
{
    call->job->progress(call->job, 0.5, NULL);
    return beep_speak(call->job);
}

/* --- Warnings ---------------------------------------------------------------------------------- */

int32_t fault_warning_not_utf8(struct call *call)
{
    call->job->warn(call->job, vox_text("not UTF-8: \xff\xfe\xc3("));
    return beep_speak(call->job);
}

int32_t fault_warning_long(struct call *call)
{
    size_t size = (size_t)call->argument;
    char *text = malloc(size);
    if (!text)
        return vox_fail(call->error, VOX_ENOMEM, "no memory for the warning");
    memset(text, 'x', size);
    call->job->warn(call->job, (struct vox_str){text, size});
    free(text);
    return beep_speak(call->job);
}

int32_t fault_warning_flood(struct call *call)
{
    for (int64_t i = 0; i < call->argument; i++)
        vox_warnf(call->job, "warning %lld", (long long)i);
    return beep_speak(call->job);
}
