/*
 * A register on three replicas. A write goes to two of them; a read asks two and takes the newer
 * value. A replica that was away catches up from another one first. A read must never give an older
 * value than a read before.
 */
#include "draw.h"

enum { REPLICAS = 3 };
static struct replica { int value, version, away; } replicas[REPLICAS];
static int version, last_read, wrong;

static int others(int not_this, int *found)
{
    int count = 0;
    for (int i = 0; i < REPLICAS; i++)
        if (i != not_this && !replicas[i].away)
            found[count++] = i;
    return count;
}

static void write_value(int value)
{
    int there[REPLICAS], count = others(-1, there);
    if (count < 2)
        return;
    int left_out = count == 3 ? (int)draw(3) : -1;
    version++;
    for (int i = 0; i < count; i++)
        if (there[i] != left_out)
            replicas[there[i]] = (struct replica){value, version, 0};
}

static void read_value(void)
{
    int there[REPLICAS], count = others(-1, there), best = -1;
    if (count < 2)
        return;
    int left_out = count == 3 ? (int)draw(3) : -1;
    for (int i = 0; i < count; i++)
        if (there[i] != left_out && (best < 0 || replicas[there[i]].version > best))
            best = replicas[there[i]].version;
    wrong |= best < last_read;
    last_read = best;
}

static void leave(int one)
{
    int there[REPLICAS];
    if (others(one, there) == 2)
        replicas[one].away = 1;
}

static void come_back(int one)
{
    int there[REPLICAS], count = others(one, there);
    replicas[one].away = 0;
    if (!count)
        return;
    struct replica *from = &replicas[there[draw((unsigned)count)]];
    if (from->version < replicas[one].version) {
        replicas[one].version = from->version; /* FAULT: its own was newer */
        replicas[one].value = from->value;
    } else if (from->version > replicas[one].version) {
        replicas[one].version = from->version;
        replicas[one].value = from->value;
    }
}

int main(void)
{
    rest(500);
    for (int i = 0; i < 48; i++) {
        rest(45);
        int one = (int)draw(REPLICAS);
        if (replicas[one].away)
            come_back(one);
        else if (draw(2))
            leave(one);
        if (draw(3) == 0)
            write_value(i);
        read_value();
    }
    rest(1000);
    return wrong;
}
