// Source lines and inlined functions of a program that runs: the chain that the compiler made one function of is there
// again, in order, with the files and lines of its source text.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { hertz } from "../../src/model/units.js";
import { buildPrograms, Child } from "../support/children.js";
import { repositoryRoot } from "../support/paths.js";
import { programPath, startProgram } from "../support/programs.js";
import { loss, recordWhile, rowsOf, sum } from "../support/record.js";

beforeAll(buildPrograms);

function lineOf(file: string, text: string): number {
  const path = join(repositoryRoot(), "test/programs", file);
  return Number(execFileSync("grep", ["-n", "-F", text, path], { encoding: "utf8" }).split(":")[0]);
}

test("a recording of CPU time shows a chain of three inlined functions in order, with their lines", async () => {
  const program = await startProgram("inlined-chain", { args: ["--ms", "1500"], hold: true });
  const { profile, final } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, async () => {
    program.go();
    await program.result();
  });
  const counted = await program.result();
  const rows = rowsOf(profile, "cpu").filter((row) => row.pid === program.pid);
  const chain = /;burn_in_chain;outer;middle;chain::Work::turn\(unsigned long\)$/;
  const inChain = rows.filter((row) => chain.test(row.stack.join(";")));
  // all but the looks at the clock: 1 % of the program's time; 500 samples, one standard deviation is 4 %
  const seen = sum(inChain, (row) => row.weightNs) / counted.cpuNs;
  expect(seen).toBeGreaterThan(0.85);
  expect(seen).toBeLessThan(1.15);

  const { tree, lines, functions } = profile;
  const linesOf = (name: string) => {
    const found = new Set<string>();
    for (let node = 1; node < tree.count; node++) {
      const line = tree.line![node]!;
      if (functions.name[tree.func[node]!] === name)
        found.add(
          `${basename(lines!.file[line]!)}:${lines!.line[line]}${tree.inlined![node] ? " inlined" : ""}`,
        );
    }
    return [...found];
  };
  const call = (file: string, text: string) => `${file}:${lineOf(file, text)}`;
  expect(linesOf("burn_in_chain")).toContain(call("inlined-chain.cc", "seed = outer(seed)"));
  expect(linesOf("outer")).toEqual([`${call("inlined-chain.cc", "middle(seed)")} inlined`]);
  expect(linesOf("middle")).toEqual([`${call("inlined-chain.h", "Work::turn(seed + 1)")} inlined`]);
  for (const place of linesOf("chain::Work::turn(unsigned long)"))
    expect(place).toMatch(/^inlined-chain\.h:\d+ inlined$/);
  expect(final.losses.find(({ id }) => id === "symbols.lines_left")!.count).toBe(0);
});

test("the same program without debug information is as it always was: its one name, and none of what is inlined", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-lines-"));
  try {
    const bare = join(dir, "inlined-chain");
    execFileSync("objcopy", ["--strip-debug", programPath("inlined-chain"), bare]);
    const child = Child.start([bare, "--ms", "800", "--hold"]);
    await child.until(() => child.stdout.includes("ready"), 10_000, "ready");
    const { profile } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, async () => {
      child.write("\n");
      await child.exited;
    });
    const stacks = rowsOf(profile, "cpu").filter((row) => row.pid === child.pid);
    expect(stacks.filter((row) => row.stack.at(-1) === "burn_in_chain").length).toBeGreaterThan(0);
    expect(stacks.filter((row) => row.stack.join().includes("turn"))).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a program whose file is touched keeps its lines; of one that is written over they are given up, and that is told", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-lines-"));
  try {
    const file = join(dir, "inlined-chain");
    const linesAfter = async (change: () => void) => {
      copyFileSync(programPath("inlined-chain"), file);
      const { profile, final } = await recordWhile(
        { sources: ["cpu"], frequencyHz: hertz(499) },
        async () => {
          const child = Child.start([file, "--ms", "500", "--hold"]);
          await child.until(() => child.stdout.includes("ready"), 10_000, "ready");
          child.write("\n");
          await child.exited;
          change();
        },
      );
      const { tree, lines, functions } = profile;
      const named = new Set<string>();
      for (let node = 1; node < tree.count; node++)
        if (functions.name[tree.func[node]!] === "burn_in_chain")
          named.add(basename(lines?.file[tree.line?.[node] ?? 0] ?? ""));
      return { named, changed: loss(final, "symbols.files_changed") };
    };
    const touched = await linesAfter(() => utimesSync(file, 1_000_000_000, 1_000_000_000));
    expect(touched.named).toContain("inlined-chain.cc");
    expect(touched.changed).toBe(0);
    const written = await linesAfter(() => {
      const bytes = readFileSync(file);
      writeFileSync(file, bytes.fill(0x90, bytes.length / 2));
    });
    expect(written.named).not.toContain("inlined-chain.cc");
    expect(written.changed).toBe(1);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
