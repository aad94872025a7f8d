/* What a hub says of a repository, names, patterns, and where the files of known models go. */
#include "hub/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define GIT "1111111111111111111111111111111111111111"
#define SHA "2222222222222222222222222222222222222222222222222222222222222222"
#define LFS ",\"lfs\":{\"sha256\":\"" SHA "\",\"size\":7,\"pointerSize\":130}"
#define LIST(files) "{\"sha\":\"" COMMIT "\",\"siblings\":[" files "]}"
#define FILE(name, more) "{\"rfilename\":\"" name "\",\"size\":5,\"blobId\":\"" GIT "\"" more "}"

static int parse(const char *text, struct hub_listing *listing, struct err *err)
{
    return hub_listing_parse(text, strlen(text), listing, err);
}

static void a_list_has_commit_sizes_and_digests(void **state)
{
    (void)state;
    struct hub_listing listing;
    struct err err = {0};
    assert_int_equal(parse(LIST(FILE("b.bin", LFS) "," FILE("a/c.txt", "")), &listing, &err), 0);
    assert_string_equal(listing.commit, COMMIT);
    assert_string_equal(listing.licence, "");
    assert_int_equal(listing.count, 2);
    assert_string_equal(listing.files[0].path, "a/c.txt");
    assert_string_equal(listing.files[0].digest, GIT);
    assert_int_equal(listing.files[0].size, 5);
    assert_string_equal(listing.files[1].path, "b.bin");
    assert_string_equal(listing.files[1].digest, SHA);
    assert_int_equal(listing.files[1].size, 7);
    hub_listing_finish(&listing);
}

static void licences_are_read_in_all_their_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *card, *expected;
    } cases[] = {
        {"null", ""},
        {"{}", ""},
        {"{\"license\":\"mit\"}", "mit"},
        {"{\"license\":[\"mit\",\"x\"]}", "mit"},
        {"{\"license\":[]}", ""},
        {"{\"license\":5}", ""},
        {"{\"license\":\"other\",\"license_name\":\"own\",\"license_link\":\"https://x/l\"}",
         "own (https://x/l)"},
        {"{\"license\":\"a\\u001b[2Jb\"}", "a [2Jb"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hub_listing listing;
        struct err err = {0};
        char *text =
            str_format("{\"sha\":\"" COMMIT "\",\"cardData\":%s,\"siblings\":[]}", cases[i].card);
        assert_int_equal(parse(text, &listing, &err), 0);
        assert_string_equal(listing.licence, cases[i].expected);
        hub_listing_finish(&listing);
        free(text);
    }
}

static void lists_that_cannot_be_used_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "hub's list"},
        {"[]", "no commit"},
        {"{\"sha\":\"main\",\"siblings\":[]}", "no commit"},
        {"{\"sha\":\"" COMMIT "\"}", "expected at most"},
        {LIST("5"), "file 0 has no name"},
        {LIST(FILE("../x", "")), "outside the directory"},
        {LIST(FILE("/x", "")), "outside the directory"},
        {LIST(FILE("a/../x", "")), "outside the directory"},
        {LIST(FILE("x", "") "," FILE("y", "") "," FILE("x", "")), "stands twice"},
        {LIST("{\"rfilename\":\"x\",\"size\":5}"), "no digest"},
        {LIST("{\"rfilename\":\"x\",\"blobId\":\"" GIT "\"}"), "no size"},
        {LIST("{\"rfilename\":\"x\",\"size\":1.5,\"blobId\":\"" GIT "\"}"), "no size"},
        {LIST("{\"rfilename\":\"x\",\"size\":9223372036854775807,\"blobId\":\"" GIT "\"}"),
         "larger than"},
        {LIST(FILE("x", ",\"lfs\":{\"sha256\":\"" GIT "\",\"size\":1}")), "no digest"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hub_listing listing;
        struct err err = {0};
        assert_int_equal(parse(cases[i].text, &listing, &err), ERR_STORAGE);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, err.message, cases[i].message);
        assert_int_equal(listing.count, 0);
        assert_null(listing.files);
    }
}

