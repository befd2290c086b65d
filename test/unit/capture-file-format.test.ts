// The format through the years: the committed files of each version, fields that are missing or too new, columns, upgraders.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { type AnyColumn, decodeColumn, encodeColumn } from "../../src/capture/file/column.js";
import { buildMember } from "../../src/capture/file/member.js";
import { skimCapture } from "../../src/capture/file/reader.js";
import { FORMAT_VERSION, MemberType, SCHEMA } from "../../src/capture/file/schema.js";
import { type Upgrader, upgrade } from "../../src/capture/file/upgrade.js";
import { SMALL_CAPTURE, SMALL_CAPTURE_1 } from "../fixtures/captures/events.js";
import { membersOf, readAll } from "../fixtures/captures/io.js";

const VERSION_1 = fileURLToPath(new URL("../fixtures/captures/version-1.capture", import.meta.url));
const VERSION_2 = fileURLToPath(new URL("../fixtures/captures/version-2.capture", import.meta.url));

describe("the committed capture of version 1", () => {
  test("reads as the events that were written then, without locks", async () => {
    expect(await readAll(VERSION_1)).toStrictEqual(SMALL_CAPTURE_1);
  });

  test("has the layout that docs/capture-format.md describes", async () => {
    const file = await readFile(VERSION_1);
    const { members } = await skimCapture(VERSION_1);
    const head = file.subarray(0, 40);
    expect(head.subarray(0, 4).toString("hex")).toBe("1f8b0804");
    expect(head.subarray(10, 16).toString("hex")).toBe("1c004c461800"); // XLEN 28, "LF", 24 bytes
    expect(head.subarray(16, 24).toString()).toBe("lowflame");
    expect(head.subarray(24, 28).toString("hex")).toBe("01000100"); // version 1, kind 1
    expect(head.readUInt32LE(28)).toBe(members[0]!.length);
    expect(head.readBigUInt64LE(32)).toBe(0n);
  });

  test("is what another protobuf reader sees, knowing only the schema text and gzip", async () => {
    const file = await readFile(VERSION_1);
    const { members } = await skimCapture(VERSION_1);
    // Columns of differences may be declared as what they are: packed sint64.
    const text = SCHEMA.replace("bytes deltas = 1;", "repeated sint64 deltas = 1;");
    const type = protobuf.parse(text).root.lookupType("lowflame.capture.Member");
    const [first, last] = [members[1]!, members.at(-1)!].map(({ offset, length }) =>
      type.toObject(type.decode(gunzipSync(file.subarray(offset, offset + length))), { longs: String }),
    );
    expect(first!.batch.tables.processes[0]).toMatchObject({
      pid: 4711,
      startTimeNs: "18446744073709551615",
    });
    expect(first!.batch.samples[0].stack.deltas).toEqual(["3", "-3", "2"]);
    expect(first!.batch.samples[0].flags.deltas).toEqual(["0", "2", "4294967293"]);
    expect(last!.end.final.losses[1]).toMatchObject({ id: "offcpu.slot_collision", count: 2 ** 53 });
  });
});

