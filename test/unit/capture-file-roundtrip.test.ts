// What is written is what is read: every field of every event, every 64-bit value, every string.
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Batch, SampleColumns } from "../../src/capture/binding.js";
import type { CaptureEvent } from "../../src/capture/events.js";
import { SPLIT_COLUMN_ROWS, SPLIT_TABLE_ROWS, SPLIT_TEXT_UNITS } from "../../src/capture/file/limits.js";
import { skimCapture } from "../../src/capture/file/reader.js";
import { CaptureWriter, encodeEvent, type WritableEvent } from "../../src/capture/file/writer.js";
import { SMALL_CAPTURE } from "../fixtures/captures/events.js";
import { membersOf, readAll } from "../fixtures/captures/io.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lowflame-capture-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(name: string, events: Iterable<WritableEvent>): Promise<string> {
  const path = join(folder, name);
  const writer = await CaptureWriter.open(path);
  for (const event of events) await writer.event(event);
  await writer.close();
  return path;
}

const [HEADER, FIRST, , END] = SMALL_CAPTURE as [
  WritableEvent,
  { type: "batch"; batch: Batch },
  unknown,
  WritableEvent,
];

/** The first batch with one process row changed. */
function withProcess(change: object): WritableEvent {
  const { tables, samples } = FIRST.batch;
  return {
    type: "batch",
    batch: { tables: { ...tables, processes: [{ ...tables.processes[0]!, ...change }] }, samples },
  };
}

/** What comes back of batches that are written between a header and an end. */
async function roundTrip(...batches: WritableEvent[]): Promise<CaptureEvent[]> {
  const members = await membersOf([HEADER, ...batches, END]);
  return (await readAll(Buffer.concat(members))).slice(1, -1);
}

/** Random 64-bit values with every number of significant bits. Seeded, so that a failure comes again. */
function* values64(count: number): Generator<bigint> {
  let state = 0x9e3779b97f4a7c15n;
  for (let i = 0; i < count; i++) {
    // splitmix64, Steele, Lea and Flood 2014
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    yield (z ^ (z >> 31n)) >> BigInt(i % 64);
  }
}

describe("every event comes back as it was written", () => {
  test("through a file, every field of every row", async () => {
    expect(await readAll(await write("small.lowflame", SMALL_CAPTURE))).toStrictEqual(SMALL_CAPTURE);
  });

  test("through memory, with the bytes that the file has", async () => {
    const bytes = Buffer.concat(await membersOf(SMALL_CAPTURE));
    expect(bytes).toEqual(await readFile(await write("small.lowflame", SMALL_CAPTURE)));
    expect(await readAll(new Uint8Array(bytes))).toStrictEqual(SMALL_CAPTURE);
  });

  test("a capture of a busy proxy, made up row by row", async () => {
    const fake = new FakeCapture();
    const nginx = fake.process(4711, "nginx").thread;
    fake.cpu(nginx, [u("main"), u("ngx_worker_process_cycle"), k("do_syscall_64")], { times: 40 });
    fake.offcpu(nginx, [u("main"), u("epoll_wait"), k("schedule")], { durationNs: 5e6 });
    const events = fake.events() as WritableEvent[];
    expect(await readAll(await write("fake.lowflame", events))).toStrictEqual(events);
  });
});

