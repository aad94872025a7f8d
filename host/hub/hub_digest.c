/* The digests that a hub names a file by: SHA-256 of large ones, the SHA-1 of git's blob of
 * small ones. SHA-256 is always computed, since that is what the record keeps. Knows no
 * downloads. */
#include "hub/hub_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_SIZE (256u << 10)
#define GIT_DIGITS 40

struct hub_hash {
    EVP_MD_CTX *sha256, *git; /* git: NULL when it is not asked for */
};

static EVP_MD_CTX *begin(const EVP_MD *kind)
{
    EVP_MD_CTX *cx = EVP_MD_CTX_new();
    if (!cx || !EVP_DigestInit_ex(cx, kind, NULL))
        abort(); /* over memory that fails only when memory is gone */
    return cx;
}

static void end(EVP_MD_CTX *cx, char *hex)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_DigestFinal_ex(cx, bytes, &len))
        abort();
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", bytes[i]);
}

bool hub_digest_valid(const char *text)
{
    size_t len = strlen(text);
    return (len == GIT_DIGITS || len == HUB_DIGEST_SIZE - 1) &&
           strspn(text, "0123456789abcdef") == len;
}

const char *hub_digest_like(const struct hub_digests *digests, const char *digest)
{
    return strlen(digest) == GIT_DIGITS ? digests->git : digests->sha256;
}

struct hub_hash *hub_hash_create(const char *digest, uint64_t size)
{
    struct hub_hash *hash = mem_alloc(sizeof(*hash));
    hash->sha256 = begin(EVP_sha256());
    if (strlen(digest) == GIT_DIGITS) {
        char head[32];
        int len = snprintf(head, sizeof(head), "blob %" PRIu64, size);
        hash->git = begin(EVP_sha1());
        EVP_DigestUpdate(hash->git, head, (size_t)len + 1); /* with the NUL */
    }
    return hash;
}

void hub_hash_update(struct hub_hash *hash, const void *data, size_t len)
{
    EVP_DigestUpdate(hash->sha256, data, len);
    if (hash->git)
        EVP_DigestUpdate(hash->git, data, len);
}

void hub_hash_final(struct hub_hash *hash, struct hub_digests *digests)
{
    *digests = (struct hub_digests){0};
    end(hash->sha256, digests->sha256);
    if (hash->git)
        end(hash->git, digests->git);
}

void hub_hash_destroy(struct hub_hash *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->sha256);
    EVP_MD_CTX_free(hash->git);
    free(hash);
}

int hub_hash_file(const char *path, const char *digest, const volatile sig_atomic_t *stop,
                  struct hub_digests *digests, struct err *err)
{
    struct stat info;
    struct hub_hash *hash = NULL;
    char *block = mem_alloc(BLOCK_SIZE);
    ssize_t got = -1;
    int result = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        goto out;
    hash = hub_hash_create(digest, (uint64_t)info.st_size);
    while ((got = read(fd, block, BLOCK_SIZE)) != 0 && !(stop && *stop)) {
        if (got < 0 && errno != EINTR)
            break;
        if (got > 0)
            hub_hash_update(hash, block, (size_t)got);
    }
    if (got == 0)
        hub_hash_final(hash, digests);
    else if (got > 0 || errno == EINTR)
        result = err_set(err, ERR_CANCELLED, NULL, "%s: checking it was stopped", path);
out:
    if (got < 0 && result == 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be read: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(block);
    hub_hash_destroy(hash);
    return result;
}
