/*
 * The holes in the determinism of QEMU's instruction counting and of its states, closed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "timekeeper.h"

#include <string.h>

/* ---- cure 1: idle time passes only on the vCPU thread, with every instruction accounted ----
 * Stock QEMU lets its main loop skip idle time from a clock that may not yet contain the last
 * instructions. Work queued at HLT keeps the CPU "busy" for the main loop until the vCPU thread
 * itself runs it, holding the lock.
 */
static void pass_idle_time(CPUState *cpu, run_on_cpu_data unused)
{
    (void)cpu;
    (void)unused;
    while (all_cpu_threads_idle() &&
           qemu_clock_deadline_ns_all(CLOCK_VIRTUAL, ~ATTR_EXTERNAL) >= 0) {
        icount_start_warp_timer();
        qemu_clock_run_timers(CLOCK_VIRTUAL);
    }
}

void on_halt(unsigned index, void *unused)
{
    (void)unused;
    async_run_on_cpu(qemu_get_cpu(index), pass_idle_time, (run_on_cpu_data){ 0 });
}

/* ---- cure 2: the software TLB forgets whenever another task gets the CPU ----
 * Which stale entries survive in it depends on host time and is in no snapshot; a thread could
 * otherwise write through an entry whose flush Linux legitimately deferred.
 *
 * The way to the idle task and back to the task before it is no change of tasks: in between run
 * only the idle loop and interrupts, as they do inside one task, so that no one can meet an entry
 * that the task itself could not have met without sleeping. (A task is never mistaken for a new
 * one at the same address: whoever made the new one ran in between.) What was the last task is
 * forgotten with the TLB when a state is loaded: that can only add a flush.
 */
static int read_register(CPUState *cpu, int number)
{
    g_byte_array_set_size(self.value, 0);
    return gdb_read_register(cpu, self.value, number);
}

static void on_switch(unsigned index, void *unused)
{
    (void)unused;
    CPUState *cpu = qemu_get_cpu(index);
    uint64_t next = 0;             /* the second argument of __switch_to_asm */
    if (read_register(cpu, RSI) == sizeof next)
        memcpy(&next, self.value->data, sizeof next);
    if (next && (next == self.idle_task || next == self.last_task))
        return;
    self.last_task = next;
    tlb_flush(cpu);
}

/* ---- cure 3: accessed bits are cleared in the software TLB, too ----
 * Linux clears the accessed bit of a page without a flush where it only wants to know what is
 * used (/proc/PID/clear_refs, page aging). While the entry stays in the TLB the bit is not set
 * again; on a machine that was restored, whose TLB is empty, it is. So the TLB forgets all when one
 * of the kernel's few functions for this begins: nobody touches the page between there and the
 * clearing.
 */
static void on_aging(unsigned index, void *unused)
{
    (void)unused;
    tlb_flush(qemu_get_cpu(index));
}

/* ---- cure 4: the exception flags of SSE arithmetic are in every state ----
 * QEMU collects them outside the register that it saves (MXCSR), and adds them when the guest
 * asks. To read the register is to ask. Whether it was found.
 */
bool fold_flags(void)
{
    return !self.cure_flags || read_register(qemu_get_cpu(0), MXCSR) == sizeof(uint32_t);
}

static void look_for_functions(struct plugin_insn *insn)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    if (self.cure_tlb && self.switch_address && address == self.switch_address)
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_switch, READS_REGISTERS, NULL);
    for (unsigned i = 0; self.cure_young && i < self.young_count; i++)
        if (address == self.young[i])
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_aging, 0, NULL);
}

/* OUT, by which a guest switches itself off. It is the last of its block, as HLT is. */
static bool is_out(const uint8_t *opcode, size_t length)
{
    if (length && opcode[0] == 0x66)
        opcode++, length--;
    return (length == 1 && (opcode[0] & 0xfe) == 0xee) ||
           (length == 2 && (opcode[0] & 0xfe) == 0xe6);
}

void on_translate(plugin_id id, struct plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++)
        look_for_functions(qemu_plugin_tb_get_insn(tb, i));
    struct plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
    uint8_t opcode[4] = { 0 };
    size_t length = qemu_plugin_insn_data(last, opcode, sizeof opcode);
    if (length == 1 && opcode[0] == 0xf4 && self.cure_idle)
        qemu_plugin_register_vcpu_insn_exec_cb(last, on_halt, 0, NULL);
    if (is_out(opcode, length))
        qemu_plugin_register_vcpu_insn_exec_cb(last, on_out, 0, NULL);
}
