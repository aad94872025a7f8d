/* The flite plugin by its raw ABI: loads the built flite.so (FLITE_PLUGIN), runs jobs with callbacks of its
 * own, and holds audio against the `flite` program where that is installed. */
#include "vox/helpers.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MARKS_MAX 400
/* The ABI says 50 ms; twice that, since the machine may be a slow one. */
#define GAP_MS_MAX 100.0

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

extern char **environ;

static const struct vox_entry *entry;

/* --- A job whose outcome is kept ------------------------------------------------------------------ */

struct kept_mark {
    char word[64];
    uint64_t begin, end;
    double start_s, end_s;
};

struct run {
    struct vox_job job;
    struct vox_voice voice;
    struct vox_error error;
    struct vox_format format;
    int16_t *samples;
    size_t count, cap;
    struct kept_mark marks[MARKS_MAX];
    int mark_count, begin_count, warning_count;
    char warning[512];
    double fraction, gap_ms, polled_ms;
    bool progress_wrong; /* other stage, backwards or beyond 1 */
    bool exact;          /* every sample is a 16-bit one */
    long polls, writes;
    long cancel_at_poll;     /* 0: never */
    size_t cancel_at_sample; /* 0: never */
    int32_t begin_code, write_code;
};

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int32_t on_cancelled(const struct vox_job *job)
{
    struct run *run = job->self;
    double now = thread_ms();
    if (now - run->polled_ms > run->gap_ms)
        run->gap_ms = now - run->polled_ms;
    run->polled_ms = now;
    run->polls++;
    return (run->cancel_at_poll != 0 && run->polls >= run->cancel_at_poll) ||
           (run->cancel_at_sample != 0 && run->count >= run->cancel_at_sample);
}

static void on_progress(const struct vox_job *job, double fraction, const char *stage)
{
    struct run *run = job->self;
    if (strcmp(stage, "speak") != 0 || fraction < run->fraction || fraction > 1.0)
        run->progress_wrong = true;
    run->fraction = fraction;
}

static int32_t on_begin(const struct vox_job *job, const struct vox_format *format)
{
    struct run *run = job->self;
    run->begin_count++;
    run->format = *format;
    return run->begin_code;
}

static int32_t on_write(const struct vox_job *job, const float *pcm, uint64_t frames)
{
    struct run *run = job->self;
    run->writes++;
    if (run->write_code)
        return run->write_code;
    if (run->count + frames > run->cap) {
        run->cap = (run->count + frames) * 2;
        run->samples = realloc(run->samples, run->cap * sizeof(*run->samples));
        if (!run->samples)
            abort();
    }
    for (uint64_t i = 0; i < frames; i++) {
        float scaled = pcm[i] * 32768.0f;
        run->samples[run->count] = (int16_t)scaled;
        run->exact = run->exact && (float)run->samples[run->count] == scaled;
        run->count++;
    }
    return VOX_OK;
}

static int32_t on_mark(const struct vox_job *job, const struct vox_mark *mark)
{
    struct run *run = job->self;
    struct kept_mark *kept = &run->marks[run->mark_count];
    if (run->mark_count == MARKS_MAX)
        return VOX_OK;
    run->mark_count++;
    snprintf(kept->word, sizeof(kept->word), "%.*s", (int)mark->word.size, mark->word.data);
    kept->begin = mark->text_begin;
    kept->end = mark->text_end;
    kept->start_s = mark->start_s;
    kept->end_s = mark->end_s;
    return VOX_OK;
}

static void on_warn(const struct vox_job *job, struct vox_str message)
{
    struct run *run = job->self;
    run->warning_count++;
    snprintf(run->warning, sizeof(run->warning), "%.*s", (int)message.size, message.data);
}

/* `speaker` NULL: the default. */
static void run_init(struct run *run, const char *speaker, const char *text)
{
    memset(run, 0, sizeof(*run));
    run->exact = true;
    run->error.size = sizeof(run->error);
    run->voice = (struct vox_voice){.size = sizeof(run->voice), .id = vox_text(speaker)};
    run->job = (struct vox_job){
        .size = sizeof(run->job),
        .id = vox_text("job"),
        .text = vox_text(text),
        .voice = speaker ? &run->voice : NULL,
        .speed = 1.0,
        .self = run,
        .cancelled = on_cancelled,
        .progress = on_progress,
        .begin = on_begin,
        .write = on_write,
        .mark = on_mark,
        .warn = on_warn,
    };
}

