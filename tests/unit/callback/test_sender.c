/* The sender against a server of plain sockets with a script: what is tried again, what becomes a dead letter, and that nothing
 * that was prepared is ever lost.
 */
#include "callback/callback.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUESTS_MAX 16
#define BODY "{\"text\":\"Gr\xc3\xbc\xc3\x9f dich\",\"n\":1.50}"
#define PATIENCE_S 60

static struct {
    int listener;
    uint16_t port;
    pthread_t thread;
    const char *const
        *script; /* answers in their order; the last one again and again. "": never answers */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct str requests[REQUESTS_MAX]; /* guarded by lock */
    int count;                         /* likewise */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char dir[] = "/tmp/voxhost-callback-XXXXXX";
static char secret[] = "between us", timestamp_header[] = "X-Time", signature_header[] = "X-Sign";
static char letters[64], own_url[64];
static struct manifest_callbacks manifest;
static struct log quiet = {.fd = -1, .level = LOG_ERROR};

/* --- The server ------------------------------------------------------------------------------- */

static bool is_whole(const struct str *request)
{
    const char *end = strstr(str_text(request), "\r\n\r\n"),
               *length = strstr(str_text(request), "Content-Length: ");
    return end && length &&
           request->len >= (size_t)(end + 4 - request->data) + strtoul(length + 16, NULL, 10);
}

static void *serve(void *arg)
{
    char block[4096];
    int fd;
    (void)arg;
    while ((fd = accept(server.listener, NULL, NULL)) >= 0) {
        struct str request = {0};
        ssize_t got = 1;
        while (!is_whole(&request) && (got = recv(fd, block, sizeof(block), 0)) > 0)
            str_append(&request, block, (size_t)got);
        pthread_mutex_lock(&server.lock);
        const char *answer = *server.script;
        if (got > 0 && server.count < REQUESTS_MAX)
            server.requests[server.count++] = request;
        else
            str_finish(&request);
        if (got > 0 && server.script[1])
            server.script++;
        pthread_cond_broadcast(&server.changed);
        pthread_mutex_unlock(&server.lock);
        if (got > 0 && answer[0])
            send(fd, answer, strlen(answer), MSG_NOSIGNAL);
        while (!answer[0] && recv(fd, block, sizeof(block), 0) > 0)
            continue;
        close(fd);
    }
    return NULL;
}

static int start(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    (void)state;
    sync_cond_init(&server.changed);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!mkdtemp(dir) || bind(server.listener, (struct sockaddr *)&address, len) != 0 ||
        listen(server.listener, 16) != 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &len) != 0)
        return -1;
    server.port = ntohs(address.sin_port);
    snprintf(letters, sizeof(letters), "%s/letters", dir);
    snprintf(own_url, sizeof(own_url), "http://127.0.0.1:%u/own", server.port);
    return sync_thread_start(&server.thread, serve, NULL);
}

static int finish(void **state)
{
    (void)state;
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    rmdir(letters);
    return rmdir(dir);
}

