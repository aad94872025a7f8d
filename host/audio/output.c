/* The end of a sink: bytes with a position, to a file, to a stream that cannot seek, or to memory.
 * Knows no audio.
 *
 * What is written lands in a window over the file, and the window is written out only when it is
 * full or left by a seek. So a short file, with all the headers that its encoder completes at the
 * end, costs one write and is hashed from memory; a long one goes on in window-sized writes and is
 * hashed by reading it again at the end, since its header has changed. In memory the window is all
 * there is.
 */
#include "audio/audio_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_MAX ((size_t)1 << 20)
#define WINDOW_FIRST ((size_t)1 << 13)

enum output_kind { OUTPUT_FILE, OUTPUT_STREAM, OUTPUT_WRITER, OUTPUT_MEMORY };

struct output {
    enum output_kind kind;
    int fd;
    const struct sink_writer *writer;
    size_t bytes_max;      /* of memory */
    char *path;            /* a file's, until it is finished */
    unsigned char *window; /* the bytes from window_begin on that are not written yet */
    size_t window_len, window_cap;
    uint64_t window_begin, position, size;
    struct digest *digest; /* of what a stream was sent */
    int failure;           /* errno of the first failure; nothing is written after it */
    bool written;          /* a file whose window was moved: memory no longer has all of it */
};

static struct output *output_create(enum output_kind kind)
{
    struct output *output = mem_alloc(sizeof(*output));
    output->kind = kind;
    output->fd = -1;
    return output;
}

int output_open_file(const char *path, struct output **output, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", path, strerror(errno));
    *output = output_create(OUTPUT_FILE);
    (*output)->fd = fd;
    (*output)->path = mem_copy_string(path);
    return 0;
}

struct output *output_open_stream(int fd)
{
    struct output *output = output_create(OUTPUT_STREAM);
    output->fd = fd;
    output->digest = digest_create();
    return output;
}

struct output *output_open_writer(const struct sink_writer *writer)
{
    struct output *output = output_create(OUTPUT_WRITER);
    output->writer = writer;
    output->digest = digest_create();
    return output;
}

struct output *output_open_memory(size_t bytes_max)
{
    struct output *output = output_create(OUTPUT_MEMORY);
    output->bytes_max = bytes_max;
    return output;
}

/* What was sent cannot be changed any more. */
static bool is_stream(const struct output *output)
{
    return output->kind == OUTPUT_STREAM || output->kind == OUTPUT_WRITER;
}

/* --- Window ----------------------------------------------------------------------------------- */

static ssize_t put_some(struct output *output, const unsigned char *data, size_t len, uint64_t at)
{
    if (output->kind == OUTPUT_FILE)
        return pwrite(output->fd, data, len, (off_t)at);
    if (output->kind == OUTPUT_STREAM)
        return write(output->fd, data, len);
    errno = output->writer->write(data, len, output->writer->arg);
    return errno == 0 ? (ssize_t)len : -1;
}

static void write_out(struct output *output, const unsigned char *data, size_t len, uint64_t at)
{
    while (len && !output->failure) {
        ssize_t put = put_some(output, data, len, at);
        if (put < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = output->fd, .events = POLLOUT}, 1, -1);
        } else if (put < 0 && errno != EINTR) {
            output->failure = errno;
        } else if (put > 0) {
            if (output->digest)
                digest_update(output->digest, data, (size_t)put);
            data += put;
            at += (uint64_t)put;
            len -= (size_t)put;
        }
    }
}

/* Writes the window out and begins another, empty, at `begin`. */
static void window_move(struct output *output, uint64_t begin)
{
    write_out(output, output->window, output->window_len, output->window_begin);
    output->written |= output->window_len > 0;
    output->window_begin = begin;
    output->window_len = 0;
}

static void window_reserve(struct output *output, size_t len)
{
    size_t cap = output->window_cap ? output->window_cap : WINDOW_FIRST;
    while (cap <= len) /* memory is handed over with a terminator */
        cap *= 2;
    if (cap != output->window_cap)
        output->window = mem_resize(output->window, cap, 1);
    output->window_cap = cap;
}

/* Makes `len` bytes at the position fall into the window. Encoders seek inside what they wrote, so
 * memory needs no other. */
static bool window_aim(struct output *output, size_t len)
{
    uint64_t end = output->window_begin + output->window_len;
    if (output->kind == OUTPUT_MEMORY) {
        if (output->position + len > output->bytes_max)
            output->failure = EFBIG;
        return !output->failure;
    }
    if (output->position < output->window_begin || output->position > end ||
        output->position - output->window_begin + len > WINDOW_MAX)
        window_move(output, output->position);
    return true;
}

