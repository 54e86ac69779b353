// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The probes. What is read and why: ARCHITECTURE.md, "Sensor". Each program keeps its own part of the scratch memory short
 * and leaves every decision that can wait to user space. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SCRATCH_SIZE 32768
#define OFF_MAX 0x3fff		/* a blob may begin up to here: what follows has room for the longest */
#define TEXT_MAX 4096		/* PATH_MAX */
#define BULK_MAX 12288		/* argv, env: in one record */
#define ARGV_CHUNKS 16		/* of BULK_MAX more: the kernel allows 128 KiB in one argument */
#define DEPTH_MAX 80		/* components and mounts of one path */
#define SENSITIVE_DEPTH 6
#define DATA_MAX 4096
#define AT_FDCWD (-100)
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

enum queue { QUEUE_PROCESS, QUEUE_LINEAGE, QUEUE_NETWORK, QUEUE_MEMBERS, QUEUES };

/* `outputs`: 1 + the place of the stream that it began as its standard output, and in the upper half as its standard error. */
struct member { u64 start; u32 flags; u32 outputs; };
/* MEMBER_HARNESS: set by user space, inherited until the next exec: what that executes is a command of the agent's. */
enum { MEMBER_URING = 1, MEMBER_EXEC_MEMORY = 2, MEMBER_HARNESS = 4 };
struct owner { u64 start; u64 cgroup; u32 tgid; u32 uid; char comm[16]; };
struct file_key { u64 inode; u64 device; };
struct name_key { char name[16]; };
struct scratch { u8 data[SCRATCH_SIZE]; };
struct packet { struct head head; u16 tag; u16 len; struct address address; u16 data_tag; u16 data_len; u8 data[DATA_MAX]; };

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 8 << 20); } process_ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 32 << 20); } lineage_ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4 << 20); } network_ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 65536); __type(key, u32); __type(value, struct member); } members SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, u64); __type(value, u32); } cgroups SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, struct file_key); __type(value, u32); } executables SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, struct name_key); __type(value, u32); } sensitive SEC(".maps");
/* By its first byte: which second bytes (their lower six bits) a sensitive name may have. */
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 256); __type(key, u32); __type(value, u64); } sensitive_starts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 512); __type(key, u32); __type(value, u64); } recipes SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } uring_operations SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 16384); __type(key, u64); __type(value, struct owner); } owners SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 16384); __type(key, u32); __type(value, struct address); } pending SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct scratch); } scratches SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct packet); } packets SEC(".maps");
/* The process that loaded the probes. */
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u32); } daemon SEC(".maps");
/* Per queue: records sent, records lost. */
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2 * QUEUES); __type(key, u32); __type(value, u64); } counters SEC(".maps");

static __always_inline void count(u32 queue, bool lost)
{
	u32 key = 2 * queue + lost;
	u64 *value = bpf_map_lookup_elem(&counters, &key);
	if (value)
		*value += 1;
}

static __always_inline struct scratch *scratch(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline void send(void *ring, u32 queue, struct scratch *s, u64 len)
{
	if (len > SCRATCH_SIZE)
		len = SCRATCH_SIZE;
	/* The reader looks by itself every few milliseconds: no wake-up is paid for here. */
	count(queue, bpf_ringbuf_output(ring, s, len, BPF_RB_NO_WAKEUP) < 0);
}

static __always_inline struct head *head_of(struct scratch *s)
{
	return (struct head *)s->data;
}

static __always_inline void put_tag(struct scratch *s, u64 off, u16 tag, u64 len)
{
	u16 *at = (u16 *)&s->data[off & OFF_MAX];
	at[0] = tag;
	at[1] = len;
}

static __always_inline void describe(struct head *h, u16 kind)
{
	/* Read as the kernel's own types, without a helper call for each step: a third of what a record costs. */
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	struct task_struct *parent = leader->real_parent;
	struct signal_struct *signal = task->signal;
	u64 ids = bpf_get_current_pid_tgid();

	h->kind = kind;
	h->flags = 0;
	h->nr = 0;
	h->boot_ns = bpf_ktime_get_boot_ns();
	h->start = leader->start_boottime;
	h->tgid = ids >> 32;
	h->tid = ids;
	h->uid = bpf_get_current_uid_gid();
	h->session = signal->pids[3]->numbers[0].nr;
	h->group = signal->pids[2]->numbers[0].nr;
	h->parent = parent->tgid;
	h->parent_start = parent->group_leader->start_boottime;
	h->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(h->comm, sizeof(h->comm));
	h->ret = 0;
	__builtin_memset(h->args, 0, sizeof(h->args));
}

static __always_inline void fill_head(struct scratch *s, u16 kind)
{
	describe(head_of(s), kind);
}

/* The path of a dentry on a mount, component by component, across mounts. Functions that are not static are checked once
 * by the verifier, for any argument, however often they are called. */
__noinline u64 put_walk(u64 off, u64 tag, u64 dentry_at, u64 mount_at)
{
	struct scratch *s = scratch();
	struct dentry *dentry = (struct dentry *)dentry_at;
	struct mount *mount = (struct mount *)(mount_at - bpf_core_field_offset(struct mount, mnt));
	struct dentry *root = BPF_CORE_READ(mount, mnt.mnt_root);
	u64 end = off + 4;

	if (!s || off > OFF_MAX)
		return off;
	for (int i = 0; i < DEPTH_MAX; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		long n;
		/* Changes nothing, but gives every round the same bounds: without it the verifier of 6.1 tries each way to
		 * share the rounds between names and mounts. */
		asm volatile("" : "+r"(end));
		end &= 2 * OFF_MAX + 1;
		if (dentry == root) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount || !above)
				goto whole;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			root = BPF_CORE_READ(mount, mnt.mnt_root);
			continue;
		}
		if (end > OFF_MAX)
			break;
		n = bpf_probe_read_kernel_str(&s->data[end & OFF_MAX], 256, BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0)
			goto whole;
		end += n;
		if (dentry == parent)
			goto whole;	/* in no folder: memfd, pipe */
		dentry = parent;
	}
	head_of(s)->flags |= FLAG_CUT_PATH;
