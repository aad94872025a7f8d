/* The queue, the workers and the watchdog. A worker takes the first job whose model has a session
 * free, so a slow model holds up nobody else. The watchdog ends jobs that are over their time, and
 * answers for those that do not come back, from a plugin or a disk: their thread and session are
 * given up, a new worker takes their place. One more worker, the teller, answers what only needs a
 * look at what we know: it waits for no model and no other job, so that a host at work can be asked,
 * and nobody who submits waits for a disk.
 *
 * Locks: the runner's first, then a model's or an attempt's. `done` is called with none held.
 */
#include "job/job_private.h"

#include <stdlib.h>

struct queued {
    struct queued *next;
    struct job *job;
    uint64_t line;
    uint64_t number; /* among the recent jobs; 0: none */
    int64_t since;
    struct err err; /* set: the job is answered with it and does not run */
};

struct worker {
    struct worker *next;
    struct runner *runner;
    pthread_t thread;
    /* guarded by the runner's lock */
    struct queued *queued;   /* what it took off the queue and has not answered, or NULL */
    struct attempt *attempt; /* of that, once the watchdog may look at it */
    bool cancel_asked;       /* before there was an attempt */
    int64_t asked_at;        /* when its attempt was asked to stop; 0: was not */
    bool lost;               /* it did not come back; somebody else took its place */
    bool answered;           /* likewise, and its job was answered for it */
    bool ended;              /* and needs nothing more than to be joined */
};

struct runner {
    struct runner_options options;
    struct voice_cache *voices;
    struct recent *recent;
    pthread_t watchdog;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* workers: something may have become runnable */
    pthread_cond_t room;  /* submitters: the queue is shorter */
    pthread_cond_t done;  /* waiters: a job is answered, or a worker has ended */
    pthread_cond_t watch; /* the watchdog: there is a new time to keep */
    pthread_cond_t told;  /* the teller: somebody asks */
    /* guarded by lock */
    struct queued *head, **tail;
    size_t queued_count;
    size_t pending;                     /* submitted and not answered */
    struct queued *asked, **asked_tail; /* for the teller: what job_op_is_quick */
    size_t asked_count;
    struct worker *workers;            /* and tellers */
    struct worker *teller;             /* NULL: nobody has asked yet */
    uint32_t worker_count, idle_count; /* without the teller and those that are lost */
    uint32_t lost_count;
    uint32_t thread_count; /* of all of them, lost ones too, that have not ended */
    bool ending;
    bool cancelled; /* what runs and what is about to */
};

static void *work(void *arg);
static void *tell(void *arg);

/* --- Answers ---------------------------------------------------------------------------------- */

static void deliver(struct runner *runner, struct queued *queued, struct result *result)
{
    result->line = queued->line;
    result->number = queued->number;
    result->ms.total = (double)(clock_now() - queued->since) / CLOCK_MS;
    runner->options.done(result, runner->options.arg);
    pthread_mutex_lock(&runner->lock);
    runner->pending--;
    pthread_cond_broadcast(&runner->done);
    pthread_mutex_unlock(&runner->lock);
}

static void queued_destroy(struct queued *queued)
{
    job_destroy(queued->job);
    free(queued);
}

static void answer_with(struct runner *runner, struct queued *queued, const struct err *err)
{
    struct result *result = attempt_result(queued->job);
    result->err = *err;
    result->ms.queue = (double)(clock_now() - queued->since) / CLOCK_MS;
    deliver(runner, queued, result);
}

static void answer_cancelled(struct runner *runner, struct queued *queued)
{
    err_set(&queued->err, ERR_CANCELLED, NULL, "cancelled before it was begun");
    answer_with(runner, queued, &queued->err);
    queued_destroy(queued);
}

/* --- Workers ---------------------------------------------------------------------------------- */

/* Can this job run now? 1: yes, a session is reserved, or queued->err says why it never will; 0:
 * not yet. */
