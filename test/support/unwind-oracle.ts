// lowflame and perf record on the same load at the same time: two shapes of its user stacks, by functions that readelf tells.
import { basename } from "node:path";
import { userEndOf } from "../../src/capture/binding.js";
import { isLibc, isThreadEntry } from "../../src/model/entry-points.js";
import { hertz } from "../../src/model/units.js";
import { userStackEnd } from "../../src/model/user-stacks.js";
import { FunctionRanges } from "./function-ranges.js";
import { type PerfSample, startPerfRecord } from "./perf-record.js";
import { isWhole, type RawStack, RawStacks } from "./raw-stacks.js";
import { recordEvents, sleep } from "./record.js";
import { type OneStack, type StackShape, shapeOf } from "./stack-shape.js";

export interface BothShapes {
  readonly ours: StackShape;
  readonly theirs: StackShape;
  /** How the walks of ours ended, to be read. */
  readonly ends: string;
}

/**
 * Not a multiple of one another, nor of anything that a load does in step with the clock; and near one another: a timer that
 * wakes an idle CPU finds there who is about to run, so of a load that sleeps much another rate gives other shares.
 */
const OURS_HZ = 307;
const THEIRS_HZ = 299;
/** On a crowded machine some tables come after the recording has begun, which has tests of its own: we wait so long at most. */
const SETTLE_MS = 4000;
const SETTLED_STACKS = 30;

/**
 * Samples a load that runs already.
 * @param pids its processes, asked at the end
 * @param dwarfBytes of each stack that perf copies; none: perf follows frame pointers
 */
export async function recordBoth(
  pids: () => readonly number[],
  options: { seconds: number; dwarfBytes?: number },
): Promise<BothShapes> {
  let own: readonly number[] = [];
  const raw = new RawStacks();
  const perf = await startPerfRecord({
    frequencyHz: THEIRS_HZ,
    only: () => own,
    ...(options.dwarfBytes === undefined ? {} : { dwarfBytes: options.dwarfBytes }),
  });
  let samples: readonly PerfSample[] = [];
  try {
    // CLOCK_MONOTONIC, which perf is told to use
    const now = () => Number(process.hrtime.bigint());
    let [from, to] = [0, 0];
    const { start } = await recordEvents(
      { frequencyHz: hertz(OURS_HZ), sources: ["cpu"] },
      async () => {
        for (let waited = 0; waited < SETTLE_MS; waited += 100) {
          await sleep(100);
          const latest = raw.of(pids()).slice(-SETTLED_STACKS);
          if (latest.length === SETTLED_STACKS && latest.every(isWhole)) break;
        }
        from = now();
        await sleep(options.seconds * 1000);
        to = now();
        own = pids();
      },
      (event) => event.type === "batch" && raw.add(event.batch),
    );
    samples = (await perf.stop()).filter((s) => s.timeNs >= from && s.timeNs < to && s.userFiles.length > 0);
    const ranges = new FunctionRanges();
    const names = new Map<string, string>();
    const settled = raw.of(own).filter(({ timeNs }) => Number(start.startMonotonicNs) + timeNs >= from);
    const ours = shapeOf(settled.map((stack) => oursOf(stack, ranges, names)));
    const theirs = shapeOf(samples.map((s) => theirsOf(s, options.dwarfBytes === undefined, ranges, names)));
    return { ours, theirs, ends: endsOf(settled) };
  } catch (error) {
    await perf.child.stop("SIGKILL");
    throw error;
  }
}

function endsOf(stacks: readonly RawStack[]): string {
  const counts = new Map<string, number>();
  for (const { flags } of stacks) {
    const end = userStackEnd(userEndOf(flags));
    counts.set(end, (counts.get(end) ?? 0) + 1);
  }
  return [...counts].map(([end, n]) => `${end} ${n}`).join(", ");
}

/** `names`: of a function that readelf knows, the first that was met, since all that is compared is where it begins. */
function functionAt(
  ranges: FunctionRanges,
  names: Map<string, string>,
  path: string,
  offset: number,
  name: string,
): string | undefined {
  if (!path.startsWith("/")) return undefined;
  const begin = ranges.beginOf(path, offset);
  if (begin === undefined) return undefined;
  const key = `${path}\n${begin}`;
  const known = names.get(key);
  if (known) return known;
  const told = name && !name.startsWith("[") ? `${name} ` : "";
  names.set(key, `${told}(${basename(path)}+0x${begin.toString(16)})`);
  return names.get(key);
}

function oursOf(stack: RawStack, ranges: FunctionRanges, names: Map<string, string>): OneStack {
  const last = stack.frames.at(-1)!;
  return {
    count: 1,
    // where the process was not known yet, the name of the last function tells, as in reports
    whole: isWhole(stack) || isThreadEntry(last.name),
    outermost: `${last.name} (${basename(last.module)}+0x${last.offset.toString(16)})`,
    functions: named(
      stack.frames.map((f) =>
        f.module === "[jit]" ? f.name : functionAt(ranges, names, f.module, f.offset, f.name),
      ),
    ),
  };
}

function theirsOf(
  sample: PerfSample,
  byFramePointer: boolean,
  ranges: FunctionRanges,
  names: Map<string, string>,
): OneStack {
  const user = sample.frames.slice(-sample.userFiles.length);
  const [last, file] = [user.at(-1)!, sample.userFiles.at(-1)!];
  return {
    count: 1,
    // a stripped C library has no name for where threads begin
    whole: isThreadEntry(last) || (last === "[unknown]" && user.length > 1 && isLibc(file)),
    outermost: `${last} (${basename(file)})`,
    functions: named(
      user.map((name, i) => {
        if (/^perf-\d+\.map$/.test(basename(sample.userFiles[i]!))) return name;
        // the address behind a call, which may be another function's; walks by .eh_frame give the call
        const offset = sample.userOffsets[i]! - (byFramePointer && i ? 1 : 0);
        return functionAt(ranges, names, sample.userFiles[i]!, offset, name);
      }),
    ),
  };
}

function named(names: readonly (string | undefined)[]): Set<string> {
  return new Set(names.filter((name): name is string => name !== undefined && name !== ""));
}
