/* A recording back to float PCM, by libsndfile: what a user hands in as a voice. Trusts no header:
 * samples are read until they end or pass the limit.
 */
#include "audio/audio_private.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RIFF_HEADER_SIZE 12
#define FIRST_FRAMES UINT64_C(16384)
#define SAMPLES_MAX \
    (UINT64_C(64) << 20)      /* 256 MiB: what is compressed well must not take all memory */
#define MP3_FRAMES_SLACK 2304 /* two frames, of what a length header may leave unsaid */
#define MP3_TAIL_MAX 8192     /* what may follow the last frame that is played: tags, padding */
#define RIFF_SIZE_UNKNOWN 0x7ff00000u /* streams say 0xffffffff, 0x7fffffff or about that */

/* --- Where the bytes come from ---------------------------------------------------------------- */

struct source {
    const uint8_t *data; /* NULL: a file */
    int fd;
    sf_count_t len, position;
};

static sf_count_t source_size(void *user)
{
    return ((struct source *)user)->len;
}

static sf_count_t source_seek(sf_count_t offset, int whence, void *user)
{
    struct source *source = user;
    sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? source->position : source->len;
    if (offset < -from || offset > source->len - from)
        return -1;
    source->position = from + offset;
    return source->position;
}

static sf_count_t source_read(void *data, sf_count_t len, void *user)
{
    struct source *source = user;
    sf_count_t left = source->len - source->position, got = len < left ? len : left;
    if (got <= 0)
        return 0;
    if (source->data)
        memcpy(data, source->data + source->position, (size_t)got);
    else
        got = pread(source->fd, data, (size_t)got, source->position);
    if (got > 0)
        source->position += got;
    return got > 0 ? got : 0;
}

static sf_count_t source_write(const void *data, sf_count_t len, void *user)
{
    (void)data;
    (void)len;
    (void)user;
    return 0;
}

static sf_count_t source_position(void *user)
{
    return ((struct source *)user)->position;
}

/* --- Decoding --------------------------------------------------------------------------------- */

/* libsndfile reads a wav that was cut off as if it were meant so. */
static int check_riff_size(struct source *source, struct err *err)
{
    uint8_t header[RIFF_HEADER_SIZE];
    if (source_read(header, sizeof(header), source) < RIFF_HEADER_SIZE)
        return err_set(err, ERR_INVALID, NULL, "is no audio: it is too short");
    source->position = 0;
    if (memcmp(header, "RIFF", 4) != 0 || memcmp(header + 8, "WAVE", 4) != 0)
        return 0;
    uint32_t told = (uint32_t)header[4] | (uint32_t)header[5] << 8 | (uint32_t)header[6] << 16 |
                    (uint32_t)header[7] << 24;
    sf_count_t size = (sf_count_t)told + 8;
    if (told >= RIFF_SIZE_UNKNOWN || size <= source->len + 1) /* some forget the odd byte's pad */
        return 0;
    return err_set(err, ERR_INVALID, NULL, "is cut off: has %lld of %lld bytes",
                   (long long)source->len, (long long)size);
}

static int check_info(const SF_INFO *info, struct err *err)
{
    if (info->samplerate < AUDIO_RATE_MIN || info->samplerate > AUDIO_RATE_MAX)
        return err_set(err, ERR_INVALID, NULL, "has a sample rate of %d Hz; expected %d..%d",
                       info->samplerate, AUDIO_RATE_MIN, AUDIO_RATE_MAX);
    if (info->channels < 1 || info->channels > AUDIO_CHANNELS_MAX)
        return err_set(err, ERR_INVALID, NULL, "has %d channels; expected 1..%d", info->channels,
                       AUDIO_CHANNELS_MAX);
    return 0;
}

/* Does its first frame tell the length? Without that, libsndfile guesses it. */
static bool has_mp3_length(struct source *source)
{
    enum { ID3_SIZE = 10, HEADER_SIZE = 64 };
    uint8_t bytes[HEADER_SIZE] = {0};
    source->position = 0;
    if (source_read(bytes, ID3_SIZE, source) == ID3_SIZE && memcmp(bytes, "ID3", 3) == 0)
        source->position += (sf_count_t)bytes[6] << 21 | (sf_count_t)bytes[7] << 14 |
                            (sf_count_t)bytes[8] << 7 | (sf_count_t)bytes[9];
    else
        source->position = 0;
    source_read(bytes, sizeof(bytes), source);
    return memmem(bytes, sizeof(bytes), "Xing", 4) || memmem(bytes, sizeof(bytes), "Info", 4);
}

/* A file that is shorter than its header says, or of which libsndfile leaves a part: mp3 of
 * variable rate without a header has its length guessed, and nothing is read beyond the guess. */
