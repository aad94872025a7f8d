/* The verb `pull`: weights of a known model, or of any repository of a model hub, into the
 * directory where the loader looks for them, with their licence shown and recorded; or the
 * comparison of such a directory with its record. What is fetched how is in hub/. */
#include "front/app.h"
#include "hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATTERNS_MAX 64
#define REVISION_SIZE_MAX 255
#define LOG_EVERY_NS (5 * CLOCK_S)
#define BAR_EVERY_NS (200 * CLOCK_MS)
#define BAR_CELLS 30

struct pull_arguments {
    struct app_arguments common;
    const char *name, *dir, *endpoint;
    const char *include[PATTERNS_MAX + 1], *exclude[PATTERNS_MAX + 1];
    size_t include_count, exclude_count;
    int64_t jobs;
    bool offline, verify;
};

struct pull {
    struct pull_arguments arguments;
    struct app app;
    const struct hub_model *known; /* NULL: a repository */
    struct hub_model asked;        /* what stands in for it then */
    char *repo, *revision;         /* of the argument */
    char *dir;                     /* absolute; where everything goes */
    const char *endpoint;
    struct hub *hub;
    struct hub_listing listings[HUB_SOURCES_MAX];
    struct hub_item *items;
    size_t item_count;
    bool is_terminal;
    int64_t begun, shown_at;
};

/* --- What is meant ---------------------------------------------------------------------------- */

/* The manifest's model that this name means: one of that name, else one that runs the plugin of
 * that name. */
static const struct manifest_model *find_model(const struct manifest *manifest, const char *name)
{
    const struct manifest_model *model = manifest_model_find(manifest, name);
    char *plugin = str_format("%s.so", name);
    for (size_t i = 0; i < manifest->model_count && !model; i++)
        if (strcmp(fs_name_of(manifest->models[i].plugin), plugin) == 0)
            model = &manifest->models[i];
    free(plugin);
    return model;
}

/* The known model of that name, or of the plugin that a model of the manifest runs. */
static const struct hub_model *find_known(const struct manifest *manifest, const char *name)
{
    const struct hub_model *known = hub_model_find(name);
    const struct manifest_model *model = known ? NULL : manifest_model_find(manifest, name);
    return model ? hub_model_of_plugin(model->plugin) : known;
}

static int unknown_name(const char *name, struct err *err)
{
    struct str known = {0};
    struct stat info;
    hub_model_names(&known);
    if (stat(name, &info) == 0 || name[0] == '/' || name[0] == '.' || name[0] == '~')
        err_set(err, ERR_INVALID, NULL,
                "\"%s\" is a path: expected a model (%s) or a repository (OWNER/NAME); --dir names "
                "where its files go",
                name, str_text(&known));
    else
        err_set(err, ERR_INVALID, NULL,
                "\"%s\" is neither a known model (%s) nor a repository: expected OWNER/NAME, with "
                "@REVISION if need be",
                name, str_text(&known));
    str_finish(&known);
    return ERR_INVALID;
}

static bool revision_good(const char *revision)
{
    size_t len = strlen(revision);
    for (size_t i = 0; i < len; i++)
        if (revision[i] <= ' ' || revision[i] > '~')
            return false;
    return len > 0 && len <= REVISION_SIZE_MAX;
}

/* Splits REPO@REV. */
static int read_name(struct pull *pull, struct err *err)
{
    const char *name = pull->arguments.name, *at = strchr(name, '@');
    pull->known = find_known(pull->app.manifest, name);
    if (pull->known)
        return 0;
    pull->repo = mem_copy_text(name, at ? (size_t)(at - name) : strlen(name));
    pull->revision = mem_copy_string(at ? at + 1 : "main");
    if (!hub_repo_valid(pull->repo))
        return unknown_name(name, err);
    if (!revision_good(pull->revision))
        return err_set(err, ERR_INVALID, NULL,
                       "\"%s\": expected after \"@\" a branch, a tag or a commit", name);
    pull->asked.name = fs_name_of(pull->repo);
    pull->asked.sources[0] =
        (struct hub_source){.repo = pull->repo, .revision = at ? pull->revision : NULL};
    pull->known = &pull->asked;
    return 0;
}

