/* The disks that this process writes to, for those who watch it. Inside host/front only. */
#ifndef FRONT_DISKS_H
#define FRONT_DISKS_H

#include "manifest/manifest.h"

#include <sys/types.h>

#define DISKS_MAX 32 /* the rest is not told of */

enum disk_use {
    DISK_RESULTS,
    DISK_CACHE,
    DISK_VOICES,
    DISK_STORAGE,
    DISK_CALLBACKS,
    DISK_MODELS,
    DISK_USE_COUNT
};
extern const char *const disk_use_names[DISK_USE_COUNT]; /* "results" ... */

struct disk {
    char *dir;     /* the first of ours on it, made or not */
    unsigned uses; /* bits by enum disk_use */
    uint64_t free_mb, total_mb;
    bool low;   /* less is free than host.min_free_mb wants: new work is refused */
    int reason; /* an errno when it cannot be asked; else 0 */
    dev_t device;
};

struct disk_list {
    struct disk items[DISKS_MAX];
    size_t count;
};

/* Looks at each once, whatever is on it: caches, voices, storage, dead letters, copied models, and
 * `out`, the folder of results (NULL: none). Asks the disks: on one that does not answer, a mount
 * whose server is gone, it waits. Ends with disks_finish. */
void disks_look(const struct manifest *manifest, const char *out, struct disk_list *disks);
void disks_finish(struct disk_list *disks);

/* Appends the names of its uses with `between` between them. */
void disk_write_uses(const struct disk *disk, const char *between, struct str *out);
/* A line of the log for each: what is low, as a warning. */
void disks_log(const struct disk_list *disks, const struct log *log, enum log_level level);

/* --- For those who must not wait --------------------------------------------------------------- */

#define DISKS_PATIENCE_MS 200

/* Of what a manifest names, which may be gone before the watch. Thread: any. */
struct disk_watch *disk_watch_create(const struct manifest *manifest);
/* Leaves a thread that a disk holds up, and what that uses; takes NULL. */
void disk_watch_destroy(struct disk_watch *watch);
/* Both look in a thread of their own. When that asks for longer than DISKS_PATIENCE_MS, they tell
 * what was seen last, and that the folder which is waited for does not answer. */
void disk_watch_log(struct disk_watch *watch, const struct log *log, enum log_level level);
/* Appends a JSON array: [{"dir", "uses": ["cache", "voices"], "free_mb", "total_mb", "low"}], with
 * "error" in place of the numbers of one that cannot be asked. */
void disk_watch_write(struct disk_watch *watch, struct str *out);

#endif
