/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a descriptor to its socket, and from a socket to who is at the other end: 10 to 16 ns for the whole way where
 * memory is read directly (cast.bpf.h) and has been read just before.
 */
#ifndef LOWFLAME_ENDPOINT_H
#define LOWFLAME_ENDPOINT_H

#include "cast.bpf.h"
#include "unix-name.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define TCP_LISTEN 10
#define RCV_SHUTDOWN 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
/* sk_userlocks, include/net/sock.h; the second from 6.18 on */
#define SOCK_BINDPORT_LOCK 8
#define SOCK_CONNECT_BIND 16
#define UNIX_HASH_MOD 255

/* The open file behind descriptor `fd` of `task`, or NULL. */
static __always_inline struct file* lf_file_of(struct task_struct* task, __u32 fd) {
  struct files_struct* files = task->files;

  if (!files) return NULL;
  struct fdtable* table = files->fdt;

  if (fd >= table->max_fds) return NULL;
  struct list_head* at = (struct list_head*)((__u64)table->fd + fd * 8ULL);

  return (struct file*)LF_GET(list_head, at, next);
}

/* Whether nobody else holds `file`: no copy of the descriptor, no other process, no call of another thread. */
static __always_inline bool lf_is_last(struct file* file) {
  if (bpf_core_field_exists(((struct file___ref*)0)->f_ref.refcnt))
    return !LF_GET(file___ref, file, f_ref.refcnt.counter);
  return LF_GET(file, file, f_count.counter) == 1;
}

static __always_inline bool lf_is_socket(struct file* file) {
  struct inode* inode = LF_GET(file, file, f_inode);

  return inode && (LF_GET(inode, inode, i_mode) & S_IFMT) == S_IFSOCK;
}

/* The socket that `file` is, which is one. */
static __always_inline struct sock* lf_socket_behind(struct file* file) {
  struct socket* socket = (struct socket*)LF_GET(file, file, private_data);

  return socket ? LF_GET(socket, socket, sk) : NULL;
}

/* The socket that `file` is, or NULL. */
static __always_inline struct sock* lf_socket_in(struct file* file) {
  return file && lf_is_socket(file) ? lf_socket_behind(file) : NULL;
}

/* The socket behind descriptor `fd` of `task`, or NULL. */
static __always_inline struct sock* lf_socket_of(struct task_struct* task, __u32 fd) {
  return lf_socket_in(lf_file_of(task, fd));
}

static __always_inline void lf_set_ipv4(struct lf_endpoint* e, __u32 address) {
  e->family = AF_INET;
  e->addr[0] = address;
  e->addr[1] = 0;
}

/* Four words in network order; an IPv4 address mapped into IPv6 (RFC 4291, 2.5.5.2) is told as what it is. */
static __always_inline void lf_set_ipv6(struct lf_endpoint* e, __u32 a, __u32 b, __u32 c, __u32 d) {
  if (!a && !b && c == 0xffff0000U) {
    lf_set_ipv4(e, d);
    return;
  }
  e->family = AF_INET6;
  e->addr[0] = (__u64)b << 32 | a;
  e->addr[1] = (__u64)d << 32 | c;
}

static __always_inline __u16 lf_swap16(__u16 v) {
  return v << 8 | v >> 8;
}

/* Network namespace of `sk`; NULL where the kernel has but one. */
static __always_inline struct net* lf_net_of(struct sock* sk) {
  if (!bpf_core_field_exists(((struct sock*)0)->__sk_common.skc_net.net)) return NULL;
  return LF_GET(sock, sk, __sk_common.skc_net.net);
}

/* The same address in another namespace is another end. */
static __always_inline __u16 lf_network_of(struct sock* sk) {
  struct net* net = lf_net_of(sk);

  return net ? LF_GET(net, net, ns.inum) : 0;
}

#define V6(sk, member, i) LF_GET(sock, sk, __sk_common.member.in6_u.u6_addr32[i])

static __always_inline void lf_remote(struct sock* sk, __u16 family, struct lf_endpoint* e) {
  e->port = lf_swap16(LF_GET(sock, sk, __sk_common.skc_dport));
  if (family == AF_INET)
    lf_set_ipv4(e, LF_GET(sock, sk, __sk_common.skc_daddr));
  else
    lf_set_ipv6(e, V6(sk, skc_v6_daddr, 0), V6(sk, skc_v6_daddr, 1), V6(sk, skc_v6_daddr, 2), V6(sk, skc_v6_daddr, 3));
}

