/*
 * Timers in a heap, by their time. A timer can be cancelled in the middle of the heap; the last one
 * takes its place. In the end all timers that are left must come out in the order of their times.
 */
#include "draw.h"

enum { MOST = 64 };
static int heap[MOST], count;

static void swap(int a, int b)
{
    int kept = heap[a];
    heap[a] = heap[b];
    heap[b] = kept;
}

static void rise(int at)
{
    while (at > 0 && heap[at] < heap[(at - 1) / 2]) {
        swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sink(int at)
{
    for (;;) {
        int least = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (heap[child] < heap[least])
                least = child;
        if (least == at)
            return;
        swap(at, least);
        at = least;
    }
}

static void add(int time)
{
    heap[count++] = time;
    rise(count - 1);
}

static int next(void)
{
    int first = heap[0];
    swap(0, --count);
    sink(0);
    return first;
}

static void cancel(int at)
{
    int gone = heap[at];
    heap[at] = heap[--count];
    if (at == count)
        return;
    if (heap[at] >= gone)
        sink(at);
    else if (at > 6)
        heap[at] = gone; /* FAULT: it has to rise, and has its own time */
    else
        rise(at);
}

int main(void)
{
    int left = 0, before = -1, wrong = 0;
    long sum = 0;
    rest(500);
    for (int i = 0; i < 10; i++) {
        rest(200);
        for (int j = 0; j < 2; j++) {
            int time = (int)draw(1000);
            add(time);
            sum += time;
            left++;
        }
        if (count > 4 && draw(2)) {
            int at = (int)draw((unsigned)count);
            sum -= heap[at];
            cancel(at);
            left--;
        }
    }
    while (count) {
        int time = next();
        wrong |= time < before;
        before = time;
        sum -= time;
        left--;
    }
    rest(1000);
    return wrong || sum || left;
}
