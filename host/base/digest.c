/* SHA-256; see digest.h. */
#include "base/digest.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

struct digest {
    EVP_MD_CTX *cx;
};

static void require(int ok)
{
    if (!ok)
        abort(); /* SHA-256 over memory fails only when memory is gone */
}

struct digest *digest_create(void)
{
    struct digest *d = mem_alloc(sizeof(*d));
    d->cx = EVP_MD_CTX_new();
    require(d->cx != NULL);
    require(EVP_DigestInit_ex(d->cx, EVP_sha256(), NULL));
    return d;
}

void digest_reset(struct digest *d)
{
    require(EVP_DigestInit_ex(d->cx, NULL, NULL)); /* the same again, without a look-up */
}

void digest_update(struct digest *d, const void *data, size_t len)
{
    require(EVP_DigestUpdate(d->cx, data, len));
}

void digest_final(struct digest *d, uint8_t out[DIGEST_SIZE])
{
    require(EVP_DigestFinal_ex(d->cx, out, NULL));
}

void digest_destroy(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->cx);
    free(d);
}

void digest_hex(const uint8_t digest[DIGEST_SIZE], char out[DIGEST_HEX_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[DIGEST_HEX_SIZE - 1] = '\0';
}

void digest_of(const void *data, size_t len, char out[DIGEST_HEX_SIZE])
{
    uint8_t bytes[DIGEST_SIZE];
    require(EVP_Digest(data, len, bytes, NULL, EVP_sha256(), NULL));
    digest_hex(bytes, out);
}

void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[DIGEST_SIZE])
{
    size_t out_len = 0;
    require(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, data, len, out, DIGEST_SIZE,
                      &out_len) != NULL);
    require(out_len == DIGEST_SIZE);
}

int digest_of_file(const char *path, char out[DIGEST_HEX_SIZE])
{
    enum { BLOCK_SIZE = 1 << 16 };
    int result = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    struct digest *d = digest_create();
    char *block = mem_alloc(BLOCK_SIZE);
    for (;;) {
        ssize_t got = read(fd, block, BLOCK_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        if (got == 0) {
            uint8_t bytes[DIGEST_SIZE];
            digest_final(d, bytes);
            digest_hex(bytes, out);
            result = 0;
            break;
        }
        digest_update(d, block, (size_t)got);
    }
    int saved = errno;
    free(block);
    digest_destroy(d);
    close(fd);
    errno = saved;
    return result;
}
