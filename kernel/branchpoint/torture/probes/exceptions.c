/* The exception flags of SSE arithmetic: set by a division and the like, tested a while later. */
#include <float.h>
#include <xmmintrin.h>

#include "probe.h"

enum { INVALID = 1, DENORMAL = 2, BY_ZERO = 4, OVERFLOW = 8, UNDERFLOW = 16, INEXACT = 32 };

static const struct {
    double a, b;
    unsigned divided, multiplied; /* the flags that a / b and a * b raise */
} cases[] = {
    { 1, 0, BY_ZERO, 0 },
    { 1, 3, INEXACT, 0 },
    { DBL_MAX, 10, INEXACT, OVERFLOW | INEXACT },
    { DBL_MIN, 3, UNDERFLOW | INEXACT, 0 },
    { 0, 0, INVALID, 0 },
    { 4.9e-324, 4, DENORMAL | UNDERFLOW | INEXACT, DENORMAL },
};

const char *exceptions(unsigned round)
{
    unsigned which = round / 2 % (sizeof cases / sizeof *cases);
    volatile double a = cases[which].a, b = cases[which].b, c;
    unsigned expected = round % 2 ? cases[which].divided : cases[which].multiplied;
    _mm_setcsr(0x1f80);
    c = round % 2 ? a / b : a * b;
    spin();
    unsigned found = _mm_getcsr();
    (void)c;
    /* Whether DENORMAL comes along is not the same everywhere. */
    if ((found ^ (0x1f80 | expected)) & ~DENORMAL)
        return lost("LOST: mxcsr is %#x, not %#x", found, 0x1f80 | expected);
    return 0;
}
