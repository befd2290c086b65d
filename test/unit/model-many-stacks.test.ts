// Many distinct stacks and functions: the profile is what putting names together one by one gives, whatever short cuts lead to it.
import { expect, test } from "vitest";
import { buildProfile, table } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame } from "./helpers/fake-capture.js";

const MODULES = [
  "/usr/sbin/nginx",
  "/opt/b/nginx",
  "/opt/größe",
  `/opt/${"deep".repeat(80)}`,
  "[kernel]",
  "[unknown]",
  "",
];
const KINDS = ["user", "kernel", "jit", "unknown"] as const;
const OFFSETS = [0n, 0xfn, 0x10n, 0xffff_ffffn, 0x1_0000_0000n, 0xffff_ffff_8100_0000n, 2n ** 64n - 1n];

/** The same on each run. */
function generator() {
  let seed = 7;
  return (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

/** What a frame is called, straight from the rules of namelessness. */
function nameOf({ name, kind, module, offset }: FakeFrame): string {
  if (name) return name;
  const path = module || "[unknown]";
  if (kind === "jit" || (path === "[unknown]" && kind !== "kernel")) return path;
  const base = path === "[unknown]" ? "[kernel]" : path.slice(path.lastIndexOf("/") + 1);
  return `${base}+0x${offset!.toString(16)}`;
}
const keyOf = (frame: FakeFrame) => JSON.stringify([nameOf(frame), frame.module || "[unknown]", frame.kind]);

test("twenty thousand stacks of frames with and without names are those that went in", () => {
  const random = generator();
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const frame = (): FakeFrame => {
    const [kind, module] = [pick(KINDS), pick(MODULES)];
    const offset = random(4) > 0 ? BigInt(random(3000) * 16) : pick(OFFSETS) + BigInt(random(3));
    const at = BigInt.asUintN(64, offset);
    // symbols that are called as nameless frames are, or nearly so
    const odd = [
      `nginx+0x${at.toString(16)}`,
      "nginx+0x",
      "nginx+0x00",
      "nginx+0xF",
      `nginx+0x1${"0".repeat(16)}`,
    ];
    const name = pick(["", "", `f${random(500)}`, random(8) === 0 ? pick(odd) : "__proto__"]);
    return { kind, module, offset: at, name: name || undefined };
  };
  const capture = new FakeCapture();
  const { thread } = capture.process(1, "many");
  // all whole: they begin where a thread does
  const entry: FakeFrame = { kind: "user", module: "/usr/sbin/nginx", name: "_start" };
  const expected = new Map<string, number>();
  const functions = new Set<string>([keyOf(entry)]);
  const kept: FakeFrame[][] = [];
  for (let n = 0; n < 20_000; n++) {
    const shared = n > 0 && random(2) === 0 ? pick(kept).slice(0, 1 + random(5)) : [entry];
    const stack = [...shared, ...Array.from({ length: 1 + random(6) }, frame)];
    if (random(10) === 0) kept.push(stack);
    else if (n === 0) kept.push([entry]);
    capture.cpu(thread, stack);
    const key = stack.map(keyOf).join();
    expected.set(key, (expected.get(key) ?? 0) + 1);
    for (const each of stack) functions.add(keyOf(each));
  }
  const profile = buildProfile(capture.events());
  const { name, module, kind, buildId, count } = profile.functions;
  const keys = name.map((each, id) => JSON.stringify([each, module[id], kind[id]]));
  expect(new Set(keys.slice(1))).toEqual(functions);
  expect([count, module.length, kind.length, buildId!.length]).toEqual(Array(4).fill(functions.size + 1));
  expect([name[0], module[0], kind[0], buildId![0]]).toEqual(["", "", "unknown", ""]);

  const { tree } = profile;
  const paths: string[] = [""];
  for (let node = 1; node < tree.count; node++) {
    const parent = tree.parent[node]!;
    expect(parent).toBeLessThan(node);
    const above = paths[parent]!;
    paths.push(above === "" ? keys[tree.func[node]!]! : `${above},${keys[tree.func[node]!]}`);
  }
  expect(new Set(paths).size).toBe(tree.count);
  const rows = table(profile, "cpu");
  const seen = new Map<string, number>();
  for (let row = 0; row < rows.count; row++) seen.set(paths[rows.node[row]!]!, rows.samples[row]!);
  expect(seen).toEqual(expected);
});

test("a symbol that is called as a nameless frame is one with it, and of two builds none is named", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(1, "two");
  const at = (path: string, buildId: string, name?: string): FakeFrame => ({
    ...{ kind: "user", module: path, buildId, offset: 0x40n },
    name,
  });
  capture.cpu(thread, [
    at("/a/lib.so", "aa"),
    at("/a/lib.so", "aa", "lib.so+0x40"),
    at("/a/lib.so", "aa", "g"),
  ]);
  capture.cpu(thread, [
    at("/b/lib.so", "bb", "lib.so+0x40"),
    at("/b/lib.so", "bb"),
    at("/b/lib.so", "bb", "g"),
  ]);
  const events = capture.events();
  // the same path under a second id, as of another container
  const [, batch] = events;
  if (batch?.type !== "batch") throw new Error("no batch");
  const { modules } = batch.batch.tables;
  Object.assign(modules[1]!, { path: "/a/lib.so" });
  const { functions } = buildProfile(events);
  expect(functions.name).toEqual(["", "lib.so+0x40", "[truncated]", "g"]);
  expect(functions.buildId).toEqual(["", "", "", ""]);
});
