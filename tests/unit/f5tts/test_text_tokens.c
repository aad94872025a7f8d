/* The F5-TTS text front end with a tiny lexicon: what becomes a token, and what is refused. Equality with
 * upstream over the whole dictionary is tests/golden/f5tts_text. */
#include "lexicon_image.h"
#include "vox/helpers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fixture {
    struct f5_lexicon *lexicon;
    struct vox_error error;
    char joined[4096]; /* tokens of the last text, each followed by | */
};

static int open_tiny(void **state)
{
    static struct fixture f;
    struct lexicon_image image = image_tiny();
    size_t size;
    unsigned char *bytes = image_bytes(&image, &size);
    int32_t code = image_open_bytes(bytes, size, &f.lexicon, &f.error);
    free(bytes);
    *state = &f;
    return code;
}

static int close_tiny(void **state)
{
    f5_lexicon_close(((struct fixture *)*state)->lexicon);
    return 0;
}

static int32_t join(void *self, const char *token, uint32_t size)
{
    struct fixture *f = self;
    size_t used = strlen(f->joined);
    assert_int_equal(strlen(token), size);
    snprintf(f->joined + used, sizeof(f->joined) - used, "%s|", token);
    return VOX_OK;
}

static void assert_tokens(struct fixture *f, const char *text, const char *expected)
{
    f->joined[0] = '\0';
    assert_int_equal(f5_text_convert(f->lexicon, vox_text(text), join, f, &f->error), VOX_OK);
    assert_string_equal(f->joined, expected);
}

static void ascii_words_get_a_space_unless_one_is_there(void **state)
{
    struct fixture *f = *state;
    assert_tokens(f, "", "");
    assert_tokens(f, "hi, you", "h|i|,| |y|o|u|");
    assert_tokens(f, "(hi)", "(| |h|i|)|");
    assert_tokens(f, "a(b", "a|(|b|");
    assert_tokens(f, "'hi' :ok", "'|h|i|'| |:|o|k|");
    assert_tokens(f, "$5.20", "$| |5|.|2|0|");
    assert_tokens(f, "\r\n", "\r|\n|");
    assert_tokens(f, "x\r\n", "x| |\r|\n|");
}

static void joined_ascii_is_one_word(void **state)
{
    struct fixture *f = *state;
    assert_tokens(f, "!e-mail", "!| |e|-|m|a|i|l|");
    assert_tokens(f, "wait...what", "w|a|i|t| |.|.|.| |w|h|a|t|");
    assert_tokens(f, "50%off", "5|0|%| |o|f|f|");
    assert_tokens(f, "you+me", "y|o|u|+| |m|e|");
    assert_tokens(f, "C++11", "C|+|+| |1|1|"); /* of the dictionary */
}

static void punctuation_is_replaced(void **state)
{
    assert_tokens(*state, "a;\u201Cb\u201D \u2018c\u2019", "a|,|\"|b|\"| |'|c|'|");
}

static void accents_end_a_word(void **state)
{
    assert_tokens(*state, "na\u00EFve \u00E9", "n|a|\u00EF| |v|e| |\u00E9|");
}

static void ideographs_are_read(void **state)
{
    struct fixture *f = *state;
    assert_tokens(f, "银行", " |yin2| |hang2|");          /* as a phrase */
    assert_tokens(f, "行的", " |xing2| |de|");            /* as characters */
    assert_tokens(f, "银行a。", " |yin2| |hang2|a|。|");  /* others stay */
    assert_tokens(f, "龘\U00020000", " |龘|\U00020000|"); /* without a reading */
    assert_tokens(f, "ab银", "a|b| |yin2|");
    assert_tokens(f, "ㄅあ한", " |ㄅ|あ|한|");
}

static void tones_change(void **state)
{
    struct fixture *f = *state;
    assert_tokens(f, "你好", " |ni2| |hao3|");
    assert_tokens(f, "好老师", " |hao3| |lao3| |shi1|"); /* only third tones at the end of a word */
    assert_tokens(f, "好好", " |hao3| |hao3|");          /* two words: no change across them */
    assert_tokens(f, "一定",
                  " |yi1| |ding4|"); /* 一 keeps a first tone before a fourth, as in pypinyin */
    assert_tokens(f, "不", " |bu4|");
}

