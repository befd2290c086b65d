// Pauses a recording and resumes it, so that one load is measured with and without it in slices shorter than the noise.
import { execFileSync } from "node:child_process";
import { groupMembers } from "../test/support/proc.js";
import type { Observer, RunningObserver } from "./observers.js";

/** A pause or a resumption must have settled before a slice begins, ms. */
export const SETTLE_MS = 60;

/** Stops an observer's processes, and tells lowflame's programs to return at once (the flag that activation sets). */
export class Pause {
  readonly #maps: readonly {
    readonly id: string;
    readonly key: readonly string[];
    readonly value: readonly string[];
  }[];

  constructor(
    readonly running: RunningObserver,
    observer: Observer,
  ) {
    this.#maps = observer.idle ? [] : observer.gate ? gates(observer.gate) : activeFlags();
  }

  on(): void {
    for (const { id, key } of this.#maps) update(id, key, ZERO);
    this.#signal("SIGSTOP");
  }

  off(): void {
    this.#signal("SIGCONT");
    for (const { id, key, value } of this.#maps) update(id, key, value);
  }

  #signal(signal: NodeJS.Signals): void {
    for (const pid of groupMembers(this.running.child.pid)) process.kill(pid, signal);
  }
}

const ZERO: readonly string[] = Array.from({ length: 8 }, () => "0");

function mapsCalled(name: string): number[] {
  const maps = JSON.parse(bpftool(["-j", "map", "show", "name", name])) as { id: number } | { id: number }[];
  return (Array.isArray(maps) ? maps : [maps]).map(({ id }) => id);
}

/** bpftrace's own: the key is a number of 64 bits, too. */
function gates(name: string): { id: string; key: readonly string[]; value: readonly string[] }[] {
  return mapsCalled(name).map((id) => ({ id: String(id), key: ZERO, value: ["1", ...ZERO.slice(1)] }));
}

function activeFlags(): { id: string; key: readonly string[]; value: string[] }[] {
  return mapsCalled(".data.active").map((id) => {
    const dump = JSON.parse(
      bpftool(["-j", "map", "lookup", "id", String(id), "key", "0", "0", "0", "0"]),
    ) as {
      value: string[];
    };
    return { id: String(id), key: ZERO.slice(0, 4), value: dump.value };
  });
}

function update(id: string, key: readonly string[], value: readonly string[]): void {
  bpftool(["map", "update", "id", id, "key", ...key, "value", ...value]);
}

const bpftool = (args: readonly string[]): string => execFileSync("bpftool", args, { encoding: "utf8" });
