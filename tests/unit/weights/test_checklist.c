/* Strict loading: takes by name and shape, everything that is wrong in one error, and values that are no
 * numbers. */
#include "weights_test.h"

#include <float.h>

/* Tensors in the layout of official F5-TTS files: two behind a prefix, two beside it. */
static const char header[] =
    "{\"ema_model.proj.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"ema_model.proj.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
    "\"initted\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[32,33]},"
    "\"step\":{\"dtype\":\"U64\",\"shape\":[],\"data_offsets\":[33,41]}}";

struct fixture {
    uint8_t *bytes;
    struct vox_weights *w;
    char lines[4096]; /* what settle told, each with a newline */
};

static struct fixture *fixture_create(const char *text, size_t data_size)
{
    struct fixture *f = calloc(1, sizeof(*f));
    size_t size;
    assert_non_null(f);
    f->bytes = make_safetensors(text, data_size, &size);
    assert_int_equal(weights_open_bytes("model.safetensors", f->bytes, size, &f->w, NULL), VOX_OK);
    return f;
}

static void fixture_destroy(struct fixture *f)
{
    vox_weights_close(f->w);
    free(f->bytes);
    free(f);
}

static void keep_line(void *arg, const char *text)
{
    struct fixture *f = arg;
    size_t used = strlen(f->lines);
    snprintf(f->lines + used, sizeof(f->lines) - used, "%s\n", text);
}

static void assert_settles(struct fixture *f, const char *message, const char *lines)
{
    struct vox_error error = {.size = sizeof(error)};
    int32_t code = vox_weights_settle(f->w, keep_line, f, &error);
    assert_string_equal(error.message, message);
    assert_int_equal(code, message[0] ? VOX_EMODEL : VOX_OK);
    assert_string_equal(f->lines, lines);
}

static const struct vox_weight *take2(struct fixture *f, const char *name, int64_t a, int64_t b)
{
    return vox_weights_take(f->w, (const int64_t[]){a, b}, 2, name);
}

static void a_model_that_takes_all_is_content(void **state)
{
    struct fixture *f = fixture_create(header, 41);
    (void)state;
    vox_weights_ignore(f->w, "initted");
    vox_weights_ignore(f->w, "step");
    vox_weights_ignore(f->w, "not there");
    vox_weights_prefix(f->w, "ema_model.");
    const struct vox_weight *weight = take2(f, "proj.weight", 2, -1);
    assert_ptr_equal(weight, must_find(f->w, "ema_model.proj.weight"));
    assert_non_null(vox_weights_take(f->w, (const int64_t[]){2}, 1, "proj.bias"));
    assert_ptr_equal(take2(f, "proj.weight", 2, 3), weight); /* twice is fine */
    assert_settles(f, "", "");
    fixture_destroy(f);
}

static void everything_wrong_is_told_at_once(void **state)
{
    struct fixture *f = fixture_create(header, 41);
    (void)state;
    vox_weights_prefix(f->w, "ema_model.");
    assert_null(take2(f, "out.weight", 2, 3));
    assert_null(take2(f, "proj.weight", -1, 4));
    assert_null(vox_weights_take(f->w, (const int64_t[]){2, 1}, 2, "proj.bias"));
    vox_weights_prefix(f->w, "");
    assert_null(vox_weights_take(f->w, NULL, 0, "step"));
    assert_settles(f,
                   "model.safetensors: ema_model.out.weight is missing; ema_model.proj.weight has "
                   "shape [2, 3], expected [?, 4]; ema_model.proj.bias has shape [2], expected "
                   "[2, 1]; step has dtype U64, which is not supported; initted is not used",
                   "ema_model.out.weight is missing\n"
                   "ema_model.proj.weight has shape [2, 3], expected [?, 4]\n"
                   "ema_model.proj.bias has shape [2], expected [2, 1]\n"
                   "step has dtype U64, which is not supported\n"
                   "initted is not used\n");
    fixture_destroy(f);
}

