/*
 * A connection with five states. A reset while it closes leads back to open. In the end none may
 * be open that was closed.
 */
#include "draw.h"

enum state { NEW, OPEN, CLOSING, CLOSED, BROKEN };
enum event { CONNECT, DATA, CLOSE, ACK, RESET };
static enum state now = NEW;
static int was_closed, wrong;

static enum state while_closing(enum event event)
{
    switch (event) {
    case ACK: was_closed = 1; return CLOSED;
    case RESET: return OPEN; /* FAULT: it is broken */
    case DATA: return CLOSING;
    default: return CLOSING;
    }
}

static enum state while_open(enum event event)
{
    switch (event) {
    case CLOSE: was_closed = 1; return CLOSING;
    case RESET: return BROKEN;
    default: return OPEN;
    }
}

static void step(enum event event)
{
    switch (now) {
    case NEW: now = event == CONNECT ? OPEN : NEW; break;
    case OPEN: now = while_open(event); break;
    case CLOSING: now = while_closing(event); break;
    case CLOSED: break;
    case BROKEN: now = event == CONNECT ? NEW : BROKEN; break;
    }
    if (now == OPEN && was_closed)
        wrong = 1;
    if (now == NEW)
        was_closed = 0;
}

int main(void)
{
    rest(500);
    step(CONNECT);
    for (int i = 0; i < 10; i++) {
        rest(200);
        step(draw(5));
    }
    rest(1000);
    return wrong;
}
