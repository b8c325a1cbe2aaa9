/* All of the processor's floating-point state, put away for a signal on a stack of its own. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "probe.h"

static volatile sig_atomic_t handled;

static void handler(int number)
{
    (void)number;
    volatile double a = 1e300, b = 1e300;
    __asm__ volatile("fninit\nfldz\nfld1");
    _mm_setcsr(0x5f80);
    spin();
    a = a * b;
    handled++;
    spin();
}

const char *signals(unsigned round)
{
    static char stack[1 << 16];
    static int ready;
    if (!ready) {
        stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
        struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
        sigaltstack(&other, NULL);
        sigaction(SIGUSR1, &action, NULL);
        ready = 1;
    }
    volatile double a = 1, b = round % 2 ? 3 : 0, c;
    double top = round, found;
    int before = handled;
    uint64_t low = 0x123456789abcdef0u * round, high = 0;
    unsigned expected = 0x3f80 | (round % 2 ? 32 : 4);
    _mm_setcsr(0x3f80);
    c = a / b;
    (void)c;
    __asm__ volatile("fninit\nfldl %0" : : "m"(top));
    __asm__ volatile("movq %2, %%xmm9\n" SPIN
                     "movl $62, %%eax\nmovl %3, %%edi\nmovl $10, %%esi\nsyscall\n" /* kill */ SPIN
                     "movq %%xmm9, %0\nfstpl %1"
                     : "=&r"(high), "=m"(found) : "r"(low), "r"(getpid())
                     : "rax", "rcx", "rdi", "rsi", "r11", "xmm9", "memory", "cc");
    unsigned status = _mm_getcsr();
    _mm_setcsr(0x1f80);
    __asm__ volatile("fninit");
    if (handled != before + 1)
        return lost("LOST: a signal");
    if (high != low || found != top)
        return lost("LOST: a register over a signal: %#lx %g", high, found);
    if (status != expected)
        return lost("LOST: mxcsr is %#x over a signal, not %#x", status, expected);
    return 0;
}
