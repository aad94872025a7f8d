/* Faults in what speak returns and says. */
#include "beep.h"
#include "faults.h"

int32_t fault_fail_with(struct call *call)
{
    int32_t code = (int32_t)call->argument;
    return vox_fail(call->error, code, "asked to return %d", (int)code);
}

int32_t fault_fail_after_audio(struct call *call)
{
    struct beep beep = beep_start(call->job->seed);
    int32_t code = beep_begin(call->job);
    if (code == VOX_OK)
        code = beep_write(call->job, &beep, BEEP_FRAMES / 2);
    return code != VOX_OK ? code
                          : vox_fail(call->error, VOX_EINVAL, "asked to fail after half the beep");
}

int32_t fault_fail_silently(struct call *call)
{
    call->error->code = VOX_EINVAL;
    call->error->message[0] = '\0';
    return VOX_EINVAL;
}

int32_t fault_fail_in_two_lines(struct call *call)
{
    return vox_fail(call->error, VOX_EINVAL, "first line\nsecond line");
}

int32_t fault_fail_not_utf8(struct call *call)
{
    return vox_fail(call->error, VOX_EINVAL, "not UTF-8: \xff\xfe\xc3(");
}

int32_t fault_fail_unterminated(struct call *call)
{
    call->error->code = VOX_EINVAL;
    memset(call->error->message, 'x', sizeof(call->error->message));
    return VOX_EINVAL;
}

int32_t fault_fail_with_other_code(struct call *call)
{
    vox_fail(call->error, VOX_EMODEL, "the message has VOX_EMODEL, speak returns VOX_EINVAL");
    return VOX_EINVAL;
}

int32_t fault_spoil_session(struct call *call)
{
    call->session->spoiled = 1;
    return vox_fail(call->error, VOX_EINVAL, "asked to spoil the session");
}
