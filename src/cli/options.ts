// Values of command-line options: text in, checked value out, or a CliError that says what was wrong and what is right.
import { SOURCES, type SourceName } from "../capture/binding.js";
import { type Hertz, hertz, type Milliseconds, ms } from "../model/units.js";
import { usageError } from "./errors.js";
import { closest } from "./suggest.js";

export const DEFAULT_DURATION = "10s";
export const DEFAULT_FREQUENCY = "99";
/** What is recorded without --what. Locks are asked for by name: not every kernel has the tracepoints for them. */
export const DEFAULT_SOURCES: readonly SourceName[] = ["cpu", "offcpu"];
/** How user stacks are walked. */
export const USER_STACKS = ["unwind", "frame-pointers"] as const;
export const DEFAULT_USER_STACKS = "unwind";
export const MIN_FREQUENCY = 1;
export const MAX_FREQUENCY = 9_999;
/** A shorter recording holds less than one timer tick at 99 Hz. */
const MIN_DURATION_MS = 10;
const MAX_DURATION_MS = 24 * 3_600_000;
/** Names in the kernel have 16 bytes, the last one is NUL (TASK_COMM_LEN). */
export const COMM_BYTES = 15;
/** PID_MAX_LIMIT of 64-bit kernels. */
const MAX_PID = 4_194_304;
const MAX_CPU = 8_191; // NR_CPUS limit of x86 kernels (MAXSMP)

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 };

/** "10s", "500ms", "1.5m", "1h"; a bare number is seconds. */
export function parseDuration(text: string): Milliseconds {
  const example = "write it like 10s, 500ms or 2m";
  const match = /^\+?(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  if (!match) throw usageError("BAD_DURATION", `-d ${text}: this is not a duration`, example);
  const scale = UNIT_MS[match[2]!.toLowerCase() || "s"];
  if (scale === undefined) {
    throw usageError("BAD_DURATION", `-d ${text}: "${match[2]}" is not a unit of time`, example);
  }
  const value = Math.round(Number(match[1]) * scale);
  if (value < MIN_DURATION_MS || value > MAX_DURATION_MS) {
    throw usageError(
      "BAD_DURATION",
      `-d ${text}: a recording lasts from ${MIN_DURATION_MS}ms to 24h`,
      example,
    );
  }
  return ms(value);
}

/** Samples a second on each CPU, 1 to 9,999. */
export function parseFrequency(text: string): Hertz {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value >= MIN_FREQUENCY && value <= MAX_FREQUENCY)) {
    throw usageError(
      "BAD_FREQUENCY",
      `-F ${text}: the frequency is a whole number of samples a second from 1 to 9999`,
      "99 is a good choice: it does not run in step with timers",
    );
  }
  return hertz(value);
}

/** "cpu,offcpu" -> sources in the order of SOURCES, each once. */
export function parseSources(text: string): SourceName[] {
  const asked = splitList(text);
  if (asked.length === 0) {
    throw usageError("NO_SOURCE", "--what names nothing to record", `known: ${SOURCES.join(", ")}`);
  }
  for (const name of asked) {
    if ((SOURCES as readonly string[]).includes(name)) continue;
    const near = closest(name, SOURCES);
    throw usageError(
      "UNKNOWN_SOURCE",
      `--what ${name}: there is no source of that name`,
      `known: ${SOURCES.join(", ")}${near ? `; did you mean ${near}?` : ""}`,
    );
  }
  return SOURCES.filter((name) => asked.includes(name));
}

/** Whether user stacks are walked by unwind tables. */
export function parseUserStacks(text: string): boolean {
  const known: readonly string[] = USER_STACKS;
  if (known.includes(text)) return text === "unwind";
  throw usageError(
    "BAD_USER_STACKS",
    `--user-stacks ${text}: there is no such way to walk them`,
    `known: ${USER_STACKS.join(", ")}`,
  );
}

/** Process ids of repeated or comma-separated `--pid`, each once. Whether they exist is asked later. */
export function parsePids(values: readonly string[]): number[] {
  return unique(
    values.flatMap(splitList).map((text) => {
      const pid = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      if (pid >= 1 && pid <= MAX_PID) return pid;
      throw usageError(
        "BAD_PID",
        `--pid ${text}: this is not a process id`,
        "for all the processes of one name use --comm NAME",
      );
    }),
  );
}

/** Process names as the kernel keeps them: cut to 15 bytes, with a note where that happened. */
export function parseComms(values: readonly string[]): { comms: string[]; notes: string[] } {
  const notes: string[] = [];
  const comms = values.map((name) => {
    const whole = Buffer.from(name, "utf8");
    if (whole.length === 0 || whole.includes(0)) {
      throw usageError("BAD_COMM", "--comm needs a process name", "the kernel's names are in /proc/PID/comm");
    }
    if (whole.length <= COMM_BYTES) return name;
    const cut = whole
      .subarray(0, COMM_BYTES)
      .toString("utf8")
      .replace(/\uFFFD$/, "");
    notes.push(`--comm ${name}: the kernel keeps ${COMM_BYTES} bytes of a name, so "${cut}" is looked for`);
    return cut;
  });
  return { comms: unique(comms), notes };
}

/** "0-3,8" -> [0, 1, 2, 3, 8], the kernel's own list format (Documentation/admin-guide/cputopology.rst). */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of splitList(text)) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    const first = Number(match?.[1] ?? Number.NaN);
    const last = Number(match?.[2] ?? first);
    if (!match || last < first || last > MAX_CPU) {
      throw usageError(
        "BAD_CPU_LIST",
        `--cpu ${text}: "${part}" is not a CPU or a range`,
        "example: --cpu 0-3,8",
      );
    }
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  if (cpus.length === 0) throw usageError("BAD_CPU_LIST", "--cpu names no CPU", "example: --cpu 0-3,8");
  return unique(cpus).sort((a, b) => a - b);
}

const splitList = (text: string): string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];
