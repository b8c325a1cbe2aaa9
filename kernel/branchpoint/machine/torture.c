/*
 * A guest made to expose every hole in determinism: as init of a machine of its own it keeps
 * threads, forks, signals, pipes, timers, sockets and page-cache pressure going for ever, with
 * idle gaps between, and folds what it sees of their interleaving into memory; and so what it sees
 * of the exception flags of its arithmetic, and of which pages count as used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

enum { WORKERS = 6, SHARED = 64 };

static volatile uint64_t shared[SHARED * 512]; /* unlocked on purpose: races leave traces */
static volatile sig_atomic_t alarms;
static volatile bool calm; /* most of the time: the CPU then falls idle all the while */
static const char *part; /* for a control: what its cure is for, and little else */

static bool wanted(const char *name)
{
    return !part || !strcmp(part, name);
}

static uint64_t stamp(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void fold(unsigned where, uint64_t what)
{
    volatile uint64_t *cell = &shared[where % SHARED * 512];
    *cell = *cell * 6364136223846793005u + what;
}

static void on_alarm(int number)
{
    (void)number;
    alarms++;
    fold(1, stamp());
}

/* Threads that write memory while their siblings fork: copy-on-write faults race with stores. */
static void *write_memory(void *seed)
{
    uint64_t x = (uintptr_t)seed;
    for (;;) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        shared[x >> 33 & (SHARED * 512 - 1)] += x;
        if (calm)
            usleep(100 + (x >> 50 & 511));
        else if (!(x >> 50 & 4095))
            sched_yield();
    }
    return NULL;
}

static void *fork_children(void *unused)
{
    (void)unused;
    for (unsigned i = 0;; i++) {
        int ends[2];
        if (pipe(ends))
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            uint64_t words[8];
            volatile long double x87 = i; /* leaves its mark in registers that few others touch */
            for (int k = 0; k < 8; k++) {
                if (i % 5 == 0)
                    x87 = x87 / 3 + k;
                shared[(i * 97 + k * 512) % (SHARED * 512)]++;
                words[k] = stamp();
            }
            if (write(ends[1], words, sizeof words) < 0)
                _exit(1);
            _exit(i & 63);
        }
        close(ends[1]);
        uint64_t words[8] = { 0 };
        ssize_t got = read(ends[0], words, sizeof words);
        close(ends[0]);
        int status = 0;
        if (pid > 0 && waitpid(pid, &status, 0) == pid)
            fold(2, words[0] ^ status ^ got);
        struct timespec pause = { 0, (calm ? 3000000 : 300000) + i % 7 * 130000 };
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *talk(void *unused)
{
    (void)unused;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(7000) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(server, (void *)&address, sizeof address) || listen(server, 8))
        return NULL;
    for (unsigned i = 0;; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (void *)&address, sizeof address)) {
            close(client);
            continue;
        }
        int peer = accept(server, NULL, NULL);
        char text[1500];
        memset(text, i, sizeof text);
        for (int k = 0; k < 4; k++) {
            ssize_t sent = send(client, text, 200 + i % 1300, 0);
            ssize_t got = recv(peer, text, sizeof text, 0);
            fold(3, sent ^ got << 16 ^ stamp());
        }
        close(client);
        close(peer);
        usleep((calm ? 2000 : 900) + i % 5 * 700);
    }
    return NULL;
}

/* Files come and go in a small file system: the page cache is filled, dropped and reclaimed. */
static void *churn_files(void *unused)
{
    (void)unused;
    static char block[1 << 16];
    for (unsigned i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof name, "/files/%u", i % 24);
        int file = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
        for (int k = 0; k < 16; k++) {
            memset(block, i + k, sizeof block);
            if (write(file, block, sizeof block) < 0)
                break;
        }
        lseek(file, 0, SEEK_SET);
        fold(4, read(file, block, sizeof block) ^ stamp());
        close(file);
        if (i % 24 == 23) {
            int drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
            if (write(drop, "3", 1) < 0)
                fold(4, errno);
            close(drop);
        }
        uint64_t random;
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) > 0)
            fold(5, random);
        void *area = mmap(NULL, 1 << 21, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                          -1, 0);
        if (area != MAP_FAILED) {
            memset(area, i, 1 << 21);
            munmap(area, 1 << 21);
        }
        usleep((calm ? 20000 : 2000) + i % 3 * 4000);
    }
    return NULL;
}

