/* Programs that the host runs: shell commands, and shells at terminals that it types to. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOOLBOX_PATH TOOLBOX "/bin"
#define MOST_TYPED (1 << 20) /* bytes that may wait to be read */

struct command {
    unsigned id;
    struct proc proc;
    struct strings env;
    bool terminal;
    char *typed; /* what the terminal has not taken yet */
    size_t typed_size;
    struct timer typing;
    struct command *next;
};

static struct command *commands;

/* ---- the environment */

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

static void env_default(struct strings *env, const char *key, const char *value)
{
    if (env_get(env, key))
        return;
    char *pair = format("%s=%s", key, value);
    env_put(env, pair);
    free(pair);
}

/* Whom it runs as: "root" with all rights, which is the default, "own", the container's user with
 * the container's rights, or "user NAME", another user with these rights. */
static bool choose_user(struct launch *how, char *given)
{
    char *kind = given ? word(&given) : NULL;
    if (!kind || !strcmp(kind, "root"))
        return true;
    how->limited = how->where;
    if (!strcmp(kind, "user") && given && *given)
        how->user = given;
    else if (strcmp(kind, "own"))
        return false;
    else
        how->own = how->where;
    return true;
}

/* The container's variables, then the command's own, then what every command has. */
static void make_environment(struct command *command, const struct container *c, char **at,
                             const char *end)
{
    struct strings *env = &command->env;
    const char *count = next_string(at, end);
    for (size_t i = 0; c && i < c->spec.env.count; i++)
        env_put(env, c->spec.env.items[i]);
    if (command->terminal)
        env_put(env, "TERM=xterm-256color");
    for (long n = count ? atol(count) : 0; n > 0; n--) {
        const char *pair = next_string(at, end);
        if (pair && strchr(pair, '='))
            env_put(env, pair);
    }
    env_default(env, "HOME", "/root");
    env_default(env, "PATH", GUEST_PATH);
    if (command->terminal)
        env_default(env, "LANG", "C.UTF-8");
    if (!c)
        return;
    if (command->terminal) /* the empty part stands for the container's own */
        env_default(env, "TERMINFO_DIRS",
                    ":" TOOLBOX "/usr/share/terminfo:" TOOLBOX "/usr/lib/terminfo");
    char *path = format("PATH=%s:" TOOLBOX_PATH, env_get(env, "PATH"));
    env_put(env, path);
    free(path);
}

/* ---- begin and end */

static void say_exit(struct proc *p)
{
    struct command *command = p->arg;
    event("process.exit", "id", number(command->id), "code", number(exit_code(p->status)),
          "signal", number(exit_signal(p->status)), NULL);
    if (command->terminal) /* whoever may still hold it */
        stream_end(&p->out);
}

static void forget(struct proc *p)
{
    struct command *command = p->arg, **q = &commands;
    while (*q != command)
        q = &(*q)->next;
    *q = command->next;
    proc_free(p);
    timer_clear(&command->typing);
    strings_free(&command->env);
    free(command->typed);
    free(command);
}

static struct command *add(const char *id, enum mode mode)
{
    struct command *command = grab(sizeof *command);
    char *source = format("process/%s", id);
    command->id = (unsigned)strtoul(id, NULL, 10);
    command->next = commands;
    commands = command;
    proc_init(&command->proc, source, mode);
    command->proc.on_done = say_exit;
    command->proc.on_gone = forget;
    command->proc.arg = command;
    free(source);
    return command;
}

/* `result` is 0, or -errno of what went wrong already. */
static void start(struct command *command, const char *target, struct launch *how, int result)
{
    struct proc *p = &command->proc;
    how->env = command->env.items;
    how->workdir = how->where ? how->where->spec.workdir : "/";
    if (*target && !how->where)
        result = -ENOENT;
    if (!result)
        result = proc_start(p, how);
    if (result) {
        error(p->source, "cannot be started in %s: %s", *target ? target : "the guest",
              how->where || !*target ? strerror(-result) : "there is no such container");
        proc_exited(p, 125 << 8);
        return;
    }
    event("process.start", "id", number(command->id), "pid", number(p->pid),
          p->holder ? "dead" : NULL, "1", NULL);
    proc_listen(p);
}

