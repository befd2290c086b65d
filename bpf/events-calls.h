/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs on socket calls share with the addon: tables, slots and records. Part of events.h. */
#ifndef LOWFLAME_EVENTS_CALLS_H
#define LOWFLAME_EVENTS_CALLS_H

/* What a system call is to the sockets programs; with LF_CALL_OUT or LF_CALL_IN in the table by number. */
enum lf_call_class {
  LF_CALL_NONE = 0,
  LF_CALL_SOCKET = 1, /* its first argument is a socket */
  LF_CALL_ANY_FD = 2, /* ours if its first argument is a socket */
  LF_CALL_SPLICE = 3, /* ours if its first or third argument is a socket */
  LF_CALL_IDLE = 4,   /* waits for any of many descriptors */
  LF_CALL_OPEN = 5,   /* makes a socket */
  LF_CALL_CLOSE = 6,
  LF_CALL_ACCEPT = 7,
};
#define LF_CALL_CLASS 7
#define LF_CALL_OUT 8
#define LF_CALL_IN 16
#define LF_CALL_32 32 /* a number that means a call on sockets to 32-bit programs only */
#define LF_CALL_NUMBERS 512
#define LF_NO_FD 0xffffffffU        /* of a call that is not on one descriptor */
#define LF_GAVE_UP_NS 1000000000ULL /* a question without an answer counts from here on */
#define LF_CLOSED_NS (1ULL << 23)   /* and from here on may be one, where its connection is closed */
#define LF_CLOSED_BUCKET 27         /* which begins there */
#define LF_ERRORS 16                /* kinds of error that a row tells apart */

/* One cache line a thread, as lf_slot: the call that it is in, and what it did since it last read late. */
struct lf_call_slot {
  __u64 key;
  __u64 enter_ns; /* 0 = in none */
  __u64 blocked_ns;
  __u64 run_delay_ns;  /* at entry */
  __u64 call;          /* its number, and the file of the socket that it began on: LF_SLOT_* */
  __u64 late_until_ns; /* end of the last read of bytes that had lain there; before any, the time of the claim */
  __u64 slept_ns;      /* since then */
  __u64 woken_ns;      /* when it last slept no more: from then on it ran or waited for a CPU */
};
/* A file's address (x86-64) is a multiple of eight, and its highest seven bits are ones: there is room for a number.
 */
#define LF_SLOT_NR (LF_CALL_NUMBERS - 1)
#define LF_SLOT_THIRD LF_CALL_NUMBERS /* the third argument is the socket, not the first */
#define LF_SLOT_SHIFT 7
#define LF_SLOT_FILE (~0ULL << (3 + LF_SLOT_SHIFT))
struct lf_call_set {
  struct lf_call_slot way[LF_SLOT_WAYS];
};

/* Must match ENDPOINT_ROLES in src/capture/binding.ts */
enum lf_endpoint_role {
  LF_END_NONE = 0,
  LF_END_REMOTE = 1,   /* the other end of a connection that this side opened */
  LF_END_ACCEPTED = 2, /* own address of a connection that the other side opened */
  LF_END_LISTEN = 3,
  LF_END_DATAGRAM = 4, /* address given with the call */
  LF_END_LOCAL = 5,    /* own address of a socket that has no other end */
  LF_END_PATH = 6,     /* unix: name of the other end */
  LF_END_SERVED = 7,   /* unix: own name, of a connection that the other side opened */
  LF_END_PROCESS = 8,  /* unix without names: addr[0] = pid at the other end */
  LF_END_FAMILY = 9,   /* any other: port = protocol */
};
#define LF_UNIX_PATH 108

struct lf_endpoint {
  __u8 family; /* AF_* */
  __u8 role;
  __u16 port; /* host order */
  __u16 protocol;
  __u16 network; /* namespace: low half of its inode's number, the rest of which is the same for all; 0 = in none */
  __u64 addr[2]; /* network order; unix: two hashes of the name, or the pid */
};

/* The end of a socket that a thread closes just now. */
struct lf_closing {
  __u64 key; /* of the thread, as in lf_slot; 0 = none */
  struct lf_endpoint end;
  __u32 name_length;
  char name[LF_UNIX_PATH];
  __u64 pad[6];
};
#define LF_CLOSINGS 1024 /* a power of two */

struct lf_call_row {
  __u64 key; /* LF_USED | nr << 32 | tgid; 0 = free */
  __u64 start_time_ns;
  char comm[LF_COMM_LEN]; /* of the process, when the row was made */
  __u64 count;
  __u64 bytes;
  __u64 errors;
  __u64 busy_ns;
  __u64 blocked_ns;
  __u64 waiting_ns; /* runnable, without a CPU */
  __u64 max_ns;
  __u32 error[LF_ERRORS], error_count[LF_ERRORS], error_other;
  __u32 pad;
  __u32 bucket[LF_RUNQ_BUCKETS];
  __u32 busy_bucket[LF_RUNQ_BUCKETS];
};

