/* The guest agent: process 1 of the machine. Everything its files share.
 *
 * host/        the mailbox: what it is asked for, what it has to say
 * containers/  the supervisor of the system's containers
 * processes/   children, in containers and beside them
 * chance/      seeds, noise, faults, test commands
 * names/       the name server of the containers
 *
 * One thread, one epoll loop, no waiting: see loop() in main.c. All instants are nanoseconds of
 * virtual time since power-on, which is exactly what the machine's time stamp counter shows.
 */
#ifndef AGENT_H
#define AGENT_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint64_t ns_t;

#define MS 1000000ULL
#define SECOND (1000 * MS)
#define TICK (10 * MS) /* the inbox is looked at, and most timers fire, at multiples of this */
#define NEVER (1ULL << 62)
/* Where containers see the toolbox, and the guest itself, too. Nothing of it is in their own file
 * systems: /dev is made anew for each. */
#define OURS "/dev/branchpoint"
#define TOOLBOX OURS "/tools"
#define CRUN_STATE "/run/crun" /* a folder for each container */
#define PRINTF(a, b) __attribute__((format(printf, a, b)))

static inline ns_t now(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* ---- util.c: small things; the allocating ones never fail (out of memory is fatal) */

void *grab(size_t size); /* zeroed */
void *regrow(void *p, size_t size);
char *copy(const char *text);
char *format(const char *fmt, ...) PRINTF(1, 2);
int write_file(const char *path, const char *text);       /* 0 or -errno */
ssize_t read_file(const char *path, char *text, size_t size); /* length (NUL added) or -errno */

struct strings { /* a growing, NULL-terminated list; `items` may be used as an argv */
    char **items;
    size_t count;
};
void strings_add(struct strings *list, char *text); /* takes over `text` */
void strings_free(struct strings *list);

/* ---- words.c */

char *word(char **rest);                      /* cuts off the first; NULL when there is none */
bool whole(char **rest, uint64_t *value);     /* likewise; false when it is no such number */
bool integer(char **rest, int64_t *value);
char *decoded(const char *text);              /* a copy with %0A and %25 replaced */
/* A copy with "{name}" replaced, for names and values in turns. "${name}" is the shell's. */
char *filled(const char *text, const struct strings *values);

/* ---- random.c */

struct key { /* follows from a seed's bytes */
    uint64_t words[4];
};
struct random { /* one stream of numbers */
    uint64_t words[4];
};
enum purpose { FOR_FAULTS = 1, FOR_NOISE = 2, FOR_TESTS = 3 };
struct key random_key(const void *bytes, size_t size);
struct random random_stream(const struct key *key, enum purpose purpose, uint64_t number,
                            uint64_t turn);
uint64_t random_below(struct random *r, uint64_t limit);
int64_t random_between(struct random *r, int64_t low, int64_t high); /* both included */
double random_unit(struct random *r);                                /* 0 < result <= 1 */
ns_t random_exponential(struct random *r, ns_t mean);
ns_t random_log_uniform(struct random *r, ns_t low, ns_t high);

/* ---- timer.c */

struct timer {
    ns_t at;
    void (*fire)(void *arg);
    void *arg;
    struct timer *next;
    bool armed;
};
void timer_set(struct timer *t, ns_t at, void (*fire)(void *), void *arg); /* at a tick */
void timer_set_exactly(struct timer *t, ns_t at, void (*fire)(void *), void *arg);
void timer_clear(struct timer *t);
ns_t timers_due(void); /* the first one's instant; NEVER when there is none */
void timers_run(void);

/* ---- mailbox.c: the two rings shared with the host (layout: guest/wire.py) */

enum kind { KIND_COMMAND = 1, KIND_LINE = 2, KIND_EVENT = 3, KIND_RAW = 4 };

void mailbox_open(void);
bool mailbox_is_open(void);
char *mailbox_next(size_t *size);        /* next command's payload, to be freed; NULL when none */
void mailbox_new_window(void);           /* a tick begins: output may flow again */
bool mailbox_has_room(size_t payload);   /* may a record of that size be written in this window? */
ns_t mailbox_frame(enum kind kind, ...); /* then pairs (const void *, size_t), ended by NULL;
                                            gives the frame's instant */

/* ---- out.c: what the agent has to say */

void say(const char *fmt, ...) PRINTF(1, 2);  /* to the console and the debug port */
void fail(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn)); /* ... and power off */
ns_t event(const char *type, ...); /* then strings "key", "value", ... ended by NULL */
void error(const char *about, const char *fmt, ...) PRINTF(2, 3);
const char *number(long long value); /* decimal, valid until sixteen calls later */

/* ---- stream.c: from pipes to records */

