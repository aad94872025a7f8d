/* Faults around the folder for a job's temporary files (vox/ext/scratch.h). */
#include "beep.h"
#include "faults.h"

#include "vox/ext/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *scratch_dir(const struct call *call)
{
    const struct vox_host *host = call->session->model->host;
    const struct vox_scratch *scratch = host->extension(host, VOX_SCRATCH_ID);
    return scratch ? scratch->dir(call->job) : NULL;
}

/* A new file in the folder, open; or the code of a failure. */
static int32_t make_file(const struct call *call, const char *dir)
{
    char path[4096];
    if (!dir)
        return vox_fail(call->error, VOX_ESINK, "no scratch folder");
    int len = snprintf(path, sizeof(path), "%s/file", dir);
    int fd = len > 0 && (size_t)len < sizeof(path)
                 ? open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600)
                 : -1;
    return fd >= 0 ? fd : vox_fail(call->error, VOX_EINVAL, "no file in the scratch folder");
}

/* Leaves a file in the folder. */
static int32_t fill(const struct call *call)
{
    int32_t fd = make_file(call, scratch_dir(call));
    if (fd < 0)
        return fd;
    close(fd);
    return VOX_OK;
}

/* Does what its name says once there is a file. */
int32_t fault_scratch_fail(struct call *call)
{
    int32_t code = fill(call);
    return code == VOX_OK ? vox_fail(call->error, VOX_EINVAL, "asked to fail") : code;
}

int32_t fault_scratch_hang(struct call *call)
{
    int32_t code = fill(call);
    if (code != VOX_OK)
        return code;
    fault_sleep_ms(call->hang_ms);
    return beep_speak(call->job);
}

int32_t fault_scratch_crash(struct call *call)
{
    int32_t code = fill(call);
    if (code != VOX_OK)
        return code;
    raise(SIGSEGV);
    return beep_speak(call->job);
}

/* Closes the one of the job before, so that it is no leak. */
int32_t fault_scratch_keep_open(struct call *call)
{
    int32_t fd = make_file(call, scratch_dir(call));
    if (fd < 0)
        return fd;
    if (call->session->kept_file > 0)
        close(call->session->kept_file);
    call->session->kept_file = fd;
    return beep_speak(call->job);
}

/* Every job works in the folder of the session's first one. */
int32_t fault_scratch_keep_path(struct call *call)
{
    char *kept = call->session->kept_path;
    const char *dir = scratch_dir(call);
    if (dir && !kept[0])
        snprintf(kept, sizeof(call->session->kept_path), "%s", dir);
    if (kept[0])
        mkdir(kept, 0700);
    int32_t fd = make_file(call, kept[0] ? kept : NULL);
    if (fd < 0)
        return fd;
    close(fd);
    return beep_speak(call->job);
}

int32_t fault_scratch_need(struct call *call)
{
    if (!scratch_dir(call))
        raise(SIGSEGV);
    return beep_speak(call->job);
}
