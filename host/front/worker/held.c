/* The jobs that this worker answers for, in the order of acceptance, and the mailbox through which
 * threads of the runner tell the loop about them; see queue_private.h.
 */
#include "front/worker/queue_private.h"

#include <stdlib.h>
#include <string.h>

struct held *held_add(struct queue *queue, const char *id)
{
    struct held *held = mem_alloc(sizeof(*held));
    held->queue = queue;
    held->ticket = ++queue->last_ticket;
    held->id = mem_copy_string(id);
    held->progress_at =
        queue->now + (int64_t)(queue->manifest->worker.progress_s * (double)CLOCK_S);
    *queue->held_tail = held;
    queue->held_tail = &held->next;
    queue->held_count++;
    queue->running_count++;
    queue->accepted++;
    if (queue->heartbeat)
        heartbeat_add(queue->heartbeat, held->ticket, id);
    metrics_count(queue->metrics, METRIC_JOBS_ACCEPTED);
    return held;
}

struct held *held_find(struct queue *queue, const char *id)
{
    struct held *held = queue->held;
    while (held && (held->stopped || strcmp(held->id, id) != 0))
        held = held->next;
    return held;
}

void held_remove(struct held *held)
{
    struct queue *queue = held->queue;
    struct held **link = &queue->held;
    while (*link != held)
        link = &(*link)->next;
    *link = held->next;
    if (!*link)
        queue->held_tail = link;
    queue->held_count--;
    queue_wake_at(queue, queue->now); /* the last one ends a drain */
    if (queue->heartbeat)
        heartbeat_remove(queue->heartbeat, held->ticket);
    if (held->call)
        http_call_cancel(held->call);
    if (held->answer)
        queue->answer_bytes -= held->answer->body.len;
    answer_destroy(held->answer);
    str_finish(&held->body);
    free(held->id);
    free(held);
}

/* --- Mail ------------------------------------------------------------------------------------- */

static void mail_put(struct queue *queue, struct mail *mail)
{
    pthread_mutex_lock(&queue->lock);
    *queue->mail_tail = mail;
    queue->mail_tail = &mail->next;
    pthread_mutex_unlock(&queue->lock);
    http_client_wake(queue->client);
}

void mail_answer(struct answer *answer, void *arg)
{
    struct mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct mail){NULL, answer->ticket, answer, answer->stream};
    mail_put(arg, mail);
}

void mail_chunk(struct stream *stream, uint64_t ticket, void *arg)
{
    struct mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct mail){NULL, ticket, NULL, stream};
    mail_put(arg, mail);
}

static void deliver_mail(struct queue *queue, struct mail *mail)
{
    struct held *held = queue->held;
    while (held && held->ticket != mail->ticket)
        held = held->next;
    if (!held) { /* cannot be: a job is held until its answer came */
        answer_destroy(mail->answer);
        return;
    }
    held->stream = mail->stream;
    if (!mail->answer)
        return;
    held->answer = mail->answer;
    held->moved_at = queue->now;
    queue->answer_bytes += mail->answer->body.len;
    queue->running_count--;
}

void mail_collect(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct mail *mail = queue->mail;
    queue->mail = NULL;
    queue->mail_tail = &queue->mail;
    pthread_mutex_unlock(&queue->lock);
    while (mail) {
        struct mail *next = mail->next;
        deliver_mail(queue, mail);
        free(mail);
        mail = next;
    }
}
