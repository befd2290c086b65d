// The command line as commander sees it: commands, options, help with examples; and the one place where errors end.
import { Command, CommanderError } from "commander";
import { SOURCES } from "../capture/binding.js";
import { FORMATS } from "../export/index.js";
import type { CliDeps } from "./deps.js";
import { runDoctor } from "./doctor.js";
import { CliError, Exit, firstLine } from "./errors.js";
import {
  DEFAULT_DURATION,
  DEFAULT_FREQUENCY,
  DEFAULT_SOURCES,
  DEFAULT_USER_STACKS,
  MAX_FREQUENCY,
  MIN_FREQUENCY,
} from "./options.js";
import { runRecord } from "./record.js";
import type { RecordOptions } from "./record-plan.js";
import { type ReportOptions, runReport } from "./report.js";
import { failureJson, jsonText } from "./result-json.js";
import { paletteFor, printable } from "./terminal.js";

const FORMAT_HELP = `Formats, by the end of the file name or --format:
${FORMATS.map((format) => `  ${format.extension.padEnd(17)} ${format.name.padEnd(11)} ${format.description}`).join("\n")}
A .folded or .pb.gz file holds one source: with several there is one file each (out.cpu.pb.gz, out.offcpu.pb.gz).
A .csv file holds one table: out.csv gives out.calls.csv, out.endpoints.csv, out.tcp.csv and
out.slow.csv; or name one of them.`;

const RECORD_HELP = `
${FORMAT_HELP}

After -- a command may follow. The recording starts, then the command; it ends with the command (or with -d).
What is recorded is the whole machine all the same, unless filters say otherwise: a slow command is often slow
because of its neighbours. lowflame then exits with the command's exit code.

Ctrl-C ends the recording early and keeps what was recorded. A second Ctrl-C gives up.

Examples:
  sudo lowflame record                                 10 s of the whole machine, report in this directory
  sudo lowflame record -d 1m -F 199 --comm nginx       one minute of all processes named nginx
  sudo lowflame record --pid 4711 -o slow.html -o slow.lowflame
  sudo lowflame record --what cpu -o cpu.pb.gz         for go tool pprof
  sudo lowflame record --what cpu,locks -o locks.html  also which kernel locks are waited for, who waits, who holds
  sudo lowflame record --what futex --pid 4711         which locks of its own the threads of a process wait for
  sudo lowflame record --what cpu,sockets --comm nginx which upstream is slow, or is it nginx, or the kernel
  sudo lowflame record --what sockets -o calls.csv     socket calls, endpoints and slow calls as tables
  sudo lowflame record --what cpu,offcpu,locks,futex,sockets    all of it: for a machine that is slow with idle CPUs
  sudo lowflame record --cpu 0-3 --json -q -o r.html   for scripts
  sudo lowflame record -o build.html -- make -j8       while a command runs`;

const REPORT_HELP = `
${FORMAT_HELP}

Without -o the report is the capture's name with .html, in this directory.

Examples:
  lowflame report slow.lowflame -o slow.html
  lowflame report slow.lowflame -o slow.speedscope.json -o slow.folded
  lowflame report slow.lowflame -o slow.endpoints.csv
  lowflame report slow.lowflame --json -o slow.html | jq '.findings[].title'`;

const DOCTOR_HELP = `
Exits with 0 only if "lowflame record" will work here.

Examples:
  sudo lowflame doctor
  sudo lowflame doctor --json | jq '.rows[] | select(.status != "ok")'`;

const collect = (value: string, before: string[] = []): string[] => [...before, value];

/** What a run of the command line leaves: its exit code. */
interface Ended {
  exitCode: number;
}

