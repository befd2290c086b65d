// What lowflame puts into the kernel: only kinds of program that need no kprobe, and no memory that two CPUs write.
// Asked of the kernel with bpftool, not of lowflame.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { SOURCES } from "../../src/capture/binding.js";
import { buildPrograms } from "../support/children.js";
import { programsDir } from "../support/paths.js";
import { loss, recordWhile, sleep } from "../support/record.js";

interface BpftoolProgram {
  readonly id: number;
  readonly type: string;
  readonly name: string;
  readonly map_ids?: readonly number[];
}
interface BpftoolLink {
  readonly prog_id: number;
  readonly type: string;
  readonly attach_type?: string;
}
interface BpftoolMap {
  readonly id: number;
  readonly type: string;
  readonly name: string;
  readonly max_entries: number;
  readonly flags: number;
}
const bpftool = <T>(...args: string[]): T =>
  JSON.parse(execFileSync("bpftool", ["-j", ...args], { encoding: "utf8" }));
const READ_ONLY_FOR_PROGRAMS = 1 << 7;

/** Instructions that the verifier follows before it gives up, whoever loads: BPF_COMPLEXITY_LIMIT_INSNS, include/linux/bpf.h. */
const MOST_VERIFIED = 1_000_000;

const ALLOWED_SECTIONS = [/^tp_btf\//, /^raw_tp\//, /^perf_event$/, /^iter\//];
/** Map types that programs may write: each is per CPU (one inner map a CPU) or has one writer a slot. */
const WRITABLE: Record<string, readonly string[]> = {
  array: [
    "lf_area",
    "lf_slots",
    "lf_full_sets",
    "lf_lock_slots",
    "lf_call_slots",
    "lf_closings",
    "lf_turns",
    "lf_iter_scratch",
  ],
  percpu_array: ["lf_callers"],
  ringbuf: ["lf_ring"],
};
/**
 * Each program family has an array of its CPUs' areas and one of their rings: what programs write is in there. "uw": copies of
 * stacks, of all families.
 */
const FAMILIES = ["cpu", "off", "lock", "call", "proc", "uw"];
/** Tables of files, which are no CPU's: written by user space only. */
const SHARED_OUTER = "lf_uw_tables";
/** Holds a map only where somebody waited for a lock when the recording began: see earlier-locks.test.ts. */
const EARLIER = "lf_earlier";
const INNER = { areas: { type: "array", name: "lf_area" }, rings: { type: "ringbuf", name: "lf_ring" } };

/** "0-3,8" of /sys/devices/system/cpu/online as numbers. */
function onlineCpus(): number[] {
  const text = readFileSync("/sys/devices/system/cpu/online", "latin1").trim();
  return text.split(",").flatMap((part) => {
    const [first, last] = part.split("-").map(Number);
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, i) => first! + i);
  });
}

/** What an array of maps holds: CPU -> id of the inner map. bpftool prints keys and values byte by byte. */
function innerMapsOf(outer: number): Map<number, number> {
  const number = (hex: readonly string[]) => Buffer.from(hex.map((byte) => Number(byte))).readUInt32LE();
  const entries = new Map<number, number>();
  for (const { key, value } of bpftool<{ key: string[]; value: string[] | { error: string } }[]>(
    ...["map", "dump", "id", String(outer)],
  ))
    if (Array.isArray(value)) entries.set(number(key), number(value));
  return entries;
}

/** Everything at once, loaded for this kernel or as for one that lacks `without`: asked of the kernel while it records. */
async function loaded(without: readonly string[]) {
  buildPrograms();
  let found: {
    programs: BpftoolProgram[];
    links: BpftoolLink[];
    maps: Map<number, BpftoolMap>;
    inner: Map<number, Map<number, number>>;
    verified: Map<number, number>;
  };
  const { start } = await recordWhile({ sources: [...SOURCES], without: [...without] }, async (started) => {
    const ids = new Set(started.programs.map((p) => p.id));
    const maps = new Map(bpftool<BpftoolMap[]>("map", "show").map((m) => [m.id, m]));
    const outers = [...maps.values()].filter((m) => m.type === "array_of_maps");
    const verified: { id: number; instructions: number }[] = JSON.parse(
      execFileSync(join(programsDir(), "verified-programs"), { encoding: "utf8" }),
    );
    found = {
      programs: bpftool<BpftoolProgram[]>("prog", "show").filter((p) => ids.has(p.id)),
      links: bpftool<BpftoolLink[]>("link", "show").filter((link) => ids.has(link.prog_id)),
      maps,
      inner: new Map(outers.map((m) => [m.id, innerMapsOf(m.id)])),
      verified: new Map(verified.filter((p) => ids.has(p.id)).map((p) => [p.id, p.instructions])),
    };
  });
  const used = new Set(found!.programs.flatMap((p) => p.map_ids ?? []));
  return { start, used, ...found! };
}

