/* References and finished speech against upstream's, what is refused, and prepared references on disk. */
#include "reference/reference.h"

#include "../../golden/f5tts_reference/golden.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RATE 24000

static const struct f5_reference_options trimmed = {.silence_trim = true, .target_rms = 0.1f};
static const struct f5_reference_options whole = {.silence_trim = false, .target_rms = 0.1f};

static struct f5_pcm pcm_of(const struct golden_case *c)
{
    return (struct f5_pcm){c->samples, c->frames, c->channels, c->rate};
}

/* --- Equal to upstream --------------------------------------------------------------------------------- */

static void check_reference(struct golden_case *c)
{
    struct f5_pcm pcm = pcm_of(c);
    struct f5_reference_options options = {.silence_trim = c->trim != 0,
                                           .target_rms = c->target_rms};
    struct f5_reference reference;
    struct vox_error error = {.size = sizeof(error)};
    double rms, seconds;
    int clipped;
    assert_int_equal(fscanf(c->file, "%lf %lf %d", &rms, &seconds, &clipped), 3);
    if (f5_reference_prepare(&pcm, &options, &reference, &error) != VOX_OK)
        fail_msg("%s: %s", c->name, error.message);
    /* pydub's low byte of negative 24-bit samples, see clip.c */
    double step = c->depth == 24 ? 1.2e-7 : 0;
    if (!(fabs((double)reference.rms - rms) <= 1e-6 * rms + step))
        fail_msg("%s: rms is %.9g, expected %.9g", c->name, (double)reference.rms, rms);
    assert_true(reference.seconds == seconds);
    assert_int_equal(reference.clipped, clipped);
    double scaled = fmax(1, (double)c->target_rms / rms); /* as the errors are with all else */
    golden_compare(c, reference.samples, reference.count, (1e-6 + 2 * step) * scaled);
    f5_reference_finish(&reference);
}

static void references_equal_upstream(void **state)
{
    (void)state;
    golden_each("reference", check_reference);
}

static void check_speech(struct golden_case *c)
{
    float *out;
    uint64_t count;
    assert_int_equal(f5_remove_silence(c->samples, c->frames, &out, &count, NULL), VOX_OK);
    golden_compare(c, out, count, 0);
    free(out);
}

static void removed_silence_equals_upstream(void **state)
{
    (void)state;
    golden_each("speech", check_speech);
}

/* --- Refused ------------------------------------------------------------------------------------------- */

/* Noise of one amplitude with quiet around it. */
static float *noise(double quiet_s, double loud_s, uint32_t rate, float amplitude, uint64_t *count)
{
    uint64_t quiet = (uint64_t)(quiet_s * rate), loud = (uint64_t)(loud_s * rate);
    *count = 2 * quiet + loud;
    float *out = calloc(*count, sizeof(float));
    assert_non_null(out);
    for (uint64_t i = quiet; i < quiet + loud; i++)
        out[i] = amplitude * ((float)(golden_noise((uint32_t)i, 3) >> 17) / 16384.0f - 1);
    return out;
}

static void check_refused(const struct f5_pcm *pcm, const struct f5_reference_options *options,
                          const char *part)
{
    struct f5_reference reference;
    struct vox_error error = {.size = sizeof(error)};
    assert_int_equal(f5_reference_prepare(pcm, options, &reference, &error), VOX_EINVAL);
    assert_null(reference.samples);
    if (!strstr(error.message, part))
        fail_msg("\"%s\" lacks \"%s\"", error.message, part);
}

static void check_noise_refused(double quiet_s, double loud_s, float amplitude,
                                const struct f5_reference_options *options, const char *part)
{
    uint64_t count;
    float *samples = noise(quiet_s, loud_s, RATE, amplitude, &count);
    struct f5_pcm pcm = {samples, count, 1, RATE};
    check_refused(&pcm, options, part);
    free(samples);
}

