/* `voxhost check`: the conformance suite on one plugin. Reads the arguments and the recording; the
 * cases are in host/plugin. Needs no manifest.
 */
#include "audio/audio.h"
#include "front/app.h"
#include "front/front.h"
#include "plugin/plugin.h"
#include "voice/voice.h"

#include <stdlib.h>
#include <string.h>

#define CASES_MAX 256
#define CHILD_ARGS_MAX 32
#define TIMEOUT_DEFAULT_S 60.0
#define TIMEOUT_MAX_S 86400.0

enum key {
    KEY_JSON = 256,
    KEY_LIST,
    KEY_CASE,
    KEY_MODEL_DIR,
    KEY_DEVICE,
    KEY_LOAD_OPTIONS,
    KEY_JOB_OPTIONS,
    KEY_TEXT,
    KEY_VOICE,
    KEY_TRANSCRIPT,
    KEY_TIMEOUT,
    KEY_IN_PROCESS,
    KEY_WORK_DIR
};

static const struct argp_option option_table[] = {
    {"list", KEY_LIST, NULL, 0, "List the cases with what each one holds a plugin to, and end", 0},
    {"case", KEY_CASE, "NAME", 0, "Run only this case; may be given several times", 0},
    {"json", KEY_JSON, NULL, 0, "Print one JSON object instead of lines", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "Time limit of each case; default 60", 0},
    {"in-process", KEY_IN_PROCESS, NULL, 0,
     "Run the cases in this process, for a debugger; a crash then ends it", 0},
    {0, 0, NULL, 0, "What the plugin is given:", 1},
    {"model-dir", KEY_MODEL_DIR, "DIR", 0, "The model's files; default: an empty folder", 1},
    {"device", KEY_DEVICE, "DEVICE", 0, "auto (default), cpu, cuda or cuda:N", 1},
    {"load-options", KEY_LOAD_OPTIONS, "JSON", 0,
     "Load options, as in a manifest: '{\"arch\":\"v1\"}'", 1},
    {"job-options", KEY_JOB_OPTIONS, "JSON", 0, "Job options: '{\"nfe_step\":4}'", 1},
    {"text", KEY_TEXT, "TEXT", 0, "What to speak; default: an English sentence", 1},
    {"voice", KEY_VOICE, "FILE", 0,
     "A recording, for plugins that have no voice of their own and for profiles", 1},
    {"transcript", KEY_TRANSCRIPT, "TEXT", 0, "What is said in the recording", 1},
    {"work-dir", KEY_WORK_DIR, "DIR", OPTION_HIDDEN, NULL, 1},
    {0}};

struct arguments {
    struct check_options options;
    const char *cases[CASES_MAX];
    const char *load_options, *job_options, *model_dir, *voice, *transcript, *timeout;
};

/* --- Arguments -------------------------------------------------------------------------------- */

static void add_case(struct arguments *a, const char *name, struct argp_state *state)
{
    if (a->options.case_count == CASES_MAX)
        argp_error(state, "--case stands more than %d times", CASES_MAX);
    a->cases[a->options.case_count++] = name;
}

static void set_timeout(struct arguments *a, const char *text, struct argp_state *state)
{
    a->timeout = text;
    if (!app_number(text, &a->options.timeout_s) || !(a->options.timeout_s > 0) ||
        a->options.timeout_s > TIMEOUT_MAX_S)
        argp_error(state, "--timeout %s: expected a number of seconds, up to %g", text,
                   TIMEOUT_MAX_S);
}

static void parse_end(const struct arguments *a, struct argp_state *state)
{
    if (!a->options.plugin_path && !a->options.list)
        argp_error(state, "expected PLUGIN, the .so file to check");
    if (a->transcript && !a->voice)
        argp_error(state, "--transcript is of a recording: give --voice too");
}

