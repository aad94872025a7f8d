/* Directories with all that is in them: removed whole, or swept of what is old. A walk never passes
 * through a symbolic link and never onto another file system, whatever others do to the tree
 * meanwhile, and goes TREE_DEPTH_MAX folders deep. A name that vanishes under it is as good as
 * removed.
 */
#ifndef BASE_TREE_H
#define BASE_TREE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREE_DEPTH_MAX 64
#define TREE_FILES_MAX 1000000 /* that one sweep looks at; the rest is left to the next */
/* A file that was written this short ago is never swept: its writer may not be done with it. */
#define TREE_YOUNG_S 600

/* Removes `dir` and everything below it, also what our user may not read or write but owns. What
 * does not exist is no error. ERR_STORAGE, with the first path that stays and why, when something
 * is left: all else is gone then. `dir` itself must be no symbolic link. */
int tree_remove(const char *dir, struct err *err);

struct tree_sweep {
    double keep_s;       /* files that are older go; 0: no matter how old */
    uint64_t keep_bytes; /* then the oldest, until the others have no more than this; 0: any */
    bool by_use;         /* a file is as old as its last reading too; else as its last writing */
    int64_t now_unix_s;
    /* Whether the file or, with `is_dir`, folder may be touched; a folder that may not is not
     * entered. `path` is relative to the root, borrowed. NULL: all may. What may not does not
     * count for `keep_bytes`. */
    bool (*may_go)(const char *path, bool is_dir, void *arg);
    void *arg;
    /* Absolute paths of folders that are never entered, wherever links or mounts show them; those
     * that do not exist do no harm. When the root is one of them: ERR_STORAGE. */
    const char *const *protected_dirs;
    size_t protected_count;
    const atomic_int *stop; /* not 0: leave the rest; NULL: never */
};

struct tree_swept {
    uint64_t removed_files, removed_bytes;
    uint64_t left_files, left_bytes; /* of those that may go */
    uint64_t failures;               /* names that could not be looked at or removed */
    struct err failure;              /* the first of them */
};

/* Sweeps regular files below `root` (a path that may be a link), and folders below it that are
 * empty then. No root, nothing to do. ERR_STORAGE when the root cannot be read. */
int tree_sweep(const char *root, const struct tree_sweep *sweep, struct tree_swept *swept,
               struct err *err);

#endif
