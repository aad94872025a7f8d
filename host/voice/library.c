/* What can be done with a library of voices: take in, find, list, remove, export, import. How its
 * files are written and read is in library_files.c.
 */
#include "voice/voice_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Plain recordings ------------------------------------------------------------------------- */

/* NAME.wav and the like; the caller's, NULL when there is none. */
static char *plain_path(const char *dir, const char *name)
{
    if (name[0] == '.' || !fs_path_is_inside(name) || strchr(name, '/') ||
        !utf8_valid(name, strlen(name), NULL))
        return NULL;
    for (size_t i = 0; reference_extensions[i]; i++) {
        struct stat info;
        char *path = str_format("%s/%s.%s", dir, name, reference_extensions[i]);
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
            return path;
        free(path);
    }
    return NULL;
}

static int get_plain(const char *dir, const char *name, struct voice_entry *entry, struct err *err)
{
    struct stat info = {0};
    *entry = (struct voice_entry){0};
    char *path = plain_path(dir, name);
    if (!path)
        return err_set(err, ERR_VOICE_NOT_FOUND, "id", "no voice \"%.*s\" in %s",
                       (int)utf8_cut(name, strnlen(name, 200), 200), name, dir);
    stat(path, &info);
    entry->is_plain = true;
    entry->id = mem_copy_string(name);
    entry->name = mem_copy_string(name);
    entry->transcript = reference_transcript(path);
    entry->reference.name = mem_copy_string(fs_name_of(path));
    entry->reference.bytes = (uint64_t)info.st_size;
    snprintf(entry->format, sizeof(entry->format), "%s", strrchr(path, '.') + 1);
    free(path);
    return 0;
}

/* --- Getting ---------------------------------------------------------------------------------- */

int voice_library_get(const char *dir, const char *id, struct voice_entry *entry, struct err *err)
{
    if (voice_id_valid(id) && library_has(dir, id))
        return library_read_entry(dir, id, entry, err);
    char *derived = voice_id_from_name(id);
    int result = ERR_VOICE_NOT_FOUND;
    if (strcmp(derived, id) != 0 && library_has(dir, derived)) {
        result = library_read_entry(dir, derived, entry, err);
        if (result == 0 && strcmp(entry->name, id) != 0) {
            voice_entry_finish(entry);
            result = ERR_VOICE_NOT_FOUND;
        }
    }
    free(derived);
    return result == ERR_VOICE_NOT_FOUND ? get_plain(dir, id, entry, err) : result;
}

char *voice_library_recording(const char *dir, const struct voice_entry *entry)
{
    return entry->is_plain ? fs_join(dir, entry->reference.name)
                           : str_format("%s/%s/%s", dir, entry->id, entry->reference.name);
}

void voice_library_profiles(const char *dir, const struct voice_entry *entry,
                            struct text_list *profiles)
{
    char *path = str_format("%s/%s/profiles", dir, entry->id);
    DIR *folder = entry->is_plain ? NULL : opendir(path);
    struct dirent *item;
    while (folder && profiles->count < VOICE_PROFILES_MAX && (item = readdir(folder))) {
        struct str bytes = {0};
        if (profile_name_valid(item->d_name))
            library_read_profile(dir, entry->id, item->d_name, &bytes);
        char *about = bytes.len ? profile_about(&bytes) : NULL;
        if (about)
            text_list_add(profiles, about);
        str_finish(&bytes);
    }
    if (folder)
        closedir(folder);
    free(path);
}

/* --- Listing ---------------------------------------------------------------------------------- */

