/* Counts what a worker does, by event and by model, and writes it as Prometheus text; see
 * metrics.h. Models are those of the manifest: what a job calls its model never becomes a label, so
 * strangers cannot make rows.
 */
#include "front/worker/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name, *help;
} counters[METRIC_COUNT] = {
#define X(constant, name, help) [constant] = {"voxhost_" name, help},
    METRIC_COUNTERS(X)
#undef X
};

/* By -code: "ok", then the error words. */
static const char *const code_words[] = {"ok",
#define X(constant, number, word, retryable) [-(number)] = word,
                                         ERR_CODES(X)
#undef X
};
#define CODE_COUNT (sizeof(code_words) / sizeof(code_words[0]))

static const double bucket_limits_s[] = {0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
#define BUCKET_COUNT (sizeof(bucket_limits_s) / sizeof(bucket_limits_s[0]))

struct row {
    uint64_t jobs[CODE_COUNT];
    uint64_t buckets[BUCKET_COUNT]; /* jobs that took at most so long, those of smaller ones too */
    uint64_t count;
    double job_s, audio_s, synth_s;
};

struct metrics {
    struct models *models;
    double started_s; /* of the process, since 1970; 0: unknown */
    pthread_mutex_t lock;
    /* guarded by lock */
    uint64_t counts[METRIC_COUNT];
    uint64_t in_progress;
    struct row *rows; /* of each model; the last one: of jobs without a known model */
};

/* --- Counting --------------------------------------------------------------------------------- */

void metrics_count(struct metrics *metrics, enum metric counter)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->counts[counter]++;
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_job_begins(struct metrics *metrics)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->in_progress++;
    pthread_mutex_unlock(&metrics->lock);
}

static struct row *row_of(struct metrics *metrics, const char *model_type)
{
    size_t i = 0;
    size_t count = models_count(metrics->models);
    while (i < count &&
           (!model_type || strcmp(model_name(models_at(metrics->models, i)), model_type) != 0))
        i++;
    return &metrics->rows[i];
}

void metrics_job_ends(struct metrics *metrics, const struct result *result)
{
    struct row *row = row_of(metrics, result->model_type);
    double total_s = result->ms.total / 1e3;
    pthread_mutex_lock(&metrics->lock);
    metrics->in_progress--;
    row->jobs[-result->err.code]++;
    row->count++;
    row->job_s += total_s;
    row->synth_s += result->ms.synth / 1e3;
    if (result->err.code == ERR_NONE)
        row->audio_s += result->audio.duration_s;
    for (size_t i = 0; i < BUCKET_COUNT; i++)
        row->buckets[i] += total_s <= bucket_limits_s[i];
    pthread_mutex_unlock(&metrics->lock);
}