static void run_finish(struct run *run)
{
    free(run->samples);
}

static int32_t run_speak(struct run *run, struct vox_session *session)
{
    run->polled_ms = thread_ms();
    return entry->speak(session, &run->job, &run->error);
}

/* --- Models ----------------------------------------------------------------------------------------- */

static void log_nothing(const struct vox_host *host, uint32_t level, struct vox_str message)
{
    (void)host;
    (void)level;
    (void)message;
}

static const struct vox_host host = {
    .size = sizeof(host), .abi_major = VOX_ABI_MAJOR, .log = log_nothing};

static struct vox_model *model_load(void)
{
    struct vox_load load = {.size = sizeof(load), .sessions = 8};
    struct vox_error error = {.size = sizeof(error)};
    struct vox_model *model = NULL;
    load.device = vox_text("auto");
    assert_int_equal(entry->init(&host, &load, &model, &error), VOX_OK);
    return model;
}

static struct vox_session *session_open(struct vox_model *model)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_session *session = NULL;
    assert_int_equal(entry->open(model, &session, &error), VOX_OK);
    return session;
}

struct fixture {
    struct vox_model *model;
    struct vox_session *session;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->model = model_load();
    f->session = session_open(f->model);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    entry->close(f->session);
    entry->fini(f->model);
    free(f);
    return 0;
}

/* --- The program -------------------------------------------------------------------------------------- */

/* Runs `flite` and reads the samples of its WAV file; false when the program is not installed. */
static bool program_speak(const char *speaker, const char *option, const char *input,
                          int16_t **samples, size_t *count)
{
    char path[] = "/tmp/test_flite_XXXXXX";
    const char *const arguments[] = {"flite", "-voice", speaker, option, input, path, NULL};
    unsigned char header[44];
    int status = 0, fd = mkstemp(path);
    pid_t pid;
    off_t size;
    assert_true(fd >= 0);
    if (posix_spawnp(&pid, "flite", NULL, NULL, (char *const *)(uintptr_t)arguments, environ) !=
        0) {
        close(fd);
        unlink(path);
        return false;
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    close(fd);
    fd = open(path, O_RDONLY);
    size = lseek(fd, 0, SEEK_END) - (off_t)sizeof(header);
    assert_true(size > 0);
    *samples = malloc((size_t)size);
    assert_true(pread(fd, *samples, (size_t)size, sizeof(header)) == size);
    *count = (size_t)size / sizeof(int16_t);
    close(fd);
    unlink(path);
    return true;
}

static void assert_same_as_program(struct vox_session *session, const char *speaker,
                                   const char *text, const char *option, const char *input)
{
    struct run run;
    int16_t *samples = NULL;
    size_t count = 0;
    if (!program_speak(speaker, option, input, &samples, &count)) {
        print_message("skipped: the flite program is not installed\n");
        skip();
    }
    run_init(&run, speaker, text);
    assert_int_equal(run_speak(&run, session), VOX_OK);
    assert_true(run.exact);
    assert_int_equal(run.count, count);
    assert_memory_equal(run.samples, samples, count * sizeof(*samples));
    free(samples);
    run_finish(&run);
}

static void a_sentence_is_the_programs_to_the_sample(void **state)
{
    static const char *const texts[] = {
        "Hello, world.",
        "Dr. Smith's well-known book costs $5.20, or 12 euros, at 10:30 on May 3rd 1999!",
        "( parenthesised ) words, \"quoted words\" -- and 'others'...  are read",
    };
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++)
        for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++)
            assert_same_as_program(f->session, entry->speakers[v].id, texts[t], "-t", texts[t]);
}

