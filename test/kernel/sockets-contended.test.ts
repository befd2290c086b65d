// Calls that are now and then busy for far longer than usual since they spin for a lock that another process holds: found, with what is
// spun for, from the kernel's account of its locks or from CPU samples alone.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { SourceName } from "../../src/capture/binding.js";
import { hertz } from "../../src/model/units.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, sleep } from "../support/record.js";

/** rtnl-holder's changes of a membership, which spin for rtnl_mutex now and then, recorded by these sources. */
async function contended(sources: SourceName[]) {
  const program = await startProgram("rtnl-holder", { args: ["--ms", "20000"], hold: true });
  const { profile } = await recordWhile({ sources, frequencyHz: hertz(999) }, async () => {
    program.go();
    await sleep(5_000);
  });
  await program.stop();
  const found = analyze(profile).filter(({ rule }) => rule === "contended-socket-call");
  return { found, pid: program.pid };
}

test.each<{ sources: SourceName[]; by: string }>([
  { sources: ["sockets", "locks"], by: "By the kernel's account of its locks" },
  { sources: ["sockets", "cpu"], by: "By the CPU samples" },
])("setsockopt that spins for rtnl_mutex, recorded with $sources", async ({ sources, by }) => {
  const { found, pid } = await contended(sources);
  const own = found.filter(({ title }) => title.includes(`(pid ${pid})`));
  expect(own).toHaveLength(1);
  expect(own[0]!.title).toMatch(
    new RegExp(`^setsockopt of rtnl-holder \\(pid ${pid}\\) is busy for .* once in a hundred calls`),
  );
  expect(own[0]!.detail).toContain(by);
  expect(own[0]!.contributors.map(({ name }) => name).join()).toContain("setsockopt");
});
