// Under npx a lowflame that npm left behind ends; anywhere else a parent may go and nothing happens.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { watchParents } from "../../src/cli/orphan.js";
import { fakeSystem } from "./helpers/cli-harness.js";

const NPX = { npm_command: "exec", npm_lifecycle_event: "npx" };
const SHELL = { "/proc/20/stat": "20 (sh) S 10 10 10 0" };
const NPM = { "/proc/10/stat": "10 (npm exec lowfl) S 5 10 10 0" };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Watches a process whose parent is the shell 20, which npm (10) started from a user's shell (5). */
function watch(env: Record<string, string>) {
  const machine = { parent: 20, files: { ...SHELL, ...NPM, "/proc/5/stat": "5 (bash) S 1 5 5 0" } };
  const onGone = vi.fn();
  const stop = watchParents({
    env,
    system: { readText: (path) => fakeSystem(machine.files).readText(path) },
    parentPid: () => machine.parent,
    onGone,
  });
  return { machine, onGone, stop };
}

describe("under npx", () => {
  it("tells once, within a second, that the shell between npm and lowflame is gone", () => {
    const { machine, onGone } = watch(NPX);
    vi.advanceTimersByTime(5_000);
    expect(onGone).not.toHaveBeenCalled();
    machine.parent = 1;
    vi.advanceTimersByTime(1_000);
    vi.advanceTimersByTime(5_000);
    expect(onGone).toHaveBeenCalledTimes(1);
  });

  it("tells that npm is gone where the shell stays", () => {
    const { machine, onGone } = watch(NPX);
    machine.files["/proc/20/stat"] = "20 (sh) S 1 10 10 0";
    vi.advanceTimersByTime(1_000);
    expect(onGone).toHaveBeenCalledTimes(1);
  });

  it("does not mind that who started npm goes: npm stays", () => {
    const { machine, onGone } = watch(NPX);
    machine.files["/proc/10/stat"] = "10 (npm exec lowfl) S 1 10 10 0";
    vi.advanceTimersByTime(5_000);
    expect(onGone).not.toHaveBeenCalled();
  });

  it("stops when told", () => {
    const { machine, onGone, stop } = watch(NPX);
    stop();
    machine.parent = 1;
    vi.advanceTimersByTime(5_000);
    expect(onGone).not.toHaveBeenCalled();
  });
});

it.each([[{}], [{ npm_command: "run-script", npm_lifecycle_event: "bench" }], [{ npm_command: "exec" }]])(
  "with the environment %j nothing is watched",
  (env: Record<string, string>) => {
    const { machine, onGone } = watch(env);
    machine.parent = 1;
    vi.advanceTimersByTime(5_000);
    expect(onGone).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  },
);