static void one_misshapen_weight_reads_as_one_line(void **state)
{
    static const char small[] = "{\"transformer.proj_out.weight\":{\"dtype\":\"F16\",\"shape\":"
                                "[100,768],\"data_offsets\":[0,153600]}}";
    struct fixture *f = fixture_create(small, 153600);
    (void)state;
    assert_null(take2(f, "transformer.proj_out.weight", 100, 1024));
    assert_settles(f,
                   "model.safetensors: transformer.proj_out.weight has shape [100, 768], "
                   "expected [100, 1024]",
                   "transformer.proj_out.weight has shape [100, 768], expected [100, 1024]\n");
    fixture_destroy(f);
}

static void what_does_not_fit_the_message_is_counted(void **state)
{
    struct fixture *f = fixture_create("{}", 0);
    struct vox_error error = {.size = sizeof(error)};
    char expected[512] = "model.safetensors: blocks.0.attention.weight is missing", name[64];
    size_t told = 1;
    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "blocks.%d.attention.weight", i);
        assert_null(vox_weights_take(f->w, NULL, 0, name));
    }
    assert_int_equal(vox_weights_settle(f->w, keep_line, f, &error), VOX_EMODEL);
    for (; told < 40 && strlen(expected) + 40 < sizeof(error.message) - 24; told++) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used,
                 "; blocks.%zu.attention.weight is missing", told);
    }
    size_t used = strlen(expected);
    snprintf(expected + used, sizeof(expected) - used, "; and %zu more", 40 - told);
    assert_string_equal(error.message, expected);
    size_t lines = 0;
    for (const char *c = f->lines; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 40);
    fixture_destroy(f);
}

static void a_whole_branch_can_be_ignored(void **state)
{
    struct fixture *f = fixture_create(header, 41);
    (void)state;
    vox_weights_ignore_all(f->w, "ema_model.");
    vox_weights_ignore_all(f->w, "i");
    assert_settles(f, "model.safetensors: step is not used", "step is not used\n");
    fixture_destroy(f);
}

/* A weight over `data`, contiguous. */
static struct vox_weight weight_over(uint32_t dtype, const void *data, int64_t count)
{
    return (struct vox_weight){.dtype = dtype,
                               .rank = 1,
                               .dims = {count},
                               .strides = {1},
                               .data = data,
                               .size = (uint64_t)count * vox_dtype_size(dtype)};
}

#define COUNT 5000

static void the_first_value_that_is_no_number_is_found(void **state)
{
    static float f32[COUNT];
    static double f64[COUNT];
    static uint16_t f16[COUNT], bf16[COUNT];
    static const int places[] = {0, 1, 1023, 1024, 2047, 2048, 4095, 4096, COUNT - 1};
    struct vox_weight all[] = {
        weight_over(VOX_DTYPE_F32, f32, COUNT), weight_over(VOX_DTYPE_F64, f64, COUNT),
        weight_over(VOX_DTYPE_F16, f16, COUNT), weight_over(VOX_DTYPE_BF16, bf16, COUNT)};
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        f32[i] = i % 2 ? FLT_MAX : -FLT_MIN / 2;
        f64[i] = i % 2 ? -DBL_MAX : DBL_MIN;
        f16[i] = i % 2 ? 0xfbff : 1;
        bf16[i] = i % 2 ? 0x7f7f : 0x8001;
    }
    for (size_t k = 0; k < VOX_COUNT(all); k++)
        assert_int_equal(vox_weight_first_nonfinite(&all[k]), -1);
    for (size_t i = VOX_COUNT(places); i-- > 0;) { /* from the back, so that each is the first */
        f32[places[i]] = i % 2 ? NAN : -INFINITY;
        f64[places[i]] = i % 2 ? INFINITY : NAN;
        f16[places[i]] = i % 2 ? 0x7c00 : 0xfe01;
        bf16[places[i]] = i % 2 ? 0xff80 : 0x7fc0;
        for (size_t k = 0; k < VOX_COUNT(all); k++)
            assert_int_equal(vox_weight_first_nonfinite(&all[k]), places[i]);
    }
    struct vox_weight integers = weight_over(VOX_DTYPE_I32, f32, COUNT);
    assert_int_equal(vox_weight_first_nonfinite(&integers), -1);
}

