// Datagrams by address: each goes to the end that the call, or the message, names.
import { expect, test } from "vitest";
import { ENDPOINT_ROLES } from "../../src/capture/binding.js";
import { olderToo } from "../support/older-kernels.js";
import { startProgram } from "../support/programs.js";
import { recordWhile } from "../support/record.js";

for (const without of olderToo(["sched_exit_tp", "bpf_rdonly_cast"]))
  test(`unix datagrams come under the name that they were sent to${without.length ? ", on an older kernel" : ""}`, async () => {
    const program = await startProgram("socket-datagrams", { hold: true });
    const recorded = await recordWhile({ sources: ["sockets"], without }, async () => {
      program.go();
      await program.result(30_000);
    });
    const { path, abstract } = await program.result();
    const rows = recorded.final.endpointTotals
      .filter((t) => recorded.profile.processes[t.process]?.pid === program.pid)
      .map((t) => ({ ...t, end: recorded.profile.endpoints[t.endpoint] }));
    const to = (name: string) =>
      rows
        .filter(({ end }) => end?.address === name)
        .map(({ end, count, bytesOut }) => [ENDPOINT_ROLES[end!.role], count, bytesOut]);
    expect(to(path)).toEqual([["datagram", 7, 49]]);
    expect(to(abstract)).toEqual([["datagram", 5, 40]]);
  });
