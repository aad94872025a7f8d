/* The verb `doctor`: looks at the machine (doctor_machine.c), then at a manifest and what its
 * models need, and says what to do. Makes and changes nothing, unless it is told to load the
 * models, or to try the storage (doctor_storage.c).
 */
#include "front/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const level_names[] = {"ok", "warn", "FAIL"};

struct doctor_arguments {
    struct app_arguments common;
    bool json, load, storage, weights;
};

/* --- Findings --------------------------------------------------------------------------------- */

static void show(struct doctor *doctor, enum doctor_level level, const char *subject,
                 const char *message, const char *advice)
{
    struct str line = {0};
    str_printf(&line, "%-4s  %-12s  %s%s%s\n", level_names[level], subject, message,
               advice ? "; " : "", advice ? advice : "");
    if (!doctor->unwritten)
        doctor->unwritten = inspect_print(&line, 0) != 0;
    str_finish(&line);
}

void doctor_report(struct doctor *doctor, enum doctor_level level, const char *subject,
                   const char *advice, const char *format, ...)
{
    struct str message = {0};
    va_list args;
    va_start(args, format);
    str_vprintf(&message, format, args);
    va_end(args);
    doctor->counts[level]++;
    if (doctor->json) {
        cJSON *check = cJSON_CreateObject();
        cJSON_AddStringToObject(check, "level", level == DOCTOR_FAIL ? "fail" : level_names[level]);
        cJSON_AddStringToObject(check, "subject", subject);
        cJSON_AddStringToObject(check, "message", str_text(&message));
        cJSON_AddItemToObject(check, "advice",
                              advice ? cJSON_CreateString(advice) : cJSON_CreateNull());
        cJSON_AddItemToArray(doctor->checks, check);
    } else {
        show(doctor, level, subject, str_text(&message), advice);
    }
    str_finish(&message);
}

/* --- The manifest ----------------------------------------------------------------------------- */

/* One finding a line of the report. */
static void report_problems(struct doctor *doctor, const char *report)
{
    while (*report) {
        size_t len = strcspn(report, "\n");
        doctor_report(doctor, DOCTOR_FAIL, "manifest", NULL, "%.*s", (int)len, report);
        report += len + (report[len] == '\n');
    }
}

static bool open_manifest(struct doctor *doctor, struct app *app,
                          const struct app_arguments *arguments)
{
    struct str report = {0};
    bool good = app_read_manifest(arguments, &app->manifest, &report) == 0;
    app->log = (struct log){.fd = STDERR_FILENO, .level = LOG_WARN, .json = doctor->json};
    if (good)
        doctor_report(doctor, DOCTOR_OK, "manifest", NULL, "%s, %zu model%s", app->manifest->file,
                      app->manifest->model_count, app->manifest->model_count == 1 ? "" : "s");
    else
        report_problems(doctor, str_text(&report));
    str_finish(&report);
    return good;
}

/* --- Folders of plugins ----------------------------------------------------------------------- */

static void check_folder(struct doctor *doctor, const char *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) {
        doctor_report(doctor, DOCTOR_OK, "plugins", NULL, "%s: is not there", folder);
        return;
    }
    if (!dir) {
        doctor_report(doctor, DOCTOR_WARN, "plugins", "make it a folder that can be read", "%s: %s",
                      folder, strerror(errno));
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        count += len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
    }
    closedir(dir);
    doctor_report(doctor, DOCTOR_OK, "plugins", NULL, "%s: %zu librar%s", folder, count,
                  count == 1 ? "y" : "ies");
}

static void check_folders(struct doctor *doctor, const struct manifest *manifest)
{
    struct text_list dirs = {0};
    plugin_dirs(&manifest->host.plugin_path, &dirs);
    check_folder(doctor, manifest->dir);
    for (size_t i = 0; i < dirs.count; i++)
        check_folder(doctor, dirs.items[i]);
    text_list_finish(&dirs);
}

/* --- Models ----------------------------------------------------------------------------------- */

/* Where a value came from, by the object that `voxhost config --json` shows for its key. */
static void append_source(const cJSON *key, struct str *out)
{
    const cJSON *source = json_get(key, "source"), *line = json_get(key, "line");
    const cJSON *variable = json_get(key, "variable");
    str_puts(out, cJSON_IsString(source) ? source->valuestring : "unknown");
    if (cJSON_IsNumber(line))
        str_printf(out, " line %.0f", line->valuedouble);
    if (cJSON_IsString(variable))
        str_printf(out, " variable %s", variable->valuestring);
}

static void report_cache_source(struct doctor *doctor, const char *subject, const cJSON *config,
                                const cJSON *model)
{
    const cJSON *cache_dir = json_get(model, "cache_dir");
    struct str text = {0};
    append_source(cache_dir, &text);
    str_puts(&text, "; paths.cache from: ");
    append_source(json_get(json_get(config, "paths"), "cache"), &text);
    doctor_report(doctor, DOCTOR_OK, subject, NULL, "cache directory %s, from: %s",
                  cJSON_GetStringValue(json_get(cache_dir, "value")), str_text(&text));
    str_finish(&text);
}

