/* An object into a file: the first range says how much there is, the others come side by side, each
 * held to the same version of the object. The digest follows behind what is there without a gap,
 * read back from the file while it is still in memory. */
#include "store/store_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define WAIT_NS (50 * CLOCK_MS)
#define OBJECT_BYTES_MAX (UINT64_C(64) << 40) /* S3 takes 50 TiB */

struct download {
    struct s3 *s3;
    const struct storage_get *get;
    struct storage_file file;
    char *etag; /* NULL: the server names no versions */
    uint64_t total;
    size_t count; /* of ranges */
    atomic_int stop;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next, running; /* guarded by lock */
    bool *here;           /* each range; guarded by lock */
    struct err err;       /* the first failure; guarded by lock */
};

/* One range on its way. */
struct range {
    struct download *download;
    uint64_t offset, len; /* wanted; `len` of the first may be more than there is */
    uint64_t got;
    uint64_t total; /* as the answer says; UINT64_MAX before one */
    bool whole;     /* the server sends all of it, from the first byte on */
    char *etag;
    struct err err;
};

static int say_replaced(const struct download *download, struct err *err)
{
    return err_set(err, ERR_STORAGE, NULL, "%s: the object was replaced while it was downloaded",
                   s3_name(download->s3));
}

/* --- One range -------------------------------------------------------------------------------- */

static void begin_range(void *arg)
{
    struct range *range = arg;
    range->got = 0;
    range->total = UINT64_MAX;
    range->whole = false;
    free(range->etag);
    range->etag = NULL;
}

static bool read_number(const char **at, char end, uint64_t *number)
{
    char *after;
    if (**at < '0' || **at > '9')
        return false;
    *number = strtoull(*at, &after, 10);
    *at = after + 1;
    return *after == end;
}

/* "bytes 0-99/1234". */
static bool parse_content_range(const char *text, uint64_t *first, uint64_t *total)
{
    uint64_t last;
    if (!text || strncasecmp(text, "bytes ", 6) != 0)
        return false;
    text += 6;
    return read_number(&text, '-', first) && read_number(&text, '/', &last) &&
           read_number(&text, '\0', total);
}

/* Where the answer's bytes belong, and of what they are. */
static int read_place(struct range *range, const struct http_response *head)
{
    const struct download *download = range->download;
    uint64_t first = 0;
    bool fits;
    char *content_range = http_response_header(head, "content-range");
    char *length = http_response_header(head, "content-length");
    range->whole = head->status != 206;
    range->total = length ? strtoull(length, NULL, 10) : 0;
    fits = range->whole || parse_content_range(content_range, &first, &range->total);
    free(content_range);
    free(length);
    if (!fits || first != range->offset)
        return err_set(&range->err, ERR_STORAGE, NULL, "%s: sent another range than was asked for",
                       s3_name(download->s3));
    return 0;
}

static int read_head(struct range *range, const struct http_response *head)
{
    const struct download *download = range->download;
    uint64_t bytes_max = download->get->bytes_max;
    if (read_place(range, head) != 0)
        return range->err.code;
    range->etag = http_response_header(head, "etag");
    if (range->total > bytes_max || range->total > OBJECT_BYTES_MAX)
        return err_set(
            &range->err, ERR_TOO_LARGE, NULL, "the object has %llu bytes, more than %llu",
            (unsigned long long)range->total,
            (unsigned long long)(bytes_max < OBJECT_BYTES_MAX ? bytes_max : OBJECT_BYTES_MAX));
    if (range->offset == 0)
        return 0;
    bool same_etag = !download->etag || !range->etag || strcmp(range->etag, download->etag) == 0;
    if (range->total != download->total || !same_etag) /* If-Match is not known everywhere */
        return say_replaced(download, &range->err);
    return 0;
}

static int take_range(const struct http_response *head, const void *data, size_t len, void *arg)
{
    struct range *range = arg;
    struct download *download = range->download;
    if (range->total == UINT64_MAX && read_head(range, head) != 0)
        return range->err.code;
    uint64_t limit = range->whole ? download->get->bytes_max : range->len;
    if (len > limit - range->got)
        return err_set(&range->err, range->whole ? ERR_TOO_LARGE : ERR_STORAGE, NULL,
                       "%s: sent more than %llu bytes", s3_name(download->s3),
                       (unsigned long long)limit);
    for (size_t done = 0; done < len;) {
        ssize_t put = pwrite(download->file.fd, (const char *)data + done, len - done,
                             (off_t)(range->offset + range->got));
        if (put <= 0)
            return err_set(&range->err, ERR_STORAGE, NULL, "%s: cannot be written: %s",
                           download->get->path, strerror(errno));
        done += (size_t)put;
        range->got += (uint64_t)put;
    }
    return 0;
}

