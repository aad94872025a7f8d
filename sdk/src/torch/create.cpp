/* Tensors from host memory and back, and what is asked of a tensor. */
#include "context.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/zeros.h>

#include <cstring>

using namespace vox;

namespace vox
{

at::IntArrayRef sizes_of(const struct vt_dims &dims)
{
    TORCH_CHECK(dims.rank <= VT_RANK_MAX, "rank ", dims.rank, " is above ", VT_RANK_MAX);
    return {dims.size, dims.rank};
}

std::string shape_text(at::IntArrayRef sizes)
{
    std::string text = "[";
    for (size_t i = 0; i < sizes.size(); i++)
        text += (i ? ", " : "") + std::to_string(sizes[i]);
    return text + "]";
}

at::ScalarType scalar_type(uint32_t type)
{
    switch (type) {
    case VT_F32:
        return at::kFloat;
    case VT_BF16:
        return at::kBFloat16;
    case VT_F16:
        return at::kHalf;
    case VT_I64:
        return at::kLong;
    default:
        TORCH_CHECK(false, "no element type has the number ", type);
    }
}

uint32_t type_of(at::ScalarType type)
{
    switch (type) {
    case at::kFloat:
        return VT_F32;
    case at::kBFloat16:
        return VT_BF16;
    case at::kHalf:
        return VT_F16;
    case at::kLong:
        return VT_I64;
    default:
        return 0;
    }
}

/* A copy of host memory on the context's device. */
static at::Tensor copy_in(const vt_cx *cx, const void *data, at::ScalarType type,
                          const struct vt_dims &dims)
{
    at::IntArrayRef sizes = sizes_of(dims);
    TORCH_CHECK(data || c10::multiply_integers(sizes) == 0, "data is NULL");
    at::Tensor host = at::from_blob(const_cast<void *>(data), sizes, type);
    return cx->device.is_cpu() ? host.clone() : host.to(cx->device);
}

static void copy_out(const vt *x, void *out, at::ScalarType type, uint64_t count)
{
    const at::Tensor &tensor = of(x);
    TORCH_CHECK((uint64_t)tensor.numel() == count, "expected ", count, " elements");
    TORCH_CHECK(type == at::kLong || tensor.is_floating_point(), "expected a float tensor");
    TORCH_CHECK(type != at::kLong || tensor.scalar_type() == at::kLong, "expected an I64 tensor");
    at::Tensor host = tensor.to(at::kCPU, type).contiguous();
    if (count > 0)
        memcpy(out, host.const_data_ptr(), count * host.element_size());
}

} // namespace vox

vt *vt_from_f32(vt_cx *cx, const float *data, struct vt_dims dims)
{
    return compute(cx, "from_f32", {}, [&] { return copy_in(cx, data, at::kFloat, dims); });
}

vt *vt_from_i64(vt_cx *cx, const int64_t *data, struct vt_dims dims)
{
    return compute(cx, "from_i64", {}, [&] { return copy_in(cx, data, at::kLong, dims); });
}

vt *vt_zeros(vt_cx *cx, struct vt_dims dims)
{
    return compute(cx, "zeros", {}, [&] {
        return at::zeros(sizes_of(dims), at::TensorOptions(at::kFloat).device(cx->device));
    });
}

vt *vt_arange(vt_cx *cx, int64_t count)
{
    return compute(cx, "arange", {}, [&] {
        return at::arange(count, at::TensorOptions(at::kFloat).device(cx->device));
    });
}

vt *vt_linspace(vt_cx *cx, double first, double last, int64_t count)
{
    return compute(cx, "linspace", {}, [&] {
        return at::linspace(first, last, count, at::TensorOptions(at::kFloat).device(cx->device));
    });
}

void vt_read_f32(vt_cx *cx, const vt *x, float *out, uint64_t count)
{
    if (!guard(cx, "read_f32", {x}, [&] { copy_out(x, out, at::kFloat, count); }) && count > 0)
        memset(out, 0, count * sizeof(*out));
}

void vt_read_i64(vt_cx *cx, const vt *x, int64_t *out, uint64_t count)
{
    if (!guard(cx, "read_i64", {x}, [&] { copy_out(x, out, at::kLong, count); }) && count > 0)
        memset(out, 0, count * sizeof(*out));
}

int32_t vt_all_finite(vt_cx *cx, const vt *x)
{
    bool finite = false;
    guard(cx, "all_finite", {x}, [&] { finite = at::isfinite(of(x)).all().item<bool>(); });
    return finite;
}

struct vt_dims vt_shape(const vt *x)
{
    struct vt_dims dims = {1, {1}}; /* the poison's */
    if (x && x->tensor.defined()) {
        dims.rank = (uint32_t)std::min<int64_t>(x->tensor.dim(), VT_RANK_MAX);
        for (uint32_t i = 0; i < dims.rank; i++)
            dims.size[i] = x->tensor.size(i);
    }
    return dims;
}

int64_t vt_size(const vt *x, int32_t dim)
{
    if (!x || !x->tensor.defined())
        return 1;
    int64_t rank = x->tensor.dim();
    int64_t at = dim < 0 ? dim + rank : dim;
    return at >= 0 && at < rank ? x->tensor.size(at) : 1;
}

uint32_t vt_type(const vt *x)
{
    return x && x->tensor.defined() ? type_of(x->tensor.scalar_type()) : VT_F32;
}

const vt *vt_expect(vt_cx *cx, const vt *x, struct vt_dims dims)
{
    bool fits = guard(cx, "expect", {}, [&] {
        at::IntArrayRef sizes = of(x).sizes(), expected = sizes_of(dims);
        bool same = sizes.size() == expected.size();
        for (size_t i = 0; same && i < sizes.size(); i++)
            same = expected[i] == -1 || expected[i] == sizes[i];
        TORCH_CHECK(same, "shape is ", shape_text(sizes), ", expected ", shape_text(expected));
    });
    return fits ? x : &cx->poison;
}