describe("the committed capture of version 2", () => {
  test("reads as the events that were written then", async () => {
    expect((await skimCapture(VERSION_2)).version).toBe(2);
    expect(await readAll(VERSION_2)).toStrictEqual(SMALL_CAPTURE);
  });

  test("shows locks to another protobuf reader: 64-bit addresses, and -1 and -2 for what found no row", async () => {
    const file = await readFile(VERSION_2);
    const { members } = await skimCapture(VERSION_2);
    const [second, last] = [members[2]!, members.at(-1)!].map(({ offset, length }) =>
      MemberType.toObject(MemberType.decode(gunzipSync(file.subarray(offset, offset + length))), {
        longs: String,
      }),
    );
    expect(second!.batch.tables.locks).toEqual([
      { id: 7, kind: 8, address: String(0xffff_8881_0b3d_e2c9n), name: "mmap_lock of nginx (pid 4711)" },
      {
        id: 8,
        kind: 9,
        address: String(0x7f12_0000_1000n),
        name: "futex 0x7f1200001000 of nginx (pid 4711)",
      },
      {
        id: 9,
        kind: 11,
        address: String(0x7f12_0000_1028n),
        name: "futex 0x7f1200001028 of nginx (pid 4711)",
      },
      { id: 4_294_967_295, address: String(2n ** 64n - 1n) },
    ]);
    expect(last!.end.final.lockTotals[0]).toMatchObject({ lock: -1, process: -1, count: 3 });
    expect(last!.end.final.lockTotals[2]).toMatchObject({ lock: -2, process: -1, count: 4, timeouts: 1 });
  });

  test("shows TCP connections to it: whole numbers to 2^53, and -1 for what is not known", async () => {
    const file = await readFile(VERSION_2);
    const { members } = await skimCapture(VERSION_2);
    const { offset, length } = members.at(-1)!;
    const message = MemberType.decode(gunzipSync(file.subarray(offset, offset + length)));
    const { final } = MemberType.toObject(message, { defaults: true }).end;
    expect(final.tcpTotals[0]).toMatchObject({ endpoint: 0, connects: 2 ** 53 - 1, retransmits: 2 ** 38 });
    expect(final.tcpTotals[1]).toMatchObject({ endpoint: -1, accepted: 1, connectBuckets: [] });
    expect(final.tcpTotals[0]).toMatchObject({ connectsUnanswered: 2 ** 32 });
    expect(final.connecting[0]).toMatchObject({ count: 2 ** 34, unanswered: 2 ** 33, sentAgain: 2 ** 35 });
    expect(final.connecting[1]).toMatchObject({ process: -1, endpoint: -1, maxNs: 1 });
    expect(final.closeWaits[1]).toEqual({ process: -1, endpoint: -1, count: 1, fd: -1 });
    expect(final.listenQueues).toEqual([
      { process: 1, endpoint: 1, length: 2 ** 32, capacity: 0 },
      { process: -1, endpoint: -1, length: 1, capacity: 0 },
    ]);
    expect(final.tcpCounters).toMatchObject({ listenOverflows: 2 ** 53 - 1 });
  });
});

