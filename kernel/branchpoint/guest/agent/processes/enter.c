/* Between fork and exec: into a container's namespaces, or into the remains of a dead one.
 *
 * Runs in the child. What goes wrong is said on the command's own stderr, and shows as exit
 * status 125 (could not enter) or 126/127 (could not run), as with docker.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <sys/mount.h> clashes with <linux/mount.h> in glibc 2.36. */
int mount(const char *, const char *, const char *, unsigned long, const void *);

#define MOST_GROUPS 64
#define TIMER_SLACK 50000UL /* ns; what every process of a Linux has that nobody tunes */

void give_up(int code, const char *what)
{
    dprintf(2, "branchpoint: %s: %s\n", what, strerror(errno));
    _exit(code);
}

static void own_mounts(void)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        give_up(125, "cannot make a private mount namespace");
}

/* The toolbox' root alone, without what is mounted on top of it. */
static int toolbox_tree(void)
{
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        give_up(125, "cannot take the toolbox along");
    return tree;
}

/* The place may be new: nothing of the toolbox is there until the first command. */
static void show_toolbox(int tree)
{
    mkdir(OURS, 0755);
    mkdir(TOOLBOX, 0755);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, TOOLBOX, MOVE_MOUNT_F_EMPTY_PATH))
        give_up(125, "cannot mount the toolbox at " TOOLBOX);
}

static void enter_live(int pidfd, bool toolbox)
{
    int tree = toolbox ? toolbox_tree() : -1;
    if (setns(pidfd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP))
        give_up(125, "cannot enter the container");
    if (toolbox) {
        own_mounts();
        show_toolbox(tree);
    }
}

/* Best effort: a container may lack the directory, and most commands do without. */
static void try_mount(const char *from, const char *root, const char *to, const char *type)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", root, to);
    mount(from, path, type, type ? 0 : MS_BIND | MS_REC, NULL);
}

static void enter_dead(const struct container *c)
{
    char path[300];
    int tree = toolbox_tree();
    snprintf(path, sizeof path, "/run/netns/%s", c->spec.netns);
    int net = open(path, O_RDONLY | O_CLOEXEC);
    if (net < 0 || setns(net, CLONE_NEWNET))
        give_up(125, "cannot enter the container's network");
    if (unshare(CLONE_NEWUTS | CLONE_NEWIPC))
        give_up(125, "cannot make namespaces");
    own_mounts();
    const char *root = c->spec.rootfs;
    try_mount("proc", root, "/proc", "proc");
    try_mount("sysfs", root, "/sys", "sysfs");
    try_mount("/dev", root, "/dev", NULL);
    for (size_t i = 0; i < c->spec.mounts.count; i++) {
        char from[4096];
        snprintf(from, sizeof from, "%s", c->spec.mounts.items[i]);
        char *to = strchr(from, ' ');
        if (to) {
            *to = 0;
            try_mount(from, root, to + 1, NULL);
        }
    }
    if (chroot(root) || chdir("/"))
        give_up(125, "cannot enter the container's file system");
    show_toolbox(tree);
}

/* ---- whom it runs as */

struct user {
    uid_t uid;
    gid_t gid, groups[MOST_GROUPS];
    size_t count;
    char home[512];
};

static void unknown(const char *what, const char *name) __attribute__((noreturn));
static void unknown(const char *what, const char *name)
{
    dprintf(2, "branchpoint: the container has no %s %s\n", what, name);
    _exit(125);
}

static bool is_number(const char *text, unsigned *value)
{
    char *end;
    *value = (unsigned)strtoul(text, &end, 10);
    return *text && !*end;
}

/* NAME or UID, and what the container's passwd says of it. */
static char *find_user(struct user *user, const char *name)
{
    FILE *file = fopen("/etc/passwd", "re");
    struct passwd *entry = NULL;
    unsigned number;
    bool numeric = is_number(name, &number);
    while (file && (entry = fgetpwent(file)))
        if (numeric ? entry->pw_uid == number : !strcmp(entry->pw_name, name))
            break;
    if (!entry && !numeric)
        unknown("user", name);
    user->uid = entry ? entry->pw_uid : number;
    user->gid = entry ? entry->pw_gid : 0;
    snprintf(user->home, sizeof user->home, "%s", entry && *entry->pw_dir ? entry->pw_dir : "/");
    char *known = entry ? copy(entry->pw_name) : NULL;
    if (file)
        fclose(file);
    return known;
}

