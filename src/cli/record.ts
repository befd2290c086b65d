// `lowflame record`: from the plan to the results. Whatever ends the recording, what was captured is kept.
import { rm, stat } from "node:fs/promises";
import type { LiveCounts, NameFacts, NativeBinding } from "../capture/binding.js";
import type { CaptureEvent } from "../capture/events.js";
import { type LiveResult, recordLive, StopRequest } from "../capture/live.js";
import { type CommandResult, type RunningCommand, startCommand } from "./child.js";
import type { CaptureSink, CliDeps, ModelBuilder } from "./deps.js";
import { CliError, Exit, errorCode, firstLine } from "./errors.js";
import { count, plural, size } from "./figures.js";
import type { FileJson } from "./json.js";
import { makeCapturePart, writeFailed } from "./output-files.js";
import { type Progress, showProgress } from "./progress.js";
import { planRecord, type RecordOptions, type RecordPlan } from "./record-plan.js";
import {
  capturesFirst,
  discardOutputs,
  discardOutputsNow,
  type PreparedOutput,
  prepareOutputs,
  tell,
  writeOutputs,
} from "./results.js";
import { END_REASON, EXIT_AFTER, type StopSignal, watchSignals } from "./signals.js";
import { watchTargets } from "./targets.js";
import { printable, problemText } from "./terminal.js";

/**
 * Runs the command.
 * @param command what stood after `--`, null without `--`
 * @param argv the whole command line, for the record
 * @returns the exit code
 * @throws CliError when nothing was recorded or no result could be written
 */
export async function runRecord(
  options: RecordOptions,
  command: readonly string[] | null,
  argv: readonly string[],
  deps: CliDeps,
): Promise<number> {
  const plan = planRecord(options, command, argv, deps);
  const outputs = await prepareOutputs(plan.outputs);
  let part: string;
  try {
    part = await makeCapturePart(capturesFirst(outputs));
  } catch (error) {
    await discardOutputs(outputs);
    throw error;
  }
  const run = new RecordRun(options, plan, outputs, part, deps);
  return await run.run();
}

/** One recording in progress: the state that signals, timers and the consumer share. */
class RecordRun {
  readonly #stop = new StopRequest();
  #signal: StopSignal | undefined;
  #progress: Progress | undefined;
  #child: RunningCommand | undefined;
  #childResult: CommandResult | null = null;
  #captureProblem: CliError | null = null;
  #captured = false;
  #results: readonly FileJson[] | undefined;
  readonly #cleanups: (() => void)[] = [];

  constructor(
    readonly options: RecordOptions,
    readonly plan: RecordPlan,
    readonly outputs: readonly PreparedOutput[],
    readonly part: string,
    readonly deps: CliDeps,
  ) {}

  async run(): Promise<number> {
    const unwatch = watchSignals(this.deps.signals, {
      onStop: (signal) => this.#onSignal(signal),
      onGiveUp: () => this.#giveUp(),
    });
    try {
      for (const note of this.plan.notes) this.#say(note);
      return await this.#record();
    } finally {
      unwatch();
    }
  }

