/* Chooses kernels for the CPU by measuring them, since neither a vendor's name nor a feature bit
 * tells which is faster. */
#include "cpu.h"
#include "attention.h"
#include "compat.h"
#include "linear.h"
#include "native.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/ones.h>

#include <atomic>
#include <cmath>
#include <ctime>
#include <mutex>

namespace vox
{

struct Choice {
    bool linear_onednn = false;
    bool attention_native_f32 = false, attention_native_bf16 = false;
    std::string about;
};

/* Set once by cpu_choose; never freed, because vt_about hands its text out for ever. */
static std::atomic<const Choice *> chosen;

/* Processor time of this thread, which counts no moment in which the machine was busy with
 * something else. */
static double seconds(c10::function_ref<void()> work)
{
    struct timespec start, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    work();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
}

/* How many times faster `candidate` is than `standard`. */
static double speed_up(c10::function_ref<void()> candidate, c10::function_ref<void()> standard)
{
    double best_candidate = INFINITY, best_standard = INFINITY;
    candidate(); /* the first call builds its code */
    standard();
    for (int i = 0; i < 3; i++) { /* taking turns lets a change of clock rate hit both */
        best_candidate = std::min(best_candidate, seconds(candidate));
        best_standard = std::min(best_standard, seconds(standard));
    }
    return best_standard / best_candidate;
}

/* Results of two kernels differ in their last bits, so that a choice must fall the same way at
 * every start: the limits below lie away from what was measured. oneDNN to libtorch's BLAS: 1.0 to
 * 1.15 on AMD Zen 4, above 2 on Zen 5, so it is taken unless it is clearly slower. Our attention to
 * libtorch's, on Zen 4: 1.2 to 1.3 in F32, above 2 in BF16. */
static const double linear_speed_up_min = 0.8;
static const double attention_speed_up_min = 1.1;

static bool measure_linear()
{
    if (!linear_onednn_exists())
        return false;
    at::Tensor x = at::ones({256, 1024}), w = at::ones({512, 1024});
    return speed_up([&] { linear_onednn(x, w, std::nullopt, 0); },
                    [&] { linear_blas(x, w, std::nullopt, 0); }) > linear_speed_up_min;
}

static bool measure_attention(at::ScalarType type)
{
    at::Tensor x = at::ones({1, 512, 128}, type);
    if (!native_attention_can(x, x, x, 2))
        return false;
    return speed_up([&] { native_attention(x, x, x, 2); }, [&] { attention_aten(x, x, x, 2); }) >
           attention_speed_up_min;
}

static std::string about_base()
{
    return "libtorch " + std::to_string(TORCH_VERSION_MAJOR) + "." +
           std::to_string(TORCH_VERSION_MINOR) + "." + std::to_string(TORCH_VERSION_PATCH) + ", " +
           at::get_cpu_capability();
}

static const char *attention_name(bool native)
{
    return native ? "native" : "ATen";
}

static const Choice *choose()
{
    c10::InferenceMode inference;
    int threads = at::get_num_threads();
    auto choice = std::make_unique<Choice>();
    at::set_num_threads(1); /* this one, whose time is measured */
    choice->linear_onednn = measure_linear();
    choice->attention_native_f32 = measure_attention(at::kFloat);
    choice->attention_native_bf16 = measure_attention(at::kBFloat16);
    at::set_num_threads(threads);
    choice->about = about_base() + ", linear " + (choice->linear_onednn ? "oneDNN" : "BLAS") +
                    ", attention " + attention_name(choice->attention_native_f32) + " (bf16 " +
                    attention_name(choice->attention_native_bf16) + ")";
    return choice.release();
}

void cpu_choose()
{
    static std::once_flag once;
    std::call_once(once, [] { chosen = choose(); });
}

bool cpu_linear_by_onednn(at::ScalarType type, bool has_fast_bf16)
{
    if (type == at::kFloat)
        return chosen.load()->linear_onednn;
    return type == at::kBFloat16 && has_fast_bf16 && linear_onednn_exists();
}

bool cpu_attention_by_native(at::ScalarType type)
{
    const Choice *choice = chosen.load();
    return type == at::kFloat ? choice->attention_native_f32 : choice->attention_native_bf16;
}

const char *cpu_about()
{
    const Choice *choice = chosen.load();
    if (choice)
        return choice->about.c_str();
    static const std::string base = about_base();
    return base.c_str();
}

} // namespace vox