static void silent_references_are_refused(void **state)
{
    (void)state;
    check_noise_refused(1, 3, 0, &trimmed, "is silent");
    check_noise_refused(1, 3, 0.003f, &trimmed, "is silent"); /* all of it is below -50 dBFS */
    check_noise_refused(1, 3, 0.01f, &trimmed, "is silent");  /* -45 dBFS: no end is loud enough */
    check_noise_refused(1, 3, 0, &whole, "is silent");
}

static void channels_that_cancel_each_other_are_refused(void **state)
{
    (void)state;
    uint64_t count;
    float *samples = noise(0, 2, RATE, 0.3f, &count);
    for (uint64_t i = 0; i + 1 < count; i += 2)
        samples[i + 1] = -samples[i];
    struct f5_pcm pcm = {samples, count / 2, 2, RATE};
    check_refused(&pcm, &trimmed, "is silent when its channels are mixed");
    free(samples);
}

static void short_references_are_refused(void **state)
{
    (void)state;
    check_noise_refused(1, 0.4, 0.3f, &trimmed, "only 0.45 s long without its silence");
    check_noise_refused(0, 0.4, 0.3f, &whole, "only 0.40 s long; expected at least 0.5 s");
    struct f5_reference reference;
    uint64_t count;
    float *samples = noise(1, 0.52, RATE, 0.3f, &count);
    struct f5_pcm pcm = {samples, count, 1, RATE};
    assert_int_equal(f5_reference_prepare(&pcm, &trimmed, &reference, NULL), VOX_OK);
    f5_reference_finish(&reference);
    free(samples);
}

static void long_references_are_refused(void **state)
{
    (void)state;
    check_noise_refused(0, 30.5, 0.3f, &whole, "30.5 s long; expected at most 30 s");
    check_noise_refused(0, 601, 0.3f, &trimmed, "601 s long; expected at most 600 s");
}

static void impossible_pcm_is_refused(void **state)
{
    (void)state;
    uint64_t count;
    float *samples = noise(0, 1, RATE, 0.3f, &count);
    struct f5_pcm pcm = {samples, 0, 1, RATE};
    check_refused(&pcm, &trimmed, "has no audio");
    pcm = (struct f5_pcm){samples, count, 1, 7000};
    check_refused(&pcm, &trimmed, "7000 Hz");
    pcm = (struct f5_pcm){samples, count, 1, 200000};
    check_refused(&pcm, &trimmed, "200000 Hz");
    pcm = (struct f5_pcm){samples, count, 0, RATE};
    check_refused(&pcm, &trimmed, "0 channels");
    pcm = (struct f5_pcm){samples, count / 9, 9, RATE};
    check_refused(&pcm, &trimmed, "9 channels");
    pcm = (struct f5_pcm){samples, count / 2, 2, RATE};
    samples[2001] = NAN;
    check_refused(&pcm, &trimmed, "not finite at frame 1000");
    samples[2001] = -INFINITY;
    check_refused(&pcm, &whole, "not finite at frame 1000");
    free(samples);
}

static void samples_beyond_full_scale_are_clipped(void **state)
{
    (void)state;
    struct f5_reference reference;
    uint64_t count;
    float *samples = noise(0, 1, RATE, 0.5f, &count);
    samples[5000] = 3e38f;
    samples[5001] = -3e38f;
    struct f5_pcm pcm = {samples, count, 1, RATE};
    assert_int_equal(f5_reference_prepare(&pcm, &trimmed, &reference, NULL), VOX_OK);
    assert_true(reference.samples[5000] == 1 && reference.samples[5001] == -1);
    f5_reference_finish(&reference);
    free(samples);
}

/* --- Finished speech ----------------------------------------------------------------------------------- */

static void speech_of_any_length_keeps_its_bounds(void **state)
{
    (void)state;
    for (uint64_t count = 0; count < 60; count++) {
        float samples[60] = {0.5f, -2, 2, NAN}, *out;
        uint64_t out_count;
        assert_int_equal(f5_remove_silence(samples, count, &out, &out_count, NULL), VOX_OK);
        assert_true(out_count <= count + RATE / 2000); /* upstream rounds the end to a ms */
        assert_true(out_count + RATE / 2000 >= count);
        for (uint64_t i = 0; i < out_count; i++)
            assert_true(out[i] >= -1 && out[i] < 1);
        free(out);
    }
}

