/* What older clients put around the input of a job, `{"id", "input", "metadata"}`: the metadata
 * become those of the input, where everything else looks for them. Knows no job.
 */
#ifndef WORKER_ENVELOPE_H
#define WORKER_ENVELOPE_H

#include "base/base.h"

/* Moves the members of the envelope's metadata into those of its input; what the input says itself
 * holds. Nothing when either is no object, or they have too many. */
void envelope_open(cJSON *envelope);

#endif
