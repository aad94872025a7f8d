/* Attention and what stands beside it in a transformer block: rotation of queries and keys,
 * adaptive norm, gated residual. By a kernel of ours (native.cpp) where there is one, else
 * composed of libtorch's operators. */
#include "attention.h"
#include "context.h"
#include "cpu.h"
#include "native.h"

#include <ATen/ops/add.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sub.h>

using namespace vox;

namespace vox
{

/* [b, n, heads * d] -> [b, heads, n, d], a view. */
static at::Tensor split_heads(const at::Tensor &x, int64_t heads)
{
    TORCH_CHECK(x.dim() == 3 && heads > 0 && x.size(2) % heads == 0,
                "expected [b, n, heads * d] with ", heads, " heads");
    return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}

at::Tensor attention_aten(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                          int64_t heads)
{
    at::Tensor y = at::scaled_dot_product_attention(split_heads(q, heads), split_heads(k, heads),
                                                    split_heads(v, heads));
    return y.transpose(1, 2).flatten(2);
}

static void rope_check(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin,
                       int64_t heads, int64_t rotated)
{
    TORCH_CHECK(x.dim() == 3 && heads > 0 && x.size(2) % (2 * heads) == 0,
                "expected [b, n, heads * d] with ", heads, " heads and an even d");
    TORCH_CHECK(rotated >= 0 && rotated <= heads, "cannot rotate ", rotated, " of ", heads,
                " heads");
    std::vector<int64_t> angles = {x.size(1), x.size(2) / heads / 2};
    TORCH_CHECK(cos.sizes() == angles && sin.sizes() == angles,
                "expected cosine and sine of shape ", shape_text(angles));
}

/* x [b, n, heads * d] in place; cos and sin [n, d / 2]. */
static void rope_aten(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin,
                      int64_t heads, int64_t rotated)
{
    at::Tensor pairs = split_heads(x, heads).narrow(1, 0, rotated).unflatten(3, {-1, 2});
    at::Tensor a = pairs.select(4, 0).to(at::kFloat); /* [b, rotated, n, d / 2] */
    at::Tensor b = pairs.select(4, 1).to(at::kFloat);
    at::Tensor turned_a = at::sub(at::mul(a, cos), at::mul(b, sin));
    at::Tensor turned_b = at::add(at::mul(b, cos), at::mul(a, sin));
    pairs.copy_(at::stack({turned_a, turned_b}, -1));
}

} // namespace vox

vt *vt_attention(vt_cx *cx, const vt *q, const vt *k, const vt *v, int64_t heads)
{
    return compute(cx, "attention", {q, k, v}, [&] {
        bool native = native_attention_can(of(q), of(k), of(v), heads) &&
                      cpu_attention_by_native(of(q).scalar_type());
        return native ? native_attention(of(q), of(k), of(v), heads)
                      : attention_aten(of(q), of(k), of(v), heads);
    });
}

vt *vt_rope_into(vt_cx *cx, vt *x, const vt *cos, const vt *sin, int64_t heads, int64_t rotated)
{
    bool done = guard(cx, "rope_into", {x, cos, sin}, [&] {
        rope_check(of(x), of(cos), of(sin), heads, rotated);
        if (native_rope_can(of(x), of(cos), of(sin)))
            native_rope(of(x), of(cos), of(sin), heads, rotated);
        else
            rope_aten(of(x), of(cos), of(sin), heads, rotated);
    });
    return done ? x : &cx->poison;
}

vt *vt_modulate(vt_cx *cx, const vt *x, const vt *scale, const vt *shift, double eps, uint32_t type)
{
    return compute(cx, "modulate", {x, scale, shift}, [&] {
        at::ScalarType result = scalar_type(type);
        if (native_modulate_can(of(x), of(scale), of(shift), result))
            return native_modulate(of(x), of(scale), of(shift), eps, result);
        at::Tensor weight = at::add(of(scale), 1);
        return at::layer_norm(of(x), {of(x).size(-1)}, weight, of(shift), eps).to(result);
    });
}

vt *vt_gated_add_into(vt_cx *cx, vt *x, const vt *gate, const vt *y)
{
    bool done = guard(cx, "gated_add_into", {x, gate, y}, [&] {
        TORCH_CHECK(of(x).sizes() == of(y).sizes(), "x and y must have one shape");
        if (native_gated_add_can(of(x), of(gate), of(y)))
            native_gated_add(of(x), of(gate), of(y));
        else
            of(x).addcmul_(of(y).to(at::kFloat), of(gate));
    });
    return done ? x : &cx->poison;
}
