/* A dead letter on disk while others work on it. */
#include "callback/callback_private.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/voxhost-spool-XXXXXX";
static struct manifest_callbacks manifest;
static struct spool *spool;
static bool is_claimed_at_once;
static struct callback *claimed;

static int start(void **state)
{
    struct callback_options options = {.manifest = &manifest};
    struct err err = {0};
    size_t adopted;
    (void)state;
    if (!mkdtemp(base))
        return -1;
    manifest.letters_dir = base;
    return spool_open(&options, &spool, &adopted, &err);
}

static int finish(void **state)
{
    struct err err = {0};
    (void)state;
    spool_close(spool);
    return tree_remove(base, &err);
}

/* As libc's. What becomes a letter is found in the same moment, as by the thread that moves letters
 * to the storage. */
int rename(const char *from, const char *to)
{
    struct err err = {0};
    int result = renameat(AT_FDCWD, from, AT_FDCWD, to);
    char *dir = fs_dir_of(to);
    if (result == 0 && is_claimed_at_once && strcmp(dir, base) == 0) {
        is_claimed_at_once = false;
        assert_int_equal(spool_claim(spool, claimed->id, &claimed, &err), 0);
    }
    free(dir);
    return result;
}

static void a_letter_that_is_claimed_at_once_is_not_lost(void **state)
{
    char id[] = "20260101T120000-0000000000000001", url[] = "http://127.0.0.1:1/", job[] = "job 1";
    struct callback callback = {.id = id, .job_id = job, .url = url, .created = "c"};
    struct found_list found = {0};
    struct err err = {0};
    size_t dropped;
    (void)state;
    str_puts(&callback.body, "{}");
    assert_int_equal(spool_keep(spool, &callback, &err), 0);
    claimed = &callback;
    is_claimed_at_once = true;
    assert_int_equal(spool_bury(spool, &callback, &dropped, &err), 0);
    assert_false(is_claimed_at_once);
    spool_return(spool, claimed);
    assert_int_equal(spool_find(base, &found, &err), 0);
    assert_int_equal(found.count, 1);
    found_list_finish(&found);
    callback_destroy(claimed);
    str_finish(&callback.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_that_is_claimed_at_once_is_not_lost),
    };
    return cmocka_run_group_tests_name("spool", tests, start, finish);
}
