/* `voxhost speak`: one text into a file, or onto standard output as it is made. */
#include "front/app.h"
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct speak_arguments {
    struct app_arguments common;
    const char *out, *text;
    cJSON *job; /* what the options say, as a job */
    bool json;
};

struct speak {
    struct speak_arguments arguments;
    struct app app;
    struct job *job;
    struct store *store;   /* NULL: a stream */
    int stdout_fd;         /* see app_take_stdout */
    int stream_fd;         /* -1: a file */
    struct result *result; /* set by the runner, read once all is answered */
};

/* --- From arguments to a job ------------------------------------------------------------------ */

/* Values stay text: job_parse reads speak's job loosely, as a row of CSV. The last of a name
 * counts. */
static void add_option(struct argp_state *state, cJSON *job, const char *argument)
{
    const char *equals = strchr(argument, '=');
    cJSON *options = cJSON_GetObjectItemCaseSensitive(job, "options");
    if (!equals || equals == argument)
        argp_error(state, "--option: expected NAME=VALUE, got \"%s\"", argument);
    if (!options)
        options = cJSON_AddObjectToObject(job, "options");
    char *name = mem_copy_text(argument, (size_t)(equals - argument));
    cJSON_DeleteItemFromObjectCaseSensitive(options, name);
    cJSON_AddStringToObject(options, name, equals + 1);
    free(name);
}

static int read_text(const struct speak *speak, struct str *text, struct err *err)
{
    if (strcmp(speak->arguments.text, "-") != 0) {
        str_puts(text, speak->arguments.text);
        return 0;
    }
    int result =
        fs_read_fd(STDIN_FILENO, "standard input", (size_t)speak->app.manifest->host.text_bytes_max,
                   &app_signal, text, err);
    if (result == 0 && text->len && memchr(text->data, '\0', text->len))
        result = err_set(err, ERR_INVALID, "text", "standard input has a NUL byte");
    return result;
}

/* Where -o points: a stream for "-", pipes and devices; else a file, whose ending may name the
 * format. */
static int choose_output(struct speak *speak, struct err *err)
{
    const char *out = speak->arguments.out;
    struct stat info;
    speak->stream_fd = -1;
    if (strcmp(out, "-") == 0) {
        speak->stream_fd = speak->stdout_fd;
        return 0;
    }
    if (stat(out, &info) == 0 && S_ISDIR(info.st_mode))
        return err_set(err, ERR_INVALID, NULL, "-o %s: is a directory", out);
    if (stat(out, &info) == 0 && !S_ISREG(info.st_mode)) {
        speak->stream_fd = open(out, O_WRONLY | O_CLOEXEC);
        return speak->stream_fd >= 0
                   ? 0
                   : err_set(err, ERR_STORAGE, NULL, "-o %s: %s", out, strerror(errno));
    }
    if (!fs_name_of(out)[0])
        return err_set(err, ERR_INVALID, NULL, "-o %s: expected the name of a file", out);
    const char *dot = strrchr(fs_name_of(out), '.');
    int by_name = AUDIO_FORMAT_COUNT - 1; /* in any case, as files come from other systems */
    while (by_name >= 0 && !(dot && text_equal_nocase(dot + 1, audio_format_names[by_name])))
        by_name--;
    const cJSON *given = json_get(speak->arguments.job, "format");
    if (dot && by_name < 0 && !given)
        return err_set(err, ERR_INVALID, "format",
                       "-o %s: \"%s\" is no format: expected a name that ends in .wav, .flac, "
                       ".mp3, .ogg, .opus or .pcm, or --format",
                       out, dot);
    if (by_name >= 0 && !given)
        cJSON_AddStringToObject(speak->arguments.job, "format", audio_format_names[by_name]);
    if (by_name >= 0 && given && strcmp(given->valuestring, audio_format_names[by_name]) != 0)
        return err_set(err, ERR_INVALID, "format", "%s does not fit the name %s",
                       given->valuestring, out);
    return 0;
}

static int make_job(struct speak *speak, struct err *err)
{
    struct str text = {0};
    char *cwd = fs_current_dir();
    struct job_context context = {
        .models = speak->app.models,
        .manifest = speak->app.manifest,
        .base_dir = cwd,
        .default_id = "speak",
        .loose = true,
    };
    int result = choose_output(speak, err);
    if (result == 0)
        result = read_text(speak, &text, err);
    if (result == 0) {
        cJSON_AddStringToObject(speak->arguments.job, "text", str_text(&text));
        result = job_parse(speak->arguments.job, &context, &speak->job, err);
    }
    str_finish(&text);
    free(cwd);
    return result;
}

