// The bench: picks the parts, runs them one after the other, keeps and draws what they found.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildPrograms } from "../test/support/children.js";
import { repositoryRoot } from "../test/support/paths.js";
import { callCost } from "./call-cost.js";
import { drawIntoDocument, loadResult, storeResult } from "./document.js";
import { eventCost } from "./event-cost.js";
import { lockCost } from "./lock-cost.js";
import { describeMachine } from "./machine.js";
import { memory } from "./memory.js";
import { nginxOverhead } from "./nginx-overhead.js";
import { nginxThroughput } from "./nginx-throughput.js";
import type { Part } from "./part.js";
import { sampleCost } from "./sample-cost.js";
import { scriptPart } from "./script-part.js";
import { unwind } from "./unwind.js";

const PARTS: readonly Part<unknown>[] = [
  erase(nginxThroughput),
  erase(nginxOverhead),
  erase(eventCost),
  erase(sampleCost),
  erase(lockCost),
  erase(callCost),
  erase(memory),
  erase(unwind),
  erase(scriptPart("native-throughput")),
  erase(scriptPart("model-throughput")),
  erase(scriptPart("report-size")),
];

const USAGE = `node bench/run.mjs [--quick] [--only NAME]... [--rounds N] [--redraw] [--list]
  --quick   seconds instead of minutes; the figures go to build/bench, not into the documents
  --only    one part (repeatable): ${PARTS.map((p) => p.name).join(", ")}
  --redraw  measure nothing; draw the kept figures into docs/performance.md again
  --rounds  interleaved rounds of each part
Ctrl-C ends after the measurement under way, and keeps what there is.`;

/** Runs the bench; gives the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let values: {
    quick?: boolean;
    only?: string[];
    rounds?: string;
    list?: boolean;
    redraw?: boolean;
    help?: boolean;
  };
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        quick: { type: "boolean" },
        only: { type: "string", multiple: true },
        rounds: { type: "string" },
        list: { type: "boolean" },
        redraw: { type: "boolean" },
        help: { type: "boolean" },
      },
    }));
  } catch (error) {
    return complain((error as Error).message);
  }
  if (values.help) return print(USAGE);
  if (values.list) return print(PARTS.map((p) => p.name).join("\n"));
  const unknown = values.only?.find((name) => !PARTS.some((p) => p.name === name));
  if (unknown) return complain(`There is no part "${unknown}".`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0 && rounds <= 1000))
    return complain(`--rounds wants a whole number from 1 to 1000, not "${values.rounds}".`);
  const root = repositoryRoot();
  const chosen = PARTS.filter((p) => !values.only || values.only.includes(p.name));
  const results = join(root, "bench/results");
  const page = join(root, "docs/performance.md");
  if (values.redraw) {
    for (const part of chosen) drawIntoDocument(page, part, loadResult(results, part.name));
    return 0;
  }
  if (process.geteuid?.() !== 0) return complain("The bench loads BPF programs: run it as root.");

  const quick = values.quick ?? false;
  buildPrograms();
  let failed = 0;
  let stopped = false;
  process.once("SIGINT", () => {
    stopped = true;
    console.error("  ending after the measurement under way; once more ends at once");
  });
  const stopping = () => stopped;
  for (const part of chosen) {
    if (stopped) break;
    const say = (line: string) => console.log(`  ${line}`);
    console.log(part.name);
    try {
      const data = await part.run({ quick, rounds, stopping, say });
      const result = { part: part.name, machine: describeMachine(), data };
      const path = storeResult(quick ? join(root, "build/bench") : results, result);
      if (!quick) drawIntoDocument(page, part, result);
      console.log(`\n${part.render(data)}\n\n-> ${path}\n`);
    } catch (error) {
      failed++;
      console.error(`${part.name} failed: ${(error as Error).message}`);
    }
  }
  if (!quick)
    for (const part of PARTS) if (!loadResult(results, part.name)) drawIntoDocument(page, part, undefined);
  return failed ? 1 : 0;
}

/** Forgets the type of a part's data, which only the part itself looks into. */
function erase<Data>(part: Part<Data>): Part<unknown> {
  return { name: part.name, run: part.run, render: (data) => part.render(data as Data) };
}

function print(text: string): number {
  console.log(text);
  return 0;
}

function complain(text: string): number {
  console.error(`${text}\n${USAGE}`);
  return 2;
}
