/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that lowflame's programs look into, and no more: CO-RE relocates each access to the running
 * kernel's layout, so only names matter here, not order or size. Kept by hand because a generated vmlinux.h is
 * 3 MB and takes four times as long to compile.
 */
#ifndef LOWFLAME_CORE_H
#define LOWFLAME_CORE_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void*)0)

enum {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PERCPU_ARRAY = 6,
  BPF_MAP_TYPE_CGROUP_ARRAY = 8,
  BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
  BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
  BPF_F_NO_PREALLOC = 1U << 0,
  BPF_F_RDONLY_PROG = 1U << 7,
  BPF_F_MMAPABLE = 1U << 10,
  BPF_F_INNER_MAP = 1U << 12,
};
enum { BPF_F_USER_STACK = 1ULL << 8 };
enum { BPF_RB_NO_WAKEUP = 1ULL << 0 };

/* task->flags */
#define PF_KTHREAD 0x00200000
/* regs->cs of a 32-bit program */
#define USER32_CS 0x23
/* thread_info.status: in a system call of 32-bit code, or of 64-bit code by int $0x80
 * (arch/x86/include/asm/thread_info.h) */
#define TS_COMPAT 2

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_info {
  unsigned long pcount;
  unsigned long long run_delay;
  unsigned long long last_queued;
};

struct raw_spinlock {
  int unused; /* only where the lock is matters */
};
struct rw_semaphore {
  struct {
    long counter;
  } owner;
  struct raw_spinlock wait_lock;
};
struct rt_mutex_base {
  int unused; /* likewise */
};
struct rwbase_rt {
  struct rt_mutex_base rtmutex;
};
struct rw_semaphore___rt { /* CONFIG_PREEMPT_RT */
  struct rwbase_rt rwbase;
};
struct mutex {
  struct {
    long counter;
  } owner;
};
struct mm_struct {
  struct rw_semaphore mmap_lock;
  unsigned long start_code;
  unsigned long start_stack; /* of the first thread: what an exec has put there lies above */
};
struct spinlock {
  int unused; /* likewise */
};
struct net {
  struct {
    unsigned int inum;
  } ns;
  struct {
    struct {
      __u32 range; /* the upper half the last port, from 6.8 on */
    } ip_local_ports;
  } ipv4;
};
struct net___two {
  struct {
    struct {
      int range[2];
    } ip_local_ports;
  } ipv4;
};
struct hlist_node {
  struct hlist_node** pprev;
};
struct unix_table {
  void* locks; /* only whether the kernel has the type matters */
};
struct sock_common {
  unsigned int skc_daddr;
  unsigned int skc_rcv_saddr;
  unsigned short skc_dport;
  unsigned short skc_num;
  unsigned short skc_family;
  unsigned char skc_state;
  unsigned int skc_hash;
  struct hlist_node skc_bind_node;
  struct {
    struct net* net;
  } skc_net;
  struct {
    union {
      unsigned int u6_addr32[4];
    } in6_u;
  } skc_v6_daddr, skc_v6_rcv_saddr;
};
struct upid {
  int nr;
};
struct pid {
  unsigned int level; /* of its namespace: 0 = the machine's */
  struct upid numbers[1];
};
struct sk_buff_head {
  __u32 qlen;
};
struct sock {
  struct sock_common __sk_common;
  struct sk_buff_head sk_receive_queue;
  unsigned char sk_shutdown;
  unsigned short sk_type;
  unsigned short sk_protocol;
  unsigned int sk_ack_backlog;
  unsigned int sk_max_ack_backlog;
  unsigned char sk_userlocks;
  int sk_err;
  struct pid* sk_peer_pid;
};
struct inet_sock {
  struct sock sk;
  __be16 inet_sport;
};
struct tcp_sock {
  __u32
      retrans_stamp; /* of the first packet of a connection that is not established, ms or us of the monotonic clock */
  __u32 total_retrans;
  __u32 data_segs_in;
  __u32 data_segs_out;
  __u8 tcp_usec_ts : 1; /* us; from 6.7 on */
};
struct inet_bind_bucket {
  signed char fastreuse;
};
struct inet_connection_sock {
  struct inet_bind_bucket* icsk_bind_hash;
  struct {
    __u32 lrcvtime; /* jiffies when data last came, to be read */
  } icsk_ack;
};
struct sockaddr_un {
  char sun_path[108];
};
struct unix_address {
  int len;
  struct sockaddr_un name[1];
};
struct unix_sock {
  struct sock sk;
  struct unix_address* addr;
  struct sock* peer;
};
struct socket {
  struct sock* sk;
};
struct inode {
  unsigned short i_mode;
};
struct file_operations {
} __attribute__((preserve_access_index));
struct hlist_head {
  struct hlist_node* first;
};

struct file {
  struct hlist_head* f_ep;
  struct file_operations* f_op;
  struct inode* f_inode;
  void* private_data;
  struct {
    __s64 counter;
  } f_count; /* before 6.13 */
};
struct file___ref {
  struct {
    struct {
      __s64 counter;
    } refcnt; /* beyond the first */
  } f_ref;
};
struct fdtable {
  unsigned int max_fds;
  struct file** fd;
};
struct list_head {
  struct list_head* next; /* stands for any pointer in memory: see endpoint.bpf.h */
};
struct files_struct {
  struct spinlock file_lock;
  struct fdtable* fdt;
};
struct sighand_struct {
  struct spinlock siglock;
};

typedef struct {
  unsigned long sig[1]; /* x86-64 */
} sigset_t;
struct sigpending {
  sigset_t signal;
};
struct signal_struct {
  struct sigpending shared_pending;
};

struct rq {
  struct raw_spinlock __lock;
  __u64 clock;
  int cpu;
};
struct cfs_rq {
  struct rq* rq; /* with CONFIG_FAIR_GROUP_SCHED */
};
struct sched_entity {
  struct cfs_rq* cfs_rq; /* likewise */
};

struct thread_info {
  __u32 status; /* x86 */
  __u32 cpu;
};
struct thread_struct {
  unsigned long sp;
  unsigned long fsbase; /* x86 */
};
struct task_struct {
  struct thread_info thread_info;
  struct thread_struct thread;
  void* stack;
  unsigned int flags;
  unsigned int __state;
  unsigned int on_cpu; /* int, u8 in 7.2: only of an unsigned field does libbpf fit the width of a load */
  int exit_state;
  int pid;
  int tgid;
  __u64 start_time;
  char comm[16];
  struct task_struct* group_leader;
  struct mm_struct* mm;
  struct files_struct* files;
  struct signal_struct* signal;
  struct sighand_struct* sighand;
  sigset_t blocked;
  struct sigpending pending;
  struct sched_entity se;
  struct sched_info sched_info;
  struct pid* thread_pid;
};

struct kmem_cache {
  const char* name;
};

struct hrtimer {
  void* function;
};

struct hw_perf_event {
  struct hrtimer hrtimer;
};

struct perf_event {
  struct hw_perf_event hw;
  __u64 id;
};

/* x86-64; programs read it through the accessors in stack.bpf.h only */
struct pt_regs {
  unsigned long bp;
  unsigned long r10;
  unsigned long r9;
  unsigned long r8;
  unsigned long dx;
  unsigned long si;
  unsigned long orig_ax;
  unsigned long ip;
  unsigned long cs;
  unsigned long sp;
  unsigned long di;
};

struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
  __u64 session_id;
  __u64 seq_num;
};
struct bpf_iter__task_file {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
  __u32 fd;
  struct file* file;
};
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};

#pragma clang attribute pop

struct linux_binprm;
struct bpf_perf_event_data;

#endif
