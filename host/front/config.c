/* The verb `config`: shows the effective manifest, or the reference of its keys. Opens no
 * plugin. */
#include "front/inspect.h"
#include "job/job.h"

struct config_arguments {
    struct app_arguments common;
    bool json, reference, job_reference;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct config_arguments *arguments = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'r':
        arguments->reference = true;
        return 0;
    case 'J':
        arguments->job_reference = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Print JSON: each key as an object with its value and source", 0},
    {"reference", 'r', NULL, 0,
     "Print the reference of all keys instead, as Markdown: what each takes, its default and its "
     "environment variable",
     0},
    {"job-reference", 'J', NULL, 0, "Print the reference of the fields of jobs and results", 0},
    {0},
};
static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    NULL,
    "Check a manifest and print the effective value of every key and where it came from: the "
    "command line, else the manifest, else the environment, else the default. Secrets are shown as "
    "***.\v"
    "A wrong manifest gives every problem as FILE:LINE:COLUMN on standard error and exit code 2. "
    "The options of models are checked against their plugins by `voxhost doctor`.\n\n"
    "Examples:\n"
    "  voxhost config --manifest voxhost.yaml\n"
    "  voxhost config -m voxhost.yaml --set host.log_level=debug --json\n"
    "  voxhost config > voxhost.yaml     # the built-in manifest, to start from",
    children,
    NULL,
    NULL,
};

int verb_config(int argc, char **argv)
{
    struct config_arguments arguments = {0};
    struct str text = {0};
    struct app app;
    app_parse(&argp, "config", argc, argv, &arguments);
    int exit_code = 0;
    if (arguments.reference) {
        manifest_reference(&text);
    } else if (arguments.job_reference) {
        job_reference(&text);
    } else {
        exit_code = app_open(&app, &arguments.common);
        if (exit_code != 0)
            return exit_code;
        manifest_print(app.manifest, arguments.json, &text);
        app_close(&app, 0);
    }
    exit_code = inspect_print(&text, exit_code);
    str_finish(&text);
    return exit_code;
}
