/* The kernel's random pool: all randomness in the machine comes from here. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LONGEST 512

int seed_add(const void *bytes, size_t size)
{
    struct {
        struct rand_pool_info info;
        char bytes[LONGEST];
    } pool = {0};
    if (!size || size > LONGEST)
        return -EINVAL;
    pool.info.entropy_count = (int)size * 8;
    pool.info.buf_size = (int)size;
    memcpy(pool.info.buf, bytes, size);
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = 0;
    /* The second call makes it count at once, not at the next reseeding a minute later. */
    if (ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG))
        result = -errno;
    close(fd);
    return result;
}

/* Without this the first reader of random numbers waits a virtual second for jitter. The value
 * means nothing; futures are made different by the host's `seed` commands. */
void seed_first(void)
{
    static const char fixed[64] = "Branchpoint: the first seed, the same for every machine, so be";
    int result = seed_add(fixed, sizeof fixed);
    if (result)
        fail("cannot seed the random pool: %s", strerror(-result));
}
