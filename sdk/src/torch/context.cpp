/* A context from vt_open to vt_close, and the span of work between vt_begin and vt_end. Ties the
 * parts together: devices (cuda.cpp), cores, the choice of kernels (cpu.cpp), scopes
 * (scope.cpp). */
#include "context.h"
#include "cpu.h"
#include "device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <cassert>

using namespace vox;

int32_t vt_open(const struct vt_setup *setup, vt_cx **cx, struct vox_error *error)
{
    *cx = nullptr;
    return attempt(error, [&]() -> int32_t {
        auto fresh = std::make_unique<vt_cx>();
        struct vox_str device = {nullptr, 0};
        if (VOX_HAS(setup, device))
            device = setup->device;
        int32_t rc = device_find(device, &fresh->device, error);
        if (rc != VOX_OK)
            return rc;
        fresh->threads = setup->threads ? (int)setup->threads : core_count();
        fresh->has_fast_bf16 = device_has_fast_bf16(fresh->device);
        fresh->generator = at::detail::createCPUGenerator();
        fresh->error.size = sizeof(fresh->error);
        fresh->scopes.reserve(64);
        if (fresh->device.is_cpu())
            cpu_choose();
        *cx = fresh.release();
        return VOX_OK;
    });
}

void vt_close(vt_cx *cx)
{
    if (!cx)
        return;
    vt_end(cx);
    delete cx;
}

int32_t vt_begin(vt_cx *cx, struct vox_error *error)
{
    if (cx->is_working)
        return vox_fail(error, VOX_EINTERNAL, "vt_begin: work has begun already");
    return attempt(error, [&]() -> int32_t {
        cx->error.code = VOX_OK;
        cx->error.message[0] = '\0';
        /* Counts for this thread only, as OpenMP keeps it; asked first, because setting it is
         * not cheap. */
        if (at::get_num_threads() != cx->threads)
            at::set_num_threads(cx->threads);
        device_enter(cx->device);
        cx->scopes.push_back({nullptr, -1, 0});
        cx->inference.emplace(); /* what may throw is above: a failed vt_begin has no vt_end */
        cx->thread = std::this_thread::get_id();
        cx->is_working = true;
        return VOX_OK;
    });
}

void vt_end(vt_cx *cx)
{
    if (!cx->is_working)
        return;
    assert(cx->thread == std::this_thread::get_id());
    scopes_close(cx, 0);
    cx->inference.reset();
    cx->is_working = false;
}

int32_t vt_ok(const vt_cx *cx)
{
    return cx->error.code == VOX_OK;
}

int32_t vt_status(const vt_cx *cx, struct vox_error *error)
{
    if (cx->error.code != VOX_OK)
        return vox_fail(error, cx->error.code, "%s", cx->error.message);
    return VOX_OK;
}

int32_t vt_has_fast_bf16(const vt_cx *cx)
{
    return cx->has_fast_bf16;
}

const char *vt_about(void)
{
    return cpu_about();
}
