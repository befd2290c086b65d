// The writer against the system: order, permissions, back-pressure, disks that are full.
import { execFileSync } from "node:child_process";
import { chmod, type FileHandle, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Batch } from "../../src/capture/binding.js";
import { PENDING_BYTES } from "../../src/capture/file/limits.js";
import { readCapture, skimCapture } from "../../src/capture/file/reader.js";
import { CaptureWriter, type WritableEvent } from "../../src/capture/file/writer.js";
import { SMALL_CAPTURE } from "../fixtures/captures/events.js";
import { membersOf, readAll } from "../fixtures/captures/io.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lowflame-writer-"));
});
afterAll(() => rm(folder, { recursive: true }));

const [HEADER, FIRST, SECOND, END] = SMALL_CAPTURE as [
  Extract<WritableEvent, { type: "header" }>,
  Extract<WritableEvent, { type: "batch" }>,
  Extract<WritableEvent, { type: "batch" }>,
  Extract<WritableEvent, { type: "end" }>,
];

/** A batch of about `bytes` that gzip cannot shrink much: distinct offsets. */
function bigBatch(bytes: number, seed: number): Batch {
  const count = Math.ceil(bytes / 10);
  let state = BigInt(seed) + 1n;
  const offset = BigUint64Array.from({ length: count }, () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return state;
  });
  const zeros = new Uint32Array(count);
  const frames = { firstId: 1, count, module: zeros, offset, kind: new Uint8Array(count) };
  return { tables: { ...SECOND.batch.tables, frames }, samples: [] };
}

