/* What programs in containers tell the tester: JSON lines, written to a named pipe. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "/run/branchpoint/sdk"

static bool awaited;

/* The text behind a JSON object's key, if the line has that key anywhere. */
static const char *value_of(const char *line, const char *key)
{
    const char *found = strstr(line, key);
    if (!found)
        return NULL;
    found += strlen(key);
    found += strspn(found, " \t");
    return *found == ':' ? found + 1 + strspn(found + 1, " \t") : NULL;
}

static void said(const char *line, size_t size)
{
    if (!awaited)
        return;
    char *text = format("%.*s", (int)size, line);
    const char *setup = value_of(text, "\"antithesis_setup\"");
    const char *status = setup ? value_of(setup, "\"status\"") : NULL;
    if (status && !strncmp(status, "\"complete\"", strlen("\"complete\""))) {
        awaited = false;
        system_changed();
    }
    free(text);
}

/* Open for writing here, too: so writers never wait for a reader, and it never ends. */
void sdk_open(const struct container *c)
{
    mkdir("/run/branchpoint", 0755);
    mkdir(FOLDER, 0755);
    char *path = format(FOLDER "/%s", c->name);
    int fd = -1;
    if (!mkfifo(path, 0) && !chmod(path, 0666))
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        fail("cannot make %s: %s", path, strerror(errno));
    free(path);
    struct stream *s = grab(sizeof *s);
    *s = (struct stream){.mode = MODE_LINES, .source = c->source, .name = "sdk", .said = said};
    stream_begin(s, fd);
}

void sdk_await(void)
{
    awaited = true;
}

bool sdk_is_awaited(void)
{
    return awaited;
}
