/* The host's side of vox.scratch/1: folders for the temporary files of jobs, in the cache directory
 * of their model:
 *
 *     .scratch/run-0123456789abcdef/   of one process, which holds the lock in it
 *         lock
 *         1/ 2/ ...                    of one job each, until its speak returns
 *
 * A plugin that hangs keeps its folder, since it may still use it: like all that a process leaves
 * when it is killed, the next process that loads a model with this cache directory removes it.
 */
#include "plugin/model_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RUN_PREFIX "run-"

void scratch_remove_dead(const char *cache_dir)
{
    char *dir = fs_join(cache_dir, SCRATCH_NAME);
    own_dir_remove_dead(dir, RUN_PREFIX);
    free(dir);
}

static void log_left(const struct model *model, const struct err *err)
{
    LOG_EVENT(model->owner->log, LOG_WARN, model_name(model), "scratch files are left",
              LOG_TEXT("reason", err->message));
}

void scratch_close(struct model *model)
{
    struct err err = {0};
    if (own_dir_remove(&model->scratch, &err) != 0)
        log_left(model, &err);
}

/* Makes our folder in the cache directory, once. With the lock. */
static int open_run(struct model *model, struct err *err)
{
    if (model->scratch.path)
        return 0;
    char *dir = fs_join(model->config->cache_dir, SCRATCH_NAME);
    int result = fs_make_dirs(dir, 0700, err);
    if (result == 0)
        result = own_dir_make(dir, RUN_PREFIX, &model->scratch, err);
    free(dir);
    return result;
}

/* Somebody may have emptied the cache directory under us: then our folder is made anew. With the
 * lock. */
static int make_dir(struct model *model, char **dir, struct err *err)
{
    enum { TRIES_MAX = 2 };
    uint64_t number = ++model->scratch_count;
    struct err ignored = {0};
    int result = 1;
    for (int i = 0; i < TRIES_MAX && result == 1; i++) {
        result = open_run(model, err);
        if (result != 0)
            return result;
        *dir = str_format("%s/%llu", model->scratch.path, (unsigned long long)number);
        if (mkdir(*dir, 0700) == 0) {
            *err = (struct err){0}; /* of the try before */
            return 0;
        }
        result = errno == ENOENT ? 1 : -1;
        err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", *dir, strerror(errno));
        free(*dir);
        *dir = NULL;
        if (result == 1)
            own_dir_remove(&model->scratch, &ignored);
    }
    return err->code;
}

static const char *scratch_dir(const struct vox_job *job)
{
    struct job_scratch *scratch = job->self;
    struct model *model = scratch->model;
    if (scratch->dir || scratch->err.code != ERR_NONE)
        return scratch->dir;
    int result =
        fs_check_room(model->config->cache_dir, 0, model->owner->manifest->host.min_free_mb,
                      model->owner->log, &scratch->err);
    if (result == 0) {
        pthread_mutex_lock(&model->scratch_lock);
        result = make_dir(model, &scratch->dir, &scratch->err);
        pthread_mutex_unlock(&model->scratch_lock);
    }
    if (result != 0) {
        char *id = mem_copy_text(job->id.data, (size_t)job->id.size);
        err_prefix(&scratch->err, "no folder for temporary files");
        LOG_EVENT(model->owner->log, LOG_WARN, model_name(model), "no scratch folder",
                  LOG_TEXT("job", id), LOG_TEXT("reason", scratch->err.message));
        free(id);
    }
    return scratch->dir;
}

void job_scratch_end(struct job_scratch *scratch)
{
    struct err err = {0};
    if (scratch->dir && tree_remove(scratch->dir, &err) != 0)
        log_left(scratch->model, &err);
    free(scratch->dir);
    scratch->dir = NULL;
}

const struct vox_scratch scratch_extension = {
    .size = (uint32_t)sizeof(struct vox_scratch),
    .dir = scratch_dir,
};