/* Takes connections and never says a word on them. */
static int listen_silently(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void follow_script(const char *const *script)
{
    pthread_mutex_lock(&server.lock);
    for (int i = 0; i < server.count; i++)
        str_finish(&server.requests[i]);
    server.count = 0;
    server.script = script;
    pthread_mutex_unlock(&server.lock);
}

/* What the server has done so far may be looked at. */
static void settle(void)
{
    pthread_mutex_lock(&server.lock);
    pthread_mutex_unlock(&server.lock);
}

static void wait_for_requests(int count)
{
    int64_t deadline = clock_now() + PATIENCE_S * CLOCK_S;
    pthread_mutex_lock(&server.lock);
    while (server.count < count && clock_now() < deadline)
        sync_cond_wait(&server.changed, &server.lock, deadline);
    assert_in_range(server.count, count, REQUESTS_MAX);
    pthread_mutex_unlock(&server.lock);
}

/* --- Help ------------------------------------------------------------------------------------- */

static struct callback_options options_for(int64_t attempts)
{
    manifest = (struct manifest_callbacks){
        .url = own_url,
        .secret = secret,
        .timestamp_header = timestamp_header,
        .signature_header = signature_header,
        .attempts = attempts,
        .timeout_s = PATIENCE_S,
        .dead_letters = letters,
        .letters_dir = letters,
    };
    return (struct callback_options){
        .manifest = &manifest, .fetch_private = true, .log = &quiet, .retry_first_s = 0.01};
}

static char *url_of(const char *path)
{
    return str_format("http://127.0.0.1:%u%s", server.port, path);
}

static struct callback *prepare(struct callback_sender *sender, const char *path)
{
    char *url = url_of(path);
    const struct callback_post post = {url, BODY, strlen(BODY), "job 1", false};
    struct callback *callback = callback_prepare(sender, &post);
    free(url);
    return callback;
}

static size_t send_all(struct callback_sender *sender)
{
    size_t left = callback_sender_destroy(sender, clock_now() + PATIENCE_S * CLOCK_S, NULL);
    settle();
    return left;
}

static size_t send_one(const struct callback_options *options, const char *path)
{
    struct callback_sender *sender = callback_sender_create(options);
    callback_release(sender, prepare(sender, path));
    return send_all(sender);
}

static char *header_of(const char *request, const char *name)
{
    char *line = str_format("\r\n%s: ", name), *value = NULL;
    const char *found = strstr(request, line);
    if (found)
        value = mem_copy_text(found + strlen(line), strcspn(found + strlen(line), "\r"));
    free(line);
    return value;
}

/* FM-61: the request has the very body, and a signature over its bytes for this path. */
static void expect_request(int index, const char *target, const char *path)
{
    char signature[DIGEST_HEX_SIZE];
    settle();
    const char *request = str_text(&server.requests[index]);
    char *first = str_format("POST %s HTTP/1.1\r\n", target);
    assert_int_equal(strncmp(request, first, strlen(first)), 0);
    assert_string_equal(strstr(request, "\r\n\r\n") + 4, BODY);
    char *timestamp = header_of(request, timestamp_header);
    char *sent = header_of(request, signature_header);
    assert_non_null(timestamp);
    callback_sign(&(struct callback_signing){secret, "POST", path, timestamp, BODY, strlen(BODY)},
                  signature);
    assert_string_equal(sent, signature);
    free(sent);
    free(timestamp);
    free(first);
}

struct found {
    size_t count, wrong;
    char id[CALLBACK_ID_SIZE_MAX + 1], url[256], last_error[256];
    int64_t attempts;
};

static void each(const struct callback_letter *letter, void *arg)
{
    struct found *found = arg;
    found->count++;
    found->attempts = letter->attempts;
    snprintf(found->id, sizeof(found->id), "%s", letter->id);
    snprintf(found->url, sizeof(found->url), "%s", letter->url);
    snprintf(found->last_error, sizeof(found->last_error), "%s",
             letter->last_error ? letter->last_error : "");
    assert_string_equal(letter->job_id, "job 1");
}

static void wrong(const struct err *err, void *arg)
{
    (void)err;
    ((struct found *)arg)->wrong++;
}

static struct found look_by(const struct callback_options *options)
{
    struct found found = {0};
    struct err err = {0};
    const struct callback_visitor visitor = {each, wrong, &found};
    assert_int_equal(callback_letters(options, &visitor, &err), 0);
    return found;
}

static struct found look(void)
{
    const struct callback_options options = {.manifest = &manifest};
    return look_by(&options);
}

static void keep_reason(const char *id, const struct err *why, void *arg)
{
    struct err *err = arg;
    assert_non_null(id);
    if (why)
        *err = *why;
}

/* 0, or the code of why it was not taken. */
static int replay(const struct callback_options *options, const char *id)
{
    struct err why = {0}, err = {0};
    struct text_list ids = {0};
    text_list_add(&ids, mem_copy_string(id));
    const struct callback_replay request = {&ids, keep_reason, &why, NULL};
    assert_int_equal(callback_replay(options, &request, &err), 0);
    text_list_finish(&ids);
    return why.code;
}

/* Nothing but dead letters lies there, and they are removed. */
static void clear_letters(size_t expected)
{
    size_t count = 0;
    DIR *folder = opendir(letters);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path = fs_join(letters, entry->d_name);
        assert_non_null(strstr(entry->d_name, ".json"));
        assert_int_equal(unlink(path), 0);
        free(path);
        count++;
    }
    if (folder)
        closedir(folder);
    assert_int_equal(count, expected);
}

#define ANSWER(status, headers) \
    "HTTP/1.1 " status "\r\n" headers "Content-Length: 0\r\nConnection: close\r\n\r\n"