static void a_text_is_the_programs_to_the_sample(void **state)
{
    static const char text[] =
        "The first sentence. The second one, is it longer? Mr. Brown says so!\n"
        "A line\nbreak is none.\n\nA blank line is: always. e.g. this is not. Yahoo! and so on.\n";
    char path[] = "/tmp/test_flite_text_XXXXXX";
    struct fixture *f = *state;
    int fd = mkstemp(path);
    assert_true(write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    close(fd);
    for (uint32_t v = 0; v < entry->speaker_count; v++)
        assert_same_as_program(f->session, entry->speakers[v].id, text, "-f", path);
    unlink(path);
}

/* --- Marks -------------------------------------------------------------------------------------------- */

static void words_carry_the_bytes_they_came_from(void **state)
{
    static const char text[] =
        "\u201cNa\u00efve caf\u00e9s,\u201d said Dr. M\u00fcller\u2019s "
        "e\u0301lan\u2014it cost $5.20 \u2026 (well-known) \u00bd. \u00c6on!";
    static const struct {
        const char *word, *slice;
    } expected[] = {
        {"naive", "Na\u00efve"},
        {"cafes", "caf\u00e9s"},
        {"said", "said"},
        {"doctor", "Dr"},
        {"muller", "M\u00fcller\u2019s"},
        {"'s", "M\u00fcller\u2019s"},
        {"elan", "e\u0301lan"},
        {"it", "it"},
        {"cost", "cost"},
        {"five", "$5.20"},
        {"dollars", "$5.20"},
        {"twenty", "$5.20"},
        {"cents", "$5.20"},
        {"well", "well-known"},
        {"known", "well-known"},
        {"a", "\u00bd"},
        {"half", "\u00bd"},
        {"aeon", "\u00c6on"},
    };
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        struct run run;
        double last_s = 0.0;
        run_init(&run, entry->speakers[v].id, text);
        assert_int_equal(run_speak(&run, f->session), VOX_OK);
        assert_int_equal(run.warning_count, 0);
        assert_int_equal(run.mark_count, sizeof(expected) / sizeof(expected[0]));
        for (int i = 0; i < run.mark_count; i++) {
            const struct kept_mark *mark = &run.marks[i];
            size_t size = strlen(expected[i].slice);
            assert_string_equal(mark->word, expected[i].word);
            assert_int_equal(mark->end - mark->begin, size);
            assert_memory_equal(text + mark->begin, expected[i].slice, size);
            assert_true(mark->start_s >= last_s - 1e-6 && mark->end_s > mark->start_s);
            last_s = mark->end_s;
        }
        assert_true(last_s <= (double)run.count / run.format.sample_rate);
        run_finish(&run);
    }
}

/* The largest sample of a stretch of the audio. */
static int peak(const struct run *run, double from_s, double to_s)
{
    size_t first = (size_t)(from_s * run->format.sample_rate);
    size_t end = (size_t)(to_s * run->format.sample_rate);
    int largest = 0;
    for (size_t i = first; i < end && i < run->count; i++)
        largest = abs(run->samples[i]) > largest ? abs(run->samples[i]) : largest;
    return largest;
}

/* Between the two utterances there is quiet, and within the words there is not. */
static void word_times_agree_with_the_audio(void **state)
{
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        struct run run;
        run_init(&run, entry->speakers[v].id, "Banana! Banana!");
        assert_int_equal(run_speak(&run, f->session), VOX_OK);
        assert_int_equal(run.mark_count, 2);
        for (int i = 0; i < 2; i++) {
            const struct kept_mark *mark = &run.marks[i];
            assert_true(peak(&run, mark->start_s, mark->end_s) > 3000);
            assert_true(peak(&run, mark->end_s + 0.08, mark->end_s + 0.12) < 600);
        }
        run_finish(&run);
    }
}

/* --- What a job may ask --------------------------------------------------------------------------------- */

