// The driver of the unwind tables built with AddressSanitizer and UndefinedBehaviorSanitizer, for input that means harm.
import { execFileSync } from "node:child_process";
import { nativeDriver } from "../../support/native-driver.js";
import type { TableFacts } from "./driver.js";

const driver = nativeDriver("unwind", { sanitized: true });
const DRIVER = driver.path;
export const buildSanitizedDriver = driver.build;

/**
 * Facts of each file's table. Throws with the sanitizer's report if memory is misused or leaks, if one allocation or the
 * whole grows beyond `mib`, or if it takes more than 30 s of CPU.
 */
export function tablesSafely(files: readonly string[], mib = 256): TableFacts[] {
  const limits = `max_allocation_size_mb=${mib}:hard_rss_limit_mb=${mib}:detect_leaks=1`;
  const env = { ...process.env, ASAN_OPTIONS: limits, UBSAN_OPTIONS: "print_stacktrace=1" };
  const args = ["--cpu=30", DRIVER, "table", ...files];
  const out = execFileSync("prlimit", args, { encoding: "utf8", env, maxBuffer: 1 << 28, stdio: "pipe" });
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}
