/* The cage that flite's code runs in; cage.h says why. The functions below whose names are flite's stand in
 * for src/utils/cst_alloc.c, cst_error.c and cst_url.c, and those of src/synth/flite.c and src/audio that the
 * voices and the utterance code refer to: being defined here, they keep those files, and with them the sound
 * device, the network and the file reader, out of the plugin. */
#include "cage.h"

#include "vox/helpers.h"

#include <flite/flite.h>

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#define POLL_ALLOCATIONS 256u

/* flite calls back without a context, so the thread remembers whose cage it is in. */
static _Thread_local struct cage *current;

void cage_init(struct cage *cage)
{
    memset(cage, 0, sizeof(*cage));
    cage->blocks.previous = cage->blocks.next = &cage->blocks;
}

void cage_empty(struct cage *cage)
{
    struct cage_block *block = cage->blocks.next;
    while (block != &cage->blocks) {
        struct cage_block *next = block->next;
        free(block);
        block = next;
    }
    cage->blocks.previous = cage->blocks.next = &cage->blocks;
}

int32_t cage_run(struct cage *cage, const struct vox_job *job, struct vox_error *error,
                 void (*body)(void *arg), void *arg)
{
    assert(!current);
    cage->job = job;
    cage->error = error;
    cage->code = VOX_OK;
    cage->message[0] = '\0';
    memset(&cage->noise, 0, sizeof(cage->noise));
    initstate_r(1, cage->noise_state, sizeof(cage->noise_state), &cage->noise);
    current = cage;
    if (!setjmp(cage->escape))
        body(arg);
    current = NULL;
    cage->job = NULL;
    cage->error = NULL;
    return cage->code;
}

_Noreturn void cage_fail(int32_t code, const char *message)
{
    assert(current);
    current->code = vox_fail(current->error, code, "%s", message);
    longjmp(current->escape, 1);
}

static void poll_cancelled(struct cage *cage)
{
    if (cage->job && ++cage->allocations % POLL_ALLOCATIONS == 0 && cage->job->cancelled(cage->job))
        cage_fail(VOX_ECANCELLED, "cancelled");
}

static void ring_insert(struct cage_block *ring, struct cage_block *block)
{
    block->previous = ring->previous;
    block->next = ring;
    ring->previous->next = block;
    ring->previous = block;
}

static void ring_remove(struct cage_block *block)
{
    block->previous->next = block->next;
    block->next->previous = block->previous;
}

/* --- In place of cst_alloc.c ------------------------------------------------------------------- */

void *cst_safe_alloc(int size)
{
    struct cage_block *block;
    poll_cancelled(current);
    if (size < 0)
        cage_fail(VOX_EINTERNAL, "flite asked for a negative amount of memory");
    block = calloc(1, sizeof(*block) + (size_t)size);
    if (!block)
        cage_fail(VOX_ENOMEM, "out of memory");
    ring_insert(&current->blocks, block);
    return block + 1;
}

void *cst_safe_calloc(int size)
{
    return cst_safe_alloc(size);
}

void *cst_safe_realloc(void *p, int size)
{
    struct cage_block *block, *grown;
    if (!p)
        return cst_safe_alloc(size);
    if (size < 0)
        cage_fail(VOX_EINTERNAL, "flite asked for a negative amount of memory");
    block = (struct cage_block *)p - 1;
    ring_remove(block);
    grown = realloc(block, sizeof(*block) + (size_t)size);
    ring_insert(&current->blocks, grown ? grown : block);
    if (!grown)
        cage_fail(VOX_ENOMEM, "out of memory");
    return grown + 1;
}

void cst_free(void *p)
{
    if (p) {
        struct cage_block *block = (struct cage_block *)p - 1;
        ring_remove(block);
        free(block);
    }
}

/* --- In place of cst_error.c ------------------------------------------------------------------- */

jmp_buf *cst_errjmp = NULL; /* never set: cst_error() then calls exit() */

__attribute__((format(printf, 1, 2))) int cst_errmsg(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(current->message, sizeof(current->message), format, args);
    va_end(args);
    current->message[strcspn(current->message, "\n")] = '\0';
    return 0;
}

/* --- In place of the C library, by the linker's --wrap ------------------------------------------- */

int __wrap_rand(void);
_Noreturn void __wrap_exit(int status);

int __wrap_rand(void)
{
    int32_t value = 0;
    random_r(&current->noise, &value);
    return value;
}

_Noreturn void __wrap_exit(int status)
{
    char line[320];
    snprintf(line, sizeof(line), "flite gave up (%d): %s", status,
             current->message[0] ? current->message : "no reason given");
    cage_fail(VOX_EINTERNAL, line);
}

/* Only code that is never run refers to these. */
extern FILE *__wrap_stdin, *__wrap_stdout, *__wrap_stderr;
FILE *__wrap_stdin, *__wrap_stdout, *__wrap_stderr;

/* --- In place of flite.c, cst_url.c and src/audio ------------------------------------------------------------ */

void flite_feat_set(cst_features *features, const char *name, const cst_val *value)
{
    feat_set(features, name, value);
}

void flite_feat_set_int(cst_features *features, const char *name, int value)
{
    feat_set_int(features, name, value);
}

void flite_feat_set_float(cst_features *features, const char *name, float value)
{
    feat_set_float(features, name, value);
}

void flite_feat_set_string(cst_features *features, const char *name, const char *value)
{
    feat_set_string(features, name, value);
}

int flite_munmap_clunit_voxdata(cst_voice *voice)
{
    (void)voice;
    return 0;
}

int cst_urlp(const char *name)
{
    (void)name;
    return 0;
}

cst_file cst_url_open(const char *url)
{
    (void)url;
    return NULL;
}

cst_audiodev *audio_open(int rate_hz, int channels, cst_audiofmt format)
{
    (void)rate_hz;
    (void)channels;
    (void)format;
    return NULL;
}

int audio_close(cst_audiodev *device)
{
    (void)device;
    return -1;
}

int audio_write(cst_audiodev *device, void *data, int size)
{
    (void)device;
    (void)data;
    (void)size;
    return -1;
}
