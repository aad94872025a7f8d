/* Finds stored entries in a zip archive that lies in memory. */
#ifndef WEIGHTS_ZIP_H
#define WEIGHTS_ZIP_H

#include <stdbool.h>
#include <stdint.h>

struct zip_entry {
    const char *name; /* in the archive, not terminated */
    uint32_t name_size;
    bool is_stored; /* neither compressed nor encrypted */
    const uint8_t *data;
    uint64_t size;
};

struct zip {
    struct zip_entry *entries; /* by name */
    uint64_t count;
};

/* Reads the directory; NULL, or what is wrong. ZIP_NO_MEMORY is that very pointer. */
extern const char ZIP_NO_MEMORY[];
const char *zip_open(struct zip *zip, const uint8_t *bytes, uint64_t size);
const struct zip_entry *zip_find(const struct zip *zip, const char *name, uint64_t name_size);
void zip_finish(struct zip *zip);

#endif