static int fetch_range(struct range *range, struct s3_refusal *refusal, struct err *err)
{
    struct download *download = range->download;
    char *bytes = str_format("range: bytes=%llu-%llu", (unsigned long long)range->offset,
                             (unsigned long long)(range->offset + range->len - 1));
    char *match = download->etag ? str_format("if-match: %s", download->etag) : NULL;
    const char *const lines[] = {bytes, match, NULL};
    const struct s3_request request = {
        .what = "download",
        .method = "GET",
        .key = download->get->key,
        .lines = lines,
        .take = take_range,
        .begin = begin_range,
        .arg = range,
        .expected_len = range->len,
        .failure = &range->err,
        .stop = &download->stop,
    };
    struct http_response response;
    int result = s3_run(download->s3, &request, &response, refusal, err);
    if (result == 0 && range->total == UINT64_MAX && read_head(range, &response) != 0) {
        *err = range->err; /* take_range saw no byte and so no head */
        result = err->code;
    }
    s3_response_finish(&response);
    free(bytes);
    free(match);
    if (refusal->status == 412)
        say_replaced(download, err);
    return result;
}

/* --- All of them ------------------------------------------------------------------------------ */

static int fetch_number(struct download *download, size_t number, struct err *err)
{
    struct range range = {
        .download = download, .offset = (uint64_t)number * S3_PART_SIZE, .len = S3_PART_SIZE};
    struct s3_refusal refusal;
    if (download->total - range.offset < range.len)
        range.len = download->total - range.offset;
    int result = fetch_range(&range, &refusal, err);
    if (result == 0 && range.got != range.len)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: sent %llu of %llu bytes", s3_name(download->s3),
                    (unsigned long long)range.got, (unsigned long long)range.len);
    free(range.etag);
    return result;
}

static void *run_fetcher(void *arg)
{
    struct download *download = arg;
    pthread_mutex_lock(&download->lock);
    while (download->next < download->count && atomic_load(&download->stop) == 0) {
        size_t number = download->next++;
        struct err err = {0};
        pthread_mutex_unlock(&download->lock);
        int result = fetch_number(download, number, &err);
        pthread_mutex_lock(&download->lock);
        download->here[number] = result == 0;
        if (result != 0 && download->err.code == ERR_NONE)
            download->err = err;
        if (result != 0)
            atomic_store(&download->stop, 1);
        pthread_cond_signal(&download->changed);
    }
    download->running--;
    pthread_cond_signal(&download->changed);
    pthread_mutex_unlock(&download->lock);
    return NULL;
}

/* Bytes `from` to `to` of the file. */
static int digest_range(const struct download *download, struct digest *digest, char *buf,
                        uint64_t from, uint64_t to, struct err *err)
{
    while (from < to) {
        size_t want = to - from < S3_BUFFER_SIZE ? (size_t)(to - from) : S3_BUFFER_SIZE;
        ssize_t got = pread(download->file.fd, buf, want, (off_t)from);
        if (got <= 0)
            return err_set(err, ERR_STORAGE, NULL, "%s: cannot be read back: %s",
                           download->get->path, strerror(errno));
        digest_update(digest, buf, (size_t)got);
        from += (uint64_t)got;
    }
    return 0;
}

/* Waits for the ranges and follows them with the digest (NULL: there is none to make). */
static int follow(struct download *download, struct digest *digest, struct err *err)
{
    const atomic_int *stop = download->get->stop;
    char *buf = mem_alloc(S3_BUFFER_SIZE);
    size_t digested = 0;
    int result = 0;
    pthread_mutex_lock(&download->lock);
    for (;;) {
        size_t ready = digested;
        while (ready < download->count && download->here[ready])
            ready++;
        if (ready == digested && download->running == 0)
            break;
        if (ready == digested) {
            sync_cond_wait(&download->changed, &download->lock, clock_now() + WAIT_NS);
        } else {
            uint64_t to = (uint64_t)ready * S3_PART_SIZE;
            pthread_mutex_unlock(&download->lock);
            if (digest && result == 0)
                result = digest_range(download, digest, buf, (uint64_t)digested * S3_PART_SIZE,
                                      to < download->total ? to : download->total, err);
            digested = ready;
            pthread_mutex_lock(&download->lock);
        }
        if (result != 0 || (stop && atomic_load(stop) != 0))
            atomic_store(&download->stop, 1);
    }
    if (result == 0 && download->err.code != ERR_NONE) {
        *err = download->err;
        result = err->code;
    }
    pthread_mutex_unlock(&download->lock);
    free(buf);
    return result;
}

