/* Directories swept of what is old; see tree.h. One walk removes what is too old and lists the
 * rest; when that is too large, the oldest of the list go. */
#include "base/tree.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIME_MAX_S (INT64_C(1) << 33) /* the year 2242: nanoseconds hold no more */

struct place {
    dev_t device;
    ino_t inode;
};

/* A file that may go to make room. */
struct found {
    char *path; /* relative to the root; owned */
    struct place place;
    int64_t used_ns, written_ns;
    uint64_t bytes;
};

struct walk {
    const char *root;
    const struct tree_sweep *sweep;
    struct tree_swept *swept;
    struct place *protected; /* owned */
    size_t protected_count;
    dev_t device;
    struct str path;     /* of what is looked at, relative to the root */
    struct found *files; /* owned */
    size_t count, cap;
    size_t looked; /* at so many names */
};

/* Some file systems keep times that no clock shows. */
static int64_t seconds_of(struct timespec time)
{
    int64_t seconds = time.tv_sec;
    return seconds < 0 ? 0 : seconds > TIME_MAX_S ? TIME_MAX_S : seconds;
}

static int64_t ns_of(struct timespec time)
{
    return seconds_of(time) * 1000000000 + time.tv_nsec;
}

static int64_t used_ns(const struct tree_sweep *sweep, const struct stat *info)
{
    int64_t written = ns_of(info->st_mtim), read = ns_of(info->st_atim);
    return sweep->by_use && read > written ? read : written;
}

static int64_t now_ns(const struct tree_sweep *sweep)
{
    return sweep->now_unix_s * 1000000000;
}

/* Of a time far ahead, a wrong clock is to blame: such a file is not new for ever. */
static bool is_young(const struct tree_sweep *sweep, const struct stat *info)
{
    int64_t age_s = sweep->now_unix_s - seconds_of(info->st_mtim);
    return age_s < TREE_YOUNG_S && age_s > -TREE_YOUNG_S;
}

static bool is_stopped(const struct walk *walk)
{
    return (walk->sweep->stop && atomic_load(walk->sweep->stop) != 0) ||
           walk->looked >= TREE_FILES_MAX;
}

static void failed(struct walk *walk, const char *path, int reason)
{
    if (reason == ENOENT)
        return; /* someone else removed it */
    if (walk->swept->failures++ == 0)
        err_set(&walk->swept->failure, ERR_STORAGE, NULL, "%s%s%s: cannot be swept: %s", walk->root,
                *path ? "/" : "", path, strerror(reason));
}

static bool may_go(const struct walk *walk, bool is_dir)
{
    const struct tree_sweep *sweep = walk->sweep;
    return !sweep->may_go || sweep->may_go(str_text(&walk->path), is_dir, sweep->arg);
}

static bool is_protected(const struct walk *walk, const struct stat *info)
{
    for (size_t i = 0; i < walk->protected_count; i++)
        if (walk->protected[i].device == info->st_dev && walk->protected[i].inode == info->st_ino)
            return true;
    return false;
}

static void find_protected(struct walk *walk)
{
    const struct tree_sweep *sweep = walk->sweep;
    struct stat info;
    walk->protected = mem_alloc_array(sweep->protected_count + 1, sizeof(*walk->protected));
    for (size_t i = 0; i < sweep->protected_count; i++)
        if (stat(sweep->protected_dirs[i], &info) == 0)
            walk->protected[walk->protected_count++] = (struct place){info.st_dev, info.st_ino};
}

/* --- The walk --------------------------------------------------------------------------------- */

static void list_file(struct walk *walk, const struct stat *info)
{
    if (walk->count == walk->cap) {
        walk->cap = walk->cap ? 2 * walk->cap : 256;
        walk->files = mem_resize(walk->files, walk->cap, sizeof(*walk->files));
    }
    walk->files[walk->count++] = (struct found){
        .path = mem_copy_text(str_text(&walk->path), walk->path.len),
        .place = {info->st_dev, info->st_ino},
        .used_ns = used_ns(walk->sweep, info),
        .written_ns = ns_of(info->st_mtim),
        .bytes = (uint64_t)info->st_size,
    };
}

/* True when it removed the file. */
static bool walk_file(struct walk *walk, int at, const char *name, const struct stat *info)
{
    const struct tree_sweep *sweep = walk->sweep;
    struct tree_swept *swept = walk->swept;
    bool young = is_young(sweep, info);
    double age_s = (double)(now_ns(sweep) - used_ns(sweep, info)) / 1e9;
    if (!young && sweep->keep_s > 0 && age_s > sweep->keep_s) {
        if (unlinkat(at, name, 0) == 0) {
            swept->removed_files++;
            swept->removed_bytes += (uint64_t)info->st_size;
            return true;
        }
        failed(walk, str_text(&walk->path), errno);
    }
    swept->left_files++;
    swept->left_bytes += (uint64_t)info->st_size;
    if (!young && sweep->keep_bytes > 0)
        list_file(walk, info);
    return false;
}

static bool walk_dir(struct walk *walk, int at, const char *name, int depth);

