/* What is prepared once for many jobs: recordings are decoded once by however many threads, what
 * changed is decoded anew, memory stays bounded; and the packed form of a profile is taken for what
 * it is. */
#include "voice_test.h"

#include <time.h>

static const struct vox_entry cloner = {.size = sizeof(struct vox_entry),
                                        .id = "cloner",
                                        .version = "1",
                                        .capabilities = VOX_CAP_CLONING};

/* The item that a job of this voice gets; what is done is undone at once. */
static const struct voice_item *open_once(struct voice_cache *cache, const char *voice,
                                          const char *dir, uint64_t *frames)
{
    const struct voice_request request = {.voice = voice};
    const struct voice_places places = {dir, test_dir};
    const struct voice_fetch fetch = {.timeout_s = 1};
    struct voice_ref ref;
    struct voice_use use;
    struct vox_voice out;
    assert_int_equal(voice_find(&request, &cloner, &places, &ref, &test_err), 0);
    if (voice_open(cache, &ref, &fetch, &use, &out, &test_err) != 0)
        fail_msg("%s", test_err.message);
    const struct voice_item *item = use.recording;
    *frames = out.frames;
    voice_close(&use);
    voice_ref_finish(&ref);
    return item;
}

static void a_recording_is_decoded_once_until_it_changes(void **state)
{
    (void)state;
    struct voice_cache *cache = voice_cache_create(1u << 20);
    char *dir = library("once"), *path = fs_join(test_dir, "a.wav");
    struct str wav = {0}, base64 = {0};
    uint64_t frames;
    make_wav(1, 100, 0.5, &wav);
    assert_int_equal(fs_write_file(path, wav.data, wav.len, &test_err), 0);
    str_append_base64(&base64, wav.data, wav.len);
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    const char *const voices[] = {"a.wav", "anna", base64.data};
    for (size_t i = 0; i < sizeof(voices) / sizeof(voices[0]); i++) {
        const struct voice_item *first = open_once(cache, voices[i], dir, &frames);
        for (int round = 0; round < 10; round++)
            assert_ptr_equal(open_once(cache, voices[i], dir, &frames), first);
        assert_int_equal(frames, RATE);
    }
    make_wav(2, 100, 0.5, &wav);
    assert_int_equal(fs_write_file(path, wav.data, wav.len, &test_err), 0);
    open_once(cache, "a.wav", dir, &frames);
    assert_int_equal(frames, 2 * RATE);
    const struct voice_import import = {
        .id = "anna", .data = wav.data, .len = wav.len, .replace = true};
    assert_int_equal(voice_library_put(dir, &import, NULL, &test_err), 0);
    open_once(cache, "anna", dir, &frames);
    assert_int_equal(frames, 2 * RATE);
    voice_cache_destroy(cache);
    str_finish(&wav);
    str_finish(&base64);
    free(path);
    free(dir);
}

/* A job found its voice; before it runs, the voice is replaced, then removed. */
static void a_voice_is_what_it_is_when_the_job_runs(void **state)
{
    (void)state;
    struct voice_cache *cache = voice_cache_create(1u << 20);
    char *dir = library("when");
    const struct voice_request request = {.voice = "anna"};
    const struct voice_places places = {dir, NULL};
    const struct voice_fetch fetch = {.timeout_s = 1};
    struct voice_ref ref;
    struct voice_use use;
    struct vox_voice out;
    assert_int_equal(put_sine(dir, "anna", 100, "One.", false, NULL), 0);
    assert_int_equal(voice_find(&request, &cloner, &places, &ref, &test_err), 0);
    assert_int_equal(put_sine(dir, "anna", 300, "Two.", true, NULL), 0);
    assert_int_equal(voice_open(cache, &ref, &fetch, &use, &out, &test_err), 0);
    assert_string_equal(out.transcript.data, "Two.");
    assert_string_not_equal(use.entry.reference.sha256, ref.sha256);
    voice_close(&use);
    assert_int_equal(voice_library_remove(dir, "anna", &test_err), 0);
    assert_error(voice_open(cache, &ref, &fetch, &use, &out, &test_err), ERR_VOICE_NOT_FOUND,
                 "voice", "no voice \"anna\"");
    voice_ref_finish(&ref);
    voice_cache_destroy(cache);
    free(dir);
}

