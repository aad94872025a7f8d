/* Names of objects: keys from a template and what a job says, content types from endings. Text from
 * text, but for the secret behind {random}. */
#include "store/store_private.h"

#include <limits.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define VALUE_BYTES_MAX 100
#define DIGEST_DIGITS 8
#define ABSENT "none"

/* What may stand in a name on every file system and in every URL as it is, and what is not
 * ASCII. */
bool storage_key_is_safe(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c >= 0x80 || strchr("-_.~@+=,", c);
}

/* Appends a value that is one name of a path, whatever it was. */
static void append_value(struct str *key, const char *value)
{
    size_t len = strlen(value), bad, start = key->len;
    bool is_utf8 = utf8_valid(value, len, &bad);
    size_t kept = is_utf8                 ? utf8_cut(value, len, VALUE_BYTES_MAX)
                  : len < VALUE_BYTES_MAX ? len
                                          : VALUE_BYTES_MAX;
    bool changed = kept < len;
    for (size_t i = 0; i < kept; i++) {
        unsigned char c = (unsigned char)value[i];
        bool keep =
            c != 0 && storage_key_is_safe(c) && (is_utf8 || c < 0x80) && !(c == '.' && i == 0);
        str_putc(key, keep ? (char)c : '_');
        changed = changed || !keep;
    }
    if (changed) {
        char digest[DIGEST_HEX_SIZE];
        digest_of(value, len, digest);
        str_printf(key, "%s%.*s", key->len > start ? "-" : "", DIGEST_DIGITS, digest);
    }
}

static void append_field(struct str *key, enum manifest_key_field field, const char *value,
                         int64_t now_unix_s)
{
    char date[16] = "";
    struct tm utc = {0};
    time_t now = (time_t)now_unix_s;
    if (field == KEY_FIELD_DATE) {
        gmtime_r(&now, &utc);
        if (strftime(date, sizeof(date), "%Y-%m-%d", &utc) > 0)
            value = date;
    }
    append_value(key, value && *value ? value : ABSENT);
}

int storage_key(const struct storage *storage, const char *template,
                const char *const values[KEY_FIELD_COUNT], int64_t now_unix_s, struct str *key,
                struct err *err)
{
    char random[STORAGE_RANDOM_SIZE] = "";
    const char *filled[KEY_FIELD_COUNT];
    size_t start = key->len;
    if (strstr(template, "{random}") &&
        storage_random(storage, values[KEY_FIELD_JOB_ID], random, err) != 0)
        return err->code;
    memcpy(filled, values, sizeof(filled));
    filled[KEY_FIELD_RANDOM] = random;
    for (const char *c = template; *c; c++) {
        size_t len = *c == '{' ? strcspn(c + 1, "}") : 0;
        if (*c != '{') {
            str_putc(key, *c);
            continue;
        }
        for (size_t i = 0; i < KEY_FIELD_COUNT; i++)
            if (strlen(manifest_key_fields[i]) == len &&
                strncmp(manifest_key_fields[i], c + 1, len) == 0)
                append_field(key, (enum manifest_key_field)i, filled[i], now_unix_s);
        c += len + (c[len + 1] == '}');
    }
    if (fs_path_is_inside(str_text(key) + start))
        return 0;
    size_t len = key->len - start;
    key->len = start;
    if (key->data)
        key->data[start] = '\0';
    return err_set(err, ERR_INVALID, "storage.key_template",
                   "gives a name of %zu bytes for this job, at most %d are possible, %d of them "
                   "between two '/'",
                   len, STORAGE_KEY_SIZE_MAX, NAME_MAX);
}

const char *storage_content_type(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {"wav", "audio/wav"},
        {"flac", "audio/flac"},
        {"mp3", "audio/mpeg"},
        {"opus", "audio/ogg; codecs=opus"},
        {"ogg", "audio/ogg"},
        {"pcm", "audio/pcm"},
        {"m4a", "audio/mp4"},
        {"webm", "audio/webm"},
        {"srt", "application/x-subrip"},
        {"vtt", "text/vtt"},
        {"csv", "text/csv; charset=utf-8"},
        {"json", "application/json"},
        {"ass", "text/x-ssa"},
        {"txt", "text/plain; charset=utf-8"},
    };
    const char *dot = strrchr(name, '.');
    const char *ending = dot && !strchr(dot, '/') ? dot + 1 : name;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(ending, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}

const char *storage_key_of(const struct manifest_storage *manifest, const char *url)
{
    static const char scheme[] = "s3://";
    const char *ours = manifest->bucket ? manifest->bucket : "storage";
    const char *bucket = url + strlen(scheme), *key = strchr(bucket, '/');
    size_t len = key ? (size_t)(key - bucket) : 0;
    if (!key || len != strlen(ours) || strncmp(bucket, ours, len) != 0)
        return NULL;
    key++;
    size_t prefix_len = manifest->prefix ? strlen(manifest->prefix) : 0;
    if (prefix_len && manifest->prefix[prefix_len - 1] == '/')
        prefix_len--;
    if (prefix_len && strncmp(key, manifest->prefix, prefix_len) == 0 && key[prefix_len] == '/')
        key += prefix_len + 1;
    return key;
}
