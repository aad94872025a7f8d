/* Threads, and condition variables that wait on the monotonic clock. */
#ifndef BASE_SYNC_H
#define BASE_SYNC_H

#include <pthread.h>
#include <stdint.h>

/* pthread_create with every signal but faults blocked in the new thread, and so in all that it
 * starts: signals are for the main thread, whose waits they interrupt. */
int sync_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* A mutex for short sections that many threads enter: it spins a little before it sleeps. */
void sync_mutex_init(pthread_mutex_t *mutex);

void sync_cond_init(pthread_cond_t *cond);
/* Waits for a signal or until `deadline` (clock_now's time; CLOCK_NEVER: for ever). May wake for no
 * reason. */
void sync_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline);

#endif
