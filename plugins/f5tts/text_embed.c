/* The text embedding: token ids to one vector per mel frame. The text is not stretched: it takes
 * the first frames, and the rest is filler. Computed once per sampling, for both branches of
 * guidance.
 * Source: f5_tts/model/backbones/dit.py, TextEmbedding; model/modules.py, ConvNeXtV2Block, GRN,
 * precompute_freqs_cis.
 */
#include "model.h"

#include <stdlib.h>

#define EPS 1e-6
#define THETA 10000.0

/* Sinusoids of positions 0..n-1: all cosines, then all sines. -> [n, t] */
static vt *positions(vt_cx *cx, int64_t n, int64_t width)
{
    vt_mark scope = vt_enter(cx, "positions");
    vt *even = vt_mul_s(cx, vt_arange(cx, width / 2), 2);
    float t = (float)width, one = 1;
    vt *exponent = vt_div(cx, even, vt_from_f32(cx, &t, VT_DIMS(1)));
    vt *frequency = vt_div(cx, vt_from_f32(cx, &one, VT_DIMS(1)), vt_pow_base(cx, THETA, exponent));
    vt *angle = vt_mul(cx, vt_reshape(cx, vt_arange(cx, n), VT_DIMS(n, 1)), frequency);
    const vt *halves[2] = {vt_cos(cx, angle), vt_sin(cx, angle)};
    return vt_leave(cx, scope, vt_cat(cx, halves, 2, 1));
}

/* Global response normalisation: the norm runs over the frames, padding included. x [1, n, f] ->
 * [1, n, f] */
static vt *response_norm(vt_cx *cx, const struct f5_text_block *w, const vt *x)
{
    vt_mark scope = vt_enter(cx, "grn");
    vt *norm = vt_norm2(cx, x, 1);                       /* [1, 1, f] */
    vt *mean = vt_add_s(cx, vt_mean(cx, norm, -1), EPS); /* [1, 1, 1] */
    vt *scaled = vt_mul(cx, x, vt_div(cx, norm, mean));
    vt *y = vt_add(cx, vt_mul(cx, w->grn_gamma, scaled), w->grn_beta);
    return vt_leave(cx, scope, vt_add(cx, y, x));
}

/* x [1, n, t] -> [1, n, t] */
static vt *text_block(vt_cx *cx, const struct f5_text_block *w, int64_t i, const vt *x)
{
    vt_mark scope = vt_enter_i(cx, "block", i);
    int64_t width = vt_size(x, 2), kernel = vt_size(w->depthwise.weight, 2);
    vt *h = vt_conv1d(cx, vt_transpose(cx, x, 1, 2), w->depthwise.weight, w->depthwise.bias,
                      (struct vt_conv){.padding = kernel / 2, .groups = width});
    h = vt_layer_norm(cx, vt_transpose(cx, h, 1, 2), w->norm.weight, w->norm.bias, EPS);
    h = vt_linear(cx, h, w->up.weight, w->up.bias, VT_GELU);
    h = response_norm(cx, w, h);
    h = vt_linear(cx, h, w->down.weight, w->down.bias, 0);
    return vt_leave(cx, scope, vt_add(cx, x, h));
}

/* Ids shifted by one, 0 being the filler, in n frames; and 1 where a frame has text. */
static void text_frames(vt_cx *cx, const int32_t *ids, uint64_t count, int64_t n, bool drop,
                        vt **frames, vt **mask)
{
    int64_t *id = calloc((size_t)n, sizeof(*id));
    float *has_text = calloc((size_t)n, sizeof(*has_text));
    *frames = *mask = NULL;
    if (id && has_text) {
        for (int64_t i = 0; i < n && (uint64_t)i < count; i++) {
            id[i] = drop ? 0 : (int64_t)ids[i] + 1;
            has_text[i] = 1;
        }
        *frames = vt_from_i64(cx, id, VT_DIMS(1, n));
        *mask = vt_from_f32(cx, has_text, VT_DIMS(1, n, 1));
    }
    free(id);
    free(has_text);
}

vt *f5_text_embed(vt_cx *cx, const struct f5_dit *dit, const int32_t *ids, uint64_t count,
                  int64_t n, bool drop)
{
    vt_mark scope = vt_enter(cx, "text_embed");
    const struct f5_config *config = &dit->config;
    vt *frames, *mask;
    text_frames(cx, ids, count, n, drop, &frames, &mask);
    vt *x = vt_embedding(cx, dit->text_table, frames); /* [1, n, t] */
    if (config->text_depth > 0)
        x = vt_add(cx, x, positions(cx, n, config->text_dim));
    if (config->mask_padding && config->text_depth > 0)
        x = vt_mul(cx, x, mask);
    for (int64_t i = 0; i < config->text_depth; i++) {
        x = text_block(cx, &dit->text_blocks[i], i, x);
        if (config->mask_padding)
            x = vt_mul(cx, x, mask);
    }
    vt_tap(cx, drop ? "uncond" : "cond", x);
    return vt_leave(cx, scope, x);
}
