/* The library of voices on disk: what goes in comes out, wrong things do not go in, and a voice
 * that is replaced is another one in every respect. */
#include "voice_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>

static size_t count_items(const char *dir, const char *sub)
{
    char *path = fs_join(dir, sub);
    DIR *folder = opendir(path);
    struct dirent *item;
    size_t count = 0;
    while (folder && (item = readdir(folder)))
        count += strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0;
    if (folder)
        closedir(folder);
    free(path);
    return count;
}

/* --- Ids (row 94: one rule) ------------------------------------------------------------------- */

static void only_plain_words_are_ids(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "Anna", "0", "a.b-c_D9", "voice_1.wav"};
    static const char *const bad[] = {"",     ".",    "..",  ".a",   "-a",     "_a",
                                      "a/b",  "../a", "a b", "a\n",  "\x01",   "\xc3\xa4",
                                      "a\\b", "a:b",  "/a",  "a%2f", "voi\xff"};
    char long_id[10001];
    memset(long_id, 'a', sizeof(long_id));
    long_id[10000] = '\0';
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(voice_id_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(voice_id_valid(bad[i]));
    assert_false(voice_id_valid(long_id));
    long_id[VOICE_ID_LEN_MAX + 1] = '\0';
    assert_false(voice_id_valid(long_id));
    long_id[VOICE_ID_LEN_MAX] = '\0';
    assert_true(voice_id_valid(long_id));
}

static void an_id_follows_from_any_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *id;
    } cases[] = {{"anna", "anna"},
                 {"Anna Bell", "voice_anna_bell"},
                 {"../../etc/passwd", "voice_etcpasswd"},
                 {"Zo\xc3\xab!", "voice_zo"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *id = voice_id_from_name(cases[i].name);
        assert_string_equal(id, cases[i].id);
        free(id);
    }
    char *one = voice_id_from_name("\xe5\xa3\xb0"), *other = voice_id_from_name("\xe9\x9f\xb3");
    assert_true(voice_id_valid(one) && voice_id_valid(other));
    assert_string_not_equal(one, other);
    free(one);
    free(other);
    char long_name[10001];
    memset(long_name, ' ', sizeof(long_name));
    memset(long_name, 'x', 9000);
    long_name[10000] = '\0';
    one = voice_id_from_name(long_name);
    assert_true(voice_id_valid(one));
    free(one);
}

/* --- In and out ------------------------------------------------------------------------------- */

static void a_voice_comes_out_as_it_went_in(void **state)
{
    (void)state;
    char *dir = library("in-out");
    struct str wav = {0}, kept = {0};
    struct voice_entry made, got;
    cJSON *metadata = cJSON_Parse("{\"kids\":true,\"big\":12}");
    make_wav(2, 200, 0.5, &wav);
    const struct voice_import import = {.id = "anna",
                                        .name = "Anna \"B\" \xc3\xa4",
                                        .data = wav.data,
                                        .len = wav.len,
                                        .transcript = "What she\nsays.",
                                        .language = "en-GB",
                                        .consent = "yes, 2026-01-01",
                                        .metadata = metadata};
    assert_int_equal(voice_library_put(dir, &import, &made, &test_err), 0);
    assert_int_equal(voice_library_get(dir, "anna", &got, &test_err), 0);
    assert_string_equal(got.name, import.name);
    assert_string_equal(got.transcript, import.transcript);
    assert_string_equal(got.language, import.language);
    assert_string_equal(got.consent, import.consent);
    assert_true(cJSON_Compare(got.metadata, metadata, true));
    assert_string_equal(got.format, "wav");
    assert_float_equal(got.duration_s, 2, 1e-9);
    assert_int_equal(got.sample_rate, RATE);
    assert_int_equal(got.channels, 1);
    assert_string_equal(got.created, got.updated);
    assert_string_equal(got.reference.sha256, made.reference.sha256);
    assert_int_equal(library_read_file(dir, "anna", &got.reference, &kept, &test_err), 0);
    assert_int_equal(kept.len, wav.len);
    assert_memory_equal(kept.data, wav.data, wav.len);
    assert_int_equal(count_items(dir, "anna"), 2);
    assert_int_equal(count_items(dir, "."), 2); /* the voice and the lock */
    voice_entry_finish(&made);
    voice_entry_finish(&got);
    cJSON_Delete(metadata);
    str_finish(&wav);
    str_finish(&kept);
    free(dir);
}

