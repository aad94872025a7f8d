/* Which part of a job file is ours; see shard.h. Knows the variables of schedulers, not what a job
 * is.
 *
 * Sources of the names: Slurm's "Job Array Support" and srun(1); Kubernetes' "Indexed Job" (the
 * index only: the count must be handed in by the user); AWS Batch's "job environment variables";
 * RunPod's "Instant Clusters".
 */
#include "front/batch/shard.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SHARD_COUNT_MAX 1000000
#define SHARD_TASK_MAX UINT32_MAX /* of the numbers that schedulers give */

/* A scheduler's variables; `marker` NULL: `index` alone tells that it is the one. */
struct scheduler {
    const char *name;
    const char *marker; /* must be set too, where the others have common names */
    const char *index;
    const char *counts[2]; /* the first that is set */
    const char *first;     /* index of the first task; NULL: 0 */
    const char *last;      /* index of the last task */
    const char *step;      /* from one task to the next; NULL: 1 */
    const char *advice;    /* what to do when the count is missing */
    bool only_many;        /* says nothing when the count is 1 or missing */
};

static const struct scheduler schedulers[] = {
    {.name = "Slurm",
     .index = "SLURM_ARRAY_TASK_ID",
     .counts = {"SLURM_ARRAY_TASK_COUNT"},
     .first = "SLURM_ARRAY_TASK_MIN",
     .last = "SLURM_ARRAY_TASK_MAX",
     .step = "SLURM_ARRAY_TASK_STEP",
     .advice = "start it by sbatch --array"},
    /* An sbatch script itself has the index 0 and the count too, but is no step: it is the only
     * one. */
    {.name = "srun",
     .marker = "SLURM_STEP_ID",
     .index = "SLURM_PROCID",
     .counts = {"SLURM_NTASKS"},
     .only_many = true},
    {.name = "Kubernetes",
     .index = "JOB_COMPLETION_INDEX",
     .counts = {"JOB_COMPLETIONS", "COMPLETIONS"},
     .advice = "set it in the pod's env to the job's spec.completions"},
    {.name = "AWS Batch",
     .index = "AWS_BATCH_JOB_ARRAY_INDEX",
     .counts = {"AWS_BATCH_JOB_ARRAY_SIZE"},
     .advice = "submit it as an array job"},
    {.name = "RunPod",
     .marker = "RUNPOD_POD_ID",
     .index = "NODE_RANK",
     .counts = {"NUM_NODES"},
     .advice = "start it in an Instant Cluster"},
};

#define GENERIC_NAME "VOXHOST_SHARD"

/* Where variables come from. */
struct source {
    yaml_lookup lookup;
    void *arg;
};

static const char *find(const struct source *source, const char *name)
{
    const char *text = name ? source->lookup(name, source->arg) : NULL;
    return text && *text ? text : NULL;
}

/* Digits only, at most `max`. */
static bool parse_number(const char *text, size_t len, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > max)
            return false;
    }
    *number = value;
    return true;
}

/* `what` is the option or variable that the text stands in. */
static int parse_pair(const char *what, const char *text, struct shard *shard, struct err *err)
{
    const char *slash = strchr(text, '/');
    uint64_t index, count;
    if (!slash || !parse_number(text, (size_t)(slash - text), SHARD_COUNT_MAX, &index) ||
        !parse_number(slash + 1, strlen(slash + 1), SHARD_COUNT_MAX, &count))
        return err_set(err, ERR_INVALID, NULL,
                       "%s: expected I/N (such as 2/8, N at most %d) or auto, got \"%.40s\"", what,
                       SHARD_COUNT_MAX, text);
    if (count == 0 || index > count)
        return err_set(err, ERR_INVALID, NULL,
                       "%s: expected I/N with N at least 1 and I from 0 to N, got \"%.40s\"", what,
                       text);
    *shard = (struct shard){index % count, count};
    return 0;
}

