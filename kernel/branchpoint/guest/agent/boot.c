/* From the initramfs to the toolbox as root file system. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEW_ROOT "/toolbox"
#define CGROUPS "/sys/fs/cgroup"

static void make_mount(const char *type, const char *where, unsigned long flags, const char *data)
{
    mkdir(where, 0755);
    if (mount(type, where, type, flags, data))
        fail("cannot mount %s at %s: %s", type, where, strerror(errno));
}

void boot_early(void)
{
    umask(022);
    make_mount("devtmpfs", "/dev", MS_NOSUID, NULL);
    make_mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    make_mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    /* The newer way of finding idle pages takes those that are mapped straight from a memory
     * module, as programs are here, for a fault of the kernel, and fills its log with a trace. */
    int result = write_file("/sys/kernel/mm/lru_gen/enabled", "n");
    if (result && result != -ENOENT)
        fail("cannot choose how idle pages are found: %s", strerror(-result));
}

/* From here on, new devices of the memory module bus wait to be bound by name (nvdimm.c). */
static void hold_back_modules(void)
{
    char text[16];
    ssize_t n = read_file("/sys/bus/nd/devices/ndbus0/wait_probe", text, sizeof text);
    int result = n < 0 ? (int)n : write_file("/sys/bus/nd/drivers_autoprobe", "0");
    if (result)
        fail("no memory modules: %s", strerror(-result));
}

/* Each file is removed once loaded: it is memory. */
static void load_modules(const char *list)
{
    char paths[8192];
    if (read_file(list, paths, sizeof paths) < 0)
        fail("cannot read %s", list);
    char *rest = paths, *path;
    while ((path = strsep(&rest, "\n"))) {
        if (!*path)
            continue;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
            fail("cannot load %s: %s", path, strerror(errno));
        close(fd);
        unlink(path);
    }
}

void boot_modules(void)
{
    load_modules("/modules.list");
    hold_back_modules();
    load_modules("/modules.late");
}

static void mount_cgroups(void)
{
    static const char all[] = "+cpu +memory +pids +io";
    make_mount("cgroup2", CGROUPS, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mkdir(CGROUPS "/branchpoint", 0755);
    int result = write_file(CGROUPS "/cgroup.subtree_control", all);
    if (!result)
        result = write_file(CGROUPS "/branchpoint/cgroup.subtree_control", all);
    if (result)
        fail("cannot enable resource control groups: %s", strerror(-result));
}

void boot_root(void)
{
    mkdir(NEW_ROOT, 0755);
    int result = nvdimm_mount(0, NEW_ROOT);
    if (result)
        fail("cannot mount the toolbox: %s", strerror(-result));
    static const char *const kept[] = {"/dev", "/proc", "/sys"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char *to = format(NEW_ROOT "%s", kept[i]);
        if (mount(kept[i], to, NULL, MS_MOVE, NULL))
            fail("cannot move %s to the toolbox: %s", kept[i], strerror(errno));
        free(to);
    }
    /* Not pivot_root: the kernel's first root file system cannot be put elsewhere. */
    if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        fail("cannot make the toolbox the root: %s", strerror(errno));
    static const char *const writable[] = {"/run", "/tmp", "/root", "/var"};
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++)
        if (mount("tmpfs", writable[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"))
            fail("cannot mount tmpfs at %s: %s", writable[i], strerror(errno));
    chmod("/tmp", 01777);
    mkdir("/var/tmp", 0);
    chmod("/var/tmp", 01777);
    make_mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666");
    make_mount("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mkdir(OURS, 0755);
    mkdir(TOOLBOX, 0755);
    if (mount("/", TOOLBOX, NULL, MS_BIND, NULL)) /* its own programs look for their libraries there */
        fail("cannot show the toolbox at " TOOLBOX ": %s", strerror(errno));
    if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
        symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
        fail("cannot complete /dev: %s", strerror(errno));
    mount_cgroups();
    sethostname("branchpoint", 11);
}

/* From here on nobody reaches the hardware past the kernel's drivers: neither its ports nor all of
 * memory, not even root in a privileged container. What some devices hold (which DMA channel was
 * asked for, say) is in no state of the machine, so a guest that could write it would go on
 * otherwise after a rewind. */
void boot_lock_down(void)
{
    make_mount("securityfs", "/sys/kernel/security", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    int result = write_file("/sys/kernel/security/lockdown", "integrity");
    if (result)
        fail("cannot lock the hardware: %s", strerror(-result));
}
