/* What torch.save wrote: the files that make_fixtures.py made, pickles written by hand, and the words in
 * which each damage is refused. */
#include "weights_test.h"

static uint8_t *load(const char *name, size_t *size)
{
    char path[4096];
    struct stat info;
    snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    *size = (size_t)info.st_size;
    uint8_t *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static struct vox_weights *open_fixture(const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
    return open_path(path);
}

static void assert_bytes(const struct vox_weights *w, const char *name, const void *data,
                         size_t size)
{
    const struct vox_weight *weight = must_find(w, name);
    assert_int_equal(weight->size, size);
    assert_memory_equal(weight->data, data, size);
}

/* --- Files of torch.save --------------------------------------------------------------------------- */

static void assert_numbers(const char *file)
{
    const float base[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, scalar = 3.5f, five = 5;
    const double f64[] = {0.5, -2};
    const int64_t i64[] = {(int64_t)1 << 40, -1};
    struct vox_weights *w = open_fixture(file);
    assert_int_equal(vox_weights_count(w), 15);
    assert_shape(must_find(w, "f32"), "F32", "[3, 4]", "[4, 1]");
    assert_bytes(w, "f32", base, sizeof(base));
    assert_bytes(w, "f64", f64, sizeof(f64));
    assert_shape(must_find(w, "f16"), "F16", "[2]", "[1]");
    assert_bytes(w, "f16", (const uint16_t[]){0x3c00, 0x4000}, 4);
    assert_shape(must_find(w, "bf16"), "BF16", "[2]", "[1]");
    assert_bytes(w, "bf16", (const uint16_t[]){0x3f80, 0xbf80}, 4);
    assert_bytes(w, "i64", i64, sizeof(i64));
    assert_bytes(w, "i32", (const int32_t[]){7}, 4);
    assert_bytes(w, "i16", (const int16_t[]){-7}, 2);
    assert_bytes(w, "i8", (const int8_t[]){-8}, 1);
    assert_bytes(w, "u8", (const uint8_t[]){200}, 1);
    assert_shape(must_find(w, "bool"), "BOOL", "[2]", "[1]");
    assert_bytes(w, "bool", (const uint8_t[]){1, 0}, 2);
    assert_shape(must_find(w, "scalar"), "F32", "[]", "[]");
    assert_bytes(w, "scalar", &scalar, 4);
    assert_shape(must_find(w, "empty"), "F32", "[0, 4]", "[4, 1]");
    assert_int_equal(must_find(w, "empty")->size, 0);
    assert_shape(must_find(w, "transposed"), "F32", "[4, 3]", "[1, 4]");
    assert_ptr_equal(must_find(w, "transposed")->data, must_find(w, "f32")->data);
    assert_bytes(w, "row", base + 4, 16);
    assert_shape(must_find(w, "expanded"), "F32", "[3]", "[0]");
    assert_bytes(w, "expanded", &five, 4);
    for (uint64_t i = 0; i < 15; i++)
        assert_int_equal(vox_weight_first_nonfinite(vox_weights_at(w, i)), -1);
    vox_weights_close(w);
}

static void tensors_of_every_kind_are_read(void **state)
{
    (void)state;
    assert_numbers("numbers.pt");
}

static void the_legacy_layout_is_read(void **state)
{
    (void)state;
    assert_numbers("legacy.pt");
}

static void zip_with_and_without_zip64_is_read(void **state)
{
    (void)state;
    assert_numbers("plain.pt");
    assert_numbers("zip64.pt");
}

/* Weights lie among optimisers' settings, objects and classes, which are dropped. */
static void assert_training(const char *file)
{
    static const char *names[] = {
        "by_number.3",
        "ema_model_state_dict.ema_model.0.bias",
        "ema_model_state_dict.ema_model.0.weight",
        "ema_model_state_dict.ema_model.1.bias",
        "ema_model_state_dict.ema_model.1.weight",
        "list.0",
        "list.1.0",
        "model_state_dict.0.bias",
        "model_state_dict.0.weight",
        "model_state_dict.1.bias",
        "model_state_dict.1.weight",
        "parameter",
    };
    const float nine = 9, two = 2, three[] = {3, 3, 3};
    struct vox_weights *w = open_fixture(file);
    assert_int_equal(vox_weights_count(w), VOX_COUNT(names));
    for (uint64_t i = 0; i < VOX_COUNT(names); i++)
        assert_string_equal(vox_weights_at(w, i)->name.data, names[i]);
    assert_bytes(w, "parameter", &nine, 4);
    assert_bytes(w, "list.1.0", &two, 4);
    assert_shape(must_find(w, "model_state_dict.0.weight"), "F32", "[3, 2]", "[2, 1]");
    assert_bytes(w, "model_state_dict.1.bias", three, sizeof(three));
    assert_ptr_equal(must_find(w, "model_state_dict.1.bias")->data,
                     must_find(w, "ema_model_state_dict.ema_model.1.bias")->data);
    vox_weights_close(w);
}

static void weights_are_found_among_everything_else(void **state)
{
    (void)state;
    assert_training("training.pt");
}

static void protocol_4_is_read(void **state)
{
    (void)state;
    assert_training("protocol4.pt");
}

static void newer_dtypes_are_listed(void **state)
{
    (void)state;
    struct vox_weights *w = open_fixture("new_dtypes.pt");
    assert_int_equal(vox_weights_count(w), 3);
    assert_int_equal(must_find(w, "f8")->dtype, VOX_DTYPE_F8_E4M3);
    assert_bytes(w, "u16", (const uint16_t[]){1, 1, 1}, 6);
    vox_weights_close(w);
}

static void an_object_that_holds_itself_ends(void **state)
{
    (void)state;
    struct vox_weights *w = open_fixture("cyclic.pt");
    assert_int_equal(vox_weights_count(w), 1);
    assert_shape(must_find(w, "items.0"), "F32", "[1]", "[1]");
    vox_weights_close(w);
}

static void assert_fixture_refused(const char *name, const char *message)
{
    size_t size;
    uint8_t *bytes = load(name, &size);
    assert_refused_bytes(bytes, size, message);
    free(bytes);
}

static void objects_and_compression_are_refused(void **state)
{
    (void)state;
    assert_fixture_refused("object.pt", "model: holds no tensors outside of objects, whose code is "
                                        "never run: save the model's state_dict");
    assert_fixture_refused("compressed.pt",
                           "model: is compressed, which is not supported: save it with torch.save");
}

/* --- Damage ---------------------------------------------------------------------------------------- */

static uint8_t *find_bytes(uint8_t *bytes, size_t size, const char *text, size_t text_size)
{
    uint8_t *found = memmem(bytes, size, text, text_size);
    assert_non_null(found);
    return found;
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state)
{
    static const char *files[] = {"numbers.pt", "zip64.pt", "legacy.pt"};
    (void)state;
    for (size_t k = 0; k < VOX_COUNT(files); k++) {
        size_t size;
        uint8_t *bytes = load(files[k], &size);
        for (size_t cut = 0; cut < size; cut++) {
            struct vox_error error = {.size = sizeof(error)};
            struct vox_weights *w;
            uint8_t *head = malloc(cut ? cut : 1);
            assert_non_null(head);
            memcpy(head, bytes, cut);
            assert_int_equal(weights_open_bytes("m", head, cut, &w, &error), VOX_EMODEL);
            assert_true(strncmp(error.message, "m: ", 3) == 0);
            free(head);
        }
        free(bytes);
    }
}

static void a_damaged_zip_directory_is_refused(void **state)
{
    static const char damaged[] = "model: an entry of its zip directory is damaged";
    static const char outside[] =
        "model: its zip directory lies outside the file: the file is cut off or damaged";
    static const char crowded[] = "model: its zip directory has more entries than fit";
    static const char damaged64[] = "model: its zip64 directory is damaged";
    static const struct {
        const char *file, *mark;
        size_t offset; /* of the byte to change, behind the mark */
        uint8_t value;
        const char *message;
    } cases[] = {
        {"plain.pt", "PK\5\6", 0, 0,
         "model: its zip directory is missing: the file is cut off or damaged"},
        {"plain.pt", "PK\5\6", 20, 1, /* a comment that is not there */
         "model: its zip directory is missing: the file is cut off or damaged"},
        {"plain.pt", "PK\5\6", 15, 1, outside},
        {"plain.pt", "PK\5\6", 19, 1, outside},
        {"plain.pt", "PK\5\6", 11, 0xff, crowded},
        {"plain.pt", "PK\5\6", 16, 0, damaged},
        {"plain.pt", "PK\1\2", 0, 0, damaged},
        {"plain.pt", "PK\1\2", 29, 0xff, damaged}, /* size of the name */
        {"plain.pt", "PK\1\2", 45, 0x7f, damaged}, /* place of the entry */
        {"plain.pt", "PK\1\2", 42, 1, damaged},
        {"plain.pt", "PK\1\2", 23, 0x7f, damaged}, /* size of the entry */
        {"plain.pt", "little", 0, 'b',
         "model: was written on a big-endian machine, which is not supported"},
        {"zip64.pt", "PK\6\6", 0, 0, damaged64},
        {"zip64.pt", "PK\6\6", 47, 1, outside},
        {"zip64.pt", "PK\6\6", 38, 1, crowded},
        {"zip64.pt", "PK\6\7", 15, 0xff, damaged64},
        {"zip64.pt", "PK\1\2", 46 + 16 + 2, 23, damaged}, /* size of the extra field */
        {"zip64.pt", "PK\1\2", 46 + 16 + 4 + 15, 1, damaged},
    };
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(cases); i++) {
        size_t size;
        uint8_t *bytes = load(cases[i].file, &size);
        find_bytes(bytes, size, cases[i].mark, strlen(cases[i].mark))[cases[i].offset] =
            cases[i].value;
        assert_refused_bytes(bytes, size, cases[i].message);
        free(bytes);
    }
}

static void an_entry_that_is_there_twice_is_refused(void **state)
{
    size_t size;
    (void)state;
    uint8_t *bytes = load("numbers.pt", &size);
    uint8_t *directory = find_bytes(bytes, size, "PK\1\2", 4);
    uint8_t *name = find_bytes(directory, size - (size_t)(directory - bytes), "numbers/data/3", 14);
    name[13] = '4';
    assert_refused_bytes(bytes, size, "model: its zip directory has two entries of one name");
    free(bytes);
}

static void a_storage_that_is_not_there_is_named(void **state)
{
    size_t size;
    (void)state;
    uint8_t *bytes = load("numbers.pt", &size);
    uint8_t *directory = find_bytes(bytes, size, "PK\1\2", 4);
    uint8_t *name = find_bytes(directory, size - (size_t)(directory - bytes), "numbers/data/1", 14);
    memcpy(name + 8, "atad", 4);
    assert_refused_bytes(
        bytes, size, "model: f64 lies in a storage that the file does not have, or has compressed");
    free(bytes);
}

static void a_zip_of_something_else_is_refused(void **state)
{
    size_t size;
    (void)state;
    uint8_t *bytes = load("numbers.pt", &size);
    uint8_t *directory = find_bytes(bytes, size, "PK\1\2", 4);
    find_bytes(directory, size - (size_t)(directory - bytes), "data.pkl", 8)[0] = 'D';
    assert_refused_bytes(bytes, size, "model: is a zip archive, but not one that torch.save wrote");
    free(bytes);
}

static void a_legacy_file_that_is_damaged_is_refused(void **state)
{
    size_t size;
    (void)state;
    uint8_t *bytes = load("legacy.pt", &size);
    bytes[18] = 0; /* 1001 */
    assert_refused_bytes(bytes, size, "model: was written by a torch that is not known");
    free(bytes);
    bytes = load("legacy.pt", &size);
    find_bytes(bytes, size, "little_endian", 13)[15] = 0x89; /* False */
    assert_refused_bytes(bytes, size,
                         "model: was written on a big-endian machine, which is not supported");
    free(bytes);
    bytes = load("legacy.pt", &size);
    assert_refused_bytes(bytes, size - 1, "model: is cut off: storage 12 lies beyond its end");
    free(bytes);
}

/* --- Pickles written by hand ----------------------------------------------------------------------- */

/* Every storage is these 64 bytes. */
static const uint8_t storage[64];

static bool find_any(const void *self, struct vox_str key, const uint8_t **data, uint64_t *size)
{
    (void)self;
    *data = storage;
    *size = sizeof(storage);
    return !vox_str_is(key, "none");
}

static int32_t read_pickle(const char *text, size_t size, struct vox_weights *w,
                           struct vox_error *error)
{
    const struct storages storages = {find_any, NULL};
    *w = (struct vox_weights){.size = 64, .file = (char *)(uintptr_t) "m"};
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    int32_t code = checkpoint_read_pickle(w, copy, size, &storages, error);
    free(copy);
    return code;
}

/* The table alone was filled; the rest of `w` is this file's own. */
static void drop_table(struct vox_weights *w)
{
    struct vox_weights *whole = calloc(1, sizeof(*whole));
    assert_non_null(whole);
    *whole = *w;
    whole->file = NULL;
    vox_weights_close(whole);
}

#define TENSOR(dtype, key, count, offset, dims, strides)                                    \
    "ctorch._utils\n_rebuild_tensor_v2\n((U\7storagectorch\n" dtype "\n" key "U\3cpu" count \
    "tQ" offset dims strides "\x89}tR"
#define FLOATS(offset, dims, strides) \
    TENSOR("FloatStorage",            \
           "U\1"                      \
           "0",                       \
           "K\x10", offset, dims, strides)
#define ROOT(value) "\x80\2}U\1x" value "s."

static void a_tensor_stays_inside_its_storage(void **state)
{
#define CASE(text, message)             \
    {                                   \
        text, sizeof(text) - 1, message \
    }
    static const struct {
        const char *text;
        size_t size;
        const char *message; /* NULL: taken */
    } cases[] = {
        CASE(ROOT(FLOATS("K\0", "K\x10\x85", "K\1\x85")), NULL),
        CASE(ROOT(FLOATS("K\x0f", "K\1\x85", "K\1\x85")), NULL),
        CASE(ROOT(FLOATS("K\0", "K\2K\2\x86", "K\x0cK\3\x86")), NULL),
        CASE(ROOT(FLOATS("K\x10", "K\1\x85", "K\1\x85")), "m: x reaches beyond its storage"),
        CASE(ROOT(FLOATS("K\0", "K\x11\x85", "K\1\x85")), "m: x reaches beyond its storage"),
        CASE(ROOT(FLOATS("K\0", "K\2K\2\x86", "K\x0cK\4\x86")), "m: x reaches beyond its storage"),
        CASE(ROOT(FLOATS("J\xff\xff\xff\xff", "K\1\x85", "K\1\x85")),
             "m: x has a shape that is none"),
        CASE(ROOT(FLOATS("K\0", "J\xff\xff\xff\xff\x85", "K\1\x85")),
             "m: x has a shape that is none"),
        CASE(ROOT(FLOATS("K\0", "K\1\x85", "J\xff\xff\xff\xff\x85")),
             "m: x has a shape that is none"),
        CASE(ROOT(FLOATS("K\0", "K\1\x85", ")")), "m: x has a shape that is none"),
        CASE(ROOT(FLOATS("K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t")),
             "m: x has a shape that is none"),
        CASE(ROOT(FLOATS("K\0", "K\2K\1\x86", "\x8a\x08\xfe\xff\xff\xff\xff\xff\xff\x7fK\1\x86")),
             "m: x reaches beyond its storage"),
        CASE(ROOT(FLOATS("K\0", "K\3K\2\x86", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x86")),
             "m: x has a shape that is none"),
        CASE(ROOT(FLOATS("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\1\x85", "K\1\x85")),
             "m: x reaches beyond its storage"),
        CASE(ROOT(FLOATS("K\0", "K\x41\x85", "K\0\x85")),
             "m: x has more elements than the file has bytes"),
        CASE(ROOT(TENSOR("FloatStorage",
                         "U\1"
                         "0",
                         "K\x11", "K\0", "K\1\x85", "K\1\x85")),
             "m: x lies in a storage of 64 bytes, expected 68"),
        CASE(ROOT(TENSOR("FloatStorage",
                         "U\1"
                         "0",
                         "J\xff\xff\xff\xff", "K\0", ")", ")")),
             "m: x lies in a storage without a size"),
        CASE(ROOT(TENSOR("FloatStorage", "U\4none", "K\1", "K\0", ")", ")")),
             "m: x lies in a storage that the file does not have, or has compressed"),
        CASE(ROOT(TENSOR("UntypedStorage",
                         "U\1"
                         "0",
                         "K\1", "K\0", ")", ")")),
             "m: x has a dtype that is not supported"),
    };
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(cases); i++) {
        struct vox_error error = {.size = sizeof(error)};
        struct vox_weights w;
        int32_t code = read_pickle(cases[i].text, cases[i].size, &w, &error);
        if (code == VOX_OK && cases[i].message)
            fail_msg("taken; expected: %s", cases[i].message);
        assert_string_equal(error.message, cases[i].message ? cases[i].message : "");
        drop_table(&w);
    }
}

static void each_fault_of_a_pickle_is_named(void **state)
{
#define AT(byte) "m: its pickle cannot be read at byte " byte ": "
    static const struct {
        const char *text;
        size_t size;
        const char *message;
    } cases[] = {
        CASE("", AT("0") "it is cut off"),
        CASE("\x80", AT("1") "it is cut off"),
        CASE("X\xff\xff\xff\xff"
             "a",
             AT("5") "it is cut off"),
        CASE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
             "a",
             AT("9") "it is cut off"),
        CASE("ctorch\nFloatStorage", AT("7") "it is cut off"),
        CASE(".", AT("1") "its stack is empty"),
        CASE("(.", AT("2") "its stack is empty"),
        CASE("K\1(\x85.", AT("4") "its stack is empty"),
        CASE("t", AT("1") "a mark is missing"),
        CASE("h\0", AT("2") "it refers to something that is not there"),
        CASE("K\1q\2h\1", AT("6") "it refers to something that is not there"),
        CASE("K\1r\xff\xff\xff\xff", AT("7") "its memo is too large"),
        CASE("}(K\1u", AT("5") "a key has no value"),
        CASE("}K\1"
             "a",
             AT("4") "an object of the wrong kind is filled"),
        CASE("]K\1K\2s", AT("6") "an object of the wrong kind is filled"),
        CASE("\x82\1", AT("1") "it has an opcode that torch.save does not write"),
        CASE("cos\nsystem\nU\1x\x85R.", "m: holds no tensors outside of objects, whose code is "
                                        "never run: save the model's state_dict"),
        CASE("ctorch._utils\n_rebuild_tensor_v2\n)R", AT("35") "a tensor's record is not one"),
        CASE("ctorch._utils\n_rebuild_tensor_v2\n(K\1K\1))tR",
             AT("42") "a tensor's record is not one"),
        CASE("(U\7storageK\1K\1K\1K\1tQ", AT("20") "a storage's record is not one"),
        CASE("(U\7storagectorch\nFloatStorage\nU\1"
             "0U\3cpuK\1K\1tQ",
             AT("44") "views of storages, as torch 0.3 wrote them, are not supported"),
        CASE("ccollections\nOrderedDict\n]\x85R",
             AT("28") "a dictionary is made from something else"),
    };
    (void)state;
    for (size_t i = 0; i < VOX_COUNT(cases); i++) {
        struct vox_error error = {.size = sizeof(error)};
        struct vox_weights w;
        int32_t code = read_pickle(cases[i].text, cases[i].size, &w, &error);
        if (code == VOX_OK)
            fail_msg("case %zu is taken", i);
        assert_string_equal(error.message, cases[i].message);
        drop_table(&w);
    }
}

static void a_key_that_is_no_name_is_left_out(void **state)
{
    static const char text[] = "\x80\2}(U\3a\nb" FLOATS("K\0", ")", ")") "U\2\xc3(" FLOATS(
        "K\0", ")", ")") "G\0\0\0\0\0\0\0\0" FLOATS("K\0", ")",
                                                    ")") "U\1y" FLOATS("K\0", ")",
                                                                       ")") "K\7" FLOATS("K\4", ")",
                                                                                         ")") "u.";
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights w;
    (void)state;
    assert_int_equal(read_pickle(text, sizeof(text) - 1, &w, &error), VOX_OK);
    assert_int_equal(w.count, 2);
    assert_string_equal(w.at[0].name.data, "y");
    assert_string_equal(w.at[1].name.data, "7");
    assert_ptr_equal(w.at[1].data, storage + 16);
    drop_table(&w);
}

static void a_tensor_alone_has_no_name(void **state)
{
    static const char text[] = "\x80\2" FLOATS("K\0", ")", ")") ".";
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights w;
    (void)state;
    assert_int_equal(read_pickle(text, sizeof(text) - 1, &w, &error), VOX_EMODEL);
    assert_string_equal(error.message, "m: a tensor has a name of 0 bytes, expected 1 to 511");
    drop_table(&w);
}

static void assert_grows_into(const char *head, const char *piece, size_t count, const char *tail,
                              const char *message)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights w;
    size_t head_size = strlen(head), piece_size = strlen(piece), tail_size = strlen(tail);
    char *text = malloc(head_size + piece_size * count + tail_size);
    assert_non_null(text);
    memcpy(text, head, head_size);
    for (size_t i = 0; i < count; i++)
        memcpy(text + head_size + i * piece_size, piece, piece_size);
    memcpy(text + head_size + count * piece_size, tail, tail_size);
    assert_int_equal(read_pickle(text, head_size + piece_size * count + tail_size, &w, &error),
                     VOX_EMODEL);
    assert_string_equal(error.message, message);
    drop_table(&w);
    free(text);
}

