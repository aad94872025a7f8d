/* The vocoder: a mel to a wave by a ConvNeXt backbone that predicts magnitude and phase of a
 * short-time Fourier transform. Loads the official folder: config.yaml, and pytorch_model.bin or
 * model.safetensors.
 * Source: vocos/models.py, VocosBackbone; vocos/modules.py, ConvNeXtBlock; vocos/heads.py,
 * ISTFTHead.
 */
#include "model.h"

#include "vocos_config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EPS 1e-6
#define MAGNITUDE_MAX 1e2
#define KERNEL 7 /* of all convolutions; fixed in upstream */
#define PATH_SIZE_MAX 4096

/* --- Loading ---------------------------------------------------------------------------------- */

static void vocos_weights(vt_cx *cx, struct f5_vocos *v)
{
    int64_t d = v->dim, f = v->ff_dim;
    v->embed = f5_affine_load(cx, v->file, VT_F32, VT_DIMS(d, F5_MELS, KERNEL), "backbone.embed");
    v->norm = f5_affine_load(cx, v->file, VT_F32, VT_DIMS(d), "backbone.norm");
    for (int i = 0; i < v->depth; i++) {
        struct f5_vocos_block *b = &v->blocks[i];
        b->depthwise = f5_affine_load(cx, v->file, VT_F32, VT_DIMS(d, 1, KERNEL),
                                      "backbone.convnext.%d.dwconv", i);
        b->norm = f5_affine_load(cx, v->file, VT_F32, VT_DIMS(d), "backbone.convnext.%d.norm", i);
        b->up =
            f5_affine_load(cx, v->file, VT_F32, VT_DIMS(f, d), "backbone.convnext.%d.pwconv1", i);
        b->down =
            f5_affine_load(cx, v->file, VT_F32, VT_DIMS(d, f), "backbone.convnext.%d.pwconv2", i);
        b->gamma = vt_weight(cx, v->file, VT_F32, VT_DIMS(d), "backbone.convnext.%d.gamma", i);
    }
    v->final_norm = f5_affine_load(cx, v->file, VT_F32, VT_DIMS(d), "backbone.final_layer_norm");
    v->head = f5_affine_load(cx, v->file, VT_F32, VT_DIMS(v->fft + 2, d), "head.out");
    vox_weights_ignore(v->file, "feature_extractor.mel_spec.spectrogram.window");
    vox_weights_ignore(v->file, "feature_extractor.mel_spec.mel_scale.fb");
    /* A buffer that upstream loads like a weight; a Hann window in every released file. */
    v->window = vox_weights_find(v->file, "head.istft.window")
                    ? vt_weight(cx, v->file, VT_F32, VT_DIMS(v->fft), "head.istft.window")
                    : vt_hold(cx, vt_hann(cx, v->fft));
}

/* The weights file of the folder, pickle first as the official one. */
static int32_t weights_path(const char *folder, char *path, struct vox_error *error)
{
    static const char *const names[] = {"pytorch_model.bin", "model.safetensors"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, PATH_SIZE_MAX, "%s/%s", folder, names[i]);
        if (access(path, R_OK) == 0)
            return VOX_OK;
    }
    return vox_fail(error, VOX_EMODEL, "vocoder: %s has neither %s nor %s that can be read", folder,
                    names[0], names[1]);
}

