/* What the agent itself has to say: events for the host, and loud words when it cannot go on. */
#define _GNU_SOURCE
#include "../agent.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/reboot.h>
#include <unistd.h>

#define DEBUG_PORT 0xe9

static void shout(const char *text)
{
    int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, text, strlen(text));
        (void)ignored; /* a machine may well have no console */
        close(fd);
    }
    /* Only while speaking: children would inherit the right, and switching tasks gets dearer. */
    if (!ioperm(DEBUG_PORT, 1, 1)) {
        for (const char *p = text; *p; p++)
            outb((unsigned char)*p, DEBUG_PORT);
        ioperm(DEBUG_PORT, 1, 0);
    }
}

void say(const char *fmt, ...)
{
    char text[1024] = "agent: ";
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + 7, sizeof text - 8, fmt, args);
    va_end(args);
    strcat(text, "\n");
    shout(text);
}

void fail(const char *fmt, ...)
{
    char text[900];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    say("FAILED: %s", text);
    if (mailbox_is_open())
        event("error", "about", "agent", "text", text, NULL);
    if (getpid() == 1)
        reboot(RB_POWER_OFF);
    _exit(1);
}

ns_t event(const char *type, ...)
{
    char payload[8192];
    size_t length = (size_t)snprintf(payload, sizeof payload, "%s", type) + 1;
    va_list args;
    const char *key;
    va_start(args, type);
    while ((key = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);
        size_t room = sizeof payload - length;
        size_t n = (size_t)snprintf(payload + length, room, "%s=%s", key, value) + 1;
        length += n < room ? n : room;
        if (length == sizeof payload)
            break;
    }
    va_end(args);
    return mailbox_frame(KIND_EVENT, (const void *)payload, length, NULL);
}

void error(const char *about, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    event("error", "about", about, "text", text, NULL);
}

const char *number(long long value)
{
    static char texts[16][24];
    static unsigned turn;
    char *text = texts[turn++ % 16];
    snprintf(text, sizeof texts[0], "%lld", value);
    return text;
}
