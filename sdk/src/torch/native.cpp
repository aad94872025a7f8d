/* Brings tensors to the kernels of src/kernels, which know only pointers and ranges. */
#include "native.h"
#include "kernels/kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <cmath>

namespace vox
{

/* Runs work(begin, end) over [0, count), at least `grain` items at a time, on the threads of
 * libtorch. By way of an iterator over the items' numbers: at::parallel_for is a template, which
 * would need this file to be compiled with the compiler's own OpenMP, whose run-time library may
 * not be the one that libtorch brings. */
static void parallel(int64_t count, int64_t grain, c10::function_ref<void(int64_t, int64_t)> work)
{
    at::Tensor items = at::arange(count, at::kLong);
    at::TensorIterator iterator = at::TensorIterator::borrowing_nullary_op(items);
    iterator.for_each(
        [&](char **data, const int64_t *, int64_t size, int64_t) {
            int64_t begin = *(const int64_t *)data[0]; /* one dimension, so one run of items */
            work(begin, begin + size);
        },
        grain);
}

/* Rows of d elements to hand to a thread at a time, so that starting it pays. */
static int64_t rows_grain(int64_t d)
{
    return std::max<int64_t>(1, 32768 / d);
}

static const float *floats(const at::Tensor &x)
{
    return x.const_data_ptr<float>();
}

static uint16_t *bf16s(const at::Tensor &x)
{
    return (uint16_t *)x.mutable_data_ptr();
}

/* F32 on the CPU, [d], contiguous. */
static bool is_row(const at::Tensor &x, int64_t d)
{
    return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 1 && x.size(0) == d &&
           x.is_contiguous();
}

static bool is_f32_or_bf16(const at::Tensor &x)
{
    return x.device().is_cpu() &&
           (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

/* [b, n, heads * d] whose rows are evenly apart from the first of the first batch to the last of
 * the last. */
static bool has_even_rows(const at::Tensor &x)
{
    return x.stride(2) == 1 && x.stride(1) >= x.size(2) &&
           (x.size(0) == 1 || x.stride(0) == x.size(1) * x.stride(1));
}

bool native_attention_can(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                          int64_t heads)
{
    if (!is_f32_or_bf16(q) || q.dim() != 3 || q.sizes() != k.sizes() || q.sizes() != v.sizes() ||
        q.scalar_type() != k.scalar_type() || q.scalar_type() != v.scalar_type())
        return false;
    int64_t d = heads > 0 && q.size(2) % heads == 0 ? q.size(2) / heads : 0;
    bool supported = q.scalar_type() == at::kFloat ? vk_attention_f32_supported()
                                                   : vk_attention_bf16_supported();
    return supported && d > 0 && d % 16 == 0 && d <= VK_ATTENTION_D_MAX && q.numel() > 0;
}

at::Tensor native_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                            int64_t heads)
{
    bool even = has_even_rows(q) && has_even_rows(k) && has_even_rows(v) &&
                q.stride(1) == k.stride(1) && q.stride(1) == v.stride(1);
    at::Tensor rows[3] = {q, k, v};
    for (at::Tensor &x : rows)
        x = even ? x : x.contiguous();
    at::Tensor out = at::empty(q.sizes(), q.options());

    struct vk_attention a = {};
    a.q = rows[0].const_data_ptr();
    a.k = rows[1].const_data_ptr();
    a.v = rows[2].const_data_ptr();
    a.out = out.mutable_data_ptr();
    a.batch = q.size(0);
    a.n = q.size(1);
    a.heads = heads;
    a.d = q.size(2) / heads;
    a.qkv_stride = rows[0].stride(1);
    a.out_stride = q.size(2);
    a.scale = (float)(1 / std::sqrt((double)a.d));

    auto kernel = q.scalar_type() == at::kFloat ? vk_attention_f32 : vk_attention_bf16;
    int64_t scratch_size = ((int64_t)vk_attention_scratch_size(&a) + 63) / 64 * 64;
    at::Tensor scratch = at::empty({at::get_num_threads(), scratch_size}, at::kByte);
    char *memory = (char *)scratch.mutable_data_ptr();
    parallel(vk_attention_items(&a), 1, [&](int64_t begin, int64_t end) {
        kernel(&a, begin, end, memory + at::get_thread_num() * scratch_size);
    });
    return out;
}

bool native_rope_can(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin)
{
    return is_f32_or_bf16(x) && x.dim() == 3 && x.numel() > 0 && has_even_rows(x) &&
           cos.scalar_type() == at::kFloat && sin.scalar_type() == at::kFloat &&
           cos.is_contiguous() && sin.is_contiguous();
}

void native_rope(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin, int64_t heads,
                 int64_t rotated)
{
    struct vk_rope r = {};
    r.cos = floats(cos);
    r.sin = floats(sin);
    r.n = x.size(1);
    r.d = x.size(2) / heads;
    r.heads = rotated;
    r.stride = x.stride(1);
    parallel(x.size(0) * x.size(1), rows_grain(rotated * r.d), [&](int64_t begin, int64_t end) {
        if (x.scalar_type() == at::kFloat)
            vk_rope_f32(&r, x.mutable_data_ptr<float>(), begin, end);
        else
            vk_rope_bf16(&r, bf16s(x), begin, end);
    });
}

bool native_modulate_can(const at::Tensor &x, const at::Tensor &scale, const at::Tensor &shift,
                         at::ScalarType type)
{
    return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.dim() >= 1 && x.numel() > 0 &&
           is_row(scale, x.size(-1)) && is_row(shift, x.size(-1)) &&
           (type == at::kFloat || type == at::kBFloat16);
}

at::Tensor native_modulate(const at::Tensor &x, const at::Tensor &scale, const at::Tensor &shift,
                           double eps, at::ScalarType type)
{
    at::Tensor source = x.contiguous();
    at::Tensor y = at::empty(x.sizes(), at::TensorOptions(type));
    struct vk_layer_norm p = {};
    p.scale = floats(scale);
    p.shift = floats(shift);
    p.d = x.size(-1);
    p.eps = (float)eps;
    parallel(x.numel() / p.d, rows_grain(p.d), [&](int64_t begin, int64_t end) {
        if (type == at::kFloat)
            vk_layer_norm_modulate_f32(&p, floats(source), y.mutable_data_ptr<float>(), begin, end);
        else
            vk_layer_norm_modulate_bf16(&p, floats(source), bf16s(y), begin, end);
    });
    return y;
}

bool native_gated_add_can(const at::Tensor &x, const at::Tensor &gate, const at::Tensor &y)
{
    return is_f32_or_bf16(y) && x.device().is_cpu() && x.scalar_type() == at::kFloat &&
           x.dim() >= 1 && x.numel() > 0 && x.is_contiguous() && is_row(gate, x.size(-1));
}

void native_gated_add(const at::Tensor &x, const at::Tensor &gate, const at::Tensor &y)
{
    at::Tensor added = y.contiguous();
    float *sum = x.mutable_data_ptr<float>();
    int64_t d = x.size(-1);
    parallel(x.numel() / d, rows_grain(d), [&](int64_t begin, int64_t end) {
        if (added.scalar_type() == at::kFloat)
            vk_gated_add_f32(sum, floats(gate), floats(added), d, begin, end);
        else
            vk_gated_add_bf16(sum, floats(gate), bf16s(added), d, begin, end);
    });
}

} // namespace vox
