/* What a batch says while it runs and at its end: counts per model, a bar on a terminal or a JSON
 * line every few seconds, and a table.
 */
#ifndef BATCH_PROGRESS_H
#define BATCH_PROGRESS_H

#include "base/base.h"
#include "job/job.h"

struct progress;

struct progress_options {
    struct models *models;
    bool terminal; /* stderr is one: draw a bar; else JSON lines */
};

struct progress *progress_create(const struct progress_options *options);
/* A job has ended. [any] */
void progress_count(struct progress *progress, const struct result *result);
/* A job of a dry run is right. [any] */
void progress_valid(struct progress *progress, const struct model *model);
/* A job was already done and is not done again. [any] */
void progress_skip(struct progress *progress, const struct model *model);
/* How much of the job file is read (0..1; negative: not known), and how many records that was.
 * [any] */
void progress_read(struct progress *progress, double fraction, uint64_t records);
/* Draws no more. [main] */
void progress_stop(struct progress *progress);
/* Appends the summary: a table, or one JSON object. After progress_stop. */
void progress_summary(struct progress *progress, bool json, struct str *out);
uint64_t progress_failed(struct progress *progress);
void progress_destroy(struct progress *progress);

#endif
