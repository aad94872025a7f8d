/* Dead letters: where they lie, on disk and in a storage, what is swept, what there is room for, and
 * that none is lost on the way from one to the other. The receiver is a port where nobody listens.
 */
#include "callback/callback.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY "{\"a\":1}"
#define PATIENCE_S 60
#define URL "http://127.0.0.1:1/hook"

static char base[] = "/tmp/voxhost-letters-XXXXXX";
static char letters[64], objects[64];
static char prefix[] = "storage:lost/";
static struct manifest_callbacks manifest;
static struct manifest_storage section;
static struct log quiet = {.fd = -1, .level = LOG_ERROR};

static int start(void **state)
{
    struct err err;
    (void)state;
    if (!mkdtemp(base))
        return -1;
    snprintf(letters, sizeof(letters), "%s/letters", base);
    snprintf(objects, sizeof(objects), "%s/objects", base);
    return fs_make_dirs(objects, 0700, &err);
}

static void remove_tree(const char *path)
{
    struct err err = {0};
    chmod(path, 0700);
    assert_int_equal(tree_remove(path, &err), 0);
}

static int finish(void **state)
{
    (void)state;
    remove_tree(base);
    return 0;
}

/* Nothing is left of the test before. */
static int clear(void **state)
{
    struct err err;
    (void)state;
    remove_tree(letters);
    remove_tree(objects);
    return fs_make_dirs(objects, 0700, &err);
}

/* Letters go to the storage when that is there. */
static struct callback_options options_for(struct storage *storage)
{
    manifest = (struct manifest_callbacks){
        .attempts = 1,
        .timeout_s = PATIENCE_S,
        .dead_letters = storage ? prefix : letters,
        .letters_dir = letters,
    };
    return (struct callback_options){.manifest = &manifest,
                                     .fetch_private = true,
                                     .log = &quiet,
                                     .retry_first_s = 0.01,
                                     .storage = storage};
}

static struct storage *open_storage(void)
{
    struct storage *storage = NULL;
    struct err err = {0};
    section = (struct manifest_storage){.type = STORAGE_FILE, .dir = objects};
    assert_int_equal(storage_open(&section, &storage, &err), 0);
    return storage;
}

static void post(struct callback_sender *sender)
{
    const struct callback_post post = {URL, BODY, strlen(BODY), "job 1", false};
    callback_post(sender, &post);
}

/* So many callbacks that nobody takes. */
static void bury(const struct callback_options *options, int count)
{
    struct callback_sender *sender = callback_sender_create(options);
    for (int i = 0; i < count; i++)
        post(sender);
    callback_sender_destroy(sender, clock_now() + PATIENCE_S * CLOCK_S, NULL);
}

static void write_letter(const char *dir, const char *id, size_t padding)
{
    struct str text = {0};
    struct err err = {0};
    assert_int_equal(fs_make_dirs(dir, 0700, &err), 0);
    char *path = str_format("%s/%s.json", dir, id);
    str_printf(&text,
               "{\"version\":1,\"id\":\"%s\",\"job_id\":\"job 1\",\"kind\":\"success\",\"url\":"
               "\"" URL "\",\"created\":\"c\",\"attempts\":0,\"body\":\"",
               id);
    for (size_t i = 0; i < padding; i++)
        str_putc(&text, 'x');
    str_puts(&text, "\"}");
    assert_int_equal(fs_write_file(path, text.data, text.len, &err), 0);
    str_finish(&text);
    free(path);
}

/* Files of that ending in a directory. */
static size_t count_files(const char *path, const char *ending)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        count += len > strlen(ending) && strcmp(entry->d_name + len - strlen(ending), ending) == 0;
    }
    if (dir)
        closedir(dir);
    return count;
}

struct seen {
    size_t count, stored, wrong;
    char first[CALLBACK_ID_SIZE_MAX + 1];
};

static void each(const struct callback_letter *letter, void *arg)
{
    struct seen *seen = arg;
    if (seen->count == 0)
        snprintf(seen->first, sizeof(seen->first), "%s", letter->id);
    seen->count++;
    seen->stored += letter->is_stored;
}

static void wrong(const struct err *err, void *arg)
{
    (void)err;
    ((struct seen *)arg)->wrong++;
}

static struct seen look(const struct callback_options *options)
{
    struct seen seen = {0};
    struct err err = {0};
    const struct callback_visitor visitor = {each, wrong, &seen};
    assert_int_equal(callback_letters(options, &visitor, &err), 0);
    return seen;
}

/* --- In the storage --------------------------------------------------------------------------- */

