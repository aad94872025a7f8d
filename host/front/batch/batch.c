/* `voxhost batch`: every job of a file, streamed from the source through the runner into the journal.
 *
 *     job_source -> id and output seen before? -> job_parse -> in the journal already? -> runner -> journal
 *
 * One thread reads and submits; results arrive on the runner's threads.
 *
 * With --resume an operation is kept like speech: as given, ok, its file still there. What it said
 * may be old by now, but it does not hang on a job ahead of it that is done again: one that is the
 * job of a download or a status, or that changes the operation's voice (of lists and capabilities:
 * any voice), takes it along. What a kept job did to voices is taken for granted.
 */
#include "front/app.h"
#include "front/batch/id_index.h"
#include "front/batch/job_source.h"
#include "front/batch/journal.h"
#include "front/batch/progress.h"
#include "front/batch/shard.h"
#include "front/disks.h"
#include "front/housekeeping.h"
#include "job/job.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILURES_SHOWN_MAX 20

struct batch_arguments {
    struct app_arguments common;
    const char *jobs, *out, *shard;
    int64_t concurrency;
    bool text_lines, resume, fail_fast, dry_run, json;
};

struct batch {
    struct batch_arguments arguments;
    struct app app;
    struct shard shard;
    struct job_source *source;
    struct store *store; /* NULL in a dry run, as the next two */
    struct journal *journal;
    struct runner *runner;
    struct storage *storage; /* of voices and results that jobs name; NULL: none */
    struct progress *progress;
    struct callback_sender *callbacks; /* NULL in a dry run */
    /* "i" + id, "o" + output, "s" + its stem when it has subtitles -> line; while results are kept
     * also "r" + id of a job that is done again, "v" + voice that such a one changes ("": any),
     * "k" + id of a kept job that the runner knows */
    struct id_index *seen;
    char *base_dir;
    bool terminal;
    int stdout_fd;                          /* see app_take_stdout */
    uint64_t records, ours, kept, recalled; /* ours: records of our shard */
    bool stuck;                             /* a plugin hangs where nobody can end it */
    atomic_int halt;                        /* a result could not be written, or --fail-fast */
    atomic_uint failures_shown;
};

/* --- What is done again ----------------------------------------------------------------------- */

static bool is_noted(struct batch *batch, char kind, const char *name)
{
    struct err none;
    uint64_t found = 0;
    char *key = str_format("%c%s", kind, name);
    int result = id_index_get(batch->seen, key, &found, &none);
    free(key);
    return result == 0 && found != 0;
}

/* Only while there are results that may have to go. */
static void note(struct batch *batch, char kind, const char *name)
{
    struct err none;
    uint64_t previous;
    if (!batch->kept)
        return;
    char *key = str_format("%c%s", kind, name);
    id_index_put(batch->seen, key, 1, true, &previous, &none);
    free(key);
}

/* The id of the voice that an operation names; NULL: none. The caller's. */
static char *voice_of(const struct job *job)
{
    const char *name = job->ask.voice ? job->ask.voice : job->ask.name;
    return name ? voice_id_from_name(name) : NULL;
}

static void note_done_again(struct batch *batch, const struct job *job)
{
    char *voice = voice_of(job);
    note(batch, 'r', job->id);
    if (job_changes_voices(job))
        note(batch, 'v', "");
    if (job_changes_voices(job) && voice)
        note(batch, 'v', voice);
    free(voice);
}

/* Does a kept result hang on what is done again? */
static bool is_outdated(struct batch *batch, const struct job *job)
{
    if (job->op == OP_TTS) /* its hash says it */
        return false;
    char *voice = voice_of(job);
    bool tells_all = job_op_is_quick(job->op) && job->op != OP_STATUS;
    bool outdated = (job->ask.job_id && is_noted(batch, 'r', job->ask.job_id)) ||
                    (voice && is_noted(batch, 'v', voice)) ||
                    (tells_all && is_noted(batch, 'v', ""));
    free(voice);
    return outdated;
}

