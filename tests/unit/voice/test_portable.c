/* The one file that holds a voice: it comes back whole, tar can read it, and any byte of it that is
 * changed makes it refused. */
#include "voice_test.h"

#define BLOCK ((size_t)512)

static void export_sine(const char *dir, struct str *bytes)
{
    struct voice_entry entry;
    struct profile_identity identity = {.plugin = "tone", .version = "1", .revision = 1};
    struct str blob = {0}, packed = {0};
    memset(identity.key, 'a', DIGEST_HEX_SIZE - 1);
    str_puts(&blob, "a profile");
    profile_pack(&identity, &blob, &packed);
    assert_int_equal(put_sine(dir, "anna", 100, "What is said.", false, &entry), 0);
    assert_int_equal(library_keep_profile(dir, "anna", entry.reference.sha256, "tone-1-a.bin",
                                          &packed, NULL, &test_err),
                     0);
    assert_int_equal(voice_library_export(dir, "anna", bytes, &test_err), 0);
    voice_entry_finish(&entry);
    str_finish(&blob);
    str_finish(&packed);
}

static void a_voice_travels_whole(void **state)
{
    (void)state;
    char *dir = library("from"), *other = library("to");
    struct str bytes = {0}, again = {0};
    struct voice_entry before, after;
    struct text_list profiles = {0};
    export_sine(dir, &bytes);
    assert_int_equal(
        voice_library_import(other, bytes.data, bytes.len, NULL, false, &after, &test_err), 0);
    assert_int_equal(voice_library_get(dir, "anna", &before, &test_err), 0);
    assert_string_equal(after.reference.sha256, before.reference.sha256);
    assert_string_equal(after.transcript, before.transcript);
    assert_string_equal(after.created, before.created);
    voice_library_profiles(other, &after, &profiles);
    assert_int_equal(profiles.count, 1);
    assert_string_equal(profiles.items[0], "tone 1, 9 bytes");
    voice_entry_finish(&after);
    assert_error(voice_library_import(other, bytes.data, bytes.len, NULL, false, NULL, &test_err),
                 ERR_INVALID, "id", "already");
    assert_error(voice_library_import(other, bytes.data, bytes.len, "../x", false, NULL, &test_err),
                 ERR_INVALID, "id", "is no id");
    assert_int_equal(
        voice_library_import(other, bytes.data, bytes.len, "bea", false, &after, &test_err), 0);
    assert_string_equal(after.id, "bea");
    assert_int_equal(voice_library_export(other, "bea", &again, &test_err), 0);
    assert_int_equal(again.len, bytes.len);
    voice_entry_finish(&before);
    voice_entry_finish(&after);
    text_list_finish(&profiles);
    str_finish(&bytes);
    str_finish(&again);
    free(dir);
    free(other);
}

/* The name of a profile fits into a tar's header, whatever its plugin is called; one that an older
 * host named too long stays behind. */
static void long_names_of_profiles_travel(void **state)
{
    (void)state;
    char *dir = library("long"), *other = library("long-to");
    char plugin[81], version[81], key[DIGEST_HEX_SIZE], older[105];
    struct str bytes = {0}, blob = {0}, packed = {0};
    struct voice_entry entry;
    struct text_list profiles = {0};
    memset(plugin, '-', sizeof(plugin));
    memset(version, '1', sizeof(version));
    memset(key, 'a', sizeof(key));
    memset(older, 'x', sizeof(older));
    plugin[80] = version[80] = key[DIGEST_HEX_SIZE - 1] = '\0';
    snprintf(older + 100, 5, ".bin");
    struct profile_identity identity = {.plugin = plugin, .version = version, .revision = 1};
    memcpy(identity.key, key, sizeof(key));
    char *name = profile_name(&identity);
    str_puts(&blob, "a profile");
    profile_pack(&identity, &blob, &packed);
    assert_int_equal(put_sine(dir, "anna", 100, NULL, false, &entry), 0);
    const char *const names[] = {name, older};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(library_keep_profile(dir, "anna", entry.reference.sha256, names[i],
                                              &packed, NULL, &test_err),
                         0);
    voice_entry_finish(&entry);
    assert_int_equal(voice_library_export(dir, "anna", &bytes, &test_err), 0);
    assert_int_equal(
        voice_library_import(other, bytes.data, bytes.len, NULL, false, &entry, &test_err), 0);
    voice_library_profiles(other, &entry, &profiles);
    assert_int_equal(profiles.count, 1);
    str_clear(&bytes);
    library_read_profile(other, "anna", name, &bytes);
    assert_int_equal(bytes.len, packed.len);
    voice_entry_finish(&entry);
    text_list_finish(&profiles);
    str_finish(&bytes);
    str_finish(&blob);
    str_finish(&packed);
    free(name);
    free(dir);
    free(other);
}

