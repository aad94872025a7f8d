/* What is wrong with a model's directory, in words for the person who has to put it right: it is
 * not there, it is empty, a pull into it was not completed, or a file is not what `voxhost pull`
 * recorded. Reads no weights and changes nothing. */
#include "plugin/model_private.h"

#include "hub/hub.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *dir_of(const struct model *model)
{
    return model->copied_dir ? model->copied_dir : model->config->model_dir;
}

/* --- Its record ------------------------------------------------------------------------------- */

static void keep_first(const char *local, uint64_t size, const char *wrong, void *arg)
{
    struct str *first = arg;
    (void)size;
    if (wrong && first->len == 0)
        str_printf(first, "%s %s", local, wrong);
}

void model_dir_compare(const char *dir, struct str *wrong)
{
    const struct hub_check check = {.sizes_only = true, .found = keep_first, .arg = wrong};
    struct err err = {0};
    size_t checked, bad;
    char *record = fs_join(dir, HUB_RECORD);
    if (access(record, F_OK) == 0 && hub_verify(dir, &check, &checked, &bad, &err) != 0)
        str_puts(wrong, err.message);
    free(record);
}

void model_dir_check(const struct model *model)
{
    struct str wrong = {0};
    model_dir_compare(dir_of(model), &wrong);
    if (wrong.len > 0)
        LOG_EVENT(model->owner->log, LOG_WARN, model->config->model_type,
                  "a file of the model is not as voxhost pull recorded it",
                  LOG_TEXT("model_dir", dir_of(model)), LOG_TEXT("reason", str_text(&wrong)));
    str_finish(&wrong);
}

/* --- Why a load failed ------------------------------------------------------------------------ */

/* Appends what is wrong with the directory; nothing when nothing is known to be. */
static void find_fault(const char *path, struct str *fault)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool any = false;
    if (!dir) {
        str_puts(fault, errno == ENOENT ? "does not exist" : strerror(errno));
        return;
    }
    while (!any && (entry = readdir(dir)))
        any = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    if (!any)
        str_puts(fault, "is empty");
    else if (hub_unfinished(path))
        str_puts(fault, "holds a pull that was not completed");
    else
        model_dir_compare(path, fault);
}

void model_dir_explain(const struct model *model, const struct err *fetch, struct err *err)
{
    const struct hub_model *known = hub_model_of_plugin(model->config->plugin);
    /* Who has speakers of its own, and no weights that are known, may never look there. */
    bool needed = known || !model->entry->speaker_count || fetch->code != ERR_NONE;
    struct str fault = {0};
    struct err why = *err;
    if (needed)
        find_fault(dir_of(model), &fault);
    if (fault.len == 0)
        goto out;
    str_printf(&fault, ": ");
    if (fetch->code != ERR_NONE)
        str_puts(&fault, fetch->message);
    else if (known)
        str_printf(&fault, "voxhost pull %s --dir %s fetches it", known->name, dir_of(model));
    else
        str_puts(&fault, "put the model's files there, or set model_dir");
    err_set(err, why.code, why.field[0] ? why.field : NULL, "%s: model_dir %s %s (%s)",
            model->entry->id, dir_of(model), str_text(&fault), why.message);
out:
    str_finish(&fault);
}
