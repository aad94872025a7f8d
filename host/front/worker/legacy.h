/* Clients of the systems that voxhost replaces: which one sent a request is known by its fields,
 * and its answer has the members and error texts that this system documented, beside ours. Two
 * families: one of files and `endpoint` (F5), one of voices that travel in the job (Chatterbox,
 * Higgs and what was built on them). A job with `op` is no older client's.
 */
#ifndef WORKER_LEGACY_H
#define WORKER_LEGACY_H

#include "job/job.h"

struct legacy;

/* What is known of the client; NULL: it is none of them. Copies what the answer repeats. */
struct legacy *legacy_recognise(const cJSON *input);
void legacy_destroy(struct legacy *legacy); /* takes NULL */

/* Fields that this system required, and ours does without. */
int legacy_check(const struct legacy *legacy, struct err *err);
/* Its answers had a URL whatever the size. */
bool legacy_prefers_url(const struct legacy *legacy);

/* Sets what result_write shows in another way: the status, and what was added to the metadata.
 * Once. */
void legacy_prepare(const struct legacy *legacy, struct result *result);
/* What the second copy of inline audio is called. */
const char *legacy_audio_member(const struct legacy *legacy);
/* Appends its members, but for that copy: each with a comma before it. */
void legacy_write(const struct legacy *legacy, const struct result *result, struct str *out);
/* Appends what it called the failure. */
void legacy_error(const struct legacy *legacy, const struct err *err, struct str *out);

#endif