/* Tells the runner of a kept job that another one names. As many as it can know. */
static void recall(struct batch *batch, const char *id)
{
    if (!batch->kept || batch->recalled == RUNNER_RECENT_MAX || is_noted(batch, 'r', id) ||
        is_noted(batch, 'k', id))
        return;
    struct result *result = journal_find(batch->journal, id);
    if (!result)
        return;
    runner_recall(batch->runner, result);
    result_destroy(result);
    note(batch, 'k', id);
    batch->recalled++;
}

/* --- Results ---------------------------------------------------------------------------------- */

static void show_failure(struct batch *batch, const struct result *result)
{
    unsigned shown = atomic_fetch_add(&batch->failures_shown, 1);
    if (shown > FAILURES_SHOWN_MAX)
        return;
    if (batch->terminal)
        fs_write_all(STDERR_FILENO, "\r\033[K", 4); /* the bar */
    if (shown == FAILURES_SHOWN_MAX)
        LOG_EVENT(&batch->app.log, LOG_WARN, "batch", "further failed jobs are not shown here",
                  LOG_TEXT("file", batch->journal ? JOURNAL_NAME : "(dry run)"));
    else
        LOG_EVENT(&batch->app.log, LOG_WARN, "batch", "job failed",
                  LOG_TEXT("job", result->id ? result->id : "(none)"),
                  LOG_TEXT("code", err_word(result->err.code)),
                  LOG_TEXT("field", result->err.field), LOG_TEXT("reason", result->err.message));
}

/* Takes the result. [any] */
static void take_result(struct result *result, void *arg)
{
    struct batch *batch = arg;
    struct err err = {0};
    struct callback *callback =
        batch->callbacks ? callback_prepare_job(batch->callbacks, result) : NULL;
    if (batch->journal && journal_append(batch->journal, result, &err) != 0 &&
        !atomic_exchange(&batch->halt, 1))
        app_complain(&err);
    if (batch->callbacks)
        callback_release(batch->callbacks, callback);
    if (batch->runner)
        runner_remember(batch->runner, result);
    progress_count(batch->progress, result);
    if (result->err.code != ERR_NONE) {
        show_failure(batch, result);
        if (batch->arguments.fail_fast)
            atomic_store(&batch->halt, 1);
    }
    result_destroy(result);
}

static void refuse(struct batch *batch, const char *id, const struct job_record *record,
                   struct err *err)
{
    if (id && batch->journal && strcmp(err->field, "id") != 0) { /* else it is another job's */
        journal_supersede(batch->journal, id);
        note(batch, 'r', id);
    }
    err_prefix(err, "%s", job_source_place(batch->source, record));
    struct result *result = result_refused(id, record->number, err);
    result->line = record->line;
    result_add_given(result, record->json, batch->app.manifest);
    take_result(result, batch);
}

/* The journal has its line already. Who asked for a callback is told by the first run that sees it. */
static void count_crashed(struct batch *batch, const struct job *job, bool is_told)
{
    struct err err = {0}, why = {0};
    err_set(&err, ERR_INTERNAL, NULL, "%s", JOB_CRASHED_MESSAGE);
    struct result *result = result_refused(job->id, 0, &err);
    result->model_type = job->model ? mem_copy_string(model_name(job->model)) : NULL;
    job_caller_copy(&job->caller, &result->caller);
    struct callback *callback =
        batch->callbacks && !is_told ? callback_prepare_job(batch->callbacks, result) : NULL;
    if (callback && journal_tell_crashed(batch->journal, result, job->hash, &why) != 0 &&
        !atomic_exchange(&batch->halt, 1))
        app_complain(&why);
    if (callback)
        callback_release(batch->callbacks, callback);
    progress_count(batch->progress, result);
    show_failure(batch, result);
    result_destroy(result);
}

/* --- Records ---------------------------------------------------------------------------------- */

/* 0 when `name` is new; else what stands there already. */
static int check_new(struct batch *batch, char kind, const char *name,
                     const struct job_record *record, struct err *err)
{
    char *key = str_format("%c%s", kind, name);
    uint64_t previous = 0, place = record->line ? record->line : record->number;
    int result = id_index_put(batch->seen, key, place, false, &previous, err);
    free(key);
    if (result != 0 || previous == 0)
        return result;
    return err_set(err, ERR_INVALID, kind == 'i' ? "id" : "output",
                   "\"%s\" stands already on %s %llu", name, record->line ? "line" : "record",
                   (unsigned long long)previous);
}

