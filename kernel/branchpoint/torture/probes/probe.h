/*
 * What the probes have in common. A probe brings the processor into a state, spins, and looks
 * whether the state is still there: a machine that was stopped, saved and loaded meanwhile must
 * answer as one that was not.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

/* NULL when all is as it should be, else what is not; good until the next call. */
typedef const char *probe_fn(unsigned round);

probe_fn exceptions, rounding, x87_status, x87_control, mmx, direction, flags, strings, debugging,
    young, signals, segments, clocks, cpuid, atomics, rewriting;

/* Says what is wrong, as printf does; for the result of a probe. */
__attribute__((format(printf, 1, 2))) const char *lost(const char *format, ...);

#define SPINS 40000

/* The spin itself, for inside other assembly; rcx is used, no flag is changed. Mostly it does
 * nothing, which is the fastest that an emulator can do. */
#define SPIN                                                                                      \
    "movl $40000, %%ecx\n"                                                                         \
    "77: .rept 27\nnop\n.endr\n"                                                                   \
    "leaq -1(%%rcx), %%rcx\n"                                                                     \
    "jrcxz 78f\n"                                                                                 \
    "jmp 77b\n"                                                                                   \
    "78:\n"

/* 1.2 ms in which nothing happens to any register but one. */
static inline void spin(void)
{
    __asm__ volatile(SPIN : : : "rcx", "memory");
}

#endif
