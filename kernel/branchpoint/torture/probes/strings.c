/* String instructions that are so long that they are interrupted half-way. */
#include <string.h>

#include "probe.h"

enum { SIZE = 1 << 18 };

const char *strings(unsigned round)
{
    static unsigned char from[SIZE], to[SIZE];
    unsigned place = SIZE - 1 - round * 977 % 5000;
    void *source, *target;
    uint64_t left;
    target = from, left = SIZE;
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(left) : "a"(round) : "memory");
    if (left || target != from + SIZE)
        return lost("LOST: a fill with %lu left", left);
    from[place] = ~round;
    source = from, target = to, left = SIZE;
    __asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(left) : : "memory");
    if (left || target != to + SIZE || source != from + SIZE)
        return lost("LOST: a copy with %lu left", left);
    target = to, left = SIZE;
    __asm__ volatile("repne scasb" : "+D"(target), "+c"(left) : "a"(~round) : "cc", "memory");
    if (target != to + place + 1 || left != SIZE - place - 1)
        return lost("LOST: a search ended at %ld, not %u", (long)((unsigned char *)target - to),
                    place + 1);
    to[place]++;
    source = from, target = to, left = SIZE;
    __asm__ volatile("repe cmpsb" : "+S"(source), "+D"(target), "+c"(left) : : "cc", "memory");
    if (target != to + place + 1 || left != SIZE - place - 1)
        return lost("LOST: a comparison ended at %ld, not %u",
                    (long)((unsigned char *)target - to), place + 1);
    return 0;
}
