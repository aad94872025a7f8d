/* The last jobs of this process by id: where they are and, once they have ended, where their
 * results stay. For the operations `status` and `download`. A ring: the oldest is forgotten.
 */
#include "job/job_private.h"

#include <stdlib.h>
#include <string.h>

struct recent {
    pthread_mutex_t lock;
    /* guarded by lock */
    struct recent_job jobs[RUNNER_RECENT_MAX];
    uint64_t count; /* ever added; job N, from 1, stands at N % RUNNER_RECENT_MAX */
};

const char *const recent_state_names[] = {"queued", "running", "finished", "failed"};

static void forget(struct recent_job *job)
{
    free(job->id);
    free(job->message);
    free(job->key);
    free(job->path);
    for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        free(job->subtitles[i]);
    *job = (struct recent_job){0};
}

struct recent *recent_create(void)
{
    struct recent *recent = mem_alloc(sizeof(*recent));
    pthread_mutex_init(&recent->lock, NULL);
    return recent;
}

void recent_destroy(struct recent *recent)
{
    for (size_t i = 0; i < RUNNER_RECENT_MAX; i++)
        forget(&recent->jobs[i]);
    pthread_mutex_destroy(&recent->lock);
    free(recent);
}

uint64_t recent_add(struct recent *recent, const char *id)
{
    pthread_mutex_lock(&recent->lock);
    uint64_t number = ++recent->count;
    struct recent_job *job = &recent->jobs[number % RUNNER_RECENT_MAX];
    forget(job);
    job->id = mem_copy_string(id);
    job->number = number;
    pthread_mutex_unlock(&recent->lock);
    return number;
}

void recent_run(struct recent *recent, uint64_t number)
{
    pthread_mutex_lock(&recent->lock);
    struct recent_job *job = &recent->jobs[number % RUNNER_RECENT_MAX];
    if (job->number == number && job->state == RECENT_QUEUED)
        job->state = RECENT_RUNNING;
    pthread_mutex_unlock(&recent->lock);
}

/* The youngest of that id, or NULL. With the lock. */
static struct recent_job *find(struct recent *recent, const char *id)
{
    uint64_t known = recent->count < RUNNER_RECENT_MAX ? recent->count : RUNNER_RECENT_MAX;
    for (uint64_t back = 0; back < known; back++) {
        struct recent_job *job = &recent->jobs[(recent->count - back) % RUNNER_RECENT_MAX];
        if (strcmp(job->id, id) == 0)
            return job;
    }
    return NULL;
}

void recent_end(struct recent *recent, const struct result *result)
{
    if (!result->number)
        return;
    pthread_mutex_lock(&recent->lock);
    struct recent_job *job = &recent->jobs[result->number % RUNNER_RECENT_MAX];
    if (job->number == result->number) {
        job->state = result->err.code == ERR_NONE ? RECENT_FINISHED : RECENT_FAILED;
        job->code = result->err.code;
        job->message = result->err.code ? mem_copy_string(result->err.message) : NULL;
        job->key = mem_copy_string(result->key);
        job->path = mem_copy_string(result->path);
        job->format = result->audio.format;
        for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++) {
            bool is_file = false;
            for (size_t k = 0; k < result->subtitles.count; k++) {
                const char *dot = strrchr(result->subtitles.items[k], '.');
                if (dot && strcmp(dot + 1, subtitle_format_names[i]) == 0) {
                    job->subtitles[i] = mem_copy_string(result->subtitles.items[k]);
                    is_file = true;
                }
            }
            if (!is_file && result->key && result->subtitle_urls[i])
                job->subtitles[i] = result_subtitle_name(result->key, (enum subtitle_format)i);
        }
    }
    pthread_mutex_unlock(&recent->lock);
}

bool recent_find(struct recent *recent, const char *id, struct recent_job *out)
{
    pthread_mutex_lock(&recent->lock);
    const struct recent_job *job = find(recent, id);
    *out = (struct recent_job){0};
    if (job) {
        *out = *job;
        out->id = mem_copy_string(job->id);
        out->message = mem_copy_string(job->message);
        out->key = mem_copy_string(job->key);
        out->path = mem_copy_string(job->path);
        for (size_t i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
            out->subtitles[i] = mem_copy_string(job->subtitles[i]);
    }
    pthread_mutex_unlock(&recent->lock);
    return job != NULL;
}

void recent_job_finish(struct recent_job *job)
{
    forget(job);
}