static int fetch_rest(struct download *download, struct digest *digest, struct err *err)
{
    pthread_t threads[S3_PARALLEL];
    size_t started = 0;
    pthread_mutex_lock(&download->lock);
    while (started < S3_PARALLEL && started + 1 < download->count &&
           sync_thread_start(&threads[started], run_fetcher, download) == 0) {
        started++;
        download->running++;
    }
    pthread_mutex_unlock(&download->lock);
    int result = follow(download, digest, err);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (result == 0 && download->count > 1 && started == 0)
        result = err_set(err, ERR_INTERNAL, NULL, "no thread for a download can be started");
    if (download->get->stop && atomic_load(download->get->stop) != 0)
        result = err_set(err, ERR_CANCELLED, NULL, "the download was stopped");
    return result;
}

/* The first range, from which the rest is known. */
static int fetch_first(struct download *download, struct err *err)
{
    struct range range = {.download = download, .len = S3_PART_SIZE};
    struct s3_refusal refusal;
    int result = fetch_range(&range, &refusal, err);
    download->etag = range.etag;
    if (range.etag && strncmp(range.etag, "W/", 2) == 0) { /* names no bytes */
        free(range.etag);
        download->etag = NULL;
    }
    if (result == ERR_STORAGE && refusal.status == 416) { /* no range of nothing is right */
        download->total = 0;
        return 0;
    }
    if (result == ERR_STORAGE && refusal.status == 404 &&
        (!*refusal.code || strcmp(refusal.code, "NoSuchKey") == 0))
        return s3_missing(download->s3, err);
    if (result != 0)
        return result;
    download->total = range.total;
    if (range.whole) /* and perhaps of a length that nobody named */
        download->total = download->total > range.got ? download->total : range.got;
    uint64_t expected = range.whole || download->total < range.len ? download->total : range.len;
    if (range.got != expected)
        return err_set(err, ERR_STORAGE, NULL, "%s: sent %llu of %llu bytes", s3_name(download->s3),
                       (unsigned long long)range.got, (unsigned long long)expected);
    download->count = (size_t)((download->total + S3_PART_SIZE - 1) / S3_PART_SIZE);
    download->here = mem_alloc_array(download->count + 1, sizeof(*download->here));
    download->next = range.whole ? download->count : 1;
    for (size_t i = 0; i < download->next && i < download->count; i++)
        download->here[i] = true;
    return 0;
}

static int fetch_all(struct download *download, struct err *err)
{
    const struct storage_get *get = download->get;
    uint8_t digest[DIGEST_SIZE];
    struct digest *running = get->sha256 || get->sha256_out ? digest_create() : NULL;
    int result = fetch_first(download, err);
    if (result == 0)
        result = fetch_rest(download, running, err);
    /* An attempt that was cut may have left more of an object that is replaced since. */
    if (result == 0 && ftruncate(download->file.fd, (off_t)download->total) != 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", download->get->path,
                         strerror(errno));
    if (result == 0 && running) {
        digest_final(running, digest);
        result = storage_get_check(get, digest, err);
    }
    digest_destroy(running);
    return result;
}

int s3_fetch(struct s3 *s3, const struct storage_get *get, struct err *err)
{
    struct download download = {.s3 = s3, .get = get};
    int result = storage_file_open(&download.file, get->path, err);
    if (result != 0)
        return result;
    pthread_mutex_init(&download.lock, NULL);
    sync_cond_init(&download.changed);
    result = fetch_all(&download, err);
    result = storage_file_finish(&download.file, result, err);
    free(download.etag);
    free(download.here);
    pthread_cond_destroy(&download.changed);
    pthread_mutex_destroy(&download.lock);
    return result;
}
