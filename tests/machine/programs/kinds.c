/*
 * Guests that do one kind of work all the time, so that any instant is in the middle of it. Runs as
 * init in its own machine; the name it is called by selects the kind, or all of them in turn. Its
 * results are mixed into memory, where a lost bit of the processor's state stays visible.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile uint64_t seen[8];

static void fold(uint64_t what)
{
    seen[0] = seen[0] * 6364136223846793005u + what;
    seen[1]++;
}

/* Exception flags, rounding and flush-to-zero, each kept for a while before it is checked. */
static void sse(void)
{
    for (uint32_t i = 0;; i++) {
        uint32_t control = 0x1f80 | (i & 3) << 13 | (i & 4) << 13 | (i & 8) << 3, flags;
        volatile double a = i & 16 ? 1e-310 : 1 + i, b = i & 32 ? 1e300 : 3;
        __asm__ volatile("ldmxcsr %0" ::"m"(control));
        a = a / b;
        b = b * b;
        for (volatile int k = 0; k < 20; k++)
            ;
        __asm__ volatile("stmxcsr %0" : "=m"(flags));
        uint64_t bits;
        memcpy(&bits, (void *)&a, sizeof bits);
        fold(bits ^ flags);
    }
}

static void x87(void)
{
    for (uint32_t i = 0;; i++) {
        uint16_t control = 0x37f & ~0xf00, status, tags[14];
        control |= (i & 3) << 10 | (i & 8 ? 0x300 : 0);
        long double x = i + 1, y = i & 16 ? 0 : 7, z;
        __asm__ volatile("fldcw %3\n fnclex\n fldt %1\n fldt %2\n fdivrp\n"
                         "mov $20, %%ecx\n1: dec %%ecx\n jnz 1b\n fnstsw %%ax\n fstpt %0"
                         : "=m"(z) : "m"(x), "m"(y), "m"(control) : "eax", "ecx", "memory");
        __asm__ volatile("fnstsw %0" : "=a"(status));
        __asm__ volatile("fnstenv %0\n fldenv %0" : "=m"(tags));
        uint64_t bits;
        memcpy(&bits, &z, sizeof bits);
        fold(bits ^ status ^ (uint64_t)(tags[4] ^ tags[8] ^ tags[12]) << 20);
    }
}

static void mmx(void)
{
    uint64_t x = 0x0102030405060708;
    for (uint32_t i = 0;; i++) {
        uint64_t out;
        __asm__ volatile("movq %1, %%mm3\n paddusb %%mm3, %%mm3\n"
                         "mov $20, %%ecx\n1: dec %%ecx\n jnz 1b\n movq %%mm3, %0\n"
                         : "=m"(out) : "m"(x) : "ecx", "mm3");
        if (i & 1)
            __asm__ volatile("emms");
        fold(out);
        x = x * 6364136223846793005u + i;
    }
}

static void strings(void)
{
    static unsigned char from[5000], to[5000];
    for (uint32_t i = 0;; i++) {
        unsigned char *s = from, *d = to;
        size_t n = 4000 + i % 1000;
        from[i % 5000] += i;
        if (i & 1) {
            s += n - 1, d += n - 1;
            __asm__ volatile("std\n rep movsb\n cld" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
        } else {
            __asm__ volatile("repe cmpsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory", "cc");
        }
        fold(n ^ to[i % 4000]);
    }
}

static void syscalls(void)
{
    int ends[2];
    if (pipe(ends))
        abort();
    for (uint64_t i = 0;; i++) {
        uint64_t back = 0;
        if (write(ends[1], &i, sizeof i) > 0 && read(ends[0], &back, sizeof back) > 0)
            fold(back ^ syscall(SYS_getppid));
    }
}

static void faults(void)
{
    for (uint32_t i = 0;; i++) {
        size_t size = 64 << 12;
        unsigned char *area = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED)
            abort();
        for (size_t at = 0; at < size; at += 4096)
            area[at] = i;
        fold(area[(i & 63) << 12]);
        if (i & 1)
            madvise(area, size / 2, MADV_DONTNEED);
        fold(area[0]);
        munmap(area, size);
    }
}

static void *hand_over(void *unused)
{
    (void)unused;
    for (uint32_t i = 0;; i++) {
        fold(i);
        sched_yield();
    }
}

static void switches(void)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, hand_over, NULL);
    hand_over(NULL);
}

static void on_alarm(int number)
{
    fold(number);
}

static void interrupts(void)
{
    signal(SIGALRM, on_alarm);
    struct itimerval every = { { 0, 53 }, { 0, 53 } };
    setitimer(ITIMER_REAL, &every, NULL);
    for (uint32_t i = 0;; i++)
        seen[2] = seen[2] * 31 + i;
}

static void idle(void)
{
    for (uint32_t i = 0;; i++) {
        usleep(100 + i % 7 * 30);
        fold(i);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} kinds[] = {
    { "sse", sse }, { "x87", x87 }, { "mmx", mmx }, { "strings", strings },
    { "syscalls", syscalls }, { "faults", faults }, { "switches", switches },
    { "interrupts", interrupts }, { "idle", idle },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* The time stamp counter is virtual time, in ns since power-on. */
static void sleep_until(uint64_t instant)
{
    uint64_t now = __builtin_ia32_rdtsc();
    if (now < instant)
        usleep((instant - now) / 1000);
}

/* All kinds in turn: each for a tenth of a second, the first from 2.5 s after power-on. The debug
 * port gets the name of each that was at work all the time. */
static void turns(void)
{
    ioperm(0xe9, 1, 1);
    for (size_t i = 0; i < KINDS; i++) {
        uint64_t begin = 2500000000 + i * 100000000;
        sleep_until(begin);
        pid_t child = fork();
        if (child < 0)
            abort();
        if (!child)
            kinds[i].run();
        sleep_until(begin + 95000000);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            abort();
        for (const char *letter = kinds[i].name; *letter; letter++)
            outb(*letter, 0xe9);
        outb(' ', 0xe9);
    }
    for (;;)
        pause();
}

int main(int count, char **words)
{
    const char *name = count ? strrchr(words[0], '/') + 1 : "";
    if (!strcmp("turns", name))
        turns();
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].name, name))
            kinds[i].run();
    return 1;
}