static void tokens_become_numbers(void **state)
{
    struct fixture *f = *state;
    static const char lines[] = " \na\nyin2\nb\n";
    static const int32_t expected[] = {1, 0, 2, 0, 0, 3, 0};
    char path[64];
    struct f5_vocab *vocab;
    struct f5_tokens tokens;
    int file = memfd_create("vocab", MFD_CLOEXEC);
    assert_int_equal(write(file, lines, sizeof(lines) - 1), sizeof(lines) - 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    assert_int_equal(f5_vocab_open(path, &vocab, &f->error), VOX_OK);
    close(file);
    assert_int_equal(f5_tokenize(f->lexicon, vocab, vox_text("a银。zbz"), &tokens, &f->error),
                     VOX_OK);
    /* "zbz" is one word: a space comes before it, and the vocabulary has neither 。 nor z. */
    assert_int_equal(tokens.count, 8);
    assert_memory_equal(tokens.ids, ((int32_t[]){1, 0, 2, 0, 0, 0, 3, 0}), 8 * sizeof(int32_t));
    assert_int_equal(tokens.unknown_count, 3);
    assert_int_equal(tokens.unknown_example_count, 2);
    assert_string_equal(tokens.unknown_examples[0], "。");
    assert_string_equal(tokens.unknown_examples[1], "z");
    f5_tokens_free(&tokens);
    assert_int_equal(f5_tokenize(f->lexicon, vocab, vox_text("a银 。b。"), &tokens, &f->error),
                     VOX_OK);
    assert_int_equal(tokens.count, VOX_COUNT(expected));
    assert_memory_equal(tokens.ids, expected, sizeof(expected));
    f5_tokens_free(&tokens);
    f5_vocab_destroy(vocab);
}

static int32_t refuse(void *self, const char *token, uint32_t size)
{
    (void)token, (void)size;
    return ++*(int *)self == 3 ? VOX_ECANCELLED : VOX_OK;
}

static void put_ends_the_conversion(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    assert_int_equal(f5_text_convert(f->lexicon, vox_text("银行银行"), refuse, &count, &f->error),
                     VOX_ECANCELLED);
    assert_int_equal(count, 3);
}

static int32_t count_tokens(void *self, const char *token, uint32_t size)
{
    (void)token, (void)size;
    ++*(uint64_t *)self;
    return VOX_OK;
}

static void long_runs_take_linear_time(void **state)
{
    static const char *const pieces[] = {"a",    "a-",     "银", "龘",    "㐀",
                                         "你好", "\u00E9", ".",  "不是一"};
    static const uint64_t tokens[] = {1, 2, 2, 2, 2, 4, 1, 1, 6};
    struct fixture *f = *state;
    for (size_t i = 0; i < VOX_COUNT(pieces); i++) {
        size_t piece = strlen(pieces[i]), count = (1u << 20) / piece;
        char *text = malloc(count * piece);
        uint64_t got = 0;
        assert_non_null(text);
        for (size_t at = 0; at < count; at++)
            memcpy(text + at * piece, pieces[i], piece);
        assert_int_equal(f5_text_convert(f->lexicon, (struct vox_str){text, count * piece},
                                         count_tokens, &got, &f->error),
                         VOX_OK);
        assert_in_range(got, count * tokens[i],
                        count * tokens[i] + 1); /* a space before a last "-" */
        free(text);
    }
}

static void bad_text_is_refused(void **state)
{
    static const char *const bad[] = {"a\xFF",    "\xC3",         "\xE4\xBD",        "\x80",
                                      "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80"};
    struct fixture *f = *state;
    for (size_t i = 0; i < VOX_COUNT(bad); i++) {
        assert_int_equal(f5_text_convert(f->lexicon, vox_text(bad[i]), join, f, &f->error),
                         VOX_EINVAL);
        assert_non_null(strstr(f->error.message, "is not UTF-8"));
    }
    struct vox_str huge = {"", F5_TEXT_SIZE_MAX + 1};
    assert_int_equal(f5_text_convert(f->lexicon, huge, join, f, &f->error), VOX_EINVAL);
    assert_non_null(strstr(f->error.message, "expected at most"));
}

/* --- The file --------------------------------------------------------------------------------------------- */

static void assert_refused(const void *bytes, size_t size, const char *why)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_lexicon *lexicon;
    assert_int_equal(image_open_bytes(bytes, size, &lexicon, &error), VOX_EMODEL);
    assert_null(lexicon);
    assert_non_null(strstr(error.message, why));
}

static void damaged_lexicons_are_refused(void **state)
{
    struct lexicon_image image = image_tiny();
    struct vox_error error = {.size = sizeof(error)};
    struct f5_lexicon *lexicon;
    size_t size;
    unsigned char *bytes = image_bytes(&image, &size);
    (void)state;
    assert_int_equal(f5_lexicon_open("/nonexistent/f5tts.lexicon", &lexicon, &error), VOX_EMODEL);
    assert_non_null(strstr(error.message, "/nonexistent/f5tts.lexicon: No such file"));
    assert_refused(bytes, 0, "is not an F5-TTS lexicon");
    assert_refused(bytes, 100, "is not an F5-TTS lexicon");
    assert_refused(bytes, size - 8, "its header says");
    bytes[8] = 2;
    assert_refused(bytes, size, "format 2");
    bytes[8] = 1;
    bytes[0] = 'X';
    assert_refused(bytes, size, "is not an F5-TTS lexicon");
    bytes[0] = 'F';
    for (int section = IMAGE_WORDS; section < IMAGE_SECTIONS; section++) {
        unsigned char *offset = bytes + 24 + 16 * section, kept[16];
        memcpy(kept, offset, sizeof(kept));
        memset(offset, 0xF8, 8); /* far outside */
        assert_refused(bytes, size, "do not fit together");
        memcpy(offset, kept, sizeof(kept));
        memset(offset + 8, 0xFF, 8); /* too large, and of no whole number of elements */
        assert_refused(bytes, size, "do not fit together");
        memcpy(offset, kept, sizeof(kept));
    }
    free(bytes);
    for (int section = IMAGE_WORDS; section <= IMAGE_PHRASES + 2; section++) {
        if (section == IMAGE_WORD_LOGS)
            continue;
        image = image_tiny();
        image.size[section] -= 8;
        bytes = image_bytes(&image, &size);
        assert_refused(bytes, size, "do not fit together");
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascii_words_get_a_space_unless_one_is_there),
        cmocka_unit_test(joined_ascii_is_one_word),
        cmocka_unit_test(punctuation_is_replaced),
        cmocka_unit_test(accents_end_a_word),
        cmocka_unit_test(ideographs_are_read),
        cmocka_unit_test(tones_change),
        cmocka_unit_test(tokens_become_numbers),
        cmocka_unit_test(put_ends_the_conversion),
        cmocka_unit_test(long_runs_take_linear_time),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(damaged_lexicons_are_refused),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
