// A session may be left in any state, from any thread, by any death: nothing crashes and nothing stays in the kernel.
import { execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { loadBinding } from "../../src/capture/native.js";
import { hertz } from "../../src/model/units.js";
import { sleep } from "../support/record.js";

const SCRIPT = fileURLToPath(new URL("../support/leave-session.mjs", import.meta.url));

const ownPrograms = (): string[] =>
  (JSON.parse(execFileSync("bpftool", ["-j", "prog", "show"], { encoding: "utf8" })) as { name?: string }[])
    .map((p) => p.name ?? "")
    .filter((name) => name.startsWith("lf_"));

async function expectNothingLeft(): Promise<void> {
  for (let i = 0; i < 50 && ownPrograms().length; i++) await sleep(100);
  expect(ownPrograms()).toEqual([]);
}
afterEach(expectNothingLeft);

const WAYS = [
  "close-after-new",
  "close-after-configure",
  "close-after-load",
  "close-after-attach",
  "close-after-activate",
  "close-while-deactivating",
  "exit-active",
  "garbage",
  "two-at-once",
  "worker-leave",
  "worker-throw",
  "worker-terminated",
];
for (const way of WAYS) {
  test(`${way}: clean end`, () => {
    const out = execFileSync(process.execPath, ["--expose-gc", SCRIPT, way], {
      encoding: "utf8",
      timeout: 30_000,
    });
    if (way !== "exit-active") expect(out).toContain("clean");
  });
}

test("kill -9 leaves nothing attached", async () => {
  const child = spawn(process.execPath, [SCRIPT, "sleep"], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  expect(ownPrograms().length).toBeGreaterThan(3);
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
});

test("steps out of order are refused with a code and a sentence", () => {
  const session = loadBinding().openSession();
  expect(() => session.load()).toThrow(expect.objectContaining({ code: "ESEQUENCE" }));
  expect(() => session.activate()).toThrow(/configure, load, attach, activate/);
  session.close();
  expect(() => session.configure({ sources: ["cpu"], frequencyHz: hertz(99), filters: {} })).toThrow(
    /out of order/,
  );
});

test("a frequency out of range and an empty list of sources are refused", () => {
  const binding = loadBinding();
  for (const [config, code] of [
    [{ sources: ["cpu"] as const, frequencyHz: hertz(0), filters: {} }, "EFREQUENCY"],
    [{ sources: ["cpu"] as const, frequencyHz: hertz(10_000), filters: {} }, "EFREQUENCY"],
    [{ sources: [], frequencyHz: hertz(99), filters: {} }, "ESOURCE"],
  ] as const) {
    const session = binding.openSession();
    expect(() => session.configure(config)).toThrow(expect.objectContaining({ code }));
    session.close();
  }
});
