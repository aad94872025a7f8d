/* What a library knows of a voice: voice.json read and written, and the rules for ids, names and
 * texts. Knows no files beside that text.
 */
#include "voice/voice_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METADATA_DEPTH_MAX 8
#define METADATA_NODES_MAX 1000
#define ID_DIGEST_LEN 12 /* of the name's digest, where nothing else of it is left */

/* --- Ids and names ---------------------------------------------------------------------------- */

static bool stands_in_id(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

bool voice_id_valid(const char *id)
{
    size_t len = strnlen(id, VOICE_ID_LEN_MAX + 1);
    if (len == 0 || len > VOICE_ID_LEN_MAX || strchr("._-", id[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!stands_in_id(id[i]))
            return false;
    return true;
}

char *voice_id_from_name(const char *name)
{
    if (voice_id_valid(name))
        return mem_copy_string(name);
    struct str id = {0};
    str_puts(&id, "voice_");
    size_t empty = id.len;
    for (const char *p = name; *p && id.len < VOICE_ID_LEN_MAX; p++) {
        if (*p == ' ')
            str_putc(&id, '_');
        else if (stands_in_id(*p) && *p != '.')
            str_putc(&id, (char)tolower((unsigned char)*p));
    }
    if (strspn(str_text(&id) + empty, "_-") == id.len - empty) {
        char hex[DIGEST_HEX_SIZE];
        digest_of(name, strlen(name), hex);
        id.len = empty;
        str_append(&id, hex, ID_DIGEST_LEN);
    }
    return str_take(&id);
}

static int check_text(const char *text, const char *field, size_t len_max, bool one_line,
                      struct err *err)
{
    size_t len = text ? strnlen(text, len_max + 1) : 0;
    if (!text)
        return 0;
    if (len == 0 || text_is_blank(text, len))
        return err_set(err, ERR_INVALID, field, "is empty");
    if (len > len_max)
        return err_set(err, ERR_INVALID, field, "is longer than %zu bytes", len_max);
    if (!utf8_valid(text, len, NULL))
        return err_set(err, ERR_INVALID, field, "is not UTF-8");
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)text[i]) && (one_line || !strchr("\t\n\r", text[i])))
            return err_set(err, ERR_INVALID, field, "has a control character at byte %zu", i + 1);
    return 0;
}