static __always_inline void lf_local(struct sock* sk, __u16 family, struct lf_endpoint* e) {
  e->port = LF_GET(sock, sk, __sk_common.skc_num);
  /* one that was reset has given its port back, but still knows it */
  if (lf_rare(!e->port)) e->port = lf_swap16(LF_GET(inet_sock, sk, inet_sport));
  if (family == AF_INET)
    lf_set_ipv4(e, LF_GET(sock, sk, __sk_common.skc_rcv_saddr));
  else
    lf_set_ipv6(e, V6(sk, skc_v6_rcv_saddr, 0), V6(sk, skc_v6_rcv_saddr, 1), V6(sk, skc_v6_rcv_saddr, 2),
                V6(sk, skc_v6_rcv_saddr, 3));
}

/* Whether the kernel chooses ports like `port` for who connects (ip_local_port_range of the socket's namespace). */
static __always_inline bool lf_is_clients_port(struct sock* sk, __u16 port) {
  struct net* net = lf_net_of(sk);
  __u32 low, high;

  if (!net) return true;
  if (bpf_core_field_exists(((struct net___two*)0)->ipv4.ip_local_ports.range[1])) {
    low = LF_GET(net___two, net, ipv4.ip_local_ports.range[0]);
    high = LF_GET(net___two, net, ipv4.ip_local_ports.range[1]);
  } else {
    high = LF_GET(net, net, ipv4.ip_local_ports.range);
    low = high & 0xffff;
    high >>= 16;
  }
  return port >= low && port <= high;
}

/*
 * Whether the other side opened the connection. One that was accepted is a copy of the socket that listens, with its
 * backlog. Where that is 0, as listen(fd, 0) leaves it, the way to its port tells: a copy is not bound itself
 * (sk_clone_lock), and a port that connect() chose is shared by none that was bound (fastreuse below 0:
 * __inet_hash_connect). What is left is in a port that somebody bound, or has given its port back, as what was reset:
 * there it counts whether the kernel chose the port.
 */
static __always_inline bool lf_accepted(struct sock* sk) {
  if (LF_GET(sock, sk, sk_max_ack_backlog)) return true;
  if (LF_GET(sock, sk, sk_protocol) != IPPROTO_TCP) return false;
  if (LF_GET_BITS(sock, sk, sk_userlocks) & (SOCK_BINDPORT_LOCK | SOCK_CONNECT_BIND)) return false;
  struct inet_bind_bucket* bucket = LF_GET(inet_connection_sock, sk, icsk_bind_hash);

  if (bucket && LF_GET(inet_bind_bucket, bucket, fastreuse) < 0) return false;
  return !lf_is_clients_port(sk, lf_swap16(LF_GET(inet_sock, sk, inet_sport)));
}

/* Name of a unix socket's address into `name`. Returns its length, 0 = none. */
static __always_inline __u32 lf_unix_name(struct unix_address* address, char* name) {
  if (!address) return 0;
  /* the length has the two bytes of the family in it */
  int length = LF_GET(unix_address, address, len) - 2;

  if (length <= 0) return 0;
  __u32 n = (__u32)length < LF_UNIX_PATH ? (__u32)length : LF_UNIX_PATH;

  asm volatile("" : "+r"(n));
  if (n > LF_UNIX_PATH) return 0;
  if (bpf_probe_read_kernel(name, n,
                            (char*)address + bpf_core_field_offset(struct unix_address, name) +
                                bpf_core_field_offset(struct sockaddr_un, sun_path)))
    return 0;
  return n;
}

/*
 * Whether a unix socket with a name was itself bound to it: one that was accepted has the name of the one that listens,
 * but stays where sockets without a name are (unix_stream_connect). Kernels before 6.0 do not tell.
 */
static __always_inline bool lf_unix_bound(struct sock* sk) {
  if (!bpf_core_type_exists(struct unix_table)) return true;
  /* of a path, of an abstract name */
  return LF_GET(sock, sk, __sk_common.skc_bind_node.pprev) || LF_GET(sock, sk, __sk_common.skc_hash) > UNIX_HASH_MOD;
}

/*
 * The functions without `static` are verified by the kernel once, on their own: what they do would otherwise be looked
 * at again for each way that leads to them. The socket reaches them as a number in memory, since a kernel pointer is no
 * argument.
 */
