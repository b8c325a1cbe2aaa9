/*
 * bytecode: tells which code of Python programs has run. It adds calls to translated code of the
 * interpreter, and neither counts nor changes anything that the guest could see, with one exception
 * that is asked for: conditional jumps that are turned.
 *
 * CPython's loop loads each instruction of byte code, two bytes, from the code object of the
 * function that runs. So where these loads go says what ran. A code object is found before such a
 * place by its type, and has the names of its file and function and its table of lines. Where the
 * loop is in which file, and where the fields of objects are in its version, the options say.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "watching.h"

#include <stdio.h>

typedef uint32_t plugin_meminfo;
struct plugin_hwaddr;
enum { NO_REGISTERS = 0, READS = 1 };
void qemu_plugin_register_vcpu_mem_cb(struct plugin_insn *,
                                      void (*)(unsigned, plugin_meminfo, uint64_t, void *),
                                      int flags, int rw, void *);
struct plugin_hwaddr *qemu_plugin_get_hwaddr(plugin_meminfo, uint64_t);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct plugin_hwaddr *);
bool qemu_plugin_read_memory_vaddr(uint64_t, GByteArray *, size_t);
uint64_t cpu_get_phys_page_debug(CPUState *, uint64_t address);

#define MOST_INTERPRETERS 16
#define MOST_UNITS (1u << 18)      /* instructions of byte code that are told apart */
#define MOST_OBJECTS (1u << 16)
#define MOST_BYTES (256u << 20)    /* that all objects have */
#define LONGEST_NAME 4096u         /* characters */
#define LONGEST_TABLE (1u << 20)   /* bytes */
#define LARGEST_CODE (1u << 17)    /* bytes of code of one object */
#define STEP 4096                  /* bytes that are looked through at once */
#define ALIGNED 16u                /* how objects are aligned */
#define PAGE 4096u
#define NO_OBJECT UINT32_MAX
#define MOST_TURNED 64u            /* jumps */
#define OPCODES 256

/* Offsets in objects that are the same in all versions of Python that are known. */
enum { TYPE = 8, SIZE = 16, TYPE_NAME = 24, CONSTANTS = 24, STATE = 32, BYTES = 32, FLAGS = 48,
       VERSION = 88 };              /* from 3.12 on each code object has a number of its own there */
enum { NEW_LOCALS = 2 };           /* of these flags: it is a function */

/* Where the loop is in the module, and offsets in a code object: the names of the file and the
 * function, the table of lines, the first line, the code; and where the text of a string is. For
 * each opcode of a conditional jump, that of the opposite one; 0: it is none. */
struct interpreter {
    uint64_t first, last;
    uint32_t file, function, table, line, code, text;
    uint8_t opposite[OPCODES];
};

/* An instruction that has run: by its place in memory, physical and virtual, as processes use the
 * same memory one after the other. So does one process for the code of functions: ``head``, of the
 * code object that it belongs to, has to say the same as when it was found. */
struct unit {
    uint64_t physical, address, said;
    const uint8_t *head;           /* NULL: it never changes, or there is none */
    uint32_t object, offset, when;
};
struct seen { uint64_t address, file, function, table, said; uint32_t object; };
struct object { uint32_t line, file, function, table, kinds, flags; char bytes[]; };
struct told { uint32_t object, offset, jump; };   /* jump: its opcode if it is a conditional one */
struct jump { uint32_t line, file, function, kinds, offset, opcode; char *names; };
struct reply { uint32_t units, objects, bytes, left_out; uint64_t loads; };

EXPORT int qemu_plugin_version = 4;
static struct {
    struct interpreter interpreters[MOST_INTERPRETERS];
    uint32_t interpreter_count, unit_count, told_count, object_count, object_told;
    uint32_t bytes, bytes_told, left_out, now;
    struct unit units[2 * MOST_UNITS];   /* by hash; when 0: none */
    struct told told[MOST_UNITS];        /* what has run, in the order of its first time */
    struct seen seen[2 * MOST_OBJECTS];  /* by hash; address 0: none */
    uint32_t seen_count;
    struct object *objects[MOST_OBJECTS];
    uint32_t buckets[2 * MOST_OBJECTS];  /* by hash: number of an object plus 1; 0: none */
    struct jump turned[MOST_TURNED];
    uint32_t turned_count;
    uint64_t loads;                /* since all was forgotten */
    GByteArray *read;
} self = { .now = 1 };

