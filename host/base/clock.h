/* Time and randomness from the system; whoever needs a time that tests can hold takes it as an
 * argument. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_MS INT64_C(1000000)
#define CLOCK_S INT64_C(1000000000)
#define CLOCK_NEVER INT64_MAX

int64_t clock_now(void); /* monotonic, ns */
/* The wall clock less the monotonic one, ns: it grows by what the machine slept, or by the age of
 * the snapshot that this process was restored from. */
int64_t clock_offset(void);

/* RFC 3339 in UTC with milliseconds: "2026-01-31T12:00:00.000Z". */
#define CLOCK_TEXT_SIZE 32
void clock_text(char out[CLOCK_TEXT_SIZE]);

uint64_t random_u64(void); /* from the kernel; for seeds and names */
/* A UUID of version 4: "f81d4fae-7dec-41d0-a765-00a0c91e6bf6". */
#define RANDOM_UUID_SIZE 37
void random_uuid(char out[RANDOM_UUID_SIZE]);

/* How long to wait, in ns, before trying again for the `attempt`th time, from 1: first_s, twice
 * that, and so on up to max_s, of which a random part up to one half is left out, so that many do
 * not come back at once. */
int64_t backoff_ns(unsigned attempt, double first_s, double max_s);

#endif