/* The group of that name if `group` is given, else all of which `member` is one. */
static void find_groups(struct user *user, const char *member, const char *group)
{
    FILE *file = fopen("/etc/group", "re");
    struct group *entry;
    bool found = group && is_number(group, &user->gid);
    while (file && (entry = fgetgrent(file))) {
        if (group && !found && !strcmp(entry->gr_name, group)) {
            user->gid = entry->gr_gid;
            found = true;
        }
        for (char **m = entry->gr_mem; !group && member && *m; m++)
            if (!strcmp(*m, member) && user->count < MOST_GROUPS)
                user->groups[user->count++] = entry->gr_gid;
    }
    if (file)
        fclose(file);
    if (group && !found)
        unknown("group", group);
}

static void become_user(const char *given)
{
    struct user user = {0};
    char *name = copy(given), *group = strchr(name, ':');
    if (group)
        *group++ = 0;
    char *known = find_user(&user, name);
    find_groups(&user, known, group);
    if (user.count < MOST_GROUPS)
        user.groups[user.count++] = user.gid;
    if (setgroups(user.count, user.groups) || setgid(user.gid) || setuid(user.uid))
        give_up(125, "cannot become that user");
    setenv("HOME", user.home, 1);
}

/* The user of the container's first process. */
static void become_own_user(const struct container *c)
{
    const struct spec *s = &c->spec;
    gid_t groups[MOST_GROUPS];
    size_t count = 0;
    groups[count++] = s->gid; /* first, so that no other one takes its place */
    for (size_t i = 0; i < s->group_count && count < MOST_GROUPS; i++)
        groups[count++] = s->groups[i];
    if (setgroups(count, groups) || setgid(s->gid) || setuid(s->uid))
        give_up(125, "cannot become the container's user");
}

/* ---- what it runs */

/* The best shell of a container is the one its own scripts are written for; some have none. */
static const char *shell(bool in_container)
{
    static const char *const own[] = {"/bin/bash", "/bin/sh"};
    for (size_t i = 0; in_container && i < sizeof own / sizeof *own; i++)
        if (!access(own[i], X_OK))
            return own[i];
    return TOOLBOX "/bin/bash";
}

static void run_shell(const struct launch *how) __attribute__((noreturn));
static void run_shell(const struct launch *how)
{
    const char *path = shell(how->where);
    char *argv[] = {strrchr(path, '/') + 1, how->script ? "-c" : NULL, how->script, NULL};
    execv(path, argv);
    give_up(126, path);
}

void enter_and_exec(const struct launch *how, int pidfd)
{
    bool in_shell = how->script || how->terminal;
    struct rights rights = {0};
    if (how->limited)
        rights_find(&rights, how->where, pidfd >= 0);
    /* The agent has none; children of their own accord would have none either. */
    ns_t slack = how->where ? how->where->spec.timer_slack : how->slack;
    prctl(PR_SET_TIMERSLACK, slack ? slack : TIMER_SLACK);
    if (how->ahead && sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}))
        give_up(125, "cannot go ahead");
    if (how->where && pidfd >= 0)
        enter_live(pidfd, in_shell);
    else if (how->where)
        enter_dead(how->where);
    if (chdir(how->workdir ? how->workdir : "/") && chdir("/"))
        give_up(125, "cannot change to /");
    environ = (char **)how->env;
    rights_take(&rights);
    if (how->user)
        become_user(how->user);
    else if (how->own)
        become_own_user(how->where);
    if (in_shell)
        run_shell(how);
    execvp(how->argv[0], how->argv);
    give_up(errno == ENOENT ? 127 : 126, how->argv[0]);
}