whole:
	put_tag(s, off, tag, end - off - 4);
	return end;
}

static __always_inline struct file *file_of(u64 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = task->files->fdt;
	struct file *file = 0;

	if (fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

__noinline u64 put_file_info(u64 off, u64 file_at)
{
	struct scratch *s = scratch();
	struct file *file = (struct file *)file_at;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	struct mount *mount = (struct mount *)((u64)mnt - bpf_core_field_offset(struct mount, mnt));
	struct file_info *info;

	if (!s || off > OFF_MAX)
		return off;
	info = (struct file_info *)&s->data[(off & OFF_MAX) + 4];
	info->inode = BPF_CORE_READ(inode, i_ino);
	info->device = BPF_CORE_READ(sb, s_dev);
	info->magic = BPF_CORE_READ(sb, s_magic);
	info->links = BPF_CORE_READ(inode, i_nlink);
	info->mode = BPF_CORE_READ(inode, i_mode);
	/* An error value for mounts that the kernel made for itself. */
	info->internal = (s64)BPF_CORE_READ(mount, mnt_ns) < 0 && (s64)BPF_CORE_READ(mount, mnt_ns) >= -4095;
	info->open_mode = BPF_CORE_READ(file, f_mode);
	put_tag(s, off, TAG_FILE, sizeof(*info));
	return off + 4 + sizeof(*info);
}

static __always_inline u64 put_file_path(u64 off, u64 tag, struct file *file)
{
	return put_walk(off, tag, (u64)BPF_CORE_READ(file, f_path.dentry), (u64)BPF_CORE_READ(file, f_path.mnt));
}

static __always_inline bool begins(const char *text, const char *with, u32 len)
{
	for (u32 i = 0; i < len; i++)
		if (text[i] != with[i])
			return 0;
	return 1;
}

/* N of a leading `/proc/self/fd/N`, `/proc/thread-self/fd/N` or `/dev/fd/N`; -1 for anything else. */
static __always_inline s64 leading_fd(const char *text)
{
	char h[32] = {};
	s64 fd = 0;
	u32 at;

	bpf_probe_read_user_str(h, sizeof(h), text);
	if (begins(h, "/proc/self/fd/", 14))
		at = 14;
	else if (begins(h, "/dev/fd/", 8))
		at = 8;
	else if (begins(h, "/proc/thread-self/fd/", 21))
		at = 21;
	else
		return -1;
	for (int i = 0; i < 7; i++) {
		char c = h[(at + i) & 31];
		if (c == '/' || c == 0)
			return i ? fd : -1;
		if (c < '0' || c > '9')
			return -1;
		fd = fd * 10 + (c - '0');
	}
	return -1;
}

/* A path as given, and what the kernel knows it to be relative to. `tag` is TAG_TEXT1 or TAG_TEXT2. */
__noinline u64 put_path_argument(u64 off, u64 tag, u64 dirfd, u64 text)
{
	struct scratch *s = scratch();
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct file *file;
	s64 fd;
	u64 end;
	long n;

	if (!s || off > OFF_MAX)
		return off;
	n = bpf_probe_read_user_str(&s->data[(off & OFF_MAX) + 4], TEXT_MAX, (void *)text);
	if (n < 0) {
		head_of(s)->flags |= FLAG_CUT;
		n = 0;
	}
	put_tag(s, off, tag, n);
	end = off + 4 + n;
	if (n > 1 && s->data[(off & OFF_MAX) + 4] == '/') {
		fd = leading_fd((const char *)text);
		if (fd < 0)
			return end;
		file = file_of(fd);
		return file ? put_file_path(end, tag + 2, file) : end;
	}
	if ((s32)dirfd == AT_FDCWD)
		return put_walk(end, tag + 1, (u64)BPF_CORE_READ(fs, pwd.dentry), (u64)BPF_CORE_READ(fs, pwd.mnt));
	file = file_of((u32)dirfd);
	return file ? put_file_path(end, tag + 1, file) : end;
}

__noinline u64 put_user_text(u64 off, u64 tag, u64 text)
{
	struct scratch *s = scratch();
	long n;

	if (!s || off > OFF_MAX)
		return off;
	n = bpf_probe_read_user_str(&s->data[(off & OFF_MAX) + 4], TEXT_MAX, (void *)text);
	if (n < 0) {
		head_of(s)->flags |= FLAG_CUT;
		n = 0;
	}
	put_tag(s, off, tag, n);
	return off + 4 + n;
}

__noinline u64 put_kernel_text(u64 off, u64 tag, u64 text)
{
	struct scratch *s = scratch();
	long n;

	if (!s || off > OFF_MAX)
		return off;
	n = bpf_probe_read_kernel_str(&s->data[(off & OFF_MAX) + 4], TEXT_MAX, (void *)text);
	if (n < 0)
		n = 0;
	put_tag(s, off, tag, n);
	return off + 4 + n;
}

/* Bytes of user memory from `from` to `to`, as many as fit. */
__noinline u64 put_user_bytes(u64 off, u64 tag, u64 from, u64 to)
{
	struct scratch *s = scratch();
	u64 len = to - from;

	if (!s || off > OFF_MAX)
		return off;
	if (to < from)
		len = 0;
	if (len > BULK_MAX) {
		len = BULK_MAX;
		head_of(s)->flags |= FLAG_LONG;
	}
	if (bpf_probe_read_user(&s->data[(off & OFF_MAX) + 4], len, (void *)from) < 0)
		len = 0;
	put_tag(s, off, tag, len);
	return off + 4 + len;
}

static __always_inline bool is_followed_cgroup(void)
{
	u64 cgroup = bpf_get_current_cgroup_id();
	return bpf_map_lookup_elem(&cgroups, &cgroup) != 0;
}

static __always_inline void make_member(u32 tgid, u64 start, u32 flags)
{
	struct member member = { .start = start, .flags = flags };
	if (bpf_map_update_elem(&members, &tgid, &member, 0) < 0)
		count(QUEUE_MEMBERS, 1);
}

#include "outputs.h"

SEC("tp_btf/sched_process_fork")
int sched_process_fork(u64 *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx[1];
	u32 parent_tgid = bpf_get_current_pid_tgid() >> 32;
	u32 tgid = BPF_CORE_READ(child, tgid);
	u64 start = BPF_CORE_READ(child, start_boottime);
	struct member *member;
	struct scratch *s;

	if (BPF_CORE_READ(child, pid) != tgid)
		return 0;	/* a thread */
	member = bpf_map_lookup_elem(&members, &parent_tgid);
	/* Before the child can run its first instruction. */
	if (member)
		make_member(tgid, start, member->flags);
	s = scratch();
	if (!s)
		return 0;
	fill_head(s, KIND_FORK);
	if (member)
		head_of(s)->flags |= FLAG_MEMBER;
	head_of(s)->args[0] = tgid;
	head_of(s)->args[1] = start;
	send(&process_ring, QUEUE_PROCESS, s, sizeof(struct head));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int sched_process_exec(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct linux_binprm *bprm = (struct linux_binprm *)ctx[2];
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct file *file = BPF_CORE_READ(mm, exe_file);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	const char *filename = BPF_CORE_READ(bprm, filename);
	u64 arg_start = BPF_CORE_READ(mm, arg_start), arg_end = BPF_CORE_READ(mm, arg_end);
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct scratch *s = scratch();
	struct file_key key = {};
	struct member *member;
	u64 off = sizeof(struct head);

	if (!s)
		return 0;
	fill_head(s, KIND_EXEC);
	member = bpf_map_lookup_elem(&members, &tgid);
	key.inode = BPF_CORE_READ(inode, i_ino);
	key.device = BPF_CORE_READ(inode, i_sb, s_dev);
	if (member) {
		if (member->flags & MEMBER_HARNESS) {
			u32 out = begin_output(1, 0);
			u32 err = begin_output(2, out);
			member->outputs = out | err << 16;
		}
		member->flags &= ~(MEMBER_EXEC_MEMORY | MEMBER_HARNESS);
	} else if (bpf_map_lookup_elem(&executables, &key) || is_followed_cgroup())
		make_member(tgid, head_of(s)->start, 0);
	if (bpf_map_lookup_elem(&members, &tgid))
		head_of(s)->flags |= FLAG_MEMBER;
	if (filename != BPF_CORE_READ(bprm, interp))
		head_of(s)->flags |= FLAG_SCRIPT;
	head_of(s)->args[0] = BPF_CORE_READ(bprm, argc);
	head_of(s)->args[1] = arg_end - arg_start;
	head_of(s)->args[2] = BPF_CORE_READ(mm, env_end) - BPF_CORE_READ(mm, env_start);
	off = put_file_info(off, (u64)file);
	off = put_file_path(off, TAG_PATH, file);
	off = put_walk(off, TAG_CWD, (u64)BPF_CORE_READ(fs, pwd.dentry), (u64)BPF_CORE_READ(fs, pwd.mnt));
	off = put_kernel_text(off, TAG_NAME, (u64)filename);
	off = put_user_bytes(off, TAG_ARGV, arg_start, arg_end);
	off = put_user_bytes(off, TAG_ENV, BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end));
	send(&process_ring, QUEUE_PROCESS, s, off);

	head_of(s)->kind = KIND_ARGV_MORE;
	for (int i = 0; i < ARGV_CHUNKS; i++) {
		arg_start += BULK_MAX;
		if (arg_start >= arg_end)
			break;
		off = put_user_bytes(sizeof(struct head), TAG_ARGV, arg_start, arg_end);
		send(&process_ring, QUEUE_PROCESS, s, off);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int sched_process_exit(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct member *member;
	struct scratch *s;

	if (BPF_CORE_READ(signal, live.counter) != 0)
		return 0;	/* other threads go on */
	member = bpf_map_lookup_elem(&members, &tgid);
	if (member && member->outputs) {
		u32 places = member->outputs;
		end_output(places & 0xffff, 1);
		end_output(places >> 16, 2);
	}
	s = scratch();
	if (s) {
		fill_head(s, KIND_EXIT);
		if (member)
			head_of(s)->flags |= FLAG_MEMBER;
		/* SIGNAL_GROUP_EXIT: the status of the whole group; else that of its first thread. */
		head_of(s)->ret = BPF_CORE_READ(signal, flags) & 4 ? BPF_CORE_READ(signal, group_exit_code)
								  : BPF_CORE_READ(task, group_leader, exit_code);
		send(&process_ring, QUEUE_PROCESS, s, sizeof(struct head));
	}
	bpf_map_delete_elem(&members, &tgid);
	return 0;
}

/* Four fields of a dentry as they lie one after the other in every kernel so far, the last being where short names are
 * kept: one helper call instead of three. Where they do not lie so, each is read by itself. */
struct dentry_part { struct dentry *parent; u64 hash_len; const unsigned char *name; void *inode; u64 text[2]; };

static __always_inline bool dentry_is_as_known(void)
{
	u64 parent = bpf_core_field_offset(struct dentry, d_parent);
	return bpf_core_field_offset(struct dentry, d_name.name) - parent == 16 &&
	       bpf_core_field_offset(struct dentry, d_inode) - parent == 24;
}

/* All bytes from the first NUL on become NUL; gives whether there was one. */
static __always_inline bool end_at_nul(u64 *word)
{
	u64 nul = (*word - 0x0101010101010101ULL) & ~*word & 0x8080808080808080ULL;
	if (nul)
		*word &= ((nul & -nul) >> 7) - 1;
	return nul != 0;
}

/* Is the file, or a folder that it lies in, on the list of sensitive names? Every open for reading in a lineage asks. */
__noinline u64 is_sensitive(u64 dentry_at)
{
	struct dentry *dentry = (struct dentry *)dentry_at;
	bool known = dentry_is_as_known();

	/* Unrolled: the verifier of 6.1 takes no loop whose way back is not a jump, and how it is laid out is clang's choice. */
#pragma clang loop unroll(full)
	for (int i = 0; i < SENSITIVE_DEPTH; i++) {
		u64 part_at = (u64)dentry + bpf_core_field_offset(struct dentry, d_parent);
		struct dentry_part part = {};
		struct name_key key = {};
		u32 first, *where;
		u64 *seconds;

		if (known)
			bpf_probe_read_kernel(&part, sizeof(part), (void *)part_at);
		if (known && (u64)part.name == part_at + 32) {
			if (end_at_nul(&part.text[0]))
				part.text[1] = 0;
			else if (!end_at_nul(&part.text[1]))
				part.text[1] &= 0x00ffffffffffffffULL;
			__builtin_memcpy(key.name, part.text, sizeof(key.name));
		} else {
			part.parent = BPF_CORE_READ(dentry, d_parent);
			bpf_probe_read_kernel_str(key.name, sizeof(key.name), BPF_CORE_READ(dentry, d_name.name));
		}
		first = (u8)key.name[0];
		seconds = bpf_map_lookup_elem(&sensitive_starts, &first);
		if (seconds && (*seconds >> (key.name[1] & 63) & 1)) {
			where = bpf_map_lookup_elem(&sensitive, &key);
			if (where && (*where & (i ? 2 : 1)))
				return 1;
		}
		if (dentry == part.parent)
			break;	/* the root */
		dentry = part.parent;
	}
	return 0;
}

/* The address of a socket: its own (`peer` 0) or that of its other end. */
__noinline u64 put_socket(u64 off, u64 fd, u64 peer)
{
	struct scratch *s = scratch();
	struct file *file = file_of((u32)fd);
	struct socket *socket;
	struct sock *sk;
	struct address *address;
	u16 family;

	if (!s || !file || off > OFF_MAX || (BPF_CORE_READ(file, f_inode, i_mode) & 0xf000) != 0xc000)
		return off;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	address = (struct address *)&s->data[(off & OFF_MAX) + 4];
	address->family = family;
	address->port = 0;
	if (family == AF_INET) {
		u32 ip = peer ? BPF_CORE_READ(sk, __sk_common.skc_daddr) : BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		address->port = peer ? BPF_CORE_READ(sk, __sk_common.skc_dport)
				     : __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_num));
		if (peer && !address->port)
			return off;
		__builtin_memcpy(address->ip, &ip, 4);
	} else if (family == AF_INET6) {
		struct in6_addr ip;
		if (peer)
			BPF_CORE_READ_INTO(&ip, sk, __sk_common.skc_v6_daddr);
		else
			BPF_CORE_READ_INTO(&ip, sk, __sk_common.skc_v6_rcv_saddr);
		address->port = peer ? BPF_CORE_READ(sk, __sk_common.skc_dport)
				     : __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_num));
		if (peer && !address->port)
			return off;
		__builtin_memcpy(address->ip, &ip, 16);
	} else if (family == AF_UNIX) {
		struct unix_sock *unix_sk = (struct unix_sock *)sk;
		struct unix_address *name;
		if (peer)
			unix_sk = (struct unix_sock *)BPF_CORE_READ(unix_sk, peer);
		name = BPF_CORE_READ(unix_sk, addr);
		if (name) {
			/* Its length counts the family; a name in the abstract namespace begins with a NUL and has no end mark. */
			u64 len = (u32)BPF_CORE_READ(name, len);
			if (len > sizeof(struct sockaddr_un))
				len = sizeof(struct sockaddr_un);
			if (bpf_probe_read_kernel(address, len, (void *)name + bpf_core_field_offset(struct unix_address, name)) < 0)
				return off;
			put_tag(s, off, TAG_ADDRESS, len);
			return off + 4 + len;
		}
		if (peer)
			return off;
		put_tag(s, off, TAG_ADDRESS, 2);
		return off + 6;
	} else {
		put_tag(s, off, TAG_ADDRESS, 2);
		return off + 6;
	}
	put_tag(s, off, TAG_ADDRESS, sizeof(struct address));
	return off + 4 + sizeof(struct address);
}

