// Names of kernel functions that the rules look for, in one place, with the kernels they are from.

/** A symbol without what compilers append: foo.isra.0, foo.constprop.3, foo.part.1, foo.cold, foo.llvm.123. */
export function plainName(name: string): string {
  const dot = name.indexOf(".");
  return dot > 0 ? name.slice(0, dot) : name;
}

/** Slow paths of spinning locks: x86 bare and paravirtual, other architectures, resilient (6.15 on), rt, debug. */
export const SPIN_SLOW_PATH =
  /^(?:(?:native_|__pv_)?queued_spin_lock_slowpath|resilient_(?:queued|tas)_spin_lock(?:_slowpath)?|virt_spin_lock|(?:queued_)?(?:read|write)_lock_slowpath|__raw_(?:spin|read|write)_lock\w*|do_raw_(?:spin|read|write)_lock|rtlock_slowlock\w*|__rt_spin_lock\w*)$/;

/** A sleeping lock whose waiter spins as long as the owner runs. */
export const OPTIMISTIC_SPIN =
  /^(?:mutex_spin_on_owner|mutex_optimistic_spin|__mutex_lock_spin|rwsem_spin_on_owner|rwsem_optimistic_spin|rtmutex_spin_on_owner|osq_lock)$/;

/**
 * Map operations of BPF programs that take a lock with interrupts off. Plain look-ups take none, so their time is work:
 * see BPF_MAP_LOOKUP.
 */
export const BPF_MAP_OPERATION =
  /^(?:_{0,2}htab_\w+|_{0,3}pcpu_freelist_\w+|_{0,2}bpf_\w*lru\w*|__bpf_\w+|bpf_ringbuf_(?:reserve|output|query)\w*|trie_\w+|queue_stack_map_\w+|bpf_map_(?:update|delete)_\w+|bpf_percpu_hash_\w+)$/;

/** Look-ups without a lock (an LRU map's only marks its element), and the hash over the key. */
export const BPF_MAP_LOOKUP = /^(?!.*lookup_and_delete)\w*(?:lookup|_hash$)\w*$/;

/** Of those, the kernel's own frames around a program, which are no map operation. */
export const BPF_ENTRY_EXIT = /^__bpf_(?:prog_(?:enter|exit|run|test)\w*|tramp_\w+|trace_\w+)$/;

/** Text that stands between a lock and who wants it. */
export const LOCK_TEXT =
  /^(?:_*raw_(?:spin|read|write)_\w+|_*(?:native_|pv_)?queued_\w+|__raw_callee_save_\w+|resilient_\w+|do_raw_\w+|rt_(?:spin|read|write)_lock\w*|rtlock_\w+|__rt_spin_lock\w*|mutex_lock\w*|__mutex_lock\w*|mutex_\w*spin\w*|osq_lock|down_(?:read|write)\w*|rwsem_\w+|__down_\w+|lock_timer_base|htab_lock_bucket)$/;

/**
 * More such text, of locks whose waiters sleep: per-CPU rwsems, real-time and wound/wait mutexes, run queues; and the
 * tracepoints of the wait itself, at which lowflame takes its stack.
 */
export const SLEEPING_LOCK_TEXT =
  /^(?:_*percpu_(?:down|up)_\w+|_*ww_mutex_lock\w*|_*rt_mutex_\w+|rwbase_\w+|_*rwsem_\w+|_*task_rq_lock|__traceiter_contention_\w+|trace_contention_\w+)$/;

/** Who waits in one of these waits for the table of open files of its process. */
export const FILE_TABLE =
  /^(?:alloc_fd|_*get_unused_fd\w*|fd_install|_*receive_fd\w*|(?:_*close|file_close|pick)_(?:fd|file)\w*|put_unused_fd|ksys_dup3|do_dup2|f_dupfd|dup_fd|expand_f\w+|__x64_sys_(?:dup|close)\w*|__arm64_sys_(?:dup|close)\w*)$/;

/** Bucket locks of BPF hash maps, and the locks of the lists of their free elements. */
export const BPF_BUCKET = /^_*(?:htab|bpf_percpu_hash)_\w+$/;
export const BPF_FREE_LIST = /^_*(?:pcpu_freelist|bpf_(?:common_|percpu_)?lru)_\w+$/;

/** Text of interrupt entry and soft interrupts. */
export const IRQ_TEXT =
  /^(?:asm_sysvec_\w+|sysvec_\w+|__sysvec_\w+|asm_common_interrupt|common_interrupt|__common_interrupt|asm_call_irq_on_stack|apic_timer_interrupt|ret_from_intr|do_IRQ|el[01]t?_(?:64_)?irq\w*|__?irq_exit_rcu|irq_exit|__do_softirq|handle_softirqs|do_softirq\w*|call_softirq|__local_bh_enable_ip|_?local_bh_enable\w*)$/;

