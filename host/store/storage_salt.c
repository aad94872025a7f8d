/* The secret of a directory: a hidden file of random digits, made by whoever needs it first and read
 * by all others. Names of objects follow from it (storage_random); a lost one only means that
 * results of earlier jobs are not found again by their ids. */
#include "store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Hidden like the folders of runs: no list shows it, no key reaches it. */
#define SALT_NAME ".voxhost-salt"
#define SALT_DIGITS 64
#define SALT_SIZE_MAX 256
#define ABSENT 1 /* no error code */

static void make_digits(struct str *text)
{
    for (int i = 0; i < SALT_DIGITS / 16; i++)
        str_printf(text, "%016llx", (unsigned long long)random_u64());
    str_putc(text, '\n');
}

/* Puts a new one at `path` unless another process was faster. Where there are no hard links, of two
 * first runs at one moment the later wins. */
static int make_salt(struct store *store, const char *path, struct err *err)
{
    struct str text = {0};
    char *temp = store_temp(store);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), result = 0;
    make_digits(&text);
    bool written = fd >= 0 && fs_write_all(fd, str_text(&text), text.len) == 0 && fsync(fd) == 0;
    if (!written || (link(temp, path) != 0 && errno != EEXIST && rename(temp, path) != 0))
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    unlink(temp);
    str_finish(&text);
    free(temp);
    return result;
}

/* ABSENT when there is none. */
static int read_salt(const char *path, uint8_t out[DIGEST_SIZE], struct err *err)
{
    char text[SALT_SIZE_MAX] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return ABSENT;
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    int result = 0;
    if (len < 0)
        result = err_set(err, ERR_STORAGE, NULL,
                         "%s: cannot be read: %s; {random} in storage.key_template needs it", path,
                         strerror(errno));
    else if (strspn(text, "0123456789abcdef") != SALT_DIGITS)
        result = err_set(err, ERR_STORAGE, NULL,
                         "%s: expected %d digits; put the file back, or remove it and results so "
                         "far are not found by their job's id",
                         path, SALT_DIGITS);
    else
        digest_hmac(text, SALT_DIGITS, "", 0, out);
    if (fd >= 0)
        close(fd);
    return result;
}

int storage_salt_read(struct store *store, uint8_t out[DIGEST_SIZE], struct err *err)
{
    char *path = fs_join(store_dir(store), SALT_NAME);
    int result = read_salt(path, out, err);
    if (result == ABSENT) {
        result = make_salt(store, path, err);
        if (result == 0)
            result = read_salt(path, out, err);
        if (result == ABSENT)
            result = err_set(err, ERR_STORAGE, NULL, "%s: was removed as it was made", path);
    }
    free(path);
    return result;
}
