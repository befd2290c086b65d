// The protobuf bytes of a member as a capture event. What is missing gets its default; what cannot be true (a column
// that is too short, a stack that is its own ancestor) is refused here, so that nothing behind this has to doubt it.
import type Long from "long";
import {
  type Batch,
  ENDPOINT_ROLES,
  type EndpointRow,
  type FinalFacts,
  FRAME_KINDS,
  type FrameColumns,
  type LockRow,
  type NameFacts,
  OFFCPU_STATES,
  type ProcessRow,
  type SampleColumns,
  type SampleSource,
  SOURCES,
  type SourceName,
  type StackColumns,
  type StartFacts,
  type Tables,
  type TcpCounters,
  type UserStackFacts,
} from "../binding.js";
import { isOfLocks, SAMPLE_SOURCES } from "../sample-sources.js";
import { type ColumnMessage, decodeColumn } from "./column.js";
import type { WritableEvent } from "./encode.js";
import { fromFixed64 } from "./int64.js";
import { MAX_COLUMN_ROWS } from "./limits.js";
import { upgrade } from "./upgrade.js";
import { decodeMessage } from "./wire.js";

type Header = Extract<WritableEvent, { type: "header" }>;
type Columns<T> = { readonly [K in keyof T]-?: T[K] extends number | string ? T[K] : ColumnMessage | null };
type Message<T, Wide extends keyof T> = Omit<T, Wide> & Record<Wide, Long>;

/** Member as decoded and upgraded: of `body` one field is there, or none where a later writer added a kind. */
interface MemberMessage {
  readonly timeNs: Long;
  readonly header?: {
    readonly formatVersion: number;
    readonly facts: Header["facts"] | null;
    readonly start: Message<StartFacts, "startMonotonicNs" | "startWallNs"> | null;
  };
  readonly batch?: {
    readonly tables: TablesMessage | null;
    readonly samples: readonly Columns<SampleColumns>[];
  };
  readonly end?: {
    readonly endReason: string;
    readonly final: FinalMessage | null;
  };
}
type FinalMessage = Omit<Message<FinalFacts, "endMonotonicNs">, "tcpCounters" | "userStacks" | "names"> & {
  readonly tcpCounters: TcpCounters | null;
  readonly userStacks: UserStackFacts | null;
  readonly names: NameFacts | null;
};
interface TablesMessage extends Omit<Tables, "processes" | "frames" | "stacks" | "locks"> {
  readonly processes: readonly Message<ProcessRow, "startTimeNs">[];
  readonly frames: Columns<FrameColumns> | null;
  readonly stacks: Columns<StackColumns> | null;
  readonly locks: readonly Message<LockRow, "address">[];
}

export interface DecodedMember {
  /** null: a kind of member that this version does not know; to be passed over. */
  readonly event: WritableEvent | null;
  readonly timeNs: bigint;
}

/**
 * @param version format version that the member was written in, 1 to FORMAT_VERSION
 * @throws Error saying in a few words what is wrong with the content
 */
export function decodeMember(bytes: Buffer, version: number): DecodedMember {
  const member = upgrade(decodeMessage(bytes), version) as unknown as MemberMessage;
  return { event: eventOf(member, version), timeNs: fromFixed64(member.timeNs) };
}

function eventOf({ header, batch, end }: MemberMessage, version: number): WritableEvent | null {
  if (header) {
    if (header.formatVersion !== version) {
      throw new Error(`its header says format version ${header.formatVersion}, its extra field ${version}`);
    }
    return headerEvent(
      present(header.facts, "facts of command and host"),
      present(header.start, "facts of the start"),
    );
  }
  if (batch) return { type: "batch", batch: batchOf(batch.tables, batch.samples) };
  if (end) {
    const final = finalOf(present(end.final, "final facts"));
    return { type: "end", final, endReason: end.endReason };
  }
  return null;
}

function finalOf({
  endMonotonicNs,
  cost,
  tcpCounters,
  userStacks,
  names,
  ...rest
}: FinalMessage): FinalFacts {
  const noCost = { programs: [], agentUserNs: 0, agentSystemNs: 0, peakRssBytes: 0, kernelMemoryBytes: 0 };
  return {
    ...rest,
    endMonotonicNs: fromFixed64(endMonotonicNs),
    cost: cost ?? noCost,
    ...(tcpCounters && { tcpCounters }),
    ...(userStacks && { userStacks }),
    ...(names && { names }),
  } as FinalFacts;
}

function present<T>(value: T | null, what: string): T {
  if (value === null) throw new Error(`its ${what} are missing`);
  return value;
}

