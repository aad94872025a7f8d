/* The inside of models and sessions, shared by model.c, session.c and model_cache.c. */
#ifndef MODEL_PRIVATE_H
#define MODEL_PRIVATE_H

#include "plugin/plugin.h"

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

    pthread_mutex_t identity_lock;
    char identity[DIGEST_HEX_SIZE]; /* guarded by identity_lock; "" until it is asked for */

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
    int64_t load_ms, ready_at;
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
int model_cache_prepare(struct model *model, struct err *err);
/* Copies a model that a tier holds to paths.models, where the manifest asks for that and there is
 * room: *copied_dir. */
void model_copy_up(struct model *model);
/* Tells waiters and the watcher; call without the lock. */
void model_announce(struct model *model);

#endif
