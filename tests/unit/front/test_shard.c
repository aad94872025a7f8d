/* Shards: what is accepted, what the schedulers' variables mean, and that the parts make the whole. */
#include "front/batch/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define VARIABLES_MAX 8

/* "NAME=VALUE" each, NULL behind the last. */
static const char *lookup(const char *name, void *arg)
{
    const char *const *variables = arg;
    size_t len = strlen(name);
    for (; *variables; variables++)
        if (strncmp(*variables, name, len) == 0 && (*variables)[len] == '=')
            return *variables + len + 1;
    return NULL;
}

struct variables {
    const char *items[VARIABLES_MAX];
};

#define VARIABLES(...) ((struct variables){{__VA_ARGS__}})
#define NOTHING ((struct variables){{NULL}})

static void assert_shard(const char *text, struct variables v, uint64_t index, uint64_t count)
{
    struct shard shard = {99, 99};
    struct err err = {0};
    if (shard_parse(text, lookup, v.items, &shard, &err))
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(shard.index, index);
    assert_int_equal(shard.count, count);
}

static void assert_refused(const char *text, struct variables v, const char *part)
{
    struct shard shard;
    struct err err = {0};
    assert_int_equal(shard_parse(text, lookup, v.items, &shard, &err), ERR_INVALID);
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.message, part))
        fail_msg("%s: got \"%s\", expected \"%s\" in it", text, err.message, part);
}

static void counts_from_zero_and_from_one_both_cover(void **state)
{
    (void)state;
    assert_shard("0/3", NOTHING, 0, 3);
    assert_shard("1/3", NOTHING, 1, 3);
    assert_shard("2/3", NOTHING, 2, 3);
    assert_shard("3/3", NOTHING, 0, 3);
    assert_shard("0/1", NOTHING, 0, 1);
    assert_shard("1/1", NOTHING, 0, 1);
    assert_shard("1000000/1000000", NOTHING, 0, 1000000);
}

static void what_is_no_shard_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "3",
                                        "/3",
                                        "1/",
                                        "1/0",
                                        "4/3",
                                        "-1/3",
                                        "+1/3",
                                        " 1/3",
                                        "1/3 ",
                                        "1/3/5",
                                        "a/b",
                                        "1.0/3",
                                        "0x1/3",
                                        "Auto",
                                        "1/1000001",
                                        "18446744073709551617/3"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(wrong[i], NOTHING, "--shard: expected I/N");
}

static void auto_reads_slurm(void **state)
{
    (void)state;
    assert_shard("auto",
                 VARIABLES("SLURM_ARRAY_TASK_ID=5", "SLURM_ARRAY_TASK_COUNT=4",
                           "SLURM_ARRAY_TASK_MIN=3", "SLURM_ARRAY_TASK_MAX=6"),
                 2, 4);
    assert_shard("auto",
                 VARIABLES("SLURM_ARRAY_TASK_ID=7", "SLURM_ARRAY_TASK_COUNT=4",
                           "SLURM_ARRAY_TASK_MIN=1", "SLURM_ARRAY_TASK_MAX=7",
                           "SLURM_ARRAY_TASK_STEP=2"),
                 3, 4);
    assert_shard("auto", VARIABLES("SLURM_ARRAY_TASK_ID=0", "SLURM_ARRAY_TASK_COUNT=1"), 0, 1);
}

static void auto_reads_the_tasks_of_srun(void **state)
{
    (void)state;
    assert_shard("auto", VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=3"), 0, 3);
    assert_shard("auto", VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=2", "SLURM_NTASKS=3"), 2, 3);
    assert_shard("auto",
                 VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=1", "SLURM_NTASKS=3",
                           "SLURM_ARRAY_TASK_ID=4", "SLURM_ARRAY_TASK_COUNT=5"),
                 4, 5);
    assert_shard("auto",
                 VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=1",
                           "JOB_COMPLETION_INDEX=2", "JOB_COMPLETIONS=3"),
                 2, 3);
    assert_refused("auto", VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=3", "SLURM_NTASKS=3"),
                   "SLURM_PROCID=3 is not one of 3");
    assert_refused("auto", VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=x"),
                   "SLURM_NTASKS: expected a number");
}

