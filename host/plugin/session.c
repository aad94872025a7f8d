/* Sessions on a model: a pool that is filled by need and never beyond the manifest's number. */
#include "plugin/model_private.h"

void model_close_session(struct model *model, struct vox_session *session)
{
    crash_enter(NULL, "plugin \"%s\" (model \"%s\") in close", model->entry->id, model_name(model));
    model->entry->close(session);
    crash_leave();
}

static int open_session(struct model *model, struct session *session, struct err *err)
{
    struct vox_error error = {.size = sizeof(error)};
    crash_enter(NULL, "plugin \"%s\" (model \"%s\") in open", model->entry->id, model_name(model));
    int32_t code = model->entry->open(model->handle, &session->handle, &error);
    crash_leave();
    if (code == VOX_OK && session->handle)
        return 0;
    int result = code == VOX_OK ? err_set(err, ERR_INTERNAL, NULL,
                                          "%s: open succeeded without a session", model->entry->id)
                                : plugin_failure(err, model->entry->id, "open", code, &error);
    if (code == VOX_EMODEL || code == VOX_EDEVICE)
        model_fail(model, err);
    session->handle = NULL;
    return result;
}

int session_take(struct model *model, const atomic_int *stop, struct session *session,
                 struct err *err)
{
    *session = (struct session){model, NULL};
    pthread_mutex_lock(&model->lock);
    if (model->idle_count && model->state == MODEL_READY)
        session->handle = model->idle[--model->idle_count];
    pthread_mutex_unlock(&model->lock);
    if (session->handle)
        return 0;
    if (!plugin_lock_unless(model->plugin, stop))
        return err_set(err, ERR_CANCELLED, NULL, "stopped while another model was loading");
    int result = model_refuse(model, err); /* another job may have found that it is of no use */
    if (result == 0)
        result = open_session(model, session, err);
    plugin_unlock(model->plugin);
    return result;
}

void session_give(struct session *session, enum session_fate fate)
{
    struct model *model = session->model;
    if (fate == SESSION_DISCARD && session->handle)
        model_close_session(model, session->handle);
    pthread_mutex_lock(&model->lock);
    if (fate == SESSION_KEEP)
        model->idle[model->idle_count++] = session->handle;
    model->busy--;
    if (fate == SESSION_LOST)
        model->lost++;
    /* When no session can ever come back, jobs must not wait for one. */
    bool failed = model->lost >= (uint32_t)model->config->sessions && model->state == MODEL_READY;
    if (failed) {
        model->state = MODEL_FAILED;
        model->all_lost = true;
        err_set(&model->why, ERR_MODEL_FAILED, NULL,
                "%s: every session of this model hangs in its plugin", model->entry->id);
    }
    pthread_mutex_unlock(&model->lock);
    if (failed)
        LOG_EVENT(model->owner->log, LOG_ERROR, model_name(model), "model failed",
                  LOG_TEXT("reason", "every session hangs in the plugin"));
    model_announce(model);
}

void session_recover(struct session *session)
{
    struct model *model = session->model;
    if (session->handle)
        model_close_session(model, session->handle);
    pthread_mutex_lock(&model->lock);
    if (model->all_lost)
        model->state = MODEL_READY;
    model->all_lost = false;
    model->lost--;
    pthread_mutex_unlock(&model->lock);
    model_announce(model);
}