static void strides_and_misalignment_are_followed(void **state)
{
    uint8_t bytes[4 * 12 + 1];
    const float values[12] = {[5] = NAN};
    (void)state;
    memcpy(bytes + 1, values, sizeof(values));
    struct vox_weight weight = weight_over(VOX_DTYPE_F32, bytes + 1, 12);
    assert_int_equal(vox_weight_first_nonfinite(&weight), 5);
    weight.rank = 2; /* [4, 3], the transpose of [3, 4]: element 5 is row 1, column 1 of that */
    weight.dims[0] = 4, weight.dims[1] = 3;
    weight.strides[0] = 1, weight.strides[1] = 4;
    assert_int_equal(vox_weight_first_nonfinite(&weight), 1 * 3 + 1);
    weight.dims[0] = 3, weight.dims[1] = 1; /* the first column of [3, 4]: elements 0, 4, 8 */
    weight.strides[0] = 4, weight.strides[1] = 1;
    assert_int_equal(vox_weight_first_nonfinite(&weight), -1);
}

static void the_weight_with_a_bad_value_is_named(void **state)
{
    struct vox_error error = {.size = sizeof(error)};
    struct fixture *f = fixture_create(header, 41);
    const float bad = NAN;
    (void)state;
    uint8_t *data = (uint8_t *)(uintptr_t)must_find(f->w, "ema_model.proj.weight")->data;
    memcpy(data + 5 * sizeof(bad), &bad, sizeof(bad));
    assert_int_equal(vox_weights_check_finite(f->w, &error), VOX_OK); /* nothing is taken yet */
    assert_non_null(take2(f, "ema_model.proj.weight", 2, 3));
    assert_int_equal(vox_weights_check_finite(f->w, &error), VOX_EMODEL);
    assert_string_equal(error.message,
                        "model.safetensors: ema_model.proj.weight is NaN or infinite at [1, 2]");
    fixture_destroy(f);
}

/* Resident pages of a range, in kB, as the kernel counts them. */
static long resident_kb(const void *data)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long begin, end;
    long kb = -1;
    bool is_here = false;
    assert_non_null(maps);
    while (kb < 0 && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            is_here = (uintptr_t)data >= begin && (uintptr_t)data < end;
        if (is_here && strncmp(line, "Rss:", 4) == 0)
            kb = strtol(line + 4, NULL, 10);
    }
    fclose(maps);
    return kb;
}

static void released_pages_leave_memory_and_come_back(void **state)
{
    static const char large[] =
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[1048576],\"data_offsets\":[0,1048576]}}";
    char path[4096];
    size_t size;
    uint64_t before = 0, after = 0;
    (void)state;
    uint8_t *bytes = make_safetensors(large, 1048576, &size);
    write_new(path, "model.safetensors", bytes, size);
    struct vox_weights *w = open_path(path);
    const struct vox_weight *x = must_find(w, "x");
    for (uint64_t i = 0; i < x->size; i++)
        before += ((const uint8_t *)x->data)[i];
    assert_true(resident_kb(x->data) >= 1024);
    vox_weights_release(w, x);
    assert_true(resident_kb(x->data) <= 64);
    for (uint64_t i = 0; i < x->size; i++)
        after += ((const uint8_t *)x->data)[i];
    assert_int_equal(before, after);
    vox_weights_close(w);
    remove_new(path);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_takes_all_is_content),
        cmocka_unit_test(everything_wrong_is_told_at_once),
        cmocka_unit_test(one_misshapen_weight_reads_as_one_line),
        cmocka_unit_test(what_does_not_fit_the_message_is_counted),
        cmocka_unit_test(a_whole_branch_can_be_ignored),
        cmocka_unit_test(the_first_value_that_is_no_number_is_found),
        cmocka_unit_test(strides_and_misalignment_are_followed),
        cmocka_unit_test(the_weight_with_a_bad_value_is_named),
        cmocka_unit_test(released_pages_leave_memory_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
