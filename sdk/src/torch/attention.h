/* Inside libvoxtensor: attention by libtorch's own kernel, for attention.cpp and the measurement
 * in cpu.cpp. */
#ifndef VOX_TORCH_ATTENTION_H
#define VOX_TORCH_ATTENTION_H

#include "pch.h"

namespace vox
{

/* q, k, v [b, n, heads * d] -> [b, n, heads * d] */
at::Tensor attention_aten(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                          int64_t heads);

} // namespace vox

#endif
