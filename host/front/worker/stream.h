/* The audio of one job on its way out in chunks: the job's thread writes, whoever sends takes. The
 * writer waits while the sender is slow, so memory stays bounded.
 *
 *     stream_create -> job->writer = stream_writer() -> ... stream_next ... -> stream_end -> stream_next until false
 */
#ifndef WORKER_STREAM_H
#define WORKER_STREAM_H

#include "audio/audio.h"

struct stream;

struct stream_options {
    size_t chunk_min;     /* bytes of audio; a chunk that is not the last has at least these */
    size_t chunk_max;     /* and at most these */
    size_t aggregate_max; /* bytes of JSON that stream_chunks keeps; 0: none */
    /* There is something for stream_next now; from the job's thread, or inside stream_end. */
    void (*ready)(struct stream *stream, uint64_t ticket, void *arg);
    void *arg;
    uint64_t ticket;
};

#define STREAM_WAITING_MAX 2 /* chunks; then the writer waits */

struct stream *stream_create(const struct stream_options *options);
/* Borrowed until stream_destroy. */
const struct sink_writer *stream_writer(struct stream *stream);
/* Appends the next chunk as a JSON value (reply_chunk), if there is one. [any] */
bool stream_next(struct stream *stream, struct str *chunk);
/* The job has ended: the audio that is left makes one more chunk, and `last`, a JSON value, the
 * last one. [any] */
void stream_end(struct stream *stream, const struct str *last);
/* From now on writing fails with ECANCELED. Ends a writer that waits. [any] */
void stream_abort(struct stream *stream);
/* All chunks so far, parted by commas; NULL when they are more than aggregate_max. After
 * stream_end; borrowed. */
const struct str *stream_chunks(const struct stream *stream);
void stream_destroy(struct stream *stream); /* takes NULL */

#endif