describe("64-bit values are exact", () => {
  test("2,000 random ones of every length, as start times, frame offsets and addresses of locks", async () => {
    const values = [...values64(2_000), 0n, 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    const { tables } = FIRST.batch;
    const count = values.length;
    const batch: Batch = {
      tables: {
        ...tables,
        processes: values.map((startTimeNs, id) => ({ ...tables.processes[1]!, id, startTimeNs })),
        frames: {
          firstId: 1,
          count,
          module: new Uint32Array(count).fill(2),
          offset: BigUint64Array.from(values),
          kind: new Uint8Array(count),
        },
        locks: values.map((address, id) => ({ id, kind: id % 9, address, name: "" })),
      },
      samples: [],
    };
    const [back] = await roundTrip({ type: "batch", batch });
    expect(back).toStrictEqual({ type: "batch", batch });
  });

  test.each([-1n, 2n ** 64n])(
    "%s fits into no unsigned 64-bit field and is refused, not wrapped",
    async (value) => {
      await expect(encodeEvent(withProcess({ startTimeNs: value }))).rejects.toThrow(
        `start time of process 4711 is ${value}, which is not an unsigned 64-bit integer`,
      );
    },
  );

  test.each([-1n, 2n ** 64n])("nor does %s as the address of a lock", async (address) => {
    const locks = [{ id: 7, kind: 8, address, name: "" }];
    const batch = { ...FIRST.batch, tables: { ...FIRST.batch.tables, locks } };
    await expect(encodeEvent({ type: "batch", batch })).rejects.toThrow(
      `address of lock 7 is ${address}, which is not an unsigned 64-bit integer`,
    );
  });

  test.each([-1, 2 ** 32, 1.5])("the id %d is refused, not wrapped", async (id) => {
    await expect(encodeEvent(withProcess({ id }))).rejects.toThrow(`${id} is not a whole number`);
  });

  test.each([
    [-1, -1],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [2 ** 32 - 1, -1],
    [0x7ffe_1234_5678, 0x1234_5678],
    [1.5, 1],
    [Number.NaN, 0],
  ])(
    "the descriptor %d, an argument of somebody's call, is written as %d and fails nothing",
    async (fd, written) => {
      const { calls } = (SMALL_CAPTURE[2] as { batch: Batch }).batch.tables;
      const tables = { ...FIRST.batch.tables, calls: [{ ...calls[0]!, fd }] };
      const [back] = await roundTrip({ type: "batch", batch: { ...FIRST.batch, tables } });
      expect(back).toMatchObject({ batch: { tables: { calls: [{ ...calls[0]!, fd: written }] } } });
    },
  );
});

describe("strings are exact", () => {
  const hostile = {
    "a symbol with quotes": 'operator""_kb',
    "markup in a process name": "<script\n>alert(1)</script>",
    "NUL inside": "a\0b\0",
    "invalid UTF-8, already replaced": "nginx\ufffd\ufffd",
    "a 4,000-character C++ name": `std::${"basic_string<char>::".repeat(200)}`.slice(0, 4_000),
    "4,000 characters outside the basic plane": "\u{1f525}".repeat(2_000),
    "a byte order mark": "\ufeffnginx",
    "every control character": String.fromCharCode(...Array(32).keys(), 0x7f, 0x85, 0x2028),
  };

  test.each(Object.entries(hostile))("%s", async (_, text) => {
    const { tables } = FIRST.batch;
    const event: WritableEvent = {
      type: "batch",
      batch: {
        tables: {
          processes: [{ ...tables.processes[0]!, comm: text, cgroup: text }],
          threads: [{ ...tables.threads[0]!, comm: text }],
          modules: [{ id: 9, path: text, buildId: text }],
          frames: tables.frames,
          stacks: tables.stacks,
          names: [{ frame: 1, name: text }],
          locks: [{ id: 1, kind: 0, address: 1n, name: text }],
          endpoints: [{ id: 0, role: 6, family: 1, protocol: 0, address: text, port: 0, network: 0 }],
          calls: [],
          socketCounts: [],
        },
        samples: [],
      },
    };
    expect(await roundTrip(event)).toStrictEqual([event]);
  });

  test.each([
    ["\ud800", "\ufffd"],
    ["a\udc00b", "a\ufffdb"],
    ["\ud83d\ud83d\udd25", "\ufffd\u{1f525}"],
    [`${"x".repeat(100)}\udfff`, `${"x".repeat(100)}\ufffd`],
  ])(
    "half a surrogate pair has no UTF-8 form: it becomes U+FFFD and the file stays readable",
    async (from, to) => {
      expect(await roundTrip(withProcess({ comm: from }))).toStrictEqual([withProcess({ comm: to })]);
    },
  );
});

describe("a batch of any length", () => {
  /** Samples whose every value tells its row. */
  function longSamples(count: number): SampleColumns {
    const rows = Float64Array.from({ length: count }, (_, i) => i);
    return {
      source: "cpu",
      count,
      timeNs: rows.map((i) => i * 7919),
      cpu: Uint32Array.from(rows, (i) => i % 3),
      thread: Uint32Array.from(rows, (i) => i % 1009),
      stack: Uint32Array.from(rows),
      weightNs: rows.map((i) => i / 4),
      durationNs: new Float64Array(count),
      state: Uint8Array.from(rows, (i) => i % 8),
      syscall: Int32Array.from(rows, (i) => -i),
      flags: Uint32Array.from(rows, (i) => i % 64),
    };
  }

  const bytesOf = (column: ArrayBufferView): Buffer =>
    Buffer.from(column.buffer, column.byteOffset, column.byteLength);

  test("is cut into members that a reader takes, and nothing is lost or moved", async () => {
    const count = SPLIT_COLUMN_ROWS + 11;
    const samples = longSamples(count);
    const ids = samples.stack;
    const tables: Batch["tables"] = {
      ...FIRST.batch.tables,
      frames: {
        firstId: 1,
        count,
        module: ids,
        offset: BigUint64Array.from(ids, (i) => BigInt(i) << 20n),
        kind: new Uint8Array(count),
      },
      stacks: { firstId: 1, count, parent: ids, frame: ids },
      names: Array.from({ length: 3 }, (_, i) => ({
        frame: i + 1,
        name: String(i).repeat(SPLIT_TEXT_UNITS - 1),
      })),
    };
    const parts = (await roundTrip({ type: "batch", batch: { tables, samples: [samples] } })).map(
      (event) => (event as typeof FIRST).batch,
    );
    const frames = parts.map((part) => part.tables.frames).filter((part) => part.count > 0);
    expect(frames.map(({ firstId, count }) => [firstId, count])).toEqual([
      [1, SPLIT_COLUMN_ROWS],
      [1 + SPLIT_COLUMN_ROWS, 11],
    ]);
    const offsets = Buffer.concat(frames.map(({ offset }) => bytesOf(offset)));
    expect(offsets.equals(bytesOf(tables.frames.offset))).toBe(true);
    const parents = Buffer.concat(parts.map((part) => bytesOf(part.tables.stacks.parent)));
    expect(parents.equals(bytesOf(ids))).toBe(true);
    expect(parts.flatMap((part) => part.tables.processes)).toEqual(tables.processes);
    expect(parts.flatMap((part) => part.tables.threads)).toEqual(tables.threads);
    expect(parts.flatMap((part) => part.tables.modules)).toEqual(tables.modules);
    expect(parts.flatMap((part) => part.tables.names)).toEqual(tables.names);
    for (const column of ["timeNs", "cpu", "thread", "weightNs", "state", "syscall", "flags"] as const) {
      const back = parts.flatMap((part) => part.samples).map((part) => bytesOf(part[column]));
      expect(Buffer.concat(back).equals(bytesOf(samples[column])), column).toBe(true);
    }
  });

  test("of source places is cut by their text and their number, in order", async () => {
    const places = (i: number, text: string) => [
      { function: `inlined ${i}`, file: "/src/a.h", line: i },
      { function: text, file: "/src/a.c", line: 0 },
    ];
    const sources = Array.from({ length: 70_000 }, (_, i) => ({ frame: i + 1, places: places(i, "") }));
    sources.push({ frame: 70_001, places: places(1, "x".repeat(SPLIT_TEXT_UNITS)) });
    const tables: Batch["tables"] = { ...FIRST.batch.tables, sources };
    const parts = (await roundTrip({ type: "batch", batch: { tables, samples: [] } })).map(
      (event) => (event as typeof FIRST).batch.tables.sources ?? [],
    );
    expect(parts.filter((part) => part.length > 0).length).toBeGreaterThan(2);
    expect(parts.flat()).toEqual(sources);
  });

  test("of locks keeps each sample's lock, and every row of the table", async () => {
    const count = SPLIT_COLUMN_ROWS + 5;
    const locks = Array.from({ length: SPLIT_TABLE_ROWS + 3 }, (_, id) => ({
      id,
      kind: id % 9,
      address: 0xffff_8000_0000_0000n + BigInt(id),
      name: id % 2 === 0 ? "" : `lock ${id}`,
    }));
    const samples: SampleColumns = {
      ...longSamples(count),
      source: "locks",
      lock: Uint32Array.from({ length: count }, (_, i) => i % locks.length),
    };
    const tables = { ...FIRST.batch.tables, locks };
    const parts = (await roundTrip({ type: "batch", batch: { tables, samples: [samples] } })).map(
      (event) => (event as typeof FIRST).batch,
    );
    expect(parts.flatMap((part) => part.tables.locks)).toEqual(locks);
    const back = parts.flatMap((part) => part.samples).map((part) => bytesOf(part.lock!));
    expect(back.length).toBe(2);
    expect(Buffer.concat(back).equals(bytesOf(samples.lock!))).toBe(true);
  });

  test("is refused where a column is shorter than announced", async () => {
    const batch: Batch = { ...FIRST.batch, samples: [{ ...longSamples(10), count: 11 }] };
    await expect(encodeEvent({ type: "batch", batch })).rejects.toThrow(
      "column samples.timeNs holds 10 values where 11 rows were announced",
    );
  });
});

describe("skimming", () => {
  test("lists kind, place and time of every member from the heads alone", async () => {
    const path = await write("skim.lowflame", SMALL_CAPTURE);
    const { members, version, damage } = await skimCapture(path);
    expect(version).toBe(2);
    expect(damage).toBeNull();
    expect(members.map(({ kind, timeNs }) => [kind, timeNs])).toEqual([
      ["header", 0n],
      ["batch", 2n ** 53n - 1n],
      ["batch", 2n ** 53n - 1n],
      ["end", 10_000_000_000n],
    ]);
    let offset = 0;
    for (const member of members) {
      expect(member.offset).toBe(offset);
      offset += member.length;
    }
    expect(offset).toBe((await stat(path)).size);
  });
});

describe("recognised by content, not by name", () => {
  test("under any name", async () => {
    const path = await write("small", SMALL_CAPTURE);
    const odd = join(folder, "report.html");
    await writeFile(odd, await readFile(path));
    expect(await readAll(odd)).toStrictEqual(SMALL_CAPTURE);
  });
});
