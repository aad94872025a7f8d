/* Inside libvoxtensor: devices and processor cores. */
#ifndef VOX_TORCH_DEVICE_H
#define VOX_TORCH_DEVICE_H

#include "pch.h"
#include "vox/helpers.h"

namespace vox
{

/* auto | cpu | cuda | cuda:N; empty is auto. */
int32_t device_find(struct vox_str name, at::Device *device, struct vox_error *error);
void device_enter(at::Device device); /* makes it the current one of this thread */
bool device_has_fast_bf16(at::Device device);

/* Cores that this process may keep busy: its affinity mask, limited by its control group's
 * quota. At least 1. */
int core_count();

} // namespace vox

#endif
