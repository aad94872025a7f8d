/* What is done to objects by single requests: a put of moderate size, head, read, list, delete.
 * Large objects go through s3_upload.c and s3_download.c. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SINGLE_PUT_MAX (2 * S3_PART_SIZE) /* what is larger goes up in parts */
#define LIST_PAGES_MAX 100000             /* 100 million objects */

static bool is_missing(const struct s3_refusal *refusal)
{
    return refusal->status == 404 && (!*refusal->code || strcmp(refusal->code, "NoSuchKey") == 0);
}

/* --- Put -------------------------------------------------------------------------------------- */

static ssize_t read_put(void *buf, size_t len, uint64_t offset, void *arg)
{
    return storage_put_read(arg, buf, len, offset);
}

static int put_whole(struct s3 *s3, const struct storage_put *put, const struct s3_header *headers,
                     size_t header_count, struct err *err)
{
    char hash[DIGEST_HEX_SIZE];
    struct http_response response;
    struct s3_refusal refusal;
    struct err unread = {0};
    if (storage_put_digest(put, 0, put->len, hash, err) != 0)
        return err->code;
    err_set(&unread, ERR_STORAGE, NULL, "the file changed while it was uploaded");
    struct s3_request request = {
        .what = "upload",
        .method = "PUT",
        .key = put->key,
        .headers = headers,
        .header_count = header_count,
        .body = put->data,
        .body_read = put->data || put->len == 0 ? NULL : read_put,
        .body_len = put->len,
        .payload_hash = hash,
        .arg = (void *)put,
        .failure = &unread,
        .stop = put->stop,
        .deadline = put->deadline,
    };
    int result = s3_run(s3, &request, &response, &refusal, err);
    s3_response_finish(&response);
    return result;
}

int s3_store(struct s3 *s3, const struct storage_put *put, struct err *err)
{
    struct text_list texts = {0};
    struct s3_header headers[STORAGE_METADATA_MAX + 1] = {{"content-type", put->content_type}};
    size_t count = 1;
    int result = 0;
    if (!s3_is_header_text(put->content_type) || !*put->content_type)
        return err_set(err, ERR_INVALID, NULL, "the content type is not plain ASCII");
    if (put->metadata)
        result = s3_metadata_read(put->metadata, &texts, err);
    for (size_t i = 0; result == 0 && i < texts.count; i += 2)
        headers[count++] = (struct s3_header){texts.items[i], texts.items[i + 1]};
    if (result == 0 && put->len <= SINGLE_PUT_MAX)
        result = put_whole(s3, put, headers, count, err);
    else if (result == 0)
        result = s3_upload_parts(s3, put, headers, count, err);
    text_list_finish(&texts);
    return result;
}

/* --- Head, delete, read ----------------------------------------------------------------------- */

/* A date of HTTP, "Wed, 21 Oct 2015 07:28:00 GMT", or of a list, "2015-10-21T07:28:00.000Z"; 0 when
 * it is none. */
static int64_t parse_time(const char *text)
{
    struct tm utc = {0};
    const char *end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &utc) : NULL;
    if (text && !end)
        end = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    return end ? (int64_t)timegm(&utc) : 0;
}

int s3_head(struct s3 *s3, const char *key, const atomic_int *stop, struct storage_object *object,
            struct err *err)
{
    static const char *const lines[] = {"accept-encoding: identity",
                                        NULL}; /* else its length may be another */
    const struct s3_request request = {
        .what = "look at the object", .method = "HEAD", .key = key, .lines = lines, .stop = stop};
    struct http_response response;
    struct s3_refusal refusal;
    *object = (struct storage_object){.key = key};
    int result = s3_run(s3, &request, &response, &refusal, err);
    if (result == ERR_STORAGE && is_missing(&refusal))
        return s3_missing(s3, err);
    if (result != 0)
        return result;
    char *length = http_response_header(&response, "content-length");
    char *modified = http_response_header(&response, "last-modified");
    object->len = length ? strtoull(length, NULL, 10) : 0;
    object->modified_unix_s = parse_time(modified);
    memcpy(object->content_type, response.content_type, sizeof(object->content_type));
    if (!length)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: does not say how long the object is", s3_name(s3));
    free(length);
    free(modified);
    s3_response_finish(&response);
    return result;
}

int s3_delete(struct s3 *s3, const char *key, const atomic_int *stop, struct err *err)
{
    const struct s3_request request = {
        .what = "deletion", .method = "DELETE", .key = key, .stop = stop};
    struct http_response response;
    struct s3_refusal refusal;
    int result = s3_run(s3, &request, &response, &refusal, err);
    s3_response_finish(&response);
    return result == ERR_STORAGE && is_missing(&refusal) ? 0 : result;
}

struct reading {
    struct str *out;
    size_t bytes_max;
    struct err err;
};

static void begin_reading(void *arg)
{
    struct reading *reading = arg;
    str_clear(reading->out);
}

static int take_bytes(const struct http_response *head, const void *data, size_t len, void *arg)
{
    struct reading *reading = arg;
    (void)head;
    if (len > reading->bytes_max - reading->out->len)
        return err_set(&reading->err, ERR_TOO_LARGE, NULL, "the object has more than %zu bytes",
                       reading->bytes_max);
    str_append(reading->out, data, len);
    return 0;
}

