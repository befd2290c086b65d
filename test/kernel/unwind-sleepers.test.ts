// User stacks of threads that sleep when a recording ends, in programs without frame pointers: walked from outside by the
// same unwind tables, whole, counted, and in bounded time.
import { expect, test } from "vitest";
import { SampleFlag, type SourceName } from "../../src/capture/binding.js";
import type { Profile } from "../../src/model/profile.js";
import { bytes } from "../../src/model/units.js";
import { userStackEnd } from "../../src/model/user-stacks.js";
import { type Program, startProgram } from "../support/programs.js";
import { type Recorded, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const endsOf = ({ userStacks }: Profile, source: string) =>
  Object.fromEntries(
    userStacks.ends.filter((row) => row.source === source).map((row) => [userStackEnd(row.end), row.count]),
  );

/** Rows of a program's waits that had not ended. */
const inProgress = ({ profile }: Recorded, pid: number, source: "offcpu" | "locks" = "offcpu") =>
  rowsOf(profile, source).filter((r) => r.pid === pid && (r.flags & SampleFlag.inProgress) !== 0);

async function withProgram<T>(
  name: "deep-sleepers" | "direct-callers",
  args: readonly string[],
  body: (program: Program<"deep-sleepers" | "direct-callers">) => Promise<T>,
): Promise<T> {
  const program = await startProgram(name, { args });
  try {
    await sleep(300);
    return await body(program);
  } finally {
    await program.stop();
  }
}

for (const { how, config } of [
  { how: "tables in the kernel", config: {} },
  // none fits, and nobody has asked for these: they are built at the end
  { how: "tables that found no room there", config: { unwindBytes: bytes(4096) } },
])
  test(`threads that sleep all the time have whole stacks, ${how}`, async () => {
    const threads = 200;
    await withProgram("deep-sleepers", ["--threads", String(threads)], async ({ pid }) => {
      const recorded = await recordWhile({ sources: ["offcpu"], ...config }, () => sleep(700));
      const rows = inProgress(recorded, pid).filter((r) => r.tid !== pid);
      expect(sum(rows, (r) => r.samples)).toBe(threads);
      for (const r of rows) {
        expect(r.flags & SampleFlag.userWhole, r.stack.join(" > ")).not.toBe(0);
        expect(r.stack[0]).not.toBe("[truncated]");
        const user = r.stack.filter((_, i) => r.kinds[i] === "user");
        const from = user.indexOf("sleeper");
        expect(user.slice(from, from + 23), user.join(" > ")).toEqual([
          "sleeper",
          ...Array<string>(21).fill("go_down"),
          "at_the_bottom",
        ]);
        // the C library's wrapper and no more
        expect(user.slice(from + 23).filter((name) => !/read|syscall/i.test(name))).toEqual([]);
      }
      expect(endsOf(recorded.profile, "offcpu").whole).toBeGreaterThanOrEqual(threads);
    });
  });

test("a read and a socket call that never return: who made them, and the row of the call is whole too", async () => {
  const sources: SourceName[] = ["offcpu", "sockets"];
  await withProgram("direct-callers", [], async ({ pid }) => {
    const recorded = await recordWhile({ sources, filters: { pids: [pid] } }, () => sleep(1_200));
    const rows = inProgress(recorded, pid);
    for (const path of ["sleep_for_ever > read_the_silent_pipe", "wait_for_ever > receive_nothing"])
      expect(
        rows.some((r) => r.stack.join(" > ").includes(path) && r.flags & SampleFlag.userWhole),
        `${path} in ${rows.map((r) => r.stack.join(" > ")).join("\n")}`,
      ).toBe(true);
    const { tree, functions, calls } = recorded.profile;
    const paths = calls
      .filter((c) => c.flags & SampleFlag.inProgress && c.flags & SampleFlag.userWhole)
      .map((c) => {
        const names: string[] = [];
        for (let node = c.node; node !== 0; node = tree.parent[node]!)
          names.unshift(functions.name[tree.func[node]!]!);
        return names.join(" > ");
      });
    expect(
      paths.some((p) => p.includes("wait_for_ever > receive_nothing")),
      paths.join("\n"),
    ).toBe(true);
    expect(endsOf(recorded.profile, "sockets").whole).toBeGreaterThan(0);
  });
});

test("nearly all threads of the machine that sleep have whole stacks, in less than the time that it may take", async () => {
  await withProgram("deep-sleepers", ["--threads", "3000"], async () => {
    let stopped = 0;
    const { profile } = await recordWhile({ sources: ["offcpu"] }, async () => {
      await sleep(500);
      stopped = performance.now();
    });
    // the walks take at most a second, and names their own time
    expect(performance.now() - stopped).toBeLessThan(10_000);
    const ends = endsOf(profile, "offcpu");
    const all = sum(Object.values(ends), (n) => n);
    expect(all).toBeGreaterThan(3000);
    expect(ends.whole! / all, JSON.stringify(ends)).toBeGreaterThan(0.97);
    expect(ends["out of time"] ?? 0, JSON.stringify(ends)).toBe(0);
    const asleep = rowsOf(profile, "offcpu").filter(
      (r) => r.flags & SampleFlag.inProgress && r.kinds.includes("user"),
    );
    const whole = asleep.filter((r) => r.stack[0] !== "[truncated]");
    expect(sum(whole, (r) => r.samples) / sum(asleep, (r) => r.samples)).toBeGreaterThan(0.97);
  });
});

test("without unwinding they follow frame pointers, and none is called whole", async () => {
  await withProgram("deep-sleepers", ["--threads", "20"], async ({ pid }) => {
    const recorded = await recordWhile({ sources: ["offcpu"], unwind: false }, () => sleep(300));
    const rows = inProgress(recorded, pid).filter((r) => r.tid !== pid);
    expect(sum(rows, (r) => r.samples)).toBe(20);
    expect(rows.some((r) => r.flags & SampleFlag.userWhole || r.stack.includes("sleeper"))).toBe(false);
    expect(recorded.final.userStacks).toBeUndefined();
  });
});
