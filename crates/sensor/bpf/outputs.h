/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the commands of an agent write to their outputs. A child of an agent's own program begins with two streams that this
 * program reads: what any member of the lineage writes to them until that child ends is counted, and its beginning is kept. */
#pragma once

#define OUTPUT_MAX 16384		/* of what is written to one stream: the rest is counted only. A power of two */
#define OUTPUTS 128		/* streams at a time: two for each command that runs */
#define OUTPUT_PARTS 4		/* of one vectored write */

/* What was written to one stream so far; from `head` on it is the record of its end. */
struct output { u64 inode; u64 total; u64 unseen; struct head head; u16 tag; u16 len; u8 data[2 * OUTPUT_MAX]; };

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, OUTPUTS); __type(key, u32); __type(value, struct output); } outputs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } outputs_begun SEC(".maps");
/* By the address of its inode, which is that of nothing else while a process has it open. */
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 2 * OUTPUTS); __type(key, u64); __type(value, u32); } streams SEC(".maps");

static __always_inline struct output *output_at(u32 key)
{
	return bpf_map_lookup_elem(&outputs, &key);
}

/* Begins to note what is written to the stream behind this descriptor. Gives 1 + its place, or 0. `own`: the same of the
 * other descriptor, which may be the same stream. */
__noinline u32 begin_output(u64 fd, u32 own)
{
	struct file *file = file_of(fd);
	u32 zero = 0, key, *known;
	u64 inode, *begun, first;
	struct output *output;

	if (!file)
		return 0;
	inode = (u64)BPF_CORE_READ(file, f_inode);
	begun = bpf_map_lookup_elem(&outputs_begun, &zero);
	if (!begun || !inode)
		return 0;
	known = bpf_map_lookup_elem(&streams, &inode);
	if (known) {
		/* It is another's too: whose output is whose cannot be told. */
		output = output_at(*known);
		if (output && *known + 1 != own)
			output->unseen = 1;
		return 0;
	}
	first = __sync_fetch_and_add(begun, 1);
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++) {
		key = (first + i * 31) & (OUTPUTS - 1);
		output = output_at(key);
		if (!output || __sync_val_compare_and_swap(&output->inode, 0, inode) != 0)
			continue;
		output->total = 0;
		output->unseen = 0;
		if (bpf_map_update_elem(&streams, &inode, &key, 0) < 0) {
			output->inode = 0;
			return 0;
		}
		return key + 1;
	}
	return 0;
}

/* The process that began the stream ends: what the agent's own program reads from it now, it has. */
__noinline u32 end_output(u32 place, u32 fd)
{
	struct output *output;
	u64 inode, len;

	if (!place)
		return 0;
	output = output_at(place - 1);
	if (!output)
		return 0;
	inode = output->inode;
	bpf_map_delete_elem(&streams, &inode);
	describe(&output->head, KIND_OUTPUT);
	output->head.flags = FLAG_MEMBER;
	output->head.nr = fd;
	output->head.args[0] = output->total;
	output->head.args[1] = output->unseen;
	len = output->total;
	if (len > OUTPUT_MAX)
		len = OUTPUT_MAX;
	output->tag = TAG_DATA;
	output->len = len;
	count(QUEUE_LINEAGE, bpf_ringbuf_output(&lineage_ring, &output->head, sizeof(struct head) + 4 + len, BPF_RB_NO_WAKEUP) < 0);
	output->inode = 0;
	return 0;
}

/* Bytes that were written, to their place in a stream. Gives how many the stream has room for. */
__noinline u64 put_output(u64 key, u64 at, u64 from, u64 len)
{
	struct output *output = output_at(key);

	if (!output || at >= OUTPUT_MAX)
		return 0;
	if (len > OUTPUT_MAX)
		len = OUTPUT_MAX;
	/* What goes beyond the end falls into the second half, which is not sent. */
	if (bpf_probe_read_user(&output->data[at & (OUTPUT_MAX - 1)], len, (void *)from) < 0)
		output->unseen = 1;
	return len;
}

/* The parts of a vectored write, as far as they were written. */
__noinline u64 put_output_parts(u64 key, u64 at, u64 vector, u64 written)
{
	struct output *output = output_at(key);
	u64 done = 0;

	if (!output)
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < OUTPUT_PARTS; i++) {
		u64 part[2] = {};
		if (done >= written)
			return 0;
		if (bpf_probe_read_user(part, sizeof(part), (void *)(vector + 16 * i)) < 0)
			break;
		if (part[1] > written - done)
			part[1] = written - done;
		put_output(key, at + done, part[0], part[1]);
		done += part[1];
	}
	if (done < written)
		output->unseen = 1;
	return 0;
}

/* Something was written: to a stream whose output is noted? Every write in a lineage asks. */
static __always_inline void note_output(struct pt_regs *regs, u64 recipe, s64 written)
{
	u32 *key;
	u64 fd = ARG(recipe, FD) == 3 ? regs->dx : ARG(recipe, FD) == 2 ? regs->si : regs->di;
	struct file *file = file_of((u32)fd);
	struct output *output;
	u64 inode = 0, at, vector[2] = {};

	if (!file)
		return;
	bpf_probe_read_kernel(&inode, sizeof(inode), (void *)file + bpf_core_field_offset(struct file, f_inode));
	key = bpf_map_lookup_elem(&streams, &inode);
	if (!key)
		return;
	output = output_at(*key);
	if (!output)
		return;
	at = __sync_fetch_and_add(&output->total, written);
	if (at >= OUTPUT_MAX)
		return;
	if (recipe & R_UNSEEN)
		output->unseen = 1;
	else if (recipe & R_VECTOR)
		put_output_parts(*key, at, regs->si, written);
	else if (recipe & R_MSG) {
		/* struct msghdr: behind the address and its length. */
		bpf_probe_read_user(vector, sizeof(vector), (void *)(regs->si + 16));
		put_output_parts(*key, at, vector[0], written);
	} else
		put_output(*key, at, regs->si, written);
}
