/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the probes send up. `src/wire.rs` reads it: a change here is a change there. */
#pragma once

/* One record: this head, then blobs (u16 tag, u16 length, bytes) to its end. */
struct head {
	u16 kind;
	u16 flags;
	u32 nr;		/* system call, or io_uring opcode */
	u64 boot_ns;
	u64 start;	/* start of the thread group's leader, CLOCK_BOOTTIME */
	u32 tgid;
	u32 tid;
	u32 uid;
	u32 session;
	u32 group;
	u32 parent;
	u64 parent_start;
	u64 cgroup;
	char comm[16];
	s64 ret;
	u64 args[6];
};

enum kind {
	KIND_FORK = 1,
	KIND_EXEC = 2,
	KIND_EXIT = 3,
	KIND_SYSCALL = 4,
	KIND_ARGV_MORE = 5,	/* the rest of a long command line, after its KIND_EXEC */
	KIND_NET = 6,
	KIND_URING = 7,
	KIND_OUTPUT = 8,	/* nr: descriptor; args: bytes written, whether some were not seen; TAG_DATA: the beginning */
};

enum flag {
	FLAG_CUT = 1,		/* a path or text did not fit and is not whole */
	FLAG_COMPAT = 2,	/* a 32-bit system call */
	FLAG_MEMBER = 4,	/* a member of a lineage */
	FLAG_SCRIPT = 8,	/* exec: an interpreter runs the file named */
	FLAG_CUT_PATH = 16,	/* a path is deeper or longer than what is sent: its beginning is missing */
	FLAG_LONG = 32,		/* exec: arguments or environment are longer than one record */
};

/* A path from the kernel is sent as its components, last first, each ended by a NUL. */
enum tag {
	TAG_FILE = 1,	/* struct file_info */
	TAG_PATH = 2,	/* components of the file that was opened or executed */
	TAG_CWD = 3,
	TAG_ARGV = 4,
	TAG_ENV = 5,
	TAG_NAME = 6,	/* exec: the name that was executed, as given */
	TAG_TEXT1 = 7,	/* a path or text as given; */
	TAG_BASE1 = 8,	/* components of what it is relative to; */
	TAG_FD1 = 9,	/* components of the file behind its leading `/proc/self/fd/N` */
	TAG_TEXT2 = 10,
	TAG_BASE2 = 11,
	TAG_FD2 = 12,
	TAG_ADDRESS = 13,	/* struct address, or family and path of a unix socket */
	TAG_DATA = 14,	/* the beginning of a packet's payload, or of an output */
};

struct file_info {
	u64 inode;
	u32 device;	/* as the kernel keeps it: major << 20 | minor */
	u32 magic;
	u32 links;
	u32 mode;
	u32 internal;	/* on no mount that has a path: memfd, pipe, socket */
	u32 open_mode;
};

struct address {
	u16 family;
	u16 port;	/* network order */
	u8 ip[16];
};

/* What to take from a system call: set by the loader, by number. */
#define ARG(recipe, shift) (((recipe) >> (shift)) & 7)	/* 1 + index of the argument, 0 for none */
enum {
	DIR1 = 0, PATH1 = 3, DIR2 = 6, PATH2 = 9,	/* bit positions of argument fields */
	FD = 12, STRING1 = 15, STRING2 = 18, SOCKADDR = 21, FLAGS = 24,
};
#define R_USED		(1ULL << 32)
#define R_OPEN		(1ULL << 33)
#define R_HOW		(1ULL << 34)	/* FLAGS points to struct open_how */
#define R_CREAT		(1ULL << 35)
#define R_MMAP		(1ULL << 36)
#define R_MPROTECT	(1ULL << 37)
#define R_CLONE		(1ULL << 38)
#define R_CLONE3	(1ULL << 39)
#define R_PRCTL		(1ULL << 40)
#define R_LOCAL		(1ULL << 41)	/* FD is a socket: its own address */
#define R_PEER		(1ULL << 42)	/* FD is a socket: the other end */
#define R_ACCEPTED	(1ULL << 43)	/* the result is a socket: the other end */
#define R_SENT		(1ULL << 44)	/* only with an address: of the hook, or SOCKADDR's */
#define R_MSG		(1ULL << 45)	/* SOCKADDR points to struct msghdr */
#define R_PIDFD		(1ULL << 46)	/* FD is a pidfd: its pid into args[5] */
#define R_SUCCESS	(1ULL << 47)	/* only if it succeeded */
#define R_WRITE		(1ULL << 48)	/* FD is written to: noted where it is the output of a command */
#define R_VECTOR	(1ULL << 49)	/* … in parts: a struct iovec in the second argument */
#define R_UNSEEN	(1ULL << 50)	/* … from where the probe cannot read */
