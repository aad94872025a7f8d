/* Rates of the CPU kernels at the shapes of an F5-TTS Base step: two branches of 1,407 frames, 16
 * heads of 64. One thread, by its CPU time, best of several runs, since machines are shared. */
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH 2
#define N 1407
#define HEADS 16
#define D 64
#define ROWS (BATCH * N)
#define WIDTH (HEADS * D)
#define RUNS 8

struct data {
    float *x, *y, *z, *out;
    uint16_t *x16, *y16, *z16, *out16;
    float *scale, *shift, *angle;
    void *scratch;
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *block(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fputs("kernels_bench: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static float *random_block(size_t count)
{
    float *x = block(count, sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)rand() / (float)RAND_MAX * 4.0F - 2.0F;
    }
    return x;
}

static void attention_f32(struct data *m)
{
    struct vk_attention a = {m->x, m->y, m->z, m->out, BATCH, N, HEADS, D, WIDTH, WIDTH, 0.125F};
    vk_attention_f32(&a, 0, vk_attention_items(&a), m->scratch);
}

static void attention_bf16(struct data *m)
{
    struct vk_attention a = {m->x16, m->y16, m->z16, m->out16, BATCH, N,
                             HEADS,  D,      WIDTH,  WIDTH,    0.125F};
    vk_attention_bf16(&a, 0, vk_attention_items(&a), m->scratch);
}

static void rope_f32(struct data *m)
{
    struct vk_rope r = {m->angle, m->angle, N, D, HEADS, WIDTH};
    vk_rope_f32(&r, m->x, 0, ROWS);
}

static void rope_bf16(struct data *m)
{
    struct vk_rope r = {m->angle, m->angle, N, D, HEADS, WIDTH};
    vk_rope_bf16(&r, m->x16, 0, ROWS);
}

static void layer_norm_f32(struct data *m)
{
    struct vk_layer_norm p = {m->scale, m->shift, WIDTH, 1e-6F};
    vk_layer_norm_modulate_f32(&p, m->x, m->out, 0, ROWS);
}

static void layer_norm_bf16(struct data *m)
{
    struct vk_layer_norm p = {m->scale, m->shift, WIDTH, 1e-6F};
    vk_layer_norm_modulate_bf16(&p, m->x, m->out16, 0, ROWS);
}

static void gated_add_f32(struct data *m)
{
    vk_gated_add_f32(m->out, m->scale, m->x, WIDTH, 0, ROWS);
}

static void gated_add_bf16(struct data *m)
{
    vk_gated_add_bf16(m->out, m->scale, m->x16, WIDTH, 0, ROWS);
}

static void to_bf16(struct data *m)
{
    vk_bf16_from_f32(m->out16, m->x, 0, ROWS * WIDTH);
}

static void from_bf16(struct data *m)
{
    vk_f32_from_bf16(m->out, m->x16, 0, ROWS * WIDTH);
}

static void report(const char *name, void (*kernel)(struct data *), struct data *m, double work,
                   const char *unit)
{
    double best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        double start = cpu_s();
        kernel(m);
        double used = cpu_s() - start;
        best = used < best ? used : best;
    }
    printf("%-24s %8.3f ms %8.1f %s\n", name, best * 1e3, work / best * 1e-9, unit);
}

int main(void)
{
    size_t count = (size_t)ROWS * WIDTH;
    struct vk_attention shape = {.batch = BATCH, .n = N, .heads = HEADS, .d = D};
    struct data m = {
        .x = random_block(count),
        .y = random_block(count),
        .z = random_block(count),
        .out = random_block(count),
        .x16 = block(count, 2),
        .y16 = block(count, 2),
        .z16 = block(count, 2),
        .out16 = block(count, 2),
        .scale = random_block(WIDTH),
        .shift = random_block(WIDTH),
        .angle = random_block((size_t)N * D / 2),
        .scratch = block(1, vk_attention_scratch_size(&shape)),
    };
    vk_bf16_from_f32(m.x16, m.x, 0, (int64_t)count);
    vk_bf16_from_f32(m.y16, m.y, 0, (int64_t)count);
    vk_bf16_from_f32(m.z16, m.z, 0, (int64_t)count);
    double flop = 4.0 * BATCH * HEADS * N * (double)N * D;
    if (vk_attention_f32_supported()) {
        report("attention f32", attention_f32, &m, flop, "GFLOP/s");
    }
    if (vk_attention_bf16_supported()) {
        report("attention bf16", attention_bf16, &m, flop, "GFLOP/s");
    }
    double elements = (double)count;
    report("layer_norm_modulate f32", layer_norm_f32, &m, elements * 8, "GB/s");
    report("layer_norm_modulate bf16", layer_norm_bf16, &m, elements * 6, "GB/s");
    report("gated_add f32", gated_add_f32, &m, elements * 12, "GB/s");
    report("gated_add bf16", gated_add_bf16, &m, elements * 10, "GB/s");
    report("bf16_from_f32", to_bf16, &m, elements * 6, "GB/s");
    report("f32_from_bf16", from_bf16, &m, elements * 6, "GB/s");
    report("rope f32", rope_f32, &m, elements * 8, "GB/s");
    report("rope bf16", rope_bf16, &m, elements * 4, "GB/s");
    void *memory[] = {m.x,   m.y,     m.z,     m.out,   m.x16,   m.y16,
                      m.z16, m.out16, m.scale, m.shift, m.angle, m.scratch};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        free(memory[i]);
    }
    return 0;
}
