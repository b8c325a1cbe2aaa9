/* Debug registers and single steps: a watchpoint in a child that computes. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

enum { STEPS = 40, WATCHED = 1, STEPPED = 1 << 14 };

static volatile uint64_t watched;

static void *of_user(unsigned number)
{
    return (void *)(offsetof(struct user, u_debugreg) + number * sizeof(long));
}

static pid_t start(void)
{
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (;;) {
            spin();
            watched++;
        }
    }
    int status;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL);
    ptrace(PTRACE_POKEUSER, child, of_user(0), &watched);
    ptrace(PTRACE_POKEUSER, child, of_user(7), (void *)0xd0001L); /* 8 bytes, when written */
    return child;
}

const char *debugging(unsigned round)
{
    static pid_t child;
    int status = 0;
    if (!child)
        child = start();
    ptrace(PTRACE_POKEUSER, child, of_user(6), 0);
    ptrace(PTRACE_CONT, child, 0, 0);
    waitpid(child, &status, 0);
    long why = ptrace(PTRACE_PEEKUSER, child, of_user(6), 0);
    errno = 0;
    long value = ptrace(PTRACE_PEEKDATA, child, &watched, 0);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || !(why & WATCHED))
        return lost("LOST: the watchpoint: status %#x, dr6 %#lx", status, why);
    if (value != round)
        return lost("LOST: the watchpoint stopped at %ld, not %u", value, round);
    for (int i = 0; i < STEPS; i++) {
        ptrace(PTRACE_POKEUSER, child, of_user(6), 0);
        ptrace(PTRACE_SINGLESTEP, child, 0, 0);
        waitpid(child, &status, 0);
        why = ptrace(PTRACE_PEEKUSER, child, of_user(6), 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || !(why & STEPPED))
            return lost("LOST: step %d: status %#x, dr6 %#lx", i, status, why);
    }
    struct user_regs_struct registers;
    ptrace(PTRACE_GETREGS, child, 0, &registers);
    return registers.rcx < SPINS - STEPS ? lost("LOST: %d steps led to %#llx, rcx %llu", STEPS,
                                                registers.rip, registers.rcx) : 0;
}
