/* vt_weight: used in place where it can be, converted where it must be, poison where it is
 * missing. */
#include "tensor.h"

#include <string.h>
#include <unistd.h>

/* A safetensors file with `bytes` behind `header`; the header is padded so that data begin at 8
 * * k + `shift`. */
static struct vox_weights *file_open(const char *header, const void *bytes, size_t size,
                                     size_t shift)
{
    const char *path = BUILD_DIR "/tensor_weights.safetensors";
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *weights = NULL;
    uint64_t header_size = strlen(header);
    while (header_size % 8 != shift)
        header_size++;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(&header_size, 8, 1, file);
    fprintf(file, "%-*s", (int)header_size, header);
    fwrite(bytes, 1, size, file);
    assert_int_equal(fclose(file), 0);
    int32_t rc = vox_weights_open(path, &weights, &error);
    unlink(path);
    if (rc != VOX_OK)
        fail_msg("%s", error.message);
    return weights;
}

static const char two_by_two[] =
    "{\"block.1.w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
static const float four[4] = {1, 2, 3, 4};

static void an_aligned_weight_is_not_copied(void **state)
{
    (void)state;
    vt_cx *cx = cx_open(1);
    struct vox_weights *weights = file_open(two_by_two, four, sizeof(four), 0);
    vt *w = vt_weight(cx, weights, VT_F32, VT_DIMS(2, 2), "block.%d.%s", 1, "w");
    CHECK(w, VT_DIMS(2, 2), 1, 2, 3, 4);
    vt_end(cx);
    assert_int_equal(vt_live(cx), 1); /* held */
    vt_begin(cx, NULL);
    CHECK(vt_linear(cx, FROM(VT_DIMS(1, 2), 1, 1), w, NULL, 0), VT_DIMS(1, 2), 3, 7);
    assert_int_equal(vox_weights_settle(weights, NULL, NULL, NULL), VOX_OK);
    cx_close(cx);
    vox_weights_close(weights);
}

/* The file is closed while the weights are in use: what was copied does not notice. */
static void converted_and_misaligned_weights_are_copied(void **state)
{
    (void)state;
    vt_cx *cx = cx_open(1);
    for (size_t shift = 0; shift < 8; shift++) {
        struct vox_weights *weights = file_open(two_by_two, four, sizeof(four), shift);
        vt *w = vt_weight(cx, weights, VT_F32, VT_DIMS(2, 2), "block.1.w");
        vt *half = vt_weight(cx, weights, VT_BF16, VT_DIMS(2, -1), "block.1.w");
        if (shift % 4 == 0) {
            CHECK(w, VT_DIMS(2, 2), 1, 2, 3, 4);
            vt_drop(cx, w);
            w = NULL;
        }
        vox_weights_close(weights);
        if (w)
            CHECK(w, VT_DIMS(2, 2), 1, 2, 3, 4);
        assert_int_equal(vt_type(half), VT_BF16);
        CHECK(half, VT_DIMS(2, 2), 1, 2, 3, 4);
    }
    cx_close(cx);
}

static void every_stored_type_converts(void **state)
{
    (void)state;
    vt_cx *cx = cx_open(1);
    static const struct {
        const char *name;
        uint8_t bytes[16];
        size_t size;
    } types[] = {
        {"F64", {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x40}, 8},
        {"F16", {0, 0x3c, 0, 0x40}, 2},
        {"BF16", {0x80, 0x3f, 0, 0x40}, 2},
        {"I64", {1, 0, 0, 0, 0, 0, 0, 0, 2}, 8},
        {"I32", {1, 0, 0, 0, 2}, 4},
        {"I16", {1, 0, 2}, 2},
        {"I8", {1, 2}, 1},
        {"U8", {1, 2}, 1},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char header[128];
        snprintf(header, sizeof(header),
                 "{\"x\":{\"dtype\":\"%s\",\"shape\":[2],\"data_offsets\":[0,%d]}}", types[i].name,
                 (int)types[i].size * 2);
        struct vox_weights *weights = file_open(header, types[i].bytes, types[i].size * 2, 0);
        vt *x = vt_weight(cx, weights, VT_F32, VT_DIMS(2), "x");
        assert_int_equal(vt_type(x), VT_F32);
        CHECK(x, VT_DIMS(2), 1, 2);
        vox_weights_close(weights);
    }
    cx_close(cx);
}

static void a_missing_weight_is_poison_and_is_noted(void **state)
{
    (void)state;
    vt_cx *cx = cx_open(1);
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *weights = file_open(two_by_two, four, sizeof(four), 0);
    vt *absent = vt_weight(cx, weights, VT_F32, VT_DIMS(2, 2), "block.2.w");
    vt *misshapen = vt_weight(cx, weights, VT_F32, VT_DIMS(2, 3), "block.1.w");
    assert_int_equal(vt_size(absent, 0), 1);
    assert_int_equal(vt_size(misshapen, 1), 1);
    assert_true(vt_ok(cx));
    assert_int_equal(vox_weights_settle(weights, NULL, NULL, &error), VOX_EMODEL);
    assert_non_null(strstr(error.message, "block.2.w"));
    vt_add(cx, vt_arange(cx, 1), absent);
    assert_int_equal(vt_status(cx, NULL), VOX_EINTERNAL);
    cx_close(cx);
    vox_weights_close(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_aligned_weight_is_not_copied),
        cmocka_unit_test(converted_and_misaligned_weights_are_copied),
        cmocka_unit_test(every_stored_type_converts),
        cmocka_unit_test(a_missing_weight_is_poison_and_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