/* The loader's own directory for this model, unless --dir names one. */
static void choose_dir(struct pull *pull)
{
    const struct manifest *manifest = pull->app.manifest;
    const struct manifest_model *model = NULL;
    if (pull->arguments.dir) {
        char *here = fs_current_dir();
        pull->dir = fs_absolute(here, pull->arguments.dir);
        free(here);
        return;
    }
    if (pull->known != &pull->asked)
        model = find_model(manifest, pull->arguments.name);
    if (!model && pull->known != &pull->asked)
        model = find_model(manifest, pull->known->name);
    pull->dir = model ? mem_copy_string(model->model_dir)
                      : fs_join(manifest->paths.models, pull->known->name);
}

/* --- What there is ---------------------------------------------------------------------------- */

/* Is a file of this source wanted: by the table, and by --include and --exclude. */
static bool is_wanted(const struct pull *pull, const struct hub_source *source, const char *path)
{
    return hub_path_wanted(path, source->include, NULL) &&
           hub_path_wanted(path, pull->arguments.include, pull->arguments.exclude);
}

static const char *licence_of(const struct pull *pull, const struct hub_listing *listing)
{
    if (pull->known->licence)
        return pull->known->licence;
    return listing->licence[0] ? listing->licence : "not stated";
}

static void add_items(struct pull *pull, const struct hub_source *source,
                      const struct hub_listing *listing)
{
    size_t before = pull->item_count;
    pull->items = mem_resize(pull->items, before + listing->count + 1, sizeof(*pull->items));
    for (size_t i = 0; i < listing->count; i++) {
        const struct hub_file *file = &listing->files[i];
        if (is_wanted(pull, source, file->path))
            pull->items[pull->item_count++] =
                (struct hub_item){.listing = listing,
                                  .file = file,
                                  .licence = licence_of(pull, listing),
                                  .local = hub_source_place(source, file->path)};
    }
}

/* A name of the table that the repository does not have is an error: it was moved or renamed. */
static int check_names(const struct hub_source *source, const struct hub_listing *listing,
                       struct err *err)
{
    for (size_t i = 0; source->include[i]; i++) {
        const char *only[] = {source->include[i], NULL};
        size_t found = 0;
        for (size_t k = 0; k < listing->count; k++)
            found += hub_path_wanted(listing->files[k].path, only, NULL) ? 1 : 0;
        if (found == 0)
            return err_set(err, ERR_STORAGE, NULL, "%s at %s has no file \"%s\" any more",
                           listing->repo, listing->commit, source->include[i]);
    }
    return 0;
}

static int list_sources(struct pull *pull, struct err *err)
{
    int result = 0;
    for (size_t i = 0; i < HUB_SOURCES_MAX && result == 0; i++) {
        const struct hub_source *source = &pull->known->sources[i];
        if (!source->repo)
            break;
        result = hub_list(pull->hub, source->repo, source->revision ? source->revision : "main",
                          &pull->listings[i], err);
        if (result == 0)
            result = check_names(source, &pull->listings[i], err);
        if (result == 0)
            add_items(pull, source, &pull->listings[i]);
    }
    if (result == 0 && pull->item_count == 0)
        result = err_set(err, ERR_INVALID, NULL, "%s: no file matches --include and --exclude",
                         pull->arguments.name);
    return result;
}

static void show_licences(const struct pull *pull)
{
    for (size_t i = 0; i < HUB_SOURCES_MAX && pull->listings[i].repo; i++)
        printf("%s at %s: licence: %s\n", pull->listings[i].repo, pull->listings[i].commit,
               licence_of(pull, &pull->listings[i]));
    printf("into %s\n", pull->dir);
    fflush(stdout);
}

/* --- Progress --------------------------------------------------------------------------------- */

static void show_bar(const struct hub_progress *progress, double seconds)
{
    char bar[BAR_CELLS + 1];
    double share =
        progress->bytes_total ? (double)progress->bytes / (double)progress->bytes_total : 1;
    for (int i = 0; i < BAR_CELLS; i++)
        bar[i] = i < (int)(share * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %5.1f%%  %.2f of %.2f GB  %.1f MB/s  %zu of %zu files ", bar,
            share * 100, (double)progress->bytes / 1e9, (double)progress->bytes_total / 1e9,
            seconds > 0 ? (double)progress->bytes / 1e6 / seconds : 0, progress->files,
            progress->files_total);
}

