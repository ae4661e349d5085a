/*
 * A TCG plugin for QEMU: counts, between the marks of marks.h, what a machine pays for besides instructions. scripts/bench --lines builds and loads it.
 *
 * Every load and store of every vCPU goes through a table of the lines of RAM, 64 bytes each, as if each CPU had a cache that never gives anything
 * back (MESI without capacity). Counted for the CPU that makes the access:
 *
 *   moves     a load of a line that some CPU has written and this one does not hold, or a store to one that others hold and this one does not:
 *             the line comes from another cache
 *   upgrades  a store to a line that this CPU holds and others too: theirs are invalidated, nothing comes
 *   atomics   exclusive loads, exclusive stores, and the single instructions of FEAT_LSE
 *   dsb, isb  these
 *   gic       reads and writes of system registers of the GIC: the CPU interface, that of EL2 included
 *   mmio      loads and stores outside of RAM
 *
 * A single instruction that reads and writes (FEAT_LSE) asks for the line once, to write, and so does an exclusive load right behind a prefetch to
 * write (`prfm pst..`) of the same address. An access across two lines asks for both. Not seen: instruction fetches, walks of page tables, cache
 * maintenance, `dc zva`, FEAT_MOPS, other prefetches, devices that access RAM.
 *
 * For one TCG thread (-icount), aarch64, up to 64 vCPUs, and a QEMU whose program exports `current_cpu` and `qemu_get_cpu`, as Debian's does: since QEMU
 * 10.0 the vCPU that a plugin is told is, with one thread, the one that a block was translated for, not the one that executes it.
 *
 * Arguments: out=FILE. show=OPERATION (a number): what counts in that operation is listed, access by access. instructions=on: those of all CPUs are
 * counted too. at=ADDRESS:NUMBER, up to 16 times: the instruction at this virtual address is preceded by the mark of this number, for a kernel
 * that has none of its own there. The file:
 *
 *   sample OPERATION CPU ALL.. OWN..          a run of an operation that CPU began: what all CPUs did, and it alone, in the order above
 *   instructions OPERATION COUNT              behind each sample, with instructions=on: those between its marks, one mark included
 *   event OPERATION SAMPLE CPU WHAT PC AT     what was counted in the sample of that number, of that operation: the instruction's address is
 *                                             virtual, that of the memory physical
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marks.h"
#include "qemu.h"

#define EXPORTED __attribute__((visibility("default")))
#define MOST_CPUS 64
#define LINE 64

enum column { MOVES, UPGRADES, ATOMICS, DSB, ISB, GIC, MMIO, COLUMNS };
static const char *const COLUMN_NAMES[COLUMNS] = {"moves", "upgrades", "atomics", "dsb", "isb", "gic", "mmio"};

EXPORTED int qemu_plugin_version = 4;

static int cpu_count;
static FILE *out;
static int shown = -1;
static bool counts_instructions;
static uint64_t instructions;

/* Where marks are that no instruction is. */
static struct {
    uint64_t pc;
    unsigned number;
} places[16];
static size_t place_count;

static void *allocate(void *old, size_t size)
{
    void *new = realloc(old, size);
    if (!new) {
        fputs("lines: out of memory\n", stderr);
        abort();
    }
    return new;
}

/* Which vCPU executes. */

static void *(*get_cpu)(int index);
/* Of the only thread: where QEMU keeps the vCPU that it runs. */
static void *const *current;
static void *last;
static unsigned cpu;
static pthread_t thread;

static void find_current(void)
{
    if (!current) {
        thread = pthread_self();
        current = dlsym(RTLD_DEFAULT, "current_cpu");
    } else if (!pthread_equal(thread, pthread_self())) {
        fputs("lines: vCPUs in more than one thread: it takes -icount\n", stderr);
        abort();
    }
}

static void look_who(void)
{
    if (*current == last)
        return;
    for (cpu = 0; cpu < (unsigned)cpu_count; cpu++) {
        if (get_cpu(cpu) == *current) {
            last = *current;
            return;
        }
    }
    fputs("lines: an unknown vCPU\n", stderr);
    abort();
}

/* What was counted. */

static uint64_t all[COLUMNS], own[MOST_CPUS][COLUMNS];

struct event {
    unsigned sample, cpu;
    enum column column;
    uint64_t pc, address;
};
static struct event *events;
static size_t event_count, event_room;

/* The operations: what stood there when the run began that is going on, and how many have ended. */
static struct {
    bool runs;
    unsigned cpu, ended;
    uint64_t all[COLUMNS], own[COLUMNS], instructions;
} operations[MARK_OPERATIONS];

