/* The doctor's look at a model's directory: is it there, which `voxhost pull` would fetch it, and
 * are its files what such a pull recorded. Changes nothing and asks no network. */
#include "front/inspect.h"
#include "hub/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct weights {
    struct doctor *doctor;
    const char *subject;
    char *advice;
};

static void report_file(const char *local, uint64_t size, const char *wrong, void *arg)
{
    const struct weights *weights = arg;
    (void)size;
    if (wrong)
        doctor_report(weights->doctor, DOCTOR_FAIL, weights->subject, weights->advice,
                      "weights: %s %s", local, wrong);
}

/* Compares a model's directory with what `voxhost pull` recorded there, if it did: the sizes, and
 * with --weights the digests too. */
static void check_weights(struct doctor *doctor, const char *subject,
                          const struct manifest_model *model)
{
    const struct hub_model *known = hub_model_of_plugin(model->plugin);
    struct err err = {0};
    size_t checked = 0, bad = 0;
    char *record = fs_join(model->model_dir, HUB_RECORD);
    struct weights weights = {doctor, subject, NULL};
    weights.advice =
        known ? str_format("voxhost pull %s --dir %s mends it", known->name, model->model_dir)
              : mem_copy_string("pull it again");
    if (doctor->weights) { /* which notes nothing */
        char *advice = str_format("voxhost pull --verify --dir %s notes what is wrong, then %s",
                                  model->model_dir, weights.advice);
        free(weights.advice);
        weights.advice = advice;
    }
    const struct hub_check check = {
        .sizes_only = !doctor->weights, .found = report_file, .arg = &weights};
    if (hub_unfinished(model->model_dir))
        doctor_report(doctor, DOCTOR_FAIL, subject, weights.advice,
                      "weights: a pull into %s was not completed", model->model_dir);
    if (access(record, F_OK) != 0)
        goto out;
    if (hub_verify(model->model_dir, &check, &checked, &bad, &err) != 0)
        doctor_report(doctor, DOCTOR_FAIL, subject, NULL, "weights: %s", err.message);
    else if (bad == 0)
        doctor_report(doctor, DOCTOR_OK, subject, NULL,
                      "weights: %zu files are as voxhost pull recorded them%s", checked,
                      doctor->weights ? ", by their SHA-256" : " (sizes; --weights reads them)");
out:
    free(weights.advice);
    free(record);
}

/* What to do about a model_dir that is not there; the caller's. */
static char *model_dir_advice(const struct manifest *manifest, const struct manifest_model *model)
{
    const struct hub_model *known = hub_model_of_plugin(model->plugin);
    const struct text_list *tiers = &manifest->paths.model_tiers;
    for (size_t i = 0; i < tiers->count; i++)
        if (manifest_tier_is_bucket(tiers->items[i]))
            return str_format("%s is asked for it when the model is loaded%s", tiers->items[i],
                              manifest->paths.copy_up ? "" : ", if paths.copy_up is set to true");
    if (known)
        return str_format("voxhost pull %s --dir %s fetches it", known->name, model->model_dir);
    return mem_copy_string("put the model's files there, or set model_dir");
}

/* A plugin that has speakers of its own may carry them inside and never look into its model_dir:
 * then only one that was set has to be there. */
void doctor_check_model_dir(struct doctor *doctor, const char *subject,
                            const struct manifest *manifest, const struct manifest_model *model,
                            const struct vox_entry *entry, const cJSON *config)
{
    struct stat info;
    char *advice = model_dir_advice(manifest, model);
    const char *source = cJSON_GetStringValue(json_get(json_get(config, "model_dir"), "source"));
    bool is_default = source && strcmp(source, "default") == 0;
    bool needed =
        !is_default || !entry || !entry->speaker_count || hub_model_of_plugin(model->plugin);
    if (stat(model->model_dir, &info) != 0)
        doctor_report(doctor, needed ? DOCTOR_WARN : DOCTOR_OK, subject, needed ? advice : NULL,
                      "model_dir %s: %s%s", model->model_dir, strerror(errno),
                      needed ? "" : " (the plugin has speakers of its own)");
    else if (!S_ISDIR(info.st_mode) || access(model->model_dir, R_OK | X_OK) != 0)
        doctor_report(doctor, DOCTOR_WARN, subject, "make it a directory that this user can read",
                      "model_dir %s cannot be read", model->model_dir);
    else
        doctor_report(doctor, DOCTOR_OK, subject, NULL, "model_dir %s", model->model_dir);
    check_weights(doctor, subject, model);
    free(advice);
}
