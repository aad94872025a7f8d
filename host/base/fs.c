/* Files and paths; see fs.h. */
#include "base/fs.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- Paths ------------------------------------------------------------------------------------ */

char *fs_absolute(const char *base, const char *path)
{
    struct str out = {0};
    char *joined = path[0] == '/' ? mem_copy_string(path) : str_format("%s/%s", base, path);
    for (const char *p = joined; *p;) {
        p += strspn(p, "/");
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.') {
            while (out.len && out.data[--out.len] != '/')
                ;
        } else if (len && !(len == 1 && p[0] == '.')) {
            str_putc(&out, '/');
            str_append(&out, p, len);
        }
        p += len;
    }
    if (out.len)
        out.data[out.len] = '\0';
    else
        str_puts(&out, "/");
    free(joined);
    return str_take(&out);
}

char *fs_join(const char *dir, const char *name)
{
    size_t len = strlen(dir);
    return str_format("%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name);
}

char *fs_dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_copy_string(".");
    return mem_copy_text(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *fs_name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *fs_current_dir(void)
{
    char *dir = getcwd(NULL, 0);
    return dir ? dir : mem_copy_string("/");
}

char *fs_program_dir(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0)
        return mem_copy_string("/");
    path[len] = '\0';
    return fs_dir_of(path);
}

bool fs_path_is_inside(const char *path)
{
    size_t len = strlen(path);
    if (len == 0 || len > 1024)
        return false;
    for (const char *p = path;; p++) {
        size_t part = strcspn(p, "/");
        if (part == 0 || part > NAME_MAX || (part == 1 && p[0] == '.') ||
            (part == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        for (size_t i = 0; i < part; i++)
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
                return false;
        p += part;
        if (!*p)
            return true;
    }
}

bool fs_is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 &&
           (path[len] == '\0' || path[len] == '/' || dir[len - 1] == '/');
}

/* --- Files ------------------------------------------------------------------------------------ */

/* 0, or -1 with errno. */
static int make_dir(const char *path, mode_t mode)
{
    struct stat info;
    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &info) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(info.st_mode) ? 0 : -1;
    }
    return -1;
}

int fs_make_dirs(const char *path, mode_t mode, struct err *err)
{
    enum { TRIES_MAX = 100 };
    char *copy = mem_copy_string(path);
    int result = 0, tries = 0;
    for (char *p = copy + 1; result == 0; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        bool made = make_dir(copy, mode) == 0;
        bool again = !made && errno == ENOENT && ++tries < TRIES_MAX; /* one above was removed */
        if (!made && !again)
            result = err_set(err, ERR_STORAGE, NULL, "%s: cannot make the directory: %s", copy,
                             strerror(errno));
        *p = saved;
        if (made && !saved)
            break;
        if (again)
            p = copy;
    }
    free(copy);
    return result;
}

/* Until there is something to read, or *stop. A signal may come just before the wait, so the wait
 * is short. */
static void wait_to_read(int fd, const volatile sig_atomic_t *stop)
{
    enum { WAIT_MS = 200 };
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (!*stop && poll(&wait, 1, WAIT_MS) <= 0)
        ;
}

int fs_read_fd(int fd, const char *name, size_t size_max, const volatile sig_atomic_t *stop,
               struct str *out, struct err *err)
{
    enum { BLOCK_SIZE = 1 << 16 };
    char *block = mem_alloc(BLOCK_SIZE);
    int result = 0;
    for (ssize_t got = 1; result == 0 && got != 0;) {
        if (stop)
            wait_to_read(fd, stop);
        if (stop && *stop) {
            result = err_set(err, ERR_CANCELLED, NULL, "%s: reading was stopped", name);
            break;
        }
        got = read(fd, block, BLOCK_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result =
                err_set(err, ERR_INVALID, NULL, "%s: cannot be read: %s", name, strerror(errno));
        else if ((size_t)got > size_max - out->len)
            result =
                err_set(err, ERR_INVALID, NULL, "%s: is larger than %zu bytes", name, size_max);
        else
            str_append(out, block, (size_t)got);
    }
    free(block);
    return result;
}

int fs_read_file(const char *path, size_t size_max, struct str *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_INVALID, NULL, "%s: cannot be read: %s", path, strerror(errno));
    int result = fs_read_fd(fd, path, size_max, NULL, out, err);
    close(fd);
    return result;
}

int fs_read_text(const char *path, size_t size_max, struct str *out, struct err *err)
{
    enum { MARK_LEN = 3 };
    int result = fs_read_file(path, size_max, out, err);
    if (result == 0 && out->len >= MARK_LEN && memcmp(out->data, "\xEF\xBB\xBF", MARK_LEN) == 0) {
        out->len -= MARK_LEN;
        memmove(out->data, out->data + MARK_LEN, out->len + 1);
    }
    return result;
}

int fs_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t put = write(fd, p, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        p += put;
        len -= (size_t)put;
    }
    return 0;
}

int fs_write_file(const char *path, const void *data, size_t len, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool written = fd >= 0 && fs_write_all(fd, data, len) == 0;
    int reason = errno;
    if (fd >= 0 && close(fd) != 0 && written) {
        written = false;
        reason = errno;
    }
    return written ? 0
                   : err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path,
                             strerror(reason));
}

char *fs_existing_above(const char *path)
{
    char *at = mem_copy_string(path);
    while (access(at, F_OK) != 0 && errno == ENOENT && strcmp(at, "/") != 0 &&
           strcmp(at, ".") != 0) {
        char *above = fs_dir_of(at);
        free(at);
        at = above;
    }
    return at;
}

int fs_disk_bytes(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct statvfs info;
    if (statvfs(path, &info) != 0)
        return -1;
    *free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    if (total_bytes)
        *total_bytes = (uint64_t)info.f_blocks * info.f_frsize;
    return 0;
}

int fs_check_room(const char *dir, uint64_t need, int64_t keep_free_mb, const struct log *log,
                  struct err *err)
{
    uint64_t free_bytes, margin = (uint64_t)keep_free_mb << 20;
    char beside[80] = "";
    if (margin == 0 && need == 0)
        return 0;
    char *there = fs_existing_above(dir);
    bool unknown = fs_disk_bytes(there, &free_bytes, NULL) != 0;
    int reason = errno;
    free(there);
    if (unknown) {
        if (log)
            LOG_EVENT(log, LOG_WARN, "disk", "free space is unknown", LOG_TEXT("dir", dir),
                      LOG_TEXT("reason", strerror(reason)));
        return 0;
    }
    if (free_bytes >= margin && free_bytes - margin >= need)
        return 0;
    unsigned long long need_mb = need / (1u << 20) + (need % (1u << 20) != 0);
    if (margin == 0)
        return err_set(err, ERR_STORAGE, NULL,
                       "%s: its disk has %llu MB free, %llu MB are to be written: free some, or "
                       "use another disk",
                       dir, (unsigned long long)(free_bytes >> 20), need_mb);
    if (need > 0)
        snprintf(beside, sizeof(beside), " to stay beside the %llu MB that are to be written",
                 need_mb);
    return err_set(err, ERR_STORAGE, NULL,
                   "%s: its disk has %llu MB free, host.min_free_mb wants %lld%s: free some, use "
                   "another disk, or lower the limit",
                   dir, (unsigned long long)(free_bytes >> 20), (long long)keep_free_mb, beside);
}