static void speed_changes_the_length(void **state)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog.";
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        struct run normal, fast, slow;
        run_init(&normal, entry->speakers[v].id, text);
        run_init(&fast, entry->speakers[v].id, text);
        run_init(&slow, entry->speakers[v].id, text);
        fast.job.speed = 2.0;
        slow.job.speed = 0.5;
        assert_int_equal(run_speak(&fast, f->session), VOX_OK);
        assert_int_equal(run_speak(&slow, f->session), VOX_OK);
        assert_int_equal(run_speak(&normal, f->session), VOX_OK);
        assert_true(fast.count > normal.count * 45 / 100 && fast.count < normal.count * 56 / 100);
        assert_true(slow.count > normal.count * 190 / 100 && slow.count < normal.count * 210 / 100);
        assert_true(slow.marks[8].end_s > 1.8 * normal.marks[8].end_s);
        run_finish(&normal);
        run_finish(&fast);
        run_finish(&slow);
    }
}

static void each_voice_has_its_rate(void **state)
{
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        const char *id = entry->speakers[v].id;
        struct run run;
        run_init(&run, id, "One. Two. Three.");
        assert_int_equal(run_speak(&run, f->session), VOX_OK);
        assert_int_equal(run.begin_count, 1);
        assert_int_equal(run.format.channels, 1);
        assert_int_equal(run.format.sample_rate, strcmp(id, "kal") == 0 ? 8000 : 16000);
        assert_false(run.progress_wrong);
        assert_true(run.fraction > 0.9);
        run_finish(&run);
    }
}

static void what_cannot_be_spoken_is_refused(void **state)
{
    static const char *const texts[] = {"!!!", "\u2026", " - -- ( \" ", "\u65e5\u672c\u8a9e", "."};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct run run;
        run_init(&run, NULL, texts[i]);
        assert_int_equal(run_speak(&run, f->session), VOX_EINVAL);
        assert_int_equal(run.error.code, VOX_EINVAL);
        assert_true(run.error.message[0] != '\0');
        assert_int_equal(run.begin_count, 0);
        run_finish(&run);
    }
}

static void skipped_characters_are_warned_of_once(void **state)
{
    struct fixture *f = *state;
    struct run run;
    run_init(&run, NULL, "Hello \u65e5\u672c and \U0001F600 again.");
    assert_int_equal(run_speak(&run, f->session), VOX_OK);
    assert_int_equal(run.warning_count, 1);
    assert_non_null(strstr(run.warning, "3 characters"));
    assert_non_null(strstr(run.warning, "U+65E5"));
    assert_int_equal(run.mark_count, 3);
    run_finish(&run);
}

static void bad_requests_name_the_reason(void **state)
{
    struct fixture *f = *state;
    float pcm[4] = {0};
    struct run run;
    run_init(&run, "nobody", "Hello.");
    assert_int_equal(run_speak(&run, f->session), VOX_ENOTFOUND);
    assert_non_null(strstr(run.error.message, "nobody"));
    run_init(&run, "slt", "Hello.");
    run.voice.pcm = pcm;
    run.voice.frames = 4;
    assert_int_equal(run_speak(&run, f->session), VOX_EUNSUPPORTED);
    run_init(&run, NULL, "Hello.");
    run.job.language = vox_text("de");
    assert_int_equal(run_speak(&run, f->session), VOX_EUNSUPPORTED);
    assert_non_null(strstr(run.error.message, "de"));
    run.job.language = vox_text("en-GB");
    assert_int_equal(run_speak(&run, f->session), VOX_OK);
    run_finish(&run);
}

static void a_device_is_refused_at_load(void **state)
{
    struct vox_load load = {.size = sizeof(load), .sessions = 1};
    struct vox_error error = {.size = sizeof(error)};
    struct vox_model *model = NULL;
    (void)state;
    load.device = vox_text("cuda:0");
    assert_int_equal(entry->init(&host, &load, &model, &error), VOX_EUNSUPPORTED);
    assert_non_null(strstr(error.message, "cuda:0"));
    assert_null(model);
}

/* --- Ending early -------------------------------------------------------------------------------------- */

static void refusals_of_the_host_come_back_unchanged(void **state)
{
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        struct run run;
        run_init(&run, entry->speakers[v].id, "Hello there.");
        run.begin_code = VOX_ESINK;
        assert_int_equal(run_speak(&run, f->session), VOX_ESINK);
        assert_int_equal(run.writes, 0);
        run_init(&run, entry->speakers[v].id, "Hello there.");
        run.write_code = -4242;
        assert_int_equal(run_speak(&run, f->session), -4242);
        assert_int_equal(run.writes, 1);
        run_finish(&run);
    }
}