/* FM-59 "dead-letter file", G.8 146. */
static void dead_letters_move_to_the_storage_named_by_date(void **state)
{
    struct storage *storage = open_storage();
    const struct callback_options options = options_for(storage);
    char date[CLOCK_TEXT_SIZE];
    (void)state;
    clock_text(date);
    bury(&options, 3);
    assert_int_equal(count_files(letters, ".json"), 0);
    char *folder = str_format("%s/lost/%.10s", objects, date);
    if (count_files(folder, ".json") == 0) { /* it was midnight */
        free(folder);
        clock_text(date);
        folder = str_format("%s/lost/%.10s", objects, date);
    }
    assert_int_equal(count_files(folder, ".json"), 3);
    struct seen seen = look(&options);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.stored, 3);
    free(folder);
    storage_close(storage);
}

static void what_waits_at_the_end_goes_to_the_storage(void **state)
{
    struct storage *storage = open_storage();
    struct callback_options options = options_for(storage);
    struct callback_sender *sender;
    (void)state;
    manifest.attempts = 9;
    options.retry_first_s = 60; /* none gets another try: they come after half of it or later */
    sender = callback_sender_create(&options);
    for (int i = 0; i < 40; i++)
        post(sender);
    assert_int_equal(callback_sender_destroy(sender, clock_now() + 20 * CLOCK_S, NULL), 40);
    assert_int_equal(count_files(letters, ".json"), 0);
    assert_int_equal(look(&options).stored, 40);
    storage_close(storage);
}

static void what_the_storage_does_not_take_stays_on_disk_until_it_does(void **state)
{
    struct storage *storage = open_storage();
    const struct callback_options options = options_for(storage);
    struct err err = {0};
    char *lost = str_format("%s/lost", objects);
    (void)state;
    assert_int_equal(fs_write_file(lost, "x", 1, &err), 0); /* in the way of the folder */
    bury(&options, 3);
    assert_int_equal(count_files(letters, ".json"), 3);
    unlink(lost);
    assert_int_equal(look(&options).count, 3);
    assert_int_equal(look(&options).stored, 0);
    bury(&options, 1);
    assert_int_equal(count_files(letters, ".json"), 0);
    assert_int_equal(look(&options).stored, 4);
    free(lost);
    storage_close(storage);
}

static void without_a_disk_they_go_to_the_storage(void **state)
{
    struct storage *storage = open_storage();
    struct callback_options options = options_for(storage);
    struct err err = {0};
    (void)state;
    assert_int_equal(fs_write_file(letters, "x", 1, &err), 0);
    bury(&options, 3);
    assert_int_equal(unlink(letters), 0);
    assert_int_equal(look(&options).stored, 3);
    options.min_free_mb = INT64_MAX >> 21; /* as much as no disk has */
    bury(&options, 2);
    assert_int_equal(count_files(letters, ".json"), 0);
    assert_int_equal(look(&options).stored, 5);
    storage_close(storage);
}

static void note_failure(const char *id, const struct err *why, void *arg)
{
    (void)id;
    if (why)
        (*(size_t *)arg)++;
}

static void a_failed_replay_counts_in_the_storage_too(void **state)
{
    struct storage *storage = open_storage();
    const struct callback_options options = options_for(storage);
    size_t failures = 0;
    struct err err = {0};
    const struct callback_replay replay = {NULL, note_failure, &failures, NULL};
    (void)state;
    bury(&options, 2);
    write_letter(letters, "20200101T000000-0123456789abcdef", 1);
    write_letter(letters, "of-somebody", 1);
    assert_int_equal(callback_replay(&options, &replay, &err), 0);
    assert_int_equal(failures, 4);
    assert_int_equal(look(&options).count, 4);
    assert_int_equal(look(&options).stored, 2);
    bury(&options, 1);
    assert_int_equal(look(&options).stored, 4);
    assert_int_equal(count_files(letters, ".json"), 1); /* which is not named as ours are */
    storage_close(storage);
}

static void keep_reason(const char *id, const struct err *why, void *arg)
{
    (void)id;
    assert_non_null(why);
    *(struct err *)arg = *why;
}

static void a_letter_that_is_nowhere_is_said_to_be_missing(void **state)
{
    struct storage *storage = open_storage();
    const struct callback_options options = options_for(storage);
    struct text_list absent = {0};
    struct err err = {0}, why = {0};
    const struct callback_replay replay = {&absent, keep_reason, &why, NULL};
    (void)state;
    text_list_add(&absent, mem_copy_string("20200101T000000-0123456789abcdef"));
    assert_int_equal(callback_replay(&options, &replay, &err), 0);
    assert_int_equal(why.code, ERR_INVALID);
    assert_string_equal(why.field, "id");
    assert_non_null(strstr(why.message, "there is no dead letter \"20200101T000000"));
    text_list_finish(&absent);
    storage_close(storage);
}

