// Datagrams by address: each goes to the end that the call, or the message, names.
import { expect, test } from "vitest";
import { ENDPOINT_ROLES } from "../../src/capture/binding.js";
import { olderToo } from "../support/older-kernels.js";
import { startProgram } from "../support/programs.js";
import { recordWhile } from "../support/record.js";

for (const without of olderToo(["sched_exit_tp", "bpf_rdonly_cast"]))
  test(`datagrams come under the name or the address that they were sent to or came from${without.length ? ", on an older kernel" : ""}`, async () => {
    const program = await startProgram("socket-datagrams", { hold: true });
    const recorded = await recordWhile({ sources: ["sockets"], without }, async () => {
      program.go();
      await program.result(30_000);
    });
    const { path, abstract, ports, bytes } = await program.result();
    const rows = recorded.final.endpointTotals
      .filter((t) => recorded.profile.processes[t.process]?.pid === program.pid)
      .map((t) => ({ ...t, end: recorded.profile.endpoints[t.endpoint] }));
    const to = (name: string) =>
      rows
        .filter(({ end }) => end?.address === name)
        .map(({ end, count, bytesOut }) => [ENDPOINT_ROLES[end!.role], count, bytesOut]);
    expect(to(path)).toEqual([["datagram", 7, 49]]);
    expect(to(abstract)).toEqual([["datagram", 5, 40]]);
    // two sendmmsg, one of them of empty messages, and one recvmmsg, each once at each of its ends, and each message where it
    // belongs; a receive in vain at none of them
    const many = ports.map((port) => {
      const row = rows.find(({ end }) => end?.address === "127.0.0.1" && end.port === port)!;
      return [ENDPOINT_ROLES[row.end!.role], row.count, row.bytesOut, row.bytesIn];
    });
    expect(many).toEqual(bytes.map((sent, n) => ["datagram", 3, sent, 3 * (n + 1)]));
  });
