// Files that are not whole: whatever happens to the bytes, what is delivered was written, and the rest is told in a sentence.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CaptureEvent } from "../../src/capture/events.js";
import { CaptureError } from "../../src/capture/file/errors.js";
import { MAX_COLUMN_ROWS, MAX_MESSAGE_BYTES, MAX_MESSAGE_FIELDS } from "../../src/capture/file/limits.js";
import { buildMember } from "../../src/capture/file/member.js";
import { isCapture, readCapture, skimCapture } from "../../src/capture/file/reader.js";
import { FORMAT_VERSION, MemberType } from "../../src/capture/file/schema.js";
import { SMALL_CAPTURE } from "../fixtures/captures/events.js";
import { membersOf, readAll } from "../fixtures/captures/io.js";

let folder: string;
let members: Buffer[];
let whole: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lowflame-damage-"));
  members = await membersOf(SMALL_CAPTURE);
  whole = Buffer.concat(members);
});
afterAll(() => rm(folder, { recursive: true }));

/** What the reader makes of some bytes: the events, and the error if it refused them outright. */
async function outcome(
  input: string | Uint8Array,
): Promise<{ events: CaptureEvent[]; error: CaptureError | null }> {
  const events: CaptureEvent[] = [];
  try {
    for await (const event of readCapture(input)) events.push(event);
  } catch (error) {
    expect(error).toBeInstanceOf(CaptureError);
    expectSentence((error as CaptureError).message);
    return { events, error: error as CaptureError };
  }
  return { events, error: null };
}

