// Values of options: what is understood, and what a wrong one is answered.
import { describe, expect, it } from "vitest";
import { CliError } from "../../src/cli/errors.js";
import {
  parseComms,
  parseCpuList,
  parseDuration,
  parseFrequency,
  parsePids,
  parseSources,
} from "../../src/cli/options.js";

/** Message and hint of the CliError that `run` throws. */
function complaint(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof CliError && error.exitCode === 2) return `${error.message} | ${error.hint}`;
    throw error;
  }
  throw new Error("nothing was wrong");
}

describe("durations", () => {
  it.each([
    ["10s", 10_000],
    ["500ms", 500],
    ["2m", 120_000],
    ["1.5m", 90_000],
    ["1h", 3_600_000],
    ["30", 30_000],
    ["2min", 120_000],
  ])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(["-1", "0", "0s", "1ms", "25h", "", "ten", "10 parsecs", "NaN", "1e3s", "Infinity", "10s5"])(
    "%j is refused",
    (text) => expect(complaint(() => parseDuration(text))).toMatch(/^-d .*\| write it like 10s/),
  );
});

describe("frequencies", () => {
  it.each([
    ["1", 1],
    ["99", 99],
    ["9999", 9_999],
  ])("%s is taken", (text, hz) => expect(parseFrequency(text)).toBe(hz));

  it.each(["0", "10000", "-99", "99.5", "", "fast", "1e2", "0x10"])("%j is refused with the bounds", (text) =>
    expect(complaint(() => parseFrequency(text))).toContain("from 1 to 9999"),
  );
});

describe("sources", () => {
  it("come once, in a fixed order", () => {
    expect(parseSources("offcpu, cpu,cpu")).toEqual(["cpu", "offcpu"]);
    expect(parseSources("locks,cpu")).toEqual(["cpu", "locks"]);
  });

  it("that are unknown are answered with the known ones and the nearest", () => {
    const said = complaint(() => parseSources("cpu,off-cpu"));
    expect(said).toBe(
      "--what off-cpu: there is no source of that name | known: cpu, offcpu, locks, futex, sockets; did you mean offcpu?",
    );
    expect(complaint(() => parseSources("disk"))).toMatch(/known: cpu, offcpu, locks, futex, sockets$/);
    expect(complaint(() => parseSources("lock"))).toContain("did you mean locks?");
  });

  it("may not be none", () => expect(complaint(() => parseSources(" , "))).toContain("nothing to record"));
});

describe("filters", () => {
  it("take pids one by one or with commas, each once", () => {
    expect(parsePids(["1,22", "22", "333"])).toEqual([1, 22, 333]);
  });

  it.each(["0", "-5", "nginx", "4194305", "1.5"])("refuse %j as a pid", (text) =>
    expect(complaint(() => parsePids([text]))).toContain(`--pid ${text}: this is not a process id`),
  );

  it("cut names to the 15 bytes that the kernel keeps, and say so", () => {
    expect(parseComms(["nginx", "systemd-journald"])).toEqual({
      comms: ["nginx", "systemd-journal"],
      notes: [
        '--comm systemd-journald: the kernel keeps 15 bytes of a name, so "systemd-journal" is looked for',
      ],
    });
  });

  it("refuse an empty name", () => expect(complaint(() => parseComms([""]))).toContain("--comm needs"));

  it("read CPU lists as the kernel writes them", () => {
    expect(parseCpuList("8,0-3")).toEqual([0, 1, 2, 3, 8]);
  });

  it.each(["", "3-1", "a", "0-99999999", "1;2", "-1"])("refuse the CPU list %j", (text) =>
    expect(complaint(() => parseCpuList(text))).toContain("--cpu"),
  );
});
