// The kernel side compares with a fixed number of names and groups: more of them are refused, never dropped in silence.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { MAX_CGROUPS, MAX_COMMS } from "../../src/cli/targets.js";
import { repositoryRoot } from "../support/paths.js";
import { fakeSystem } from "./helpers/cli-harness.js";
import { setUp } from "./helpers/record-harness.js";

const comms = (count: number) => Array.from({ length: count }, (_, i) => ["--comm", `worker-${i}`]).flat();
const groups = (count: number) => Array.from({ length: count }, (_, i) => `/sys/fs/cgroup/g${i}`);
const cgroups = (paths: readonly string[]) => paths.flatMap((path) => ["--cgroup", path]);
const withGroups = (count: number) => ({
  system: fakeSystem(Object.fromEntries(groups(count).map((path) => [`${path}/cgroup.controllers`, ""]))),
});

describe("the limits of filters", () => {
  it("are those of bpf/events.h", () => {
    const header = readFileSync(join(repositoryRoot(), "bpf/events.h"), "utf8");
    const limit = (name: string) => Number(new RegExp(`^#define ${name} (\\d+)`, "m").exec(header)?.[1]);
    expect(MAX_COMMS).toBe(limit("LF_MAX_COMMS"));
    expect(MAX_CGROUPS).toBe(limit("LF_MAX_CGROUPS"));
  });

  it("let as many through as fit", async () => {
    const { harness, binding } = setUp({}, withGroups(MAX_CGROUPS));
    const args = [...comms(MAX_COMMS), ...cgroups(groups(MAX_CGROUPS))];
    expect(await harness.run("record", "-q", "-d", "10ms", ...args)).toBe(0);
    expect(binding.config?.filters.comms).toHaveLength(MAX_COMMS);
    expect(binding.config?.filters.cgroups).toHaveLength(MAX_CGROUPS);
  });

  it("refuse one name more as a usage error, before anything is loaded", async () => {
    const { harness, binding } = setUp();
    expect(await harness.run("record", ...comms(MAX_COMMS + 1))).toBe(2);
    expect(harness.stderr.text).toMatch(/--comm: 17 names are given, .* at most 16\n {2}name fewer/);
    expect(binding.calls).toEqual([]);
    expect(harness.files()).toEqual([]);
  });

  it("refuse one group more, and say that a group above them will do", async () => {
    const { harness, binding } = setUp({}, withGroups(MAX_CGROUPS + 1));
    expect(await harness.run("record", ...cgroups(groups(MAX_CGROUPS + 1)))).toBe(2);
    expect(harness.stderr.text).toMatch(
      /--cgroup: 17 groups are given, .* at most 16\n {2}name a group above/,
    );
    expect(binding.calls).toEqual([]);
  });

  it("count a name and a group once, however often they are given", async () => {
    const { harness, binding } = setUp({}, withGroups(1));
    const same = [...comms(1), ...cgroups(groups(1)), "--cgroup", "g0"];
    const often = Array.from({ length: 20 }, () => same).flat();
    expect(await harness.run("record", "-q", "-d", "10ms", ...often)).toBe(0);
    expect(binding.config?.filters).toEqual({ comms: ["worker-0"], cgroups: groups(1) });
  });
});
