/* What is sent about a job: the final body, an error report, a progress update, a chunk of a
 * stream. Pure text, in the shapes of runpod 1.12.0 (PyPI: rp_job.py); `error` is always a string, and
 * no body can be anything but valid JSON in UTF-8.
 */
#ifndef WORKER_REPLY_H
#define WORKER_REPLY_H

#include "front/worker/legacy.h"
#include "job/job.h"
#include "manifest/manifest.h"

/* Who answers; borrowed. */
struct reply_context {
    const struct manifest_worker *manifest;
    const char *hostname, *worker_id; /* of error reports */
};

/* Appends the body of a final result:
 *
 *   {"output":{...}}                    all well; the members of result_write, and with legacy_fields those of older clients:
 *                                       audio_base64, audio_url, duration, sample_rate, job_id
 *   {"output":{...},"error":"{...}"}    failed: the report below, as a string; output as well, with error_code, error_field
 *   ...,"error":"text"                  failed, of an older client: what it calls the failure, alone
 *   ...,"stopPod":true                  `refresh`: the platform should replace this worker
 *
 * audio_base64, a second copy, is left out with a warning where the body would be over
 * body_bytes_max. What is over it even so becomes a failure with ERR_TOO_LARGE, whose output is
 * left out if it, too, is over it: no body is ever longer. `result` may get that warning or error;
 * it loses its audio, words, subtitle texts and what its operation had to say with the latter.
 * `legacy`: the client, which gets its members too; NULL: none that we know. */
void reply_final(const struct reply_context *context, const struct legacy *legacy,
                 struct result *result, bool refresh, struct str *body);
/* Would that be a result? False when it would become a failure for its length, or may by a
 * little. */
bool reply_fits(const struct reply_context *context, const struct legacy *legacy,
                const struct result *result);
/* The last chunk of a stream, a JSON value: the result's object (`audio` has no base64), and on
 * failure error_code, error_field. Words and subtitle texts are left out, with a warning, where it
 * would be over 900,000 bytes. */
void reply_stream_last(const struct result *result, struct str *chunk);
/* The body that ends a stream: {"output":[chunks...]}, on failure with "error". `chunks`: all of
 * them, JSON values parted by commas; NULL: they do not fit, or nobody wants them again; then, and
 * where the body would be over body_bytes_max, the output is []. */
void reply_final_stream(const struct reply_context *context, const struct result *result,
                        const struct str *chunks, bool refresh, struct str *body);

/* {"error":"{...}"} alone: for a job that was none, or whose own body was refused. The report is a
 * JSON object in a string: error_type, error_message, error_traceback (where it happened: field,
 * job, model), hostname, worker_id, runpod_version, error_code, error_field; each text is cut to
 * 16 KiB. */
void reply_failure(const struct reply_context *context, const struct err *err, bool refresh,
                   struct str *body);

/* {"status":"IN_PROGRESS","output":{"progress":0.25}}, in steps of 0.001 within 0 to 1. */
void reply_progress(double progress, struct str *body);

/* One chunk of a stream, a JSON value:
 * {"index":0,"audio_base64":"...","format":"pcm","encoding":"pcm16",
 * "sample_rate":24000,"channels":1}. */
void reply_chunk(uint64_t index, const struct audio_info *info, const void *data, size_t len,
                 struct str *chunk);
/* {"output":CHUNK} */
void reply_stream_body(const struct str *chunk, struct str *body);

/* The platform's name for an error code: "InvalidInput", "OutOfMemory", "Cancelled",
 * "PayloadTooLarge" ... */
const char *reply_error_type(enum err_code code);

#endif
