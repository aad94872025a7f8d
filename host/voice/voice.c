/* Voices; see voice.h. */
#include "voice/voice.h"

#include "http/http.h"
#include "plugin/plugin.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Shorter text without a path or "data:" is a name. */
#define BASE64_LEN_MIN 256

static const char *find_speaker(const struct vox_entry *entry, const char *name)
{
    for (uint32_t i = 0; i < entry->speaker_count; i++)
        if (text_equal_nocase(plugin_speaker(entry, i)->id, name))
            return plugin_speaker(entry, i)->id;
    return NULL;
}

static bool is_url(const char *voice)
{
    return strncasecmp(voice, "http://", 7) == 0 || strncasecmp(voice, "https://", 8) == 0;
}

/* Of a URL only so much is ever shown: the rest may hold a signature. */
static size_t url_host(const char *url, const char **host)
{
    *host = strstr(url, "://") + 3;
    return strcspn(*host, "/?#");
}

static int not_found(const char *voice, const struct vox_entry *entry,
                     const struct voice_places *places, struct err *err)
{
    struct str known = {0};
    if (entry->speaker_count == 0 && !(entry->capabilities & VOX_CAP_CLONING))
        return err_set(err, ERR_UNSUPPORTED, "voice",
                       "plugin \"%s\" has one voice only and does not clone", entry->id);
    for (uint32_t i = 0; i < entry->speaker_count; i++)
        str_printf(&known, "%s%s", i ? ", " : "", plugin_speaker(entry, i)->id);
    if (entry->capabilities & VOX_CAP_CLONING)
        str_printf(&known, "%sa recording's path, or a NAME.wav in %s", known.len ? ", " : "",
                   places->voices_dir);
    size_t len = strlen(voice);
    if (is_url(voice))
        len = url_host(voice, &voice);
    err_set(err, ERR_VOICE_NOT_FOUND, "voice", "no voice \"%.*s\", expected one of: %s",
            len < 200 ? (int)len : 200, voice, str_text(&known));
    str_finish(&known);
    return ERR_VOICE_NOT_FOUND;
}

/* --- Inside the job -------------------------------------------------------------------------- */

static bool looks_like_base64(const char *text)
{
    size_t len = strlen(text);
    size_t body = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    return len >= BASE64_LEN_MIN && len - body <= 2 && strspn(text + body, "=") == len - body;
}

static int decode_base64(const char *text, struct str *bytes, struct err *err)
{
    size_t len = strlen(text);
    if (len / 4 * 3 > VOICE_INLINE_BYTES_MAX)
        return err_set(err, ERR_INVALID, "voice",
                       "the recording inside the job is larger than %u bytes",
                       VOICE_INLINE_BYTES_MAX);
    unsigned char *out = mem_alloc(len / 4 * 3 + 3);
    int got =
        len && len % 4 == 0 ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)len) : -1;
    if (got > 0) {
        size_t padding = (size_t)(text[len - 1] == '=') + (size_t)(text[len - 2] == '=');
        str_append(bytes, (const char *)out, (size_t)got - padding);
    }
    free(out);
    return got > 0 ? 0
                   : err_set(err, ERR_INVALID, "voice",
                             "expected base64 with padding and without spaces");
}

static int find_inline(const char *voice, struct voice_ref *ref, struct err *err)
{
    if (strncasecmp(voice, "data:", 5) == 0) {
        const char *body = strstr(voice, ";base64,");
        if (!body)
            return err_set(err, ERR_INVALID, "voice", "expected data:TYPE;base64,DATA");
        voice = body + strlen(";base64,");
    }
    ref->id = mem_copy_string("(in the job)");
    return decode_base64(voice, &ref->bytes, err);
}

/* --- By URL ---------------------------------------------------------------------------------- */

static int find_url(const char *voice, struct voice_ref *ref, struct err *err)
{
    const char *host;
    size_t len = url_host(voice, &host);
    if (strlen(voice) > VOICE_URL_LEN_MAX)
        return err_set(err, ERR_INVALID, "voice", "the URL is longer than %d bytes",
                       VOICE_URL_LEN_MAX);
    if (len == 0)
        return err_set(err, ERR_INVALID, "voice", "expected a host in the URL");
    if (memchr(host, '@', len))
        return err_set(err, ERR_INVALID, "voice", "a URL with a user name is not fetched");
    ref->id = mem_copy_text(host, len);
    ref->url = mem_copy_string(voice);
    return 0;
}

static int download(const struct voice_ref *ref, const struct voice_fetch *fetch,
                    struct audio_clip *clip, struct err *err)
{
    const struct http_fetch options = {
        .url = ref->url,
        .bytes_max = fetch->bytes_max,
        .timeout_s = fetch->timeout_s,
        .allow_private = fetch->allow_private,
        .stop = fetch->stop,
    };
    struct str bytes = {0};
    int result = http_fetch(&options, &bytes, err);
    if (result == 0) {
        result = audio_decode_memory(str_text(&bytes), bytes.len, VOICE_SECONDS_MAX, clip, err);
        if (result != 0)
            err_prefix(err, "%s", ref->id);
    }
    str_finish(&bytes);
    return result;
}

