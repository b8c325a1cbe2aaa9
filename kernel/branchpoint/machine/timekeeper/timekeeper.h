/*
 * What the parts of the timekeeper share: the protocol, its state, and who offers what.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TIMEKEEPER_H
#define TIMEKEEPER_H

#include "qemu.h"

#include <sys/types.h>

/* ---- the protocol (machine/computer.py is the other end; little endian) ---- */
enum op { OP_HELLO = 1, OP_RUN, OP_READ, OP_WRITE, OP_DIRTY, OP_SAVE, OP_LOAD, OP_NUDGE,
          OP_WATCH, OP_OBJECTS };
enum status { ST_OK = 0, ST_ERROR = 1, ST_HALTED = 2, ST_ALIVE = 3 };
struct request { uint32_t op, length; uint64_t a, b; };
struct reply { uint32_t status, length; int64_t now; uint64_t value, watched; };
#define PAGE 4096u
#define MOST_YOUNG 8
#define EXCHANGE_PAGES 8192       /* for which the exchange file always has room */

extern struct timekeeper {
    int socket, pool, exchange;
    const char *problem;           /* because of which nothing can be done; or NULL */
    uint64_t switch_address;       /* guest address of __switch_to_asm; 0: not known yet */
    uint64_t idle_task;            /* guest address of init_task, the idle one; 0: not known */
    uint64_t last_task;            /* the last other one that was switched to; 0: not known */
    uint64_t young[MOST_YOUNG];    /* guest addresses of functions that clear accessed bits */
    unsigned young_count;
    GByteArray *value;             /* of a register */
    bool cure_idle, cure_tlb, cure_flags, cure_young, cure_clock, may_track;
    bool running;                  /* a RUN request waits for its answer */
    int end;                       /* why the guest ended the machine, as QEMU numbers it; or 0 */
    int request;                   /* the same, of what it asked for and has not come yet; or 0 */
    int64_t shown;                 /* host s: when a sign of life was last given */
    uint8_t *segments;             /* of the processor: see find_segments() */
    uint8_t *ram;
    uint64_t ram_size, ram_base;   /* bytes; ram address of the first byte */
    const uint8_t *watch;          /* in ram: 8 bytes that go with every answer */
    uint8_t *pool_map;
    size_t pool_size;
    int pagemap;
    int buffer;                    /* a file in memory (empty_buffer) */
    int64_t exchanged;             /* pages in the exchange file since the last look */
    bool tracking;                 /* the kernel tells us which pages were written */
    struct scan_region *regions;
    uint32_t *pages;
    QEMUTimer *stop_timer;
    int stop_event;                /* written when the machine has to stop */
    int64_t timer_at, until;       /* ns: when the timer fires next, and where the run ends */
    int64_t step;                  /* ns; 0: only there */
    uint64_t heard;                /* the watched bytes when the run began */
} self;

/* ---- requests.c ---- */
void answer(int status, uint64_t value, const void *data, size_t length);
__attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

/* ---- cures.c ---- */
void on_halt(unsigned index, void *unused);
void on_translate(plugin_id, struct plugin_tb *);
bool fold_flags(void);

/* ---- stops.c ---- */
void attach_stops(void);
void do_run(int64_t until, uint64_t step);

/* ---- ends.c ---- */
#define END_SUSPENDED 100          /* beside QEMU's causes of a shutdown */
void on_out(unsigned index, void *unused);
int ended_before(void);
void remember_request(void);
bool stop_where_it_ended(void);
void show_life(void);

/* ---- memory.c ---- */
const char *find_memory(void);
int64_t private_pages(bool written);
void do_dirty(bool all, bool contents);
bool map_pool(uint64_t size);
int empty_buffer(void);

/* ---- confine.c ---- */
const char *confine(uint64_t largest_file);

/* ---- objects.c ---- */
void do_objects(void);

/* ---- states.c ---- */
const char *prepare_states(void);
void do_save(void);
void do_load(uint64_t pool_size, uint64_t n, const uint8_t *data, size_t length);

#endif
