/* Folders that belong to one process each, in a directory that several processes share. Whoever
 * lives holds the lock on the file "lock" in his; what dead processes left is found by the next,
 * since the kernel gives their locks back, also after SIGKILL.
 */
#ifndef BASE_OWN_DIR_H
#define BASE_OWN_DIR_H

#include "base/err.h"

#define OWN_DIR_LOCK_NAME "lock"

struct own_dir {
    char *path;  /* absolute when its directory is; NULL: there is none */
    int lock_fd; /* what we write into the file is for others to read */
};

/* Makes DIR/PREFIX and 16 digits, and locks it. `dir` exists. ERR_STORAGE. */
int own_dir_make(const char *dir, const char *prefix, struct own_dir *own, struct err *err);
/* Removes it with all that is in it, and ends the lock. Nothing when there is none. ERR_STORAGE
 * with what could not be removed: that is left to the next process. */
int own_dir_remove(struct own_dir *own, struct err *err);
/* Ends the lock only: the folder, if there is one, is a dead one's now. */
void own_dir_leave(struct own_dir *own);

/* Calls `take` for each folder of that prefix whose process is gone, while we hold its lock. What
 * `take` leaves there is found again by the next. */
void own_dir_each_dead(const char *dir, const char *prefix,
                       void (*take)(const char *path, void *arg), void *arg);
/* Removes each of them with all that is in it, as far as that is possible. */
void own_dir_remove_dead(const char *dir, const char *prefix);

#endif
