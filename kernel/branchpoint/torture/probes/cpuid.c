/* What the processor says that it is. */
#include <cpuid.h>

#include "probe.h"

static uint64_t told(void)
{
    uint64_t all = 0;
    for (unsigned group = 0; group < 2; group++) {
        unsigned first = group << 31, most = __get_cpuid_max(first, 0), a, b, c, d;
        for (unsigned leaf = first; leaf <= most && leaf < first + 64; leaf++)
            for (unsigned part = 0; part < 4; part++) {
                __cpuid_count(leaf, part, a, b, c, d);
                all = (((all * 31 + a) * 31 + b) * 31 + c) * 31 + d;
            }
    }
    return all;
}

const char *cpuid(unsigned round)
{
    static uint64_t before;
    if (round == 1)
        before = told();
    spin();
    uint64_t after = told();
    return after == before ? 0 : lost("LOST: who it is: %#lx, not %#lx", after, before);
}
