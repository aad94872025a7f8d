/* The log mel spectrogram that F5-TTS and Vocos share: 100 HTK triangles over magnitudes, natural
 * logarithm. Made by the operations of torchaudio, in its order, so that it is equal to the bit or
 * nearly so.
 * Source: f5_tts/model/modules.py, get_vocos_mel_spectrogram; torchaudio melscale_fbanks.
 */
#include "model.h"

#include <math.h>

#define BINS (F5_FFT / 2 + 1)
#define NYQUIST_HZ (F5_SAMPLE_RATE / 2.0)
#define LOG_LEAST 1e-5

void f5_mel_make(vt_cx *cx, struct f5_mel *mel)
{
    vt_mark scope = vt_enter(cx, "mel_bank");
    float htk = 2595;
    double most = 2595 * log10(1 + NYQUIST_HZ / 700);
    vt *points = vt_linspace(cx, 0, most, F5_MELS + 2);
    points = vt_pow_base(cx, 10, vt_div(cx, points, vt_from_f32(cx, &htk, VT_DIMS(1))));
    points = vt_mul_s(cx, vt_add_s(cx, points, -1), 700); /* Hz */

    vt *frequency = vt_reshape(cx, vt_linspace(cx, 0, NYQUIST_HZ, BINS), VT_DIMS(BINS, 1));
    vt *width = vt_sub(cx, vt_narrow(cx, points, 0, 1, F5_MELS + 1),
                       vt_narrow(cx, points, 0, 0, F5_MELS + 1));
    vt *distance = vt_sub(cx, points, frequency); /* [bins, mels + 2] */
    vt *rising = vt_div(cx, vt_mul_s(cx, vt_narrow(cx, distance, 1, 0, F5_MELS), -1),
                        vt_narrow(cx, width, 0, 0, F5_MELS));
    vt *falling =
        vt_div(cx, vt_narrow(cx, distance, 1, 2, F5_MELS), vt_narrow(cx, width, 0, 1, F5_MELS));
    mel->bank = vt_hold(cx, vt_maximum_s(cx, vt_minimum(cx, rising, falling), 0));
    mel->window = vt_hold(cx, vt_hann(cx, F5_FFT));
    vt_leave(cx, scope, NULL);
}

vt *f5_mel_of(vt_cx *cx, const struct f5_mel *mel, const float *wave, uint64_t samples)
{
    vt *x = vt_from_f32(cx, wave, VT_DIMS(1, (int64_t)samples));
    x = vt_stft_magnitude(cx, x, mel->window, F5_HOP);       /* [1, bins, n] */
    x = vt_matmul(cx, vt_transpose(cx, x, 1, 2), mel->bank); /* [1, n, m] */
    x = vt_log(cx, vt_maximum_s(cx, x, LOG_LEAST));
    x = vt_contiguous(cx, vt_reshape(cx, x, VT_DIMS(-1, F5_MELS)));
    vt_tap(cx, "mel", x);
    return x;
}