function expectSentence(text: string): void {
  expect(text).toMatch(/^["T].*[.]$/s);
  expect(text).not.toMatch(/\n\s+at |undefined|\[object|NaN/);
}

/** Events without the damage at the end, and the damage. */
function split(events: CaptureEvent[]): { kept: CaptureEvent[]; damage: string | null } {
  const last = events.at(-1);
  return last?.type === "damage"
    ? { kept: events.slice(0, -1), damage: last.message }
    : { kept: events, damage: null };
}

describe("a file that is cut", () => {
  test("at every byte gives all whole members before the cut, and says where it breaks off", async () => {
    const ends = members.map((_, i) => Buffer.concat(members.slice(0, i + 1)).length);
    for (let length = 0; length < whole.length; length++) {
      const { events, error } = await outcome(whole.subarray(0, length));
      const wholeMembers = ends.filter((end) => end <= length).length;
      const { kept, damage } = split(events);
      expect(kept, `cut at ${length}`).toStrictEqual(SMALL_CAPTURE.slice(0, wholeMembers));
      if (wholeMembers === 0) {
        expect(error?.code, `cut at ${length}`).toBe(
          // One byte of gzip's two is not enough to know it as gzip.
          length === 0 ? "CAPTURE_EMPTY" : length === 1 ? "CAPTURE_NOT_A_CAPTURE" : "CAPTURE_TRUNCATED",
        );
      } else {
        expectSentence(damage!);
        expect(damage).toMatch(
          ends.includes(length) ? `has no end: it stops after ${length} bytes` : /breaks off/,
        );
      }
    }
  });

  test("is skimmed with the same words", async () => {
    const path = join(folder, "cut.lowflame");
    await writeFile(path, whole.subarray(0, whole.length - 1));
    const { events } = await outcome(path);
    const skimmed = await skimCapture(path);
    expect(skimmed.members.map(({ kind }) => kind)).toEqual(["header", "batch", "batch"]);
    expect(skimmed.damage).toBe(split(events).damage);
  });
});

describe("a file with a wrong byte", () => {
  function flipped(at: number, mask: number): Buffer {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= mask;
    return bytes;
  }

  test("anywhere, with one bit turned or all of a byte, gives only what was written", async () => {
    for (let at = 0; at < whole.length; at++) {
      const { events, error } = await outcome(flipped(at, at % 9 === 8 ? 0xff : 1 << (at % 9)));
      const { kept, damage } = split(events);
      // What goes unnoticed changed nothing: gzip's time stamp, bits that deflate does not use.
      const expected = error ? 0 : damage === null ? SMALL_CAPTURE.length : kept.length;
      expect(kept, `byte ${at}`).toStrictEqual(SMALL_CAPTURE.slice(0, expected));
      if (damage !== null) expectSentence(damage);
    }
  });

  test("in a record's kind, version, length or time is noticed, every bit: no checksum covers those", async () => {
    const offset = members[0]!.length;
    for (let at = offset + 10; at < offset + 40; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const { kept, damage } = split((await outcome(flipped(at, 1 << bit))).events);
        expect(kept, `byte ${at} bit ${bit}`).toStrictEqual(SMALL_CAPTURE.slice(0, 1));
        expect(damage, `byte ${at} bit ${bit}`).not.toBeNull();
      }
    }
  });

  test("in the second half never costs the first", async () => {
    const bytes = flipped(members[0]!.length + members[1]!.length + 60, 0x40);
    const { kept, damage } = split((await outcome(bytes)).events);
    expect(kept).toStrictEqual(SMALL_CAPTURE.slice(0, 2));
    expect(damage).toContain(`is damaged at byte ${members[0]!.length + members[1]!.length}`);
  });
});

describe("what is not a capture is refused with the reason", () => {
  test("random bytes, with and without a gzip beginning", async () => {
    for (let round = 0; round < 300; round++) {
      const bytes = randomBytes(1 + ((round * 37) % 500));
      if (round % 3 === 0) bytes.set([0x1f, 0x8b, 8, 4].slice(0, bytes.length));
      const { events, error } = await outcome(bytes);
      expect(events).toEqual([]);
      expect(["CAPTURE_NOT_A_CAPTURE", "CAPTURE_TRUNCATED"]).toContain(error?.code);
    }
  });

  test("random bytes behind a good head", async () => {
    for (let round = 0; round < 100; round++) {
      const bytes = Buffer.concat([
        members[0]!,
        members[1]!.subarray(0, 40),
        randomBytes(members[1]!.length),
      ]);
      const { kept, damage } = split((await outcome(bytes)).events);
      expect(kept).toStrictEqual(SMALL_CAPTURE.slice(0, 1));
      expect(damage).toContain(`is damaged at byte ${members[0]!.length}`);
    }
  });

  test.each([
    ["an empty file", () => Buffer.alloc(0), "CAPTURE_EMPTY", "is empty"],
    [
      "a text file",
      () => Buffer.from("nginx;main 12\n".repeat(9)),
      "CAPTURE_NOT_A_CAPTURE",
      "is not a capture",
    ],
    ["another gzip file", () => gzipSync(randomBytes(99)), "CAPTURE_NOT_A_CAPTURE", "is a gzip file without"],
    ["a capture compressed again", () => gzipSync(whole), "CAPTURE_NOT_A_CAPTURE", "compressed again"],
    [
      "a capture without its beginning",
      () => whole.subarray(members[0]!.length),
      "CAPTURE_DAMAGED",
      "begins in the middle",
    ],
  ])("%s", async (name, bytes, code, words) => {
    const path = join(folder, name.replaceAll(" ", "-"));
    await writeFile(path, bytes());
    const { events, error } = await outcome(path);
    expect(events).toEqual([]);
    expect(error).toMatchObject({ code });
    expect(error?.message).toContain(`"${path}"`);
    expect(error?.message).toContain(words);
    await expect(skimCapture(path)).rejects.toMatchObject({ code });
  });

  test("a directory, and no file at all", async () => {
    expect((await outcome(folder)).error).toMatchObject({ code: "CAPTURE_IS_DIRECTORY", path: folder });
    const missing = join(folder, "missing.lowflame");
    expect((await outcome(missing)).error).toMatchObject({ code: "CAPTURE_NOT_FOUND", path: missing });
    const below = join(folder, "file", "x");
    await writeFile(join(folder, "file"), "");
    expect((await outcome(below)).error).toMatchObject({ code: "CAPTURE_UNREADABLE", systemCode: "ENOTDIR" });
  });

  test("isCapture tells from the first bytes alone", () => {
    expect(isCapture(whole.subarray(0, 24))).toBe(true);
    for (let length = 0; length < 24; length++) expect(isCapture(whole.subarray(0, length))).toBe(false);
    expect(isCapture(gzipSync("x"))).toBe(false);
  });
});

describe("other versions", () => {
  /** The capture with another format version in the head of a member. */
  function withVersion(version: number, member = 0): Buffer {
    const bytes = Buffer.from(whole);
    bytes.writeUInt16LE(version, Buffer.concat(members.slice(0, member)).length + 24);
    return bytes;
  }

  test("a newer one is refused in one sentence that says what to do", async () => {
    const { error } = await outcome(withVersion(FORMAT_VERSION + 1));
    expect(error?.code).toBe("CAPTURE_NEWER_VERSION");
    expect(error?.message).toBe(
      "The capture in memory is a capture of format version 3, and this lowflame reads versions up to 2; make the report with the lowflame that recorded it, or a newer one.",
    );
  });

  test("version 0, and a change of version half-way, are damage", async () => {
    expect((await outcome(withVersion(0))).error?.code).toBe("CAPTURE_DAMAGED");
    for (const other of [FORMAT_VERSION - 1, FORMAT_VERSION + 1]) {
      const { kept, damage } = split((await outcome(withVersion(other, 2))).events);
      expect(kept).toStrictEqual(SMALL_CAPTURE.slice(0, 2));
      expect(damage).toContain(
        `a record of format version ${other} lies in a capture of version ${FORMAT_VERSION}`,
      );
    }
  });
});

describe("members in the wrong order", () => {
  test("two captures in one file: the first is shown and the second one's place is told", async () => {
    const { kept, damage } = split(await readAll(Buffer.concat([whole, whole])));
    expect(kept).toStrictEqual(SMALL_CAPTURE);
    expect(damage).toBe(
      `The capture in memory holds a second capture from byte ${whole.length} on; only the first is shown. Cut it off with "tail -c +${whole.length + 1}" and report it by itself.`,
    );
  });

  test("the command in that sentence gives the second capture", async () => {
    const path = join(folder, "two.lowflame");
    await writeFile(path, Buffer.concat([whole.subarray(0, members[0]!.length), whole]));
    const { damage } = split(await readAll(path));
    expect(damage).toContain("only the first is shown, and it has no end");
    const [, from] = damage!.match(/"tail -c (\+\d+)"/)!;
    expect(await readAll(execFileSync("tail", ["-c", from!, path]))).toStrictEqual(SMALL_CAPTURE);
  });

  test("a batch behind the end", async () => {
    const { kept, damage } = split(await readAll(Buffer.concat([whole, members[1]!])));
    expect(kept).toStrictEqual(SMALL_CAPTURE);
    expect(damage).toContain('a record "batch" follows behind the end of the recording');
  });

  test("zeros behind the end, as a file system leaves after a crash", async () => {
    const { kept, damage } = split(await readAll(Buffer.concat([whole, Buffer.alloc(4096)])));
    expect(kept).toStrictEqual(SMALL_CAPTURE);
    expect(damage).toContain(`is damaged at byte ${whole.length}: no record begins here (bytes 00000000)`);
  });

  test("a length that runs exactly over the next member does not melt two records into one", async () => {
    const bytes = Buffer.from(whole);
    bytes.writeUInt32LE(members[1]!.length + members[2]!.length, members[0]!.length + 28);
    const { kept, damage } = split(await readAll(bytes));
    expect(kept).toStrictEqual(SMALL_CAPTURE.slice(0, 1));
    expect(damage).toContain(`is damaged at byte ${members[0]!.length}`);
  });
});

describe("a file made to exhaust memory is damage, not a crash", () => {
  /** Header, then a batch of these protobuf bytes. */
  async function withBatch(message: Uint8Array): Promise<string> {
    const { kept, damage } = split(
      await readAll(Buffer.concat([members[0]!, await buildMember(message, "batch", 0n)])),
    );
    expect(kept).toHaveLength(1);
    return damage!;
  }
  const batch = (body: object): Uint8Array => MemberType.encode({ batch: body }).finish();

  test("content that inflates beyond the bound", async () => {
    expect(await withBatch(Buffer.alloc(MAX_MESSAGE_BYTES + 1))).toContain(
      `${MAX_MESSAGE_BYTES} are the most`,
    );
  });

  test("content that inflates beyond what it announces", async () => {
    const member = await buildMember(Buffer.alloc(5_000_000), "batch", 0n);
    member.writeUInt32LE(10, member.length - 4);
    const { damage } = split(await readAll(Buffer.concat([members[0]!, member])));
    expect(damage).toContain(`is damaged at byte ${members[0]!.length}`);
  });

  test("a count of rows that nothing stands behind", async () => {
    const samples = [{ source: "cpu", count: 0xffffffff }];
    expect(await withBatch(batch({ samples }))).toContain(`${MAX_COLUMN_ROWS} are the most`);
    const frames = { firstId: 1, count: MAX_COLUMN_ROWS, kind: { raw: Buffer.alloc(3) } };
    expect(await withBatch(batch({ tables: { frames } }))).toContain("column frames.kind holds 3 bytes");
  });

  test("millions of empty rows", async () => {
    // Two bytes a row: field 2 (threads) of Tables, length 0.
    const rows = Buffer.alloc(2 * (MAX_MESSAGE_FIELDS + 1), Buffer.from([0x12, 0]));
    const tables = Buffer.concat([Buffer.from([0x0a]), varint(rows.length), rows]);
    const message = Buffer.concat([Buffer.from([0x12]), varint(tables.length), tables]);
    expect(await withBatch(message)).toContain(`holds more than ${MAX_MESSAGE_FIELDS} fields`);
  });

  test("a stack that is its own ancestor, which would hang every walk to the root", async () => {
    const stacks = { firstId: 7, count: 2, parent: { raw: Uint8Array.of(6, 0, 0, 0, 8, 0, 0, 0) } };
    expect(await withBatch(batch({ tables: { stacks } }))).toContain("stack 8 has the parent 8");
  });

  function varint(value: number): Buffer {
    const out: number[] = [];
    for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128);
    return Buffer.from([...out, value]);
  }
});