enum mode { MODE_LINES, MODE_RAW, MODE_KEEP, MODE_KERNEL };

struct stream {
    int fd;             /* -1: ended */
    enum mode mode;
    const char *source; /* borrowed */
    const char *name;   /* "out", "err", "sdk" or "tty" */
    char *data;         /* read but not yet written to the outbox; MODE_KEEP: the first bytes */
    size_t length;
    void (*said)(const char *line, size_t size); /* MODE_LINES: one was written; may be NULL */
    void (*ended)(void *arg); /* all was written; called at most once */
    void *arg;
    bool blocked; /* it waits for the next window, in line with others */
    struct stream *next_blocked;
};
void streams_open(void);
int streams_fd(void);
void streams_ready(void);     /* streams_fd() is readable */
bool streams_throttled(void); /* not to be looked at before the next window */
void streams_new_window(void);
void stream_begin(struct stream *s, int fd);
void stream_flush(struct stream *s); /* also the unfinished last line */
bool stream_pending(const struct stream *s); /* is there output that was not yet written? */
void stream_end(struct stream *s);  /* stop reading, as if the writers had closed it */
void stream_drop(struct stream *s); /* stop reading, forget what was not written */

/* ---- proc.c: child processes */

struct container;

struct launch { /* how to start a child */
    char *const *argv;
    char *script; /* instead of argv: run by a shell, with the toolbox at TOOLBOX */
    bool terminal; /* instead of both: such a shell, at the terminal that is p->out_writer */
    char *const *env;
    const char *workdir;
    bool own;         /* as the container's user */
    const char *user; /* as another one that the container has: NAME or UID, or with :GROUP */
    bool limited;     /* no more rights than the container's first process, if it runs, and
                       * its limits */
    struct container *where; /* NULL: the guest itself */
    bool ahead; /* of all other processes but the agent, whoever keeps the CPU busy */
    ns_t slack; /* timer slack of what starts a container, see spec; `where` has its own */
};

struct proc {
    pid_t pid;         /* 0: none (not yet, or reaped) */
    pid_t group;       /* its process group, also when it is reaped; 0: never started */
    pid_t holder;      /* first process of the PID namespace made for a dead container */
    char *source;
    struct stream out, err;
    int out_writer, err_writer; /* the pipes' other ends, until the child has them */
    int open_streams;
    bool reaped, done;
    ns_t ended_at;
    int status;        /* as waitpid's */
    struct timer linger;
    void (*on_reaped)(struct proc *p); /* at once; may be NULL */
    void (*on_done)(struct proc *p);   /* after its output, or when only others hold its pipes */
    void (*on_gone)(struct proc *p);   /* ... and these have closed them: p may be freed */
    void *arg;
    struct proc *next;
};
void proc_init(struct proc *p, const char *source, enum mode mode);
int proc_pipes(struct proc *p);  /* 0 or -errno; p->out_writer and p->err_writer are the child's */
int proc_start(struct proc *p, const struct launch *how); /* 0 or -errno; makes missing pipes */
void proc_listen(struct proc *p);              /* begin to read the pipes */
void proc_adopt(struct proc *p, pid_t pid);    /* that child is p's process */
void proc_exited(struct proc *p, int status);
void proc_free(struct proc *p);                /* not p itself */
void children_reap(void);
int exit_code(int status);   /* 128 + signal when killed by one, as shells show it */
int exit_signal(int status); /* 0 when it exited by itself */

/* ---- enter.c: the child's side of a start, rights.c: what it may do */

void enter_and_exec(const struct launch *how, int pidfd) __attribute__((noreturn));
void give_up(int code, const char *what) __attribute__((noreturn)); /* says why; see errno */

struct rights { /* of a container's first process */
    unsigned long long capabilities;
    unsigned no_more; /* it can get no new ones */
    bool known; /* it runs; else there are none to go by */
    struct sock_fprog filter; /* of its system calls; empty: there is none */
    const struct container *of; /* NULL: of nobody */
};
/* Before the child enters it. */
void rights_find(struct rights *rights, const struct container *c, bool alive);
void rights_take(const struct rights *rights);

/* ---- command.c: what the host asks for */

#define GUEST_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void command_run(char *payload, size_t size);
/* The next string of a payload, which always has a NUL behind it; NULL at the end. */
char *next_string(char **at, const char *end);

/* ---- exec.c: ... to run */

void exec_run(char *at, const char *end);
void exec_terminal(char *at, const char *end);
void exec_tell(const char *verb, char *at, const char *end); /* signal, type, resize, hangup */

/* ---- terminal.c */

int terminal_open(struct proc *p, const struct container *c); /* 0 or -errno */
int terminal_resize(struct proc *p, uint64_t rows, uint64_t columns); /* likewise */

