// Read-write locks of user programs: two words that are one lock, writers that readers pass by, and nobody who parks there.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { lockSummaries } from "../../src/analysis/lock-summary.js";
import { userLockCallers } from "../../src/analysis/user-lock-callers.js";
import type { LockKind } from "../../src/capture/binding.js";
import { u } from "./helpers/fake-capture.js";
import { FUTEX_WAIT, LIBC, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

const [PHASE, WRITERS] = [0x7f0000000148n, 0x7f000000014cn];
const at = (name: string) => [...THREAD, app("Cache::put(Key)"), u(name, LIBC), ...FUTEX_WAIT];
const WRLOCK = at("pthread_rwlock_wrlock");

/** 10 s: each wait is of one thread at one word, `lengthNs` long and over at `endNs`. */
function profileWith(
  waits: readonly { word: bigint; thread: number; lengthNs: number; endNs: number }[],
  kind: LockKind = "user lock",
  stack = WRLOCK,
) {
  const server = fakeApp(2);
  const locks = new Map<bigint, number>();
  for (const { word } of waits) if (!locks.has(word)) locks.set(word, futexOf(server, kind, word));
  for (const { word, thread, lengthNs, endNs } of waits)
    server.capture.futex(server.threads[thread]!, stack, {
      lock: locks.get(word)!,
      durationNs: lengthNs,
      weightNs: lengthNs,
      at: endNs,
    });
  const totals = [...locks].map(([word, lock]) => {
    const of = waits.filter((wait) => wait.word === word);
    const meanNs = of.reduce((sum, { lengthNs }) => sum + lengthNs, 0) / of.length;
    return total(lock, server.process, of.length, meanNs, of.length);
  });
  return profileOf(server, totals);
}
const contention = (profile: ReturnType<typeof profileWith>) =>
  analyze(profile).filter(({ rule }) => rule === "user-lock-contention");

describe("a read-write lock", () => {
  test("at whose two words two writers wait nearly all of the time has two waiters at once", () => {
    const profile = profileWith([
      { word: PHASE, thread: 0, lengthNs: 4.8e9, endNs: 4.9e9 },
      { word: WRITERS, thread: 1, lengthNs: 4.8e9, endNs: 4.9e9 },
      { word: WRITERS, thread: 0, lengthNs: 4.9e9, endNs: 9.9e9 },
      { word: PHASE, thread: 1, lengthNs: 4.9e9, endNs: 9.9e9 },
    ]);
    const [row, ...rest] = lockSummaries(profile, "futex");
    expect(rest).toEqual([]);
    expect(row).toMatchObject({ count: 4, atOnce: 2, readWrite: true });
    expect(contention(profile).map(({ severity }) => severity)).toEqual(["critical"]);
  });

  test("that one writer waits for, long and seldom, is contention: nobody parks there", () => {
    const waits = [0, 1, 2].map((i) => ({
      ...{ word: PHASE, thread: 0 },
      ...{ lengthNs: 3e9, endNs: 3.2e9 * (i + 1) },
    }));
    const [finding, ...rest] = contention(profileWith(waits));
    expect(rest).toEqual([]);
    expect(finding?.detail).toContain("glibc's lets new readers pass a writer");
    expect(finding?.next.join(" ")).toContain("PREFER_WRITER");
    // the same waits for a mutex may be those of a thread that has nothing to do
    expect(contention(profileWith(waits, "user lock", at("pthread_mutex_lock")))).toEqual([]);
  });

  test("for which a writer waited all the time is no deadlock of workers", () => {
    const [finding] = contention(profileWith([{ word: WRITERS, thread: 0, lengthNs: 10e9, endNs: 10e9 }]));
    expect(finding).toMatchObject({ severity: "critical" });
    expect(finding?.title).not.toContain("none got it");
  });

  test("of Rust is one lock of two words, wherever its first one lies", () => {
    const rust: LockKind = "user lock, read-write";
    const stack = [...THREAD, app("cache::put"), ...FUTEX_WAIT];
    for (const first of [0x7f0000000100n, 0x7f0000000104n]) {
      const locks = [first, first + 4n, first + 12n, first + 16n];
      const waits = locks.map((word, i) => ({ word, thread: i % 2, lengthNs: 1e8, endNs: 1e9 * (i + 1) }));
      const rows = lockSummaries(profileWith(waits, rust, stack), "futex");
      expect(rows.map(({ count, locks: { length } }) => [count, length])).toEqual([
        [2, 2],
        [2, 2],
      ]);
    }
  });
});

describe("who wants a lock", () => {
  const wanted = (names: readonly string[]): string => {
    const server = fakeApp(1);
    const lock = futexOf(server);
    const stack = [
      ...THREAD,
      ...names.map((name) => app(name)),
      u("pthread_mutex_lock", LIBC),
      ...FUTEX_WAIT,
    ];
    server.capture.futex(server.threads[0]!, stack, { lock });
    const profile = profileOf(server, [total(lock, server.process, 1, 1e6)]);
    const table = profile.weights.find(({ source }) => source === "futex")!;
    return userLockCallers(profile)(table.node[0]!).name;
  };

  test.each([
    "app_mutex_lock",
    "uv_mutex_lock",
    "uv_rwlock_wrlock",
    "g_rw_lock_writer_lock",
    "apr_thread_mutex_lock",
    "SDL_LockMutex",
    "Spinlock::Acquire()",
    "app::Mutex::lock()",
  ])("is who calls %s, which takes any lock", (wrapper) => {
    expect(wanted(["charge_card", wrapper])).toBe("charge_card");
    // where nobody calls it but a thread's start, it is all that is known
    expect(wanted([wrapper])).toBe(wrapper);
  });

  test.each(["list_lock", "Cache::lock()", "unlock_all", "block_mutex"])("is %s, which says more", (name) => {
    expect(wanted(["charge_card", name])).toBe(name);
  });
});