/* A socket address as the caller gave it. */
__noinline u64 put_sockaddr(u64 off, u64 from, u64 len)
{
	struct scratch *s = scratch();
	u16 family = 0;
	u8 raw[28] = {};
	struct address *address;

	if (!s || off > OFF_MAX || !from || len < 2)
		return off;
	bpf_probe_read_user(&family, 2, (void *)from);
	address = (struct address *)&s->data[(off & OFF_MAX) + 4];
	if (family == AF_INET || family == AF_INET6) {
		bpf_probe_read_user(raw, sizeof(raw), (void *)from);
		address->family = family;
		__builtin_memcpy(&address->port, raw + 2, 2);
		if (family == AF_INET)
			__builtin_memcpy(address->ip, raw + 4, 4);
		else
			__builtin_memcpy(address->ip, raw + 8, 16);
		put_tag(s, off, TAG_ADDRESS, sizeof(struct address));
		return off + 4 + sizeof(struct address);
	}
	len &= 0xff;
	if (len > sizeof(struct sockaddr_un))
		len = sizeof(struct sockaddr_un);
	if (bpf_probe_read_user(address, len, (void *)from) < 0)
		return off;
	put_tag(s, off, TAG_ADDRESS, len);
	return off + 4 + len;
}

/* The address that the hook in the kernel saw for this thread's call. */
__noinline u64 put_pending(u64 off)
{
	struct scratch *s = scratch();
	u32 tid = bpf_get_current_pid_tgid();
	struct address *seen = bpf_map_lookup_elem(&pending, &tid);

	if (!s || off > OFF_MAX || !seen)
		return off;
	__builtin_memcpy(&s->data[(off & OFF_MAX) + 4], seen, sizeof(*seen));
	put_tag(s, off, TAG_ADDRESS, sizeof(*seen));
	bpf_map_delete_elem(&pending, &tid);
	return off + 4 + sizeof(*seen);
}