function headerEvent(facts: Header["facts"], start: NonNullable<MemberMessage["header"]>["start"]): Header {
  const unknown = facts.sources.filter((source) => !isKnown(source));
  const left = unknown.map(
    (source) =>
      `The capture also holds samples of "${source}", which this version of lowflame does not know; they are left out. A newer version shows them.`,
  );
  return {
    type: "header",
    facts: {
      ...facts,
      host: facts.host ?? { hostname: "", kernel: "", arch: "", cpuModel: "", cpus: 0, memoryBytes: 0 },
      sources: facts.sources.filter(isKnown),
    },
    start: {
      ...start!,
      startMonotonicNs: fromFixed64(start!.startMonotonicNs),
      startWallNs: fromFixed64(start!.startWallNs),
      notes: [...start!.notes, ...left],
    } as StartFacts,
  };
}

const isKnown = (source: string): source is SourceName => (SOURCES as readonly string[]).includes(source);
const isKnownOfSamples = (source: string): source is SampleSource =>
  (SAMPLE_SOURCES as readonly string[]).includes(source);

function batchOf(tables: TablesMessage | null, samples: readonly Columns<SampleColumns>[]): Batch {
  const frames = tables?.frames ?? { firstId: 0, count: 0, module: null, offset: null, kind: null };
  const stacks = tables?.stacks ?? { firstId: 0, count: 0, parent: null, frame: null };
  // Before anything is allocated: a count of a few bytes must not ask for gigabytes.
  const rows = samples.reduce((sum, { count }) => sum + count, frames.count + stacks.count);
  if (rows > MAX_COLUMN_ROWS)
    throw new RangeError(`it announces ${rows} rows where ${MAX_COLUMN_ROWS} are the most`);
  return {
    tables: {
      processes: (tables?.processes ?? []).map((row) => ({
        ...row,
        startTimeNs: fromFixed64(row.startTimeNs),
      })),
      threads: tables?.threads ?? [],
      modules: tables?.modules ?? [],
      frames: framesOf(frames),
      stacks: stacksOf(stacks),
      names: tables?.names ?? [],
      locks: (tables?.locks ?? []).map((row) => ({ ...row, address: fromFixed64(row.address) })),
      endpoints: (tables?.endpoints ?? []).map(endpointOf),
      calls: tables?.calls ?? [],
      socketCounts: tables?.socketCounts ?? [],
      ...(tables?.sources?.length && { sources: tables.sources }),
    },
    samples: samples.filter(({ source }) => isKnownOfSamples(source)).map(samplesOf),
  };
}

/** A role that a later writer added is none that this version could put into words. */
const endpointOf = (row: EndpointRow): EndpointRow =>
  row.role < ENDPOINT_ROLES.length ? row : { ...row, role: ENDPOINT_ROLES.indexOf("none") };

function framesOf({ firstId, count, module, offset, kind }: Columns<FrameColumns>): FrameColumns {
  const kinds = decodeColumn(kind, count, Uint8Array, "frames.kind");
  // A kind that a later writer added is shown as unknown, not refused: only its colour is lost.
  const unknown = FRAME_KINDS.indexOf("unknown");
  for (let i = 0; i < count; i++) if (kinds[i]! >= FRAME_KINDS.length) kinds[i] = unknown;
  return {
    firstId,
    count,
    module: decodeColumn(module, count, Uint32Array, "frames.module"),
    offset: decodeColumn(offset, count, BigUint64Array, "frames.offset"),
    kind: kinds,
  };
}

function stacksOf({ firstId, count, parent, frame }: Columns<StackColumns>): StackColumns {
  const parents = decodeColumn(parent, count, Uint32Array, "stacks.parent");
  // A loop in the tree would hang every walk to its root. (Id 0 is the root, should it ever be sent.)
  for (let i = 0; i < count; i++) {
    if (parents[i]! >= firstId + i && firstId + i > 0)
      throw new Error(`stack ${firstId + i} has the parent ${parents[i]}`);
  }
  return { firstId, count, parent: parents, frame: decodeColumn(frame, count, Uint32Array, "stacks.frame") };
}

function samplesOf(samples: Columns<SampleColumns>): SampleColumns {
  const { source, count } = samples;
  const state = decodeColumn(samples.state, count, Uint8Array, "samples.state");
  const other = OFFCPU_STATES.indexOf("other");
  for (let i = 0; i < count; i++) if (state[i]! >= OFFCPU_STATES.length) state[i] = other;
  return {
    source,
    count,
    timeNs: decodeColumn(samples.timeNs, count, Float64Array, "samples.timeNs"),
    cpu: decodeColumn(samples.cpu, count, Uint32Array, "samples.cpu"),
    thread: decodeColumn(samples.thread, count, Uint32Array, "samples.thread"),
    stack: decodeColumn(samples.stack, count, Uint32Array, "samples.stack"),
    weightNs: decodeColumn(samples.weightNs, count, Float64Array, "samples.weightNs"),
    durationNs: decodeColumn(samples.durationNs, count, Float64Array, "samples.durationNs"),
    state,
    syscall: decodeColumn(samples.syscall, count, Int32Array, "samples.syscall"),
    flags: decodeColumn(samples.flags, count, Uint32Array, "samples.flags"),
    ...((samples.lock !== null || isOfLocks(source)) && {
      lock: decodeColumn(samples.lock, count, Uint32Array, "samples.lock"),
    }),
  };
}
