/*
 * A pool of blocks with a list of free ones. When a block is asked for and its use then fails, it
 * is given back twice. In the end each block must be free or in use, once.
 */
#include "draw.h"

enum { BLOCKS = 8 };
static int next_free[BLOCKS], first_free, used[BLOCKS], in_use, given_back;

static int get(void)
{
    int block = first_free;
    if (block < 0)
        return -1;
    first_free = next_free[block];
    used[block] = 1;
    in_use++;
    return block;
}

static void put(int block)
{
    next_free[block] = first_free;
    first_free = block;
    used[block] = 0;
    in_use--;
    given_back++;
}

static int fill(int block)
{
    used[block] = 2;
    return draw(10) ? 0 : -1;
}

static void open_one(void)
{
    int block = get();
    if (block < 0)
        return;
    if (fill(block) < 0) {
        put(block);
        in_use--; /* FAULT: put has counted it already */
    }
}

static void close_one(void)
{
    for (int i = 0; i < BLOCKS; i++)
        if (used[i]) {
            put(i);
            return;
        }
}

int main(void)
{
    for (int i = 0; i < BLOCKS; i++)
        next_free[i] = i + 1 < BLOCKS ? i + 1 : -1;
    rest(500);
    for (int i = 0; i < 8; i++) {
        rest(250);
        if (draw(3))
            open_one();
        else
            close_one();
    }
    rest(1000);
    int counted = 0;
    for (int i = 0; i < BLOCKS; i++)
        counted += used[i] != 0;
    return counted != in_use;
}
