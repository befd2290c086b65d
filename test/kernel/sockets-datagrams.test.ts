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
    // connected sockets: three of their own, and one that names another end
    expect(to(path).sort()).toEqual([
      ["datagram", 7, 49],
      ["path", 4, 12],
    ]);
    expect(to(abstract)).toEqual([["datagram", 6, 44]]);
    // two sendmmsg, one of them of empty messages, and one recvmmsg, each once at each of its ends, and each message where it
    // belongs; a receive in vain at none of them
    const many = ports.map((port) => {
      const row = rows.find(({ end }) => end?.port === port && ENDPOINT_ROLES[end.role] === "datagram")!;
      return [ENDPOINT_ROLES[row.end!.role], row.count, row.bytesOut, row.bytesIn];
    });
    // and from a connected socket to the second port five times by its address, to the others once by sendmmsg
    expect(many).toEqual(
      bytes.map((sent, n) => ["datagram", [3, 9, 4][n], sent + (n === 1 ? 25 : 0), 3 * (n + 1)]),
    );
    const connected = rows.filter(
      ({ end }) => end !== undefined && end.port === ports[0] && ENDPOINT_ROLES[end.role] === "remote",
    );
    expect(connected.map(({ count, bytesOut }) => [count, bytesOut])).toEqual([[7, 14]]);
  });