static void on_progress(const struct hub_progress *progress, void *arg)
{
    struct pull *pull = arg;
    int64_t now = clock_now();
    bool end = progress->files == progress->files_total;
    if (!end && now < pull->shown_at + (pull->is_terminal ? BAR_EVERY_NS : LOG_EVERY_NS))
        return;
    pull->shown_at = now;
    if (pull->is_terminal) {
        show_bar(progress, (double)(now - pull->begun) / 1e9);
        if (end)
            fputc('\n', stderr);
    } else {
        LOG_EVENT(
            &pull->app.log, LOG_INFO, "pull", "downloading", LOG_NUMBER("bytes", progress->bytes),
            LOG_NUMBER("bytes_total", progress->bytes_total), LOG_NUMBER("files", progress->files),
            LOG_NUMBER("files_total", progress->files_total));
    }
}

/* --- What is done ----------------------------------------------------------------------------- */

static int pull_all(struct pull *pull, struct err *err)
{
    uint64_t bytes = 0;
    size_t believed = 0;
    int result = list_sources(pull, err);
    if (result != 0)
        return result;
    show_licences(pull);
    pull->begun = pull->shown_at = clock_now();
    result = hub_pull(pull->hub, pull->dir, pull->items, pull->item_count, err);
    if (result == 0)
        result = hub_record_write(pull->dir, pull->endpoint, pull->items, pull->item_count, err);
    if (result != 0) {
        if (pull->is_terminal)
            fputc('\n', stderr);
        return result;
    }
    for (size_t i = 0; i < pull->item_count; i++) {
        bytes += pull->items[i].file->size;
        believed += pull->items[i].by_record ? 1 : 0;
    }
    printf("%zu files, %.3f GB: %zu checked by digest", pull->item_count, (double)bytes / 1e9,
           pull->item_count - believed);
    if (believed > 0)
        printf(", %zu not read, of size and time as recorded (--verify reads them)", believed);
    printf("; recorded in %s/" HUB_RECORD "\n", pull->dir);
    return 0;
}

static int pull_online(struct pull *pull, struct err *err)
{
    const struct hub_options options = {
        .endpoint = pull->endpoint,
        .token = app_getenv("HF_TOKEN", NULL),
        .jobs = (unsigned)pull->arguments.jobs,
        .min_free_mb = pull->app.manifest->host.min_free_mb,
        .stop = &app_signal,
        .log = &pull->app.log,
        .progress = on_progress,
        .arg = pull,
    };
    int result = hub_create(&options, &pull->hub, err);
    if (result != 0)
        return result;
    app_wake_on_signal(hub_wake, pull->hub);
    app_catch_signals();
    result = pull_all(pull, err);
    app_wake_on_signal(NULL, NULL);
    return result;
}

static void on_found(const char *local, uint64_t size, const char *wrong, void *arg)
{
    const struct pull *pull = arg;
    if (wrong)
        printf("WRONG %s: %s\n", local, wrong);
    else if (pull->arguments.verify)
        printf("ok    %s (%llu bytes)\n", local, (unsigned long long)size);
}

/* Looks at what the record has of one source, or of all (NULL), that match `include`. */
static int check_recorded(struct pull *pull, const struct hub_source *source,
                          const char *const *include, size_t counts[2], struct err *err)
{
    size_t checked = 0, bad = 0;
    const struct hub_check check = {
        .sizes_only = !pull->arguments.verify,
        .note = pull->arguments.verify,
        .repo = source ? source->repo : NULL,
        .revision = source ? source->revision : NULL,
        .include = include,
        .exclude = pull->arguments.exclude,
        .stop = &app_signal,
        .found = on_found,
        .arg = pull,
    };
    int result = hub_verify(pull->dir, &check, &checked, &bad, err);
    counts[0] += checked;
    counts[1] += bad;
    if (result == 0 && checked == 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: no %s%s%s%s%s is recorded there", pull->dir,
                         include && include[0] ? include[0] : "file", source ? " of " : "",
                         source ? source->repo : "", source && source->revision ? "@" : "",
                         source && source->revision ? source->revision : "");
    return result;
}

