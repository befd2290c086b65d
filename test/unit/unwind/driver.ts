// Builds and drives native/unwind's small test program.
import { execFileSync } from "node:child_process";
import { nativeDriver } from "../../support/native-driver.js";

const driver = nativeDriver("unwind");
const DRIVER = driver.path;
export const buildDriver = driver.build;
export { NATIVE_BUILD_MS as BUILD_MS } from "../../support/native-driver.js";

/** What `lowflame-unwind table` prints; `ms` and `cpuMs` are milliseconds of time and of CPU, `plain` a share of rows. */
export interface TableFacts {
  readonly why: string;
  readonly rows: number;
  readonly rules: number;
  readonly rulesOfAll: number;
  readonly rulesDropped: number;
  readonly bytes: number;
  readonly textBytes: number;
  readonly plain: number;
  readonly rowsLeftOut: number;
  readonly rowsUnsupported: number;
  readonly functions: number;
  readonly functionsLeftOut: number;
  readonly ms: number;
  readonly cpuMs: number;
}
/** A rule of bpf/unwind.h. */
export interface Rule {
  readonly cfa:
    | "none"
    | "sp"
    | "fp"
    | "plt"
    | "derefSp"
    | "derefFp"
    | "signal"
    | "end"
    | "unsupported"
    | "otherStack";
  readonly cfaOffset: number;
  readonly cfaAdd: number;
  readonly fp: "same" | "cfa" | "derefFp" | "lost";
  readonly fpOffset: number;
}

const lines = (text: string) => text.trimEnd().split("\n");

/** Facts of the files' tables; rules add up. */
export function tables(...files: string[]): TableFacts[] {
  return lines(execFileSync(DRIVER, ["table", ...files], { encoding: "utf8" })).map((l) => JSON.parse(l));
}
/** Facts of the vdso's table. */
export function vdsoTable(): TableFacts {
  return JSON.parse(execFileSync(DRIVER, ["vdso"], { encoding: "utf8" }));
}
/** The rule of each file address; debug files are looked for below `root` first. */
export function rules(file: string, addresses: readonly number[], root?: string): Rule[] {
  const input = addresses.map((a) => `${a.toString(16)}\n`).join("");
  const args = [...(root ? ["--root", root] : []), "rule", file, "-"];
  return lines(execFileSync(DRIVER, args, { encoding: "utf8", input, maxBuffer: 1 << 28 })).map((l) =>
    JSON.parse(l),
  );
}

/** The same numbers every time. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
