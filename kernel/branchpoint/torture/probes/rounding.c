/* How SSE rounds, and whether denormal numbers count as zero. */
#include <float.h>
#include <string.h>
#include <xmmintrin.h>

#include "probe.h"

static uint64_t bits(double value)
{
    uint64_t found;
    memcpy(&found, &value, sizeof found);
    return found;
}

const char *rounding(unsigned round)
{
    static const uint64_t third[] = { 0x3fd5555555555555, 0x3fd5555555555555,
                                      0x3fd5555555555556, 0x3fd5555555555555 };
    volatile double one = 1, three = 3, least = 4.9e-324, small = DBL_MIN, half = 0.5;
    unsigned mode = round & 3, flush = round >> 2 & 1, zeros = round >> 3 & 1;
    _mm_setcsr(0x1f80 | mode << 13 | flush << 15 | zeros << 6);
    spin();
    volatile double quotient = one / three, halved = small * half, same = least * one;
    spin();
    volatile double sum = one + (mode == 2 ? DBL_EPSILON / 4 : -DBL_EPSILON / 8);
    _mm_setcsr(0x1f80);
    int kept = halved != 0, counted = same != 0;
    if (bits(quotient) != third[mode])
        return lost("LOST: rounds otherwise than by mode %u: %#lx", mode, bits(quotient));
    if (zeros) {
        if (counted)
            return lost("LOST: denormal numbers are zero no more");
    } else if (kept == (int)flush || counted == (int)flush) {
        return lost("LOST: denormal results: %d, %d with flush to zero %u", kept, counted, flush);
    }
    double expected = mode == 2 ? 1 + DBL_EPSILON : mode == 0 ? 1 : 1 - DBL_EPSILON / 2;
    if (sum != expected)
        return lost("LOST: rounds otherwise than by mode %u: %#lx", mode, bits(sum));
    return 0;
}