/* --- Running ---------------------------------------------------------------------------------- */

static int open_store(struct speak *speak, struct err *err)
{
    if (speak->stream_fd >= 0)
        return 0;
    char *dir = fs_dir_of(speak->arguments.out);
    free(speak->job->output);
    speak->job->output = mem_copy_string(fs_name_of(speak->arguments.out));
    int result = store_open(dir, &speak->store, err);
    free(dir);
    return result;
}

static void take_result(struct result *result, void *arg)
{
    struct speak *speak = arg;
    speak->result = result; /* read after runner_wait */
}

static void print_result(const struct speak *speak)
{
    const struct result *result = speak->result;
    struct str out = {0};
    int fd = speak->stream_fd == speak->stdout_fd ? STDERR_FILENO : speak->stdout_fd;
    if (speak->arguments.json) {
        result_write(result, &out);
        str_putc(&out, '\n');
    } else if (result->err.code != ERR_NONE) {
        app_complain(&result->err);
    } else {
        for (size_t i = 0; i < result->warnings.count; i++)
            log_write(&speak->app.log, LOG_WARN, "speak", result->warnings.items[i], NULL, 0);
        if (fd == speak->stdout_fd)
            str_printf(&out, "%s: %.2f s, %u Hz, %s, seed %lld, rtf %.3f\n", speak->arguments.out,
                       result->audio.duration_s, result->audio.sample_rate, result->model_type,
                       (long long)result->seed, result_rtf(result));
    }
    fs_write_all(fd, str_text(&out), out.len); /* the audio is what counts */
    str_finish(&out);
}

/* False when a plugin never came back: then the process should end by _exit. */
static bool run(struct speak *speak)
{
    struct runner_options options = {
        .models = speak->app.models,
        .manifest = speak->app.manifest,
        .log = &speak->app.log,
        .store = speak->store,
        .stream_fd = speak->stream_fd,
        .concurrency = 1,
        .done = take_result,
        .arg = speak,
    };
    struct runner *runner = runner_create(&options);
    if (!runner)
        return false;
    int submitted = runner_submit(runner, speak->job, 0, &app_signal);
    speak->job = NULL;
    enum { POLL_MS = 50 };
    while (submitted == 0 && !runner_wait(runner, clock_now() + POLL_MS * CLOCK_MS) && !app_signal)
        ;
    if (app_signal) {
        runner_drop_queued(runner);
        if (!runner_stop(runner))
            return false; /* nothing is printed: a result may be coming just now */
    }
    bool all_back = runner_destroy(runner);
    if (speak->result)
        print_result(speak);
    return all_back;
}

static int exit_code_of(const struct speak *speak)
{
    if (app_signal)
        return EXIT_SIGNAL + app_signal;
    if (!speak->result)
        return EXIT_JOBS_FAILED;
    switch (speak->result->err.code) {
    case ERR_NONE:
        return EXIT_ALL_WELL;
    case ERR_MODEL_FAILED:
    case ERR_MODEL_LOADING:
        return EXIT_MODEL_FAILED;
    default:
        return EXIT_JOBS_FAILED;
    }
}

static int run_all(struct speak *speak, bool *all_back)
{
    struct err err = {0};
    if (app_open_models(&speak->app) != 0)
        return EXIT_WRONG_USE;
    int result = make_job(speak, &err);
    if (result != 0) {
        speak->result = result_refused("speak", 0, &err);
        print_result(speak);
        if (result == ERR_CANCELLED)
            return EXIT_SIGNAL + app_signal;
        return result == ERR_MODEL_FAILED ? EXIT_MODEL_FAILED : EXIT_WRONG_USE;
    }
    if (open_store(speak, &err) != 0) {
        app_complain(&err);
        return EXIT_JOBS_FAILED;
    }
    *all_back = run(speak);
    return exit_code_of(speak);
}

/* --- Arguments -------------------------------------------------------------------------------- */

enum {
    KEY_SEED = 256,
    KEY_SPEED,
    KEY_ENCODING,
    KEY_RATE,
    KEY_LANGUAGE,
    KEY_VOICE_TEXT,
    KEY_TIMEOUT,
    KEY_JSON
};