/* The id that a name in the folder stands for, the caller's; NULL: none. */
static char *id_of_item(const char *dir, const char *item)
{
    if (voice_id_valid(item) && library_has(dir, item))
        return mem_copy_string(item);
    const char *dot = strrchr(item, '.');
    for (size_t i = 0; dot && reference_extensions[i]; i++) {
        if (strcmp(dot + 1, reference_extensions[i]) != 0)
            continue;
        char *name = mem_copy_text(item, (size_t)(dot - item)), *path = plain_path(dir, name);
        if (path) {
            free(path);
            return name;
        }
        free(name);
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once. */
static int collect_ids(const char *dir, struct text_list *ids, struct err *err)
{
    DIR *folder = opendir(dir);
    struct dirent *item;
    int result = 0;
    if (!folder && errno != ENOENT)
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be listed: %s", dir, strerror(errno));
    while (folder && result == 0 && (item = readdir(folder))) {
        char *id = item->d_name[0] == '.' ? NULL : id_of_item(dir, item->d_name);
        if (id && ids->count == VOICE_LIBRARY_MAX)
            result = err_set(err, ERR_TOO_LARGE, NULL, "%s: has more than %d voices", dir,
                             VOICE_LIBRARY_MAX);
        if (id && result == 0)
            text_list_add(ids, id);
        else
            free(id);
    }
    if (folder)
        closedir(folder);
    if (ids->count)
        qsort(ids->items, ids->count, sizeof(*ids->items), compare_ids);
    size_t kept = 0;
    for (size_t i = 0; i < ids->count; i++) {
        if (kept && strcmp(ids->items[kept - 1], ids->items[i]) == 0)
            free(ids->items[i]);
        else
            ids->items[kept++] = ids->items[i];
    }
    ids->count = kept;
    return result;
}

int voice_library_list(const char *dir, const char *after, size_t limit, struct voice_list *list,
                       struct err *err)
{
    struct text_list ids = {0};
    *list = (struct voice_list){0};
    int result = collect_ids(dir, &ids, err);
    size_t first = 0;
    while (after && first < ids.count && strcmp(ids.items[first], after) <= 0)
        first++;
    size_t count = ids.count - first;
    if (limit && count > limit) {
        count = limit;
        list->next = mem_copy_string(ids.items[first + count - 1]);
    }
    list->total = ids.count;
    list->items = mem_alloc_array(count ? count : 1, sizeof(*list->items));
    for (size_t i = first; i < first + count && result == 0; i++) {
        struct err why = {0};
        int got = voice_library_get(dir, ids.items[i], &list->items[list->count], &why);
        if (got == 0)
            list->count++;
        else if (got != ERR_VOICE_NOT_FOUND) /* else it was removed meanwhile */
            text_list_add(&list->unreadable, mem_copy_string(why.message));
    }
    text_list_finish(&ids);
    if (result != 0)
        voice_list_finish(list);
    return result;
}

void voice_list_finish(struct voice_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        voice_entry_finish(&list->items[i]);
    free(list->items);
    free(list->next);
    text_list_finish(&list->unreadable);
    *list = (struct voice_list){0};
}

/* --- Taking in -------------------------------------------------------------------------------- */

/* *transcript, when it is NULL: of the file beside a file. */
static int read_source(const struct voice_import *import, struct str *bytes, char **transcript,
                       struct err *err)
{
    const char *audio = import->audio;
    int result;
    if (!audio && import->len > VOICE_REFERENCE_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, NULL, "audio: is larger than %u bytes",
                       VOICE_REFERENCE_BYTES_MAX);
    if (!audio) {
        str_append(bytes, import->data, import->len);
        return 0;
    }
    if (reference_is_url(audio)) {
        result = reference_check_url(audio, err);
        return result == 0 ? reference_download(audio, &import->fetch, bytes, err) : result;
    }
    if (reference_is_inline(audio))
        return reference_decode_base64(
            audio, import->inline_max ? import->inline_max : VOICE_REFERENCE_BYTES_MAX, bytes, err);
    if (!import->base_dir)
        return err_set(err, ERR_INVALID, NULL,
                       "expected a URL or base64: no file can be named here");
    char *path = fs_absolute(import->base_dir, audio);
    result = reference_read(path, bytes, err);
    if (!*transcript)
        *transcript = reference_transcript(path);
    free(path);
    return result;
}

/* Fills what the recording says: length, rate, decoded form. One that comes with the recording is
 * taken only where we could not make it: else the recording speaks for itself. */
static int listen_to(struct voice_parcel *parcel, const atomic_int *stop, struct err *err)
{
    struct audio_clip clip = {0};
    bool by_ffmpeg;
    if (!reference_needs_ffmpeg(&parcel->reference))
        str_finish(&parcel->decoded);
    bool is_decoded = parcel->decoded.len > 0;
    if (is_decoded && reference_needs_ffmpeg(&parcel->decoded))
        return err_set(err, ERR_INVALID, NULL, "audio: its decoded form is not decoded");
    int result = reference_decode(is_decoded ? &parcel->decoded : &parcel->reference, stop, &clip,
                                  &by_ffmpeg, err);
    if (result == 0) {
        parcel->entry.sample_rate = clip.sample_rate;
        parcel->entry.channels = clip.channels;
        parcel->entry.duration_s = (double)clip.frames / clip.sample_rate;
        if (parcel->entry.duration_s < VOICE_SECONDS_MIN)
            result = err_set(err, ERR_INVALID, NULL,
                             "audio: is %.2f s long, too short for a voice: expected %g to %g s",
                             parcel->entry.duration_s, VOICE_SECONDS_MIN, VOICE_SECONDS_MAX);
    }
    if (result == 0 && by_ffmpeg)
        result = reference_encode_flac(&clip, &parcel->decoded, err);
    audio_clip_finish(&clip);
    return result;
}

static int check_is_new(const char *dir, const char *id, bool replace, struct err *err)
{
    if (replace || !library_has(dir, id))
        return 0;
    return err_set(err, ERR_INVALID, "id",
                   "there is a voice \"%s\" already; replace it (\"replace\": true, --replace) or "
                   "choose another id",
                   id);
}

static void give_entry(struct voice_parcel *parcel, struct voice_entry *entry)
{
    if (!entry)
        return;
    *entry = parcel->entry;
    parcel->entry = (struct voice_entry){0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Is the voice that is there the one that was to be made? Then that is what was made. */
static bool is_same(const char *dir, struct voice_entry *made)
{
    struct voice_entry old;
    struct err none;
    if (library_read_entry(dir, made->id, &old, &none) != 0)
        return false;
    bool same = strcmp(old.reference.sha256, made->reference.sha256) == 0 &&
                same_text(old.name, made->name) && same_text(old.transcript, made->transcript) &&
                same_text(old.language, made->language) && same_text(old.consent, made->consent) &&
                (old.metadata && made->metadata ? cJSON_Compare(old.metadata, made->metadata, true)
                                                : old.metadata == made->metadata);
    struct voice_entry rest = same ? *made : old;
    if (same)
        *made = old;
    voice_entry_finish(&rest);
    return same;
}

/* The field says it; other callers of the same checks have no such field. */
static void say_audio(struct err *err)
{
    static const char field[] = "audio: ";
    size_t len = strlen(field);
    if (strncmp(err->message, field, len) == 0)
        memmove(err->message, err->message + len, strlen(err->message + len) + 1);
    snprintf(err->field, sizeof(err->field), "audio");
}

int voice_library_put(const char *dir, const struct voice_import *import, struct voice_entry *entry,
                      struct err *err)
{
    struct voice_parcel parcel = {0};
    struct voice_entry *made = &parcel.entry;
    if (!import->id && !import->name)
        return err_set(err, ERR_INVALID, "name", "expected an id or a name");
    made->name = mem_copy_string(import->name ? import->name : import->id);
    made->id = import->id ? mem_copy_string(import->id) : voice_id_from_name(import->name);
    made->transcript = mem_copy_string(import->transcript);
    made->language = mem_copy_string(import->language);
    made->consent = mem_copy_string(import->consent);
    made->metadata = import->metadata ? cJSON_Duplicate(import->metadata, true) : NULL;
    int result = entry_check(made, err);
    if (result == 0)
        result = check_is_new(dir, made->id, import->replace || import->same_is_fine, err);
    if (result == 0) {
        result = read_source(import, &parcel.reference, &made->transcript, err);
        if (result == 0)
            result = listen_to(&parcel, import->fetch.stop, err);
        if (result != 0)
            say_audio(err);
    }
    if (result == 0) {
        parcel_name_files(&parcel);
        result = library_write(dir, &parcel, import->replace, !import->id, import->fetch.stop, err);
        if (result == ERR_INVALID && import->same_is_fine && is_same(dir, made)) {
            *err = (struct err){0};
            result = 0;
        }
    }
    if (result == 0)
        give_entry(&parcel, entry);
    parcel_finish(&parcel);
    return result;
}

int voice_library_remove_unless(const char *dir, const char *id, const atomic_int *stop,
                                struct err *err)
{
    struct voice_entry entry;
    if (voice_id_valid(id) && library_has(dir, id))
        return library_remove(dir, id, stop, err); /* also where its voice.json is damaged */
    int result = voice_library_get(dir, id, &entry, err);
    if (result != 0)
        return result;
    result = entry.is_plain ? err_set(err, ERR_UNSUPPORTED, "id",
                                      "\"%s\" is a plain recording: remove %s/%s yourself",
                                      entry.id, dir, entry.reference.name)
                            : library_remove(dir, entry.id, stop, err);
    voice_entry_finish(&entry);
    return result;
}

int voice_library_remove(const char *dir, const char *id, struct err *err)
{
    return voice_library_remove_unless(dir, id, NULL, err);
}

/* --- One file for a voice --------------------------------------------------------------------- */

static int read_plain(const char *dir, struct voice_parcel *parcel, struct err *err)
{
    char *path = fs_join(dir, parcel->entry.reference.name);
    char *id = voice_id_from_name(parcel->entry.id);
    int result = reference_read(path, &parcel->reference, err);
    if (result == 0)
        result = listen_to(parcel, NULL, err);
    if (result != 0)
        err_prefix(err, "%s", path);
    free(parcel->entry.id);
    parcel->entry.id = id;
    parcel->entry.is_plain = false;
    clock_text(parcel->entry.created);
    clock_text(parcel->entry.updated);
    parcel_name_files(parcel);
    free(path);
    return result;
}

int voice_library_export(const char *dir, const char *id, struct str *bytes, struct err *err)
{
    struct voice_parcel parcel = {0};
    int result = voice_library_get(dir, id, &parcel.entry, err);
    if (result == 0 && parcel.entry.is_plain) {
        result = read_plain(dir, &parcel, err);
    } else if (result == 0) {
        char *found = mem_copy_string(parcel.entry.id);
        parcel_finish(&parcel);
        result = library_read(dir, found, &parcel, err);
        free(found);
    }
    if (result == 0)
        portable_write(&parcel, bytes);
    parcel_finish(&parcel);
    return result;
}

int voice_library_import(const char *dir, const void *data, size_t len, const char *as,
                         bool replace, struct voice_entry *entry, struct err *err)
{
    struct voice_parcel parcel;
    int result = portable_read(data, len, &parcel, err);
    if (result != 0)
        return result;
    if (as) {
        free(parcel.entry.id);
        parcel.entry.id = mem_copy_string(as);
    }
    result = entry_check(&parcel.entry, err);
    if (result == 0)
        result = check_is_new(dir, parcel.entry.id, replace, err);
    if (result == 0)
        result = listen_to(&parcel, NULL, err);
    if (result == 0) {
        parcel_name_files(&parcel);
        result = library_write(dir, &parcel, replace, false, NULL, err);
    }
    if (result == 0)
        give_entry(&parcel, entry);
    parcel_finish(&parcel);
    return result;
}
