/* A hash table in a file; see id_index.h. Knows nothing of jobs but the bytes of their ids.
 *
 * Open addressing with linear probing. A slot's home is the top bits of the id's hash, so that when
 * the table grows, reading the old one from its begin writes the new one almost from its begin. At
 * most half of the slots are used, and one read fetches a run of them, so that a put costs one
 * pread and one pwrite. What lies in the page cache is the kernel's and is given back under
 * pressure. The first table lies in memory and costs no calls at all; it is the same 3 MiB for ten
 * ids and for a million.
 */
#include "front/batch/id_index.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BITS_FIRST 17 /* 131,072 slots, 3 MiB */
#define BITS_MAX 40
#define GROW_BITS 2
#define RUN_SLOTS 8     /* fetched by one read while probing */
#define BLOCK_SLOTS 512 /* fetched by one read while growing */

struct slot {
    uint64_t high, low; /* of the id's SHA-256 */
    uint64_t value;     /* 0: the slot is free */
};

struct id_index {
    char *dir;
    struct slot *first; /* the first table; NULL: it has grown, and lies in the file */
    int fd;
    unsigned bits; /* 2^bits slots */
    uint64_t count;
    struct digest *digest;
};

static int fail(const struct id_index *index, const char *what, struct err *err)
{
    return err_set(err, ERR_STORAGE, NULL, "%s: %s the temporary index of job ids: %s", index->dir,
                   what, strerror(errno));
}

/* An unlinked file of free slots (a hole reads as zeros), or -1. */
static int open_file(const struct id_index *index, unsigned bits, struct err *err)
{
    int fd = open(index->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        char *path = fs_join(index->dir, ".voxhost-ids-XXXXXX");
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
        free(path);
    }
    if (fd < 0) {
        fail(index, "cannot make", err);
        return -1;
    }
    if (ftruncate(fd, (off_t)((UINT64_C(1) << bits) * sizeof(struct slot))) != 0) {
        fail(index, "cannot enlarge", err);
        close(fd);
        return -1;
    }
    /* No read-ahead: the large folios that it makes in the page cache slow small writes
     * fivefold. */
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    return fd;
}

