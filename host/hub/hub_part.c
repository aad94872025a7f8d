/* The part of one file: FILE.part with holes, FILE.part.state that says where they are, and a
 * thread that hashes what is whole while the rest still comes. Knows no network. */
#include "hub/hub_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_BLOCK_SIZE (256u << 10)
#define STATE_BYTES_MAX (4u << 20)
#define NEW_STATE ".new"               /* behind the state's name while it is written */
#define HASH_STEP (UINT64_C(64) << 20) /* between looks at whether it is still wanted */

/* --- The hash --------------------------------------------------------------------------------- */

/* Waits for more than `at` bytes; how far to go on. */
static uint64_t wait_for_more(struct hub_part *part, uint64_t at)
{
    pthread_mutex_lock(&part->lock);
    while (part->whole == at && !part->end)
        sync_cond_wait(&part->more, &part->lock, CLOCK_NEVER);
    uint64_t to = part->end ? at : part->whole;
    pthread_mutex_unlock(&part->lock);
    return to - at > HASH_STEP ? at + HASH_STEP : to;
}

static int hash_range(struct hub_part *part, struct hub_hash *hash, char *block, uint64_t at,
                      uint64_t to)
{
    while (at < to) {
        size_t want = to - at < HASH_BLOCK_SIZE ? (size_t)(to - at) : HASH_BLOCK_SIZE;
        ssize_t got = pread(part->fd, block, want, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EIO;
        hub_hash_update(hash, block, (size_t)got);
        at += (uint64_t)got;
    }
    return 0;
}

static void *run_hash(void *arg)
{
    struct hub_part *part = arg;
    uint64_t size = part->item->file->size, at = 0;
    struct hub_hash *hash = hub_hash_create(part->item->file->digest, size);
    struct hub_digests digests = {0};
    char *block = mem_alloc(HASH_BLOCK_SIZE);
    int failed = 0;
    while (at < size && failed == 0) {
        uint64_t to = wait_for_more(part, at);
        if (to == at)
            goto out; /* not wanted any more */
        failed = hash_range(part, hash, block, at, to);
        at = to;
    }
    if (failed == 0 && fdatasync(part->fd) != 0)
        failed = errno;
    hub_hash_final(hash, &digests);
    pthread_mutex_lock(&part->lock);
    part->hashed = true;
    part->failed = failed;
    part->digests = digests;
    pthread_mutex_unlock(&part->lock);
    http_client_wake(part->client);
out:
    free(block);
    hub_hash_destroy(hash);
    return NULL;
}

static int start_hash(struct hub_part *part, struct err *err)
{
    part->whole = 0;
    part->end = false;
    part->hashed = false;
    part->failed = 0;
    part->hashing = sync_thread_start(&part->thread, run_hash, part) == 0;
    return part->hashing ? 0 : err_set(err, ERR_INTERNAL, NULL, "no thread could be started");
}

static void stop_hash(struct hub_part *part)
{
    if (!part->hashing)
        return;
    pthread_mutex_lock(&part->lock);
    part->end = true;
    pthread_cond_signal(&part->more);
    pthread_mutex_unlock(&part->lock);
    pthread_join(part->thread, NULL);
    part->hashing = false;
}

/* --- Chunks and their state ------------------------------------------------------------------- */

static void make_chunks(struct hub_part *part, uint64_t chunk_size)
{
    uint64_t size = part->item->file->size;
    part->front = 0;
    part->count = size == 0 ? 0 : (size_t)((size - 1) / chunk_size + 1);
    part->chunks = mem_resize(part->chunks, part->count + 1, sizeof(*part->chunks));
    for (size_t i = 0; i < part->count; i++) {
        uint64_t begin = i * chunk_size, left = size - begin;
        part->chunks[i] = (struct hub_chunk){begin, begin + (left < chunk_size ? left : chunk_size),
                                             begin, false};
    }
}

uint64_t hub_part_bytes(const struct hub_part *part)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < part->count; i++)
        bytes += part->chunks[i].at - part->chunks[i].begin;
    return bytes;
}

