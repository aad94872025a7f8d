/* Loads an F5-TTS checkpoint: finds its layout (with or without the EMA prefix, in a safetensors or
 * a pickle file), reads all sizes from shapes, and takes every weight by name and shape.
 * Source: f5_tts/infer/utils_infer.py, load_checkpoint; names as in MODEL.md.
 */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE_MAX 256
#define WIDTH_MAX 65536

/* --- Shared by the loaders -------------------------------------------------------------------- */

struct f5_affine f5_affine_load(vt_cx *cx, struct vox_weights *file, uint32_t type,
                                struct vt_dims dims, const char *format, ...)
{
    char name[NAME_SIZE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    struct f5_affine a;
    a.weight = vt_weight(cx, file, type, dims, "%s.weight", name);
    a.bias = vt_weight(cx, file, type, VT_DIMS(dims.size[0]), "%s.bias", name);
    return a;
}

static void log_problem(void *arg, const char *text)
{
    const struct vox_host *host = arg;
    vox_logf(host, VOX_LOG_ERROR, "%s", text);
}

int32_t f5_weights_settle(struct vox_weights *file, const struct vox_host *host,
                          struct vox_error *error)
{
    int32_t code = vox_weights_settle(file, log_problem, (void *)(uintptr_t)host, error);
    return code == VOX_OK ? vox_weights_check_finite(file, error) : code;
}

/* The check for NaN read every page. What was converted is not needed again; the rest comes back
 * from the page cache. */
static void release_pages(const struct f5_dit *dit)
{
    for (uint64_t i = 0; i < vox_weights_count(dit->file); i++) {
        const struct vox_weight *weight = vox_weights_at(dit->file, i);
        if (dit->config.type != VT_F32 || weight->dtype != VOX_DTYPE_F32)
            vox_weights_release(dit->file, weight);
    }
}

/* --- Layout ----------------------------------------------------------------------------------- */

/* Where the model may lie: `root` is what upstream's loader hands to load_state_dict, `prefix` its
 * network. */
static const struct layout {
    const char *root, *prefix;
} layouts[] = {
    {"", "ema_model.transformer."},
    {"ema_model_state_dict.", "ema_model_state_dict.ema_model.transformer."},
    {"ema_model_state_dict.", "ema_model_state_dict.transformer."},
    {"model_state_dict.", "model_state_dict.transformer."},
    {"", "transformer."},
};

static const struct vox_weight *find(const struct f5_dit *dit, const char *prefix, const char *name)
{
    char full[NAME_SIZE_MAX];
    snprintf(full, sizeof(full), "%s%s", prefix, name);
    return vox_weights_find(dit->file, full);
}

static bool starts_with(struct vox_str s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.size >= len && memcmp(s.data, prefix, len) == 0;
}

/* Notes what lies beside the network and is not needed: training state, the EMA's counters, the mel
 * filterbank of old files. */
static void ignore_the_rest(struct f5_dit *dit, const struct layout *layout)
{
    static const char *const fronts[] = {"", "ema_model."};
    for (uint64_t i = 0; i < vox_weights_count(dit->file); i++) {
        struct vox_str name = vox_weights_at(dit->file, i)->name;
        if (!starts_with(name, layout->root))
            vox_weights_ignore(dit->file, name.data);
    }
    for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
        char name[NAME_SIZE_MAX];
        snprintf(name, sizeof(name), "%s%sinitted", layout->root, fronts[i]);
        vox_weights_ignore(dit->file, name);
        snprintf(name, sizeof(name), "%s%sstep", layout->root, fronts[i]);
        vox_weights_ignore(dit->file, name);
        snprintf(name, sizeof(name), "%s%smel_spec.", layout->root, fronts[i]);
        vox_weights_ignore_all(dit->file, name);
    }
}

static const struct layout *layout_find(const struct f5_dit *dit)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
        if (find(dit, layouts[i].prefix, "input_embed.proj.weight"))
            return &layouts[i];
    return NULL;
}

/* --- Sizes ------------------------------------------------------------------------------------ */

/* How many of "FORMAT" exist, counting from 0, up to `most`. */
static int64_t count_of(const struct f5_dit *dit, const char *prefix, const char *format,
                        int64_t most)
{
    int64_t count = 0;
    for (char name[NAME_SIZE_MAX]; count <= most; count++) {
        const char *at = strchr(format, '#');
        snprintf(name, sizeof(name), "%.*s%lld%s", (int)(at - format), format, (long long)count,
                 at + 1);
        if (!find(dit, prefix, name))
            break;
    }
    return count;
}

/* Dimension `dim` of a weight, 0 when there is no such weight or dimension. */
static int64_t size_of(const struct f5_dit *dit, const char *prefix, const char *name, uint32_t dim)
{
    const struct vox_weight *w = find(dit, prefix, name);
    return w && dim < w->rank ? w->dims[dim] : 0;
}

