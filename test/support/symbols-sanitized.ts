// The symbolizer's driver built with AddressSanitizer and UndefinedBehaviorSanitizer, for input that means harm.
import { execFileSync } from "node:child_process";
import { nativeDriver } from "./native-driver.js";

const driver = nativeDriver("symbols", { sanitized: true });
const DRIVER = driver.path;
export const buildSanitizedDriver = driver.build;

export interface Harmless {
  readonly parsed: boolean;
  /** Tables of names that are there and were not read. */
  readonly refused: number;
  readonly names: readonly string[];
}

/**
 * The name at one file offset in each file. Throws with the sanitizer's report if memory is misused or leaks, if one
 * allocation or the whole grows beyond 256 MiB, or if it takes more than 30 s of CPU.
 */
export function readSafely(files: readonly string[], offset: number): Harmless[] {
  return eachSafely("--elf-each", files, offset);
}

function eachSafely(mode: string, files: readonly string[], offset: number) {
  const limits = "max_allocation_size_mb=256:hard_rss_limit_mb=256:detect_leaks=1";
  const args = ["--cpu=30", DRIVER, mode, offset.toString(16), ...files];
  const env = { ...process.env, ASAN_OPTIONS: limits, UBSAN_OPTIONS: "print_stacktrace=1" };
  const out = execFileSync("prlimit", args, { encoding: "latin1", env, maxBuffer: 1 << 28, stdio: "pipe" });
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Whether the debug information of each file was refused, and the functions at one file offset, innermost first. */
export function linesSafely(
  files: readonly string[],
  offset: number,
): readonly { readonly refused: boolean; readonly functions: readonly string[] }[] {
  return eachSafely("--lines-each", files, offset).map((row) => ({
    refused: row.refused,
    functions: (row.places[0] as { function: string }[]).map((place) => place.function),
  }));
}

/** Raw bytes of what `--demangle` prints for names that need not be text, under the same limits. */
export function demangleSafely(...names: string[]): string[] {
  const env = { ...process.env, ASAN_OPTIONS: "max_allocation_size_mb=256:detect_leaks=1" };
  const out = execFileSync("prlimit", ["--cpu=30", DRIVER, "--demangle", ...names], {
    encoding: "utf8",
    env,
    stdio: "pipe",
  });
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).name);
}
