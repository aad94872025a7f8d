/* What goes by itself: results and dead letters that the manifest keeps no longer (storage and
 * callbacks, keep_days and keep_mb). Inside host/front only.
 */
#ifndef FRONT_HOUSEKEEPING_H
#define FRONT_HOUSEKEEPING_H

#include "front/app.h"
#include "store/store.h"

#define HOUSEKEEPING_PERIOD_S 600

struct housekeeping_options {
    const struct app *app;
    struct storage *storage; /* where dead letters may be; NULL: none */
    const char *out;         /* results of a batch, which nobody removes; NULL: none */
};

/* Removes it now, and logs what went; nothing where all is kept. Never anything of the library of
 * voices, of models and their caches, or in `out`. */
void housekeeping_run(const struct housekeeping_options *options, const atomic_int *stop);

/* Does that now and then, in a thread of its own, until housekeeping_stop; NULL where all is kept.
 * What `options` points to is borrowed. */
struct housekeeping *housekeeping_start(const struct housekeeping_options *options);
/* Leaves what it is at; takes NULL. */
void housekeeping_stop(struct housekeeping *housekeeping);

#endif