int32_t f5_vocos_load(vt_cx *cx, struct f5_vocos *vocos, const char *folder,
                      const struct vox_host *host, struct vox_error *error)
{
    char path[PATH_SIZE_MAX];
    struct vocos_config config;
    if (snprintf(path, sizeof(path), "%s/config.yaml", folder) >= (int)sizeof(path) - 32)
        return vox_fail(error, VOX_EMODEL, "vocoder: the path has over %d bytes",
                        PATH_SIZE_MAX - 32);
    int32_t code = vocos_config_read(path, &config, error);
    if (code != VOX_OK || (code = weights_path(folder, path, error)) != VOX_OK ||
        (code = vox_weights_open(path, &vocos->file, error)) != VOX_OK)
        return code;
    if (config.mels != F5_MELS || config.hop != F5_HOP)
        return vox_fail(
            error, VOX_EMODEL,
            "vocoder: %s/config.yaml: expected %d mel channels and a hop of %d, got %lld and %lld",
            folder, F5_MELS, F5_HOP, (long long)config.mels, (long long)config.hop);
    if (config.fft < F5_HOP || config.fft % 2)
        return vox_fail(error, VOX_EMODEL,
                        "vocoder: %s/config.yaml: n_fft: expected an even number from %d, got %lld",
                        folder, F5_HOP, (long long)config.fft);
    if (config.layers > F5_VOCOS_BLOCKS_MAX)
        return vox_fail(error, VOX_EMODEL,
                        "vocoder: %s/config.yaml: num_layers: expected at most %d, got %lld",
                        folder, F5_VOCOS_BLOCKS_MAX, (long long)config.layers);
    vocos->dim = config.dim;
    vocos->ff_dim = config.ff_dim;
    vocos->depth = config.layers;
    vocos->fft = config.fft;
    vocos->hop = config.hop;
    vocos_weights(cx, vocos);
    return f5_weights_settle(vocos->file, host, error);
}

void f5_vocos_finish(struct f5_vocos *vocos)
{
    vox_weights_close(vocos->file);
    vocos->file = NULL;
}

/* --- Decoding --------------------------------------------------------------------------------- */

/* x [1, v, n] -> [1, v, n] */
static vt *convnext(vt_cx *cx, const struct f5_vocos_block *w, int64_t i, const vt *x)
{
    vt_mark scope = vt_enter_i(cx, "block", i);
    struct vt_conv conv = {.padding = KERNEL / 2, .groups = vt_size(x, 1)};
    vt *h = vt_conv1d(cx, x, w->depthwise.weight, w->depthwise.bias, conv);
    h = vt_layer_norm(cx, vt_transpose(cx, h, 1, 2), w->norm.weight, w->norm.bias,
                      EPS); /* [1, n, v] */
    h = vt_linear(cx, h, w->up.weight, w->up.bias, VT_GELU);
    h = vt_linear(cx, h, w->down.weight, w->down.bias, 0);
    h = vt_transpose(cx, vt_mul(cx, w->gamma, h), 1, 2);
    h = vt_add(cx, x, h);
    vt_tap(cx, "out", h);
    return vt_leave(cx, scope, h);
}

/* The head's output as magnitudes (logarithmic) and phases. x [1, v, n] -> [samples] */
static vt *head(vt_cx *cx, const struct f5_vocos *v, const vt *x)
{
    int64_t bins = v->fft / 2 + 1;
    vt *h =
        vt_layer_norm(cx, vt_transpose(cx, x, 1, 2), v->final_norm.weight, v->final_norm.bias, EPS);
    h = vt_transpose(cx, vt_linear(cx, h, v->head.weight, v->head.bias, 0), 1,
                     2); /* [1, fft + 2, n] */
    vt_tap(cx, "head", h);
    vt *magnitude = vt_minimum_s(cx, vt_exp(cx, vt_narrow(cx, h, 1, 0, bins)), MAGNITUDE_MAX);
    vt *phase = vt_narrow(cx, h, 1, bins, bins);
    return vt_reshape(cx, vt_istft_polar(cx, magnitude, phase, v->window, v->hop), VT_DIMS(-1));
}

vt *f5_vocos_decode(vt_cx *cx, const struct f5_vocos *vocos, const vt *mel, struct f5_watch *watch)
{
    vt_mark scope = vt_enter(cx, "vocos");
    struct vt_conv conv = {.padding = KERNEL / 2};
    vt *x =
        vt_conv1d(cx, vt_transpose(cx, mel, 1, 2), vocos->embed.weight, vocos->embed.bias, conv);
    x = vt_layer_norm(cx, vt_transpose(cx, x, 1, 2), vocos->norm.weight, vocos->norm.bias, EPS);
    x = vt_transpose(cx, x, 1, 2); /* [1, v, n] */
    vt_tap(cx, "embed", x);
    for (int64_t i = 0; i < vocos->depth && !f5_watch_stopped(watch); i++)
        x = convnext(cx, &vocos->blocks[i], i, x);
    return vt_leave(cx, scope, head(cx, vocos, x));
}