static void ten_minutes_are_cut_to_what_is_used(void **state)
{
    (void)state;
    uint64_t count;
    float *samples = noise(100, 400, 44100, 0.3f, &count);
    struct f5_pcm pcm = {samples, count, 1, 44100};
    struct f5_reference reference;
    struct timespec begin, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    assert_int_equal(f5_reference_prepare(&pcm, &trimmed, &reference, NULL), VOX_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double ms =
        (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
    print_message("10 minutes at 44.1 kHz: %.1f ms\n", ms);
    assert_true(reference.clipped);
    f5_reference_finish(&reference);
    free(samples);
}

/* --- Profiles ------------------------------------------------------------------------------------------ */

struct store {
    char dir[64], key[F5_PROFILE_KEY_SIZE], path[256];
    struct f5_reference reference;
};

static int open_store(void **state)
{
    struct store *store = calloc(1, sizeof(*store));
    uint64_t count;
    float *samples = noise(0.2, 1, RATE, 0.01f * 4, &count);
    struct f5_pcm pcm = {samples, count, 1, RATE};
    snprintf(store->dir, sizeof(store->dir), "/tmp/f5_reference.XXXXXX");
    assert_non_null(mkdtemp(store->dir));
    assert_int_equal(f5_profile_key(&pcm, &trimmed, store->key), VOX_OK);
    assert_int_equal(strlen(store->key), 64);
    snprintf(store->path, sizeof(store->path), "%s/%s.f5ref", store->dir, store->key);
    assert_int_equal(f5_reference_prepare(&pcm, &trimmed, &store->reference, NULL), VOX_OK);
    free(samples);
    *state = store;
    return 0;
}

static unsigned count_files(const struct store *store)
{
    unsigned count = 0;
    DIR *dir = opendir(store->dir);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static int close_store(void **state)
{
    struct store *store = *state;
    remove(store->path); /* a file or a folder */
    rmdir(store->dir);
    f5_reference_finish(&store->reference);
    free(store);
    return 0;
}

static void check_loads(const struct store *store)
{
    struct f5_reference loaded;
    assert_true(f5_profile_load(store->dir, store->key, &loaded));
    assert_int_equal(loaded.count, store->reference.count);
    assert_memory_equal(loaded.samples, store->reference.samples, sizeof(float) * loaded.count);
    assert_true(loaded.rms == store->reference.rms && loaded.seconds == store->reference.seconds);
    assert_int_equal(loaded.clipped, store->reference.clipped);
    f5_reference_finish(&loaded);
}

static void check_absent(const struct store *store)
{
    struct f5_reference loaded;
    assert_false(f5_profile_load(store->dir, store->key, &loaded));
    assert_null(loaded.samples);
}

static void save(struct store *store)
{
    struct vox_error error = {.size = sizeof(error)};
    if (f5_profile_save(store->dir, store->key, &store->reference, &error) != VOX_OK)
        fail_msg("%s", error.message);
}

static void a_saved_reference_loads_as_it_was(void **state)
{
    struct store *store = *state;
    check_absent(store);
    save(store);
    check_loads(store);
    store->reference.clipped = true;
    save(store);
    check_loads(store);
    assert_int_equal(count_files(store), 1);
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*size);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_damaged_file_is_absent_and_replaced(void **state)
{
    struct store *store = *state;
    save(store);
    size_t size;
    unsigned char *data = read_file(store->path, &size);
    static const size_t sizes[] = {0, 1, 7, 39, 40, 41, 72, 1000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_file(store->path, data, sizes[i]);
        check_absent(store);
    }
    write_file(store->path, data, size - 1);
    check_absent(store);
    /* Every byte of the header, then some samples, and the digest. */
    for (size_t i = 0; i < size; i += i < 40 || i + 33 > size ? 1 : 997) {
        data[i] ^= 0x40;
        write_file(store->path, data, size);
        check_absent(store);
        data[i] ^= 0x40;
    }
    write_file(store->path, data, size);
    check_loads(store);
    data[size / 2] ^= 1;
    write_file(store->path, data, size);
    check_absent(store);
    save(store);
    check_loads(store);
    free(data);
}

static void what_is_no_file_is_absent(void **state)
{
    struct store *store = *state;
    assert_int_equal(mkfifo(store->path, 0600), 0);
    check_absent(store);
    save(store);
    check_loads(store);
    assert_int_equal(unlink(store->path), 0);
    assert_int_equal(mkdir(store->path, 0700), 0);
    check_absent(store);
}

static void a_failed_save_leaves_nothing(void **state)
{
    struct store *store = *state;
    struct vox_error error = {.size = sizeof(error)};
    assert_int_equal(mkdir(store->path, 0700), 0); /* a file cannot take its place */
    assert_int_equal(f5_profile_save(store->dir, store->key, &store->reference, &error),
                     VOX_EINTERNAL);
    assert_non_null(strstr(error.message, store->path));
    assert_int_equal(count_files(store), 1);
    assert_int_equal(f5_profile_save("/nonexistent/folder", store->key, &store->reference, &error),
                     VOX_EINTERNAL);
    assert_non_null(strstr(error.message, "/nonexistent/folder"));
}

static void processes_may_save_and_load_at_once(void **state)
{
    struct store *store = *state;
    save(store);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int round = 0; round < 50; round++)
                if (f5_profile_save(store->dir, store->key, &store->reference, NULL) != VOX_OK)
                    _exit(1);
            _exit(0);
        }
    }
    for (int round = 0; round < 100; round++)
        check_loads(store);
    for (int i = 0; i < 3; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_files(store), 1);
}

