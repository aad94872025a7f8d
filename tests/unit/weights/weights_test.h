/* What the tests of weight files share: files made by hand and opened, from memory or from a folder. */
#ifndef WEIGHTS_TEST_H
#define WEIGHTS_TEST_H

#include "weights/weights_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A safetensors file: the size of its header, the header, and `data_size` bytes 0, 1, 2, ... Freed by the
 * caller. */
static inline uint8_t *make_safetensors(const char *header, size_t data_size, size_t *size)
{
    size_t header_size = strlen(header);
    uint8_t *bytes = malloc(8 + header_size + data_size);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)header_size >> 8 * i);
    memcpy(bytes + 8, header, header_size);
    for (size_t i = 0; i < data_size; i++)
        bytes[8 + header_size + i] = (uint8_t)i;
    *size = 8 + header_size + data_size;
    return bytes;
}

/* `bytes` is of exactly that size, so that a sanitizer sees every read past the end. */
static inline void assert_refused_bytes(const uint8_t *bytes, size_t size, const char *message)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *w = NULL;
    int32_t code = weights_open_bytes("dir/model", bytes, size, &w, &error);
    if (code == VOX_OK)
        fail_msg("taken; expected: %s", message);
    assert_int_equal(code, VOX_EMODEL);
    assert_int_equal(error.code, VOX_EMODEL);
    assert_null(w);
    assert_string_equal(error.message, message);
}

static inline struct vox_weights *open_path(const char *path)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *w = NULL;
    if (vox_weights_open(path, &w, &error) != VOX_OK)
        fail_msg("%s", error.message);
    return w;
}

static inline void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A new folder in the build, with a file in it that is called `name`; `path` gets its path. */
static inline void write_new(char path[4096], const char *name, const uint8_t *bytes, size_t size)
{
    char dir[] = BUILD_DIR "/weights_XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_true(snprintf(path, 4096, "%s/%s", dir, name) < 4096);
    write_file(path, bytes, size);
}

static inline void remove_new(const char *path)
{
    char dir[4096];
    snprintf(dir, sizeof(dir), "%s", path);
    assert_int_equal(unlink(path), 0);
    *strrchr(dir, '/') = 0;
    assert_int_equal(rmdir(dir), 0);
}

static inline const struct vox_weight *must_find(const struct vox_weights *w, const char *name)
{
    const struct vox_weight *weight = vox_weights_find(w, name);
    if (!weight)
        fail_msg("%s is missing", name);
    return weight;
}

static inline void assert_shape(const struct vox_weight *weight, const char *dtype,
                                const char *dims, const char *strides)
{
    char text[SHAPE_TEXT_SIZE];
    assert_string_equal(vox_dtype_name(weight->dtype), dtype);
    assert_string_equal(weights_shape_text(text, weight->dims, weight->rank), dims);
    assert_string_equal(weights_shape_text(text, weight->strides, weight->rank), strides);
}

#endif
