/* What the tests of voices share: a folder of their own, recordings as WAV in memory, a library to
 * put them into. */
#ifndef VOICE_TEST_H
#define VOICE_TEST_H

#include "voice/voice_private.h"

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RATE 16000u

static char test_dir[] = "/tmp/voxhost-voice-XXXXXX";
static struct err test_err; /* of the last call that a test made */

static inline int make_test_dir(void **state)
{
    (void)state;
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline int remove_test_dir(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        execlp("rm", "rm", "-rf", test_dir, NULL);
    return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

/* A folder of a test's own. The caller's. */
static inline char *library(const char *name)
{
    return fs_join(test_dir, name);
}

static inline void put_u32(struct str *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        str_putc(out, (char)(value >> 8 * i));
}

/* 16 bit mono: a sine, or silence with a peak of 0. */
static inline void make_wav(double seconds, double hz, double peak, struct str *out)
{
    uint32_t frames = (uint32_t)(seconds * RATE);
    str_clear(out);
    str_puts(out, "RIFF");
    put_u32(out, 36 + 2 * frames);
    str_puts(out, "WAVEfmt ");
    put_u32(out, 16);
    put_u32(out, 1 | 1 << 16);
    put_u32(out, RATE);
    put_u32(out, RATE * 2);
    put_u32(out, 2 | 16 << 16);
    str_puts(out, "data");
    put_u32(out, 2 * frames);
    for (uint32_t i = 0; i < frames; i++) {
        int sample = (int)lround(32767 * peak * sin(6.283185307179586 * hz * i / RATE));
        str_putc(out, (char)sample);
        str_putc(out, (char)(sample >> 8));
    }
}

/* Puts a sine of this pitch under `id`. */
static inline int put_sine(const char *dir, const char *id, double hz, const char *transcript,
                           bool replace, struct voice_entry *entry)
{
    struct str wav = {0};
    make_wav(1, hz, 0.5, &wav);
    const struct voice_import import = {
        .id = id, .data = wav.data, .len = wav.len, .transcript = transcript, .replace = replace};
    int result = voice_library_put(dir, &import, entry, &test_err);
    str_finish(&wav);
    return result;
}

static inline void assert_error(int result, int code, const char *field, const char *message)
{
    assert_int_equal(result, code);
    assert_string_equal(test_err.field, field);
    if (!strstr(test_err.message, message))
        fail_msg("\"%s\" lacks \"%s\"", test_err.message, message);
}

#endif
