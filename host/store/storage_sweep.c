/* Results in a directory that are kept no longer. Only names that the key template can have made
 * are ever touched: whoever puts other files there, or whole other folders, finds them again. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>

#define DAY_S 86400.0
#define NAME_SIZE_MAX 255
#define VALUE_SIZE_MAX 109 /* of a field: 100 bytes, "-" and a digest */
#define HEX "0123456789abcdef"

/* What {ext} is in the key of audio or of an exported voice. */
static bool is_ending(const char *text, size_t len)
{
    static const char *const endings[] = {"wav", "flac", "mp3", "opus", "ogg", "pcm", "tar", "bin"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strlen(endings[i]) == len && strncmp(endings[i], text, len) == 0)
            return true;
    return false;
}

static bool is_date(const char *text)
{
    for (size_t i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? text[i] != '-' : text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

/* Can a field be these bytes, 1 to VALUE_SIZE_MAX that are all safe? */
static bool is_value(enum manifest_key_field field, const char *text, size_t len)
{
    switch (field) {
    case KEY_FIELD_RANDOM:
        return len == 32 && strspn(text, HEX) >= len;
    case KEY_FIELD_DATE:
        return len == 10 && is_date(text);
    case KEY_FIELD_EXT:
        return is_ending(text, len);
    default:
        return text[0] != '.';
    }
}

/* One step of a template: a field, or a character that stands for itself. */
struct token {
    bool is_field;
    enum manifest_key_field field;
    char literal;
    size_t len; /* in the template */
};

static struct token token_at(const char *at)
{
    struct token token = {.literal = *at, .len = 1};
    size_t len = *at == '{' ? strcspn(at + 1, "}") : 0;
    for (size_t i = 0; i < KEY_FIELD_COUNT && len; i++)
        if (strlen(manifest_key_fields[i]) == len &&
            strncmp(manifest_key_fields[i], at + 1, len) == 0)
            token = (struct token){true, (enum manifest_key_field)i, 0, len + 2};
    return token;
}

static bool has_dot(const char *pattern, const char *end)
{
    while (pattern < end && *pattern != '.')
        pattern += token_at(pattern).len;
    return pattern < end;
}

/* Goes through one name of a template, with all lengths of `text` that what was read of it can
 * have made. `open`: the text may be the begin only of what the template makes, if that goes on
 * without a dot. */
static bool name_matches(const char *pattern, const char *end, const char *text, size_t len,
                         bool open)
{
    bool made[NAME_SIZE_MAX + 1] = {true}, next[NAME_SIZE_MAX + 1];
    if (len > NAME_SIZE_MAX)
        return false;
    while (pattern < end) {
        if (open && made[len] && !has_dot(pattern, end))
            return true;
        const struct token token = token_at(pattern);
        memset(next, 0, sizeof(next));
        for (size_t from = 0; from <= len; from++) {
            if (!made[from])
                continue;
            if (!token.is_field) {
                if (from < len && text[from] == token.literal)
                    next[from + 1] = true;
                continue;
            }
            for (size_t to = from; to < len && to - from < VALUE_SIZE_MAX &&
                                   storage_key_is_safe((unsigned char)text[to]);
                 to++)
                next[to + 1] = is_value(token.field, text + from, to + 1 - from) || next[to + 1];
        }
        memcpy(made, next, sizeof(made));
        pattern += token.len;
    }
    return made[len];
}

/* The last name of a key: that of the audio, or of a timing file beside it, which has the name of
 * the audio with another ending. */
static bool file_matches(const char *pattern, const char *end, const char *text, size_t len)
{
    static const char *const timings[] = {".srt", ".vtt", ".csv", ".json", ".ass", ".words.json"};
    bool matches = name_matches(pattern, end, text, len, false);
    for (size_t i = 0; i < sizeof(timings) / sizeof(timings[0]) && !matches; i++) {
        size_t ending = strlen(timings[i]), stem = len > ending ? len - ending : 0;
        if (stem == 0 || strncmp(text + stem, timings[i], ending) != 0)
            continue;
        matches = name_matches(pattern, end, text, stem + 1, true) ||
                  (!memchr(text, '.', stem) && name_matches(pattern, end, text, stem, false));
    }
    return matches;
}

/* `is_dir`: could keys that the template makes lie below it? */
static bool path_matches(const char *pattern, const char *path, bool is_dir)
{
    for (;;) {
        size_t part = strcspn(pattern, "/"), len = strcspn(path, "/");
        bool is_last = pattern[part] == '\0';
        if (path[0] == '.' || (path[len] == '\0' && !is_dir) != is_last)
            return false;
        if (is_last)
            return file_matches(pattern, pattern + part, path, len);
        if (!name_matches(pattern, pattern + part, path, len, false))
            return false;
        if (path[len] == '\0')
            return true;
        pattern += part + 1;
        path += len + 1;
    }
}

bool storage_key_matches(const char *template, const char *key)
{
    return path_matches(template, key, false);
}

/* --- Sweeping --------------------------------------------------------------------------------- */

static bool may_go(const char *path, bool is_dir, void *arg)
{
    const struct manifest_storage *manifest = arg;
    const char *voices = manifest->voices_prefix ? manifest->voices_prefix : "";
    size_t len = strlen(path);
    bool is_voice =
        *voices && (strncmp(path, voices, strlen(voices)) == 0 ||
                    (is_dir && len + 1 == strlen(voices) && strncmp(path, voices, len) == 0));
    return !is_voice && path_matches(manifest->key_template, path, is_dir);
}

/* Storing refuses a link that leads out, so nothing of ours is behind it. */
static int check_link(const char *dir, const char *root, struct err *err)
{
    char *real_dir = realpath(dir, NULL), *real = realpath(root, NULL);
    bool leads_out = real_dir && real && !fs_is_below(real, real_dir);
    free(real_dir);
    free(real);
    return leads_out ? err_set(err, ERR_STORAGE, NULL,
                               "%s: is not swept, since it leads out of %s through a symbolic link",
                               root, dir)
                     : 0;
}

bool storage_keeps_all(const struct manifest_storage *manifest)
{
    return manifest->type != STORAGE_FILE || (manifest->keep_days <= 0 && manifest->keep_mb <= 0);
}

int storage_sweep(const struct storage_sweep *options, struct tree_swept *swept, struct err *err)
{
    struct manifest_storage manifest = *options->manifest;
    const struct tree_sweep sweep = {
        .keep_s = manifest.keep_days * DAY_S,
        .keep_bytes = (uint64_t)manifest.keep_mb << 20,
        .now_unix_s = options->now_unix_s,
        .may_go = may_go,
        .arg = &manifest,
        .protected_dirs = options->protected_dirs,
        .protected_count = options->protected_count,
        .stop = options->stop,
    };
    *swept = (struct tree_swept){0};
    if (storage_keeps_all(&manifest))
        return 0;
    char *root = fs_absolute(manifest.dir, manifest.prefix ? manifest.prefix : "");
    int result = check_link(manifest.dir, root, err);
    if (result == 0)
        result = tree_sweep(root, &sweep, swept, err);
    free(root);
    return result;
}
