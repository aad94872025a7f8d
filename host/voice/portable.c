/* One file that holds a whole voice: a tar (ustar) whose first member, manifest.json, says what
 * else there is, with size and SHA-256 of each. Any tar program can look into it. Reading trusts
 * nothing: a member that is not announced, is missing, has another size or digest, or a name that
 * is none of ours makes the whole file refused. Touches no disk.
 */
#include "voice/voice_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 512
#define FORMAT "voxhost-voice/1"
#define MANIFEST_FILE "manifest.json"
#define PROFILE_PREFIX "profiles/"
#define MANIFEST_BYTES_MAX (1u << 20)
#define NAME_SIZE 100 /* the header's fields, by POSIX.1-1988 */
#define SIZE_OFFSET 124
#define SIZE_DIGITS 11
#define CHECKSUM_OFFSET 148
#define TYPE_OFFSET 156

/* --- Writing ---------------------------------------------------------------------------------- */

static unsigned checksum_of(const unsigned char *header)
{
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        sum += i >= CHECKSUM_OFFSET && i < CHECKSUM_OFFSET + 8 ? ' ' : header[i];
    return sum;
}

static void write_member(struct str *out, const char *name, const struct str *bytes)
{
    static const char padding[BLOCK_SIZE];
    char header[BLOCK_SIZE + 1] = {0};
    snprintf(header, NAME_SIZE, "%s", name);
    snprintf(header + 100, 8, "0000644");
    snprintf(header + 108, 8, "0000000");
    snprintf(header + 116, 8, "0000000");
    snprintf(header + SIZE_OFFSET, SIZE_DIGITS + 1, "%011llo", (unsigned long long)bytes->len);
    snprintf(header + 136, 12, "00000000000");
    header[TYPE_OFFSET] = '0';
    snprintf(header + 257, 6, "ustar");
    memset(header + 263, '0', 2); /* the version, without a terminator */
    snprintf(header + CHECKSUM_OFFSET, 8, "%06o", checksum_of((unsigned char *)header));
    header[CHECKSUM_OFFSET + 7] = ' ';
    str_append(out, header, BLOCK_SIZE);
    str_append(out, str_text(bytes), bytes->len);
    str_append(out, padding, (BLOCK_SIZE - bytes->len % BLOCK_SIZE) % BLOCK_SIZE);
}

static void announce(struct str *out, const char *prefix, const char *name, const struct str *bytes)
{
    char hex[DIGEST_HEX_SIZE];
    digest_of(str_text(bytes), bytes->len, hex);
    str_printf(out, "%s{\"name\":\"%s%s\",\"bytes\":%zu,\"sha256\":\"%s\"}",
               out->data[out->len - 1] == '[' ? "" : ",", prefix, name, bytes->len, hex);
}

void portable_write(const struct voice_parcel *parcel, struct str *out)
{
    static const char end[2 * BLOCK_SIZE];
    const struct voice_entry *entry = &parcel->entry;
    struct str manifest = {0};
    str_puts(&manifest, "{\"format\":\"" FORMAT "\",\"voice\":");
    voice_entry_write(entry, &manifest);
    str_puts(&manifest, ",\"files\":[");
    announce(&manifest, "", entry->reference.name, &parcel->reference);
    if (entry->decoded.name)
        announce(&manifest, "", entry->decoded.name, &parcel->decoded);
    for (size_t i = 0; i < parcel->profile_count; i++)
        announce(&manifest, PROFILE_PREFIX, parcel->profiles[i].name, &parcel->profiles[i].bytes);
    str_puts(&manifest, "]}\n");
    write_member(out, MANIFEST_FILE, &manifest);
    write_member(out, entry->reference.name, &parcel->reference);
    if (entry->decoded.name)
        write_member(out, entry->decoded.name, &parcel->decoded);
    for (size_t i = 0; i < parcel->profile_count; i++) {
        char *name = str_format(PROFILE_PREFIX "%s", parcel->profiles[i].name);
        write_member(out, name, &parcel->profiles[i].bytes);
        free(name);
    }
    str_append(out, end, sizeof(end));
    str_finish(&manifest);
}

