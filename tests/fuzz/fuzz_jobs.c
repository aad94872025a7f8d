/* Any bytes as a job file of JSON lines, JSON, plain text or an unknown format, by the first byte: an end is
 * reached, and every record is a job or an error with its place.
 */
#include "fuzz_records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum job_file_format formats[] = {JOB_FILE_JSONL, JOB_FILE_JSON, JOB_FILE_TEXT,
                                                   JOB_FILE_AUTO};
    if (size > 0)
        records_check(formats[(data[0] - 'a') & 3], data + 1, size - 1);
    return 0;
}
