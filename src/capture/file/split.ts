// Cuts a batch that is too long for one member into several: table rows first, then samples, in their order, so that
// a reader's memory stays bounded and a cut file loses little. Most batches come out as they went in.
import type {
  Batch,
  EndpointRow,
  FrameColumns,
  LockRow,
  NameRow,
  SampleColumns,
  SourceRow,
  StackColumns,
  Tables,
} from "../binding.js";
import { SPLIT_COLUMN_ROWS, SPLIT_TABLE_ROWS, SPLIT_TEXT_UNITS } from "./limits.js";

const NO_FRAMES: FrameColumns = {
  firstId: 0,
  count: 0,
  module: new Uint32Array(0),
  offset: new BigUint64Array(0),
  kind: new Uint8Array(0),
};
const NO_STACKS: StackColumns = {
  firstId: 0,
  count: 0,
  parent: new Uint32Array(0),
  frame: new Uint32Array(0),
};
const NO_TABLES: Tables = {
  processes: [],
  threads: [],
  modules: [],
  frames: NO_FRAMES,
  stacks: NO_STACKS,
  names: [],
  locks: [],
  endpoints: [],
  calls: [],
  socketCounts: [],
};

/** The batch itself where it is short enough, else parts that mean the same in this order. */
export function* splitBatch(batch: Batch): Generator<Batch> {
  if (fits(batch)) {
    yield batch;
    return;
  }
  const { processes, threads, modules, frames, stacks, names, locks } = batch.tables;
  const { sources = [], endpoints, calls, socketCounts } = batch.tables;
  const tables = (part: Partial<Tables>): Batch => ({ tables: { ...NO_TABLES, ...part }, samples: [] });
  for (const part of pieces(processes)) yield tables({ processes: part });
  for (const part of pieces(threads)) yield tables({ threads: part });
  for (const part of pieces(modules)) yield tables({ modules: part });
  for (const [from, to] of ranges(frames.count)) yield tables({ frames: sliceFrames(frames, from, to) });
  for (const [from, to] of ranges(stacks.count)) yield tables({ stacks: sliceStacks(stacks, from, to) });
  for (const part of textPieces(names, unitsOfName)) yield tables({ names: part });
  for (const part of textPieces(sources, unitsOfPlaces)) yield tables({ sources: part });
  for (const part of textPieces(locks, unitsOfName)) yield tables({ locks: part });
  for (const part of textPieces(endpoints, unitsOfAddress)) yield tables({ endpoints: part });
  for (const part of pieces(calls)) yield tables({ calls: part });
  for (const part of pieces(socketCounts)) yield tables({ socketCounts: part });
  for (const samples of batch.samples) {
    for (const [from, to] of ranges(samples.count)) {
      yield { tables: NO_TABLES, samples: [sliceSamples(samples, from, to)] };
    }
  }
}

function fits({ tables, samples }: Batch): boolean {
  const { frames, stacks, ...rows } = tables;
  const columnRows = samples.reduce((sum, { count }) => sum + count, frames.count + stacks.count);
  const tableRows = Object.values(rows).reduce((sum, { length }) => sum + length, 0);
  const texts =
    textUnits(rows.names, unitsOfName) +
    textUnits(rows.sources ?? [], unitsOfPlaces) +
    textUnits(rows.locks, unitsOfName) +
    textUnits(rows.endpoints, unitsOfAddress);
  return columnRows <= SPLIT_COLUMN_ROWS && tableRows <= SPLIT_TABLE_ROWS && texts <= SPLIT_TEXT_UNITS;
}

const unitsOfName = ({ name }: NameRow | LockRow): number => name.length;
const unitsOfAddress = ({ address }: EndpointRow): number => address.length;
/** A place without text is four fields all the same, and a reader bounds their number. */
const unitsOfPlaces = ({ places }: SourceRow): number =>
  places.reduce((sum, place) => sum + place.function.length + place.file.length + 32, 0);

const textUnits = <Row>(rows: readonly Row[], unitsOf: (row: Row) => number): number =>
  rows.reduce((sum, row) => sum + unitsOf(row), 0);

function* ranges(count: number): Generator<readonly [from: number, to: number]> {
  for (let from = 0; from < count; from += SPLIT_COLUMN_ROWS)
    yield [from, Math.min(from + SPLIT_COLUMN_ROWS, count)];
}

function* pieces<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += SPLIT_TABLE_ROWS) yield rows.slice(at, at + SPLIT_TABLE_ROWS);
}

function* textPieces<Row>(rows: readonly Row[], unitsOf: (row: Row) => number): Generator<readonly Row[]> {
  let from = 0;
  let units = 0;
  for (let at = 0; at < rows.length; at++) {
    units += unitsOf(rows[at]!);
    if (at > from && (units > SPLIT_TEXT_UNITS || at - from >= SPLIT_TABLE_ROWS)) {
      yield rows.slice(from, at);
      from = at;
      units = unitsOf(rows[at]!);
    }
  }
  if (from < rows.length) yield rows.slice(from);
}

function sliceFrames(
  { firstId, module, offset, kind }: FrameColumns,
  from: number,
  to: number,
): FrameColumns {
  return {
    firstId: firstId + from,
    count: to - from,
    module: module.subarray(from, to),
    offset: offset.subarray(from, to),
    kind: kind.subarray(from, to),
  };
}

function sliceStacks({ firstId, parent, frame }: StackColumns, from: number, to: number): StackColumns {
  return {
    firstId: firstId + from,
    count: to - from,
    parent: parent.subarray(from, to),
    frame: frame.subarray(from, to),
  };
}

function sliceSamples(samples: SampleColumns, from: number, to: number): SampleColumns {
  return {
    source: samples.source,
    count: to - from,
    timeNs: samples.timeNs.subarray(from, to),
    cpu: samples.cpu.subarray(from, to),
    thread: samples.thread.subarray(from, to),
    stack: samples.stack.subarray(from, to),
    weightNs: samples.weightNs.subarray(from, to),
    durationNs: samples.durationNs.subarray(from, to),
    state: samples.state.subarray(from, to),
    syscall: samples.syscall.subarray(from, to),
    flags: samples.flags.subarray(from, to),
    ...(samples.lock && { lock: samples.lock.subarray(from, to) }),
  };
}