struct lf_endpoint_row {
  __u64 key; /* LF_USED | tgid; 0 = free */
  __u64 start_time_ns;
  struct lf_endpoint end;
  __u64 count;
  __u64 bytes_out;
  __u64 bytes_in;
  __u64 errors;
  __u64 again; /* EAGAIN */
  __u64 busy_ns;
  __u64 blocked_ns;
  __u64 waiting_ns;
  __u64 max_ns;
  __u32 bucket[LF_RUNQ_BUCKETS];
  __u64 turns; /* see lf_turn */
  __u64 turn_ns;
  __u64 turn_max_ns;
  __u32 turn_bucket[LF_RUNQ_BUCKETS];
  __u64 whole_ns; /* to the last bytes of the answer so far; as many as turns */
  __u64 whole_max_ns;
  __s32 whole_bucket[LF_RUNQ_BUCKETS]; /* an answer moves up as it grows, also on another CPU: only the sum means
                                          anything */
  __u64 pauses;                        /* later parts for which more than a tick was waited */
  __u64 late; /* turns and later parts that had lain in the socket for at least late_ns in all */
  __u64 late_ns;
  __u64 late_max_ns;
  /* see lf_answer */
  __u64 late_passed_ns;
  __u64 late_awake_ns;
  __u64 late_slept_ns;
  __u64 unanswered; /* of turns: questions without an answer */
  __u64 unanswered_ns;
  /* Questions in none of turns whose connection was closed without an answer; whether one was wanted is not known. */
  __u64 closed;
  __u64 closed_ns;
  __u64 closed_max_ns;
  __u32 closed_bucket[LF_RUNQ_BUCKETS - LF_CLOSED_BUCKET];
  __u32 queue_max; /* of the listening socket, as accept found it */
  __u32 queue_limit;
  __u64 many_ns; /* end of the last sendmmsg or recvmmsg that is counted here: it is once, whatever it sent here */
  __u32 name_length;
  char name[LF_UNIX_PATH];
};

/* Life of TCP connections by endpoint; interrupts write it, too: with atomic adds. */
struct lf_tcp_row {
  struct lf_endpoint end; /* role 0 = free */
  __u64 connects, connects_failed, connect_ns, connect_max_ns;
  __u64 connects_unanswered; /* of those that failed */
  __u64 failed_ns;           /* until they did */
  __u64 accepted;
  __u64 closes;
  __u64 resets_sent, resets_received;
  __u64 retransmits;
  __u32 bucket[LF_RUNQ_BUCKETS]; /* of connect_ns */
};

/*
 * When a socket last got the bytes that are to be answered: sent, where this side opened the connection, received where
 * the other side did. Then, when the answer last grew. One cache line a socket, chosen by its address; who comes later
 * takes it over, and that is counted.
 */
struct lf_turn {
  __u64 key;
  __u64 since_ns; /* of the question's first bytes, or of the last of its answer; 0 = there is none */
  /* who waits for it, and for whom; role 0 = nobody here does (the other side, or a connect) */
  struct lf_endpoint end;
  __u64 start_time_ns;
  __u32 tgid;
  __u16 asker; /* lower half of the thread id that asked last */
  __u8 sends;  /* since the question; to a name server: those that are not yet answered */
  __u8 flags;  /* LF_TURN_* */
  __u64 ns;    /* what the answer took to its last bytes; where there are none yet, the question to its last */
};
#define LF_TURN_LATER 1  /* asked again later than LF_GAVE_UP_NS: who does that does not wait for the answer */
#define LF_TURN_BEGAN 2  /* the answer has begun */
#define LF_TURN_SPOKE 4  /* the other side answered an earlier question */
#define LF_TURN_WAITED 8 /* who asked has since waited in a receive, in vain */
#define LF_TURN_TRIED 64 /* somebody has since looked for an answer, in vain */
/* Set at the end of the recording, where the socket is open: */
#define LF_TURN_OWED 16              /* an answer is owed */
#define LF_TURN_MAYBE 32             /* it is, if somebody waits for who asked */
#define LF_ANSWERED_NS 1000000000ULL /* an answer that has not grown for so long is most likely complete */
#define LF_GAVE_UP_SENDS 8           /* who sends on and on without an answer wants none */
#define LF_FAREWELL_NS LF_CLOSED_NS  /* who says goodbye closes soon: as soon as it has a CPU */
#define LF_FAREWELL_SENDS 3
#define LF_NAMES_PORT 53 /* "domain" */
#define LF_NAMES_AGAIN_NS \
  (1ULL << 27)                   /* a resolver sends what belongs together at once, and again after a time limit */
#define LF_NAMES_NS (1ULL << 35) /* longer than any tries before it gives up */
#define LF_TURNS 8192

/* A descriptor; the least used gives way, so the busiest are there and their counts are at least that (at very many
 * calls a second, one in eight stands for eight: then an estimate). */
struct lf_fd_row {
  __u64 key; /* tgid << 32 | fd, +1 */
  __u64 start_time_ns;
  struct lf_endpoint end;
  __u64 count;
  __u64 again;
  __u64 since_ns;
  __u64 window_ns; /* when the last second of calls here began */
  __u32 window_count;
  __u32 window_again;
};

