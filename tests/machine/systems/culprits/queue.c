/*
 * A queue: eight times something is put in or taken out, by one of six functions, and then it is
 * counted. One of them forgets to count what it throws away; nothing is said.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int items[64], head, tail, expected;

static void put(int item) { items[tail++ % 64] = item; expected++; }

static void put_twice(int item)
{
    put(item);
    put(item);
}

static int take(void)
{
    if (head == tail)
        return -1;
    expected--;
    return items[head++ % 64];
}

static void drop_oldest(void)
{
    if (head < tail)
        head++; /* FAULT: it is still expected */
}

static void drop_all(void)
{
    while (take() >= 0)
        ;
}

static void rest(int ms)
{
    struct timespec length = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&length, NULL);
}

int main(void)
{
    rest(500);
    for (int i = 0; i < 8; i++) {
        rest(250);
        uint32_t drawn = 0;
        if (getrandom(&drawn, sizeof drawn, 0) < 0)
            return 2;
        switch (drawn % 12) {
        case 0: drop_oldest(); break;
        case 1: case 2: drop_all(); break;
        case 3: case 4: take(); break;
        case 5: case 6: put_twice(i); break;
        default: put(i);
        }
    }
    rest(1000);
    return tail - head != expected;
}
