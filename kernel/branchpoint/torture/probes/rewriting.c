/* Code that is written anew while it is used, as compilers at run time do it: in place and by
 * way of another mapping of the same page. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe.h"

enum { PAGE = 4096, TIMES = 150 };

static void write_code(unsigned char *where, uint32_t value)
{
    where[0] = 0xb8; /* mov $value, %eax */
    memcpy(where + 1, &value, sizeof value);
    where[5] = 0xc3; /* ret */
}

static uint32_t call(unsigned char *code)
{
    uint32_t result;
    __asm__ volatile("call *%1" : "=a"(result) : "r"(code) : "memory");
    return result;
}

const char *rewriting(unsigned round)
{
    static unsigned char *own, *write_side, *run_side;
    if (!own) {
        int file = memfd_create("code", 0);
        if (ftruncate(file, 2 * PAGE))
            return lost("LOST: no memory");
        own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        write_side = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        run_side = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    }
    unsigned place = PAGE - 3 - round % 5; /* across the border of two pages */
    for (uint32_t i = 0; i < TIMES; i++) {
        uint32_t value = round * 1000 + i;
        write_code(own + round % 512, value);
        write_code(write_side + place, value + 1);
        if (call(own + round % 512) != value)
            return lost("LOST: code written in place");
        if (call(run_side + place) != value + 1)
            return lost("LOST: code written elsewhere");
    }
    spin();
    if (call(own + round % 512) != round * 1000 + TIMES - 1)
        return lost("LOST: code written before");
    return 0;
}
