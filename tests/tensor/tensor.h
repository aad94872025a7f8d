/* What the tests of the tensor API share: a context on the CPU, and comparison with numbers
 * written out. */
#ifndef VOX_TESTS_TENSOR_H
#define VOX_TESTS_TENSOR_H

#include "vox/helpers.h"
#include "vox/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static inline vt_cx *cx_open(uint32_t threads)
{
    struct vt_setup setup = {.size = sizeof(setup), .threads = threads, .device = vox_text("cpu")};
    struct vox_error error = {.size = sizeof(error)};
    vt_cx *cx = NULL;
    assert_int_equal(vt_open(&setup, &cx, &error), VOX_OK);
    assert_int_equal(vt_begin(cx, &error), VOX_OK);
    return cx;
}

static inline void cx_close(vt_cx *cx)
{
    vt_end(cx);
    vt_close(cx);
}

/* cmocka fixtures: *state is a context at work. */
static inline int setup_cx(void **state)
{
    *state = cx_open(1);
    return 0;
}

static inline int teardown_cx(void **state)
{
    cx_close(*state);
    return 0;
}

static inline uint64_t dims_count(struct vt_dims dims)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < dims.rank; i++)
        count *= (uint64_t)dims.size[i];
    return count;
}

/* Fails the test unless x has that shape and these values, up to `tolerance` (absolute, plus
 * relative). */
static inline void check_near(vt_cx *cx, const vt *x, struct vt_dims dims, const float *expected,
                              double tolerance)
{
    struct vox_error error = {.size = sizeof(error)};
    if (vt_status(cx, &error) != VOX_OK)
        fail_msg("%s", error.message);
    struct vt_dims shape = vt_shape(x);
    assert_int_equal(shape.rank, dims.rank);
    for (uint32_t i = 0; i < dims.rank; i++)
        assert_int_equal(shape.size[i], dims.size[i]);

    uint64_t count = dims_count(dims);
    float *values = malloc((count + 1) * sizeof(*values));
    assert_non_null(values);
    vt_read_f32(cx, x, values, count);
    assert_int_equal(vt_status(cx, &error), VOX_OK);
    for (uint64_t i = 0; i < count; i++) {
        double distance = fabs((double)values[i] - (double)expected[i]);
        if (!(distance <= tolerance * (1 + fabs((double)expected[i]))))
            fail_msg("element %d is %.9g, expected %.9g", (int)i, (double)values[i],
                     (double)expected[i]);
    }
    free(values);
}

/* CHECK(x, VT_DIMS(2, 1), 1.5f, 2): within the rounding of float32. */
#define CHECK(x, dims, ...) check_near(cx, x, dims, (const float[]){__VA_ARGS__}, 2e-6)

#define FROM(dims, ...) vt_from_f32(cx, (const float[]){__VA_ARGS__}, dims)

/* Fails the test unless two tensors agree, element by element. */
static inline void check_same(vt_cx *cx, const vt *x, const vt *expected, double tolerance)
{
    struct vt_dims dims = vt_shape(expected);
    uint64_t count = dims_count(dims);
    float *values = malloc((count + 1) * sizeof(*values));
    assert_non_null(values);
    vt_read_f32(cx, expected, values, count);
    check_near(cx, x, dims, values, tolerance);
    free(values);
}

#endif
