/* Layers but for vt_linear (linear.cpp) and attention (attention.cpp). */
#include "context.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/conv1d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>

using namespace vox;

vt *vt_conv1d(vt_cx *cx, const vt *x, const vt *w, const vt *bias, struct vt_conv conv)
{
    return compute(cx, "conv1d", {x, w, bias}, [&] {
        return at::conv1d(of(x), of(w), of_optional(bias), conv.stride ? conv.stride : 1,
                          conv.padding, conv.dilation ? conv.dilation : 1,
                          conv.groups ? conv.groups : 1);
    });
}

vt *vt_layer_norm(vt_cx *cx, const vt *x, const vt *w, const vt *bias, double eps)
{
    return compute(cx, "layer_norm", {x, w, bias}, [&] {
        return at::layer_norm(of(x), {of(x).size(-1)}, of_optional(w), of_optional(bias), eps);
    });
}

vt *vt_rms_norm(vt_cx *cx, const vt *x, const vt *w, double eps)
{
    return compute(cx, "rms_norm", {x, w},
                   [&] { return at::rms_norm(of(x), {of(x).size(-1)}, of_optional(w), eps); });
}

vt *vt_silu(vt_cx *cx, const vt *x)
{
    return compute(cx, "silu", {x}, [&] { return at::silu(of(x)); });
}

vt *vt_mish(vt_cx *cx, const vt *x)
{
    return compute(cx, "mish", {x}, [&] { return at::mish(of(x)); });
}

vt *vt_embedding(vt_cx *cx, const vt *w, const vt *ids)
{
    return compute(cx, "embedding", {w, ids}, [&] {
        if (of(ids).numel() > 0) { /* on CUDA a wrong id would end the device's context */
            auto [least, most] = at::aminmax(of(ids));
            TORCH_CHECK(least.item<int64_t>() >= 0 && most.item<int64_t>() < of(w).size(0),
                        "ids are ", least.item<int64_t>(), " to ", most.item<int64_t>(),
                        ", expected 0 to ", of(w).size(0) - 1);
        }
        return at::embedding(of(w), of(ids));
    });
}
