/* The jobs of the local API server: those that wait, run, and have ended. Requests come from the
 * server's threads, answers from the runner's; one more thread starts jobs and forgets old ones
 * (local_jobs_tick), and no other frees one.
 *
 * Calls into the server and the dispatch are made without the lock: both may call back.
 */
#include "front/worker/local_jobs.h"

#include <stdlib.h>
#include <string.h>

#define TICK_MS 50

/* --- Looking; all with the lock --------------------------------------------------------------- */

struct local_entry *local_jobs_find(const struct local_jobs *jobs, const char *id)
{
    struct local_entry *found = NULL; /* the youngest: ids of /realtime are the client's */
    for (struct local_entry *entry = jobs->entries; entry; entry = entry->next)
        if (strcmp(entry->request.id, id) == 0)
            found = entry;
    return found;
}

static struct local_entry *find_ticket(const struct local_jobs *jobs, uint64_t ticket)
{
    struct local_entry *entry = jobs->entries;
    while (entry && entry->ticket != ticket)
        entry = entry->next;
    return entry;
}

bool local_entry_is_over(const struct local_entry *entry)
{
    return entry->state != LOCAL_QUEUED && entry->state != LOCAL_RUNNING;
}

static size_t entry_bytes(const struct local_entry *entry)
{
    return entry->request.bytes + entry->body.len + entry->chunks.len;
}

struct local_tally local_jobs_tally(const struct local_jobs *jobs)
{
    struct local_tally sum = {0};
    for (const struct local_entry *entry = jobs->entries; entry; entry = entry->next) {
        sum.queued += entry->state == LOCAL_QUEUED;
        sum.queued_bytes += entry->state == LOCAL_QUEUED ? entry->request.bytes : 0;
        sum.running += entry->state == LOCAL_RUNNING;
        sum.running_quick += entry->state == LOCAL_RUNNING && entry->is_quick;
        sum.over += local_entry_is_over(entry);
        sum.over_bytes += local_entry_is_over(entry) ? entry_bytes(entry) : 0;
    }
    return sum;
}

/* --- Waiting for an end ----------------------------------------------------------------------- */

/* Puts the waiter into `answers` with what there is to say. With the lock. */
static void release(struct local_entry *entry, struct local_waiter *waiter,
                    struct local_waiter **answers)
{
    local_entry_write(waiter->jobs, entry, waiter->wait.view, -1, &waiter->body);
    if (local_entry_is_over(entry) && !waiter->wait.owns)
        entry->forgotten = true;
    waiter->entry = NULL;
    waiter->next = *answers;
    *answers = waiter;
}

/* Without the lock. */
void local_send_answers(struct local_waiter *answers)
{
    while (answers) {
        struct local_waiter *waiter = answers;
        answers = waiter->next;
        http_exchange_answer(waiter->wait.exchange, 200, "application/json", NULL, &waiter->body);
        str_finish(&waiter->body);
        free(waiter);
    }
}

static void unlink_waiter(struct local_waiter *waiter)
{
    struct local_waiter **link = &waiter->entry->waiters;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
}

static void send_webhook(struct local_jobs *jobs, struct local_entry *entry)
{
    const struct local_request *request = &entry->request;
    struct str body = {0};
    if (!request->webhook)
        return;
    local_entry_write(jobs, entry, LOCAL_VIEW_STATUS, -1, &body);
    body.len--; /* the last brace */
    str_puts(&body, ",\"input\":");
    json_write(&body, request->input);
    str_puts(&body, ",\"webhook\":");
    json_write_string(&body, request->webhook, strlen(request->webhook));
    str_putc(&body, '}');
    webhooks_send(jobs->options.webhooks, request->webhook, request->id, &body);
}

/* The job is over. With the lock; the waiters go to `answers`. */
static void finish(struct local_jobs *jobs, struct local_entry *entry, enum local_state state,
                   struct local_waiter **answers)
{
    if (entry->ticket && jobs->options.heartbeat)
        heartbeat_remove(jobs->options.heartbeat, entry->ticket);
    entry->state = state;
    entry->ticket = 0;
    entry->ended_at = clock_now();
    jobs->completed += state == LOCAL_COMPLETED;
    jobs->failed += state == LOCAL_FAILED;
    send_webhook(jobs, entry);
    while (entry->waiters) {
        struct local_waiter *waiter = entry->waiters;
        entry->waiters = waiter->next;
        release(entry, waiter, answers);
    }
    pthread_cond_signal(&jobs->changed);
}

static void fail(struct local_jobs *jobs, struct local_entry *entry, const char *error,
                 struct local_waiter **answers)
{
    str_clear(&entry->body);
    str_printf(&entry->body, "{\"error\":\"%s\"}", error);
    finish(jobs, entry, LOCAL_FAILED, answers);
}

