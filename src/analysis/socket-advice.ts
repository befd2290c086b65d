// Commands to look further at sockets, ready to be typed: what is not a plain address or path is never put into one.
import { ENDPOINT_ROLES, type EndpointRow } from "../capture/binding.js";
import { AF_INET6, AF_UNIX } from "../model/address-families.js";

/** `ss` for the sockets of one end, in its own network; undefined where it cannot name them. */
export function ssCommand(row: EndpointRow | undefined): string | undefined {
  const command = row && ssHere(row);
  return row === undefined || command === undefined ? undefined : `${inNetwork(row.network)}${command}`;
}

/** What to put before a command, so that it sees another network namespace; "" for this one. */
export const inNetwork = (network: number): string =>
  network > 0 ? `nsenter -t "$(lsns -no PID ${network} | head -n1)" -n ` : "";

function ssHere(row: EndpointRow): string | undefined {
  const role = ENDPOINT_ROLES[row.role] ?? "none";
  if (row.family === AF_UNIX) {
    if (role === "process")
      return /^\d+$/.test(row.address) ? `ss -xp | grep 'pid=${row.address},'` : undefined;
    return isPlainPath(row.address) ? `ss -xp | grep -F -- '${row.address}'` : undefined;
  }
  if (!/^[0-9a-fA-F.:]+$/.test(row.address)) return undefined;
  const kind = { 6: "-tnpi", 17: "-unpi", 132: "-Snpi" }[row.protocol] ?? "-wnpi";
  const address = row.family === AF_INET6 ? `[${row.address}]` : row.address;
  if (role === "remote" || role === "datagram") return `ss ${kind} dst '${address}:${row.port}'`;
  if (role === "listening") return `ss ${kind.replace("-", "-l")} 'sport = :${row.port}'`;
  return role === "accepted" || role === "local" ? `ss ${kind} 'sport = :${row.port}'` : undefined;
}

/** Which file or socket a descriptor is. */
export const descriptorCommand = (pid: number, fd: number): string => `ls -l /proc/${pid}/fd/${fd}`;

/** Calls of a process as they happen. */
export const straceCommand = (pid: number, calls: string): string =>
  `strace -f -T -p ${pid} -e trace=${calls}    # slows the process down while it runs`;

/** Something that can stand in single quotes and is not too odd to be read. */
const isPlainPath = (path: string): boolean => /^[\w@/.:+, -]+$/.test(path);
