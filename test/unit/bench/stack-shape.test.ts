// The yardstick of walked stacks: shares of functions, what chance allows, and functions of files by readelf.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { FunctionRanges } from "../../support/function-ranges.js";
import { compareShares, disagreements, type OneStack, shapeOf, topEnds } from "../../support/stack-shape.js";

const stack = (count: number, whole: boolean, ...functions: string[]): OneStack => ({
  count,
  whole,
  outermost: functions[0]!,
  functions: new Set(functions),
});

test("shares are those of whole stacks; where others end is told, most frequent first", () => {
  const shape = shapeOf([stack(6, true, "main", "a"), stack(2, true, "main", "b"), stack(2, false, "lost")]);
  expect(shape).toMatchObject({ stacks: 10, whole: 8 });
  expect(Object.fromEntries(shape.inclusive)).toEqual({ main: 8, a: 6, b: 2 });
  expect(topEnds(shape)).toBe("2 at lost");
});

test("what differs by more than chance is told, whoever of the two has not seen it", () => {
  const ours = shapeOf([stack(500, true, "main", "a"), stack(500, true, "main", "b")]);
  const same = shapeOf([stack(260, true, "main", "a"), stack(240, true, "main", "b")]);
  expect(disagreements(compareShares(ours, same))).toEqual([]);
  const other = shapeOf([stack(350, true, "main", "a"), stack(150, true, "main", "c")]);
  const told = disagreements(compareShares(ours, other)).map((line) => line.split(":")[0]!);
  expect(told.sort()).toEqual(["a", "b", "c"]);
  // 4 x sqrt(0.25 x (1/1000 + 1/500)) and one point
  expect(compareShares(ours, same).find((pair) => pair.name === "a")!.bound).toBeCloseTo(0.1195, 3);
});

test("functions of a file begin where its symbols say, at file offsets", () => {
  const run = (...command: string[]) =>
    execFileSync(command[0]!, command.slice(1), { encoding: "utf8", maxBuffer: 1 << 28 });
  const file = process.execPath;
  const address = Number.parseInt(/^([0-9a-f]+) T main$/m.exec(run("nm", "-D", file))![1]!, 16);
  const segments = run("readelf", "-lW", file).matchAll(/LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E/g);
  const [offset, begin] = [...segments]
    .map((m) => m.slice(1).map((hex) => Number.parseInt(hex, 16)) as [number, number, number])
    .find(([, from, size]) => address >= from && address < from + size)!;
  const at = address - begin + offset;
  const ranges = new FunctionRanges();
  expect(ranges.beginOf(file, at + 1)).toBe(at);
  expect(ranges.beginOf(file, 0)).toBeUndefined();
}, 60_000);
