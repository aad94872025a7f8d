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
        put_text(out, "place", letter->is_stored ? "storage" : "disk");
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

static int list(const struct callbacks_arguments *arguments, const struct callback_options *options)
{
    struct str out = {0};
    struct err err = {0};
    struct listing listing = {.out = &out, .json = arguments->json};
    const struct callback_visitor visitor = {list_letter, list_wrong, &listing};
    int exit_code = EXIT_ALL_WELL;
    str_puts(&out, arguments->json ? "{\"callbacks\":[" : "");
    if (callback_letters(options, &visitor, &err) != 0) {
        app_complain(&err);
        exit_code = EXIT_JOBS_FAILED;
    }
    if (arguments->json)
        str_printf(&out, "],\"count\":%zu}\n", listing.count);
    else if (exit_code == EXIT_ALL_WELL && listing.count + listing.wrong == 0)
        str_printf(&out, "No dead letters in %s%s%s\n", options->manifest->letters_dir,
                   options->storage ? " and in the " : "",
                   options->storage ? storage_name(options->storage) : "");
    exit_code = inspect_print(&out, listing.wrong ? EXIT_JOBS_FAILED : exit_code);
    str_finish(&out);
    return exit_code;
}

/* --- Replay ----------------------------------------------------------------------------------- */

struct tally {
    size_t count, taken;
};

static void count_letter(const char *id, const struct err *why, void *arg)
{
    struct tally *tally = arg;
    tally->count++;
    if (!why) {
        tally->taken++;
        return;
    }
    struct err err = *why;
    err_prefix(&err, "%s", id);
    app_complain(&err);
}

static void stop_now(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
}

static int replay(const struct callbacks_arguments *arguments,
                  const struct callback_options *options)
{
    struct text_list ids = {0};
    struct str out = {0};
    struct err err = {0};
    struct tally tally = {0};
    atomic_int stop = 0;
    for (int i = 0; i < arguments->id_count; i++)
        text_list_add(&ids, mem_copy_string(arguments->ids[i]));
    const struct callback_replay replay = {arguments->all ? NULL : &ids, count_letter, &tally,
                                           &stop};
    app_wake_on_signal(stop_now, &stop);
    app_catch_signals();
    int result = callback_replay(options, &replay, &err);
    app_wake_on_signal(NULL, NULL);
    if (result != 0)
        app_complain(&err);
    str_printf(&out, "%zu of %zu callbacks were taken\n", tally.taken, tally.count);
    bool good = result == 0 && tally.taken == tally.count;
    int exit_code = inspect_print(&out, good ? EXIT_ALL_WELL : EXIT_JOBS_FAILED);
    str_finish(&out);
    text_list_finish(&ids);
    return app_signal ? EXIT_SIGNAL + app_signal : exit_code;
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

static const struct argp_option argp_options[] = {
    {"all", 'a', NULL, 0, "replay: every dead letter there is", 0},
    {"json", 'j', NULL, 0, "list: print JSON", 0},
    {0},
};
static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    argp_options,
    parse,
    "list\nreplay [ID...]",
    "List the callbacks that nobody took, or send them again.\v"
    "A callback that was tried in vain, or was not sent when its process ended, lies as a file in "
    "callbacks.dead_letters, or in the storage that is named there. replay tries each once, signed "
    "anew, and removes those that were taken. Several processes may do so at the same time: each "
    "callback on disk is sent by one of them; one in the storage may be sent by several.\n\n"
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
    struct callback_options options;
    struct err err = {0};
    struct app app;
    app_parse(&argp, "callbacks", argc, argv, &arguments);
    int exit_code = app_open(&app, &arguments.common);
    if (exit_code != 0)
        return exit_code;
    if (app_callback_options(&app, &options, &err) != 0) {
        app_complain(&err);
        exit_code = EXIT_JOBS_FAILED;
    } else {
        exit_code = arguments.action == ACTION_LIST ? list(&arguments, &options)
                                                    : replay(&arguments, &options);
    }
    return app_close(&app, exit_code);
}
