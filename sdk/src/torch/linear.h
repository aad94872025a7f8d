/* Inside libvoxtensor: a linear layer by one backend or the other, for linear.cpp and the
 * measurement in cpu.cpp. */
#ifndef VOX_TORCH_LINEAR_H
#define VOX_TORCH_LINEAR_H

#include "pch.h"

namespace vox
{

/* x [..., i], w [o, i], bias [o] -> [..., o], all of one type, with an activation of vt_linear. */
at::Tensor linear_blas(const at::Tensor &x, const at::Tensor &w,
                       const std::optional<at::Tensor> &bias, uint32_t activation);

/* By oneDNN, which applies the activation while the results are in registers. CPU only. */
bool linear_onednn_exists();
at::Tensor linear_onednn(const at::Tensor &x, const at::Tensor &w,
                         const std::optional<at::Tensor> &bias, uint32_t activation);

} // namespace vox

#endif
