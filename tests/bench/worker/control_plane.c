/* The control plane of the case "worker": hands jobs to one worker and times it.
 *
 *     control_plane INPUT HOLD_S
 *
 * One thread, raw sockets, and no more of HTTP/1.1 than a worker uses (keep-alive, Content-Length),
 * so that its own share of a measured time is small. INPUT is the "input" of every job. A poll
 * without a job is answered with 204 after HOLD_S. Times are CLOCK_MONOTONIC, in nanoseconds.
 *
 * Prints {"port": N}, then answers each line on stdin with one line, and ends with stdin:
 *
 *     ready         once take and stop poll are held    {"first_take": when it came}
 *     idle COUNT    jobs, each for an idle worker       {"latency": [...], "result_bytes": N}
 *     queued COUNT  jobs, always one for the next take  {"interval": [...], "own": [...],
 *                                                        "elapsed": N, "result_bytes": N}
 *
 * latency: from before a job's bytes are written until its result is read. interval: from one
 * result read to the next. own: what this program spent in between, from each request read to its
 * answer written. A failed job, a result that comes twice or an unknown route ends it with 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define REQUEST_SIZE_MAX 65536
#define ANSWER_SIZE_MAX 65536
#define COUNT_MAX 1000000
#define BATCH_MAX 16
#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
/* How long the worker is idle before a job comes: not in step with any timer of its own. */
#define IDLE_MS_MIN 50
#define IDLE_MS_SPREAD 101
#define IDLE_MS_STRIDE 37

enum poll { POLL_NONE, POLL_TAKE, POLL_STOP };
enum command { COMMAND_NONE, COMMAND_READY, COMMAND_IDLE, COMMAND_QUEUED };

struct connection {
    int fd; /* -1: free */
    enum poll held;
    unsigned batch; /* of a take: jobs that fit; 0: an object is wanted, not an array */
    int64_t held_at;
    size_t used;
    char request[REQUEST_SIZE_MAX];
};

static struct {
    int epoll, listener;
    const char *input;
    int64_t hold, first_take;
    struct connection connections[CONNECTIONS_MAX];
    enum command command;
    unsigned count, given, done; /* jobs of the command */
    unsigned base;               /* number of its first job */
    int64_t *given_at, *done_at; /* of each job; done_at 0: not yet */
    int64_t *result_at, *own;    /* of each result, in order of arrival */
    int64_t begun_at, own_since; /* own_since: spent since the last result */
    int64_t release_at;          /* idle: when the next job is handed out; 0: not known yet */
    size_t result_bytes;
} plane;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "control_plane: %s: %s\n", what, detail);
    exit(1);
}

/* --- Answers --------------------------------------------------------------------------------- */

static void send_answer(struct connection *connection, const char *status, const char *body)
{
    char answer[ANSWER_SIZE_MAX];
    int size = body ? snprintf(answer, sizeof(answer),
                               "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                               "Content-Length: %zu\r\n\r\n%s",
                               status, strlen(body), body)
                    : snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\n\r\n", status);
    if (size < 0 || (size_t)size >= sizeof(answer))
        fail("an answer is too long", status);
    connection->held = POLL_NONE;
    ssize_t sent = send(connection->fd, answer, (size_t)size, MSG_NOSIGNAL);
    if (sent != size && plane.command != COMMAND_NONE)
        fail("an answer could not be sent", strerror(errno));
}

/* Hands out what is left of `count` jobs of the command, as far as the take has room. */
static void give(struct connection *connection, unsigned count)
{
    char body[ANSWER_SIZE_MAX];
    size_t size = 0;
    unsigned room = connection->batch ? connection->batch : 1;
    int64_t at = now();
    for (unsigned i = 0; i < room && plane.given < count; i++) {
        unsigned number = plane.given++;
        plane.given_at[number] = at;
        size += (size_t)snprintf(
            body + size, sizeof(body) - size, "%s{\"id\":\"bench-%u\",\"input\":%s}",
            i ? "," : (connection->batch ? "[" : ""), plane.base + number, plane.input);
        if (size >= sizeof(body) - 1)
            fail("the jobs are too long", plane.input);
    }
    if (connection->batch)
        body[size++] = ']';
    body[size] = '\0';
    send_answer(connection, "200 OK", body);
}

static struct connection *held_poll(enum poll kind)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (plane.connections[i].fd >= 0 && plane.connections[i].held == kind)
            return &plane.connections[i];
    return NULL;
}

static void hold(struct connection *connection, enum poll kind)
{
    connection->held = kind;
    connection->held_at = now();
}

/* --- Requests -------------------------------------------------------------------------------- */

