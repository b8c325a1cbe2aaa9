/* Messages of DNS (RFC 1035, RFC 6891). They come from any program of any container, so nothing in
 * them is believed: one question, no pointers in it, and no byte is read behind the end. */
#define _GNU_SOURCE
#include "names.h"

#include <stdio.h>
#include <string.h>

#define HEADER 12
#define OPTION 11     /* bytes of the record that says how long datagrams may be */
#define SHORTEST 512  /* what every asker takes in a datagram */
#define TTL 600       /* seconds; as docker's */
#define POINTER 0xc000

#define IS_ANSWER 0x8000
#define OPERATION 0x7800
#define CUT 0x0200
#define RECURSION_WANTED 0x0100
#define RECURSION_OFFERED 0x0080

static uint16_t get(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Reads the name in the question; gives the place behind it, 0 when it is malformed. */
static size_t read_name(struct question *q, const uint8_t *bytes, size_t size)
{
    size_t at = HEADER, length = 0;
    for (;;) {
        if (at >= size)
            return 0;
        size_t label = bytes[at++];
        if (!label)
            break;
        /* 64 and more would be a pointer to another place */
        if (label > 63 || label > size - at || length + label + 1 > LONGEST_NAME - 2)
            return 0;
        if (length)
            q->name[length++] = '.';
        for (size_t i = 0; i < label; i++, at++) {
            char letter = (char)bytes[at];
            if (letter >= 'A' && letter <= 'Z')
                letter = (char)(letter - 'A' + 'a');
            else if (letter <= ' ' || letter > '~' || letter == '.')
                letter = '?'; /* which is in no name of ours */
            q->name[length++] = letter;
        }
    }
    q->name[length] = 0;
    return at;
}

bool question_read(struct question *q, const uint8_t *bytes, size_t size, enum code *wrong)
{
    memset(q, 0, sizeof *q);
    q->takes = SHORTEST;
    if (size < HEADER || get(bytes + 2) & IS_ANSWER)
        return false;
    q->id = get(bytes);
    q->flags = get(bytes + 2);
    if (q->flags & OPERATION) {
        *wrong = CODE_NOT_DONE;
        return true;
    }
    *wrong = CODE_MALFORMED;
    size_t at = read_name(q, bytes, size);
    if (get(bytes + 4) != 1 || get(bytes + 6) || get(bytes + 8) || !at || size - at < 4)
        return true;
    q->type = get(bytes + at);
    uint16_t class = get(bytes + at + 2);
    at += 4;
    q->text_size = at - HEADER;
    memcpy(q->text, bytes + HEADER, q->text_size);
    *wrong = class == 1 || class == TYPE_ANY ? CODE_GOOD : CODE_REFUSED;
    /* Of what else is said, only the size of datagrams matters. */
    if (get(bytes + 10) && size - at >= OPTION && !bytes[at] && get(bytes + at + 1) == TYPE_OPT) {
        q->extended = true;
        q->takes = get(bytes + at + 3);
        if (q->takes < SHORTEST)
            q->takes = SHORTEST;
        if (q->takes > LONGEST_DATAGRAM)
            q->takes = LONGEST_DATAGRAM;
    }
    return true;
}

void answer_begin(struct answer *a, const struct question *q, uint8_t *bytes, size_t most)
{
    *a = (struct answer){.bytes = bytes, .most = most - (q->extended ? OPTION : 0)};
    memset(bytes, 0, HEADER);
    put(bytes, q->id);
    memcpy(bytes + HEADER, q->text, q->text_size);
    a->size = HEADER + q->text_size;
}

/* Room for a record about the name that was asked for; NULL, and the answer is cut, when it is
 * too much. */
static uint8_t *record(struct answer *a, enum type type, size_t size)
{
    if (a->cut || a->most - a->size < 12 + size) {
        a->cut = true;
        return NULL;
    }
    uint8_t *at = a->bytes + a->size;
    put(at, POINTER | HEADER);
    put(at + 2, type);
    put(at + 4, 1);
    put(at + 6, 0);
    put(at + 8, TTL);
    put(at + 10, (unsigned)size);
    a->size += 12 + size;
    a->count++;
    return at + 12;
}

void answer_address(struct answer *a, const uint8_t ip[4])
{
    uint8_t *at = record(a, TYPE_A, 4);
    if (at)
        memcpy(at, ip, 4);
}

void answer_address6(struct answer *a, const uint8_t ip[16])
{
    uint8_t *at = record(a, TYPE_AAAA, 16);
    if (at)
        memcpy(at, ip, 16);
}

void answer_name(struct answer *a, const char *name)
{
    uint8_t bytes[LONGEST_NAME + 1];
    size_t size = 0;
    while (*name) {
        size_t label = strcspn(name, ".");
        if (!label || label > 63 || size + label + 2 > sizeof bytes)
            return; /* a name that cannot be said */
        bytes[size++] = (uint8_t)label;
        memcpy(bytes + size, name, label);
        size += label;
        name += label + (name[label] == '.');
    }
    bytes[size++] = 0;
    uint8_t *at = record(a, TYPE_PTR, size);
    if (at)
        memcpy(at, bytes, size);
}

void answer_end(struct answer *a, const struct question *q, enum code code)
{
    put(a->bytes + 2, IS_ANSWER | (q->flags & (OPERATION | RECURSION_WANTED)) | RECURSION_OFFERED |
                          (a->cut ? CUT : 0) | code);
    put(a->bytes + 4, q->text_size ? 1 : 0);
    put(a->bytes + 6, a->count);
    if (!q->extended)
        return;
    uint8_t *at = a->bytes + a->size;
    memset(at, 0, OPTION);
    put(at + 1, TYPE_OPT);
    put(at + 3, LONGEST_DATAGRAM);
    put(a->bytes + 10, 1);
    a->size += OPTION;
}
