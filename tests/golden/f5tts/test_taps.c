/* F5-TTS inside: every intermediate that upstream left in taps_*.safetensors, compared in the order
 * in which the plugin computes them, up to the first that differs.
 *
 * Bounds are relative to the golden tensor's largest absolute value. Ours differ from upstream's by
 * the order of sums only (input projection by parts, fused norms, attention by tiles): a few ulps,
 * which grow along the network. Each bound is about five times the worst error on an AMD EPYC, with
 * one thread and two, which leaves room for other matrix kernels; the test prints what it sees.
 * What is really wrong is far outside: the other GELU in one module moves the wave by 3e-4.
 */
#include "driver.h"
#include "speech.h"

#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define TAPS_MAX 256
#define PATH_SIZE_MAX 4096
#define VELOCITY_COSINE_MIN 0.99

/* --- Bounds ----------------------------------------------------------------------------------- */

/* The first pattern that fits decides. Behind each bound, the worst error seen. Noise is drawn by
 * libtorch itself, and the grid is its own operations; libtorch's noise on a CPU without AVX2
 * differs in the last digits. */
static const struct kind {
    const char *pattern;
    double bound; /* relative; 0: equal to the bit */
} kinds[] = {
    {"*.tokens", 0},
    {"*.noise", 0},
    {"*.grid", 0},
    {"mel", 1e-5},            /* 2.0e-6: an ulp of loudness, where the spectrum nearly cancels */
    {"*.text_embed.*", 1e-6}, /* 0 */
    {"*.time_embed", 4e-6},   /* 7.1e-7 */
    {"*.input_embed", 3e-6},  /* 5.2e-7 */
    {"*.eval*.block*.out", 4e-6},   /* 7.4e-7 */
    {"*.norm_out", 8e-6},           /* 1.6e-6 */
    {"*.velocity", 1.2e-5},         /* 2.3e-6 */
    {"*.state", 5e-7},              /* 6.1e-8 */
    {"*.sampled", 1e-5},            /* 2.0e-6 */
    {"*.vocos.embed", 8e-6},        /* 1.6e-6 */
    {"*.vocos.block*.out", 1.5e-5}, /* 2.7e-6 */
    {"*.vocos.head", 1e-5},         /* 1.9e-6 */
    {"*.wave", 3.5e-5},             /* 6.7e-6 */
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t kind_of(const char *name)
{
    size_t kind = 0;
    while (kind < KINDS && fnmatch(kinds[kind].pattern, name, 0) != 0)
        kind++;
    return kind;
}

/* --- Comparison ------------------------------------------------------------------------------- */

static uint64_t count_of(const struct vox_weight *truth)
{
    return truth->size / vox_dtype_size(truth->dtype);
}

static double value_at(const struct vox_weight *truth, uint64_t i)
{
    const char *at = (const char *)truth->data + i * vox_dtype_size(truth->dtype);
    int64_t integer;
    float number;
    if (truth->dtype == VOX_DTYPE_I64) {
        memcpy(&integer, at, sizeof(integer));
        return (double)integer;
    }
    memcpy(&number, at, sizeof(number));
    return (double)number;
}

/* Equal but for dimensions of 1 in front, by which upstream's batches and ours differ. */
static bool same_shape(const struct vox_weight *truth, struct vt_dims shape)
{
    uint32_t a = truth->rank, b = shape.rank;
    while (a && b && truth->dims[a - 1] == shape.size[b - 1])
        a--, b--;
    while (a && truth->dims[a - 1] == 1)
        a--;
    while (b && shape.size[b - 1] == 1)
        b--;
    return a == 0 && b == 0;
}

/* The largest error. */
struct difference {
    double error; /* infinite where something is no number */
    double scale; /* the golden tensor's largest absolute value */
    uint64_t index;
};

static struct difference difference_of(const struct vox_weight *truth, const double *got)
{
    struct difference d = {0};
    for (uint64_t i = 0; i < count_of(truth); i++) {
        double value = value_at(truth, i), error = fabs(got[i] - value);
        d.scale = fmax(d.scale, fabs(value));
        if (!(error <= d.error)) {
            d.error = isnan(error) ? INFINITY : error;
            d.index = i;
        }
    }
    return d;
}

static bool is_within(struct difference d, double bound)
{
    return d.error <= bound * d.scale;
}

/* A tensor on the host, from malloc; NULL when memory runs out. */
static double *tensor_read(vt_cx *cx, const vt *x)
{
    struct vt_dims shape = vt_shape(x);
    uint64_t count = 1;
    for (uint32_t i = 0; i < shape.rank; i++)
        count *= (uint64_t)shape.size[i];
    double *values = calloc(count + 1, sizeof(*values));
    int64_t *integers = calloc(count + 1, sizeof(*integers));
    float *numbers = calloc(count + 1, sizeof(*numbers));
    bool is_integer = vt_type(x) == VT_I64;
    if (integers && is_integer)
        vt_read_i64(cx, x, integers, count);
    if (numbers && !is_integer)
        vt_read_f32(cx, x, numbers, count);
    for (uint64_t i = 0; values && integers && numbers && i < count; i++)
        values[i] = is_integer ? (double)integers[i] : (double)numbers[i];
    free(integers);
    free(numbers);
    return values;
}

/* --- Following a job -------------------------------------------------------------------------- */

/* What the taps of one job were like. Filled in below the plugin, where no test may fail: the
 * caller looks at it. */
struct follower {
    struct vox_weights *golden;
    struct driver_job *job;    /* is cancelled at the first difference */
    bool seen[TAPS_MAX];       /* by index of the golden tensor */
    double worst[KINDS];       /* relative error */
    char first[256];           /* the first tap that differs; "": none does */
    char report[512];          /* how */
    double cosine_min;         /* of velocities */
    uint32_t velocities_count; /* compared by cosine */
};

/* The golden tensor of a tap, and where it stands; NULL: none was left. */
static const struct vox_weight *golden_find(const struct follower *f, const char *name,
                                            uint64_t *index)
{
    for (*index = 0; *index < vox_weights_count(f->golden); (*index)++)
        if (vox_str_is(vox_weights_at(f->golden, *index)->name, name))
            return vox_weights_at(f->golden, *index);
    return NULL;
}

static bool tap_equals(struct follower *f, const char *name, const struct vox_weight *truth,
                       vt_cx *cx, const vt *x)
{
    size_t kind = kind_of(name);
    struct vt_dims shape = vt_shape(x);
    if (kind == KINDS || !same_shape(truth, shape)) {
        snprintf(f->report, sizeof(f->report), "%s: %s", name,
                 kind == KINDS ? "no bound for this kind of tap" : "has another shape");
        return false;
    }
    double *got = tensor_read(cx, x);
    if (!got)
        return false;
    struct difference d = difference_of(truth, got);
    f->worst[kind] = fmax(f->worst[kind], d.error / fmax(d.scale, 1e-30));
    snprintf(f->report, sizeof(f->report),
             "%s: element %llu is %.9g, expected %.9g: error %.3g of %.3g, bound %.3g", name,
             (unsigned long long)d.index, got[d.index], value_at(truth, d.index), d.error, d.scale,
             kinds[kind].bound * d.scale);
    free(got);
    return is_within(d, kinds[kind].bound);
}

static void tap_compare(void *arg, const char *name, vt_cx *cx, const vt *x)
{
    struct follower *f = arg;
    uint64_t index;
    const struct vox_weight *truth = golden_find(f, name, &index);
    if (!truth || f->first[0])
        return;
    f->seen[index] = true;
    if (!tap_equals(f, name, truth, cx, x)) {
        snprintf(f->first, sizeof(f->first), "%s", name);
        f->job->cancel = true;
    }
}

static void tap_cosine(void *arg, const char *name, vt_cx *cx, const vt *x)
{
    struct follower *f = arg;
    uint64_t index;
    const struct vox_weight *truth = golden_find(f, name, &index);
    if (!truth || fnmatch("*.velocity", name, 0) != 0)
        return;
    double *got = tensor_read(cx, x), both = 0, ours = 0, theirs = 0;
    for (uint64_t i = 0; got && i < count_of(truth); i++) {
        both += got[i] * value_at(truth, i);
        ours += got[i] * got[i];
        theirs += value_at(truth, i) * value_at(truth, i);
    }
    free(got);
    double cosine = both / sqrt(ours * theirs);
    print_message("%s: cosine %.6f\n", name, cosine);
    if (!(cosine >= f->cosine_min)) /* also when it is no number */
        f->cosine_min = cosine;
    f->velocities_count++;
}

static void follower_open(struct follower *f, const cJSON *of_case)
{
    char path[PATH_SIZE_MAX];
    struct vox_error error = {.size = sizeof(error)};
    const cJSON *expected = cJSON_GetObjectItem(of_case, "expected");
    *f = (struct follower){.cosine_min = 1};
    snprintf(path, sizeof(path), "%s/%s", TEST_DATA,
             cJSON_GetStringValue(cJSON_GetObjectItem(expected, "taps")));
    if (vox_weights_open(path, &f->golden, &error) != VOX_OK)
        fail_msg("%s", error.message);
    assert_in_range(vox_weights_count(f->golden), 1, TAPS_MAX);
}

/* Runs the case while `tap` follows it. What speak returned. */
static int32_t follow(struct follower *f, const cJSON *of_case, const char *cache_dir,
                      vt_tap_function *tap, struct vox_error *error)
{
    struct driver_model model;
    struct driver_job job;
    driver_model_init(&model, of_case, cache_dir);
    driver_job_init(&job, of_case);
    struct vox_session *session = driver_session_open(&model);
    f->job = &job;
    vt_tap_set(session->cx, tap, f);
    int32_t code = driver_job_run(&job, session, error);
    vox_entry.close(session);
    driver_job_finish(&job);
    driver_model_finish(&model);
    return code;
}

/* --- Equal to upstream ------------------------------------------------------------------------ */

static void check_case(const cJSON *of_case, const char *cache_dir, double *worst)
{
    struct follower f;
    struct vox_error error = {.size = sizeof(error)};
    follower_open(&f, of_case);
    int32_t code = follow(&f, of_case, cache_dir, tap_compare, &error);
    if (f.first[0])
        fail_msg("first difference: %s", f.report);
    if (code != VOX_OK)
        fail_msg("%s", error.message);
    for (uint64_t i = 0; i < vox_weights_count(f.golden); i++)
        if (!f.seen[i])
            fail_msg("no tap %s", vox_weights_at(f.golden, i)->name.data);
    for (size_t kind = 0; kind < KINDS; kind++)
        worst[kind] = fmax(worst[kind], f.worst[kind]);
    vox_weights_close(f.golden);
}

static void taps_are_upstreams(void **state)
{
    const struct driver_fixture *fixture = *state;
    double worst[KINDS] = {0};
    uint32_t checked = 0;
    const cJSON *of_case;
    cJSON_ArrayForEach(of_case, fixture->cases)
    {
        if (!cJSON_IsString(cJSON_GetObjectItem(cJSON_GetObjectItem(of_case, "expected"), "taps")))
            continue;
        print_message("%s\n", cJSON_GetStringValue(cJSON_GetObjectItem(of_case, "name")));
        check_case(of_case, fixture->cache_dir, worst);
        checked++;
    }
    assert_true(checked > 0);
    for (size_t kind = 0; kind < KINDS; kind++)
        print_message("%-20s worst %.2g, bound %.2g\n", kinds[kind].pattern, worst[kind],
                      kinds[kind].bound);
}

static void bf16_velocities_point_the_same_way(void **state)
{
    const struct driver_fixture *fixture = *state;
    struct follower f;
    struct vox_error error = {.size = sizeof(error)};
    cJSON *of_case = cJSON_Duplicate(driver_case_find(fixture->cases, "v1_taps"), 1);
    cJSON_AddStringToObject(of_case, "dtype", "bf16");
    follower_open(&f, of_case);
    int32_t code = follow(&f, of_case, fixture->cache_dir, tap_cosine, &error);
    if (code != VOX_OK)
        fail_msg("%s", error.message);
    assert_true(f.velocities_count >= 2); /* of the first step and the last */
    assert_true(f.cosine_min > VELOCITY_COSINE_MIN);
    assert_true(f.cosine_min < 1 - 1e-9); /* it was bf16 */
    vox_weights_close(f.golden);
    cJSON_Delete(of_case);
}

/* --- A difference is found, where it arises --------------------------------------------------- */

static void comparison_finds_one_wrong_value(void **state)
{
    (void)state;
    const float golden[6] = {1, -2, 3, 0.5f, 0, -1};
    const struct vox_weight truth = {.dtype = VOX_DTYPE_F32,
                                     .rank = 3,
                                     .dims = {1, 2, 3},
                                     .data = golden,
                                     .size = sizeof(golden)};
    double got[6];
    for (int i = 0; i < 6; i++)
        got[i] = (double)golden[i];
    assert_true(is_within(difference_of(&truth, got), 0));

    got[4] = 2.9e-5;
    assert_true(is_within(difference_of(&truth, got), 1e-5));
    got[4] = 3.1e-5;
    assert_false(is_within(difference_of(&truth, got), 1e-5));
    assert_int_equal(difference_of(&truth, got).index, 4);
    got[1] = NAN;
    assert_false(is_within(difference_of(&truth, got), 1e30));

    assert_true(same_shape(&truth, VT_DIMS(2, 3)));
    assert_true(same_shape(&truth, VT_DIMS(1, 1, 2, 3)));
    assert_false(same_shape(&truth, VT_DIMS(3, 2)));
    assert_false(same_shape(&truth, VT_DIMS(2, 2, 3)));
    assert_false(same_shape(&truth, VT_DIMS(6)));
}

/* A case that is changed in one place differs first where that place is read. */
static void first_difference_names_the_culprit(void **state)
{
    static const struct {
        const char *key, *json, *first;
    } changes[] = {
        {"gen_text", "\"One two three, four five sex. Seven eight nine, ten eleven twelve.\"",
         "chunk[0].tokens"},
        {"target_rms", "0.3", "mel"},
        {"seed", "8", "chunk[0].noise"},
        {"sway_sampling_coef", "-0.9999", "chunk[0].grid"},
        {"arch", "\"v0\"", "chunk[0].text_embed.cond"},
        {"cfg_strength", "2.001", "chunk[0].step[0].eval[0].velocity"},
        {"vocoder", "\"v0/vocos\"", "chunk[0].vocos.embed"},
    };
    const struct driver_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct follower f;
        struct vox_error error = {.size = sizeof(error)};
        cJSON *of_case = cJSON_Duplicate(driver_case_find(fixture->cases, "v1_taps"), 1);
        assert_true(
            cJSON_ReplaceItemInObject(of_case, changes[i].key, cJSON_Parse(changes[i].json)));
        follower_open(&f, of_case);
        int32_t code = follow(&f, of_case, fixture->cache_dir, tap_compare, &error);
        print_message("%s = %s: %s\n", changes[i].key, changes[i].json, f.report);
        assert_string_equal(f.first, changes[i].first);
        assert_int_equal(code, VOX_ECANCELLED);
        vox_weights_close(f.golden);
        cJSON_Delete(of_case);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison_finds_one_wrong_value),
        cmocka_unit_test(taps_are_upstreams),
        cmocka_unit_test(first_difference_names_the_culprit),
        cmocka_unit_test(bf16_velocities_point_the_same_way),
    };
    return cmocka_run_group_tests(tests, driver_fixture_init, driver_fixture_finish);
}
