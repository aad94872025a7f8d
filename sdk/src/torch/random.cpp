/* Random numbers: the context's own generator on the CPU, so that a seed gives the same numbers
 * on every device and in the order of the draws of this context alone. */
#include "context.h"

#include <ATen/core/Generator.h>
#include <ATen/ops/randn.h>

using namespace vox;

void vt_seed(vt_cx *cx, uint64_t seed)
{
    cx->generator.set_current_seed(seed);
}

vt *vt_randn(vt_cx *cx, struct vt_dims dims)
{
    return compute(cx, "randn", {}, [&] {
        at::Tensor host = at::randn(sizes_of(dims), cx->generator, at::TensorOptions(at::kFloat));
        return host.to(cx->device);
    });
}
