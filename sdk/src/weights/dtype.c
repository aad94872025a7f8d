/* The kinds of numbers in weight files, by every name that they go by. Knows no format. */
#include "weights_file.h"

struct dtype {
    const char *name;    /* in safetensors, and in messages */
    const char *torch;   /* torch.NAME */
    const char *storage; /* the storage class that torch.save names; newer kinds have none */
    uint64_t size;
};

static const struct dtype dtypes[] = {
    [VOX_DTYPE_F32] = {"F32", "float32", "FloatStorage", 4},
    [VOX_DTYPE_F64] = {"F64", "float64", "DoubleStorage", 8},
    [VOX_DTYPE_F16] = {"F16", "float16", "HalfStorage", 2},
    [VOX_DTYPE_BF16] = {"BF16", "bfloat16", "BFloat16Storage", 2},
    [VOX_DTYPE_I64] = {"I64", "int64", "LongStorage", 8},
    [VOX_DTYPE_I32] = {"I32", "int32", "IntStorage", 4},
    [VOX_DTYPE_I16] = {"I16", "int16", "ShortStorage", 2},
    [VOX_DTYPE_I8] = {"I8", "int8", "CharStorage", 1},
    [VOX_DTYPE_U8] = {"U8", "uint8", "ByteStorage", 1},
    [VOX_DTYPE_BOOL] = {"BOOL", "bool", "BoolStorage", 1},
    [VOX_DTYPE_F8_E4M3] = {"F8_E4M3", "float8_e4m3fn", NULL, 1},
    [VOX_DTYPE_F8_E5M2] = {"F8_E5M2", "float8_e5m2", NULL, 1},
    [VOX_DTYPE_U16] = {"U16", "uint16", NULL, 2},
    [VOX_DTYPE_U32] = {"U32", "uint32", NULL, 4},
    [VOX_DTYPE_U64] = {"U64", "uint64", NULL, 8},
    [VOX_DTYPE_C64] = {"C64", "complex64", "ComplexFloatStorage", 8},
};

const char *vox_dtype_name(uint32_t dtype)
{
    return dtype < VOX_COUNT(dtypes) ? dtypes[dtype].name : NULL;
}

uint64_t vox_dtype_size(uint32_t dtype)
{
    return dtype < VOX_COUNT(dtypes) ? dtypes[dtype].size : 0;
}

uint32_t dtype_from_safetensors(struct vox_str name)
{
    for (uint32_t i = 1; i < VOX_COUNT(dtypes); i++)
        if (vox_str_is(name, dtypes[i].name))
            return i;
    return 0;
}

uint32_t dtype_from_torch(struct vox_str name)
{
    for (uint32_t i = 1; i < VOX_COUNT(dtypes); i++)
        if (vox_str_is(name, dtypes[i].torch))
            return i;
    return 0;
}

uint32_t dtype_from_storage(struct vox_str name)
{
    for (uint32_t i = 1; i < VOX_COUNT(dtypes); i++)
        if (dtypes[i].storage && vox_str_is(name, dtypes[i].storage))
            return i;
    return 0;
}