/* --- On disk --------------------------------------------------------------------------------- */

static void read_transcript(struct voice_ref *ref)
{
    const char *dot = strrchr(ref->path, '.');
    size_t stem = dot && !strchr(dot, '/') ? (size_t)(dot - ref->path) : strlen(ref->path);
    char *path = str_format("%.*s.txt", (int)stem, ref->path);
    struct str text = {0};
    struct err none;
    if (fs_read_file(path, VOICE_TRANSCRIPT_BYTES_MAX, &text, &none) == 0 &&
        utf8_valid(str_text(&text), text.len, NULL) && !text_is_blank(str_text(&text), text.len)) {
        while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
            text.data[--text.len] = '\0';
        ref->transcript = str_take(&text);
    }
    str_finish(&text);
    free(path);
}

static bool find_in_folder(const char *voice, const char *voices_dir, struct voice_ref *ref)
{
    static const char *const extensions[] = {"wav", "flac", "mp3", "ogg", "opus"};
    if (!fs_path_is_inside(voice) || strchr(voice, '/'))
        return false;
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        char *path = str_format("%s/%s.%s", voices_dir, voice, extensions[i]);
        if (access(path, R_OK) == 0) {
            ref->path = path;
            return true;
        }
        free(path);
    }
    return false;
}

static bool find_path(const char *voice, const char *base_dir, struct voice_ref *ref)
{
    if (!base_dir)
        return false;
    char *path = fs_absolute(base_dir, voice);
    if (access(path, R_OK) == 0) {
        ref->path = path;
        return true;
    }
    free(path);
    return false;
}

static int find_recording(const char *voice, const struct vox_entry *entry,
                          const struct voice_places *places, struct voice_ref *ref, struct err *err)
{
    if (is_url(voice))
        return find_url(voice, ref, err);
    if (strncasecmp(voice, "data:", 5) == 0 || looks_like_base64(voice))
        return find_inline(voice, ref, err);
    if (!find_in_folder(voice, places->voices_dir, ref) && !find_path(voice, places->base_dir, ref))
        return not_found(voice, entry, places, err);
    ref->id = mem_copy_string(voice);
    read_transcript(ref);
    return 0;
}

/* --- Public ---------------------------------------------------------------------------------- */

int voice_find(const char *voice, const char *voice_text, const struct vox_entry *entry,
               const struct voice_places *places, struct voice_ref *ref, struct err *err)
{
    *ref = (struct voice_ref){0};
    if (!voice) {
        if (entry->capabilities & VOX_CAP_NEEDS_VOICE)
            return err_set(err, ERR_INVALID, "voice",
                           "plugin \"%s\" has no voice of its own: name a recording", entry->id);
        return 0;
    }
    const char *speaker = find_speaker(entry, voice);
    int result = 0;
    if (speaker) {
        ref->is_speaker = true;
        ref->id = mem_copy_string(speaker);
    } else if (entry->capabilities & VOX_CAP_CLONING) {
        result = find_recording(voice, entry, places, ref, err);
    } else {
        result = not_found(voice, entry, places, err);
    }
    if (result == 0 && voice_text && !ref->is_speaker) {
        free(ref->transcript);
        ref->transcript = mem_copy_string(voice_text);
    }
    if (result == 0 && !ref->is_speaker && !ref->transcript &&
        (entry->capabilities & VOX_CAP_NEEDS_TRANSCRIPT))
        result = err_set(err, ERR_INVALID, "voice_text",
                         "plugin \"%s\" needs what is said in the recording: give voice_text "
                         "or a .txt beside it",
                         entry->id);
    if (result != 0)
        voice_ref_finish(ref);
    return result;
}

void voice_ref_finish(struct voice_ref *ref)
{
    free(ref->id);
    free(ref->path);
    free(ref->url);
    free(ref->transcript);
    str_finish(&ref->bytes);
    *ref = (struct voice_ref){0};
}

int voice_open(const struct voice_ref *ref, const struct voice_fetch *fetch,
               struct audio_clip *clip, struct vox_voice *out, struct err *err)
{
    int result = 0;
    *clip = (struct audio_clip){0};
    if (ref->path)
        result = audio_decode_file(ref->path, VOICE_SECONDS_MAX, clip, err);
    else if (ref->url)
        result = download(ref, fetch, clip, err);
    else if (ref->bytes.len)
        result = audio_decode_memory(ref->bytes.data, ref->bytes.len, VOICE_SECONDS_MAX, clip, err);
    if (result != 0) {
        snprintf(err->field, sizeof(err->field), "voice");
        return result;
    }
    *out = (struct vox_voice){
        .size = sizeof(*out),
        .sample_rate = clip->sample_rate,
        .channels = clip->channels,
        .id = {ref->id, strlen(ref->id)},
        .pcm = clip->pcm,
        .frames = clip->frames,
    };
    if (ref->transcript)
        out->transcript = (struct vox_str){ref->transcript, strlen(ref->transcript)};
    return 0;
}