/* Asks for the end of a job. With the lock; the result is for dispatch_cancel, 0: it is over
 * already. */
uint64_t local_entry_cancel(struct local_jobs *jobs, struct local_entry *entry,
                            struct local_waiter **answers)
{
    entry->cancelled = true;
    if (entry->state == LOCAL_QUEUED)
        finish(jobs, entry, LOCAL_CANCELLED, answers);
    return entry->ticket;
}

/* The client left. */
static void client_gone(void *arg)
{
    struct local_waiter *waiter = arg, *answers = NULL;
    struct local_jobs *jobs = waiter->jobs;
    uint64_t ticket = 0;
    pthread_mutex_lock(&jobs->lock);
    if (waiter->entry && waiter->wait.owns) {
        ticket = local_entry_cancel(jobs, waiter->entry, &answers);
    } else if (waiter->entry) { /* is told nothing: chunks are there for who asks next */
        unlink_waiter(waiter);
        waiter->entry = NULL;
        waiter->next = NULL;
        answers = waiter;
    }
    pthread_mutex_unlock(&jobs->lock);
    local_send_answers(answers); /* the waiter may be gone after this */
    if (ticket)
        dispatch_cancel(jobs->dispatch, ticket);
}

/* With the lock, so that no one answers before the watch begins. */
void local_entry_add_waiter(struct local_jobs *jobs, struct local_entry *entry,
                            const struct local_wait *wait)
{
    struct local_waiter *waiter = mem_alloc(sizeof(*waiter));
    *waiter = (struct local_waiter){entry->waiters, jobs, *wait, entry, {0}};
    entry->waiters = waiter;
    http_exchange_watch(wait->exchange, client_gone, waiter);
}

/* --- What the dispatch calls ------------------------------------------------------------------ */

/* Takes all chunks that there are, so that the job never waits for somebody to ask. With the lock.
 */
static void take_chunks(struct local_entry *entry, struct stream *stream)
{
    struct str chunk = {0};
    for (; stream_next(stream, &chunk); str_clear(&chunk)) {
        if (entry->chunks.len + chunk.len > LOCAL_STREAM_BYTES_MAX) {
            entry->overflown = true;
            continue;
        }
        if (entry->chunks.len)
            str_putc(&entry->chunks, ',');
        reply_stream_body(&chunk, &entry->chunks);
    }
    str_finish(&chunk);
}

static void chunk_ready(struct stream *stream, uint64_t ticket, void *arg)
{
    struct local_jobs *jobs = arg;
    pthread_mutex_lock(&jobs->lock);
    struct local_entry *entry = find_ticket(jobs, ticket);
    if (entry)
        take_chunks(entry, stream);
    pthread_mutex_unlock(&jobs->lock);
}

/* There is nobody here who could replace the worker. */
static void drop_refresh(struct str *body)
{
    static const char tail[] = ",\"stopPod\":true}";
    size_t len = sizeof(tail) - 1;
    if (body->len > len && memcmp(body->data + body->len - len, tail, len) == 0) {
        body->len -= len;
        str_putc(body, '}');
    }
}

static void answered(struct answer *answer, void *arg)
{
    struct local_jobs *jobs = arg;
    struct local_waiter *answers = NULL;
    pthread_mutex_lock(&jobs->lock);
    struct local_entry *entry = find_ticket(jobs, answer->ticket);
    if (entry && entry->cancelled) { /* as its end was told already, whatever came of it */
        finish(jobs, entry, LOCAL_CANCELLED, &answers);
    } else if (entry && entry->overflown) {
        fail(jobs, entry, "nobody took the chunks of its stream, and they became too many",
             &answers);
    } else if (entry) {
        entry->body = answer->body;
        answer->body = (struct str){0};
        if (answer->refresh)
            drop_refresh(&entry->body);
        finish(jobs, entry, answer->code == ERR_NONE ? LOCAL_COMPLETED : LOCAL_FAILED, &answers);
    }
    pthread_mutex_unlock(&jobs->lock);
    answer_destroy(answer);
    local_send_answers(answers);
}

/* --- The thread of local_jobs_tick ------------------------------------------------------------ */

/* The oldest job that waits and may begin: with all places taken, one that needs none. NULL: there
 * is none. With the lock. */
static struct local_entry *next_to_start(const struct local_jobs *jobs)
{
    struct local_tally sum = local_jobs_tally(jobs);
    bool is_full = sum.running - sum.running_quick >= jobs->options.dispatch->concurrency;
    bool is_busy = sum.running_quick >= LOCAL_QUICK_MAX;
    struct local_entry *entry = jobs->entries;
    while (entry && (entry->state != LOCAL_QUEUED || (entry->is_quick ? is_busy : is_full)))
        entry = entry->next;
    return entry;
}