/* An open: recorded if for writing, if sensitive, or if it was refused. 0: not recorded. */
__noinline u64 put_open(u64 recipe, s64 ret)
{
	struct scratch *s = scratch();
	struct file *file;
	struct inode *inode;
	struct head *h;
	u64 flags = 0;
	u64 off = sizeof(struct head);

	if (!s)
		return 0;
	h = head_of(s);
	if (recipe & R_CREAT)
		flags = 0x241;	/* O_CREAT | O_WRONLY | O_TRUNC */
	else if (recipe & R_HOW)
		bpf_probe_read_user(&flags, sizeof(flags), (void *)h->args[2]);
	else if (ARG(recipe, FLAGS) == 2)
		flags = h->args[1];
	else
		flags = h->args[2];
	h->args[5] = flags;
	if (ret < 0) {
		bool refused = ret == -13 || ret == -1 || ret == -30;
		bool writes = flags & 0x43;
		/* A file that is not there, or an interrupted call, is no act. */
		if (!refused && !(writes && ret != -2 && ret != -4 && ret != -512 && ret != -20))
			return 0;
		if (ARG(recipe, PATH1) == 1)
			return put_path_argument(off, TAG_TEXT1, (u64)AT_FDCWD, h->args[0]);
		if (ARG(recipe, PATH1) == 2)
			return put_path_argument(off, TAG_TEXT1, h->args[0], h->args[1]);
		return off;
	}
	file = file_of(ret);
	if (!file)
		return 0;
	if (!(BPF_CORE_READ(file, f_mode) & 2) && !(flags & 0x240)) {	/* O_CREAT, O_TRUNC */
		if (!is_sensitive((u64)BPF_CORE_READ(file, f_path.dentry)))
			return 0;
	} else {
		inode = BPF_CORE_READ(file, f_inode);
		if (BPF_CORE_READ(inode, i_rdev) == (1 << 20 | 3) && (BPF_CORE_READ(inode, i_mode) & 0xf000) == 0x2000)
			return 0;	/* /dev/null */
	}
	off = put_file_info(off, (u64)file);
	return put_file_path(off, TAG_PATH, file);
}

