// pprof: one profile type a file, gzip. cpu gives samples/count and cpu/nanoseconds, offcpu gives offcpu_samples/count
// and offcpu/nanoseconds, locks and futex give contentions/count and delay/nanoseconds as Go's own mutex profiles have it.
// Written in pieces that go through gzip at once, so that memory does not hold it all twice.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import Long from "long";
import protobuf from "protobufjs";
import { conditionLocks, kindOf } from "../analysis/futex-conditions.js";
import { LOCK_KINDS, OFFCPU_STATES } from "../capture/binding.js";
import { isOfLocks, type StackSource } from "../capture/sample-sources.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { NS_PER_SECOND } from "../model/units.js";
import { type PprofLocation, PprofLocations } from "./pprof-locations.js";
import {
  FunctionTag,
  LabelTag,
  LineTag,
  LocationTag,
  MappingTag,
  ProfileTag,
  SampleTag,
  ValueTypeTag,
} from "./pprof-schema.js";
import { ownerOf, weightsOf } from "./stacks.js";

const PIECE_BYTES = 1 << 20;
const VALUE_TYPES = {
  cpu: { count: "samples", time: "cpu" },
  offcpu: { count: "offcpu_samples", time: "offcpu" },
  locks: { count: "contentions", time: "delay" },
  futex: { count: "contentions", time: "delay" },
} as const satisfies Record<StackSource, { count: string; time: string }>;

/** The gzipped profile of one source; without samples when the source saw nothing. */
export async function writePprof(profile: Profile, source: StackSource): Promise<Buffer> {
  const parts: Buffer[] = [];
  await pipeline(
    Readable.from(pieces(profile, source), { objectMode: true }),
    createGzip(),
    async (gzipped) => {
      for await (const part of gzipped) parts.push(part as Buffer);
    },
  );
  return Buffer.concat(parts);
}

function* pieces(profile: Profile, source: StackSource): Generator<Uint8Array> {
  const strings = new StringTable();
  const table = weightsOf(profile, source);
  const types = VALUE_TYPES[source];
  const writer = protobuf.Writer.create();

  valueType(writer, ProfileTag.sampleType, strings.id(types.count), strings.id("count"));
  valueType(writer, ProfileTag.sampleType, strings.id(types.time), strings.id("nanoseconds"));
  if (isOfLocks(source))
    valueType(writer, ProfileTag.periodType, strings.id(types.count), strings.id("count"));
  else valueType(writer, ProfileTag.periodType, strings.id(types.time), strings.id("nanoseconds"));
  // A wait is weighed, not counted in periods: 1 ns is the unit of its weight, and one wait for a lock counts as one.
  const period = source === "cpu" ? Math.round(NS_PER_SECOND / profile.facts.frequencyHz) : 1;
  writer.uint32(ProfileTag.period).int64(period);
  writer.uint32(ProfileTag.timeNanos).int64(Long.fromBigInt(profile.start.startWallNs));
  writer.uint32(ProfileTag.durationNanos).int64(Math.round(profile.durationNs));
  writer.uint32(ProfileTag.defaultSampleType).int64(strings.id(types.time));
  for (const comment of comments(profile, source))
    writer.uint32(ProfileTag.comment).int64(strings.id(comment));

  if (table !== undefined) {
    const locations = new PprofLocations(profile, table);
    yield* flushing(writer, functionMessages(writer, locations, strings));
    yield* flushing(writer, sampleMessages(writer, profile, table, locations, strings));
  }
  // Last, since only now all strings are known; fields of a message may come in any order.
  yield* flushing(writer, stringMessages(writer, strings));
  yield take(writer);
}

/** Runs a writer of messages, handing over what has piled up after each message that fills a piece. */
function* flushing(writer: protobuf.Writer, messages: Iterable<void>): Generator<Uint8Array> {
  for (const _ of messages) if (writer.pos >= PIECE_BYTES) yield take(writer);
}

function take(writer: protobuf.Writer): Uint8Array {
  const bytes = writer.finish();
  writer.reset();
  return bytes;
}

/** Mappings, functions and locations. A location is what is known of a place in the code: the model keeps no addresses. */
function* functionMessages(
  writer: protobuf.Writer,
  { functions, locations }: PprofLocations,
  strings: StringTable,
): Generator<void> {
  for (const { id, name, file } of functions) {
    writer.uint32(ProfileTag.function).fork();
    writer.uint32(FunctionTag.id).uint64(id);
    writer.uint32(FunctionTag.name).int64(strings.id(name));
    // No system_name: pprof takes one that is the name for a symbol that it has to demangle, and cuts <…> and (…) out of
    // it (internal/symbolizer), so that <A as Run>::run and <B as Run>::run were one ::run.
    writer.uint32(FunctionTag.filename).int64(strings.id(file)).ldelim();
    yield;
  }
  const keyOf = ({ buildId, module }: PprofLocation): string => `${buildId} ${module}`;
  const withLines = new Set(
    locations.filter(({ lines }) => lines.some(({ line }) => line > 0)).map((location) => keyOf(location)),
  );
  const mappings = new Map<string, number>();
  for (const location of locations) {
    const key = keyOf(location);
    let mapping = mappings.get(key);
    if (mapping === undefined) {
      mapping = mappings.size + 1;
      mappings.set(key, mapping);
      writer.uint32(ProfileTag.mapping).fork();
      writer.uint32(MappingTag.id).uint64(mapping);
      writer.uint32(MappingTag.filename).int64(strings.id(location.module));
      writer.uint32(MappingTag.buildId).int64(strings.id(location.buildId));
      if (withLines.has(key))
        for (const tag of [MappingTag.hasFilenames, MappingTag.hasLineNumbers, MappingTag.hasInlineFrames])
          writer.uint32(tag).bool(true);
      // Names are final: without this pprof looks for the files on the reader's machine and renames what it finds.
      writer.uint32(MappingTag.hasFunctions).bool(true).ldelim();
    }
    writer.uint32(ProfileTag.location).fork();
    writer.uint32(LocationTag.id).uint64(location.id);
    writer.uint32(LocationTag.mappingId).uint64(mapping);
    for (const { function: func, line } of location.lines) {
      writer.uint32(LocationTag.line).fork().uint32(LineTag.functionId).uint64(func);
      if (line > 0) writer.uint32(LineTag.line).int64(line);
      writer.ldelim();
    }
    writer.ldelim();
    yield;
  }
}

