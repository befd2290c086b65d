// The files of this repository as git knows them, for the tests that hold the repository itself to its rules.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Top of the checkout. */
export const ROOT = resolve(fileURLToPath(new URL("../../..", import.meta.url)));

/** Paths below ROOT of the tracked files that are there. Throws when git cannot list them. */
export function trackedFiles(): string[] {
  const listed = execFileSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" });
  return listed.split("\0").filter((path) => path !== "" && existsSync(join(ROOT, path)));
}

/** Content of a tracked file, or undefined when it is not text (it holds a zero byte). */
export function textOf(path: string): string | undefined {
  const bytes = readFileSync(join(ROOT, path));
  return bytes.includes(0) ? undefined : bytes.toString("utf8");
}
