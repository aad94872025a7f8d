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

/* HMAC-SHA256. */
void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[DIGEST_SIZE]);

/* The digest of a file's content; 0, or -1 with errno. */
int digest_of_file(const char *path, char out[DIGEST_HEX_SIZE]);

#endif