static void every_limit_of_the_machine_holds(void **state)
{
    (void)state;
    assert_grows_into("", "(", 1025, "", AT("1025") "it nests too deep");
    assert_grows_into("", "]", 4200000, "", AT("4194304") "it has too many objects");
    assert_grows_into("", "N", 4200000, "", AT("4194305") "its stack is too high");
    assert_grows_into(
        "K\1", "\x85", 65, ".",
        "m: 0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
        "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
        " nests too deep");
    /* Each tuple holds the one before it twice: 2^40 ways down. */
    assert_grows_into("K\1", "2\x86", 40, ".", "m: nests its objects too often");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_every_kind_are_read),
        cmocka_unit_test(the_legacy_layout_is_read),
        cmocka_unit_test(zip_with_and_without_zip64_is_read),
        cmocka_unit_test(weights_are_found_among_everything_else),
        cmocka_unit_test(protocol_4_is_read),
        cmocka_unit_test(newer_dtypes_are_listed),
        cmocka_unit_test(an_object_that_holds_itself_ends),
        cmocka_unit_test(objects_and_compression_are_refused),
        cmocka_unit_test(a_cut_file_is_refused_wherever_it_is_cut),
        cmocka_unit_test(a_damaged_zip_directory_is_refused),
        cmocka_unit_test(an_entry_that_is_there_twice_is_refused),
        cmocka_unit_test(a_storage_that_is_not_there_is_named),
        cmocka_unit_test(a_zip_of_something_else_is_refused),
        cmocka_unit_test(a_legacy_file_that_is_damaged_is_refused),
        cmocka_unit_test(a_tensor_stays_inside_its_storage),
        cmocka_unit_test(each_fault_of_a_pickle_is_named),
        cmocka_unit_test(a_key_that_is_no_name_is_left_out),
        cmocka_unit_test(a_tensor_alone_has_no_name),
        cmocka_unit_test(every_limit_of_the_machine_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