/* a.wav and a.flac would both have a.srt. */
static int check_subtitles_new(struct batch *batch, const struct job *job,
                               const struct job_record *record, struct err *err)
{
    char *stem = mem_copy_text(job->output, (size_t)(strrchr(job->output, '.') - job->output));
    int result = check_new(batch, 's', stem, record, err);
    if (result == ERR_INVALID)
        err_prefix(err, "its subtitles have the same name");
    free(stem);
    return result;
}

/* What is downloaded is called by the job, in whatever format it is found. */
static int check_download_new(struct batch *batch, const struct job *job,
                              const struct job_record *record, struct err *err)
{
    int result = 0;
    if (job->ask.wants_timing)
        return check_new(batch, 's', job->id, record, err);
    for (size_t i = 0; i < AUDIO_FORMAT_COUNT && result == 0; i++) {
        char *name = str_format("%s.%s", job->id, audio_format_names[i]);
        if (!job->ask.format || strcmp(job->ask.format, audio_format_names[i]) == 0)
            result = check_new(batch, 'o', name, record, err);
        free(name);
    }
    return result;
}

static void hash_given(const cJSON *json, char out[DIGEST_HEX_SIZE])
{
    struct str text = {0};
    json_write_canonical(&text, json);
    digest_of(str_text(&text), text.len, out);
    str_finish(&text);
}

/* Outputs are checked over all shards, since they share the folder; all else only for our own
 * jobs. */
static int make_job(struct batch *batch, const struct job_record *record, const char *id, bool ours,
                    struct job **job, struct err *err)
{
    struct job_context context = {
        .models = batch->app.models,
        .manifest = batch->app.manifest,
        .base_dir = batch->base_dir,
        .default_id = id,
        .loose = record->loose,
    };
    int result = ours ? check_new(batch, 'i', id, record, err) : 0;
    if (result == 0)
        result = job_parse(record->json, &context, job, err);
    if (result == 0 && (*job)->voice.library_id && !json_get(record->json, "text_file"))
        hash_given(record->json, (*job)->given_hash);
    if (result == 0 && (*job)->response != RESPONSE_AUTO)
        text_list_add(&(*job)->warnings,
                      mem_copy_string("\"response\" is for workers: a batch writes files"));
    if (result == 0 && (*job)->text)
        result = check_new(batch, 'o', (*job)->output, record, err);
    if (result == 0 && (*job)->op == OP_DOWNLOAD)
        result = check_download_new(batch, *job, record, err);
    if (result == 0 && (*job)->subtitles)
        result = check_subtitles_new(batch, *job, record, err);
    if (result != 0) {
        job_destroy(*job);
        *job = NULL;
    }
    return result;
}

/* Waits until all that was submitted is answered; not for longer than a signal. */
static void wait_for_all(struct batch *batch)
{
    enum { POLL_MS = 50 };
    while (!app_signal && !runner_wait(batch->runner, clock_now() + POLL_MS * CLOCK_MS))
        ;
}

/* What changes voices comes after the jobs that stand before it, and before those behind it; a
 * download, of what those before it have made, only after. */
static void submit(struct batch *batch, struct job *job, const struct job_record *record)
{
    bool is_barrier = job_changes_voices(job);
    note_done_again(batch, job);
    if (job->ask.job_id)
        recall(batch, job->ask.job_id);
    if (is_barrier || job->op == OP_DOWNLOAD)
        wait_for_all(batch);
    runner_submit(batch->runner, job, record->line, &app_signal);
    if (is_barrier)
        wait_for_all(batch);
}

