/* The name server: at 127.0.0.11 in the network of every container, as with the usual engines.
 *
 * It listens at another port, which the rules in network/names exchange for 53, so that a name
 * server of the system's own can have port 53 of all addresses. A socket stays in the network in
 * which it was made, so one process serves all of them. */
#define _GNU_SOURCE
#include "names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS 0x7f00000b /* 127.0.0.11 */
#define PORT 61053         /* no port that the kernel gives out */
#define OWN_NETWORK "/proc/self/ns/net"
#define MOST_LATE 256 /* datagrams that wait in one server; more are lost */

struct late { /* an answer that is held back */
    struct timer timer;
    struct server *from;
    struct sockaddr_in to;
    size_t size;
    uint8_t bytes[];
};

static int set = -1;
static struct server *servers;

/* ---- the loop */

int names_fd(void)
{
    return set;
}

void names_ready(void)
{
    struct epoll_event ready;
    if (epoll_wait(set, &ready, 1, 0) < 1)
        return;
    struct watched *w = ready.data.ptr;
    w->ready(w->arg);
}

void watch_begin(struct watched *w, int fd, void (*ready)(void *), void *arg)
{
    *w = (struct watched){.fd = fd, .ready = ready, .arg = arg};
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = w};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &watch))
        fail("epoll_ctl: %s", strerror(errno));
}

void watch_for(struct watched *w, uint32_t events)
{
    struct epoll_event watch = {.events = events, .data.ptr = w};
    if (epoll_ctl(set, EPOLL_CTL_MOD, w->fd, &watch))
        fail("epoll_ctl: %s", strerror(errno));
}

void watch_end(struct watched *w)
{
    epoll_ctl(set, EPOLL_CTL_DEL, w->fd, NULL); /* a child may hold it open yet */
    close(w->fd);
}

/* ---- answers */

size_t server_answer(struct server *s, const uint8_t *message, size_t size, uint8_t *bytes,
                     bool datagram, ns_t *delay)
{
    static struct question q;
    struct answer a;
    enum code code = CODE_GOOD;
    if (!question_read(&q, message, size, &code) || wrong_silent(s))
        return 0;
    answer_begin(&a, &q, bytes, datagram ? q.takes : LONGEST_ANSWER);
    if (wrong_fails(s))
        code = CODE_FAILED;
    if (code == CODE_GOOD)
        code = records_answer(&a, s, &q);
    answer_end(&a, &q, code);
    *delay = wrong_delay(s);
    return a.size;
}

static void send_datagram(const struct server *s, const struct sockaddr_in *to,
                          const uint8_t *bytes, size_t size)
{
    /* What finds no room is lost, as any datagram may be. */
    sendto(s->udp.fd, bytes, size, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to);
}

static void late_due(void *arg)
{
    struct late *late = arg;
    send_datagram(late->from, &late->to, late->bytes, late->size);
    late->from->late_count--;
    free(late);
}

static void send_later(struct server *s, const struct sockaddr_in *to, const uint8_t *bytes,
                       size_t size, ns_t delay)
{
    if (s->late_count == MOST_LATE)
        return;
    s->late_count++;
    struct late *late = grab(sizeof *late + size);
    late->from = s;
    late->to = *to;
    late->size = size;
    memcpy(late->bytes, bytes, size);
    timer_set_exactly(&late->timer, now() + delay, late_due, late);
}

static void udp_ready(void *arg)
{
    static uint8_t message[LONGEST_QUESTION], answer[LONGEST_DATAGRAM];
    struct server *s = arg;
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ns_t delay = 0;
    ssize_t n = recvfrom(s->udp.fd, message, sizeof message, MSG_DONTWAIT | MSG_TRUNC,
                         (struct sockaddr *)&from, &length);
    if (n < 0 || (size_t)n > sizeof message || length != sizeof from)
        return;
    size_t size = server_answer(s, message, (size_t)n, answer, true, &delay);
    if (size && delay)
        send_later(s, &from, answer, size, delay);
    else if (size)
        send_datagram(s, &from, answer, size);
}

/* ---- begin */

static int socket_at(int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT),
                             .sin_addr.s_addr = htonl(ADDRESS)};
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) ||
        (type == SOCK_STREAM && listen(fd, 16)))
        fail("cannot make a name server: %s", strerror(errno));
    return fd;
}

static void open_server(struct container *c)
{
    char *path = format("/run/netns/%s", c->spec.netns);
    int network = open(path, O_RDONLY | O_CLOEXEC);
    if (network < 0 || setns(network, CLONE_NEWNET))
        fail("cannot enter %s: %s", path, strerror(errno));
    close(network);
    free(path);
    struct server *s = grab(sizeof *s);
    s->of = c;
    watch_begin(&s->udp, socket_at(SOCK_DGRAM), udp_ready, s);
    watch_begin(&s->tcp, socket_at(SOCK_STREAM), tcp_ready, s);
    s->next = servers;
    servers = s;
}

void names_watch(void)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        fail("cannot watch name servers: %s", strerror(errno));
}

void names_open(void)
{
    int own = open(OWN_NETWORK, O_RDONLY | O_CLOEXEC);
    for (struct container *c = containers; c; c = c->next)
        if (c->spec.address_count)
            open_server(c);
    if (own < 0 || setns(own, CLONE_NEWNET))
        fail("cannot come back to the guest's network: %s", strerror(errno));
    close(own);
}

struct server *server_find(const char *name)
{
    struct server *s = servers;
    while (s && strcmp(s->of->name, name))
        s = s->next;
    return s;
}
