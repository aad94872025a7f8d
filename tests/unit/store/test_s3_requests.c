/* Requests to S3-compatible storage, answered by a socket with a script: what is tried again, what
 * is final, and what is not believed. */
#include "s3_example.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Uploads ---------------------------------------------------------------------------------- */

#define ANSWERS_MAX 5
#define CUT "cut"     /* the connection is closed before an answer */
#define STALL "stall" /* no answer until the client goes away */
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define ANSWER(status, headers, body) \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n" body

/* One answer per connection. */
struct server {
    const char *answers[ANSWERS_MAX + 1];
    char endpoint[64];
    int fd;
    pthread_t thread;
    atomic_int request_count; /* whole ones that arrived */
    struct str requests[ANSWERS_MAX];
};

/* Reads until head and body are there; false when the client went away. */
static bool read_request(int fd, struct str *request)
{
    char buf[65536];
    for (;;) {
        const char *end = strstr(str_text(request), "\r\n\r\n");
        const char *length = strstr(str_text(request), "\r\nContent-Length: ");
        size_t head_len = end ? (size_t)(end - request->data) + 4 : 0;
        if (end && request->len >= head_len + (length ? strtoul(length + 18, NULL, 10) : 0))
            return true;
        ssize_t got = recv(fd, buf, sizeof(buf), 0);
        if (got <= 0)
            return false;
        str_append(request, buf, (size_t)got);
    }
}

static void *serve(void *arg)
{
    struct server *server = arg;
    char byte;
    for (int i = 0; server->answers[i]; i++) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0)
            break; /* shut down */
        if (read_request(fd, &server->requests[i])) {
            atomic_fetch_add(&server->request_count, 1);
            if (strcmp(server->answers[i], STALL) == 0)
                recv(fd, &byte, 1, 0);
            else if (strcmp(server->answers[i], CUT) != 0)
                send(fd, server->answers[i], strlen(server->answers[i]), MSG_NOSIGNAL);
        }
        close(fd);
    }
    return NULL;
}

static struct s3_target server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->fd, 8), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
    snprintf(server->endpoint, sizeof(server->endpoint), "http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    assert_int_equal(sync_thread_start(&server->thread, serve, server), 0);
    struct s3_target target = example_target();
    target.endpoint = server->endpoint;
    target.path_style = true;
    return target;
}

/* Ends it and says how many requests came. */
static int server_stop(struct server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    for (int i = 0; i < ANSWERS_MAX; i++)
        str_finish(&server->requests[i]);
    return atomic_load(&server->request_count);
}

/* The value of a header of request `i`, the caller's; fails the test when it is not there
 * exactly once. */
static char *header_of(const struct server *server, int i, const char *name)
{
    char *start = str_format("\r\n%s: ", name);
    const char *value = strcasestr(str_text(&server->requests[i]), start);
    assert_non_null(value);
    assert_null(strcasestr(value + 2, start));
    value += strlen(start);
    free(start);
    return mem_copy_text(value, strcspn(value, "\r"));
}

static void assert_signed(const struct server *server, int i, const char *path,
                          const char *content_type, const char *hash, const char *token)
{
    char *date = header_of(server, i, "x-amz-date");
    char *authorization = header_of(server, i, "authorization");
    const char *host = server->endpoint + strlen("http://");
    struct s3_header headers[] = {{"content-type", content_type},
                                  {"host", host},
                                  {"x-amz-content-sha256", hash},
                                  {"x-amz-date", date},
                                  {"x-amz-security-token", token}};
    struct s3_signing signing = {.method = "PUT",
                                 .host = host,
                                 .path = path,
                                 .region = "us-east-1",
                                 .access_key = ACCESS_KEY,
                                 .secret_key = SECRET_KEY};
    struct str expected = {0};
    for (size_t h = 0; h < (token ? 5 : 4); h++) {
        char *sent = header_of(server, i, headers[h].name);
        assert_string_equal(sent, headers[h].value);
        free(sent);
    }
    assert_int_equal(strlen(date), S3_DATE_SIZE - 1);
    memcpy(signing.date, date, S3_DATE_SIZE);
    s3_sign_headers(&signing, "", headers, token ? 5 : 4, hash, &expected);
    assert_string_equal(authorization, str_text(&expected));
    str_finish(&expected);
    free(authorization);
    free(date);
}

