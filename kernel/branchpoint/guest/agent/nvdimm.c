/* Memory modules (NVDIMM): slot 0 holds the toolbox, slot 1 the system image.
 *
 * The kernel's own probing would look at all of them at once and in no fixed order, and read the
 * system image (partition scan) long before it may be looked at: the snapshot taken after boot
 * serves all systems. So the last driver of the stack, nd_pmem, is bound here by hand, per slot.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define DEVICES "/sys/bus/nd/devices/"
#define BIND "/sys/bus/nd/drivers/nd_pmem/bind"
#define PATIENCE 1000 /* looks, 1 ms apart, for a device that the kernel registers on the side */

/* The first entry of `folder` for which `fits` holds; in a fixed order, unlike readdir's. */
static char *entry(const char *folder, bool (*fits)(const char *name, const char *arg),
                   const char *arg)
{
    struct dirent **found;
    char *result = NULL;
    int n = scandir(folder, &found, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (!result && fits(found[i]->d_name, arg))
            result = copy(found[i]->d_name);
        free(found[i]);
    }
    if (n >= 0)
        free(found);
    return result;
}

/* The same, for an entry that is about to appear. Sleeping is what lets it appear. */
static char *awaited(const char *folder, bool (*fits)(const char *name, const char *arg),
                     const char *arg)
{
    char *found = entry(folder, fits, arg);
    for (int i = 0; !found && i < PATIENCE; i++) {
        usleep(1000);
        found = entry(folder, fits, arg);
    }
    return found;
}

/* QEMU numbers the modules it was given: handle 1 is slot 0. */
static bool is_region_of(const char *name, const char *handle)
{
    char path[300], text[100];
    int number;
    if (sscanf(name, "region%d", &number) != 1)
        return false;
    snprintf(path, sizeof path, DEVICES "%s/mapping0", name); /* "nmem0,0,268435456,0" */
    if (read_file(path, text, sizeof text) < 0)
        return false;
    text[strcspn(text, ",")] = 0;
    snprintf(path, sizeof path, DEVICES "%s/nfit/handle", text);
    return read_file(path, text, sizeof text) > 0 && strtol(text, NULL, 0) == atol(handle);
}

static bool is_claimant_of(const char *name, const char *space)
{
    char path[300], text[100];
    if (strncmp(name, "pfn", 3))
        return false;
    snprintf(path, sizeof path, DEVICES "%s/namespace", name);
    if (read_file(path, text, sizeof text) < 0)
        return false;
    text[strcspn(text, "\n")] = 0;
    return !strcmp(text, space);
}

static bool is_visible(const char *name, const char *arg)
{
    (void)arg;
    return name[0] != '.';
}

char *nvdimm_attach(unsigned slot)
{
    char *handle = format("%u", slot + 1);
    char *region = awaited(DEVICES, is_region_of, handle);
    if (!region)
        fail("there is no memory module in slot %u", slot);
    char *space = format("namespace%s.0", region + strlen("region"));
    /* Finds the header that makes it usable for DAX, and hands over to a new pfn device. The
     * attempt itself always "fails". */
    write_file(BIND, space);
    char *pfn = awaited(DEVICES, is_claimant_of, space);
    if (!pfn)
        fail("the memory module in slot %u has no header for direct access", slot);
    int result = write_file(BIND, pfn);
    char *folder = format(DEVICES "%s/block", pfn);
    char *block = entry(folder, is_visible, NULL);
    if (result || !block)
        fail("the memory module in slot %u (%s) is refused: %s", slot, pfn, strerror(-result));
    free(handle);
    free(region);
    free(space);
    free(pfn);
    free(folder);
    return block;
}

int nvdimm_mount(unsigned slot, const char *where)
{
    char *block = nvdimm_attach(slot);
    char *node = format("/dev/%s", block);
    int result = mount(node, where, "erofs", MS_RDONLY, "dax=always") ? -errno : 0;
    free(node);
    free(block);
    return result;
}
