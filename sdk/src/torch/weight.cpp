/* vt_weight: a tensor over the mapped bytes of a weight file (src/weights), or a converted copy
 * of them. */
#include "context.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

using namespace vox;

namespace vox
{

static at::ScalarType scalar_type_of_file(uint32_t dtype)
{
    switch (dtype) {
    case VOX_DTYPE_F32:
        return at::kFloat;
    case VOX_DTYPE_F64:
        return at::kDouble;
    case VOX_DTYPE_F16:
        return at::kHalf;
    case VOX_DTYPE_BF16:
        return at::kBFloat16;
    case VOX_DTYPE_I64:
        return at::kLong;
    case VOX_DTYPE_I32:
        return at::kInt;
    case VOX_DTYPE_I16:
        return at::kShort;
    case VOX_DTYPE_I8:
        return at::kChar;
    case VOX_DTYPE_U8:
        return at::kByte;
    case VOX_DTYPE_BOOL:
        return at::kBool;
    default:
        TORCH_CHECK(false, "a weight has dtype ", dtype, ", which cannot be used");
    }
}

static at::Tensor weight_tensor(const vt_cx *cx, const struct vox_weights *weights,
                                const struct vox_weight *weight, at::ScalarType type)
{
    at::IntArrayRef sizes(weight->dims, weight->rank), strides(weight->strides, weight->rank);
    at::ScalarType stored = scalar_type_of_file(weight->dtype);
    if (weight->size == 0)
        return at::empty(sizes, at::TensorOptions(type).device(cx->device));

    bool aligned = (uintptr_t)weight->data % c10::elementSize(stored) == 0;
    std::vector<char> copy;
    void *data = const_cast<void *>(weight->data); /* mapped read-only, and weights are only read */
    if (!aligned) {
        copy.resize(weight->size);
        memcpy(copy.data(), weight->data, weight->size);
        data = copy.data();
    }
    at::Tensor mapped = at::from_blob(data, sizes, strides, at::TensorOptions(stored));
    if (aligned && stored == type && cx->device.is_cpu())
        return mapped;
    at::Tensor own = mapped.to(at::TensorOptions(type).device(cx->device), /*non_blocking=*/false,
                               /*copy=*/true);
    vox_weights_release(weights, weight);
    return own;
}

} // namespace vox

vt *vt_weight(vt_cx *cx, struct vox_weights *weights, uint32_t type, struct vt_dims dims,
              const char *format, ...)
{
    char name[VOX_WEIGHT_NAME_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);

    const struct vox_weight *weight = vox_weights_take(weights, dims.size, dims.rank, name);
    if (!weight) /* noted in `weights` */
        return &cx->poison;
    vt *result = &cx->poison;
    guard(cx, name, {},
          [&] { result = slot_new(cx, weight_tensor(cx, weights, weight, scalar_type(type))); });
    return result;
}