  async #record(): Promise<number> {
    const { deps, part } = this;
    const builder = await deps.createBuilder();
    let sink: CaptureSink | undefined;
    let result: LiveResult | undefined;
    try {
      const binding = deps.loadBinding();
      sink = await deps.openCapture(part);
      result = await this.#live(binding, sink, builder);
    } catch (error) {
      throw await this.#failed(error, sink);
    }
    await this.#closeCapture(sink);
    if (result === undefined) {
      await this.#discardAll();
      const exitCode = this.#signal === "SIGINT" ? Exit.interrupted : EXIT_AFTER[this.#signal ?? "SIGTERM"];
      throw new CliError("INTERRUPTED", exitCode, "interrupted before anything was recorded");
    }
    try {
      return await this.#finish(builder);
    } catch (error) {
      throw await this.#failed(error, undefined);
    }
  }

  async #live(
    binding: NativeBinding,
    sink: CaptureSink,
    builder: ModelBuilder,
  ): Promise<LiveResult | undefined> {
    const { plan, deps } = this;
    try {
      return await recordLive({
        binding,
        config: plan.config,
        facts: plan.facts,
        stop: this.#stop,
        consume: (event) => this.#consume(event, sink, builder),
        onActive: (start, session) => {
          if (this.options.verbose) {
            const programs = start.programs.map((program) => `${program.name} on ${program.attachedTo}`);
            this.#say(`recording; ${plural(programs.length, "program")}: ${programs.join(", ")}`);
          }
          this.#startClock(() => session.liveCounts());
          this.#cleanups.push(
            watchTargets(plan.targets, deps.system, () => this.#stop.request("target exited")),
          );
          this.#startCommand();
        },
      });
    } finally {
      for (const cleanup of this.#cleanups) cleanup();
    }
  }

  /** The model gets each event even when the disk is full: its reports may go to another one. */
  async #consume(event: CaptureEvent, sink: CaptureSink, builder: ModelBuilder): Promise<void> {
    this.#captured = true;
    builder.add(event);
    if (this.#captureProblem) return;
    try {
      await sink.write(event);
    } catch (error) {
      this.#noteCaptureProblem(error);
      this.#stop.request(`error: ${this.#captureProblem!.message}`);
    }
  }

  #noteCaptureProblem(error: unknown): void {
    // The writer's own errors carry the system's code beside their own.
    const systemCode = (error as { systemCode?: unknown } | null)?.systemCode;
    const cause =
      typeof systemCode === "string"
        ? Object.assign(new Error(firstLine(error)), { code: systemCode })
        : error;
    this.#captureProblem ??= writeFailed(this.part, cause);
  }

  async #closeCapture(sink: CaptureSink | undefined): Promise<void> {
    try {
      await sink?.close();
    } catch (error) {
      this.#noteCaptureProblem(error);
    }
  }

  #startClock(counts: () => LiveCounts): void {
    const { durationMs } = this.plan;
    const { stderr } = this.deps.terminal;
    const quiet = this.options.quiet === true;
    if (durationMs !== undefined) {
      const timer = setTimeout(() => this.#stop.request("duration"), durationMs);
      this.#cleanups.push(() => clearTimeout(timer));
    }
    // The terminal belongs to the command while one runs.
    const style = quiet || this.plan.command ? "none" : stderr.isTTY ? "bar" : "lines";
    this.#progress = showProgress({ stream: stderr, style, totalMs: durationMs, counts });
    this.#cleanups.push(() => this.#progress?.stop());
  }

  #startCommand(): void {
    const { command } = this.plan;
    if (!command) return;
    const { cwd, terminal } = this.deps;
    const child = startCommand(command.argv, {
      file: command.file,
      cwd,
      env: terminal.env,
      stdoutTo: this.options.json ? "stderr" : "own",
    });
    this.#child = child;
    child.ended.then((result) => {
      this.#childResult = result;
      this.#stop.request("command exited");
    });
  }

  #onSignal(signal: StopSignal): void {
    this.#signal = signal;
    // A terminal sends Ctrl-C to the command itself; every other signal reached only us.
    if (signal !== "SIGINT" || !this.#onTerminal()) this.#child?.forward(signal);
    this.#stop.request(END_REASON[signal]);
  }

  /** Field 7 of /proc/self/stat (tty_nr, proc(5)) is 0 without a controlling terminal. */
  #onTerminal(): boolean {
    const stat = this.deps.system.readText("/proc/self/stat") ?? "";
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[4] !== "0";
  }

  #giveUp(): void {
    this.#progress?.stop();
    discardOutputsNow(this.outputs);
    this.deps.terminal.stderr.write(`lowflame: given up; ${this.#whereItIs()}\n`);
    this.deps.exitNow(Exit.interrupted);
  }

  #whereItIs(): string {
    if (this.#results) {
      const files = this.#results.map((file) => file.path).join(", ");
      return `the command is left running; written: ${printable(files, 4_096) || "nothing"}`;
    }
    if (!this.#captured) return "nothing was recorded";
    return `what reached the disk is in ${this.part} (lowflame report reads it)`;
  }

  async #finish(builder: ModelBuilder): Promise<number> {
    const { deps, outputs, part } = this;
    const profile = builder.build();
    const findings = await deps.analyze(profile);
    const whole = this.#captureProblem === null ? part : null;
    const written = await writeOutputs(deps, outputs, profile, findings, whole);
    let problem = this.#captureProblem ?? written.problem;
    if (problem) problem = await this.#keptIn(problem, written.captureAdopted);
    else if (!written.captureAdopted) await rm(part, { force: true });

    this.#results = written.files;
    const childCommand = await this.#waitForCommand();
    const exitCode = problem?.exitCode ?? (this.#signal && EXIT_AFTER[this.#signal]) ?? Exit.ok;
    const code = exitCode === Exit.ok && childCommand ? childCommand.exitCode : exitCode;
    const outcome = {
      tool: "record",
      profile,
      findings,
      files: written.files,
      problem,
      childCommand,
    } as const;
    tell(deps, { ...outcome, exitCode: code, notes: this.plan.notes }, this.#style());
    if (this.options.verbose && profile.final?.names) this.#say(namesLine(profile.final.names));
    if (problem) this.#complain(problem);
    return code;
  }

  /** Adds to a failure where the capture is, so that nothing has to be recorded again. */
  async #keptIn(problem: CliError, adopted: boolean): Promise<CliError> {
    const bytes = await stat(this.part).then(
      (found) => found.size,
      () => 0,
    );
    let hint = problem.hint;
    if (bytes > 0)
      hint = `what was recorded is kept in ${this.part}; reports are made from it with: lowflame report ${this.part} -o FILE`;
    else if (!adopted) await rm(this.part, { force: true });
    return new CliError(problem.code, problem.exitCode, problem.message, hint, { cause: problem });
  }

  async #waitForCommand(): Promise<CommandResult | null> {
    if (!this.#child || this.#childResult) return this.#childResult;
    const pid = this.#child.pid === undefined ? "" : ` (pid ${this.#child.pid})`;
    if (!this.options.quiet)
      this.#say(`the recording has ended; waiting for the command${pid} to end as well`);
    return await this.#child.ended;
  }

  /** After an exception: everything that was made is removed, but a capture with something in it is kept and named. */
  async #failed(error: unknown, sink: CaptureSink | undefined): Promise<CliError> {
    await this.#closeCapture(sink);
    if (!this.#childResult) this.#child?.forward("SIGTERM");
    if (!this.#captured) {
      await this.#discardAll();
      return asRecordError(error);
    }
    await discardOutputs(this.outputs);
    return await this.#keptIn(asRecordError(error), false);
  }

  async #discardAll(): Promise<void> {
    await discardOutputs(this.outputs);
    await rm(this.part, { force: true }).catch(() => {});
  }

  #style() {
    return { json: this.options.json === true, quiet: this.options.quiet === true };
  }

  #complain(problem: CliError): void {
    this.deps.terminal.stderr.write(problemText(problem));
  }

  #say(text: string): void {
    if (this.options.quiet) return;
    this.deps.terminal.stderr.write(`lowflame: ${printable(text, 4_096)}\n`);
  }
}

/** The addon's errors have a code and say what to do; they become one line here. */
const namesLine = ({ found, missing, files, cacheBytes }: NameFacts): string =>
  `names: ${count(found)} found, ${count(missing)} not; ${plural(files, "file")} opened, tables of ${size(cacheBytes)}`;

function asRecordError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const code = errorCode(error);
  return code === ""
    ? new CliError("INTERNAL", Exit.failure, firstLine(error), "LOWFLAME_DEBUG=1 shows more", {
        cause: error,
      })
    : new CliError(code, Exit.cannotRecord, firstLine(error), "lowflame doctor shows what is missing here", {
        cause: error,
      });
}