static void count(enum column column, uint64_t pc, uint64_t address)
{
    all[column]++;
    own[cpu][column]++;
    if (shown < 0 || !operations[shown].runs)
        return;
    if (event_count == event_room) {
        event_room = event_room ? 2 * event_room : 1024;
        events = allocate(events, event_room * sizeof *events);
    }
    events[event_count++] = (struct event){operations[shown].ended, cpu, column, pc, address};
}

/* The lines of RAM, by pages of 4 KiB, which a hash table finds. */

struct line {
    uint64_t holders; /* a bit for each CPU */
    bool is_written;
};
struct page {
    uint64_t number;
    struct page *next;
    struct line lines[4096 / LINE];
};
static struct page *buckets[1 << 16], *last_page;

static struct line *line_at(uint64_t address)
{
    uint64_t number = address >> 12;
    if (!last_page || last_page->number != number) {
        struct page **bucket = &buckets[(number ^ number >> 16) & 0xffff];
        struct page *page = *bucket;
        while (page && page->number != number)
            page = page->next;
        if (!page) {
            page = allocate(NULL, sizeof *page);
            memset(page, 0, sizeof *page);
            page->number = number;
            page->next = *bucket;
            *bucket = page;
        }
        last_page = page;
    }
    return &last_page->lines[address % 4096 / LINE];
}

static void access_line(uint64_t address, bool writes, uint64_t pc)
{
    struct line *line = line_at(address);
    uint64_t mine = UINT64_C(1) << cpu;
    if (!(line->holders & mine)) {
        if (writes ? line->holders != 0 : line->is_written)
            count(MOVES, pc, address);
    } else if (writes && line->holders != mine) {
        count(UPGRADES, pc, address);
    }
    line->holders = writes ? mine : line->holders | mine;
    line->is_written |= writes;
}

/* What QEMU calls as instructions execute. */

/* The lowest bit of the data is set for an instruction that reads and writes; the others are its address. */
#define READS_AND_WRITES 1

static void on_access(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    uint64_t pc = (uintptr_t)data & ~(uint64_t)READS_AND_WRITES, size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    bool writes = qemu_plugin_mem_is_store(info) || (uintptr_t)data & READS_AND_WRITES;
    const struct qemu_plugin_hwaddr *place = qemu_plugin_get_hwaddr(info, address);
    (void)vcpu;
    if (!place)
        return;
    look_who();
    if (qemu_plugin_hwaddr_is_io(place)) {
        count(MMIO, pc, qemu_plugin_hwaddr_phys_addr(place));
        return;
    }
    access_line(qemu_plugin_hwaddr_phys_addr(place), writes, pc);
    if (address % LINE + size > LINE) {
        place = qemu_plugin_get_hwaddr(info, address + size - 1);
        if (place)
            access_line(qemu_plugin_hwaddr_phys_addr(place), writes, pc);
    }
}

/* An instruction of a column: one function for each, the data is its address. */
#define ON(name, column)                               \
    static void on_##name(unsigned vcpu, void *data) \
    {                                                  \
        (void)vcpu;                                    \
        look_who();                                    \
        count(column, (uintptr_t)data, 0);             \
    }
ON(atomic, ATOMICS)
ON(dsb, DSB)
ON(isb, ISB)
ON(gic, GIC)

static void on_instruction(unsigned vcpu, void *data)
{
    (void)vcpu, (void)data;
    instructions++;
}

static void on_mark(unsigned vcpu, void *data)
{
    unsigned number = (uintptr_t)data & ~MARK_IS_END;
    int i;
    (void)vcpu;
    look_who();
    if (number >= MARK_OPERATIONS)
        return;
    if (!((uintptr_t)data & MARK_IS_END)) {
        operations[number].runs = true;
        operations[number].cpu = cpu;
        memcpy(operations[number].all, all, sizeof all);
        memcpy(operations[number].own, own[cpu], sizeof own[cpu]);
        operations[number].instructions = instructions;
    } else if (operations[number].runs) {
        unsigned caller = operations[number].cpu;
        operations[number].runs = false;
        operations[number].ended++;
        fprintf(out, "sample %u %u", number, caller);
        for (i = 0; i < COLUMNS; i++)
            fprintf(out, " %" PRIu64, all[i] - operations[number].all[i]);
        for (i = 0; i < COLUMNS; i++)
            fprintf(out, " %" PRIu64, own[caller][i] - operations[number].own[i]);
        fputc('\n', out);
        if (counts_instructions)
            fprintf(out, "instructions %u %" PRIu64 "\n", number, instructions - operations[number].instructions);
    }
}

/* Which instructions are which. */

