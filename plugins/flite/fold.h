/* Unicode to the ASCII that flite reads. */
#ifndef FLITE_FOLD_H
#define FLITE_FOLD_H

#include <stdint.h>

#define FOLD_SIZE_MAX 4

/* Writes what flite should read for the character into `ascii` and returns its length; 0 when the
 * character is silent (a soft hyphen), -1 when there is no way to say it. */
int fold_char(uint32_t character, char ascii[FOLD_SIZE_MAX]);

/* 1 for a mark that belongs to the letter before it. */
int fold_is_combining(uint32_t character);

#endif
