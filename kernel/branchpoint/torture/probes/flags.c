/* The arithmetic flags, which the emulator works out only when someone asks. */
#include "probe.h"

enum { ARITHMETIC = 0x8d5 };

#define CASE(number, code)                                                                        \
    case number:                                                                                   \
        __asm__ volatile("movq %2, %%rax\n" code "\npushfq\npopq %0\npushq %0\npopfq\n"            \
                         "movq %2, %%rax\n" code "\n" SPIN "pushfq\npopq %1"                       \
                         : "=&r"(before), "=&r"(after) : "r"(a), "r"(b)                            \
                         : "rax", "rcx", "rdx", "cc");                                             \
        break;

const char *flags(unsigned round)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    uint64_t a = state >> 20, b = state * 0x9e3779b97f4a7c15u, before = 0, after = 0;
    if (round % 3 == 0)
        b = a;
    switch (round % 14) {
        CASE(0, "addb %b3, %%al")
        CASE(1, "subw %w3, %%ax")
        CASE(2, "addl %k3, %%eax")
        CASE(3, "subq %3, %%rax")
        CASE(4, "andq %3, %%rax")
        CASE(5, "stc\nincq %%rax")
        CASE(6, "clc\ndecl %%eax")
        CASE(7, "stc\nadcq %3, %%rax")
        CASE(8, "stc\nsbbl %k3, %%eax")
        CASE(9, "shlq $3, %%rax")
        CASE(10, "sarl $5, %%eax")
        CASE(11, "negq %%rax")
        CASE(12, "imulq %3, %%rax")
        CASE(13, "popcntq %3, %%rax")
    }
    if ((before ^ after) & ARITHMETIC)
        return lost("LOST: flags %#lx, not %#lx", after & ARITHMETIC, before & ARITHMETIC);
    return 0;
}
