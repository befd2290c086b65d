// Checks of in-kernel-check.mjs on socket calls and TCP connections: what programs of known behaviour did, counted by both.
import { ENDPOINT_ROLES } from "../../dist/capture/binding.js";
import { counted, expect, file, loss, lowflame, profileOf, programs, sum } from "./in-kernel.mjs";

const nameOf = ({ endpoints }, id) => {
  const { role, address, port } = endpoints[id] ?? {};
  const name = ENDPOINT_ROLES[role];
  return ["path", "served path", "process"].includes(name)
    ? `${name} ${address}`
    : `${name} ${address} ${port}`;
};

export const socketChecks = [
  [
    "record counts every call on sockets, with its bytes and errors, and every connection",
    async () => {
      const shell = `${programs}/socket-calls --ms 5 > ${file("calls.txt")}; ${programs}/tcp-life --overflow 0 --ms 50 > ${file("life.txt")}`;
      const outputs = ["-o", file("s.lowflame"), "-o", file("s.html")];
      const json = lowflame(
        "record",
        "-d",
        "60s",
        "--what",
        "sockets",
        ...outputs,
        "--",
        "bash",
        "-c",
        shell,
      );
      const profile = await profileOf(file("s.lowflame"));
      const mine = (comm) => (row) => profile.processes[row.process]?.comm === comm;
      const { calls, endpoints } = counted("calls.txt");
      const NETWORK = [42, 44, 45, 46, 47, 299, 307];
      let checked = 0;
      for (const own of calls.filter(({ syscall }) => NETWORK.includes(syscall))) {
        const rows = profile.final.callTotals.filter(
          (row) => mine("socket-calls")(row) && row.syscall === own.syscall,
        );
        const told = ["count", "bytes", "errors"].map((key) => `${key} ${sum(rows, key)}`).join(", ");
        const wanted = ["count", "bytes", "errors"].map((key) => `${key} ${own[key]}`).join(", ");
        expect(told === wanted, `call ${own.syscall}: ${told}; the program made ${wanted}`);
        checked += own.count;
      }
      expect(checked > 400, `only ${checked} calls made`);
      // the endpoints of the internet families: the others have no port here
      for (const own of endpoints.filter(({ name }) => /^(?:remote|accepted|datagram) /.test(name))) {
        const rows = profile.final.endpointTotals.filter(
          (row) => mine("socket-calls")(row) && nameOf(profile, row.endpoint) === own.name,
        );
        const bytes = `${sum(rows, "bytesOut")} out, ${sum(rows, "bytesIn")} in`;
        expect(
          bytes === `${own.bytesOut} out, ${own.bytesIn} in`,
          `${own.name}: ${bytes}, not ${own.bytesOut}, ${own.bytesIn}`,
        );
      }
      const life = counted("life.txt");
      const at = (role, port) =>
        profile.final.tcpTotals.find((row) => {
          const end = profile.endpoints[row.endpoint];
          return end !== undefined && ENDPOINT_ROLES[end.role] === role && end.port === port;
        });
      const out = at("remote", life.port);
      const into = at("accepted", life.port);
      const refused = at("remote", life.closedPort);
      const made = life.connects + life.resets;
      // those in CLOSE-WAIT were opened before; the recording begins with the shell, so it sees them, too
      expect(
        out?.connects === made + life.closeWaits,
        `${out?.connects} connects, ${made + life.closeWaits} made`,
      );
      expect(into?.accepted === made + life.closeWaits, `${into?.accepted} accepted`);
      expect(
        refused?.connectsFailed === life.refused,
        `${refused?.connectsFailed} refused, not ${life.refused}`,
      );
      expect(
        into?.resetsReceived === life.resets,
        `${into?.resetsReceived} resets received, not ${life.resets}`,
      );
      const lost = ["sockets.slot_collision", "sockets.table_full"].map((id) => loss(json, id));
      expect(
        lost.every((count) => count === 0),
        `lost: ${lost.join(", ")}`,
      );
      return `${checked} calls as the program counted; ${out.connects} connects, ${refused.connectsFailed} refused, ${into.resetsReceived} resets`;
    },
  ],
];