static int try_reserve(struct runner *runner, struct queued *queued, int64_t now, int64_t *wake)
{
    if (!queued->job->model)
        return 1;
    int outcome = model_reserve(queued->job->model, &queued->err);
    if (outcome < 0 || outcome == MODEL_RESERVED)
        return 1;
    if (outcome == MODEL_WAIT) { /* the load may begin long after the job came */
        int64_t begun = model_load_begun(queued->job->model);
        int64_t deadline = (begun > queued->since ? begun : queued->since) +
                           (int64_t)(runner->options.manifest->host.load_timeout_s * CLOCK_S);
        if (now >= deadline) {
            err_set(&queued->err, ERR_MODEL_LOADING, "model_type",
                    "model \"%s\" is still loading after %g s (host.load_timeout_s)",
                    model_name(queued->job->model), runner->options.manifest->host.load_timeout_s);
            return 1;
        }
        if (deadline < *wake)
            *wake = deadline;
    }
    return 0;
}

/* Takes the first job that can run off the queue, or NULL; *wake: when to look again. With the
 * lock. */
static struct queued *pick(struct runner *runner, int64_t *wake)
{
    const struct model *blocked[MANIFEST_MODELS_MAX];
    size_t blocked_count = 0;
    int64_t now = clock_now();
    *wake = CLOCK_NEVER;
    for (struct queued **link = &runner->head; *link; link = &(*link)->next) {
        struct queued *queued = *link;
        bool known = false;
        for (size_t i = 0; i < blocked_count; i++)
            known = known || (queued->job->model && blocked[i] == queued->job->model);
        if (known)
            continue;
        if (!try_reserve(runner, queued, now, wake)) {
            blocked[blocked_count++] = queued->job->model;
            continue;
        }
        if (queued->err.code != ERR_NONE && queued->job->model_is_optional)
            job_do_without_model(queued->job, &queued->err);
        *link = queued->next;
        if (!*link)
            runner->tail = link;
        runner->queued_count--;
        if (runner->queued_count == RUNNER_QUEUE_MAX / 2) /* woken for many jobs, not for each */
            pthread_cond_broadcast(&runner->room);
        return queued;
    }
    return NULL;
}

/* Makes the attempt known to the watchdog, and unknown again. */
static void register_attempt(struct worker *worker, struct queued *queued, struct attempt *attempt)
{
    struct runner *runner = worker->runner;
    pthread_mutex_lock(&runner->lock);
    bool cancelled = attempt && (runner->cancelled || worker->cancel_asked);
    worker->queued = queued;
    worker->attempt = attempt;
    worker->asked_at = 0;
    worker->cancel_asked = false;
    if (cancelled)
        atomic_store(&attempt->stop, STOP_CANCELLED);
    if (cancelled || (attempt && attempt->job->timeout_s > 0))
        pthread_cond_signal(&runner->watch);
    pthread_mutex_unlock(&runner->lock);
}

/* It came back after its job had been answered for it. */
static void come_back_late(struct worker *worker, struct queued *queued, struct attempt *attempt,
                           struct result *result)
{
    struct runner *runner = worker->runner;
    struct session session = attempt->session;
    pthread_mutex_lock(&runner->lock);
    while (!worker->answered) /* the watchdog still reads what is destroyed here */
        pthread_cond_wait(&runner->done, &runner->lock);
    pthread_mutex_unlock(&runner->lock);
    result_destroy(result);
    attempt_destroy(attempt);
    queued_destroy(queued);
    if (session.model)
        session_recover(&session);
    pthread_mutex_lock(&runner->lock);
    runner->lost_count--;
    pthread_mutex_unlock(&runner->lock);
}

/* How far the job is that is asked about. */
static void add_progress(struct runner *runner, struct result *result)
{
    const cJSON *number = json_get(result->answer, "number");
    uint64_t wanted = number ? (uint64_t)number->valuedouble : 0;
    double progress = -1;
    pthread_mutex_lock(&runner->lock);
    for (struct worker *worker = runner->workers; worker; worker = worker->next)
        if (worker->queued && worker->queued->number == wanted && worker->attempt)
            progress =
                atomic_load_explicit(&worker->attempt->progress_ppm, memory_order_relaxed) / 1e6;
    pthread_mutex_unlock(&runner->lock);
    cJSON_DeleteItemFromObjectCaseSensitive(result->answer, "number");
    if (number && progress >= 0)
        cJSON_AddItemToObject(result->answer, "progress", cJSON_CreateNumber(progress));
}

