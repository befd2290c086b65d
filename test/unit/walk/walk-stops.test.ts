// How walks of user stacks end where something is missing, wrong or too much, and what they read on the way.
import { beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildWalker, Cfa, Fp, Machine } from "./driver.js";
import { at, END, inside, JUNK, machine, NEVER, STACK, TEXT } from "./synthetic.js";

beforeAll(buildWalker, BUILD_MS);

const LEAF = { ip: inside(0), sp: STACK, bp: 0n };

describe("processes", () => {
  const known = () => machine([{ cfa: Cfa.sp, cfaOffset: 8 }, END], [inside(1)]);

  test("one that is not known has no frames here: the kernel's walk stands in", () => {
    expect(known().walk(LEAF, { tgid: 2, start: 1 })).toMatchObject({ stop: "process", frames: [] });
  });
  test("nor has one with the id of another that ended", () => {
    expect(known().walk(LEAF, { tgid: 1, start: 2 })).toMatchObject({ stop: "process", frames: [] });
  });

  /** 150 mappings of a page each, every other page, in three parts; every one has the same file of two functions. */
  function many(thirdGeneration: number): Machine {
    const m = new Machine();
    const rules = [m.rule({ cfa: Cfa.sp, cfaOffset: 8 }), m.rule(END)];
    const table = m.file(rules.map((rule, i) => ({ from: BigInt(256 * i), rule })));
    for (let part = 0; part < 3; part++) {
      const next = part < 2 ? mapping(50 * (part + 1)) : NEVER;
      m.line("process", 1, part, 1, part < 2 ? 1 : thirdGeneration, next);
      for (let i = 50 * part; i < 50 * (part + 1); i++) m.line("mapping", mapping(i), 1, table, mapping(i));
    }
    return m;
  }
  const mapping = (i: number) => TEXT + BigInt(8192 * i);

  test("the mapping is found among many, in every part", () => {
    const all = Array.from({ length: 150 }, (_, i) => i);
    const m = many(1);
    const calls = all.slice(0, 120).map((i) => mapping((i * 37) % 150) + 16n);
    m.stack(STACK, new Uint8Array(new BigUint64Array([...calls.slice(1), mapping(149) + 300n]).buffer));
    expect(m.walk({ ip: calls[0]!, sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [...calls, mapping(149) + 300n],
    });
  });
  test.each([
    ["before the first mapping", TEXT - 8n],
    ["between two", mapping(70) + 5000n],
    ["behind the last", mapping(149) + 5000n],
  ])("an address %s", (_, ip) => {
    expect(many(1).walk({ ip, sp: STACK, bp: 0n })).toMatchObject({ stop: "mapping", frames: [ip] });
  });
  test("parts that were not written together do not go together", () => {
    expect(many(2).walk({ ip: mapping(149), sp: STACK, bp: 0n })).toMatchObject({ stop: "mapping" });
  });
});

describe("tables", () => {
  test("a file whose table is not loaded is walked by frame pointer, but no such stack is whole", () => {
    const m = machine([{ cfa: Cfa.sp, cfaOffset: 8 }, END], [JUNK, 0n, inside(1)]);
    const elsewhere = 0x7f0000000000n;
    m.line("mapping", elsewhere, 1, 77, 0);
    expect(m.walk({ ip: elsewhere, sp: STACK, bp: at(1) })).toMatchObject({
      stop: "table",
      frames: [elsewhere, inside(1)],
    });
    expect(m.walk({ ip: elsewhere, sp: STACK, bp: 0n })).toMatchObject({
      stop: "table",
      frames: [elsewhere],
    });
  });

  test("addresses before and behind the table have no rule", () => {
    const m = machine([END], []);
    // the mapping begins a page earlier than the table and is 16 pages long; the table has one of 1 KiB
    m.line("process", 3, 0, 1, 1, NEVER);
    m.line("mapping", TEXT - 4096n, 16, 1, 0);
    for (const ip of [TEXT - 1n, TEXT + 1024n])
      expect(m.walk({ ip, sp: STACK, bp: 0n }, { tgid: 3, start: 1 }).stop).toBe("no rule");
    expect(m.walk({ ip: TEXT, sp: STACK, bp: 0n }, { tgid: 3, start: 1 }).stop).toBe("whole");
  });

  test("rows and pages are searched to the first and the last byte", () => {
    const m = new Machine();
    const rows: { from: bigint; rule: number }[] = [];
    // a row of its own for every 8 bytes of 300 pages, all different
    for (let i = 0; i < 128 * 300; i++) rows.push({ from: TEXT + BigInt(8 * i), rule: 1 + (i % 1000) });
    for (let i = 0; i < 1000; i++) m.rule({ cfa: Cfa.sp, cfaOffset: 8 * (i + 1) });
    const table = m.file(rows);
    m.line("process", 1, 0, 1, 1, NEVER);
    m.line("mapping", TEXT, 100, table, 0);
    const stack = Array.from({ length: 1000 }, (_, i) => 0x1000n + BigInt(i));
    m.stack(STACK, new Uint8Array(new BigUint64Array(stack).buffer));
    for (const i of [0, 1, 127, 128, 129, 12_345, 128 * 256 - 1, 128 * 256, 128 * 300 - 1])
      for (const byte of [0n, 7n]) {
        const { frames } = m.walk({ ip: TEXT + BigInt(8 * i) + byte, sp: STACK, bp: 0n });
        // the return address tells which row was found
        expect(frames[1], `row ${i} + ${byte}`).toBe(0x1000n + BigInt(i % 1000));
      }
  });

  const dir = (chunk: number, first: number, rows: number) => chunk * 65536 + first * 256 + rows;
  const row = (offset: number, rule: number) => offset * 65536 + rule;
  const chunk = (words: readonly number[]) => [...words, ...Array<number>(256 - words.length).fill(0)];
  test.each([
    ["rows beyond their chunk", [...chunk([dir(1, 250, 10)]), ...chunk([])], "no rule"],
    ["rows in a chunk that is not there", chunk([dir(9, 0, 1)]), "no rule"],
    ["no rows", [...chunk([dir(1, 7, 0)]), ...chunk([])], "no rule"],
    ["no row for the page's beginning", [...chunk([dir(1, 0, 1)]), ...chunk([row(64, 1)])], "no rule"],
    ["a rule that is not there", [...chunk([dir(1, 0, 1)]), ...chunk([row(0, 65535)])], "rule"],
    ["a rule of no known kind", [...chunk([dir(1, 0, 1)]), ...chunk([row(0, 2)])], "rule"],
    ["no words at all", [], "no rule"],
  ])("a table with %s", (_, words, stop) => {
    const m = new Machine();
    m.rule(END);
    m.rule({ cfa: 99 });
    const table = m.words(TEXT, 1000, 4, words);
    m.line("process", 1, 0, 1, 1, NEVER);
    m.line("mapping", TEXT, 1000, table, 0);
    expect(m.walk(LEAF)).toMatchObject({ stop, frames: [inside(0)] });
    // far in the directory, which the file claims to have
    expect(m.walk({ ...LEAF, ip: TEXT + 990n * 1024n }).stop).toBe("no rule");
  });
});

describe("frames", () => {
  test("a rule that this walker does not have", () => {
    const m = machine([{ cfa: Cfa.unsupported }], []);
    expect(m.walk(LEAF)).toMatchObject({ stop: "rule", frames: [inside(0)] });
  });

  test("rbp that was lost: no matter where nobody asks for it, an end where somebody does", () => {
    const stack = [inside(1), JUNK, at(6), inside(2), JUNK, JUNK, JUNK, inside(3)];
    const lost = { cfa: Cfa.sp, cfaOffset: 8, fp: Fp.lost };
    const m = machine(
      [lost, { cfa: Cfa.sp, cfaOffset: 24, fp: Fp.cfa, fpOffset: -16 }, { cfa: Cfa.fp, cfaOffset: 16 }, END],
      stack,
    );
    expect(m.walk(LEAF)).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2), inside(3)],
    });
    for (const asking of [
      { cfa: Cfa.fp, cfaOffset: 16 },
      { cfa: Cfa.derefFp },
      { cfa: Cfa.sp, cfaOffset: 24, fp: Fp.derefFp },
      { cfa: Cfa.none },
    ])
      expect(machine([lost, asking], stack).walk({ ...LEAF, bp: at(2) })).toMatchObject({
        stop: "rule",
        frames: [inside(0), inside(1)],
      });
  });

  test.each([0, -8])("a CFA %i bytes from the stack pointer does not rise", (cfaOffset) => {
    const m = machine(
      [
        { cfa: Cfa.sp, cfaOffset: 16 },
        { cfa: Cfa.sp, cfaOffset },
      ],
      [JUNK, inside(1), inside(1)],
    );
    expect(m.walk(LEAF)).toMatchObject({ stop: "backwards", frames: [inside(0), inside(1)] });
  });
  test("nor does one from an rbp that points down", () => {
    const m = machine(
      [
        { cfa: Cfa.sp, cfaOffset: 16 },
        { cfa: Cfa.fp, cfaOffset: 16 },
      ],
      [at(0), inside(1)],
    );
    expect(m.walk({ ...LEAF, bp: STACK - 64n })).toMatchObject({
      stop: "backwards",
      frames: [inside(0), inside(1)],
    });
  });

  test("127 frames are all that is taken", () => {
    const f = { cfa: Cfa.sp, cfaOffset: 8 };
    const deep = machine([f, END], [...Array<bigint>(126).fill(inside(0)), inside(1)]).walk(LEAF);
    expect(deep.stop).toBe("depth");
    expect(deep.frames).toHaveLength(127);
    const fits = machine([f, END], [...Array<bigint>(125).fill(inside(0)), inside(1)]).walk(LEAF);
    expect(fits.stop).toBe("whole");
    expect(fits.frames).toHaveLength(127);
  });
});

