/* The voice of a job; see voice.h. Finding looks at names and files only; opening fetches and
 * decodes through the cache. */
#include "voice/voice_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_TRIES_MAX 200 /* of a library's voice that is replaced while it is read */

static const char *find_speaker(const struct vox_entry *entry, const char *name)
{
    for (uint32_t i = 0; i < entry->speaker_count; i++)
        if (text_equal_nocase(plugin_speaker(entry, i)->id, name))
            return plugin_speaker(entry, i)->id;
    return NULL;
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
        str_printf(&known, "%sa voice of the library or a NAME.wav in %s, a recording's path",
                   known.len ? ", " : "", places->voices_dir);
    size_t len = strlen(voice);
    if (reference_is_url(voice))
        len = reference_url_host(voice, &voice);
    err_set(err, ERR_VOICE_NOT_FOUND, "voice", "no voice \"%.*s\", expected one of: %s",
            len < 200 ? (int)len : 200, voice, str_text(&known));
    str_finish(&known);
    return ERR_VOICE_NOT_FOUND;
}

/* --- Finding ---------------------------------------------------------------------------------- */

static int find_inline(const char *voice, struct voice_ref *ref, struct err *err)
{
    ref->id = mem_copy_string("(in the job)");
    return reference_decode_base64(voice, VOICE_INLINE_BYTES_MAX, &ref->bytes, err);
}

static int find_url(const char *voice, struct voice_ref *ref, struct err *err)
{
    const char *host;
    int result = reference_check_url(voice, err);
    if (result != 0)
        return result;
    size_t len = reference_url_host(voice, &host);
    ref->id = mem_copy_text(host, len);
    ref->url = mem_copy_string(voice);
    return 0;
}

/* ERR_VOICE_NOT_FOUND, without a text, when the library has none. */
static int find_in_library(const char *voice, const char *dir, struct voice_ref *ref,
                           struct err *err)
{
    struct voice_entry entry;
    int result = voice_library_get(dir, voice, &entry, err);
    if (result != 0) {
        snprintf(err->field, sizeof(err->field), "voice");
        return result;
    }
    if (entry.is_plain) {
        ref->path = fs_join(dir, entry.reference.name);
    } else {
        ref->library_dir = mem_copy_string(dir);
        ref->library_id = mem_copy_string(entry.id);
        memcpy(ref->sha256, entry.reference.sha256, sizeof(ref->sha256));
    }
    ref->id = mem_copy_string(entry.id);
    ref->transcript = mem_copy_string(entry.transcript);
    ref->language = mem_copy_string(entry.language);
    voice_entry_finish(&entry);
    return 0;
}

static bool find_path(const char *voice, const char *base_dir, struct voice_ref *ref)
{
    if (!base_dir)
        return false;
    char *path = fs_absolute(base_dir, voice);
    if (access(path, R_OK) != 0) {
        free(path);
        return false;
    }
    ref->path = path;
    ref->id = mem_copy_string(voice);
    ref->transcript = reference_transcript(path);
    return true;
}

static int find_recording(const char *voice, const struct vox_entry *entry,
                          const struct voice_places *places, struct voice_ref *ref, struct err *err)
{
    if (reference_is_url(voice))
        return find_url(voice, ref, err);
    if (reference_is_inline(voice))
        return find_inline(voice, ref, err);
    int result = find_in_library(voice, places->voices_dir, ref, err);
    if (result == ERR_VOICE_NOT_FOUND)
        result = find_path(voice, places->base_dir, ref) ? 0 : not_found(voice, entry, places, err);
    return result;
}

static int find_profile(const char *profile, struct voice_ref *ref, struct err *err)
{
    int result = reference_decode_base64(profile, (size_t)VOX_PROFILE_SIZE_MAX, &ref->profile, err);
    if (result != 0)
        err_set(err, ERR_INVALID, "voice_profile", "expected base64 of at most %llu bytes",
                (unsigned long long)VOX_PROFILE_SIZE_MAX);
    return result;
}

/* What the job says in place of the library. */
static void lay_over(const struct voice_request *request, struct voice_ref *ref)
{
    if (request->transcript) {
        free(ref->transcript);
        ref->transcript = mem_copy_string(request->transcript);
    }
    if (request->language) {
        free(ref->language);
        ref->language = mem_copy_string(request->language);
    }
    ref->has_own_transcript = request->transcript || request->language;
    if (request->id) {
        free(ref->id);
        ref->id = mem_copy_string(request->id);
    }
}

