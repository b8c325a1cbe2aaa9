/* The agent's own random numbers: streams that follow from the bytes of the last `seed` command.
 *
 * The generator is xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2021); its state is filled by the finaliser of splitmix64. Every purpose draws from
 * a stream of its own, so that what one of them draws changes nothing for the others. Only
 * additions, multiplications and divisions of doubles are used: the C library's logarithm chooses
 * its code by the kind of CPU.
 */
#include "../agent.h"

#include <string.h>

#define GOLDEN 0x9E3779B97F4A7C15ULL
#define LN2 0.693147180559945309417

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
    return x ^ x >> 31;
}

struct key random_key(const void *bytes, size_t size)
{
    struct key key;
    for (size_t i = 0; i < 4; i++) {
        uint64_t sum = mixed(size * 4 + i + GOLDEN);
        for (size_t at = 0; at < size; at += 8) {
            uint64_t part = 0;
            memcpy(&part, (const char *)bytes + at, size - at < 8 ? size - at : 8);
            sum = mixed((sum ^ part) + GOLDEN);
        }
        key.words[i] = sum;
    }
    return key;
}

struct random random_stream(const struct key *key, enum purpose purpose, uint64_t number,
                            uint64_t turn)
{
    struct random r;
    for (size_t i = 0; i < 4; i++) {
        uint64_t sum = mixed((key->words[i] ^ (uint64_t)purpose) + GOLDEN);
        sum = mixed((sum ^ number) + GOLDEN);
        r.words[i] = mixed((sum ^ turn) + GOLDEN);
    }
    return r;
}

static uint64_t rotated(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static uint64_t next(struct random *r)
{
    uint64_t *s = r->words, result = rotated(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotated(s[3], 45);
    return result;
}

/* 0 ... limit - 1. Values from the incomplete last round of the range are drawn again: without
 * that, small results would be more frequent. */
uint64_t random_below(struct random *r, uint64_t limit)
{
    uint64_t value, refused = -limit % limit;
    do
        value = next(r);
    while (value < refused);
    return value % limit;
}

int64_t random_between(struct random *r, int64_t low, int64_t high)
{
    uint64_t count = (uint64_t)high - (uint64_t)low + 1;
    return (int64_t)((uint64_t)low + (count ? random_below(r, count) : next(r)));
}

double random_unit(struct random *r)
{
    return (double)((next(r) >> 11) + 1) * 0x1p-53;
}

/* The natural logarithm of 0 < x <= 1: x = m 2^-n, and ln m = 2 artanh((m - 1) / (m + 1)). */
static double logarithm(double x)
{
    double whole = 0, sum = 0;
    for (; x < 0.70710678118654752; x *= 2)
        whole -= LN2;
    double s = (x - 1) / (x + 1);
    for (int n = 21; n > 0; n -= 2)
        sum = sum * s * s + 1.0 / n;
    return whole + 2 * s * sum;
}

/* e to the power of x >= 0, by its series after halving. */
static double exponential(double x)
{
    double scale = 1, sum = 1;
    for (; x > LN2; x -= LN2)
        scale *= 2;
    for (int n = 18; n > 0; n--)
        sum = 1 + sum * x / n;
    return scale * sum;
}

ns_t random_exponential(struct random *r, ns_t mean)
{
    double value = -logarithm(random_unit(r)) * (double)mean;
    return value < (double)NEVER ? (ns_t)value : NEVER;
}

ns_t random_log_uniform(struct random *r, ns_t low, ns_t high)
{
    double range = -logarithm((double)low / (double)high);
    return (ns_t)((double)low * exponential(random_unit(r) * range));
}
