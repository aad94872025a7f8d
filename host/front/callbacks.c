/* The verb `callbacks`: those that nobody took, and sending them again. Opens no plugin. */
#include "callback/callback.h"
#include "front/inspect.h"

#include <stdlib.h>
#include <string.h>

enum action { ACTION_NONE, ACTION_LIST, ACTION_REPLAY };

struct callbacks_arguments {
    struct app_arguments common;
    enum action action;
    char **ids; /* borrowed; the rest of the command line */
    int id_count;
    bool all, json;
};

/* --- List ------------------------------------------------------------------------------------- */

struct listing {
    struct str *out;
    size_t count, wrong;
    bool json;
};

static void put_text(struct str *out, const char *key, const char *text)
{
    str_printf(out, ",\"%s\":", key);
    if (text)
        json_write_string(out, text, strlen(text));
    else
        str_puts(out, "null");
}

static void list_letter(const struct callback_letter *letter, void *arg)
{
    struct listing *listing = arg;
    struct str *out = listing->out;
    if (listing->json) {
        str_printf(out, "%s{\"id\":\"%s\",\"kind\":\"%s\",\"attempts\":%lld",
                   listing->count ? "," : "", letter->id, letter->is_error ? "error" : "success",
                   (long long)letter->attempts);
        put_text(out, "job_id", letter->job_id);
        put_text(out, "url", letter->url);
        put_text(out, "created", letter->created);
        put_text(out, "last_error", letter->last_error);
        str_putc(out, '}');
    } else {
        str_printf(out, "%s  %-7s job %s, %lld attempt%s, %s\n    %s\n", letter->id,
                   letter->is_error ? "error" : "success", letter->job_id,
                   (long long)letter->attempts, letter->attempts == 1 ? "" : "s", letter->url,
                   letter->last_error ? letter->last_error
                                      : "the process ended before it was sent");
    }
    listing->count++;
}

static void list_wrong(const struct err *err, void *arg)
{
    struct listing *listing = arg;
    listing->wrong++;
    app_complain(err);
}

static int list(const struct callbacks_arguments *arguments, const char *dir)
{
    struct str out = {0};
    struct err err = {0};
    struct listing listing = {.out = &out, .json = arguments->json};
    const struct callback_visitor visitor = {list_letter, list_wrong, &listing};
    int exit_code = EXIT_ALL_WELL;
    str_puts(&out, arguments->json ? "{\"callbacks\":[" : "");
    if (callback_letters(dir, &visitor, &err) != 0) {
        app_complain(&err);
        exit_code = EXIT_JOBS_FAILED;
    }
    if (arguments->json)
        str_printf(&out, "],\"count\":%zu}\n", listing.count);
    else if (exit_code == EXIT_ALL_WELL && listing.count + listing.wrong == 0)
        str_printf(&out, "No dead letters in %s\n", dir);
    exit_code = inspect_print(&out, listing.wrong ? EXIT_JOBS_FAILED : exit_code);
    str_finish(&out);
    return exit_code;
}

/* --- Replay ----------------------------------------------------------------------------------- */

static void collect(const struct callback_letter *letter, void *arg)
{
    text_list_add(arg, mem_copy_string(letter->id));
}

static void collect_wrong(const struct err *err, void *arg)
{
    (void)arg;
    app_complain(err);
}

static void stop_now(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
}

/* One after the other: what fails stays a dead letter, and the next is tried. */
static int replay_ids(const struct callback_options *options, const struct text_list *ids,
                      atomic_int *stop)
{
    struct str out = {0};
    size_t taken = 0;
    for (size_t i = 0; i < ids->count && !app_signal; i++) {
        struct err err = {0};
        if (callback_replay(options, ids->items[i], stop, &err) == 0) {
            taken++;
            continue;
        }
        err_prefix(&err, "%s", ids->items[i]);
        app_complain(&err);
    }
    str_printf(&out, "%zu of %zu callbacks were taken\n", taken, ids->count);
    int exit_code = inspect_print(&out, taken == ids->count ? EXIT_ALL_WELL : EXIT_JOBS_FAILED);
    str_finish(&out);
    return app_signal ? EXIT_SIGNAL + app_signal : exit_code;
}

