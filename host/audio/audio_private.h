/* What the parts of a sink tell each other: sink (checks, resampling) -> encoder (clipping,
 * libsndfile) -> output (bytes to a file or stream). Each sees only the one below it.
 */
#ifndef AUDIO_PRIVATE_H
#define AUDIO_PRIVATE_H

#include "audio/audio.h"

/* Samples that are converted at a time: small enough for the stack, and for libvorbis, which puts
 * what it is given in one call on its own stack. */
#define AUDIO_BLOCK_SAMPLES 4096

/* The rate that `format` takes for a model's rate: the same, or the next higher that it has. */
uint32_t audio_rate_for(enum audio_format format, uint32_t model_rate);

/* --- Output: bytes with a position, to a file, a stream or memory ----------------------------- */

struct output;

int output_open_file(const char *path, struct output **output, struct err *err);
struct output *output_open_stream(int fd);
struct output *output_open_writer(const struct sink_writer *writer); /* a stream as well */
struct output *output_open_memory(size_t bytes_max);
/* What libsndfile asks of a file. A stream takes a position before what was sent and drops what is
 * written there: headers that an encoder completes at its end. Writes return `len`, or 0 after a
 * failure, which is then kept for output_check. */
size_t output_write(struct output *output, const void *data, size_t len);
uint64_t output_seek(struct output *output, uint64_t position);
uint64_t output_position(const struct output *output);
uint64_t output_size(const struct output *output);
int output_check(const struct output *output, struct err *err);
/* Sends what a stream holds back; a file keeps its window. */
int output_flush(struct output *output, struct err *err);
/* Writes what is left, and closes a file. */
int output_finish(struct output *output, uint64_t *bytes, char sha256[DIGEST_HEX_SIZE],
                  struct err *err);
/* After output_finish on memory: its bytes, the caller's. */
void output_take(struct output *output, struct str *bytes);
/* From now on nothing is written. */
void output_abandon(struct output *output);
/* Frees; removes a file that was not finished. */
void output_destroy(struct output *output);

/* --- Ogg pages: what an Ogg encoder writes, made repeatable ----------------------------------- */

struct ogg_pages;

struct ogg_pages *ogg_pages_create(struct output *output); /* `output` is borrowed */
/* Takes bytes of pages in order; whole pages go on to the output. As output_write. */
size_t ogg_pages_write(struct ogg_pages *pages, const void *data, size_t len);
void ogg_pages_destroy(struct ogg_pages *pages); /* takes NULL */

/* --- Encoder: float PCM to bytes -------------------------------------------------------------- */

struct encoder;

struct encoder_spec {
    enum audio_format format;
    enum audio_encoding encoding;
    uint32_t sample_rate, channels;
    bool stream; /* sizes are not known and cannot be filled in later */
};

/* `output` is borrowed until encoder_destroy. */
int encoder_create(const struct encoder_spec *spec, struct output *output, struct encoder **encoder,
                   struct err *err);
int encoder_write(struct encoder *encoder, const float *pcm, uint64_t frames, struct err *err);
/* Writes what the format has at its end, and completes headers. */
int encoder_close(struct encoder *encoder, struct err *err);
uint64_t encoder_frames(const struct encoder *encoder);
uint64_t encoder_clipped(const struct encoder *encoder);
void encoder_destroy(struct encoder *encoder); /* takes NULL */
/* Lowers the size that a wav file may have, for tests; UINT32_MAX by the format. */
void encoder_limit_wav(struct encoder *encoder, uint64_t bytes_max);

struct encoder *sink_encoder(struct sink *sink); /* for tests; NULL before sink_begin */

#endif