/* FM-49: a voice that is there is not taken for another one of the same name, nor silently
 * replaced. */
static void fm_49_a_voice_is_replaced_only_when_asked(void **state)
{
    (void)state;
    char *dir = library("fm-49");
    struct voice_entry first, second;
    struct str wav = {0};
    assert_int_equal(put_sine(dir, "anna", 100, "One.", false, &first), 0);
    assert_error(put_sine(dir, "anna", 300, "Two.", false, NULL), ERR_INVALID, "id",
                 "there is a voice \"anna\" already");
    assert_int_equal(voice_library_get(dir, "anna", &second, &test_err), 0);
    assert_string_equal(second.reference.sha256, first.reference.sha256);
    voice_entry_finish(&second);

    struct str profile = {0};
    str_puts(&profile, "not looked into");
    assert_int_equal(library_keep_profile(dir, "anna", first.reference.sha256, "tone-1-x.bin",
                                          &profile, NULL, &test_err),
                     0);
    assert_int_equal(count_items(dir, "anna/profiles"), 1);
    assert_int_equal(put_sine(dir, "anna", 300, NULL, true, &second), 0);
    assert_string_not_equal(second.reference.sha256, first.reference.sha256);
    assert_string_equal(second.created, first.created);
    assert_null(second.transcript);
    assert_int_equal(count_items(dir, "anna/profiles"), 0);
    assert_int_equal(count_items(dir, "anna"),
                     3); /* voice.json, its recording, the folder of profiles */
    assert_error(library_keep_profile(dir, "anna", first.reference.sha256, "tone-1-x.bin", &profile,
                                      NULL, &test_err),
                 ERR_STORAGE, "", "was replaced meanwhile");
    assert_int_equal(count_items(dir, "anna/profiles"), 0);

    make_wav(1, 100, 0.5, &wav);
    struct voice_import import = {.name = "Anna B", .data = wav.data, .len = wav.len};
    assert_int_equal(voice_library_put(dir, &import, NULL, &test_err), 0);
    import.name = "anna b";
    import.replace = true;
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, "name",
                 "which is that of the voice \"Anna B\"");
    voice_entry_finish(&first);
    voice_entry_finish(&second);
    str_finish(&wav);
    str_finish(&profile);
    free(dir);
}

static void what_is_said_of_a_voice_is_checked(void **state)
{
    (void)state;
    char *dir = library("texts"), long_text[VOICE_NAME_LEN_MAX + 2];
    struct str wav = {0};
    cJSON *list = cJSON_CreateArray();
    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    make_wav(1, 100, 0.5, &wav);
    const struct {
        const char *id, *name, *transcript, *language, *consent, *field, *message;
        const cJSON *metadata;
    } cases[] = {
        {.id = "../anna", .field = "id", .message = "is no id"},
        {.id = "a\x01", .field = "id", .message = "is no id"},
        {.id = "a", .name = "a\nb", .field = "name", .message = "control character at byte 2"},
        {.id = "a", .name = long_text, .field = "name", .message = "longer than 256 bytes"},
        {.id = "a", .name = "\xff", .field = "name", .message = "not UTF-8"},
        {.id = "a", .name = " ", .field = "name", .message = "is empty"},
        {.id = "a", .transcript = "", .field = "transcript", .message = "is empty"},
        {.id = "a", .transcript = "a\x07", .field = "transcript", .message = "control character"},
        {.id = "a", .language = "e n", .field = "language", .message = "BCP 47"},
        {.id = "a", .consent = "\xc3", .field = "consent", .message = "not UTF-8"},
        {.id = "a", .metadata = list, .field = "metadata", .message = "expected an object"},
        {.field = "name", .message = "expected an id or a name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct voice_import import = {.id = cases[i].id,
                                            .name = cases[i].name,
                                            .data = wav.data,
                                            .len = wav.len,
                                            .transcript = cases[i].transcript,
                                            .language = cases[i].language,
                                            .consent = cases[i].consent,
                                            .metadata = cases[i].metadata};
        assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, cases[i].field,
                     cases[i].message);
    }
    assert_int_equal(access(dir, F_OK), -1); /* nothing was begun */
    cJSON_Delete(list);
    str_finish(&wav);
    free(dir);
}