__noinline int lf_unix_end(struct lf_call_area* area) {
  if (!area) return 0;
  struct sock* sk = (struct sock*)area->socket;
  struct lf_endpoint* e = &area->end;
  struct unix_sock* own = (struct unix_sock*)sk;
  struct unix_address* address = LF_GET(unix_sock, own, addr);
  struct sock* peer = LF_GET(unix_sock, own, peer);
  bool accepted = address && !lf_unix_bound(sk);
  __u32 n = 0;

  if (peer && !accepted) {
    n = lf_unix_name(LF_GET(unix_sock, peer, addr), area->name);
    e->role = LF_END_PATH;
  }
  if (!n) {
    n = lf_unix_name(address, area->name);
    e->role = peer || accepted ? LF_END_SERVED : LF_END_LISTEN;
  }
  area->name_length = n;
  if (n) {
    lf_hash_name(area->name, n, e);
    return 0;
  }
  struct pid* pid = LF_GET(sock, sk, sk_peer_pid);

  e->network = 0;
  e->role = pid ? LF_END_PROCESS : LF_END_LOCAL;
  e->addr[0] = pid ? LF_GET(pid, pid, numbers[0].nr) : 0;
  return 0;
}

/* Who is at the other end of area->socket, into area->end and area->name. */
static __always_inline int lf_endpoint_of(struct lf_call_area* area) {
  if (!area) return 0;
  struct sock* sk = (struct sock*)area->socket;
  struct lf_endpoint* e = &area->end;
  __u16 family = LF_GET(sock, sk, __sk_common.skc_family);

  e->family = family;
  e->protocol = LF_GET(sock, sk, sk_protocol);
  e->network = lf_network_of(sk);
  e->port = 0;
  e->addr[0] = 0;
  e->addr[1] = 0;
  area->name_length = 0;
  if (family == AF_INET || family == AF_INET6) {
    __u16 type = LF_GET(sock, sk, sk_type);
    bool stream = type == SOCK_STREAM || type == SOCK_SEQPACKET;

    if (lf_rare(stream && LF_GET(sock, sk, __sk_common.skc_state) == TCP_LISTEN)) {
      e->role = LF_END_LISTEN;
      lf_local(sk, family, e);
    } else if (lf_rare(!LF_GET(sock, sk, __sk_common.skc_dport))) {
      e->role = LF_END_LOCAL;
      lf_local(sk, family, e);
    } else if (stream && lf_accepted(sk)) {
      e->role = LF_END_ACCEPTED;
      lf_local(sk, family, e);
    } else {
      e->role = LF_END_REMOTE;
      lf_remote(sk, family, e);
    }
  } else if (family == AF_UNIX) {
    lf_unix_end(area);
  } else {
    e->role = LF_END_FAMILY;
    e->port = e->protocol;
    e->network = 0;
  }
  return 0;
}

/* The name of a unix socket in a call's own address, at `name` in user memory, `length` bytes of it. */
__noinline int lf_unix_datagram_end(struct lf_call_area* area, __u64 name, __u64 length) {
  if (!area || !length) return 0;
  __u32 n = length < LF_UNIX_PATH ? length : LF_UNIX_PATH;

  asm volatile("" : "+r"(n));
  if (n > LF_UNIX_PATH || bpf_probe_read_user(area->name, n, (void*)name)) return 0;
  /* the kernel takes a path to end at its zero byte, whatever length was given: unix_mkname_bsd() */
  if (area->name[0]) {
    __u32 to = n;

    n = 0;
    for (__u32 i = 0; i < LF_UNIX_PATH; i++) {
      if (i >= to || !area->name[i]) break;
      n = i + 1;
    }
    /* a bound socket's has its zero byte in its length, too */
    n++;
  }
  /* by way of memory: the verifier must not look at each length by itself */
  area->end.network = lf_network_of((struct sock*)area->socket);
  *(volatile __u32*)&area->name_length = n < LF_UNIX_PATH ? n : LF_UNIX_PATH;
  lf_hash_name(area->name, *(volatile __u32*)&area->name_length, &area->end);
  area->end.role = LF_END_DATAGRAM;
  return 0;
}

/* The address that a call on an unconnected socket gave or got, at `address` in user memory, `length` bytes of it. */
__noinline int lf_datagram_end(struct lf_call_area* area, __u64 address, __u64 length) {
  struct {
    __u16 family;
    __be16 port;
    __u32 v4_or_flow;
    __u32 v6[4];
  } a = {};

  if (!area || !address || bpf_probe_read_user(&a, 8, (void*)address)) return 0;
  struct lf_endpoint* e = &area->end;

  if (a.family == AF_INET) {
    lf_set_ipv4(e, a.v4_or_flow);
  } else if (a.family == AF_INET6) {
    if (bpf_probe_read_user(a.v6, sizeof(a.v6), (void*)(address + 8))) return 0;
    lf_set_ipv6(e, a.v6[0], a.v6[1], a.v6[2], a.v6[3]);
  } else {
    if (a.family == AF_UNIX && length > sizeof(a.family))
      lf_unix_datagram_end(area, address + sizeof(a.family), length - sizeof(a.family));
    return 0;
  }
  e->role = LF_END_DATAGRAM;
  e->port = lf_swap16(a.port);
  return 0;
}

#endif
