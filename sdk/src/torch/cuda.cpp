/* What libvoxtensor knows of devices other than the CPU. Compiled without the CUDA toolkit and
 * with every build of libtorch: it goes through libtorch's registries, which are empty in a
 * build for the CPU. */
#include "device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>

namespace vox
{

static int cuda_count()
{
    if (!c10::impl::hasDeviceGuardImpl(at::kCUDA))
        return 0;
    return c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount();
}

/* "cuda" and "cuda:N" after their first four letters. -1: not a number that a device can have. */
static int cuda_index(const std::string &text)
{
    if (text.size() < 2 || text.size() > 4 || text[0] != ':' ||
        text.find_first_not_of("0123456789", 1) != std::string::npos)
        return -1;
    return std::stoi(text.substr(1));
}

int32_t device_find(struct vox_str name, at::Device *device, struct vox_error *error)
{
    std::string text(name.size ? name.data : "", name.size);
    int count = text == "cpu" ? 0 : cuda_count();

    if (text == "cpu" || ((text == "auto" || text.empty()) && count == 0)) {
        *device = at::Device(at::kCPU);
        return VOX_OK;
    }
    if (text == "auto" || text.empty())
        text = "cuda";
    if (text.compare(0, 4, "cuda") != 0)
        return vox_fail(error, VOX_EINVAL, "device \"%s\": expected auto, cpu, cuda or cuda:N",
                        text.c_str());
    int index = text == "cuda" ? 0 : cuda_index(text.substr(4));
    if (index < 0)
        return vox_fail(error, VOX_EINVAL, "device \"%s\": expected auto, cpu, cuda or cuda:N",
                        text.c_str());
    if (count == 0)
        return vox_fail(error, VOX_EUNSUPPORTED, "device \"%s\": %s", text.c_str(),
                        c10::impl::hasDeviceGuardImpl(at::kCUDA)
                            ? "libtorch sees no CUDA device"
                            : "this libtorch is built for the CPU only");
    if (index >= count)
        return vox_fail(error, VOX_EUNSUPPORTED, "device \"%s\": there are only %d", text.c_str(),
                        count);
    *device = at::Device(at::kCUDA, (at::DeviceIndex)index);
    return VOX_OK;
}

void device_enter(at::Device device)
{
    if (!device.is_cpu())
        c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
}

bool device_has_fast_bf16(at::Device device)
{
    if (device.is_cpu()) {
#if defined(__x86_64__)
        return __builtin_cpu_supports("avx512bf16") != 0;
#else
        return false;
#endif
    }
    /* Tensor cores for BF16 came with compute capability 8, which is what this asks, of the
     * current device. */
    device_enter(device);
    return at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
}

} // namespace vox
