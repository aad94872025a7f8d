/* Large objects go up in parts: several threads take the next part each, find its digest, send it
 * over a connection of their own. The object appears when all are there and the server was told to
 * join them; else the parts are removed. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PARTS_MAX 10000u /* of S3 */
#define COMPLETE_S 600.0 /* joining thousands of parts takes a server long */
#define ABORT_S 10.0
#define UPLOAD_ID_SIZE_MAX 2048
#define STOP_POLL_NS (50 * CLOCK_MS)

struct upload {
    struct s3 *s3;
    const struct storage_put *put;
    char *id; /* percent-encoded */
    int64_t begun_unix_s;
    uint64_t part_size;
    size_t count;
    atomic_int stop; /* because of the caller or of a failure */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next, running; /* guarded by lock */
    char **etags;         /* of each part; guarded by lock */
    struct err err;       /* the first failure; guarded by lock */
};

/* One part on its way. */
struct part {
    const struct upload *upload;
    uint64_t offset, len;
};

static ssize_t read_part(void *buf, size_t len, uint64_t offset, void *arg)
{
    const struct part *part = arg;
    return storage_put_read(part->upload->put, buf, len, part->offset + offset);
}

/* --- Parts ------------------------------------------------------------------------------------ */

static int send_part(struct upload *upload, size_t number, char **etag, struct err *err)
{
    const struct storage_put *put = upload->put;
    struct part part = {.upload = upload, .offset = (uint64_t)number * upload->part_size};
    struct http_response response;
    struct s3_refusal refusal;
    struct err unread = {0};
    char hash[DIGEST_HEX_SIZE];
    part.len =
        put->len - part.offset < upload->part_size ? put->len - part.offset : upload->part_size;
    if (storage_put_digest(put, part.offset, part.len, hash, err) != 0)
        return err->code;
    err_set(&unread, ERR_STORAGE, NULL, "the file changed while it was uploaded");
    char *query = str_format("partNumber=%zu&uploadId=%s", number + 1, upload->id);
    const struct s3_request request = {
        .what = "upload",
        .method = "PUT",
        .key = put->key,
        .query = query,
        .body = put->data ? (const char *)put->data + part.offset : NULL,
        .body_read = put->data ? NULL : read_part,
        .body_len = part.len,
        .payload_hash = hash,
        .arg = &part,
        .failure = &unread,
        .stop = &upload->stop,
        .deadline = put->deadline,
    };
    int result = s3_run(upload->s3, &request, &response, &refusal, err);
    if (result == 0 && !(*etag = http_response_header(&response, "etag")))
        result = err_set(err, ERR_STORAGE, NULL, "%s: answered a part of the upload without ETag",
                         s3_name(upload->s3));
    s3_response_finish(&response);
    free(query);
    return result;
}

static void *run_sender(void *arg)
{
    struct upload *upload = arg;
    pthread_mutex_lock(&upload->lock);
    while (upload->next < upload->count && atomic_load(&upload->stop) == 0) {
        size_t number = upload->next++;
        char *etag = NULL;
        struct err err = {0};
        pthread_mutex_unlock(&upload->lock);
        int result = send_part(upload, number, &etag, &err);
        pthread_mutex_lock(&upload->lock);
        upload->etags[number] = etag;
        if (result != 0 && upload->err.code == ERR_NONE)
            upload->err = err;
        if (result != 0)
            atomic_store(&upload->stop, 1);
    }
    upload->running--;
    pthread_cond_signal(&upload->changed);
    pthread_mutex_unlock(&upload->lock);
    return NULL;
}

static int send_parts(struct upload *upload, struct err *err)
{
    pthread_t threads[S3_PARALLEL];
    size_t started = 0;
    const atomic_int *stop = upload->put->stop;
    pthread_mutex_lock(&upload->lock);
    while (started < S3_PARALLEL && started < upload->count &&
           sync_thread_start(&threads[started], run_sender, upload) == 0) {
        started++;
        upload->running++;
    }
    while (upload->running > 0) {
        sync_cond_wait(&upload->changed, &upload->lock, clock_now() + STOP_POLL_NS);
        if (stop && atomic_load(stop) != 0)
            atomic_store(&upload->stop, 1);
    }
    pthread_mutex_unlock(&upload->lock);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started == 0)
        return err_set(err, ERR_INTERNAL, NULL, "no thread for an upload can be started");
    *err = upload->err;
    if (err->code == ERR_NONE && stop && atomic_load(stop) != 0)
        err_set(err, ERR_CANCELLED, NULL, "the upload was stopped");
    return err->code;
}

/* --- Beginning and end ------------------------------------------------------------------------ */

