/* The address that a server listens at. Knows sockets and names, no HTTP. */
#include "http/server_private.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listening socket on one address, or -1 with errno. */
static int listen_at(const struct addrinfo *address)
{
    int yes = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* A restarted server need not wait for the last connections of the one before it. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

int server_listen(const char *host, uint16_t port, struct err *err)
{
    struct addrinfo hints = {.ai_family = strcmp(host, "localhost") == 0 ? AF_INET : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    char service[8], numeric[NI_MAXHOST], reason[128];
    int fd = -1;
    snprintf(service, sizeof(service), "%u", port);
    int status = getaddrinfo(host, service, &hints, &addresses);
    if (status != 0) {
        err_set(err, ERR_INVALID, NULL, "%s: cannot be resolved: %s", host, gai_strerror(status));
        return -1;
    }
    for (const struct addrinfo *a = addresses; a && fd < 0; a = a->ai_next) {
        fd = listen_at(a);
        if (fd >= 0)
            break;
        snprintf(reason, sizeof(reason), "%s", strerror(errno));
        reason[0] = (char)tolower((unsigned char)reason[0]);
        if (getnameinfo(a->ai_addr, a->ai_addrlen, numeric, sizeof(numeric), NULL, 0,
                        NI_NUMERICHOST) != 0)
            snprintf(numeric, sizeof(numeric), "%s", host);
        err_set(err, ERR_INVALID, NULL, a->ai_family == AF_INET6 ? "[%s]:%u: %s" : "%s:%u: %s",
                numeric, port, reason);
    }
    freeaddrinfo(addresses);
    return fd;
}

uint16_t server_port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    socklen_t len = sizeof(address);
    getsockname(fd, &address.any, &len);
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}