/* ---- put.c: files of containers (NULL: of the guest itself) */

int file_open(const struct container *c, const char *path, int flags, mode_t mode); /* or -errno */
void file_put(char *at, const char *end);

/* ---- seed.c */

int seed_add(const void *bytes, size_t size); /* 0 or -errno */
void seed_first(void);

/* ---- noise.c */

ns_t noise_due(void);  /* when the next moment is to be taken; NEVER: silence */
void noise_make(void); /* take it */
void noise_set(ns_t every, ns_t longest); /* every = 0: silence */
void noise_seed(const struct key *key);

/* ---- plan.c: which faults the injector may draw */

struct quiet {
    ns_t from, until; /* since set-up was complete */
};

struct param {
    char *name;
    int64_t low, high;
};

struct target {
    char *label, *begin, *end; /* actions, see fault.c */
};

struct draws { /* a `kind` or `once` of the plan, and where the injector is with it */
    char *type;
    bool once;
    ns_t every;       /* a kind: mean time between two */
    ns_t from, until; /* a once: since set-up was complete */
    double chance;
    ns_t shortest, longest;
    struct param *params;
    struct target *targets;
    size_t param_count, target_count;
    uint64_t turn;        /* how many were drawn so far */
    struct random random; /* for what else is to be drawn for the next one */
    ns_t at;              /* of the next one; NEVER: there is none */
    bool over;            /* a once: it was drawn and its instant has come */
};

struct plan {
    struct quiet *quiets;
    struct draws *draws;
    size_t quiet_count, draws_count;
};
struct plan *plan_read(char *text, char **wrong); /* cuts up `text`; NULL: see `wrong` */
void plan_free(struct plan *plan);                /* may be NULL */

/* ---- inject.c: draws faults by the plan */

void inject_plan(struct plan *plan); /* takes it over */
void inject_seed(const struct key *key);
void inject_begin(ns_t origin); /* set-up was complete then */
void inject_pause(bool paused);
void inject_hold(const struct container *c, ns_t length); /* c asks for that time without faults */
void inject_wait(bool waits); /* as long as it waits there is no fault */
void inject_skip(uint64_t number);

/* ---- composer.c: commands of test templates */

bool composer_add(struct container *c, char *rest); /* "KIND TEMPLATE NAME"; false: malformed */
void composer_begin(ns_t origin);                   /* set-up was complete then */
void composer_seed(const struct key *key);
char *composer_finish(const char *kind); /* wrong, or NULL */

/* ---- fault.c: faults that have begun */

struct order { /* a fault to begin */
    const char *id, *type, *target, *params;
    ns_t duration; /* 0: instantaneous */
    const char *begin, *end;      /* in which "{id}" stands for the id */
    const struct strings *values; /* ... and other names for these; may be NULL */
    bool drawn;                   /* by the injector */
};
void fault_begin(const struct order *order);
bool fault_holds(const char *type, const char *target);
void faults_end(const char *why, bool drawn_only);
void faults_reseed(void);            /* after a seed, as far as faults under way need it */
bool fault_heal(const char *id); /* false when no such fault is active */

/* ---- sdk.c: what programs tell the tester */

void sdk_watch(void);
int sdk_fd(void);
void sdk_ready(void);      /* sdk_fd() is readable */
void sdk_new_window(void); /* what found no room may go on */
void sdk_open(const struct container *c); /* before its first start */
bool sdk_is_awaited(void);                /* set-up is not complete without its word */
void sdk_await(void);

/* ---- boot.c, nvdimm.c: from the initramfs to the toolbox as root */

void boot_early(void);
void boot_modules(void);
void boot_root(void);
void boot_lock_down(void);
char *nvdimm_attach(unsigned slot); /* name of the block device, e.g. "pmem0"; fails loudly */
int nvdimm_mount(unsigned slot, const char *where);

/* ---- spec.c: /system/branchpoint/system.conf */

enum need { NEED_STARTED, NEED_HEALTHY, NEED_COMPLETED };
enum restart { RESTART_NO, RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_UNLESS_STOPPED };

struct depend {
    struct container *on;
    char *name;
    enum need need;
};

struct hook { /* a command that runs in a container after its start */
    struct strings argv, env;
    char *workdir, *user; /* `user` as in struct launch; NULL: the container's */
    bool privileged;
};

struct address { /* in one network */
    char *network;
    uint8_t ip[4], ip6[16];
    bool has_ip6;
    struct strings names; /* by which others in that network find it */
    unsigned turn, turn6; /* how often was asked for what begins with this address */
};

struct limit { /* of a resource, as setrlimit takes it */
    int resource;
    uint64_t soft, hard;
};