static int read_slots(const struct id_index *index, uint64_t at, struct slot *slots, size_t count,
                      struct err *err)
{
    size_t size = count * sizeof(*slots), done = 0;
    if (index->first) {
        memcpy(slots, index->first + at, size);
        return 0;
    }
    while (done < size) {
        ssize_t got = pread(index->fd, (char *)slots + done, size - done,
                            (off_t)(at * sizeof(*slots) + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; /* the file has its full size from the start */
        if (got <= 0)
            return fail(index, "cannot read", err);
        done += (size_t)got;
    }
    return 0;
}

static int write_slot(const struct id_index *index, uint64_t at, const struct slot *slot,
                      struct err *err)
{
    size_t done = 0;
    if (index->first) {
        index->first[at] = *slot;
        return 0;
    }
    while (done < sizeof(*slot)) {
        ssize_t put = pwrite(index->fd, (const char *)slot + done, sizeof(*slot) - done,
                             (off_t)(at * sizeof(*slot) + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail(index, "cannot write", err);
        done += (size_t)put;
    }
    return 0;
}

/* Finds the slot of the hash in `key`, or the free one where it belongs, and reads it. */
static int find_slot(const struct id_index *index, const struct slot *key, uint64_t *at,
                     struct slot *slot, struct err *err)
{
    uint64_t slots = UINT64_C(1) << index->bits;
    struct slot run[RUN_SLOTS] = {{0}};
    *at = key->high >> (64 - index->bits);
    for (uint64_t probed = 0; probed < slots;) {
        size_t len = slots - *at < RUN_SLOTS ? (size_t)(slots - *at) : RUN_SLOTS;
        int code = read_slots(index, *at, run, len, err);
        if (code)
            return code;
        for (size_t i = 0; i < len; i++) {
            if (run[i].value && (run[i].high != key->high || run[i].low != key->low))
                continue;
            *at += i;
            *slot = run[i];
            return 0;
        }
        *at = (*at + len) % slots;
        probed += len;
    }
    return err_set(err, ERR_INTERNAL, NULL, "the index of job ids is full");
}

/* Copies all slots of `old` into `index`, which is empty. */
static int copy_slots(const struct id_index *old, struct id_index *index, struct err *err)
{
    uint64_t slots = UINT64_C(1) << old->bits;
    struct slot *block = mem_alloc_array(BLOCK_SLOTS, sizeof(*block));
    int code = 0;
    for (uint64_t begin = 0; begin < slots && !code; begin += BLOCK_SLOTS) {
        code = read_slots(old, begin, block, BLOCK_SLOTS, err);
        for (size_t i = 0; i < BLOCK_SLOTS && !code; i++) {
            uint64_t at;
            struct slot free_slot;
            if (!block[i].value)
                continue;
            code = find_slot(index, &block[i], &at, &free_slot, err);
            if (!code)
                code = write_slot(index, at, &block[i], err);
        }
    }
    free(block);
    return code;
}

static void table_close(struct id_index *index)
{
    free(index->first);
    if (index->fd >= 0)
        close(index->fd);
}

/* On failure the index is as it was. */
static int grow(struct id_index *index, struct err *err)
{
    struct id_index larger = *index;
    if (index->bits + GROW_BITS > BITS_MAX)
        return err_set(err, ERR_UNSUPPORTED, NULL, "more job ids than the index can hold");
    larger.bits += GROW_BITS;
    larger.first = NULL;
    larger.fd = open_file(index, larger.bits, err);
    if (larger.fd < 0)
        return ERR_STORAGE;
    int code = copy_slots(index, &larger, err);
    if (code) {
        close(larger.fd);
        return code;
    }
    table_close(index);
    *index = larger;
    index->first = NULL;
    return 0;
}

static struct slot key_of(const struct id_index *index, const char *id)
{
    uint8_t bytes[DIGEST_SIZE];
    struct slot key = {0};
    digest_reset(index->digest);
    digest_update(index->digest, id, strlen(id));
    digest_final(index->digest, bytes);
    memcpy(&key.high, bytes, sizeof(key.high));
    memcpy(&key.low, bytes + sizeof(key.high), sizeof(key.low));
    return key;
}

struct id_index *id_index_create(const char *dir)
{
    struct id_index *made = mem_alloc(sizeof(*made));
    made->dir = mem_copy_string(dir);
    made->bits = BITS_FIRST;
    made->digest = digest_create();
    made->first = mem_alloc_array((size_t)1 << BITS_FIRST, sizeof(*made->first));
    made->fd = -1;
    return made;
}

int id_index_put(struct id_index *index, const char *id, uint64_t value, bool replace,
                 uint64_t *previous, struct err *err)
{
    struct slot key = key_of(index, id), slot = {0};
    uint64_t at;
    assert(value != 0);
    key.value = value;
    int code = find_slot(index, &key, &at, &slot, err);
    if (!code && !slot.value && index->count >= (UINT64_C(1) << index->bits) / 2) {
        code = grow(index, err);
        if (!code)
            code = find_slot(index, &key, &at, &slot, err);
    }
    if (code)
        return code;
    if (!slot.value || replace)
        code = write_slot(index, at, &key, err);
    if (code)
        return code;
    index->count += slot.value == 0;
    *previous = slot.value;
    return 0;
}

int id_index_get(struct id_index *index, const char *id, uint64_t *value, struct err *err)
{
    struct slot key = key_of(index, id), slot = {0};
    uint64_t at;
    int code = find_slot(index, &key, &at, &slot, err);
    if (!code)
        *value = slot.value;
    return code;
}

uint64_t id_index_count(const struct id_index *index)
{
    return index->count;
}

void id_index_destroy(struct id_index *index)
{
    if (!index)
        return;
    table_close(index);
    digest_destroy(index->digest);
    free(index->dir);
    free(index);
}
