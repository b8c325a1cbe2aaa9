/*
 * Every object of the emulator, byte for byte: for whoever looks for what a state leaves out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "timekeeper.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The head of every object. Those without ``free`` lie inside another one. */
struct head { void *class, (*free)(void *), *properties; uint32_t references; void *parent; };

static int write_object(Object *object, void *file)
{
    const struct head *head = (const void *)object;
    if (!head->free)
        return 0;
    char *path = object_get_canonical_path(object);
    uint32_t sizes[] = { strlen(path), strlen(object_get_typename(object)),
                         malloc_usable_size(object) };
    fwrite(sizes, sizeof sizes, 1, file);
    fwrite(path, sizes[0], 1, file);
    fwrite(object_get_typename(object), sizes[1], 1, file);
    fwrite(object, sizes[2], 1, file);
    g_free(path);
    return 0;
}

/* The answer is, for each object: three lengths (u32), path, name of its type, bytes. */
void do_objects(void)
{
    char *data = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&data, &size);
    if (file) {
        object_child_foreach_recursive(object_get_root(), write_object, file);
        if (!fclose(file)) {
            answer(ST_OK, 0, data, size);
            free(data);
            return;
        }
    }
    fail("cannot make a buffer: %s", strerror(errno));
}
