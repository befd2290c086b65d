// Does the limit of open files leave room for a recording? Every map, ring, program and perf event is a descriptor.
import { type ProbeRow, SOURCES, type SourceName } from "../capture/binding.js";
import { onlineCpus } from "./host.js";
import { DEFAULT_SOURCES } from "./options.js";
import type { SystemView } from "./system.js";

/**
 * Descriptors of a recording, counted in /proc/PID/fd while it runs (test/kernel/open-files.test.ts counts again).
 * Whatever the sources: 40 (Node, the addon, the object that follows processes, what the unwinder has), and room for what
 * is open for a moment: each unwind table is a map, whose descriptor is closed once the kernel's list of tables has it.
 */
const ALWAYS = 40 + 40;
/** A BPF object with its programs, maps and links. */
const OBJECT = { cpu: 10, switches: 19, locks: 23, calls: 29 } as const;
const OBJECT_OF = {
  cpu: ["cpu"],
  offcpu: ["switches"],
  locks: ["locks"],
  futex: ["switches"],
  // where a thread waits inside a call is known from its switches
  sockets: ["switches", "calls"],
} as const satisfies Record<SourceName, readonly (keyof typeof OBJECT)[]>;
/**
 * On each CPU, a ring and a table for each object; for `cpu` also the perf event, and with hardware cycles its group
 * member and that one's link.
 */
const PER_CPU = { processes: 2, cpu: 5, switches: 2, locks: 2, calls: 2 } as const;
/** Program files that are held open for their names: a quarter of the limit within these (native/symbols/file_cache.cc). */
const FEWEST_SYMBOL_FILES = 64;
const MOST_SYMBOL_FILES = 4_096;

/** Descriptors that a recording of `sources` may need at one time. */
export function filesWanted(sources: readonly SourceName[], cpus: number): number {
  const parts = new Set(sources.flatMap((source) => OBJECT_OF[source]));
  let fixed = ALWAYS + PER_CPU.processes * cpus;
  for (const part of parts) fixed += OBJECT[part] + PER_CPU[part] * cpus;
  // A quarter of the limit is a third of what the rest takes.
  return fixed + Math.min(Math.max(FEWEST_SYMBOL_FILES, Math.ceil(fixed / 3)), MOST_SYMBOL_FILES);
}

/** Node raises the soft limit to the hard one when it starts, so there is one number to look at. */
export function openFilesCheck(system: SystemView): ProbeRow {
  const head = { id: "limit.files", title: "limit of open files", neededBy: [], remedy: "" } as const;
  const limits = system.readText("/proc/self/limits") ?? "";
  const text = /^Max open files\s+(\d+|unlimited)\s/m.exec(limits)?.[1];
  if (text === undefined) return { ...head, status: "ok", found: "not told by /proc/self/limits" };
  const limit = text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text);
  const cpus = onlineCpus(system)?.length ?? 1;
  const all = filesWanted(SOURCES, cpus);
  if (limit >= all) return { ...head, status: "ok", found: text };
  const remedy =
    `put this in front of it: sudo prlimit --nofile=${roundUp(all)} lowflame record …  ` +
    `(a systemd service: LimitNOFILE=${roundUp(all)}; docker run: --ulimit nofile=${roundUp(all)})`;
  const wanted = filesWanted(DEFAULT_SOURCES, cpus);
  const found = `${text}, and on ${cpus} CPUs a recording may need ${wanted} (${DEFAULT_SOURCES.join(",")}) or ${all} (all sources)`;
  if (limit >= wanted) return { ...head, status: "degraded", found, remedy };
  return { ...head, status: "missing", found, remedy, neededBy: tooMuch(limit, cpus) };
}

/** Sources that no longer fit beside those before them. */
function tooMuch(limit: number, cpus: number): SourceName[] {
  const fitting: SourceName[] = [];
  return SOURCES.filter((source) => {
    if (filesWanted([...fitting, source], cpus) > limit) return true;
    fitting.push(source);
    return false;
  });
}

/** A number that is easy to type and to remember: the next power of two, at least 1024. */
const roundUp = (value: number): number => Math.max(1_024, 2 ** Math.ceil(Math.log2(value)));
