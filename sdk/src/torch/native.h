/* Inside libvoxtensor: the kernels of src/kernels on tensors, spread over libtorch's threads.
 * Each says first whether it can: on the CPU, with these types and layouts. */
#ifndef VOX_TORCH_NATIVE_H
#define VOX_TORCH_NATIVE_H

#include "pch.h"

namespace vox
{

/* q, k, v [b, n, heads * d], F32 or BF16. */
bool native_attention_can(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                          int64_t heads);
at::Tensor native_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                            int64_t heads);

/* As vt_rope_into, vt_modulate and vt_gated_add_into. */
bool native_rope_can(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin);
void native_rope(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin, int64_t heads,
                 int64_t rotated);
bool native_modulate_can(const at::Tensor &x, const at::Tensor &scale, const at::Tensor &shift,
                         at::ScalarType type);
at::Tensor native_modulate(const at::Tensor &x, const at::Tensor &scale, const at::Tensor &shift,
                           double eps, at::ScalarType type);
bool native_gated_add_can(const at::Tensor &x, const at::Tensor &gate, const at::Tensor &y);
void native_gated_add(const at::Tensor &x, const at::Tensor &gate, const at::Tensor &y);

} // namespace vox

#endif