/* Which of the calls with a meaning in their arguments are worth a record. 0: not recorded. */
static __always_inline bool is_act(struct head *h, u64 recipe, struct member *member)
{
	if ((recipe & R_SUCCESS) && h->ret < 0)
		return 0;
	if (recipe & R_MMAP)
		return (h->args[2] & 4) && (h->args[3] & 0x20) && !(h->ret < 0 && h->ret >= -4095);
	if (recipe & R_MPROTECT) {
		/* A JIT does this thousands of times: the first in each program tells it all. */
		if (!(h->args[2] & 4) || h->ret != 0 || (member->flags & MEMBER_EXEC_MEMORY))
			return 0;
		member->flags |= MEMBER_EXEC_MEMORY;
		return 1;
	}
	if (recipe & R_CLONE3) {
		u64 flags = 0;
		bpf_probe_read_user(&flags, sizeof(flags), (void *)h->args[0]);
		h->args[0] = flags;
		return h->ret != 0 && (flags & 0x7e020080);
	}
	if (recipe & R_CLONE)
		return h->ret != 0 && (h->args[0] & 0x7e020000);
	if (recipe & R_PRCTL) {
		switch (h->args[0]) {
		case 15:	/* PR_SET_NAME, of the process and not of a worker thread */
			return h->tid == h->tgid;
		case 4: case 8: case 22: case 28: case 35: case 36: case 38: case 47: case 59: case 0x59616d61:
			return 1;
		default:
			return 0;
		}
	}
	return 1;
}

