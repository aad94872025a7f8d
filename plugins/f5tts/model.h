/* The F5-TTS network: what each part holds and computes. Sits between plugin.c (life cycle) and
 * speech.c (a job) above, and the tensor library below. Knows neither text nor audio files.
 *
 *     tokens -> text_embed.c --+
 *     reference -> mel.c ------+-> dit.c (velocity of the mel) x steps of sampler.c -> vocos.c -> wave
 *
 * Letters in shapes: n mel frames (reference and new ones together), d model width, m mel channels,
 * e evaluations of the network in one sampling, b branches (with and without the condition).
 *
 * Source: SWivid/F5-TTS 1.1.22 (src/f5_tts/model), gemelo-ai/vocos 0.1.0.
 */
#ifndef F5TTS_MODEL_H
#define F5TTS_MODEL_H

#include "vox/helpers.h"
#include "vox/tensor.h"

#include <stdbool.h>

#define F5_SAMPLE_RATE 24000
#define F5_HOP 256  /* samples per mel frame */
#define F5_FFT 1024 /* also the window */
#define F5_MELS 100
#define F5_FRAMES_MAX 8192 /* rows of upstream's text position table: 87.38 s */
#define F5_BLOCKS_MAX 64
#define F5_TEXT_BLOCKS_MAX 16
#define F5_STEPS_MAX 256

/* --- Sizes and variants, read from the checkpoint's shapes ------------------------------------ */

struct f5_config {
    int64_t dim, depth;              /* width d, number of blocks */
    int64_t heads, head_dim, ff_dim; /* of attention; width of the feed-forward */
    int64_t time_dim;                /* width of the time's sinusoids */
    int64_t conv_kernel, conv_groups,
        conv_width;     /* convolutional position embedding; inputs per group */
    int64_t vocab_rows; /* of the text table: symbols + 1 */
    int64_t text_dim, text_depth, text_ff;
    bool mask_padding;     /* v1: text rows beyond the text stay zero */
    int64_t rotated_heads; /* v1: all; v0: 1 */
    bool qk_norm, long_skip;
    uint32_t type; /* VT_F32 or VT_BF16: of the transformer's matrices */
};

/* A Linear or a convolution. */
struct f5_affine {
    vt *weight, *bias;
};

/* ConvNeXt V2 block of the text. */
struct f5_text_block {
    struct f5_affine depthwise; /* [t, 1, 7] */
    struct f5_affine norm;      /* [t] */
    struct f5_affine up, down;  /* [f, t] [t, f] */
    vt *grn_gamma, *grn_beta;   /* [1, 1, f] */
};

struct f5_dit_block {
    struct f5_affine modulation; /* [6d, d] */
    const struct vox_weight
        *modulation_file;           /* its place in the file: the pages are let go after use */
    struct f5_affine q, k, v, out;  /* [h, d] ... [d, h], h = heads * head_dim */
    vt *q_norm, *k_norm;            /* [head_dim], with qk_norm */
    struct f5_affine ff_in, ff_out; /* [f, d] [d, f] */
};

struct f5_dit {
    struct f5_config config;
    struct vox_weights *file;
    struct f5_affine time_in, time_out; /* [d, time_dim] [d, d] */
    vt *text_table;                     /* [vocab_rows, t] */
    struct f5_text_block text_blocks[F5_TEXT_BLOCKS_MAX];
    struct f5_affine input; /* [d, 2m + t]: over noisy mel, reference mel, text */
    vt *input_noisy, *input_cond, *input_text; /* its three column ranges */
    struct f5_affine conv_pos[2];              /* [d, d / groups, 31] */
    vt *inverse_frequencies;                   /* [head_dim / 2] */
    struct f5_dit_block blocks[F5_BLOCKS_MAX];
    vt *long_skip;             /* [d, 2d] */
    struct f5_affine norm_out; /* [2d, d] */
    struct f5_affine output;   /* [m, d] */
};

/* Opens a checkpoint and reads its weights into `dit`, held by cx. `arch_v1` is what no shape
 * tells. VOX_EMODEL names all that is missing, misshapen, unused or not finite. [load] */
int32_t f5_dit_load(vt_cx *cx, struct f5_dit *dit, const char *path, bool arch_v1, uint32_t type,
                    const struct vox_host *host, struct vox_error *error);
void f5_dit_finish(struct f5_dit *dit);

/* Polled inside long computations; remembers that it said stop. */
struct f5_watch {
    const struct vox_job *job; /* NULL: never stops */
    bool stopped;
};
bool f5_watch_stopped(struct f5_watch *watch);

