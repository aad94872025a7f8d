/* Recordings: where they come from (URL, base64, file), what they are by their content, and
 * decoding them with the checks that every voice has to pass. Knows no library and no plugin.
 */
#include "http/http.h"
#include "voice/voice_private.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Shorter text without a path or "data:" is a name. */
#define BASE64_LEN_MIN 256

const char *const reference_extensions[] = {"wav", "flac", "mp3",  "ogg", "opus",
                                            "m4a", "webm", "aiff", NULL};

/* --- By URL ----------------------------------------------------------------------------------- */

bool reference_is_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0 ||
           strncmp(text, "s3://", 5) == 0;
}

size_t reference_url_host(const char *url, const char **host)
{
    *host = strstr(url, "://") + 3;
    return strcspn(*host, "/?#");
}

int reference_check_url(const char *url, struct err *err)
{
    const char *host;
    size_t len = reference_url_host(url, &host);
    if (strlen(url) > VOICE_URL_LEN_MAX)
        return err_set(err, ERR_INVALID, "voice", "the URL is longer than %d bytes",
                       VOICE_URL_LEN_MAX);
    if (len == 0)
        return err_set(err, ERR_INVALID, "voice", "expected a host in the URL");
    if (memchr(host, '@', len))
        return err_set(err, ERR_INVALID, "voice", "a URL with a user name is not fetched");
    return 0;
}

int reference_download(const char *url, const struct voice_fetch *fetch, struct str *bytes,
                       struct err *err)
{
    if (strncmp(url, "s3://", 5) == 0)
        return fetch->object ? fetch->object(url, fetch, bytes, err)
                             : err_set(err, ERR_UNSUPPORTED, "voice",
                                       "object keys are not read here: give a file, a URL or "
                                       "base64");
    const struct http_fetch options = {
        .url = url,
        .bytes_max = fetch->bytes_max,
        .timeout_s = fetch->timeout_s,
        .allow_private = fetch->allow_private,
        .stop = fetch->stop,
    };
    return http_fetch(&options, bytes, err);
}

/* --- In text ---------------------------------------------------------------------------------- */

