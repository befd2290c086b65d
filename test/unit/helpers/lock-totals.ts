// Exact totals of waits for locks, and stacks of waiters, for tests of what is made of them.
import { type FinalFacts, type LockTotal, RUNQUEUE_BUCKETS } from "../../../src/capture/binding.js";
import { ns } from "../../../src/model/units.js";
import { buildProfile } from "./build-profile.js";
import { type FakeCapture, type FakeFrame, k, u } from "./fake-capture.js";
import { SYSCALL } from "./proxy-load.js";

export const MAP: readonly FakeFrame[] = [u("_start"), u("main"), ...SYSCALL, k("ksys_mmap_pgoff")];
export const RWSEM = [k("down_write_killable"), k("rwsem_down_write_slowpath")];
export const facts = { sources: ["cpu", "locks"] as const };

/** Waits of equal length, all in the bucket that holds it (two an octave from 1,024 ns on). */
export function total(lock: number, process: number, count: number, eachNs: number, timeouts = 0): LockTotal {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  const octave = Math.floor(Math.log2(eachNs / 1024));
  const upper = eachNs >= 1.5 * 1024 * 2 ** octave;
  buckets[eachNs < 1024 ? 0 : 1 + 2 * octave + (upper ? 1 : 0)] = count;
  return { lock, process, count, sumNs: ns(count * eachNs), maxNs: ns(eachNs), timeouts, buckets };
}

export function profileOf(
  capture: FakeCapture,
  lockTotals: readonly LockTotal[],
  final: Partial<FinalFacts> = {},
) {
  return buildProfile(capture.events({ facts, final: { ...final, lockTotals } }));
}
