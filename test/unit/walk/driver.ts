// Builds and drives native/walk's small test program: the walker of user stacks, given tables and stack memory.
import { execFileSync } from "node:child_process";
import { nativeDriver } from "../../support/native-driver.js";

const driver = nativeDriver("walk", { sanitized: true });
const DRIVER = driver.path;
export const buildWalker = driver.build;
export { NATIVE_BUILD_MS as BUILD_MS } from "../../support/native-driver.js";

/** lf_uw_cfa in bpf/unwind.h, in its order. */
export const Cfa = {
  none: 0,
  sp: 1,
  fp: 2,
  plt: 3,
  derefSp: 4,
  derefFp: 5,
  signal: 6,
  end: 7,
  unsupported: 8,
  otherStack: 9,
};
/** lf_uw_fp, likewise. */
export const Fp = { same: 0, cfa: 1, derefFp: 2, lost: 3 };
/** lf_uw_stop, likewise. */
const STOPS = [
  "whole",
  "process",
  "mapping",
  "table",
  "no rule",
  "rule",
  "read",
  "backwards",
  "depth",
  "time",
  "guessed",
] as const;

export interface Rule {
  readonly cfa: number;
  readonly cfaOffset?: number;
  readonly cfaAdd?: number;
  readonly fp?: number;
  readonly fpOffset?: number;
}
export interface Registers {
  readonly ip: bigint;
  readonly sp: bigint;
  readonly bp: bigint;
}
export interface Walked {
  readonly stop: (typeof STOPS)[number];
  readonly frames: readonly bigint[];
  /** Times that the walk copied stack memory. */
  readonly reads: number;
}

const PAGE = 1024n;
const CHUNK = 256;
const hex = (n: bigint | number) => n.toString(16);

/** Tables and memory of one machine, as lines for the driver. */
export class Machine {
  private readonly lines: string[] = [];
  private rules = 0;
  private tables = 0;

  line(...fields: readonly (string | number | bigint)[]): void {
    this.lines.push(fields.map((f) => (typeof f === "string" ? f : hex(f))).join(" "));
  }

  /** Returns its id. */
  rule(r: Rule): number {
    this.line("rule", ++this.rules, r.cfa, r.fp ?? Fp.same, r.cfaOffset ?? 0, r.fpOffset ?? 0, r.cfaAdd ?? 0);
    return this.rules;
  }

  /** A file with a rule from each address on (file addresses, ascending). Returns its table's id. */
  file(rows: readonly { readonly from: bigint; readonly rule: number }[], pages?: number): number {
    const first = (rows[0]!.from / PAGE) * PAGE;
    const count = pages ?? Number((rows.at(-1)!.from - first) / PAGE) + 1;
    const directory = Array<number>(Math.ceil(count / CHUNK) * CHUNK).fill(0);
    const words: number[] = [];
    let rule = 0;
    let at = 0;
    for (let page = 0; page < count; page++) {
      const begin = first + BigInt(page) * PAGE;
      const own: number[] = [];
      if (rows[at]?.from !== begin) own.push(rule);
      for (; at < rows.length && rows[at]!.from < begin + PAGE; at++) {
        rule = rows[at]!.rule;
        own.push(Number(rows[at]!.from - begin) * 65536 + rule);
      }
      if (own.length === 1 && own[0] === 0) continue;
      const room = CHUNK - (words.length % CHUNK);
      if (own.length > room) words.push(...Array<number>(room).fill(0));
      const chunk = directory.length / CHUNK + Math.floor(words.length / CHUNK);
      directory[page] = chunk * 65536 + (words.length % CHUNK) * 256 + own.length;
      words.push(...own);
    }
    return this.words(first, count, directory.length / CHUNK, [...directory, ...words]);
  }

  /** A file with just these words in its table. */
  words(first: bigint, pages: number, directoryChunks: number, words: readonly number[]): number {
    this.line("file", ++this.tables, first, pages, directoryChunks);
    this.line("table", this.tables, ...words);
    return this.tables;
  }

  /** Memory comes in pages: zeros follow to the end of the last. */
  stack(at: bigint, bytes: Uint8Array): void {
    const end = at + BigInt(bytes.length);
    const rest = Number((4096n - (end % 4096n)) % 4096n);
    this.line("stack", at, Buffer.concat([bytes, Buffer.alloc(rest)]).toString("hex"));
  }

  walk(registers: Registers, process = { tgid: 1, start: 1 }): Walked {
    const { ip, sp, bp } = registers;
    const walk = ["walk", hex(process.tgid), hex(process.start), hex(ip), hex(sp), hex(bp)].join(" ");
    const input = `${[...this.lines, walk].join("\n")}\n`;
    const out = JSON.parse(execFileSync(DRIVER, { input, encoding: "utf8" })) as {
      stop: number;
      reads: number;
      frames: string[];
    };
    return { stop: STOPS[out.stop]!, reads: out.reads, frames: out.frames.map((f) => BigInt(`0x${f}`)) };
  }
}