/* The path itself, or what is there of the way to it. NULL with errno when that cannot be told. */
static char *nearest_existing(const char *path)
{
    struct stat info;
    char *at = mem_copy_string(path);
    while (stat(at, &info) != 0) {
        int why = errno;
        char *above = fs_dir_of(at);
        bool is_end = why != ENOENT || strcmp(above, at) == 0;
        free(at);
        at = above;
        if (is_end) {
            free(at);
            errno = why;
            return NULL;
        }
    }
    return at;
}

static bool check_cache(struct doctor *doctor, const char *subject,
                        const struct manifest_model *model, int64_t min_free_mb)
{
    size_t failed = doctor->counts[DOCTOR_FAIL];
    struct stat info;
    char *there = nearest_existing(model->cache_dir);
    int why = there ? 0 : errno;
    if (there)
        why = stat(there, &info) == 0 && S_ISDIR(info.st_mode) ? doctor_try_dir(there) : ENOTDIR;
    if (why != 0)
        doctor_report(doctor, DOCTOR_FAIL, subject,
                      "make it writable for this user, or name another cache_dir",
                      "cache directory %s cannot be %s: %s%s%s", model->cache_dir,
                      there && strcmp(there, model->cache_dir) == 0 ? "written" : "made",
                      there ? there : "", there ? ": " : "", strerror(why));
    else
        doctor_check_space(doctor, subject, there, min_free_mb, DOCTOR_FAIL,
                           "free some, or lower host.min_free_mb");
    free(there);
    return doctor->counts[DOCTOR_FAIL] == failed;
}

static bool check_plugin(struct doctor *doctor, const char *subject, struct model *model)
{
    const struct vox_entry *entry = model_entry(model);
    struct err why = {0};
    if (model_state(model, &why) == MODEL_FAILED) {
        doctor_report(doctor, DOCTOR_FAIL, subject, "see voxhost plugins for what there is", "%s",
                      why.message);
        return false;
    }
    doctor_report(doctor, DOCTOR_OK, subject, NULL, "plugin %s %s, %s", entry->id, entry->version,
                  model_plugin_path(model));
    return true;
}

static bool check_load(struct doctor *doctor, struct model *model, double timeout_s)
{
    struct err err = {0};
    int64_t deadline = clock_now() + (int64_t)(timeout_s * (double)CLOCK_S);
    char *subject = str_format("model %s", model_manifest(model)->model_type);
    bool good = model_wait(model, deadline, NULL, &err) == 0;
    if (good)
        doctor_report(doctor, DOCTOR_OK, subject, NULL, "ready, loaded in %lld ms",
                      (long long)model_load_ms(model));
    else
        doctor_report(doctor, DOCTOR_FAIL, subject, NULL, "loading: %s", err.message);
    free(subject);
    return good;
}

/* All but its load. *opened: it can be loaded. */
static bool check_model(struct doctor *doctor, const struct app *app, const cJSON *config, size_t i,
                        bool *opened)
{
    struct model *model = models_at(app->models, i);
    const cJSON *shown = cJSON_GetArrayItem(json_get(config, "models"), (int)i);
    const struct manifest_model *wanted = model_manifest(model);
    const struct manifest_host *host = &app->manifest->host;
    char *subject = str_format("model %s", wanted->model_type);
    bool good = *opened = check_plugin(doctor, subject, model);
    doctor_check_model_dir(doctor, subject, app->manifest, wanted, model_entry(model), shown);
    report_cache_source(doctor, subject, config, shown);
    good = check_cache(doctor, subject, wanted, host->min_free_mb) && good;
    if (strncmp(wanted->device, "cuda", 4) == 0 && !doctor->has_gpu)
        doctor_report(doctor, DOCTOR_WARN, subject, "set device to auto or cpu",
                      "wants the device %s, and no GPU was found", wanted->device);
    free(subject);
    return good;
}

/* A library that would end this process is found by opening it in another first. Returns the exit
 * code. */
static int check_deadly(struct doctor *doctor, const struct manifest *manifest)
{
    int exit_code = 0;
    for (size_t i = 0; i < manifest->model_count; i++) {
        const struct manifest_model *model = &manifest->models[i];
        struct err err;
        bool is_deadly = false;
        char *path = plugin_find(model->plugin, manifest->dir, &manifest->host.plugin_path, &err);
        cJSON *sheet = path ? plugin_probe(path, &is_deadly) : NULL;
        if (is_deadly) {
            char *subject = str_format("model %s", model->model_type);
            doctor_report(doctor, DOCTOR_FAIL, subject,
                          "name another plugin; no model was checked because of this one", "%s",
                          cJSON_GetStringValue(json_get(sheet, "error")));
            exit_code = EXIT_MODEL_FAILED; /* nothing starts with it, required or not */
            free(subject);
        }
        cJSON_Delete(sheet);
        free(path);
    }
    return exit_code;
}