static void repositories_are_owner_and_name(void **state)
{
    (void)state;
    static const char *const good[] = {"a/b", "SWivid/F5-TTS", "a_b/c.d", "0/1"};
    static const char *const bad[] = {"",     "a",    "/b",     "a/",    "a/b/c", "../b", "a/..",
                                      "a/.b", "a/-b", "a/b..c", "a b/c", "a/b?",  "a/b#", "a%2f/b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(hub_repo_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (hub_repo_valid(bad[i]))
            fail_msg("\"%s\" passes", bad[i]);
}

static void patterns_choose(void **state)
{
    (void)state;
    const char *none[] = {NULL}, *bin[] = {"*.bin", NULL}, *dir[] = {"sub/", NULL},
               *two[] = {"a?c", "[x-z]*", NULL};
    assert_true(hub_path_wanted("a", NULL, NULL));
    assert_true(hub_path_wanted("a", none, none));
    assert_true(hub_path_wanted("x/y.bin", bin, NULL));
    assert_false(hub_path_wanted("x/y.txt", bin, NULL));
    assert_true(hub_path_wanted("sub/x/y.bin", dir, NULL));
    assert_false(hub_path_wanted("subx/y.bin", dir, NULL));
    assert_false(hub_path_wanted("sub/y.bin", bin, dir));
    assert_true(hub_path_wanted("abc", two, NULL));
    assert_true(hub_path_wanted("yes", two, NULL));
    assert_false(hub_path_wanted("no", two, NULL));
}

static void known_models_lie_where_their_plugins_look(void **state)
{
    (void)state;
    struct str names = {0};
    const struct hub_model *f5 = hub_model_find("F5TTS");
    assert_non_null(f5);
    assert_null(hub_model_find("f5"));
    char *weights = hub_source_place(&f5->sources[0], "F5TTS_v1_Base/model_1250000.safetensors");
    char *vocoder = hub_source_place(&f5->sources[1], "pytorch_model.bin");
    assert_string_equal(weights, "model_1250000.safetensors");
    assert_string_equal(vocoder, "vocos/pytorch_model.bin");
    free(weights);
    free(vocoder);
    hub_model_names(&names);
    assert_string_equal(str_text(&names), "f5tts, chatterbox, chatterbox-multilingual, higgs");
    str_finish(&names);
}

static int pull(const char *one, const char *other, struct err *err)
{
    const struct hub_listing listing = {.repo = (char *)"a/b"};
    const struct hub_file files[] = {{.path = (char *)"one"}, {.path = (char *)"other"}};
    struct hub_item items[] = {{.listing = &listing, .file = &files[0], .local = (char *)one},
                               {.listing = &listing, .file = &files[1], .local = (char *)other}};
    return hub_pull(NULL, "/proc/none", items, 2, err);
}

static void two_files_with_one_place_are_refused_before_anything_is_made(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(pull("a/x", "a/x", &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "have one place"));
    assert_int_equal(pull("a/x", "a/X", &err), ERR_STORAGE); /* the directory cannot be made */
    assert_null(strstr(err.message, "have one place"));
    static const char *const ours[] = {"x.part", "a/x.part.state", "x.part.state.new",
                                       "a/voxhost-pull.json", "voxhost-pull.part"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        assert_int_equal(pull("y", ours[i], &err), ERR_STORAGE);
        assert_non_null(strstr(err.message, "keeps for itself"));
    }
}

static void a_plugins_file_names_its_weights(void **state)
{
    (void)state;
    assert_ptr_equal(hub_model_of_plugin("/a/b.c/f5tts.so"), hub_model_find("f5tts"));
    assert_ptr_equal(hub_model_of_plugin("Higgs.so"), hub_model_find("higgs"));
    assert_null(hub_model_of_plugin("flite.so"));
    assert_null(hub_model_of_plugin(""));
    assert_null(hub_model_of_plugin("f5tts/other.so"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_commit_sizes_and_digests),
        cmocka_unit_test(licences_are_read_in_all_their_shapes),
        cmocka_unit_test(lists_that_cannot_be_used_are_refused),
        cmocka_unit_test(repositories_are_owner_and_name),
        cmocka_unit_test(patterns_choose),
        cmocka_unit_test(known_models_lie_where_their_plugins_look),
        cmocka_unit_test(two_files_with_one_place_are_refused_before_anything_is_made),
        cmocka_unit_test(a_plugins_file_names_its_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
