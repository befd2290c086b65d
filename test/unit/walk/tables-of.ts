// Rows of a file's .eh_frame as readelf tells them: so much of them as the stacks of own-stack.c need.
import { execFileSync } from "node:child_process";
import { Cfa, Fp, type Machine, type Rule } from "./driver.js";

/** "rsp+8", "c-16", "u", "exp" of a row, as a rule. */
function ruleOf(cfa: string, rbp: string | undefined, ra: string, signal: boolean): Rule {
  if (ra === "u") return { cfa: Cfa.end };
  if (signal) return { cfa: Cfa.signal };
  const base = /^(rsp|rbp)([+-]\d+)$/.exec(cfa);
  if (!base || ra !== "c-8") return { cfa: Cfa.unsupported };
  const saved = rbp && /^c([+-]\d+)$/.exec(rbp);
  return {
    cfa: base[1] === "rsp" ? Cfa.sp : Cfa.fp,
    cfaOffset: Number(base[2]),
    // "u": not saved yet
    ...(saved
      ? { fp: Fp.cfa, fpOffset: Number(saved[1]) }
      : { fp: !rbp || rbp === "u" || rbp === "s" ? Fp.same : Fp.lost }),
  };
}

/** Puts the rows of `file` into `m`. Returns the table's id; undefined where the file has none. */
export function tableOf(m: Machine, ids: Map<string, number>, file: string): number | undefined {
  const text = execFileSync("readelf", ["-wNF", file], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 1 << 28,
  });
  const idOf = (rule: Rule): number => {
    const key = JSON.stringify(rule);
    if (!ids.has(key)) ids.set(key, m.rule(rule));
    return ids.get(key)!;
  };
  interface Cie {
    readonly signal: boolean;
    first?: number;
  }
  const cies = new Map<string, Cie>();
  const rows = new Map<bigint, number>();
  let columns: string[] = [];
  let cie: Cie | undefined;
  let inCie = false;
  for (const line of text.split("\n")) {
    const begin =
      /^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ (?:CIE "(\w*)"|FDE cie=([0-9a-f]+) pc=(\w+)\.\.(\w+))/.exec(line);
    if (begin) {
      const [, at, augmentation, owner, pcFrom, pcTo] = begin;
      inCie = augmentation !== undefined;
      if (augmentation !== undefined) {
        cie = { signal: augmentation.includes("S") };
        cies.set(at!, cie);
      } else {
        cie = cies.get(owner!);
        const [from, to] = [BigInt(`0x${pcFrom}`), BigInt(`0x${pcTo}`)];
        if (cie?.first !== undefined) rows.set(from, cie.first);
        // the next function's first row overwrites it where the two touch
        if (!rows.has(to)) rows.set(to, 0);
      }
    } else if (/^ +LOC /.test(line)) {
      columns = line.trim().split(/ +/);
    } else if (/^[0-9a-f]{16} /.test(line) && cie) {
      const fields = line.trim().split(/ +/);
      const at = (name: string) => fields[columns.indexOf(name)];
      const rule = idOf(ruleOf(fields[1]!, at("rbp"), at("ra")!, cie.signal));
      if (inCie) cie.first = rule;
      else rows.set(BigInt(`0x${fields[0]}`), rule);
    }
  }
  const sorted = [...rows].map(([from, rule]) => ({ from, rule })).sort((a, b) => Number(a.from - b.from));
  return sorted.length ? m.file(sorted) : undefined;
}

/** File address less file offset of the executable segment that `offset` is in. */
export function addressOfOffset(file: string, offset: bigint): bigint {
  const text = execFileSync("readelf", ["-lW", file], { encoding: "utf8" });
  for (const [, at, address, size] of text.matchAll(/LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E/g)) {
    const begin = BigInt(`0x${at}`);
    if (offset + 4095n >= begin && offset < begin + BigInt(`0x${size}`))
      return BigInt(`0x${address}`) - begin;
  }
  throw new Error(`${file}: no executable segment at ${offset}`);
}