/* Loads start when all else was looked at: one that fails at once would look like one that cannot
 * be opened. Returns the exit code. */
static int check_models(struct doctor *doctor, struct app *app, bool load)
{
    const struct manifest *manifest = app->manifest;
    struct str text = {0};
    struct err err;
    manifest_print(manifest, true, &text);
    cJSON *config = json_parse(str_text(&text), text.len, &JSON_LIMITS_DEFAULT, &err);
    app_open_models(app);
    size_t count = models_count(app->models);
    bool *opened = mem_alloc_array(count, sizeof(*opened)), failed = false;
    for (size_t i = 0; i < count; i++)
        if (!check_model(doctor, app, config, i, &opened[i]))
            failed |= manifest->models[i].required;
    for (size_t i = 0; load && i < count; i++)
        model_load_start(models_at(app->models, i));
    for (size_t i = 0; load && i < count; i++)
        if (opened[i] &&
            !check_load(doctor, models_at(app->models, i), manifest->host.load_timeout_s))
            failed |= manifest->models[i].required;
    free(opened);
    cJSON_Delete(config);
    str_finish(&text);
    return failed ? EXIT_MODEL_FAILED : 0;
}

/* --- Arguments -------------------------------------------------------------------------------- */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct doctor_arguments *arguments = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'l':
        arguments->load = true;
        return 0;
    case 's':
        arguments->storage = true;
        return 0;
    case 'w':
        arguments->weights = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0,
     "Print one JSON object: {\"checks\": [{level, subject, message, advice}...], ...}", 0},
    {"load", 'l', NULL, 0,
     "Load every model as a run would, which makes the cache directories, and say how long it took",
     0},
    {"storage", 's', NULL, 0,
     "Put, look at, get, list and delete one small object in the manifest's storage, and fetch it "
     "by its URL",
     0},
    {"weights", 'w', NULL, 0,
     "Read the models' files, and compare their SHA-256 with what voxhost pull recorded", 0},
    {0},
};
static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    NULL,
    "Check this machine and a manifest: libraries, encoders, CPU, memory, devices, disks, plugins, "
    "options, model and cache directories. Each check is a line that begins with ok, warn or FAIL "
    "and says what to do.\v"
    "Nothing is loaded, made or changed unless --load or --storage is given.\n\n"
    "Exit codes: 0 no FAIL; 1 something failed that is not required; 2 wrong use or manifest; 3 a "
    "required model would not run.\n\n"
    "Examples:\n"
    "  voxhost doctor\n"
    "  voxhost doctor --manifest voxhost.yaml --load\n"
    "  voxhost doctor --manifest voxhost.yaml --storage\n"
    "  voxhost doctor --manifest voxhost.yaml --weights\n"
    "  voxhost doctor -m voxhost.yaml --json | jq '.checks[] | select(.level != \"ok\")'",
    children,
    NULL,
    NULL,
};

/* The last line, or all of the JSON. */
static int finish(struct doctor *doctor, int exit_code)
{
    struct str text = {0};
    size_t warned = doctor->counts[DOCTOR_WARN], failed = doctor->counts[DOCTOR_FAIL];
    if (exit_code == 0 && failed > 0)
        exit_code = EXIT_JOBS_FAILED;
    if (doctor->json) {
        str_puts(&text, "{\"checks\":");
        json_write(&text, doctor->checks);
        str_printf(&text, ",\"warnings\":%zu,\"failures\":%zu,\"exit_code\":%d}\n", warned, failed,
                   exit_code);
    } else {
        str_printf(&text, "%zu ok, %zu warn, %zu FAIL\n", doctor->counts[DOCTOR_OK], warned,
                   failed);
    }
    exit_code = doctor->unwritten ? EXIT_JOBS_FAILED : inspect_print(&text, exit_code);
    cJSON_Delete(doctor->checks);
    str_finish(&text);
    return exit_code;
}

int verb_doctor(int argc, char **argv)
{
    struct doctor_arguments arguments = {0};
    struct app app = {0};
    app_parse(&argp, "doctor", argc, argv, &arguments);
    struct doctor doctor = {
        .json = arguments.json, .weights = arguments.weights, .checks = cJSON_CreateArray()};
    int exit_code = EXIT_WRONG_USE;
    char *here = fs_current_dir();
    doctor_check_machine(&doctor);
    bool good = open_manifest(&doctor, &app, &arguments.common);
    if (good)
        doctor_check_disks(&doctor, app.manifest, here);
    else
        doctor_check_space(&doctor, "disk", here, 0, DOCTOR_WARN, "free some");
    free(here);
    if (good) {
        check_folders(&doctor, app.manifest);
        exit_code = check_deadly(&doctor, app.manifest);
        if (exit_code == 0)
            exit_code = check_models(&doctor, &app, arguments.load);
        doctor_check_callbacks(&doctor, app.manifest, arguments.storage);
        if (arguments.storage)
            doctor_check_storage(&doctor, &app.manifest->storage);
    }
    exit_code = finish(&doctor, exit_code);
    return app_close(&app, exit_code);
}
