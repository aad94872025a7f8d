/* Inside libvoxtensor: which of the kernels available on this CPU is the faster one. Chosen once
 * per process. */
#ifndef VOX_TORCH_CPU_H
#define VOX_TORCH_CPU_H

#include "pch.h"

namespace vox
{

/* Measures, the first time; later calls, from any thread, wait for that or return at once. */
void cpu_choose();
/* What was chosen. Only on the CPU, after cpu_choose. */
bool cpu_linear_by_onednn(at::ScalarType type, bool has_fast_bf16);
bool cpu_attention_by_native(at::ScalarType type); /* F32 or BF16 */
const char *cpu_about();                           /* vt_about */

} // namespace vox

#endif
