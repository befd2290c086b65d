// The walker of user stacks, one kind of frame at a time: stacks and tables are made here.
import { beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildWalker, Cfa, Fp } from "./driver.js";
import { at, END, inside, JUNK, machine, NEVER, STACK } from "./synthetic.js";

beforeAll(buildWalker, BUILD_MS);

describe("plain frames", () => {
  test("the CFA from rsp, rbp saved and left alone, to where the return address is undefined", () => {
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 24 }, { cfa: Cfa.sp, cfaOffset: 16, fp: Fp.cfa, fpOffset: -16 }, END],
      [JUNK, JUNK, inside(1), at(40), inside(2)],
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: JUNK })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2)],
      reads: expect.any(Number),
    });
  });

  test("the CFA from rbp, whose caller's value lies anywhere below the return address", () => {
    const m = machine(
      [
        { cfa: Cfa.fp, cfaOffset: 16, fp: Fp.cfa, fpOffset: -16 },
        { cfa: Cfa.fp, cfaOffset: 48, fp: Fp.cfa, fpOffset: -40 },
        END,
      ],
      [JUNK, JUNK, at(4), inside(1), JUNK, at(99), JUNK, JUNK, JUNK, inside(2)],
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: at(2) })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2)],
    });
  });

  test("rbp saved further below the return address than a window is long", () => {
    const stack = Array<bigint>(400).fill(JUNK);
    stack[44] = at(350);
    stack[299] = inside(1);
    stack[351] = inside(2);
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 2400, fp: Fp.cfa, fpOffset: -2048 }, { cfa: Cfa.fp, cfaOffset: 16 }, END],
      stack,
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: JUNK })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2)],
    });
  });

  test("a caller is looked up where it called: the address behind a last call is another function's", () => {
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 8 }, { cfa: Cfa.sp, cfaOffset: 16 }, END],
      [inside(2, 0), JUNK, inside(2)],
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(2, 0), inside(2)],
    });
    // the leaf is looked up where it is
    expect(m.walk({ ip: inside(2, 0), sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(2, 0)],
    });
  });

  test("a file that is mapped elsewhere than at its own addresses", () => {
    const bias = 0x7f0000000000n;
    const m = machine([{ cfa: Cfa.sp, cfaOffset: 8 }, END], [inside(1) + bias], { bias });
    expect(m.walk({ ip: inside(0) + bias, sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(0) + bias, inside(1) + bias],
    });
  });

  test("a return address of 0 ends the stack", () => {
    const m = machine([{ cfa: Cfa.sp, cfaOffset: 8 }], [0n]);
    expect(m.walk({ ip: inside(0), sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(0)],
    });
  });
});

