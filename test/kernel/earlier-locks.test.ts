// Waits for kernel locks that began before the recording: those that end in it are counted from its start, those that do
// not are charged for all of it, and the lock's kind is known without its address. The waits are real: writers to a pipe
// and to a file whose locks a sleeping thread holds, and writers to a frozen file system.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lockSummaries } from "../../src/analysis/lock-summary.js";
import { LOCK_KINDS, type SourceName } from "../../src/capture/binding.js";
import { Child } from "../support/children.js";
import { startProgram } from "../support/programs.js";
import { loss, type Recorded, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const IN_PROGRESS = 16;
const WAITERS = 7;

/** Totals of one process's waits for kernel locks that lasted. */
const longWaits = ({ profile, final }: Recorded, pid: number) =>
  final.lockTotals.filter((t) => t.lock >= 0 && profile.processes[t.process]?.pid === pid && t.maxNs > 100e6);

for (const { option, sourcesOf, kind, caller, name } of [
  {
    option: [],
    // where switches are recorded, too, another program sees who sleeps: one kind of lock shows it
    sourcesOf: [["locks"], ["locks", "offcpu"]] satisfies SourceName[][],
    kind: "mutex",
    caller: /pipe_write/,
    name: /^mutex in (anon_)?pipe_write, address not known$/,
  },
  {
    option: ["--inode"],
    sourcesOf: [["locks"]] satisfies SourceName[][],
    kind: "rwsem, write",
    caller: /shmem_file_write_iter|generic_file_write_iter/,
    name: /^rwsem in (shmem|generic)_file_write_iter, address not known$/,
  },
])
  for (const sources of sourcesOf) {
    test(`a wait for a ${kind} that neither begins nor ends in the recording is charged for all of it: ${sources}`, async () => {
      const held = await startProgram("held-mutex", {
        args: ["--holds", "1", "--ms", "60000", "--waiters", String(WAITERS), ...option],
      });
      try {
        await sleep(300);
        const recorded = await recordWhile({ sources, filters: { pids: [held.pid] } }, () => sleep(700));
        const { profile, final } = recorded;
        const totals = longWaits(recorded, held.pid);
        expect(totals.map((t) => t.count)).toEqual([WAITERS]);
        const lock = profile.locks[totals[0]!.lock]!;
        expect(LOCK_KINDS[lock.kind]).toBe(kind);
        expect(lock.address).toBe(0n);
        expect(totals[0]!.sumNs / (WAITERS * profile.durationNs)).toBeGreaterThan(0.99);
        expect(totals[0]!.sumNs / (WAITERS * profile.durationNs)).toBeLessThan(1.01);
        expect(totals[0]!.buckets.reduce((a, b) => a + b)).toBe(WAITERS);
        const [top] = lockSummaries(profile);
        expect(top!.name).toMatch(name);
        expect(top!.callers[0]!.name).toMatch(caller);
        const rows = rowsOf(profile, "locks").filter((r) => r.flags & IN_PROGRESS);
        expect(sum(rows, (r) => r.samples)).toBe(WAITERS);
        expect(sum(rows, (r) => r.weightNs) / totals[0]!.sumNs).toBeGreaterThan(0.99);
        expect(rows.every((r) => r.stack.some((f) => caller.test(f)))).toBe(true);
        expect(rows.every((r) => r.stack.includes("write"))).toBe(true);
        expect(loss(final, "locks.orphan_end")).toBe(0);
      } finally {
        await held.stop();
      }
    });

    test(`a wait for a ${kind} that ends in the recording is counted from its start: ${sources}`, async () => {
      const held = await startProgram("held-mutex", {
        args: ["--holds", "1", "--until-told", "--waiters", String(WAITERS), ...option],
      });
      await sleep(500);
      let activeNs = 0;
      const recorded = await recordWhile({ sources, filters: { pids: [held.pid] } }, async (start) => {
        activeNs = Number(start.startMonotonicNs);
        await sleep(1000);
        held.go();
        await held.result(30_000);
      });
      const { heldNs } = await held.result();
      const ready = JSON.parse(held.child.stdout.split("\n")[0]!) as { monotonicNs: number };
      const { profile, final } = recorded;
      const totals = longWaits(recorded, held.pid);
      expect(totals.map((t) => t.count)).toEqual([WAITERS]);
      const lock = profile.locks[totals[0]!.lock]!;
      expect(LOCK_KINDS[lock.kind]).toBe(kind);
      expect(lock.address).toBeGreaterThan(0n);
      // what was left of the hold when the recording began; the program begins it right after it is ready
      const leftNs = heldNs - (activeNs - ready.monotonicNs);
      expect(leftNs).toBeGreaterThan(900e6);
      expect(totals[0]!.sumNs / (WAITERS * leftNs)).toBeGreaterThan(0.95);
      expect(totals[0]!.sumNs / (WAITERS * leftNs)).toBeLessThan(1.05);
      const rows = rowsOf(profile, "locks").filter((r) => r.stack.some((f) => caller.test(f)));
      expect(sum(rows, (r) => r.weightNs) / totals[0]!.sumNs).toBeGreaterThan(0.95);
      expect(rows.every((r) => !(r.flags & IN_PROGRESS))).toBe(true);
      expect(loss(final, "locks.orphan_end")).toBe(0);
    });
  }

/** A file system of its own, frozen: who writes to it waits for its percpu rwsem. */
async function withFrozen(body: (dir: string, thaw: () => void) => Promise<void>): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "lowflame-frozen-"));
  const image = join(scratch, "image");
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "pipe" });
  let frozen = false;
  let mounted = false;
  const thaw = () => {
    if (frozen) run("fsfreeze", "-u", scratch);
    frozen = false;
  };
  try {
    run("truncate", "-s", "16M", image);
    run("mkfs.ext4", "-q", "-F", image);
    run("mount", "-o", "loop", image, scratch);
    mounted = true;
    run("fsfreeze", "-f", scratch);
    frozen = true;
    await body(scratch, thaw);
  } finally {
    thaw();
    if (mounted) run("umount", "-l", scratch);
    rmSync(scratch, { recursive: true, force: true });
  }
}

