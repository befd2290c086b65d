// Who opened a connection, and in which network: told also where the backlog does not show it, and where a client has a port or
// a name of its own.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ENDPOINT_ROLES } from "../../src/capture/binding.js";
import { startProgram } from "../support/programs.js";
import { recordWhile } from "../support/record.js";

/** Below the ports that the kernel chooses by itself. */
const port = 20_000 + 10 * (process.pid % 1_000);

for (const without of [[], ["sched_exit_tp", "bpf_rdonly_cast"]])
  test(`each side of a connection knows who opened it${without.length ? ", on an older kernel" : ""}`, async () => {
    const dir = mkdtempSync(join(tmpdir(), "lowflame-roles-"));
    try {
      const program = await startProgram("socket-roles", {
        args: ["--port", String(port), "--dir", dir],
        hold: true,
      });
      const { profile, final } = await recordWhile({ sources: ["sockets"], without }, async () => {
        program.go();
        await program.result(30_000);
      });
      const { tcp, unix } = await program.result();
      const rows = final.endpointTotals
        .filter((t) => profile.processes[t.process]?.pid === program.pid)
        .map((t) => ({ ...t, end: profile.endpoints[t.endpoint]! }))
        .filter(({ bytesIn, end }) => bytesIn > 0 && ENDPOINT_ROLES[end.role] !== "process")
        .map(({ end, bytesOut, bytesIn, turns }) =>
          [ENDPOINT_ROLES[end.role], end.address, end.port, bytesOut, bytesIn, turns].join(" "),
        );
      const expected = [
        ...tcp.map(([at, turns]) => ["127.0.0.1", at, turns] as const),
        ...unix.map(([at, turns]) => [at, 0, turns] as const),
      ].flatMap(([address, at, turns]) => {
        const [remote, accepted] = at === 0 ? ["path", "served path"] : ["remote", "accepted"];
        return [
          [remote, address, at, turns * 3, turns * 5, turns].join(" "),
          [accepted, address, at, turns * 5, turns * 3, turns].join(" "),
        ];
      });
      expect(rows.sort()).toEqual(expected.sort());
      const lives = final.tcpTotals
        .map((t) => ({ ...t, end: profile.endpoints[t.endpoint] }))
        .filter(({ end }) => end !== undefined && tcp.some(([at]) => at === end.port))
        .map(({ end, connects, accepted, closes, resetsSent, resetsReceived }) =>
          [
            ENDPOINT_ROLES[end!.role],
            end!.port,
            connects,
            accepted,
            closes,
            resetsSent + resetsReceived,
          ].join(" "),
        );
      expect(lives.sort()).toEqual(
        tcp
          .flatMap(([at], n) => {
            const reset = n >= 4 ? 1 : 0;
            return [`remote ${at} 1 0 1 ${reset}`, `accepted ${at} 0 1 1 ${reset}`];
          })
          .sort(),
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

test("equal addresses in two network namespaces are two ends, each with its own connections", async () => {
  const args = ["--port", String(port)];
  const apart = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$0" "$@"'];
  const dirs = [1, 2].map(() => mkdtempSync(join(tmpdir(), "lowflame-roles-")));
  try {
    const here = await startProgram("socket-roles", { args: [...args, "--dir", dirs[0]!], hold: true });
    const there = await startProgram("socket-roles", {
      args: [...args, "--dir", dirs[1]!],
      hold: true,
      wrap: apart,
    });
    const inode = statSync(`/proc/${there.pid}/ns/net`).ino;
    const { profile, final } = await recordWhile({ sources: ["sockets"] }, async () => {
      for (const program of [here, there]) {
        program.go();
        await program.result(30_000);
      }
    });
    const { tcp, unix } = await there.result();
    for (const [pid, network] of [
      [here.pid, 0],
      [there.pid, inode],
    ]) {
      const rows = final.endpointTotals
        .filter((t) => profile.processes[t.process]?.pid === pid)
        .map((t) => profile.endpoints[t.endpoint]!);
      const ofTcp = rows.filter((end) => end.protocol === 6 && end.port === tcp[0]![0]);
      expect(ofTcp.map((end) => ENDPOINT_ROLES[end.role]).sort()).toEqual([
        "accepted",
        "listening",
        "local",
        "remote",
      ]);
      expect(new Set(ofTcp.map((end) => end.network))).toEqual(new Set([network]));
      // abstract names belong to a network, paths to none
      const ofUnix = rows.filter((end) => end.address === unix[0]![0] || end.address === unix[1]![0]);
      if (pid === there.pid)
        expect(new Set(ofUnix.map((end) => [end.address[0], end.network].join()))).toEqual(
          new Set(["/,0", `@,${network}`]),
        );
      const lives = final.tcpTotals.filter((t) => {
        const end = profile.endpoints[t.endpoint];
        return end?.port === port && end.network === network;
      });
      expect(lives.map(({ connects, accepted }) => [connects, accepted]).sort()).toEqual([
        [0, 1],
        [1, 0],
      ]);
    }
  } finally {
    for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
  }
});