static void a_recording_that_is_no_voice_is_refused(void **state)
{
    (void)state;
    char *dir = library("recordings");
    struct str silent = {0}, brief = {0}, good = {0}, noise = {0}, cut = {0}, bad = {0},
               hours = {0};
    make_wav(1, 100, 0.0005, &silent);
    make_wav(0.3, 100, 0.5, &brief);
    make_wav(1, 100, 0.5, &good);
    make_wav(601, 100, 0.5, &hours);
    str_puts(&noise, "#!/bin/sh and no audio at all, whatever it is called");
    str_append(&cut, good.data, good.len / 2);
    str_append(&bad, good.data, 10);
    const struct {
        const struct str *wav;
        const char *message;
    } cases[] = {
        {&silent, "is silent"},         {&brief, "is 0.30 s long, too short"},
        {&noise, "is no audio"},        {&cut, "is cut off"},
        {&hours, "is longer than 600"}, {&bad, "is no audio"},
        {&(struct str){0}, "is empty"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct voice_import import = {
            .id = "a", .data = cases[i].wav->data, .len = cases[i].wav->len};
        assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, "audio",
                     cases[i].message);
    }
    struct voice_import import = {.id = "a", .audio = "s3://bucket/key"};
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_UNSUPPORTED, "audio",
                 "object keys");
    import.audio = "ref.wav";
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, "audio",
                 "no file can be named here");
    import.audio = "data:audio/wav;base64,!!!!";
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, "audio", "base64");
    assert_int_equal(access(dir, F_OK), -1);
    str_finish(&silent);
    str_finish(&brief);
    str_finish(&good);
    str_finish(&noise);
    str_finish(&cut);
    str_finish(&bad);
    str_finish(&hours);
    free(dir);
}

/* FM-70: what a recording is called or said to be does not matter. */
static void fm_70_content_decides_the_format(void **state)
{
    (void)state;
    char *dir = library("fm-70"), *path = fs_join(test_dir, "recording.webm");
    struct str wav = {0}, base64 = {0};
    struct voice_entry entry;
    make_wav(1, 100, 0.5, &wav);
    assert_int_equal(fs_write_file(path, wav.data, wav.len, &test_err), 0);
    struct voice_import import = {.id = "file", .audio = "recording.webm", .base_dir = test_dir};
    assert_int_equal(voice_library_put(dir, &import, &entry, &test_err), 0);
    assert_string_equal(entry.format, "wav");
    voice_entry_finish(&entry);
    str_puts(&base64, "data:audio/webm;base64,");
    str_append_base64(&base64, wav.data, wav.len);
    import = (struct voice_import){.id = "inline", .audio = base64.data};
    assert_int_equal(voice_library_put(dir, &import, &entry, &test_err), 0);
    assert_string_equal(entry.format, "wav");
    voice_entry_finish(&entry);
    import.inline_max = 1000;
    import.id = "large";
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_INVALID, "audio",
                 "larger than 1000 bytes");
    str_finish(&wav);
    str_finish(&base64);
    free(path);
    free(dir);
}

/* --- Listing ---------------------------------------------------------------------------------- */

/* FM-30: all voices are listed, on however many pages, each once and in order. */
static void fm_30_every_page_is_reached(void **state)
{
    (void)state;
    enum { VOICES = 1203 };
    char *dir = library("fm-30"), *after = NULL, last[64] = "";
    struct str text = {0};
    struct voice_entry entry;
    struct voice_list list;
    assert_int_equal(put_sine(dir, "v0000", 100, NULL, false, &entry), 0);
    for (int i = 1; i < VOICES; i++) { /* by hand: 1,203 recordings would take their time */
        char *folder = str_format("%s/v%04d", dir, i), *path = fs_join(folder, "voice.json");
        free(entry.id);
        entry.id = str_format("v%04d", i);
        str_clear(&text);
        voice_entry_write(&entry, &text);
        assert_int_equal(fs_make_dirs(folder, 0777, &test_err), 0);
        assert_int_equal(fs_write_file(path, text.data, text.len, &test_err), 0);
        free(folder);
        free(path);
    }
    size_t seen = 0, pages = 0;
    do {
        assert_int_equal(voice_library_list(dir, after, 100, &list, &test_err), 0);
        assert_int_equal(list.total, VOICES);
        for (size_t i = 0; i < list.count; i++) {
            assert_true(strcmp(last, list.items[i].id) < 0);
            snprintf(last, sizeof(last), "%s", list.items[i].id);
        }
        seen += list.count;
        pages++;
        free(after);
        after = mem_copy_string(list.next);
        voice_list_finish(&list);
    } while (after);
    assert_int_equal(seen, VOICES);
    assert_int_equal(pages, 13);
    voice_entry_finish(&entry);
    str_finish(&text);
    free(dir);
}

