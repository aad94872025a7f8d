/* What sender.c and store_letters.c share. */
#ifndef CALLBACK_SENDER_PRIVATE_H
#define CALLBACK_SENDER_PRIVATE_H

#include "callback/callback_private.h"

struct callback_sender {
    struct callback_options options;
    struct shelf shelf;
    atomic_int stop; /* not 0: nothing is sent any more */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct spool *spool; /* NULL: there is none, and none is tried before spool_at */
    int64_t spool_at;
    bool unsigned_warned;
    bool no_client;        /* there is no HTTP here */
    struct callback *list; /* waiting, in no order */
    size_t count, bytes;   /* with those that are being sent */
    size_t sending;
    const char *hosts[CALLBACK_THREADS]; /* of those that are being sent; NULL: a free place */
    bool letters_wait;                   /* there may be some that belong into the storage */
    bool storing;                        /* one thread moves them */
    int64_t store_at;                    /* not before */
    pthread_t threads[CALLBACK_THREADS];
    size_t thread_count;
};

void sender_log(const struct callback_sender *sender, enum log_level level, const char *event,
                const struct callback *callback, const char *reason);

/* --- Into the storage (store_letters.c) ------------------------------------------------------- */

/* Stores a callback that nobody took. */
int sender_store(struct callback_sender *sender, const struct callback *callback,
                 const atomic_int *stop);
/* Moves the letters that lie on disk. With the lock, but while it does. */
void sender_store_letters(struct callback_sender *sender);
/* At the end, without threads: moves what is on the list, then what lies on disk, several at a
 * time, until `deadline`. What is not stored stays where it is. */
void sender_store_rest(struct callback_sender *sender, int64_t deadline, const char *why);

#endif