/* Is this byte one that says something? The rest is padding that tar ignores. */
static bool counts(const struct str *bytes, size_t at)
{
    for (size_t header = 0; header < bytes->len;) {
        unsigned long long size = strtoull(bytes->data + header + 124, NULL, 8);
        if (bytes->data[header] == '\0')
            return false;
        size_t end = header + BLOCK + (size_t)size;
        if (at < end)
            return true;
        header = (end + BLOCK - 1) / BLOCK * BLOCK;
        if (at < header)
            return false;
    }
    return false;
}

static void every_changed_byte_and_every_cut_is_noticed(void **state)
{
    (void)state;
    char *dir = library("changes"), *other = library("changes-to");
    struct str bytes = {0};
    struct voice_parcel parcel, whole;
    export_sine(dir, &bytes);
    assert_int_equal(portable_read(bytes.data, bytes.len, &whole, &test_err), 0);
    size_t tried = 0;
    for (size_t at = 0; at < bytes.len; at += at < 4096 ? 1 : 487) {
        if (!counts(&bytes, at))
            continue;
        bytes.data[at] ^= 0x11;
        int result = portable_read(bytes.data, bytes.len, &parcel, &test_err);
        if (result ==
            0) { /* then what is said of the voice was changed, and no recording or profile */
            assert_int_equal(parcel.reference.len, whole.reference.len);
            assert_memory_equal(parcel.reference.data, whole.reference.data, whole.reference.len);
            assert_int_equal(parcel.profile_count, 1);
            assert_string_equal(parcel.profiles[0].bytes.data, whole.profiles[0].bytes.data);
            parcel_finish(&parcel);
        }
        bytes.data[at] ^= 0x11;
        tried++;
    }
    assert_true(tried > 2000);
    parcel_finish(&whole);
    for (size_t len = 0; len < bytes.len - BLOCK; len += 391) {
        char *cut = mem_copy_text(bytes.data, len);
        assert_int_not_equal(portable_read(cut, len, &parcel, &test_err), 0);
        free(cut);
    }
    bytes.data[BLOCK * 4] ^= 1;
    assert_int_not_equal(
        voice_library_import(other, bytes.data, bytes.len, NULL, false, NULL, &test_err), 0);
    assert_int_equal(access(other, F_OK), -1);
    str_finish(&bytes);
    free(dir);
    free(other);
}

/* A file made by tar itself, of the same members. */
/* The decoded form of a recording that needs none is a claim: what was recorded counts. */
static void a_second_recording_is_not_heard(void **state)
{
    (void)state;
    char *dir = library("lies");
    struct str out = {0}, other = {0};
    struct voice_parcel parcel = {0};
    struct voice_entry entry = {0};
    parcel.entry = (struct voice_entry){.id = mem_copy_string("liar"),
                                        .name = mem_copy_string("liar"),
                                        .duration_s = 1,
                                        .sample_rate = RATE,
                                        .channels = 1};
    clock_text(parcel.entry.created);
    clock_text(parcel.entry.updated);
    make_wav(1, 100, 0.5, &parcel.reference);
    make_wav(3, 200, 0.5, &parcel.decoded);
    parcel_name_files(&parcel);
    portable_write(&parcel, &out);
    assert_int_equal(voice_library_import(dir, out.data, out.len, NULL, false, &entry, &test_err),
                     0);
    assert_null(entry.decoded.name);
    assert_true(entry.duration_s < 1.5);
    voice_entry_finish(&entry);
    /* What stands in for the decoded form of an m4a must be decoded. */
    str_clear(&out);
    str_clear(&parcel.reference);
    str_puts(&parcel.reference, "....ftypM4A ");
    str_clear(&parcel.decoded);
    str_puts(&parcel.decoded, "....ftypM4A ");
    parcel_name_files(&parcel);
    portable_write(&parcel, &out);
    assert_error(voice_library_import(dir, out.data, out.len, "two", false, NULL, &test_err),
                 ERR_INVALID, "", "not decoded");
    parcel_finish(&parcel);
    str_finish(&out);
    str_finish(&other);
    free(dir);
}

static void tar_reads_it(void **state)
{
    (void)state;
    char *dir = library("tar"), *path = fs_join(test_dir, "anna.tar");
    struct str bytes = {0}, names = {0};
    export_sine(dir, &bytes);
    assert_int_equal(fs_write_file(path, bytes.data, bytes.len, &test_err), 0);
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        execlp("tar", "tar", "-tf", path, NULL);
        _exit(1);
    }
    close(out[1]);
    assert_int_equal(fs_read_fd(out[0], "tar", 4096, NULL, &names, &test_err), 0);
    close(out[0]);
    assert_non_null(strstr(names.data, "manifest.json\nreference-"));
    assert_non_null(strstr(names.data, ".wav\nprofiles/tone-1-a.bin\n"));
    str_finish(&bytes);
    str_finish(&names);
    free(dir);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_voice_travels_whole),
        cmocka_unit_test(long_names_of_profiles_travel),
        cmocka_unit_test(every_changed_byte_and_every_cut_is_noticed),
        cmocka_unit_test(a_second_recording_is_not_heard),
        cmocka_unit_test(tar_reads_it),
    };
    return cmocka_run_group_tests(tests, make_test_dir, remove_test_dir);
}
