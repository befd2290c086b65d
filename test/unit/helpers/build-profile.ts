// From made-up events to a profile, and from a profile back to readable stacks.
import type { SampleSource } from "../../../src/capture/binding.js";
import type { CaptureEvent } from "../../../src/capture/events.js";
import { ProfileBuilder } from "../../../src/model/build.js";
import type { Profile, WeightTable } from "../../../src/model/profile.js";

export function buildProfile(events: Iterable<CaptureEvent>): Profile {
  const builder = new ProfileBuilder();
  for (const event of events) builder.add(event);
  return builder.build();
}

/** Names on the path to a node, root first. */
export function pathOf(profile: Profile, node: number): string[] {
  const names: string[] = [];
  for (let id = node; id !== 0; id = profile.tree.parent[id]!)
    names.push(profile.functions.name[profile.tree.func[id]!]!);
  return names.reverse();
}

export function table(profile: Profile, source: SampleSource): WeightTable {
  const found = profile.weights.find((w) => w.source === source);
  if (found === undefined) throw new Error(`no ${source} weights in this profile`);
  return found;
}

/** Stack (joined by ";") -> samples. */
export function samplesByStack(profile: Profile, source: SampleSource): Record<string, number> {
  const rows = table(profile, source);
  const result = new Map<string, number>();
  for (let i = 0; i < rows.count; i++) {
    const key = pathOf(profile, rows.node[i]!).join(";");
    result.set(key, (result.get(key) ?? 0) + rows.samples[i]!);
  }
  return Object.fromEntries(result);
}

/** Names that break what is not careful with them. */
export const HOSTILE_NAMES: readonly string[] = [
  "__proto__",
  "constructor",
  "a\"quote's",
  "two\nlines\r\nand a tab\t",
  "semi;colon",
  "<script>alert(1)</script>",
  "trailing space ",
  "12345",
  "\u0000nul",
  "\uFFFD\uFFFD broken utf-8",
  `std::map<${"std::basic_string<char>, ".repeat(160)}int>`,
];
