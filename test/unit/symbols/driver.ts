// Builds and drives native/symbols' small test program, and programs whose addresses have known names.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Child } from "../../support/children.js";
import { nativeDriver } from "../../support/native-driver.js";
import { repositoryRoot } from "../../support/paths.js";

const driver = nativeDriver("symbols");
export const DRIVER = driver.path;
export const buildDriver = driver.build;
export { NATIVE_BUILD_MS as BUILD_MS } from "../../support/native-driver.js";

const lines = (text: string) => text.trimEnd().split("\n");

export function demangle(...names: string[]): string[] {
  const out = execFileSync(DRIVER, ["--demangle", ...names], { encoding: "utf8" });
  return lines(out).map((line) => JSON.parse(line).name);
}

export interface ElfResult {
  readonly parsed: boolean;
  readonly parseNs: number;
  readonly bytes: number;
  readonly refused: number;
  readonly names: readonly string[];
  /** File offsets at which the functions begin, hexadecimal; null where the file does not tell. */
  readonly begins: readonly (string | null)[];
}
/** Names at file offsets of one file. Memory is limited to 1 GiB, so that a lying header is found out. */
export function namesInFile(file: string, offsets: readonly number[]): ElfResult {
  const args = ["--as=1073741824", DRIVER, "--elf", file, ...offsets.map((o) => o.toString(16))];
  return JSON.parse(execFileSync("prlimit", args, { encoding: "utf8" }));
}

export interface Place {
  readonly function: string;
  readonly file: string;
  readonly line: number;
}
export interface LinesResult {
  readonly refused: boolean;
  readonly ns: number;
  readonly places: readonly (readonly Place[])[];
}
/** Places in source text at file offsets of one file, innermost first, under the same limit of memory. */
export function linesInFile(file: string, offsets: readonly number[]): LinesResult {
  const args = ["--as=1073741824", DRIVER, "--lines", file, ...offsets.map((o) => o.toString(16))];
  return JSON.parse(execFileSync("prlimit", args, { encoding: "utf8", maxBuffer: 1 << 28 }));
}

export interface Located {
  readonly module: string;
  readonly moduleId: number;
  readonly buildId: string;
  readonly kind: string;
  readonly offset: string;
}
export interface Stats {
  readonly filesOpened: number;
  readonly filesFailed: number;
  readonly tablesRefused: number;
  readonly filesChanged: number;
  readonly namesFound: number;
  readonly namesMissing: number;
  readonly processesGone: number;
  readonly cacheBytes: number;
}

/** Kernel addresses (hexadecimal); `as` is put before the command, such as setpriv. */
export function kernelNames(addresses: readonly string[], as: readonly string[] = []) {
  const [program, ...rest] = [...as, DRIVER, "--kernel", ...addresses];
  const out = lines(execFileSync(program!, rest, { encoding: "utf8", maxBuffer: 1 << 28 }));
  return {
    located: JSON.parse(out[0]!).located as Located[],
    names: JSON.parse(out[1]!).names as string[],
  };
}

/** The symbolizer at work on one process: it has located the addresses when `start` resolves. */
export class Naming {
  private seen = 0;
  private constructor(private readonly child: Child) {}

  static async start(
    pid: number,
    addresses: readonly string[],
    options: { startNs?: bigint; alsoPid?: number; records?: readonly string[] } = {},
  ): Promise<Naming & { located: Located[] }> {
    const start = options.startNs === undefined ? [] : ["--start", String(options.startNs)];
    const also = options.alsoPid === undefined ? [] : ["--also", String(options.alsoPid)];
    const command = [DRIVER, "--pid", String(pid), ...start, ...also, "--user", ...addresses];
    if (options.records) command.splice(command.indexOf("--user"), 0, "--records");
    const naming = new Naming(Child.start(command));
    if (options.records) naming.tell(...options.records, "");
    const { located } = await naming.next("located");
    return Object.assign(naming, { located: located as Located[] });
  }

  /** Names of what was located. */
  async names(): Promise<string[]> {
    this.child.write("\n");
    return (await this.next("names")).names as string[];
  }
  /** Places in source text of what was located; names are demangled. */
  async places(): Promise<readonly (readonly Place[])[]> {
    this.child.write("places\n");
    return (await this.next("places")).places as (readonly Place[])[];
  }
  /** Locates the addresses again, after an exec if so told, and names them. */
  async again(after: "locate" | "exec"): Promise<{ located: Located[]; names: string[] }> {
    this.child.write(`${after}\n`);
    const { located } = await this.next("located");
    return { located: located as Located[], names: (await this.next("names")).names as string[] };
  }
  /** Records as the kernel would write them, and "at NS", the time of what is located next (native/symbols/driver_main.cc). */
  tell(...lines: readonly string[]): void {
    for (const line of lines) this.child.write(`${line}\n`);
  }
  async end(): Promise<Stats> {
    this.child.write("end\n");
    return (await this.next("stats")).stats as Stats;
  }
  async stop(): Promise<void> {
    await this.child.stop("SIGKILL");
  }

  private async next(what: string): Promise<Record<string, unknown>> {
    await this.child.until(() => this.child.stdout.split("\n").length > this.seen + 1, 20_000, what);
    return JSON.parse(this.child.stdout.split("\n")[this.seen++]!);
  }
}

/** Compiles named.cc; `flags` come on top of -O1. */
export function compileNamed(to: string, flags: readonly string[] = []): string {
  const source = join(repositoryRoot(), "test/unit/symbols/named.cc");
  execFileSync("g++", ["-std=c++17", "-O1", "-w", "-fcf-protection=none", ...flags, source, "-o", to]);
  return to;
}

/** A running program that printed its addresses (hexadecimal) as one JSON line. */
export async function startNamed(command: readonly string[]) {
  const child = Child.start(command);
  await child.until(() => child.stdout.includes("\n"), 10_000, "addresses");
  return { child, pid: child.pid, at: JSON.parse(child.stdout) as Readonly<Record<string, string>> };
}
