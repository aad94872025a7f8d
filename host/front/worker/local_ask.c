/* What requests ask of the jobs of the local API server; see local_private.h. Knows no paths and no
 * methods. */
#include "front/worker/local_jobs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int write_unknown(const char *id, int status, struct str *out)
{
    local_write_id(id, "FAILED", out);
    str_puts(out, ",\"error\":\"Job ID not found\"}");
    return status;
}

/* Is there room for a job of so many bytes? Else the status of the refusal. With the lock. */
static int refuse(const struct local_jobs *jobs, size_t bytes, struct str *out)
{
    struct local_tally sum = local_jobs_tally(jobs);
    if (jobs->refusing) {
        str_puts(out, "{\"error\":\"" LOCAL_STOPPING "\"}");
        return 503;
    }
    if (sum.queued >= LOCAL_WAITING_MAX || sum.queued_bytes + bytes > LOCAL_WAITING_BYTES_MAX) {
        str_printf(out, "{\"error\":\"%zu jobs wait already: try again later\"}", sum.queued);
        return 429;
    }
    return 0;
}

int local_jobs_add(struct local_jobs *jobs, struct local_request *request,
                   const struct local_wait *wait, struct str *out)
{
    pthread_mutex_lock(&jobs->lock);
    int status = refuse(jobs, request->bytes, out);
    if (status == 0) {
        status = wait ? 0 : 200;
        struct local_entry *entry = mem_alloc(sizeof(*entry));
        struct local_entry **end = &jobs->entries;
        while (*end)
            end = &(*end)->next;
        *end = entry;
        entry->request = *request;
        *request = (struct local_request){0};
        entry->is_quick = job_op_is_quick(job_op_of(entry->request.input));
        entry->created_at = clock_now();
        if (wait)
            local_entry_add_waiter(jobs, entry, wait);
        else
            local_entry_write(jobs, entry, LOCAL_VIEW_STATUS, -1, out);
        pthread_cond_signal(&jobs->changed);
        metrics_count(jobs->options.metrics, METRIC_JOBS_ACCEPTED);
    }
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

int local_jobs_show(struct local_jobs *jobs, const char *id, enum local_view view, struct str *out)
{
    int status = 200;
    pthread_mutex_lock(&jobs->lock);
    struct local_entry *entry = local_jobs_find(jobs, id);
    uint64_t ticket = entry ? entry->ticket : 0;
    pthread_mutex_unlock(&jobs->lock);
    double progress = ticket ? dispatch_progress(jobs->dispatch, ticket) : -1;

    pthread_mutex_lock(&jobs->lock);
    entry = local_jobs_find(jobs, id);
    if (entry)
        local_entry_write(jobs, entry, view, progress, out);
    else
        status = write_unknown(id, 404, out);
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

int local_jobs_await(struct local_jobs *jobs, const char *id, const struct local_wait *wait,
                     struct str *out)
{
    int status = 200;
    pthread_mutex_lock(&jobs->lock);
    struct local_entry *entry = local_jobs_find(jobs, id);
    if (!entry || entry->forgotten) {
        write_unknown(id, 200, out);
    } else if (wait->view == LOCAL_VIEW_STREAM &&
               !cJSON_IsTrue(json_get(entry->request.input, "stream"))) {
        local_write_id(id, "FAILED", out);
        str_puts(out, ",\"error\":\"Stream not supported, handler must be a generator.\"}");
    } else if (local_entry_is_over(entry)) {
        local_entry_write(jobs, entry, wait->view, -1, out);
        entry->forgotten = true;
    } else {
        local_entry_add_waiter(jobs, entry, wait);
        status = 0;
    }
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

int local_jobs_cancel(struct local_jobs *jobs, const char *id, struct str *out)
{
    struct local_waiter *answers = NULL;
    uint64_t ticket = 0;
    int status = 200;
    pthread_mutex_lock(&jobs->lock);
    struct local_entry *entry = local_jobs_find(jobs, id);
    if (!entry)
        status = write_unknown(id, 404, out);
    else if (!local_entry_is_over(entry))
        ticket = local_entry_cancel(jobs, entry, &answers);
    if (entry) {
        local_write_id(
            id, local_state_names[local_entry_is_over(entry) ? entry->state : LOCAL_CANCELLED],
            out);
        str_putc(out, '}');
    }
    pthread_mutex_unlock(&jobs->lock);
    local_send_answers(answers);
    if (ticket)
        dispatch_cancel(jobs->dispatch, ticket);
    return status;
}

int local_jobs_retry(struct local_jobs *jobs, const char *id, struct str *out)
{
    int status = 200;
    pthread_mutex_lock(&jobs->lock);
    struct local_entry *entry = local_jobs_find(jobs, id);
    if (!entry) {
        status = write_unknown(id, 404, out);
    } else if (entry->state != LOCAL_FAILED) {
        str_printf(out, "{\"error\":\"the job is %s; only one that is FAILED can be tried again\"}",
                   local_state_names[entry->state]);
        status = 400;
    } else if ((status = refuse(jobs, entry->request.bytes, out)) == 0) {
        status = 200;
        str_finish(&entry->body);
        str_finish(&entry->chunks);
        entry->state = LOCAL_QUEUED;
        entry->cancelled = entry->forgotten = entry->overflown = false;
        entry->created_at = clock_now();
        entry->started_at = entry->ended_at = 0;
        jobs->retried++;
        local_entry_write(jobs, entry, LOCAL_VIEW_STATUS, -1, out);
        pthread_cond_signal(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

int local_jobs_purge(struct local_jobs *jobs, struct str *out)
{
    struct local_waiter *answers = NULL;
    size_t removed = 0;
    pthread_mutex_lock(&jobs->lock);
    for (struct local_entry *entry = jobs->entries; entry; entry = entry->next) {
        if (entry->state != LOCAL_QUEUED)
            continue;
        local_entry_cancel(jobs, entry, &answers);
        removed++;
    }
    pthread_mutex_unlock(&jobs->lock);
    local_send_answers(answers);
    str_printf(out, "{\"removed\":%zu,\"status\":\"completed\"}", removed);
    return 200;
}

size_t local_jobs_count(struct local_jobs *jobs, struct str *out)
{
    pthread_mutex_lock(&jobs->lock);
    struct local_tally sum = local_jobs_tally(jobs);
    str_printf(out,
               "{\"completed\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"inProgress\":%zu,\"inQueue\":%zu,\"retried\":%" PRIu64 "}",
               jobs->completed, jobs->failed, sum.running, sum.queued, jobs->retried);
    pthread_mutex_unlock(&jobs->lock);
    return sum.running;
}
