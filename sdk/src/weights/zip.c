/* The directory of a zip archive, with the zip64 records. Format: PKWARE APPNOTE 6.3.10, sections
 * 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3. Reads stored entries only, since torch.save writes no
 * others, and leaves checksums alone: they would need every byte of the file before the first is
 * used.
 */
#include "zip.h"

#include "weights_file.h"

#include <stdlib.h>
#include <string.h>

#define END_SIZE 22u /* of each record, without what varies */
#define END64_SIZE 56u
#define LOCATOR64_SIZE 20u
#define ENTRY_SIZE 46u
#define LOCAL_SIZE 30u
#define COMMENT_SIZE_MAX 65535u
#define ENTRIES_MAX (1u << 20)
#define EXTRA_ZIP64 1u
#define FLAG_ENCRYPTED 1u

const char ZIP_NO_MEMORY[] = "out of memory";

struct directory {
    const uint8_t *bytes;
    uint64_t size; /* of the archive */
    uint64_t begin, end, count;
};

static bool is_record(const uint8_t *at, uint8_t kind, uint8_t kind2)
{
    const uint8_t signature[4] = {'P', 'K', kind, kind2};
    return memcmp(at, signature, sizeof(signature)) == 0;
}

/* The zip64 record that the locator before the end record points to replaces its numbers. */
static const char *read_end64(struct directory *dir, uint64_t end_at)
{
    const uint8_t *bytes = dir->bytes;
    if (end_at < LOCATOR64_SIZE || !is_record(bytes + end_at - LOCATOR64_SIZE, 6, 7))
        return NULL;
    uint64_t at = read_le(bytes + end_at - LOCATOR64_SIZE + 8, 8);
    if (end_at < LOCATOR64_SIZE + END64_SIZE || at > end_at - LOCATOR64_SIZE - END64_SIZE ||
        !is_record(bytes + at, 6, 6))
        return "its zip64 directory is damaged";
    dir->count = read_le(bytes + at + 32, 8);
    dir->end = read_le(bytes + at + 40, 8);
    dir->begin = read_le(bytes + at + 48, 8);
    return NULL;
}

static const char *find_directory(struct directory *dir)
{
    uint64_t back = END_SIZE;
    for (;; back++) {
        if (back > dir->size || back > END_SIZE + COMMENT_SIZE_MAX)
            return "its zip directory is missing: the file is cut off or damaged";
        const uint8_t *end = dir->bytes + dir->size - back;
        if (is_record(end, 5, 6) && read_le(end + 20, 2) == back - END_SIZE)
            break;
    }
    const uint8_t *end = dir->bytes + dir->size - back;
    dir->count = read_le(end + 10, 2);
    dir->end = read_le(end + 12, 4); /* so far its size */
    dir->begin = read_le(end + 16, 4);
    const char *why = read_end64(dir, dir->size - back);
    if (why)
        return why;
    if (dir->begin > dir->size || dir->end > dir->size - dir->begin)
        return "its zip directory lies outside the file: the file is cut off or damaged";
    if (dir->count > ENTRIES_MAX || dir->count > dir->end / ENTRY_SIZE)
        return "its zip directory has more entries than fit";
    dir->end += dir->begin;
    return NULL;
}

/* Fields of the entry that are all ones stand in the zip64 extra field, in this order. */
static bool read_extra64(const uint8_t *extra, uint64_t extra_size, uint64_t *const fields[3])
{
    for (int i = 0; extra_size >= 4;) {
        uint64_t kind = read_le(extra, 2), size = read_le(extra + 2, 2);
        if (size > extra_size - 4)
            return false;
        if (kind == EXTRA_ZIP64)
            for (uint64_t at = 0; i < 3; i++)
                if (*fields[i] == UINT32_MAX) {
                    if (size - at < 8)
                        return false;
                    *fields[i] = read_le(extra + 4 + at, 8);
                    at += 8;
                }
        extra += 4 + size;
        extra_size -= 4 + size;
    }
    return true;
}

/* Reads the entry at `at` of the directory and moves past it. */
static const char *read_entry(const struct directory *dir, uint64_t *at, struct zip_entry *entry)
{
    static const char damaged[] = "an entry of its zip directory is damaged";
    const uint8_t *record = dir->bytes + *at;
    if (dir->end - *at < ENTRY_SIZE || !is_record(record, 1, 2))
        return damaged;
    uint64_t name_size = read_le(record + 28, 2), extra_size = read_le(record + 30, 2);
    uint64_t whole = ENTRY_SIZE + name_size + extra_size + read_le(record + 32, 2);
    uint64_t packed = read_le(record + 20, 4), size = read_le(record + 24, 4);
    uint64_t local = read_le(record + 42, 4);
    if (whole > dir->end - *at || !read_extra64(record + ENTRY_SIZE + name_size, extra_size,
                                                (uint64_t *const[]){&size, &packed, &local}))
        return damaged;
    *at += whole;
    if (dir->size < LOCAL_SIZE || local > dir->size - LOCAL_SIZE ||
        !is_record(dir->bytes + local, 3, 4))
        return damaged;
    const uint8_t *head = dir->bytes + local;
    uint64_t begin = local + LOCAL_SIZE + read_le(head + 26, 2) + read_le(head + 28, 2);
    if (begin > dir->size || packed > dir->size - begin)
        return damaged;
    entry->name = (const char *)record + ENTRY_SIZE;
    entry->name_size = (uint32_t)name_size;
    entry->is_stored = read_le(record + 10, 2) == 0 && !(read_le(record + 8, 2) & FLAG_ENCRYPTED) &&
                       size == packed;
    entry->data = dir->bytes + begin;
    entry->size = packed;
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    const struct zip_entry *left = a, *right = b;
    uint32_t shorter = left->name_size < right->name_size ? left->name_size : right->name_size;
    int order = memcmp(left->name, right->name, shorter);
    return order ? order
                 : (left->name_size > right->name_size) - (left->name_size < right->name_size);
}

const char *zip_open(struct zip *zip, const uint8_t *bytes, uint64_t size)
{
    struct directory dir = {.bytes = bytes, .size = size};
    *zip = (struct zip){0};
    const char *why = find_directory(&dir);
    if (why)
        return why;
    zip->entries = calloc((size_t)dir.count + 1, sizeof(*zip->entries));
    if (!zip->entries)
        return ZIP_NO_MEMORY;
    for (uint64_t at = dir.begin; !why && zip->count < dir.count; zip->count++)
        why = read_entry(&dir, &at, &zip->entries[zip->count]);
    if (!why)
        qsort(zip->entries, (size_t)zip->count, sizeof(*zip->entries), compare_names);
    for (uint64_t i = 1; !why && i < zip->count; i++)
        if (compare_names(&zip->entries[i - 1], &zip->entries[i]) == 0)
            why = "its zip directory has two entries of one name";
    return why;
}

const struct zip_entry *zip_find(const struct zip *zip, const char *name, uint64_t name_size)
{
    const struct zip_entry key = {.name = name, .name_size = (uint32_t)name_size};
    if (name_size > UINT32_MAX || !zip->count)
        return NULL;
    return bsearch(&key, zip->entries, (size_t)zip->count, sizeof(key), compare_names);
}

void zip_finish(struct zip *zip)
{
    free(zip->entries);
    *zip = (struct zip){0};
}
