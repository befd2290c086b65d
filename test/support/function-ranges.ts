// Which function of a file an address is in, by where readelf says that functions begin and end in .eh_frame and .debug_frame:
// for stripped files too, and with nobody's names.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

interface Ranges {
  /** Ascending; of the n-th function, file offsets. */
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

export class FunctionRanges {
  readonly #files = new Map<string, Ranges>();

  /** File offset that the function at `offset` begins at; undefined where none is known there. */
  beginOf(file: string, offset: number): number | undefined {
    let ranges = this.#files.get(file);
    if (!ranges) {
      ranges = readRanges(file);
      this.#files.set(file, ranges);
    }
    let low = 0;
    let high = ranges.begin.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges.begin[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low > 0 && offset < ranges.end[low - 1]! ? ranges.begin[low - 1] : undefined;
  }
}

function readRanges(file: string): Ranges {
  // memory that is no file: perf calls it //anon
  if (!existsSync(file)) return { begin: [], end: [] };
  const run = (script: string) =>
    execFileSync("sh", ["-c", script, "sh", file], { encoding: "utf8", maxBuffer: 1 << 28, stdio: "pipe" });
  const segments = [
    ...run('readelf -lW "$1"').matchAll(/LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E/g),
  ].map(([, offset, address, size]) => ({
    offset: Number.parseInt(offset!, 16),
    address: Number.parseInt(address!, 16),
    size: Number.parseInt(size!, 16),
  }));
  const functions: { begin: number; end: number }[] = [];
  for (const [, from, to] of run(
    `readelf -wF "$1" 2>/dev/null | grep -o 'pc=[0-9a-f]*\\.\\.[0-9a-f]*' || true`,
  ).matchAll(/pc=(\w+)\.\.(\w+)/g)) {
    const [begin, end] = [Number.parseInt(from!, 16), Number.parseInt(to!, 16)];
    const segment = segments.find((s) => begin >= s.address && begin < s.address + s.size);
    if (!segment) continue;
    const bias = segment.address - segment.offset;
    functions.push({ begin: begin - bias, end: end - bias });
  }
  functions.sort((a, b) => a.begin - b.begin);
  return { begin: functions.map((f) => f.begin), end: functions.map((f) => f.end) };
}