/** Where an interrupt enters: what is below it is not the interrupted function's doing. */
export const IRQ_ENTRY =
  /^(?:asm_sysvec_\w+|asm_common_interrupt|apic_timer_interrupt|ret_from_intr|el1h?_(?:64_)?irq|asm_exc_nmi|nmi)$/;

/**
 * Trampolines below which the traced function itself may run: kretprobes before 5.14 leave theirs in the stack of the
 * function, and a BPF trampoline with an fexit program calls the function. Only what is probe text below them counts.
 */
export const WEAK_TRAMPOLINE =
  /^(?:_*kretprobe_trampoline|arch_rethook_trampoline|bpf_trampoline_\w+|ftrace_trampoline|ftrace_(?:regs_)?caller|ftrace_(?:regs_)?call|return_to_handler)$/;

/** Text of kprobes, kretprobes, rethooks, uprobes, ftrace and classic tracepoints: all below it is the probe's doing. */
export const PROBE_TEXT =
  /^(?:arch_rethook_\w+|rethook_\w+|kretprobe_\w+|kprobe_\w+|pre_handler_kretprobe|optimized_callback|opt_pre_handler|trampoline_handler|aggr_pre_handler|kprobes?_ftrace_handler|__kretprobe_\w+|uprobe_\w+|uretprobe_\w+|__uprobe_\w+|handle_swbp|handler_chain|ftrace_ops_\w+|arch_ftrace_ops_\w+|function_trace_call|fprobe_\w+|trace_call_bpf|perf_(?:trace|syscall|call_bpf)_\w+|perf_tp_event\w*|__bpf_tramp_\w+|__bpf_prog_(?:enter|exit)\w*|perf_ftrace_\w+)$/;

/** Where a kretprobe's first half ends, at the function's entry, which runs no program; and where its second half begins. */
export const KRETPROBE_ENTRY =
  /^(?:pre_handler_kretprobe|rethook_hook|rethook_try_get|arch_rethook_prepare)$/;
export const KRETPROBE_RETURN = /^(?:_*kretprobe_trampoline|arch_rethook_trampoline)$/;

/** Raw tracepoints' way to their programs. lowflame's own programs are called by it too. */
export const RAW_TRACEPOINT_TEXT = /^(?:__bpf_trace_\w+|bpf_trace_run\d+)$/;

/** Helpers that call back into a function of the program that called them. */
export const BPF_CALLBACK =
  /^(?:bpf_loop|bpf_for_each_\w+|bpf_find_vma|bpf_user_ringbuf_drain|bpf_timer_cb)$/;

export const PAGE_FAULT =
  /^(?:asm_exc_page_fault|exc_page_fault|asm_page_fault|page_fault|do_page_fault|do_user_addr_fault|handle_mm_fault|do_translation_fault|do_mem_abort|el0t?_(?:64_)?[di]a)$/;

export const RECLAIM =
  /^(?:kswapd|balance_pgdat|try_to_free_(?:mem_cgroup_)?pages|do_try_to_free_pages|__alloc_pages_direct_(?:reclaim|compact)|shrink_(?:node|lruvec|slab|list|folio_list|page_list|many|one|active_list|inactive_list)\w*|do_shrink_slab|compact_zone\w*|try_to_compact_pages)$/;

export const DENTRY =
  /^(?:d_alloc\w*|__d_alloc|_{0,2}d_lookup\w*|shrink_dentry_list|shrink_dcache_\w+|prune_dcache_sb|dentry_lru_isolate\w*|_{0,2}dentry_kill|d_invalidate|select_collect\w*)$/;

/** Scheduler and wait text between a sleeper and the reason of its sleep. */
export const WAIT_TEXT =
  /^(?:_{0,2}schedule\w*|context_switch|io_schedule\w*|preempt_schedule\w*|wait_for_completion\w*|_{0,2}wait_for_common\w*|do_wait_for_common|finish_task_switch|__switch_to\w*|bit_wait\w*|_{0,2}wait_on_bit\w*|out_of_line_wait_on_bit\w*|mutex_lock\w*|__mutex_lock\w*|rwsem_\w+|down_(?:read|write)\w*|percpu_rwsem_\w+|folio_wait_bit\w*|_{0,2}folio_lock\w*|wait_on_page_bit\w*)$/;

/** Where packets pass the rules of netfilter (net/netfilter, net/ipv[46]/netfilter, net/bridge/netfilter). */
export const PACKET_FILTER =
  /^(?:nf_hook_slow\w*|nft_do_chain\w*|_*ip6?t_do_table|arpt_do_table|ebt_do_table)$/;