/* A sentence without an end. */
static char *endless_text(const char *piece, int count)
{
    size_t size = strlen(piece);
    char *text = malloc(size * (size_t)count + 1);
    for (int i = 0; i < count; i++)
        memcpy(text + size * (size_t)i, piece, size + 1);
    return text;
}

static void cancelling_is_asked_often_in_any_text(void **state)
{
    static const char *const pieces[] = {"word after word ", "1234567890", "bcdfg", "a1", "\u65e5",
                                         "$5,000,000.20 ",   "!",          "(",     "x. "};
    static const char *const voices[] = {"slt", "kal"}; /* one of each kind */
    struct fixture *f = *state;
    for (size_t v = 0; v < 2; v++) {
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
            char *text = endless_text(pieces[i], 600);
            struct run run;
            run_init(&run, voices[v], text);
            run.cancel_at_sample = 60 * 16000;
            run_speak(&run, f->session);
            print_message("%s \"%s\": %ld polls, longest gap %.1f ms\n", voices[v], pieces[i],
                          run.polls, run.gap_ms);
            assert_true(SANITIZED || run.gap_ms < GAP_MS_MAX);
            run_finish(&run);
            free(text);
        }
    }
}

static void a_session_is_as_new_after_cancelling(void **state)
{
    static const char text[] = "This one is cancelled somewhere in its middle, wherever that is.";
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        struct run whole, again;
        run_init(&whole, entry->speakers[v].id, text);
        assert_int_equal(run_speak(&whole, f->session), VOX_OK);
        for (long at = 1; at < whole.polls; at += 1 + whole.polls / 20) {
            struct run run;
            run_init(&run, entry->speakers[v].id, text);
            run.cancel_at_poll = at;
            assert_int_equal(run_speak(&run, f->session), VOX_ECANCELLED);
            assert_int_equal(run.polls, at);
            run_finish(&run);
        }
        run_init(&again, entry->speakers[v].id, text);
        assert_int_equal(run_speak(&again, f->session), VOX_OK);
        assert_int_equal(again.count, whole.count);
        assert_memory_equal(again.samples, whole.samples, whole.count * sizeof(int16_t));
        run_finish(&whole);
        run_finish(&again);
    }
}

/* --- Threads and memory ---------------------------------------------------------------------------------- */

#define THREADS 8
/* More by hand: -DROUNDS=20 -DJOBS=2000. */
#ifndef JOBS
#define JOBS 500
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

static const char *const sentences[] = {
    "One morning, when Gregor woke from troubled dreams.",
    "It cost $12.50 in 1984. She didn't mind!",
    "St. John's St, at 10:45; Henry VIII.",
};
#define SENTENCES (sizeof(sentences) / sizeof(sentences[0]))

static struct run expected[5][SENTENCES];

struct worker {
    pthread_t thread;
    struct vox_session *session;
    size_t offset, wrong;
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    for (size_t i = 0; i < (size_t)ROUNDS * 5 * SENTENCES; i++) {
        size_t v = (i + worker->offset) % 5, t = (i / 5 + worker->offset) % SENTENCES;
        const struct run *want = &expected[v][t];
        struct run run;
        run_init(&run, entry->speakers[v].id, sentences[t]);
        if (run_speak(&run, worker->session) != VOX_OK || run.count != want->count ||
            memcmp(run.samples, want->samples, run.count * sizeof(int16_t)) != 0)
            worker->wrong++;
        run_finish(&run);
    }
    return NULL;
}

static void threads_make_the_audio_of_one_thread(void **state)
{
    struct fixture *f = *state;
    struct vox_model *second = model_load();
    struct worker workers[THREADS] = {0};
    for (size_t v = 0; v < 5; v++) {
        for (size_t t = 0; t < SENTENCES; t++) {
            run_init(&expected[v][t], entry->speakers[v].id, sentences[t]);
            assert_int_equal(run_speak(&expected[v][t], f->session), VOX_OK);
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].offset = i;
        workers[i].session = session_open(i % 2 ? second : f->model);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong, 0);
        entry->close(workers[i].session);
    }
    entry->fini(second);
    for (size_t v = 0; v < 5; v++)
        for (size_t t = 0; t < SENTENCES; t++)
            run_finish(&expected[v][t]);
}

