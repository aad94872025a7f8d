/* Inside libvoxtensor: what a context and a tensor are, and how an operation is written.
 *
 *     vt *vt_exp(vt_cx *cx, const vt *x)
 *     {
 *         return compute(cx, "exp", {x}, [&] { return at::exp(of(x)); });
 *     }
 *
 * compute() (barrier.cpp) is the only way from C to libtorch and the only place where exceptions
 * end. Knows nothing of single operations. */
#ifndef VOX_TORCH_CONTEXT_H
#define VOX_TORCH_CONTEXT_H

#include "pch.h"
#include "vox/tensor.h"

#include <thread>

/* A slot of a context's arena; never moves. In use while `cx` is set. The poison of a context is
 * a slot whose tensor is undefined. */
struct vt {
    at::Tensor tensor;
    vt_cx *cx = nullptr; /* whose arena this is */
    vt *next_free = nullptr;
    int64_t position = -1; /* in cx->scoped; -1: held, free or poison */
};

struct vt_scope {
    const char *label; /* literal; NULL for the outermost */
    int64_t index;     /* -1: none */
    size_t first;      /* its tensors in vt_cx::scoped begin here */
};

struct vt_cx {
    at::Device device = at::kCPU;
    int threads = 1;
    bool has_fast_bf16 = false;
    at::Generator generator; /* on the CPU whatever the device: vt_randn promises its numbers */

    std::deque<vt> arena; /* grows by chunks, so that handles stay */
    vt *free_list = nullptr;
    uint64_t live = 0;
    vt poison;

    std::vector<vt_scope> scopes; /* the first is that of the work itself */
    std::vector<vt *> scoped; /* tensors of all open scopes, in order; NULL: was held or moved */

    struct vox_error error = {}; /* code VOX_OK: none */

    vt_tap_function *tap = nullptr;
    void *tap_arg = nullptr;

    bool is_working = false; /* between vt_begin and vt_end */
    std::thread::id thread;  /* of vt_begin */
    std::optional<c10::InferenceMode> inference;
};

namespace vox
{

using Operands = std::initializer_list<const vt *>;

/* Runs `work`; catches whatever it throws and notes it in `cx` as the failure of `operation`.
 * False when the context had failed before, so that nothing was done, or failed now. */
bool guard(vt_cx *cx, const char *operation, Operands operands, c10::function_ref<void()> work);

/* The same for work that makes a tensor. Gives it a slot in the innermost scope; on failure, the
 * poison. */
vt *compute(vt_cx *cx, const char *operation, Operands operands,
            c10::function_ref<at::Tensor()> work);

/* The same for work without a context: writes `error` and returns its code. */
int32_t attempt(struct vox_error *error, c10::function_ref<int32_t()> work);

/* The tensor behind an operand. Throws when there is none, which guard() turns into an error. */
const at::Tensor &of(const vt *x);
std::optional<at::Tensor> of_optional(const vt *x); /* NULL: none */

/* Slots. Those that may throw are called under guard(). */
vt *slot_new(vt_cx *cx, at::Tensor tensor); /* in no scope yet */
void slot_free(vt *x);
vt *slot_add(vt_cx *cx, at::Tensor tensor); /* into the innermost scope */
void scopes_close(vt_cx *cx, size_t count); /* leaves all scopes but the first `count` */

/* "step[17].block[3].attn", then "." and `last`. */
std::string breadcrumb(const vt_cx *cx, const char *last);

at::IntArrayRef sizes_of(const struct vt_dims &dims);
std::string shape_text(at::IntArrayRef sizes); /* "[2, 3]" */
at::ScalarType scalar_type(uint32_t type);     /* throws on an unknown one */
uint32_t type_of(at::ScalarType type);         /* 0: none of ours */

} // namespace vox

#endif