static int check_whole(const SF_INFO *info, struct source *source, const struct audio_clip *clip,
                       struct err *err)
{
    int type = info->format & SF_FORMAT_TYPEMASK;
    bool is_opus = (info->format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS;
    bool is_mp3 = type == SF_FORMAT_MPEG, is_told = info->frames < SF_COUNT_MAX;
    double read_s = (double)clip->frames / clip->sample_rate;
    sf_count_t left = source->len - source->position;
    uint64_t slack = is_mp3 ? MP3_FRAMES_SLACK : 0;
    if (is_told && clip->frames + slack < (uint64_t)info->frames &&
        (type == SF_FORMAT_FLAC || is_opus || (is_mp3 && has_mp3_length(source))))
        return err_set(err, ERR_INVALID, NULL, "is cut off or damaged: has %.2f of %.2f s", read_s,
                       (double)info->frames / clip->sample_rate);
    if (is_opus && !is_told)
        return err_set(err, ERR_INVALID, NULL,
                       "is cut off: has %.2f s, and does not end with a page of Ogg", read_s);
    if (is_mp3 && left > MP3_TAIL_MAX)
        return err_set(err, ERR_INVALID, NULL,
                       "is an mp3 of variable rate without a length header, of which only %.2f s "
                       "can be read; convert it to wav or flac",
                       read_s);
    return 0;
}

static int check_finite(const struct audio_clip *clip, struct err *err)
{
    uint64_t count = clip->frames * clip->channels;
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(clip->pcm[i]))
            return err_set(err, ERR_INVALID, NULL, "has a sample that is not finite at frame %llu",
                           (unsigned long long)(i / clip->channels));
    return 0;
}

/* Reads all frames; at most `frames_max`. */
static int read_frames(SNDFILE *file, uint64_t frames_max, struct audio_clip *clip, struct err *err)
{
    uint64_t cap = 0;
    for (;;) {
        if (cap - clip->frames < AUDIO_BLOCK_SAMPLES) {
            cap = cap ? cap * 2 : FIRST_FRAMES;
            clip->pcm = mem_resize(clip->pcm, cap * clip->channels, sizeof(float));
        }
        sf_count_t got =
            sf_readf_float(file, clip->pcm + clip->frames * clip->channels, AUDIO_BLOCK_SAMPLES);
        clip->frames += got > 0 ? (uint64_t)got : 0;
        if (sf_error(file) != SF_ERR_NO_ERROR) /* each read forgets the error of the one before */
            return err_set(err, ERR_INVALID, NULL, "is damaged at about %.2f s: %s",
                           (double)clip->frames / clip->sample_rate, sf_strerror(file));
        if (got <= 0)
            break;
        if (clip->frames > frames_max)
            return err_set(err, ERR_INVALID, NULL, "is longer than %g s",
                           (double)frames_max / clip->sample_rate);
    }
    if (clip->frames == 0)
        return err_set(err, ERR_INVALID, NULL, "has no audio in it");
    clip->pcm = mem_resize(clip->pcm, clip->frames * clip->channels, sizeof(float));
    return 0;
}

static int decode_opened(SNDFILE *file, const SF_INFO *info, struct source *source,
                         double seconds_max, struct audio_clip *clip, struct err *err)
{
    if (check_info(info, err) != 0)
        return err->code;
    clip->sample_rate = (uint32_t)info->samplerate;
    clip->channels = (uint32_t)info->channels;
    uint64_t frames_max = (uint64_t)(seconds_max * info->samplerate);
    if (frames_max > SAMPLES_MAX / clip->channels)
        frames_max = SAMPLES_MAX / clip->channels;
    if (read_frames(file, frames_max, clip, err) != 0 || check_whole(info, source, clip, err) != 0)
        return err->code;
    return check_finite(clip, err);
}

/* `name` is for messages. */
static int decode(struct source *source, const char *name, double seconds_max,
                  struct audio_clip *clip, struct err *err)
{
    SF_VIRTUAL_IO io = {.get_filelen = source_size,
                        .seek = source_seek,
                        .read = source_read,
                        .write = source_write,
                        .tell = source_position};
    SF_INFO info = {0};
    int result = check_riff_size(source, err);
    if (result == 0) {
        SNDFILE *file = sf_open_virtual(&io, SFM_READ, &info, source);
        result = file ? decode_opened(file, &info, source, seconds_max, clip, err)
                      : err_set(err, ERR_INVALID, NULL, "is no audio that can be read: %s",
                                sf_strerror(NULL));
        if (file)
            sf_close(file);
    }
    if (result != 0) {
        audio_clip_finish(clip);
        err_prefix(err, "%s", name);
    }
    return result;
}

int audio_decode_file(const char *path, double seconds_max, struct audio_clip *clip,
                      struct err *err)
{
    struct source source = {0};
    struct stat info;
    int result;
    *clip = (struct audio_clip){0};
    source.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source.fd < 0 || fstat(source.fd, &info) != 0) {
        result = err_set(err, ERR_INVALID, NULL, "%s: cannot be read: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        result = err_set(err, ERR_INVALID, NULL, "%s: is not a regular file", path);
    } else {
        source.len = info.st_size;
        result = decode(&source, path, seconds_max, clip, err);
    }
    if (source.fd >= 0)
        close(source.fd);
    return result;
}

int audio_decode_memory(const void *data, size_t len, double seconds_max, struct audio_clip *clip,
                        struct err *err)
{
    struct source source = {.data = data, .fd = -1, .len = (sf_count_t)len};
    *clip = (struct audio_clip){0};
    if (len == 0)
        return err_set(err, ERR_INVALID, NULL, "audio: is empty");
    return decode(&source, "audio", seconds_max, clip, err);
}

void audio_clip_finish(struct audio_clip *clip)
{
    free(clip->pcm);
    *clip = (struct audio_clip){0};
}
