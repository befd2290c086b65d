// Functions that are known by their place (a module) and offset only: found by open addressing over typed arrays, and named
// all at once. A stripped program has one for each address that a sample or a call came from, millions in all.
import { grownUint32 } from "./growable.js";

/** Place, high and low half of the offset, id. */
const WORDS = 4;
const HIGH = 1;
const LOW = 2;
const ID = 3;
/** Names are cut out of texts of so many characters: making millions of strings one by one takes several times as long. */
const TEXT_BYTES = 1 << 16;
const MOST_DIGITS = 16;
const SHORT_ASCII = /^[ -~]{0,255}$/;
const DIGITS = new TextEncoder().encode("0123456789abcdef");

export class NamelessFunctions {
  #count = 0;
  #rows: Uint32Array<ArrayBuffer>;
  #slots: Uint32Array<ArrayBuffer>; // row + 1, 0 = free

  /** @param expected functions to make room for, which takes memory only where they come; there may be more */
  constructor(expected = 1024) {
    this.#rows = new Uint32Array(Math.max(1, expected) * WORDS);
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(1, expected) * 2)));
  }

  /** The id of an offset, `next` where it is new. @param high upper 32 bits of the offset */
  intern(place: number, high: number, low: number, next: number): number {
    const mask = this.#slots.length - 1;
    const rows = this.#rows;
    let slot = hash(place, high, low) & mask;
    for (;;) {
      const found = this.#slots[slot]!;
      if (found === 0) break;
      const at = (found - 1) * WORDS;
      if (rows[at + LOW] === low && rows[at + HIGH] === high && rows[at] === place) return rows[at + ID]!;
      slot = (slot + 1) & mask;
    }
    this.#add(place, high, low, next);
    this.#slots[slot] = this.#count;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return next;
  }

  /** Calls back with the id and the name of each: the prefix of its place, then its offset in hex. */
  eachName(prefixOf: (place: number) => string, named: (id: number, name: string) => void): void {
    const rows = this.#rows;
    const bytes = new Uint8Array(TEXT_BYTES);
    const ends = new Uint32Array(TEXT_BYTES);
    const decoder = new TextDecoder();
    const prefixes = new Map<number, Prefix>();
    let prefix: Prefix = { place: -1, text: "", bytes: new Uint8Array() };
    const prefixAt = (row: number): Prefix => {
      const place = rows[row * WORDS]!;
      if (prefix.place === place) return prefix;
      prefix = prefixes.get(place) ?? encoded(place, prefixOf(place));
      prefixes.set(place, prefix);
      return prefix;
    };
    for (let first = 0; first < this.#count; ) {
      let row = first;
      let end = 0;
      while (row < this.#count && end < TEXT_BYTES - MOST_DIGITS - prefixAt(row).bytes.length) {
        bytes.set(prefix.bytes, end);
        end = writeHex(bytes, end + prefix.bytes.length, rows[row * WORDS + HIGH]!, rows[row * WORDS + LOW]!);
        ends[row++ - first] = end;
      }
      const text = decoder.decode(bytes.subarray(0, end));
      let begin = 0;
      for (let i = 0; first < row; first++, i++) {
        const name = text.slice(begin, ends[i]);
        named(rows[first * WORDS + ID]!, prefixAt(first).bytes.length > 0 ? name : prefix.text + name);
        begin = ends[i]!;
      }
    }
  }

  #add(place: number, high: number, low: number, id: number): void {
    const at = this.#count++ * WORDS;
    if (at >= this.#rows.length) this.#rows = grownUint32(this.#rows, at + WORDS);
    this.#rows[at] = place;
    this.#rows[at + HIGH] = high;
    this.#rows[at + LOW] = low;
    this.#rows[at + ID] = id;
  }

  #rehash(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    const rows = this.#rows;
    for (let row = 0; row < this.#count; row++) {
      const at = row * WORDS;
      let slot = hash(rows[at]!, rows[at + HIGH]!, rows[at + LOW]!) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = row + 1;
    }
    this.#slots = slots;
  }
}

interface Prefix {
  readonly place: number;
  readonly text: string;
  /** None where it is put before the digits later: where it is long, or a byte is no character. */
  readonly bytes: Uint8Array;
}

const encoded = (place: number, text: string): Prefix => ({
  place,
  text,
  bytes: new TextEncoder().encode(SHORT_ASCII.test(text) ? text : ""),
});

/** Writes a number of two halves without leading zeros. @returns the end of it */
function writeHex(bytes: Uint8Array, from: number, high: number, low: number): number {
  let digits = high !== 0 ? 16 - (Math.clz32(high) >> 2) : Math.max(1, 8 - (Math.clz32(low) >> 2));
  let at = from;
  while (digits-- > 0) {
    const half = digits >= 8 ? high : low;
    bytes[at++] = DIGITS[(half >>> ((digits & 7) << 2)) & 15]!;
  }
  return at;
}

function hash(place: number, high: number, low: number): number {
  let h = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca77) ^ Math.imul(place, 0xc2b2ae3d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
