// Drives wrk, and reads what it prints.
import { Child } from "./children.js";

export interface WrkResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ns: number;
  readonly p90Ns: number;
  readonly p99Ns: number;
  /** Connect, read, write and timeout errors together. */
  readonly socketErrors: number;
  /** Answers that were not 2xx or 3xx. */
  readonly badAnswers: number;
}

export interface WrkOptions {
  readonly seconds: number;
  readonly connections?: number;
  readonly threads?: number;
  /** Headers of each request: "Name: value". */
  readonly headers?: readonly string[];
}

/** Loads `url` for the given time; rejects when wrk cannot run or every request fails. */
export async function runWrk(url: string, options: WrkOptions): Promise<WrkResult> {
  const child = startWrk(url, options);
  await child.until(() => !child.running, (options.seconds + 20) * 1000, "end of wrk");
  return parseWrk(child.stdout);
}

/** The same, without waiting: for a load that goes on beside something else. */
export function startWrk(url: string, options: WrkOptions): Child {
  const { connections = 32, threads = 1, seconds, headers = [] } = options;
  return Child.start(
    ["wrk", "--latency", "-t", String(threads), "-c", String(connections)].concat([
      "-d",
      `${Math.ceil(seconds)}s`,
      ...headers.flatMap((header) => ["-H", header]),
      url,
    ]),
  );
}

const NS: Readonly<Record<string, number>> = { us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** Reads `wrk --latency` output. */
export function parseWrk(text: string): WrkResult {
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(text);
  const requests = /^\s+(\d+) requests in /m.exec(text);
  if (!rate || !requests) throw new Error(`wrk printed no result: ${text.trim().slice(-400) || "nothing"}`);
  const percentile = (p: string) => {
    const m = new RegExp(`^\\s+${p}%\\s+([\\d.]+)(us|ms|s|m|h)`, "m").exec(text);
    if (!m) throw new Error(`wrk printed no ${p}th percentile; was it run with --latency?`);
    return Number(m[1]) * NS[m[2]!]!;
  };
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return {
    requests: Number(requests[1]),
    requestsPerSecond: Number(rate[1]),
    p50Ns: percentile("50"),
    p90Ns: percentile("90"),
    p99Ns: percentile("99"),
    socketErrors: errors ? errors.slice(1).reduce((sum, n) => sum + Number(n), 0) : 0,
    badAnswers: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
  };
}
