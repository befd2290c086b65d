// Waits for futexes: recognised, counted, measured and told apart against programs that counted them themselves.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { conditionLocks } from "../../src/analysis/futex-conditions.js";
import { lockSummaries } from "../../src/analysis/lock-summary.js";
import { FIRST_FUTEX_KIND, LOCK_KINDS, OFFCPU_STATES } from "../../src/capture/binding.js";
import { hasRust } from "../support/compilers.js";
import { olderToo } from "../support/older-kernels.js";
import { type Results, startProgram } from "../support/programs.js";
import { loss, type Recorded, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const PTHREAD_BYTES = 56n;

/** Totals of the futexes within a lock object of the C library at `address`. */
function totalsAt({ profile, final }: Recorded, address: number, bytes = PTHREAD_BYTES) {
  return final.lockTotals.filter((total) => {
    const lock = profile.locks[total.lock];
    return lock && lock.address >= BigInt(address) && lock.address < BigInt(address) + bytes;
  });
}
const kindOf = ({ profile }: Recorded, lock: number) => LOCK_KINDS[profile.locks[lock]!.kind];

for (const without of [[], ["sched_exit_tp"]]) {
  const kernel = without.length ? "without sched_exit_tp" : "with sched_exit_tp";
  // the program's account is the kernel's count of its sleeps; a call that slept twice can hide that one did not
  const missed = 1;

  test(`waits for the C library's locks: number, length, kind, timeouts and owner, ${kernel}`, async () => {
    const program = await startProgram("user-locks", { hold: true });
    const recorded = await recordWhile(
      { sources: ["futex"], filters: { pids: [program.pid] }, without },
      async () => {
        program.go();
        await program.result(30_000);
      },
    );
    const { locks, holderTid, waiterTid } = await program.result();
    const kinds: Record<string, string> = {
      mutex: "user lock",
      rwlock: "user lock",
      semaphore: "user condition or idle wait",
      pi: "user lock, priority inheritance",
      condition: "user condition or idle wait",
      timeout: "user condition or idle wait",
    };
    for (const lock of locks) {
      // the program's own hand-over uses semaphores beside these: its waits are short
      const rows = totalsAt(
        recorded,
        lock.address,
        lock.name === "semaphore" || lock.name === "timeout" ? 4n : PTHREAD_BYTES,
      );
      const counted = sum(rows, (r) => r.count);
      expect(counted, lock.name).toBeLessThanOrEqual(lock.count);
      expect(counted, lock.name).toBeGreaterThanOrEqual(lock.count - missed);
      // the program's figure has the way into the system call and out of it, and the wait for a CPU
      const share = (0.9 * counted) / lock.count;
      expect(sum(rows, (r) => r.sumNs) / lock.waitedNs, lock.name).toBeGreaterThan(share - 0.05);
      expect(sum(rows, (r) => r.sumNs) / lock.waitedNs, lock.name).toBeLessThanOrEqual(1);
      expect(
        sum(rows, (r) => r.timeouts),
        lock.name,
      ).toBe(lock.name === "timeout" ? counted : 0);
      expect(new Set(rows.map((r) => kindOf(recorded, r.lock))), lock.name).toEqual(
        new Set([kinds[lock.name]]),
      );
      for (const r of rows) expect(sum(r.buckets, (n) => n)).toBe(r.count);
    }
    const [mutex, , , pi] = locks;
    const owners = rowsOf(recorded.profile, "futex-owners");
    const ownedNs = (address: number) => {
      const ids = new Set(totalsAt(recorded, address).map((r) => r.lock));
      const table = recorded.profile.weights.find((w) => w.source === "futex-owners")!;
      let weight = 0;
      for (let row = 0; row < table.count; row++) {
        if (!ids.has(table.lock![row]!)) continue;
        expect(recorded.profile.threads[table.thread[row]!]!.tid).toBe(holderTid);
        weight += table.weightNs[row]!;
      }
      return weight;
    };
    expect(ownedNs(mutex!.address) / mutex!.waitedNs).toBeGreaterThan(0.9);
    expect(ownedNs(pi!.address) / pi!.waitedNs).toBeGreaterThan(0.9);
    // the owner sleeps in nanosleep with the lock: the stack of that is the owner's
    const asleep = owners.filter((r) => r.stack.some((f) => f.includes("nanosleep")));
    expect(sum(asleep, (r) => r.weightNs) / sum(owners, (r) => r.weightNs)).toBeGreaterThan(0.8);
    expect(new Set(asleep.map((r) => OFFCPU_STATES[r.state]))).toEqual(new Set(["interruptible"]));
    // waiters have their own stack, through the C library's code without frame pointers
    const waits = rowsOf(recorded.profile, "futex").filter((r) => r.tid === waiterTid);
    expect(waits.some((r) => r.stack.includes("futex_wait"))).toBe(true);
    // without sched_exit_tp the user half of a wait is taken with a probability only
    if (!without.length) expect(waits.some((r) => r.stack.includes("waiter"))).toBe(true);
    expect(waits.some((r) => r.stack.includes("futex_lock_pi"))).toBe(true);
  });

  test(`every system call that waits for a futex, ${kernel}`, async () => {
    const program = await startProgram("futex-forms", { hold: true });
    const recorded = await recordWhile(
      { sources: ["futex"], filters: { pids: [program.pid] }, without },
      async () => {
        program.go();
        await program.result(30_000);
      },
    );
    const { forms } = await program.result();
    for (const form of forms) {
      const rows = totalsAt(recorded, form.address, 64n);
      const counted = sum(rows, (r) => r.count);
      expect(counted, form.name).toBeLessThanOrEqual(form.count);
      expect(counted, form.name).toBeGreaterThanOrEqual(form.count - missed);
      expect(
        sum(rows, (r) => r.timeouts),
        form.name,
      ).toBe(form.name === "woken" ? 0 : counted);
      const kind = form.name.startsWith("lock_pi")
        ? "user lock, priority inheritance"
        : "user condition or idle wait";
      expect(
        rows.map((r) => kindOf(recorded, r.lock)),
        form.name,
      ).toEqual([kind]);
      // the program's own time goes on until it has a CPU again, and other tests run beside it
      const share = (0.8 * counted) / form.count;
      expect(sum(rows, (r) => r.sumNs) / form.waitedNs, form.name).toBeGreaterThan(share - 0.02);
    }
  });
}

for (const without of olderToo(["sched_exit_tp"]))
  test(`locks that no value 2 tells, and what looks like them, ${without.length ? "without" : "with"} sched_exit_tp`, async () => {
    const program = await startProgram("word-locks", { hold: true });
    const recorded = await recordWhile(
      { sources: ["futex"], filters: { pids: [program.pid] }, without },
      async () => {
        program.go();
        await program.result(30_000);
      },
    );
    const { words } = await program.result();
    const conditions = conditionLocks(recorded.profile);
    const kinds: Record<string, string> = {
      "shared mutex": "user lock",
      "rwlock state": "user lock, read-write",
      "rwlock writers": "user lock, read-write",
      parked: "user condition or idle wait",
    };
    for (const word of words) {
      const rows = word.address === 0 ? [] : totalsAt(recorded, word.address, 4n);
      const counted = sum(rows, (r) => r.count);
      if (word.name === "join") continue; // glibc's own word: there must be no lock beside the others
      expect(word.count, word.name).toBeGreaterThan(0);
      expect(Math.abs(counted - word.count), word.name).toBeLessThanOrEqual(2);
      expect(sum(rows, (r) => r.sumNs) / word.waitedNs, word.name).toBeGreaterThan(0.85);
      expect(new Set(rows.map((r) => kindOf(recorded, r.lock))), word.name).toEqual(
        new Set([kinds[word.name]]),
      );
      for (const r of rows) expect(conditions.has(r.lock), word.name).toBe(word.name === "parked");
    }
    const known = words
      .filter(({ address }) => address !== 0)
      .flatMap((w) => totalsAt(recorded, w.address, 4n));
    for (const other of recorded.final.lockTotals.filter((t) => !known.includes(t)))
      expect(kindOf(recorded, other.lock)).toBe("user condition or idle wait");
  });

// word-locks does what it does; where there is a compiler, the real ones as well
const withRust = hasRust ? test : () => undefined;

withRust("the locks of Rust's own standard library are locks, its parked thread is none", async () => {
  const program = await startProgram("rust-locks", { hold: true });
  const recorded = await recordWhile({ sources: ["futex"], filters: { pids: [program.pid] } }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { rwlock, mutex } = await program.result();
  const conditions = conditionLocks(recorded.profile);
  const [ofRwLock, ofMutex] = [totalsAt(recorded, rwlock, 8n), totalsAt(recorded, mutex, 4n)];
  expect(sum(ofRwLock, (r) => r.count)).toBeGreaterThan(100);
  expect(new Set(ofRwLock.map((r) => kindOf(recorded, r.lock)))).toEqual(new Set(["user lock, read-write"]));
  expect(new Set(ofMutex.map((r) => kindOf(recorded, r.lock)))).toEqual(new Set(["user lock"]));
  expect(sum(ofMutex, (r) => r.count)).toBeGreaterThan(100);
  for (const total of recorded.final.lockTotals)
    expect(conditions.has(total.lock)).toBe(!ofRwLock.includes(total) && !ofMutex.includes(total));
});

test("a wait that lasts until its process ends keeps the owner, and the lock its process's name", async () => {
  const program = await startProgram("lock-convoy", {
    args: ["--holds", "1", "--ms", "60000", "--waiters", "3"],
    hold: true,
  });
  const recorded = await recordWhile({ sources: ["futex"], filters: { pids: [program.pid] } }, async () => {
    program.go();
    await sleep(1000);
    await program.stop();
  });
  const locks = recorded.final.lockTotals.filter((t) => kindOf(recorded, t.lock) === "user lock");
  expect(sum(locks, (t) => t.count)).toBe(3);
  for (const { lock } of locks)
    expect(recorded.profile.locks[lock]!.name).toMatch(
      new RegExp(`^futex 0x[0-9a-f]+ of holder \\(pid ${program.pid}\\)$`),
    );
  const owners = rowsOf(recorded.profile, "futex-owners");
  expect(new Set(owners.map((r) => r.tid))).toEqual(new Set([program.pid]));
});

test("readers and writers that wait for one read-write lock of glibc's are one row", async () => {
  const program = await startProgram("lock-convoy", {
    args: ["--waiters", "6", "--ms", "100", "--rwlock"],
    hold: true,
  });
  const { profile } = await recordWhile(
    { sources: ["futex"], filters: { pids: [program.pid] } },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const { address, waits } = await program.result();
  const rows = lockSummaries(profile, "futex").filter(({ lock }) => {
    const at = profile.locks[lock]?.address ?? 0n;
    return at >= BigInt(address) && at < BigInt(address) + 56n;
  });
  expect(rows).toHaveLength(1);
  expect(rows[0]!.locks).toHaveLength(2);
  expect(rows[0]!.callers).toMatchObject([{ name: "wait_for_the_rwlock" }]);
  // a writer behind readers can wait a second time
  expect(rows[0]!.count).toBeGreaterThanOrEqual(waits);
});

test("a number behind a lock is no owner, also where its process is gone when the wait is read", async () => {
  const program = await startProgram("counted-lock", { hold: true });
  const { profile, final } = await recordWhile({ sources: ["futex"] }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { lockPid } = await program.result();
  const locks = final.lockTotals.filter((t) => profile.processes[t.process]?.pid === lockPid);
  expect(sum(locks, (t) => t.count)).toBe(3);
  expect(rowsOf(profile, "futex").filter((r) => r.pid === lockPid).length).toBeGreaterThan(0);
  expect(rowsOf(profile, "futex-owners").filter((r) => r.pid === lockPid || r.tid === 17)).toEqual([]);
  const inIt = profile.threads.filter((thread) => profile.processes[thread?.process ?? -1]?.pid === lockPid);
  expect(inIt.map((thread) => thread!.tid)).not.toContain(17);
});

test("who still waits at the end is charged, and so is a wait that began before the recording", async () => {
  const program = await startProgram("lock-convoy", {
    args: ["--holds", "1", "--ms", "60000", "--waiters", "7"],
  });
  try {
    await sleep(500);
    const recorded = await recordWhile({ sources: ["futex"], filters: { pids: [program.pid] } }, () =>
      sleep(1500),
    );
    const locks = recorded.final.lockTotals.filter((t) => kindOf(recorded, t.lock) === "user lock");
    expect(locks.map((t) => t.count)).toEqual([7]);
    expect(locks[0]!.sumNs).toBeGreaterThan(7 * 1.4e9);
    const waits = rowsOf(recorded.profile, "futex").filter((r) =>
      r.stack.some((f) => f.includes("lock_wait")),
    );
    expect(waits.every((r) => r.flags & 16)).toBe(true);
    expect(sum(waits, (r) => r.samples)).toBe(7);
    const owners = rowsOf(recorded.profile, "futex-owners");
    expect(new Set(owners.map((r) => r.tid))).toEqual(new Set([program.pid]));
    expect(owners.every((r) => r.stack.some((f) => f.includes("nanosleep")))).toBe(true);
  } finally {
    await program.stop();
  }
});

for (const without of olderToo(["sched_exit_tp"]))
  test(`a thread that waits for something else by the time it is looked at makes no futex up${without.length ? ", without sched_exit_tp" : ""}`, async () => {
    const program = await startProgram("futex-turns");
    try {
      const { lock, condition } = JSON.parse(program.child.stdout) as Results["futex-turns"];
      const [fewest, most] = [2, 8];
      let goneOn = 0;
      for (let ends = 0; ends < fewest || (goneOn === 0 && ends < most); ends++) {
        const recorded = await recordWhile(
          { sources: ["offcpu", "futex"], filters: { pids: [program.pid] }, without },
          () => sleep(100),
        );
        const { profile, final } = recorded;
        const seen = final.lockTotals
          .filter((t) => t.lock >= 0 && profile.processes[t.process]?.pid === program.pid)
          .map((t) => `${profile.locks[t.lock]!.address} ${kindOf(recorded, t.lock)}`);
        expect(new Set(seen)).toEqual(
          new Set([`${lock} user lock`, `${condition} user condition or idle wait`]),
        );
        goneOn += loss(final, "offcpu.gone_on");
      }
      // else this test has not seen what it is about
      expect(goneOn).toBeGreaterThan(0);
    } finally {
      await program.stop();
    }
  });

test("10,000 threads that wait for one lock: every one is counted", async () => {
  const program = await startProgram("lock-convoy", {
    args: ["--holds", "1", "--ms", "1500", "--waiters", "10000"],
    hold: true,
  });
  const recorded = await recordWhile({ sources: ["futex"], filters: { pids: [program.pid] } }, async () => {
    program.go();
    await program.result(60_000);
  });
  const { waits, waitedNs, address } = await program.result();
  const rows = totalsAt(recorded, address, 4n).filter((r) => kindOf(recorded, r.lock) === "user lock");
  // a thread that gets the lock at once, or waits twice since another was quicker, makes the difference
  expect(sum(rows, (r) => r.count)).toBeGreaterThan(waits * 0.98);
  expect(sum(rows, (r) => r.count)).toBeLessThan(waits * 1.5);
  expect(sum(rows, (r) => r.sumNs) / waitedNs).toBeGreaterThan(0.8);
  expect(loss(recorded.final, "offcpu.slot_collision")).toBe(0);
  expect(loss(recorded.final, "futex.table_full")).toBe(0);
});

test("threads that find no slot in a table of 64 are counted as lost", async () => {
  const program = await startProgram("lock-convoy", {
    args: ["--holds", "1", "--ms", "500", "--waiters", "300"],
    hold: true,
  });
  const recorded = await recordWhile(
    { sources: ["futex"], filters: { pids: [program.pid] }, threadSlots: 64 },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const { address } = await program.result();
  const counted = sum(totalsAt(recorded, address, 4n), (r) => r.count);
  expect(loss(recorded.final, "offcpu.slot_collision")).toBeGreaterThan(100);
  expect(counted).toBeGreaterThan(30);
  expect(counted).toBeLessThan(300);
});

test("futexes that find no row go into the rows of others, with their time", async () => {
  const program = await startProgram("user-locks", { hold: true });
  const { final } = await recordWhile(
    { sources: ["futex"], filters: { pids: [program.pid] }, tableRows: 1 },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const { locks } = await program.result();
  const other = final.lockTotals.filter((t) => t.lock < 0);
  expect(other.map((t) => t.lock).sort()).toEqual([-2, -3]);
  expect(loss(final, "futex.table_full")).toBe(sum(other, (t) => t.count));
  expect(sum(final.lockTotals, (t) => t.sumNs)).toBeGreaterThan(sum(locks, (l) => l.waitedNs) * 0.9);
});

test("a lock that is waited for much gets a row, however many were waited for before it", async () => {
  const many = await startProgram("many-mutexes", { args: ["--mutexes", "200"], hold: true });
  const recorded = await recordWhile(
    { sources: ["futex"], filters: { pids: [many.pid] }, tableRows: 16 },
    async () => {
      many.go();
      await many.result(30_000);
    },
  );
  const { hot, hotWaitedNs } = await many.result();
  const [first] = lockSummaries(recorded.profile, "futex").filter(({ contention }) => contention);
  expect(recorded.profile.locks[first!.lock]?.address).toBe(BigInt(hot));
  expect(first!.sumNs).toBeGreaterThan(hotWaitedNs * 0.7);
  expect(loss(recorded.final, "futex.table_full")).toBeGreaterThan(100);
});

test("without the source sockets nothing is attached to system calls", async () => {
  let attached = "";
  await recordWhile({ sources: ["cpu", "offcpu", "locks", "futex"] }, async ({ programs }) => {
    const links: { prog_id: number }[] = JSON.parse(
      execFileSync("bpftool", ["-j", "link", "show"], { encoding: "utf8" }),
    );
    // other tools may be at work here
    attached = JSON.stringify(links.filter((link) => programs.some(({ id }) => id === link.prog_id)));
  });
  expect(attached).toMatch(/sched_switch|tp_name|tracing/);
  expect(attached).not.toMatch(/sys_enter|sys_exit|syscall/);
});

test("kinds of futexes follow those of kernel locks", () => {
  expect(LOCK_KINDS.slice(FIRST_FUTEX_KIND).every((kind) => kind.startsWith("user"))).toBe(true);
});
