/* vt_linear, which is most of the work of a transformer, by the faster of two backends:
 * libtorch's BLAS (MKL in the public builds, which on AMD takes an AVX2 path) and oneDNN.
 * cpu.cpp measures which. */
#include "linear.h"
#include "context.h"
#include "cpu.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

using namespace vox;

namespace vox
{

at::Tensor linear_blas(const at::Tensor &x, const at::Tensor &w,
                       const std::optional<at::Tensor> &bias, uint32_t activation)
{
    at::Tensor y = at::linear(x, w, bias);
    switch (activation) {
    case 0:
        return y;
    case VT_GELU:
        return at::gelu_(y);
    case VT_GELU_TANH:
        return at::gelu_(y, "tanh");
    case VT_SILU:
        return at::silu_(y);
    default:
        TORCH_CHECK(false, "no activation has the number ", activation);
    }
}

using Pointwise = at::Tensor(const at::Tensor &, const at::Tensor &,
                             const std::optional<at::Tensor> &, c10::string_view,
                             c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

/* The operator that torch.compile uses for its fused layers; it takes plain weights as well.
 * Absent from builds without oneDNN. */
static const std::optional<c10::OperatorHandle> &pointwise()
{
    static const std::optional<c10::OperatorHandle> handle =
        c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    return handle;
}

bool linear_onednn_exists()
{
    return pointwise().has_value();
}

at::Tensor linear_onednn(const at::Tensor &x, const at::Tensor &w,
                         const std::optional<at::Tensor> &bias, uint32_t activation)
{
    static const auto call = pointwise()->typed<Pointwise>();
    const char *name = "none", *algorithm = "";
    switch (activation) {
    case 0:
        break;
    case VT_GELU:
        name = "gelu", algorithm = "none";
        break;
    case VT_GELU_TANH:
        name = "gelu", algorithm = "tanh";
        break;
    case VT_SILU:
        name = "swish";
        break;
    default:
        TORCH_CHECK(false, "no activation has the number ", activation);
    }
    return call.call(x, w, bias, name, c10::List<std::optional<at::Scalar>>(), algorithm);
}

/* oneDNN's operator trusts its caller with the shapes. */
static void linear_check(const at::Tensor &x, const at::Tensor &w,
                         const std::optional<at::Tensor> &bias)
{
    TORCH_CHECK(w.dim() == 2 && x.dim() >= 1 && x.size(-1) == w.size(1),
                "the last dimension of x must match the columns of w");
    TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == w.size(0)),
                "bias must have one element per row of w");
}

} // namespace vox

vt *vt_linear(vt_cx *cx, const vt *x, const vt *w, const vt *bias, uint32_t activation)
{
    return compute(cx, "linear", {x, w, bias}, [&] {
        at::Tensor input = of(x).to(of(w).scalar_type());
        std::optional<at::Tensor> offset = of_optional(bias);
        linear_check(input, of(w), offset);
        /* For columns out of a wider matrix oneDNN has only its slow reference code. */
        bool onednn = cx->device.is_cpu() && input.numel() > 0 && of(w).is_contiguous() &&
                      cpu_linear_by_onednn(input.scalar_type(), cx->has_fast_bf16);
        return onednn ? linear_onednn(input, of(w), offset, activation)
                      : linear_blas(input, of(w), offset, activation);
    });
}
