// Who calls the C library's wrapper, in a program without frame pointers: findings and stacks of user locks, kernel
// locks, slow socket calls and calls in vain name that function, and not the one that called it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { type Program, startProgram } from "../support/programs.js";
import { type Recorded, recordWhile, rowsOf, sleep } from "../support/record.js";

let program: Program<"direct-callers">;
let recorded: Recorded;
beforeAll(async () => {
  program = await startProgram("direct-callers");
  recorded = await recordWhile(
    { sources: ["cpu", "offcpu", "locks", "futex", "sockets"], filters: { pids: [program.pid] } },
    () => sleep(3_000),
  );
});
afterAll(() => program.stop());

/** Functions of a node's path, outermost first, in one line. */
function pathOf(node: number): string {
  const { tree, functions } = recorded.profile;
  const names: string[] = [];
  for (let at = node; at !== 0; at = tree.parent[at]!) names.unshift(functions.name[tree.func[at]!]!);
  return names.join(" > ");
}

/** Of paths through the outer function: all, and those in which the inner one is the next. */
function through(paths: readonly string[], outer: string, inner: string) {
  const all = paths.filter((path) => path.includes(`${outer} > `));
  return { all, direct: all.filter((path) => path.includes(`${outer} > ${inner} > `)) };
}

test("a user lock: the finding names who calls pthread_mutex_lock", () => {
  const lock = analyze(recorded.profile)
    .filter((f) => /lock/.test(f.rule))
    .map((f) => `${f.rule}: ${f.title} ${f.detail}`);
  expect(
    lock.some((text) => text.includes("take_the_mutex")),
    lock.join("\n"),
  ).toBe(true);
  expect(lock.filter((text) => text.includes("want_a_lock"))).toEqual([]);
  const paths = rowsOf(recorded.profile, "futex").map((r) => r.stack.join(" > "));
  const { all, direct } = through(paths, "want_a_lock", "take_the_mutex");
  expect(all.length).toBeGreaterThan(0);
  expect(direct).toEqual(all);
});

test("a kernel lock: its waiters' stacks name who calls write", () => {
  const paths = rowsOf(recorded.profile, "locks")
    .map((r) => r.stack.join(" > "))
    .filter((path) => path.includes("pipe_write"));
  const { all, direct } = through(paths, "fill_a_pipe", "write_to_the_pipe");
  expect(all.length).toBeGreaterThan(0);
  expect(direct).toEqual(all);
});

test("slow calls: each has the function that calls recv", () => {
  const paths = recorded.profile.calls.filter((c) => !(c.flags & 16)).map((c) => pathOf(c.node));
  const { all, direct } = through(paths, "want_an_answer", "receive_the_answer");
  expect(all.length, paths.join("\n")).toBeGreaterThan(5);
  expect(direct).toEqual(all);
});

test("a spin: the finding names who calls recv in vain", () => {
  const spin = analyze(recorded.profile).find((f) => f.rule === "eagain-spin");
  expect(spin?.contributors[0]?.name).toContain("read_in_vain");
  expect(spin?.detail).toContain("read_in_vain");
  const { all, direct } = through(
    recorded.profile.spins.map((c) => pathOf(c.node)),
    "try_to_read",
    "read_in_vain",
  );
  expect(all.length).toBeGreaterThan(0);
  expect(direct).toEqual(all);
});