describe.for([
  { kernel: "on this kernel", without: [] },
  {
    kernel: "on a kernel without the newer tracepoints",
    without: ["sched_exit_tp", "hrtimer_expire_entry"],
  },
])("$kernel", ({ without }) => {
  let of: Awaited<ReturnType<typeof loaded>>;
  beforeAll(async () => {
    of = await loaded(without);
  });

  test("programs are tp_btf, raw tracepoints, perf events or iterators", () => {
    expect(of.programs).toHaveLength(of.start.programs.length);
    for (const p of of.programs)
      expect(["tracing", "perf_event", "raw_tracepoint"], p.name).toContain(p.type);
    for (const l of of.links) {
      expect(["tracing", "perf_event", "raw_tracepoint", "iter"]).toContain(l.type);
      if (l.type === "tracing") expect(["trace_raw_tp", "trace_iter"]).toContain(l.attach_type);
    }
    for (const p of of.start.programs)
      expect(
        ALLOWED_SECTIONS.some((allowed) => allowed.test(p.attachedTo)),
        p.attachedTo,
      ).toBe(true);
  });

  test("the verifier gets to the end of each program within a third of its limit, so that other kernels' do, too", () => {
    expect(of.verified.size).toBe(of.programs.length);
    for (const p of of.programs) expect(of.verified.get(p.id), p.name).toBeLessThan(MOST_VERIFIED / 3);
    expect(Math.max(...of.verified.values())).toBeGreaterThan(1000);
  });

  test("no map that programs write is shared between CPUs", () => {
    const maps = [...of.maps.values()].filter((m) => of.used.has(m.id));
    expect(maps.length).toBeGreaterThan(5);
    for (const m of maps) {
      // kinds with bucket locks or free lists: even "per CPU" ones share those
      if (/hash|queue|stack|storage|bloom|lpm/.test(m.type)) {
        expect(["lf_pids", "lf_uw_processes"]).toContain(m.name);
        expect(m.flags & READ_ONLY_FOR_PROGRAMS).toBe(READ_ONLY_FOR_PROGRAMS);
      } else if (m.type === "array_of_maps" || m.type === "cgroup_array") {
        // written by user space only: the kernel offers programs no way to update them
      } else if (!(m.flags & READ_ONLY_FOR_PROGRAMS)) {
        expect(WRITABLE[m.type] ?? [], `${m.type} ${m.name}`).toContain(m.name);
      }
    }
  });

  test("each CPU has an area and a ring of its own for each family of programs", () => {
    const outers = [...of.used]
      .map((id) => of.maps.get(id)!)
      .filter((m) => m.type === "array_of_maps" && m.name !== SHARED_OUTER);
    expect(outers.map((m) => m.name).sort()).toEqual(
      [EARLIER, ...FAMILIES.flatMap((family) => [`lf_${family}_areas`, `lf_${family}_rings`])].sort(),
    );
    const families = outers.filter((m) => m.name !== EARLIER);
    const seenIn = new Map<number, string>();
    for (const outer of families) {
      const inner = of.inner.get(outer.id)!;
      expect([...inner.keys()], outer.name).toEqual(onlineCpus());
      const wanted = outer.name.endsWith("_rings") ? INNER.rings : INNER.areas;
      for (const [cpu, id] of inner) {
        const place = `${outer.name}[${cpu}]`;
        expect(of.maps.get(id), place).toMatchObject(wanted);
        // a ring or area in two places has two CPUs or two programs that write it
        expect(seenIn.get(id), `${place} is the same map`).toBeUndefined();
        seenIn.set(id, place);
        // nor may a program reach it by its own name
        expect(of.used.has(id), place).toBe(false);
      }
    }
    expect(seenIn.size).toBe(families.length * onlineCpus().length);
  });
});

test("after a recording nothing of it is left in the kernel", async () => {
  const { start, final } = await recordWhile({}, () => sleep(200));
  const ids = new Set(start.programs.map((p) => p.id));
  expect(ids.size).toBeGreaterThan(3);
  // the kernel frees a tracing program after a grace period
  const left = () => bpftool<BpftoolProgram[]>("prog", "show").filter((p) => ids.has(p.id));
  for (let i = 0; i < 50 && left().length; i++) await sleep(100);
  expect(left()).toEqual([]);
  expect(loss(final, "bpf.recursion_missed")).toBe(0);
});