/* Runs a job of ours unless an earlier run has; a dry run only counts it. */
static void do_job(struct batch *batch, struct job *job, const struct job_record *record)
{
    enum journal_state state = batch->journal ? journal_look(batch->journal, job) : JOURNAL_NEW;
    if (state == JOURNAL_DONE && is_outdated(batch, job)) {
        journal_supersede(batch->journal, job->id);
        state = JOURNAL_NEW;
    }
    if (state == JOURNAL_NEW && batch->runner) {
        submit(batch, job, record);
        return;
    }
    if (state == JOURNAL_CRASHED || state == JOURNAL_CRASHED_TOLD)
        count_crashed(batch, job, state == JOURNAL_CRASHED_TOLD);
    else if (state == JOURNAL_DONE)
        progress_skip(batch->progress, job->model);
    else
        progress_valid(batch->progress, job->model);
    job_destroy(job);
}

/* Done by an earlier run, and its voice was deleted since, as by a job behind it. */
static bool is_done_without_voice(struct batch *batch, const char *id,
                                  const struct job_record *record, const struct err *err)
{
    char given_hash[DIGEST_HEX_SIZE];
    if (err->code != ERR_VOICE_NOT_FOUND || !batch->kept || !record->json)
        return false;
    hash_given(record->json, given_hash);
    return journal_has_given(batch->journal, id, given_hash);
}

static void take_record(struct batch *batch, struct job_record *record)
{
    char default_id[32];
    struct err err = {0};
    struct job *job = NULL;
    snprintf(default_id, sizeof(default_id), "job-%llu", (unsigned long long)record->number);
    char *id = job_id_of(record->json, default_id);
    bool ours = shard_has(&batch->shard, id);
    batch->ours += ours;
    int result = record->json ? 0 : record->err.code;
    if (result != 0)
        err = record->err;
    else
        result = make_job(batch, record, id, ours, &job, &err);
    if (result != 0 && ours && is_done_without_voice(batch, id, record, &err))
        progress_skip(batch->progress, NULL);
    else if (result != 0 && ours)
        refuse(batch, record->json ? id : NULL, record, &err);
    else if (job && ours)
        do_job(batch, job, record);
    else
        job_destroy(job);
    cJSON_Delete(record->json);
    free(id);
}

/* Reads and submits until the end, a signal or a reason to halt; `record` is the first one. */
static void take_records(struct batch *batch, struct job_record *record)
{
    int more = 1;
    struct err err = {0};
    while (more == 1) {
        batch->records++;
        take_record(batch, record);
        progress_read(batch->progress, job_source_fraction(batch->source), batch->ours);
        if (app_signal || atomic_load(&batch->halt))
            return;
        more = job_source_next(batch->source, record, &err);
    }
    if (more < 0 && more != ERR_CANCELLED) {
        struct result *result = result_refused(NULL, batch->records + 1, &err);
        take_result(result, batch);
    }
    progress_read(batch->progress, 1, batch->ours);
}

/* --- Ending ----------------------------------------------------------------------------------- */

/* Lets what runs finish: all of it, or after a signal what can in host.drain_s; the rest is
 * cancelled. */
static void drain(struct batch *batch)
{
    enum { POLL_MS = 50 };
    while (!app_signal && !atomic_load(&batch->halt))
        if (runner_wait(batch->runner, clock_now() + POLL_MS * CLOCK_MS))
            return;
    size_t dropped = runner_drop_queued(batch->runner);
    LOG_EVENT(&batch->app.log, LOG_INFO, "batch", app_signal ? "stopping on a signal" : "stopping",
              LOG_NUMBER("jobs_not_started", dropped),
              LOG_NUMBER("drain_s", batch->app.manifest->host.drain_s));
    if (runner_wait(batch->runner,
                    clock_now() + (int64_t)(batch->app.manifest->host.drain_s * CLOCK_S)))
        return;
    batch->stuck = !runner_stop(batch->runner);
    if (batch->stuck)
        log_write(&batch->app.log, LOG_ERROR, "batch",
                  "a plugin does not come back: its job has no result", NULL, 0);
}

static void print_summary(struct batch *batch)
{
    struct str out = {0};
    if (batch->arguments.dry_run && !batch->arguments.json)
        str_puts(&out, "dry run: \"ok\" jobs are right; nothing was spoken or written\n");
    progress_summary(batch->progress, batch->arguments.json, &out);
    if (fs_write_all(batch->stdout_fd, str_text(&out), out.len) != 0)
        log_write(&batch->app.log, LOG_WARN, "batch",
                  "the summary could not be written to standard output", NULL, 0);
    str_finish(&out);
}

