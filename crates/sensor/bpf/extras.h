/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Acts of anybody against Muster, where the kernel has BPF among its security modules: an extra to `sys_exit`, which sees
 * them of lineages, with their result. These come before the act, and refuse none. They can be interrupted by another
 * program, and so have their record on the stack. */
#pragma once

#define SYS_KILL 62
#define SYS_PTRACE 101
#define SYS_PROCESS_VM_READV 310
#define SYS_PROCESS_VM_WRITEV 311
#define SYS_BPF 321
#define PTRACE_MODE_ATTACH 2

static __always_inline u32 daemon_tgid(void)
{
	u32 zero = 0;
	u32 *tgid = bpf_map_lookup_elem(&daemon, &zero);
	return tgid ? *tgid : 0;
}

/* Neither Muster itself nor in a lineage. */
static __always_inline bool is_outsider(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	return tgid != daemon_tgid() && !bpf_map_lookup_elem(&members, &tgid);
}

static __always_inline void send_call(u32 nr, u64 first, u64 second)
{
	struct head h = {};
	describe(&h, KIND_SYSCALL);
	h.nr = nr;
	h.args[0] = first;
	h.args[1] = second;
	count(QUEUE_LINEAGE, bpf_ringbuf_output(&lineage_ring, &h, sizeof(h), BPF_RB_NO_WAKEUP) < 0);
}

SEC("lsm/task_kill")
int task_kill(u64 *ctx)
{
	struct task_struct *target = (struct task_struct *)ctx[0];
	u32 tgid = BPF_CORE_READ(target, tgid);
	u32 signal = ctx[2];

	if (signal && tgid == daemon_tgid() && is_outsider())
		send_call(SYS_KILL, tgid, signal);
	return 0;
}

SEC("lsm/ptrace_access_check")
int ptrace_access_check(u64 *ctx)
{
	struct task_struct *target = (struct task_struct *)ctx[0];
	struct pt_regs *regs;
	u32 tgid = BPF_CORE_READ(target, tgid);
	u64 nr;

	/* To read is what `ps` does. */
	if (!((u32)ctx[1] & PTRACE_MODE_ATTACH) || tgid != daemon_tgid() || !is_outsider())
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	nr = BPF_CORE_READ(regs, orig_ax);
	if (nr == SYS_PTRACE)
		send_call(SYS_PTRACE, BPF_CORE_READ(regs, di), tgid);
	else if (nr == SYS_PROCESS_VM_WRITEV)
		send_call(SYS_PROCESS_VM_WRITEV, tgid, 0);
	else	/* or an open of /proc/N/mem, or pidfd_getfd: at the least, it can read */
		send_call(SYS_PROCESS_VM_READV, tgid, 0);
	return 0;
}

SEC("lsm/bpf")
int bpf_call(u64 *ctx)
{
	u32 command = ctx[0];

	switch (command) {
	/* What gives a hold on others' programs, maps and links (by number), or changes a link. */
	case 13: case 14: case 29: case 30: case 34:
		if (is_outsider())
			send_call(SYS_BPF, command, 0);
	}
	return 0;
}