static void run(struct worker *worker, struct queued *queued)
{
    struct runner *runner = worker->runner;
    enum session_fate fate;
    int64_t begun = clock_now();
    if (queued->err.code != ERR_NONE) {
        register_attempt(worker, NULL, NULL);
        answer_with(runner, queued, &queued->err);
        queued_destroy(queued);
        return;
    }
    struct attempt *attempt =
        attempt_create(queued->job, &runner->options, runner->voices, runner->recent);
    struct result *result = attempt_result(queued->job);
    register_attempt(worker, queued, attempt);
    if (!attempt_run(attempt, result, &fate)) {
        operation_undo_voice(attempt, NULL); /* what it made after it was given up */
        come_back_late(worker, queued, attempt, result);
        return;
    }
    struct session session = attempt->session;
    if (fate == SESSION_KEEP && session.model)
        session_give(&session, fate);
    operation_keep_voice(attempt, result);
    result->made_voice = attempt->made_voice;
    attempt->made_voice = NULL;
    register_attempt(worker, NULL, NULL);
    attempt_destroy(attempt);
    if (result->op == OP_STATUS)
        add_progress(runner, result);
    int64_t ready_at = session.model ? model_ready_at(session.model) : 0;
    result->ms.queue = (double)(begun - queued->since) / CLOCK_MS;
    result->ms.load = ready_at > queued->since ? (double)(ready_at - queued->since) / CLOCK_MS : 0;
    deliver(runner, queued, result);
    /* After the result is safe: a plugin that failed may hang or crash in close. */
    if (fate != SESSION_KEEP)
        session_give(&session, fate);
    queued_destroy(queued);
}

/* Joins those that have ended: lost ones that came back, while there are others. With the lock. */
static void join_ended(struct runner *runner)
{
    for (struct worker **link = &runner->workers; *link;) {
        struct worker *worker = *link;
        if (!worker->ended) {
            link = &worker->next;
            continue;
        }
        *link = worker->next;
        pthread_join(worker->thread, NULL);
        free(worker);
    }
}

/* NULL: there is no thread for it. With the lock. */
static struct worker *start_thread(struct runner *runner, void *(*body)(void *))
{
    join_ended(runner);
    struct worker *worker = mem_alloc(sizeof(*worker));
    worker->runner = runner;
    if (sync_thread_start(&worker->thread, body, worker) != 0) {
        free(worker);
        return NULL;
    }
    worker->next = runner->workers;
    runner->workers = worker;
    runner->thread_count++;
    return worker;
}

/* With the lock. */
static bool start_worker(struct runner *runner)
{
    if (!start_thread(runner, work))
        return false;
    runner->worker_count++;
    return true;
}

/* With the lock. */
static bool start_teller_if_needed(struct runner *runner)
{
    if (!runner->teller)
        runner->teller = start_thread(runner, tell);
    return runner->teller != NULL;
}

/* One more worker when jobs wait, nobody is idle, and it is allowed. When none can be had, those
 * that are there go on. With the lock. */
static void start_worker_if_needed(struct runner *runner)
{
    if (runner->head && runner->idle_count == 0 &&
        runner->worker_count < runner->options.concurrency)
        start_worker(runner);
}

/* With the lock, which is given back. */
static void *end_thread(struct worker *worker)
{
    struct runner *runner = worker->runner;
    worker->ended = true;
    runner->thread_count--;
    pthread_cond_broadcast(&runner->done);
    pthread_mutex_unlock(&runner->lock);
    return NULL;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct runner *runner = worker->runner;
    pthread_mutex_lock(&runner->lock);
    while (!worker->lost) {
        int64_t wake;
        struct queued *queued = pick(runner, &wake);
        if (!queued && runner->ending)
            break;
        if (!queued) {
            runner->idle_count++;
            sync_cond_wait(&runner->work, &runner->lock, wake);
            runner->idle_count--;
            continue;
        }
        worker->queued = queued;
        recent_run(runner->recent, queued->number);
        start_worker_if_needed(runner);
        pthread_mutex_unlock(&runner->lock);
        run(worker, queued);
        pthread_mutex_lock(&runner->lock);
    }
    return end_thread(worker);
}