/* FM-22: a transcript belongs to the whole recording, so a recording is never cut: a plugin gets all
 * of it, or the voice is refused. */
static void fm_22_a_recording_is_whole_or_refused(void **state)
{
    (void)state;
    struct voice_cache *cache = voice_cache_create(64u << 20);
    char *dir = library("fm-22");
    struct str wav = {0};
    const struct voice_request request = {.voice = "long"};
    const struct voice_places places = {dir, NULL};
    const struct voice_fetch fetch = {.timeout_s = 1};
    struct voice_import import = {.id = "long", .transcript = "All that is said."};
    struct voice_ref ref;
    struct voice_use use;
    struct vox_voice out;
    make_wav(90, 100, 0.5, &wav);
    import.data = wav.data;
    import.len = wav.len;
    assert_int_equal(voice_library_put(dir, &import, NULL, &test_err), 0);
    assert_int_equal(voice_find(&request, &cloner, &places, &ref, &test_err), 0);
    assert_int_equal(voice_open(cache, &ref, &fetch, &use, &out, &test_err), 0);
    assert_int_equal(out.frames, 90 * RATE);
    assert_string_equal(out.transcript.data, "All that is said.");
    voice_close(&use);
    voice_ref_finish(&ref);
    make_wav(VOICE_SECONDS_MAX + 1, 100, 0.5, &wav);
    import.data = wav.data;
    import.len = wav.len;
    import.replace = true;
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, "audio",
                 "longer than 600 s");
    voice_cache_destroy(cache);
    str_finish(&wav);
    free(dir);
}

/* --- Many threads ----------------------------------------------------------------------------- */

enum { THREADS = 8 };

struct rush {
    struct voice_cache *cache;
    atomic_int made, failed_first;
};

static void *ask(void *arg)
{
    struct rush *rush = arg;
    const struct timespec pause = {0, 50000000};
    struct err err;
    for (int round = 0; round < 20; round++) {
        bool must_make;
        struct voice_item *item = cache_get(rush->cache, "the voice", NULL, &must_make, &err);
        if (must_make && atomic_fetch_add(&rush->failed_first, 1) == 0) {
            nanosleep(&pause, NULL);
            cache_failed(rush->cache, item); /* another one has to try */
            continue;
        }
        if (must_make) {
            atomic_fetch_add(&rush->made, 1);
            nanosleep(&pause, NULL);
            str_puts(&item->blob, "made");
            cache_done(rush->cache, item, CLOCK_NEVER);
        }
        if (strcmp(str_text(&item->blob), "made") != 0)
            abort();
        cache_unpin(rush->cache, item);
    }
    return NULL;
}

static void many_threads_make_it_once(void **state)
{
    (void)state;
    struct rush rush = {.cache = voice_cache_create(1000)};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(sync_thread_start(&threads[i], ask, &rush), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rush.made, 1);
    voice_cache_destroy(rush.cache);
}

static void who_waits_can_be_stopped(void **state)
{
    (void)state;
    struct voice_cache *cache = voice_cache_create(1000);
    atomic_int stop = 1;
    bool must_make;
    struct voice_item *item = cache_get(cache, "a", NULL, &must_make, &test_err);
    assert_null(cache_get(cache, "a", &stop, &must_make, &test_err));
    assert_int_equal(test_err.code, ERR_CANCELLED);
    cache_failed(cache, item);
    voice_cache_destroy(cache);
}

static bool is_kept(struct voice_cache *cache, const char *key)
{
    bool must_make;
    struct voice_item *item = cache_get(cache, key, NULL, &must_make, &test_err);
    if (must_make)
        cache_failed(cache, item);
    else
        cache_unpin(cache, item);
    return !must_make;
}

static struct voice_item *make(struct voice_cache *cache, const char *key, size_t size,
                               int64_t expires)
{
    bool must_make;
    struct voice_item *item = cache_get(cache, key, NULL, &must_make, &test_err);
    assert_true(must_make);
    while (item->blob.len < size)
        str_putc(&item->blob, 'x');
    cache_done(cache, item, expires);
    return item;
}

