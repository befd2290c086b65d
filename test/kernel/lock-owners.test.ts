// Who held a user lock: by the hands through which it went while others waited, not by whom they found there.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { lockSummaries } from "../../src/analysis/lock-summary.js";
import { OFFCPU_STATES, SOURCES, type SourceName } from "../../src/capture/binding.js";
import { olderToo } from "../support/older-kernels.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, rowsOf, sum } from "../support/record.js";

async function hands(
  args: readonly string[],
  sources: readonly SourceName[],
  without: readonly string[] = [],
) {
  const program = await startProgram("lock-hands", {
    args: [...args],
    hold: true,
    // on a busy machine threads would wait for a CPU for most of the time
    wrap: ["chrt", "-f", "1"],
  });
  const { profile } = await recordWhile(
    { sources, without: [...without], filters: { pids: [program.pid] } },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const { address, slowTid, quickTid } = await program.result();
  const lock = lockSummaries(profile, "futex").find(
    (each) => profile.locks[each.lock]?.address === BigInt(address),
  );
  const owners = rowsOf(profile, "futex-owners").filter((row) => row.pid === program.pid);
  return {
    profile,
    owners,
    shareOf: (tid: number) =>
      sum(
        owners.filter((row) => row.tid === tid),
        (row) => row.weightNs,
      ) / lock!.sumNs,
    named: lock!.owners.map(({ name, share }) => ({ name, share })),
    held: analyze(profile).filter(({ rule }) => rule.startsWith("lock-held")),
    slow: `slow (thread ${slowTid} of lock-hands)`,
    ...{ slowTid, quickTid },
  };
}

for (const [sources, without] of [
  ...olderToo(["sched_exit_tp"]).map((each) => [[...SOURCES], each] as const),
  [["cpu", "futex"], []] as const,
  [["futex"], []] as const,
]) {
  const how = `${sources.join(",")}${without.length > 0 ? ", without sched_exit_tp" : ""}`;

  test(`a lock that changes hands while four wait is its later owner's, who sleeps with it: ${how}`, async () => {
    const { shareOf, slowTid, quickTid, named, held, slow, owners } = await hands([], sources, without);
    expect(shareOf(slowTid)).toBeGreaterThan(0.9);
    expect(shareOf(slowTid)).toBeLessThan(1.01);
    expect(shareOf(quickTid)).toBeLessThan(0.06);
    expect(named[0]!.name).toBe(slow);
    expect(named[0]!.share).toBeGreaterThan(0.9);
    expect(held.map(({ rule, culprit }) => [rule, culprit])).toEqual([["lock-held-asleep", slow]]);
    expect(held[0]!.title).toMatch(/itself asleep in (?:clock_)?nanosleep/);
    const asleep = owners.filter((row) => row.tid === slowTid && OFFCPU_STATES[row.state] !== "none");
    expect(asleep.flatMap((row) => row.stack).join(" ")).toContain("use_the_mutex");
  });
}

test("the same where the later owner computes: it runs with the lock held, and nobody is asleep with it", async () => {
  const { shareOf, slowTid, quickTid, held, slow } = await hands(["--compute"], [...SOURCES]);
  expect(shareOf(slowTid)).toBeGreaterThan(0.9);
  expect(shareOf(quickTid)).toBeLessThan(0.06);
  expect(held.map(({ rule, culprit }) => [rule, culprit])).toEqual([["lock-held-running", slow]]);
});

for (const kind of [[], ["--pi"]])
  test(`in a line of six the slow one holds it, not whom each found there when it came${kind.length > 0 ? ": priority inheritance" : ""}`, async () => {
    const args = ["--line", "--waiters", "5", "--rounds", "15", "--ms", "100", "--compute", ...kind];
    const { shareOf, slowTid, held, slow, profile, owners } = await hands(args, ["cpu", "offcpu", "futex"]);
    // five hold it for 1 ms each after every 100 ms
    expect(shareOf(slowTid)).toBeGreaterThan(0.85);
    expect(held.map(({ rule, culprit }) => [rule, culprit])).toEqual([["lock-held-running", slow]]);
    for (const hold of profile.heldLocks) expect(profile.threads[hold.thread]!.tid).toBe(slowTid);
    expect(sum(owners, (row) => row.weightNs)).toBeGreaterThan(0);
  });