describe("fields that come and go", () => {
  const [HEADER, FIRST, SECOND, END] = SMALL_CAPTURE;
  /** A capture of header, these members, end. */
  async function between(...inner: Buffer[]): Promise<Buffer> {
    const [header, , , end] = await membersOf(SMALL_CAPTURE);
    return Buffer.concat([header!, ...inner, end!]);
  }
  const plain = (body: object) => MemberType.encode(body).finish();

  test("what a later writer adds is passed over: fields, whole kinds of members", async () => {
    const [, batch] = await membersOf(SMALL_CAPTURE);
    const message = gunzipSync(batch!);
    const later = protobuf
      .parse('syntax = "proto3"; message Later { string text = 999; fixed64 number = 1000; }')
      .root.lookupType("Later");
    const extra = later.encode({ text: "of version 1.5", number: 7 }).finish();
    const head = batch!.readBigUInt64LE(32);
    const widened = await buildMember(Buffer.concat([message, extra]), "batch", head);
    const otherKind = await buildMember(extra, "batch", 0n);
    otherKind.writeUInt16LE(9, 26);
    expect(await readAll(await between(widened, otherKind))).toStrictEqual([HEADER, FIRST, END]);
  });

  test("what is missing is empty, zero or absent, and never undefined", async () => {
    const empty = await buildMember(plain({ batch: {} }), "batch", 0n);
    const bare = await buildMember(
      plain({ batch: { samples: [{ source: "offcpu", count: 2 }], tables: { processes: [{}] } } }),
      "batch",
      0n,
    );
    const events = await readAll(await between(empty, bare));
    expect(events[1]).toStrictEqual({
      type: "batch",
      batch: {
        tables: {
          processes: [],
          threads: [],
          modules: [],
          frames: {
            firstId: 0,
            count: 0,
            module: new Uint32Array(0),
            offset: new BigUint64Array(0),
            kind: new Uint8Array(0),
          },
          stacks: { firstId: 0, count: 0, parent: new Uint32Array(0), frame: new Uint32Array(0) },
          names: [],
          locks: [],
          endpoints: [],
          calls: [],
          socketCounts: [],
        },
        samples: [],
      },
    });
    expect(events[2]).toMatchObject({
      batch: {
        tables: {
          processes: [{ id: 0, pid: 0, startTimeNs: 0n, comm: "", kernelThread: false, self: false }],
        },
        samples: [
          { source: "offcpu", count: 2, timeNs: Float64Array.of(0, 0), syscall: Int32Array.of(0, 0) },
        ],
      },
    });
  });

  test("an end without TCP connections has none, queues that are not known, and no counters", async () => {
    const [header] = await membersOf(SMALL_CAPTURE);
    const final = { endpointTotals: [{ process: 1, endpoint: 0, count: 7 }] };
    const end = await buildMember(plain({ end: { final, endReason: "duration" } }), "end", 0n);
    const last = (await readAll(Buffer.concat([header!, end]))).at(-1);
    expect(last).toMatchObject({
      type: "end",
      final: {
        endpointTotals: [{ count: 7, queueMax: 0, queueLimit: 0 }],
        tcpTotals: [],
        connecting: [],
        closeWaits: [],
        listenQueues: [],
      },
    });
    expect(last).not.toHaveProperty("final.tcpCounters");
  });

  test("a header or an end without its facts is damage: there is no honest default for those", async () => {
    const [header] = await membersOf(SMALL_CAPTURE);
    const end = await buildMember(plain({ end: { endReason: "duration" } }), "end", 0n);
    expect((await readAll(Buffer.concat([header!, end]))).at(-1)).toMatchObject({
      type: "damage",
      message: expect.stringContaining("its final facts are missing"),
    });
    const bare = await buildMember(plain({ header: { formatVersion: FORMAT_VERSION } }), "header", 0n);
    await expect(readAll(bare)).rejects.toThrow("its facts of command and host are missing");
  });

  test("samples of a source that this version does not know are left out, and the notes say so", async () => {
    if (HEADER?.type !== "header" || SECOND?.type !== "batch")
      throw new Error("not the capture that was expected");
    const facts = { ...HEADER.facts, sources: ["cpu", "network"] as unknown as ["cpu"] };
    const samples = [{ ...SECOND.batch.samples[0]!, source: "network" as "cpu" }, SECOND.batch.samples[1]!];
    const events = await readAll(
      Buffer.concat(
        await membersOf([
          { ...HEADER, facts },
          { type: "batch", batch: { ...SECOND.batch, samples } },
        ]),
      ),
    );
    expect(events[0]).toMatchObject({
      facts: { sources: ["cpu"] },
      start: { notes: [...HEADER.start.notes, expect.stringContaining('samples of "network"')] },
    });
    expect(events[1]).toMatchObject({ batch: { samples: [SECOND.batch.samples[1]] } });
  });

  test("waits for locks without their column of locks are of lock 0; other samples have no such column", async () => {
    const samples = [
      { source: "locks", count: 2 },
      { source: "cpu", count: 2 },
    ];
    const [, event] = await readAll(
      await between(await buildMember(plain({ batch: { samples } }), "batch", 0n)),
    );
    expect(event).toMatchObject({ batch: { samples: [{ lock: Uint32Array.of(0, 0) }, {}] } });
    expect(event).not.toHaveProperty("batch.samples.1.lock");
  });

  test("codes of frame kinds and states from a later writer become unknown and other", async () => {
    const member = await buildMember(
      plain({
        batch: {
          tables: { frames: { firstId: 1, count: 2, kind: { raw: Uint8Array.of(2, 200) } } },
          samples: [{ source: "offcpu", count: 2, state: { raw: Uint8Array.of(2, 99) } }],
        },
      }),
      "batch",
      0n,
    );
    expect((await readAll(await between(member)))[1]).toMatchObject({
      batch: { tables: { frames: { kind: Uint8Array.of(2, 5) } }, samples: [{ state: Uint8Array.of(2, 7) }] },
    });
  });
});