/* Starts one. With the lock, which it leaves for a while. */
static bool start_one(struct local_jobs *jobs)
{
    struct local_entry *entry = next_to_start(jobs);
    if (!entry)
        return false;
    entry->state = LOCAL_RUNNING;
    entry->started_at = clock_now();
    entry->ticket = ++jobs->tickets;
    if (jobs->options.heartbeat)
        heartbeat_add(jobs->options.heartbeat, entry->ticket, entry->request.id);
    const struct submission submission = {
        .ticket = entry->ticket, .id = entry->request.id, .input = entry->request.input};
    pthread_mutex_unlock(&jobs->lock);
    dispatch_submit(jobs->dispatch, &submission);
    pthread_mutex_lock(&jobs->lock);
    if (entry->ticket == submission.ticket && entry->cancelled) { /* before it could be */
        pthread_mutex_unlock(&jobs->lock);
        dispatch_cancel(jobs->dispatch, submission.ticket);
        pthread_mutex_lock(&jobs->lock);
    }
    return true;
}

/* With the lock. */
static void release_overdue(struct local_jobs *jobs, int64_t now, struct local_waiter **answers)
{
    for (struct local_entry *entry = jobs->entries; entry; entry = entry->next)
        for (struct local_waiter **link = &entry->waiters; *link;) {
            struct local_waiter *waiter = *link;
            if (waiter->wait.deadline > now) {
                link = &waiter->next;
                continue;
            }
            *link = waiter->next;
            release(entry, waiter, answers);
        }
}

static void entry_destroy(struct local_entry *entry)
{
    local_request_finish(&entry->request);
    str_finish(&entry->body);
    str_finish(&entry->chunks);
    free(entry);
}

/* Forgets what ended long ago, and more when it is too much. With the lock. */
static void forget_old(struct local_jobs *jobs, int64_t now)
{
    struct local_tally sum = local_jobs_tally(jobs);
    for (struct local_entry **link = &jobs->entries; *link;) {
        struct local_entry *entry = *link;
        int64_t kept_s = entry->request.sync ? LOCAL_KEPT_SYNC_S : LOCAL_KEPT_S;
        bool too_much = sum.over > LOCAL_KEPT_MAX || sum.over_bytes > LOCAL_KEPT_BYTES_MAX;
        if (!local_entry_is_over(entry) ||
            (!too_much && now - entry->ended_at < kept_s * CLOCK_S)) {
            link = &entry->next;
            continue;
        }
        sum.over--;
        sum.over_bytes -= entry_bytes(entry);
        *link = entry->next;
        entry_destroy(entry);
    }
}

void local_jobs_tick(struct local_jobs *jobs)
{
    struct local_waiter *answers = NULL;
    int64_t now = clock_now();
    pthread_mutex_lock(&jobs->lock);
    release_overdue(jobs, now, &answers);
    forget_old(jobs, now);
    bool started = start_one(jobs);
    if (!started && !answers)
        sync_cond_wait(&jobs->changed, &jobs->lock, now + TICK_MS * CLOCK_MS);
    pthread_mutex_unlock(&jobs->lock);
    local_send_answers(answers);
}

/* --- Life ------------------------------------------------------------------------------------- */

struct local_jobs *local_jobs_create(const struct local_jobs_options *options)
{
    struct local_jobs *jobs = mem_alloc(sizeof(*jobs));
    jobs->options = *options;
    pthread_mutex_init(&jobs->lock, NULL);
    sync_cond_init(&jobs->changed);
    options->dispatch->answered = answered;
    options->dispatch->chunk_ready = chunk_ready;
    options->dispatch->arg = jobs;
    jobs->dispatch = dispatch_create(options->dispatch);
    if (jobs->dispatch)
        return jobs;
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    return NULL;
}

bool local_jobs_idle(struct local_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    struct local_tally sum = local_jobs_tally(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return sum.queued + sum.running == 0;
}

void local_jobs_refuse(struct local_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->refusing = true;
    pthread_mutex_unlock(&jobs->lock);
}

void local_jobs_stop(struct local_jobs *jobs)
{
    struct local_waiter *answers = NULL;
    dispatch_stop(jobs->dispatch);
    pthread_mutex_lock(&jobs->lock);
    for (struct local_entry *entry = jobs->entries; entry; entry = entry->next)
        if (!local_entry_is_over(entry)) /* those of plugins that hang, too */
            fail(jobs, entry, LOCAL_STOPPING, &answers);
    pthread_mutex_unlock(&jobs->lock);
    local_send_answers(answers);
}

bool local_jobs_destroy(struct local_jobs *jobs)
{
    if (!dispatch_destroy(jobs->dispatch))
        return false;
    while (jobs->entries) {
        struct local_entry *entry = jobs->entries;
        jobs->entries = entry->next;
        entry_destroy(entry);
    }
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    return true;
}