/* --- Preparing -------------------------------------------------------------------------------- */

static int complain(const struct err *err, int exit_code)
{
    app_complain(err);
    return app_signal ? EXIT_SIGNAL + app_signal : exit_code;
}

static int open_source(struct batch *batch, struct job_record *first)
{
    const struct batch_arguments *arguments = &batch->arguments;
    const struct manifest *manifest = batch->app.manifest;
    struct err err = {0};
    struct job_source_options options = {
        .path = arguments->jobs,
        .list = manifest->jobs,
        .list_file = manifest->file,
        .format = arguments->text_lines ? JOB_FILE_TEXT : JOB_FILE_AUTO,
        .stop = &app_signal,
    };
    if (!arguments->jobs && !manifest->jobs) {
        err_set(&err, ERR_INVALID, NULL,
                "no jobs: give --jobs FILE, or a jobs: list in the manifest");
        return complain(&err, EXIT_WRONG_USE);
    }
    if (job_source_open(&options, &batch->source, &err) != 0)
        return complain(&err, EXIT_WRONG_USE);
    int more = job_source_next(batch->source, first, &err);
    if (more == 0)
        err_set(&err, ERR_INVALID, NULL, "%s: has no jobs", job_source_place(batch->source, first));
    if (more != 1)
        return complain(&err, EXIT_WRONG_USE);
    char *cwd = fs_current_dir();
    char *dir = arguments->jobs && strcmp(arguments->jobs, "-") != 0
                    ? fs_dir_of(arguments->jobs)
                    : mem_copy_string(arguments->jobs ? "." : manifest->dir);
    batch->base_dir = fs_absolute(cwd, dir);
    free(dir);
    free(cwd);
    return 0;
}

/* Starts all that should be preloaded, and waits for what is required. */
static int load_models(struct batch *batch)
{
    int64_t deadline = clock_now() + (int64_t)(batch->app.manifest->host.load_timeout_s * CLOCK_S);
    size_t count = models_count(batch->app.models);
    int exit_code = 0;
    for (size_t i = 0; i < count; i++)
        if (model_manifest(models_at(batch->app.models, i))->preload)
            model_load_start(models_at(batch->app.models, i));
    for (size_t i = 0; i < count && !app_signal; i++) {
        struct model *model = models_at(batch->app.models, i);
        const struct manifest_model *config = model_manifest(model);
        struct err err = {0};
        int result = 0;
        if (config->required && config->preload)
            result = model_wait(model, deadline, &app_signal, &err);
        else if (config->required && model_state(model, &err) == MODEL_FAILED)
            result = err.code;
        if (result != 0 && !app_signal) {
            err_prefix(&err, "required model \"%s\" could not be loaded", model_name(model));
            exit_code = complain(&err, EXIT_MODEL_FAILED);
        }
    }
    return app_signal ? EXIT_SIGNAL + app_signal : exit_code;
}

static void stop_now(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
}

/* What other runs left to do. */
static void keep_house(const struct batch *batch)
{
    const char *out = store_dir(batch->store);
    const struct housekeeping_options options = {&batch->app, batch->storage, out};
    struct disk_list disks;
    atomic_int stop = 0;
    app_wake_on_signal(stop_now, &stop);
    if (app_signal) /* before that */
        atomic_store(&stop, 1);
    housekeeping_run(&options, &stop);
    app_wake_on_signal(NULL, NULL);
    disks_look(batch->app.manifest, out, &disks);
    disks_log(&disks, &batch->app.log, LOG_DEBUG);
    disks_finish(&disks);
}

/* Before models load, which may take minutes. */
static int open_store(struct batch *batch)
{
    struct err err = {0};
    int result = 0;
    if (!batch->arguments.dry_run)
        result = storage_open(&batch->app.manifest->storage, &batch->storage, &err);
    if (result == 0 && !batch->arguments.dry_run)
        result = store_open(batch->arguments.out, &batch->store, &err);
    if (result == 0 && batch->store)
        result = store_claim(batch->store, batch->shard.index, batch->shard.count, &err);
    if (result != 0)
        return complain(&err, EXIT_WRONG_USE);
    if (batch->store)
        keep_house(batch);
    batch->seen = id_index_create(batch->store ? store_dir(batch->store) : P_tmpdir);
    return 0;
}