/* Resident pages of this process. */
static long resident_pages(void)
{
    char line[128] = {0};
    long all = 0, resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, line, sizeof(line) - 1) > 0);
    close(fd);
    assert_int_equal(sscanf(line, "%ld %ld", &all, &resident), 2);
    return resident;
}

static void speak_short_jobs(struct vox_session *session, int count)
{
    for (int i = 0; i < count; i++) {
        struct run run;
        run_init(&run, entry->speakers[(uint32_t)i % entry->speaker_count].id, "Hi, Bob.");
        run.cancel_at_poll = i % 7 == 6 ? 1 + i % 5 : 0;
        assert_int_equal(run_speak(&run, session), run.cancel_at_poll ? VOX_ECANCELLED : VOX_OK);
        run_finish(&run);
    }
}

static void memory_does_not_grow_with_the_jobs(void **state)
{
    struct fixture *f = *state;
    long before;
    speak_short_jobs(f->session, SANITIZED ? 20 : 100);
    before = resident_pages();
    speak_short_jobs(f->session, SANITIZED ? 50 : JOBS);
    print_message("resident pages: %ld before, %ld after\n", before, resident_pages());
    assert_true(SANITIZED || resident_pages() - before < 256);
}

static void models_come_and_go(void **state)
{
    long before = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct vox_model *model = model_load();
        struct vox_session *a = session_open(model), *b = session_open(model);
        if (i % 20 == 0)
            speak_short_jobs(a, 5);
        entry->close(a);
        entry->close(b);
        entry->fini(model);
        if (i == 40)
            before = resident_pages();
    }
    assert_true(SANITIZED || resident_pages() - before < 256);
}

/* --- The library -------------------------------------------------------------------------------------------- */

static void the_entry_says_what_it_does(void **state)
{
    (void)state;
    assert_int_equal(entry->magic, VOX_MAGIC);
    assert_int_equal(entry->abi_major, VOX_ABI_MAJOR);
    assert_string_equal(entry->id, "flite");
    assert_int_equal(entry->capabilities, VOX_CAP_SPEED | VOX_CAP_STREAMING | VOX_CAP_MARKS);
    assert_int_equal(entry->speaker_count, 5);
    assert_string_equal(entry->speakers[0].id, "slt");
    assert_int_equal(entry->load_option_count, 0);
    assert_int_equal(entry->job_option_count, 0);
}

static void streaming_writes_before_all_is_made(void **state)
{
    struct fixture *f = *state;
    for (uint32_t v = 0; v < entry->speaker_count; v++) {
        struct run run;
        run_init(&run, entry->speakers[v].id, "One sentence, spoken in more than a single piece.");
        assert_int_equal(run_speak(&run, f->session), VOX_OK);
        assert_true(run.writes > 10);
        run_finish(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_entry_says_what_it_does),
        cmocka_unit_test(a_device_is_refused_at_load),
        cmocka_unit_test_setup_teardown(a_sentence_is_the_programs_to_the_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(a_text_is_the_programs_to_the_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(words_carry_the_bytes_they_came_from, setup, teardown),
        cmocka_unit_test_setup_teardown(word_times_agree_with_the_audio, setup, teardown),
        cmocka_unit_test_setup_teardown(speed_changes_the_length, setup, teardown),
        cmocka_unit_test_setup_teardown(each_voice_has_its_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_spoken_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(skipped_characters_are_warned_of_once, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_requests_name_the_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(streaming_writes_before_all_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_of_the_host_come_back_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_is_as_new_after_cancelling, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_is_asked_often_in_any_text, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_make_the_audio_of_one_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_does_not_grow_with_the_jobs, setup, teardown),
        cmocka_unit_test(models_come_and_go),
    };
    void *library = dlopen(FLITE_PLUGIN, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    entry = dlsym(library, "vox_entry");
    return entry ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