/* --- Sweeping --------------------------------------------------------------------------------- */

#define DAY_S 86400
#define NOW 1775044800 /* 2026-04-01T12:00:00Z */
static const char *const ids[] = {
    "20260101T120000-0000000000000001", /* 90 days old */
    "20260311T120000-0000000000000002", /* 21 */
    "20260331T115959-0000000000000003", /* 1 and a second */
    "20260401T115900-0000000000000004",
};

static void sweep(struct storage *storage, double keep_days, int64_t keep_mb, size_t expected)
{
    struct callback_swept swept;
    struct err err = {0};
    manifest.keep_days = keep_days;
    manifest.keep_mb = keep_mb;
    assert_int_equal(callback_letters_sweep(&manifest, storage, NOW, NULL, &swept, &err), 0);
    assert_int_equal(swept.count, expected);
    assert_true((swept.bytes > 0) == (expected > 0));
}

static void letters_are_swept_by_age(void **state)
{
    const struct callback_options options = options_for(NULL);
    struct err err = {0};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        write_letter(letters, ids[i], 100);
    write_letter(letters, "20200101T000000-of-somebody", 100);
    char *note = fs_join(letters, "notes.txt"),
         *own = fs_join(letters, ".sending-0123456789abcdef");
    assert_int_equal(fs_write_file(note, "x", 1, &err), 0);
    write_letter(own, ids[0], 100); /* under way */
    sweep(NULL, 0, 0, 0);
    sweep(NULL, 100, 0, 0);
    sweep(NULL, 90.5, 0, 0);
    sweep(NULL, 21.5, 0, 1);
    sweep(NULL, 1, 0, 2);
    sweep(NULL, 1, 0, 0);
    assert_int_equal(count_files(letters, ".json"), 2);
    assert_int_equal(count_files(own, ".json"), 1);
    assert_int_equal(access(note, F_OK), 0);
    assert_int_equal(look(&options).count, 3); /* with that of the dead process */
    free(note);
    free(own);
}

static void letters_are_swept_by_size_over_both_places(void **state)
{
    struct storage *storage = open_storage();
    const struct callback_options options = options_for(storage);
    const size_t half = 512 << 10;
    char *stored = str_format("%s/lost/2026-01-01", objects);
    (void)state;
    write_letter(stored, ids[0], half);
    write_letter(letters, ids[1], half);
    write_letter(letters, ids[2], half);
    write_letter(letters, ids[3], 1);
    sweep(storage, 0, 2, 0);
    sweep(storage, 0, 1, 2); /* the two halves that are left are a little more than 1 MB */
    assert_int_equal(access(stored, F_OK), -1); /* no folder is left of each day */
    assert_string_equal(look(&options).first, ids[2]);
    sweep(storage, 0, 1, 0);
    free(stored);
    storage_close(storage);
}

static void a_sweep_of_nothing_is_none(void **state)
{
    struct storage *storage = open_storage();
    options_for(storage);
    (void)state;
    sweep(storage, 1, 1, 0);
    sweep(NULL, 1, 1, 0);
    storage_close(storage);
}

static void a_sweep_that_is_stopped_leaves_the_rest(void **state)
{
    const struct callback_options options = options_for(NULL);
    const atomic_int stop = 1;
    struct callback_swept swept;
    struct err err = {0};
    (void)state;
    write_letter(letters, ids[0], 1);
    manifest.keep_days = 1;
    assert_int_equal(callback_letters_sweep(&manifest, NULL, NOW, &stop, &swept, &err),
                     ERR_CANCELLED);
    assert_int_equal(look(&options).count, 1);
}

/* --- Limits ----------------------------------------------------------------------------------- */

static void the_oldest_letters_go_when_there_are_too_many(void **state)
{
    struct callback_options options = options_for(NULL);
    (void)state;
    for (size_t i = 0; i < 4; i++)
        write_letter(letters, ids[i], 1);
    write_letter(letters, "0-of-somebody", 1);
    options.letters_max = 10;
    bury(&options, 5); /* which is just the limit */
    assert_int_equal(look(&options).count, 10);
    bury(&options, 1);
    struct seen seen = look(&options);
    assert_int_equal(seen.count, 9); /* a tenth more than has to */
    assert_string_equal(seen.first, "0-of-somebody");
    bury(&options, 20);
    assert_in_range(look(&options).count, 1, 10);
}