function* sampleMessages(
  writer: protobuf.Writer,
  profile: Profile,
  table: WeightTable,
  locations: PprofLocations,
  strings: StringTable,
): Generator<void> {
  const path: number[] = [];
  const values = [0, 0];
  const key = {
    pid: strings.id("pid"),
    process: strings.id("process"),
    tid: strings.id("tid"),
    comm: strings.id("comm"),
    self: strings.id("self"),
    state: strings.id("state"),
    lock: strings.id("lock"),
    lockKind: strings.id("lock_kind"),
  };
  const conditions = table.source === "futex" ? conditionLocks(profile) : new Set<number>();
  const locks = profile.locks.map((lock) =>
    lock === undefined
      ? undefined
      : {
          name: strings.id(lock.name === "" ? `0x${lock.address.toString(16)}` : lock.name),
          kind: strings.id(table.source === "futex" ? kindOf(lock, conditions) : LOCK_KINDS[lock.kind]!),
        },
  );
  const ownLabel = strings.id("lowflame");
  const states = OFFCPU_STATES.map((state) => strings.id(state));
  const owners = profile.threads.map((_, thread) => {
    const owner = ownerOf(profile, thread);
    return { ...owner, process: strings.id(owner.process), comm: strings.id(owner.comm) };
  });
  for (let row = 0; row < table.count; row++) {
    locations.leafFirst(table.node[row]!, path);
    // Sampled waits stand for more waits than they are; Go's readers expect counts of all.
    values[0] = table.waits === undefined ? table.samples[row]! : Math.round(table.waits[row]!);
    values[1] = Math.round(table.weightNs[row]!);
    const owner = owners[table.thread[row]!];
    writer.uint32(ProfileTag.sample).fork();
    if (path.length > 0) writer.uint32(SampleTag.locationId).uint64s(path);
    writer.uint32(SampleTag.value).int64s(values);
    if (owner !== undefined) {
      numberLabel(writer, key.pid, owner.pid);
      numberLabel(writer, key.tid, owner.tid);
      stringLabel(writer, key.process, owner.process);
      stringLabel(writer, key.comm, owner.comm);
      // go tool pprof -tagignore self=lowflame leaves them out
      if (owner.self) stringLabel(writer, key.self, ownLabel);
    }
    if (table.source === "offcpu") stringLabel(writer, key.state, states[table.state[row]!]!);
    const lock = table.lock === undefined ? undefined : locks[table.lock[row]!];
    if (lock !== undefined) {
      stringLabel(writer, key.lock, lock.name);
      stringLabel(writer, key.lockKind, lock.kind);
    }
    writer.ldelim();
    yield;
  }
}

function* stringMessages(writer: protobuf.Writer, strings: StringTable): Generator<void> {
  for (const text of strings.all()) {
    // As bytes: Buffer turns a lone surrogate into U+FFFD, where a raw one would make the file invalid UTF-8.
    writer.uint32(ProfileTag.stringTable).bytes(Buffer.from(text, "utf8"));
    yield;
  }
}

function valueType(writer: protobuf.Writer, tag: number, type: number, unit: number): void {
  writer
    .uint32(tag)
    .fork()
    .uint32(ValueTypeTag.type)
    .int64(type)
    .uint32(ValueTypeTag.unit)
    .int64(unit)
    .ldelim();
}

function numberLabel(writer: protobuf.Writer, key: number, value: number): void {
  writer
    .uint32(SampleTag.label)
    .fork()
    .uint32(LabelTag.key)
    .int64(key)
    .uint32(LabelTag.num)
    .int64(value)
    .ldelim();
}

function stringLabel(writer: protobuf.Writer, key: number, value: number): void {
  writer
    .uint32(SampleTag.label)
    .fork()
    .uint32(LabelTag.key)
    .int64(key)
    .uint32(LabelTag.str)
    .int64(value)
    .ldelim();
}

function comments(profile: Profile, source: StackSource): string[] {
  const { facts, userStacks } = profile;
  const lines = [
    `lowflame ${facts.toolVersion} on ${facts.host.hostname} (${facts.host.kernel}, ${facts.host.cpus} CPUs)`,
    `command: ${facts.command.join(" ")}`,
    `ended: ${facts.endReason}`,
    `user stacks that ended early: ${userStacks.truncated} of ${userStacks.total}`,
  ];
  if (source === "futex")
    lines.push("waits for condition variables and idle waits are left out; the off-CPU profile has them");
  for (const loss of profile.final?.losses ?? [])
    if (loss.count > 0) lines.push(`lost: ${loss.id} ${loss.count}`);
  return [...lines, ...profile.notes];
}

/** Index 0 is "" by the format. */
class StringTable {
  readonly #ids = new Map<string, number>([["", 0]]);

  id(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(text, id);
    }
    return id;
  }

  all(): Iterable<string> {
    return this.#ids.keys();
  }
}
