// Sockets that several threads, processes or descriptors share: whatever becomes of the descriptor, a call belongs to the
// socket that it began on.
import { expect, test } from "vitest";
import { ENDPOINT_ROLES, type EndpointTotal } from "../../src/capture/binding.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, sleep, sum } from "../support/record.js";

for (const without of [[], ["sched_exit_tp", "bpf_rdonly_cast"]])
  test(`calls belong to the socket that they began on, answers to who asked${without.length ? ", on an older kernel" : ""}`, async () => {
    const program = await startProgram("socket-hands", { args: ["--stay", "20000"], hold: true });
    const scenesPlayed = () => program.child.stdout.includes('"result"');
    const { profile, final } = await recordWhile({ sources: ["sockets"], without }, async () => {
      program.go();
      await program.child.until(scenesPlayed, 30_000, "the end of all scenes");
      await sleep(600);
    });
    const scenes: Readonly<Record<string, readonly [number, number]>> = JSON.parse(
      program.child.stdout.trim().split("\n").at(-1)!,
    );
    await program.stop();
    const at = (port: number): EndpointTotal | undefined => {
      const rows = final.endpointTotals.filter((t) => {
        const end = profile.endpoints[t.endpoint];
        const { pid } = profile.processes[t.process]!;
        return end?.port === port && ENDPOINT_ROLES[end.role] === "remote" && pid === program.pid;
      });
      expect(rows.length).toBeLessThan(2);
      return rows[0];
    };
    // the answer takes 400 ms, of which another thread lets 100 pass before it takes the descriptor away
    for (const scene of ["closed", "replaced"]) {
      const [asked, instead] = scenes[scene]!.map(at) as [EndpointTotal, EndpointTotal | undefined];
      expect([asked.bytesOut, asked.bytesIn, asked.turns], scene).toEqual([5, 5, 1]);
      expect(asked.blockedNs, scene).toBeGreaterThan(200e6);
      expect(instead?.bytesIn ?? 0, scene).toBe(0);
    }
    const asked = (scene: string) => at(scenes[scene]![0])!;
    // what is only looked at is received once; a question that comes back from the queue of errors is no answer
    for (const [scene, answers] of [
      ["looked-at", 11],
      ["timestamped", 3],
    ] as const) {
      const { bytesOut, bytesIn, turns, turnMaxNs } = asked(scene);
      expect([bytesOut, bytesIn, turns], scene).toEqual([5 * answers, 5 * answers, answers]);
      expect(turnMaxNs, scene).toBeGreaterThan(1e6);
    }
    // a copy of the descriptor is closed after 1.1 s of the 1.5 that the answer takes
    expect(asked("copied").turns).toBe(1);
    expect(asked("copied").turnMaxNs).toBeGreaterThan(1.3e9);
    // the child has read all three; nobody owes anything on the two connections that are closed a second later, nor on the third
    expect([asked("forked").bytesIn, asked("forked").turns]).toEqual([0, 0]);
    expect([asked("unseen").bytesIn, asked("unseen").turns]).toEqual([0, 0]);
    // each was answered once, and its last byte wants no answer, open or closed
    expect([asked("trailing").bytesOut, asked("trailing").turns]).toEqual([18, 3]);
    expect(asked("trailing").turnMaxNs).toBeLessThan(1e9);
    // but where the thread that sent it waits for one, it does: until it gives up, and until the end
    expect(asked("awaited").turns).toBe(4);
    expect(asked("awaited").turnMaxNs).toBeGreaterThan(1.09e9);
    expect(sum(asked("awaited").turnBuckets, (n) => n)).toBe(4);
    // two sockets, each asked twice: waited for since the first time, until the close and until the end
    const repeated = at(scenes.repeated![1])!;
    expect([repeated.bytesOut, repeated.turns]).toEqual([20, 2]);
    expect(repeated.turnSumNs).toBeGreaterThan(1.1e9 + 1.7e9);
  });

/** Numbers of system calls (x86-64). */
const CLOSE = 3;
const SPLICE = 275;
const IN_PROGRESS = 16;

for (const without of [[], ["sched_exit_tp", "bpf_rdonly_cast"]])
  test(`calls whose first argument does not tell the socket are known by it: splice, close${without.length ? ", on an older kernel" : ""}`, async () => {
    const program = await startProgram("stuck-sends", { hold: true });
    const { profile } = await recordWhile({ sources: ["sockets"], without }, async () => {
      program.go();
      await program.child.until(() => program.child.stdout.includes('"result"'), 20_000, "the last close");
      await sleep(500);
    });
    await program.stop();
    const ports = JSON.parse(program.child.stdout.trim().split("\n").at(-1)!);
    const calls = profile.calls.filter(
      (call) => profile.processes[profile.threads[call.thread]!.process]?.pid === program.pid,
    );
    const ends = (nr: number, open: boolean) =>
      calls
        .filter((call) => call.syscall === nr && Boolean(call.flags & IN_PROGRESS) === open)
        .map((call) => [profile.endpoints[call.endpoint]?.port, call.blockedNs > 0.4e9]);
    // it began before the recording; the pipe is its first argument
    expect(ends(SPLICE, true)).toEqual([[ports.splicePort, true]]);
    expect(ends(CLOSE, true)).toEqual([[ports.closePort, true]]);
    // what has been closed may be another socket by then: whose end it was is known from the beginning of the call
    expect(ends(CLOSE, false)).toEqual(Array.from({ length: 3 }, () => [ports.closePort, true]));
  });
