// Gives the CPU time spent in other people's probes to the programs that cause it. Each sample is counted once, for
// the innermost foreign program around it; the way there and back (kprobe, trampoline) goes to the programs it leads to.
import { type CpuTime, functionsWhere, kernelFunctions } from "./cpu-time.js";
import {
  BPF_CALLBACK,
  IRQ_ENTRY,
  KRETPROBE_ENTRY,
  KRETPROBE_RETURN,
  PROBE_TEXT,
  plainName,
  RAW_TRACEPOINT_TEXT,
  WEAK_TRAMPOLINE,
} from "./kernel-names.js";
import { isOwn, othersFor, programSymbol } from "./own-programs.js";

/** Marks time in probe text that leads to no program seen. */
export const NO_PROGRAM = 0;

export interface ForeignTime {
  /** Function id of the program (NO_PROGRAM: a probe without a BPF program) -> ns. */
  readonly nsByProgram: ReadonlyMap<number, number>;
  /** Function id of the program -> what runs below it -> ns. */
  readonly parts: ReadonlyMap<number, ReadonlyMap<string, number>>;
  /** Samples below each program. */
  readonly samples: ReadonlyMap<number, number>;
  /** By node: 1 where the time belongs to lowflame's own programs. */
  readonly own: Uint8Array;
}

// What a node's time belongs to. Above 0: the function id of a foreign program.
const NOBODY = 0;
const OWN = -1;
const PROBE = -2; // on the way to a program, not yet known which
const RAW = -3; // the same for a raw tracepoint, which lowflame uses itself

export function foreignTime({ profile, table }: CpuTime): ForeignTime {
  const { tree, functions } = profile;
  const irq = kernelFunctions(profile, IRQ_ENTRY);
  const strong = kernelFunctions(profile, PROBE_TEXT);
  const raw = kernelFunctions(profile, RAW_TRACEPOINT_TEXT);
  const callback = kernelFunctions(profile, BPF_CALLBACK);
  const hook = kernelFunctions(profile, KRETPROBE_ENTRY);
  const weak = functionsWhere(
    profile,
    (name, kind) => kind !== "user" && kind !== "jit" && WEAK_TRAMPOLINE.test(plainName(name)),
  );
  const program = new Int32Array(functions.count); // OWN, or the function's own id for a foreign program
  const loaded = new Uint8Array(functions.count); // in the kernel's list: a program, not a part of one
  for (let id = 1; id < functions.count; id++) {
    if (functions.kind[id] !== "bpf" && functions.kind[id] !== "kernel") continue;
    const symbol = programSymbol(functions.name[id]!);
    if (symbol === undefined) continue;
    const own = isOwn(profile, symbol);
    program[id] = own ? OWN : id;
    loaded[id] = own || othersFor(profile, symbol).length > 0 ? 1 : 0;
  }

  const owner = new Int32Array(tree.count);
  const entry = new Uint32Array(tree.count); // function that the probe was entered by
  const below = new Uint32Array(tree.count); // function directly below the program
  const hooks = new Uint8Array(functions.count); // entries of probes that a kretprobe's first half was seen below
  for (let node = 1; node < tree.count; node++) {
    const parent = tree.parent[node]!;
    const func = tree.func[node]!;
    const above = owner[parent]!;
    const parentFunc = tree.func[parent]!;
    let mine = above;
    if (irq[func] === 1) mine = NOBODY;
    else if (program[func] !== 0) {
      // A program's own functions and callbacks are programs by name as well, but no list of the kernel has them.
      const called = program[parentFunc] !== 0 || callback[parentFunc] === 1;
      const part = called && above !== NOBODY && loaded[func] === 0;
      mine = part ? above : program[func]!;
    } else if (above === PROBE && weak[parentFunc] === 1 && strong[func] === 0 && weak[func] === 0) {
      mine = NOBODY; // the traced function itself
    } else if (above === NOBODY && (strong[func] === 1 || weak[func] === 1)) mine = PROBE;
    else if (above === NOBODY && raw[func] === 1) mine = RAW;
    owner[node] = mine;
    entry[node] = mine === NOBODY ? 0 : above === NOBODY ? func : entry[parent]!;
    below[node] = mine > 0 && above === mine ? below[parent] || func : 0;
    if (mine === PROBE && hook[func] === 1) hooks[entry[node]!] = 1;
  }
  return sum(profile, table, owner, entry, below, hooks);
}

function sum(
  profile: CpuTime["profile"],
  table: CpuTime["table"],
  owner: Int32Array,
  entry: Uint32Array,
  below: Uint32Array,
  hooks: Uint8Array,
): ForeignTime {
  const ns = new Map<number, number>();
  const parts = new Map<number, Map<string, number>>();
  const samples = new Map<number, number>();
  const onTheWay = new Map<
    number,
    { probe: number; raw: number; samples: number; led: Map<number, number> }
  >();
  const own = new Uint8Array(owner.length);
  for (let node = 1; node < owner.length; node++) own[node] = owner[node] === OWN ? 1 : 0;
  const give = (to: number, part: string, weight: number, count: number) => {
    ns.set(to, (ns.get(to) ?? 0) + weight);
    samples.set(to, (samples.get(to) ?? 0) + count);
    let mine = parts.get(to);
    if (mine === undefined) {
      mine = new Map();
      parts.set(to, mine);
    }
    mine.set(part, (mine.get(part) ?? 0) + weight);
  };
  for (let row = 0; row < table.count; row++) {
    const node = table.node[row]!;
    const to = owner[node]!;
    if (to === NOBODY) continue;
    const weight = table.weightNs[row]!;
    const count = table.samples[row]!;
    let way = onTheWay.get(entry[node]!);
    if (way === undefined) {
      way = { probe: 0, raw: 0, samples: 0, led: new Map() };
      onTheWay.set(entry[node]!, way);
    }
    if (to > 0 || to === OWN) way.led.set(to, (way.led.get(to) ?? 0) + weight);
    if (to > 0) {
      const part = below[node] === 0 ? "the program itself" : profile.functions.name[below[node]!]!;
      give(to, part, weight, count);
    } else if (to === PROBE || to === RAW) {
      if (to === PROBE) way.probe += weight;
      else way.raw += weight;
      way.samples += count;
    }
  }
  // a kretprobe has two ways: the one at the function's entry leads to the programs of the one at its return
  const returns = new Map<number, number>();
  for (const [func, way] of onTheWay)
    if (KRETPROBE_RETURN.test(plainName(profile.functions.name[func] ?? "")))
      for (const [to, weight] of way.led) if (to > 0) returns.set(to, (returns.get(to) ?? 0) + weight);
  for (const [func, way] of onTheWay) {
    const name = profile.functions.name[func] ?? "";
    const leads = way.led.size === 0 && hooks[func] === 1 ? returns : way.led;
    const led = [...leads.values()].reduce((a, c) => a + c, 0);
    const waiting = way.probe + way.raw;
    if (waiting === 0) continue;
    if (led === 0) {
      // lowflame uses raw tracepoints and no other probes: only those are somebody else's for certain.
      if (way.probe > 0) give(NO_PROGRAM, name, way.probe, way.samples);
      continue;
    }
    for (const [to, weight] of leads)
      if (to > 0)
        give(
          to,
          `${name} (the way to the program)`,
          (waiting * weight) / led,
          Math.round((way.samples * weight) / led),
        );
  }
  return { nsByProgram: ns, parts, samples, own };
}
