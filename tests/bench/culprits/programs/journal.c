/*
 * A journal and what it describes: entries are written, then applied; a crash comes in between and
 * the journal is played again. An entry that was half written is skipped, with the one after it.
 */
#include "draw.h"

enum { MOST = 64 };
static struct { int value, whole; } entries[MOST];
static int count, applied, sum, expected;

static void append(int value, int whole)
{
    entries[count].value = value;
    entries[count++].whole = whole;
    if (whole)
        expected += value;
}

static void apply(void)
{
    while (applied < count) {
        if (entries[applied].whole)
            sum += entries[applied].value;
        applied++;
    }
}

static void replay(void)
{
    sum = 0;
    for (applied = 0; applied < count; applied++) {
        if (!entries[applied].whole) {
            if (applied + 1 < count)
                applied++; /* FAULT: only this one is half written */
            continue;
        }
        sum += entries[applied].value;
    }
}

int main(void)
{
    rest(500);
    for (int i = 0; i < 10; i++) {
        rest(200);
        unsigned luck = draw(10);
        append(i + 1, luck != 0);
        if (luck == 0 && draw(2))
            apply();
        if (draw(6) == 0)
            replay();
        else
            apply();
    }
    rest(1000);
    return sum != expected;
}