/* After models are loaded: without --resume, opening the journal drops what was there. */
static int open_journal(struct batch *batch)
{
    struct err err = {0};
    int result = 0;
    if (batch->store) {
        struct journal_options options = {batch->store, &batch->app.log, batch->shard,
                                          batch->arguments.resume, &app_signal};
        result = journal_open(&options, &batch->journal, &err);
        if (result == 0)
            crash_record_to(journal_path(batch->journal));
    }
    if (result != 0)
        return complain(&err, EXIT_WRONG_USE);
    batch->kept = batch->journal ? journal_kept(batch->journal) : 0;
    if (batch->kept)
        LOG_EVENT(&batch->app.log, LOG_INFO, "batch", "resuming",
                  LOG_NUMBER("results_kept", batch->kept));
    return 0;
}

static int start_runner(struct batch *batch)
{
    struct runner_options options = {
        .models = batch->app.models,
        .manifest = batch->app.manifest,
        .log = &batch->app.log,
        .store = batch->store,
        .storage = batch->storage,
        .stream_fd = -1,
        .concurrency = app_concurrency(&batch->app, batch->arguments.concurrency),
        .done = take_result,
        .arg = batch,
    };
    batch->callbacks = app_callbacks(&batch->app);
    batch->runner = runner_create(&options);
    if (batch->runner)
        return 0;
    struct err err = {0};
    err_set(&err, ERR_NO_MEMORY, NULL, "no thread could be started");
    return complain(&err, EXIT_JOBS_FAILED);
}

/* --- Running ---------------------------------------------------------------------------------- */

static int run_all(struct batch *batch)
{
    struct job_record first = {0};
    int exit_code = open_source(batch, &first);
    if (exit_code == 0)
        exit_code = app_open_models(&batch->app);
    if (exit_code == 0)
        exit_code = open_store(batch);
    if (exit_code == 0 && !batch->arguments.dry_run)
        exit_code = load_models(batch);
    if (exit_code == 0)
        exit_code = open_journal(batch);
    if (exit_code == 0 && batch->store)
        exit_code = start_runner(batch);
    if (exit_code != 0) {
        cJSON_Delete(first.json);
        return exit_code;
    }
    struct progress_options options = {batch->app.models, batch->terminal};
    batch->progress = progress_create(&options);
    take_records(batch, &first);
    if (batch->runner)
        drain(batch);
    progress_stop(batch->progress);
    print_summary(batch);
    if (app_signal)
        return EXIT_SIGNAL + app_signal;
    return progress_failed(batch->progress) || atomic_load(&batch->halt) ? EXIT_JOBS_FAILED
                                                                         : EXIT_ALL_WELL;
}

static int finish(struct batch *batch, int exit_code)
{
    struct err err = {0};
    if (batch->stuck) {
        app_callbacks_end(&batch->app, batch->callbacks, false);
        store_close(batch->store);
        _exit(exit_code);
    }
    if (batch->journal && journal_close(batch->journal, &err) != 0)
        exit_code = complain(&err, exit_code ? exit_code : EXIT_JOBS_FAILED);
    id_index_destroy(batch->seen);
    job_source_close(batch->source);
    bool all_back = !batch->runner || runner_destroy(batch->runner);
    app_callbacks_end(&batch->app, batch->callbacks, all_back);
    store_close(batch->store);
    if (!all_back)
        _exit(exit_code); /* a plugin that hangs still uses the rest */
    storage_close(batch->storage);
    progress_destroy(batch->progress);
    free(batch->base_dir);
    return app_close(&batch->app, exit_code);
}

/* --- Arguments -------------------------------------------------------------------------------- */

enum { KEY_SHARD = 256, KEY_FAIL_FAST, KEY_DRY_RUN, KEY_JSON, KEY_TEXT_LINES, KEY_RESUME };

