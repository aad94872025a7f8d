/* Short-time Fourier transforms. */
#include "context.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/hann_window.h>
#include <ATen/ops/istft.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stft.h>

using namespace vox;

vt *vt_hann(vt_cx *cx, int64_t size)
{
    return compute(cx, "hann", {}, [&] {
        return at::hann_window(size, /*periodic=*/true,
                               at::TensorOptions(at::kFloat).device(cx->device));
    });
}

vt *vt_stft_magnitude(vt_cx *cx, const vt *wave, const vt *window, int64_t hop)
{
    return compute(cx, "stft_magnitude", {wave, window}, [&] {
        int64_t size = of(window).size(0);
        at::Tensor spectrum =
            at::stft(of(wave), size, hop, size, of(window), /*center=*/true, "reflect",
                     /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true);
        return at::abs(spectrum);
    });
}

/* As the head of Vocos: magnitude * (cos phase + i sin phase).
 * Source: gemelo-ai/vocos vocos/heads.py, ISTFTHead. */
vt *vt_istft_polar(vt_cx *cx, const vt *magnitude, const vt *phase, const vt *window, int64_t hop)
{
    return compute(cx, "istft_polar", {magnitude, phase, window}, [&] {
        const at::Tensor &radius = of(magnitude), &angle = of(phase);
        int64_t size = of(window).size(0);
        at::Tensor spectrum =
            at::complex(at::mul(radius, at::cos(angle)),
                        at::mul(radius, at::sin(angle))); /* [b, size / 2 + 1, n] */
        return at::istft(spectrum, size, hop, size, of(window), /*center=*/true);
    });
}