describe("columns", () => {
  const cases: readonly [string, AnyColumn, "deltas" | "raw"][] = [
    ["times that go on", Float64Array.of(10_101_010, 20_202_020, 20_202_021), "deltas"],
    ["whole numbers to the limit of differences", Float64Array.of(2 ** 51, -(2 ** 51), 0, 2 ** 51), "deltas"],
    ["whole numbers to 2^53", Float64Array.of(2 ** 53, 2 ** 53 - 1, -(2 ** 53), 1), "raw"],
    ["fractions", Float64Array.of(0.1, 1e-300, 1.5), "raw"],
    ["not a number, infinity, minus zero", Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY, -0), "raw"],
    ["minus zero alone", Float64Array.of(0, -0), "raw"],
    ["ids", Uint32Array.of(0, 0xffffffff, 0, 7), "deltas"],
    ["system calls", Int32Array.of(-1, 2147483647, -2147483648, 0), "deltas"],
    ["states", Uint8Array.of(0, 255, 1), "deltas"],
    ["offsets", BigUint64Array.of(2n ** 64n - 1n, 0n), "raw"],
  ];

  test.each(cases)("%s", (_, column, layout) => {
    const message = encodeColumn(column, column.length, "c");
    expect(Object.keys(message)).toEqual([layout]);
    const type = column.constructor as new (length: number) => AnyColumn;
    expect(decodeColumn(message, column.length, type as never, "c")).toStrictEqual(column);
  });

  test("random numbers of every size", () => {
    for (let bits = 1; bits <= 53; bits++) {
      const column = Float64Array.from({ length: 50 }, () =>
        Math.round((Math.random() - 0.5) * 2 ** (bits + 1)),
      );
      expect(decodeColumn(encodeColumn(column, 50, "c"), 50, Float64Array, "c")).toStrictEqual(column);
    }
  });

  test("a packed column is a copy of the rows that count", () => {
    const column = Float64Array.of(0.5, 1.5, 2.5);
    const message = encodeColumn(column, 2, "c");
    column[0] = 9;
    expect(decodeColumn(message, 2, Float64Array, "c")).toStrictEqual(Float64Array.of(0.5, 1.5));
  });

  test.each([
    ["too few differences", { deltas: Uint8Array.of(2) }, 2, /breaks off at row 1/],
    ["too many", { deltas: Uint8Array.of(2, 2, 2) }, 2, /holds more than 2 values/],
    ["a number without an end", { deltas: new Uint8Array(20).fill(0x80) }, 1, /breaks off at row 0/],
    ["below the type's range", { deltas: Uint8Array.of(1) }, 1, /holds -1 at row 0/],
    ["above it", { deltas: Uint8Array.of(0x80, 0x04) }, 1, /holds 256 at row 0/],
    ["raw bytes for other rows", { raw: Uint8Array.of(1, 2) }, 3, /holds 2 bytes where 3 rows of 1/],
  ])("%s is refused", (_, message, count, words) => {
    expect(() => decodeColumn(message, count, Uint8Array, "c")).toThrow(words);
  });
});

describe("upgraders", () => {
  const steps: readonly Upgrader[] = [
    (member) => ({ ...member, path: [...(member.path as string[]), "1 to 2"] }),
    (member) => ({ ...member, path: [...(member.path as string[]), "2 to 3"] }),
  ];

  test.each([
    [1, ["1 to 2", "2 to 3"]],
    [2, ["2 to 3"]],
    [3, []],
  ])("from version %d go step by step to the newest", (version, path) => {
    expect(upgrade({ path: [] }, version, steps, 3)).toEqual({ path });
  });

  test("the newest version needs none", () => {
    const member = { end: {} };
    expect(upgrade(member, FORMAT_VERSION)).toBe(member);
  });
});