static void the_longest_unused_goes_first(void **state)
{
    (void)state;
    struct voice_cache *cache = voice_cache_create(2500);
    cache_unpin(cache, make(cache, "a", 600, CLOCK_NEVER));
    cache_unpin(cache, make(cache, "b", 600, CLOCK_NEVER));
    assert_true(is_kept(cache, "a")); /* used again, so b is older */
    struct voice_item *in_use = make(cache, "big", 9000, CLOCK_NEVER);
    assert_true(is_kept(cache, "b")); /* what is in use does not count */
    assert_true(is_kept(cache, "a"));
    cache_unpin(cache, make(cache, "c", 900, CLOCK_NEVER));
    assert_false(is_kept(cache, "b"));
    assert_true(is_kept(cache, "a"));
    cache_unpin(cache, in_use);
    assert_false(is_kept(cache, "big") && is_kept(cache, "a"));
    cache_unpin(cache, make(cache, "stale", 10, clock_now() - 1));
    assert_false(is_kept(cache, "stale"));
    voice_cache_destroy(cache);
}

/* Its thread may hang in its plugin; then the others must not hang with it. */
static void who_was_asked_to_stop_is_not_waited_for(void **state)
{
    struct voice_cache *cache = voice_cache_create(1000);
    atomic_int first_stop = 0, second_stop = 0;
    bool must_make;
    (void)state;
    struct voice_item *first = cache_get(cache, "k", &first_stop, &must_make, &test_err);
    assert_true(must_make);
    atomic_store(&first_stop, 1);
    struct voice_item *second = cache_get(cache, "k", &second_stop, &must_make, &test_err);
    assert_true(must_make);
    assert_ptr_not_equal(first, second);
    cache_done(cache, second, CLOCK_NEVER);
    assert_ptr_equal(cache_get(cache, "k", NULL, &must_make, &test_err), second);
    assert_false(must_make);
    cache_failed(cache, first);
    cache_unpin(cache, second);
    cache_unpin(cache, second);
    voice_cache_destroy(cache);
}

/* --- Packed profiles -------------------------------------------------------------------------- */

/* FM-69: bytes are not guessed at: a profile says what it is, and what it was made of. */
static void fm_69_a_profile_is_taken_for_what_it_is(void **state)
{
    (void)state;
    struct profile_identity identity = {.plugin = "tone", .version = "1.0 \"x\"", .revision = 3},
                            other;
    struct str blob = {0}, packed = {0};
    struct vox_str inside;
    memset(identity.key, '1', DIGEST_HEX_SIZE - 1);
    other = identity;
    other.key[5] = '2';
    str_append(&blob, "a\0b\n", 4);
    profile_pack(&identity, &blob, &packed);
    assert_true(profile_unpack(&packed, &identity, &inside));
    assert_int_equal(inside.size, 4);
    assert_memory_equal(inside.data, "a\0b\n", 4);
    assert_false(profile_unpack(&packed, &other, &inside));
    char *about = profile_about(&packed);
    assert_string_equal(about, "tone 1.0 \"x\", 4 bytes");
    free(about);
    struct str foreign = {0}; /* an imported voice's may say anything */
    other.version = "1\n\x1b[31m";
    profile_pack(&other, &blob, &foreign);
    about = profile_about(&foreign);
    assert_string_equal(about, "tone 1  [31m, 4 bytes");
    free(about);
    str_finish(&foreign);
    for (size_t len = 0; len < packed.len; len++) {
        char *cut = mem_copy_text(packed.data, len);
        assert_false(profile_unpack(&(struct str){cut, len, len + 1}, &identity, &inside));
        free(cut);
    }
    packed.data[packed.len - 1] ^= 1;
    assert_false(profile_unpack(&packed, &identity, &inside));
    assert_false(profile_unpack(&blob, NULL, &inside)); /* raw bytes */
    str_finish(&blob);
    str_finish(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_is_decoded_once_until_it_changes),
        cmocka_unit_test(who_was_asked_to_stop_is_not_waited_for),
        cmocka_unit_test(a_voice_is_what_it_is_when_the_job_runs),
        cmocka_unit_test(fm_22_a_recording_is_whole_or_refused),
        cmocka_unit_test(many_threads_make_it_once),
        cmocka_unit_test(who_waits_can_be_stopped),
        cmocka_unit_test(the_longest_unused_goes_first),
        cmocka_unit_test(fm_69_a_profile_is_taken_for_what_it_is),
    };
    return cmocka_run_group_tests(tests, make_test_dir, remove_test_dir);
}