static void the_key_covers_all_that_changes_the_wave(void **state)
{
    (void)state;
    float samples[8] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f};
    const struct f5_pcm pcms[] = {{samples, 8, 1, RATE},  {samples, 4, 2, RATE},
                                  {samples, 8, 1, 44100}, {samples, 7, 1, RATE},
                                  {samples, 8, 1, RATE},  {samples, 8, 1, RATE}};
    const struct f5_reference_options louder = {.silence_trim = true, .target_rms = 0.2f};
    const struct f5_reference_options *options[] = {&trimmed, &trimmed, &trimmed,
                                                    &trimmed, &whole,   &louder};
    char keys[7][F5_PROFILE_KEY_SIZE], again[F5_PROFILE_KEY_SIZE];
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(f5_profile_key(&pcms[i], options[i], keys[i]), VOX_OK);
    assert_int_equal(f5_profile_key(&pcms[0], &trimmed, again), VOX_OK);
    assert_string_equal(again, keys[0]);
    samples[3] = 0.41f;
    assert_int_equal(f5_profile_key(&pcms[0], &trimmed, keys[6]), VOX_OK);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(keys[i], keys[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_equal_upstream),
        cmocka_unit_test(removed_silence_equals_upstream),
        cmocka_unit_test(silent_references_are_refused),
        cmocka_unit_test(channels_that_cancel_each_other_are_refused),
        cmocka_unit_test(short_references_are_refused),
        cmocka_unit_test(long_references_are_refused),
        cmocka_unit_test(impossible_pcm_is_refused),
        cmocka_unit_test(samples_beyond_full_scale_are_clipped),
        cmocka_unit_test(speech_of_any_length_keeps_its_bounds),
        cmocka_unit_test(ten_minutes_are_cut_to_what_is_used),
        cmocka_unit_test_setup_teardown(a_saved_reference_loads_as_it_was, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_absent_and_replaced, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_absent, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_failed_save_leaves_nothing, open_store, close_store),
        cmocka_unit_test_setup_teardown(processes_may_save_and_load_at_once, open_store,
                                        close_store),
        cmocka_unit_test(the_key_covers_all_that_changes_the_wave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