/* Where the text of an option goes; NULL for those that are more than a text. */
static const char **text_option(struct arguments *a, int key)
{
    const struct {
        int key;
        const char **text;
    } texts[] = {{KEY_MODEL_DIR, &a->model_dir},       {KEY_DEVICE, &a->options.device},
                 {KEY_LOAD_OPTIONS, &a->load_options}, {KEY_JOB_OPTIONS, &a->job_options},
                 {KEY_TEXT, &a->options.text},         {KEY_VOICE, &a->voice},
                 {KEY_TRANSCRIPT, &a->transcript},     {KEY_WORK_DIR, &a->options.work_dir}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (texts[i].key == key)
            return texts[i].text;
    return NULL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *a = state->input;
    const char **text = text_option(a, key);
    if (text) {
        *text = argument;
    } else if (key == KEY_LIST) {
        a->options.list = true;
    } else if (key == KEY_JSON) {
        a->options.json = true;
    } else if (key == KEY_IN_PROCESS) {
        a->options.in_process = true;
    } else if (key == KEY_CASE) {
        add_case(a, argument, state);
    } else if (key == KEY_TIMEOUT) {
        set_timeout(a, argument, state);
    } else if (key == ARGP_KEY_ARG && a->options.plugin_path) {
        argp_error(state, "one plugin at a time: \"%s\" is too many", argument);
    } else if (key == ARGP_KEY_ARG) {
        a->options.plugin_path = argument;
    } else if (key == ARGP_KEY_END) {
        parse_end(a, state);
    } else {
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char help[] =
    "Runs the conformance tests on a plugin: each case holds it to one clause of vox/plugin.h, in "
    "a "
    "process of its own, so that a crash or a hang is a failure of that case alone. A case whose "
    "ground is missing, because another one failed or the plugin does not claim the ability, is "
    "skipped."
    "\vExamples:\n"
    "  voxhost check build/plugins/flite.so\n"
    "  voxhost check ./mine.so --model-dir ./weights --voice me.wav --transcript 'Hello.'\n"
    "  voxhost check ./mine.so --case cancel-midway\n"
    "  gdb --args voxhost check ./mine.so --in-process --case speak-works\n\n"
    "Exit code: 0 no case failed, 1 some did, 2 the plugin cannot be tried.";

static const struct argp check_argp = {option_table, parse_option, "PLUGIN", help,
                                       NULL,         NULL,         NULL};

/* What the children are given: all that says what to try, as the user wrote it. */
static void collect_child_args(const struct arguments *a, const char **args)
{
    const struct {
        const char *option, *value;
    } given[] = {{"--model-dir", a->model_dir},       {"--device", a->options.device},
                 {"--load-options", a->load_options}, {"--job-options", a->job_options},
                 {"--text", a->options.text},         {"--voice", a->voice},
                 {"--transcript", a->transcript},     {"--timeout", a->timeout}};
    size_t count = 0;
    args[count++] = "check";
    args[count++] = a->options.plugin_path;
    for (size_t i = 0; i < sizeof(given) / sizeof(*given); i++) {
        if (!given[i].value)
            continue;
        args[count++] = given[i].option;
        args[count++] = given[i].value;
    }
    args[count] = NULL;
}

/* --- Inputs ----------------------------------------------------------------------------------- */

static int read_options(const char *text, const char *option, cJSON **out, struct err *err)
{
    if (!text)
        return 0;
    *out = json_parse(text, strlen(text), &JSON_LIMITS_DEFAULT, err);
    if (*out && !cJSON_IsObject(*out))
        return err_set(err, ERR_INVALID, option, "expected a JSON object, got %s", json_kind(*out));
    if (!*out)
        err_prefix(err, "%s", option);
    return *out ? 0 : err->code;
}

static int read_text(const char *text, const char *option, struct err *err)
{
    size_t len = text ? strlen(text) : 0, bad;
    if (text && (!utf8_valid(text, len, &bad) || text_is_blank(text, len)))
        return err_set(err, ERR_INVALID, option, "expected text in UTF-8 that is not blank");
    return 0;
}

static int read_voice(const struct arguments *a, struct audio_clip *clip, struct vox_voice *voice,
                      struct err *err)
{
    if (!a->voice)
        return 0;
    if (audio_decode_file(a->voice, VOICE_SECONDS_MAX, clip, err) != 0) {
        err_prefix(err, "--voice");
        return err->code;
    }
    *voice = (struct vox_voice){.size = (uint32_t)sizeof(*voice),
                                .sample_rate = clip->sample_rate,
                                .channels = clip->channels,
                                .pcm = clip->pcm,
                                .frames = clip->frames};
    if (a->transcript)
        voice->transcript = (struct vox_str){a->transcript, strlen(a->transcript)};
    return 0;
}

int verb_check(int argc, char **argv)
{
    struct arguments a = {.options = {.timeout_s = TIMEOUT_DEFAULT_S}};
    struct err err = {0};
    struct audio_clip clip = {0};
    struct vox_voice voice;
    cJSON *load_options = NULL, *job_options = NULL;
    const char *child_args[CHILD_ARGS_MAX];
    char *here = fs_current_dir(), *model_dir = NULL;
    app_parse(&check_argp, "check", argc, argv, &a);
    collect_child_args(&a, child_args);
    if (a.model_dir)
        model_dir = fs_absolute(here, a.model_dir);
    int result = read_options(a.load_options, "--load-options", &load_options, &err);
    if (result == 0)
        result = read_options(a.job_options, "--job-options", &job_options, &err);
    if (result == 0)
        result = read_text(a.options.text, "--text", &err);
    if (result == 0)
        result = read_text(a.transcript, "--transcript", &err);
    if (result == 0)
        result = read_voice(&a, &clip, &voice, &err);
    if (result == 0) {
        a.options.model_dir = model_dir;
        a.options.load_options = load_options;
        a.options.job_options = job_options;
        a.options.voice = a.voice ? &voice : NULL;
        a.options.cases = a.cases;
        a.options.child_args = child_args;
        result = check_run(&a.options);
    } else {
        app_complain(&err);
        result = EXIT_WRONG_USE;
    }
    audio_clip_finish(&clip);
    cJSON_Delete(load_options);
    cJSON_Delete(job_options);
    free(model_dir);
    free(here);
    return result;
}
