/* safetensors files: what is read from them, and in which words each damage is refused. */
#include "weights_test.h"

#define HEAD(dtype, shape, offsets) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void assert_refused(const char *header, size_t data_size, const char *message)
{
    size_t size;
    uint8_t *bytes = make_safetensors(header, data_size, &size);
    assert_refused_bytes(bytes, size, message);
    free(bytes);
}

static void one_file_holds_what_its_header_says(void **state)
{
    static const char header[] =
        " { \"b.weight\" : {\"data_offsets\": [ 4, 28 ], \"shape\":[2, 3],\n\t\"dtype\":\"F32\"},"
        "\"__metadata__\":{\"format\":\"pt\",\"note\":\"a \\\"quoted\\\" \\u00e9\"},"
        "\"a\":" HEAD("F16", "[2]", "[0,4]") ",\"scalar\":" HEAD(
            "I64", "[]", "[28,36]") ","
                                    "\"empty\":" HEAD("BF16", "[0,7]", "[36,36]") "}  ";
    char path[4096];
    size_t size;
    (void)state;
    uint8_t *bytes = make_safetensors(header + 1, 36, &size);
    write_new(path, "model.safetensors", bytes, size);
    struct vox_weights *w = open_path(path);
    assert_int_equal(vox_weights_count(w), 4);
    const char *names[] = {"a", "b.weight", "empty", "scalar"};
    for (uint64_t i = 0; i < 4; i++) {
        assert_string_equal(vox_weights_at(w, i)->name.data, names[i]);
        assert_ptr_equal(vox_weights_find(w, names[i]), vox_weights_at(w, i));
    }
    const struct vox_weight *b = must_find(w, "b.weight");
    assert_shape(b, "F32", "[2, 3]", "[3, 1]");
    assert_int_equal(b->size, 24);
    const uint8_t *data = b->data;
    for (uint8_t i = 0; i < 24; i++)
        assert_int_equal(data[i], 4 + i);
    assert_shape(must_find(w, "scalar"), "I64", "[]", "[]");
    assert_int_equal(must_find(w, "empty")->size, 0);
    assert_null(vox_weights_find(w, "b"));
    assert_null(vox_weights_find(w, "b.weight."));
    vox_weights_close(w);
    remove_new(path);
    free(bytes);
}

static void every_dtype_has_its_name_and_size(void **state)
{
    static const struct {
        const char *name;
        uint32_t dtype;
        uint64_t size;
    } all[] = {{"F32", VOX_DTYPE_F32, 4},         {"F64", VOX_DTYPE_F64, 8},
               {"F16", VOX_DTYPE_F16, 2},         {"BF16", VOX_DTYPE_BF16, 2},
               {"I64", VOX_DTYPE_I64, 8},         {"I32", VOX_DTYPE_I32, 4},
               {"I16", VOX_DTYPE_I16, 2},         {"I8", VOX_DTYPE_I8, 1},
               {"U8", VOX_DTYPE_U8, 1},           {"BOOL", VOX_DTYPE_BOOL, 1},
               {"F8_E4M3", VOX_DTYPE_F8_E4M3, 1}, {"F8_E5M2", VOX_DTYPE_F8_E5M2, 1},
               {"U16", VOX_DTYPE_U16, 2},         {"U32", VOX_DTYPE_U32, 4},
               {"U64", VOX_DTYPE_U64, 8},         {"C64", VOX_DTYPE_C64, 8}};
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(all); i++) {
        struct vox_weights *w;
        char header[128];
        size_t size;
        snprintf(header, sizeof(header),
                 "{\"x\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", all[i].name,
                 (int)(3 * all[i].size));
        uint8_t *bytes = make_safetensors(header, (size_t)(3 * all[i].size), &size);
        assert_int_equal(weights_open_bytes("m", bytes, size, &w, NULL), VOX_OK);
        assert_int_equal(must_find(w, "x")->dtype, all[i].dtype);
        assert_int_equal(vox_dtype_size(all[i].dtype), all[i].size);
        vox_weights_close(w);
        free(bytes);
    }
    assert_null(vox_dtype_name(0));
    assert_null(vox_dtype_name(17));
    assert_int_equal(vox_dtype_size(17), 0);
}

