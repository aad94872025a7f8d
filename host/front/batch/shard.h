/* Which part of a job file is ours when several machines work on it: by a stable hash of the job's
 * id, so shards never overlap and together cover the file, whatever its order.
 */
#ifndef BATCH_SHARD_H
#define BATCH_SHARD_H

#include "base/base.h"

struct shard {
    uint64_t index, count; /* index 0 .. count-1; {0, 1} is everything */
};

/* "I/N" with I from 0 to N, taken modulo N, so that both people who count from 0 (0/3 1/3 2/3) and
 * people who count from 1 (1/3 2/3 3/3) cover the file; or "auto": from VOXHOST_SHARD as "I/N",
 * else the variables of SLURM array jobs, of the tasks of one srun where they are several, of
 * Kubernetes indexed jobs, AWS Batch arrays and RunPod clusters; the first that says something. An
 * index without a count, and no variable at all, are errors that name them. `lookup` looks
 * variables up. */
int shard_parse(const char *text, yaml_lookup lookup, void *arg, struct shard *shard,
                struct err *err);
bool shard_has(const struct shard *shard, const char *id);

#endif
