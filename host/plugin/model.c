/* The life of a model: unloaded -> loading -> ready -> failed, with its plugin's init and fini in
 * between. Sessions on it are in session.c.
 */
#include "plugin/model_private.h"

#include <stdlib.h>
#include <string.h>

const char *const model_state_names[] = {"unloaded", "loading", "ready", "failed"};

/* --- What a plugin gets from us --------------------------------------------------------------- */

static void host_log(const struct vox_host *host, uint32_t level, struct vox_str message)
{
    const struct model *model = host->self;
    struct str text = {0};
    enum log_level ours =
        level >= VOX_LOG_DEBUG && level <= VOX_LOG_ERROR ? (enum log_level)level : LOG_INFO;
    plugin_text(message.data ? message.data : "", message.size, &text);
    log_write(model->owner->log, ours, model->config->model_type, str_text(&text), NULL, 0);
    str_finish(&text);
}

static const void *host_extension(const struct vox_host *host, const char *id)
{
    (void)host;
    return id && strcmp(id, VOX_SCRATCH_ID) == 0 ? &scratch_extension : NULL;
}

static struct vox_str borrow(const char *text)
{
    return (struct vox_str){text, strlen(text)};
}

static void prepare_load(struct model *model)
{
    model->host = (struct vox_host){
        .size = sizeof(struct vox_host),
        .abi_major = VOX_ABI_MAJOR,
        .abi_minor = VOX_ABI_MINOR,
        .self = model,
        .log = host_log,
        .extension = host_extension,
    };
    model->load = (struct vox_load){
        .size = sizeof(struct vox_load),
        .sessions = (uint32_t)model->config->sessions,
        .model_type = borrow(model->config->model_type),
        .model_dir = borrow(model->config->model_dir),
        .cache_dir = borrow(model->config->cache_dir),
        .plugin_dir = borrow(model->plugin_dir),
        .device = borrow(model->config->device),
        .options = model->options.values,
        .option_count = model->options.count,
    };
}

/* --- Creation: opens the plugin, checks the options ------------------------------------------- */

static int check_options(struct model *model, struct err *err)
{
    struct option_set defaults;
    struct err why = {0};
    if (options_check(plugin_load_schema(model->entry), model->config->options, NULL, false,
                      &model->options, &why) != 0)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%s: %s", why.field, why.message);
    if (options_check(plugin_job_schema(model->entry), model->config->defaults, NULL, false,
                      &defaults, &why) != 0)
        return err_set(err, ERR_MODEL_FAILED, NULL, "defaults: %s: %s", why.field, why.message);
    option_set_finish(&defaults);
    return 0;
}

static int open_plugin(struct model *model, struct err *err)
{
    const struct manifest *manifest = model->owner->manifest;
    char *path =
        plugin_find(model->config->plugin, manifest->dir, &manifest->host.plugin_path, err);
    if (!path)
        return err->code;
    int result = plugin_open(path, &model->plugin, err);
    if (result == 0) {
        model->entry = plugin_entry(model->plugin);
        model->plugin_dir = fs_dir_of(path);
        result = check_options(model, err);
    }
    free(path);
    return result;
}

static void create_model(struct models *models, struct model *model,
                         const struct manifest_model *config)
{
    model->owner = models;
    model->config = config;
    model->cache_lock_fd = -1;
    pthread_mutex_init(&model->identity_lock, NULL);
    pthread_mutex_init(&model->scratch_lock, NULL);
    sync_mutex_init(&model->lock);
    sync_cond_init(&model->changed);
    model->idle = mem_alloc_array((size_t)config->sessions, sizeof(*model->idle));
    struct err err = {0};
    if (open_plugin(model, &err) != 0) {
        model->state = MODEL_FAILED;
        model->why = err;
        model->why.code = ERR_MODEL_FAILED;
        if (config->line)
            err_prefix(&model->why, "%s:%d:%d", models->manifest->file, config->line,
                       config->column);
    } else {
        prepare_load(model);
    }
}

struct models *models_create(const struct manifest *manifest, const struct log *log)
{
    struct models *models = mem_alloc(sizeof(*models));
    models->manifest = manifest;
    models->log = log;
    pthread_mutex_init(&models->cache_lock, NULL);
    pthread_mutex_init(&models->watch_lock, NULL);
    models->items = mem_alloc_array(manifest->model_count, sizeof(*models->items));
    models->count = manifest->model_count;
    for (size_t i = 0; i < models->count; i++)
        create_model(models, &models->items[i], &manifest->models[i]);
    return models;
}

static bool check_members(const struct models *models, size_t index, const char *section,
                          struct problems *problems)
{
    const struct model *model = &models->items[index];
    bool is_load = strcmp(section, "options") == 0;
    struct option_schema schema =
        is_load ? plugin_load_schema(model->entry) : plugin_job_schema(model->entry);
    cJSON *given = is_load ? model->config->options : model->config->defaults, *member;
    bool good = true;
    cJSON_ArrayForEach(member, given)
    {
        struct option_set set;
        struct err err = {0};
        cJSON *single = cJSON_CreateObject();
        cJSON_AddItemReferenceToObject(single, member->string, member);
        if (options_check(schema, single, NULL, false, &set, &err) == 0) {
            option_set_finish(&set);
        } else {
            int line, column;
            manifest_place(models->manifest, model->config, section, member->string, &line,
                           &column);
            problems_add(problems, line, column, "models[%zu].%s.%s: %s", index, section,
                         member->string, err.message);
            good = false;
        }
        cJSON_Delete(single);
    }
    return good;
}

