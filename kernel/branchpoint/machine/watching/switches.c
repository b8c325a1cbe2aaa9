/*
 * switches: tells which thread gets the processor, at each of the kernel's context switches. It
 * adds a call to one instruction of the kernel, and neither counts nor changes anything that the
 * guest could see.
 *
 * At its first instruction __switch_to_asm has the thread that leaves and the one that comes as its
 * arguments. Where their fields are in this kernel, the options say. When it is cannot be asked in
 * the middle of a block of code; but the kernel has just noted it, by its own clock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "watching.h"

#include <stdio.h>

bool qemu_plugin_read_memory_vaddr(uint64_t, GByteArray *, size_t);
GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_set_size(GByteArray *, unsigned);

#define MOST (1u << 16)            /* switches between two requests */
#define GROUP 64                   /* bytes of a name that are told, with the zero behind them */
#define COMMAND 16
enum { RDI = 5 };                  /* number of a register, as RSI in qemu.h */

/* `at`: by the kernel's clock, in ns. */
struct turn { uint64_t at; int32_t thread, process; char command[COMMAND], group[GROUP]; };
struct reply { uint32_t turns, left_out; };

EXPORT int qemu_plugin_version = 4;
static struct {
    uint64_t address;
    /* In a thread: its numbers, its command, its control groups, when it came, when it last ran;
     * then on the way to the name of its group. */
    uint32_t thread, process, command, groups, arrival, ran, group, node, name;
    uint32_t count, left_out;
    struct turn turns[MOST];
    GByteArray *read, *value;
} self;

static uint64_t argument(CPUState *cpu, int number)
{
    uint64_t value = 0;
    g_byte_array_set_size(self.value, 0);
    if (gdb_read_register(cpu, self.value, number) == sizeof value)
        memcpy(&value, self.value->data, sizeof value);
    return value;
}

static bool read_to(void *to, uint64_t address, size_t length)
{
    bool found = qemu_plugin_read_memory_vaddr(address, self.read, length);
    if (found)
        memcpy(to, self.read->data, length);
    return found;
}

/* The name of the thread's control group; nothing when it cannot be read. */
static void name_group(char *name, uint64_t thread)
{
    uint64_t at = thread;
    const uint32_t way[] = { self.groups, self.group, self.node, self.name };
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        if (!read_to(&at, at + way[i], sizeof at) || !at)
            return;
    /* It may be shorter, at the end of a page behind which nothing is. */
    for (int i = 0; i < GROUP - 1 && read_to(name + i, at + i, 1) && name[i]; i++)
        ;
    name[GROUP - 1] = 0;
}

static void on_switch(unsigned index, void *unused)
{
    (void)unused;
    if (self.count == MOST) {
        self.left_out++;
        return;
    }
    CPUState *cpu = qemu_get_cpu(index);
    uint64_t before = argument(cpu, RDI), next = argument(cpu, RSI);
    struct turn *turn = &self.turns[self.count];
    memset(turn, 0, sizeof *turn);
    if (!read_to(&turn->thread, next + self.thread, sizeof turn->thread) ||
        !read_to(&turn->process, next + self.process, sizeof turn->process) ||
        !read_to(turn->command, next + self.command, COMMAND))
        return;
    /* Of the idle thread, 0, nobody notes when it came; but then, when the other one left. */
    if (turn->thread ? !read_to(&turn->at, next + self.arrival, sizeof turn->at)
                     : !read_to(&turn->at, before + self.ran, sizeof turn->at))
        return;
    turn->command[COMMAND - 1] = 0;
    if (turn->thread)
        name_group(turn->group, next);
    self.count++;
}

static void on_translate(plugin_id id, struct plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (qemu_plugin_insn_vaddr(insn) == self.address)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_switch, READS_REGISTERS, NULL);
    }
}

/* Any request asks for the switches since the last one. */
static void asked(char request)
{
    (void)request;
    struct reply reply = { self.count, self.left_out };
    write_all(&reply, sizeof reply);
    write_all(self.turns, self.count * sizeof *self.turns);
    self.count = self.left_out = 0;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (sscanf(argv[i], "switch=%lx", &self.address) != 1 &&
            sscanf(argv[i], "fields=%u:%u:%u:%u:%u:%u:%u:%u:%u", &self.thread, &self.process,
                   &self.command, &self.groups, &self.arrival, &self.ran, &self.group, &self.node,
                   &self.name) != 9 && !watching_option(argv[i]))
            return -1;
    if (!self.address || !watching_begin(asked))
        return -1;
    self.read = g_byte_array_new();
    self.value = g_byte_array_new();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