describe("other frames", () => {
  test("a stub of the PLT, before and after it has pushed the number of its function", () => {
    const m = machine([{ cfa: Cfa.plt, cfaOffset: 8, cfaAdd: 11 }, END], [inside(1), inside(1, 32)]);
    expect(m.walk({ ip: inside(0, 32 + 10), sp: STACK, bp: 0n }).frames[1]).toBe(inside(1));
    expect(m.walk({ ip: inside(0, 32 + 11), sp: STACK, bp: 0n }).frames[1]).toBe(inside(1, 32));
  });

  // both addresses are told one byte higher, since whoever names a caller looks one byte lower
  test("a signal handler: the interrupted code is looked up where it is, its registers come from the kernel's frame", () => {
    const frame = Array<bigint>(24).fill(JUNK);
    // struct sigcontext begins 40 bytes into struct ucontext; rbp, rsp and rip are its 11th, 16th and 17th words
    frame[5 + 10] = at(32);
    frame[5 + 15] = at(30);
    frame[5 + 16] = inside(2, 0);
    const stack = [inside(1), ...frame.slice(0, 29)];
    while (stack.length < 30) stack.push(JUNK);
    stack.push(JUNK, JUNK, at(50), inside(3));
    const m = machine(
      [
        { cfa: Cfa.sp, cfaOffset: 8 },
        { cfa: Cfa.signal },
        // its very first byte was interrupted: one byte before is not its own
        { cfa: Cfa.fp, cfaOffset: 16, fp: Fp.cfa, fpOffset: -16 },
        END,
      ],
      stack,
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: JUNK })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1) + 1n, inside(2, 0) + 1n, inside(3)],
    });
  });

  test("a handler with a stack of its own, which may lie higher than the interrupted one", () => {
    const frame = Array<bigint>(24).fill(0n);
    frame[5 + 15] = at(0);
    frame[5 + 16] = inside(2);
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 8 }, { cfa: Cfa.signal }, { cfa: Cfa.sp, cfaOffset: 16 }, END],
      [JUNK, inside(3), ...Array<bigint>(8).fill(JUNK), inside(1), ...frame],
    );
    expect(m.walk({ ip: inside(0), sp: at(10), bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1) + 1n, inside(2) + 1n, inside(3)],
    });
  });

  test("a realigned stack: CFA and rbp behind pointers", () => {
    // as gcc writes it for `and $-32, %rsp`: the CFA at rbp - 8, the caller's rbp at rbp
    const m = machine(
      [{ cfa: Cfa.derefFp, cfaOffset: -8, fp: Fp.derefFp, fpOffset: 0 }, { cfa: Cfa.fp, cfaOffset: 16 }, END],
      [JUNK, JUNK, at(9), at(12), JUNK, JUNK, JUNK, JUNK, inside(1), JUNK, JUNK, JUNK, JUNK, inside(2)],
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: at(3) })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2)],
    });
  });

  test("a CFA that was pushed: *(rsp + 16) + 8", () => {
    const m = machine(
      [
        { cfa: Cfa.derefSp, cfaOffset: 16, cfaAdd: 8, fp: Fp.cfa, fpOffset: -16 },
        { cfa: Cfa.fp, cfaOffset: 16 },
        END,
      ],
      [JUNK, JUNK, at(5), JUNK, at(8), inside(1), JUNK, JUNK, JUNK, inside(2)],
    );
    expect(m.walk({ ip: inside(0), sp: STACK, bp: JUNK })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2)],
    });
  });

  test.each([
    ["below", -(1n << 30n)],
    ["far above", 1n << 40n],
  ])("a function that has changed stacks: rbp leads back, to one %s", (_, distance) => {
    const other = STACK + distance;
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 16 }, { cfa: Cfa.otherStack }, { cfa: Cfa.sp, cfaOffset: 24 }, END],
      [JUNK, inside(1), NEVER],
    );
    m.stack(other, new Uint8Array(new BigUint64Array([at(7), inside(2), JUNK, JUNK, inside(3)]).buffer));
    const walked = m.walk({ ip: inside(0), sp: STACK, bp: other });
    expect(walked).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2), inside(3)],
    });
    expect(m.walk({ ip: inside(1), sp: STACK, bp: other + 4n })).toMatchObject({ stop: "no rule" });
  });

  test("stacks that lead to one another end at the most frames", () => {
    const m = machine([{ cfa: Cfa.otherStack }], [STACK + 16n, inside(0), STACK, inside(0)]);
    expect(m.walk({ ip: inside(0), sp: STACK, bp: STACK })).toMatchObject({ stop: "depth" });
  });

  test("a stack that is not aligned is read all the same", () => {
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 20, fp: Fp.cfa, fpOffset: -16 }, { cfa: Cfa.fp, cfaOffset: 16 }, END],
      [],
    );
    const bytes = Buffer.alloc(64);
    bytes.writeBigUInt64LE(at(3), 4);
    bytes.writeBigUInt64LE(inside(1), 12);
    bytes.writeBigUInt64LE(inside(2), 32);
    m.stack(STACK, bytes);
    expect(m.walk({ ip: inside(0), sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1), inside(2)],
    });
  });
});

