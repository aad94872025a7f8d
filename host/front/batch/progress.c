/* Progress of a batch; see progress.h. */
#include "front/batch/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define BAR_PERIOD (250 * CLOCK_MS)
#define LINE_PERIOD (5 * CLOCK_S)

struct tally {
    uint64_t ok, failed, skipped;
    double audio_s, work_s;
};

struct progress {
    struct progress_options options;
    pthread_t ticker;
    bool ticking;
    int64_t begun;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct tally *tallies; /* one per model, and one for jobs whose model was never known */
    double fraction;
    uint64_t records;
    bool ending;
    int64_t ended;
};

/* --- Counting --------------------------------------------------------------------------------- */

static void add(struct tally *sum, const struct tally *part)
{
    sum->ok += part->ok;
    sum->failed += part->failed;
    sum->skipped += part->skipped;
    sum->audio_s += part->audio_s;
    sum->work_s += part->work_s;
}

/* With the lock. */
static struct tally total_of(const struct progress *progress)
{
    struct tally total = {0};
    for (size_t i = 0; i <= models_count(progress->options.models); i++)
        add(&total, &progress->tallies[i]);
    return total;
}

static struct tally *tally_of(struct progress *progress, const char *model_type)
{
    size_t i = 0, count = models_count(progress->options.models);
    while (i < count && (!model_type || strcmp(model_name(models_at(progress->options.models, i)),
                                               model_type) != 0))
        i++;
    return &progress->tallies[i];
}

void progress_count(struct progress *progress, const struct result *result)
{
    pthread_mutex_lock(&progress->lock);
    struct tally *tally = tally_of(progress, result->model_type);
    if (result->err.code == ERR_NONE) {
        tally->ok++;
        tally->audio_s += result->audio.duration_s;
        tally->work_s += (result->ms.voice + result->ms.synth + result->ms.encode) / 1000;
    } else {
        tally->failed++;
    }
    pthread_mutex_unlock(&progress->lock);
}

void progress_valid(struct progress *progress, const struct model *model)
{
    pthread_mutex_lock(&progress->lock);
    tally_of(progress, model ? model_name(model) : NULL)->ok++;
    pthread_mutex_unlock(&progress->lock);
}

void progress_skip(struct progress *progress, const struct model *model)
{
    pthread_mutex_lock(&progress->lock);
    tally_of(progress, model ? model_name(model) : NULL)->skipped++;
    pthread_mutex_unlock(&progress->lock);
}

void progress_read(struct progress *progress, double fraction, uint64_t records)
{
    pthread_mutex_lock(&progress->lock);
    progress->fraction = fraction;
    progress->records = records;
    pthread_mutex_unlock(&progress->lock);
}

uint64_t progress_failed(struct progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    uint64_t failed = total_of(progress).failed;
    pthread_mutex_unlock(&progress->lock);
    return failed;
}

/* --- Showing ---------------------------------------------------------------------------------- */

struct moment {
    struct tally total;
    double elapsed_s, share, eta_s; /* share and eta negative: not known */
};

/* With the lock. The jobs in the file are known once it is read, and until then guessed from what
 * was read. */
static struct moment now_of(const struct progress *progress)
{
    struct moment moment = {.total = total_of(progress), .share = -1, .eta_s = -1};
    int64_t now = progress->ended ? progress->ended : clock_now();
    moment.elapsed_s = (double)(now - progress->begun) / CLOCK_S;
    double done = (double)(moment.total.ok + moment.total.failed),
           skipped = (double)moment.total.skipped;
    if (progress->fraction > 0 && progress->records) {
        double jobs = (double)progress->records / progress->fraction;
        moment.share = (done + skipped) / jobs > 1 ? 1 : (done + skipped) / jobs;
        if (done > 0)
            moment.eta_s = moment.elapsed_s / done * (jobs - done - skipped);
    }
    return moment;
}

static double rtf_of(const struct tally *tally)
{
    return tally->audio_s > 0 ? tally->work_s / tally->audio_s : 0;
}

static void write_bar(const struct moment *moment, struct str *out)
{
    str_puts(out, "\r\033[K");
    if (moment->share >= 0) {
        int filled = (int)(moment->share * BAR_WIDTH);
        str_putc(out, '[');
        for (int i = 0; i < BAR_WIDTH; i++)
            str_putc(out, i < filled ? '#' : '-');
        str_printf(out, "] %3.0f%% ", moment->share * 100);
    }
    str_printf(out, "%llu done", (unsigned long long)moment->total.ok);
    if (moment->total.failed)
        str_printf(out, ", %llu failed", (unsigned long long)moment->total.failed);
    if (moment->total.skipped)
        str_printf(out, ", %llu skipped", (unsigned long long)moment->total.skipped);
    str_printf(out, ", rtf %.3f", rtf_of(&moment->total));
    if (moment->eta_s >= 0)
        str_printf(out, ", %d:%02d:%02d left", (int)(moment->eta_s / 3600),
                   (int)(moment->eta_s / 60) % 60, (int)moment->eta_s % 60);
}

static void write_counts(const struct tally *tally, struct str *out)
{
    str_printf(out,
               "\"ok\":%llu,\"failed\":%llu,\"skipped\":%llu,\"audio_s\":%.3f,\"work_s\":%.3f,"
               "\"rtf\":%.5f",
               (unsigned long long)tally->ok, (unsigned long long)tally->failed,
               (unsigned long long)tally->skipped, tally->audio_s, tally->work_s, rtf_of(tally));
}