describe("a capture file", () => {
  test("is made by header, batches, end, close", async () => {
    const path = join(folder, "steps.lowflame");
    const writer = await CaptureWriter.open(path);
    await writer.header(HEADER.facts, HEADER.start);
    await writer.batch(FIRST.batch);
    await writer.batch(SECOND.batch);
    await writer.end(END.final, END.endReason);
    await writer.close();
    await writer.close();
    expect(await readAll(path)).toStrictEqual(SMALL_CAPTURE);
    expect(writer.bytesWritten).toBe((await stat(path)).size);
    expect(writer.pendingBytes).toBe(0);
    await expect(writer.batch(FIRST.batch)).rejects.toThrow("the capture writer is closed");
  });

  test("can be inflated by gzip itself", async () => {
    const bytes = Buffer.concat(await membersOf(SMALL_CAPTURE));
    const inflated = execFileSync("gzip", ["-dc"], { input: bytes });
    expect(inflated.includes("std::map<int, std::string>::operator[](int const&)")).toBe(true);
  });

  test("is for its owner's eyes only, even where an open file was there before", async () => {
    const path = join(folder, "private.lowflame");
    await writeFile(path, "old");
    await chmod(path, 0o644);
    for (const target of [path, join(folder, "new.lowflame")]) {
      const writer = await CaptureWriter.open(target);
      await writer.close();
      expect((await stat(target)).mode & 0o777).toBe(0o600);
    }
  });

  test("that cannot be opened is refused with path and reason", async () => {
    const path = join(folder, "no", "such", "folder.lowflame");
    await expect(CaptureWriter.open(path)).rejects.toMatchObject({
      name: "CaptureError",
      code: "CAPTURE_OPEN_FAILED",
      systemCode: "ENOENT",
      path,
      message: expect.stringContaining(`The capture "${path}" cannot be written (ENOENT`),
    });
    await expect(CaptureWriter.open(folder)).rejects.toMatchObject({ systemCode: "EISDIR" });
  });

  test("read while it is written shows what is there so far", async () => {
    const path = join(folder, "growing.lowflame");
    const writer = await CaptureWriter.open(path);
    await writer.event(HEADER);
    await writer.event(FIRST);
    while (writer.pendingBytes > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const events = await readAll(path);
    expect(events.slice(0, -1)).toStrictEqual([HEADER, FIRST]);
    expect(events.at(-1)).toMatchObject({ type: "damage", message: expect.stringContaining("has no end") });
    await writer.close();
  });
});

describe("order and memory", () => {
  test("members stay in order when nobody waits, even where a long batch is cut up", async () => {
    const path = join(folder, "order.lowflame");
    const writer = await CaptureWriter.open(path);
    const batches = [bigBatch(9e6, 1), FIRST.batch, bigBatch(3e6, 2), SECOND.batch];
    const calls = [writer.event(HEADER), ...batches.map((batch) => writer.batch(batch)), writer.event(END)];
    await writer.close();
    await Promise.all(calls);
    const counts = (await readAll(path)).map((event) =>
      event.type === "batch" ? event.batch.tables.frames.count : event.type,
    );
    const total = [batches[0]!, batches[2]!].map(({ tables }) => tables.frames.count);
    const first = counts.indexOf(FIRST.batch.tables.frames.count);
    const sum = (part: (number | string)[]) => part.reduce<number>((a, b) => a + Number(b), 0);
    expect(counts[0]).toBe("header");
    expect(sum(counts.slice(1, first))).toBe(total[0]);
    expect(sum(counts.slice(first + 1, -1))).toBe(total[1]);
    expect(counts.at(-1)).toBe("end");
  });

  test("a caller who waits never has more waiting than the bound and one member", async () => {
    const path = join(folder, "pressure.lowflame");
    const writer = await CaptureWriter.open(path);
    await writer.event(HEADER);
    const batch = bigBatch(2.5e6, 3);
    let most = 0;
    for (let i = 0; i < 12; i++) {
      await writer.batch(batch);
      most = Math.max(most, writer.pendingBytes);
    }
    await writer.event(END);
    await writer.close();
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(PENDING_BYTES + 4e6);
    expect((await skimCapture(path)).members).toHaveLength(14);
  });
});

/** The file on a disk with so much room: a short write, then an error, as write(2) does it. */
function withRoom(file: FileHandle, room: number): FileHandle {
  const write = async (bytes: Buffer, at: number, length: number) => {
    if (room === 0)
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const { bytesWritten } = await file.write(bytes, at, Math.min(length, room));
    room -= bytesWritten;
    return { bytesWritten, buffer: bytes };
  };
  return new Proxy(file, {
    get: (target, name) => {
      if (name === "write") return write;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

describe("a disk that is full", () => {
  test("from the first byte (/dev/full) is one error with code, path and bytes, for this call and all later ones", async () => {
    const writer = await CaptureWriter.open("/dev/full");
    await writer.event(HEADER);
    while (writer.pendingBytes > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const error = {
      code: "CAPTURE_WRITE_FAILED",
      systemCode: "ENOSPC",
      path: "/dev/full",
      bytes: 0,
      message: expect.stringMatching(
        /^Writing the capture "\/dev\/full" failed after 0 bytes \(ENOSPC.*\); nothing could be kept\. Free space or choose another disk/,
      ),
    };
    await expect(writer.event(FIRST)).rejects.toMatchObject(error);
    await expect(writer.event(END)).rejects.toMatchObject(error);
    await expect(writer.close()).rejects.toMatchObject(error);
  });

  test("half-way keeps every whole member, and nothing but whole members", async () => {
    const path = join(folder, "limited.lowflame");
    const members = await membersOf(SMALL_CAPTURE);
    const keep = members[0]!.length + members[1]!.length;
    const room = keep + Math.floor(members[2]!.length / 2);
    const writer = CaptureWriter.over(withRoom(await open(path, "w"), room), path);
    for (const event of SMALL_CAPTURE) await writer.event(event).catch(() => {});
    await expect(writer.close()).rejects.toMatchObject({
      systemCode: "ENOSPC",
      bytes: keep,
      message: expect.stringContaining(`the ${keep} bytes before that are whole and can be reported`),
    });
    expect(await readFile(path)).toEqual(Buffer.concat(members.slice(0, 2)));
    const events = await readAll(path);
    expect(events.slice(0, -1)).toStrictEqual(SMALL_CAPTURE.slice(0, 2));
    expect(events.at(-1)?.type).toBe("damage");
  });
});

test("a named pipe carries a capture from a writer to a reader", async () => {
  const path = join(folder, "fifo");
  execFileSync("mkfifo", [path]);
  const reading = readAll(path);
  const writer = await CaptureWriter.open(path);
  for (const event of SMALL_CAPTURE) await writer.event(event);
  await writer.close();
  expect(await reading).toStrictEqual(SMALL_CAPTURE);
});

test("each event is delivered before the next is read: memory holds one member, however long the file", async () => {
  const path = join(folder, "slow-fifo");
  execFileSync("mkfifo", [path]);
  const events = readCapture(path);
  const first = events.next();
  const writer = await CaptureWriter.open(path);
  await writer.event(HEADER);
  expect((await first).value).toStrictEqual(HEADER);
  // Only now does the second exist.
  const second = events.next();
  await writer.event(FIRST);
  expect((await second).value).toStrictEqual(FIRST);
  await writer.close();
  expect((await events.next()).value).toMatchObject({ type: "damage" });
  expect((await events.next()).done).toBe(true);
});
