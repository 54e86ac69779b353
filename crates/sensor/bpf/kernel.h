/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The few kernel types that the probes read, reduced to the fields they read. The loader adjusts each access to the
 * running kernel (CO-RE), so neither order nor other fields matter. */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;

#define CORE __attribute__((preserve_access_index))

struct atomic { int counter; } CORE;
struct kuid { u32 val; } CORE;

struct qstr { const unsigned char *name; u32 len; } CORE;
struct super_block { u32 s_dev; unsigned long s_magic; } CORE;
struct inode { unsigned long i_ino; struct super_block *i_sb; unsigned int i_nlink; u32 i_rdev; u16 i_mode; void *i_private; } CORE;
struct dentry { struct dentry *d_parent; struct qstr d_name; struct inode *d_inode; } CORE;
struct vfsmount { struct dentry *mnt_root; } CORE;
struct mount { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; void *mnt_ns; } CORE;
struct path { struct vfsmount *mnt; struct dentry *dentry; } CORE;
struct file { unsigned int f_mode; unsigned int f_flags; struct path f_path; struct inode *f_inode; void *private_data; } CORE;
struct fdtable { unsigned int max_fds; struct file **fd; } CORE;
struct files_struct { struct fdtable *fdt; } CORE;
struct fs_struct { struct path root; struct path pwd; } CORE;
struct mm_struct { unsigned long arg_start, arg_end, env_start, env_end; struct file *exe_file; } CORE;
struct signal_struct { struct atomic live; int group_exit_code; unsigned int flags; struct pid *pids[4]; } CORE;
struct cred { struct kuid uid; struct kuid euid; } CORE;
struct thread_info { u32 status; } CORE;
struct upid { int nr; } CORE;
struct pid { struct upid numbers[1]; } CORE;
struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	int exit_code;
	u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	const struct cred *cred;
	char comm[16];
} CORE;
struct linux_binprm { struct file *file; const char *filename; const char *interp; int argc; } CORE;
struct pt_regs { unsigned long di, si, dx, r10, r8, r9, ax, orig_ax; } CORE;

struct filename { const char *name; } CORE;
struct io_kiocb { u8 opcode; } CORE;
struct open_how { u64 flags; } CORE;
struct io_open { int dfd; struct filename *filename; struct open_how how; } CORE;
struct io_unlink { int dfd; int flags; struct filename *filename; } CORE;
struct io_mkdir { int dfd; u16 mode; struct filename *filename; } CORE;
struct io_rename { int old_dfd; int new_dfd; struct filename *oldpath; struct filename *newpath; int flags; } CORE;

struct in6_addr { u8 bytes[16]; };
struct sock_common {
	u16 skc_family;
	u16 skc_num;
	u16 skc_dport;
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} CORE;
struct sock { struct sock_common __sk_common; } CORE;
struct socket { struct sock *sk; } CORE;
struct sockaddr_un { u16 sun_family; char sun_path[108]; };
struct unix_address { int len; struct sockaddr_un name[1]; } CORE;
struct unix_sock { struct unix_address *addr; struct sock *peer; } CORE;

/* Contexts of cgroup programs: kernel ABI, no CO-RE. */
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	/* More follows that is not read here. */
};
struct bpf_sock_addr {
	u32 user_family;
	u32 user_ip4;
	u32 user_ip6[4];
	u32 user_port;
	u32 family;
	u32 type;
	u32 protocol;
	u32 msg_src_ip4;
	u32 msg_src_ip6[4];
};

#define BPF_RB_NO_WAKEUP 1ULL

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_LRU_HASH = 9,
       BPF_MAP_TYPE_RINGBUF = 27 };