bool models_check_options(const struct models *models, struct problems *problems)
{
    bool good = true;
    for (size_t i = 0; i < models->count; i++) {
        if (!models->items[i].entry)
            continue;
        good = check_members(models, i, "options", problems) && good;
        good = check_members(models, i, "defaults", problems) && good;
    }
    return good;
}

void models_watch(struct models *models, void (*changed)(void *arg), void *arg)
{
    pthread_mutex_lock(&models->watch_lock);
    models->changed = changed;
    models->changed_arg = arg;
    pthread_mutex_unlock(&models->watch_lock);
}

/* --- Loading ---------------------------------------------------------------------------------- */

void model_announce(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    pthread_cond_broadcast(&model->changed);
    pthread_mutex_unlock(&model->lock);
    pthread_mutex_lock(&model->owner->watch_lock);
    if (model->owner->changed)
        model->owner->changed(model->owner->changed_arg);
    pthread_mutex_unlock(&model->owner->watch_lock);
}

static int initialise(struct model *model, struct vox_model **handle, struct err *err)
{
    struct vox_error error = {.size = sizeof(error)};
    struct err fetch = {0};
    if (model_cache_prepare(model, err) != 0)
        return err->code;
    model_copy_up(model);
    if (model_bucket_fetch(model, &fetch) != 0)
        LOG_EVENT(model->owner->log, LOG_WARN, model->config->model_type,
                  "model not fetched from its bucket", LOG_TEXT("reason", fetch.message));
    if (model->copied_dir)
        model->load.model_dir = borrow(model->copied_dir);
    model_dir_check(model);
    plugin_lock(model->plugin);
    crash_enter(NULL, "plugin \"%s\" (model \"%s\") in init", model->entry->id, model_name(model));
    int32_t code = model->entry->init(&model->host, &model->load, handle, &error);
    crash_leave();
    plugin_unlock(model->plugin);
    if (code != VOX_OK) {
        plugin_failure(err, model->entry->id, "init", code, &error);
        model_dir_explain(model, &fetch, err);
        return err->code;
    }
    if (!*handle)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%s: init succeeded without a model",
                       model->entry->id);
    return 0;
}

static void *load(void *arg)
{
    struct model *model = arg;
    struct vox_model *handle = NULL;
    struct err err = {0};
    int64_t begun = clock_now();
    int result = initialise(model, &handle, &err);
    int64_t load_ms = (clock_now() - begun) / CLOCK_MS;
    if (result == 0)
        LOG_EVENT(model->owner->log, LOG_INFO, model->config->model_type, "model ready",
                  LOG_TEXT("plugin", model->entry->id), LOG_NUMBER("load_ms", load_ms),
                  LOG_TEXT("cache_dir", model->config->cache_dir));
    pthread_mutex_lock(&model->lock);
    model->handle = handle;
    model->load_ms = load_ms;
    model->ready_at = clock_now();
    model->state = result == 0 ? MODEL_READY : MODEL_FAILED;
    if (result != 0) {
        model->why = err;
        model->why.code = ERR_MODEL_FAILED;
    }
    pthread_mutex_unlock(&model->lock);
    model_announce(model);
    return NULL;
}

/* With the lock. */
static void start_loading(struct model *model)
{
    if (model->state != MODEL_UNLOADED)
        return;
    if (sync_thread_start(&model->loader, load, model) == 0) {
        model->loader_started = true;
        model->load_begun = clock_now();
        model->state = MODEL_LOADING;
    } else {
        model->state = MODEL_FAILED;
        err_set(&model->why, ERR_MODEL_FAILED, NULL, "no thread could be started to load it");
    }
}

void model_load_start(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    start_loading(model);
    pthread_mutex_unlock(&model->lock);
}

int model_wait(struct model *model, int64_t deadline, const volatile sig_atomic_t *stop,
               struct err *err)
{
    enum { POLL_MS = 50 };
    int result = 1;
    pthread_mutex_lock(&model->lock);
    start_loading(model);
    while (result == 1) {
        int64_t now = clock_now();
        if (model->state == MODEL_READY)
            result = 0;
        else if (model->state == MODEL_FAILED)
            *err = model->why, result = err->code;
        else if (stop && *stop)
            result = err_set(err, ERR_CANCELLED, NULL, "stopped while model \"%s\" was loading",
                             model_name(model));
        else if (now >= deadline)
            result =
                err_set(err, ERR_MODEL_LOADING, NULL,
                        "model \"%s\" is still loading (host.load_timeout_s)", model_name(model));
        else
            sync_cond_wait(&model->changed, &model->lock,
                           deadline - now < POLL_MS * CLOCK_MS ? deadline
                                                               : now + POLL_MS * CLOCK_MS);
    }
    pthread_mutex_unlock(&model->lock);
    return result;
}

