// Parts that are scripts of their own: run several times, each prints one line of JSON with named figures at its end.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../test/support/paths.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";

export interface ScriptFigures {
  /** By name as the script prints it: numbers only. */
  readonly figures: Readonly<Record<string, Spread>>;
  readonly failure?: string;
}

/** A part that runs bench/NAME.mjs. */
export function scriptPart(name: string): Part<ScriptFigures> {
  return {
    name,
    async run(options: BenchOptions) {
      const path = join(repositoryRoot(), "bench", `${name}.mjs`);
      if (!existsSync(path)) return { figures: {}, failure: `bench/${name}.mjs is not there` };
      const values = new Map<string, number[]>();
      for (let round = 0; round < (options.rounds ?? (options.quick ? 1 : 3)); round++) {
        if (round > 0 && options.stopping()) break;
        const { status, stdout, stderr } = spawnSync(process.execPath, [path], {
          encoding: "utf8",
          timeout: 300_000,
        });
        const line = stdout?.trim().split("\n").at(-1) ?? "";
        if (status !== 0 || !line.startsWith("{"))
          return {
            figures: {},
            failure: (stderr?.trim() || "it printed no JSON").split("\n").slice(-3).join(" "),
          };
        options.say(line);
        for (const [key, value] of Object.entries(JSON.parse(line) as Record<string, unknown>))
          if (typeof value === "number") values.set(key, [...(values.get(key) ?? []), value]);
      }
      return { figures: Object.fromEntries([...values].map(([key, list]) => [key, spread(list)])) };
    },
    render(data) {
      if (data.failure) return `Not measured: ${data.failure}.`;
      const digits = (s: Spread) => (Math.abs(s.median) < 100 && !Number.isInteger(s.median) ? 2 : 0);
      return table(
        ["figure", "median (lowest to highest)"],
        Object.entries(data.figures).map(([key, s]) => [key, show(s, digits(s))]),
      );
    },
  };
}