static const char *const takes[] = {ANSWER("200 OK", ""), NULL};
static const char *const fails[] = {ANSWER("500 No", ""), NULL};
static const char *const hangs[] = {"", NULL};

/* --- The tests -------------------------------------------------------------------------------- */

static void a_callback_is_tried_until_it_is_taken(void **state)
{
    static const char *const script[] = {ANSWER("500 No", ""), "garbage\r\n\r\n",
                                         ANSWER("429 Wait", "Retry-After: 0\r\n"),
                                         ANSWER("204 OK", ""), NULL};
    const struct callback_options options = options_for(4);
    (void)state;
    follow_script(script);
    assert_int_equal(send_one(&options, "/api/tts/callback?k=v"), 0);
    assert_int_equal(server.count, 4);
    for (int i = 0; i < 4; i++)
        expect_request(i, "/api/tts/callback?k=v", "/api/tts/callback");
    char *first = header_of(server.requests[0].data, timestamp_header);
    char *last = header_of(server.requests[3].data, timestamp_header);
    assert_true(strtoll(first, NULL, 10) < strtoll(last, NULL, 10));
    free(first);
    free(last);
    clear_letters(0);
}

static void fm_60_after_the_last_attempt_it_is_a_dead_letter(void **state)
{
    const struct callback_options options = options_for(3);
    (void)state;
    follow_script(fails);
    assert_int_equal(send_one(&options, "/hook?token=sesame"), 0);
    assert_int_equal(server.count, 3);
    struct found found = look();
    assert_int_equal(found.count, 1);
    assert_int_equal(found.attempts, 3);
    assert_non_null(strstr(found.last_error, "answered with status 500"));
    assert_null(strstr(found.url, "sesame"));
    assert_int_equal(replay(&options, found.id), ERR_INTERNAL);
    assert_int_equal(look().attempts, 4);
    follow_script(takes);
    assert_int_equal(replay(&options, found.id), 0);
    expect_request(0, "/hook?token=sesame", "/hook");
    assert_int_equal(replay(&options, found.id), ERR_INVALID);
    assert_int_equal(replay(&options, "../x"), ERR_INVALID);
    clear_letters(0);
}

/* The derived URL is longer than any that a job may name. */
static void the_letter_of_the_longest_url_can_be_replayed(void **state)
{
    const struct callback_options options = options_for(1);
    struct str text = {0};
    (void)state;
    str_printf(&text, "http://127.0.0.1:%u/", server.port);
    while (text.len < MANIFEST_URL_SIZE_MAX)
        str_putc(&text, 'x');
    assert_true(manifest_callback_url_valid(str_text(&text)));
    char *url = callback_error_url(str_text(&text));
    const struct callback_post post = {url, BODY, strlen(BODY), "job 1", true};
    struct callback_sender *sender = callback_sender_create(&options);
    follow_script(fails);
    callback_post(sender, &post);
    send_all(sender);
    struct found found = look();
    assert_int_equal(found.count, 1);
    follow_script(takes);
    assert_int_equal(replay(&options, found.id), 0);
    clear_letters(0);
    free(url);
    str_finish(&text);
}

static void what_is_refused_is_not_tried_again(void **state)
{
    static const char *const script[] = {ANSWER("404 No", ""), NULL};
    static const char *const moved[] = {ANSWER("302 Found", "Location: /b\r\n"), NULL};
    const struct callback_options options = options_for(4);
    (void)state;
    follow_script(script);
    send_one(&options, "/hook");
    assert_int_equal(server.count, 1);
    clear_letters(1);
    follow_script(moved);
    send_one(&options, "/hook");
    assert_int_equal(server.count, 1);
    assert_non_null(strstr(look().last_error, "name the URL that it leads to"));
    clear_letters(1);
}

