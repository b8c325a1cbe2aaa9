/* What the programs have in common: a draw by the kernel, and a rest. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static inline unsigned draw(unsigned most)
{
    uint32_t drawn = 0;
    if (getrandom(&drawn, sizeof drawn, 0) < 0)
        exit(2);
    return drawn % most;
}

static inline void rest(int ms)
{
    struct timespec length = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&length, NULL);
}
