/* The verb `plugins`: finds what is installed, in the order in which a model's plugin is searched
 * for, and shows what each can do. No model is loaded, and each library is opened in a process of
 * its own.
 */
#include "front/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGINS_MAX 1024

struct plugins_arguments {
    struct app_arguments common;
    bool json;
    char *names[PLUGINS_MAX];
    size_t name_count;
    const char *probe; /* in a child: the library to open, see plugin_probe.c */
};

/* What is found, first to last. */
struct listing {
    char *paths[PLUGINS_MAX];
    const char *hidden_by[PLUGINS_MAX]; /* a path before it, or NULL */
    size_t count;
    bool is_cut; /* there were more */
};

/* --- Finding ---------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Takes `path` over. The same file by another way is not listed again. */
static void add_path(struct listing *listing, char *path, bool is_searched)
{
    const char *hidden_by = NULL;
    for (size_t i = 0; i < listing->count; i++) {
        const char *other = listing->paths[i];
        if (same_file(other, path)) {
            free(path);
            return;
        }
        if (is_searched && !hidden_by && strcmp(fs_name_of(other), fs_name_of(path)) == 0)
            hidden_by = other;
    }
    if (listing->count == PLUGINS_MAX) {
        listing->is_cut = true;
        free(path);
        return;
    }
    listing->hidden_by[listing->count] = hidden_by;
    listing->paths[listing->count++] = path;
}

static int is_library(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

/* A folder that is not there is nothing to speak of; one that cannot be read is. */
static void add_folder(struct listing *listing, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_library, alphasort);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR)
        fprintf(stderr, "voxhost: %s: cannot be listed: %s\n", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        add_path(listing, fs_join(folder, entries[i]->d_name), true);
        free(entries[i]);
    }
    free(entries);
}

/* The folders, then what models name by a path of its own. */
static void find_all(struct listing *listing, const struct manifest *manifest)
{
    struct text_list dirs = {0};
    struct err err;
    add_folder(listing, manifest->dir);
    plugin_dirs(&manifest->host.plugin_path, &dirs);
    for (size_t i = 0; i < dirs.count; i++)
        add_folder(listing, dirs.items[i]);
    for (size_t i = 0; i < manifest->model_count; i++) {
        char *path = plugin_find(manifest->models[i].plugin, manifest->dir,
                                 &manifest->host.plugin_path, &err);
        if (path && access(path, F_OK) == 0)
            add_path(listing, path, false);
        else
            free(path);
    }
    if (listing->is_cut)
        fprintf(stderr, "voxhost: more than %d plugins: the rest is not listed\n", PLUGINS_MAX);
    text_list_finish(&dirs);
}

/* A file from here, else by name in the folders. */
static char *find_named(const char *name, const struct manifest *manifest, struct err *err)
{
    if (strchr(name, '/') || access(name, F_OK) == 0) {
        char *here = fs_current_dir(), *path = fs_absolute(here, name);
        free(here);
        return path;
    }
    return plugin_find(name, manifest->dir, &manifest->host.plugin_path, err);
}

/* --- The sheets ------------------------------------------------------------------------------- */

static void list_all(const struct manifest *manifest, cJSON *sheets)
{
    struct listing listing = {0};
    find_all(&listing, manifest);
    for (size_t i = 0; i < listing.count; i++) {
        const char *path = listing.paths[i], *hidden_by = listing.hidden_by[i];
        bool is_deadly;
        cJSON_AddItemToArray(sheets, hidden_by ? plugin_sheet_create(path, hidden_by)
                                               : plugin_probe(path, &is_deadly));
    }
    for (size_t i = 0; i < listing.count; i++)
        free(listing.paths[i]);
}

/* Returns how many cannot be used. */
static size_t list_named(const struct plugins_arguments *arguments, const struct manifest *manifest,
                         cJSON *sheets)
{
    size_t bad = 0;
    for (size_t i = 0; i < arguments->name_count; i++) {
        struct err err = {0};
        char *path = find_named(arguments->names[i], manifest, &err);
        bool is_deadly;
        cJSON *sheet = path ? plugin_probe(path, &is_deadly) : cJSON_CreateObject();
        if (!path) {
            cJSON_AddStringToObject(sheet, "path", arguments->names[i]);
            cJSON_AddStringToObject(sheet, "error", err.message);
            cJSON_AddNullToObject(sheet, "hidden_by");
        }
        bad += cJSON_IsString(json_get(sheet, "error")) ? 1 : 0;
        cJSON_AddItemToArray(sheets, sheet);
        free(path);
    }
    return bad;
}

static void print_none(const struct manifest *manifest, struct str *out)
{
    struct text_list dirs = {0};
    plugin_dirs(&manifest->host.plugin_path, &dirs);
    str_printf(out, "No plugins (*.so) in any of these folders:\n  %s\n", manifest->dir);
    for (size_t i = 0; i < dirs.count; i++)
        str_printf(out, "  %s\n", dirs.items[i]);
    text_list_finish(&dirs);
}

static void print_sheets(const struct plugins_arguments *arguments, const struct manifest *manifest,
                         cJSON *sheets, struct str *out)
{
    const cJSON *sheet;
    if (arguments->json) {
        str_puts(out, "{\"plugins\":");
        json_write(out, sheets);
        str_puts(out, "}\n");
        return;
    }
    cJSON_ArrayForEach(sheet, sheets) plugin_sheet_print(sheet, out);
    if (!sheets->child)
        print_none(manifest, out);
}

/* --- Arguments -------------------------------------------------------------------------------- */

enum { KEY_PROBE = 256 };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct plugins_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_PROBE:
        arguments->probe = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->name_count == PLUGINS_MAX)
            argp_error(state, "more than %d plugins are named", PLUGINS_MAX);
        arguments->names[arguments->name_count++] = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Print one JSON object: {\"plugins\": [...]}", 0},
    {"probe", KEY_PROBE, "PATH", OPTION_HIDDEN, NULL, 0},
    {0},
};
static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "[PLUGIN.so...]",
    "List the installed plugins, or those named, and what each can do: version, licences, "
    "languages, "
    "speakers, and the options that a manifest and a job may set, with range and default.\v"
    "Searched are the manifest's folder, the folders of host.plugin_path (or the variable "
    "VOXHOST_PLUGIN_PATH), then those of this program. A plugin of a name that was found before is "
    "shown as hidden. A file that is no plugin is listed with the reason.\n\n"
    "Exit codes: 0 listed; 1 a plugin that was named cannot be used; 2 wrong use or manifest.\n\n"
    "Examples:\n"
    "  voxhost plugins\n"
    "  voxhost plugins flite.so\n"
    "  voxhost plugins --json ./my_plugin.so | jq '.plugins[0].job_options'",
    children,
    NULL,
    NULL,
};

int verb_plugins(int argc, char **argv)
{
    struct plugins_arguments arguments = {0};
    struct str text = {0};
    struct app app;
    app_parse(&argp, "plugins", argc, argv, &arguments);
    if (arguments.probe)
        return plugin_probe_answer(arguments.probe);
    int exit_code = app_open(&app, &arguments.common);
    if (exit_code != 0)
        return exit_code;
    cJSON *sheets = cJSON_CreateArray();
    if (!arguments.name_count)
        list_all(app.manifest, sheets);
    else if (list_named(&arguments, app.manifest, sheets) > 0)
        exit_code = EXIT_JOBS_FAILED;
    print_sheets(&arguments, app.manifest, sheets, &text);
    exit_code = inspect_print(&text, exit_code);
    cJSON_Delete(sheets);
    str_finish(&text);
    return app_close(&app, exit_code);
}
