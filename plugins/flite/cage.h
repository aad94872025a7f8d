/* The cage that flite's code runs in: what it gets in place of the C library and of its own globals.
 *
 * libflite is written for a program of its own. It ends the process on an error, prints to stderr, draws
 * its noise from rand() and can neither be stopped nor be trusted to free everything. plugin.so links it
 * statically, so that these few symbols can be bound to cage.c instead:
 *
 *     cst_safe_alloc, cst_free ... -> blocks that the running cage owns, and frees together
 *     rand ....................... -> the cage's own sequence, the one rand() gives a fresh process
 *     exit, cst_errmsg ........... -> cage_fail(), back out of cage_run()
 *
 * Every 256 allocations the cage asks job->cancelled, so flite stops within any stage of its work.
 * A cage is used by one thread at a time; any number of them run in parallel. It knows nothing of text,
 * voices or audio. */
#ifndef FLITE_CAGE_H
#define FLITE_CAGE_H

#include "vox/plugin.h"

#include <setjmp.h>
#include <stdlib.h>

struct cage_block {
    struct cage_block *previous, *next;
};

struct cage {
    struct cage_block blocks;  /* a ring: everything that flite holds */
    const struct vox_job *job; /* asked for cancellation; NULL: cannot be stopped */
    uint32_t allocations;
    struct random_data noise;
    char noise_state[128]; /* the size, and so the sequence, of rand()'s own state */
    char message[256];     /* what flite said last */
    jmp_buf escape;
    int32_t code;
    struct vox_error *error; /* borrowed for the length of cage_run */
};

void cage_init(struct cage *cage);

/* Frees everything that flite allocated in the cage. */
void cage_empty(struct cage *cage);

/* Runs body(arg) with the cage around flite; `job` may be NULL. Returns VOX_OK, or the code that
 * cage_fail() was called with. The noise starts afresh. Locals of body are lost on failure: what must
 * survive belongs into `arg`. */
int32_t cage_run(struct cage *cage, const struct vox_job *job, struct vox_error *error,
                 void (*body)(void *arg), void *arg);

/* Leaves the innermost cage_run of this thread, with `code` and a message for the error. */
_Noreturn void cage_fail(int32_t code, const char *message);

#endif
