/* A lock that lies on the file that is being made, so that nothing is left behind and a dead
 * holder holds nothing. Works between processes, and between machines where the file system
 * passes flock on (NFS does). Knows no downloads. */
#include "hub/hub_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES_MAX 100 /* each one means that a holder just renamed or removed the file */
#define WAIT_MS 20
#define WAITS_MAX 3000

int hub_lock_try(const char *path, int *fd, struct err *err)
{
    struct stat ours, named;
    for (int i = 0; i < TRIES_MAX; i++) {
        *fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (*fd < 0 && errno == ELOOP)
            return err_set(err, ERR_STORAGE, NULL,
                           "%s: is a symbolic link, which is not written through: remove it", path);
        if (*fd < 0)
            return err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", path, strerror(errno));
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
            int reason = errno;
            close(*fd);
            *fd = -1;
            if (reason == EWOULDBLOCK)
                return 0;
            return err_set(err, ERR_STORAGE, NULL,
                           "%s: cannot be locked: %s (does its file system take locks?)", path,
                           strerror(reason));
        }
        if (fstat(*fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev)
            return 1;
        close(*fd); /* what we hold has another name by now, or none */
        *fd = -1;
    }
    return 0;
}

int hub_lock_wait(const char *path, int *fd, struct err *err)
{
    const struct timespec pause = {0, WAIT_MS * 1000000L};
    for (int i = 0; i < WAITS_MAX; i++) {
        int result = hub_lock_try(path, fd, err);
        if (result != 0)
            return result;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_STORAGE, NULL, "%s: another process has had it for a minute", path);
}
