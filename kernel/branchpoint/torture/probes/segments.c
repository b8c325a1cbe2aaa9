/* Where the segments fs and gs begin, by system call and by a descriptor table of one's own. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"

static long base_of(int which, void *where)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_arch_prctl), "D"(which), "S"(where)
                     : "rcx", "r11", "memory");
    return result;
}

const char *segments(unsigned round)
{
    static uint64_t blocks[3][64], own;
    uint64_t by_fs, by_gs, by_table = 0;
    for (int i = 0; i < 3; i++)
        blocks[i][0] = round * 10u + i;
    base_of(ARCH_GET_FS, &own);
    base_of(ARCH_SET_GS, blocks[0]);
    base_of(ARCH_SET_FS, blocks[1]); /* from here on nothing may look for thread-local data */
    spin();
    __asm__ volatile("movq %%fs:0, %0\nmovq %%gs:0, %1" : "=&r"(by_fs), "=&r"(by_gs));
    base_of(ARCH_SET_FS, (void *)own);
    struct user_desc entry = { .base_addr = (uintptr_t)blocks[2], .limit = 0xfff, .seg_32bit = 1,
                               .useable = 1 };
    if (syscall(SYS_modify_ldt, 1, &entry, sizeof entry) == 0) {
        __asm__ volatile("movl %1, %%gs\n" SPIN "movq %%gs:0, %0\nmovl %2, %%gs"
                         : "=&r"(by_table) : "r"(7), "r"(0) : "rcx", "memory");
        if (by_table != blocks[2][0])
            return lost("LOST: gs by the table: %lu, not %lu", by_table, blocks[2][0]);
    }
    if (by_gs != blocks[0][0] || by_fs != blocks[1][0])
        return lost("LOST: fs and gs: %lu and %lu", by_fs, by_gs);
    return 0;
}