test("writers to a frozen file system, one thawed in the recording and not", async () => {
  const sources: SourceName[] = ["locks"];
  await withFrozen(async (dir, thaw) => {
    const writer = Child.start(["dd", "if=/dev/zero", `of=${join(dir, "file")}`, "bs=1", "count=1"]);
    await sleep(500);
    const filters = { pids: [writer.pid] };
    const stuck = await recordWhile({ sources, filters }, () => sleep(1000));
    const [total, ...others] = longWaits(stuck, writer.pid);
    expect(others).toEqual([]);
    expect(total!.count).toBe(1);
    expect(total!.sumNs / stuck.profile.durationNs).toBeGreaterThan(0.99);
    const lock = stuck.profile.locks[total!.lock]!;
    expect(LOCK_KINDS[lock.kind]).toBe("percpu rwsem, read");
    expect(lock.address).toBe(0n);
    const rows = rowsOf(stuck.profile, "locks").filter((r) => r.flags & IN_PROGRESS);
    expect(rows.length).toBe(1);
    expect(rows[0]!.stack).toContain("percpu_rwsem_wait");
    expect(lockSummaries(stuck.profile)[0]!.name).toMatch(
      /^percpu rwsem in (?!percpu)\w+, address not known$/,
    );

    const thawed = await recordWhile({ sources, filters }, async () => {
      await sleep(700);
      thaw();
      await writer.exited;
    });
    const [ended] = longWaits(thawed, writer.pid);
    expect(ended!.count).toBe(1);
    expect(thawed.profile.locks[ended!.lock]!.address).toBeGreaterThan(0n);
    expect(LOCK_KINDS[thawed.profile.locks[ended!.lock]!.kind]).toBe("percpu rwsem, read");
    expect(ended!.sumNs).toBeGreaterThan(690e6);
    expect(ended!.sumNs).toBeLessThan(thawed.profile.durationNs);
  });
});

test("threads that sleep for anything else are not taken for waiters, whatever is left over on their stacks", async () => {
  const sleepers = await startProgram("sleeper-forever");
  try {
    await sleep(300);
    const { profile, final } = await recordWhile({ sources: ["locks"] }, () => sleep(1000));
    const known = final.lockTotals.filter((t) => profile.locks[t.lock]?.address === 0n);
    expect(known.map((t) => `${profile.processes[t.process]?.comm} ${profile.locks[t.lock]!.kind}`)).toEqual(
      [],
    );
  } finally {
    await sleepers.stop();
  }
});
