// CPU time in a kind of kernel work, known by the functions it goes through: page faults, memory reclaim, directory
// cache, packet filter. One measure, four descriptions.
import { calledTree } from "../../model/called-tree.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { type CpuTime, kernelFunctions, outermost, processName, processPid, Tally } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import {
  DENTRY as DENTRY_NAMES,
  PACKET_FILTER as PACKET_FILTER_NAMES,
  PAGE_FAULT,
  RECLAIM as RECLAIM_NAMES,
} from "../kernel-names.js";
import { graded, percent, shown } from "../text.js";
import { DENTRY, MIN_SAMPLES, PACKET_FILTER, PAGE_FAULTS, RECLAIM } from "../thresholds.js";

interface Work {
  readonly rule: string;
  readonly functions: RegExp;
  readonly limits: { readonly warning: number; readonly critical: number };
  /** "… of the busy CPU time goes into <what>". */
  readonly what: string;
  readonly why: string;
  readonly search: string;
  readonly next: (pid: number) => string[];
}

const WORK: readonly Work[] = [
  {
    rule: "page-faults",
    functions: PAGE_FAULT,
    limits: PAGE_FAULTS,
    what: "page faults",
    why: "Memory is touched for the first time again and again: it is mapped and given back in turns (allocator, mmap of files, fork), or huge pages are being filled.",
    search: "page_fault|handle_mm_fault|do_user_addr_fault",
    next: (pid) => [
      `perf stat -e minor-faults,major-faults -p ${pid} -- sleep 5`,
      "grep -E '^(pgfault|pgmajfault|thp_fault_alloc|thp_split_page) ' /proc/vmstat    # twice, some seconds apart",
      `grep -E '^(Rss|AnonHuge|Swap)' /proc/${pid}/smaps_rollup`,
    ],
  },
  {
    rule: "memory-reclaim",
    functions: RECLAIM_NAMES,
    limits: RECLAIM,
    what: "reclaiming memory",
    why: "The machine or a cgroup is short of memory, and threads that want some must first look for pages to give up.",
    search: "shrink_|try_to_free|kswapd|balance_pgdat|compact_zone",
    next: (pid) => [
      "cat /proc/pressure/memory",
      "vmstat 1 5",
      `cat /proc/${pid}/cgroup    # then memory.max, memory.current and memory.events of that cgroup`,
    ],
  },
  {
    rule: "dentry-flood",
    functions: DENTRY_NAMES,
    limits: DENTRY,
    what: "the directory cache",
    why: "Many paths are looked up that are not in the cache, often names that do not exist, or so many entries piled up that throwing them away takes the time.",
    search: "d_alloc|d_lookup|dentry|dcache",
    next: (pid) => [
      "cat /proc/sys/fs/dentry-state    # entries, unused, …, fifth number: names that do not exist",
      "slabtop -o -s c | head -15",
      `strace -f -c -e trace=%file -p ${pid}    # for some seconds, then Ctrl-C; slows the process down`,
    ],
  },
  {
    rule: "packet-filter",
    functions: PACKET_FILTER_NAMES,
    limits: PACKET_FILTER,
    what: "the rules of the packet filter (nftables, iptables)",
    why: "Each packet goes through these rules one after the other, in the call that sends it or in the interrupt that receives it, so the kernel answers late, and no program.",
    search: "nf_hook_slow|nft_do_chain|t_do_table",
    next: () => [
      "nft -a list ruleset | wc -l; iptables-save -c | wc -l    # how many rules there are",
      "nft list ruleset | less    # long chains: use sets, maps (vmap), or accept established connections first",
    ],
  },
];

/** A finding for each kind of work that takes more than its threshold. */
export function kernelWork(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  if (cpu === undefined) return [];
  return WORK.map((work) => measured(profile, cpu, work)).filter((finding) => finding !== undefined);
}

function measured(profile: Profile, cpu: CpuTime, work: Work): Finding | undefined {
  const { table } = cpu;
  const { functions } = profile;
  const tree = calledTree(profile);
  const at = outermost(profile, kernelFunctions(profile, work.functions));
  const processes = new Tally();
  const pids = new Tally();
  const callers = new Tally();
  let samples = 0;
  for (let row = 0; row < table.count; row++) {
    const node = at[table.node[row]!]!;
    if (node === 0) continue;
    const weight = table.weightNs[row]!;
    samples += table.samples[row]!;
    const process = processName(profile, table.thread[row]!);
    processes.add(process, weight);
    pids.add(`${processPid(profile, table.thread[row]!)}`, weight);
    const caller = functions.name[tree.func[tree.parent[node]!]!];
    callers.add(caller ? `${process}: ${shown(caller)}` : process, weight);
  }
  const share = callers.total / cpu.totalNs;
  const severity = graded(share, work.limits);
  if (severity === undefined || samples < MIN_SAMPLES) return undefined;
  const [process] = processes.top(1);
  const [pid] = pids.top(1);
  const part = percent(process!.amount / processes.total);
  return {
    rule: work.rule,
    severity,
    title: `${percent(share)} of the busy CPU time goes into ${work.what}, most of it for ${process!.name}`,
    detail: `${process!.name} (the most in pid ${pid!.name}) accounts for ${part} of it. ${work.why}`,
    share: ratio(share),
    culprit: process!.name,
    contributors: callers.top(6).map(({ name, amount }) => ({ name, share: ratio(amount / cpu.totalNs) })),
    next: work.next(Number(pid!.name)),
    tab: "cpu",
    search: work.search,
  };
}