/* A known model's source has to have every file of the table, unless --include says which ones
 * are meant. */
static int check_source(struct pull *pull, const struct hub_source *source, size_t counts[2],
                        struct err *err)
{
    int result = 0;
    if (pull->arguments.include_count > 0 || !source->include[0])
        return check_recorded(pull, source, pull->arguments.include, counts, err);
    for (size_t i = 0; source->include[i] && result == 0; i++) {
        const char *only[] = {source->include[i], NULL};
        result = check_recorded(pull, source, only, counts, err);
    }
    return result;
}

static int check_dir(struct pull *pull, struct err *err)
{
    size_t counts[2] = {0};
    int result = 0;
    app_catch_signals();
    if (!pull->known)
        result = check_recorded(pull, NULL, pull->arguments.include, counts, err);
    for (size_t i = 0; pull->known && i < HUB_SOURCES_MAX && result == 0; i++)
        if (pull->known->sources[i].repo)
            result = check_source(pull, &pull->known->sources[i], counts, err);
    if (result == 0 && counts[1] == 0 && hub_unfinished(pull->dir))
        result = err_set(err, ERR_STORAGE, NULL,
                         "%s: a pull into it was not completed (" HUB_UNFINISHED
                         " lists what is missing): pull again",
                         pull->dir);
    if (result == 0 && counts[1] > 0)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: %zu of %zu files are missing or wrong: pull again",
                    pull->dir, counts[1], counts[0]);
    if (result == 0)
        printf("%zu files are as recorded in %s/" HUB_RECORD "%s\n", counts[0], pull->dir,
               pull->arguments.verify ? "" : " (sizes only; --verify reads them)");
    return result;
}

/* Nothing is asked of the network: what an earlier pull recorded has to be there. */
static int pull_offline(struct pull *pull, struct err *err)
{
    int result = check_dir(pull, err);
    if (result != 0 && result != ERR_CANCELLED)
        err_prefix(err, "offline (--offline or HF_HUB_OFFLINE)");
    return result;
}

static bool is_offline(const struct pull *pull)
{
    static const char *const yes[] = {"1", "on", "true", "yes"};
    const char *text = app_getenv("HF_HUB_OFFLINE", NULL);
    bool offline = pull->arguments.offline;
    for (size_t i = 0; text && i < sizeof(yes) / sizeof(yes[0]); i++)
        offline = offline || text_equal_nocase(text, yes[i]);
    return offline;
}

static int run(struct pull *pull, struct err *err)
{
    const char *endpoint = app_getenv("HF_ENDPOINT", NULL);
    pull->endpoint = pull->arguments.endpoint  ? pull->arguments.endpoint
                     : endpoint && endpoint[0] ? endpoint
                                               : HUB_ENDPOINT;
    pull->is_terminal = isatty(STDERR_FILENO);
    int result = pull->arguments.name ? read_name(pull, err) : 0;
    if (result != 0)
        return result;
    choose_dir(pull);
    if (pull->arguments.verify)
        return check_dir(pull, err);
    return is_offline(pull) ? pull_offline(pull, err) : pull_online(pull, err);
}

static int exit_code_of(int result)
{
    if (result == ERR_CANCELLED && app_signal)
        return EXIT_SIGNAL + app_signal;
    if (result == ERR_INVALID)
        return EXIT_WRONG_USE;
    return result == 0 ? EXIT_ALL_WELL : EXIT_JOBS_FAILED;
}

static void finish(struct pull *pull)
{
    hub_items_finish(pull->items, pull->item_count);
    for (size_t i = 0; i < HUB_SOURCES_MAX; i++)
        hub_listing_finish(&pull->listings[i]);
    hub_destroy(pull->hub);
    free(pull->repo);
    free(pull->revision);
    free(pull->dir);
}

/* --- Arguments -------------------------------------------------------------------------------- */

enum { KEY_INCLUDE = 256, KEY_EXCLUDE, KEY_ENDPOINT, KEY_OFFLINE, KEY_VERIFY };

