/* stop-faults: run by programs in containers, which want some time without faults.
 *
 * It adds a line to the file in which the agent looks for that (agent/containers/sdk.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUESTS "/dev/branchpoint/sdk/hold"
#define LONGEST (24 * 3600) /* seconds */

int main(int count, char **given)
{
    char *end = NULL;
    double seconds = count == 2 ? strtod(given[1], &end) : -1;
    if (!end || end == given[1] || *end || !(seconds >= 0 && seconds <= LONGEST)) {
        fprintf(stderr, "usage: %s SECONDS (at most %d)\n", given[0], LONGEST);
        return 2;
    }
    int fd = open(REQUESTS, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        fprintf(stderr, "%s: %s: %s\n", given[0], REQUESTS, strerror(errno));
        return 1;
    }
    fchmod(fd, 0666); /* for other users of this container, if it was made just now */
    long whole = (long)seconds;
    return dprintf(fd, "%ld\n", whole + (seconds > (double)whole)) < 0;
}