/* What programs put between the digits: line ends every 76 characters, a space at the end. */
static bool is_gap(char c)
{
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

/* Of either alphabet (RFC 4648, 4 and 5); -1: none. */
static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool reference_is_inline(const char *text)
{
    size_t digits = 0, at = 0;
    if (strncasecmp(text, "data:", 5) == 0)
        return true;
    for (; digit_of(text[at]) >= 0 || is_gap(text[at]); at++)
        digits += !is_gap(text[at]);
    while (text[at] == '=' || is_gap(text[at]))
        at++;
    return digits >= BASE64_LEN_MIN && text[at] == '\0';
}

/* `out` has room for strlen(text) / 4 * 3 + 2; *len of that is used. False: it is no base64. Padding
 * may be left out, but not be wrong. OpenSSL's decoders know neither that nor the other alphabet. */
static bool decode_base64(const char *text, char *out, size_t *len)
{
    size_t digits = 0, padding = 0;
    uint32_t bits = 0;
    *len = 0;
    for (; *text; text++) {
        int digit = digit_of(*text);
        if (is_gap(*text))
            continue;
        if (*text == '=') {
            padding++;
            continue;
        }
        if (digit < 0 || padding)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (++digits % 4 != 1)
            out[(*len)++] = (char)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    return digits % 4 != 1 && (padding == 0 || padding == (4 - digits % 4) % 4);
}

int reference_decode_base64(const char *text, size_t bytes_max, struct str *bytes, struct err *err)
{
    if (strncasecmp(text, "data:", 5) == 0) {
        const char *body = strstr(text, ";base64,");
        if (!body)
            return err_set(err, ERR_INVALID, "voice", "expected data:TYPE;base64,DATA");
        text = body + strlen(";base64,");
    }
    size_t len = strlen(text);
    /* Not one in ten characters is a gap, in whatever programs write. */
    bool is_too_large = len / 4 * 3 > bytes_max + bytes_max / 10;
    struct str out = {.cap = len / 4 * 3 + 3}; /* with the end of a text */
    out.data = is_too_large ? NULL : mem_alloc(out.cap);
    bool good = out.data && decode_base64(text, out.data, &out.len) && out.len > 0;
    is_too_large = is_too_large || (good && out.len > bytes_max);
    if (good && !is_too_large) {
        str_finish(bytes);
        *bytes = out;
        bytes->data[bytes->len] = '\0';
    } else {
        str_finish(&out);
    }
    if (is_too_large)
        return err_set(err, ERR_INVALID, "voice",
                       "the recording inside the job is larger than %zu bytes", bytes_max);
    return good ? 0 : err_set(err, ERR_INVALID, "voice", "expected base64");
}

/* --- In a file -------------------------------------------------------------------------------- */

int reference_read(const char *path, struct str *bytes, struct err *err)
{
    struct stat info;
    int result = 0;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        result = err_set(err, ERR_INVALID, "voice", "%s: is not a regular file", path);
    else if (stat(path, &info) == 0 && (uint64_t)info.st_size > VOICE_REFERENCE_BYTES_MAX) {
        struct audio_clip clip; /* hours of audio: to say so helps more than to tell its bytes */
        result = audio_decode_file(path, VOICE_SECONDS_MAX, &clip, err);
        audio_clip_finish(&clip);
        if (result == 0)
            result = err_set(err, ERR_TOO_LARGE, "voice", "%s: is larger than %u bytes", path,
                             VOICE_REFERENCE_BYTES_MAX);
    } else {
        result = fs_read_file(path, VOICE_REFERENCE_BYTES_MAX, bytes, err);
    }
    return result;
}

char *reference_transcript(const char *path)
{
    const char *dot = strrchr(path, '.');
    size_t stem = dot && !strchr(dot, '/') ? (size_t)(dot - path) : strlen(path);
    char *text_path = str_format("%.*s.txt", (int)stem, path), *transcript = NULL;
    struct str text = {0};
    struct stat info;
    struct err none;
    if (stat(text_path, &info) == 0 && S_ISREG(info.st_mode) &&
        fs_read_text(text_path, VOICE_TRANSCRIPT_BYTES_MAX, &text, &none) == 0 &&
        strlen(str_text(&text)) == text.len && utf8_valid(str_text(&text), text.len, NULL) &&
        !text_is_blank(str_text(&text), text.len)) {
        while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
            text.data[--text.len] = '\0';
        transcript = str_take(&text);
    }
    str_finish(&text);
    free(text_path);
    return transcript;
}

/* --- By content ------------------------------------------------------------------------------- */

struct content {
    const char *format;  /* and the end of file names */
    const char *demuxer; /* of ffmpeg, where libsndfile cannot read it; NULL: ours */
    size_t at;
    const char *magic;
    size_t magic_len;
};

static const struct content contents[] = {
    {"wav", NULL, 8, "WAVE", 4},
    {"flac", NULL, 0, "fLaC", 4},
    {"opus", NULL, 28, "OpusHead", 8},
    {"ogg", NULL, 0, "OggS", 4},
    {"aiff", NULL, 0, "FORM", 4},
    {"m4a", "mov", 4, "ftyp", 4},
    {"webm", "matroska", 0, "\x1a\x45\xdf\xa3", 4},
    {"mp3", NULL, 0, "ID3", 3},
    {"aac", "aac", 0, "\xff\xf1", 2},
    {"aac", "aac", 0, "\xff\xf9", 2},
};

static const struct content *find_content(const void *data, size_t len)
{
    const char *bytes = data;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
        if (len >= contents[i].at + contents[i].magic_len &&
            memcmp(bytes + contents[i].at, contents[i].magic, contents[i].magic_len) == 0)
            return &contents[i];
    return NULL;
}

const char *reference_format(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    const struct content *content = find_content(data, len);
    if (content)
        return content->format;
    return len >= 2 && bytes[0] == 0xff && (bytes[1] & 0xe0) == 0xe0 ? "mp3" : "audio";
}

bool reference_needs_ffmpeg(const struct str *bytes)
{
    const struct content *content = find_content(bytes->data, bytes->len);
    return content && content->demuxer;
}

static int check_sound(const struct audio_clip *clip, struct err *err)
{
    uint64_t count = clip->frames * clip->channels;
    for (uint64_t i = 0; i < count; i++)
        if (fabsf(clip->pcm[i]) >= (float)VOICE_SILENT_PEAK)
            return 0;
    return err_set(err, ERR_INVALID, NULL,
                   "audio: is silent: nothing in its %.2f s is louder "
                   "than -60 dBFS",
                   (double)clip->frames / clip->sample_rate);
}

int reference_decode(const struct str *bytes, const atomic_int *stop, struct audio_clip *clip,
                     bool *by_ffmpeg, struct err *err)
{
    const struct content *content = find_content(bytes->data, bytes->len);
    bool foreign = content && content->demuxer;
    int result = foreign
                     ? ffmpeg_decode(bytes, content->demuxer, stop, clip, err)
                     : audio_decode_memory(bytes->data, bytes->len, VOICE_SECONDS_MAX, clip, err);
    if (by_ffmpeg)
        *by_ffmpeg = foreign;
    if (result == 0 && (result = check_sound(clip, err)) != 0)
        audio_clip_finish(clip);
    return result;
}

int reference_encode_flac(const struct audio_clip *clip, struct str *bytes, struct err *err)
{
    const struct audio_spec spec = {AUDIO_FLAC, AUDIO_PCM24, 0};
    struct audio_info info;
    struct sink *sink = NULL;
    int result = sink_open_memory(VOICE_REFERENCE_BYTES_MAX, &spec, &sink, err);
    if (result == 0)
        result = sink_begin(sink, clip->sample_rate, clip->channels, err);
    if (result == 0)
        result = sink_write(sink, clip->pcm, clip->frames, err);
    if (result == 0)
        result = sink_finish(sink, &info, err);
    if (result == 0)
        sink_take(sink, bytes);
    sink_destroy(sink);
    return result;
}
