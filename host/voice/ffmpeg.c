/* Decoding by an ffmpeg that is installed, for what libsndfile cannot read (m4a, webm, aac). It
 * runs without a shell, in a process group of its own, sees one descriptor with the recording and
 * one for its answer, opens nothing else (the format is told to it, so a file that is in truth a
 * playlist cannot name others; no network protocol is allowed), and is bounded in time, memory and
 * output.
 */
#include "voice/voice_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_S 60
#define EXIT_S 5 /* after its output has ended */
#define MEMORY_BYTES_MAX (UINT64_C(2) << 30)
#define OUTPUT_BYTES_MAX ((size_t)512 << 20)
#define COMPLAINT_BYTES_MAX 4096
#define POLL_MS 100
#define INPUT_FD 3 /* in the child */

/* --- The child -------------------------------------------------------------------------------- */

struct child {
    pid_t pid; /* 0: none */
    int out, complaints;
};

static int spawn(const char *demuxer, int input, int out, int complaints, pid_t *pid)
{
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%d", (int)VOICE_SECONDS_MAX + 1);
    const char *const argv[] = {"ffmpeg",
                                "-nostdin",
                                "-hide_banner",
                                "-loglevel",
                                "error",
                                "-threads",
                                "1",
                                "-protocol_whitelist",
                                "file,pipe",
                                "-f",
                                demuxer,
                                "-i",
                                "file:/dev/fd/3",
                                "-map",
                                "0:a:0",
                                "-t",
                                seconds,
                                "-vn",
                                "-sn",
                                "-dn",
                                "-c:a",
                                "pcm_f32le",
                                "-f",
                                "wav",
                                "pipe:1",
                                NULL};
    static char locale[] = "LC_ALL=C";
    char *const environment[] = {locale, NULL}; /* no secret of ours is for it */
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, input, INPUT_FD);
    /* Last: where we have no standard input ourselves, one of these may have its number. */
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, INPUT_FD + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int reason =
        posix_spawnp(pid, "ffmpeg", &actions, &attributes, (char *const *)argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return reason;
}

/* Should we die, it ends by itself: its output is a closed pipe, its time is counted. */
static void limit(pid_t pid)
{
    const struct rlimit memory = {MEMORY_BYTES_MAX, MEMORY_BYTES_MAX},
                        time = {TIMEOUT_S, TIMEOUT_S}, none = {0, 0};
    prlimit(pid, RLIMIT_AS, &memory, NULL);
    prlimit(pid, RLIMIT_CPU, &time, NULL);
    prlimit(pid, RLIMIT_CORE, &none, NULL);
    prlimit(pid, RLIMIT_FSIZE, &none, NULL); /* it writes into pipes only */
}

