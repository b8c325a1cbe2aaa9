/* Lines of words separated by single spaces, as in system.conf and the injector's plan. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The only characters that cannot stand for themselves: %0A (newline) and %25 (percent). */
char *decoded(const char *text)
{
    char *result = copy(text), *to = result;
    for (const char *from = text; *from; from++) {
        if (!strncmp(from, "%0A", 3)) {
            *to++ = '\n';
            from += 2;
        } else if (!strncmp(from, "%25", 3)) {
            *to++ = '%';
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
    return result;
}

char *word(char **rest)
{
    char *found = *rest;
    if (!found || !*found)
        return NULL;
    char *space = strchr(found, ' ');
    *rest = space ? space + 1 : NULL;
    if (space)
        *space = 0;
    return found;
}

bool whole(char **rest, uint64_t *value)
{
    char *text = word(rest), *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return !*end && !errno;
}

bool integer(char **rest, int64_t *value)
{
    char *text = word(rest), *end;
    if (!text || !strchr("-0123456789", *text))
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && !*end && !errno;
}

/* The value for the "{name}" at the start of `text`; NULL when nothing of that kind is there. */
static const char *meaning(const char *text, const struct strings *values)
{
    for (size_t i = 0; *text == '{' && i < values->count; i += 2) {
        size_t length = strlen(values->items[i]);
        if (!strncmp(text + 1, values->items[i], length) && text[length + 1] == '}')
            return values->items[i + 1];
    }
    return NULL;
}

char *filled(const char *text, const struct strings *values)
{
    char *result;
    size_t size;
    FILE *to = open_memstream(&result, &size);
    if (!to)
        fail("out of memory");
    for (const char *at = text; *at; at++) {
        bool shell = at > text && at[-1] == '$';
        const char *value = shell ? NULL : meaning(at, values);
        if (value) {
            fputs(value, to);
            at = strchr(at, '}');
        } else {
            fputc(*at, to);
        }
    }
    fclose(to);
    return result;
}
