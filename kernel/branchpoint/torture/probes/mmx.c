/* MMX registers, and which of the x87's registers count as empty. */
#include <string.h>

#include "probe.h"

struct environment {
    uint16_t control, unused1, status, unused2, tags, unused3;
    uint32_t rest[4];
};

const char *mmx(unsigned round)
{
    struct environment full, empty;
    uint64_t given[8], found[8];
    for (unsigned i = 0; i < 8; i++)
        given[i] = (round + 1) * 0x9e3779b97f4a7c15u * (i + 1);
    __asm__ volatile("fninit\n"
                     "movq 0(%0), %%mm0\nmovq 8(%0), %%mm1\nmovq 16(%0), %%mm2\n"
                     "movq 24(%0), %%mm3\nmovq 32(%0), %%mm4\nmovq 40(%0), %%mm5\n"
                     "movq 48(%0), %%mm6\nmovq 56(%0), %%mm7\n" SPIN
                     "movq %%mm0, 0(%1)\nmovq %%mm1, 8(%1)\nmovq %%mm2, 16(%1)\n"
                     "movq %%mm3, 24(%1)\nmovq %%mm4, 32(%1)\nmovq %%mm5, 40(%1)\n"
                     "movq %%mm6, 48(%1)\nmovq %%mm7, 56(%1)\n"
                     "fnstenv %2\nemms\n" SPIN "fnstenv %3\nfninit"
                     : : "r"(given), "r"(found), "m"(full), "m"(empty)
                     : "rcx", "memory");
    if (memcmp(given, found, sizeof given))
        return lost("LOST: an MMX register");
    /* The tags are told by what is in the registers, so only "empty" says something. */
    for (unsigned i = 0; i < 8; i++)
        if ((full.tags >> 2 * i & 3) == 3)
            return lost("LOST: a register counts as empty: %#x", full.tags);
    if (empty.tags != 0xffff)
        return lost("LOST: EMMS: %#x", empty.tags);
    return 0;
}
