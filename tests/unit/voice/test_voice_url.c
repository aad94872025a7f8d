/* A voice that a job names by a URL: found without the network, downloaded when it is opened, and
 * of its URL nothing but the host is ever shown. */
#include "../http/http_test.h"
#include "voice/voice.h"

static const struct voice_places places = {.voices_dir = "/nowhere"};
static const struct vox_entry cloner = {.id = "cloner",
                                        .capabilities = VOX_CAP_CLONING | VOX_CAP_NEEDS_TRANSCRIPT};
static struct test_server *server;

static int start(void **state)
{
    (void)state;
    server = test_server_start();
    return 0;
}

static int finish(void **state)
{
    (void)state;
    test_server_stop(server);
    return 0;
}

static void open_voice(const char *path, const struct voice_fetch *fetch, int expected,
                       const char *message)
{
    struct voice_cache *cache = voice_cache_create(1 << 20);
    struct voice_ref ref;
    struct voice_use use;
    struct vox_voice voice = {0};
    struct err err = {0};
    const struct voice_request request = {.voice = test_url(server, "127.0.0.1", path),
                                          .transcript = "what is said"};
    assert_int_equal(voice_find(&request, &cloner, &places, &ref, &err), 0);
    assert_int_equal(voice_open(cache, &ref, fetch, &use, &voice, &err), expected);
    if (expected != 0) {
        assert_string_equal(err.field, "voice");
        if (!strstr(err.message, message))
            fail_msg("\"%s\" lacks \"%s\"", err.message, message);
        assert_null(strstr(err.message, "secret"));
    } else {
        int requests = atomic_load(&server->requests);
        assert_int_equal(voice.sample_rate, 16000);
        assert_int_equal(voice.frames, 1600);
        assert_int_equal(strncmp(voice.id.data, "127.0.0.1:", 10), 0);
        assert_null(strchr(voice.id.data, '/'));
        assert_string_equal(voice.transcript.data, "what is said");
        voice_close(&use);
        assert_int_equal(voice_open(cache, &ref, fetch, &use, &voice, &err), 0);
        assert_int_equal(atomic_load(&server->requests), requests); /* not fetched again */
    }
    voice_close(&use);
    voice_ref_finish(&ref);
    voice_cache_destroy(cache);
}

static void a_url_is_downloaded_when_it_is_opened(void **state)
{
    (void)state;
    struct voice_fetch fetch = {.allow_private = true, .timeout_s = 30, .bytes_max = 1 << 20};
    open_voice("/voice.wav?secret", &fetch, 0, "");
    open_voice("/missing", &fetch, ERR_INVALID, "127.0.0.1: answered with status 404");
    open_voice("/ok", &fetch, ERR_INVALID, "127.0.0.1:"); /* no audio */
    fetch.bytes_max = 1000;
    open_voice("/voice.wav?secret", &fetch, ERR_INVALID, "longer than 1000 bytes");
    fetch.timeout_s = 0.3;
    open_voice("/hang", &fetch, ERR_TIMEOUT, "no whole answer within 0.3 s");
}

static void what_may_not_be_reached_is_not(void **state)
{
    (void)state;
    atomic_int stop = 1;
    struct voice_fetch fetch = {.timeout_s = 30, .bytes_max = 1 << 20};
    open_voice("/voice.wav?secret", &fetch, ERR_INVALID, "not a public one");
    fetch = (struct voice_fetch){
        .allow_private = true, .timeout_s = 30, .bytes_max = 1 << 20, .stop = &stop};
    open_voice("/hang", &fetch, ERR_CANCELLED, "cancelled");
}

static void expect_refused(const char *voice, const char *text, const struct vox_entry *entry,
                           int code, const char *field)
{
    struct voice_ref ref;
    struct err err = {0};
    const struct voice_request request = {.voice = voice, .transcript = text};
    assert_int_equal(voice_find(&request, entry, &places, &ref, &err), code);
    assert_string_equal(err.field, field);
    assert_null(strstr(err.message, "secret"));
    assert_null(ref.url);
}

static void a_url_that_makes_no_sense_is_refused_when_it_is_found(void **state)
{
    (void)state;
    static const struct vox_speaker speakers[] = {{.id = "bob"}};
    const struct vox_entry fixed = {.id = "fixed",
                                    .speakers = speakers,
                                    .speaker_count = 1,
                                    .speaker_size = sizeof(speakers[0])};
    static char longest[VOICE_URL_LEN_MAX + 2] = "https://a/";
    memset(longest + 10, 'x', sizeof(longest) - 11);
    expect_refused("https://user:secret@a/", "x", &cloner, ERR_INVALID, "voice");
    expect_refused("http:///secret", "x", &cloner, ERR_INVALID, "voice");
    expect_refused(longest, "x", &cloner, ERR_INVALID, "voice");
    expect_refused("HTTPS://a/b.wav?secret", NULL, &cloner, ERR_INVALID, "voice_text");
    expect_refused("https://a/b.wav?secret", "x", &fixed, ERR_VOICE_NOT_FOUND, "voice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_downloaded_when_it_is_opened),
        cmocka_unit_test(what_may_not_be_reached_is_not),
        cmocka_unit_test(a_url_that_makes_no_sense_is_refused_when_it_is_found),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
