/* Time and randomness; see clock.h. */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * CLOCK_S + now.tv_nsec;
}

int64_t clock_offset(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return (int64_t)wall.tv_sec * CLOCK_S + wall.tv_nsec - clock_now();
}

void clock_text(char out[CLOCK_TEXT_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + len, CLOCK_TEXT_SIZE - len, ".%03dZ", (int)(now.tv_nsec / CLOCK_MS));
}

uint64_t random_u64(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
        abort(); /* cannot fail for 8 bytes once the kernel is up */
    return value;
}

void random_uuid(char out[RANDOM_UUID_SIZE])
{
    uint64_t high = random_u64(), low = random_u64();
    snprintf(out, RANDOM_UUID_SIZE, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff,
             ((unsigned)(low >> 48) & 0x3fff) | 0x8000, (unsigned long long)low & 0xffffffffffff);
}

int64_t backoff_ns(unsigned attempt, double first_s, double max_s)
{
    double delay_s = first_s;
    for (unsigned i = 1; i < attempt && delay_s < max_s; i++)
        delay_s *= 2;
    if (delay_s > max_s)
        delay_s = max_s;
    double left_out = (double)(random_u64() >> 11) * 0x1p-53 / 2;
    return (int64_t)(delay_s * (1 - left_out) * (double)CLOCK_S);
}
