/* Commands from the host: one frame, one command, no answer but events and output. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOOLBOX_PATH "/.branchpoint/bin"

struct command {
    unsigned id;
    struct proc proc;
    struct strings env;
    struct command *next;
};

static struct command *commands;

/* The next string of a payload, which always has a NUL behind it; NULL at the end. */
static char *next_string(char **at, const char *end)
{
    char *text = *at;
    if (text >= end)
        return NULL;
    *at = text + strlen(text) + 1;
    return text;
}

/* ---- exec and signal */

static const char *env_get(const struct strings *env, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < env->count; i++)
        if (!strncmp(env->items[i], key, n) && env->items[i][n] == '=')
            return env->items[i] + n + 1;
    return NULL;
}

static void env_put(struct strings *env, const char *pair)
{
    size_t n = strcspn(pair, "=") + 1;
    for (size_t i = 0; i < env->count; i++)
        if (!strncmp(env->items[i], pair, n)) {
            free(env->items[i]);
            env->items[i] = copy(pair);
            return;
        }
    strings_add(env, copy(pair));
}

/* The container's variables, then the command's own, then what every command has. */
static void make_environment(struct strings *env, const struct container *c, char **at,
                             const char *end, long count)
{
    for (size_t i = 0; c && i < c->spec.env.count; i++)
        env_put(env, c->spec.env.items[i]);
    for (; count > 0; count--) {
        const char *pair = next_string(at, end);
        if (pair && strchr(pair, '='))
            env_put(env, pair);
    }
    if (!env_get(env, "HOME"))
        env_put(env, "HOME=/root");
    if (!env_get(env, "PATH"))
        env_put(env, "PATH=" GUEST_PATH);
    if (!c)
        return;
    char *path = format("PATH=%s:" TOOLBOX_PATH, env_get(env, "PATH"));
    env_put(env, path);
    free(path);
}

static void say_exit(struct proc *p)
{
    struct command *command = p->arg;
    event("process.exit", "id", number(command->id), "code", number(exit_code(p->status)),
          "signal", number(exit_signal(p->status)), NULL);
}

static void forget(struct proc *p)
{
    struct command *command = p->arg, **q = &commands;
    while (*q != command)
        q = &(*q)->next;
    *q = command->next;
    proc_free(p);
    strings_free(&command->env);
    free(command);
}

static void exec(char *at, const char *end)
{
    const char *id = next_string(&at, end), *target = next_string(&at, end);
    const char *mode = next_string(&at, end), *count = next_string(&at, end);
    if (!count) {
        error("agent", "exec: too few fields");
        return;
    }
    struct container *c = *target ? container_find(target) : NULL;
    struct command *command = grab(sizeof *command);
    struct proc *p = &command->proc;
    char *source = format("process/%s", id);
    command->id = (unsigned)strtoul(id, NULL, 10);
    command->next = commands;
    commands = command;
    proc_init(p, source, strcmp(mode, "raw") ? MODE_LINES : MODE_RAW);
    p->on_done = say_exit;
    p->on_gone = forget;
    p->arg = command;

    make_environment(&command->env, c, &at, end, atol(count));
    char *script = next_string(&at, end);
    struct launch how = {.script = script ? script : "", .env = command->env.items, .where = c,
                         .workdir = c ? c->spec.workdir : "/"};
    int result = *target && !c ? -ENOENT : proc_start(p, &how);
    if (result) {
        error(source, "cannot be started in %s: %s", *target ? target : "the guest",
              c || !*target ? strerror(-result) : "there is no such container");
        proc_exited(p, 125 << 8);
    } else {
        event("process.start", "id", number(command->id), "pid", number(p->pid),
              p->holder ? "dead" : NULL, "1", NULL);
        proc_listen(p);
    }
    free(source);
}

static void signal_command(const char *id, const char *sig)
{
    struct command *command = commands;
    while (command && id && command->id != strtoul(id, NULL, 10))
        command = command->next;
    int result = 0;
    if (!command || !sig || !command->proc.group)
        result = ESRCH;
    else if (kill(-command->proc.group, atoi(sig)))
        result = errno;
    if (result) {
        char *about = format("process/%s", id ? id : "");
        error(about, "signal %s: %s", sig ? sig : "", strerror(result));
        free(about);
    }
}

/* ---- put */