static int refuse(const struct model *model, struct err *err)
{
    if (model->state != MODEL_FAILED)
        return 0;
    return err_set(err, ERR_MODEL_FAILED, "model_type", "model \"%s\" failed: %s",
                   model_name(model), model->why.message);
}

int model_refuse(struct model *model, struct err *err)
{
    pthread_mutex_lock(&model->lock);
    int result = refuse(model, err);
    pthread_mutex_unlock(&model->lock);
    return result;
}

int model_reserve(struct model *model, struct err *err)
{
    pthread_mutex_lock(&model->lock);
    start_loading(model);
    int result = refuse(model, err);
    if (result == 0 && model->state != MODEL_READY)
        result = MODEL_WAIT;
    else if (result == 0 && model->busy + model->lost >= (uint32_t)model->config->sessions)
        result = MODEL_BUSY;
    if (result == MODEL_RESERVED)
        model->busy++;
    pthread_mutex_unlock(&model->lock);
    return result;
}

void model_fail(struct model *model, const struct err *why)
{
    pthread_mutex_lock(&model->lock);
    model->state = MODEL_FAILED;
    model->all_lost = false;
    model->why = *why;
    model->why.code = ERR_MODEL_FAILED;
    pthread_mutex_unlock(&model->lock);
    LOG_EVENT(model->owner->log, LOG_ERROR, model_name(model), "model failed",
              LOG_TEXT("reason", why->message));
    model_announce(model);
}

/* --- Unloading -------------------------------------------------------------------------------- */

static bool unload(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    bool running = model->state == MODEL_LOADING || model->busy || model->lost;
    pthread_mutex_unlock(&model->lock);
    if (running)
        return false;
    if (model->loader_started)
        pthread_join(model->loader, NULL);
    for (uint32_t i = 0; i < model->idle_count; i++)
        model_close_session(model, model->idle[i]);
    if (model->handle) {
        plugin_lock(model->plugin);
        crash_enter(NULL, "plugin \"%s\" (model \"%s\") in fini", model->entry->id,
                    model_name(model));
        model->entry->fini(model->handle);
        crash_leave();
        plugin_unlock(model->plugin);
    }
    pthread_cond_destroy(&model->changed);
    pthread_mutex_destroy(&model->lock);
    pthread_mutex_destroy(&model->identity_lock);
    scratch_close(model);
    model_cache_release(model);
    pthread_mutex_destroy(&model->scratch_lock);
    option_set_finish(&model->options);
    free(model->plugin_dir);
    free(model->copied_dir);
    free(model->idle);
    return true;
}

bool models_destroy(struct models *models)
{
    bool all = true;
    if (!models)
        return true;
    for (size_t i = 0; i < models->count; i++)
        all = unload(&models->items[i]) && all;
    if (all) {
        pthread_mutex_destroy(&models->cache_lock);
        pthread_mutex_destroy(&models->watch_lock);
        free(models->items);
        free(models);
    }
    return all;
}

/* --- Looking ---------------------------------------------------------------------------------- */

size_t models_count(const struct models *models)
{
    return models->count;
}

struct model *models_at(struct models *models, size_t index)
{
    return &models->items[index];
}

struct model *models_find(struct models *models, const char *name, struct err *err)
{
    const struct manifest_model *config = manifest_model_find(models->manifest, name);
    if (config)
        return &models->items[config - models->manifest->models];
    struct str known = {0};
    const char *names[MANIFEST_MODELS_MAX];
    for (size_t i = 0; i < models->count; i++) {
        names[i] = models->items[i].config->model_type;
        str_printf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *meant = suggest(name, names, models->count);
    err_set(err, ERR_UNKNOWN_MODEL, "model_type", "no model \"%s\"%s%s%s, expected one of: %s",
            name, meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "",
            str_text(&known));
    str_finish(&known);
    return NULL;
}

const char *model_name(const struct model *model)
{
    return model->config->model_type;
}

const struct manifest_model *model_manifest(const struct model *model)
{
    return model->config;
}

const struct vox_entry *model_entry(const struct model *model)
{
    return model->entry;
}

const char *model_plugin_path(const struct model *model)
{
    return model->plugin ? plugin_path(model->plugin) : NULL;
}

enum model_state model_state(struct model *model, struct err *why)
{
    pthread_mutex_lock(&model->lock);
    enum model_state state = model->state;
    if (why && state == MODEL_FAILED)
        *why = model->why;
    pthread_mutex_unlock(&model->lock);
    return state;
}

int64_t model_load_ms(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    int64_t load_ms = model->load_ms;
    pthread_mutex_unlock(&model->lock);
    return load_ms;
}

int64_t model_load_begun(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    int64_t begun = model->load_begun;
    pthread_mutex_unlock(&model->lock);
    return begun;
}

int64_t model_ready_at(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    int64_t ready_at = model->ready_at;
    pthread_mutex_unlock(&model->lock);
    return ready_at;
}
