/* The sampler: integrates the velocity from noise at time 0 to a mel at time 1. Time grid,
 * classifier-free guidance, Euler and midpoint steps. The grid is made by the same tensor
 * operations as upstream's, so that it is equal to the bit.
 * Source: f5_tts/model/cfm.py, CFM.sample; model/utils.py, get_epss_timesteps; torchdiffeq
 * fixed_grid.py.
 */
#include "model.h"

#include <math.h>
#include <string.h>

#define CFG_LEAST 1e-5 /* below: one branch */

/* --- Grid ------------------------------------------------------------------------------------- */

/* Empirically pruned step sampling: grids in 32nds, for few steps. */
static const struct pruned_grid {
    int64_t steps;
    unsigned char thirty_seconds[17];
} pruned_grids[] = {
    {5, {0, 2, 4, 8, 16, 32}},
    {6, {0, 2, 4, 6, 8, 16, 32}},
    {7, {0, 2, 4, 6, 8, 16, 24, 32}},
    {10, {0, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32}},
    {12, {0, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32}},
    {16, {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32}},
};

/* -> [steps + 1] */
static vt *grid_even(vt_cx *cx, int64_t steps)
{
    for (size_t g = 0; g < sizeof(pruned_grids) / sizeof(pruned_grids[0]); g++) {
        float values[17];
        if (pruned_grids[g].steps != steps)
            continue;
        for (int64_t i = 0; i <= steps; i++)
            values[i] = (float)pruned_grids[g].thirty_seconds[i];
        return vt_mul_s(cx, vt_from_f32(cx, values, VT_DIMS(steps + 1)), 1.0 / 32);
    }
    return vt_linspace(cx, 0, 1, steps + 1);
}

/* Sway: t + s (cos(t pi / 2) - 1 + t), which crowds the steps at the start for s < 0. */
static void grid_make(vt_cx *cx, const struct f5_sampling *sampling, float *grid)
{
    vt_mark scope = vt_enter(cx, "grid");
    vt *t = grid_even(cx, sampling->steps);
    vt *bend = vt_add(cx, vt_add_s(cx, vt_cos(cx, vt_mul_s(cx, t, M_PI_2)), -1), t);
    t = vt_add(cx, t, vt_mul_s(cx, bend, sampling->sway));
    vt_read_f32(cx, t, grid, (uint64_t)sampling->steps + 1);
    vt_tap(cx, "grid", vt_leave(cx, scope, t));
}

/* The times at which the network is asked: one per step, or two. Returns how many. */
static int64_t evaluation_times(const struct f5_sampling *sampling, const float *grid, float *times)
{
    int64_t count = 0;
    for (int64_t i = 0; i < sampling->steps; i++) {
        times[count++] = grid[i];
        if (sampling->midpoint)
            times[count++] = grid[i] + 0.5f * (grid[i + 1] - grid[i]);
    }
    return count;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* What a sampling carries through its steps. */
struct solver {
    vt_cx *cx;
    const struct f5_dit *dit;
    const struct f5_sampling *sampling;
    const struct f5_modulations *modulations;
    struct f5_condition condition;
    struct f5_watch *watch;
};

/* Guidance: with + (with - without) * strength. x [1, n, m] -> [1, n, m] */
static vt *velocity(const struct solver *s, int64_t evaluation, int64_t eval_of_step, const vt *x)
{
    vt_cx *cx = s->cx;
    vt_mark scope = vt_enter_i(cx, "eval", eval_of_step);
    vt *v = f5_dit_forward(cx, s->dit, &s->condition, s->modulations, evaluation, x, s->watch);
    if (vt_size(s->condition.base, 0) == 2) {
        vt *with = vt_narrow(cx, v, 0, 0, 1), *without = vt_narrow(cx, v, 0, 1, 1);
        vt *pull = vt_mul_s(cx, vt_sub(cx, with, without), s->sampling->cfg_strength);
        v = vt_add(cx, with, pull);
    }
    vt_tap(cx, "velocity", v);
    return vt_leave(cx, scope, v);
}

/* One step from grid[i] to grid[i + 1]. x [1, n, m] -> [1, n, m] */
static vt *solver_step(const struct solver *s, const float *grid, int64_t i, const vt *x)
{
    vt_cx *cx = s->cx;
    vt_mark scope = vt_enter_i(cx, "step", i);
    float dt = grid[i + 1] - grid[i];
    vt *v;
    if (s->sampling->midpoint) {
        vt *first = velocity(s, 2 * i, 0, x);
        vt *middle = vt_add(cx, x, vt_mul_s(cx, first, 0.5f * dt));
        v = velocity(s, 2 * i + 1, 1, middle);
    } else {
        v = velocity(s, i, 0, x);
    }
    vt *y = vt_add(cx, x, vt_mul_s(cx, v, dt));
    vt_tap(cx, "state", y);
    return vt_leave(cx, scope, y);
}

/* reference [n_ref, m] -> [1, n, m], zero beyond */
static vt *padded_reference(vt_cx *cx, const vt *reference, int64_t n)
{
    int64_t known = vt_size(reference, 0), mels = vt_size(reference, 1);
    vt *zeros = vt_zeros(cx, VT_DIMS(n - known, mels));
    const vt *parts[2] = {reference, zeros};
    return vt_reshape(cx, vt_cat(cx, parts, 2, 0), VT_DIMS(1, n, mels));
}

/* The reference's frames back over the sampled ones. */
static vt *paste_reference(vt_cx *cx, const vt *cond, const vt *sampled, int64_t known)
{
    const vt *parts[2] = {
        vt_narrow(cx, cond, 1, 0, known),
        vt_narrow(cx, sampled, 1, known, vt_size(sampled, 1) - known),
    };
    return vt_cat(cx, parts, 2, 1);
}

vt *f5_sample(vt_cx *cx, const struct f5_dit *dit, const struct f5_sampling *sampling,
              struct f5_modulations *m, const vt *reference, const int32_t *ids, uint64_t id_count,
              int64_t n, struct f5_watch *watch, f5_step_function *after_step, void *arg)
{
    float grid[F5_STEPS_MAX + 1] = {0}, times[2 * F5_STEPS_MAX];
    struct solver s = {cx, dit, sampling, m, {0}, watch};
    int64_t known = vt_size(reference, 0);

    vt *x = vt_hold(cx, vt_reshape(cx, vt_randn(cx, VT_DIMS(n, F5_MELS)), VT_DIMS(1, n, F5_MELS)));
    vt_tap(cx, "noise", x);
    grid_make(cx, sampling, grid);
    f5_modulations_make(cx, dit, times, evaluation_times(sampling, grid, times), m);

    vt *cond = padded_reference(cx, reference, n);
    vt *text_cond = f5_text_embed(cx, dit, ids, id_count, n, false);
    vt *text_uncond = NULL;
    if (sampling->cfg_strength >= CFG_LEAST)
        text_uncond = f5_text_embed(cx, dit, ids, id_count, n, true);
    s.condition = f5_condition_make(cx, dit, cond, text_cond, text_uncond);

    for (int64_t i = 0; i < sampling->steps && vt_ok(cx); i++) {
        vt *next = vt_hold(cx, solver_step(&s, grid, i, x));
        vt_drop(cx, x);
        x = next;
        if (watch->stopped)
            break;
        after_step(arg, i);
    }
    vt *mel = paste_reference(cx, cond, x, known);
    vt_drop(cx, x);
    vt_tap(cx, "sampled", mel);
    return mel;
}