/* A recording, a profile, or both. */
static int find_voice(const struct voice_request *request, const struct vox_entry *entry,
                      const struct voice_places *places, struct voice_ref *ref, struct err *err)
{
    const char *voice = request->voice;
    bool has_profile = request->profile || request->profile_url;
    int result = 0;
    if (!(entry->capabilities & VOX_CAP_CLONING))
        return not_found(voice ? voice : "(in the job)", entry, places, err);
    if (request->profile)
        result = find_profile(request->profile, ref, err);
    if (result != 0)
        return result;
    ref->profile_url = mem_copy_string(request->profile_url);
    if (voice)
        result = find_recording(voice, entry, places, ref, err);
    if (has_profile && (!voice || result == ERR_VOICE_NOT_FOUND)) {
        ref->id = mem_copy_string(voice ? voice : "(in the job)"); /* the profile is all there is */
        result = 0;
    }
    if (result != 0)
        return result;
    lay_over(request, ref);
    if (!ref->transcript && !has_profile && (entry->capabilities & VOX_CAP_NEEDS_TRANSCRIPT))
        return err_set(err, ERR_INVALID, "voice_text",
                       "plugin \"%s\" needs what is said in the recording: give voice_text "
                       "or a .txt beside it",
                       entry->id);
    return 0;
}

int voice_find(const struct voice_request *request, const struct vox_entry *entry,
               const struct voice_places *places, struct voice_ref *ref, struct err *err)
{
    bool has_profile = request->profile || request->profile_url;
    *ref = (struct voice_ref){0};
    if (!request->voice && !has_profile) {
        if (entry->capabilities & VOX_CAP_NEEDS_VOICE)
            return err_set(err, ERR_INVALID, "voice",
                           "plugin \"%s\" has no voice of its own: name a recording", entry->id);
        return 0;
    }
    const char *speaker =
        request->voice && !has_profile ? find_speaker(entry, request->voice) : NULL;
    if (speaker) {
        ref->is_speaker = true;
        ref->id = mem_copy_string(speaker);
        return 0;
    }
    int result = find_voice(request, entry, places, ref, err);
    if (result != 0)
        voice_ref_finish(ref);
    return result;
}

