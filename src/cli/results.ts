// The results of `record` and `report`: prepared before the work, written after it, told at the end.
import { stat } from "node:fs/promises";
import type { Finding } from "../analysis/finding.js";
import type { Profile } from "../model/profile.js";
import type { CommandResult } from "./child.js";
import type { CliDeps } from "./deps.js";
import { CliError, Exit, firstLine } from "./errors.js";
import type { FileJson } from "./json.js";
import {
  adoptFile,
  commitFile,
  copyToFile,
  discardFile,
  discardFileNow,
  type PreparedFile,
  prepareFile,
} from "./output-files.js";
import type { PlannedOutput } from "./outputs.js";
import { jsonText, resultJson } from "./result-json.js";
import { summaryLines } from "./summary.js";
import { paletteFor, widthOf } from "./terminal.js";

/** An output that can be written. */
export interface PreparedOutput {
  readonly plan: PlannedOutput;
  readonly file: PreparedFile;
}

/** Prepares all outputs or, when one of them cannot be written, none. */
export async function prepareOutputs(plans: readonly PlannedOutput[]): Promise<PreparedOutput[]> {
  const prepared: PreparedOutput[] = [];
  try {
    for (const plan of plans) prepared.push({ plan, file: await prepareFile(plan.path) });
  } catch (error) {
    await discardOutputs(prepared);
    throw error;
  }
  return prepared;
}

export async function discardOutputs(outputs: readonly PreparedOutput[]): Promise<void> {
  for (const output of outputs) await discardFile(output.file);
}

export function discardOutputsNow(outputs: readonly PreparedOutput[]): void {
  for (const output of outputs) discardFileNow(output.file);
}

/** Outputs in the order in which the streamed capture should lie beside them: a wanted capture is renamed, not copied. */
export function capturesFirst(outputs: readonly PreparedOutput[]): PreparedFile[] {
  const isCapture = (output: PreparedOutput) => output.plan.format.name === "lowflame";
  return [...outputs.filter(isCapture), ...outputs.filter((output) => !isCapture(output))].map((o) => o.file);
}

export interface WrittenResults {
  readonly files: readonly FileJson[];
  /** First failure; the other outputs are written all the same, they may lie on another disk. */
  readonly problem: CliError | null;
  /** The streamed capture has become one of the results. */
  readonly captureAdopted: boolean;
}

/**
 * Writes every output.
 * @param capture path of the whole streamed capture, null when it is not whole: captures are not written then
 */
export async function writeOutputs(
  deps: Pick<CliDeps, "render">,
  outputs: readonly PreparedOutput[],
  profile: Profile,
  findings: readonly Finding[],
  capture: string | null,
): Promise<WrittenResults> {
  const files: FileJson[] = [];
  let problem: CliError | null = null;
  let whole = capture;
  let captureAdopted = false;
  for (const { plan, file } of outputs) {
    try {
      if (plan.format.name !== "lowflame") {
        await commitFile(
          file,
          await deps.render(plan.format.name, profile, findings, plan.source ?? plan.table),
        );
      } else if (whole === null) {
        await discardFile(file);
        continue;
      } else if (captureAdopted || file.partPath === null) {
        await copyToFile(file, whole);
      } else {
        await adoptFile(file, whole);
        whole = file.realPath;
        captureAdopted = true;
      }
      const bytes = file.partPath === null ? null : (await stat(file.realPath)).size;
      const { source = null, table = null } = plan;
      files.push({ path: plan.path, format: plan.format.name, source, table, bytes });
    } catch (error) {
      await discardFile(file);
      problem ??= asOutputError(plan.path, error);
    }
  }
  return { files, problem, captureAdopted };
}

function asOutputError(path: string, error: unknown): CliError {
  if (error instanceof CliError) return error;
  return new CliError("EXPORT_FAILED", Exit.failure, `${path}: ${firstLine(error)}`, "", { cause: error });
}

export interface Outcome {
  readonly tool: "record" | "report";
  readonly profile: Profile;
  readonly findings: readonly Finding[];
  readonly files: readonly FileJson[];
  readonly problem: CliError | null;
  readonly exitCode: number;
  readonly childCommand: CommandResult | null;
  readonly notes: readonly string[];
}

/** Prints the end of a command: JSON, paths only, or the summary. Where a result goes to stdout, the text does not. */
export function tell(
  deps: Pick<CliDeps, "terminal">,
  outcome: Outcome,
  style: { readonly json: boolean; readonly quiet: boolean },
): void {
  const { stdout, stderr, env } = deps.terminal;
  if (style.json) {
    stdout.write(jsonText(resultJson(outcome.profile, outcome.findings, outcome)));
    return;
  }
  const stream = outcome.files.some((file) => file.bytes === null) ? stderr : stdout;
  if (style.quiet) {
    stream.write(outcome.files.map((file) => `${file.path}\n`).join(""));
    return;
  }
  const lines = summaryLines(outcome.profile, outcome.findings, {
    files: outcome.files,
    childCommand: outcome.childCommand,
    palette: paletteFor(stream, env),
    width: widthOf(stream),
  });
  stream.write(`${lines.join("\n")}\n`);
}
