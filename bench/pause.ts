// Pauses a recording and resumes it, so that one load is measured with and without it in slices shorter than the noise.
import { execFileSync } from "node:child_process";
import { groupMembers } from "../test/support/proc.js";
import type { Observer, RunningObserver } from "./observers.js";

/** A pause or a resumption must have settled before a slice begins, ms. */
export const SETTLE_MS = 60;

/** Stops an observer's processes, and tells lowflame's programs to return at once (the flag that activation sets). */
export class Pause {
  readonly #maps: readonly { readonly id: string; readonly value: readonly string[] }[];

  constructor(
    readonly running: RunningObserver,
    observer: Observer,
  ) {
    this.#maps = observer.idle ? [] : activeFlags();
  }

  on(): void {
    for (const { id } of this.#maps)
      update(
        id,
        Array.from({ length: 8 }, () => "0"),
      );
    this.#signal("SIGSTOP");
  }

  off(): void {
    this.#signal("SIGCONT");
    for (const { id, value } of this.#maps) update(id, value);
  }

  #signal(signal: NodeJS.Signals): void {
    for (const pid of groupMembers(this.running.child.pid)) process.kill(pid, signal);
  }
}

function activeFlags(): { id: string; value: string[] }[] {
  const maps = JSON.parse(bpftool(["-j", "map", "show", "name", "lf_active"])) as
    | { id: number }
    | { id: number }[];
  return (Array.isArray(maps) ? maps : [maps]).map(({ id }) => {
    const dump = JSON.parse(
      bpftool(["-j", "map", "lookup", "id", String(id), "key", "0", "0", "0", "0"]),
    ) as {
      value: string[];
    };
    return { id: String(id), value: dump.value };
  });
}

function update(id: string, value: readonly string[]): void {
  bpftool(["map", "update", "id", id, "key", "0", "0", "0", "0", "value", ...value]);
}

const bpftool = (args: readonly string[]): string => execFileSync("bpftool", args, { encoding: "utf8" });
