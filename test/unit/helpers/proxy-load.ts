// CPU samples and waits of a healthy, busy nginx as `perf` shows them on a proxy, to put an incident on top of.
import { type FakeCapture, type FakeFrame, k, u } from "./fake-capture.js";

const ENTRY = [u("_start"), u("__libc_start_main_impl"), u("main"), u("ngx_worker_process_cycle")];
export const SYSCALL = [k("entry_SYSCALL_64_after_hwframe"), k("do_syscall_64")];
export const SEND: readonly FakeFrame[] = [
  ...ENTRY,
  u("ngx_http_upstream_process_request"),
  u("ngx_unix_send"),
  u("__send", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
  ...SYSCALL,
  k("__x64_sys_sendto"),
  k("__sock_sendmsg"),
  k("tcp_sendmsg"),
];
export const OPEN: readonly FakeFrame[] = [
  ...ENTRY,
  u("ngx_open_cached_file"),
  ...SYSCALL,
  k("__x64_sys_openat"),
  k("path_openat"),
  k("link_path_walk"),
];
const SOFTIRQ = [k("__local_bh_enable_ip"), k("handle_softirqs"), k("net_rx_action"), k("tcp_v4_rcv")];

/** 1,000 CPU samples of two workers, and their waits. Returns the threads. */
export function healthyNginx(capture: FakeCapture) {
  const one = capture.process(4711, "nginx");
  const two = capture.process(4712, "nginx");
  for (const { thread } of [one, two]) {
    const add = (times: number, stack: readonly FakeFrame[]) => capture.cpu(thread, stack, { times });
    add(120, [...ENTRY, u("ngx_http_parse_header_line")]);
    add(90, [...ENTRY, u("ngx_vslprintf")]);
    add(60, SEND);
    add(80, [...SEND, k("tcp_write_xmit"), k("__ip_queue_xmit"), ...SOFTIRQ]);
    add(30, [...SEND, k("tcp_write_xmit"), k("__ip_queue_xmit"), ...SOFTIRQ, k("sk_filter_trim_cap")]);
    add(4, [...SEND, k("lock_sock_nested"), k("_raw_spin_lock_bh"), k("native_queued_spin_lock_slowpath")]);
    add(46, [...ENTRY, u("epoll_wait"), ...SYSCALL, k("do_epoll_wait"), k("ep_send_events")]);
    add(12, [
      ...ENTRY,
      u("ngx_palloc"),
      k("asm_exc_page_fault"),
      k("do_user_addr_fault"),
      k("clear_page_erms"),
    ]);
    add(8, [...OPEN, k("__d_lookup_rcu")]);
    add(50, [
      ...ENTRY,
      u("epoll_wait"),
      ...SYSCALL,
      k("do_epoll_wait"),
      k("schedule"),
      k("finish_task_switch"),
    ]);
    capture.offcpu(thread, [...ENTRY, u("epoll_wait"), ...SYSCALL, k("do_epoll_wait"), k("schedule")], {
      times: 50,
      durationNs: 3e6,
      syscall: 232,
    });
  }
  return { one, two };
}