static int32_t config_read(struct f5_dit *dit, const char *prefix, bool v1, const char *path,
                           struct vox_error *error)
{
    struct f5_config *c = &dit->config;
    c->dim = size_of(dit, prefix, "input_embed.proj.weight", 0);
    c->depth = count_of(dit, prefix, "transformer_blocks.#.attn.to_q.weight", F5_BLOCKS_MAX);
    int64_t angles = size_of(dit, prefix, "rotary_embed.inv_freq", 0);
    c->head_dim = angles <= WIDTH_MAX ? 2 * angles : 0;
    int64_t inner = size_of(dit, prefix, "transformer_blocks.0.attn.to_q.weight", 0);
    c->heads = c->head_dim ? inner / c->head_dim : 0;
    c->ff_dim = size_of(dit, prefix, "transformer_blocks.0.ff.ff.0.0.weight", 0);
    c->time_dim = size_of(dit, prefix, "time_embed.time_mlp.0.weight", 1);
    c->conv_kernel = size_of(dit, prefix, "input_embed.conv_pos_embed.conv1d.0.weight", 2);
    c->conv_width = size_of(dit, prefix, "input_embed.conv_pos_embed.conv1d.0.weight", 1);
    c->conv_groups = c->conv_width ? c->dim / c->conv_width : 0;
    c->vocab_rows = size_of(dit, prefix, "text_embed.text_embed.weight", 0);
    c->text_dim = size_of(dit, prefix, "text_embed.text_embed.weight", 1);
    c->text_depth =
        count_of(dit, prefix, "text_embed.text_blocks.#.dwconv.weight", F5_TEXT_BLOCKS_MAX);
    c->text_ff = size_of(dit, prefix, "text_embed.text_blocks.0.pwconv1.weight", 0);
    c->qk_norm = find(dit, prefix, "transformer_blocks.0.attn.q_norm.weight") != NULL;
    c->long_skip = find(dit, prefix, "long_skip_connection.weight") != NULL;
    c->mask_padding = v1;
    c->rotated_heads = v1 ? c->heads : 1;

    if (find(dit, prefix, "layers.0.2.to_q.weight"))
        return vox_fail(error, VOX_EMODEL,
                        "%s: unsupported: this is an E2-TTS model (UNetT), expected F5-TTS (DiT)",
                        path);
    if (c->depth > F5_BLOCKS_MAX || c->text_depth > F5_TEXT_BLOCKS_MAX)
        return vox_fail(error, VOX_EMODEL, "%s: unsupported: over %d blocks or %d text blocks",
                        path, F5_BLOCKS_MAX, F5_TEXT_BLOCKS_MAX);
    if (c->depth < 1 || c->dim < 1 || c->dim > WIDTH_MAX || c->heads < 1 ||
        c->heads * c->head_dim != inner || c->time_dim < 4 || c->time_dim % 2 ||
        c->conv_groups < 1 || c->conv_groups * c->conv_width != c->dim || c->conv_kernel % 2 == 0 ||
        c->ff_dim < 1 || c->vocab_rows < 2 || c->text_dim < 1 || c->text_dim > WIDTH_MAX ||
        (c->text_depth > 0 && (c->text_dim % 2 || c->text_ff < 1)))
        return vox_fail(error, VOX_EMODEL,
                        "%s: the sizes do not fit F5-TTS: width %lld, %lld blocks, %lld heads of "
                        "%lld, text %lld x %lld, "
                        "%lld time inputs, %lld convolution groups, kernel %lld",
                        path, (long long)c->dim, (long long)c->depth, (long long)c->heads,
                        (long long)c->head_dim, (long long)c->vocab_rows, (long long)c->text_dim,
                        (long long)c->time_dim, (long long)c->conv_groups,
                        (long long)c->conv_kernel);
    return VOX_OK;
}

/* --- Weights ---------------------------------------------------------------------------------- */

static void load_text(vt_cx *cx, struct f5_dit *dit)
{
    const struct f5_config *c = &dit->config;
    int64_t t = c->text_dim, f = c->text_ff;
    dit->text_table =
        vt_weight(cx, dit->file, VT_F32, VT_DIMS(c->vocab_rows, t), "text_embed.text_embed.weight");
    for (int i = 0; i < c->text_depth; i++) {
        struct f5_text_block *b = &dit->text_blocks[i];
        b->depthwise = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(t, 1, 7),
                                      "text_embed.text_blocks.%d.dwconv", i);
        b->norm =
            f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(t), "text_embed.text_blocks.%d.norm", i);
        b->up = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(f, t),
                               "text_embed.text_blocks.%d.pwconv1", i);
        b->down = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(t, f),
                                 "text_embed.text_blocks.%d.pwconv2", i);
        b->grn_gamma = vt_weight(cx, dit->file, VT_F32, VT_DIMS(1, 1, f),
                                 "text_embed.text_blocks.%d.grn.gamma", i);
        b->grn_beta = vt_weight(cx, dit->file, VT_F32, VT_DIMS(1, 1, f),
                                "text_embed.text_blocks.%d.grn.beta", i);
    }
}

