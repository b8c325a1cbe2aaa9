/* What the files of the name server share.
 *
 * message.c   questions and answers as bytes
 * records.c   what a container may know of the others
 * wrong.c     faults
 * server.c    sockets; UDP
 * tcp.c       connections
 */
#ifndef NAMES_H
#define NAMES_H

#include "../agent.h"

#include <netinet/in.h>

#define LONGEST_NAME 255      /* as text: without the final dot, with a NUL */
#define LONGEST_QUESTION 4096 /* a whole message */
#define LONGEST_ANSWER 65535
#define LONGEST_DATAGRAM 4096 /* of an answer, whatever the asker says it takes */

/* ---- message.c */

enum type { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_OPT = 41, TYPE_ANY = 255 };
enum code { CODE_GOOD = 0, CODE_MALFORMED = 1, CODE_FAILED = 2, CODE_UNKNOWN = 3,
            CODE_NOT_DONE = 4, CODE_REFUSED = 5 };

struct question {
    uint16_t id, flags, type;
    char name[LONGEST_NAME]; /* in small letters */
    uint8_t text[LONGEST_NAME + 4]; /* as it was asked, type and class included */
    size_t text_size;               /* 0: it is not to be repeated */
    bool extended;                  /* the asker knows of longer datagrams: */
    size_t takes;                   /* ... up to this size */
};
/* False: no answer at all. `wrong` is what to answer when the question cannot be. */
bool question_read(struct question *q, const uint8_t *bytes, size_t size, enum code *wrong);

struct answer {
    uint8_t *bytes;
    size_t size, most; /* so far; what the asker takes */
    unsigned count;
    bool cut;
};
void answer_begin(struct answer *a, const struct question *q, uint8_t *bytes, size_t most);
void answer_address(struct answer *a, const uint8_t ip[4]);
void answer_address6(struct answer *a, const uint8_t ip[16]);
void answer_name(struct answer *a, const char *name);
void answer_end(struct answer *a, const struct question *q, enum code code);

/* ---- wrong.c: what is wrong with a container's name server at the moment */

struct server;
struct wrong;

bool wrong_fails(const struct server *s);
bool wrong_silent(const struct server *s);
ns_t wrong_delay(const struct server *s); /* 0: none */
/* Has `c` a name? That is, it runs, or did when a fault began that keeps what was true then. */
bool wrong_knows(const struct server *s, const struct container *c);

/* ---- records.c */

enum code records_answer(struct answer *a, const struct server *s, const struct question *q);

/* ---- server.c: one for each container that has a network of its own */

struct watched { /* a socket in the loop */
    int fd;
    void (*ready)(void *arg);
    void *arg;
};

struct server {
    struct container *of;
    struct watched udp, tcp;
    struct wrong *wrong;
    struct connection *connections; /* the oldest first */
    unsigned connection_count, late_count;
    struct server *next;
};
struct server *server_find(const char *name); /* NULL: the container has none */
void watch_begin(struct watched *w, int fd, void (*ready)(void *), void *arg);
void watch_for(struct watched *w, uint32_t events);
void watch_end(struct watched *w); /* and close */
/* The size of the answer to a message, of at most `most` bytes; 0: there is none. `delay` is how
 * much later it is to be sent. */
size_t server_answer(struct server *s, const uint8_t *message, size_t size, uint8_t *bytes,
                     bool datagram, ns_t *delay);

/* ---- tcp.c */

void tcp_ready(void *server);

#endif
