// `lowflame report CAPTURE`: a saved capture through the same model and exports as a live one.
import { realpath, rm } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { CaptureEvent } from "../capture/events.js";
import type { CaptureSink, CliDeps, ModelBuilder } from "./deps.js";
import { CliError, Exit, firstLine, usageError } from "./errors.js";
import { makeCapturePart, writeFailed } from "./output-files.js";
import { type PlannedOutput, planOutputs } from "./outputs.js";
import {
  capturesFirst,
  discardOutputs,
  discardOutputsNow,
  type PreparedOutput,
  prepareOutputs,
  tell,
  writeOutputs,
} from "./results.js";
import { type StopSignal, watchSignals } from "./signals.js";
import { printable, problemText } from "./terminal.js";

export interface ReportOptions {
  readonly output?: readonly string[];
  readonly format?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const EXIT_OF: Readonly<Record<StopSignal, number>> = {
  SIGINT: Exit.interrupted,
  SIGTERM: Exit.terminated,
  SIGHUP: Exit.hangup,
};

/** What a run has made so far, so that all of it can be removed. */
interface Made {
  outputs: PreparedOutput[];
  part: string | undefined;
  sink: CaptureSink | undefined;
  notes: readonly string[];
}

/**
 * Runs the command.
 * @returns the exit code: 0, 7 when the capture was damaged and what is whole was reported, 5 when a result failed
 * @throws CliError CAPTURE_* when nothing can be read, or OUTPUT_NOT_WRITABLE
 */
export async function runReport(capture: string, options: ReportOptions, deps: CliDeps): Promise<number> {
  const made: Made = { outputs: [], part: undefined, sink: undefined, notes: [] };
  // Nothing is lost by stopping here: the capture stays. Only our half-written files have to go.
  const unwatch = watchSignals(deps.signals, {
    onStop: (signal) => {
      discardOutputsNow(made.outputs);
      deps.exitNow(EXIT_OF[signal]);
    },
    onGiveUp: () => deps.exitNow(Exit.interrupted),
  });
  try {
    return await report(resolve(deps.cwd, capture), options, deps, made);
  } catch (error) {
    await made.sink?.close().catch(() => {});
    await discardOutputs(made.outputs);
    throw error;
  } finally {
    unwatch();
    if (made.part !== undefined) await rm(made.part, { force: true }).catch(() => {});
  }
}

async function report(path: string, options: ReportOptions, deps: CliDeps, made: Made): Promise<number> {
  const builder = await deps.createBuilder();
  const damage = await replay(path, builder, options, deps, made);
  const profile = builder.build();
  const findings = tellsFindings(options, made.outputs) ? await deps.analyze(profile) : [];
  const written = await writeOutputs(deps, made.outputs, profile, findings, made.part ?? null);
  const problem = written.problem ?? damage;
  const exitCode = problem?.exitCode ?? Exit.ok;
  const outcome = { tool: "report", profile, findings, files: written.files, problem, exitCode } as const;
  tell(
    deps,
    { ...outcome, childCommand: null, notes: made.notes },
    { json: options.json === true, quiet: options.quiet === true },
  );
  if (problem) {
    deps.terminal.stderr.write(problemText(problem));
  }
  return exitCode;
}

/** Whether anybody will see what was found: it takes as long as a quarter of the rest. */
const tellsFindings = ({ json, quiet }: ReportOptions, outputs: readonly PreparedOutput[]): boolean =>
  json === true || quiet !== true || outputs.some(({ plan }) => plan.format.name === "html");

/** Reads the capture into the model (and into a new capture, when one is asked for). Returns what is damaged. */
async function replay(
  path: string,
  builder: ModelBuilder,
  options: ReportOptions,
  deps: CliDeps,
  made: Made,
): Promise<CliError | null> {
  let damage: CliError | null = null;
  let headers = 0;
  try {
    for await (const event of deps.readCapture(path)) {
      if (event.type === "header" && headers++ === 0) await prepare(path, event, options, deps, made);
      if (event.type === "damage") {
        if (headers === 0) throw new CliError("CAPTURE_UNREADABLE", Exit.badCapture, event.message);
        damage = new CliError(
          "CAPTURE_DAMAGED",
          Exit.damagedCapture,
          event.message,
          "everything whole before the damage is in the report; totals, losses and costs at its end are missing",
        );
      }
      builder.add(event);
      if (event.type !== "damage") await made.sink?.write(event);
    }
    await made.sink?.close();
  } catch (error) {
    throw asReportError(path, error, made);
  }
  if (headers === 0)
    throw new CliError("CAPTURE_EMPTY", Exit.badCapture, `${path}: there is nothing in this capture`);
  return damage;
}

async function prepare(
  path: string,
  header: Extract<CaptureEvent, { type: "header" }>,
  options: ReportOptions,
  deps: CliDeps,
  made: Made,
): Promise<void> {
  const plan = planOutputs({
    files: options.output ?? [],
    format: options.format,
    sources: header.facts.sources,
    cwd: deps.cwd,
    defaultStem: basename(path).replace(/\.lowflame$/i, ""),
  });
  made.notes = plan.notes;
  if (!options.quiet)
    for (const note of plan.notes) deps.terminal.stderr.write(`lowflame: ${printable(note, 4_096)}\n`);
  await refuseOwnInput(path, plan.outputs);
  made.outputs = await prepareOutputs(plan.outputs);
  if (made.outputs.some((output) => output.plan.format.name === "lowflame")) {
    made.part = await makeCapturePart(capturesFirst(made.outputs));
    made.sink = await deps.openCapture(made.part);
  }
}

/** A result over the capture that it is made from would leave neither if something failed half-way. */
async function refuseOwnInput(path: string, outputs: readonly PlannedOutput[]): Promise<void> {
  const input = await realpath(path);
  for (const output of outputs) {
    const target = await realpath(output.path).catch(() => undefined);
    if (target === input)
      throw usageError("SAME_FILE", `-o ${output.path}: this is the capture itself`, "name another file");
  }
}

function asReportError(path: string, error: unknown, made: Made): CliError {
  if (error instanceof CliError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string") {
    return new CliError("INTERNAL", Exit.failure, firstLine(error), "LOWFLAME_DEBUG=1 shows more", {
      cause: error,
    });
  }
  if (code === "CAPTURE_WRITE_FAILED" && made.part !== undefined) return writeFailed(made.part, error);
  const message = firstLine(error);
  return new CliError(code, Exit.badCapture, message.includes(path) ? message : `${path}: ${message}`, "", {
    cause: error,
  });
}