void exec_run(char *at, const char *end)
{
    const char *id = next_string(&at, end), *target = next_string(&at, end);
    const char *mode = next_string(&at, end);
    if (!mode) {
        error("agent", "exec: too few fields");
        return;
    }
    struct container *c = *target ? container_find(target) : NULL;
    struct command *command = add(id, strcmp(mode, "raw") ? MODE_LINES : MODE_RAW);
    make_environment(command, c, &at, end);
    char *script = next_string(&at, end), none[] = "";
    struct launch how = {.script = script ? script : none, .where = c};
    int result = choose_user(&how, next_string(&at, end)) ? 0 : -EINVAL;
    start(command, target, &how, result);
}

void exec_terminal(char *at, const char *end)
{
    const char *id = next_string(&at, end), *target = next_string(&at, end);
    char *rows = next_string(&at, end), *columns = next_string(&at, end);
    uint64_t size[2];
    if (!whole(&rows, &size[0]) || !whole(&columns, &size[1])) {
        error("agent", "terminal: too few fields");
        return;
    }
    struct container *c = *target ? container_find(target) : NULL;
    struct command *command = add(id, MODE_RAW);
    command->terminal = true;
    make_environment(command, c, &at, end);
    int result = terminal_open(&command->proc, c);
    if (!result)
        result = terminal_resize(&command->proc, size[0], size[1]);
    struct launch how = {.terminal = true, .where = c};
    if (!choose_user(&how, next_string(&at, end)))
        result = -EINVAL;
    start(command, target, &how, result);
}

/* ---- while it runs */

/* The terminal takes what fits into its buffers; the rest is tried again at every tick. */
static void pass_on(void *arg)
{
    struct command *command = arg;
    int fd = command->proc.out.fd;
    size_t done = 0;
    ssize_t n = 0;
    while (done < command->typed_size && n >= 0) {
        n = write(fd, command->typed + done, command->typed_size - done);
        if (n > 0)
            done += (size_t)n;
    }
    if (n < 0 && errno != EAGAIN) /* nobody is there to read it */
        done = command->typed_size;
    command->typed_size -= done;
    memmove(command->typed, command->typed + done, command->typed_size);
    if (command->typed_size)
        timer_set(&command->typing, now(), pass_on, command);
}

static int type(struct command *command, const char *bytes, size_t size)
{
    if (command->typed_size + size > MOST_TYPED)
        return EAGAIN;
    command->typed = regrow(command->typed, command->typed_size + size + 1);
    memcpy(command->typed + command->typed_size, bytes, size);
    command->typed_size += size;
    pass_on(command);
    return 0;
}

static int resize(struct command *command, char *rows, char *columns)
{
    uint64_t size[2];
    if (!whole(&rows, &size[0]) || !whole(&columns, &size[1]))
        return EINVAL;
    return -terminal_resize(&command->proc, size[0], size[1]);
}

static int tell(struct command *command, const char *verb, char *at, const char *end)
{
    if (!strcmp(verb, "signal")) {
        const char *what = next_string(&at, end);
        if (!what || !command->proc.group)
            return ESRCH;
        return kill(-command->proc.group, atoi(what)) ? errno : 0;
    }
    if (!command->terminal)
        return ENOTTY;
    if (command->proc.out.fd < 0)
        return EIO;
    if (!strcmp(verb, "type"))
        return type(command, at, at < end ? (size_t)(end - at) : 0);
    if (!strcmp(verb, "resize")) {
        char *rows = next_string(&at, end);
        return resize(command, rows, next_string(&at, end));
    }
    stream_end(&command->proc.out);
    return 0;
}

void exec_tell(const char *verb, char *at, const char *end)
{
    const char *id = next_string(&at, end);
    struct command *command = commands;
    while (command && id && command->id != strtoul(id, NULL, 10))
        command = command->next;
    int result = command && id ? tell(command, verb, at, end) : ESRCH;
    if (result) {
        char *about = format("process/%s", id ? id : "");
        error(about, "%s: %s", verb, strerror(result));
        free(about);
    }
}
