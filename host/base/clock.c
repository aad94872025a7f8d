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
    enum { STOCK = 32 }; /* one call fetches 256 bytes, which the kernel gives whole */
    static _Thread_local uint64_t stock[STOCK];
    static _Thread_local unsigned left;
    if (left == 0) {
        if (getrandom(stock, sizeof(stock), 0) != (ssize_t)sizeof(stock))
            abort(); /* cannot fail once the kernel is up */
        left = STOCK;
    }
    return stock[--left];
}
