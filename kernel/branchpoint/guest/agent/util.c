/* Small things used everywhere. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *grab(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        fail("out of memory");
    return p;
}

void *regrow(void *p, size_t size)
{
    p = realloc(p, size);
    if (!p)
        fail("out of memory");
    return p;
}

char *copy(const char *text)
{
    char *p = strdup(text);
    if (!p)
        fail("out of memory");
    return p;
}

char *format(const char *fmt, ...)
{
    va_list args;
    char *text;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0)
        fail("out of memory");
    return text;
}

int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int result = n < 0 ? -errno : 0;
    close(fd);
    return result;
}

ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t length = 0;
    while (length < size - 1) {
        ssize_t n = read(fd, text + length, size - 1 - length);
        if (n < 0) {
            int result = -errno;
            close(fd);
            return result;
        }
        if (!n)
            break;
        length += (size_t)n;
    }
    text[length] = 0;
    close(fd);
    return (ssize_t)length;
}

void strings_add(struct strings *list, char *text)
{
    list->items = regrow(list->items, (list->count + 2) * sizeof *list->items);
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
}

void strings_free(struct strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strings){0};
}
