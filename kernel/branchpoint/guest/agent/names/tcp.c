/* Questions over TCP: each message has its size before it. A connection has one question at a time
 * under way, and the next is not read before its answer is sent; whoever is slow, or sends what is
 * no message, holds up nobody but himself. */
#define _GNU_SOURCE
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 16      /* connections to one server; for another, the oldest is closed */
#define MOST_ALL 256 /* ... to all; others are closed at once */
#define LONGEST_SILENCE (10 * SECOND)

struct connection {
    struct server *to;
    struct watched socket;
    struct timer idle, held; /* closes it; sends an answer that a fault holds back */
    uint8_t in[2 + LONGEST_QUESTION], *out;
    size_t got, size, sent; /* of `in`, of `out` */
    struct connection *next;
};

static unsigned all;

static void hang_up(struct connection *k)
{
    struct connection **at = &k->to->connections;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    k->to->connection_count--;
    all--;
    timer_clear(&k->idle);
    timer_clear(&k->held);
    watch_end(&k->socket);
    free(k->out);
    free(k);
}

static void silent(void *arg)
{
    hang_up(arg);
}

static bool would_wait(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static void listen_again(struct connection *k)
{
    free(k->out);
    k->out = NULL;
    watch_for(&k->socket, EPOLLIN);
}

/* Sends what the other side takes now; the rest when it takes more. */
static void send_on(struct connection *k)
{
    ssize_t n = send(k->socket.fd, k->out + k->sent, k->size - k->sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && !would_wait()) {
        hang_up(k);
        return;
    }
    k->sent += n > 0 ? (size_t)n : 0;
    if (k->sent == k->size)
        listen_again(k);
    else
        watch_for(&k->socket, EPOLLOUT);
}

static void held_over(void *arg)
{
    send_on(arg);
}

static void answer(struct connection *k)
{
    static uint8_t bytes[2 + LONGEST_ANSWER];
    ns_t delay = 0;
    size_t size = server_answer(k->to, k->in + 2, k->got - 2, bytes + 2, false, &delay);
    k->got = 0;
    if (!size)
        return;
    bytes[0] = (uint8_t)(size >> 8);
    bytes[1] = (uint8_t)size;
    k->size = size + 2;
    k->sent = 0;
    k->out = grab(k->size);
    memcpy(k->out, bytes, k->size);
    timer_set(&k->idle, now() + delay + LONGEST_SILENCE, silent, k);
    if (!delay) {
        send_on(k);
        return;
    }
    watch_for(&k->socket, 0);
    timer_set_exactly(&k->held, now() + delay, held_over, k);
}

/* No more than one message is read, so that what follows it stays where it is. */
static void ready(void *arg)
{
    struct connection *k = arg;
    if (k->out) {
        if (k->held.armed) /* the other side has gone */
            hang_up(k);
        else
            send_on(k);
        return;
    }
    size_t whole = k->got < 2 ? 2 : 2 + ((size_t)k->in[0] << 8 | k->in[1]);
    if (whole > sizeof k->in) {
        hang_up(k);
        return;
    }
    ssize_t n = recv(k->socket.fd, k->in + k->got, whole - k->got, MSG_DONTWAIT);
    if (n < 0 && would_wait())
        return;
    if (n <= 0) {
        hang_up(k);
        return;
    }
    k->got += (size_t)n;
    if (k->got > 2 && k->got == whole)
        answer(k);
}

/* One that waits to be taken; -1: none. Where no file can be opened any more, a spare one makes room
 * for it to be refused, since otherwise it would wait, and wake us, for ever. */
static int take(int listener)
{
    static int spare = -1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare >= 0) {
        close(spare);
        close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        spare = -1;
    }
    if (spare < 0)
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

void tcp_ready(void *arg)
{
    struct server *s = arg;
    int fd = take(s->tcp.fd);
    if (fd < 0)
        return;
    if (s->connection_count == MOST)
        hang_up(s->connections);
    if (all == MOST_ALL) {
        close(fd);
        return;
    }
    struct connection *k = grab(sizeof *k), **end = &s->connections;
    while (*end)
        end = &(*end)->next;
    *end = k;
    s->connection_count++;
    all++;
    k->to = s;
    watch_begin(&k->socket, fd, ready, k);
    timer_set(&k->idle, now() + LONGEST_SILENCE, silent, k);
}
