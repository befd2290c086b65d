// One column of numbers as bytes. Two layouts, chosen by content:
//   deltas  the difference to the value before (the first: to 0), zigzag, as base-128 varints: what protobuf itself
//           writes for a packed `repeated sint64`. For whole numbers; times, ids and constants take about a byte.
//   raw     the typed array itself, little-endian. For everything else, so that no value is ever rounded.
// protobufjs's own repeated fields hold one boxed 64-bit value per element: too slow for a million samples.

export type NumberColumn = Float64Array | Uint32Array | Int32Array | Uint8Array;
export type AnyColumn = NumberColumn | BigUint64Array;

/** As it lies in the message; a column of no rows has both empty. */
export interface ColumnMessage {
  readonly deltas?: Uint8Array;
  readonly raw?: Uint8Array;
}

interface ColumnType<T extends AnyColumn> {
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
  new (length: number): T;
}

// Within these the difference of two values doubled (zigzag) is still an exact double.
const DELTA_LIMIT = 2 ** 51;
const MAX_VARINT_BYTES = 8; // of a value below 2^53
const TWO_32 = 2 ** 32;

/** Bounds of what a column of whole numbers can hold, so that a wrong difference cannot wrap around. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  Float64Array: [-DELTA_LIMIT, DELTA_LIMIT],
  Uint32Array: [0, 0xffffffff],
  Int32Array: [-0x80000000, 0x7fffffff],
  Uint8Array: [0, 255],
};

/**
 * Packs the first `count` values.
 * @throws RangeError where the column is shorter than `count`
 */
export function encodeColumn(column: AnyColumn, count: number, what: string): ColumnMessage {
  if (column.length < count) {
    throw new RangeError(`column ${what} holds ${column.length} values where ${count} rows were announced`);
  }
  if (count === 0) return {};
  if (!(column instanceof BigUint64Array)) {
    const deltas = encodeDeltas(column, count);
    if (deltas) return { deltas };
  }
  // A copy: the caller may reuse its array while the message waits to be compressed.
  return { raw: new Uint8Array(column.buffer, column.byteOffset, count * column.BYTES_PER_ELEMENT).slice() };
}

function encodeDeltas(column: NumberColumn, count: number): Uint8Array | null {
  const out = new Uint8Array(count * MAX_VARINT_BYTES);
  const mayHoldFractions = column instanceof Float64Array;
  let at = 0;
  let previous = 0;
  for (let i = 0; i < count; i++) {
    const value = column[i]!;
    if (mayHoldFractions && !isPlainWhole(value)) return null;
    const delta = value - previous;
    previous = value;
    let rest = delta >= 0 ? delta * 2 : -delta * 2 - 1;
    while (rest >= TWO_32) {
      out[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    let low = rest >>> 0;
    while (low >= 128) {
      out[at++] = (low & 127) | 0x80;
      low >>>= 7;
    }
    out[at++] = low;
  }
  return out.slice(0, at);
}

/** Whole, within the limit, and not -0, which a difference would turn into 0. */
function isPlainWhole(value: number): boolean {
  return Math.floor(value) === value && Math.abs(value) <= DELTA_LIMIT && !Object.is(value, -0);
}

/**
 * Unpacks a column into a new typed array of `count` values. A missing column (an older writer) is all zeros.
 * @throws RangeError where the bytes do not hold exactly `count` values of that type
 */
export function decodeColumn<T extends AnyColumn>(
  message: ColumnMessage | null | undefined,
  count: number,
  type: ColumnType<T>,
  what: string,
): T {
  const column = new type(count);
  if (!message) return column;
  const deltas = message.deltas ?? new Uint8Array(0);
  const raw = message.raw ?? new Uint8Array(0);
  if (deltas.length > 0) {
    if (column instanceof BigUint64Array) throw new RangeError(`column ${what} must be raw`);
    decodeDeltas(deltas, column, RANGES[type.name]!, what);
  } else if (raw.length === count * type.BYTES_PER_ELEMENT) {
    new Uint8Array(column.buffer).set(raw);
  } else {
    throw new RangeError(
      `column ${what} holds ${raw.length} bytes where ${count} rows of ${type.BYTES_PER_ELEMENT} were announced`,
    );
  }
  return column;
}

function decodeDeltas(
  bytes: Uint8Array,
  column: NumberColumn,
  [lowest, highest]: readonly [number, number],
  what: string,
): void {
  const end = bytes.length;
  let at = 0;
  let value = 0;
  for (let i = 0; i < column.length; i++) {
    let zigzag = 0;
    let scale = 1;
    for (let n = 0; ; n++) {
      if (at >= end || n >= MAX_VARINT_BYTES) throw new RangeError(`column ${what} breaks off at row ${i}`);
      const byte = bytes[at++]!;
      zigzag += (byte & 127) * scale;
      if (byte < 128) break;
      scale *= 128;
    }
    value += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    if (value < lowest || value > highest) throw new RangeError(`column ${what} holds ${value} at row ${i}`);
    column[i] = value;
  }
  if (at !== end) throw new RangeError(`column ${what} holds more than ${column.length} values`);
}