static void names_are_unescaped(void **state)
{
    static const char header[] =
        "{\"a\\u0062\\/\\\"\\\\\\u00e9\\ud83d\\ude00\":" HEAD("U8", "[1]", "[0,1]") "}";
    struct vox_weights *w;
    size_t size;
    (void)state;
    uint8_t *bytes = make_safetensors(header, 1, &size);
    assert_int_equal(weights_open_bytes("m", bytes, size, &w, NULL), VOX_OK);
    assert_string_equal(vox_weights_at(w, 0)->name.data, "ab/\"\\\xc3\xa9\xf0\x9f\x98\x80");
    vox_weights_close(w);
    free(bytes);
}

static void holes_and_an_empty_table_are_fine(void **state)
{
    static const char *headers[] = {"{}", "{\"x\":" HEAD("U8", "[1]", "[7,8]") "}"};
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(headers); i++) {
        struct vox_weights *w;
        size_t size;
        uint8_t *bytes = make_safetensors(headers[i], 9, &size);
        assert_int_equal(weights_open_bytes("m", bytes, size, &w, NULL), VOX_OK);
        assert_int_equal(vox_weights_count(w), i);
        vox_weights_close(w);
        free(bytes);
    }
}

static void a_file_that_is_cut_off_says_how_much_is_missing(void **state)
{
    static const char header[] = "{\"x\":" HEAD("F32", "[2,2]", "[0,16]") "}";
    char message[128];
    size_t size;
    (void)state;
    uint8_t *bytes = make_safetensors(header, 16, &size);
    for (size_t cut = 9; cut < size; cut++) {
        uint8_t *head = malloc(cut);
        assert_non_null(head);
        memcpy(head, bytes, cut);
        bool has_header = cut >= size - 16;
        snprintf(message, sizeof(message),
                 has_header ? "model: is cut off: %zu bytes, its tensors need %zu"
                            : "model: is cut off: %zu bytes, its header alone needs %zu",
                 cut, has_header ? size : size - 16);
        assert_refused_bytes(head, cut, message);
        free(head);
    }
    free(bytes);
}

static void a_header_over_the_limit_is_refused(void **state)
{
    const uint8_t bytes[] = {1, 0xe1, 0xf5, 5, 0, 0, 0, 0, '{', '}'};
    (void)state;
    assert_refused_bytes(bytes, sizeof(bytes),
                         "model: has a header of 100000001 bytes, at most 100000000 are allowed");
}

static void each_fault_of_the_header_is_named(void **state)
{
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"{\"x\":1}", "model: header byte 5: expected '{'"},
        {"{\"x\" 1}", "model: header byte 5: expected ':'"},
        {"{x:1}", "model: header byte 1: expected a string"},
        {"{\"x", "model: header byte 3: expected the end of the string"},
        {"{\"x\\q\":{}}", "model: header byte 5: expected an escape sequence"},
        {"{\"\\ud800\":{}}", "model: header byte 8: expected an escape sequence"},
        {"{\"\\u12g4\":{}}", "model: header byte 6: expected an escape sequence"},
        {"{} x", "model: header byte 3: expected the end of the header"},
        {"{\"x\":" HEAD("U8", "[1]", "[0,1]"), "model: header byte 52: expected ',' or '}'"},
        {"{\"x\":{}}", "model: header byte 7: expected each of dtype, shape and data_offsets once"},
        {"{\"x\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}",
         "model: header byte 27: expected each of dtype, shape and data_offsets once"},
        {"{\"x\":{\"type\":\"U8\"}}",
         "model: header byte 13: expected each of dtype, shape and data_offsets once"},
        {"{\"x\":" HEAD("F4", "[1]", "[0,1]") "}", "model: header byte 18: expected a known dtype"},
        {"{\"x\":" HEAD("U8", "[-1]", "[0,1]") "}", "model: header byte 28: expected an integer"},
        {"{\"x\":" HEAD("U8", "[1.0]", "[0,1]") "}", "model: header byte 29: expected an integer"},
        {"{\"x\":" HEAD("U8", "[01]", "[0,1]") "}", "model: header byte 30: expected an integer"},
        {"{\"x\":" HEAD("U8", "[9223372036854775808]", "[0,1]") "}",
         "model: header byte 46: expected an integer of 63 bits"},
        {"{\"x\":" HEAD("U8", "[1", "[0,1]") "}", "model: header byte 30: expected an integer"},
        {"{\"x\":" HEAD("U8", "[1 1]", "[0,1]") "}", "model: header byte 30: expected ',' or ']'"},
        {"{\"x\":" HEAD("U8", "7", "[0,1]") "}", "model: header byte 27: expected '['"},
        {"{\"x\":" HEAD("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}",
         "model: header byte 44: more than 8 integers"},
        {"{\"x\":" HEAD("U8", "[1]", "[0]") "}", "model: header byte 49: expected two offsets"},
        {"{\"x\":" HEAD("U8", "[1]", "[1,0]") "}",
         "model: x lies in bytes 1 to 0, which do not hold [1] of U8"},
        {"{\"x\":" HEAD("F32", "[1,2]", "[0,4]") "}",
         "model: x lies in bytes 0 to 4, which do not hold [1, 2] of F32"},
        {"{\"x\":" HEAD("F32", "[4294967296,4294967296]", "[0,0]") "}",
         "model: x lies in bytes 0 to 0, which do not hold [4294967296, 4294967296] of F32"},
        {"{\"x\":" HEAD("F64", "[2305843009213693952]", "[0,0]") "}",
         "model: x lies in bytes 0 to 0, which do not hold [2305843009213693952] of F64"},
        {"{\"x\":" HEAD("U8", "[4]", "[0,4]") ",\"y\":" HEAD("U8", "[4]", "[3,7]") "}",
         "model: x and y overlap"},
        {"{\"x\":" HEAD("U8", "[1]", "[0,1]") ",\"x\":" HEAD("U8", "[1]", "[1,2]") "}",
         "model: has two tensors named x"},
        {"{\"\":" HEAD("U8", "[1]", "[0,1]") "}",
         "model: a tensor has a name of 0 bytes, expected 1 to 511"},
        {"{\"a\\nb\":" HEAD("U8", "[1]", "[0,1]") "}",
         "model: the name of tensor 0 is not printable UTF-8"},
        {"{\"\xc3\":" HEAD("U8", "[1]", "[0,1]") "}",
         "model: the name of tensor 0 is not printable UTF-8"},
        {"{\"\xed\xa0\x80\":" HEAD("U8", "[1]", "[0,1]") "}",
         "model: the name of tensor 0 is not printable UTF-8"},
        {"{\"__metadata__\":{\"a\":1}}", "model: header byte 21: expected a string"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}",
         "model: header byte 34: expected only one __metadata__"},
    };
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(cases); i++)
        assert_refused(cases[i].header, 8, cases[i].message);
}