/* --- Reading ---------------------------------------------------------------------------------- */

struct reader {
    const unsigned char *data;
    size_t len, at;
};

struct member {
    char name[NAME_SIZE + 1]; /* "" at the end */
    const char *data;
    size_t len;
};

/* Digits that end in a NUL or a space. */
static bool read_octal(const unsigned char *field, size_t len, uint64_t *value)
{
    size_t i = 0;
    for (*value = 0; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value * 8 + (uint64_t)(field[i] - '0');
    return i > 0 && (i == len || field[i] == '\0' || field[i] == ' ');
}

static int damaged(const struct reader *reader, const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, NULL, "is no whole voice file: %s at byte %zu", what,
                   reader->at);
}

static bool is_zero(const unsigned char *block)
{
    static const unsigned char zero[BLOCK_SIZE];
    return memcmp(block, zero, BLOCK_SIZE) == 0;
}

static int next_member(struct reader *reader, struct member *member, struct err *err)
{
    uint64_t size, sum;
    *member = (struct member){0};
    if (reader->len - reader->at < BLOCK_SIZE)
        return damaged(reader, "it is cut off", err);
    const unsigned char *header = reader->data + reader->at;
    if (is_zero(header))
        return 0;
    if (!read_octal(header + CHECKSUM_OFFSET, 8, &sum) || sum != checksum_of(header))
        return damaged(reader, "there is no tar header", err);
    if (header[TYPE_OFFSET] != '0' && header[TYPE_OFFSET] != '\0')
        return damaged(reader, "there is a member that is no file", err);
    if (header[345]) /* the rest of longer names than ours */
        return damaged(reader, "there is a name that is too long", err);
    if (!read_octal(header + SIZE_OFFSET, SIZE_DIGITS + 1, &size) ||
        size > reader->len - reader->at - BLOCK_SIZE)
        return damaged(reader, "it is cut off", err);
    memcpy(member->name, header, NAME_SIZE);
    member->data = (const char *)header + BLOCK_SIZE;
    member->len = (size_t)size;
    if (!member->name[0])
        return damaged(reader, "there is a member without a name", err);
    size_t padded = (member->len + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    if (padded > reader->len - reader->at - BLOCK_SIZE)
        return damaged(reader, "it is cut off", err);
    reader->at += BLOCK_SIZE + padded;
    return 0;
}

/* A name from outside, for messages: only when it is one of those that we give. */
static const char *shown(const char *name)
{
    bool is_profile = strncmp(name, PROFILE_PREFIX, strlen(PROFILE_PREFIX)) == 0;
    if (!name[0])
        return "its end";
    return voice_id_valid(name + (is_profile ? strlen(PROFILE_PREFIX) : 0))
               ? name
               : "a name that is none of ours";
}

/* Is the member what the manifest announced? */
static int check_member(const struct reader *reader, const cJSON *file, const struct member *member,
                        struct err *err)
{
    const cJSON *name = json_get(file, "name"), *sha256 = json_get(file, "sha256");
    int64_t bytes;
    char hex[DIGEST_HEX_SIZE];
    if (!cJSON_IsString(name) || !cJSON_IsString(sha256) ||
        !json_int64(json_get(file, "bytes"), &bytes))
        return damaged(reader, "manifest.json announces a file without name, bytes or sha256", err);
    if (strcmp(name->valuestring, member->name) != 0)
        return err_set(err, ERR_INVALID, NULL,
                       "is no whole voice file: expected \"%.60s\", found \"%.60s\"",
                       shown(name->valuestring), shown(member->name));
    if (bytes < 0 || (uint64_t)bytes != member->len)
        return err_set(err, ERR_INVALID, NULL, "is damaged: \"%.60s\" has %zu of %lld bytes",
                       shown(member->name), member->len, (long long)bytes);
    digest_of(member->data, member->len, hex);
    if (strcmp(hex, sha256->valuestring) != 0)
        return err_set(err, ERR_INVALID, NULL,
                       "is damaged: the SHA-256 of \"%.60s\" is another one", shown(member->name));
    return 0;
}

/* Puts a checked member where it belongs; a name that is none of ours is refused. */
static int take_member(const struct member *member, struct voice_parcel *parcel, struct err *err)
{
    const struct voice_entry *entry = &parcel->entry;
    const char *profile = member->name + strlen(PROFILE_PREFIX);
    size_t count = parcel->profile_count;
    if (strcmp(member->name, entry->reference.name) == 0 && !parcel->reference.len) {
        str_append(&parcel->reference, member->data, member->len);
        return 0;
    }
    if (entry->decoded.name && strcmp(member->name, entry->decoded.name) == 0 &&
        !parcel->decoded.len) {
        str_append(&parcel->decoded, member->data, member->len);
        return 0;
    }
    if (strncmp(member->name, PROFILE_PREFIX, strlen(PROFILE_PREFIX)) != 0 ||
        !profile_name_valid(profile) || count == VOICE_PROFILES_MAX)
        return err_set(err, ERR_INVALID, NULL,
                       "is no voice file: \"%.60s\" does not belong into one", shown(member->name));
    str_append(&parcel->profiles[count].bytes, member->data, member->len);
    parcel->profiles[count].name = mem_copy_string(profile);
    parcel->profile_count++;
    if (!profile_unpack(&parcel->profiles[count].bytes, NULL, &(struct vox_str){0}))
        return err_set(err, ERR_INVALID, NULL, "is damaged: \"%.60s\" is no profile", member->name);
    return 0;
}

static int read_manifest(const struct reader *reader, const struct member *member, cJSON **manifest,
                         struct voice_entry *entry, struct err *err)
{
    struct err why = {0};
    struct str text = {0};
    if (strcmp(member->name, MANIFEST_FILE) != 0 || member->len > MANIFEST_BYTES_MAX)
        return damaged(reader, "it does not begin with manifest.json", err);
    *manifest = json_parse(member->data, member->len, &JSON_LIMITS_DEFAULT, &why);
    const cJSON *format = json_get(*manifest, "format");
    if (!cJSON_IsObject(*manifest) || !cJSON_IsString(format) ||
        !cJSON_IsObject(json_get(*manifest, "voice")) ||
        !cJSON_IsArray(json_get(*manifest, "files")))
        return damaged(reader, "manifest.json has no format, voice or files", err);
    if (strcmp(format->valuestring, FORMAT) != 0)
        return err_set(err, ERR_UNSUPPORTED, NULL,
                       "is of the format \"%.40s\", expected \"" FORMAT "\"", format->valuestring);
    json_write(&text, json_get(*manifest, "voice"));
    int result = entry_parse(str_text(&text), text.len, "manifest.json: voice", entry, err);
    str_finish(&text);
    return result;
}

int portable_read(const void *data, size_t len, struct voice_parcel *parcel, struct err *err)
{
    struct reader reader = {data, len, 0};
    struct member member;
    cJSON *manifest = NULL;
    const cJSON *file;
    *parcel = (struct voice_parcel){0};
    int result = next_member(&reader, &member, err);
    if (result == 0)
        result = read_manifest(&reader, &member, &manifest, &parcel->entry, err);
    const cJSON *files = result == 0 ? json_get(manifest, "files") : NULL;
    cJSON_ArrayForEach(file, files)
    {
        result = next_member(&reader, &member, err);
        if (result == 0)
            result = check_member(&reader, file, &member, err);
        if (result == 0)
            result = take_member(&member, parcel, err);
        if (result != 0)
            break;
    }
    if (result == 0)
        result = next_member(&reader, &member, err);
    if (result == 0 && member.name[0])
        result = err_set(err, ERR_INVALID, NULL, "is no voice file: \"%.60s\" is not announced",
                         shown(member.name));
    if (result == 0 &&
        (!parcel->reference.len || (parcel->entry.decoded.name && !parcel->decoded.len)))
        result =
            err_set(err, ERR_INVALID, NULL, "is no whole voice file: its recording is missing");
    if (result != 0)
        parcel_finish(parcel);
    cJSON_Delete(manifest);
    return result;
}