/* True when it removed what has this name. */
static bool walk_name(struct walk *walk, int at, const char *name, int depth)
{
    struct stat info;
    walk->looked++;
    if (fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        failed(walk, str_text(&walk->path), errno);
        return false;
    }
    if (S_ISREG(info.st_mode) && may_go(walk, false))
        return walk_file(walk, at, name, &info);
    return S_ISDIR(info.st_mode) && info.st_dev == walk->device && depth < TREE_DEPTH_MAX &&
           !is_protected(walk, &info) && may_go(walk, true) && walk_dir(walk, at, name, depth);
}

/* Walks the names of an open folder, which it closes; true when it removed one. */
static bool walk_names(struct walk *walk, int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        failed(walk, str_text(&walk->path), errno);
        close(fd);
        return false;
    }
    bool removed = false;
    struct dirent *entry;
    size_t len = walk->path.len;
    while (!is_stopped(walk) && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (len)
            str_putc(&walk->path, '/');
        str_puts(&walk->path, entry->d_name);
        removed = walk_name(walk, fd, entry->d_name, depth + 1) || removed;
        walk->path.len = len;
        walk->path.data[len] = '\0';
    }
    closedir(dir);
    return removed;
}

/* A folder below the root. It goes when it is empty: at once if we emptied it, else if nobody
 * touched it for a while, since who has just made it is about to use it. */
static bool walk_dir(struct walk *walk, int at, const char *name, int depth)
{
    struct stat info;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        failed(walk, str_text(&walk->path), errno);
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (info.st_dev != walk->device || is_protected(walk, &info)) { /* changed since it was seen */
        close(fd);
        return false;
    }
    bool removed = walk_names(walk, fd, depth);
    return (removed || !is_young(walk->sweep, &info)) && !is_stopped(walk) &&
           unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* --- Making room ------------------------------------------------------------------------------ */

/* Opens the folder of `path` below the root, name by name; -1 with errno. */
static int open_dir_of(int root_fd, const char *path)
{
    int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *slash;
    for (; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        char *name = mem_copy_text(path, (size_t)(slash - path));
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int reason = errno;
        close(fd);
        free(name);
        errno = reason;
        fd = next;
    }
    return fd;
}

/* Removes a file that is still the one that was found, and the folders that are empty then. */
static void remove_found(struct walk *walk, int root_fd, const struct found *file)
{
    struct stat info;
    int fd = open_dir_of(root_fd, file->path);
    const char *name = fs_name_of(file->path);
    bool same = fd >= 0 && fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                info.st_ino == file->place.inode && info.st_dev == file->place.device &&
                ns_of(info.st_mtim) == file->written_ns;
    bool removed = same && unlinkat(fd, name, 0) == 0;
    if (same && !removed)
        failed(walk, file->path, errno);
    if (fd >= 0)
        close(fd);
    if (!removed)
        return;
    walk->swept->removed_files++;
    walk->swept->removed_bytes += file->bytes;
    walk->swept->left_files--;
    walk->swept->left_bytes -= file->bytes;
    char *path = mem_copy_string(file->path), *slash;
    while ((slash = strrchr(path, '/'))) {
        *slash = '\0';
        fd = open_dir_of(root_fd, path);
        bool empty = fd >= 0 && unlinkat(fd, fs_name_of(path), AT_REMOVEDIR) == 0;
        if (fd >= 0)
            close(fd);
        if (!empty)
            break;
    }
    free(path);
}

static int by_age(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->used_ns != right->used_ns)
        return left->used_ns < right->used_ns ? -1 : 1;
    return strcmp(left->path, right->path);
}

static void make_room(struct walk *walk, int root_fd)
{
    const struct tree_sweep *sweep = walk->sweep;
    if (walk->count > 1)
        qsort(walk->files, walk->count, sizeof(*walk->files), by_age);
    for (size_t i = 0; i < walk->count && walk->swept->left_bytes > sweep->keep_bytes; i++) {
        if (sweep->stop && atomic_load(sweep->stop) != 0)
            return;
        remove_found(walk, root_fd, &walk->files[i]);
    }
}

int tree_sweep(const char *root, const struct tree_sweep *sweep, struct tree_swept *swept,
               struct err *err)
{
    struct walk walk = {.root = root, .sweep = sweep, .swept = swept};
    struct stat info;
    int result = 0;
    *swept = (struct tree_swept){0};
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &info) != 0) {
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be swept: %s", root, strerror(errno));
        goto out;
    }
    find_protected(&walk);
    walk.device = info.st_dev;
    if (is_protected(&walk, &info)) {
        result =
            err_set(err, ERR_STORAGE, NULL,
                    "%s: is not swept, since it is also a folder that must stay as it is", root);
        goto out;
    }
    int walk_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (walk_fd >= 0)
        walk_names(&walk, walk_fd, 0);
    else
        failed(&walk, "", errno);
    if (sweep->keep_bytes > 0)
        make_room(&walk, fd);
out:
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < walk.count; i++)
        free(walk.files[i].path);
    free(walk.files);
    free(walk.protected);
    str_finish(&walk.path);
    return result;
}
