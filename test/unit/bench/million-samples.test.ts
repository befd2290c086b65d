// The capture that the report is measured with: as large as it says, the same each time, and readable as any other.
import { expect, test } from "vitest";
import { madeUpCapture } from "../../../bench/million-samples.js";
import { analyze } from "../../../src/analysis/analyze.js";
import { toDocument } from "../../../src/export/html/from-profile.js";
import { ProfileBuilder } from "../../../src/model/build.js";

const SIZE = { samples: 20_000, frames: 10_000 };

test("goes through model, analysis and export whole: every sample, every frame as a function of its own", () => {
  const builder = new ProfileBuilder();
  for (const event of madeUpCapture(SIZE)) builder.add(event);
  const profile = builder.build();
  const [cpu] = profile.weights;
  expect(cpu!.samples.subarray(0, cpu!.count).reduce((sum, value) => sum + value, 0)).toBe(SIZE.samples);
  expect(profile.notes).toEqual([]);
  expect(profile.facts.endReason).toBe("duration");
  const named = new Set(profile.functions.name.filter((name) => /Handler<|kernel_function_/.test(name)));
  expect(named.size).toBe(SIZE.frames);
  const document = toDocument(profile, analyze(profile));
  expect(document.sources[0]!.weight.length).toBe(cpu!.count);
});

test("is the same each time", () => {
  const text = () =>
    JSON.stringify([...madeUpCapture({ samples: 500, frames: 300 })], (_, value) =>
      typeof value === "bigint" ? `${value}` : value,
    );
  expect(text()).toBe(text());
});