static void accept_take(struct connection *connection, const char *target, int64_t at)
{
    const char *size = strstr(target, "batch_size=");
    connection->batch = 0;
    if (size)
        connection->batch = (unsigned)strtoul(size + strlen("batch_size="), NULL, 10);
    if (connection->batch > BATCH_MAX)
        connection->batch = BATCH_MAX;
    if (!plane.first_take)
        plane.first_take = at;
    if (plane.command == COMMAND_QUEUED && plane.given < plane.count)
        give(connection, plane.count);
    else
        hold(connection, POLL_TAKE);
}

static void accept_result(struct connection *connection, const char *target, const char *body,
                          size_t body_size, int64_t at)
{
    const char *name = strstr(target, "/bench-");
    unsigned number = name ? (unsigned)strtoul(name + strlen("/bench-"), NULL, 10) : 0;
    if (memmem(body, body_size, "\"IN_PROGRESS\"", strlen("\"IN_PROGRESS\""))) {
        send_answer(connection, "200 OK", "{}");
        return;
    }
    if (!name || number - plane.base >= plane.given || plane.done_at[number - plane.base])
        fail("a result that is not awaited", target);
    if (memmem(body, body_size, "\"error\":", strlen("\"error\":")))
        fail("a job failed", body);
    plane.done_at[number - plane.base] = at;
    plane.result_at[plane.done] = at;
    plane.own[plane.done++] = plane.own_since;
    plane.own_since = 0;
    plane.result_bytes = body_size;
    send_answer(connection, "200 OK", "{}");
}

static void accept_request(struct connection *connection, const char *target, const char *body,
                           size_t body_size, int64_t at)
{
    if (strstr(target, "/job-done/")) {
        accept_result(connection, target, body, body_size, at);
    } else if (strstr(target, "/job-take/") || strstr(target, "/job-take-batch/")) {
        accept_take(connection, target, at);
    } else if (strstr(target, "/job-stop/")) {
        hold(connection, POLL_STOP);
    } else if (strstr(target, "/ping/") || strstr(target, "/job-stream/")) {
        send_answer(connection, "200 OK", "{}");
    } else {
        fail("unknown route", target);
    }
    if (connection->held == POLL_NONE)
        plane.own_since += now() - at;
}

