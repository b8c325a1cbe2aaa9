/*
 * coverage: tells which code of the containers' programs has run. A plugin of its own beside the
 * timekeeper, for the search only: it adds stores to translated code, and neither counts nor
 * changes anything that the guest could see.
 *
 * Programs lie in a memory module, from which the guest runs them in place. So where a block of
 * code lies in the module names it, for every process, branch and computer. Code elsewhere (the
 * kernel's, or made at run time) has no such name and is left out.
 *
 * For each block: its first instruction, and if it ends with a branch, that, what comes after it,
 * and where it jumps to, if that is in the instruction. A block that QEMU ends elsewhere, because
 * time is up or a page is, goes on as another block which begins where no branch leads: whoever
 * reads these can tell (coverage.py).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "watching.h"

typedef struct { void *score; size_t offset; } plugin_u64;
enum { STORE_U64 = 1 };
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct plugin_tb *, int op, plugin_u64,
                                                       uint64_t);
void *qemu_plugin_scoreboard_new(size_t);
void *qemu_plugin_scoreboard_find(void *, unsigned);

#define MOST (1u << 18)            /* blocks that are told apart */
#define BUCKETS (2 * MOST)

/* Places are bytes from the beginning of the module. */
struct block { uint64_t first, last, after, target; };
struct reply { uint32_t hits, blocks, left_out; };

EXPORT int qemu_plugin_version = 4;
static struct {
    void *score;                   /* for each block: whether it ran */
    uint32_t count, told, left_out;
    uint32_t hits[MOST];
    struct block blocks[MOST];
    uint32_t buckets[BUCKETS];     /* number of a block plus 1; 0: none */
} self;

/* ---- blocks ---- */
/* Whether an instruction is a branch; if it says where it leads, ``distance`` bytes after its
 * end, ``known`` becomes true. */
static bool is_branch(const uint8_t *code, size_t length, int64_t *distance, bool *known)
{
    size_t i = 0;
    while (i < length && (memchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", code[i], 11) ||
                          (code[i] & 0xf0) == 0x40))
        i++;
    if (i == length)
        return false;
    uint8_t op = code[i], next = i + 1 < length ? code[i + 1] : 0;
    bool near = (op & 0xf0) == 0x70 || (op & 0xfc) == 0xe0 || op == 0xeb;
    bool far = op == 0xe8 || op == 0xe9 || (op == 0x0f && (next & 0xf0) == 0x80);
    *known = near || (far && length >= 5);
    if (near) {
        *distance = (int8_t)code[length - 1];
    } else if (*known) {
        int32_t bytes;
        memcpy(&bytes, code + length - 4, sizeof bytes);
        *distance = bytes;
    }
    uint8_t kind = next >> 3 & 7;  /* of 0xff: calls and jumps by address */
    return *known || memchr("\xc2\xc3\xca\xcb\xcc\xcd\xcf", op, 7) ||
           (op == 0xff && kind >= 2 && kind <= 5) || (op == 0x0f && next == 0x05);
}

static uint32_t number_of(const struct block *block)
{
    uint64_t hash = (block->first * 31 + block->last) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = hash >> 40;; i++) {
        uint32_t *bucket = &self.buckets[i % BUCKETS];
        if (*bucket) {
            const struct block *known = &self.blocks[*bucket - 1];
            if (known->first == block->first && known->last == block->last)
                return *bucket - 1;
        } else if (self.count == MOST) {
            self.left_out++;
            return MOST;
        } else {
            self.blocks[self.count] = *block;
            *bucket = ++self.count;
            return *bucket - 1;
        }
    }
}

static void on_translate(plugin_id id, struct plugin_tb *tb)
{
    (void)id;
    struct plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0);
    struct plugin_insn *last = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);
    struct block block = { place_of(first), NONE, NONE, NONE };
    if (block.first == NONE)
        return;
    uint8_t code[16];
    size_t length = qemu_plugin_insn_data(last, code, sizeof code);
    int64_t distance = 0;
    bool known = false;
    if (is_branch(code, length, &distance, &known)) {
        block.last = place_of(last);
        block.after = block.last + length;
        block.target = known ? block.after + distance : NONE;
    }
    uint32_t number = number_of(&block);
    if (number < MOST)
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
            tb, STORE_U64, (plugin_u64){ self.score, number * sizeof(uint64_t) }, 1);
}

/* ---- telling ---- */
/* Any request asks for what has run since the last one. */
static void asked(char request)
{
    (void)request;
    /* Before anything has run, there may be no processor yet. */
    uint64_t *ran = self.count ? qemu_plugin_scoreboard_find(self.score, 0) : NULL;
    uint32_t hits = 0;
    for (uint32_t i = 0; i < self.count; i++) {
        self.hits[hits] = i;
        hits += ran[i] != 0;
        ran[i] = 0;
    }
    struct reply reply = { hits, self.count - self.told, self.left_out };
    write_all(&reply, sizeof reply);
    write_all(self.hits, hits * sizeof *self.hits);
    write_all(self.blocks + self.told, reply.blocks * sizeof *self.blocks);
    self.told = self.count;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!watching_option(argv[i]))
            return -1;
    if (!watching_begin(asked))
        return -1;
    self.score = qemu_plugin_scoreboard_new(MOST * sizeof(uint64_t));
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