static void a_name_over_the_limit_is_refused(void **state)
{
    char header[700];
    (void)state;
    snprintf(header, sizeof(header), "{\"%0512d\":{}}", 0);
    assert_refused(header, 0, "model: header byte 515: expected a shorter name");
}

static void what_is_no_weight_file_is_refused(void **state)
{
    static const char neither[] =
        "model: is neither a safetensors file nor one that torch.save wrote";
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n";
    (void)state;
    assert_refused_bytes((const uint8_t *)"", 0, "model: is empty");
    assert_refused_bytes((const uint8_t *)"GGUF0123456", 11, neither);
    assert_refused_bytes((const uint8_t *)"\2\0\0\0\0\0\0\0", 8, neither);
    assert_refused_bytes((const uint8_t *)pointer, sizeof(pointer) - 1,
                         "model: is a git-lfs pointer, not the weights: fetch the file itself");
}

static void a_path_that_is_no_file_is_refused(void **state)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *w;
    (void)state;
    assert_int_equal(vox_weights_open("/nowhere/model.pt", &w, &error), VOX_EMODEL);
    assert_string_equal(error.message, "/nowhere/model.pt: No such file or directory");
    assert_int_equal(vox_weights_open("/", &w, &error), VOX_EMODEL);
    assert_string_equal(error.message, "/: is not a file");
    assert_null(w);
    vox_weights_close(NULL);
}

static void an_empty_file_is_refused(void **state)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *w;
    char path[4096];
    (void)state;
    write_new(path, "model.pt", (const uint8_t *)"", 0);
    assert_int_equal(vox_weights_open(path, &w, &error), VOX_EMODEL);
    assert_string_equal(error.message, "model.pt: is empty");
    remove_new(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file_holds_what_its_header_says),
        cmocka_unit_test(every_dtype_has_its_name_and_size),
        cmocka_unit_test(names_are_unescaped),
        cmocka_unit_test(holes_and_an_empty_table_are_fine),
        cmocka_unit_test(a_file_that_is_cut_off_says_how_much_is_missing),
        cmocka_unit_test(a_header_over_the_limit_is_refused),
        cmocka_unit_test(each_fault_of_the_header_is_named),
        cmocka_unit_test(a_name_over_the_limit_is_refused),
        cmocka_unit_test(what_is_no_weight_file_is_refused),
        cmocka_unit_test(a_path_that_is_no_file_is_refused),
        cmocka_unit_test(an_empty_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
