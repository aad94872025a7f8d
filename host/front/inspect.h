/* What config, plugins and doctor share: verbs that look and change nothing. Inside host/front
 * only. */
#ifndef FRONT_INSPECT_H
#define FRONT_INSPECT_H

#include "front/app.h"

/* Writes a text to standard output. Returns `exit_code`, or EXIT_JOBS_FAILED when it cannot be
 * written. */
int inspect_print(const struct str *text, int exit_code);

/* --- Plugins ---------------------------------------------------------------------------------- */

/* What a plugin says of itself: "path", "error" (null: none), "hidden_by" (null, or the path of a
 * plugin of the same name that is found before it; it is not opened then), and the rest when it
 * could be opened. */
cJSON *plugin_sheet_create(const char *path, const char *hidden_by);
/* Appends it as text of at most 100 columns, after a blank line when `out` has something
 * already. */
void plugin_sheet_print(const cJSON *sheet, struct str *out);

/* The same sheet from a child process, which alone opens the library. *is_deadly: opening it would
 * have ended or stopped this process. */
cJSON *plugin_probe(const char *path, bool *is_deadly);
/* In the child: sends the sheet to the parent. Returns the exit code. */
int plugin_probe_answer(const char *path);

/* --- Doctor ----------------------------------------------------------------------------------- */

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

/* Takes findings: text is shown as they come, JSON is kept for the end. */
struct doctor {
    bool json;
    bool unwritten; /* standard output was closed */
    cJSON *checks;  /* array */
    size_t counts[DOCTOR_FAIL + 1];
    bool has_gpu;
    bool weights; /* files of models are read, and compared with the record of their pull */
};

/* One finding about `subject`; `advice` says what to do, NULL: nothing. */
__attribute__((format(printf, 5, 6))) void doctor_report(struct doctor *doctor,
                                                         enum doctor_level level,
                                                         const char *subject, const char *advice,
                                                         const char *format, ...);

/* The directory of a model. `entry`: NULL when its plugin could not be opened; `config`: what
 * `voxhost config --json` shows of the model. */
void doctor_check_model_dir(struct doctor *doctor, const char *subject,
                            const struct manifest *manifest, const struct manifest_model *model,
                            const struct vox_entry *entry, const cJSON *config);
/* Can files be made in the directory? 0 or an errno value; leaves nothing behind. */
int doctor_try_dir(const char *dir);
/* Reports the free space on the disk of `dir`: `level` and `advice` when it is under
 * `min_free_mb`. */
void doctor_check_space(struct doctor *doctor, const char *subject, const char *dir,
                        int64_t min_free_mb, enum doctor_level level, const char *advice);
/* Every disk that this manifest's process writes to, and that of `here`, where it is started. */
void doctor_check_disks(struct doctor *doctor, const struct manifest *manifest, const char *here);

/* What this program runs with and on: libraries, encoders, CPU, memory, devices, limits, /tmp. */
void doctor_check_machine(struct doctor *doctor);

/* Can callbacks be signed and kept? `try_storage`: tries whether the storage takes dead letters,
 * with a small object that is gone afterwards. */
void doctor_check_callbacks(struct doctor *doctor, const struct manifest *manifest,
                            bool try_storage);
/* Tries the storage end to end with one small object, which is gone afterwards. */
void doctor_check_storage(struct doctor *doctor, const struct manifest_storage *manifest);

#endif
