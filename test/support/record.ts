// Records with the real addon while a test does something, and gives the model of it: what `lowflame record` does,
// without files and without the command line. Wants root.
import { hostname } from "node:os";
import type {
  FinalFacts,
  NativeSession,
  SampleSource,
  SessionConfig,
  StartFacts,
} from "../../src/capture/binding.js";
import type { CaptureEvent } from "../../src/capture/events.js";
import { recordLive, StopRequest } from "../../src/capture/live.js";
import { loadBinding } from "../../src/capture/native.js";
import { ProfileBuilder } from "../../src/model/build.js";
import type { Profile, WeightTable } from "../../src/model/profile.js";
import { hertz } from "../../src/model/units.js";
import { Child } from "./children.js";
import { programsDir } from "./paths.js";

export interface Recorded {
  readonly profile: Profile;
  readonly start: StartFacts;
  readonly final: FinalFacts;
  readonly events: readonly CaptureEvent[];
}

type LiveSession = Pick<NativeSession, "liveCounts">;

/** Records from the moment that events flow until `body` is done; gives the events as they came. */
export async function recordEvents(
  config: Partial<SessionConfig>,
  body: (start: StartFacts, session: LiveSession) => Promise<void>,
  consume: (event: CaptureEvent) => void = () => {},
): Promise<Omit<Recorded, "profile">> {
  const full: SessionConfig = { sources: ["cpu", "offcpu"], frequencyHz: hertz(99), filters: {}, ...config };
  const stop = new StopRequest();
  const events: CaptureEvent[] = [];
  let failed: unknown;
  const result = await recordLive({
    binding: loadBinding(),
    config: full,
    facts: {
      toolVersion: "test",
      host: { hostname: hostname(), kernel: "", arch: "x64", cpuModel: "", cpus: 0, memoryBytes: 0 },
      command: [],
      sources: full.sources,
      frequencyHz: full.frequencyHz,
      filters: [],
    },
    stop,
    consume(event) {
      events.push(event);
      consume(event);
    },
    onActive(start, session) {
      body(start, session)
        .catch((error: unknown) => {
          failed = error;
        })
        .finally(() => stop.request("duration"));
    },
  });
  if (failed) throw failed;
  if (!result) throw new Error("the recording ended before it began");
  return { start: result.start, final: result.final, events };
}

/** The same, with the model of it. */
export async function recordWhile(
  config: Partial<SessionConfig>,
  body: (start: StartFacts, session: LiveSession) => Promise<void>,
): Promise<Recorded> {
  const builder = new ProfileBuilder();
  const recorded = await recordEvents(config, body, (event) => builder.add(event));
  return { ...recorded, profile: builder.build() };
}

/**
 * Stops this very process, drain thread and all, while a shell runs `commands`: whatever the kernel has for the recording
 * has to stay in the rings. Programs of test/programs are in the shell's PATH.
 */
export async function whileStopped(commands: string): Promise<void> {
  // whatever becomes of the commands, this process goes on
  const script = `trap 'kill -CONT ${process.pid}' EXIT; kill -STOP ${process.pid}; ${commands}`;
  const child = Child.start(["sh", "-ec", script], {
    env: { ...process.env, PATH: `${programsDir()}:${process.env.PATH}` },
  });
  const { code } = await child.exited;
  if (code !== 0) throw new Error(`"${commands}" failed: ${child.stderr || child.stdout}`);
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A row of a weight table with its stack spelled out. */
export interface Row {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  /** Root (user entry) first, leaf last. */
  readonly stack: readonly string[];
  readonly kinds: readonly string[];
  readonly weightNs: number;
  readonly samples: number;
  readonly state: number;
  readonly syscall: number;
  readonly flags: number;
}

/** All rows of one source. */
export function rowsOf(profile: Profile, source: SampleSource): Row[] {
  const table: WeightTable | undefined = profile.weights.find((w) => w.source === source);
  if (!table) return [];
  const rows: Row[] = [];
  for (let i = 0; i < table.count; i++) {
    const thread = profile.threads[table.thread[i]!];
    const process = thread && profile.processes[thread.process];
    const stack: string[] = [];
    const kinds: string[] = [];
    for (let node = table.node[i]!; node !== 0; node = profile.tree.parent[node]!) {
      const func = profile.tree.func[node]!;
      stack.unshift(profile.functions.name[func]!);
      kinds.unshift(profile.functions.kind[func]!);
    }
    rows.push({
      pid: process?.pid ?? -1,
      tid: thread?.tid ?? -1,
      comm: process?.comm ?? "",
      stack,
      kinds,
      weightNs: table.weightNs[i]!,
      samples: table.samples[i]!,
      state: table.state[i]!,
      syscall: table.syscall[i]!,
      flags: table.flags[i]!,
    });
  }
  return rows;
}

export const sum = <T>(rows: readonly T[], of: (row: T) => number): number =>
  rows.reduce((total, row) => total + of(row), 0);
export const loss = (final: FinalFacts, id: string): number => {
  const row = final.losses.find((l) => l.id === id);
  if (!row) throw new Error(`no loss counter ${id}`);
  return row.count;
};