static void plain_recordings_are_voices_too(void **state)
{
    (void)state;
    char *dir = library("plain"), *wav_path = fs_join(dir, "bob smith.wav");
    char *text_path = fs_join(dir, "bob smith.txt"), *damaged = fs_join(dir, "zoe");
    char *damaged_json = fs_join(damaged, "voice.json");
    struct str wav = {0};
    struct voice_list list;
    struct voice_entry entry;
    make_wav(1, 100, 0.5, &wav);
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    assert_int_equal(fs_write_file(wav_path, wav.data, wav.len, &test_err), 0);
    assert_int_equal(fs_write_file(text_path, "Hello.\n\n", 8, &test_err), 0);
    assert_int_equal(mkdir(damaged, 0777), 0);
    assert_int_equal(fs_write_file(damaged_json, "{\"id\":", 6, &test_err), 0);
    assert_int_equal(voice_library_list(dir, NULL, 0, &list, &test_err), 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[1].id, "bob smith");
    assert_true(list.items[1].is_plain);
    assert_string_equal(list.items[1].transcript, "Hello.");
    assert_int_equal(list.unreadable.count, 1);
    assert_non_null(strstr(list.unreadable.items[0], "zoe/voice.json"));
    voice_list_finish(&list);
    assert_error(voice_library_remove(dir, "bob smith", &test_err), ERR_UNSUPPORTED, "id",
                 "is a plain recording");
    assert_int_equal(voice_library_remove(dir, "zoe", &test_err), 0);
    assert_int_equal(access(damaged, F_OK), -1);
    assert_error(voice_library_get(dir, "../plain/anna", &entry, &test_err), ERR_VOICE_NOT_FOUND,
                 "id", "no voice");
    assert_error(voice_library_remove(dir, "..", &test_err), ERR_VOICE_NOT_FOUND, "id", "no voice");
    str_finish(&wav);
    free(wav_path);
    free(text_path);
    free(damaged);
    free(damaged_json);
    free(dir);
}

/* --- Others ----------------------------------------------------------------------------------- */

static void what_a_killed_writer_left_goes(void **state)
{
    (void)state;
    char *dir = library("killed"), *path = str_format("%s/.voxhost-new/profiles", dir);
    char *file = fs_join(path, "x.bin"), *inside = str_format("%s/anna/.voxhost-new", dir);
    char *other = fs_join(dir, "anna/reference-0123456789abcdef.m4a");
    struct voice_entry entry;
    struct str profile = {0};
    str_puts(&profile, "not looked into");
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    assert_int_equal(fs_make_dirs(path, 0777, &test_err), 0);
    assert_int_equal(fs_write_file(file, "x", 1, &test_err), 0);
    assert_int_equal(fs_write_file(inside, "x", 1, &test_err), 0);
    assert_int_equal(put_sine(dir, "bob", 100, NULL, false, NULL), 0);
    assert_int_equal(count_items(dir, "."), 3);
    assert_int_equal(put_sine(dir, "anna", 200, NULL, true, &entry), 0);
    assert_int_equal(count_items(dir, "anna"), 2);
    assert_int_equal(fs_write_file(other, "x", 1, &test_err), 0); /* before or after voice.json */
    assert_int_equal(library_keep_profile(dir, "anna", entry.reference.sha256, "tone-1-x.bin",
                                          &profile, NULL, &test_err),
                     0);
    assert_int_equal(count_items(dir, "anna"), 3); /* voice.json, recording, profiles */
    voice_entry_finish(&entry);
    str_finish(&profile);
    free(path);
    free(file);
    free(inside);
    free(other);
    free(dir);
}

