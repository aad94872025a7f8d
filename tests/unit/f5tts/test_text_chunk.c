/* Chunks, the hard split and the endings of the reference text. Expected values: upstream's chunk_text,
 * preprocess_ref_audio_text and infer_batch_process (f5-tts 1.1.22). */
#include "text/text.h"
#include "vox/helpers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The chunks, each followed by |, and each but an empty one a range of the text that begins and ends alike. */
static void assert_chunks(const char *text, int64_t bytes_max, const char *expected)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_chunks chunks;
    char joined[1024] = "";
    assert_int_equal(f5_text_chunk(vox_text(text), bytes_max, &chunks, &error), VOX_OK);
    for (uint64_t i = 0; i < chunks.count; i++) {
        const struct f5_chunk *c = &chunks.items[i];
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof(joined) - used, "%.*s|", (int)c->size, c->data);
        assert_in_range(c->end, c->begin, strlen(text));
        assert_int_equal(c->size == 0, c->end == c->begin);
        if (c->size > 0) {
            assert_int_equal(text[c->begin], c->data[0]);
            assert_int_equal(text[c->end - 1], c->data[c->size - 1]);
        }
    }
    assert_string_equal(joined, expected);
    f5_chunks_free(&chunks);
}

static void sentences_are_packed_by_bytes(void **state)
{
    (void)state;
    assert_chunks("", 100, "");
    assert_chunks("One. Two!  Three?\n\nFour; five: six, 3.14 e.g.x", 100,
                  "One. Two! Three? Four; five: six, 3.14 e.g.x|");
    assert_chunks("One. Two! Three?", 9, "One. Two!|Three?|");
    assert_chunks("One. Two! Three?", 8, "One.|Two!|Three?|");
    assert_chunks("你好。世界！再见，好", 18, "你好。世界！|再见，好|");
    assert_chunks("你好。  世界", 9, "你好。|世界|"); /* the spaces belong to the second sentence */
    assert_chunks("\u00E9t\u00E9. ok", 9,
                  "\u00E9t\u00E9. ok|"); /* a space counts, the last does not */
    assert_chunks("\u00E9t\u00E9. ok", 8, "\u00E9t\u00E9.|ok|");
}

static void long_sentences_stay_whole(void **state)
{
    (void)state;
    assert_chunks("a very long sentence. b", 5, "a very long sentence.|b|");
    assert_chunks("One. Two. Three", 0, "One.|Two.|Three|");
    assert_chunks("One. Two. Three", -7, "One.|Two.|Three|");
}

static void white_space_is_pythons(void **state)
{
    (void)state;
    assert_chunks("a.\u3000\u00A0\x1C\xC2\x85\u2003 b", 99, "a. b|");
    assert_chunks("a.\u200B b", 1, "a.\u200B b|"); /* a zero-width space is none */
    assert_chunks("   ", 99, "|");                 /* upstream keeps the empty chunk */
    assert_chunks("\u3000hi \u2003", 99, "hi|");
}

static void bad_text_is_refused(void **state)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_chunks chunks;
    (void)state;
    assert_int_equal(f5_text_chunk(vox_text("ab. \xE4\xBD"), 10, &chunks, &error), VOX_EINVAL);
    assert_int_equal(chunks.count, 0);
    assert_int_equal(f5_text_split(vox_text("ab. \xE4\xBD"), 10, &chunks, &error), VOX_EINVAL);
    struct vox_str huge = {"", F5_TEXT_SIZE_MAX + 1};
    assert_int_equal(f5_text_chunk(huge, 10, &chunks, &error), VOX_EINVAL);
    assert_int_equal(f5_text_split(huge, 10, &chunks, &error), VOX_EINVAL);
}

static void assert_split(const char *text, uint64_t bytes_max, const char *expected)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_chunks chunks;
    char joined[1024] = "";
    assert_int_equal(f5_text_split(vox_text(text), bytes_max, &chunks, &error), VOX_OK);
    for (uint64_t i = 0; i < chunks.count; i++) {
        const struct f5_chunk *c = &chunks.items[i];
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof(joined) - used, "%.*s|", (int)c->size, c->data);
        assert_in_range(c->size, 1, bytes_max < 4 ? 4 : bytes_max);
        assert_int_equal(c->end - c->begin, c->size);
        assert_memory_equal(text + c->begin, c->data, c->size);
    }
    assert_string_equal(joined, expected);
    f5_chunks_free(&chunks);
}

static void hard_split_takes_the_best_place(void **state)
{
    (void)state;
    assert_split("fits", 10, "fits|");
    assert_split(" ", 10, "");
    assert_split("One two. Three, four five", 20, "One two. Three,|four five|");
    assert_split("Three, one. four five six", 20, "Three, one.|four five six|");
    assert_split("a. bcdefg hijk lmnop", 16,
                 "a. bcdefg hijk|lmnop|"); /* not at a mark far to the front */
    assert_split("abcdefghijkl", 5, "abcde|fghij|kl|");
    assert_split("你好世界", 7, "你好|世界|");
    assert_split("你好，世界。你", 12, "你好，|世界。你|");
    assert_split("你好世界", 0, "你|好|世|界|");
    assert_split("\U0001F600\U0001F601", 4, "\U0001F600|\U0001F601|");
    assert_split("pi is 3.14159", 9, "pi is|3.14159|");
}

static void assert_reference(const char *transcript, const char *text, const char *model)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_reference_text reference;
    assert_int_equal(f5_reference_text_make(vox_text(transcript), &reference, &error), VOX_OK);
    assert_int_equal(reference.size, strlen(text));
    assert_memory_equal(reference.data, text, reference.size);
    assert_int_equal(reference.model_size, strlen(model));
    assert_string_equal(reference.data, model);
    f5_reference_text_free(&reference);
}

static void reference_text_ends_as_upstream_has_it(void **state)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_reference_text reference;
    (void)state;
    assert_reference("Hello", "Hello. ", "Hello.  ");
    assert_reference("Hello.", "Hello. ", "Hello.  ");
    assert_reference("Hello. ", "Hello. ", "Hello.  ");
    assert_reference("Hello?", "Hello?. ", "Hello?.  ");
    assert_reference("你好。", "你好。", "你好。");
    assert_reference("你好？", "你好？. ", "你好？.  ");
    assert_int_equal(f5_reference_text_make(vox_text(" \u3000\n"), &reference, &error), VOX_EINVAL);
    assert_int_equal(f5_reference_text_make(vox_text(""), &reference, &error), VOX_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_are_packed_by_bytes),
        cmocka_unit_test(long_sentences_stay_whole),
        cmocka_unit_test(white_space_is_pythons),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(hard_split_takes_the_best_place),
        cmocka_unit_test(reference_text_ends_as_upstream_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
