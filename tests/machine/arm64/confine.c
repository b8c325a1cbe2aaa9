/* In place of the plugin's own walls: the numbers of calls that the filter would allow are those of
 * ARM64, but they come to the kernel of this computer as its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "timekeeper.h"

const char *confine(uint64_t largest_file)
{
    (void)largest_file;
    return NULL;
}
