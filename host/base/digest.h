/* SHA-256 over OpenSSL. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32
#define DIGEST_HEX_SIZE 65 /* with the terminator */

struct digest; /* one running SHA-256; used by one thread at a time */

struct digest *digest_create(void);
void digest_reset(struct digest *d); /* ready for another message */
void digest_update(struct digest *d, const void *data, size_t len);
void digest_final(struct digest *d, uint8_t out[DIGEST_SIZE]);
void digest_destroy(struct digest *d);

void digest_hex(const uint8_t digest[DIGEST_SIZE], char out[DIGEST_HEX_SIZE]);
void digest_of(const void *data, size_t len, char out[DIGEST_HEX_SIZE]);

#define DIGEST_BLOCK_SIZE 64

struct digest_pair; /* SHA-256 of two messages of one length at once, where many are to be done: on
                     * x86 in little more than the time of one; used by one thread at a time */

struct digest_pair *digest_pair_create(void);
/* `len` more bytes of each, a multiple of DIGEST_BLOCK_SIZE. */
void digest_pair_update(struct digest_pair *pair, const void *one, const void *two, size_t len);
/* Once; then it is only good to be destroyed. */
void digest_pair_final(struct digest_pair *pair, uint8_t out[2][DIGEST_SIZE]);
void digest_pair_destroy(struct digest_pair *pair); /* takes NULL */

/* HMAC-SHA256. */
void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[DIGEST_SIZE]);

/* The digest of a file's content; 0, or -1 with errno. */
int digest_of_file(const char *path, char out[DIGEST_HEX_SIZE]);

#endif
