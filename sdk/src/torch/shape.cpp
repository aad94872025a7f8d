/* Views, concatenation and conversion. */
#include "context.h"

#include <ATen/ops/cat.h>

using namespace vox;

vt *vt_reshape(vt_cx *cx, const vt *x, struct vt_dims dims)
{
    return compute(cx, "reshape", {x}, [&] { return of(x).reshape(sizes_of(dims)); });
}

vt *vt_transpose(vt_cx *cx, const vt *x, int32_t a, int32_t b)
{
    return compute(cx, "transpose", {x}, [&] { return of(x).transpose(a, b); });
}

vt *vt_narrow(vt_cx *cx, const vt *x, int32_t dim, int64_t start, int64_t length)
{
    return compute(cx, "narrow", {x}, [&] { return of(x).narrow(dim, start, length); });
}

vt *vt_cat(vt_cx *cx, const vt *const *list, uint32_t count, int32_t dim)
{
    return compute(cx, "cat", {}, [&] {
        std::vector<at::Tensor> tensors;
        tensors.reserve(count);
        for (uint32_t i = 0; i < count; i++)
            tensors.push_back(of(list[i]));
        return at::cat(tensors, dim);
    });
}

vt *vt_contiguous(vt_cx *cx, const vt *x)
{
    return compute(cx, "contiguous", {x}, [&] { return of(x).contiguous(); });
}

vt *vt_to(vt_cx *cx, const vt *x, uint32_t type)
{
    return compute(cx, "to", {x}, [&] { return of(x).to(scalar_type(type)); });
}