/* A file in memory, since m4a is read from its end as well. */
static int input_file(const struct str *bytes)
{
    int fd = memfd_create("voxhost-recording", MFD_CLOEXEC);
    if (fd >= 0 && fs_write_all(fd, bytes->data, bytes->len) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int start(const struct str *bytes, const char *demuxer, struct child *child, struct err *err)
{
    int out[2] = {-1, -1}, complaints[2] = {-1, -1}, result = 0;
    int input = input_file(bytes);
    int reason = input >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(complaints, O_CLOEXEC) == 0
                     ? spawn(demuxer, input, out[1], complaints[1], &child->pid)
                     : errno;
    if (reason == ENOENT)
        result =
            err_set(err, ERR_UNSUPPORTED, NULL,
                    "audio: is m4a, webm or aac, which needs the program ffmpeg: install it, or "
                    "convert the recording to wav, flac, ogg or mp3");
    else if (reason)
        result = err_set(err, ERR_INTERNAL, NULL, "ffmpeg cannot be started: %s", strerror(reason));
    else
        limit(child->pid);
    child->out = out[0];
    child->complaints = complaints[0];
    const int ours[] = {input, out[1], complaints[1]};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (ours[i] >= 0)
            close(ours[i]);
    return result;
}

/* It has closed its output, so it is about to leave; leaves it to be waited for. */
static void wait_for_exit(pid_t pid)
{
    int64_t deadline = clock_now() + EXIT_S * CLOCK_S;
    const struct timespec pause = {0, 2000000};
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == 0 &&
           clock_now() < deadline)
        nanosleep(&pause, NULL);
}

static void end(struct child *child, int *status)
{
    if (child->pid > 0) {
        kill(-child->pid, SIGKILL); /* a child that ended is still ours: the number is not reused */
        while (waitpid(child->pid, status, 0) < 0 && errno == EINTR)
            ;
    }
    if (child->out >= 0)
        close(child->out);
    if (child->complaints >= 0)
        close(child->complaints);
}

/* --- What it says ----------------------------------------------------------------------------- */

/* Appends what there is; at most `max` is kept, and more than that is `max + 1`. False at the end.
 */
static bool drain(int fd, size_t max, struct str *out)
{
    char block[1 << 16];
    ssize_t got = read(fd, block, sizeof(block));
    if (got <= 0)
        return got < 0 && errno == EINTR;
    size_t room = max + 1 - out->len;
    str_append(out, block, (size_t)got < room ? (size_t)got : room);
    return true;
}

static int listen_to(const struct child *child, const atomic_int *stop, struct str *audio,
                     struct str *complaints, struct err *err)
{
    int64_t deadline = clock_now() + TIMEOUT_S * CLOCK_S;
    struct pollfd wait[2] = {{child->out, POLLIN, 0}, {child->complaints, POLLIN, 0}};
    while (wait[0].fd >= 0 || wait[1].fd >= 0) {
        if (stop && atomic_load(stop))
            return err_set(err, ERR_CANCELLED, NULL, "cancelled while ffmpeg was decoding");
        if (clock_now() >= deadline)
            return err_set(err, ERR_TIMEOUT, NULL, "audio: ffmpeg did not decode it within %d s",
                           TIMEOUT_S);
        if (poll(wait, 2, POLL_MS) <= 0)
            continue;
        if (wait[0].revents && !drain(child->out, OUTPUT_BYTES_MAX, audio))
            wait[0].fd = -1;
        if (wait[1].revents && !drain(child->complaints, COMPLAINT_BYTES_MAX, complaints))
            wait[1].fd = -1;
        if (audio->len > OUTPUT_BYTES_MAX)
            return err_set(err, ERR_TOO_LARGE, NULL, "audio: is larger than %zu bytes, decoded",
                           OUTPUT_BYTES_MAX);
    }
    return 0;
}

int ffmpeg_decode(const struct str *bytes, const char *demuxer, const atomic_int *stop,
                  struct audio_clip *clip, struct err *err)
{
    struct child child = {0, -1, -1};
    struct str audio = {0}, complaints = {0}, line = {0};
    int status = 0;
    *clip = (struct audio_clip){0};
    int result = start(bytes, demuxer, &child, err);
    if (result == 0)
        result = listen_to(&child, stop, &audio, &complaints, err);
    if (result == 0)
        wait_for_exit(child.pid);
    end(&child, &status);
    bool is_read = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    plugin_text(str_text(&complaints), complaints.len, &line);
    if (result == 0 && !is_read)
        result = err_set(err, ERR_INVALID, NULL, "audio: ffmpeg cannot read it: %.300s",
                         line.len ? str_text(&line) : "it was ended by a limit");
    else if (result == 0 && line.len) /* it goes on after the worst */
        result = err_set(err, ERR_INVALID, NULL,
                         "audio: is cut off or damaged; ffmpeg says: %.300s", str_text(&line));
    if (result == 0)
        result = audio_decode_memory(audio.data, audio.len, VOICE_SECONDS_MAX, clip, err);
    str_finish(&audio);
    str_finish(&complaints);
    str_finish(&line);
    return result;
}