static bool is_atomic(uint32_t word, bool *reads_and_writes)
{
    *reads_and_writes = false;
    /* CAS, CASP, and the atomic memory operations, of which LDAPR has the form alone. */
    if ((word & 0x3fa07c00) == 0x08a07c00 || (word & 0xbfa07c00) == 0x08207c00
        || ((word & 0x3f200c00) == 0x38200000 && (word & 0x3ffffc00) != 0x38bfc000)) {
        *reads_and_writes = true;
        return true;
    }
    /* LDXR, STXR, LDXP, STXP, with acquire and release or without. */
    return (word & 0x3f800000) == 0x08000000;
}

/* PRFM PST* of an address in a register, and an exclusive load through the same register. */
static bool is_wanted_to_write(uint32_t before, uint32_t word)
{
    return (before & 0xfffffc18) == 0xf9800010 && (word & 0x3fc00000) == 0x08400000 && ((before ^ word) >> 5 & 31) == 0;
}

static bool is_dsb(uint32_t word)
{
    /* The second is DSB with nXS. */
    return (word & 0xfffff0ff) == 0xd503309f || (word & 0xfffff3ff) == 0xd503323f;
}

static bool is_isb(uint32_t word)
{
    return (word & 0xfffff0ff) == 0xd50330df;
}

/* MRS and MSR of ICC_PMR_EL1, or of what has CRn 12 and CRm from 8 on: ICC_*, ICH_*. */
static bool is_gic(uint32_t word)
{
    unsigned crn = word >> 12 & 15, crm = word >> 8 & 15;
    if ((word & 0xffd80000) != 0xd5180000)
        return false;
    return (crn == 12 && crm >= 8) || (word & 0x7ffe0) == 0x4600;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    size_t i, place, length = qemu_plugin_tb_n_insns(block);
    uint32_t before = 0;
    (void)id;
    find_current();
    for (i = 0; i < length; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        uint64_t pc = qemu_plugin_insn_vaddr(instruction);
        qemu_plugin_vcpu_udata_cb_t call = NULL;
        uintptr_t data = pc;
        uint32_t word = 0;
        bool reads_and_writes;
        qemu_plugin_insn_data(instruction, &word, sizeof word);
        if (is_atomic(word, &reads_and_writes)) {
            reads_and_writes |= is_wanted_to_write(before, word);
            call = on_atomic;
        } else if (is_dsb(word)) {
            call = on_dsb;
        } else if (is_isb(word)) {
            call = on_isb;
        } else if (is_gic(word)) {
            call = on_gic;
        } else if ((word & 0xffe0001f) == MARK_INSTRUCTION(0)) {
            call = on_mark;
            data = word >> 5 & 0xffff;
        }
        for (place = 0; place < place_count; place++) {
            if (places[place].pc == pc)
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)places[place].number);
        }
        if (counts_instructions)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_instruction, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (call)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, call, QEMU_PLUGIN_CB_NO_REGS, (void *)data);
        qemu_plugin_register_vcpu_mem_cb(instruction, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                         (void *)(uintptr_t)(pc | (reads_and_writes ? READS_AND_WRITES : 0)));
        before = word;
    }
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
    size_t i;
    (void)id, (void)data;
    for (i = 0; i < event_count; i++) {
        const struct event *event = &events[i];
        fprintf(out, "event %d %u %u %s 0x%" PRIx64 " 0x%" PRIx64 "\n", shown, event->sample, event->cpu, COLUMN_NAMES[event->column], event->pc,
                event->address);
    }
    fputs("end\n", out);
    fclose(out);
}

static int refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("lines: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return -1;
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    int i;
    if (!info->system_emulation || strcmp(info->target_name, "aarch64"))
        return refuse("it is for machines of aarch64, not for %s", info->target_name);
    cpu_count = info->system.max_vcpus;
    if (cpu_count > MOST_CPUS)
        return refuse("it has room for %d CPUs, not for %d", MOST_CPUS, cpu_count);
    *(void **)&get_cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    if (!get_cpu || !dlsym(RTLD_DEFAULT, "current_cpu"))
        return refuse("this QEMU does not export current_cpu and qemu_get_cpu, as Debian's does");
    for (i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) {
            out = fopen(argv[i] + 4, "w");
            if (!out)
                return refuse("cannot write %s", argv[i] + 4);
        } else if (!strcmp(argv[i], "instructions=on")) {
            counts_instructions = true;
        } else if (place_count < sizeof places / sizeof *places
                   && sscanf(argv[i], "at=%" SCNx64 ":%u", &places[place_count].pc, &places[place_count].number) == 2) {
            place_count++;
        } else if (sscanf(argv[i], "show=%d", &shown) != 1 || shown < 0 || shown >= MARK_OPERATIONS) {
            return refuse("what is %s?", argv[i]);
        }
    }
    if (!out)
        return refuse("it takes out=FILE");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
