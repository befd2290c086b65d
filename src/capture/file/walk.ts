// Walks a capture member by member and knows what order they come in. The reader inflates what it is given here,
// the skimmer passes over it; both say the same about a file that is not whole.
import type { ByteSource } from "./bytes.js";
import { CaptureError, type CaptureErrorCode } from "./errors.js";
import { MAX_MEMBER_BYTES } from "./limits.js";
import { HEAD_BYTES, type HeadTrouble, type MemberHead, parseHead } from "./member.js";
import { FORMAT_VERSION } from "./schema.js";

export interface Walked {
  readonly head: MemberHead;
  /** Offset of the member in the file. */
  readonly offset: number;
  /** The whole member where it was asked for, else empty. */
  readonly bytes: Buffer;
}

/**
 * Members in order, up to the end of the file.
 * @param keep whether to read the members or pass over them
 * @throws CaptureError at the first thing that is not as it should be; what came before was whole
 */
export async function* walkMembers(source: ByteSource, keep: boolean): AsyncGenerator<Walked> {
  let ended = false;
  let version = 0;
  for (let index = 0; ; index++) {
    const offset = source.position;
    const start = await source.read(HEAD_BYTES);
    if (start.length === 0) {
      if (index === 0) throw emptyError(source);
      if (!ended) throw unfinishedError(source, offset);
      return;
    }
    const head: MemberHead =
      index === 0 ? firstHead(source, start) : laterHead(source, start, offset, version, ended);
    version = head.version;
    const rest = head.length - HEAD_BYTES;
    const body = keep ? await source.read(rest) : null;
    const there = body ? body.length : await source.skip(rest);
    if (there < rest) throw truncatedError(source, offset, HEAD_BYTES + there, head.length);
    ended = head.kind === "end";
    yield { head, offset, bytes: body ? Buffer.concat([start, body]) : Buffer.alloc(0) };
  }
}

function firstHead(source: ByteSource, start: Buffer): MemberHead {
  const head = start.length < HEAD_BYTES ? "not-gzip" : parseHead(start);
  if (typeof head === "string") throw strangerError(source, start, head);
  if (head.version > FORMAT_VERSION) {
    throw fail(
      "CAPTURE_NEWER_VERSION",
      source,
      `is a capture of format version ${head.version}, and this lowflame reads versions up to ${FORMAT_VERSION}; make the report with the lowflame that recorded it, or a newer one.`,
    );
  }
  if (head.version === 0) {
    throw fail(
      "CAPTURE_DAMAGED",
      source,
      "says that it has format version 0, which never was; copy it again.",
    );
  }
  if (head.kind !== "header") {
    throw fail(
      "CAPTURE_DAMAGED",
      source,
      `begins in the middle of a capture: its first record is "${head.kind}" where "header" belongs; copy the file again from its first byte on.`,
    );
  }
  return head;
}

function laterHead(
  source: ByteSource,
  start: Buffer,
  offset: number,
  version: number,
  ended: boolean,
): MemberHead {
  if (start.length < HEAD_BYTES) throw truncatedError(source, offset, start.length, null);
  const head = parseHead(start);
  if (typeof head === "string") throw damagedError(source, offset, troubleText(head, start));
  if (head.kind === "header") throw concatenatedError(source, offset, ended);
  if (ended)
    throw damagedError(source, offset, `a record "${head.kind}" follows behind the end of the recording`);
  if (head.version !== version) {
    throw damagedError(
      source,
      offset,
      `a record of format version ${head.version} lies in a capture of version ${version}`,
    );
  }
  return head;
}

function troubleText(trouble: HeadTrouble, start: Buffer): string {
  if (trouble === "length")
    return `a record says a length that is not from ${HEAD_BYTES} to ${MAX_MEMBER_BYTES}`;
  return `no record begins here (bytes ${start.toString("hex", 0, 4)})`;
}

/** What a file is whose first bytes are not the head of a capture. */
function strangerError(source: ByteSource, start: Buffer, trouble: HeadTrouble): CaptureError {
  if (trouble === "length") {
    return fail("CAPTURE_DAMAGED", source, "is damaged in its very first record; copy or record it again.");
  }
  const gzip = start[0] === 0x1f && start[1] === 0x8b;
  if (gzip && start.length < HEAD_BYTES) {
    return fail(
      "CAPTURE_TRUNCATED",
      source,
      `breaks off after ${start.length} bytes, inside its first record, so there is nothing to report; copy or record it again.`,
    );
  }
  const found = gzip
    ? "is a gzip file without lowflame's record lengths: another program's file, or a capture that was compressed again"
    : `is not a capture (it begins with the bytes ${start.toString("hex", 0, Math.min(start.length, 8))})`;
  return fail(
    "CAPTURE_NOT_A_CAPTURE",
    source,
    `${found}; give a file that "lowflame record -o NAME.lowflame" wrote.`,
  );
}

function emptyError(source: ByteSource): CaptureError {
  return fail("CAPTURE_EMPTY", source, "is empty: nothing was recorded into it; record again.");
}

function unfinishedError(source: ByteSource, offset: number): CaptureError {
  return fail(
    "CAPTURE_TRUNCATED",
    source,
    `has no end: it stops after ${offset} bytes, between two records, because the recording was killed, is still running, or the file was cut; what was recorded until then is shown, without totals and losses.`,
    offset,
  );
}

function truncatedError(
  source: ByteSource,
  offset: number,
  there: number,
  wanted: number | null,
): CaptureError {
  const of = wanted === null ? "" : ` of ${wanted}`;
  return fail(
    "CAPTURE_TRUNCATED",
    source,
    `breaks off in the middle of a record: the one at byte ${offset} has ${there}${of} bytes; ${before(offset)}.`,
    offset,
  );
}

/** Damage at a place behind which nothing can be trusted. */
export function damagedError(source: ByteSource, offset: number, what: string): CaptureError {
  return fail(
    "CAPTURE_DAMAGED",
    source,
    `is damaged at byte ${offset}: ${what}; ${before(offset)}. Copy the file again if you can.`,
    offset,
  );
}

const before = (offset: number): string =>
  offset === 0 ? "that is its first record, so there is nothing to report" : "what came before is shown";

function concatenatedError(source: ByteSource, offset: number, ended: boolean): CaptureError {
  const first = ended ? "only the first is shown" : "only the first is shown, and it has no end";
  return fail(
    "CAPTURE_CONCATENATED",
    source,
    `holds a second capture from byte ${offset} on; ${first}. Cut it off with "tail -c +${offset + 1}" and report it by itself.`,
    offset,
  );
}

function fail(code: CaptureErrorCode, source: ByteSource, predicate: string, bytes?: number): CaptureError {
  return new CaptureError(code, `${source.name} ${predicate}`, bytes === undefined ? {} : { bytes });
}