static void fm_59_redirects_keep_method_and_body_and_are_signed_anew(void **state)
{
    static const char *const script[] = {ANSWER("307 There", "Location: /b/c%20d?x=1\r\n"),
                                         ANSWER("308 There", "Location: ../e\r\n"),
                                         ANSWER("200 OK", ""), NULL};
    static const char *const endless[] = {ANSWER("308 There", "Location: /\r\n"), NULL};
    static const char *const nowhere[] = {ANSWER("307 There", "Location: file:///etc/x\r\n"), NULL};
    const struct callback_options options = options_for(2);
    (void)state;
    follow_script(script);
    send_one(&options, "/a");
    assert_int_equal(server.count, 3);
    expect_request(0, "/a", "/a");
    expect_request(1, "/b/c%20d?x=1", "/b/c%20d");
    expect_request(2, "/e", "/e");
    clear_letters(0);
    follow_script(endless);
    send_one(&options, "/a");
    assert_int_equal(server.count, 6);
    assert_non_null(strstr(look().last_error, "too many redirects"));
    clear_letters(1);
    follow_script(nowhere);
    send_one(&options, "/a");
    assert_int_equal(server.count, 1);
    clear_letters(1);
}

/* FM-86: also four tries at it, which is all that one receiver gets, hold up no other. */
static void a_receiver_that_hangs_holds_up_no_other(void **state)
{
    const struct callback_options options = options_for(1);
    struct callback_sender *sender = callback_sender_create(&options);
    const size_t count = 3 * CALLBACK_PER_HOST;
    uint16_t port;
    int silent_fd = listen_silently(&port);
    char *silent = str_format("http://127.0.0.1:%u/hook", port);
    (void)state;
    follow_script(takes);
    for (size_t i = 0; i < count; i++) {
        const struct callback_post post = {silent, BODY, strlen(BODY), "job 1", false};
        callback_post(sender, &post);
    }
    callback_release(sender, prepare(sender, "/hook"));
    wait_for_requests(1);
    callback_sender_destroy(sender, clock_now(), NULL);
    close(silent_fd);
    free(silent);
    clear_letters(count);
}

/* An answer that says so and then is cut was one all the same: FM-83, nothing is sent twice for
 * it. */
