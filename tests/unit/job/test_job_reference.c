/* configs/JOBS.md is what the program prints. */
#include "job/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reference_file_is_up_to_date(void **state)
{
    struct str made = {0}, file = {0};
    struct err err = {0};
    (void)state;
    job_reference(&made);
    assert_int_equal(fs_read_file(TEST_DATA "/../../../configs/JOBS.md", 1u << 20, &file, &err), 0);
    if (made.len != file.len || memcmp(made.data, file.data, made.len) != 0)
        fail_msg("configs/JOBS.md is old: build/voxhost config --job-reference > configs/JOBS.md");
    str_finish(&made);
    str_finish(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference_file_is_up_to_date)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
