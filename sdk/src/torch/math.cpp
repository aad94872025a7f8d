/* Arithmetic, element by element and over one dimension. */
#include "context.h"

#include <ATen/ops/add.h>
#include <ATen/ops/clamp_max.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/div.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/log.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/sub.h>

using namespace vox;

vt *vt_add(vt_cx *cx, const vt *a, const vt *b)
{
    return compute(cx, "add", {a, b}, [&] { return at::add(of(a), of(b)); });
}

vt *vt_sub(vt_cx *cx, const vt *a, const vt *b)
{
    return compute(cx, "sub", {a, b}, [&] { return at::sub(of(a), of(b)); });
}

vt *vt_mul(vt_cx *cx, const vt *a, const vt *b)
{
    return compute(cx, "mul", {a, b}, [&] { return at::mul(of(a), of(b)); });
}

vt *vt_div(vt_cx *cx, const vt *a, const vt *b)
{
    return compute(cx, "div", {a, b}, [&] { return at::div(of(a), of(b)); });
}

vt *vt_add_s(vt_cx *cx, const vt *x, double s)
{
    return compute(cx, "add_s", {x}, [&] { return at::add(of(x), s); });
}

vt *vt_mul_s(vt_cx *cx, const vt *x, double s)
{
    return compute(cx, "mul_s", {x}, [&] { return at::mul(of(x), s); });
}

vt *vt_exp(vt_cx *cx, const vt *x)
{
    return compute(cx, "exp", {x}, [&] { return at::exp(of(x)); });
}

vt *vt_log(vt_cx *cx, const vt *x)
{
    return compute(cx, "log", {x}, [&] { return at::log(of(x)); });
}

vt *vt_sin(vt_cx *cx, const vt *x)
{
    return compute(cx, "sin", {x}, [&] { return at::sin(of(x)); });
}

vt *vt_cos(vt_cx *cx, const vt *x)
{
    return compute(cx, "cos", {x}, [&] { return at::cos(of(x)); });
}

vt *vt_pow_base(vt_cx *cx, double base, const vt *exponent)
{
    return compute(cx, "pow_base", {exponent}, [&] { return at::pow(base, of(exponent)); });
}

vt *vt_maximum_s(vt_cx *cx, const vt *x, double least)
{
    return compute(cx, "maximum_s", {x}, [&] { return at::clamp_min(of(x), least); });
}

vt *vt_minimum_s(vt_cx *cx, const vt *x, double most)
{
    return compute(cx, "minimum_s", {x}, [&] { return at::clamp_max(of(x), most); });
}

vt *vt_minimum(vt_cx *cx, const vt *a, const vt *b)
{
    return compute(cx, "minimum", {a, b}, [&] { return at::minimum(of(a), of(b)); });
}

vt *vt_matmul(vt_cx *cx, const vt *a, const vt *b)
{
    return compute(cx, "matmul", {a, b}, [&] { return at::matmul(of(a), of(b)); });
}

vt *vt_mean(vt_cx *cx, const vt *x, int32_t dim)
{
    return compute(cx, "mean", {x}, [&] { return at::mean(of(x), {dim}, /*keepdim=*/true); });
}

vt *vt_norm2(vt_cx *cx, const vt *x, int32_t dim)
{
    return compute(cx, "norm2", {x}, [&] {
        return at::linalg_vector_norm(of(x), 2, at::IntArrayRef{dim}, /*keepdim=*/true);
    });
}