static const struct argp_option batch_options[] = {
    {"jobs", 'j', "FILE", 0,
     "The jobs: JSON lines, a JSON array, YAML or CSV (by its ending, else by its beginning); - "
     "reads standard input. Without it, the manifest's jobs: list",
     0},
    {"out", 'o', "DIR", 0, "Where audio and results.jsonl go; made when missing", 0},
    {"text-lines", KEY_TEXT_LINES, NULL, 0, "Every line of the job file is the text of a job", 0},
    {"concurrency", 'c', "N", 0,
     "Jobs at the same time; without it host.concurrency, else all sessions of all models", 0},
    {"resume", KEY_RESUME, NULL, 0,
     "Keep results that are ok, whose files are intact and whose job is unchanged; do the rest", 0},
    {"shard", KEY_SHARD, "I/N", 0,
     "Do the Ith of N parts; auto: as SLURM, Kubernetes, AWS Batch, RunPod or VOXHOST_SHARD say",
     0},
    {"fail-fast", KEY_FAIL_FAST, NULL, 0, "Stop at the first job that fails", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Check every job and write nothing", 0},
    {"json", KEY_JSON, NULL, 0, "Print the summary as JSON", 0},
    {0},
};

static error_t parse_argument(int key, char *argument, struct argp_state *state)
{
    struct batch_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'j':
        arguments->jobs = argument;
        return 0;
    case 'o':
        arguments->out = argument;
        return 0;
    case KEY_TEXT_LINES:
        arguments->text_lines = true;
        return 0;
    case 'c':
        if (!app_integer(argument, &arguments->concurrency) || arguments->concurrency < 1 ||
            arguments->concurrency > MANIFEST_CONCURRENCY_MAX)
            argp_error(state, "--concurrency: expected integer 1..%d, got \"%s\"",
                       MANIFEST_CONCURRENCY_MAX, argument);
        return 0;
    case KEY_RESUME:
        arguments->resume = true;
        return 0;
    case KEY_SHARD:
        arguments->shard = argument;
        return 0;
    case KEY_FAIL_FAST:
        arguments->fail_fast = true;
        return 0;
    case KEY_DRY_RUN:
        arguments->dry_run = true;
        return 0;
    case KEY_JSON:
        arguments->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->out && !arguments->dry_run)
            argp_error(state, "--out DIR is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char batch_doc[] =
    "Speak every job of a file.\v"
    "A job is an object such as {\"id\": \"a1\", \"text\": \"Hello.\", \"voice\": \"slt\", "
    "\"format\": \"flac\"}; "
    "configs/JOBS.md lists all fields. Its audio becomes DIR/ID.FORMAT, or what its output "
    "says. "
    "DIR/results.jsonl gets one line per job as it ends. A job that is wrong or fails does not "
    "stop the others.\n\n"
    "SIGINT and SIGTERM let what runs finish (host.drain_s), then end; a second one ends at once. "
    "--resume goes on after any end, also after a crash. It keeps operations as well, with what "
    "they said then, even of a voice that a job behind them has deleted. When a job is done again, "
    "so are the operations behind it that name it or a voice that it makes or deletes (of lists of "
    "voices and capabilities: any voice). What kept jobs did to voices is taken for granted: a "
    "voice that one of them has deleted does not come back for a new job.";

int verb_batch(int argc, char **argv)
{
    static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {batch_options, parse_argument, NULL, batch_doc,
                                     children,      NULL,           NULL};
    struct batch batch = {.shard = {0, 1}};
    struct err err = {0};
    app_parse(&argp, "batch", argc, argv, &batch.arguments);
    app_catch_signals();
    batch.stdout_fd = app_take_stdout();
    crash_install();
    batch.terminal = isatty(STDERR_FILENO);
    if (batch.arguments.shard &&
        shard_parse(batch.arguments.shard, app_getenv, NULL, &batch.shard, &err) != 0)
        return complain(&err, EXIT_WRONG_USE);
    int exit_code = app_open(&batch.app, &batch.arguments.common);
    if (exit_code != 0)
        return exit_code;
    return finish(&batch, run_all(&batch));
}