struct lf_record_call {
  struct lf_record h; /* duration_ns: whole; weight_ns: busy; syscall; syscall_arg0 = descriptor */
  __u64 blocked_ns;
  __u64 waiting_ns;
  __s64 result;
  struct lf_endpoint end;
  __u32 name_length;
  __u32 pad;
  char name[LF_UNIX_PATH + 4];
  __u64 frames[LF_MAX_FRAMES + 1]; /* user half only: the kernel half is gone at the exit */
};

/* A call on a socket that a thread is in at the end, as the iterator finds it. */
struct lf_open_call {
  __u32 tid;
  __u32 nr;
  __u32 fd;
  __u32 turn; /* lf_last_turn */
  struct lf_endpoint end;
  __u64 second, third, fifth, sixth; /* arguments: the address that it names lies in the caller's memory */
  __u32 name_length;
  char name[LF_UNIX_PATH];
};
/* A connection that is not established yet at the end, as the iterator over open files finds it. */
struct lf_connecting {
  __u64 socket;   /* tells apart sockets that are open more than once */
  __u64 since_ns; /* of its first packet */
  __u64 start_time_ns;
  struct lf_endpoint end;
  __u32 tgid;
  __u32 sent_again; /* packets */
};
enum lf_last_turn {
  LF_TURN_UNKNOWN,  /* nothing was asked in the recording */
  LF_TURN_ASKED,    /* and not answered */
  LF_TURN_ANSWERED, /* the other side spoke last */
};

enum lf_call_counter {
  LF_CALLS_RING_FULL,
  LF_CALLS_NO_RING,
  LF_CALLS_SLOT_COLLISION,
  LF_CALLS_TABLE_FULL,
  LF_CALLS_ENDPOINTS_FULL,
  LF_CALLS_SLOW_LEFT_OUT, /* slow calls over the rate */
  LF_CALLS_COMPAT,        /* 32-bit calls, not timed */
  LF_CALLS_USER_TRUNCATED,
  LF_CALLS_USER_UNREADABLE,
  LF_CALLS_TURN_REPLACED, /* another socket took the line before the answer came */
  LF_CALLS_TURN_CUT,      /* or while more of it may have been on its way */
  LF_CALLS_TCP_FULL,      /* events of connections whose endpoint found no row */
  LF_CALLS_SEEN,          /* timed calls (not a loss) */
  LF_CALLS_COUNTERS,
};

#define LF_CALL_ROWS 512
#define LF_ENDPOINT_ROWS 1024
#define LF_FD_ROWS 512
#define LF_TCP_ROWS 512

/* The first bytes of an answer, or some more of it. */
struct lf_answer {
  __u64 part_ns;  /* since the question, or since the bytes before; 0 = no answer */
  __u64 whole_ns; /* with the parts before; as long as part_ns for the first bytes */
  __u64 late_ns;  /* for so long the bytes had lain in the socket, at least; in none of the other two */
  /* Time that passed meanwhile on the thread that read, told once however much lay there; for so long of it, at least,
   * the thread ran or waited for a CPU, and for so long, at least, it slept. */
  __u64 passed_ns, awake_ns, slept_ns;
  __u32 bucket, bucket_before; /* of whole_ns, and of what it was before */
};

/* What the tables are told of a call. In memory, where the verifier takes the fields for unknown numbers: as variables
 * it would go through the program again for each way in which they can come about. */
struct lf_call_result {
  __u64 ns, busy_ns, blocked_ns, waiting_ns, bytes, now, start_ns;
  struct lf_answer answer;
  __u32 nr, error, call, tgid, fd, queue, queue_limit;
  __u32 bucket, busy_bucket; /* of ns and busy_ns */
  __u32 pad;
};

struct lf_call_area {
  __u64 counter[LF_CALLS_COUNTERS];       /* of the program at the exit */
  __u64 enter_counter[LF_CALLS_COUNTERS]; /* of that at the entry: one writer each */
  __u64 uring_requests;
  __u64 window_ns;
  __u64 window_stacks;
  __u64 fd_window_ns;
  __u64 fd_calls; /* in this window */
  __u64 fd_phase; /* which calls tell of descriptors */
  struct lf_record_call scratch;
  struct lf_uw_walk unwind;
  struct lf_call_result result;   /* of the call that ends */
  struct lf_call_result given_up; /* of the close that begins: all 0 but for who waited, and how long */
  __u64 socket;                   /* of the call that ends */
  __u64 closing_socket;           /* of the close that begins */
  struct lf_endpoint end;
  char name[LF_UNIX_PATH + 4];
  __u32 name_length;
  __u32 pad;
  struct lf_call_row call[LF_CALL_ROWS + 1];
  struct lf_endpoint_row endpoint[LF_ENDPOINT_ROWS + 1];
  struct lf_fd_row fd[LF_FD_ROWS];
  __u64 tcp_counter[LF_CALLS_COUNTERS]; /* of the programs on connections */
  __u64 tcp_socket;                     /* of the connection that changes */
  struct lf_tcp_row tcp[LF_TCP_ROWS + 1];
};

#endif
