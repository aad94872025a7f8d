/* Bytes of a job file or pipe in blocks; see job_source_private.h. Knows lines, not formats.
 *
 * Waiting is poll() with a time limit: a signal handler that only sets *stop may run in another
 * thread or between the check and the wait, and then nothing would interrupt a plain read().
 */
#include "front/batch/job_source_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 200

static int fail(const struct input *in, int error, struct err *err)
{
    return err_set(err, ERR_INVALID, NULL, "%s: cannot be read: %s", in->name, strerror(error));
}

/* Reads into the free end of the block. */
static int read_block(struct input *in, struct err *err)
{
    for (;;) {
        struct pollfd wait = {.fd = in->fd, .events = POLLIN};
        if (in->stop && *in->stop)
            return err_set(err, ERR_CANCELLED, NULL, "%s: reading was stopped", in->name);
        int ready = poll(&wait, 1, WAIT_MS);
        if (ready < 0 && errno != EINTR)
            return fail(in, errno, err);
        if (ready <= 0)
            continue;
        ssize_t got = read(in->fd, in->data + in->len, INPUT_BLOCK_SIZE - in->len);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return fail(in, errno, err);
        in->len += (size_t)got;
        in->read_size += (uint64_t)got;
        in->ended = got == 0;
        return got > 0;
    }
}

int input_more(struct input *in, struct err *err)
{
    if (in->ended)
        return 0;
    if (in->at > 0) {
        memmove(in->data, in->data + in->at, in->len - in->at);
        in->len -= in->at;
        in->at = 0;
    }
    return in->len == INPUT_BLOCK_SIZE ? 0 : read_block(in, err);
}

int input_fill(struct input *in, struct err *err)
{
    return in->at < in->len ? 1 : input_more(in, err);
}

void input_skip(struct input *in, size_t count)
{
    const char *p = in->data + in->at, *end = p + count;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        in->line++;
        p++;
    }
    in->at += count;
}

int input_skip_space(struct input *in, struct err *err)
{
    int code;
    while ((code = input_fill(in, err)) > 0) {
        size_t count = 0;
        while (in->at + count < in->len && json_is_space(in->data[in->at + count]))
            count++;
        input_skip(in, count);
        if (in->at < in->len)
            return 1;
    }
    return code;
}

static bool may_begin_mark(char c)
{
    return c == '\xef' || c == '\xff' || c == '\xfe';
}

/* Passes over a byte order mark and refuses those of other encodings. */
static int skip_mark(struct input *in, struct err *err)
{
    static const char utf8[] = "\xef\xbb\xbf";
    int code = input_fill(in, err);
    while (code > 0 && in->len < 3 && may_begin_mark(in->data[0]))
        code = input_more(in, err);
    if (code < 0)
        return code;
    if (in->len >= 2 &&
        (memcmp(in->data, "\xff\xfe", 2) == 0 || memcmp(in->data, "\xfe\xff", 2) == 0))
        return err_set(err, ERR_INVALID, NULL, "%s: is UTF-16, expected UTF-8", in->name);
    if (in->len >= 3 && memcmp(in->data, utf8, 3) == 0)
        in->at = 3;
    return 0;
}

int input_open(struct input *in, const char *path, const char *name,
               const volatile sig_atomic_t *stop, struct err *err)
{
    struct stat info;
    *in = (struct input){.fd = -1, .name = name, .stop = stop, .line = 1};
    /* O_NONBLOCK: opening a named pipe must not wait where *stop is not looked at. */
    in->fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                    : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in->fd < 0 || fstat(in->fd, &info) != 0)
        return fail(in, errno, err);
    if (S_ISDIR(info.st_mode))
        return err_set(err, ERR_INVALID, NULL, "%s: is a directory, expected a job file", name);
    if (S_ISREG(info.st_mode))
        in->file_size = (uint64_t)info.st_size;
    in->data = mem_alloc(INPUT_BLOCK_SIZE);
    return skip_mark(in, err);
}

void input_close(struct input *in)
{
    if (in->fd >= 0)
        close(in->fd);
    free(in->data);
    *in = (struct input){.fd = -1};
}
