/* The diffusion transformer: the velocity of the mel at one time. What depends on the time, the
 * text or the reference only is computed once per sampling (f5_modulations, f5_condition); a step
 * computes the rest.
 * Source: f5_tts/model/backbones/dit.py, DiT, InputEmbedding; model/modules.py, TimestepEmbedding,
 * ConvPositionEmbedding, AdaLayerNorm, AdaLayerNorm_Final, AttnProcessor, FeedForward, DiTBlock;
 * x_transformers RotaryEmbedding.
 */
#include "model.h"

#include <math.h>
#include <string.h>

#define EPS 1e-6
#define TIME_SCALE 1000.0

bool f5_watch_stopped(struct f5_watch *watch)
{
    if (!watch->stopped && watch->job && watch->job->cancelled(watch->job))
        watch->stopped = true;
    return watch->stopped;
}

/* --- What depends on the time ----------------------------------------------------------------- */

/* Sinusoids of the times, all sines and then all cosines, through a small MLP. times [e] -> [e, d]
 */
static vt *time_embed(vt_cx *cx, const struct f5_dit *dit, const float *times, int64_t count)
{
    vt_mark scope = vt_enter(cx, "time_embed");
    int64_t half = dit->config.time_dim / 2;
    double step = -log(10000) / (double)(half - 1);
    vt *frequency = vt_exp(cx, vt_mul_s(cx, vt_arange(cx, half), step)); /* [time_dim / 2] */
    vt *t = vt_mul_s(cx, vt_from_f32(cx, times, VT_DIMS(count, 1)), TIME_SCALE);
    vt *angle = vt_mul(cx, t, frequency);
    const vt *halves[2] = {vt_sin(cx, angle), vt_cos(cx, angle)};
    vt *x = vt_cat(cx, halves, 2, 1); /* [e, time_dim] */
    x = vt_linear(cx, x, dit->time_in.weight, dit->time_in.bias, VT_SILU);
    return vt_leave(cx, scope, vt_linear(cx, x, dit->time_out.weight, dit->time_out.bias, 0));
}

static void modulations_drop(vt_cx *cx, const struct f5_dit *dit, struct f5_modulations *m)
{
    vt_drop(cx, m->time);
    vt_drop(cx, m->final);
    for (int64_t i = 0; i < dit->config.depth; i++)
        vt_drop(cx, m->blocks[i]);
    memset(m, 0, sizeof(*m));
}

void f5_modulations_make(vt_cx *cx, const struct f5_dit *dit, const float *times, int64_t count,
                         struct f5_modulations *m)
{
    if (m->count == count && memcmp(m->times, times, (size_t)count * sizeof(*times)) == 0)
        return;
    modulations_drop(cx, dit, m);
    vt_mark scope = vt_enter(cx, "modulations");
    int64_t d = dit->config.dim;
    m->time = vt_hold(cx, time_embed(cx, dit, times, count));
    vt *act = vt_silu(cx, m->time);
    for (int64_t i = 0; i < dit->config.depth; i++) {
        const struct f5_dit_block *w = &dit->blocks[i];
        vt_mark block = vt_enter_i(cx, "block", i);
        vt *all = vt_linear(cx, act, w->modulation.weight, w->modulation.bias, 0);
        m->blocks[i] = vt_hold(cx, vt_reshape(cx, all, VT_DIMS(count, 6, d)));
        /* 42 % of the weights, and not needed again for this grid */
        vox_weights_release(dit->file, w->modulation_file);
        vt_leave(cx, block, NULL);
    }
    vt *last = vt_linear(cx, act, dit->norm_out.weight, dit->norm_out.bias, 0);
    m->final = vt_hold(cx, vt_reshape(cx, last, VT_DIMS(count, 2, d)));
    vt_leave(cx, scope, NULL);
    if (vt_ok(cx)) {
        m->count = count;
        memcpy(m->times, times, (size_t)count * sizeof(*times));
    }
}

/* Vector `which` of evaluation e: [e, k, d] -> [d] */
static vt *modulation(vt_cx *cx, const vt *all, int64_t e, int64_t which)
{
    vt *row = vt_narrow(cx, vt_narrow(cx, all, 0, e, 1), 1, which, 1);
    return vt_reshape(cx, row, VT_DIMS(-1));
}

/* --- What depends on text and reference ------------------------------------------------------- */

struct f5_condition f5_condition_make(vt_cx *cx, const struct f5_dit *dit, const vt *cond,
                                      const vt *text_cond, const vt *text_uncond)
{
    struct f5_condition c = {0};
    int64_t n = vt_size(cond, 1);
    vt *angle =
        vt_mul(cx, vt_reshape(cx, vt_arange(cx, n), VT_DIMS(n, 1)), dit->inverse_frequencies);
    c.cos = vt_cos(cx, angle);
    c.sin = vt_sin(cx, angle);

    vt *with = vt_linear(cx, text_cond, dit->input_text, dit->input.bias, 0);
    with = vt_add(cx, with, vt_linear(cx, cond, dit->input_cond, NULL, 0));
    c.base = with; /* [1, n, d] */
    if (text_uncond) {
        const vt *branches[2] = {with,
                                 vt_linear(cx, text_uncond, dit->input_text, dit->input.bias, 0)};
        c.base = vt_cat(cx, branches, 2, 0); /* [2, n, d] */
    }
    return c;
}

/* --- One evaluation --------------------------------------------------------------------------- */

