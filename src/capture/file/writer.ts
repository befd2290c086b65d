// Writes a capture: each event a whole gzip member, in order. Compressing happens off the event loop; a caller that
// awaits each call is slowed down when the disk is, so that what waits in memory stays bounded.
import { type FileHandle, open } from "node:fs/promises";
import type { Batch, FinalFacts, StartFacts } from "../binding.js";
import type { CaptureEvent } from "../events.js";
import { encodeEventMessage, type WritableEvent } from "./encode.js";
import { CaptureError, messageOf, systemCodeOf } from "./errors.js";
import { PENDING_BYTES } from "./limits.js";
import { buildMember } from "./member.js";
import { splitBatch } from "./split.js";
import { Timeline } from "./timeline.js";

export type { WritableEvent } from "./encode.js";

type Facts = Extract<CaptureEvent, { readonly type: "header" }>["facts"];

/**
 * One event as the bytes that would be in the file: a whole member, or several for a very long batch.
 * @param timeline carries the time from event to event; give the same one for all events of a capture
 * @throws RangeError where a value does not fit its field (a negative 64-bit value, a column shorter than its count)
 */
export async function encodeEvent(event: WritableEvent, timeline = new Timeline()): Promise<Buffer> {
  const members: Buffer[] = [];
  for (const part of partsOf(event)) {
    const timeNs = timeline.at(part);
    members.push(await buildMember(encodeEventMessage(part, timeNs), part.type, timeNs));
  }
  return Buffer.concat(members);
}

function* partsOf(event: WritableEvent): Generator<WritableEvent> {
  if (event.type !== "batch") yield event;
  else for (const batch of splitBatch(event.batch)) yield { type: "batch", batch };
}

/** One capture being written. Steps in this order: header, batches, end, close; close may come at any time. */
export class CaptureWriter {
  readonly #file: FileHandle;
  readonly #timeline = new Timeline();
  /** Ends when the last event that was given has been taken; never rejects. */
  #turn: Promise<void> = Promise.resolve();
  /** Ends when the last member so far is written; never rejects: the error waits in #error for the next call. */
  #written: Promise<void> = Promise.resolve();
  #error: CaptureError | null = null;
  #pendingBytes = 0;
  #bytesWritten = 0;
  #closed: Promise<void> | null = null;

  /** @param path for messages */
  private constructor(
    file: FileHandle,
    readonly path: string,
  ) {
    this.#file = file;
  }

  /**
   * Creates or overwrites a file that only its owner may read: a capture tells programs, paths and addresses.
   * @throws CaptureError CAPTURE_OPEN_FAILED
   */
  static async open(path: string): Promise<CaptureWriter> {
    let file: FileHandle | null = null;
    try {
      file = await open(path, "w", 0o600);
      const stat = await file.stat();
      // The mode above is only for a new file; an old one may have been readable by all.
      if (stat.isFile() && (stat.mode & 0o077) !== 0) await file.chmod(0o600);
      return new CaptureWriter(file, path);
    } catch (error) {
      await file?.close();
      const systemCode = systemCodeOf(error);
      throw new CaptureError(
        "CAPTURE_OPEN_FAILED",
        `The capture "${path}" cannot be written (${messageOf(error)}); choose a path in a directory that you may write to.`,
        { path, systemCode, bytes: 0 },
      );
    }
  }

  /** Over a file that is open for writing; `close` closes it. */
  static over(file: FileHandle, path: string): CaptureWriter {
    return new CaptureWriter(file, path);
  }

  /** Bytes of whole members in the file. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Uncompressed bytes that wait to be written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  header(facts: Facts, start: StartFacts): Promise<void> {
    return this.event({ type: "header", facts, start });
  }

  batch(batch: Batch): Promise<void> {
    return this.event({ type: "batch", batch });
  }

  end(final: FinalFacts, endReason: string): Promise<void> {
    return this.event({ type: "end", final, endReason });
  }

  /**
   * Writes one event after those before it and resolves when there is room for the next. Await it: that is what
   * bounds the memory. The arrays of the event must stay as they are until then.
   * @throws CaptureError CAPTURE_WRITE_FAILED of this or an earlier event; RangeError where a value does not fit
   */
  event(event: WritableEvent): Promise<void> {
    if (this.#closed) return Promise.reject(new Error("the capture writer is closed"));
    const turn = this.#turn.then(() => this.#take(event));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #take(event: WritableEvent): Promise<void> {
    for (const part of partsOf(event)) {
      if (this.#error) throw this.#error;
      const timeNs = this.#timeline.at(part);
      this.#enqueue(encodeEventMessage(part, timeNs), part.type, timeNs);
      if (this.#pendingBytes > PENDING_BYTES) await this.#written;
    }
    if (this.#error) throw this.#error;
  }

  #enqueue(message: Uint8Array, kind: WritableEvent["type"], timeNs: bigint): void {
    this.#pendingBytes += message.length;
    // The next member is compressed while this one is written.
    const member = buildMember(message, kind, timeNs);
    member.catch(() => {}); // looked at below, but only when it is its turn
    const before = this.#written;
    this.#written = (async () => {
      await before;
      try {
        if (!this.#error) await this.#append(await member);
      } catch (error) {
        this.#error ??= this.#writeError(error);
      } finally {
        this.#pendingBytes -= message.length;
      }
    })();
  }

  async #append(member: Buffer): Promise<void> {
    let at = 0;
    try {
      while (at < member.length) {
        const { bytesWritten } = await this.#file.write(member, at, member.length - at);
        at += bytesWritten;
      }
    } catch (error) {
      this.#error = this.#writeError(error);
      // Takes the part of a member away, so that the file ends where a reader expects it. Where that fails (a pipe,
      // a device), the reader finds the cut by itself.
      if (at > 0) await this.#file.truncate(this.#bytesWritten).catch(() => {});
      return;
    }
    this.#bytesWritten += member.length;
  }

  #writeError(error: unknown): CaptureError {
    const systemCode = systemCodeOf(error);
    const remedy =
      systemCode === "ENOSPC" || systemCode === "EDQUOT"
        ? "Free space or choose another disk with -o."
        : "Check the disk or choose another path with -o.";
    const kept =
      this.#bytesWritten > 0
        ? `the ${this.#bytesWritten} bytes before that are whole and can be reported`
        : "nothing could be kept";
    return new CaptureError(
      "CAPTURE_WRITE_FAILED",
      `Writing the capture "${this.path}" failed after ${this.#bytesWritten} bytes (${messageOf(error)}); ${kept}. ${remedy}`,
      { path: this.path, systemCode, bytes: this.#bytesWritten },
    );
  }

  /**
   * Waits for everything to be written and closes the file; any number of times.
   * @throws CaptureError CAPTURE_WRITE_FAILED where anything could not be written
   */
  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    await this.#turn;
    await this.#written;
    try {
      await this.#file.close();
    } catch (error) {
      // Network file systems tell of a full disk only here.
      this.#error ??= this.#writeError(error);
    }
    if (this.#error) throw this.#error;
  }
}