void hub_part_grown(struct hub_part *part)
{
    while (part->front < part->count &&
           part->chunks[part->front].at == part->chunks[part->front].end)
        part->front++;
    uint64_t whole =
        part->front < part->count ? part->chunks[part->front].at : part->item->file->size;
    pthread_mutex_lock(&part->lock);
    if (whole != part->whole)
        pthread_cond_signal(&part->more);
    part->whole = whole;
    pthread_mutex_unlock(&part->lock);
}

void hub_part_save(struct hub_part *part)
{
    struct str text = {0};
    struct err ignored = {0};
    char *fresh = str_format("%s" NEW_STATE, part->state);
    if (!part->changed || part->count == 0)
        goto out;
    str_printf(&text,
               "{\"digest\":\"%s\",\"size\":%" PRIu64 ",\"chunk_size\":%" PRIu64 ",\"etag\":",
               part->item->file->digest, part->item->file->size, part->chunks[0].end);
    json_write_string(&text, part->etag ? part->etag : "", part->etag ? strlen(part->etag) : 0);
    str_puts(&text, ",\"done\":[");
    for (size_t i = 0; i < part->count; i++)
        str_printf(&text, "%s%" PRIu64, i ? "," : "", part->chunks[i].at - part->chunks[i].begin);
    str_puts(&text, "]}\n");
    /* What cannot be saved is fetched once more. */
    unlink(fresh); /* of a run that was killed, or a link that leads elsewhere */
    if (fs_write_file(fresh, text.data, text.len, &ignored) == 0 && rename(fresh, part->state) == 0)
        part->changed = false;
    else
        unlink(fresh);
out:
    str_finish(&text);
    free(fresh);
}

static bool take_state(struct hub_part *part, const cJSON *state)
{
    const cJSON *digest = json_get(state, "digest"), *etag = json_get(state, "etag");
    const cJSON *done = json_get(state, "done"), *entry;
    int64_t size = -1, chunk_size = 0, bytes;
    if (!cJSON_IsString(digest) || strcmp(digest->valuestring, part->item->file->digest) != 0 ||
        !json_int64(json_get(state, "size"), &size) || (uint64_t)size != part->item->file->size ||
        !json_int64(json_get(state, "chunk_size"), &chunk_size) || chunk_size <= 0 ||
        (uint64_t)chunk_size < (uint64_t)size / HUB_CHUNKS_MAX || !cJSON_IsArray(done))
        return false;
    make_chunks(part, (uint64_t)chunk_size);
    size_t i = 0;
    cJSON_ArrayForEach(entry, done)
    {
        if (i == part->count || !json_int64(entry, &bytes) || bytes < 0 ||
            (uint64_t)bytes > part->chunks[i].end - part->chunks[i].begin)
            return false;
        part->chunks[i++].at += (uint64_t)bytes;
    }
    if (i != part->count)
        return false;
    if (cJSON_IsString(etag) && etag->valuestring[0] == '"')
        part->etag = mem_copy_string(etag->valuestring);
    return true;
}

/* How far an earlier run came. A state that is damaged, or of another file, counts as none. */
static void read_state(struct hub_part *part)
{
    struct stat info;
    struct str text = {0};
    struct err ignored = {0};
    const struct json_limits limits = {STATE_BYTES_MAX, HUB_CHUNKS_MAX + 16, 4};
    cJSON *state = NULL;
    if (fs_read_file(part->state, STATE_BYTES_MAX, &text, &ignored) == 0)
        state = json_parse(str_text(&text), text.len, &limits, &ignored);
    bool good = state && fstat(part->fd, &info) == 0 &&
                (uint64_t)info.st_size == part->item->file->size && take_state(part, state);
    if (!good) {
        make_chunks(part, HUB_CHUNK_SIZE);
        free(part->etag);
        part->etag = NULL;
    }
    cJSON_Delete(state);
    str_finish(&text);
}

/* --- Life ------------------------------------------------------------------------------------- */

void hub_part_init(struct hub_part *part, const char *dir, struct hub_item *item,
                   struct http_client *client)
{
    *part = (struct hub_part){.item = item, .fd = -1, .client = client};
    part->path = fs_join(dir, item->local);
    part->part = str_format("%s.part", part->path);
    part->state = str_format("%s.part.state", part->path);
    sync_mutex_init(&part->lock);
    sync_cond_init(&part->more);
}