static __always_inline u64 argument(struct head *h, u64 index)
{
	/* Spelled out: a variable index into the scratch memory costs the verifier more. */
	switch (index) {
	case 1: return h->args[0];
	case 2: return h->args[1];
	case 3: return h->args[2];
	case 4: return h->args[3];
	case 5: return h->args[4];
	case 6: return h->args[5];
	default: return 0;
	}
}

__noinline u64 put_arguments(u64 recipe)
{
	struct scratch *s = scratch();
	struct head *h;
	struct file *file;
	u64 off = sizeof(struct head);
	u64 dirfd;

	if (!s)
		return 0;
	h = head_of(s);
	if (ARG(recipe, PATH1)) {
		dirfd = ARG(recipe, DIR1) ? argument(h, ARG(recipe, DIR1)) : (u64)AT_FDCWD;
		off = put_path_argument(off, TAG_TEXT1, dirfd, argument(h, ARG(recipe, PATH1)));
	}
	if (ARG(recipe, PATH2)) {
		dirfd = ARG(recipe, DIR2) ? argument(h, ARG(recipe, DIR2)) : (u64)AT_FDCWD;
		off = put_path_argument(off, TAG_TEXT2, dirfd, argument(h, ARG(recipe, PATH2)));
	}
	if (ARG(recipe, STRING1))
		off = put_user_text(off, TAG_TEXT1, argument(h, ARG(recipe, STRING1)));
	if (ARG(recipe, STRING2))
		off = put_user_text(off, TAG_TEXT2, argument(h, ARG(recipe, STRING2)));
	if (recipe & R_PIDFD) {
		struct pid *pid;
		file = file_of((u32)argument(h, ARG(recipe, FD)));
		if (!file)
			return off;
		/* Since pidfs (6.9) the inode holds it, before that the file. */
		if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) == 0x50494446)
			pid = BPF_CORE_READ(file, f_inode, i_private);
		else
			pid = BPF_CORE_READ(file, private_data);
		h->args[5] = BPF_CORE_READ(pid, numbers[0].nr);
	} else if (ARG(recipe, FD) && !(recipe & (R_LOCAL | R_PEER))) {
		file = file_of((u32)argument(h, ARG(recipe, FD)));
		if (file) {
			off = put_file_info(off, (u64)file);
			off = put_file_path(off, TAG_PATH, file);
		}
	}
	return off;
}

__noinline u64 put_network(u64 recipe, s64 ret)
{
	struct scratch *s = scratch();
	struct head *h;
	u64 off = sizeof(struct head), end = off;
	u64 at;

	if (!s)
		return 0;
	h = head_of(s);
	if (recipe & R_ACCEPTED)
		return ret < 0 ? 0 : put_socket(off, ret, 1);
	if (recipe & R_LOCAL)
		end = ret == 0 ? put_socket(off, h->args[0], 0) : off;
	else
		end = put_pending(off);
	if (end == off && (recipe & R_PEER) && (ret == 0 || ret == -115))
		end = put_socket(off, h->args[0], 1);
	at = argument(h, ARG(recipe, SOCKADDR));
	if (end == off && at && !(recipe & R_MSG))
		end = put_sockaddr(off, at, ARG(recipe, SOCKADDR) == 2 ? h->args[2] : h->args[5]);
	if (end == off && at && (recipe & R_MSG)) {
		/* struct msghdr begins with the address and its length. */
		u64 name[2] = {};
		bpf_probe_read_user(name, sizeof(name), (void *)at);
		end = put_sockaddr(off, name[0], (u32)name[1]);
	}
	if (end == off && (recipe & R_SENT))
		return 0;	/* on a connected socket: the connection is on record */
	return end;
}