int s3_read(struct s3 *s3, const char *key, size_t bytes_max, const atomic_int *stop,
            struct str *out, struct err *err)
{
    struct reading reading = {.out = out, .bytes_max = bytes_max};
    const struct s3_request request = {
        .what = "download",
        .method = "GET",
        .key = key,
        .take = take_bytes,
        .begin = begin_reading,
        .arg = &reading,
        .expected_len = bytes_max,
        .failure = &reading.err,
        .stop = stop,
    };
    struct http_response response;
    struct s3_refusal refusal;
    int result = s3_run(s3, &request, &response, &refusal, err);
    s3_response_finish(&response);
    if (result != 0)
        str_finish(out);
    return result == ERR_STORAGE && is_missing(&refusal) ? s3_missing(s3, err) : result;
}

/* --- List ------------------------------------------------------------------------------------- */

/* True for what storage_put may have made: no placeholder of a folder ("a/"), nothing that leads
 * elsewhere as a path. */
static bool is_key(const char *key, size_t len)
{
    size_t bad;
    return fs_path_is_inside(key) && utf8_valid(key, len, &bad);
}

static int show_object(const struct s3_listing *listing, const char *xml, const char *end)
{
    struct str key = {0}, len = {0}, modified = {0};
    struct storage_object object = {0};
    int result = 0;
    s3_xml_text(xml, end, "Key", &key);
    s3_xml_text(xml, end, "Size", &len);
    s3_xml_text(xml, end, "LastModified", &modified);
    object.len = strtoull(str_text(&len), NULL, 10);
    object.modified_unix_s = parse_time(str_text(&modified));
    size_t base_len = strlen(listing->base);
    if (key.len > base_len && strncmp(key.data, listing->base, base_len) == 0 &&
        is_key(key.data + base_len, key.len - base_len)) {
        object.key = key.data + base_len;
        result = listing->each(&object, listing->arg);
    }
    str_finish(&key);
    str_finish(&len);
    str_finish(&modified);
    return result;
}

int s3_list_read(const struct s3_listing *listing, const char *xml, struct str *token,
                 struct err *err)
{
    char truncated[S3_WORD_SIZE];
    int result = 0;
    const char *at = xml;
    str_clear(token);
    if (!strstr(xml, "<ListBucketResult") || !strstr(xml, "</ListBucketResult>"))
        return err_set(err, ERR_STORAGE, NULL,
                       "%s: answered something that is no whole list of objects", listing->name);
    while (result == 0 && (at = strstr(at, "<Contents>"))) {
        const char *end = strstr(at, "</Contents>");
        if (!end)
            return err_set(err, ERR_STORAGE, NULL, "%s: answered half a list of objects",
                           listing->name);
        result = show_object(listing, at, end);
        at = end;
    }
    s3_xml_word(xml, "IsTruncated", truncated);
    if (result != 0 || strcmp(truncated, "true") != 0)
        return result;
    s3_xml_text(xml, NULL, "NextContinuationToken", token);
    if (token->len == 0)
        return err_set(err, ERR_STORAGE, NULL,
                       "%s: says that there are more objects and not how to get them",
                       listing->name);
    return 0;
}

static int list_pages(struct s3 *s3, const struct s3_listing *listing, const char *prefix,
                      const atomic_int *stop, struct err *err)
{
    struct str token = {0}, asked = {0}, query = {0};
    struct http_response response;
    struct s3_refusal refusal;
    int result = 0;
    for (int page = 0; result == 0 && (page == 0 || token.len > 0); page++) {
        if (page == LIST_PAGES_MAX) {
            result = err_set(err, ERR_TOO_LARGE, NULL, "%s: the list has over %d pages",
                             listing->name, LIST_PAGES_MAX);
            break;
        }
        str_clear(&query);
        str_clear(&asked);
        str_append(&asked, token.data, token.len);
        if (token.len > 0) { /* sorted by name */
            str_puts(&query, "continuation-token=");
            s3_encode(&query, token.data, false);
            str_putc(&query, '&');
        }
        str_puts(&query, "list-type=2&prefix=");
        s3_encode(&query, listing->base, false);
        s3_encode(&query, prefix, false);
        const struct s3_request request = {
            .what = "list of objects", .method = "GET", .query = query.data, .stop = stop};
        result = s3_run(s3, &request, &response, &refusal, err);
        if (result == 0)
            result = s3_list_read(listing, str_text(&response.body), &token, err);
        if (result == 0 && token.len > 0 && strcmp(token.data, str_text(&asked)) == 0)
            result = err_set(err, ERR_STORAGE, NULL, "%s: names the same page of its list again",
                             listing->name);
        s3_response_finish(&response);
    }
    str_finish(&asked);
    str_finish(&token);
    str_finish(&query);
    return result;
}

int s3_list(struct s3 *s3, const char *prefix, const atomic_int *stop,
            int (*each)(const struct storage_object *object, void *arg), void *arg, struct err *err)
{
    char *base = s3_key_base(s3);
    const struct s3_listing listing = {.name = s3_name(s3), .base = base, .each = each, .arg = arg};
    int result = list_pages(s3, &listing, prefix, stop, err);
    free(base);
    return result;
}
