/* Reads the header of a safetensors file into the table: 8 bytes little-endian size, that much
 * JSON, then the tensors' bytes. Format: github.com/huggingface/safetensors, README "Format".
 *
 * The JSON has one fixed shape, {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin,
 * end]}}, so it is scanned in place, strictly and without recursion. A general parser would need
 * gigabytes for the worst header of the size that the format allows, and round integers.
 */
#include "weights_file.h"

#include <inttypes.h>
#include <stdlib.h>

#define HEADER_SIZE_MAX 100000000u /* as in the reference implementation */

struct scan {
    struct vox_weights *w;
    struct vox_error *error;
    const uint8_t *begin, *at, *end; /* the header */
    const uint8_t *data;             /* behind it, up to the file's end */
    uint64_t data_size;
    uint64_t data_end; /* the largest end offset so far */
};

/* The fields of a tensor, as a set. */
enum { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELD_ALL = 7 };

static int32_t expected(struct scan *s, const char *what)
{
    return weights_fail(s->w, s->error, "header byte %td: expected %s", s->at - s->begin, what);
}

/* --- Tokens ----------------------------------------------------------------------------------- */

static uint8_t peek(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
    return s->at < s->end ? *s->at : 0;
}

static bool accept(struct scan *s, char c)
{
    if (peek(s) != (uint8_t)c || s->at == s->end)
        return false;
    s->at++;
    return true;
}

/* Non-negative, without fraction, exponent or leading zeros. */
static int32_t scan_integer(struct scan *s, int64_t *value)
{
    peek(s);
    const uint8_t *begin = s->at;
    *value = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        if (__builtin_mul_overflow(*value, (int64_t)10, value) ||
            __builtin_add_overflow(*value, (int64_t)(*s->at - '0'), value))
            return expected(s, "an integer of 63 bits");
    bool has_leading_zero = s->at - begin > 1 && *begin == '0';
    uint8_t next = s->at < s->end ? *s->at : 0;
    if (s->at == begin || has_leading_zero || next == '.' || next == 'e' || next == 'E')
        return expected(s, "an integer");
    return VOX_OK;
}

