/*
 * The inner walls. Once the emulator is set up, and before the guest runs, the process gives up
 * for good what it will not need again: nearly all of the kernel's calls, and more memory.
 *
 * What is left of the calls computes, waits, and reads and writes what is open. None opens
 * anything, makes a socket, a process or a thread, or reaches another process. Which are needed
 * was found by watching: boots, runs, states saved and restored, inputs, endings. A call that
 * libraries may try and do without gets an error; any other one ends the process at once, as no
 * part of QEMU makes it, and a run that quietly went on otherwise would be worse.
 *
 * Nothing here needs QEMU: a test compiles this file into a program that tries to break out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "pagemap.h"
#include "timekeeper.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define MARGIN (1ull << 30)        /* bytes: software TLB, tables of translated code, requests */
#define MOST_FILES 64

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* ---- calls ---- */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOW(argument) LOAD(args[argument])                             /* little endian */
#define HIGH(argument) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
                                offsetof(struct seccomp_data, args[argument]) + 4)
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ANY_BIT(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, value, yes, no)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOWED RETURN(SECCOMP_RET_ALLOW)
#define DEADLY RETURN(SECCOMP_RET_KILL_PROCESS)
#define REFUSED(error) RETURN(SECCOMP_RET_ERRNO | (error))
#define ALLOW(name) EQUAL(SYS_##name, 0, 1), ALLOWED
#define REFUSE(name, error) EQUAL(SYS_##name, 0, 1), REFUSED(error)

static int filter_calls(void)
{
    struct sock_filter code[] = {
        LOAD(arch), EQUAL(THIS_ARCHITECTURE, 1, 0), DEADLY,
        LOAD(nr),

        /* what is open */
        ALLOW(read), ALLOW(write), ALLOW(readv), ALLOW(writev), ALLOW(pread64), ALLOW(pwrite64),
        ALLOW(lseek), ALLOW(fstat), ALLOW(close), ALLOW(dup), ALLOW(ftruncate),
        ALLOW(fallocate), ALLOW(recvfrom),
        EQUAL(SYS_sendto, 0, 6),                    /* only to the other end */
        LOW(4), EQUAL(0, 0, 2), HIGH(4), EQUAL(0, 1, 0), DEADLY, ALLOWED,
        EQUAL(SYS_ioctl, 0, 4),                     /* only to look at our own pages */
        LOW(1), EQUAL(SCAN_IOCTL, 0, 1), ALLOWED, REFUSED(ENOTTY),

        /* waiting, threads that there are already, time */
        ALLOW(futex), ALLOW(ppoll), ALLOW(restart_syscall), ALLOW(sched_yield),
        ALLOW(clock_nanosleep), ALLOW(nanosleep), ALLOW(clock_gettime), ALLOW(clock_getres),
        ALLOW(gettimeofday), ALLOW(membarrier),
        /* a thread that was made just before the walls may do these, about itself, just after */
        ALLOW(set_robust_list),
#ifdef SYS_rseq
        ALLOW(rseq),
#endif
#ifdef SYS_poll
        ALLOW(poll),
#endif

        /* memory: none that the limit would not count, as it does not what is shared or a stack */
        ALLOW(brk), ALLOW(mprotect), ALLOW(munmap), ALLOW(madvise), REFUSE(mremap, ENOMEM),
        EQUAL(SYS_mmap, 0, 9),
        LOW(3), ANY_BIT(MAP_GROWSDOWN, 5, 0), ANY_BIT(MAP_SHARED, 1, 0), ALLOWED,
        ANY_BIT(MAP_ANONYMOUS, 2, 0), LOW(2), ANY_BIT(PROT_WRITE, 0, 1), REFUSED(EPERM), ALLOWED,

        /* facts about ourselves, chance */
        ALLOW(getpid), ALLOW(gettid), ALLOW(getrusage), ALLOW(sysinfo), ALLOW(uname),
        ALLOW(sched_getaffinity), ALLOW(getrandom),

        /* signals, to ourselves only, and the end */
        ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn), ALLOW(exit),
        ALLOW(exit_group),
        EQUAL(SYS_tgkill, 0, 4),
        LOW(0), EQUAL(getpid(), 0, 1), ALLOWED, DEADLY,

        /* what libraries try and do without */
        REFUSE(openat, EACCES), REFUSE(newfstatat, EACCES), REFUSE(statx, EACCES),
        REFUSE(faccessat, EACCES), REFUSE(readlinkat, EACCES),
#ifdef SYS_open
        REFUSE(open, EACCES), REFUSE(stat, EACCES), REFUSE(lstat, EACCES),
        REFUSE(access, EACCES), REFUSE(readlink, EACCES),
#endif
        REFUSE(prctl, EPERM), REFUSE(prlimit64, EPERM), REFUSE(fcntl, EPERM),
        REFUSE(clone3, ENOSYS),
        DEADLY,
    };
    struct sock_fprog program = { .len = sizeof code / sizeof *code, .filter = code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

/* ---- limits ---- */
static bool limit(int what, uint64_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now))
        return false;
    if (now.rlim_max < most)
        most = now.rlim_max;
    return !setrlimit(what, &(struct rlimit){ most, most });
}

/* Private memory may grow by the margin. The address space may grow by as much as this computer
 * has, as the pages of all states are mapped here: they are the host's memory, not ours. */
static bool limit_memory(void)
{
    unsigned long long space, data;
    struct sysinfo host;
    FILE *file = fopen("/proc/self/statm", "re");
    bool read = file && fscanf(file, "%llu %*s %*s %*s %*s %llu", &space, &data) == 2;
    if (file)
        fclose(file);
    if (!read || sysinfo(&host))
        return false;
    uint64_t page = sysconf(_SC_PAGESIZE);
    uint64_t all = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
    return limit(RLIMIT_DATA, data * page + MARGIN) &&
           limit(RLIMIT_AS, space * page + all + MARGIN);
}

const char *confine(uint64_t largest_file)
{
    static bool done;
    if (done)
        return NULL;
    signal(SIGXFSZ, SIG_IGN);      /* writing too much is an error, not the end */
    if (!limit_memory() || !limit(RLIMIT_FSIZE, largest_file) || !limit(RLIMIT_CORE, 0) ||
        !limit(RLIMIT_NOFILE, MOST_FILES) || !limit(RLIMIT_NPROC, 0))
        return "the emulator could not limit itself";
    if (filter_calls())
        return "the emulator could not give up calls of the kernel";
    done = true;
    return NULL;
}
