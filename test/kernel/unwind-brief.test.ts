// Programs that are over before the kernel's tables can know them: their stacks are copied and walked when their mappings
// have been recorded, and what nobody walked by tables is never passed off as whole.
import { expect, test } from "vitest";
import type { SessionConfig } from "../../src/capture/binding.js";
import { bytes, hertz } from "../../src/model/units.js";
import { startProgram } from "../support/programs.js";
import { loss, type Row, recordWhile, rowsOf, sum } from "../support/record.js";

const DEPTH = ["with_frame_pointer", "outer", "middle", "inner", "burn"];
const samples = (rows: readonly Row[]): number => sum(rows, (row) => row.samples);

/** CPU samples within `burn`, of processes that lived for 4 ms each. */
async function briefLives(config: Partial<SessionConfig>) {
  const program = await startProgram("brief-lives", { hold: true });
  const all = { frequencyHz: hertz(999), sources: ["cpu"], ...config } as const;
  const { profile, final } = await recordWhile(all, async () => {
    program.go();
    await program.result();
  });
  return { final, rows: rowsOf(profile, "cpu").filter((row) => row.stack.includes("burn")) };
}

test("processes that live for 4 ms: whole from the first sample on, with every function", async () => {
  const { rows, final } = await briefLives({});
  expect(samples(rows)).toBeGreaterThan(150);
  const whole = rows.filter((row) => row.stack[0] !== "[truncated]");
  expect(samples(whole) / samples(rows), JSON.stringify(rows.slice(0, 5))).toBeGreaterThanOrEqual(0.95);
  for (const row of whole) {
    const from = row.stack.indexOf(DEPTH[0]!);
    expect(row.stack.slice(from, from + DEPTH.length)).toEqual(DEPTH);
    expect(row.stack.slice(0, from).some((name) => name === "main" || name === "in_thread")).toBe(true);
  }
  expect(loss(final, "unwind.copies_dropped") / samples(rows)).toBeLessThan(0.05);
  // forks, execs and threads alike
  const below = (name: string): number => samples(whole.filter((row) => row.stack.includes(name)));
  expect(below("in_thread")).toBeGreaterThan(30);
  expect(below("main")).toBeGreaterThan(60);
});

test("by frame pointers alone the functions between are left out: what the copies are for", async () => {
  const { rows } = await briefLives({ unwind: false });
  // many have ended before their mappings were read, and are nameless then
  expect(samples(rows)).toBeGreaterThan(30);
  expect(samples(rows.filter((row) => row.stack.includes("middle"))) / samples(rows)).toBeLessThan(0.1);
});

test("copies that find no room are counted, and no stack that was one of them is whole", async () => {
  // less than the two pages of a stack that are there
  const { rows, final } = await briefLives({ ringBytes: bytes(4096) });
  expect(loss(final, "unwind.copies_dropped")).toBeGreaterThan(20);
  const whole = rows.filter((row) => row.stack[0] !== "[truncated]");
  for (const row of whole) expect(row.stack).toEqual(expect.arrayContaining(DEPTH));
});