/* A directory from which the target's files are seen, its mounts included. */
static int open_root(const char *target)
{
    if (!*target)
        return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct container *c = container_find(target);
    if (!c)
        return -1;
    if (c->state != RUNNING)
        return open(c->spec.rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *path = format("/proc/%d/root", c->pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(path);
    return fd;
}

static int put_into(int fd, mode_t mode, off_t offset, const char *bytes, size_t size)
{
    struct stat about;
    if (fstat(fd, &about))
        return errno;
    if (!S_ISREG(about.st_mode))
        return EINVAL;
    if (fchmod(fd, mode) || (!offset && ftruncate(fd, 0)))
        return errno;
    while (size) {
        ssize_t n = pwrite(fd, bytes, size, offset);
        if (n < 0)
            return errno;
        bytes += n;
        size -= (size_t)n;
        offset += n;
    }
    return 0;
}

static void put(char *at, const char *end)
{
    const char *target = next_string(&at, end), *path = next_string(&at, end);
    const char *mode = next_string(&at, end), *offset = next_string(&at, end);
    if (!offset) {
        error("agent", "put: too few fields");
        return;
    }
    size_t size = at < end ? (size_t)(end - at) : 0;
    mode_t bits = (mode_t)strtoul(mode, NULL, 8);
    struct open_how how = {.flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .mode = bits,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int result = 0, root = open_root(target), fd = -1;
    if (root >= 0)
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0)
        result = errno;
    else
        result = put_into(fd, bits, (off_t)strtoull(offset, NULL, 10), at, size);
    if (fd >= 0)
        close(fd);
    if (root >= 0)
        close(root);
    if (result) {
        char *about = format("file/%s:%s", target, path);
        error(about, "cannot be written: %s",
              *target && !container_find(target) ? "there is no such container" : strerror(result));
        free(about);
    } else {
        event("file.written", "target", target, "path", path, "offset", offset, "size",
              number((long long)size), NULL);
    }
}

/* ---- chance and faults */

static void seed(const char *bytes, const char *end)
{
    size_t size = bytes < end ? (size_t)(end - bytes) : 0;
    int result = seed_add(bytes, size);
    if (result) {
        error("seed", "%s", strerror(-result));
        return;
    }
    struct key key = random_key(bytes, size);
    noise_seed(&key);
    inject_seed(&key);
    faults_reseed();
}

static void noise(char *at, const char *end)
{
    char *every = next_string(&at, end), *longest = next_string(&at, end);
    ns_t values[2];
    if (!whole(&every, &values[0]) || !whole(&longest, &values[1]))
        error("noise", "two numbers are needed");
    else
        noise_set(values[0], values[1]);
}

static void plan(char *at, const char *end)
{
    char *text = next_string(&at, end), none[] = "", *wrong = NULL;
    struct plan *plan = plan_read(text ? text : none, &wrong);
    if (wrong)
        error("faults", "%s", wrong);
    else
        inject_plan(plan);
    free(wrong);
}

static void fault(char *at, const char *end)
{
    const char *id = next_string(&at, end), *type = next_string(&at, end);
    const char *target = next_string(&at, end), *params = next_string(&at, end);
    char *duration = next_string(&at, end);
    const char *begin = next_string(&at, end), *last = next_string(&at, end);
    struct order order = {.id = id, .type = type, .target = target, .params = params,
                          .begin = begin, .end = last};
    if (last && whole(&duration, &order.duration) && order.duration < NEVER)
        fault_begin(&order);
    else
        error("faults", "fault: malformed");
}

static void heal(const char *id)
{
    if (!id) {
        faults_end("healed", false);
    } else if (!fault_heal(id)) {
        char *about = format("fault/%s", id);
        error(about, "heal: it is not active");
        free(about);
    }
}

static void injector(char *at, const char *end)
{
    const char *verb = next_string(&at, end);
    char *which = next_string(&at, end);
    uint64_t number;
    if (verb && !strcmp(verb, "pause"))
        inject_pause(true);
    else if (verb && !strcmp(verb, "unpause"))
        inject_pause(false);
    else if (verb && !strcmp(verb, "skip") && whole(&which, &number))
        inject_skip(number);
    else
        error("faults", "injector: it can be told to pause, unpause, or skip a number");
}

static void container(char *at, const char *end)
{
    const char *verb = next_string(&at, end), *name = next_string(&at, end);
    char *wrong = container_command(verb ? verb : "", name ? name : "", next_string(&at, end));
    if (wrong) {
        char *about = format("container/%s", name ? name : "");
        error(about, "%s", wrong);
        free(about);
    }
    free(wrong);
}

/* ---- all of them */

void command_run(char *payload, size_t size)
{
    const char *end = payload + size;
    char *at = payload, *verb = next_string(&at, end);
    if (!verb) {
        error("agent", "empty command");
    } else if (!strcmp(verb, "start")) {
        system_start();
    } else if (!strcmp(verb, "exec")) {
        exec(at, end);
    } else if (!strcmp(verb, "signal")) {
        const char *id = next_string(&at, end);
        signal_command(id, next_string(&at, end));
    } else if (!strcmp(verb, "container")) {
        container(at, end);
    } else if (!strcmp(verb, "put")) {
        put(at, end);
    } else if (!strcmp(verb, "seed")) {
        seed(at, end);
    } else if (!strcmp(verb, "noise")) {
        noise(at, end);
    } else if (!strcmp(verb, "faults")) {
        plan(at, end);
    } else if (!strcmp(verb, "fault")) {
        fault(at, end);
    } else if (!strcmp(verb, "heal")) {
        heal(next_string(&at, end));
    } else if (!strcmp(verb, "injector")) {
        injector(at, end);
    } else {
        error("agent", "unknown command: %s", verb);
    }
}
