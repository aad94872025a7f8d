/* Any bytes as a CSV job file: an end is reached, and every record is a job or an error with its place. */
#include "fuzz_records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    records_check(JOB_FILE_CSV, data, size);
    return 0;
}