static int begin(struct upload *upload, const struct s3_header *headers, size_t header_count,
                 struct err *err)
{
    const struct s3_request request = {
        .what = "upload",
        .method = "POST",
        .key = upload->put->key,
        .query = "uploads=",
        .headers = headers,
        .header_count = header_count,
        .stop = upload->put->stop,
        .deadline = upload->put->deadline,
    };
    struct http_response response;
    struct s3_refusal refusal;
    struct str id = {0}, encoded = {0};
    int result = s3_run(upload->s3, &request, &response, &refusal, err);
    if (result == 0) {
        s3_xml_text(str_text(&response.body), NULL, "UploadId", &id);
        if (id.len == 0 || id.len > UPLOAD_ID_SIZE_MAX)
            result = err_set(err, ERR_STORAGE, NULL, "%s: began an upload without an id",
                             s3_name(upload->s3));
        s3_encode(&encoded, str_text(&id), false);
        upload->id = str_take(&encoded);
    }
    s3_response_finish(&response);
    str_finish(&id);
    return result;
}

/* The answer that it is joined was lost perhaps: the server knows no such upload any more, and the
 * object is there, no older than the upload (by the server's clock, whose dates have no parts of
 * seconds). */
static bool is_joined(struct upload *upload, const struct s3_refusal *refusal)
{
    enum { SLACK_S = 2 };
    struct storage_object object;
    struct err ignored;
    return strcmp(refusal->code, "NoSuchUpload") == 0 &&
           s3_head(upload->s3, upload->put->key, NULL, &object, &ignored) == 0 &&
           object.len == upload->put->len &&
           object.modified_unix_s + SLACK_S >= upload->begun_unix_s + s3_clock_skew(upload->s3);
}

static int complete(struct upload *upload, struct err *err)
{
    struct http_response response;
    struct s3_refusal refusal;
    struct str body = {0};
    char hash[DIGEST_HEX_SIZE];
    str_puts(&body, "<CompleteMultipartUpload>");
    for (size_t i = 0; i < upload->count; i++) {
        str_printf(&body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        s3_xml_escape(&body, upload->etags[i]);
        str_puts(&body, "</ETag></Part>");
    }
    str_puts(&body, "</CompleteMultipartUpload>");
    digest_of(body.data, body.len, hash);
    char *query = str_format("uploadId=%s", upload->id);
    const struct s3_header type = {"content-type", "application/xml"};
    const struct s3_request request = {
        .what = "upload",
        .method = "POST",
        .key = upload->put->key,
        .query = query,
        .headers = &type,
        .header_count = 1,
        .body = body.data,
        .body_len = body.len,
        .payload_hash = hash,
        .patience_s = COMPLETE_S,
        .done_sign = "CompleteMultipartUploadResult",
        .stop = upload->put->stop,
        .deadline = upload->put->deadline,
    };
    int result = s3_run(upload->s3, &request, &response, &refusal, err);
    if (result == ERR_STORAGE && is_joined(upload, &refusal))
        result = 0;
    s3_response_finish(&response);
    str_finish(&body);
    free(query);
    return result;
}

/* So that no parts stay that nobody sees and somebody pays. */
static void give_up(struct upload *upload, struct err *err)
{
    char *query = str_format("uploadId=%s", upload->id);
    const struct s3_request request = {
        .what = "removal of the parts",
        .method = "DELETE",
        .key = upload->put->key,
        .query = query,
        .patience_s = ABORT_S,
        .once = true,
    };
    struct http_response response;
    struct s3_refusal refusal;
    struct err ignored = {0};
    if (s3_run(upload->s3, &request, &response, &refusal, &ignored) != 0 && refusal.status != 404) {
        struct err first = *err;
        err_set(err, first.code, first.field,
                "%s; the parts that had gone up could not be removed either", first.message);
    }
    s3_response_finish(&response);
    free(query);
}

int s3_upload_parts(struct s3 *s3, const struct storage_put *put, const struct s3_header *headers,
                    size_t header_count, struct err *err)
{
    struct upload upload = {
        .s3 = s3, .put = put, .part_size = S3_PART_SIZE, .begun_unix_s = (int64_t)time(NULL)};
    while (upload.part_size < UINT64_MAX / PARTS_MAX && put->len > upload.part_size * PARTS_MAX)
        upload.part_size += S3_PART_SIZE;
    upload.count = (size_t)((put->len + upload.part_size - 1) / upload.part_size);
    int result = begin(&upload, headers, header_count, err);
    if (result == 0) {
        pthread_mutex_init(&upload.lock, NULL);
        sync_cond_init(&upload.changed);
        upload.etags = mem_alloc_array(upload.count, sizeof(*upload.etags));
        result = send_parts(&upload, err);
        if (result == 0)
            result = complete(&upload, err);
        if (result != 0)
            give_up(&upload, err);
        for (size_t i = 0; i < upload.count; i++)
            free(upload.etags[i]);
        free(upload.etags);
        pthread_cond_destroy(&upload.changed);
        pthread_mutex_destroy(&upload.lock);
    }
    free(upload.id);
    return result;
}
