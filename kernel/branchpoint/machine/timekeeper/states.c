/*
 * States of the whole machine: saved, and restored in process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "timekeeper.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct move { uint32_t page, slot; };
#define FROM_TEMPLATE UINT32_MAX
#define SEGMENTS 4                 /* bytes: two selectors */

/* Loading a CPU throws away all translated code, as QEMU cannot know what became of memory. We do
 * know, and have invalidated what lay on changed pages (do_load); to translate everything else
 * again would cost ten times what the load does. The TLB must still go. */
static int on_cpu_loaded(void *cpu, int version)
{
    (void)version;
    tlb_flush(cpu);
    return 0;
}

/* Put ``what`` into ``place`` (``size`` bytes), which QEMU means to be constant. */
static bool put(void *place, const void *what, size_t size)
{
    uintptr_t start = (uintptr_t)place & -(uintptr_t)PAGE;
    uintptr_t length = (uintptr_t)place + size - start;
    if (mprotect((void *)start, length, PROT_READ | PROT_WRITE))
        return false;
    memcpy(place, what, size);
    return !mprotect((void *)start, length, PROT_READ);
}

static void keep_translations(void)
{
    struct vmstate *cpu = &vmstate_cpu_common;
    struct vmstate changed = *cpu;
    changed.post_load = on_cpu_loaded;
    if (!strcmp(cpu->name, "cpu_common") && cpu->version == 1 && cpu->minimum_version == 1 &&
        cpu->post_load && cpu->fields && !strcmp(cpu->fields->name, "halted"))
        put(cpu, &changed, sizeof changed);
}

/* Saving the real-time clock chip first writes the time of day into its registers, and loading it
 * plans its periodic interrupt anew. A guest that has halted the chip, or sets it register by
 * register, would see that somebody looked. Neither is needed: the chip brings its registers up to
 * date whenever the guest reads, and the plan is in the state. */
static bool leave_clock_alone(void)
{
    Object *chip = object_resolve_path_type("", "mc146818rtc", NULL);
    struct vmstate *clock = chip ? (struct vmstate *)qdev_get_vmsd(chip) : NULL;
    if (!clock || strcmp(clock->name, "mc146818rtc") || clock->version != 3)
        return false;
    struct vmstate changed = *clock;
    changed.pre_save = NULL;
    changed.post_load = NULL;
    return put(clock, &changed, sizeof changed);
}

/* The segments of the last x87 instruction and its operand, which FSTENV shows, are in no state of
 * QEMU's. They lie behind its opcode; a state of ours ends with them. */
static bool find_segments(void)
{
    for (const struct vmstate *const *part = vmstate_x86_cpu.subsections; *part; part++)
        if (!strcmp((*part)->name, "cpu/fpop_ip_dp") && (*part)->fields &&
            !strcmp((*part)->fields->name, "env.fpop"))
            self.segments = (uint8_t *)qemu_get_cpu(0) + (*part)->fields->offset +
                            sizeof(uint16_t);
    return self.segments;
}

/* What is wrong with this QEMU; or NULL. */
const char *prepare_states(void)
{
    keep_translations();
    if (self.cure_clock && !leave_clock_alone())
        return "the clock chip of this QEMU is not the one that is known";
    if (self.cure_flags && !find_segments())
        return "the processor of this QEMU is not the one that is known";
    return fold_flags() ? NULL : "this QEMU numbers its registers otherwise";
}

void do_save(void)
{
    int fd = empty_buffer();
    if (fd < 0) {
        fail("cannot make a buffer: %s", strerror(errno));
        return;
    }
    fold_flags();
    QEMUFile *file = qemu_file_new_output(qio_channel_file_new_fd(dup(fd)));
    global_state_store_running();
    int error = qemu_save_device_state(file);
    if (!error)
        error = qemu_fflush(file);
    qemu_fclose(file);
    off_t size = lseek(fd, 0, SEEK_END);
    if (self.cure_flags && write(fd, self.segments, SEGMENTS) == SEGMENTS)
        size += SEGMENTS;
    void *data = error || size <= 0 ? NULL : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data && data != MAP_FAILED) {
        answer(ST_OK, 0, data, size);
        munmap(data, size);
    } else {
        fail("the devices could not be saved (%d)", error);
    }
    close(fd);
}

/* a: bytes of the pool in use; b: number of moves. The payload is the moves, then the device
 * state. Pages are compared before they are copied: most agree already. The answer is what the
 * devices are now, as from do_save. */
void do_load(uint64_t pool_size, uint64_t n, const uint8_t *data, size_t length)
{
    if (n > self.ram_size / PAGE || n * sizeof(struct move) + 8 > length) {
        fail("malformed load request");
        return;
    }
    if (!map_pool(pool_size)) {
        fail("cannot map %llu bytes of pages", (unsigned long long)pool_size);
        return;
    }
    const struct move *moves = (const struct move *)data;
    for (uint64_t i = 0; i < n; i++)
        if (moves[i].page >= self.ram_size / PAGE ||
            (moves[i].slot != FROM_TEMPLATE &&
             ((uint64_t)moves[i].slot + 1) * PAGE > self.pool_size)) {
            fail("malformed load request: move %llu", (unsigned long long)i);
            return;
        }
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *at = self.ram + (uint64_t)moves[i].page * PAGE;
        if (moves[i].slot == FROM_TEMPLATE) {
            madvise(at, PAGE, MADV_DONTNEED);
        } else {
            const uint8_t *from = self.pool_map + (uint64_t)moves[i].slot * PAGE;
            if (memcmp(at, from, PAGE) == 0)
                continue;
            memcpy(at, from, PAGE);
        }
        uint64_t address = self.ram_base + (uint64_t)moves[i].page * PAGE;
        tb_invalidate_phys_range(address, address + PAGE - 1);
    }
    const uint8_t *state = data + n * sizeof *moves;
    size_t state_length = length - n * sizeof *moves;
    int fd = empty_buffer();
    if (fd < 0 || write(fd, state, state_length) != (ssize_t)state_length) {
        fail("cannot make a buffer: %s", strerror(errno));
        close(fd);
        return;
    }
    lseek(fd, 0, SEEK_SET);
    QEMUFile *file = qemu_file_new_input(qio_channel_file_new_fd(fd));
    qemu_get_be32(file);           /* magic and version stand before what the loader reads */
    qemu_get_be32(file);
    /* The clock is set before the devices are: should any device drop the lock while it loads
     * (KVM's vapic does, and is switched off for that), timers of the old present must not fire
     * in the new one. */
    qemu_clock_enable(CLOCK_VIRTUAL, false);
    /* What a saved CPU leaves out because it is zero (x87 pointers, say) must become zero. */
    cpu_reset(qemu_get_cpu(0));
    self.last_task = 0;
    self.request = 0;
    int error = qemu_load_device_state(file);
    qemu_clock_enable(CLOCK_VIRTUAL, true);
    qemu_fclose(file);
    if (self.cure_flags && state_length >= SEGMENTS)
        memcpy(self.segments, state + state_length - SEGMENTS, SEGMENTS);
    if (error < 0)
        fail("the devices could not be restored (%d)", error);
    else if (private_pages(true) < 0)
        fail("cannot read the page map: %s", strerror(errno));
    else
        do_save();
}
