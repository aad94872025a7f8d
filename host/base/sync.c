/* Condition variables; see sync.h. */
#include "base/sync.h"

#include "base/clock.h"

#include <time.h>

void sync_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void sync_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline)
{
    if (deadline == CLOCK_NEVER) {
        pthread_cond_wait(cond, mutex);
        return;
    }
    struct timespec at = {deadline / CLOCK_S, deadline % CLOCK_S};
    pthread_cond_timedwait(cond, mutex, &at);
}
