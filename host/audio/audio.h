/* From the float PCM that a model writes to an encoded file or stream: checks, resampling,
 * clipping, encoding. And back: decoding a recording. Knows no jobs, models or result names.
 *
 *     sink_open_file | _stream | _writer | _memory -> sink_begin(rate, channels) -> sink_write ... -> sink_finish
 *
 * PCM passes in blocks as it arrives: but for sink_open_memory, memory does not grow with the
 * length of the audio. A sink belongs to one thread at a time.
 */
#ifndef AUDIO_H
#define AUDIO_H

#include "base/base.h"

enum audio_format {
    AUDIO_WAV,
    AUDIO_FLAC,
    AUDIO_MP3,
    AUDIO_OGG,
    AUDIO_OPUS,
    AUDIO_PCM,
    AUDIO_FORMAT_COUNT
};
enum audio_encoding { AUDIO_PCM16, AUDIO_PCM24, AUDIO_FLOAT32, AUDIO_ENCODING_COUNT };

/* Names, as in jobs and on the command line; also the file's extension. -1 when unknown. */
extern const char *const audio_format_names[AUDIO_FORMAT_COUNT];     /* "wav" ... */
extern const char *const audio_encoding_names[AUDIO_ENCODING_COUNT]; /* "pcm16" ... */
int audio_format_from(const char *name);

#define AUDIO_RATE_MIN 8000
#define AUDIO_RATE_MAX 192000
#define AUDIO_CHANNELS_MAX 8

struct audio_spec {
    enum audio_format format;
    enum audio_encoding encoding; /* wav and pcm: any; flac: pcm16 or pcm24; others: pcm16 only */
    uint32_t sample_rate; /* Hz; 0: as the model writes it, or the nearest that the format can */
};

/* Refuses, naming the field ("encoding", "sample_rate"), what the format cannot do: opus has 8, 12,
 * 16, 24 and 48 kHz, mp3 its MPEG rates up to 48 kHz. */
int audio_spec_check(const struct audio_spec *spec, struct err *err);

/* What was written. */
struct audio_info {
    enum audio_format format;
    enum audio_encoding encoding;
    uint32_t sample_rate, channels;
    uint64_t frames;
    double duration_s;
    uint64_t bytes;
    uint64_t clipped; /* samples outside -1..1 that an integer format had to clip */
    char sha256[DIGEST_HEX_SIZE];
};

struct sink;

/* Encodes into the file `path`, which is made or truncated. The file is complete, with true sizes
 * in its header, after sink_finish; sink_destroy before that removes it. */
int sink_open_file(const char *path, const struct audio_spec *spec, struct sink **sink,
                   struct err *err);

/* Encodes onto a descriptor that cannot seek, block by block as PCM arrives. wav: the header says
 * "length unknown" (0xffffffff). The descriptor stays open. */
int sink_open_stream(int fd, const struct audio_spec *spec, struct sink **sink, struct err *err);

/* Encodes in memory; over `bytes_max` it is ERR_TOO_LARGE. sink_take hands the bytes over after
 * sink_finish. */
int sink_open_memory(size_t bytes_max, const struct audio_spec *spec, struct sink **sink,
                     struct err *err);
void sink_take(struct sink *sink, struct str *bytes);

/* Takes a stream as it is made, in the thread that writes to the sink. */
struct sink_writer {
    /* Before the first byte: format, encoding, sample_rate and channels are true. */
    void (*begin)(const struct audio_info *info, void *arg);
    /* Takes all, may block; 0, or an errno value that ends the sink. */
    int (*write)(const void *data, size_t len, void *arg);
    void *arg;
};
/* As sink_open_stream, onto a writer, which is borrowed until sink_destroy. */
int sink_open_writer(const struct sink_writer *writer, const struct audio_spec *spec,
                     struct sink **sink, struct err *err);

/* Declares what sink_write will bring; exactly once. */
int sink_begin(struct sink *sink, uint32_t sample_rate, uint32_t channels, struct err *err);
/* Interleaved float. Refuses samples that are not finite, naming the frame (ERR_INTERNAL); a disk
 * that is full or a closed pipe is ERR_STORAGE. After a failure only sink_destroy is useful. */
int sink_write(struct sink *sink, const float *pcm, uint64_t frames, struct err *err);
/* Flushes and closes. `info` is complete then; its sha256 and bytes are those of the whole file. */
int sink_finish(struct sink *sink, struct audio_info *info, struct err *err);
/* Frees; takes NULL. Removes a file that was not finished. */
void sink_destroy(struct sink *sink);

/* --- Decoding --------------------------------------------------------------------------------- */

struct audio_clip {
    float *pcm; /* interleaved */
    uint64_t frames;
    uint32_t sample_rate, channels;
};

/* Decodes what libsndfile reads, by content and not by name. `seconds_max` bounds it, and so do 64
 * Mi samples (256 MiB). ERR_INVALID when it is no audio, empty, longer, or has samples that are not
 * finite. */
int audio_decode_file(const char *path, double seconds_max, struct audio_clip *clip,
                      struct err *err);
int audio_decode_memory(const void *data, size_t len, double seconds_max, struct audio_clip *clip,
                        struct err *err);
void audio_clip_finish(struct audio_clip *clip);

/* --- Subtitles -------------------------------------------------------------------------------- */

enum subtitle_format {
    SUBTITLE_SRT,
    SUBTITLE_VTT,
    SUBTITLE_CSV,
    SUBTITLE_JSON,
    SUBTITLE_ASS,
    SUBTITLE_FORMAT_COUNT
};
extern const char
    *const subtitle_format_names[SUBTITLE_FORMAT_COUNT]; /* "srt" ...; also extensions */
int subtitle_format_from(const char *name);

struct audio_word {
    char *word;
    uint64_t text_begin, text_end; /* bytes of the job's text; equal: not from the text */
    double start_s, end_s;
};

/* Appends the words as a subtitle file: srt, vtt and ass in cues of at most 42 characters (two
 * words at least when they fit) that also end at sentence ends and at pauses over 0.7 s, shown by
 * the source text's own spelling; csv and json with a row a word. */
void subtitle_write(enum subtitle_format format, const char *text, const struct audio_word *words,
                    size_t count, struct str *out);

/* What an older system wrote: a cue or row for each word; in csv and json start_time, end_time and
 * the confidence 1, which stood there when none was known. */
struct subtitle_older {
    const char *job_id, *language; /* language NULL: not known */
    bool compact;                  /* csv: word,start,end */
};
void subtitle_write_older(enum subtitle_format format, const struct subtitle_older *older,
                          const struct audio_word *words, size_t count, struct str *out);

/* --- Libraries -------------------------------------------------------------------------------- */

/* The names and versions of what runs here, as the libraries tell them: "libsndfile-1.2.0". */
const char *audio_sndfile_version(void);
const char *audio_soxr_version(void);

#endif
