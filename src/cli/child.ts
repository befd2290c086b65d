// The command after `--`: found before the recording, started when events flow, waited for, its exit code passed on.
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { delimiter, resolve } from "node:path";
import { CliError, Exit, systemReason } from "./errors.js";

/** How a command ended, as a shell counts: its exit code, or 128 + the number of the signal that ended it. */
export interface CommandResult {
  readonly command: readonly string[];
  readonly exitCode: number;
  readonly signal: string | null;
}

/**
 * Finds the file that a command would run.
 * @throws CliError COMMAND_NOT_FOUND (127), COMMAND_NOT_EXECUTABLE (126), as shells count
 */
export function findCommand(name: string, cwd: string, path: string): string {
  const places = name.includes("/") ? [cwd] : path.split(delimiter).filter((dir) => dir !== "");
  let present: string | undefined;
  for (const dir of places) {
    const file = resolve(dir, name);
    try {
      if (!statSync(file).isFile()) continue;
      present = file;
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not here, or not executable: the next directory may have it
    }
  }
  if (present !== undefined) {
    throw new CliError(
      "COMMAND_NOT_EXECUTABLE",
      Exit.commandNotExecutable,
      `${present}: this file is not executable`,
      `chmod +x ${present}, or name its interpreter: -- sh ${name}`,
    );
  }
  throw new CliError(
    "COMMAND_NOT_FOUND",
    Exit.commandNotFound,
    `${name}: there is no such command`,
    name.includes("/") ? "check the path" : "under sudo PATH is another one; give the whole path",
  );
}

/** A running command. */
export interface RunningCommand {
  readonly pid: number | undefined;
  /** Resolves when it has ended; never rejects. */
  readonly ended: Promise<CommandResult>;
  forward(signal: NodeJS.Signals): void;
}

/**
 * Starts the command with our standard input and error.
 * @param stdoutTo "own": our standard output; "stderr": our standard error, where stdout is kept for JSON
 */
export function startCommand(
  command: readonly string[],
  options: {
    readonly file: string;
    readonly cwd: string;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly stdoutTo: "own" | "stderr";
  },
): RunningCommand {
  const child: ChildProcess = spawn(options.file, command.slice(1), {
    argv0: command[0] ?? options.file,
    cwd: options.cwd,
    env: { ...options.env },
    stdio: ["inherit", options.stdoutTo === "own" ? "inherit" : 2, "inherit"],
  });
  const ended = new Promise<CommandResult>((settle) => {
    child.once("error", (error) => {
      // Found and executable, but the kernel refused it (a bad interpreter line, a foreign architecture).
      process.stderr.write(`lowflame: ${command[0]}: could not be started, ${systemReason(error)}\n`);
      settle({ command, exitCode: Exit.commandNotExecutable, signal: null });
    });
    child.once("exit", (code, signal) => {
      const number = signal ? (osConstants.signals[signal] ?? 0) : 0;
      settle({ command, exitCode: code ?? 128 + number, signal });
    });
  });
  return {
    pid: child.pid,
    ended,
    forward: (signal) => {
      child.kill(signal);
    },
  };
}
