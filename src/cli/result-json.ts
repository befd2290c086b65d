// Builds the `--json` document of a recording or report from the profile. Pure.
import type { Finding } from "../analysis/finding.js";
import type { Profile } from "../model/profile.js";
import { userStackEnd } from "../model/user-stacks.js";
import type { CommandResult } from "./child.js";
import { digest } from "./digest.js";
import { CliError, Exit, firstLine } from "./errors.js";
import {
  type ErrorBody,
  type FailureJson,
  type FileJson,
  JSON_VERSION,
  type ResultJson,
  type UserStackWalksJson,
} from "./json.js";

export interface ResultContext {
  readonly tool: "record" | "report";
  readonly exitCode: number;
  readonly problem: CliError | null;
  readonly files: readonly FileJson[];
  readonly childCommand: CommandResult | null;
  readonly notes: readonly string[];
}

/** @returns the document; arrays are copies of nothing, so print it before the profile changes */
export function resultJson(
  profile: Profile,
  findings: readonly Finding[],
  context: ResultContext,
): ResultJson {
  const { facts, start } = profile;
  return {
    version: JSON_VERSION,
    tool: context.tool,
    ok: context.problem === null,
    exitCode: context.exitCode,
    error: context.problem && errorBody(context.problem),
    recording: {
      startedAt: startedAt(profile),
      durationNs: profile.durationNs,
      endReason: facts.endReason,
      complete: profile.final !== null,
      toolVersion: facts.toolVersion,
      host: facts.host,
      command: facts.command,
      sources: facts.sources,
      frequencyHz: facts.frequencyHz,
      cpuEvent: start.cpuEvent,
      filters: facts.filters,
    },
    findings,
    // Locks and sockets are whole: the tables of the BPF programs bound them.
    ...digest(profile, 20, Number.POSITIVE_INFINITY),
    userStacks: {
      total: profile.userStacks.total,
      truncated: profile.userStacks.truncated,
      walks: walksJson(profile),
    },
    losses: profile.final?.losses ?? [],
    notes: [...new Set([...profile.notes, ...start.notes, ...context.notes])],
    files: context.files,
    childCommand: context.childCommand,
  };
}

/** Start of the recording, ISO 8601 in UTC with milliseconds. */
export const startedAt = (profile: Profile): string =>
  new Date(Number(profile.start.startWallNs / 1_000_000n)).toISOString();

function walksJson(profile: Profile): UserStackWalksJson | null {
  const { ends, cutPrograms } = profile.userStacks;
  const walks = profile.final?.userStacks;
  if (!walks) return null;
  const named = <Row extends { readonly end: number }>(row: Row) => ({ ...row, end: userStackEnd(row.end) });
  return { ...walks, ends: ends.map(named), cutPrograms: cutPrograms.map(named) };
}

/** The document of a command that failed without a result. */
export function failureJson(tool: string, error: unknown): FailureJson {
  const exitCode = error instanceof CliError ? error.exitCode : Exit.failure;
  return { version: JSON_VERSION, tool, ok: false, exitCode, error: errorBody(error) };
}

function errorBody(error: unknown): ErrorBody {
  return error instanceof CliError
    ? { code: error.code, message: error.message, hint: error.hint }
    : { code: "INTERNAL", message: firstLine(error), hint: "" };
}

/** One JSON document; 64-bit values, where there are any, are written as decimal strings. */
export const jsonText = (value: unknown): string =>
  `${JSON.stringify(value, (_, field: unknown) => (typeof field === "bigint" ? field.toString() : field), 2)}\n`;
