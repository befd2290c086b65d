// One gzip member: a 40-byte head whose extra field says what the member is and how long, deflate data, gzip's own
// trailer. RFC 1952 sections 2.3 and 2.3.1.1; byte by byte in docs/capture-format.md. This head never changes its
// layout, so that any version of the reader can tell any version of the file.
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { MAX_MEMBER_BYTES, MAX_MESSAGE_BYTES } from "./limits.js";
import { FORMAT_VERSION } from "./schema.js";

const gzip = promisify(zlib.gzip);
const gunzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);

/** Index = code in the extra field. */
export const MEMBER_KINDS = ["", "header", "batch", "end"] as const;
/** "other": a kind that a later writer of the same format version added; readers pass over it. */
export type MemberKind = "header" | "batch" | "end" | "other";

export interface MemberHead {
  readonly kind: MemberKind;
  /** Format version of the writer. */
  readonly version: number;
  /** Bytes of the whole member, head and trailer included. */
  readonly length: number;
  /** Nanoseconds since the start of the recording: latest sample of a batch, end of the recording. */
  readonly timeNs: bigint;
}

/** What the first bytes of a member are, where they are not a head. */
export type HeadTrouble = "not-gzip" | "no-extra-field" | "length";

const GZIP_HEADER_BYTES = 10; // as zlib writes it: no name, no comment, no extra field
const GZIP_TRAILER_BYTES = 8; // CRC-32 and length of the inflated data
const FLAGS_AT = 3;
const FEXTRA = 4;
const SUBFIELD_ID = "LF";
const MAGIC = "lowflame";
const SUBFIELD_BYTES = 24;
const EXTRA_BYTES = 4 + SUBFIELD_BYTES;
/** Bytes of the head: all that `parseHead` needs. */
export const HEAD_BYTES = GZIP_HEADER_BYTES + 2 + EXTRA_BYTES;
// An empty deflate stream is 2 bytes.
const MIN_MEMBER_BYTES = HEAD_BYTES + 2 + GZIP_TRAILER_BYTES;
// Fast levels lose little here: the columns are already small differences.
const GZIP_LEVEL = 1;

/** Compresses one message into a whole member, off the event loop. */
export async function buildMember(
  message: Uint8Array,
  kind: "header" | "batch" | "end",
  timeNs: bigint,
): Promise<Buffer> {
  // zlib makes the deflate data and the checksum; it has no way to set the extra field, so the header is replaced.
  const plain = await gzip(message, { level: GZIP_LEVEL });
  const member = Buffer.alloc(plain.length + HEAD_BYTES - GZIP_HEADER_BYTES);
  plain.copy(member, 0, 0, GZIP_HEADER_BYTES);
  member[FLAGS_AT] = FEXTRA;
  let at = GZIP_HEADER_BYTES;
  at = member.writeUInt16LE(EXTRA_BYTES, at);
  at += member.write(SUBFIELD_ID, at, "latin1");
  at = member.writeUInt16LE(SUBFIELD_BYTES, at);
  at += member.write(MAGIC, at, "latin1");
  at = member.writeUInt16LE(FORMAT_VERSION, at);
  at = member.writeUInt16LE(MEMBER_KINDS.indexOf(kind), at);
  at = member.writeUInt32LE(member.length, at);
  at = member.writeBigUInt64LE(timeNs, at);
  plain.copy(member, at, GZIP_HEADER_BYTES);
  return member;
}

/** Whether something begins like a capture, told from its first bytes (24 are enough, fewer are never a capture). */
export function isCapture(firstBytes: Uint8Array): boolean {
  const head = Buffer.from(firstBytes.buffer, firstBytes.byteOffset, firstBytes.byteLength);
  return isGzip(head) && hasSubfield(head);
}

/** @param head the first HEAD_BYTES of a member, all of them */
export function parseHead(head: Buffer): MemberHead | HeadTrouble {
  if (!isGzip(head)) return "not-gzip";
  if (!hasSubfield(head)) return "no-extra-field";
  let at = GZIP_HEADER_BYTES + 6 + MAGIC.length;
  const version = head.readUInt16LE(at);
  at += 2;
  const kind = MEMBER_KINDS[head.readUInt16LE(at)] || "other";
  at += 2;
  const length = head.readUInt32LE(at);
  at += 4;
  if (length < MIN_MEMBER_BYTES || length > MAX_MEMBER_BYTES) return "length";
  return { kind, version, length, timeNs: head.readBigUInt64LE(at) };
}

function isGzip(head: Buffer): boolean {
  return head.length >= 3 && head[0] === 0x1f && head[1] === 0x8b && head[2] === 8;
}

// A later writer may add subfields behind ours; ours is always the first and never changes its layout.
function hasSubfield(head: Buffer): boolean {
  if (head.length < GZIP_HEADER_BYTES + 6 + MAGIC.length || (head[FLAGS_AT]! & FEXTRA) === 0) return false;
  const at = GZIP_HEADER_BYTES + 2;
  return (
    head.readUInt16LE(GZIP_HEADER_BYTES) >= EXTRA_BYTES &&
    head.toString("latin1", at, at + 2) === SUBFIELD_ID &&
    head.readUInt16LE(at + 2) === SUBFIELD_BYTES &&
    head.toString("latin1", at + 4, at + 4 + MAGIC.length) === MAGIC
  );
}

/**
 * Inflates a whole member and checks it.
 * @throws Error (zlib's, or a RangeError) where it is damaged or too large
 */
export async function openMember(member: Buffer): Promise<Buffer> {
  const announced = member.readUInt32LE(member.length - 4);
  if (announced > MAX_MESSAGE_BYTES) {
    throw new RangeError(
      `it announces ${announced} bytes of content where ${MAX_MESSAGE_BYTES} are the most`,
    );
  }
  const message = await gunzip(member, { maxOutputLength: Math.max(announced, 1) });
  // gunzip goes on into a following member and passes over rubbish behind one; a length field that is wrong in just
  // that way would merge two messages.
  if (message.length !== announced) {
    throw new RangeError(`it holds ${message.length} bytes of content where ${announced} were announced`);
  }
  return message;
}
