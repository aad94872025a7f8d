/* Streams; see stream.h. The job's thread cuts chunks and waits while STREAM_WAITING_MAX of them
 * are not taken. */
#include "front/worker/stream.h"

#include "front/worker/reply.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNKS_MAX (STREAM_WAITING_MAX + 2) /* with what is left at the end, and `last` */

struct stream {
    struct stream_options options;
    struct sink_writer writer;
    struct audio_info info; /* of the job's thread */
    struct str pending;     /* likewise: audio that makes no whole chunk yet */
    uint64_t count;         /* likewise: chunks cut */
    pthread_mutex_t lock;
    pthread_cond_t taken;
    /* guarded by lock */
    struct str waiting[CHUNKS_MAX]; /* a ring of chunks */
    size_t first, waiting_count;
    struct str aggregate;
    bool overflown; /* the aggregate grew over its limit */
    bool aborted;
};

/* --- Cutting, in the job's thread ------------------------------------------------------------- */

/* With the lock. */
static void aggregate(struct stream *stream, const struct str *chunk)
{
    size_t len = stream->aggregate.len + chunk->len + 1;
    if (stream->overflown || len > stream->options.aggregate_max) {
        stream->overflown = true;
        str_finish(&stream->aggregate);
        return;
    }
    if (stream->aggregate.len)
        str_putc(&stream->aggregate, ',');
    str_append(&stream->aggregate, chunk->data, chunk->len);
}

/* Takes `chunk` over. False when the stream was aborted. */
static bool put(struct stream *stream, struct str *chunk, bool wait)
{
    pthread_mutex_lock(&stream->lock);
    while (wait && stream->waiting_count >= STREAM_WAITING_MAX && !stream->aborted)
        pthread_cond_wait(&stream->taken, &stream->lock);
    bool good = !stream->aborted;
    if (good) {
        aggregate(stream, chunk);
        stream->waiting[(stream->first + stream->waiting_count++) % CHUNKS_MAX] = *chunk;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!good)
        str_finish(chunk);
    *chunk = (struct str){0};
    if (good)
        stream->options.ready(stream, stream->options.ticket, stream->options.arg);
    return good;
}

static bool cut(struct stream *stream, const void *data, size_t len, bool wait)
{
    struct str chunk = {0};
    reply_chunk(stream->count++, &stream->info, data, len, &chunk);
    return put(stream, &chunk, wait);
}

static void begin(const struct audio_info *info, void *arg)
{
    struct stream *stream = arg;
    stream->info = *info;
}

static int write_audio(const void *data, size_t len, void *arg)
{
    struct stream *stream = arg;
    size_t done = 0;
    bool good = true;
    str_append(&stream->pending, data, len);
    while (good && stream->pending.len - done >= stream->options.chunk_min) {
        size_t left = stream->pending.len - done;
        size_t step = left < stream->options.chunk_max ? left : stream->options.chunk_max;
        good = cut(stream, stream->pending.data + done, step, true);
        done += step;
    }
    struct str rest = {0};
    str_append(&rest, stream->pending.data + done, stream->pending.len - done);
    str_finish(&stream->pending);
    stream->pending = rest;
    return good ? 0 : ECANCELED;
}

/* --- Public ----------------------------------------------------------------------------------- */

struct stream *stream_create(const struct stream_options *options)
{
    struct stream *stream = mem_alloc(sizeof(*stream));
    stream->options = *options;
    stream->overflown = options->aggregate_max == 0;
    stream->writer = (struct sink_writer){begin, write_audio, stream};
    pthread_mutex_init(&stream->lock, NULL);
    sync_cond_init(&stream->taken);
    return stream;
}

const struct sink_writer *stream_writer(struct stream *stream)
{
    return &stream->writer;
}

bool stream_next(struct stream *stream, struct str *chunk)
{
    pthread_mutex_lock(&stream->lock);
    bool any = stream->waiting_count > 0;
    if (any) {
        struct str *first = &stream->waiting[stream->first];
        str_append(chunk, first->data, first->len);
        str_finish(first);
        stream->first = (stream->first + 1) % CHUNKS_MAX;
        stream->waiting_count--;
        pthread_cond_signal(&stream->taken);
    }
    pthread_mutex_unlock(&stream->lock);
    return any;
}

void stream_end(struct stream *stream, const struct str *last)
{
    struct str chunk = {0};
    if (stream->pending.len)
        cut(stream, stream->pending.data, stream->pending.len, false);
    str_finish(&stream->pending);
    str_append(&chunk, last->data, last->len);
    put(stream, &chunk, false);
}

void stream_abort(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->aborted = true;
    pthread_cond_broadcast(&stream->taken);
    pthread_mutex_unlock(&stream->lock);
}

const struct str *stream_chunks(const struct stream *stream)
{
    return stream->overflown ? NULL : &stream->aggregate;
}

void stream_destroy(struct stream *stream)
{
    if (!stream)
        return;
    for (size_t i = 0; i < CHUNKS_MAX; i++)
        str_finish(&stream->waiting[i]);
    str_finish(&stream->pending);
    str_finish(&stream->aggregate);
    pthread_cond_destroy(&stream->taken);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}
