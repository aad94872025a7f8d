/* Prepared references in the model's cache directory: KEY.f5ref, so that the next job with a voice
 * finds the wave ready. The key is a digest of all that the wave follows from, so a file never
 * becomes wrong by age; the digest at its end tells whether it is whole.
 *
 * The file: struct header, `count` samples, SHA-256 of both. In the byte order of the machine,
 * whose cache it is.
 */
#include "reference.h"

#include "vox/helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILE_MAGIC "F5REF\r\n"
#define PROFILE_VERSION 1 /* changes with the file and with whatever changes the wave */
#define DIGEST_SIZE 32
#define SAMPLES_MAX ((uint64_t)(F5_REFERENCE_SECONDS_MAX * F5_RATE_HZ) + 1)
#define PATH_SIZE 4096

struct header {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    float rms;
    uint32_t clipped;
    double seconds;
    uint64_t count;
};

struct part {
    const void *data;
    size_t size;
};

static int32_t digest(const struct part *parts, size_t count, unsigned char out[DIGEST_SIZE])
{
    EVP_MD_CTX *cx = EVP_MD_CTX_new();
    int ok = cx && EVP_DigestInit_ex(cx, EVP_sha256(), NULL);
    for (size_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(cx, parts[i].data, parts[i].size);
    ok = ok && EVP_DigestFinal_ex(cx, out, NULL);
    EVP_MD_CTX_free(cx);
    return ok ? VOX_OK : VOX_ENOMEM;
}

int32_t f5_profile_key(const struct f5_pcm *pcm, const struct f5_reference_options *options,
                       char key[F5_PROFILE_KEY_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    uint32_t target_rms;
    memcpy(&target_rms, &options->target_rms, sizeof(target_rms));
    const uint32_t facts[] = {PROFILE_VERSION, pcm->rate_hz, pcm->channels, options->silence_trim,
                              target_rms};
    const struct part parts[] = {
        {facts, sizeof(facts)},
        {pcm->samples, sizeof(float) * pcm->frames * pcm->channels},
    };
    unsigned char sum[DIGEST_SIZE];
    if (digest(parts, 2, sum) != VOX_OK)
        return VOX_ENOMEM;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        key[2 * i] = hex[sum[i] >> 4];
        key[2 * i + 1] = hex[sum[i] & 15];
    }
    key[(size_t)2 * DIGEST_SIZE] = '\0';
    return VOX_OK;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool read_all(int fd, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, (char *)data + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static bool header_is_good(const struct header *h, uint64_t file_size)
{
    return memcmp(h->magic, PROFILE_MAGIC, sizeof(h->magic)) == 0 &&
           h->version == PROFILE_VERSION && h->header_size == sizeof(*h) && h->count >= 1 &&
           h->count <= SAMPLES_MAX &&
           file_size == sizeof(*h) + sizeof(float) * h->count + DIGEST_SIZE && isfinite(h->rms) &&
           h->rms > 0 && isfinite(h->seconds) && h->seconds > 0;
}

/* Samples of a file whose header is good; NULL when they are not what was written. */
static float *read_samples(int fd, const struct header *h)
{
    unsigned char stored[DIGEST_SIZE], computed[DIGEST_SIZE];
    size_t size = sizeof(float) * h->count;
    float *samples = malloc(size);
    const struct part parts[] = {{h, sizeof(*h)}, {samples, size}};
    if (samples && read_all(fd, samples, size) && read_all(fd, stored, sizeof(stored)) &&
        digest(parts, 2, computed) == VOX_OK && memcmp(stored, computed, sizeof(stored)) == 0)
        return samples;
    free(samples);
    return NULL;
}

bool f5_profile_load(const char *cache_dir, const char *key, struct f5_reference *out)
{
    char path[PATH_SIZE];
    struct header h = {0};
    struct stat status;
    *out = (struct f5_reference){0};
    int length = snprintf(path, sizeof(path), "%s/%s.f5ref", cache_dir, key);
    if (length < 0 || (size_t)length >= sizeof(path))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a FIFO would block */
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && read_all(fd, &h, sizeof(h)) &&
        header_is_good(&h, (uint64_t)status.st_size))
        out->samples = read_samples(fd, &h);
    close(fd);
    if (!out->samples)
        return false;
    out->count = h.count;
    out->rms = h.rms;
    out->seconds = h.seconds;
    out->clipped = h.clipped != 0;
    return true;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static bool write_all(int fd, const struct part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t done = 0; done < parts[i].size;) {
            ssize_t put = write(fd, (const char *)parts[i].data + done, parts[i].size - done);
            if (put < 0 && errno == EINTR)
                continue;
            if (put <= 0)
                return false;
            done += (size_t)put;
        }
    }
    return true;
}

int32_t f5_profile_save(const char *cache_dir, const char *key,
                        const struct f5_reference *reference, struct vox_error *error)
{
    char path[PATH_SIZE], temporary[PATH_SIZE];
    unsigned char sum[DIGEST_SIZE];
    struct header h;
    memset(&h, 0, sizeof(h)); /* the digest covers every byte */
    memcpy(h.magic, PROFILE_MAGIC, sizeof(h.magic));
    h.version = PROFILE_VERSION;
    h.header_size = sizeof(h);
    h.rms = reference->rms;
    h.clipped = reference->clipped;
    h.seconds = reference->seconds;
    h.count = reference->count;
    const struct part parts[] = {{&h, sizeof(h)},
                                 {reference->samples, sizeof(float) * reference->count},
                                 {sum, sizeof(sum)}};
    int length = snprintf(path, sizeof(path), "%s/%s.f5ref", cache_dir, key);
    int length2 = snprintf(temporary, sizeof(temporary), "%s/.%s.XXXXXX", cache_dir, key);
    if (length < 0 || length2 < 0 || (size_t)length >= sizeof(path) ||
        (size_t)length2 >= sizeof(temporary))
        return vox_fail(error, VOX_EINTERNAL, "%s: path is too long", cache_dir);
    if (digest(parts, 2, sum) != VOX_OK)
        return vox_fail(error, VOX_ENOMEM, "out of memory while saving the reference");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return vox_fail(error, VOX_EINTERNAL, "%s: cannot be written: %s", temporary,
                        strerror(errno));
    bool written = write_all(fd, parts, VOX_COUNT(parts));
    written = close(fd) == 0 && written;
    if (written && rename(temporary, path) == 0)
        return VOX_OK;
    int32_t rc = vox_fail(error, VOX_EINTERNAL, "%s: cannot be written: %s", path, strerror(errno));
    unlink(temporary);
    return rc;
}