static void *tell(void *arg)
{
    struct worker *worker = arg;
    struct runner *runner = worker->runner;
    pthread_mutex_lock(&runner->lock);
    while (!worker->lost && (runner->asked || !runner->ending)) {
        struct queued *queued = runner->asked;
        if (!queued) {
            sync_cond_wait(&runner->told, &runner->lock, CLOCK_NEVER);
            continue;
        }
        runner->asked = queued->next;
        if (!runner->asked)
            runner->asked_tail = &runner->asked;
        if (runner->asked_count-- == RUNNER_QUEUE_MAX / 2)
            pthread_cond_broadcast(&runner->room);
        bool is_cancelled = runner->cancelled;
        worker->queued = is_cancelled ? NULL : queued;
        pthread_mutex_unlock(&runner->lock);
        if (is_cancelled)
            answer_cancelled(runner, queued);
        else
            run(worker, queued);
        pthread_mutex_lock(&runner->lock);
    }
    return end_thread(worker);
}

/* --- The watchdog ----------------------------------------------------------------------------- */

/* When the worker's attempt next needs the watchdog, after doing what is due. With the lock. */
static int64_t ask_to_stop(struct worker *worker, int64_t now)
{
    struct attempt *attempt = worker->attempt;
    int64_t deadline = CLOCK_NEVER;
    if (attempt->job->timeout_s > 0)
        deadline = attempt->begun + (int64_t)(attempt->job->timeout_s * CLOCK_S);
    int expected = STOP_NONE;
    if (now >= deadline)
        atomic_compare_exchange_strong(&attempt->stop, &expected, STOP_TIMEOUT);
    if (atomic_load(&attempt->stop) == STOP_NONE)
        return deadline;
    if (!worker->asked_at)
        worker->asked_at = now;
    return worker->asked_at +
           (int64_t)(worker->runner->options.manifest->host.cancel_grace_s * CLOCK_S);
}

/* Answers for a worker that hangs. With the lock, which is given up and taken again. */
static void give_up(struct runner *runner, struct worker *worker)
{
    enum { RETRY_MS = 100 };
    struct queued *queued = worker->queued;
    struct result *result = attempt_result(queued->job);
    struct attempt *attempt = worker->attempt;
    struct session session = {.model = queued->job->model};
    if (!attempt_detach(attempt, result)) {
        worker->asked_at += RETRY_MS * CLOCK_MS; /* it is just coming back, or inside a write */
        result_destroy(result);
        return;
    }
    worker->lost = true;
    worker->attempt = NULL;
    worker->queued = NULL;
    runner->lost_count++;
    if (worker == runner->teller) {
        runner->teller = NULL;
        if (runner->asked)
            start_teller_if_needed(runner);
    } else {
        runner->worker_count--;
        start_worker_if_needed(runner);
    }
    struct queued answered = *queued; /* the thread that hangs keeps the original */
    pthread_mutex_unlock(&runner->lock);
    LOG_EVENT(runner->options.log, LOG_ERROR, session.model ? result->model_type : "job",
              "job given up", LOG_TEXT("job", result->id), LOG_TEXT("reason", result->err.message));
    if (session.model)
        session_give(&session, SESSION_LOST);
    operation_undo_voice(attempt, &attempt->stop); /* before the caller tries again */
    deliver(runner, &answered, result);
    pthread_mutex_lock(&runner->lock);
    worker->answered = true;
    pthread_cond_broadcast(&runner->done);
}

static void *watch(void *arg)
{
    struct runner *runner = arg;
    pthread_mutex_lock(&runner->lock);
    while (!runner->ending) {
        int64_t now = clock_now(), wake = CLOCK_NEVER;
        struct worker *hanging = NULL;
        for (struct worker *worker = runner->workers; worker; worker = worker->next) {
            if (!worker->attempt)
                continue;
            int64_t at = ask_to_stop(worker, now);
            if (worker->asked_at && now >= at)
                hanging = worker;
            if (at < wake)
                wake = at;
        }
        if (hanging)
            give_up(runner, hanging);
        else
            sync_cond_wait(&runner->watch, &runner->lock, wake);
    }
    pthread_mutex_unlock(&runner->lock);
    return NULL;
}

/* --- Public ----------------------------------------------------------------------------------- */

static void models_changed(void *arg)
{
    struct runner *runner = arg;
    pthread_mutex_lock(&runner->lock);
    pthread_cond_broadcast(&runner->work);
    pthread_mutex_unlock(&runner->lock);
}

