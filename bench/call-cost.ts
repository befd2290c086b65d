// What watching system calls costs a call: on a socket (send and receive of a byte over TCP, in one thread; a receive that finds
// nothing), and one that is none of the observer's business (getppid). By the clock: how much longer a call takes than with nothing attached, which has
// the bare hooks in it. By the kernel's BPF statistics: time in programs, over programs that do nothing on the same hooks.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runProgram } from "../test/support/programs.js";
import { buildObject, enableStatistics, growth, readPrograms } from "./bpf-statistics.js";
import { lowflame, lowflameIsBuilt, type Observer, peers, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";

interface Row {
  readonly name: string;
  readonly covers: string;
  /** Over nothing attached, ns a call. */
  readonly socketNs: Spread;
  readonly otherNs: Spread;
  /** In BPF programs, over those that do nothing, ns a call on a socket: TCP, in vain; absent for what has no programs. */
  readonly programNs?: Spread;
  readonly vainProgramNs?: Spread;
}

export interface CallCost {
  /** With nothing attached, ns a call. */
  readonly bareSocketNs: Spread;
  readonly bareOtherNs: Spread;
  /** A program that does nothing, ns a run by the statistics. */
  readonly floorNs: Spread;
  readonly rows: readonly Row[];
  readonly failures: readonly string[];
}

interface Round {
  readonly socketNs: number;
  readonly otherNs: number;
  readonly tcp: InPrograms;
  readonly vain: InPrograms;
}
/** Time in programs, ns a call, and runs of programs a call. */
interface InPrograms {
  readonly ns: number;
  readonly runs: number;
}

/** lowflame has the kernel's statistics on in its first five seconds: no part of its running cost. */
const WARM_MS = 5500;
const NOTHING = "nothing";
const NOOP = "no-op programs on sys_enter and sys_exit";

async function run(options: BenchOptions): Promise<CallCost> {
  const rounds = options.rounds ?? (options.quick ? 1 : 7);
  const ms = options.quick ? 300 : 1000;
  const { loader, object } = buildObject("noop-calls");
  const nothing: Observer = { name: NOTHING, covers: "", command: () => ["sleep", "3600"], idle: true };
  const noop: Observer = { name: NOOP, covers: "the bare hooks", command: () => [loader, "--quiet", object] };
  const observers: Observer[] = [
    nothing,
    noop,
    ...(lowflameIsBuilt() ? [lowflame("sockets")] : []),
    {
      name: "the usual maps",
      covers: "whole machine, four calls with latency by process: hash maps that all CPUs write",
      command: () => [loader, "--quiet", buildObject("conventional-calls").object],
    },
    peers.bpftraceCalls,
    peers.syscount,
    peers.perfTrace,
  ];
  const failures = new Map<string, string>();
  const results = new Map<string, Round[]>();
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  try {
    for (let round = 0; round < rounds && !(round > 0 && options.stopping()); round++) {
      for (let i = 0; i < observers.length; i++) {
        const observer = observers[(i + round) % observers.length]!;
        if (failures.has(observer.name)) continue;
        try {
          const result = await measure(observer, loader, dir, ms);
          results.set(observer.name, [...(results.get(observer.name) ?? []), result]);
          options.say(
            `round ${round + 1}/${rounds} ${observer.name}: ${result.socketNs.toFixed(0)} ns a call on a socket`,
          );
        } catch (error) {
          failures.set(observer.name, (error as Error).message.split("\n")[0]!);
          options.say(`${observer.name} failed: ${(error as Error).message}`);
        }
      }
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  const bare = results.get(NOTHING);
  const floor = results.get(NOOP);
  if (!bare || !floor)
    throw new Error(`The floor could not be measured: ${[...failures.values()].join("; ")}`);
  const at = (rows: readonly Round[], i: number) => rows[Math.min(i, rows.length - 1)]!;
  return {
    bareSocketNs: spread(bare.map((r) => r.socketNs)),
    bareOtherNs: spread(bare.map((r) => r.otherNs)),
    floorNs: spread(floor.map(({ vain }) => vain.ns / vain.runs)),
    rows: observers
      .filter(({ name }) => name !== NOTHING && results.has(name))
      .map(({ name, covers }) => {
        const mine = results.get(name)!;
        return {
          name,
          covers,
          socketNs: spread(mine.map((r, i) => r.socketNs - at(bare, i).socketNs)),
          otherNs: spread(mine.map((r, i) => r.otherNs - at(bare, i).otherNs)),
          ...(mine.every((r) => r.tcp.runs > 0) && {
            programNs: spread(mine.map((r, i) => overFloor(r.tcp, at(floor, i).tcp))),
            vainProgramNs: spread(mine.map((r, i) => overFloor(r.vain, at(floor, i).vain))),
          }),
        };
      }),
    failures: [...failures].map(([name, reason]) => `${name} (${reason})`),
  };
}

const overFloor = (own: InPrograms, floor: InPrograms): number => own.ns - (own.runs * floor.ns) / floor.runs;

/** Both loads by the clock without the kernel's statistics, unless the observer itself has them on; then the first with them. */
async function measure(observer: Observer, loader: string, dir: string, ms: number): Promise<Round> {
  const others = new Set(readPrograms().map((p) => p.id));
  const running = await startObserver(observer, { pids: [], dir });
  try {
    const own = new Set(readPrograms().flatMap(({ id }) => (others.has(id) ? [] : [id])));
    if (!observer.idle) await sleep(WARM_MS);
    const socket = await runProgram("socket-loop", "--ms", String(ms));
    const other = await runProgram("getppid-loop", "--ms", String(ms));
    const statistics = await enableStatistics(loader);
    try {
      return {
        socketNs: socket.wallNs / socket.calls,
        otherNs: other.wallNs / other.calls,
        tcp: await inPrograms(own, "--ms", String(ms)),
        vain: await inPrograms(own, "--ms", String(ms), "--idle", "1"),
      };
    } finally {
      await statistics.stop();
    }
  } finally {
    await running.stop();
  }
}

async function inPrograms(own: ReadonlySet<number>, ...args: string[]): Promise<InPrograms> {
  const before = readPrograms();
  const { calls } = await runProgram("socket-loop", ...args);
  const programs = growth(before, readPrograms(), own).filter((p) => !/switch|resumed|exec|tcp/.test(p.name));
  const total = (of: (p: (typeof programs)[number]) => number) => programs.reduce((n, p) => n + of(p), 0);
  return { ns: total((p) => p.ns) / calls, runs: total((p) => p.runs) / calls };
}

function render(data: CallCost): string {
  return [
    `Loads: one thread sends itself a byte over TCP and receives it, ${show(data.bareSocketNs, 0)} ns a call with nothing ` +
      `attached; one asks for its parent's id, ${show(data.bareOtherNs, 0)} ns. Median (lowest to highest) over interleaved ` +
      `rounds. Floor, ns a run of a program that does nothing, by the statistics: ${show(data.floorNs, 0)}.`,
    table(
      [
        "observer (coverage)",
        "in its programs, over the floor, ns a send or receive",
        "the same of a receive that finds nothing",
        "by the clock, over nothing attached, ns a send or receive",
        "the same of another call",
      ],
      data.rows.map((r) => [
        `${r.name} (${r.covers})`,
        r.programNs === undefined ? "" : show(r.programNs, 0),
        r.vainProgramNs === undefined ? "" : show(r.vainProgramNs, 0),
        show(r.socketNs, 0),
        show(r.otherNs, 0),
      ]),
    ),
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

export const callCost: Part<CallCost> = { name: "call-cost", run, render };