static int64_t date_of(const struct server *server, int i)
{
    struct tm utc = {0};
    char *date = header_of(server, i, "x-amz-date");
    assert_non_null(strptime(date, "%Y%m%dT%H%M%SZ", &utc));
    free(date);
    return (int64_t)timegm(&utc);
}

static int put(const struct s3_target *target, struct err *err)
{
    return put_now(target, "a b/c.wav", "audio/wav", "12345", 5, NULL, err);
}

static void upload_goes_out_whole_and_signed(void **state)
{
    enum { SIZE = 3 << 20 };
    struct server server = {.answers = {OK_ANSWER, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    char hash[DIGEST_HEX_SIZE], *data = mem_alloc(SIZE);
    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 + i / 256);
    digest_of(data, SIZE, hash);
    target.prefix = "out";
    target.session_token = "to/k+en==";
    assert_int_equal(put_now(&target, "a+b \xc3\xbc.wav", "audio/wav", data, SIZE, NULL, &err), 0);
    const struct str *request = &server.requests[0];
    const char *line = "PUT /examplebucket/out/a%2Bb%20%C3%BC.wav HTTP/1.1\r\n";
    assert_memory_equal(request->data, line, strlen(line));
    const char *body = strstr(request->data, "\r\n\r\n") + 4;
    assert_int_equal(request->len - (size_t)(body - request->data), SIZE);
    assert_memory_equal(body, data, SIZE);
    assert_signed(&server, 0, "/examplebucket/out/a%2Bb%20%C3%BC.wav", "audio/wav", hash,
                  "to/k+en==");
    assert_true(llabs((long long)(date_of(&server, 0) - (int64_t)time(NULL))) < 120);

    target.session_token = ""; /* as when a variable is set to nothing */
    target.prefix = NULL;
    assert_int_equal(put_now(&target, "empty", "audio/wav", "", 0, NULL, &err), 0);
    assert_signed(&server, 1, "/examplebucket/empty", "audio/wav", EMPTY_HASH, NULL);
    char *length = header_of(&server, 1, "content-length");
    assert_string_equal(length, "0");
    assert_null(strcasestr(str_text(&server.requests[1]), "security-token"));
    free(length);
    assert_int_equal(server_stop(&server), 2);
    free(data);
}

static void what_may_pass_is_tried_again(void **state)
{
    struct server server = {
        .answers = {CUT, ANSWER("503 Slow Down", "Retry-After: 2\r\n", ""), OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    int64_t start = clock_now();
    assert_int_equal(put(&target, &err), 0);
    assert_true(clock_now() - start >= 2 * CLOCK_S);
    assert_null(strcasestr(str_text(&server.requests[0]), "\r\nExpect:"));
    for (int i = 1; i < 3; i++) { /* a refusal may have been lost */
        char *expect = header_of(&server, i, "Expect");
        assert_string_equal(expect, "100-continue");
        free(expect);
    }
    for (int i = 0; i < 3; i++)
        assert_signed(&server, i, "/examplebucket/a%20b/c.wav", "audio/wav",
                      "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5", NULL);
    assert_int_equal(server_stop(&server), 3);
}

static void three_failures_are_the_end(void **state)
{
    static const char slow[] = ANSWER(
        "503 Slow Down", "", "<Error>\n <Code>SlowDown</Code><Resource>/x</Resource></Error>");
    struct server server = {
        .answers = {ANSWER("500 Oops", "", ""), ANSWER("429 Many", "", ""), slow, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    assert_int_equal(put(&target, &err), ERR_STORAGE);
    char *expected = str_format("bucket \"examplebucket\" at %s: the upload was answered 503 "
                                "SlowDown, in the last of 3 attempts",
                                server.endpoint + strlen("http://"));
    assert_string_equal(err.message, expected);
    free(expected);
    assert_int_equal(server_stop(&server), 3);
}

static void dead_endpoint_is_tried_three_times(void **state)
{
    struct server server = {.answers = {NULL}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    server_stop(&server);
    assert_int_equal(put(&target, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "bucket \"examplebucket\" at 127.0.0.1: "));
    assert_non_null(strstr(err.message, ", in the last of 3 attempts"));
    assert_null(strstr(err.message, "c.wav"));
}

static void refusal_is_final_and_tells_no_secrets(void **state)
{
    static const struct {
        const char *answer, *says;
    } cases[] = {
        {ANSWER(
             "403 Forbidden", "",
             "<?xml "
             "version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>" ACCESS_KEY
             "</AWSAccessKeyId></Error>"),
         "403 SignatureDoesNotMatch"},
        {ANSWER("404 Not Found", "Content-Type: text/html\r\n", "<html>no</html>"), "404"},
        {ANSWER("301 Moved", "Location: http://127.0.0.1:1/\r\n",
                "<Error><Code>PermanentRedirect</Code></Error>"),
         "301 PermanentRedirect"},
        {ANSWER(
             "400 Bad Request", "",
             "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>"),
         "400 AuthorizationHeaderMalformed (signed for region us-east-1, the bucket is in "
         "eu-north-1)"},
        {ANSWER("403 Forbidden", "", "<Code>two words\n</Code>"), "403"},
        {ANSWER("403 Forbidden", "", "<Code>NeverEnds"), "403"},
        {ANSWER("403 Forbidden", "",
                "<Code>a23456789b123456789c123456789d123456789e123456789f123456789g1234</Code>"),
         "403 a23456789b123456789c123456789d123456789e123456789f123456789g1234"},
        {ANSWER("403 Forbidden", "",
                "<Code>a23456789b123456789c123456789d123456789e123456789f123456789g12345</Code>"),
         "403"},
        {ANSWER("403 Forbidden", "", "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
         "403 RequestTimeTooSkewed"},
        {ANSWER("307 Temporary Redirect", "Location: http://127.0.0.1:1/\r\n",
                "<Error><Code>TemporaryRedirect</Code>"
                "<Endpoint>bkt.s3-us-west-2.amazonaws.com</Endpoint></Error>"),
         "307 TemporaryRedirect (the bucket is at bkt.s3-us-west-2.amazonaws.com)"},
        {ANSWER("301 Moved", "x-amz-bucket-region: eu-west-1\r\n",
                "<Error><Code>PermanentRedirect</Code><Endpoint>a&#10;b</Endpoint></Error>"),
         "301 PermanentRedirect (signed for region us-east-1, the bucket is in eu-west-1)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server server = {.answers = {cases[i].answer, OK_ANSWER}};
        struct s3_target target = server_start(&server);
        struct err err = {0};
        assert_int_equal(put(&target, &err), ERR_STORAGE);
        char *expected = str_format("bucket \"examplebucket\" at %s: the upload was answered %s",
                                    server.endpoint + strlen("http://"), cases[i].says);
        assert_string_equal(err.message, expected);
        free(expected);
        assert_int_equal(server_stop(&server), 1);
    }
}

static void wrong_clock_is_corrected_once(void **state)
{
    char answer[512], text[64];
    time_t theirs = time(NULL) + 18000;
    struct tm utc;
    (void)state;
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&theirs, &utc));
    snprintf(
        answer, sizeof(answer),
        ANSWER("403 Forbidden", "Date: %s\r\n", "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
        text);
    struct server server = {.answers = {answer, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    assert_int_equal(put(&target, &err), 0);
    assert_true(llabs((long long)(date_of(&server, 1) - (int64_t)theirs)) < 120);
    assert_signed(&server, 1, "/examplebucket/a%20b/c.wav", "audio/wav",
                  "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5", NULL);
    assert_int_equal(server_stop(&server), 2);

    struct server stubborn = {.answers = {answer, answer, OK_ANSWER}};
    target = server_start(&stubborn);
    assert_int_equal(put(&target, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "403 RequestTimeTooSkewed"));
    assert_int_equal(server_stop(&stubborn), 2);
}

/* AWS says so when bytes come too slowly. */
static void a_request_that_took_too_long_is_tried_again(void **state)
{
    struct server server = {
        .answers = {ANSWER("400 Bad Request", "", "<Error><Code>RequestTimeout</Code></Error>"),
                    OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    assert_int_equal(put(&target, &err), 0);
    assert_int_equal(server_stop(&server), 2);
}

static void an_address_that_is_not_public_is_the_callers_mistake(void **state)
{
    struct server server = {.answers = {OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    target.public_only = true;
    assert_int_equal(put(&target, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "127.0.0.1: its address is not a public one"));
    assert_null(strstr(err.message, "attempts"));
    assert_int_equal(server_stop(&server), 0);
}

/* libcurl would send another Host than that of the URL. */
static void the_host_that_is_signed_is_sent(void **state)
{
    struct server server = {.answers = {OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    char *endpoint = str_format("http://127.1%s", strrchr(server.endpoint, ':'));
    snprintf(server.endpoint, sizeof(server.endpoint), "%s", endpoint);
    free(endpoint);
    assert_int_equal(put(&target, &err), 0);
    assert_signed(&server, 0, "/examplebucket/a%20b/c.wav", "audio/wav",
                  "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5", NULL);
    assert_int_equal(server_stop(&server), 1);
}

/* --- Downloads and lists ---------------------------------------------------------------------- */

/* Gets "x" from a server with these answers; the file's content, the caller's, or NULL. */
static char *get_from(const char *const answers[], uint64_t bytes_max, int requests,
                      struct err *err)
{
    char dir[] = "/tmp/test_s3_XXXXXX";
    struct server server = {.answers = {NULL}};
    struct storage *storage;
    struct str content = {0};
    struct err ignored = {0};
    assert_non_null(mkdtemp(dir));
    char *path = fs_join(dir, "got");
    for (int i = 0; answers[i]; i++)
        server.answers[i] = answers[i];
    struct s3_target target = server_start(&server);
    assert_int_equal(storage_open_s3(&target, &storage, err), 0);
    const struct storage_get get = {.key = "x", .path = path, .bytes_max = bytes_max};
    int result = storage_get(storage, &get, err);
    storage_close(storage);
    assert_int_equal(server_stop(&server), requests);
    if (result == 0)
        assert_int_equal(fs_read_file(path, 1000, &content, &ignored), 0);
    assert_int_equal(unlink(path), result == 0 ? 0 : -1);
    assert_int_equal(rmdir(dir), 0);
    free(path);
    return result == 0 ? str_take(&content) : NULL;
}

static void a_shorter_object_takes_the_place_of_a_longer_one(void **state)
{
    static const char *const answers[] = {
        ANSWER("206 Partial Content",
               "Content-Range: bytes 0-9/10\r\nContent-Length: 10\r\nETag: \"1\"\r\n", "01234567"),
        ANSWER("206 Partial Content",
               "Content-Range: bytes 0-3/4\r\nContent-Length: 4\r\nETag: \"2\"\r\n", "abcd"),
        NULL};
    struct err err = {0};
    (void)state;
    char *content = get_from(answers, 1000, 2, &err);
    assert_non_null(content);
    assert_string_equal(content, "abcd");
    free(content);
}

static void an_object_of_no_possible_length_is_refused(void **state)
{
    static const char *const lengths[] = {"18446744073709551614", "9223372036854775808",
                                          "99999999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char answer[256];
        struct err err = {0};
        snprintf(answer, sizeof(answer),
                 ANSWER("206 Partial Content",
                        "Content-Range: bytes 0-3/%s\r\nContent-Length: 4\r\n", "abcd"),
                 lengths[i]);
        const char *const answers[] = {answer, OK_ANSWER, NULL};
        assert_null(get_from(answers, UINT64_MAX, 1, &err));
        assert_true(err.code == ERR_TOO_LARGE || err.code == ERR_STORAGE);
    }
}

/* What we give up ourselves would not end otherwise the next time. */
static void an_answer_that_makes_no_sense_is_not_asked_for_again(void **state)
{
    static const char *const heads[] = {
        "", "Content-Range: bytes */4\r\n", "Content-Range: bytes 0-3\r\n",
        "Content-Range: bytes 1-4/5\r\n", "Content-Range: pages 0-3/4\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        char answer[256];
        struct err err = {0};
        snprintf(answer, sizeof(answer),
                 ANSWER("206 Partial Content", "%sContent-Length: 4\r\n", "abcd"), heads[i]);
        const char *const answers[] = {answer, answer, answer, NULL};
        assert_null(get_from(answers, 1000, 1, &err));
        assert_int_equal(err.code, ERR_STORAGE);
        assert_non_null(strstr(err.message, "sent another range than was asked for"));
    }
}

static int count_object(const struct storage_object *object, void *arg)
{
    (void)object;
    ++*(int *)arg;
    return 0;
}

static int list_from(const char *const answers[], int requests, int *count, struct err *err)
{
    struct server server = {.answers = {NULL}};
    struct storage *storage;
    for (int i = 0; answers[i]; i++)
        server.answers[i] = answers[i];
    struct s3_target target = server_start(&server);
    assert_int_equal(storage_open_s3(&target, &storage, err), 0);
    *count = 0;
    int result = storage_list(storage, "", NULL, count_object, count, err);
    storage_close(storage);
    assert_int_equal(server_stop(&server), requests);
    return result;
}

#define PAGE(end)                                                            \
    ANSWER("200 OK", "",                                                     \
           "<ListBucketResult xmlns=\"x\"><Contents><Key>a</Key></Contents>" \
           "<IsTruncated>true</IsTruncated>" end)
#define SAME_PAGE PAGE("<NextContinuationToken>t</NextContinuationToken></ListBucketResult>")

static void a_list_that_goes_in_circles_ends(void **state)
{
    static const char *const answers[] = {SAME_PAGE, SAME_PAGE, SAME_PAGE, SAME_PAGE, NULL};
    struct err err = {0};
    int count;
    (void)state;
    assert_int_equal(list_from(answers, 2, &count, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "the same page of its list again"));
}

static void half_a_list_is_no_list(void **state)
{
    static const char *const halves[] = {
        ANSWER("200 OK", "", "<ListBucketResult><Contents><Key>a</Key></Contents>"),
        ANSWER("200 OK", "", "<ListBucketResult><Contents><Key>a</Key>"),
        ANSWER("200 OK", "", "<ListBucketResult>"), PAGE("</ListBucketResult>"),
        ANSWER("200 OK", "", "")};
    (void)state;
    for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
        const char *const answers[] = {halves[i], NULL};
        struct err err = {0};
        int count;
        assert_int_equal(list_from(answers, 1, &count, &err), ERR_STORAGE);
    }
}

struct stopper {
    struct server *server;
    atomic_int stop;
};

/* Stops the upload once its first request is there. */
static void *stop_later(void *arg)
{
    struct stopper *stopper = arg;
    while (atomic_load(&stopper->server->request_count) == 0)
        poll(NULL, 0, 5);
    poll(NULL, 0, 100); /* the answer is there too, so that it is the pause that ends */
    atomic_store(&stopper->stop, 1);
    return NULL;
}

static void stop_ends_a_stalled_upload_and_a_pause(void **state)
{
    static const char *const answers[] = {STALL,
                                          ANSWER("503 Slow Down", "Retry-After: 29\r\n", "")};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server = {.answers = {answers[i], OK_ANSWER}};
        struct s3_target target = server_start(&server);
        struct stopper stopper = {.server = &server};
        struct err err = {0};
        pthread_t thread;
        int64_t start = clock_now();
        assert_int_equal(sync_thread_start(&thread, stop_later, &stopper), 0);
        assert_int_equal(put_now(&target, "a", "audio/wav", "1", 1, &stopper.stop, &err),
                         ERR_CANCELLED);
        assert_string_equal(err.message, "the upload was stopped");
        assert_true(clock_now() - start < 20 * CLOCK_S);
        pthread_join(thread, NULL);
        assert_int_equal(server_stop(&server), 1);
    }
}

/* Bytes in memory by a deadline, to a bucket that was not open before. */
static int put_by(const struct s3_target *target, uint64_t len, int64_t deadline, struct err *err)
{
    struct storage *storage;
    char *data = mem_alloc((size_t)len);
    const struct storage_put put = {
        .key = "a", .content_type = "audio/wav", .data = data, .len = len, .deadline = deadline};
    assert_int_equal(storage_open_s3(target, &storage, err), 0);
    int result = storage_put(storage, &put, err);
    storage_close(storage);
    free(data);
    return result;
}

/* What ends it is told by the code: the attempts alone would end as ERR_STORAGE. */
static void a_deadline_ends_a_stalled_upload_and_a_pause(void **state)
{
    static const struct {
        const char *answer, *words;
    } cases[] = {{STALL, "127.0.0.1"},
                 {ANSWER("503 Slow Down", "Retry-After: 29\r\n", ""), "answered 503"}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server = {.answers = {cases[i].answer, OK_ANSWER}};
        struct s3_target target = server_start(&server);
        struct err err = {0};
        assert_int_equal(put_by(&target, 1, clock_now() + 3 * CLOCK_S, &err), ERR_TIMEOUT);
        assert_non_null(strstr(err.message, "the upload was not done in time: "));
        assert_non_null(strstr(err.message, cases[i].words));
        assert_int_equal(server_stop(&server), 1);
    }
}

static void a_deadline_ends_an_upload_in_parts_which_are_removed(void **state)
{
    struct server server = {
        .answers = {ANSWER("200 OK", "Content-Length: 22\r\n", "<UploadId>u</UploadId>"), STALL,
                    STALL, STALL, ANSWER("204 No Content", "", "")}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    bool removed = false;
    (void)state;
    assert_int_equal(put_by(&target, 2 * S3_PART_SIZE + 1, clock_now() + 3 * CLOCK_S, &err),
                     ERR_TIMEOUT);
    assert_non_null(strstr(err.message, "the upload was not done in time"));
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    for (int i = 0; i < ANSWERS_MAX; i++) {
        removed = removed || strncmp(str_text(&server.requests[i]), "DELETE ", 7) == 0;
        str_finish(&server.requests[i]);
    }
    close(server.fd);
    assert_true(removed);
}

static void after_its_deadline_nothing_is_sent(void **state)
{
    struct server server = {.answers = {OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    assert_int_equal(put_by(&target, 1, clock_now() - 1, &err), ERR_TIMEOUT);
    assert_int_equal(server_stop(&server), 0);
}

static void before_its_deadline_an_upload_is_as_without(void **state)
{
    struct server server = {.answers = {CUT, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    assert_int_equal(put_by(&target, 1, clock_now() + 600 * CLOCK_S, &err), 0);
    assert_int_equal(server_stop(&server), 2);
}

static void what_cannot_be_sent_is_not_tried(void **state)
{
    struct server server = {.answers = {OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    char byte = 0;
    (void)state;
    assert_int_equal(put_now(&target, "a", "audio/wav\r\nX-Y: z", &byte, 1, NULL, &err),
                     ERR_INVALID);
    target.secret_key = "";
    assert_int_equal(put(&target, &err), ERR_INVALID);
    assert_string_equal(err.field, "storage.secret_key");
    assert_int_equal(server_stop(&server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upload_goes_out_whole_and_signed),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(three_failures_are_the_end),
        cmocka_unit_test(dead_endpoint_is_tried_three_times),
        cmocka_unit_test(refusal_is_final_and_tells_no_secrets),
        cmocka_unit_test(wrong_clock_is_corrected_once),
        cmocka_unit_test(a_request_that_took_too_long_is_tried_again),
        cmocka_unit_test(an_address_that_is_not_public_is_the_callers_mistake),
        cmocka_unit_test(the_host_that_is_signed_is_sent),
        cmocka_unit_test(a_shorter_object_takes_the_place_of_a_longer_one),
        cmocka_unit_test(an_object_of_no_possible_length_is_refused),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_not_asked_for_again),
        cmocka_unit_test(a_list_that_goes_in_circles_ends),
        cmocka_unit_test(half_a_list_is_no_list),
        cmocka_unit_test(stop_ends_a_stalled_upload_and_a_pause),
        cmocka_unit_test(a_deadline_ends_a_stalled_upload_and_a_pause),
        cmocka_unit_test(a_deadline_ends_an_upload_in_parts_which_are_removed),
        cmocka_unit_test(after_its_deadline_nothing_is_sent),
        cmocka_unit_test(before_its_deadline_an_upload_is_as_without),
        cmocka_unit_test(what_cannot_be_sent_is_not_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
