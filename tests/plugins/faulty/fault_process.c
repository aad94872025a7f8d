/* Faults in time and in what belongs to the whole process. */
#include "beep.h"
#include "faults.h"

#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- Time -------------------------------------------------------------------------------------- */

void fault_sleep_ms(int64_t ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) != 0)
        ;
}

int32_t fault_hang(struct call *call)
{
    fault_sleep_ms(call->hang_ms);
    return beep_speak(call->job);
}

/* A block every 10 ms for hang_ms; `stop` is asked between them when it is given. */
static int32_t write_slowly(struct call *call, int32_t (*stop)(const struct vox_job *job))
{
    struct beep beep = beep_start(call->job->seed);
    float block[BEEP_BLOCK_FRAMES];
    int32_t code = beep_begin(call->job);
    for (int64_t ms = 0; ms < call->hang_ms && code == VOX_OK; ms += 10) {
        if (stop && stop(call->job))
            return VOX_OK;
        beep_fill(&beep, block);
        code = call->job->write(call->job, block, BEEP_BLOCK_FRAMES);
        fault_sleep_ms(10);
    }
    return code;
}

int32_t fault_ignore_cancel(struct call *call)
{
    return write_slowly(call, NULL);
}

int32_t fault_cancel_is_ok(struct call *call)
{
    return write_slowly(call, call->job->cancelled);
}

/* --- Ends of the process ------------------------------------------------------------------------- */

int32_t fault_crash(struct call *call)
{
    raise(SIGSEGV);
    return beep_speak(call->job);
}

int32_t fault_crash_after_audio(struct call *call)
{
    struct beep beep = beep_start(call->job->seed);
    int32_t code = beep_begin(call->job);
    if (code == VOX_OK)
        code = beep_write(call->job, &beep, BEEP_FRAMES / 2);
    raise(SIGSEGV);
    return code;
}

int32_t fault_abort_process(struct call *call)
{
    (void)call;
    abort();
}

int32_t fault_exit_process(struct call *call)
{
    (void)call;
    exit(0);
}

/* --- Things left behind -------------------------------------------------------------------------- */

int32_t fault_leak_memory(struct call *call)
{
    char *volatile memory = malloc((size_t)call->argument); /* volatile: or the compiler drops it */
    if (memory)
        memset(memory, 1, (size_t)call->argument);
    return beep_speak(call->job); /* NOLINT(clang-analyzer-unix.Malloc): it leaks */
}

int32_t fault_leak_descriptor(struct call *call)
{
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return vox_fail(call->error, VOX_ENOMEM, "no file descriptor");
    return beep_speak(call->job);
}

static void *live_on(void *arg)
{
    (void)arg;
    while (pause() != 0)
        ;
    return NULL;
}

int32_t fault_leave_thread(struct call *call)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, live_on, NULL) != 0)
        return vox_fail(call->error, VOX_ENOMEM, "no thread");
    pthread_detach(thread);
    return beep_speak(call->job);
}

int32_t fault_write_stray_file(struct call *call)
{
    FILE *file = fopen("faulty-stray.txt", "w");
    if (!file)
        return vox_fail(call->error, VOX_EINVAL, "faulty-stray.txt cannot be written");
    fclose(file);
    return beep_speak(call->job);
}

/* --- What belongs to the host -------------------------------------------------------------------- */

int32_t fault_print_to(struct call *call)
{
    static const char line[] = "faulty: printed by a plugin\n";
    if (write((int)call->argument, line, sizeof(line) - 1) < 0)
        return vox_fail(call->error, VOX_EINVAL, "cannot print");
    return beep_speak(call->job);
}

int32_t fault_read_environment(struct call *call)
{
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, "PATH=", 5) == 0)
            return beep_speak(call->job);
    return vox_fail(call->error, VOX_EINVAL, "there is no PATH");
}

int32_t fault_change_environment(struct call *call)
{
    setenv("VOX_FAULTY", "1", 1);
    return beep_speak(call->job);
}

int32_t fault_change_directory(struct call *call)
{
    if (chdir("/") != 0)
        return vox_fail(call->error, VOX_EINVAL, "cannot change the directory");
    return beep_speak(call->job);
}

int32_t fault_change_locale(struct call *call)
{
    if (!setlocale(LC_ALL, "C.UTF-8"))
        return vox_fail(call->error, VOX_EINVAL, "there is no locale C.UTF-8");
    return beep_speak(call->job);
}

int32_t fault_change_signal(struct call *call)
{
    signal(SIGTERM, SIG_IGN);
    return beep_speak(call->job);
}

int32_t fault_block_signal(struct call *call)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return beep_speak(call->job);
}

int32_t fault_change_umask(struct call *call)
{
    umask(0);
    return beep_speak(call->job);
}
