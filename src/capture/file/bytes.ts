// Where a reader gets its bytes from, front to back: a file (or pipe), or a buffer in memory.
import { type FileHandle, open } from "node:fs/promises";
import { CaptureError, messageOf, systemCodeOf } from "./errors.js";

/** Bytes read in order. Not to be used by two callers at once. */
export interface ByteSource {
  /** How to name it in a sentence. */
  readonly name: string;
  /** Offset of the next byte. */
  readonly position: number;
  /** The next `count` bytes; fewer only at the end. Valid until the source is closed. */
  read(count: number): Promise<Buffer>;
  /** Passes over `count` bytes and returns how many there were. */
  skip(count: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * @param input path of a file or pipe, or the bytes themselves
 * @throws CaptureError CAPTURE_NOT_FOUND, CAPTURE_IS_DIRECTORY, CAPTURE_UNREADABLE
 */
export async function openBytes(input: string | Uint8Array): Promise<ByteSource> {
  if (typeof input !== "string") return new MemoryBytes(input);
  try {
    const file = await open(input, "r");
    try {
      const stat = await file.stat();
      if (!stat.isDirectory()) return new FileBytes(file, input, stat.isFile());
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  } catch (error) {
    throw unreadable(error, input);
  }
  throw new CaptureError(
    "CAPTURE_IS_DIRECTORY",
    `"${input}" is a directory, not a capture; name the .lowflame file itself.`,
    { path: input, systemCode: "EISDIR" },
  );
}

function unreadable(error: unknown, path: string): CaptureError {
  const systemCode = systemCodeOf(error);
  const details = { path, systemCode };
  if (systemCode === "ENOENT") {
    return new CaptureError("CAPTURE_NOT_FOUND", `There is no file "${path}"; check the path.`, details);
  }
  const remedy =
    systemCode === "EACCES" || systemCode === "EPERM"
      ? "A capture is readable only by the user who recorded it; read it as that user or change its owner."
      : "Check the file and the disk it is on.";
  return new CaptureError(
    "CAPTURE_UNREADABLE",
    `"${path}" cannot be read (${messageOf(error)}). ${remedy}`,
    details,
  );
}

class MemoryBytes implements ByteSource {
  readonly name = "The capture in memory";
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#at;
  }

  async read(count: number): Promise<Buffer> {
    const part = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += part.length;
    return part;
  }

  async skip(count: number): Promise<number> {
    return (await this.read(count)).length;
  }

  async close(): Promise<void> {}
}

// A length field that lies must not make the reader allocate its whole claim before the file's end is noticed.
const READ_AHEAD_BYTES = 1024 * 1024;

class FileBytes implements ByteSource {
  readonly name: string;
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #seekable: boolean;
  #at = 0;

  constructor(file: FileHandle, path: string, seekable: boolean) {
    this.#file = file;
    this.#path = path;
    this.#seekable = seekable;
    this.name = `"${path}"`;
  }

  get position(): number {
    return this.#at;
  }

  async read(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let left = count;
    while (left > 0) {
      const part = await this.#readSome(Math.min(left, READ_AHEAD_BYTES));
      if (part.length === 0) break;
      parts.push(part);
      left -= part.length;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  async #readSome(most: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(most);
    try {
      const { bytesRead } = await this.#file.read(buffer, 0, most, this.#seekable ? this.#at : null);
      this.#at += bytesRead;
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw unreadable(error, this.#path);
    }
  }

  async skip(count: number): Promise<number> {
    if (this.#seekable) {
      const { size } = await this.#file.stat();
      const there = Math.max(0, Math.min(count, size - this.#at));
      this.#at += there;
      return there;
    }
    let left = count;
    while (left > 0) {
      const part = await this.#readSome(Math.min(left, READ_AHEAD_BYTES));
      if (part.length === 0) break;
      left -= part.length;
    }
    return count - left;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