static bool scan_hex4(struct scan *s, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        uint8_t c = s->at < s->end ? *s->at : 0;
        if (c >= '0' && c <= '9')
            *code = *code << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            *code = *code << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* What follows a backslash, as UTF-8; its size, or 0 when it is no escape. */
static size_t scan_escape(struct scan *s, uint8_t out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t c = s->at < s->end ? *s->at++ : 0;
    const char *found = c ? strchr(from, c) : NULL;
    uint32_t code, low;
    if (found) {
        out[0] = (uint8_t)to[found - from];
        return 1;
    }
    if (c != 'u' || !scan_hex4(s, &code))
        return 0;
    if (code >= 0xd800 && code < 0xdc00) { /* a pair of surrogates */
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
            return 0;
        s->at += 2;
        if (!scan_hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return 0;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(size == 1 ? code : (0xf00u >> size & 0xff) | code);
    return size;
}

/* A string, of which the first `cap` bytes go to `text`; `size` is how many it has. */
static int32_t scan_string(struct scan *s, char *text, size_t cap, uint64_t *size)
{
    if (!accept(s, '"'))
        return expected(s, "a string");
    *size = 0;
    while (s->at < s->end && *s->at != '"') {
        uint8_t piece[4] = {*s->at++};
        size_t count = piece[0] == '\\' ? scan_escape(s, piece) : 1;
        if (!count)
            return expected(s, "an escape sequence");
        for (size_t i = 0; i < count; i++, ++*size)
            if (*size < cap)
                text[*size] = (char)piece[i];
    }
    return accept(s, '"') ? VOX_OK : expected(s, "the end of the string");
}

/* --- The header's parts ----------------------------------------------------------------------- */

/* Calls `member` with each key of an object, the cursor behind its colon. */
static int32_t scan_object(struct scan *s, void *arg,
                           int32_t (*member)(struct scan *s, void *arg, struct vox_str key))
{
    char key[VOX_WEIGHT_NAME_MAX + 1];
    struct vox_str name = {key, 0};
    if (!accept(s, '{'))
        return expected(s, "'{'");
    if (accept(s, '}'))
        return VOX_OK;
    do {
        int32_t result = scan_string(s, key, sizeof(key), &name.size);
        if (result == VOX_OK && name.size > VOX_WEIGHT_NAME_MAX)
            result = expected(s, "a shorter name");
        if (result == VOX_OK && !accept(s, ':'))
            result = expected(s, "':'");
        if (result == VOX_OK)
            result = member(s, arg, name);
        if (result != VOX_OK)
            return result;
    } while (accept(s, ','));
    return accept(s, '}') ? VOX_OK : expected(s, "',' or '}'");
}

/* An array of at most `max` integers. */
static int32_t scan_integers(struct scan *s, int64_t *values, uint32_t max, uint32_t *count)
{
    *count = 0;
    if (!accept(s, '['))
        return expected(s, "'['");
    if (accept(s, ']'))
        return VOX_OK;
    do {
        if (*count == max)
            return weights_fail(s->w, s->error, "header byte %td: more than %u integers",
                                s->at - s->begin, max);
        int32_t result = scan_integer(s, &values[*count]);
        if (result != VOX_OK)
            return result;
        ++*count;
    } while (accept(s, ','));
    return accept(s, ']') ? VOX_OK : expected(s, "',' or ']'");
}

struct tensor {
    struct vox_weight weight;
    int64_t offsets[2];
    unsigned fields;
};

static int32_t scan_field(struct scan *s, void *arg, struct vox_str key)
{
    struct tensor *t = arg;
    char dtype[16];
    struct vox_str text = {dtype, 0};
    uint32_t count;
    unsigned field = vox_str_is(key, "dtype")          ? FIELD_DTYPE
                     : vox_str_is(key, "shape")        ? FIELD_SHAPE
                     : vox_str_is(key, "data_offsets") ? FIELD_OFFSETS
                                                       : 0u;
    if (!field || t->fields & field)
        return expected(s, "each of dtype, shape and data_offsets once");
    t->fields |= field;
    if (field == FIELD_SHAPE)
        return scan_integers(s, t->weight.dims, VOX_RANK_MAX, &t->weight.rank);
    if (field == FIELD_OFFSETS) {
        int32_t result = scan_integers(s, t->offsets, 2, &count);
        return result != VOX_OK || count == 2 ? result : expected(s, "two offsets");
    }
    int32_t result = scan_string(s, dtype, sizeof(dtype), &text.size);
    if (result != VOX_OK)
        return result;
    t->weight.dtype = text.size <= sizeof(dtype) ? dtype_from_safetensors(text) : 0;
    return t->weight.dtype ? VOX_OK : expected(s, "a known dtype");
}

/* Sets row-major strides and the bytes that the shape needs; false on overflow. */
static bool measure(struct vox_weight *weight)
{
    int64_t count = 1, bytes;
    for (uint32_t i = weight->rank; i-- > 0;) {
        weight->strides[i] = count;
        if (weight->dims[i] > 1 && __builtin_mul_overflow(count, weight->dims[i], &count))
            return false;
    }
    for (uint32_t i = 0; i < weight->rank; i++)
        if (weight->dims[i] == 0)
            count = 0;
    if (__builtin_mul_overflow(count, (int64_t)vox_dtype_size(weight->dtype), &bytes))
        return false;
    weight->size = (uint64_t)bytes;
    return true;
}

static int32_t skip_string(struct scan *s, void *arg, struct vox_str key)
{
    uint64_t size;
    (void)arg, (void)key;
    return scan_string(s, NULL, 0, &size);
}

static int32_t scan_tensor(struct scan *s, void *arg, struct vox_str key)
{
    struct tensor t = {0};
    char shape[SHAPE_TEXT_SIZE];
    bool *has_metadata = arg;
    if (vox_str_is(key, "__metadata__")) {
        if (*has_metadata)
            return expected(s, "only one __metadata__");
        *has_metadata = true;
        return scan_object(s, NULL, skip_string);
    }
    t.weight.name = key;
    int32_t result = weights_check_name(s->w, key, s->error);
    if (result == VOX_OK)
        result = scan_object(s, &t, scan_field);
    if (result != VOX_OK)
        return result;
    if (t.fields != FIELD_ALL)
        return expected(s, "each of dtype, shape and data_offsets once");
    int64_t begin = t.offsets[0], end = t.offsets[1];
    if (!measure(&t.weight) || end < begin || (uint64_t)(end - begin) != t.weight.size)
        return weights_fail(s->w, s->error,
                            "%.*s lies in bytes %" PRId64 " to %" PRId64
                            ", which do not hold %s of %s",
                            (int)key.size, key.data, begin, end,
                            weights_shape_text(shape, t.weight.dims, t.weight.rank),
                            vox_dtype_name(t.weight.dtype));
    if ((uint64_t)end > s->data_end)
        s->data_end = (uint64_t)end;
    t.weight.data = (uint64_t)end <= s->data_size ? s->data + begin : NULL;
    return weights_add(s->w, &t.weight, s->error);
}

/* --- The file --------------------------------------------------------------------------------- */

static int compare_places(const void *a, const void *b)
{
    const struct vox_weight *left = *(const struct vox_weight *const *)a;
    const struct vox_weight *right = *(const struct vox_weight *const *)b;
    uintptr_t x = (uintptr_t)left->data, y = (uintptr_t)right->data;
    return (x > y) - (x < y);
}

static int32_t check_overlap(const struct vox_weights *w, struct vox_error *error)
{
    int32_t result = VOX_OK;
    const struct vox_weight **places = calloc((size_t)w->count + 1, sizeof(*places));
    size_t count = 0;
    if (!places)
        return weights_fail_memory(w, error);
    for (uint64_t i = 0; i < w->count; i++)
        if (w->at[i].size)
            places[count++] = &w->at[i];
    qsort(places, count, sizeof(*places), compare_places);
    for (size_t i = 1; i < count && result == VOX_OK; i++)
        if ((const uint8_t *)places[i - 1]->data + places[i - 1]->size >
            (const uint8_t *)places[i]->data)
            result = weights_fail(w, error, "%s and %s overlap", places[i - 1]->name.data,
                                  places[i]->name.data);
    free(places);
    return result;
}

int32_t safetensors_read(struct vox_weights *w, struct vox_error *error)
{
    uint64_t header_size = read_le(w->bytes, 8);
    bool has_metadata = false;
    if (header_size > HEADER_SIZE_MAX)
        return weights_fail(w, error, "has a header of %" PRIu64 " bytes, at most %u are allowed",
                            header_size, HEADER_SIZE_MAX);
    if (header_size > w->size - 8)
        return weights_fail(w, error,
                            "is cut off: %" PRIu64 " bytes, its header alone needs %" PRIu64,
                            w->size, header_size + 8);
    struct scan s = {.w = w, .error = error, .begin = w->bytes + 8};
    s.at = s.begin;
    s.end = s.data = s.begin + header_size;
    s.data_size = w->size - 8 - header_size;
    int32_t result = scan_object(&s, &has_metadata, scan_tensor);
    if (result != VOX_OK)
        return result;
    peek(&s);
    if (s.at != s.end)
        return expected(&s, "the end of the header");
    if (s.data_end > s.data_size)
        return weights_fail(w, error, "is cut off: %" PRIu64 " bytes, its tensors need %" PRIu64,
                            w->size, 8 + header_size + s.data_end);
    return check_overlap(w, error);
}