static size_t content_length(const char *headers)
{
    for (const char *line = strstr(headers, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
            return strtoul(line + 17, NULL, 10);
    return 0;
}

/* Takes a whole request off the connection's buffer, if there is one. */
static bool take_request(struct connection *connection, int64_t at)
{
    char *request = connection->request;
    request[connection->used] = '\0';
    char *end = strstr(request, "\r\n\r\n");
    if (!end)
        return false;
    *end = '\0';
    size_t head_size = (size_t)(end - request) + 4, body_size = content_length(request);
    if (connection->used < head_size + body_size) {
        *end = '\r';
        return false;
    }
    char *target = strchr(request, ' '), *target_end = target ? strchr(target + 1, ' ') : NULL;
    if (!target_end)
        fail("not a request", request);
    *target_end = '\0';
    accept_request(connection, target + 1, request + head_size, body_size, at);
    connection->used -= head_size + body_size;
    memmove(request, request + head_size + body_size, connection->used);
    return true;
}

static void read_connection(struct connection *connection)
{
    size_t room = sizeof(connection->request) - 1 - connection->used;
    ssize_t size = recv(connection->fd, connection->request + connection->used, room, 0);
    int64_t at = now();
    if (room == 0)
        fail("a request is too long", connection->request);
    if (size <= 0) {
        close(connection->fd);
        *connection = (struct connection){.fd = -1};
        return;
    }
    connection->used += (size_t)size;
    while (take_request(connection, at)) {
    }
}

static void accept_connection(void)
{
    int one = 1, fd = accept4(plane.listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *connection = plane.connections;
    while (connection < plane.connections + CONNECTIONS_MAX && connection->fd >= 0)
        connection++;
    if (fd < 0 || connection == plane.connections + CONNECTIONS_MAX)
        fail("no further connection", fd < 0 ? strerror(errno) : "there are too many");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connection->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(plane.epoll, EPOLL_CTL_ADD, fd, &event);
}

/* --- Commands -------------------------------------------------------------------------------- */

static void begin_command(void)
{
    char line[64];
    if (!fgets(line, sizeof(line), stdin))
        exit(0);
    plane.base += plane.given;
    plane.count = plane.given = plane.done = 0;
    plane.release_at = plane.own_since = 0;
    plane.begun_at = now();
    if (strcmp(line, "ready\n") == 0)
        plane.command = COMMAND_READY;
    else if (sscanf(line, "idle %u", &plane.count) == 1)
        plane.command = COMMAND_IDLE;
    else if (sscanf(line, "queued %u", &plane.count) == 1)
        plane.command = COMMAND_QUEUED;
    else
        fail("unknown command", line);
    if (plane.count > COUNT_MAX || (plane.count == 0 && plane.command != COMMAND_READY))
        fail("a number of jobs that cannot be", line);
    memset(plane.done_at, 0, sizeof(*plane.done_at) * (plane.count + 1));
}

static void print_times(const char *name, const int64_t *times, const int64_t *minus,
                        unsigned count)
{
    printf("\"%s\": [", name);
    for (unsigned i = 0; i < count; i++)
        printf("%s%lld", i ? ", " : "", (long long)(times[i] - (minus ? minus[i] : 0)));
    printf("], ");
}

static void end_command(void)
{
    putchar('{');
    if (plane.command == COMMAND_READY)
        printf("\"first_take\": %lld", (long long)plane.first_take);
    if (plane.command == COMMAND_IDLE)
        print_times("latency", plane.done_at, plane.given_at, plane.count);
    if (plane.command == COMMAND_QUEUED) {
        print_times("interval", plane.result_at + 1, plane.result_at, plane.count - 1);
        print_times("own", plane.own + 1, NULL, plane.count - 1);
        printf("\"elapsed\": %lld, ",
               (long long)(plane.result_at[plane.count - 1] - plane.begun_at));
    }
    if (plane.command != COMMAND_READY)
        printf("\"result_bytes\": %zu", plane.result_bytes);
    puts("}");
    fflush(stdout);
    plane.command = COMMAND_NONE;
}

/* Does what the command wants next. */
static void advance(void)
{
    struct connection *take = held_poll(POLL_TAKE);
    bool all_done = plane.done == plane.count;
    bool quiet = take && held_poll(POLL_STOP) && plane.done == plane.given;
    if (plane.command == COMMAND_QUEUED && take && plane.given < plane.count)
        give(take, plane.count);
    if (plane.command == COMMAND_QUEUED ? all_done : (all_done && quiet && plane.command))
        end_command();
    if (plane.command != COMMAND_IDLE || !quiet) {
        plane.release_at = 0;
    } else if (!plane.release_at) {
        unsigned idle_ms = IDLE_MS_MIN + plane.done * IDLE_MS_STRIDE % IDLE_MS_SPREAD;
        plane.release_at = now() + idle_ms * NS_PER_MS;
    } else if (now() >= plane.release_at) {
        plane.release_at = 0;
        give(take, plane.given + 1);
    }
}

/* Ends polls that are held long enough; returns for how long nothing is due. */
static int next_due_ms(void)
{
    int64_t at = now(), due = plane.release_at ? plane.release_at : at + plane.hold;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &plane.connections[i];
        if (connection->fd < 0 || connection->held == POLL_NONE)
            continue;
        if (connection->held_at + plane.hold <= at)
            send_answer(connection, "204 No Content", NULL);
        else if (connection->held_at + plane.hold < due)
            due = connection->held_at + plane.hold;
    }
    return due <= at ? 0 : (int)((due - at) / NS_PER_MS) + 1;
}

/* --- Life ------------------------------------------------------------------------------------ */

static void listen_and_tell(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    plane.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (plane.listener < 0 ||
        bind(plane.listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(plane.listener, CONNECTIONS_MAX) != 0 ||
        getsockname(plane.listener, (struct sockaddr *)&address, &size) != 0)
        fail("no port", strerror(errno));
    printf("{\"port\": %u}\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
}

static void init(const char *input, double hold_s)
{
    int64_t **arrays[] = {&plane.given_at, &plane.done_at, &plane.result_at, &plane.own};
    struct epoll_event stdin_event = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event listener_event = {.events = EPOLLIN, .data.ptr = &plane.listener};
    plane.input = input;
    plane.hold = (int64_t)(hold_s * NS_PER_S);
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        if (!(*arrays[i] = calloc(COUNT_MAX + 1, sizeof(int64_t))))
            fail("no memory", strerror(errno));
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        plane.connections[i].fd = -1;
    listen_and_tell();
    plane.epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(plane.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &stdin_event);
    epoll_ctl(plane.epoll, EPOLL_CTL_ADD, plane.listener, &listener_event);
}

int main(int argc, char **argv)
{
    struct epoll_event event;
    if (argc != 3) {
        fputs("usage: control_plane INPUT HOLD_S\n", stderr);
        return 2;
    }
    init(argv[1], strtod(argv[2], NULL));
    for (;;) {
        if (epoll_wait(plane.epoll, &event, 1, next_due_ms()) == 1) {
            if (!event.data.ptr)
                begin_command();
            else if (event.data.ptr == &plane.listener)
                accept_connection();
            else
                read_connection(event.data.ptr);
        }
        advance();
    }
}
