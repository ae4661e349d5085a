// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs when Linux does what Reveille does: the counterpart of benches/src/main.rs, operation for operation.
 * benches/linux/run builds it, and boots Linux with init.c, which loads it.
 *
 * Each operation stands between marks, which the plugin of benches/lines/ looks at. Besides, `bench NAME TICKS` is printed: QEMU's
 * counter is one tick per instruction here, so a difference of two reads is what all CPUs together have executed meanwhile, unless
 * all slept.
 *
 * It never returns: after its last operation it powers the machine off.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/stop_machine.h>

#include "marks.h"

/* Repetitions, as in benches/src/main.rs. */
#define ROUNDS 64
/* Turns of the loops around what takes only a few instructions. */
#define TURNS 1000

/* Who calls, and who is called. */
#define CALLER 0
#define OTHER 1

/* Nanoseconds: instructions. What is under way on other CPUs has ended by then. */
#define SETTLED 30000

/* Without a barrier before it: QEMU executes in order, and a barrier would be counted. */
static __always_inline u64 ticks(void)
{
	u64 value;

	asm volatile("mrs %0, cntvct_el0" : "=r"(value)::"memory");
	return value;
}

/* Passes the turn to the next vCPU. */
static __always_inline void give_way(void)
{
	asm volatile("yield" ::: "memory");
}

static void settle(void)
{
	u64 start = ticks();

	while (ticks() - start < SETTLED)
		give_way();
}

/* Ticks that a measurement of nothing takes. */
static u64 empty;

static void report(const char *name, u64 instructions)
{
	pr_err("bench %s %llu\n", name, instructions);
}

/*
 * Measures `operation` `rounds` times, each between the marks of this name: the smallest number of ticks, less those of the
 * measurement itself.
 */
#define LEAST(name, rounds, operation)                                         \
	({                                                                     \
		u64 least = U64_MAX, start, took;                              \
		unsigned int round;                                            \
                                                                               \
		for (round = 0; round < (rounds); round++) {                   \
			/* Begin with a fresh turn. */                         \
			give_way();                                            \
			start = ticks();                                       \
			MARK_BEGIN(name);                                      \
			operation;                                             \
			MARK_END(name);                                        \
			took = ticks() - start;                                \
			settle();                                              \
			least = min(least, took);                              \
		}                                                              \
		least - empty;                                                 \
	})

/*
 * Other CPUs compute. While they are `soft` they let a thread of higher rank have the CPU, without which `stop_machine` would wait
 * for ever: a thread in the kernel is not preempted here. Afterwards they do nothing else, as in benches/src/main.rs.
 */
static bool soft = true;
static atomic_t busy;

static int compute(void *unused)
{
	atomic_inc(&busy);
	while (READ_ONCE(soft)) {
		cond_resched();
		give_way();
	}
	atomic_inc(&busy);
	for (;;)
		give_way();
	return 0;
}

static int busy_callees(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct task_struct *thread;

		if (cpu == CALLER)
			continue;
		thread = kthread_create_on_cpu(compute, NULL, cpu, "compute/%u");
		if (IS_ERR(thread))
			return PTR_ERR(thread);
		wake_up_process(thread);
	}
	while (atomic_read(&busy) != num_online_cpus() - 1)
		give_way();
	settle();
	return 0;
}

static void harden_callees(void)
{
	WRITE_ONCE(soft, false);
	while (atomic_read(&busy) != 2 * (num_online_cpus() - 1))
		give_way();
	settle();
}

/* One CPU goes and comes back, as when its `online` in sysfs is written. The others are idle. */
static void hotplug(void)
{
	u64 down = U64_MAX, up = U64_MAX;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		int left, came;

		down = min(down, LEAST(cpu_down, 1, left = remove_cpu(OTHER)));
		up = min(up, LEAST(cpu_up, 1, came = add_cpu(OTHER)));
		if (left || came)
			pr_err("hotplug: %d, %d\n", left, came);
	}
	report("cpu_down", down);
	report("cpu_up", up);
}

static int nothing(void *unused)
{
	return 0;
}

static void nothing_there(void *unused)
{
}

struct question {
	u64 captured;
	u64 value;
};

static void answer(void *argument)
{
	struct question *question = argument;

	question->value = question->captured + 1;
}

static u64 posted;

static void count_post(void *unused)
{
	WRITE_ONCE(posted, posted + 1);
}