SEC("tp_btf/sys_exit")
int sys_exit(u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	struct task_struct *task = bpf_get_current_task_btf();
	bool compat = task->thread_info.status & 2;
	u32 nr = regs->orig_ax & ~0x40000000UL;
	u32 tgid = task->tgid;
	u64 *recipe_at, recipe, off;
	struct member *member;
	struct scratch *s;
	struct head *h;

	/* Every system call of the machine comes this far while a lineage lives: what follows is for few of them. */
	recipe_at = bpf_map_lookup_elem(&recipes, &nr);
	recipe = recipe_at ? *recipe_at : 0;
	if (!recipe && !compat)
		return 0;
	member = bpf_map_lookup_elem(&members, &tgid);
	if (!member)
		return 0;
	if ((recipe & R_WRITE) && !compat) {
		if ((s64)ctx[1] > 0 && !(member->flags & MEMBER_HARNESS))
			note_output(regs, recipe, ctx[1]);
		if (!(recipe & R_SENT))
			return 0;
	}
	s = scratch();
	if (!s)
		return 0;
	h = head_of(s);
	h->flags = 0;
	h->ret = ctx[1];
	h->args[0] = regs->di;
	h->args[1] = regs->si;
	h->args[2] = regs->dx;
	h->args[3] = regs->r10;
	h->args[4] = regs->r8;
	h->args[5] = regs->r9;
	h->tid = bpf_get_current_pid_tgid();
	h->tgid = tgid;
	if (compat) {
		off = sizeof(struct head);
	} else if (recipe & R_OPEN) {
		off = put_open(recipe, ctx[1]);
	} else if (recipe & (R_LOCAL | R_PEER | R_ACCEPTED | R_SENT)) {
		off = put_network(recipe, ctx[1]);
	} else {
		if (!is_act(h, recipe, member))
			return 0;
		off = put_arguments(recipe);
	}
	if (!off)
		return 0;
	{
		/* What was put keeps its flags and arguments. */
		u64 args[6];
		u16 flags = h->flags;
		s64 ret = h->ret;
		__builtin_memcpy(args, h->args, sizeof(args));
		fill_head(s, KIND_SYSCALL);
		__builtin_memcpy(h->args, args, sizeof(args));
		h->ret = ret;
		h->flags = (flags & (FLAG_CUT | FLAG_CUT_PATH)) | FLAG_MEMBER | (compat ? FLAG_COMPAT : 0);
	}
	h->nr = nr;
	if (nr == 425)
		member->flags |= MEMBER_URING;
	send(&lineage_ring, QUEUE_LINEAGE, s, off);
	return 0;
}

static __always_inline int uring(u64 *ctx)
{
	struct io_kiocb *req = (struct io_kiocb *)ctx[0];
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u32 zero = 0;
	u8 operation = BPF_CORE_READ(req, opcode);
	u64 *wanted = bpf_map_lookup_elem(&uring_operations, &zero);
	u64 off = sizeof(struct head);
	struct scratch *s;

	if (!wanted || operation > 63 || !(*wanted >> operation & 1) || !bpf_map_lookup_elem(&members, &tgid))
		return 0;
	s = scratch();
	if (!s)
		return 0;
	fill_head(s, KIND_URING);
	head_of(s)->flags = FLAG_MEMBER;
	head_of(s)->nr = operation;
	/* The command of a request lies at its beginning. */
	if (operation == 18 || operation == 28) {
		struct io_open *open = (struct io_open *)req;
		head_of(s)->args[0] = BPF_CORE_READ(open, dfd);
		head_of(s)->args[1] = BPF_CORE_READ(open, how.flags);
		off = put_kernel_text(off, TAG_TEXT1, (u64)BPF_CORE_READ(open, filename, name));
	} else if (operation == 35) {
		struct io_rename *rename = (struct io_rename *)req;
		head_of(s)->args[0] = BPF_CORE_READ(rename, new_dfd);
		off = put_kernel_text(off, TAG_TEXT1, (u64)BPF_CORE_READ(rename, newpath, name));
	} else if (operation == 36) {
		struct io_unlink *unlink = (struct io_unlink *)req;
		head_of(s)->args[0] = BPF_CORE_READ(unlink, dfd);
		off = put_kernel_text(off, TAG_TEXT1, (u64)BPF_CORE_READ(unlink, filename, name));
	} else if (operation == 37) {
		struct io_mkdir *mkdir = (struct io_mkdir *)req;
		head_of(s)->args[0] = BPF_CORE_READ(mkdir, dfd);
		off = put_kernel_text(off, TAG_TEXT1, (u64)BPF_CORE_READ(mkdir, filename, name));
	}
	if (off > sizeof(struct head)) {
		s32 dirfd = head_of(s)->args[0];
		struct task_struct *task = (struct task_struct *)bpf_get_current_task();
		struct fs_struct *fs = BPF_CORE_READ(task, fs);
		struct file *file = dirfd == AT_FDCWD ? 0 : file_of((u32)dirfd);
		if (file)
			off = put_file_path(off, TAG_BASE1, file);
		else if (dirfd == AT_FDCWD)
			off = put_walk(off, TAG_BASE1, (u64)BPF_CORE_READ(fs, pwd.dentry), (u64)BPF_CORE_READ(fs, pwd.mnt));
	}
	send(&lineage_ring, QUEUE_LINEAGE, s, off);
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int io_uring_submit_req(u64 *ctx)
{
	return uring(ctx);
}

/* The same under its name before 6.4. */
SEC("tp_btf/io_uring_submit_sqe")
int io_uring_submit_sqe(u64 *ctx)
{
	return uring(ctx);
}

/* Whose socket this is: packets leave in contexts where nobody can be asked any more. */
static __always_inline void own(struct bpf_sock_addr *ctx, struct address *address)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 cookie = bpf_get_socket_cookie(ctx);
	u64 ids = bpf_get_current_pid_tgid();
	u32 tgid = ids >> 32, tid = ids;
	struct owner owner = {};

	owner.start = BPF_CORE_READ(task, group_leader, start_boottime);
	owner.cgroup = bpf_get_current_cgroup_id();
	owner.tgid = tgid;
	owner.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(owner.comm, sizeof(owner.comm));
	bpf_map_update_elem(&owners, &cookie, &owner, 0);
	if (bpf_map_lookup_elem(&members, &tgid))
		bpf_map_update_elem(&pending, &tid, address, 0);
}