/* ---- the guest's memory, as its process sees it now ---- */
static const uint8_t *memory(uint64_t address, size_t length)
{
    return qemu_plugin_read_memory_vaddr(address, self.read, length) ? self.read->data : NULL;
}

static uint64_t word(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t hash_of(const void *data, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

/* ---- code objects ---- */
static bool is_code(uint64_t type)
{
    if (type < 4096 || type >> 47)
        return false;
    const uint8_t *at = memory(type + TYPE_NAME, 8);
    at = at ? memory(word(at), 5) : NULL;
    return at && memcmp(at, "code", 5) == 0;
}

/* The code object that has an instruction at this address; 0: none. */
static uint64_t find_code(const struct interpreter *python, uint64_t address)
{
    uint64_t last = (address - python->code) & ~(uint64_t)(ALIGNED - 1);
    uint64_t least = address > LARGEST_CODE ? address - LARGEST_CODE : 0;
    uint8_t piece[STEP + SIZE + 8];
    for (uint64_t end = last + ALIGNED; end > least;) {
        uint64_t start = (end - 1) & ~(uint64_t)(STEP - 1);
        size_t length = end - start + SIZE + 8 - ALIGNED;
        const uint8_t *found = memory(start, length);
        if (!found)
            return 0;
        memcpy(piece, found, length);
        for (uint64_t at = end - ALIGNED;; at -= ALIGNED) {
            const uint8_t *header = piece + (at - start);
            uint64_t count = word(header + SIZE), before = (address - at - python->code) / 2;
            if (count > before && count < LARGEST_CODE / 2 && is_code(word(header + TYPE)))
                return at;
            if (at == start)
                break;
        }
        end = start;
    }
    return 0;
}

/* What a string has: its characters and how many bytes each has. False: it has too many. */
static bool text_of(const struct interpreter *python, uint64_t string, uint64_t *at,
                    uint32_t *length, uint32_t *kind)
{
    const uint8_t *header = memory(string, STATE + 4);
    if (!header || word(header + SIZE) > LONGEST_NAME)
        return false;
    uint32_t state;
    memcpy(&state, header + STATE, sizeof state);
    bool ascii = state >> 6 & 1;
    *kind = state >> 2 & 7;
    *length = word(header + SIZE) * *kind;
    *at = string + python->text + (ascii ? 0 : 16);
    return *kind == 1 || *kind == 2 || *kind == 4;
}

static uint32_t number_of(struct object *made, size_t length)
{
    uint64_t hash = hash_of(made, length);
    for (uint32_t i = hash;; i++) {
        uint32_t *bucket = &self.buckets[i % (2 * MOST_OBJECTS)];
        if (!*bucket) {
            self.objects[self.object_count] = made;
            self.bytes += length;
            *bucket = ++self.object_count;
            return *bucket - 1;
        }
        const struct object *known = self.objects[*bucket - 1];
        size_t size = sizeof *known + known->file + known->function + known->table;
        if (size == length && memcmp(known, made, length) == 0) {
            free(made);
            return *bucket - 1;
        }
    }
}

/* The number of the object that has these parts. */
static uint32_t read_object(const struct interpreter *python, const struct seen *parts,
                            uint32_t line, uint32_t flags)
{
    uint64_t file, function;
    uint32_t file_length, function_length, file_kind, function_kind;
    const uint8_t *table = memory(parts->table + SIZE, 8);
    uint64_t table_length = table ? word(table) : NONE;
    if (table_length > LONGEST_TABLE ||
        !text_of(python, parts->file, &file, &file_length, &file_kind) ||
        !text_of(python, parts->function, &function, &function_length, &function_kind))
        return NO_OBJECT;
    size_t length = sizeof(struct object) + file_length + function_length + table_length;
    if (self.object_count == MOST_OBJECTS || self.bytes + length > MOST_BYTES) {
        self.left_out++;
        return NO_OBJECT;
    }
    struct object *made = malloc(length);
    if (!made)
        return NO_OBJECT;
    *made = (struct object){ line, file_length, function_length, (uint32_t)table_length,
                             file_kind | function_kind << 8, flags & NEW_LOCALS };
    char *to = made->bytes;
    const struct { uint64_t from; size_t length; } pieces[] = {
        { file, file_length }, { function, function_length }, { parts->table + BYTES, table_length }
    };
    for (int i = 0; i < 3; to += pieces[i++].length) {
        const uint8_t *found = memory(pieces[i].from, pieces[i].length);
        if (!found) {
            free(made);
            return NO_OBJECT;
        }
        memcpy(to, found, pieces[i].length);
    }
    return number_of(made, length);
}

/* Where a code object lies in the guest's memory. */
static const uint8_t *head_of(const struct unit *unit, uint64_t at)
{
    uint64_t page = unit->physical & ~(uint64_t)(PAGE - 1);
    if (at / PAGE != unit->address / PAGE)
        page = cpu_get_phys_page_debug(qemu_get_cpu(0), at);
    return page < watching.ram_size ? watching.ram + page + at % PAGE : NULL;
}

/* What a code object says of itself, mixed; as far as it is on the page on which it begins. */
static uint64_t said_by(const struct interpreter *python, const uint8_t *head)
{
    const uint32_t fields[] = { TYPE, SIZE, CONSTANTS, VERSION, python->file, python->function,
                                python->table, python->line };
    size_t left = PAGE - (uintptr_t)head % PAGE;
    uint64_t mixed = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields && fields[i] + 8 <= left; i++)
        mixed = (mixed ^ word(head + fields[i])) * 0x9e3779b97f4a7c15u;
    return mixed;
}

/* The object that has an instruction, and how far in its code that is. */
static uint32_t object_of(const struct interpreter *python, struct unit *unit)
{
    uint64_t at = find_code(python, unit->address);
    const uint8_t *header = at ? memory(at, python->code) : NULL;
    if (!header)
        return NO_OBJECT;
    unit->head = head_of(unit, at);
    unit->said = unit->head ? said_by(python, unit->head) : 0;
    uint32_t line, flags;
    memcpy(&line, header + python->line, sizeof line);
    memcpy(&flags, header + FLAGS, sizeof flags);
    struct seen parts = { at, word(header + python->file), word(header + python->function),
                          word(header + python->table), unit->said, 0 };
    unit->offset = unit->address - at - python->code;
    for (uint32_t i = hash_of(&parts, offsetof(struct seen, object));; i++) {
        struct seen *seen = &self.seen[i % (2 * MOST_OBJECTS)];
        if (seen->address && memcmp(seen, &parts, offsetof(struct seen, object)) == 0)
            return seen->object;
        if (!seen->address) {
            parts.object = read_object(python, &parts, line, flags);
            if (self.seen_count < MOST_OBJECTS) {
                self.seen_count++;
                *seen = parts;
            }
            return parts.object;
        }
    }
}

/* ---- turning conditional jumps ---- */
static bool belongs(const struct jump *jump, const struct object *object)
{
    return jump->line == object->line && jump->file == object->file &&
           jump->function == object->function && jump->kinds == object->kinds &&
           memcmp(jump->names, object->bytes, (size_t)jump->file + jump->function) == 0;
}

/* A function that is met for the first time gets its turned jumps: the opposite ones take their
 * places in its code, in this process. Where code does not belong to a process alone, it stays. */
static void turn(const struct interpreter *python, const struct unit *unit)
{
    for (uint32_t i = 0; i < self.turned_count; i++) {
        const struct jump *jump = &self.turned[i];
        if (!belongs(jump, self.objects[unit->object]))
            continue;
        uint64_t address = unit->address - unit->offset + jump->offset;
        uint64_t page = address / PAGE == unit->address / PAGE
                            ? unit->physical & ~(uint64_t)(PAGE - 1)
                            : cpu_get_phys_page_debug(qemu_get_cpu(0), address);
        uint8_t opposite = python->opposite[jump->opcode % OPCODES];
        if (page >= watching.ram_size || !opposite)
            continue;
        uint8_t *opcode = watching.ram + page + address % PAGE;
        if (*opcode == jump->opcode)
            *opcode = opposite;
    }
}

/* ---- what runs ---- */
static uint8_t opcode_at(const struct interpreter *python, uint64_t physical)
{
    uint8_t opcode = physical < watching.ram_size ? watching.ram[physical] : 0;
    return python->opposite[opcode] ? opcode : 0;
}

static void on_load(unsigned cpu, plugin_meminfo info, uint64_t address, void *python)
{
    (void)cpu;
    self.loads++;
    struct plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (!where)
        return;
    uint64_t physical = qemu_plugin_hwaddr_phys_addr(where);
    uint64_t hash = (physical ^ address << 20) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = hash >> 40;; i++) {
        struct unit *unit = &self.units[i % (2 * MOST_UNITS)];
        if (unit->when && (unit->physical != physical || unit->address != address))
            continue;
        if (!unit->when && self.unit_count++ == MOST_UNITS) {
            self.unit_count--;
            self.left_out++;
            return;
        }
        if (!unit->when || (unit->head && said_by(python, unit->head) != unit->said)) {
            *unit = (struct unit){ .physical = physical, .address = address };
            unit->object = object_of(python, unit);
            if (unit->object != NO_OBJECT)
                turn(python, unit);
        }
        if (unit->when != self.now && unit->object != NO_OBJECT) {
            /* More than there are units: places in memory may be used again and again. */
            if (self.told_count == MOST_UNITS)
                self.left_out++;
            else
                self.told[self.told_count++] =
                    (struct told){ unit->object, unit->offset, opcode_at(python, physical) };
        }
        unit->when = self.now;
        return;
    }
}

