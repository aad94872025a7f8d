/* A bucket that does not exist, for the tests of S3. */
#ifndef S3_EXAMPLE_H
#define S3_EXAMPLE_H

#include "store/store_private.h"

#define ACCESS_KEY "AKIAIOSFODNN7EXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static inline struct s3_target example_target(void)
{
    return (struct s3_target){.endpoint = "https://s3.amazonaws.com",
                              .bucket = "examplebucket",
                              .access_key = ACCESS_KEY,
                              .secret_key = SECRET_KEY,
                              .presign_ttl_s = 86400};
}

/* One object to a bucket that was not open before. */
static inline int put_now(const struct s3_target *target, const char *key, const char *content_type,
                          const void *data, size_t len, const atomic_int *stop, struct err *err)
{
    struct storage *storage;
    const struct storage_put put = {
        .key = key, .content_type = content_type, .data = data, .len = len, .stop = stop};
    int result = storage_open_s3(target, &storage, err);
    if (result == 0)
        result = storage_put(storage, &put, err);
    storage_close(storage);
    return result;
}

#endif