static __always_inline int own4(struct bpf_sock_addr *ctx)
{
	struct address address = { .family = AF_INET };
	u32 ip = ctx->user_ip4;
	address.port = ctx->user_port;
	__builtin_memcpy(address.ip, &ip, 4);
	own(ctx, &address);
	return 1;
}

static __always_inline int own6(struct bpf_sock_addr *ctx)
{
	struct address address = { .family = AF_INET6 };
	u32 ip[4];
	ip[0] = ctx->user_ip6[0];
	ip[1] = ctx->user_ip6[1];
	ip[2] = ctx->user_ip6[2];
	ip[3] = ctx->user_ip6[3];
	address.port = ctx->user_port;
	__builtin_memcpy(address.ip, ip, 16);
	own(ctx, &address);
	return 1;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx) { return own4(ctx); }
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx) { return own6(ctx); }
SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx) { return own4(ctx); }
SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx) { return own6(ctx); }

/* Does a TCP payload begin as a TLS ClientHello or as an HTTP request? */
static __always_inline bool is_opening(const u8 *b)
{
	u32 word;
	if (b[0] == 0x16 && b[1] == 3 && b[5] == 1)
		return 1;
	__builtin_memcpy(&word, b, 4);
	switch (word) {
	case 0x20544547:	/* "GET " */
	case 0x54534f50:	/* "POST" */
	case 0x20545550:	/* "PUT " */
	case 0x43544150:	/* "PATC" */
	case 0x454c4544:	/* "DELE" */
	case 0x44414548:	/* "HEAD" */
	case 0x4954504f:	/* "OPTI" */
	case 0x4e4e4f43:	/* "CONN" */
		return 1;
	default:
		return 0;
	}
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	u8 ip[40] = {};
	u8 head[8] = {};
	u32 zero = 0, at, len;
	u64 cookie;
	struct owner *owner;
	struct packet *p;
	struct address address = {};
	u8 protocol;
	bool is_tcp;

	if (bpf_skb_load_bytes(skb, 0, ip, 20) < 0)
		return 1;
	if (ip[0] >> 4 == 4) {
		if ((ip[6] & 0x1f) || ip[7])
			return 1;	/* a later fragment */
		at = (ip[0] & 15) * 4;
		protocol = ip[9];
		address.family = AF_INET;
		__builtin_memcpy(address.ip, ip + 16, 4);
	} else {
		if (bpf_skb_load_bytes(skb, 0, ip, 40) < 0)
			return 1;
		at = 40;
		protocol = ip[6];
		address.family = AF_INET6;
		__builtin_memcpy(address.ip, ip + 24, 16);
	}
	is_tcp = protocol == 6;
	if (!is_tcp && protocol != 17)
		return 1;
	if (bpf_skb_load_bytes(skb, at, head, 4) < 0)
		return 1;
	__builtin_memcpy(&address.port, head + 2, 2);
	if (is_tcp) {
		u8 offset;
		if (bpf_skb_load_bytes(skb, at + 12, &offset, 1) < 0)
			return 1;
		at += (offset >> 4) * 4;
	} else {
		if (address.port != 0x3500)	/* 53 */
			return 1;
		at += 8;
	}
	if (bpf_skb_load_bytes(skb, at, head, 8) < 0)
		return 1;
	/* DNS over TCP: its length is in the first two bytes. */
	if (is_tcp && address.port != 0x3500 && !is_opening(head))
		return 1;
	cookie = bpf_get_socket_cookie(skb);
	owner = bpf_map_lookup_elem(&owners, &cookie);
	if (!owner)
		return 1;
	p = bpf_map_lookup_elem(&packets, &zero);
	if (!p)
		return 1;
	len = skb->len - at;
	if (len > DATA_MAX)
		len = DATA_MAX;
	/* It has the 8 bytes of `head`. To compare with 0 would tell the verifier of 6.1 nothing. */
	if (len < sizeof(head) || bpf_skb_load_bytes(skb, at, p->data, len) < 0)
		return 1;
	__builtin_memset(&p->head, 0, sizeof(p->head));
	p->head.kind = KIND_NET;
	p->head.nr = protocol;
	p->head.boot_ns = bpf_ktime_get_boot_ns();
	p->head.start = owner->start;
	p->head.tgid = owner->tgid;
	p->head.tid = owner->tgid;
	p->head.uid = owner->uid;
	p->head.cgroup = owner->cgroup;
	__builtin_memcpy(p->head.comm, owner->comm, sizeof(owner->comm));
	p->tag = TAG_ADDRESS;
	p->len = sizeof(address);
	p->address = address;
	p->data_tag = TAG_DATA;
	p->data_len = len;
	count(QUEUE_NETWORK, bpf_ringbuf_output(&network_ring, p, (u64)(p->data - (u8 *)p) + len, BPF_RB_NO_WAKEUP) < 0);
	return 1;
}

#include "extras.h"
