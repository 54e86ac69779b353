// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Mustering out: nothing that these control groups or these sockets send leaves, and nothing reaches them. Loaded anew for each
 * lineage, attached to the root group for as long as it is cut off. Its own object: it must load where the probes do not. */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* Only handed on to the kernel. */
struct __sk_buff { __u32 len; };

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A group deeper than this below the root is not looked at: the lineage's own are two below that of the machine or container. */
#define LEVELS 16
#define TCP 6
#define RESET 4

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u64); __type(value, __u32); } cut_groups SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 65536); __type(key, __u64); __type(value, __u32); } cut_sockets SEC(".maps");

static __always_inline _Bool is_cut(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);

	if (bpf_map_lookup_elem(&cut_sockets, &cookie))
		return 1;
#pragma unroll
	for (int level = 1; level <= LEVELS; level++) {
		__u64 group = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!group)
			return 0;
		if (bpf_map_lookup_elem(&cut_groups, &group))
			return 1;
	}
	return 0;
}

/* The kernel's word that a connection is over carries no data: whoever is at the other end need not wait for more. */
static __always_inline _Bool is_reset(struct __sk_buff *skb)
{
	__u8 head[20] = {};
	__u8 flags = 0;
	__u32 at;

	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)) < 0)
		return 0;
	if (head[0] >> 4 == 4) {
		at = (head[0] & 15) * 4;
		if (head[9] != TCP)
			return 0;
	} else {
		at = 40;
		if (head[6] != TCP)
			return 0;
	}
	return bpf_skb_load_bytes(skb, at + 13, &flags, 1) == 0 && (flags & RESET);
}

SEC("cgroup_skb/egress")
int cut_egress(struct __sk_buff *skb)
{
	return !is_cut(skb) || is_reset(skb);
}

SEC("cgroup_skb/ingress")
int cut_ingress(struct __sk_buff *skb)
{
	return !is_cut(skb);
}
