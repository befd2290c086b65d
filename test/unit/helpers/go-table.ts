// Go's table of functions (.gopclntab) as its linker lays it out, for functions that the test chooses.

export type GoLayout = "1.2" | "1.16" | "1.18" | "1.20";
const MAGIC: Readonly<Record<GoLayout, number>> = {
  "1.2": 0xfffffffb,
  "1.16": 0xfffffffa,
  "1.18": 0xfffffff0,
  "1.20": 0xfffffff1,
};

export interface GoTable {
  readonly bytes: Buffer;
  /** Places in it: the list of functions, the first function's record, the names. */
  readonly at: { readonly list: number; readonly record: number; readonly names: number };
}

/**
 * A table for 64 bits, little-endian.
 * @param functions by address; the last one only tells where the one before ends
 */
export function goTable(
  layout: GoLayout,
  functions: readonly { readonly address: number; readonly name: string }[],
): GoTable {
  const relative = layout === "1.18" || layout === "1.20";
  const entry = relative ? 4 : 8;
  const count = functions.length - 1;
  const text = relative ? functions[0]!.address - 16 : 0; // not the first function's, so that it must be added
  const headWords = layout === "1.2" ? 1 : layout === "1.16" ? 7 : 8;
  const head = 8 + headWords * 8;
  const names = Buffer.from(
    `\0${functions
      .slice(0, count)
      .map((f) => `${f.name}\0`)
      .join("")}`,
  );
  const nameAt = functions.map((_, i) =>
    functions.slice(0, i).reduce((sum, f) => sum + f.name.length + 1, 1),
  );
  const listBytes = (2 * count + 1) * entry + 8;
  const recordBytes = entry + 4 + 24; // address, name, and numbers that nobody here asks for
  const up = (place: number) => Math.ceil(place / 8) * 8;

  // Go 1.2: list, records and names follow each other, all counted from the head. Later the names come first.
  const namesAt = layout === "1.2" ? up(head + listBytes) + count * recordBytes : head;
  const list = layout === "1.2" ? head : up(head + names.length);
  const record = up(list + listBytes);
  const base = layout === "1.2" ? 0 : list;
  const bytes = Buffer.alloc(Math.max(record + count * recordBytes, namesAt + names.length));

  bytes.writeUInt32LE(MAGIC[layout], 0);
  bytes.set([0, 0, 1, 8], 4);
  const words = [count];
  if (layout === "1.16") words.push(1, namesAt, 0, 0, 0, list);
  if (relative) words.push(1, text, namesAt, 0, 0, 0, list);
  for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(BigInt(word), 8 + i * 8);
  const put = (value: number, at: number) =>
    relative ? bytes.writeUInt32LE(value, at) : bytes.writeBigUInt64LE(BigInt(value), at);
  for (const [i, { address }] of functions.entries()) {
    put(address - text, list + 2 * i * entry);
    if (i === count) break;
    put(record + i * recordBytes - base, list + (2 * i + 1) * entry);
    put(address - text, record + i * recordBytes);
    const name = nameAt[i]! + (layout === "1.2" ? namesAt : 0);
    bytes.writeInt32LE(name, record + i * recordBytes + entry);
  }
  names.copy(bytes, namesAt);
  return { bytes, at: { list, record, names: namesAt } };
}
