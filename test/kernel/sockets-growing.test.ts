// Leaks of sockets: what is left open is found, also where others are closed; what is closed by other means is none.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, sleep } from "../support/record.js";

test("half of them left open, copies closed instead of them, all closed with one call", async () => {
  const programs = await Promise.all(
    ["1", "2", "3"].map((mode) =>
      startProgram("socket-leak", { args: ["--mode", mode, "--ms", "20000"], hold: true }),
    ),
  );
  const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
    for (const program of programs) program.go();
    await sleep(9_500);
  });
  await Promise.all(programs.map((program) => program.stop()));
  const [half, copies, atOnce] = programs.map(({ pid }) => `socket-leak (pid ${pid})`);
  const found = analyze(recorded.profile).filter((finding) => finding.rule === "sockets-growing");
  expect(found.map(({ culprit }) => culprit).sort()).toEqual([half, copies].sort());
  expect(found.find(({ culprit }) => culprit === half)!.title).toContain("does not close all of them");
  // ten a second stay open, as far as the program's sleeps are exact
  for (const { title } of found) expect(title).toMatch(/ (?:9\.[5-9]|10\.[0-4]|19\.\d|20\.[0-4]) a second$/);
  // it opened as many, and called close for none
  const rows = recorded.profile.socketCounts.filter(
    ({ process }) => `socket-leak (pid ${recorded.profile.processes[process]!.pid})` === atOnce,
  );
  expect(rows.at(-1)!.opened).toBeGreaterThan(100);
  expect(rows.at(-1)!.closed).toBe(0);
});
