/* The least S3 that a benchmark needs: takes every PUT and forgets it, gives every GET, or the range that it asks for, from
 * one file, joins uploads in parts, and believes every signature. A thread for each connection.
 *
 *     storage_server FILE        prints its port, serves until its standard input ends
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_SIZE_MAX 16384
#define BODY_SIZE (256 << 10)

static int file_fd;
static uint64_t file_len;

static bool send_all(int fd, const char *text)
{
    for (size_t len = strlen(text); len > 0;) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        text += sent;
        len -= (size_t)sent;
    }
    return true;
}

static bool send_range(int fd, uint64_t first, uint64_t len, bool is_range)
{
    char head[256];
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nContent-Length: %llu\r\nETag: \"1\"\r\nContent-Range: bytes "
             "%llu-%llu/%llu\r\n\r\n",
             is_range ? "206 Partial Content" : "200 OK", (unsigned long long)len,
             (unsigned long long)first, (unsigned long long)(first + len - 1),
             (unsigned long long)file_len);
    if (!send_all(fd, head))
        return false;
    for (off_t at = (off_t)first; len > 0;) {
        ssize_t sent = sendfile(fd, file_fd, &at, (size_t)len);
        if (sent <= 0)
            return false;
        len -= (uint64_t)sent;
    }
    return true;
}

static bool answer_get(int fd, const char *head)
{
    unsigned long long first = 0, last = 0;
    const char *range = strcasestr(head, "\r\nrange: bytes=");
    if (!range || sscanf(strchr(range, '='), "=%llu-%llu", &first, &last) != 2)
        return send_range(fd, 0, file_len, false);
    if (last >= file_len)
        last = file_len - 1;
    return send_range(fd, first, last - first + 1, true);
}

static bool answer_post(int fd, const char *head)
{
    static const char begun[] = "<R><UploadId>1</UploadId></R>";
    static const char joined[] = "<CompleteMultipartUploadResult/>";
    char text[256];
    const char *body = strstr(head, "?uploads") ? begun : joined;
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
             body);
    return send_all(fd, text);
}

static bool drop_body(int fd, const char *head, size_t have, char *buf)
{
    const char *length = strcasestr(head, "\r\ncontent-length:");
    uint64_t left = length ? strtoull(length + 17, NULL, 10) : 0;
    left -= have < left ? have : left;
    while (left > 0) {
        ssize_t got = recv(fd, buf, left < BODY_SIZE ? (size_t)left : BODY_SIZE, 0);
        if (got <= 0)
            return false;
        left -= (uint64_t)got;
    }
    return true;
}

/* The head of a request; how much of its body came along. False at the end. */
static bool read_head(int fd, char *head, size_t *body_len)
{
    size_t len = 0;
    for (;;) {
        ssize_t got = recv(fd, head + len, HEAD_SIZE_MAX - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        head[len] = '\0';
        const char *end = strstr(head, "\r\n\r\n");
        if (end) {
            *body_len = len - (size_t)(end + 4 - head);
            return true;
        }
    }
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *head = malloc(HEAD_SIZE_MAX), *buf = malloc(BODY_SIZE);
    size_t body_len;
    bool open = head && buf;
    while (open && read_head(fd, head, &body_len)) {
        if (strcasestr(head, "expect: 100-continue"))
            open = send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        open = open && drop_body(fd, head, body_len, buf);
        if (strncmp(head, "GET ", 4) == 0)
            open = open && answer_get(fd, head);
        else if (strncmp(head, "POST ", 5) == 0)
            open = open && answer_post(fd, head);
        else
            open =
                open && send_all(fd, "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n");
    }
    close(fd);
    free(head);
    free(buf);
    return NULL;
}

static void *watch_input(void *arg)
{
    char byte;
    (void)arg;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    exit(0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    struct stat info;
    pthread_t thread;
    file_fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (file_fd < 0 || fstat(file_fd, &info) != 0 || listener < 0 ||
        bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        perror("storage_server FILE");
        return 1;
    }
    file_len = (uint64_t)info.st_size;
    printf("%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    pthread_create(&thread, NULL, watch_input, NULL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
            return 1;
        pthread_detach(thread);
    }
}
