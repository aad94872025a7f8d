/* Where libtorch's exceptions end and the sticky error of a context begins. The only file with
 * try and catch. */
#include "context.h"

#include <cstdio>
#include <cstring>
#include <new>

namespace vox
{

/* The kind of a c10::Error that has no class of its own, told by its text. The allocator of the
 * CPU, cuBLAS and (in older versions) every CUDA call report so; oneDNN cannot create a primitive
 * when there is no memory for its code (a primitive descriptor, when the CPU lacks something). */
static int32_t code_of(const char *message)
{
    static const char *const memory[] = {"can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED",
                                         "CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED",
                                         "could not create a primitive"};
    static const char *const device[] = {"CUDA error", "CUDA driver error", "CUBLAS_STATUS_",
                                         "CUDNN_STATUS_", "CUFFT_"};
    if (strstr(message, "could not create a primitive descriptor"))
        return VOX_EINTERNAL;
    for (const char *text : memory) {
        if (strstr(message, text))
            return VOX_ENOMEM;
    }
    for (const char *text : device) {
        if (strstr(message, text))
            return VOX_EDEVICE;
    }
    return VOX_EINTERNAL;
}

struct Failure {
    int32_t code;
    char message[400]; /* one line */
};

static void describe(Failure *failure, int32_t code, const char *message)
{
    failure->code = code;
    /* "[enforce fail at file:line] condition. message": only the last part is for the reader. */
    const char *start = strstr(message, "DefaultCPUAllocator: ");
    if (start)
        message = start + strlen("DefaultCPUAllocator: ");
    size_t size = strcspn(message, "\n");
    while (size > 0 && (message[size - 1] == '.' || message[size - 1] == ' '))
        size--;
    snprintf(failure->message, sizeof(failure->message), "%s%.*s",
             code == VOX_ENOMEM ? "out of memory: " : "", (int)std::min<size_t>(size, 380),
             message);
}

/* Describes the exception that is being handled. */
static void describe_current(Failure *failure)
{
    try {
        throw;
    } catch (const c10::OutOfMemoryError &e) {
        describe(failure, VOX_ENOMEM, e.what_without_backtrace());
    } catch (const c10::Error &e) {
        describe(failure, code_of(e.what_without_backtrace()), e.what_without_backtrace());
    } catch (const std::bad_alloc &) {
        describe(failure, VOX_ENOMEM, "an allocation on the host failed");
    } catch (const std::exception &e) {
        describe(failure, code_of(e.what()), e.what());
    } catch (...) {
        describe(failure, VOX_EINTERNAL, "an unknown exception");
    }
}

static std::string operands_text(Operands operands)
{
    std::string text;
    for (const vt *x : operands) {
        if (x && x->tensor.defined())
            text += (text.empty() ? " (" : " ") + shape_text(x->tensor.sizes());
    }
    return text.empty() ? text : text + ")";
}

static void fail(vt_cx *cx, const char *operation, Operands operands, const Failure &failure)
{
    struct vox_error *error = &cx->error;
    error->code = failure.code;
    try {
        snprintf(error->message, sizeof(error->message), "%s: %s%s",
                 breadcrumb(cx, operation).c_str(), failure.message,
                 operands_text(operands).c_str());
    } catch (...) { /* no memory for the breadcrumb */
        snprintf(error->message, sizeof(error->message), "%s: %s", operation, failure.message);
    }
}

bool guard(vt_cx *cx, const char *operation, Operands operands, c10::function_ref<void()> work)
{
    if (cx->error.code != VOX_OK)
        return false;
    try {
        TORCH_CHECK(cx->is_working, "called outside vt_begin and vt_end");
        work();
        return true;
    } catch (...) {
        Failure failure;
        describe_current(&failure);
        fail(cx, operation, operands, failure);
        return false;
    }
}

vt *compute(vt_cx *cx, const char *operation, Operands operands,
            c10::function_ref<at::Tensor()> work)
{
    vt *result = &cx->poison;
    guard(cx, operation, operands, [&] { result = slot_add(cx, work()); });
    return result;
}

int32_t attempt(struct vox_error *error, c10::function_ref<int32_t()> work)
{
    try {
        return work();
    } catch (...) {
        Failure failure;
        describe_current(&failure);
        if (error) {
            error->code = failure.code;
            snprintf(error->message, sizeof(error->message), "%s", failure.message);
        }
        return failure.code;
    }
}

const at::Tensor &of(const vt *x)
{
    TORCH_CHECK(x, "an operand is NULL");
    TORCH_CHECK(x->tensor.defined(), "an operand is the result of something that failed");
    return x->tensor;
}

std::optional<at::Tensor> of_optional(const vt *x)
{
    return x ? std::optional<at::Tensor>(of(x)) : std::nullopt;
}

} // namespace vox
