// How a document lies inside the report file: JSON for what has structure, raw little-endian columns for what is long.
// Four million numbers as JSON take a browser half a second to read; as columns they are there at once.
//
// Layout: uint32 length of the JSON; the JSON, padded with blanks to a multiple of 8; the columns, each padded to a
// multiple of 8. In the JSON a column stands as {"$column": [type, offset of its bytes after the JSON, length]}.

/** Long or short list of numbers, as an array or as raw memory. */
export type NumberColumn = ArrayLike<number> & Iterable<number>;

const TYPES = {
  u8: Uint8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f64: Float64Array,
} as const;
type ColumnType = keyof typeof TYPES;

interface ColumnReference {
  readonly $column: readonly [type: ColumnType, offset: number, length: number];
}

/** Lists shorter than this stay in the JSON. */
const LEAST = 64;

const padded = (length: number): number => (length + 7) & ~7;

/** The narrowest type that holds all values exactly; null if the list does not hold numbers only. */
function typeOf(values: ArrayLike<unknown>): ColumnType | null {
  let least = 0;
  let most = 0;
  let whole = true;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (typeof value !== "number") return null;
    if (value < least) least = value;
    if (value > most) most = value;
    if (!Number.isInteger(value)) whole = false;
  }
  if (!whole || most > 0xffffffff || least < -0x80000000) return "f64";
  if (least < 0) return most <= 0x7fffffff ? "i32" : "f64";
  return most <= 0xff ? "u8" : most <= 0xffff ? "u16" : "u32";
}

function asColumn(value: unknown): { type: ColumnType; values: ArrayLike<number> } | null {
  const list = Array.isArray(value) || ArrayBuffer.isView(value);
  if (!list) return null;
  const values = value as ArrayLike<number>;
  if (Array.isArray(value) && values.length < LEAST) return null;
  const type = typeOf(values);
  return type === null ? null : { type, values };
}

/** Splits a document into its JSON and its columns, in pieces that are to be written one after the other. */
export function* encodeColumns(document: object): Generator<Uint8Array> {
  const columns: Uint8Array[] = [];
  let offset = 0;
  const replace = (_key: string, value: unknown): unknown => {
    const column = asColumn(value);
    if (!column) return value;
    const data = TYPES[column.type].from(column.values);
    const reference: ColumnReference = { $column: [column.type, offset, data.length] };
    columns.push(new Uint8Array(data.buffer));
    offset += padded(data.byteLength);
    return reference;
  };
  const json = new TextEncoder().encode(JSON.stringify(document, replace));
  const head = new Uint8Array(padded(4 + json.length)).fill(0x20);
  new DataView(head.buffer).setUint32(0, head.length - 4, true);
  head.set(json, 4);
  yield head;
  for (const column of columns) {
    yield column;
    yield new Uint8Array(padded(column.length) - column.length);
  }
}

/**
 * Puts a document together again; columns are views of `buffer`, nothing is copied.
 * @throws RangeError or SyntaxError if the data is cut or damaged
 */
export function decodeColumns(buffer: ArrayBuffer): unknown {
  const end = 4 + new DataView(buffer).getUint32(0, true);
  const json = new TextDecoder().decode(new Uint8Array(buffer, 4, end - 4));
  return resolve(JSON.parse(json), buffer, end);
}

/** Replaces references by their columns, in place. A reviver would be called for every string of the document. */
function resolve(value: unknown, buffer: ArrayBuffer, base: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    if (typeof value[0] !== "object") return value;
    for (let index = 0; index < value.length; index++) value[index] = resolve(value[index], buffer, base);
    return value;
  }
  if (Object.hasOwn(value, "$column")) {
    const [type, offset, length] = (value as ColumnReference).$column;
    return new TYPES[type](buffer, base + offset, length);
  }
  for (const [key, item] of Object.entries(value)) {
    (value as Record<string, unknown>)[key] = resolve(item, buffer, base);
  }
  return value;
}