static void the_head_of_an_answer_has_said_all(void **state)
{
    static const char *const script[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n", NULL};
    const struct callback_options options = options_for(4);
    (void)state;
    follow_script(script);
    send_one(&options, "/hook");
    assert_int_equal(server.count, 1);
    clear_letters(0);
}

static void a_redirect_with_a_password_is_not_followed_and_not_told(void **state)
{
    static const char *const script[] = {
        ANSWER("307 There", "Location: http://u:sesame@127.0.0.1:1/b\r\n"), NULL};
    const struct callback_options options = options_for(2);
    (void)state;
    follow_script(script);
    send_one(&options, "/hook");
    assert_int_equal(server.count, 1);
    struct found found = look();
    assert_non_null(strstr(found.last_error, "no URL that may be followed"));
    assert_null(strstr(found.last_error, "sesame"));
    clear_letters(1);
}

static void jobs_lead_to_public_addresses_and_the_manifest_anywhere(void **state)
{
    static const char *const script[] = {ANSWER("307 There", "Location: /b\r\n"),
                                         ANSWER("200 OK", ""), NULL};
    struct callback_options options = options_for(1);
    options.fetch_private = false;
    (void)state;
    follow_script(takes);
    send_one(&options, "/of-a-job");
    assert_int_equal(server.count, 0);
    assert_non_null(strstr(look().last_error, "not a public one"));
    clear_letters(1);
    follow_script(script);
    send_one(&options, "/own");
    assert_int_equal(server.count, 2);
    clear_letters(0);
}

static void an_unsigned_callback_has_neither_header(void **state)
{
    const struct callback_options options = options_for(1);
    manifest.secret = NULL;
    (void)state;
    follow_script(takes);
    send_one(&options, "/a");
    assert_null(header_of(server.requests[0].data, timestamp_header));
    assert_null(header_of(server.requests[0].data, signature_header));
    clear_letters(0);
}

static void too_many_become_dead_letters_and_nobody_waits(void **state)
{
    const struct callback_options options = options_for(4);
    struct callback_sender *sender = callback_sender_create(&options);
    (void)state;
    follow_script(hangs);
    for (int i = 0; i < CALLBACK_QUEUE_MAX + 5; i++)
        callback_release(sender, prepare(sender, "/hook"));
    assert_int_equal(look().count, 5);
    wait_for_requests(1);
    assert_in_range(callback_sender_destroy(sender, clock_now(), NULL), CALLBACK_QUEUE_MAX - 4,
                    CALLBACK_QUEUE_MAX);
    clear_letters(CALLBACK_QUEUE_MAX + 5);
}

static void what_a_dead_process_left_is_a_dead_letter(void **state)
{
    const struct callback_options options = options_for(4);
    int status;
    (void)state;
    follow_script(takes);
    pid_t child = fork();
    if (child == 0) {
        struct callback_sender *sender = callback_sender_create(&options);
        for (int i = 0; i < 3; i++)
            prepare(sender, "/hook");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct found found = look();
    assert_int_equal(found.count, 3);
    assert_int_equal(found.attempts, 0);
    assert_int_equal(replay(&options, found.id), 0);
    expect_request(0, "/hook", "/hook");
    clear_letters(2);
}

static void what_another_process_sends_is_left_alone(void **state)
{
    const struct callback_options options = options_for(4);
    struct callback_sender *sender = callback_sender_create(&options);
    struct callback *callback = prepare(sender, "/hook");
    (void)state;
    follow_script(takes);
    assert_int_equal(look().count, 0);
    callback_release(sender, callback);
    send_all(sender);
    assert_int_equal(server.count, 1);
    clear_letters(0);
}

static void without_a_disk_it_is_sent_all_the_same(void **state)
{
    const struct callback_options options = options_for(4);
    char *file = fs_join(dir, "file");
    struct err err = {0};
    (void)state;
    assert_int_equal(fs_write_file(file, "x", 1, &err), 0);
    manifest.dead_letters = manifest.letters_dir = file;
    follow_script(takes);
    send_one(&options, "/hook");
    assert_int_equal(server.count, 1);
    unlink(file);
    free(file);
}

static void strange_files_are_said_and_left(void **state)
{
    const struct callback_options options = options_for(4);
    struct err err = {0};
    char *path = fs_join(letters, "x.json");
    static const char *const texts[] = {
        "",
        "[]",
        "{\"version\":1}",
        "{\"version\":1,\"id\":\"x\",\"job_id\":\"j\",\"kind\":\"error\",\"url\":\"file:///x\","
        "\"created\":\"c\",\"attempts\":0,\"body\":\"{}\"}",
    };
    (void)state;
    follow_script(takes);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(fs_write_file(path, texts[i], strlen(texts[i]), &err), 0);
        struct found found = look();
        assert_int_equal(found.wrong, 1);
        assert_int_equal(found.count, 0);
        assert_int_equal(replay(&options, "x"), ERR_INVALID);
    }
    assert_int_equal(server.count, 0);
    free(path);
    clear_letters(1);
}

static void a_cancelled_job_calls_nobody(void **state)
{
    const struct callback_options options = options_for(4);
    struct callback_sender *sender = callback_sender_create(&options);
    struct err err = {0};
    (void)state;
    err_set(&err, ERR_CANCELLED, NULL, "cancelled");
    struct result *result = result_refused("job 1", 0, &err);
    assert_null(callback_prepare_job(sender, result));
    result->err.code = ERR_NONE;
    follow_script(takes);
    callback_job_ended(sender, result);
    send_all(sender);
    assert_int_equal(server.count, 1);
    result_destroy(result);
    clear_letters(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_is_tried_until_it_is_taken),
        cmocka_unit_test(fm_60_after_the_last_attempt_it_is_a_dead_letter),
        cmocka_unit_test(the_letter_of_the_longest_url_can_be_replayed),
        cmocka_unit_test(what_is_refused_is_not_tried_again),
        cmocka_unit_test(fm_59_redirects_keep_method_and_body_and_are_signed_anew),
        cmocka_unit_test(a_receiver_that_hangs_holds_up_no_other),
        cmocka_unit_test(the_head_of_an_answer_has_said_all),
        cmocka_unit_test(a_redirect_with_a_password_is_not_followed_and_not_told),
        cmocka_unit_test(jobs_lead_to_public_addresses_and_the_manifest_anywhere),
        cmocka_unit_test(an_unsigned_callback_has_neither_header),
        cmocka_unit_test(too_many_become_dead_letters_and_nobody_waits),
        cmocka_unit_test(what_a_dead_process_left_is_a_dead_letter),
        cmocka_unit_test(what_another_process_sends_is_left_alone),
        cmocka_unit_test(without_a_disk_it_is_sent_all_the_same),
        cmocka_unit_test(strange_files_are_said_and_left),
        cmocka_unit_test(a_cancelled_job_calls_nobody),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
