/* vocab.txt: which number a token has, and which files are refused. */
#include "text/text.h"
#include "vox/helpers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int32_t open_bytes(const char *data, size_t size, struct f5_vocab **vocab,
                          struct vox_error *error)
{
    char path[64];
    int file = memfd_create("vocab", MFD_CLOEXEC);
    assert_int_equal(write(file, data, size), size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    int32_t code = f5_vocab_open(path, vocab, error);
    close(file);
    return code;
}

static struct f5_vocab *open_text(const char *text)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_vocab *vocab;
    assert_int_equal(open_bytes(text, strlen(text), &vocab, &error), VOX_OK);
    return vocab;
}

static void assert_refused(const char *data, size_t size, const char *why)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_vocab *vocab;
    assert_int_equal(open_bytes(data, size, &vocab, &error), VOX_EMODEL);
    assert_null(vocab);
    assert_non_null(strstr(error.message, why));
}

static void line_ends_do_not_matter(void **state)
{
    static const char *const files[] = {" \na\nni3\n，\n", " \r\na\r\nni3\r\n，\r\n",
                                        " \ra\rni3\r，\r", " \na\nni3\n，x"};
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(files); i++) {
        struct f5_vocab *vocab = open_text(files[i]);
        assert_int_equal(f5_vocab_size(vocab), 4);
        assert_int_equal(f5_vocab_line_count(vocab), 4);
        assert_int_equal(f5_vocab_lookup(vocab, vox_text(" ")), 0);
        assert_int_equal(f5_vocab_lookup(vocab, vox_text("a")), 1);
        assert_int_equal(f5_vocab_lookup(vocab, vox_text("ni3")), 2);
        assert_int_equal(f5_vocab_lookup(vocab, vox_text("，")), 3);
        assert_int_equal(f5_vocab_is_cut(vocab), i == 3);
        assert_int_equal(f5_vocab_lookup(vocab, vox_text("ni")), -1);
        assert_int_equal(f5_vocab_lookup(vocab, vox_text("A")), -1);
        f5_vocab_destroy(vocab);
    }
}

/* As in upstream, whose reader drops the last character of every line. */
static void a_last_line_without_end_loses_a_character(void **state)
{
    struct f5_vocab *vocab = open_text(" \na\n，");
    (void)state;
    assert_true(f5_vocab_is_cut(vocab));
    assert_int_equal(f5_vocab_size(vocab), 3);
    assert_int_equal(f5_vocab_lookup(vocab, vox_text("，")), -1);
    assert_int_equal(f5_vocab_lookup(vocab, vox_text("")), 2);
    f5_vocab_destroy(vocab);
}

static void empty_lines_count_and_the_last_of_equal_ones_wins(void **state)
{
    struct f5_vocab *vocab = open_text(" \n\na\nb\na\n");
    (void)state;
    assert_int_equal(f5_vocab_size(vocab), 4);
    assert_int_equal(f5_vocab_line_count(vocab), 5);
    assert_int_equal(f5_vocab_lookup(vocab, vox_text("a")), 4);
    assert_int_equal(f5_vocab_lookup(vocab, vox_text("b")), 3);
    f5_vocab_destroy(vocab);
}

static void other_files_are_refused(void **state)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_vocab *vocab;
    size_t lines = F5_VOCAB_LINES_MAX + 1;
    char *many = malloc(lines + 1);
    (void)state;
    assert_non_null(many);
    memset(many, '\n', lines + 1);
    many[0] = ' ';
    assert_refused("", 0, "expected a file of 1..");
    assert_refused(" \n\xFF\n", 4, "byte 2 is not UTF-8");
    assert_refused(many, lines + 1, "has 1000001 lines");
    assert_int_equal(open_bytes(many, lines, &vocab, &error), VOX_OK);
    assert_int_equal(f5_vocab_lookup(vocab, vox_text("")), F5_VOCAB_LINES_MAX - 1);
    f5_vocab_destroy(vocab);
    assert_int_equal(f5_vocab_open("/nonexistent/vocab.txt", &vocab, &error), VOX_EMODEL);
    assert_non_null(strstr(error.message, "/nonexistent/vocab.txt: No such file"));
    assert_int_equal(f5_vocab_open("/", &vocab, &error), VOX_EMODEL);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_ends_do_not_matter),
        cmocka_unit_test(a_last_line_without_end_loses_a_character),
        cmocka_unit_test(empty_lines_count_and_the_last_of_equal_ones_wins),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
