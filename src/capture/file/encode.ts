// A capture event as the protobuf bytes of a member. Contract objects go in as they are; 64-bit values and columns
// are what needs converting.
import type {
  Batch,
  CallRow,
  FinalFacts,
  FrameColumns,
  LockRow,
  ProcessRow,
  SampleColumns,
  StackColumns,
} from "../binding.js";
import type { CaptureEvent } from "../events.js";
import { encodeColumn } from "./column.js";
import { toFixed64 } from "./int64.js";
import { FORMAT_VERSION } from "./schema.js";
import { encodeMessage } from "./wire.js";

/** What can be written; damage is something that only a reader can meet. */
export type WritableEvent = Exclude<CaptureEvent, { readonly type: "damage" }>;

/**
 * Bytes of one event.
 * @param timeNs nanoseconds since the start of the recording
 * @throws RangeError where a value does not fit its field; CaptureError CAPTURE_TOO_LARGE
 */
export function encodeEventMessage(event: WritableEvent, timeNs: bigint): Uint8Array {
  return encodeMessage({ ...bodyOf(event), timeNs: toFixed64(timeNs, "time of the record") });
}

function bodyOf(event: WritableEvent): Record<string, unknown> {
  switch (event.type) {
    case "header":
      return { header: headerMessage(event) };
    case "batch":
      return { batch: batchMessage(event.batch) };
    case "end":
      return { end: { endReason: event.endReason, final: finalMessage(event.final) } };
  }
}

function headerMessage({ facts, start }: Extract<WritableEvent, { type: "header" }>): object {
  return {
    formatVersion: FORMAT_VERSION,
    facts,
    start: {
      ...start,
      startMonotonicNs: toFixed64(start.startMonotonicNs, "startMonotonicNs"),
      startWallNs: toFixed64(start.startWallNs, "startWallNs"),
    },
  };
}

function finalMessage(final: FinalFacts): object {
  return { ...final, endMonotonicNs: toFixed64(final.endMonotonicNs, "endMonotonicNs") };
}

function batchMessage({ tables, samples }: Batch): object {
  return {
    tables: {
      ...tables,
      processes: tables.processes.map(processMessage),
      frames: framesMessage(tables.frames),
      stacks: stacksMessage(tables.stacks),
      locks: tables.locks.map(lockMessage),
      calls: tables.calls.map(callMessage),
    },
    samples: samples.map(samplesMessage),
  };
}

function processMessage(row: ProcessRow): object {
  return { ...row, startTimeNs: toFixed64(row.startTimeNs, `start time of process ${row.pid}`) };
}

/** An argument of somebody's call: whatever it is, it must not end the capture. */
function callMessage(row: CallRow): object {
  return { ...row, fd: row.fd | 0 };
}

function lockMessage(row: LockRow): object {
  return { ...row, address: toFixed64(row.address, `address of lock ${row.id}`) };
}

function framesMessage({ firstId, count, module, offset, kind }: FrameColumns): object {
  return {
    firstId,
    count,
    module: encodeColumn(module, count, "frames.module"),
    offset: encodeColumn(offset, count, "frames.offset"),
    kind: encodeColumn(kind, count, "frames.kind"),
  };
}

function stacksMessage({ firstId, count, parent, frame }: StackColumns): object {
  return {
    firstId,
    count,
    parent: encodeColumn(parent, count, "stacks.parent"),
    frame: encodeColumn(frame, count, "stacks.frame"),
  };
}

function samplesMessage(samples: SampleColumns): object {
  const { source, count } = samples;
  const column = (name: keyof Omit<SampleColumns, "source" | "count" | "lock">) =>
    encodeColumn(samples[name], count, `samples.${name}`);
  return {
    source,
    count,
    timeNs: column("timeNs"),
    cpu: column("cpu"),
    thread: column("thread"),
    stack: column("stack"),
    weightNs: column("weightNs"),
    durationNs: column("durationNs"),
    state: column("state"),
    syscall: column("syscall"),
    flags: column("flags"),
    ...(samples.lock && { lock: encodeColumn(samples.lock, count, "samples.lock") }),
  };
}