/* Two grouped convolutions over the frames, each with Mish. x [b, n, d] -> [b, n, d] */
static vt *conv_pos(vt_cx *cx, const struct f5_dit *dit, const vt *x)
{
    vt_mark scope = vt_enter(cx, "conv_pos");
    struct vt_conv conv = {.padding = dit->config.conv_kernel / 2,
                           .groups = dit->config.conv_groups};
    vt *h = vt_to(cx, vt_transpose(cx, x, 1, 2), dit->config.type); /* [b, d, n] */
    for (int i = 0; i < 2; i++)
        h = vt_mish(cx, vt_conv1d(cx, h, dit->conv_pos[i].weight, dit->conv_pos[i].bias, conv));
    h = vt_to(cx, vt_transpose(cx, h, 1, 2), VT_F32);
    return vt_leave(cx, scope, vt_contiguous(cx, h)); /* else every block works across rows */
}

/* x [1, n, m] -> [b, n, d]. The projection of the concatenation, by parts. */
static vt *input_embed(vt_cx *cx, const struct f5_dit *dit, const struct f5_condition *condition,
                       const vt *x)
{
    vt_mark scope = vt_enter(cx, "input");
    vt *h = vt_add(cx, condition->base, vt_linear(cx, x, dit->input_noisy, NULL, 0));
    return vt_leave(cx, scope, vt_add(cx, conv_pos(cx, dit, h), h));
}

/* Per head RMS norm of queries or keys. x [b, n, heads * head_dim], same shape back. */
static vt *head_norm(vt_cx *cx, const struct f5_config *config, const vt *x, const vt *weight)
{
    int64_t b = vt_size(x, 0), n = vt_size(x, 1);
    vt *y = vt_reshape(cx, x, VT_DIMS(b, n, config->heads, config->head_dim));
    return vt_reshape(cx, vt_rms_norm(cx, y, weight, EPS), VT_DIMS(b, n, -1));
}

/* h [b, n, d] -> [b, n, d] */
static vt *attention(vt_cx *cx, const struct f5_config *config, const struct f5_dit_block *w,
                     const struct f5_condition *condition, const vt *h)
{
    vt_mark scope = vt_enter(cx, "attn");
    vt *q = vt_linear(cx, h, w->q.weight, w->q.bias, 0); /* [b, n, heads * head_dim] */
    vt *k = vt_linear(cx, h, w->k.weight, w->k.bias, 0);
    vt *v = vt_linear(cx, h, w->v.weight, w->v.bias, 0);
    if (config->qk_norm) {
        q = head_norm(cx, config, q, w->q_norm);
        k = head_norm(cx, config, k, w->k_norm);
    }
    vt_rope_into(cx, q, condition->cos, condition->sin, config->heads, config->rotated_heads);
    vt_rope_into(cx, k, condition->cos, condition->sin, config->heads, config->rotated_heads);
    vt *y = vt_attention(cx, q, k, v, config->heads);
    return vt_leave(cx, scope, vt_linear(cx, y, w->out.weight, w->out.bias, 0));
}

/* h [b, n, d] -> [b, n, d] */
static vt *feed_forward(vt_cx *cx, const struct f5_dit_block *w, const vt *h)
{
    vt_mark scope = vt_enter(cx, "ff");
    h = vt_linear(cx, h, w->ff_in.weight, w->ff_in.bias, VT_GELU_TANH); /* [b, n, f] */
    return vt_leave(cx, scope, vt_linear(cx, h, w->ff_out.weight, w->ff_out.bias, 0));
}

/* Changes x [b, n, d] in place. */
static void dit_block(vt_cx *cx, const struct f5_dit *dit, int64_t i,
                      const struct f5_condition *condition, const vt *modulations, int64_t e, vt *x)
{
    enum { SHIFT_ATTN, SCALE_ATTN, GATE_ATTN, SHIFT_FF, SCALE_FF, GATE_FF };
    vt_mark scope = vt_enter_i(cx, "block", i);
    const struct f5_config *config = &dit->config;
    const struct f5_dit_block *w = &dit->blocks[i];
    vt *mod[6];
    for (int j = 0; j < 6; j++)
        mod[j] = modulation(cx, modulations, e, j);

    vt *h = vt_modulate(cx, x, mod[SCALE_ATTN], mod[SHIFT_ATTN], EPS, config->type);
    vt_gated_add_into(cx, x, mod[GATE_ATTN], attention(cx, config, w, condition, h));
    h = vt_modulate(cx, x, mod[SCALE_FF], mod[SHIFT_FF], EPS, config->type);
    vt_gated_add_into(cx, x, mod[GATE_FF], feed_forward(cx, w, h));
    vt_tap(cx, "out", x);
    vt_leave(cx, scope, NULL);
}

vt *f5_dit_forward(vt_cx *cx, const struct f5_dit *dit, const struct f5_condition *condition,
                   const struct f5_modulations *m, int64_t e, const vt *x, struct f5_watch *watch)
{
    vt_expect(cx, x, VT_DIMS(1, vt_size(condition->base, 1), F5_MELS));
    vt_tap(cx, "time_embed", vt_narrow(cx, m->time, 0, e, 1));
    vt *h = input_embed(cx, dit, condition, x); /* [b, n, d] */
    vt_tap(cx, "input_embed", h);
    vt *entry = dit->long_skip ? vt_add_s(cx, h, 0) : NULL; /* a copy: the blocks work in place */
    for (int64_t i = 0; i < dit->config.depth && !f5_watch_stopped(watch); i++)
        dit_block(cx, dit, i, condition, m->blocks[i], e, h);
    if (entry) {
        const vt *both[2] = {h, entry};
        h = vt_linear(cx, vt_cat(cx, both, 2, -1), dit->long_skip, NULL, 0);
    }
    h = vt_modulate(cx, h, modulation(cx, m->final, e, 0), modulation(cx, m->final, e, 1), EPS,
                    VT_F32);
    vt_tap(cx, "norm_out", h);
    return vt_linear(cx, h, dit->output.weight, dit->output.bias, 0);
}
