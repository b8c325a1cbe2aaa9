/* A program for musl that is linked to libvoidstar.so, and has guards as a compiler makes them.
 *
 * It does without musl's headers, which only Debian's musl-dev has.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS 8
#define LINES 25
#define WIDE 2000

int __libc_start_main(int (*)(void), long, char **, void *, void *, void *);
int snprintf(char *, size_t, const char *, ...);
void *memset(void *, int, size_t);
unsigned sleep(unsigned);
int fork(void);
int waitpid(int, int *, int);
void _exit(int);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);
int pthread_join(unsigned long, void **);

void fuzz_json_data(const char *, size_t);
void fuzz_flush(void);
uint64_t fuzz_get_random(void);
void __sanitizer_cov_trace_pc_guard_init(uint32_t *, uint32_t *);
void __sanitizer_cov_trace_pc_guard(uint32_t *);

static uint32_t guards[8];

static void tell(const char *name, uint64_t number)
{
    char text[100];
    int size = snprintf(text, sizeof text, "{\"%s\":\n{\"is\": %lu}}\n", name, number);
    fuzz_json_data(text, (size_t)size);
}

static void *writer(void *given)
{
    uintptr_t me = (uintptr_t)given;
    char text[WIDE];
    for (int line = 0; line < LINES; line++) {
        int size = snprintf(text, sizeof text, "{\"wide\":{\"of\":%lu,\"line\":%d,\"x\":\"", me, line);
        memset(text + size, 'a' + (int)me, sizeof text - (size_t)size);
        snprintf(text + WIDE - 4, 4, "\"}}");
        fuzz_json_data(text, sizeof text - 1);
    }
    return NULL;
}

static int program(void)
{
    unsigned long threads[THREADS];
    __sanitizer_cov_trace_pc_guard_init(guards, guards + 8);
    uint32_t before = guards[7];
    __sanitizer_cov_trace_pc_guard_init(guards, guards + 8);
    __sanitizer_cov_trace_pc_guard(&guards[3]);
    __sanitizer_cov_trace_pc_guard(&guards[3]);
    tell("guards are left", guards[0] && !guards[3] && before && guards[7] == before);
    for (uintptr_t each = 0; each < THREADS; each++)
        pthread_create(&threads[each], NULL, writer, (void *)each);
    for (int each = 0; each < THREADS; each++)
        pthread_join(threads[each], NULL);
    int child = fork();
    if (!child) {
        __sanitizer_cov_trace_pc_guard(&guards[5]);
        tell("child", 1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    tell("parent", 1);
    for (;; sleep(1))
        tell("musl drew", fuzz_get_random());
}

void begin(long *stack)
{
    __libc_start_main(program, stack[0], (char **)(stack + 1), NULL, NULL, NULL);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall begin");
