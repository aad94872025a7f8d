/* Strict loading: what a model took from an open file, what it could not have, and what was left
 * over. See vox/weights.h. Knows neither formats nor models.
 */
#include "weights_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#define MARK_TAKEN 1u
#define MARK_IGNORED 2u
/* The end of a message that could not hold everything: "; and 1048576 more". */
#define MORE_SIZE 24u

VOX_PRINTF(2, 3)
static void add_finding(struct vox_weights *w, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    char *copy = strdup(text);
    if (!copy ||
        !weights_grow(&w->findings, &w->finding_cap, w->finding_count + 1, sizeof(*w->findings))) {
        free(copy);
        w->is_out_of_memory = true;
        return;
    }
    w->findings[w->finding_count++] = copy;
}

/* Prefix and name, allocated; NULL when memory ran out, which is noted. */
static char *whole_name(struct vox_weights *w, const char *name)
{
    size_t size = strlen(w->prefix) + strlen(name) + 1;
    char *whole = malloc(size);
    if (whole)
        snprintf(whole, size, "%s%s", w->prefix, name);
    else
        w->is_out_of_memory = true;
    return whole;
}

void vox_weights_prefix(struct vox_weights *weights, const char *prefix)
{
    char *copy = strdup(prefix);
    if (!copy) {
        weights->is_out_of_memory = true;
        return;
    }
    free(weights->prefix);
    weights->prefix = copy;
}

static bool fits(const struct vox_weight *weight, const int64_t *dims, uint32_t rank)
{
    if (weight->rank != rank)
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] != -1 && dims[i] != weight->dims[i])
            return false;
    return true;
}

const struct vox_weight *vox_weights_take(struct vox_weights *weights, const int64_t *dims,
                                          uint32_t rank, const char *name)
{
    char has[SHAPE_TEXT_SIZE], wanted[SHAPE_TEXT_SIZE];
    char *whole = whole_name(weights, name);
    const struct vox_weight *found = whole ? vox_weights_find(weights, whole) : NULL;
    if (found)
        weights->marks[found - weights->at] |= MARK_TAKEN;
    if (whole && !found)
        add_finding(weights, "%s is missing", whole);
    if (found && !fits(found, dims, rank)) {
        add_finding(weights, "%s has shape %s, expected %s", whole,
                    weights_shape_text(has, found->dims, found->rank),
                    weights_shape_text(wanted, dims, rank));
        found = NULL;
    } else if (found && found->dtype > VOX_DTYPE_BOOL) {
        add_finding(weights, "%s has dtype %s, which is not supported", whole,
                    vox_dtype_name(found->dtype));
        found = NULL;
    }
    free(whole);
    return found;
}

void vox_weights_ignore(struct vox_weights *weights, const char *name)
{
    char *whole = whole_name(weights, name);
    const struct vox_weight *found = whole ? vox_weights_find(weights, whole) : NULL;
    if (found)
        weights->marks[found - weights->at] |= MARK_IGNORED;
    free(whole);
}

void vox_weights_ignore_all(struct vox_weights *weights, const char *start)
{
    char *whole = whole_name(weights, start);
    if (!whole)
        return;
    size_t size = strlen(whole);
    uint64_t i = weights_lower_bound(weights, whole, size);
    for (; i < weights->count && strncmp(weights->at[i].name.data, whole, size) == 0; i++)
        weights->marks[i] |= MARK_IGNORED;
    free(whole);
}

/* The first findings that fit, and how many more there are. */
static int32_t fail_with_findings(const struct vox_weights *w, struct vox_error *error)
{
    char message[sizeof(error->message)];
    size_t used = (size_t)snprintf(message, sizeof(message), "%s", w->findings[0]);
    size_t room = sizeof(message) - strlen(w->file) - MORE_SIZE;
    uint64_t told = 1;
    for (; told < w->finding_count; told++) {
        size_t size = strlen(w->findings[told]) + 2;
        if (used + size > room)
            break;
        used += (size_t)snprintf(message + used, sizeof(message) - used, "; %s", w->findings[told]);
    }
    if (told < w->finding_count && used < room)
        snprintf(message + used, sizeof(message) - used, "; and %" PRIu64 " more",
                 w->finding_count - told);
    return weights_fail(w, error, "%s", message);
}

int32_t vox_weights_settle(struct vox_weights *weights, void (*line)(void *arg, const char *text),
                           void *arg, struct vox_error *error)
{
    for (uint64_t i = 0; i < weights->count; i++) {
        if (weights->marks[i])
            continue;
        weights->marks[i] = MARK_IGNORED; /* told once */
        add_finding(weights, "%s is not used", weights->at[i].name.data);
    }
    if (weights->is_out_of_memory)
        return weights_fail_memory(weights, error);
    if (weights->finding_count == 0)
        return VOX_OK;
    for (uint64_t i = 0; line && i < weights->finding_count; i++)
        line(arg, weights->findings[i]);
    return fail_with_findings(weights, error);
}

/* "[3, 17]": where the element of that row-major index is. */
static const char *place_text(char text[SHAPE_TEXT_SIZE], const struct vox_weight *weight,
                              int64_t index)
{
    int64_t place[VOX_RANK_MAX];
    for (uint32_t i = weight->rank; i-- > 0;) {
        place[i] = index % weight->dims[i];
        index /= weight->dims[i];
    }
    return weights_shape_text(text, place, weight->rank);
}

int32_t vox_weights_check_finite(const struct vox_weights *weights, struct vox_error *error)
{
    char place[SHAPE_TEXT_SIZE];
    for (uint64_t i = 0; i < weights->count; i++) {
        const struct vox_weight *weight = &weights->at[i];
        int64_t bad = weights->marks[i] & MARK_TAKEN ? vox_weight_first_nonfinite(weight) : -1;
        if (bad >= 0)
            return weights_fail(weights, error, "%s is NaN or infinite at %s", weight->name.data,
                                place_text(place, weight, bad));
    }
    return VOX_OK;
}
