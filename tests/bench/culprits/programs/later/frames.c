/*
 * Frames that come in pieces over a line that loses bytes now and then. A frame is a start sign, a
 * length, that many bytes, and their sum. After a wrong sum the reader goes on at the next start.
 * Each frame that came whole must be taken.
 */
#include "draw.h"

enum { START = 0x7e, LONGEST = 6, ROOM = 256 };
static unsigned char held[ROOM];
static int kept, whole, taken, wrong;

static void drop(int count)
{
    memmove(held, held + count, (size_t)(kept - count));
    kept -= count;
}

static int sum_of(const unsigned char *bytes, int length)
{
    int sum = 0;
    for (int i = 0; i < length; i++)
        sum = (sum + bytes[i]) & 0xff;
    return sum;
}

static void take(int length)
{
    for (int i = 1; i < length; i++)
        wrong |= held[2 + i] != held[2] + i; /* each frame counts up */
    taken++;
    drop(length + 3);
}

static int next_start(int from)
{
    while (from < kept && held[from] != START)
        from++;
    return from;
}

static void refuse(void)
{
    int next = next_start(1);
    if (next > 4 && next < kept)
        drop(next + 1); /* FAULT: the start of the next one goes, too */
    else
        drop(next);
}

static void read_frames(void)
{
    for (;;) {
        drop(next_start(0));
        if (kept < 2)
            return;
        int length = held[1];
        if (length > LONGEST) {
            drop(1);
            continue;
        }
        if (kept < length + 3)
            return;
        if (sum_of(held + 2, length) == held[length + 2])
            take(length);
        else
            refuse();
    }
}

static void send(int first, int length)
{
    unsigned char frame[LONGEST + 3] = {START, (unsigned char)length};
    for (int i = 0; i < length; i++)
        frame[2 + i] = (unsigned char)(first + i);
    frame[length + 2] = (unsigned char)sum_of(frame + 2, length);
    int lost = draw(16) ? -1 : 2 + (int)draw((unsigned)length);
    whole += lost < 0;
    for (int i = 0; i < length + 3; i++)
        if (i != lost && kept < ROOM)
            held[kept++] = frame[i];
}

int main(void)
{
    rest(500);
    for (int i = 0; i < 12; i++) {
        rest(150);
        send(i, 2 + (int)draw(LONGEST - 1));
        if (draw(3))
            read_frames();
    }
    read_frames();
    rest(1000);
    return wrong || taken < whole;
}