/* Reads a variable that may be missing. */
static int read_number(const struct source *source, const char *name, uint64_t missing,
                       uint64_t *number, struct err *err)
{
    const char *text = find(source, name);
    *number = missing;
    if (text && !parse_number(text, strlen(text), SHARD_TASK_MAX, number))
        return err_set(err, ERR_INVALID, NULL, "--shard auto: %s: expected a number, got \"%.40s\"",
                       name, text);
    return 0;
}

static int missing_count(const struct scheduler *s, struct err *err)
{
    return err_set(
        err, ERR_INVALID, NULL,
        "--shard auto: %s is set but %s%s%s is not, so the number of shards is not known: "
        "%s, or use --shard I/N",
        s->index, s->counts[0], s->counts[1] ? " or " : "", s->counts[1] ? s->counts[1] : "",
        s->advice);
}

static int from_scheduler(const struct scheduler *s, const struct source *source,
                          struct shard *shard, struct err *err)
{
    uint64_t id, count, first, last, step;
    const char *count_name = find(source, s->counts[0]) ? s->counts[0] : s->counts[1];
    if (!find(source, count_name))
        return missing_count(s, err);
    int code = read_number(source, s->index, 0, &id, err);
    if (!code)
        code = read_number(source, count_name, 0, &count, err);
    if (!code)
        code = read_number(source, s->first, 0, &first, err);
    if (!code)
        code = read_number(source, s->step, 1, &step, err);
    if (!code)
        code = read_number(source, s->last, first + (count ? count - 1 : 0) * step, &last, err);
    if (code)
        return code;
    if (count == 0 || count > SHARD_COUNT_MAX)
        return err_set(err, ERR_INVALID, NULL, "--shard auto: %s: expected 1 to %d, got %" PRIu64,
                       count_name, SHARD_COUNT_MAX, count);
    if (step == 0 || id < first || (id - first) % step || (id - first) / step >= count ||
        last != first + (count - 1) * step)
        return err_set(err, ERR_INVALID, NULL,
                       "--shard auto: %s=%" PRIu64 " is not one of %" PRIu64 " tasks from %" PRIu64
                       " in steps of %" PRIu64
                       " (%s): number the tasks without gaps, or use --shard I/N",
                       s->index, id, count, first, step, s->name);
    *shard = (struct shard){(id - first) / step, count};
    return 0;
}

static int fail_unknown(struct err *err)
{
    struct str names = {0};
    for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++)
        str_printf(&names, ", %s with %s%s%s%s (%s)", schedulers[i].index, schedulers[i].counts[0],
                   schedulers[i].only_many ? " above 1" : "", schedulers[i].marker ? " and " : "",
                   schedulers[i].marker ? schedulers[i].marker : "", schedulers[i].name);
    err_set(err, ERR_INVALID, NULL,
            "--shard auto: no variable tells which shard this is, expected " GENERIC_NAME "=I/N%s",
            str_text(&names));
    str_finish(&names);
    return ERR_INVALID;
}

static bool applies(const struct scheduler *s, const struct source *source)
{
    const char *count = find(source, s->counts[0]);
    return find(source, s->index) && (!s->marker || find(source, s->marker)) &&
           (!s->only_many || (count && strcmp(count, "1") != 0));
}

static int parse_auto(const struct source *source, struct shard *shard, struct err *err)
{
    const char *generic = find(source, GENERIC_NAME);
    if (generic)
        return parse_pair(GENERIC_NAME, generic, shard, err);
    for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++)
        if (applies(&schedulers[i], source))
            return from_scheduler(&schedulers[i], source, shard, err);
    return fail_unknown(err);
}

int shard_parse(const char *text, yaml_lookup getenv, void *arg, struct shard *shard,
                struct err *err)
{
    struct source source = {getenv, arg};
    if (strcmp(text, "auto") == 0)
        return parse_auto(&source, shard, err);
    return parse_pair("--shard", text, shard, err);
}

bool shard_has(const struct shard *shard, const char *id)
{
    char hex[DIGEST_HEX_SIZE];
    assert(shard->count > 0 && shard->index < shard->count);
    if (shard->count == 1)
        return true;
    digest_of(id, strlen(id), hex);
    hex[16] = '\0'; /* the first 64 bits */
    return strtoull(hex, NULL, 16) % shard->count == shard->index;
}