static void a_replacement_that_failed_leaves_nothing(void **state)
{
    (void)state;
    char *dir = library("failed"), *other = library("failed-from");
    char *in_the_way = fs_join(dir, "anna/profiles/tone-2-b.bin");
    struct voice_entry old, now;
    struct voice_parcel parcel;
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, &old), 0);
    assert_int_equal(put_sine(other, "anna", 300, NULL, false, NULL), 0);
    assert_int_equal(fs_make_dirs(in_the_way, 0777, &test_err), 0);
    assert_int_equal(library_read(other, "anna", &parcel, &test_err), 0);
    parcel.profile_count = 2;
    parcel.profiles[0].name = mem_copy_string("tone-1-a.bin");
    parcel.profiles[1].name = mem_copy_string("tone-2-b.bin");
    assert_error(library_write(dir, &parcel, true, false, NULL, &test_err), ERR_STORAGE, "",
                 "cannot be written");
    assert_int_equal(library_read_entry(dir, "anna", &now, &test_err), 0);
    assert_string_equal(now.reference.sha256, old.reference.sha256);
    assert_int_equal(count_items(dir, "anna"), 3); /* voice.json, recording, profiles */
    assert_int_equal(count_items(dir, "anna/profiles"), 1);
    voice_entry_finish(&old);
    voice_entry_finish(&now);
    parcel_finish(&parcel);
    free(in_the_way);
    free(other);
    free(dir);
}

/* A NAS puts folders of its own into ours. */
static void folders_inside_a_voice_go_with_it(void **state)
{
    (void)state;
    char *dir = library("folders"), *strange = fs_join(dir, "anna/@eaDir/x");
    char *left = fs_join(dir, ".voxhost-new/@eaDir"), *file = fs_join(strange, "thumb");
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    assert_int_equal(put_sine(dir, "bob", 100, NULL, false, NULL), 0);
    assert_int_equal(fs_make_dirs(strange, 0777, &test_err), 0);
    assert_int_equal(fs_write_file(file, "x", 1, &test_err), 0);
    assert_int_equal(voice_library_remove(dir, "anna", &test_err), 0);
    assert_int_equal(count_items(dir, "."), 2); /* bob and the lock */
    assert_int_equal(voice_library_remove(dir, "bob", &test_err), 0);
    assert_int_equal(fs_make_dirs(left, 0777, &test_err), 0);
    assert_int_equal(put_sine(dir, "carl", 100, NULL, false, NULL), 0);
    assert_int_equal(count_items(dir, "carl"), 2);
    assert_int_equal(count_items(dir, "."), 2);
    free(strange);
    free(left);
    free(file);
    free(dir);
}

/* FM-66: what a link leads to is nobody's leftover, and no pipe in the library stops a reader. */
static void links_and_pipes_are_not_followed(void **state)
{
    (void)state;
    char *dir = library("links"), *far = library("far"), *path = fs_join(dir, ".voxhost-gone");
    char *kept = fs_join(far, "kept"), *voice = fs_join(dir, "far"), *other = library("other"),
         *fifo = fs_join(dir, "pipe/voice.json");
    struct voice_entry entry;
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    assert_int_equal(put_sine(other, "far", 100, NULL, false, NULL), 0);
    assert_int_equal(fs_make_dirs(far, 0777, &test_err), 0);
    assert_int_equal(fs_write_file(kept, "x", 1, &test_err), 0);
    assert_int_equal(symlink(far, path), 0); /* in the place of a leftover */
    assert_int_equal(voice_library_remove(dir, "anna", &test_err), 0);
    assert_int_equal(access(kept, F_OK), 0);
    free(path);
    path = library("other/far");
    assert_int_equal(symlink(path, voice), 0); /* a voice that lies elsewhere */
    assert_int_equal(voice_library_get(dir, "far", &entry, &test_err), 0);
    voice_entry_finish(&entry);
    assert_int_equal(voice_library_remove(dir, "far", &test_err), 0);
    assert_int_equal(count_items(test_dir, "other/far"), 2);
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    assert_int_equal(voice_library_remove(dir, "anna", &test_err), 0);
    free(path);
    path = fs_join(dir, "pipe");
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(mkfifo(fifo, 0666), 0);
    assert_error(voice_library_get(dir, "pipe", &entry, &test_err), ERR_INVALID, "",
                 "not a regular file");
    free(other);
    free(kept);
    free(voice);
    free(fifo);
    free(path);
    free(far);
    free(dir);
}

