/* The inside of models and sessions, shared by model.c, session.c, scratch.c, model_cache.c and model_copy.c. */
#ifndef MODEL_PRIVATE_H
#define MODEL_PRIVATE_H

#include "plugin/plugin.h"
#include "vox/ext/scratch.h"

#include <sys/types.h>

struct model {
    struct models *owner;
    const struct manifest_model *config;
    struct plugin *plugin; /* NULL: could not be opened */
    const struct vox_entry *entry;
    struct option_set options; /* load options */
    char *plugin_dir;
    char *copied_dir; /* where copy_up put the model; NULL: it is loaded from config->model_dir */
    struct vox_host host;
    struct vox_load load;

    /* guarded by owner->cache_lock */
    bool cache_claimed;
    dev_t cache_device;
    ino_t cache_inode;

    int cache_lock_fd; /* says to other processes that we use the cache; -1: not yet */

    pthread_mutex_t identity_lock;
    char identity[DIGEST_HEX_SIZE]; /* guarded by identity_lock; "" until it is asked for */

    pthread_mutex_t scratch_lock;
    /* guarded by scratch_lock */
    struct own_dir scratch; /* our folder in the cache directory, once a job asked */
    uint64_t scratch_count; /* jobs that asked */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    enum model_state state;
    struct err why;            /* when FAILED */
    struct vox_model *handle;  /* once READY, also if it FAILED afterwards */
    struct vox_session **idle; /* room for all */
    uint32_t idle_count, busy, lost;
    bool all_lost; /* FAILED for no other reason than that: the first that comes back ends it */
    bool loader_started;
    pthread_t loader;
    int64_t load_ms, load_begun, ready_at;
};

struct models {
    const struct manifest *manifest;
    const struct log *log;
    struct model *items;
    size_t count;
    pthread_mutex_t watch_lock;
    /* guarded by watch_lock, which is held while it is called: who stops watching is called no
     * more */
    void (*changed)(void *arg); /* NULL: nobody watches */
    void *changed_arg;
    pthread_mutex_t cache_lock;
};

void model_close_session(struct model *model, struct vox_session *session);
/* Makes the cache directory, sweeps it, and holds it until model_cache_release. */
int model_cache_prepare(struct model *model, struct err *err);
void model_cache_release(struct model *model);
#define MODEL_DEPTH_MAX 16 /* of a model's folder; also ends circles of links */
/* Copies a model that a tier's directory holds to paths.models, where the manifest asks for that
 * and there is room: *copied_dir. */
void model_copy_up(struct model *model);
/* Holds whoever else copies a model into this directory, which is made, off until model_copy_unlock
 * or our death. Negative: err. */
int model_copy_lock(const struct model *model, const char *dir, struct err *err);
void model_copy_unlock(const char *dir, int lock); /* takes a negative one */
/* Removes a copy that was not finished, as far as that is possible. */
void model_copy_remove(const char *dir);
/* Fetches a model that no directory holds and a tier's bucket does: 0 also when none does. Else err
 * says why it could not be had; then it is not there at all. */
int model_bucket_fetch(struct model *model, struct err *err);
/* Says in `err`, of an init that failed, what is wrong with the model's directory, where that can
 * be told, and what to do. `fetch`: what model_bucket_fetch left. */
void model_dir_explain(const struct model *model, const struct err *fetch, struct err *err);
/* Appends which file of the directory is first not as `voxhost pull` recorded it, by its size, or
 * that the record cannot be read; nothing when all are or there is no record. */
void model_dir_compare(const char *dir, struct str *wrong);
/* Logs that of the model's directory. */
void model_dir_check(const struct model *model);
/* scratch.c: the host's side of vox.scratch/1; what dead processes left in the cache directory goes;
 * what is ours goes. */
#define SCRATCH_NAME ".scratch" /* in the cache directory */
extern const struct vox_scratch scratch_extension;
void scratch_remove_dead(const char *cache_dir);
void scratch_close(struct model *model);
/* Tells waiters and the watcher; call without the lock. */
void model_announce(struct model *model);

#endif
