/* One interface over a directory and a bucket, and what both need: reading what is put, files that
 * appear whole, digests. */
#include "store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct storage {
    struct storage_dir *dir; /* one of the two */
    struct s3 *s3;
    char *public_base_url; /* of a bucket; NULL: none */
};

/* --- Life ------------------------------------------------------------------------------------- */

int storage_open_s3(const struct s3_target *target, struct storage **out, struct err *err)
{
    struct s3 *s3;
    *out = NULL;
    if (s3_open(target, &s3, err) != 0)
        return err->code;
    *out = mem_alloc(sizeof(**out));
    (*out)->s3 = s3;
    return 0;
}

static int open_bucket(const struct manifest_storage *manifest, struct storage **out,
                       struct err *err)
{
    struct s3_credentials file = {0};
    struct s3_target target = {
        .endpoint = manifest->endpoint,
        .bucket = manifest->bucket,
        .region = manifest->region,
        .access_key = manifest->access_key,
        .secret_key = manifest->secret_key,
        .session_token = manifest->session_token,
        .prefix = manifest->prefix,
        .path_style = manifest->path_style,
        .presign_ttl_s = manifest->presign_ttl_s,
    };
    if (!target.access_key && manifest->credentials_file) {
        if (s3_credentials_read(manifest->credentials_file, &file, err) != 0)
            return err->code;
        target.access_key = file.access_key;
        target.secret_key = file.secret_key;
        target.session_token = file.session_token;
    }
    int result = storage_open_s3(&target, out, err);
    if (result == 0 && *out)
        (*out)->public_base_url = mem_copy_string(manifest->public_base_url);
    s3_credentials_finish(&file);
    return result;
}

int storage_open(const struct manifest_storage *manifest, struct storage **out, struct err *err)
{
    struct storage_dir *dir;
    *out = NULL;
    if (manifest->type == STORAGE_NONE)
        return 0;
    if (manifest->type == STORAGE_S3)
        return open_bucket(manifest, out, err);
    if (storage_dir_open(manifest, &dir, err) != 0)
        return err->code;
    uint8_t secret[DIGEST_SIZE]; /* what the first result would miss, a start shall miss */
    if (manifest->key_template && strstr(manifest->key_template, "{random}") &&
        storage_dir_secret(dir, secret, err) != 0) {
        storage_dir_close(dir);
        return err->code;
    }
    *out = mem_alloc(sizeof(**out));
    (*out)->dir = dir;
    return 0;
}

void storage_close(struct storage *storage)
{
    if (!storage)
        return;
    storage_dir_close(storage->dir);
    s3_close(storage->s3);
    free(storage->public_base_url);
    free(storage);
}

const char *storage_name(const struct storage *storage)
{
    return storage->s3 ? s3_name(storage->s3) : storage_dir_name(storage->dir);
}

int64_t storage_clock_skew_s(const struct storage *storage)
{
    return storage->s3 ? s3_clock_skew(storage->s3) : 0;
}

/* --- Objects ---------------------------------------------------------------------------------- */

int storage_check_room(const struct storage *storage, uint64_t len, const struct log *log,
                       struct err *err)
{
    return storage->s3 ? 0 : storage_dir_check_room(storage->dir, len, log, err);
}

int storage_put(struct storage *storage, const struct storage_put *put, struct err *err)
{
    return storage->s3 ? s3_store(storage->s3, put, err) : storage_dir_put(storage->dir, put, err);
}

char *storage_fit_metadata(const struct storage *storage, cJSON *metadata)
{
    return storage->s3 ? s3_metadata_fit(metadata) : NULL;
}

int storage_get(struct storage *storage, const struct storage_get *get, struct err *err)
{
    return storage->s3 ? s3_fetch(storage->s3, get, err) : storage_dir_get(storage->dir, get, err);
}

int storage_read(struct storage *storage, const char *key, size_t bytes_max, const atomic_int *stop,
                 struct str *out, struct err *err)
{
    return storage->s3 ? s3_read(storage->s3, key, bytes_max, stop, out, err)
                       : storage_dir_read(storage->dir, key, bytes_max, out, err);
}

int storage_head(struct storage *storage, const char *key, const atomic_int *stop,
                 struct storage_object *object, struct err *err)
{
    return storage->s3 ? s3_head(storage->s3, key, stop, object, err)
                       : storage_dir_head(storage->dir, key, object, err);
}

int storage_list(struct storage *storage, const char *prefix, const atomic_int *stop,
                 int (*each)(const struct storage_object *object, void *arg), void *arg,
                 struct err *err)
{
    return storage->s3 ? s3_list(storage->s3, prefix, stop, each, arg, err)
                       : storage_dir_list(storage->dir, prefix, stop, each, arg, err);
}

int storage_delete(struct storage *storage, const char *key, const atomic_int *stop,
                   struct err *err)
{
    return storage->s3 ? s3_delete(storage->s3, key, stop, err)
                       : storage_dir_delete(storage->dir, key, err);
}

