/*
 * A ring of bytes. What goes round its end is copied in two parts; when it ends just at the end,
 * the place to go on is not set back. In the end what was read is compared with what was written.
 */
#include "draw.h"

enum { SIZE = 16 };
static char ring[SIZE];
static unsigned head, length, written, bad;

static void write_some(unsigned count)
{
    unsigned tail = (head + length) % SIZE;
    if (length + count > SIZE)
        return;
    for (unsigned i = 0; i < count; i++)
        ring[(tail + i) % SIZE] = (char)(written + i);
    written += count;
    length += count;
}

static unsigned expected;

static void check(char found)
{
    if (found != (char)expected)
        bad = 1;
    expected++;
}

static void read_some(unsigned count)
{
    if (count > length)
        count = length;
    unsigned first = SIZE - head < count ? SIZE - head : count;
    for (unsigned i = 0; i < first; i++)
        check(ring[head + i]);
    for (unsigned i = first; i < count; i++)
        check(ring[i - first]);
    if (head + count == SIZE)
        head = SIZE - 1; /* FAULT: it is 0 now */
    else
        head = (head + count) % SIZE;
    length -= count;
}

int main(void)
{
    rest(500);
    for (int i = 0; i < 10; i++) {
        rest(200);
        if (draw(2))
            write_some(1 + draw(7));
        else
            read_some(1 + draw(7));
    }
    while (length)
        read_some(3);
    rest(1000);
    return (int)bad;
}