/* Nobody else runs while this thread does: a switch of tasks would put what the processor holds in
 * a safe place. */
static void run_first(void)
{
    struct sched_param first = { 1 };
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
}

static void spin(void)
{
    for (int i = 0; i < 300000; i++)
        __asm__ volatile("");
}

/* The exception flags of SSE arithmetic: cleared, raised, and tested a while later. Other ones each
 * time (none, division by zero, inexact, overflow), so that those of another instant are seen. */
static void *divide(void *unused)
{
    (void)unused;
    static const double over[] = { 1, 1, 1, 1e308 }, by[] = { 1, 0, 3, 1e-308 };
    run_first();
    for (unsigned i = 0;; i++) {
        volatile double quotient = over[i % 4];
        _mm_setcsr(0x1f80);
        quotient = quotient / by[i % 4];
        spin();
        fold(7, _mm_getcsr());
        usleep(300 + i % 3 * 100);
    }
    return NULL;
}

/* Which pages count as used, after the kernel was told to forget it and some were used again. */
static void *use_pages(void *unused)
{
    (void)unused;
    enum { PAGES = 32, SIZE = 4096 };
    static _Alignas(SIZE) volatile char area[PAGES * SIZE];
    run_first();
    for (unsigned i = 0;; i++) {
        for (int k = 0; k < PAGES; k++)
            area[k * SIZE]++;
        int file = open("/proc/self/clear_refs", O_WRONLY);
        if (write(file, "1", 1) < 0)
            fold(8, errno);
        close(file);
        spin();
        for (int k = 0; k < PAGES; k += 2)
            area[k * SIZE]++;
        char text[2048] = "";
        file = open("/proc/self/smaps_rollup", O_RDONLY);
        if (read(file, text, sizeof text - 1) < 0)
            fold(8, errno);
        close(file);
        char *found = strstr(text, "Referenced:");
        fold(8, found ? strtoul(found + sizeof "Referenced:", NULL, 10) : 0);
        usleep((part ? 300 : 4000) + i % 3 * 1000);
    }
    return NULL;
}

static void start(void *(*work)(void *), unsigned threads, bool needed)
{
    pthread_t thread;
    for (uintptr_t i = 0; needed && i < threads; i++)
        pthread_create(&thread, NULL, work, (void *)(i * 7919 + 1));
}

int main(void)
{
    mkdir("/proc", 0755);
    mkdir("/files", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("tmpfs", "/files", "tmpfs", 0, "size=48m");
    if (system("true") < 0)
        fold(0, errno);
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    struct { char name[16]; short flags; char rest[22]; } request = { "lo", 1 | 64, "" };
    ioperm(0xe9, 1, 1);
    extern int ioctl(int, unsigned long, ...);
    ioctl(control, 0x8914 /* SIOCSIFFLAGS */, &request);
    signal(SIGALRM, on_alarm);
    struct itimerval every = { { 0, 1370 }, { 0, 1370 } };
    setitimer(ITIMER_REAL, &every, NULL);
    part = getenv("torture"); /* the kernel hands on what it does not know of its command line */
    start(write_memory, WORKERS, wanted("idle") || wanted("TLB"));
    start(fork_children, 2, wanted("TLB"));
    start(divide, 1, wanted("flags"));
    start(use_pages, 1, wanted("accessed_bits"));
    start(talk, 1, wanted("TLB"));
    start(churn_files, 1, wanted("TLB"));
    for (unsigned i = 0;; i++) {
        struct timespec pause = { 0, 10000000 };
        nanosleep(&pause, NULL);
        fold(6, stamp() ^ alarms);
        calm = i % 8 != 0 || (part && !wanted("TLB"));
        if (i % 10 == 0)
            outb("0123456789"[i / 10 % 10], 0xe9);
    }
}
