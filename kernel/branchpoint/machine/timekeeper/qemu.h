/*
 * What the timekeeper uses of QEMU. No package ships QEMU's internal headers, so the few
 * prototypes are declared here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_H
#define QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- QEMU: plugin interface, version 4 ---- */
typedef uint64_t plugin_id;
struct plugin_insn;
struct plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct plugin_insn *, void (*)(unsigned, void *),
                                            int flags, void *);
size_t qemu_plugin_tb_n_insns(const struct plugin_tb *);
struct plugin_insn *qemu_plugin_tb_get_insn(const struct plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct plugin_insn *);
size_t qemu_plugin_insn_data(const struct plugin_insn *, void *, size_t);

/* ---- QEMU: exported internals (checked by name before QEMU is started: engine.py) ---- */
typedef struct CPUState CPUState;
typedef struct QEMUFile QEMUFile;
typedef struct QIOChannel QIOChannel;
typedef struct RAMBlock RAMBlock;
typedef struct QEMUTimer QEMUTimer;
typedef struct Object Object;
typedef struct { uint8_t *data; unsigned length; } GByteArray;
typedef union { int i; unsigned long l; void *p; uint64_t u; } run_on_cpu_data;
enum { CLOCK_VIRTUAL = 1, ATTR_EXTERNAL = 1, RUN_PAUSED = 4, RUN_SUSPENDED = 12, READS_REGISTERS = 1 };
enum { RSI = 4, MXCSR = 65 };      /* numbers of registers */

CPUState *qemu_get_cpu(int index);
void async_run_on_cpu(CPUState *, void (*)(CPUState *, run_on_cpu_data), run_on_cpu_data);
void cpu_stop_current(void);
bool cpu_is_stopped(CPUState *);
int qemu_shutdown_requested_get(void);
bool all_cpu_threads_idle(void);
void icount_start_warp_timer(void);
int64_t icount_get(void);
int64_t qemu_clock_deadline_ns_all(int clock, int attributes);
bool qemu_clock_run_timers(int clock);
void qemu_clock_enable(int clock, bool enabled);
void timer_init_full(QEMUTimer *, void *group, int clock, int scale, int attributes,
                     void (*)(void *), void *);
void timer_mod_ns(QEMUTimer *, int64_t);
void timer_del(QEMUTimer *);
void cpu_reset(CPUState *);
int gdb_read_register(CPUState *, GByteArray *, int number);
void tlb_flush(CPUState *);
void tb_invalidate_phys_range(uint64_t start, uint64_t last);
uint64_t qemu_ram_addr_from_host(void *);
int qemu_ram_foreach_block(int (*)(RAMBlock *, void *), void *);
void *qemu_ram_get_host_addr(RAMBlock *);
uint64_t qemu_ram_get_used_length(RAMBlock *);
const char *qemu_ram_get_idstr(RAMBlock *);
void *qemu_get_aio_context(void);
void aio_bh_schedule_oneshot_full(void *ctx, void (*)(void *), void *, const char *name);
void qemu_set_fd_handler(int fd, void (*read)(void *), void (*write)(void *), void *);
void *qemu_add_vm_change_state_handler(void (*)(void *, bool, int), void *);
void bql_lock_impl(const char *file, int line);
void bql_unlock(void);
void vm_start(void);
int vm_stop(int state);
int runstate_get(void);
void global_state_store_running(void);
QIOChannel *qio_channel_file_new_fd(int fd);
QEMUFile *qemu_file_new_output(QIOChannel *);
QEMUFile *qemu_file_new_input(QIOChannel *);
uint32_t qemu_get_be32(QEMUFile *);
int qemu_save_device_state(QEMUFile *);
int qemu_load_device_state(QEMUFile *);
int qemu_fflush(QEMUFile *);
int qemu_fclose(QEMUFile *);
Object *object_get_root(void);
Object *object_resolve_path_type(const char *path, const char *type, bool *ambiguous);
const struct vmstate *qdev_get_vmsd(Object *);
int object_child_foreach_recursive(Object *, int (*)(Object *, void *), void *);
const char *object_get_typename(const Object *);
char *object_get_canonical_path(const Object *);
void g_free(void *);
GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_set_size(GByteArray *, unsigned);

/* The head of a VMStateField and the whole of a VMStateDescription, as in QEMU 10 and 11. */
struct vmstate_field { const char *name, *hint; size_t offset; };
struct vmstate {
    const char *name;
    bool unmigratable, early_setup;
    int version, minimum_version, priority;
    int (*pre_load)(void *), (*post_load)(void *, int), (*pre_save)(void *), (*post_save)(void *);
    bool (*needed)(void *), (*dev_unplug_pending)(void *);
    const struct vmstate_field *fields;
    const struct vmstate *const *subsections;
};
extern const struct vmstate vmstate_x86_cpu;
extern struct vmstate vmstate_cpu_common;

#endif
