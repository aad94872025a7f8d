/* Any bytes as a safetensors file: once as they are, and once as header and data, so that the size in front
 * does not stand in the way. */
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_file(data, size);
    const uint8_t *end = size ? memrchr(data, '}', size) : NULL;
    if (!end)
        return 0;
    uint64_t header_size = (uint64_t)(end - data) + 1;
    uint8_t *file = malloc(8 + size);
    require(file != NULL, "memory");
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)(header_size >> 8 * i);
    memcpy(file + 8, data, size);
    check_file(file, 8 + size);
    free(file);
    return 0;
}