struct runner *runner_create(const struct runner_options *options)
{
    struct runner *runner = mem_alloc(sizeof(*runner));
    runner->options = *options;
    runner->voices = voice_cache_create(VOICE_CACHE_BYTES_MAX);
    runner->recent = recent_create();
    runner->tail = &runner->head;
    runner->asked_tail = &runner->asked;
    sync_mutex_init(&runner->lock);
    sync_cond_init(&runner->work);
    sync_cond_init(&runner->room);
    sync_cond_init(&runner->done);
    sync_cond_init(&runner->watch);
    sync_cond_init(&runner->told);
    models_watch(options->models, models_changed, runner);
    if (sync_thread_start(&runner->watchdog, watch, runner) != 0) {
        models_watch(options->models, NULL, NULL);
        voice_cache_destroy(runner->voices);
        recent_destroy(runner->recent);
        free(runner);
        return NULL;
    }
    pthread_mutex_lock(&runner->lock);
    bool started = start_worker(runner); /* the one that must be there */
    pthread_mutex_unlock(&runner->lock);
    if (!started) {
        runner_destroy(runner);
        return NULL;
    }
    return runner;
}

int runner_submit(struct runner *runner, struct job *job, uint64_t line,
                  const volatile sig_atomic_t *stop)
{
    enum { POLL_MS = 50 };
    struct queued *queued = mem_alloc(sizeof(*queued));
    *queued = (struct queued){.job = job, .line = line};
    const size_t *waiting = job_op_is_quick(job->op) ? &runner->asked_count : &runner->queued_count;
    pthread_mutex_lock(&runner->lock);
    while (stop && *waiting >= RUNNER_QUEUE_MAX && !*stop)
        sync_cond_wait(&runner->room, &runner->lock, clock_now() + POLL_MS * CLOCK_MS);
    if (stop && *stop) {
        pthread_mutex_unlock(&runner->lock);
        queued_destroy(queued);
        return ERR_CANCELLED;
    }
    queued->since = clock_now();
    runner->pending++;
    if (job_op_is_quick(job->op) && start_teller_if_needed(runner)) {
        *runner->asked_tail = queued;
        runner->asked_tail = &queued->next;
        runner->asked_count++;
        pthread_cond_signal(&runner->told);
    } else {
        queued->number = job_op_is_quick(job->op) ? 0 : recent_add(runner->recent, job->id);
        *runner->tail = queued;
        runner->tail = &queued->next;
        runner->queued_count++;
        start_worker_if_needed(runner);
        pthread_cond_signal(&runner->work);
    }
    pthread_mutex_unlock(&runner->lock);
    return 0;
}

void runner_undo_voice(struct runner *runner, struct result *result)
{
    struct err none;
    if (result->err.code == ERR_NONE || (result->op != OP_VOICE_CREATE && result->op != OP_UPLOAD))
        return;
    if (result->made_voice) {
        voice_library_remove(runner->options.manifest->paths.voices, result->made_voice, &none);
        operation_remove_made(&runner->options, result, NULL);
        free(result->made_voice);
        result->made_voice = NULL;
    }
    cJSON_Delete(result->answer);
    result->answer = NULL;
}

void runner_remember(struct runner *runner, const struct result *result)
{
    recent_end(runner->recent, result);
}

void runner_recall(struct runner *runner, struct result *result)
{
    result->number = recent_add(runner->recent, result->id);
    recent_end(runner->recent, result);
}

bool runner_wait(struct runner *runner, int64_t deadline)
{
    pthread_mutex_lock(&runner->lock);
    while (runner->pending && clock_now() < deadline)
        sync_cond_wait(&runner->done, &runner->lock, deadline);
    bool idle = runner->pending == 0;
    pthread_mutex_unlock(&runner->lock);
    return idle;
}

size_t runner_drop_queued(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    struct queued *queued = runner->head;
    size_t count = runner->queued_count;
    runner->head = NULL;
    runner->tail = &runner->head;
    runner->queued_count = 0;
    runner->pending -= count;
    pthread_cond_broadcast(&runner->room);
    pthread_cond_broadcast(&runner->done);
    pthread_mutex_unlock(&runner->lock);
    while (queued) {
        struct queued *next = queued->next;
        queued_destroy(queued);
        queued = next;
    }
    return count;
}