static bool is_language(const char *tag)
{
    return strlen(tag) <= VOICE_LANGUAGE_LEN_MAX && isalpha((unsigned char)tag[0]) &&
           !tag[strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")];
}

static int check_metadata(const cJSON *metadata, struct err *err)
{
    struct str text = {0};
    struct err why = {0};
    const struct json_limits limits = {VOICE_METADATA_BYTES_MAX, METADATA_NODES_MAX,
                                       METADATA_DEPTH_MAX};
    if (!metadata)
        return 0;
    if (!cJSON_IsObject(metadata))
        return err_set(err, ERR_INVALID, "metadata", "expected an object, got %s",
                       json_kind(metadata));
    json_write(&text, metadata);
    cJSON *again = json_parse(str_text(&text), text.len, &limits, &why);
    int result = again ? 0 : err_set(err, ERR_INVALID, "metadata", "%s", why.message);
    cJSON_Delete(again);
    str_finish(&text);
    return result;
}

int entry_check(const struct voice_entry *entry, struct err *err)
{
    if (!voice_id_valid(entry->id))
        return err_set(err, ERR_INVALID, "id",
                       "\"%.*s\"%s is no id: expected 1 to %d letters, digits, '.', '_' and '-', "
                       "beginning with a letter or a digit",
                       (int)utf8_cut(entry->id, strnlen(entry->id, 60), 60), entry->id,
                       strlen(entry->id) > 60 ? "..." : "", VOICE_ID_LEN_MAX);
    int result = check_text(entry->name, "name", VOICE_NAME_LEN_MAX, true, err);
    if (result == 0)
        result =
            check_text(entry->transcript, "transcript", VOICE_TRANSCRIPT_BYTES_MAX, false, err);
    if (result == 0)
        result = check_text(entry->consent, "consent", VOICE_CONSENT_LEN_MAX, false, err);
    if (result == 0 && entry->language && !is_language(entry->language))
        result = err_set(err, ERR_INVALID, "language",
                         "expected a BCP 47 tag such as \"en\" or \"pt-BR\", got \"%.40s\"",
                         entry->language);
    return result == 0 ? check_metadata(entry->metadata, err) : result;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool is_digest(const char *text)
{
    return strlen(text) == DIGEST_HEX_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
}

static char *get_copy(const cJSON *json, const char *name)
{
    const cJSON *value = json_get(json, name);
    return cJSON_IsString(value) ? mem_copy_string(value->valuestring) : NULL;
}

/* A file whose name stands in voice.json begins as we name ours, and so stays in the folder. */
static bool parse_file(const cJSON *json, const char *prefix, struct voice_file *file)
{
    const cJSON *name = json_get(json, "file"), *sha256 = json_get(json, "sha256");
    int64_t bytes;
    if (!cJSON_IsString(name) || !voice_id_valid(name->valuestring) ||
        strncmp(name->valuestring, prefix, strlen(prefix)) != 0 || !cJSON_IsString(sha256) ||
        !is_digest(sha256->valuestring) || !json_int64(json_get(json, "bytes"), &bytes) ||
        bytes < 1 || bytes > VOICE_REFERENCE_BYTES_MAX)
        return false;
    file->name = mem_copy_string(name->valuestring);
    file->bytes = (uint64_t)bytes;
    memcpy(file->sha256, sha256->valuestring, DIGEST_HEX_SIZE);
    return true;
}

static bool parse_sound(const cJSON *reference, struct voice_entry *entry)
{
    const cJSON *duration = json_get(reference, "duration_s"),
                *format = json_get(reference, "format");
    int64_t rate, channels;
    if (!cJSON_IsNumber(duration) || !(duration->valuedouble > 0) || !cJSON_IsString(format) ||
        !voice_id_valid(format->valuestring) ||
        strlen(format->valuestring) >= sizeof(entry->format) ||
        !json_int64(json_get(reference, "sample_rate"), &rate) || rate < 1 ||
        rate > AUDIO_RATE_MAX || !json_int64(json_get(reference, "channels"), &channels) ||
        channels < 1 || channels > AUDIO_CHANNELS_MAX)
        return false;
    entry->duration_s = duration->valuedouble;
    entry->sample_rate = (uint32_t)rate;
    entry->channels = (uint32_t)channels;
    snprintf(entry->format, sizeof(entry->format), "%s", format->valuestring);
    return true;
}

static bool parse_time(const cJSON *json, const char *name, char out[CLOCK_TEXT_SIZE])
{
    const cJSON *value = json_get(json, name);
    if (!cJSON_IsString(value) || strlen(value->valuestring) >= CLOCK_TEXT_SIZE)
        return false;
    snprintf(out, CLOCK_TEXT_SIZE, "%s", value->valuestring);
    return true;
}

static int parse_members(const cJSON *json, struct voice_entry *entry, struct err *err)
{
    const cJSON *reference = json_get(json, "reference"), *decoded = json_get(json, "decoded");
    const cJSON *metadata = json_get(json, "metadata");
    entry->id = get_copy(json, "id");
    entry->name = get_copy(json, "name");
    entry->language = get_copy(json, "language");
    entry->transcript = get_copy(json, "transcript");
    entry->consent = get_copy(json, "consent");
    if (metadata && !cJSON_IsNull(metadata))
        entry->metadata = cJSON_Duplicate(metadata, true);
    if (!entry->id || !entry->name)
        return err_set(err, ERR_INVALID, NULL, "has no id or no name");
    if (!cJSON_IsObject(reference) || !parse_file(reference, "reference-", &entry->reference) ||
        !parse_sound(reference, entry))
        return err_set(err, ERR_INVALID, "reference", "is not as voxhost writes it");
    if (decoded && !cJSON_IsNull(decoded) &&
        (!cJSON_IsObject(decoded) || !parse_file(decoded, "decoded-", &entry->decoded)))
        return err_set(err, ERR_INVALID, "decoded", "is not as voxhost writes it");
    if (!parse_time(json, "created", entry->created) ||
        !parse_time(json, "updated", entry->updated))
        return err_set(err, ERR_INVALID, "created", "expected times in created and updated");
    return entry_check(entry, err);
}

int entry_parse(const char *text, size_t len, const char *name, struct voice_entry *entry,
                struct err *err)
{
    struct err why = {0};
    cJSON *json = json_parse(text, len, &JSON_LIMITS_DEFAULT, &why);
    *entry = (struct voice_entry){0};
    int result = json && cJSON_IsObject(json) ? parse_members(json, entry, &why) : ERR_INVALID;
    if (result != 0) {
        err_set(err, ERR_INVALID, NULL, "%s: %s%s%s", name, why.field, why.field[0] ? ": " : "",
                why.message[0] ? why.message : "expected an object");
        voice_entry_finish(entry);
    }
    cJSON_Delete(json);
    return result;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void write_file(struct str *out, const char *name, const struct voice_file *file)
{
    str_printf(out, ",\"%s\":{\"file\":", name);
    json_write_string(out, file->name, strlen(file->name));
    if (file->sha256[0])
        str_printf(out, ",\"sha256\":\"%s\"", file->sha256);
    str_printf(out, ",\"bytes\":%llu", (unsigned long long)file->bytes);
}

void voice_entry_write(const struct voice_entry *entry, struct str *out)
{
    str_puts(out, "{\"id\":");
    json_write_string(out, entry->id, strlen(entry->id));
    json_write_text(out, "name", entry->name);
    json_write_text(out, "language", entry->language);
    json_write_text(out, "transcript", entry->transcript);
    json_write_text(out, "consent", entry->consent);
    if (entry->metadata) {
        str_puts(out, ",\"metadata\":");
        json_write(out, entry->metadata);
    }
    write_file(out, "reference", &entry->reference);
    str_printf(out, ",\"format\":\"%s\"", entry->format);
    if (!entry->is_plain) {
        str_puts(out, ",\"duration_s\":");
        json_write_number(out, entry->duration_s);
        str_printf(out, ",\"sample_rate\":%u,\"channels\":%u", entry->sample_rate, entry->channels);
    }
    str_putc(out, '}');
    if (entry->decoded.name) {
        write_file(out, "decoded", &entry->decoded);
        str_putc(out, '}');
    }
    json_write_text(out, "created", entry->created[0] ? entry->created : NULL);
    json_write_text(out, "updated", entry->updated[0] ? entry->updated : NULL);
    if (entry->is_plain)
        str_puts(out, ",\"plain\":true");
    str_putc(out, '}');
}

/* --- Memory ----------------------------------------------------------------------------------- */

void voice_entry_finish(struct voice_entry *entry)
{
    free(entry->id);
    free(entry->name);
    free(entry->language);
    free(entry->transcript);
    free(entry->consent);
    cJSON_Delete(entry->metadata);
    free(entry->reference.name);
    free(entry->decoded.name);
    *entry = (struct voice_entry){0};
}