static void a_disk_that_is_nearly_full_takes_no_letters(void **state)
{
    struct callback_options options = options_for(NULL);
    (void)state;
    options.min_free_mb = INT64_MAX >> 21;
    bury(&options, 2);
    assert_int_equal(look(&options).count, 0);
    options.min_free_mb = 1;
    bury(&options, 2);
    assert_int_equal(look(&options).count, 2);
}

/* --- Trouble on disk -------------------------------------------------------------------------- */

static void a_folder_that_was_swept_away_is_made_again(void **state)
{
    const struct callback_options options = options_for(NULL);
    struct callback_sender *sender = callback_sender_create(&options);
    (void)state;
    const struct callback_post first = {URL, BODY, strlen(BODY), "job 1", false};
    struct callback *early = callback_prepare(sender, &first);
    remove_tree(letters);
    post(sender);
    callback_release(sender, early);
    callback_sender_destroy(sender, clock_now() + PATIENCE_S * CLOCK_S, NULL);
    assert_int_equal(look(&options).count, 2);
}

/* As of a job that hung at the end of its process. */
static void what_comes_after_the_end_is_a_letter(void **state)
{
    const struct callback_options options = options_for(NULL);
    struct callback_sender *sender = callback_sender_create(&options);
    (void)state;
    const struct callback_post first = {URL, BODY, strlen(BODY), "job 1", false};
    struct callback *early = callback_prepare(sender, &first);
    assert_int_equal(callback_sender_end(sender, clock_now(), NULL), 0);
    callback_release(sender, early);
    post(sender);
    assert_int_equal(count_files(letters, ".json"), 2);
    assert_int_equal(callback_sender_destroy(sender, clock_now(), NULL), 0);
    assert_int_equal(look(&options).count, 2);
}

/* The folder of the one process that has been here; the caller's. */
static char *find_own(void)
{
    DIR *dir = opendir(letters);
    const struct dirent *entry;
    char *own = NULL;
    while (dir && !own && (entry = readdir(dir)))
        if (strncmp(entry->d_name, ".sending-", 9) == 0)
            own = fs_join(letters, entry->d_name);
    closedir(dir);
    assert_non_null(own);
    return own;
}

/* A record that cannot become a letter stays for the next process. */
static void what_cannot_be_moved_at_the_end_is_not_lost(void **state)
{
    struct callback_options options = options_for(NULL);
    struct err err = {0};
    (void)state;
    manifest.attempts = 9;
    options.retry_first_s = 60;
    struct callback_sender *sender = callback_sender_create(&options);
    post(sender);
    char *own = find_own(), *in_the_way = NULL;
    const struct dirent *entry;
    DIR *dir = opendir(own);
    while ((entry = readdir(dir)))
        if (strstr(entry->d_name, ".json"))
            in_the_way = fs_join(letters, entry->d_name);
    closedir(dir);
    assert_non_null(in_the_way);
    assert_int_equal(fs_make_dirs(in_the_way, 0700, &err), 0);
    assert_int_equal(callback_sender_destroy(sender, clock_now(), NULL), 1);
    assert_int_equal(count_files(own, ".json"), 1);
    assert_int_equal(rmdir(in_the_way), 0);
    assert_int_equal(look(&options).count, 1);
    assert_int_equal(access(own, F_OK), -1);
    free(in_the_way);
    free(own);
}

static void a_pipe_in_the_directory_holds_up_nobody(void **state)
{
    const struct callback_options options = options_for(NULL);
    (void)state;
    write_letter(letters, ids[0], 1);
    char *pipe_path = fs_join(letters, "pipe.json");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(look(&options).count, 1);
    free(pipe_path);
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dead_letters_move_to_the_storage_named_by_date),
        TEST(what_waits_at_the_end_goes_to_the_storage),
        TEST(what_the_storage_does_not_take_stays_on_disk_until_it_does),
        TEST(without_a_disk_they_go_to_the_storage),
        TEST(a_failed_replay_counts_in_the_storage_too),
        TEST(a_letter_that_is_nowhere_is_said_to_be_missing),
        TEST(letters_are_swept_by_age),
        TEST(letters_are_swept_by_size_over_both_places),
        TEST(a_sweep_of_nothing_is_none),
        TEST(a_sweep_that_is_stopped_leaves_the_rest),
        TEST(the_oldest_letters_go_when_there_are_too_many),
        TEST(a_disk_that_is_nearly_full_takes_no_letters),
        TEST(a_folder_that_was_swept_away_is_made_again),
        TEST(what_comes_after_the_end_is_a_letter),
        TEST(what_cannot_be_moved_at_the_end_is_not_lost),
        TEST(a_pipe_in_the_directory_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
