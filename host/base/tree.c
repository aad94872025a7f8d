/* Directories removed with all that is in them; see tree.h. Every name is reached from the descriptor of
 * its folder, so a folder that is replaced by a link meanwhile leads nowhere. */
#include "base/tree.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void push_name(struct str *path, const char *name)
{
    if (path->len)
        str_putc(path, '/');
    str_puts(path, name);
}

static void cut_path(struct str *path, size_t len)
{
    path->len = len;
    if (path->data)
        path->data[len] = '\0';
}

/* --- Removing whole --------------------------------------------------------------------------- */

struct removal {
    dev_t device;
    struct str path; /* of what is looked at, for messages */
    struct err *err; /* the first failure */
    int result;
};

static void removal_failed(struct removal *removal, const char *why)
{
    if (removal->result == 0)
        removal->result = err_set(removal->err, ERR_STORAGE, NULL, "%s: cannot be removed: %s",
                                  str_text(&removal->path), why);
}

/* Opens a folder of ours for reading and writing in it, whatever its mode; NULL with errno. */
static DIR *open_ours(int at, const char *name, struct stat *info)
{
    char link[32];
    DIR *dir = NULL;
    int fd = -1, path_fd = openat(at, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (path_fd < 0)
        return NULL;
    if (fstat(path_fd, info) == 0) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
        if ((info->st_mode & S_IRWXU) != S_IRWXU && chmod(link, S_IRWXU) != 0)
            errno = 0; /* opening says what is wrong */
        fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd >= 0 && !(dir = fdopendir(fd)))
        close(fd);
    int reason = errno;
    close(path_fd);
    errno = reason;
    return dir;
}

static void remove_entry(struct removal *removal, int at, const char *name, int depth);

static void remove_inside(struct removal *removal, DIR *dir, int depth)
{
    struct dirent *entry;
    size_t len = removal->path.len;
    while ((entry = readdir(dir))) {
        if (is_dot(entry->d_name))
            continue;
        push_name(&removal->path, entry->d_name);
        remove_entry(removal, dirfd(dir), entry->d_name, depth);
        cut_path(&removal->path, len);
    }
}

static void remove_entry(struct removal *removal, int at, const char *name, int depth)
{
    struct stat info;
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return;
    int reason = errno; /* EISDIR, or EPERM on some file systems, for a folder */
    DIR *dir = open_ours(at, name, &info);
    if (!dir) {
        removal_failed(removal, strerror(errno == ENOTDIR || errno == ELOOP ? reason : errno));
        return;
    }
    if (depth == 0)
        removal->device = info.st_dev;
    if (info.st_dev != removal->device)
        removal_failed(removal, "it is on another file system");
    else if (depth == TREE_DEPTH_MAX)
        removal_failed(removal, "it lies too deep");
    else
        remove_inside(removal, dir, depth + 1);
    bool gone = unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
    if (!gone && removal->result == 0) { /* a list that changes under its reader may skip names */
        rewinddir(dir);
        remove_inside(removal, dir, depth + 1);
        gone = unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
    }
    if (!gone)
        removal_failed(removal, strerror(errno));
    closedir(dir);
}

int tree_remove(const char *dir, struct err *err)
{
    struct removal removal = {.err = err};
    struct stat info;
    str_puts(&removal.path, dir);
    if (lstat(dir, &info) != 0) {
        if (errno != ENOENT)
            removal_failed(&removal, strerror(errno));
    } else if (!S_ISDIR(info.st_mode)) {
        removal_failed(&removal, "it is no folder");
    } else {
        remove_entry(&removal, AT_FDCWD, dir, 0);
    }
    str_finish(&removal.path);
    return removal.result;
}