int storage_url(const struct storage *storage, const char *key, struct str *url, struct err *err)
{
    if (storage->dir)
        return storage_dir_url(storage->dir, key, url, err);
    if (!storage->public_base_url)
        return s3_presign(storage->s3, key, url, err);
    struct str signed_url = {0};
    int result = s3_presign(storage->s3, key, &signed_url, err); /* checks the key */
    if (result == 0) {
        char *base = s3_key_base(storage->s3);
        str_puts(url, storage->public_base_url);
        if (url->data[url->len - 1] != '/')
            str_putc(url, '/');
        s3_encode(url, base, true);
        s3_encode(url, key, true);
        free(base);
    }
    str_finish(&signed_url);
    return result;
}

int storage_random(const struct storage *storage, const char *job_id, char out[STORAGE_RANDOM_SIZE],
                   struct err *err)
{
    uint8_t secret[DIGEST_SIZE], digest[DIGEST_SIZE];
    char text[DIGEST_HEX_SIZE];
    if (!storage || !job_id || !*job_id) {
        snprintf(out, STORAGE_RANDOM_SIZE, "%016llx%016llx", (unsigned long long)random_u64(),
                 (unsigned long long)random_u64());
        return 0;
    }
    if (storage->s3)
        s3_secret_of(storage->s3, secret);
    else if (storage_dir_secret(storage->dir, secret, err) != 0)
        return err->code;
    digest_hmac(secret, sizeof(secret), job_id, strlen(job_id), digest);
    digest_hex(digest, text);
    snprintf(out, STORAGE_RANDOM_SIZE, "%.*s", STORAGE_RANDOM_SIZE - 1, text);
    return 0;
}

/* --- For both --------------------------------------------------------------------------------- */

int storage_put_check(const struct storage_put *put, struct err *err)
{
    if (put->stop && atomic_load(put->stop) != 0)
        return err_set(err, ERR_CANCELLED, NULL, "the upload was stopped");
    if (put->deadline != 0 && clock_now() >= put->deadline)
        return err_set(err, ERR_TIMEOUT, NULL, "the upload was not done in time");
    return 0;
}

ssize_t storage_put_read(const struct storage_put *put, void *buf, size_t len, uint64_t offset)
{
    if (offset >= put->len)
        return 0;
    if (len > put->len - offset)
        len = (size_t)(put->len - offset);
    if (!put->data)
        return pread(put->fd, buf, len, (off_t)offset);
    memcpy(buf, (const char *)put->data + offset, len);
    return (ssize_t)len;
}

int storage_put_digest(const struct storage_put *put, uint64_t offset, uint64_t len,
                       char out[DIGEST_HEX_SIZE], struct err *err)
{
    uint8_t bytes[DIGEST_SIZE];
    if (put->data || len == 0) {
        digest_of(len == 0 ? "" : (const char *)put->data + offset, (size_t)len, out);
        return 0;
    }
    struct digest *digest = digest_create();
    char *buf = mem_alloc(S3_BUFFER_SIZE);
    int result = 0;
    for (uint64_t at = 0; at < len && result == 0;) {
        size_t want = len - at < S3_BUFFER_SIZE ? (size_t)(len - at) : S3_BUFFER_SIZE;
        ssize_t got = pread(put->fd, buf, want, (off_t)(offset + at));
        if (got < 0)
            result =
                err_set(err, ERR_STORAGE, NULL, "the file cannot be read: %s", strerror(errno));
        else if (got == 0)
            result = err_set(err, ERR_STORAGE, NULL, "the file changed while it was uploaded");
        else
            digest_update(digest, buf, (size_t)got);
        at += got > 0 ? (uint64_t)got : 0;
    }
    digest_final(digest, bytes);
    digest_hex(bytes, out);
    digest_destroy(digest);
    free(buf);
    return result;
}

int storage_file_open(struct storage_file *file, const char *path, struct err *err)
{
    *file = (struct storage_file){.path = path, .fd = -1};
    file->temp = str_format("%s.%016llx.part", path, (unsigned long long)random_u64());
    file->fd = open(file->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0)
        return 0;
    int result =
        err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", file->temp, strerror(errno));
    free(file->temp);
    return result;
}

int storage_file_finish(struct storage_file *file, int result, struct err *err)
{
    if (close(file->fd) != 0 && result == 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", file->path,
                         strerror(errno));
    if (result == 0 && rename(file->temp, file->path) != 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", file->path,
                         strerror(errno));
    if (result != 0)
        unlink(file->temp);
    free(file->temp);
    return result;
}

int storage_get_check(const struct storage_get *get, const uint8_t digest[DIGEST_SIZE],
                      struct err *err)
{
    char text[DIGEST_HEX_SIZE];
    digest_hex(digest, text);
    if (get->sha256_out)
        memcpy(get->sha256_out, text, sizeof(text));
    if (!get->sha256 || text_equal_nocase(get->sha256, text))
        return 0;
    return err_set(err, ERR_STORAGE, NULL, "the object has the SHA-256 %s, expected %s", text,
                   get->sha256);
}