describe("frames without a rule", () => {
  const JIT = 0x7f0000000000n;

  test("JIT code between native frames: by frame pointer, and back by rule", () => {
    const m = machine(
      [{ cfa: Cfa.sp, cfaOffset: 8 }, { cfa: Cfa.sp, cfaOffset: 16 }, END],
      [
        JIT + 100n, // returns from the native leaf
        JUNK,
        at(5), // frame of the first JIT function
        JIT + 200n,
        JUNK,
        at(40),
        inside(1),
        JUNK,
        inside(2),
      ],
    );
    m.line("mapping", JIT, 16, 0, 0);
    expect(m.walk({ ip: inside(0), sp: STACK, bp: at(2) })).toMatchObject({
      stop: "whole",
      frames: [inside(0), JIT + 100n, JIT + 200n, inside(1), inside(2)],
    });
  });

  test("code in no mapping that is known is walked likewise, but may be a file's, whose functions are left out then", () => {
    const m = machine([{ cfa: Cfa.sp, cfaOffset: 8 }, END], [JIT + 100n, JUNK, 0n, inside(1)]);
    expect(m.walk({ ip: inside(0), sp: STACK, bp: at(2) })).toMatchObject({
      stop: "mapping",
      frames: [inside(0), JIT + 100n, inside(1)],
    });
  });

  test("a frame pointer of 0 does not make a stack whole: code without a table may use the register for anything", () => {
    const m = machine([{ cfa: Cfa.sp, cfaOffset: 8 }, { cfa: Cfa.none }], [inside(1)]);
    expect(m.walk({ ip: inside(0), sp: STACK, bp: 0n })).toMatchObject({ stop: "no rule" });
    expect(m.walk({ ip: inside(1), sp: STACK, bp: 0n })).toMatchObject({ stop: "no rule" });
  });

  test("a word of 0 for a return address makes a stack whole, but not behind a frame that was guessed", () => {
    const up = { cfa: Cfa.sp, cfaOffset: 8 };
    const rules = [up, up, { cfa: Cfa.none }, END];
    expect(machine(rules, [inside(1), 0n]).walk({ ip: inside(0), sp: STACK, bp: 0n })).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(1)],
    });
    // the word above the guessed frame, and one that tables lead to from there
    const leaf = { ip: inside(2), sp: STACK, bp: at(1) };
    expect(machine(rules, [JUNK, JUNK, 0n]).walk(leaf)).toMatchObject({
      stop: "guessed",
      frames: [inside(2)],
    });
    expect(machine(rules, [JUNK, JUNK, inside(0), 0n]).walk(leaf)).toMatchObject({
      stop: "guessed",
      frames: [inside(2), inside(0)],
    });
    // a first frame is one
    expect(machine(rules, [JUNK, JUNK, inside(3)]).walk(leaf)).toMatchObject({ stop: "whole" });
  });

  test("a return address where a function begins behind a gap is no call's: the stack was made so, and is whole", () => {
    const up = { cfa: Cfa.sp, cfaOffset: 8 };
    const rules = [up, { cfa: Cfa.none }, up, up];
    const gap = { rules, gaps: [1] };
    const begin = inside(2, 0);
    const leaf = { ip: inside(0), sp: STACK, bp: 0n };
    expect(machine(gap.rules, [begin], gap).walk(leaf)).toMatchObject({
      stop: "whole",
      frames: [inside(0), begin],
    });
    // behind a function, as after a call that does not return, it is that function's
    expect(machine(gap.rules, [inside(3, 0), inside(0), 0n], gap).walk(leaf)).toMatchObject({
      stop: "whole",
      frames: [inside(0), inside(3, 0), inside(0)],
    });
    for (const within of [inside(1), inside(1, 255)])
      expect(machine(gap.rules, [within], gap).walk(leaf)).toMatchObject({ stop: "no rule" });
    // nor is what was guessed
    const guessed = machine([...rules, { cfa: Cfa.none }], [JUNK, 0n, begin], gap);
    expect(guessed.walk({ ip: inside(4), sp: STACK, bp: at(1) })).toMatchObject({ stop: "no rule" });
  });

  test.each([
    ["below the stack pointer", -8n],
    ["not a multiple of 8", 12n],
    ["8 MiB up", 8n << 20n],
  ])("a frame pointer that is %s leads nowhere", (_, offset) => {
    const m = machine([{ cfa: Cfa.none }, END], [JUNK, inside(1), JUNK, inside(1), inside(1)]);
    m.stack(STACK + (8n << 20n), new Uint8Array(new BigUint64Array([JUNK, inside(1)]).buffer));
    const walked = m.walk({ ip: inside(0), sp: STACK, bp: STACK + offset });
    expect(walked).toMatchObject({ stop: "no rule", frames: [inside(0)] });
  });
});