/* FM-33: the lock is that of a live process: when its holder is gone, so is the lock. */
static void fm_33_a_dead_process_holds_no_lock(void **state)
{
    (void)state;
    char *dir = library("fm-33"), *lock = fs_join(dir, ".voxhost.lock"),
         *died = fs_join(dir, "died");
    int ready[2];
    assert_int_equal(mkdir(dir, 0777), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(lock, O_RDWR | O_CREAT, 0666);
        flock(fd, LOCK_EX);
        if (write(ready[1], "x", 1) == 1)
            usleep(400000);
        close(open(died, O_WRONLY | O_CREAT, 0666));
        _exit(0); /* without unlocking */
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, NULL), 0);
    assert_int_equal(access(died, F_OK), 0); /* it did wait */
    assert_int_equal(access(lock, F_OK), 0);
    assert_int_equal(put_sine(dir, "bob", 100, NULL, false, NULL), 0);
    close(ready[0]);
    close(ready[1]);
    free(died);
    free(lock);
    free(dir);
}

/* A job that is ended waits for nobody's lock. */
static void who_is_stopped_does_not_wait_for_the_lock(void **state)
{
    (void)state;
    char *dir = library("stopped"), *lock = fs_join(dir, ".voxhost.lock");
    const atomic_int stop = 1;
    struct voice_entry entry;
    struct str wav = {0}, profile = {0};
    make_wav(1, 100, 0.5, &wav);
    str_puts(&profile, "not looked into");
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, &entry), 0);
    int fd = open(lock, O_RDWR); /* as another process would */
    assert_int_equal(flock(fd, LOCK_EX), 0);
    const struct voice_import import = {
        .id = "bob", .data = wav.data, .len = wav.len, .fetch = {.stop = &stop}};
    assert_error(voice_library_put(dir, &import, NULL, &test_err), ERR_CANCELLED, "",
                 "writes to the library");
    assert_error(voice_library_remove_unless(dir, "anna", &stop, &test_err), ERR_CANCELLED, "",
                 "writes to the library");
    assert_error(library_keep_profile(dir, "anna", entry.reference.sha256, "tone-1-x.bin", &profile,
                                      &stop, &test_err),
                 ERR_CANCELLED, "", "writes to the library");
    close(fd);
    voice_entry_finish(&entry);
    str_finish(&wav);
    str_finish(&profile);
    free(lock);
    free(dir);
}

static void damaged_recordings_are_noticed(void **state)
{
    (void)state;
    char *dir = library("damaged");
    struct voice_entry entry;
    struct str bytes = {0};
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, &entry), 0);
    char *path = str_format("%s/anna/%s", dir, entry.reference.name);
    assert_int_equal(truncate(path, 1000), 0);
    assert_error(voice_library_export(dir, "anna", &bytes, &test_err), ERR_STORAGE, "",
                 "is damaged");
    assert_int_equal(unlink(path), 0);
    assert_error(voice_library_export(dir, "anna", &bytes, &test_err), ERR_STORAGE, "",
                 "is not there");
    assert_int_equal(bytes.len, 0);
    assert_int_equal(put_sine(dir, "anna", 100, NULL, true, NULL), 0);
    assert_int_equal(voice_library_export(dir, "anna", &bytes, &test_err), 0);
    voice_entry_finish(&entry);
    str_finish(&bytes);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_words_are_ids),
        cmocka_unit_test(an_id_follows_from_any_name),
        cmocka_unit_test(a_voice_comes_out_as_it_went_in),
        cmocka_unit_test(fm_49_a_voice_is_replaced_only_when_asked),
        cmocka_unit_test(what_is_said_of_a_voice_is_checked),
        cmocka_unit_test(a_recording_that_is_no_voice_is_refused),
        cmocka_unit_test(fm_70_content_decides_the_format),
        cmocka_unit_test(fm_30_every_page_is_reached),
        cmocka_unit_test(plain_recordings_are_voices_too),
        cmocka_unit_test(what_a_killed_writer_left_goes),
        cmocka_unit_test(a_replacement_that_failed_leaves_nothing),
        cmocka_unit_test(folders_inside_a_voice_go_with_it),
        cmocka_unit_test(links_and_pipes_are_not_followed),
        cmocka_unit_test(fm_33_a_dead_process_holds_no_lock),
        cmocka_unit_test(who_is_stopped_does_not_wait_for_the_lock),
        cmocka_unit_test(damaged_recordings_are_noticed),
    };
    return cmocka_run_group_tests(tests, make_test_dir, remove_test_dir);
}