static void window_put(struct output *output, const unsigned char *data, size_t len)
{
    if (!window_aim(output, len))
        return;
    size_t offset = (size_t)(output->position - output->window_begin);
    window_reserve(output, offset + len);
    memcpy(output->window + offset, data, len);
    if (offset + len > output->window_len)
        output->window_len = offset + len;
    output->position += len;
    if (output->position > output->size)
        output->size = output->position;
}

/* --- What the encoder calls ------------------------------------------------------------------- */

size_t output_write(struct output *output, const void *data, size_t len)
{
    const unsigned char *p = data;
    size_t left = len;
    if (is_stream(output) && output->position < output->window_begin) {
        uint64_t sent = output->window_begin - output->position;
        size_t skip = sent < left ? (size_t)sent : left;
        output->position += skip;
        p += skip;
        left -= skip;
    }
    while (left && !output->failure) {
        size_t step = left < WINDOW_MAX ? left : WINDOW_MAX;
        window_put(output, p, step);
        p += step;
        left -= step;
    }
    return output->failure ? 0 : len;
}

uint64_t output_seek(struct output *output, uint64_t position)
{
    output->position = position < output->size ? position : output->size;
    return output->position;
}

uint64_t output_position(const struct output *output)
{
    return output->position;
}

uint64_t output_size(const struct output *output)
{
    return output->size;
}

int output_check(const struct output *output, struct err *err)
{
    if (!output->failure)
        return 0;
    if (output->kind == OUTPUT_MEMORY && output->failure == EFBIG)
        return err_set(err, ERR_TOO_LARGE, NULL, "the audio is larger than %zu bytes",
                       output->bytes_max);
    if (output->kind == OUTPUT_FILE)
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", output->path,
                       strerror(output->failure));
    if (output->failure == ECANCELED)
        return err_set(err, ERR_CANCELLED, NULL, "the output stream was cancelled");
    const char *name = output->fd == STDOUT_FILENO ? "standard output" : "the output stream";
    if (output->failure == EPIPE)
        return err_set(err, ERR_STORAGE, NULL, "%s was closed before the audio ended (%s)", name,
                       strerror(EPIPE));
    return err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", name,
                   strerror(output->failure));
}

int output_flush(struct output *output, struct err *err)
{
    if (is_stream(output))
        window_move(output, output->window_begin + output->window_len);
    return output_check(output, err);
}

/* --- The end ---------------------------------------------------------------------------------- */

static void close_file(struct output *output)
{
    if (close(output->fd) != 0 && errno != EINTR && !output->failure)
        output->failure = errno;
    output->fd = -1;
}

int output_finish(struct output *output, uint64_t *bytes, char sha256[DIGEST_HEX_SIZE],
                  struct err *err)
{
    bool in_memory = !is_stream(output) && !output->written;
    if (in_memory && !output->failure)
        digest_of(output->window, output->window_len, sha256);
    if (output->kind != OUTPUT_MEMORY)
        window_move(output, output->window_begin + output->window_len);
    if (output->kind == OUTPUT_FILE)
        close_file(output);
    if (output_check(output, err) != 0)
        return err->code;
    if (is_stream(output)) {
        uint8_t digest[DIGEST_SIZE];
        digest_final(output->digest, digest);
        digest_hex(digest, sha256);
    } else if (!in_memory && digest_of_file(output->path, sha256) != 0) {
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be read back: %s", output->path,
                       strerror(errno));
    }
    *bytes = output->size;
    free(output->path);
    output->path = NULL; /* finished: stays when this is destroyed */
    return 0;
}

void output_take(struct output *output, struct str *bytes)
{
    str_finish(bytes);
    window_reserve(output, output->window_len);
    output->window[output->window_len] = '\0';
    *bytes = (struct str){(char *)output->window, output->window_len, output->window_cap};
    output->window = NULL;
    output->window_len = output->window_cap = 0;
}

void output_abandon(struct output *output)
{
    if (!output->failure)
        output->failure = ECANCELED;
}

void output_destroy(struct output *output)
{
    if (!output)
        return;
    struct stat info;
    if (output->path && stat(output->path, &info) == 0 && S_ISREG(info.st_mode))
        unlink(output->path); /* devices stay */
    if (output->path && output->fd >= 0)
        close(output->fd);
    digest_destroy(output->digest);
    free(output->window);
    free(output->path);
    free(output);
}
