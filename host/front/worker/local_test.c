/* One job from the command line or a file, without any network: runs it, prints its body, says by
 * the exit code how it went; see local.h.
 */
#include "front/worker/envelope.h"
#include "front/worker/local.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TEST_FILE "test_input.json"
#define TEST_BYTES_MAX (64u << 20)
#define TEST_NODES_MAX 1000000
#define TEST_ID "local_test"
#define TEST_TICKET 1
#define TICK_MS 50

/* --- Reading the job -------------------------------------------------------------------------- */

static int complain(const struct log *log, const char *event, const char *reason)
{
    LOG_EVENT(log, LOG_ERROR, "worker", event, LOG_TEXT("reason", reason));
    return -1;
}

/* {"id":"...","input":{...}} */
static int read_job(const struct log *log, const char *text, cJSON **job)
{
    const struct json_limits limits = {TEST_BYTES_MAX, TEST_NODES_MAX, 64};
    const char *source = text ? "--test_input" : TEST_FILE;
    struct str file = {0};
    struct err err = {0};
    *job = NULL;
    if (!text && fs_read_file(TEST_FILE, TEST_BYTES_MAX, &file, &err) != 0) {
        complain(log, "no test input", err.message);
    } else {
        *job = json_parse(text ? text : str_text(&file), text ? strlen(text) : file.len, &limits,
                          &err);
        if (!*job) {
            err_prefix(&err, "%s", source);
            complain(log, "the test input is no JSON", err.message);
        }
    }
    str_finish(&file);
    if (!*job)
        return -1;
    const cJSON *input = json_get(*job, "input");
    if (!cJSON_IsObject(*job) || !input || cJSON_IsNull(input))
        return complain(log, "the test job has no input", source);
    envelope_open(*job);
    return 0;
}

/* --- Running it ------------------------------------------------------------------------------- */

struct run {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct answer *answer; /* guarded by lock */
};

static void answered(struct answer *answer, void *arg)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->lock);
    run->answer = answer;
    pthread_cond_signal(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* The body has all chunks once more. */
static void drop_chunks(struct stream *stream, uint64_t ticket, void *arg)
{
    struct str chunk = {0};
    (void)ticket;
    (void)arg;
    while (stream_next(stream, &chunk))
        str_clear(&chunk);
    str_finish(&chunk);
}

static struct answer *wait_for_answer(struct dispatch *dispatch, struct run *run)
{
    pthread_mutex_lock(&run->lock);
    while (!run->answer && !app_signal)
        sync_cond_wait(&run->changed, &run->lock, clock_now() + TICK_MS * CLOCK_MS);
    if (!run->answer) {
        pthread_mutex_unlock(&run->lock);
        dispatch_stop(dispatch);
        pthread_mutex_lock(&run->lock);
    }
    struct answer *answer = run->answer;
    pthread_mutex_unlock(&run->lock);
    return answer;
}

/* True when the job went well and its body is out. */
static bool report(const struct log *log, const char *id, struct answer *answer, int out_fd)
{
    const char *code = !answer ? "hangs" : answer->code == ERR_NONE ? NULL : err_word(answer->code);
    if (answer) {
        str_putc(&answer->body, '\n');
        if (fs_write_all(out_fd, answer->body.data, answer->body.len) != 0)
            code = strerror(errno);
    }
    if (code)
        LOG_EVENT(log, LOG_ERROR, "worker", "job failed", LOG_TEXT("job", id),
                  LOG_TEXT("code", code));
    return !code;
}

int local_test(struct dispatch_options *options, const char *text, int out_fd)
{
    const struct log *log = &options->app->log;
    struct run run = {0};
    struct dispatch *dispatch = NULL;
    cJSON *job = NULL;
    int code = EXIT_JOBS_FAILED;
    sync_mutex_init(&run.lock);
    sync_cond_init(&run.changed);
    if (read_job(log, text, &job) != 0)
        goto out;
    options->answered = answered;
    options->chunk_ready = drop_chunks;
    options->arg = &run;
    dispatch = dispatch_create(options);
    if (!dispatch) {
        complain(log, "cannot run the job", "no thread could be started");
        goto out;
    }
    const cJSON *id = json_get(job, "id");
    struct submission submission = {
        .ticket = TEST_TICKET,
        .id = cJSON_IsString(id) ? id->valuestring : TEST_ID,
        .input = json_get(job, "input"),
    };
    dispatch_submit(dispatch, &submission);
    if (report(log, submission.id, wait_for_answer(dispatch, &run), out_fd))
        code = EXIT_ALL_WELL;
    if (!dispatch_destroy(dispatch)) {
        app_callbacks_end(options->app, options->callbacks, false);
        _exit(code); /* a plugin's thread still uses what we would free */
    }
out:
    answer_destroy(run.answer);
    cJSON_Delete(job);
    pthread_cond_destroy(&run.changed);
    pthread_mutex_destroy(&run.lock);
    return code;
}