struct metrics_jobs metrics_jobs(struct metrics *metrics)
{
    struct metrics_jobs jobs = {0};
    pthread_mutex_lock(&metrics->lock);
    jobs.in_progress = metrics->in_progress;
    for (size_t i = 0; i <= models_count(metrics->models); i++) {
        const struct row *row = &metrics->rows[i];
        jobs.ok += row->jobs[ERR_NONE];
        jobs.failed += row->count - row->jobs[ERR_NONE];
    }
    pthread_mutex_unlock(&metrics->lock);
    return jobs;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void write_head(struct str *out, const char *name, const char *type, const char *help)
{
    str_printf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

static void write_number(struct str *out, double number)
{
    str_putc(out, ' ');
    json_write_number(out, number);
    str_putc(out, '\n');
}

/* The label needs no escapes: the manifest allows letters, digits and "._-" in names. */
static const char *row_label(const struct metrics *metrics, size_t index)
{
    return index < models_count(metrics->models) ? model_name(models_at(metrics->models, index))
                                                 : "";
}

/* One family with a value a row, the number at `offset` of struct row. */
static void write_sums(const struct metrics *metrics, const char *name, const char *help,
                       size_t offset, struct str *out)
{
    write_head(out, name, "counter", help);
    for (size_t i = 0; i <= models_count(metrics->models); i++) {
        double sum;
        memcpy(&sum, (const char *)&metrics->rows[i] + offset, sizeof(sum));
        str_printf(out, "%s{model_type=\"%s\"}", name, row_label(metrics, i));
        write_number(out, sum);
    }
}

static void write_jobs(const struct metrics *metrics, struct str *out)
{
    write_head(out, "voxhost_jobs_in_progress", "gauge", "Jobs that wait for a model or run");
    str_printf(out, "voxhost_jobs_in_progress %" PRIu64 "\n", metrics->in_progress);
    write_head(out, "voxhost_jobs_total", "counter", "Jobs that ended, by outcome");
    for (size_t i = 0; i <= models_count(metrics->models); i++)
        for (size_t code = 0; code < CODE_COUNT; code++)
            if (code == 0 || metrics->rows[i].jobs[code])
                str_printf(out, "voxhost_jobs_total{model_type=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                           row_label(metrics, i), code_words[code], metrics->rows[i].jobs[code]);
}

static void write_histogram(const struct metrics *metrics, struct str *out)
{
    static const char name[] = "voxhost_job_seconds";
    write_head(out, name, "histogram", "From a job's arrival to its result");
    for (size_t i = 0; i <= models_count(metrics->models); i++) {
        const struct row *row = &metrics->rows[i];
        const char *label = row_label(metrics, i);
        for (size_t bucket = 0; bucket < BUCKET_COUNT; bucket++)
            str_printf(out, "%s_bucket{model_type=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, label,
                       bucket_limits_s[bucket], row->buckets[bucket]);
        str_printf(out,
                   "%s_bucket{model_type=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                   "%s_count{model_type=\"%s\"} %" PRIu64 "\n%s_sum{model_type=\"%s\"}",
                   name, label, row->count, name, label, row->count, name, label);
        write_number(out, row->job_s);
    }
}

static void write_models(struct metrics *metrics, struct str *out)
{
    write_head(out, "voxhost_model_ready", "gauge", "1 when the model is loaded");
    for (size_t i = 0; i < models_count(metrics->models); i++) {
        struct model *model = models_at(metrics->models, i);
        str_printf(out, "voxhost_model_ready{model_type=\"%s\"} %d\n", model_name(model),
                   model_state(model, NULL) == MODEL_READY);
    }
}

/* --- The process ------------------------------------------------------------------------------ */

/* proc(5): fields 14, 15, 22 and 24 of /proc/self/stat. */
struct process {
    unsigned long cpu_ticks_user, cpu_ticks_system;
    unsigned long long started_ticks; /* since boot */
    long resident_pages;
};

static bool process_read(struct process *process)
{
    struct str text = {0};
    struct err err;
    bool good = false;
    if (fs_read_file("/proc/self/stat", 4096, &text, &err) == 0) {
        const char *fields = strrchr(str_text(&text), ')'); /* ends the program's name */
        good = fields &&
               sscanf(fields,
                      ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu %*s %*s %*s %*s %*s "
                      "%*s %llu %*s %ld",
                      &process->cpu_ticks_user, &process->cpu_ticks_system, &process->started_ticks,
                      &process->resident_pages) == 4;
    }
    str_finish(&text);
    return good;
}

static double ticks_s(double ticks)
{
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

static double clock_s(clockid_t id)
{
    struct timespec time;
    clock_gettime(id, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void write_process(const struct metrics *metrics, struct str *out)
{
    struct process process;
    if (!process_read(&process))
        return;
    write_head(out, "process_resident_memory_bytes", "gauge", "Resident memory");
    str_puts(out, "process_resident_memory_bytes");
    write_number(out, (double)process.resident_pages * (double)sysconf(_SC_PAGESIZE));
    write_head(out, "process_cpu_seconds_total", "counter", "CPU time, user and system");
    str_puts(out, "process_cpu_seconds_total");
    write_number(out, ticks_s((double)process.cpu_ticks_user + (double)process.cpu_ticks_system));
    write_head(out, "process_start_time_seconds", "gauge", "When the process began, since 1970");
    str_puts(out, "process_start_time_seconds");
    write_number(out, metrics->started_s);
}

void metrics_write(struct metrics *metrics, struct str *out)
{
    write_models(metrics, out);
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        write_head(out, counters[i].name, "counter", counters[i].help);
        str_printf(out, "%s %" PRIu64 "\n", counters[i].name, metrics->counts[i]);
    }
    write_jobs(metrics, out);
    write_sums(metrics, "voxhost_audio_seconds_total", "Audio that was made",
               offsetof(struct row, audio_s), out);
    write_sums(metrics, "voxhost_synth_seconds_total", "Time that models took to make it",
               offsetof(struct row, synth_s), out);
    write_histogram(metrics, out);
    pthread_mutex_unlock(&metrics->lock);
    write_process(metrics, out);
}

/* --- Life ------------------------------------------------------------------------------------- */

struct metrics *metrics_create(struct models *models)
{
    struct metrics *metrics = mem_alloc(sizeof(*metrics));
    struct process process;
    metrics->models = models;
    metrics->rows = mem_alloc_array(models_count(models) + 1, sizeof(*metrics->rows));
    pthread_mutex_init(&metrics->lock, NULL);
    if (process_read(&process))
        metrics->started_s = clock_s(CLOCK_REALTIME) - clock_s(CLOCK_BOOTTIME) +
                             ticks_s((double)process.started_ticks);
    return metrics;
}

void metrics_destroy(struct metrics *metrics)
{
    if (!metrics)
        return;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics->rows);
    free(metrics);
}