static int replay(const struct callbacks_arguments *arguments, const struct app *app)
{
    struct text_list ids = {0};
    struct err err = {0};
    const struct manifest_callbacks *manifest = &app->manifest->callbacks;
    const struct callback_visitor visitor = {collect, collect_wrong, &ids};
    const struct callback_options options = {
        .manifest = manifest,
        .fetch_private = app->manifest->host.fetch_private,
        .log = &app->log,
    };
    atomic_int stop = 0;
    int exit_code = EXIT_JOBS_FAILED;
    app_wake_on_signal(stop_now, &stop);
    app_catch_signals();
    for (int i = 0; i < arguments->id_count; i++)
        text_list_add(&ids, mem_copy_string(arguments->ids[i]));
    if (arguments->all && callback_letters(manifest->dead_letters, &visitor, &err) != 0)
        app_complain(&err);
    else
        exit_code = replay_ids(&options, &ids, &stop);
    app_wake_on_signal(NULL, NULL);
    text_list_finish(&ids);
    return exit_code;
}

/* --- Arguments -------------------------------------------------------------------------------- */

static void take_word(struct callbacks_arguments *arguments, struct argp_state *state, char *word)
{
    static const char *const names[] = {"list", "replay"};
    const char *meant;
    if (strcmp(word, "list") == 0) {
        arguments->action = ACTION_LIST;
    } else if (strcmp(word, "replay") == 0) {
        arguments->action = ACTION_REPLAY;
    } else {
        meant = suggest(word, names, 2);
        argp_error(state, "unknown action \"%s\"%s%s%s, expected list or replay", word,
                   meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
    }
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct callbacks_arguments *arguments = state->input;
    bool replays;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'a':
        arguments->all = true;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->action != ACTION_NONE)
            return ARGP_ERR_UNKNOWN; /* comes back as ARGP_KEY_ARGS */
        take_word(arguments, state, argument);
        return 0;
    case ARGP_KEY_ARGS:
        arguments->ids = state->argv + state->next;
        arguments->id_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        replays = arguments->action == ACTION_REPLAY;
        if (arguments->action == ACTION_NONE)
            argp_error(state, "expected an action: list or replay");
        if (!replays && (arguments->id_count || arguments->all))
            argp_error(state, "list takes no ID and no --all");
        if (replays && arguments->json)
            argp_error(state, "--json goes with list");
        if (replays && arguments->all == (arguments->id_count > 0))
            argp_error(state, "replay: expected the IDs of dead letters, or --all");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"all", 'a', NULL, 0, "replay: every dead letter there is", 0},
    {"json", 'j', NULL, 0, "list: print JSON", 0},
    {0},
};
static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "list\nreplay [ID...]",
    "List the callbacks that nobody took, or send them again.\v"
    "A callback that was tried in vain, or was not sent when its process ended, lies as a file in "
    "callbacks.dead_letters. replay tries each once, signed anew, and removes those that were "
    "taken. "
    "Several processes may do so at the same time: each callback is sent by one of them.\n\n"
    "Exit codes: 0 done; 1 some were not taken, or cannot be read; 2 wrong use or manifest.\n\n"
    "Examples:\n"
    "  voxhost callbacks list --manifest voxhost.yaml\n"
    "  voxhost callbacks replay --manifest voxhost.yaml --all",
    children,
    NULL,
    NULL,
};

int verb_callbacks(int argc, char **argv)
{
    struct callbacks_arguments arguments = {0};
    struct app app;
    app_parse(&argp, "callbacks", argc, argv, &arguments);
    int exit_code = app_open(&app, &arguments.common);
    if (exit_code != 0)
        return exit_code;
    exit_code = arguments.action == ACTION_LIST
                    ? list(&arguments, app.manifest->callbacks.dead_letters)
                    : replay(&arguments, &app);
    return app_close(&app, exit_code);
}
