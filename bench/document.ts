// Keeps each part's latest figures as JSON (bench/results/NAME.json) and draws them into docs/performance.md, between
// the markers <!-- bench:NAME --> and <!-- /bench:NAME -->. The text around the markers is written by hand.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Machine, renderMachine } from "./machine.js";
import type { Part } from "./part.js";

export interface StoredResult {
  readonly part: string;
  readonly machine: Machine;
  readonly data: unknown;
}

/** Writes the JSON file; gives its path. */
export function storeResult(dir: string, result: StoredResult): string {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, `${result.part}.json`);
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  return path;
}

/** The kept figures of a part, or nothing where it was never measured. */
export function loadResult(dir: string, part: string): StoredResult | undefined {
  const path = join(dir, `${part}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as StoredResult) : undefined;
}

/**
 * Replaces the part's section of the document; without a result the section says that there is none, since an empty one
 * reads like an oversight. An error tells when the markers are missing.
 */
export function drawIntoDocument(path: string, part: Part<unknown>, result: StoredResult | undefined): void {
  const open = `<!-- bench:${part.name} -->`;
  const close = `<!-- /bench:${part.name} -->`;
  const text = readFileSync(path, "utf8");
  const from = text.indexOf(open);
  const to = text.indexOf(close);
  if (from < 0 || to < from)
    throw new Error(`${path} has no place for "${part.name}": add ${open} and ${close}.`);
  const body = result
    ? `\n${renderMachine(result.machine)}\n\n${part.render(result.data)}\n`
    : `\nNot measured yet: \`npm run bench -- --only ${part.name}\` does.\n`;
  writeFileSync(path, text.slice(0, from + open.length) + body + text.slice(to));
}
