/* Chunks of a stream: sizes, order, back-pressure, aggregate, and how it ends. */
#include "front/worker/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void count_ready(struct stream *stream, uint64_t ticket, void *arg)
{
    (void)stream;
    assert_int_equal(ticket, 7);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static struct stream *open_stream(atomic_int *ready, size_t min, size_t max, size_t aggregate)
{
    struct audio_info info = {.format = AUDIO_PCM, .sample_rate = 24000, .channels = 1};
    struct stream_options options = {min, max, aggregate, count_ready, ready, 7};
    struct stream *stream = stream_create(&options);
    stream_writer(stream)->begin(&info, stream_writer(stream)->arg);
    return stream;
}

/* Takes the next chunk and adds its base64 to `all`; the length of its audio, -1: there is none. */
static int take(struct stream *stream, int index, struct str *all)
{
    struct str chunk = {0};
    struct err err;
    if (!stream_next(stream, &chunk))
        return -1;
    cJSON *json = json_parse(chunk.data, chunk.len, &JSON_LIMITS_DEFAULT, &err);
    assert_non_null(json);
    assert_int_equal(json_get(json, "index")->valueint, index);
    assert_int_equal(json_get(json, "sample_rate")->valueint, 24000);
    const char *base64 = json_get(json, "audio_base64")->valuestring;
    int len = (int)(strlen(base64) / 4 * 3) - (strchr(base64, '=') ? 1 : 0) -
              (strstr(base64, "==") ? 1 : 0);
    if (all)
        str_puts(all, base64);
    cJSON_Delete(json);
    str_finish(&chunk);
    return len;
}

static void chunks_are_cut_to_size_and_the_rest_comes_last(void **state)
{
    atomic_int ready = 0;
    struct str last = {0}, chunk = {0};
    (void)state;
    struct stream *stream = open_stream(&ready, 30, 60, 1000);
    const struct sink_writer *writer = stream_writer(stream);
    assert_int_equal(writer->write("0123456789", 10, writer->arg), 0);
    assert_int_equal(take(stream, 0, NULL), -1); /* too little */
    char audio[100];
    memset(audio, 'x', sizeof(audio));
    assert_int_equal(writer->write(audio, 100, writer->arg), 0); /* 60 + 50 */
    assert_int_equal(atomic_load(&ready), 2);
    assert_int_equal(take(stream, 0, NULL), 60);
    assert_int_equal(take(stream, 1, NULL), 50);
    assert_int_equal(writer->write("rest", 4, writer->arg), 0);
    str_puts(&last, "{\"status\":\"ok\"}");
    stream_end(stream, &last);
    assert_int_equal(take(stream, 2, NULL), 4);
    assert_true(stream_next(stream, &chunk));
    assert_string_equal(str_text(&chunk), "{\"status\":\"ok\"}");
    assert_false(stream_next(stream, &chunk));
    const struct str *all = stream_chunks(stream);
    assert_non_null(all);
    assert_int_equal(all->data[all->len - 1], '}');
    assert_non_null(strstr(all->data, ",{\"index\":2,"));
    str_finish(&chunk);
    str_finish(&last);
    stream_destroy(stream);
}

static void an_aggregate_over_its_limit_is_dropped_whole(void **state)
{
    atomic_int ready = 0;
    struct str last = {0};
    (void)state;
    struct stream *stream = open_stream(&ready, 10, 100, 150);
    const struct sink_writer *writer = stream_writer(stream);
    writer->write("0123456789", 10, writer->arg);
    writer->write("0123456789", 10, writer->arg);
    str_puts(&last, "{}");
    stream_end(stream, &last);
    assert_null(stream_chunks(stream));
    str_finish(&last);
    stream_destroy(stream);
}

struct writing {
    struct stream *stream;
    atomic_int written, result;
};

static void *write_much(void *arg)
{
    struct writing *writing = arg;
    const struct sink_writer *writer = stream_writer(writing->stream);
    int result = 0;
    for (int i = 0; i < 50 && result == 0; i++) {
        result = writer->write("0123456789", 10, writer->arg);
        atomic_fetch_add(&writing->written, result == 0);
    }
    atomic_store(&writing->result, result);
    return NULL;
}

static void a_slow_sender_holds_the_writer_and_nothing_is_lost(void **state)
{
    atomic_int ready = 0;
    pthread_t thread;
    struct str all = {0};
    (void)state;
    struct writing writing = {.stream = open_stream(&ready, 10, 10, 0)};
    assert_int_equal(sync_thread_start(&thread, write_much, &writing), 0);
    while (atomic_load(&writing.written) < STREAM_WAITING_MAX)
        usleep(1000);
    usleep(50000);
    assert_int_equal(atomic_load(&writing.written), STREAM_WAITING_MAX);
    for (int i = 0; i < 50;)
        i += take(writing.stream, i, &all) == 10;
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&writing.result), 0);
    assert_int_equal(all.len, 50 * 16);
    str_finish(&all);
    stream_destroy(writing.stream);
}

static void aborting_ends_a_writer_that_waits(void **state)
{
    atomic_int ready = 0;
    pthread_t thread;
    (void)state;
    struct writing writing = {.stream = open_stream(&ready, 10, 10, 0)};
    assert_int_equal(sync_thread_start(&thread, write_much, &writing), 0);
    while (atomic_load(&writing.written) < STREAM_WAITING_MAX)
        usleep(1000);
    stream_abort(writing.stream);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&writing.result), ECANCELED);
    assert_int_equal(atomic_load(&writing.written), STREAM_WAITING_MAX);
    stream_destroy(writing.stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_cut_to_size_and_the_rest_comes_last),
        cmocka_unit_test(an_aggregate_over_its_limit_is_dropped_whole),
        cmocka_unit_test(a_slow_sender_holds_the_writer_and_nothing_is_lost),
        cmocka_unit_test(aborting_ends_a_writer_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