void voice_ref_finish(struct voice_ref *ref)
{
    free(ref->id);
    free(ref->library_dir);
    free(ref->library_id);
    free(ref->path);
    free(ref->url);
    free(ref->profile_url);
    free(ref->transcript);
    free(ref->language);
    str_finish(&ref->bytes);
    str_finish(&ref->profile);
    *ref = (struct voice_ref){0};
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* A file that was changed is another one. NULL: it cannot be looked at. The caller's. */
static char *key_of_file(const char *path, struct err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        err_set(err, ERR_INVALID, NULL, "%s: cannot be read: it is not there any more", path);
        return NULL;
    }
    return str_format("file %llu %llu %lld %lld.%09ld", (unsigned long long)info.st_dev,
                      (unsigned long long)info.st_ino, (long long)info.st_size,
                      (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

static char *key_of(const struct voice_ref *ref, const struct voice_entry *entry, struct err *err)
{
    char hex[DIGEST_HEX_SIZE];
    if (entry->id)
        return str_format("recording %s", entry->reference.sha256);
    if (ref->path)
        return key_of_file(ref->path, err);
    if (ref->url)
        return str_format("url %s", ref->url);
    digest_of(ref->bytes.data, ref->bytes.len, hex);
    return str_format("recording %s", hex);
}

/* The recording's bytes, from wherever they are. LIBRARY_GONE: the voice was replaced. */
static int read_bytes(const struct voice_ref *ref, const struct voice_entry *entry,
                      const struct voice_fetch *fetch, struct str *bytes, struct err *err)
{
    if (entry->id)
        return library_read_file(ref->library_dir, entry->id,
                                 entry->decoded.name ? &entry->decoded : &entry->reference, bytes,
                                 err);
    if (ref->path)
        return reference_read(ref->path, bytes, err);
    if (ref->url)
        return reference_download(ref->url, fetch, bytes, err);
    str_append(bytes, ref->bytes.data, ref->bytes.len);
    return 0;
}

static int fill(const struct voice_ref *ref, const struct voice_entry *entry,
                const struct voice_fetch *fetch, struct voice_item *item, struct err *err)
{
    struct str bytes = {0};
    int result = read_bytes(ref, entry, fetch, &bytes, err);
    if (result == 0) {
        if (entry->id)
            memcpy(item->sha256, entry->reference.sha256, sizeof(item->sha256));
        else
            digest_of(str_text(&bytes), bytes.len, item->sha256);
        result = reference_decode(&bytes, fetch->stop, &item->clip, NULL, err);
        if (result != 0 && !ref->bytes.len)
            err_prefix(err, "%s", ref->path ? ref->path : ref->id);
    }
    str_finish(&bytes);
    return result;
}

static int get_recording(const struct voice_ref *ref, const struct voice_fetch *fetch,
                         struct voice_use *use, struct err *err)
{
    bool must_make;
    char *key = key_of(ref, &use->entry, err);
    struct voice_item *item = key ? cache_get(use->cache, key, fetch->stop, &must_make, err) : NULL;
    free(key);
    if (!item)
        return err->code;
    int result = must_make ? fill(ref, &use->entry, fetch, item, err) : 0;
    if (result != 0)
        cache_failed(use->cache, item);
    else if (must_make)
        cache_done(use->cache, item,
                   ref->url ? clock_now() + VOICE_URL_FRESH_S * CLOCK_S : CLOCK_NEVER);
    if (result == 0)
        use->recording = item;
    return result;
}

/* As the voice is now: it may have been replaced since it was found, and may be replaced while we
 * read. */
static int get_from_library(const struct voice_ref *ref, const struct voice_fetch *fetch,
                            struct voice_use *use, struct err *err)
{
    int result = LIBRARY_GONE;
    for (int i = 0; i < OPEN_TRIES_MAX && result == LIBRARY_GONE; i++) {
        library_pause(i);
        voice_entry_finish(&use->entry);
        result = library_read_entry(ref->library_dir, ref->library_id, &use->entry, err);
        if (result == 0)
            result = get_recording(ref, fetch, use, err);
    }
    if (result == 0)
        *err = (struct err){0}; /* of a try before */
    return result == LIBRARY_GONE ? (int)err->code : result;
}

/* The file of the job's own profile, fetched once for many jobs. */
static int get_profile(const struct voice_ref *ref, const struct voice_fetch *fetch,
                       struct voice_use *use, struct err *err)
{
    struct voice_fetch bounded = *fetch;
    bool must_make;
    int result = 0;
    bounded.bytes_max = (size_t)VOX_PROFILE_SIZE_MAX + PROFILE_HEADER_MAX;
    char *key = str_format("file %s", ref->profile_url);
    struct voice_item *item = cache_get(use->cache, key, fetch->stop, &must_make, err);
    free(key);
    if (!item)
        return err->code;
    if (must_make)
        result = reference_download(ref->profile_url, &bounded, &item->blob, err);
    if (result != 0)
        cache_failed(use->cache, item);
    else if (must_make)
        cache_done(use->cache, item, clock_now() + VOICE_URL_FRESH_S * CLOCK_S);
    if (result == 0)
        use->given = item;
    return result;
}

static struct vox_str borrow(const char *text)
{
    return (struct vox_str){text, text ? strlen(text) : 0};
}

static void fill_voice(const struct voice_ref *ref, const struct voice_use *use,
                       struct vox_voice *out)
{
    bool is_librarys = use->entry.id && !ref->has_own_transcript;
    *out = (struct vox_voice){
        .size = sizeof(*out),
        .id = borrow(ref->id),
        .transcript = borrow(is_librarys ? use->entry.transcript : ref->transcript),
        .language = borrow(is_librarys ? use->entry.language : ref->language),
    };
    if (use->recording) {
        const struct audio_clip *clip = &use->recording->clip;
        out->sample_rate = clip->sample_rate;
        out->channels = clip->channels;
        out->pcm = clip->pcm;
        out->frames = clip->frames;
    }
}

int voice_open(struct voice_cache *cache, const struct voice_ref *ref,
               const struct voice_fetch *fetch, struct voice_use *use, struct vox_voice *out,
               struct err *err)
{
    int result = 0;
    *use = (struct voice_use){.cache = cache};
    if (ref->library_dir)
        result = get_from_library(ref, fetch, use, err);
    else if (ref->path || ref->url || ref->bytes.len)
        result = get_recording(ref, fetch, use, err);
    const char *field = "voice";
    if (result == 0 && ref->profile_url) {
        field = "voice_profile";
        result = get_profile(ref, fetch, use, err);
    }
    if (result != 0) {
        snprintf(err->field, sizeof(err->field), "%s", field);
        voice_close(use);
        return result;
    }
    fill_voice(ref, use, out);
    return 0;
}

void voice_close(struct voice_use *use)
{
    if (use->recording)
        cache_unpin(use->cache, use->recording);
    if (use->profile)
        cache_unpin(use->cache, use->profile);
    if (use->given)
        cache_unpin(use->cache, use->given);
    voice_entry_finish(&use->entry);
    text_list_finish(&use->warnings);
    use->recording = use->profile = use->given = NULL;
}
