/* Files and paths. Functions that fail return a negative err_code with the path and the reason in
 * `err`. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* `path` made absolute against `base` (itself absolute) and cleaned of ".", ".." and "//", without
 * looking at the disk. Owned by the caller. */
char *fs_absolute(const char *base, const char *path);
char *fs_join(const char *dir, const char *name); /* owned by the caller */
char *fs_dir_of(const char *path);                /* "." when there is none; owned by the caller */
const char *fs_name_of(const char *path);         /* after the last '/'; borrowed */
char *fs_current_dir(void);                       /* absolute; owned by the caller */
char *fs_program_dir(void);                       /* where this program lies; owned by the caller */

/* True for a relative path that stays below where it starts: no "..", no empty part, no NUL or
 * control character, no part over 255 bytes, at most 1,024 bytes. */
bool fs_path_is_inside(const char *path);
/* Is `path` the folder `dir`, or below it? Both absolute and without links (realpath). */
bool fs_is_below(const char *path, const char *dir);

/* Makes `path` and what is missing above it, also while others remove what is empty. */
int fs_make_dirs(const char *path, mode_t mode, struct err *err);
/* Reads a whole regular file, pipe or device of at most `size_max` bytes into `out`. */
int fs_read_file(const char *path, size_t size_max, struct str *out, struct err *err);
/* The same of what somebody wrote: without the byte order mark that some editors put first. */
int fs_read_text(const char *path, size_t size_max, struct str *out, struct err *err);
/* The same from an open descriptor; `name` is for messages. Once *stop is set (NULL: never), also
 * while it waits: ERR_CANCELLED. */
int fs_read_fd(int fd, const char *name, size_t size_max, const volatile sig_atomic_t *stop,
               struct str *out, struct err *err);
/* Makes or truncates a file with this content. */
int fs_write_file(const char *path, const void *data, size_t len, struct err *err);
/* Writes all or fails with -1 and errno. */
int fs_write_all(int fd, const void *data, size_t len);
/* The path itself, or what exists of the way to it; the caller's. */
char *fs_existing_above(const char *path);
/* The bytes that are free for us on the disk of `path`, and all that it has (NULL: not wanted); -1
 * with errno. */
int fs_disk_bytes(const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
/* May `need` bytes be written to the disk of `dir`, made or not, so that host.min_free_mb,
 * `keep_free_mb`, stay free? ERR_STORAGE with what is free when they may not. A disk that cannot be
 * asked is not one that is full: that is logged only (`log` NULL: not even that). */
int fs_check_room(const char *dir, uint64_t need, int64_t keep_free_mb, const struct log *log,
                  struct err *err);

#endif