describe("memory", () => {
  const f = { cfa: Cfa.sp, cfaOffset: 64, fp: Fp.cfa, fpOffset: -16 };
  const frames = (n: number) =>
    Array.from({ length: 8 * n }, (_, i) => (i % 8 === 7 ? inside(i === 8 * n - 1 ? 1 : 0) : JUNK));

  test("a stack is read in pieces of 1 KiB, not frame by frame", () => {
    const walked = machine([f, END], frames(100)).walk(LEAF);
    expect(walked.stop).toBe("whole");
    expect(walked.frames).toHaveLength(101);
    // 6.4 KB, each piece begun where the one before no longer held a frame; the last may meet the memory's end
    expect(walked.reads).toBeLessThanOrEqual(9);
  });

  test("the last frames before the end of what can be read", () => {
    // 4,096 bytes in all: the last window does not fit
    const walked = machine([f, END], frames(64)).walk(LEAF);
    expect(walked.stop).toBe("whole");
    expect(walked.frames).toHaveLength(65);
  });

  test("a stack that goes on where nothing can be read", () => {
    const stack = frames(64);
    stack[8 * 64 - 1] = inside(0);
    const walked = machine([f, END], stack).walk(LEAF);
    expect(walked.stop).toBe("read");
    expect(walked.frames).toHaveLength(65);
  });

  test.each([
    ["the return address", { cfa: Cfa.sp, cfaOffset: 8 }],
    ["rbp", { cfa: Cfa.sp, cfaOffset: 8, fp: Fp.cfa, fpOffset: -2048 }],
    ["a pointer to the CFA", { cfa: Cfa.derefSp, cfaOffset: 0 }],
    ["a pointer to rbp", { cfa: Cfa.sp, cfaOffset: 8, fp: Fp.derefFp }],
    ["the frame of a signal", { cfa: Cfa.signal }],
  ])("%s cannot be read", (_, rule) => {
    const m = machine([rule, END], []);
    expect(m.walk({ ip: inside(0), sp: STACK - 8192n, bp: 16n })).toMatchObject({
      stop: "read",
      frames: [inside(0)],
    });
  });
});
