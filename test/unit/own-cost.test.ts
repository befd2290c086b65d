// What lowflame cost where the kernel did not count the time of its programs: "not measured", never 0.
import { describe, expect, it } from "vitest";
import type { FinalFacts } from "../../src/capture/binding.js";
import type { CaptureEvent } from "../../src/capture/events.js";
import { readCapture } from "../../src/capture/file/reader.js";
import { encodeEvent, type WritableEvent } from "../../src/capture/file/writer.js";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { ownCost } from "../../src/model/own-cost.js";
import { ns } from "../../src/model/units.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, fakeFinal } from "./helpers/fake-capture.js";

/** A recording of 10 s on 4 CPUs; its process took 30 ms. */
function events(statisticsOn: boolean | undefined, runs: number): CaptureEvent[] {
  const cost: FinalFacts["cost"] = {
    ...fakeFinal().cost,
    programs: [{ name: "lf_switch_out", runs, ns: ns(runs * 100) }],
    ...(statisticsOn !== undefined && { statisticsOn }),
  };
  return new FakeCapture().events({ final: { cost } });
}
const text = (profile: ReturnType<typeof buildProfile>) =>
  summaryLines(profile, [], { files: [], childCommand: null }).find((line) => line.startsWith("Cost of"))!;

describe("with the kernel's statistics off", () => {
  const profile = buildProfile(events(false, 0));

  it("the JSON has null for programs, and a share of the process alone", () => {
    expect(digest(profile).cost).toMatchObject({
      programsNs: null,
      programs: [{ name: "lf_switch_out", runs: null, ns: null }],
      shareOfMachine: 30e6 / 40e9,
    });
  });

  it("the summary says that the share is of the process alone", () => {
    expect(text(profile)).toContain(
      "0.075 % of the machine for its own process alone (30.0 ms; BPF programs not measured",
    );
  });

  it("the report says so in its sentence and has no zero in its table", () => {
    const { cost } = toDocument(profile, []);
    expect(cost!.text).toMatch(/^lowflame's own process used 0\.0300 s .*: 0\.075 % of this machine\. /);
    expect(cost!.text).toContain("was not measured");
    expect(cost!.rows.rows[0]).toEqual(["BPF program lf_switch_out", "not measured", "not measured", ""]);
  });
});

describe("with the statistics on, or in a capture that does not tell", () => {
  it.each([[true], [undefined]])("(%s) programs count, also those that never ran", (on) => {
    expect(ownCost(buildProfile(events(on, 0)))).toMatchObject({ programsNs: 0, agentNs: 30e6 });
    const profile = buildProfile(events(on, 1e5));
    expect(digest(profile).cost).toMatchObject({
      programsNs: 1e7,
      programs: [{ runs: 1e5, ns: 1e7 }],
      shareOfMachine: 40e6 / 40e9,
    });
    expect(text(profile)).toContain("(BPF programs 10.0 ms, its process 30.0 ms)");
    expect(toDocument(profile, []).cost!.rows.rows[0]).toEqual(["BPF program lf_switch_out", 1e5, 10, 100]);
  });
});

it.each([[true], [false], [undefined]])("a capture keeps whether they were on: %s", async (on) => {
  const written = events(on, 3) as WritableEvent[];
  const bytes = Buffer.concat(await Promise.all(written.map((event) => encodeEvent(event))));
  const read: CaptureEvent[] = [];
  for await (const event of readCapture(bytes)) read.push(event);
  expect(read).toStrictEqual(written);
});