static void load_input(vt_cx *cx, struct f5_dit *dit)
{
    const struct f5_config *c = &dit->config;
    int64_t d = c->dim, m = F5_MELS, t = c->text_dim;
    dit->time_in =
        f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(d, c->time_dim), "time_embed.time_mlp.0");
    dit->time_out = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(d, d), "time_embed.time_mlp.2");
    dit->input = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(d, 2 * m + t), "input_embed.proj");
    dit->input_noisy = vt_hold(cx, vt_narrow(cx, dit->input.weight, 1, 0, m));
    dit->input_cond = vt_hold(cx, vt_narrow(cx, dit->input.weight, 1, m, m));
    dit->input_text = vt_hold(cx, vt_narrow(cx, dit->input.weight, 1, 2 * m, t));
    for (int i = 0; i < 2; i++)
        dit->conv_pos[i] =
            f5_affine_load(cx, dit->file, c->type, VT_DIMS(d, c->conv_width, c->conv_kernel),
                           "input_embed.conv_pos_embed.conv1d.%d", 2 * i);
    dit->inverse_frequencies =
        vt_weight(cx, dit->file, VT_F32, VT_DIMS(c->head_dim / 2), "rotary_embed.inv_freq");
}

static void load_block(vt_cx *cx, struct f5_dit *dit, const char *prefix, int i)
{
    const struct f5_config *c = &dit->config;
    struct f5_dit_block *b = &dit->blocks[i];
    int64_t d = c->dim, h = c->heads * c->head_dim, f = c->ff_dim;
    char name[NAME_SIZE_MAX];
    b->modulation = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(6 * d, d),
                                   "transformer_blocks.%d.attn_norm.linear", i);
    snprintf(name, sizeof(name), "transformer_blocks.%d.attn_norm.linear.weight", i);
    b->modulation_file = find(dit, prefix, name);
    b->q =
        f5_affine_load(cx, dit->file, c->type, VT_DIMS(h, d), "transformer_blocks.%d.attn.to_q", i);
    b->k =
        f5_affine_load(cx, dit->file, c->type, VT_DIMS(h, d), "transformer_blocks.%d.attn.to_k", i);
    b->v =
        f5_affine_load(cx, dit->file, c->type, VT_DIMS(h, d), "transformer_blocks.%d.attn.to_v", i);
    b->out = f5_affine_load(cx, dit->file, c->type, VT_DIMS(d, h),
                            "transformer_blocks.%d.attn.to_out.0", i);
    if (c->qk_norm) {
        b->q_norm = vt_weight(cx, dit->file, c->type, VT_DIMS(c->head_dim),
                              "transformer_blocks.%d.attn.q_norm.weight", i);
        b->k_norm = vt_weight(cx, dit->file, c->type, VT_DIMS(c->head_dim),
                              "transformer_blocks.%d.attn.k_norm.weight", i);
    }
    b->ff_in =
        f5_affine_load(cx, dit->file, c->type, VT_DIMS(f, d), "transformer_blocks.%d.ff.ff.0.0", i);
    b->ff_out =
        f5_affine_load(cx, dit->file, c->type, VT_DIMS(d, f), "transformer_blocks.%d.ff.ff.2", i);
}

int32_t f5_dit_load(vt_cx *cx, struct f5_dit *dit, const char *path, bool arch_v1, uint32_t type,
                    const struct vox_host *host, struct vox_error *error)
{
    int32_t code = vox_weights_open(path, &dit->file, error);
    if (code != VOX_OK)
        return code;
    const struct layout *layout = layout_find(dit);
    if (!layout)
        return vox_fail(error, VOX_EMODEL,
                        "%s: is no F5-TTS checkpoint: has no %sinput_embed.proj.weight (with "
                        "\"ema_model.\" before it or not)",
                        path, "transformer.");
    dit->config.type = type;
    code = config_read(dit, layout->prefix, arch_v1, path, error);
    if (code != VOX_OK)
        return code;
    int64_t d = dit->config.dim;
    ignore_the_rest(dit, layout);
    vox_weights_prefix(dit->file, layout->prefix);
    load_text(cx, dit);
    load_input(cx, dit);
    for (int i = 0; i < dit->config.depth; i++)
        load_block(cx, dit, layout->prefix, i);
    if (dit->config.long_skip)
        dit->long_skip =
            vt_weight(cx, dit->file, VT_F32, VT_DIMS(d, 2 * d), "long_skip_connection.weight");
    dit->norm_out = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(2 * d, d), "norm_out.linear");
    dit->output = f5_affine_load(cx, dit->file, VT_F32, VT_DIMS(F5_MELS, d), "proj_out");
    code = f5_weights_settle(dit->file, host, error);
    release_pages(dit);
    return code;
}

void f5_dit_finish(struct f5_dit *dit)
{
    vox_weights_close(dit->file);
    dit->file = NULL;
}