/* --- Text ------------------------------------------------------------------------------------- */

/* Embeds `count` token ids for n frames; with `drop`, the branch without text. -> [1, n, t]. */
vt *f5_text_embed(vt_cx *cx, const struct f5_dit *dit, const int32_t *ids, uint64_t count,
                  int64_t n, bool drop);

/* --- Velocity --------------------------------------------------------------------------------- */

/* Everything that depends on the evaluation times only. Held by the context that made it. */
struct f5_modulations {
    int64_t count;
    float times[2 * F5_STEPS_MAX]; /* the key */
    vt *time;                      /* [e, d] */
    vt *blocks
        [F5_BLOCKS_MAX]; /* [e, 6, d]: shift, scale, gate of attention; the same of feed-forward */
    vt *final;           /* [e, 2, d]: scale, shift */
};

/* Makes sure that `m` is for these times: keeps it when it is. */
void f5_modulations_make(vt_cx *cx, const struct f5_dit *dit, const float *times, int64_t count,
                         struct f5_modulations *m);

/* Everything that stays the same over the steps of one sampling. */
struct f5_condition {
    vt *base;      /* [b, n, d]: the input projection of reference and text, bias included */
    vt *cos, *sin; /* [n, head_dim / 2]: rotary angles */
};

/* cond [1, n, m], text embeddings [1, n, t]; text_uncond NULL: one branch only. */
struct f5_condition f5_condition_make(vt_cx *cx, const struct f5_dit *dit, const vt *cond,
                                      const vt *text_cond, const vt *text_uncond);

/* The network at evaluation `e`: x [1, n, m] -> [b, n, m]. Garbage when the watch stopped it. */
vt *f5_dit_forward(vt_cx *cx, const struct f5_dit *dit, const struct f5_condition *condition,
                   const struct f5_modulations *m, int64_t e, const vt *x, struct f5_watch *watch);

/* --- Sampling --------------------------------------------------------------------------------- */

struct f5_sampling {
    int64_t steps;
    double cfg_strength;
    double sway;
    bool midpoint;
};

/* Called after each step. */
typedef void f5_step_function(void *arg, int64_t step);

/* Draws the mel of one chunk: reference mel [n_ref, m], tokens, n frames in all -> [1, n, m], where
 * the first n_ref are the reference again. Noise comes from the context's generator. */
vt *f5_sample(vt_cx *cx, const struct f5_dit *dit, const struct f5_sampling *sampling,
              struct f5_modulations *m, const vt *reference, const int32_t *ids, uint64_t id_count,
              int64_t n, struct f5_watch *watch, f5_step_function *after_step, void *arg);

/* --- Mel and vocoder -------------------------------------------------------------------------- */

struct f5_mel {
    vt *window; /* [1024] */
    vt *bank;   /* [513, m] */
};
void f5_mel_make(vt_cx *cx, struct f5_mel *mel);
/* wave, 24 kHz -> log mel [1 + samples / 256, m]; at least 513 samples. */
vt *f5_mel_of(vt_cx *cx, const struct f5_mel *mel, const float *wave, uint64_t samples);

#define F5_VOCOS_BLOCKS_MAX 32

struct f5_vocos_block {
    struct f5_affine depthwise, norm, up, down;
    vt *gamma; /* [v] */
};

struct f5_vocos {
    struct vox_weights *file;
    int64_t dim, ff_dim, depth, fft, hop;
    struct f5_affine embed, norm, final_norm, head;
    struct f5_vocos_block blocks[F5_VOCOS_BLOCKS_MAX];
    vt *window;
};

/* Loads a folder with config.yaml and pytorch_model.bin or model.safetensors. [load] */
int32_t f5_vocos_load(vt_cx *cx, struct f5_vocos *vocos, const char *folder,
                      const struct vox_host *host, struct vox_error *error);
void f5_vocos_finish(struct f5_vocos *vocos);
/* mel [1, n, m], n >= 2 -> [(n - 1) * 256]. */
vt *f5_vocos_decode(vt_cx *cx, const struct f5_vocos *vocos, const vt *mel, struct f5_watch *watch);

/* --- Shared by the loaders -------------------------------------------------------------------- */

/* `name`.weight of that shape and `name`.bias [first size]. */
struct f5_affine f5_affine_load(vt_cx *cx, struct vox_weights *file, uint32_t type,
                                struct vt_dims dims, const char *format, ...) VOX_PRINTF(5, 6);
/* Reports what did not fit and every value that is not finite; logs the full list. */
int32_t f5_weights_settle(struct vox_weights *file, const struct vox_host *host,
                          struct vox_error *error);

#endif