struct spec {
    char *bundle, *rootfs, *netns, *workdir;
    char *renew; /* script that makes the file system anew; NULL: there is one version only */
    struct depend *depends;
    size_t depend_count;
    struct strings health; /* argv; empty: no healthcheck */
    ns_t health_interval, health_timeout, health_start_period, health_start_interval;
    int health_retries;
    enum restart restart;
    int restart_max; /* 0: unlimited */
    int stop_signal;
    ns_t stop_grace;
    struct strings env;
    struct strings mounts; /* "SOURCE DESTINATION" */
    struct address *addresses;
    size_t address_count;
    struct strings links; /* its own names for others, in turns with the containers */
    unsigned uid, gid;
    unsigned *groups; /* supplementary */
    size_t group_count;
    struct limit *limits;
    size_t limit_count;
    ns_t timer_slack; /* how late timers may fire; 0: as those of any process of Linux */
    struct hook *hooks;
    size_t hook_count;
};

struct version { /* what a container may become; the first one is what it is at first */
    char *name;
    struct spec spec;
    struct version *next;
};

/* ---- container.c: the supervisor, crun.c: the runtime under it, version.c,
 * hooks.c, health.c */

enum state { WAITING, STARTING, RUNNING, ENDED };
enum health { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct container {
    char *name;
    char *source; /* "container/<name>", also what errors are about */
    char *cgroup; /* directory */
    struct spec spec;
    struct version *versions; /* NULL: only what `spec` says */
    struct version *becoming; /* once it has ended; NULL: it stays what it is */
    enum state state;
    pid_t pid;        /* of its first process, while RUNNING */
    bool wanted;      /* false after `stop` */
    bool restart_now; /* start again as soon as it has ended */
    bool paused;
    bool said;     /* ENDED: the exit event is written, after the last output */
    bool cleaning; /* ENDED: the runtime is removing what is left */
    bool ever_started, ever_ready, ever_healthy, ever_unhealthy; /* ready: its hooks are over */
    bool hooked; /* this version's hooks have begun */
    size_t hooks_left;
    unsigned hooking; /* counts the versions that have begun theirs */
    bool asked; /* somebody wants this run of it to end */
    int code, signal; /* of the last run */
    struct {
        int fd;     /* of the control group's events; -1: it does not run */
        long kills; /* in this run, as far as was told */
    } memory;
    int attempts;     /* restarts made by the policy */
    ns_t started_at, ended_at, backoff;
    struct timer timer; /* grace while stopping, backoff while ended */
    struct {
        enum health state;
        int failures; /* in a row */
        struct proc *probe;
        ns_t began; /* the probe */
        bool late;  /* it was ended for taking too long */
        struct timer timer;
    } health;
    struct container *next;
};

extern struct container *containers; /* in the order of system.conf */

struct container *container_find(const char *name);
char *spec_read(const char *path); /* fills `containers`; what is wrong, or NULL */
void system_start(void);
void system_changed(void);         /* something that others may wait for has happened */
void setup_error(struct container *c, const char *what); /* if somebody waits for `c` in vain */
char *container_command(const char *verb, const char *name, const char *arg); /* wrong, or NULL */
bool container_need_not(const char *verb, const char *name); /* it is so already */
void container_started(struct container *c, pid_t pid);
void container_not_started(struct container *c, const char *why);
void container_ended(struct container *c, int status); /* its first process is gone */
void container_silent(struct container *c);            /* ... and its last output written */
void container_clean(struct container *c);             /* ... and its remains removed */

struct version *version_add(struct container *c, const char *name);
struct version *version_find(const struct container *c, const char *name);
void version_change(struct container *c); /* to `becoming`; container_clean() when it is done */

void crun_start(struct container *c);
void crun_delete(struct container *c);
void crun_unclaimed(pid_t pid, int status); /* a child that nobody knows has ended */

void hooks_begin(struct container *c); /* it has started: those that have not run yet */

void health_begin(struct container *c);
void health_suspend(struct container *c); /* no probes, but the state stays */
void health_resume(struct container *c);
void health_end(struct container *c);

/* ---- names/: the name server in the network of each container that has addresses */

void names_watch(void);
int names_fd(void);
void names_ready(void); /* names_fd() is readable */
void names_open(void);  /* all containers are known, and their networks made */
char *names_command(char *rest); /* of a fault, see fault.c; wrong, or NULL */

/* ---- memory.c: tells which containers' processes the kernel kills, out of memory */

void memory_open(void);
int memory_fd(void);
void memory_ready(void); /* memory_fd() is readable */
void memory_begin(struct container *c);
void memory_end(struct container *c);

#endif