/* Options that are a field of the job by another name; the job's own checks apply. */
static const struct {
    int key;
    const char *field;
} job_fields[] = {
    {'t', "model_type"},
    {'v', "voice"},
    {KEY_SEED, "seed"},
    {'f', "format"},
    {KEY_SPEED, "speed"},
    {KEY_ENCODING, "encoding"},
    {KEY_RATE, "sample_rate"},
    {KEY_LANGUAGE, "language"},
    {KEY_VOICE_TEXT, "voice_text"},
    {KEY_TIMEOUT, "timeout_s"},
};

static const struct argp_option speak_options[] = {
    {"output", 'o', "FILE", 0,
     "The audio file; its ending names the format. - streams to standard output", 0},
    {"model-type", 't', "MODEL", 0, "Which model of the manifest speaks", 0},
    {"voice", 'v', "VOICE", 0, "A speaker of the model, a name in paths.voices, or a recording", 0},
    {"voice-text", KEY_VOICE_TEXT, "TEXT", 0, "What is said in the recording", 0},
    {"language", KEY_LANGUAGE, "TAG", 0, "A BCP 47 tag, such as en or pt-BR", 0},
    {"seed", KEY_SEED, "N", 0, "The same seed gives the same audio", 0},
    {"speed", KEY_SPEED, "X", 0, "0.25 to 4; 2 is twice as fast", 0},
    {"format", 'f', "FORMAT", 0, "wav, flac, mp3, ogg, opus or pcm", 0},
    {"encoding", KEY_ENCODING, "ENCODING", 0, "pcm16, pcm24 or float32", 0},
    {"sample-rate", KEY_RATE, "HZ", 0, "Resample to this rate", 0},
    {"option", 'O', "NAME=VALUE", 0, "An option of the model, as `voxhost plugins` lists them", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "Give up after this time", 0},
    {"json", KEY_JSON, NULL, 0, "Print the result as JSON", 0},
    {0},
};

static error_t parse_argument(int key, char *argument, struct argp_state *state)
{
    struct speak_arguments *arguments = state->input;
    for (size_t i = 0; i < sizeof(job_fields) / sizeof(job_fields[0]); i++) {
        if (job_fields[i].key != key)
            continue;
        cJSON_DeleteItemFromObjectCaseSensitive(arguments->job, job_fields[i].field);
        cJSON_AddStringToObject(arguments->job, job_fields[i].field, argument);
        return 0;
    }
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'o':
        arguments->out = argument;
        return 0;
    case 'O':
        add_option(state, arguments->job, argument);
        return 0;
    case KEY_JSON:
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->text)
            argp_error(state, "one TEXT only: put it into quotes");
        arguments->text = argument;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->text)
            argp_error(state, "what to say is missing: give TEXT, or - for standard input");
        if (!arguments->out)
            argp_error(state, "-o FILE is missing (-o - streams to standard output)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char speak_doc[] =
    "Speak one text. TEXT - reads it from standard input.\v"
    "  voxhost speak \"Hello, world.\" -o hello.wav\n"
    "  voxhost speak -v rms --speed 1.2 -o - \"Hello.\" | aplay\n"
    "  voxhost speak -m voxhost.yaml -t f5tts -v anna -O nfe_step=16 -o out.flac - < text.txt";

int verb_speak(int argc, char **argv)
{
    static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {speak_options, parse_argument, "TEXT|-", speak_doc,
                                     children,      NULL,           NULL};
    struct speak speak = {.stream_fd = -1};
    bool all_back = true;
    speak.arguments.job = cJSON_CreateObject();
    app_parse(&argp, "speak", argc, argv, &speak.arguments);
    app_catch_signals();
    speak.stdout_fd = app_take_stdout();
    crash_install();
    int exit_code = app_open(&speak.app, &speak.arguments.common);
    if (exit_code == 0 && speak.app.log.level == LOG_INFO)
        speak.app.log.level = LOG_WARN; /* a person waits for one file; debug still shows all */
    if (exit_code == 0)
        exit_code = run_all(&speak, &all_back);
    store_close(speak.store);
    if (!all_back)
        _exit(exit_code);
    if (speak.stream_fd >= 0 && speak.stream_fd != speak.stdout_fd)
        close(speak.stream_fd);
    job_destroy(speak.job);
    result_destroy(speak.result);
    cJSON_Delete(speak.arguments.job);
    return app_close(&speak.app, exit_code);
}