static void calls(void)
{
	static call_single_data_t post = CSD_INIT(count_post, NULL);
	u64 wrong = 0;

	report("sync_call", LEAST(sync_call, ROUNDS, smp_call_function_single(OTHER, nothing_there, NULL, 1)));
	report("sync_call_value", LEAST(sync_call_value, ROUNDS, ({
		struct question question = { .captured = round };

		smp_call_function_single(OTHER, answer, &question, 1);
		wrong += question.value != round + 1;
	})));
	report("post", LEAST(post, ROUNDS, wrong += !!smp_call_function_single_async(OTHER, &post)));
	report("on_each", LEAST(on_each, ROUNDS, smp_call_function(nothing_there, NULL, 1)));
	if (wrong || READ_ONCE(posted) != ROUNDS)
		pr_err("%llu calls went wrong, %llu posts arrived\n", wrong, posted);
}

static DEFINE_STATIC_KEY_FALSE(key);

static noinline bool ask(void)
{
	return static_branch_unlikely(&key);
}

static void keys(void)
{
	u64 both = LEAST(key_toggle, ROUNDS, ({
		static_branch_enable(&key);
		static_branch_disable(&key);
	}));

	report("key_toggle", both / 2);
	static_branch_enable(&key);
	if (!ask())
		pr_err("the key is not on\n");
}

static noinline u64 loop(u64 x, unsigned int turns)
{
	while (turns--) {
		asm volatile("");
		x ^= x << 13;
		x ^= x >> 7;
	}
	return x;
}

static noinline u64 loop_with_mask(u64 x, unsigned int turns)
{
	while (turns--) {
		unsigned long flags;

		local_irq_save(flags);
		x ^= x << 13;
		x ^= x >> 7;
		local_irq_restore(flags);
	}
	return x;
}

static DEFINE_SPINLOCK(lock);

static noinline u64 loop_with_lock(u64 x, unsigned int turns)
{
	while (turns--) {
		unsigned long flags;

		spin_lock_irqsave(&lock, flags);
		x ^= x << 13;
		x ^= x >> 7;
		spin_unlock_irqrestore(&lock, flags);
	}
	return x;
}

static void masks(void)
{
	u64 sum = 0, without = LEAST(none, ROUNDS, sum += loop(7, TURNS));

	report("irq_mask", (LEAST(none, ROUNDS, sum += loop_with_mask(7, TURNS)) - without) / TURNS);
	report("lock", (LEAST(none, ROUNDS, sum += loop_with_lock(7, TURNS)) - without) / TURNS);
	/* One at a time, for what is counted besides instructions. */
	LEAST(irq_mask, ROUNDS, sum += loop_with_mask(7, 1));
	LEAST(lock, ROUNDS, sum += loop_with_lock(7, 1));
	if (!sum)
		pr_err("nothing was computed\n");
}

/* Of what nobody exports: a probe finds it. */
static void *symbol(const char *name)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long (*lookup)(const char *name);

	if (register_kprobe(&probe))
		return NULL;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	return (void *)lookup(name);
}

/* What panic() calls for it in this configuration. */
static void (*send_stop)(void);

/*
 * As panic() does it, with interrupts masked. Every other CPU is stopped for good: so this is last, and measured once. Linux
 * writes a line about it, which goes into its log alone here: the console would be most of what is counted.
 */
static void stop_all(void)
{
	int level = console_loglevel;
	unsigned long flags;
	u64 took;

	console_loglevel = CONSOLE_LOGLEVEL_SILENT;
	local_irq_save(flags);
	took = LEAST(stop_all, 1, send_stop());
	local_irq_restore(flags);
	console_loglevel = level;
	if (num_online_cpus() != 1)
		pr_err("%u CPUs are online\n", num_online_cpus());
	report("stop_all", took);
}

/* PSCI's SYSTEM_OFF: what Linux would do before that takes the others. */
static void off(void)
{
	register u64 function asm("x0") = 0x84000008;

	asm volatile("hvc #0" : "+r"(function)::"x1", "x2", "x3", "memory");
}

/* Where the bring-up at boot begins and where it is over: the next thing that is called. For the plugin. */
static const char *const places[] = { "smp_init", "sched_init_smp" };

static int __init bench(void)
{
	unsigned int place;
	int error;

	for (place = 0; place < ARRAY_SIZE(places); place++)
		pr_err("place %s 0x%lx\n", places[place], (unsigned long)symbol(places[place]));
	send_stop = symbol("smp_send_stop");
	if (!send_stop)
		return -ENOENT;
	if (num_online_cpus() < 2)
		return -ENODEV;
	error = set_cpus_allowed_ptr(current, cpumask_of(CALLER));
	if (error)
		return error;
	empty = LEAST(none, ROUNDS, );
	hotplug();
	error = busy_callees();
	if (error)
		return error;
	report("stop_machine", LEAST(stop_machine, ROUNDS, stop_machine(nothing, NULL, NULL)));
	harden_callees();
	calls();
	keys();
	masks();
	stop_all();
	off();
	return -EIO;
}
module_init(bench);

MODULE_DESCRIPTION("What the calls of Linux cost that do what Reveille's do");
MODULE_LICENSE("GPL");