static void one_task_of_srun_or_an_sbatch_script_tells_nothing(void **state)
{
    (void)state;
    assert_refused("auto", VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=1"),
                   "no variable tells");
    assert_refused("auto", VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=0"), "no variable tells");
    assert_refused("auto", VARIABLES("SLURM_JOB_ID=7", "SLURM_PROCID=0", "SLURM_NTASKS=4"),
                   "no variable tells");
    assert_refused(
        "auto",
        VARIABLES("SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_ARRAY_TASK_ID=1"),
        "SLURM_ARRAY_TASK_COUNT is not");
}

static void a_slurm_array_with_gaps_is_refused_by_each_of_its_tasks(void **state)
{
    (void)state;
    static const char *const ids[] = {"SLURM_ARRAY_TASK_ID=0", "SLURM_ARRAY_TASK_ID=1",
                                      "SLURM_ARRAY_TASK_ID=7"};
    for (size_t i = 0; i < 3; i++)
        assert_refused("auto",
                       VARIABLES(ids[i], "SLURM_ARRAY_TASK_COUNT=3", "SLURM_ARRAY_TASK_MIN=0",
                                 "SLURM_ARRAY_TASK_MAX=7"),
                       "without gaps");
    assert_refused("auto",
                   VARIABLES("SLURM_ARRAY_TASK_ID=2", "SLURM_ARRAY_TASK_COUNT=2",
                             "SLURM_ARRAY_TASK_MIN=1", "SLURM_ARRAY_TASK_STEP=2"),
                   "SLURM_ARRAY_TASK_ID=2");
    assert_refused("auto", VARIABLES("SLURM_ARRAY_TASK_ID=3", "SLURM_ARRAY_TASK_COUNT=3"),
                   "SLURM_ARRAY_TASK_ID=3");
    assert_refused(
        "auto",
        VARIABLES("SLURM_ARRAY_TASK_ID=0", "SLURM_ARRAY_TASK_COUNT=1", "SLURM_ARRAY_TASK_STEP=0"),
        "steps of 0");
}

static void auto_reads_the_other_schedulers(void **state)
{
    (void)state;
    assert_shard("auto", VARIABLES("JOB_COMPLETION_INDEX=2", "JOB_COMPLETIONS=3"), 2, 3);
    assert_shard("auto", VARIABLES("JOB_COMPLETION_INDEX=0", "COMPLETIONS=3"), 0, 3);
    assert_shard("auto", VARIABLES("AWS_BATCH_JOB_ARRAY_INDEX=9", "AWS_BATCH_JOB_ARRAY_SIZE=10"), 9,
                 10);
    assert_shard("auto", VARIABLES("RUNPOD_POD_ID=x", "NODE_RANK=1", "NUM_NODES=2"), 1, 2);
}

static void auto_takes_the_generic_variable_first_and_slurm_before_others(void **state)
{
    (void)state;
    assert_shard("auto",
                 VARIABLES("JOB_COMPLETION_INDEX=2", "JOB_COMPLETIONS=3", "VOXHOST_SHARD=1/7"), 1,
                 7);
    assert_shard("auto",
                 VARIABLES("JOB_COMPLETION_INDEX=2", "JOB_COMPLETIONS=3", "SLURM_ARRAY_TASK_ID=0",
                           "SLURM_ARRAY_TASK_COUNT=5", "VOXHOST_SHARD="),
                 0, 5);
    assert_refused("auto", VARIABLES("VOXHOST_SHARD=auto"), "VOXHOST_SHARD: expected I/N");
}

static void an_index_without_a_count_names_the_missing_variable(void **state)
{
    (void)state;
    assert_refused("auto", VARIABLES("JOB_COMPLETION_INDEX=2"),
                   "JOB_COMPLETION_INDEX is set but JOB_COMPLETIONS or COMPLETIONS is not");
    assert_refused("auto", VARIABLES("SLURM_ARRAY_TASK_ID=2"), "SLURM_ARRAY_TASK_COUNT is not");
    assert_refused("auto", VARIABLES("AWS_BATCH_JOB_ARRAY_INDEX=2"),
                   "AWS_BATCH_JOB_ARRAY_SIZE is not");
    assert_refused("auto", VARIABLES("RUNPOD_POD_ID=x", "NODE_RANK=1"), "NUM_NODES is not");
}

static void no_variable_names_them_all(void **state)
{
    (void)state;
    static const char *const names[] = {"VOXHOST_SHARD=I/N",
                                        "SLURM_ARRAY_TASK_ID",
                                        "SLURM_PROCID with SLURM_NTASKS above 1 and SLURM_STEP_ID",
                                        "JOB_COMPLETION_INDEX",
                                        "AWS_BATCH_JOB_ARRAY_INDEX",
                                        "NODE_RANK with NUM_NODES and RUNPOD_POD_ID (RunPod)"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_refused("auto", NOTHING, names[i]);
        assert_refused("auto", VARIABLES("NODE_RANK=0", "NUM_NODES=2"), names[i]); /* no RunPod */
    }
}

static void values_that_are_no_numbers_are_refused_by_name(void **state)
{
    (void)state;
    assert_refused("auto", VARIABLES("JOB_COMPLETION_INDEX=x", "JOB_COMPLETIONS=3"),
                   "JOB_COMPLETION_INDEX: expected a number, got \"x\"");
    assert_refused("auto", VARIABLES("JOB_COMPLETION_INDEX=0", "JOB_COMPLETIONS=0"),
                   "JOB_COMPLETIONS: expected 1 to 1000000, got 0");
    assert_refused("auto", VARIABLES("JOB_COMPLETION_INDEX=0", "JOB_COMPLETIONS=-3"),
                   "JOB_COMPLETIONS: expected a number");
    assert_refused("auto", VARIABLES("JOB_COMPLETION_INDEX=3", "JOB_COMPLETIONS=3"),
                   "JOB_COMPLETION_INDEX=3");
    assert_refused("auto",
                   VARIABLES("SLURM_ARRAY_TASK_ID=0", "SLURM_ARRAY_TASK_COUNT=4294967295",
                             "SLURM_ARRAY_TASK_STEP=4294967295"),
                   "SLURM_ARRAY_TASK_COUNT");
}

static void every_id_is_in_exactly_one_shard_of_about_equal_size(void **state)
{
    (void)state;
    enum { IDS = 20000, COUNT = 7 };
    uint64_t sizes[COUNT] = {0};
    char id[32];
    for (int i = 0; i < IDS; i++) {
        int owners = 0;
        snprintf(id, sizeof(id), "job-%d", i);
        for (uint64_t k = 0; k < COUNT; k++) {
            struct shard shard = {k, COUNT};
            if (shard_has(&shard, id)) {
                sizes[k]++;
                owners++;
            }
        }
        assert_int_equal(owners, 1);
    }
    for (size_t k = 0; k < COUNT; k++)
        assert_in_range(sizes[k], IDS / COUNT * 9 / 10, IDS / COUNT * 11 / 10);
}

/* Machines of one run may have different builds: the hash must never change. SHA-256("a17") begins with
 * these eight bytes. */
static void the_hash_stays_what_it_is(void **state)
{
    (void)state;
    uint64_t hash = UINT64_C(0x622dd0c704d6af12);
    struct shard mine = {hash % 1000, 1000}, other = {(hash + 1) % 1000, 1000}, all = {0, 1};
    assert_true(shard_has(&mine, "a17"));
    assert_false(shard_has(&other, "a17"));
    assert_true(shard_has(&all, "a17"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_from_zero_and_from_one_both_cover),
        cmocka_unit_test(what_is_no_shard_is_refused),
        cmocka_unit_test(auto_reads_slurm),
        cmocka_unit_test(auto_reads_the_tasks_of_srun),
        cmocka_unit_test(one_task_of_srun_or_an_sbatch_script_tells_nothing),
        cmocka_unit_test(a_slurm_array_with_gaps_is_refused_by_each_of_its_tasks),
        cmocka_unit_test(auto_reads_the_other_schedulers),
        cmocka_unit_test(auto_takes_the_generic_variable_first_and_slurm_before_others),
        cmocka_unit_test(an_index_without_a_count_names_the_missing_variable),
        cmocka_unit_test(no_variable_names_them_all),
        cmocka_unit_test(values_that_are_no_numbers_are_refused_by_name),
        cmocka_unit_test(every_id_is_in_exactly_one_shard_of_about_equal_size),
        cmocka_unit_test(the_hash_stays_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