static void write_line(const struct moment *moment, struct str *out)
{
    char time[CLOCK_TEXT_SIZE];
    clock_text(time);
    str_printf(
        out, "{\"time\":\"%s\",\"level\":\"info\",\"component\":\"batch\",\"event\":\"progress\",",
        time);
    write_counts(&moment->total, out);
    str_printf(out, ",\"elapsed_s\":%.3f", moment->elapsed_s);
    if (moment->share >= 0)
        str_printf(out, ",\"share\":%.4f", moment->share);
    if (moment->eta_s >= 0)
        str_printf(out, ",\"eta_s\":%.1f", moment->eta_s);
    str_puts(out, "}\n");
}

static void show(const struct progress *progress, const struct moment *moment)
{
    struct str out = {0};
    if (progress->options.terminal)
        write_bar(moment, &out);
    else
        write_line(moment, &out);
    fs_write_all(STDERR_FILENO, out.data, out.len);
    str_finish(&out);
}

static void *tick(void *arg)
{
    struct progress *progress = arg;
    pthread_mutex_lock(&progress->lock);
    int64_t period = progress->options.terminal ? BAR_PERIOD : LINE_PERIOD,
            next = progress->begun + period;
    while (!progress->ending) {
        sync_cond_wait(&progress->changed, &progress->lock, next);
        if (progress->ending || clock_now() < next)
            continue;
        next = clock_now() + period;
        struct moment moment = now_of(progress);
        pthread_mutex_unlock(&progress->lock);
        show(progress, &moment);
        pthread_mutex_lock(&progress->lock);
    }
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

/* --- The end ---------------------------------------------------------------------------------- */

static void write_row(const char *name, const struct tally *tally, struct str *out)
{
    str_printf(out, "%-20s %9llu %9llu %9llu %12.1f %10.1f %8.4f\n", name,
               (unsigned long long)tally->ok, (unsigned long long)tally->failed,
               (unsigned long long)tally->skipped, tally->audio_s, tally->work_s, rtf_of(tally));
}

static const char *row_name(const struct progress *progress, size_t index)
{
    return index < models_count(progress->options.models)
               ? model_name(models_at(progress->options.models, index))
               : "(no model)";
}

static bool is_empty(const struct tally *tally)
{
    return tally->ok == 0 && tally->failed == 0 && tally->skipped == 0;
}

static void write_table(struct progress *progress, const struct moment *moment, struct str *out)
{
    str_printf(out, "%-20s %9s %9s %9s %12s %10s %8s\n", "model", "ok", "failed", "skipped",
               "audio s", "work s", "rtf");
    for (size_t i = 0; i <= models_count(progress->options.models); i++)
        if (!is_empty(&progress->tallies[i]))
            write_row(row_name(progress, i), &progress->tallies[i], out);
    write_row("total", &moment->total, out);
    str_printf(out, "%.1f s of audio in %.1f s\n", moment->total.audio_s, moment->elapsed_s);
}

static void write_object(struct progress *progress, const struct moment *moment, struct str *out)
{
    bool first = true;
    str_putc(out, '{');
    write_counts(&moment->total, out);
    str_printf(out, ",\"elapsed_s\":%.3f,\"models\":{", moment->elapsed_s);
    for (size_t i = 0; i <= models_count(progress->options.models); i++) {
        if (is_empty(&progress->tallies[i]))
            continue;
        const char *name = row_name(progress, i);
        str_puts(out, first ? "" : ",");
        first = false;
        json_write_string(out, name, strlen(name));
        str_puts(out, ":{");
        write_counts(&progress->tallies[i], out);
        str_putc(out, '}');
    }
    str_puts(out, "}}\n");
}

void progress_summary(struct progress *progress, bool json, struct str *out)
{
    pthread_mutex_lock(&progress->lock);
    struct moment moment = now_of(progress);
    if (json)
        write_object(progress, &moment, out);
    else
        write_table(progress, &moment, out);
    pthread_mutex_unlock(&progress->lock);
}

/* --- Life ------------------------------------------------------------------------------------- */

struct progress *progress_create(const struct progress_options *options)
{
    struct progress *progress = mem_alloc(sizeof(*progress));
    progress->options = *options;
    progress->begun = clock_now();
    progress->tallies =
        mem_alloc_array(models_count(options->models) + 1, sizeof(*progress->tallies));
    sync_mutex_init(&progress->lock);
    sync_cond_init(&progress->changed);
    progress->ticking = sync_thread_start(&progress->ticker, tick, progress) == 0;
    return progress;
}

void progress_stop(struct progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    progress->ending = true;
    progress->ended = clock_now();
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
    if (progress->ticking)
        pthread_join(progress->ticker, NULL);
    progress->ticking = false;
    if (progress->options.terminal)
        fs_write_all(STDERR_FILENO, "\r\033[K", 4);
}

void progress_destroy(struct progress *progress)
{
    if (!progress)
        return;
    pthread_cond_destroy(&progress->changed);
    pthread_mutex_destroy(&progress->lock);
    free(progress->tallies);
    free(progress);
}