function buildProgram(
  deps: CliDeps,
  argv: readonly string[],
  command: readonly string[] | null,
  ended: Ended,
): Command {
  const program = new Command("lowflame");
  const { stdout, stderr, env } = deps.terminal;
  program
    .description(
      "Low-overhead eBPF profiler: where CPU time goes and what threads wait for, with findings in plain words.",
    )
    .version(deps.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      // Errors are printed in one place, at the end; commander's help for a missing command comes this way too.
      writeErr: (text) => stderr.write(text),
      outputError: () => {},
      getOutHasColors: () => paletteFor(stdout, env).bold("x") !== "x",
      getErrHasColors: () => paletteFor(stderr, env).bold("x") !== "x",
    })
    .addHelpText(
      "after",
      "\nStart with: sudo lowflame doctor, then sudo lowflame record\nEach command has examples: lowflame record --help",
    );

  program
    .command("record")
    .description("record this machine and write a report")
    .usage("[options] [-- COMMAND…]")
    .option(
      "-d, --duration <time>",
      `how long: 10s, 500ms, 2m (default ${DEFAULT_DURATION}; with COMMAND: until it ends)`,
    )
    .option(
      "-F, --frequency <hz>",
      `CPU samples a second on each CPU, ${MIN_FREQUENCY} to ${MAX_FREQUENCY}`,
      DEFAULT_FREQUENCY,
    )
    .option("--pid <pid>", "only this process (repeatable); ends when all of them have ended", collect)
    .option("--comm <name>", "only processes of this name, as in /proc/PID/comm (repeatable)", collect)
    .option("--cgroup <path>", "only this cgroup v2 directory and those below it (repeatable)", collect)
    .option("--cpu <list>", "only these CPUs: 0-3,8")
    .option(
      "--what <sources>",
      `what to record, separated by commas: ${SOURCES.join(", ").replace("futex", "futex (user locks)")}`,
      DEFAULT_SOURCES.join(","),
    )
    .option(
      "--user-stacks <how>",
      "walk user stacks by unwind tables (unwind), or by frame pointer alone (frame-pointers)",
      DEFAULT_USER_STACKS,
    )
    .option(
      "-o, --output <file>",
      "result file (repeatable; default lowflame-<host>-<UTC time>.html)",
      collect,
    )
    .option("--format <name>", "format of the result files, whatever their names")
    .option("--json", "print one JSON document to standard output (docs/json.md)")
    .option("-q, --quiet", "no progress, no summary: only the names of the files written")
    .option("--verbose", "say more: what is attached, what names took")
    .addHelpText("after", RECORD_HELP)
    .action(async (options: RecordOptions) => {
      ended.exitCode = await runRecord(options, command, argv, deps);
    });

  program
    .command("report <capture>")
    .description("write reports from a saved capture (.lowflame), on any machine")
    .option("-o, --output <file>", "result file (repeatable)", collect)
    .option("--format <name>", "format of the result files, whatever their names")
    .option("--json", "print one JSON document to standard output (docs/json.md)")
    .option("-q, --quiet", "no summary: only the names of the files written")
    .addHelpText("after", REPORT_HELP)
    .action(async (capture: string, options: ReportOptions) => {
      ended.exitCode = await runReport(capture, options, deps);
    });

  program
    .command("doctor")
    .description("what this kernel and this user allow, and the remedy for what is missing")
    .option("--json", "print one JSON document to standard output (docs/json.md)")
    .addHelpText("after", DOCTOR_HELP)
    .action((options: { json?: boolean }) => {
      ended.exitCode = runDoctor(options, deps);
    });
  return program;
}

/**
 * Runs one command line. Never throws: every failure becomes one line, a hint and an exit code.
 * @param argv arguments after the program's name
 */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  // What follows -- belongs to the command and is none of commander's business.
  const dashes = argv[0] === "record" ? argv.indexOf("--") : -1;
  const own = dashes < 0 ? argv : argv.slice(0, dashes);
  const command = dashes < 0 ? null : argv.slice(dashes + 1);
  const ended: Ended = { exitCode: Exit.ok };
  try {
    await buildProgram(deps, argv, command, ended).parseAsync(own, { from: "user" });
    return ended.exitCode;
  } catch (error) {
    return tellError(error, own, deps);
  }
}

function tellError(error: unknown, argv: readonly string[], deps: CliDeps): number {
  if (error instanceof CommanderError && error.exitCode === 0) return Exit.ok; // --help, --version
  const { stdout, stderr, env } = deps.terminal;
  const failure = error instanceof CommanderError ? fromCommander(error, argv) : error;
  if (failure === null) return Exit.usage; // help was shown instead of an error
  const message = firstLine(failure);
  const hint =
    failure instanceof CliError ? failure.hint : "this is a fault in lowflame; LOWFLAME_DEBUG=1 shows where";
  const palette = paletteFor(stderr, env);
  const lines = `${palette.red("lowflame:")} ${printable(message, 4_096)}\n`;
  stderr.write(hint ? `${lines}  ${printable(hint, 4_096)}\n` : lines);
  if (env.LOWFLAME_DEBUG === "1" && failure instanceof Error) {
    const cause = failure.cause instanceof Error ? `\ncaused by ${failure.cause.stack}` : "";
    stderr.write(`${failure.stack}${cause}\n`);
  }
  if (argv.includes("--json")) stdout.write(jsonText(failureJson(argv[0] ?? "", failure)));
  return failure instanceof CliError ? failure.exitCode : Exit.failure;
}

/** commander's sentences start with "error: " and may carry a suggestion on a second line. */
function fromCommander(error: CommanderError, argv: readonly string[]): CliError | null {
  if (error.code === "commander.help") return null;
  const [sentence, suggestion] = error.message.replace(/^error: /, "").split("\n", 2);
  const word = argv.find((arg) => !arg.startsWith("-"));
  const extra = error.code === "commander.excessArguments" && argv[0] === "record";
  const hint = extra
    ? "to record while a command runs write it after --, like: lowflame record -- make"
    : (suggestion?.replace(/[()]/g, "") ??
      `lowflame ${word && error.code !== "commander.unknownCommand" ? `${word} ` : ""}--help shows what there is`);
  return new CliError("USAGE", Exit.usage, sentence ?? "the command line is not understood", hint);
}