/* Whether an instruction loads two bytes: movzx r32, word ptr [...]. */
static bool loads_two(const uint8_t *code, size_t length)
{
    size_t i = length && (code[0] & 0xf0) == 0x40;
    return i + 2 < length && code[i] == 0x0f && code[i + 1] == 0xb7 && code[i + 2] >> 6 != 3;
}

static void on_translate(plugin_id id, struct plugin_tb *tb)
{
    (void)id;
    uint64_t start = place_of(qemu_plugin_tb_get_insn(tb, 0));
    struct interpreter *python = self.interpreters;
    struct interpreter *end = python + self.interpreter_count;
    while (python < end && (start < python->first || start >= python->last))
        python++;
    if (start == NONE || python == end)
        return;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint8_t code[16];
        if (loads_two(code, qemu_plugin_insn_data(insn, code, sizeof code)))
            qemu_plugin_register_vcpu_mem_cb(insn, on_load, NO_REGISTERS, READS, python);
    }
}

/* ---- telling ---- */
static void forget(void)
{
    memset(self.units, 0, sizeof self.units);
    memset(self.seen, 0, sizeof self.seen);
    self.unit_count = self.seen_count = self.told_count = self.left_out = 0;
    self.loads = 0;
}

/* Take in which jumps are turned from now on, in place of those before: their number, then each. */
static void take_turned(void)
{
    while (self.turned_count)
        free(self.turned[--self.turned_count].names);
    uint32_t count, fields[6];
    read_all(&count, sizeof count);
    if (count > MOST_TURNED)
        _exit(0);
    while (self.turned_count < count) {
        read_all(fields, sizeof fields);
        struct jump jump = { fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], 0 };
        if (jump.file > 4 * LONGEST_NAME || jump.function > 4 * LONGEST_NAME)
            _exit(0);
        jump.names = malloc(jump.file + jump.function + 1);
        if (!jump.names)
            _exit(0);
        read_all(jump.names, jump.file + jump.function);
        self.turned[self.turned_count++] = jump;
    }
}