void runner_cancel(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->cancelled = true;
    for (struct worker *worker = runner->workers; worker; worker = worker->next) {
        int expected = STOP_NONE;
        if (worker->attempt)
            atomic_compare_exchange_strong(&worker->attempt->stop, &expected, STOP_CANCELLED);
    }
    pthread_cond_signal(&runner->watch);
    pthread_mutex_unlock(&runner->lock);
}

/* The job out of a list, or NULL. */
static struct queued *take_out(struct queued **link, struct queued ***tail, size_t *count,
                               uint64_t ticket)
{
    while (*link && (*link)->job->ticket != ticket)
        link = &(*link)->next;
    struct queued *queued = *link;
    if (!queued)
        return NULL;
    *link = queued->next;
    if (!*link)
        *tail = link;
    (*count)--;
    return queued;
}

/* Takes a job that waits out of the queue, or NULL. With the lock. */
static struct queued *unqueue(struct runner *runner, uint64_t ticket)
{
    struct queued *queued = take_out(&runner->head, &runner->tail, &runner->queued_count, ticket);
    if (!queued)
        queued = take_out(&runner->asked, &runner->asked_tail, &runner->asked_count, ticket);
    if (queued)
        pthread_cond_broadcast(&runner->room);
    return queued;
}

/* The worker that has the job, or NULL. With the lock. */
static struct worker *worker_of(struct runner *runner, uint64_t ticket)
{
    struct worker *worker = runner->workers;
    while (worker && !(worker->queued && worker->queued->job->ticket == ticket))
        worker = worker->next;
    return worker;
}

bool runner_cancel_job(struct runner *runner, uint64_t ticket)
{
    pthread_mutex_lock(&runner->lock);
    struct queued *queued = unqueue(runner, ticket);
    struct worker *worker = queued ? NULL : worker_of(runner, ticket);
    int expected = STOP_NONE;
    if (worker && worker->attempt)
        atomic_compare_exchange_strong(&worker->attempt->stop, &expected, STOP_CANCELLED);
    else if (worker)
        worker->cancel_asked = true;
    pthread_cond_signal(&runner->watch);
    pthread_mutex_unlock(&runner->lock);
    bool is_known = queued || worker;
    if (queued)
        answer_cancelled(runner, queued);
    return is_known;
}

double runner_job_progress(struct runner *runner, uint64_t ticket)
{
    pthread_mutex_lock(&runner->lock);
    const struct worker *worker = worker_of(runner, ticket);
    double progress =
        worker && worker->attempt
            ? atomic_load_explicit(&worker->attempt->progress_ppm, memory_order_relaxed) / 1e6
            : -1;
    pthread_mutex_unlock(&runner->lock);
    return progress;
}

/* The grace that a plugin has, and some time for our own threads. */
static int64_t grace_ends_at(const struct runner *runner)
{
    enum { LATE_S = 2 };
    return clock_now() + (int64_t)(runner->options.manifest->host.cancel_grace_s * CLOCK_S) +
           LATE_S * CLOCK_S;
}

bool runner_stop(struct runner *runner)
{
    runner_cancel(runner);
    return runner_wait(runner, grace_ends_at(runner));
}

bool runner_destroy(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->ending = true;
    pthread_cond_broadcast(&runner->work);
    pthread_cond_signal(&runner->watch);
    pthread_cond_signal(&runner->told);
    pthread_mutex_unlock(&runner->lock);
    pthread_join(runner->watchdog, NULL);
    int64_t deadline = grace_ends_at(runner);
    pthread_mutex_lock(&runner->lock);
    while (runner->thread_count > runner->lost_count && clock_now() < deadline)
        sync_cond_wait(&runner->done, &runner->lock, deadline);
    bool all_back = runner->thread_count == 0;
    pthread_mutex_unlock(&runner->lock);
    if (!all_back)
        return false;
    join_ended(runner);
    models_watch(runner->options.models, NULL, NULL);
    pthread_cond_destroy(&runner->work);
    pthread_cond_destroy(&runner->room);
    pthread_cond_destroy(&runner->done);
    pthread_cond_destroy(&runner->watch);
    pthread_cond_destroy(&runner->told);
    pthread_mutex_destroy(&runner->lock);
    voice_cache_destroy(runner->voices);
    recent_destroy(runner->recent);
    free(runner);
    return true;
}