static void add_pattern(struct argp_state *state, const char **patterns, size_t *count,
                        const char *pattern)
{
    if (*count == PATTERNS_MAX)
        argp_error(state, "more than %d patterns", PATTERNS_MAX);
    patterns[(*count)++] = pattern;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct pull_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_INCLUDE:
        add_pattern(state, arguments->include, &arguments->include_count, argument);
        return 0;
    case KEY_EXCLUDE:
        add_pattern(state, arguments->exclude, &arguments->exclude_count, argument);
        return 0;
    case KEY_ENDPOINT:
        arguments->endpoint = argument;
        return 0;
    case 'd':
        arguments->dir = argument;
        return 0;
    case 'j':
        if (!app_integer(argument, &arguments->jobs) || arguments->jobs < 1 ||
            arguments->jobs > HUB_JOBS_MAX)
            argp_error(state, "--jobs: expected integer 1..%d, got %s", HUB_JOBS_MAX, argument);
        return 0;
    case KEY_OFFLINE:
        arguments->offline = true;
        return 0;
    case KEY_VERIFY:
        arguments->verify = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->name)
            argp_error(state, "one MODEL or REPO only");
        arguments->name = argument;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->name && !(arguments->verify && arguments->dir))
            argp_error(state,
                       "what to pull is missing: a MODEL or REPO (with --verify, --dir will do)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"include", KEY_INCLUDE, "GLOB", 0,
     "Only files whose path in the repository matches; may stand several times. \"*\" matches "
     "\"/\" "
     "too",
     0},
    {"exclude", KEY_EXCLUDE, "GLOB", 0, "But none that match this", 0},
    {"dir", 'd', "DIR", 0,
     "Where the files go; by default the model's model_dir in the manifest, else a folder of its "
     "name "
     "in paths.models",
     0},
    {"endpoint", KEY_ENDPOINT, "URL", 0,
     "The hub; by default the variable HF_ENDPOINT, else " HUB_ENDPOINT, 0},
    {"jobs", 'j', "N", 0, "Connections at the same time (8)", 0},
    {"offline", KEY_OFFLINE, NULL, 0,
     "Ask no network, only whether all is there (the variable HF_HUB_OFFLINE=1 does the same)", 0},
    {"verify", KEY_VERIFY, NULL, 0,
     "Read the files again, compare them with the record, and note there which are wrong: the next "
     "pull fetches those again",
     0},
    {0},
};

static const char doc[] =
    "Download the weights of a known model (f5tts, chatterbox, chatterbox-multilingual, higgs), or "
    "the files of "
    "any repository of a Hugging Face style hub, to where the loader looks for them.\v"
    "Every file is fetched in parallel ranges, checked by size and digest, and only then put in "
    "place. "
    "A pull that is interrupted leaves FILE.part, with which the next one goes on; several at the "
    "same time "
    "share the work. What was pulled, with its licence, stands in DIR/" HUB_RECORD ". A file that "
    "is there is not read again while its size and time of change are those recorded, unless "
    "--verify found it wrong; any other is checked by digest, and fetched again if that differs. "
    "The variable "
    "HF_TOKEN is sent to the hub's own host and nowhere else. HF_HOME and other caches are not "
    "looked at.\n\n"
    "Exit codes: 0 all files are in place; 1 something could not be had, or is wrong; 2 wrong use; "
    "130, 143 "
    "stopped by a signal.\n\n"
    "Examples:\n"
    "  voxhost pull f5tts --manifest configs/f5tts.yaml\n"
    "  voxhost pull SWivid/F5-TTS --include \"F5TTS_Base/*\" --dir models/f5base\n"
    "  voxhost pull OWNER/NAME@v1.0 --endpoint https://hub.example.com\n"
    "  voxhost pull --verify --dir models/f5tts";

int verb_pull(int argc, char **argv)
{
    static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "MODEL|REPO[@REV]", doc, children, NULL, NULL};
    struct pull pull = {0};
    struct err err = {0};
    app_parse(&argp, "pull", argc, argv, &pull.arguments);
    int exit_code = app_open(&pull.app, &pull.arguments.common);
    if (exit_code != 0)
        return exit_code;
    int result = run(&pull, &err);
    if (result != 0)
        app_complain(&err);
    exit_code = exit_code_of(result);
    finish(&pull);
    return app_close(&pull.app, exit_code);
}
