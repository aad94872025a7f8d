/* What a job's voice means to a plugin, before anything is fetched or decoded. */
#include "voice_test.h"

static const struct vox_entry cloner = {.id = "cloner", .capabilities = VOX_CAP_CLONING};
static const struct vox_entry needy = {.id = "needy",
                                       .capabilities = VOX_CAP_CLONING | VOX_CAP_NEEDS_VOICE |
                                                       VOX_CAP_NEEDS_TRANSCRIPT};
static const struct vox_entry fixed = {.id = "fixed"};

static char *dir;

static int find(const struct voice_request *request, const struct vox_entry *entry,
                struct voice_ref *ref)
{
    const struct voice_places places = {dir, NULL};
    return voice_find(request, entry, &places, ref, &test_err);
}

static int set_up(void **state)
{
    int result = make_test_dir(state);
    dir = library("voices");
    if (result == 0 && put_sine(dir, "silent-partner", 100, NULL, false, NULL) == 0 &&
        put_sine(dir, "anna", 100, "What she says.", false, NULL) == 0)
        return 0;
    return -1;
}

static int clean_up(void **state)
{
    free(dir);
    return remove_test_dir(state);
}

/* FM-18: no voice is the model's own, or an error that says so. */
static void fm_18_no_voice_is_a_clean_error(void **state)
{
    (void)state;
    struct voice_ref ref;
    const struct voice_request none = {0};
    assert_int_equal(find(&none, &cloner, &ref), 0);
    assert_null(ref.id);
    assert_error(find(&none, &needy, &ref), ERR_INVALID, "voice", "has no voice of its own");
    assert_error(find(&(struct voice_request){.voice = "anna"}, &fixed, &ref), ERR_UNSUPPORTED,
                 "voice", "does not clone");
    assert_error(find(&(struct voice_request){.voice = "nobody"}, &cloner, &ref),
                 ERR_VOICE_NOT_FOUND, "voice", "no voice \"nobody\"");
}

/* FM-19: what is said in a recording is known or asked for, and never made up. */
static void fm_19_no_transcript_is_invented(void **state)
{
    (void)state;
    struct voice_ref ref;
    struct voice_request request = {.voice = "silent-partner"};
    assert_error(find(&request, &needy, &ref), ERR_INVALID, "voice_text",
                 "needs what is said in the recording");
    assert_int_equal(find(&request, &cloner, &ref), 0);
    assert_null(ref.transcript);
    voice_ref_finish(&ref);
    request.transcript = "The job's.";
    assert_int_equal(find(&request, &needy, &ref), 0);
    assert_string_equal(ref.transcript, "The job's.");
    assert_true(ref.has_own_transcript);
    voice_ref_finish(&ref);
    assert_int_equal(find(&(struct voice_request){.voice = "anna"}, &needy, &ref), 0);
    assert_string_equal(ref.transcript, "What she says.");
    assert_false(ref.has_own_transcript);
    voice_ref_finish(&ref);
}

/* FM-53: a job of a stranger reaches no file but the library's. */
static void fm_53_no_file_is_reached_by_a_name(void **state)
{
    (void)state;
    static const char *const names[] = {"/etc/passwd", "../voices/anna", "anna/voice.json",
                                        "..",          ".voxhost.lock",  "./anna",
                                        "anna/"};
    struct voice_ref ref;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_error(find(&(struct voice_request){.voice = names[i]}, &cloner, &ref),
                     ERR_VOICE_NOT_FOUND, "voice", "no voice");
}

static void a_profile_can_be_all_there_is(void **state)
{
    (void)state;
    struct voice_ref ref;
    struct voice_request request = {.voice = "unknown", .profile = "AAEC"};
    assert_int_equal(find(&request, &needy, &ref), 0);
    assert_string_equal(ref.id, "unknown");
    assert_int_equal(ref.profile.len, 3);
    assert_null(ref.path);
    voice_ref_finish(&ref);
    request.voice = "anna";
    assert_int_equal(find(&request, &needy, &ref), 0);
    assert_string_equal(ref.library_id, "anna");
    voice_ref_finish(&ref);
    request.profile = "not base64";
    assert_error(find(&request, &needy, &ref), ERR_INVALID, "voice_profile", "expected base64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fm_18_no_voice_is_a_clean_error),
        cmocka_unit_test(fm_19_no_transcript_is_invented),
        cmocka_unit_test(fm_53_no_file_is_reached_by_a_name),
        cmocka_unit_test(a_profile_can_be_all_there_is),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