/* Whether the file is in place by now: another process may have made it before we had the lock. */
static int look_again(struct hub_part *part, const volatile sig_atomic_t *stop, struct err *err)
{
    struct stat info;
    struct hub_digests digests;
    const struct hub_file *file = part->item->file;
    if (stat(part->path, &info) != 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size != file->size)
        return PART_OPEN;
    int result = hub_hash_file(part->path, file->digest, stop, &digests, err);
    if (result == ERR_STORAGE)
        return PART_OPEN; /* what cannot be read is replaced */
    if (result != 0)
        return result;
    if (strcmp(hub_digest_like(&digests, file->digest), file->digest) != 0)
        return PART_OPEN;
    hub_item_done(part->item, &digests, &info);
    return PART_DONE;
}

static void forget_state(struct hub_part *part)
{
    char *fresh = str_format("%s" NEW_STATE, part->state);
    unlink(part->state);
    unlink(fresh);
    free(fresh);
}

static void forget_part(struct hub_part *part)
{
    unlink(part->part);
    forget_state(part);
}

int hub_part_open(struct hub_part *part, const volatile sig_atomic_t *stop, struct err *err)
{
    char *dir = fs_dir_of(part->path);
    int result = fs_make_dirs(dir, 0777, err);
    free(dir);
    if (result == 0)
        result = hub_lock_try(part->part, &part->fd, err);
    if (result == 0)
        return PART_BUSY;
    if (result < 0) {
        part->fd = -1;
        return result;
    }
    result = look_again(part, stop, err);
    if (result != PART_OPEN) {
        if (result == PART_DONE)
            forget_part(part);
        close(part->fd);
        part->fd = -1;
        return result;
    }
    read_state(part);
    if (ftruncate(part->fd, (off_t)part->item->file->size) != 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: %s", part->part, strerror(errno));
    else
        result = start_hash(part, err);
    if (result != 0)
        return result;
    hub_part_grown(part);
    return PART_OPEN;
}

int hub_part_restart(struct hub_part *part, bool undivided, struct err *err)
{
    uint64_t size = part->item->file->size;
    stop_hash(part);
    free(part->etag);
    part->etag = NULL;
    make_chunks(part, undivided && size > 0 ? size : HUB_CHUNK_SIZE);
    part->changed = true;
    hub_part_save(part);
    return start_hash(part, err);
}

bool hub_part_ready(struct hub_part *part)
{
    pthread_mutex_lock(&part->lock);
    bool ready = part->hashed;
    pthread_mutex_unlock(&part->lock);
    return ready;
}

int hub_part_finish(struct hub_part *part, struct err *err)
{
    const char *wanted = part->item->file->digest;
    struct stat info;
    stop_hash(part);
    if (part->failed)
        return err_set(err, ERR_STORAGE, NULL, "%s: %s", part->part, strerror(part->failed));
    const char *got = hub_digest_like(&part->digests, wanted);
    if (strcmp(got, wanted) != 0) {
        err_set(err, ERR_STORAGE, NULL,
                "%s: what was downloaded has the digest %s, expected %s: it was thrown away",
                part->item->file->path, got, wanted);
        return 1;
    }
    if (fstat(part->fd, &info) != 0 || rename(part->part, part->path) != 0)
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be put in place: %s", part->path,
                       strerror(errno));
    forget_state(part);
    hub_item_done(part->item, &part->digests, &info);
    part->changed = false;
    return 0;
}

void hub_part_close(struct hub_part *part)
{
    stop_hash(part);
    if (part->fd < 0)
        return;
    if (!part->item->done && hub_part_bytes(part) == 0)
        forget_part(part);
    else if (!part->item->done)
        hub_part_save(part);
    close(part->fd);
    part->fd = -1;
}

void hub_part_destroy(struct hub_part *part)
{
    hub_part_close(part);
    pthread_cond_destroy(&part->more);
    pthread_mutex_destroy(&part->lock);
    free(part->chunks);
    free(part->etag);
    free(part->path);
    free(part->part);
    free(part->state);
}
