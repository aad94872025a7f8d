/* Requests that wait for their answer on a client that is kept, and bodies that are read as they go out. */
#include "http_test.h"

static struct test_server *server;
static struct http_client *client;

static int start(void **state)
{
    (void)state;
    server = test_server_start();
    client = http_client_create("test-agent/1");
    return client ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    http_client_destroy(client);
    test_server_stop(server);
    return 0;
}

struct source {
    uint64_t fails_at; /* 0: never */
    uint64_t next;     /* what is asked for then, unless it starts again */
    size_t largest;
};

/* Byte i is i modulo 251; no more than 1,000 at a time. */
static ssize_t read_source(void *buf, size_t len, uint64_t offset, void *arg)
{
    struct source *source = arg;
    if (source->fails_at && offset >= source->fails_at)
        return -1;
    if (offset != 0)
        assert_int_equal(offset, source->next);
    size_t count = len < 1000 ? len : 1000;
    for (size_t i = 0; i < count; i++)
        ((unsigned char *)buf)[i] = (unsigned char)((offset + i) % 251);
    source->next = offset + count;
    return (ssize_t)count;
}

static int put(struct source *source, const char *path, size_t len, struct http_response *response)
{
    const struct http_request request = {.method = "PUT",
                                         .url = test_url(server, "127.0.0.1", path),
                                         .body_read = read_source,
                                         .body_arg = source,
                                         .body_len = len,
                                         .timeout_s = 60};
    return http_client_send(client, &request, NULL, response);
}

static void a_body_is_read_as_it_goes_out(void **state)
{
    static const size_t lengths[] = {0, 1, 999, 1000000};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct source source = {0};
        struct http_response response;
        assert_int_equal(put(&source, "/echo", lengths[i], &response), 0);
        assert_int_equal(response.status, 200);
        assert_int_equal(response.body.len, lengths[i]);
        for (size_t k = 0; k < lengths[i]; k++)
            assert_int_equal((unsigned char)response.body.data[k], k % 251);
        str_finish(&response.body);
    }
}

static void the_connection_is_kept(void **state)
{
    (void)state;
    size_t connections = atomic_load(&server->connections);
    for (int i = 0; i < 5; i++) {
        struct source source = {0};
        struct http_response response;
        assert_int_equal(put(&source, "/echo", 10, &response), 0);
        str_finish(&response.body);
    }
    assert_true(atomic_load(&server->connections) <= connections + 1);
}

static void a_source_that_fails_ends_the_request(void **state)
{
    struct source source = {.fails_at = 5000};
    struct http_response response;
    (void)state;
    assert_int_equal(put(&source, "/echo", 100000, &response), ERR_CANCELLED);
    assert_int_equal(response.status, 0);
    str_finish(&response.body);
    source = (struct source){0};
    assert_int_equal(put(&source, "/echo", 100, &response),
                     0); /* the client is as good as before */
    assert_int_equal(response.body.len, 100);
    str_finish(&response.body);
}

static void a_stop_ends_a_request_and_leaves_the_client(void **state)
{
    const atomic_int stop = 1;
    struct http_response response;
    const struct http_request request = {
        .method = "GET", .url = test_url(server, "127.0.0.1", "/hang"), .timeout_s = 60};
    (void)state;
    assert_int_equal(http_client_send(client, &request, &stop, &response), ERR_CANCELLED);
    str_finish(&response.body);
    struct source source = {0};
    assert_int_equal(put(&source, "/echo", 3, &response), 0);
    str_finish(&response.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_read_as_it_goes_out),
        cmocka_unit_test(the_connection_is_kept),
        cmocka_unit_test(a_source_that_fails_ends_the_request),
        cmocka_unit_test(a_stop_ends_a_request_and_leaves_the_client),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