/* "?" asks for what has run since the last request, "n" how many instructions; "f" has everything forgotten, before the
 * machine becomes another one, and so has "t", which says which jumps are turned. */
static void asked(char request)
{
    if (request == 'f' || request == 't') {
        forget();
        if (request == 't')
            take_turned();
        return;
    }
    if (request == 'n') {
        write_all(&self.loads, sizeof self.loads);
        return;
    }
    struct reply reply = { self.told_count, self.object_count - self.object_told,
                           self.bytes - self.bytes_told, self.left_out, self.loads };
    write_all(&reply, sizeof reply);
    write_all(self.told, self.told_count * sizeof *self.told);
    for (; self.object_told < self.object_count; self.object_told++) {
        const struct object *object = self.objects[self.object_told];
        write_all(object, sizeof *object + object->file + object->function + object->table);
    }
    self.bytes_told = self.bytes;
    self.told_count = 0;
    self.now++;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        struct interpreter *python = &self.interpreters[self.interpreter_count];
        int end = 0;
        if (self.interpreter_count < MOST_INTERPRETERS &&
            sscanf(argv[i], "python=%lu:%lu:%u:%u:%u:%u:%u:%u%n", &python->first, &python->last,
                   &python->file, &python->function, &python->table, &python->line, &python->code,
                   &python->text, &end) == 8) {
            uint8_t some, other;
            for (const char *at = argv[i] + end; sscanf(at, ":%hhu-%hhu%n", &some, &other, &end) == 2;
                 at += end) {
                python->opposite[some] = other;
                python->opposite[other] = some;
            }
            self.interpreter_count++;
        }
        else if (!watching_option(argv[i]))
            return -1;
    }
    if (!watching_begin(asked))
        return -1;
    self.read = g_byte_array_new();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
