// What the other end of a socket is called, for people: "10.0.0.1:8080", "accepted on :80", "unix /run/x.sock", "unix pair
// with pid 80 (php-fpm)", "netlink route"; "10.0.0.1:8080 (netns 4026532281)" where it is not lowflame's own network. Names come from the traced machine: what acts on a terminal is escaped.
import { ENDPOINT_ROLES, type EndpointRole, type EndpointRow } from "../capture/binding.js";
import { AF_INET6, AF_NETLINK, AF_UNIX, familyName } from "../model/address-families.js";
import type { Profile } from "../model/profile.js";
import { netlinkName, protocolName } from "../model/socket-protocols.js";
import { escaped, shown } from "./text.js";

export interface EndpointName {
  /** Never empty. */
  readonly name: string;
  readonly role: EndpointRole;
  /** "tcp", "udp", "unix", "netlink", …; "" where nothing is known. */
  readonly protocol: string;
  /** See EndpointRow. */
  readonly network: number;
}

/** Of sockets whose end found no row in the kernel's table. */
export const OTHER_ENDPOINTS: EndpointName = {
  name: "other ends, without a row of their own",
  role: "none",
  protocol: "",
  network: 0,
};
const UNKNOWN: EndpointName = { name: "not known", role: "none", protocol: "", network: 0 };

/** Names for the ends of a profile, by id; -1 is `OTHER_ENDPOINTS`. Made once: it looks up processes by pid. */
export function endpointNames(profile: Profile): (endpoint: number) => EndpointName {
  const comms = new Map<number, string>();
  for (const row of profile.processes) if (row !== undefined) comms.set(row.pid, row.comm);
  return (endpoint) => {
    if (endpoint < 0) return OTHER_ENDPOINTS;
    const row = profile.endpoints[endpoint];
    if (row === undefined) return UNKNOWN;
    const role = ENDPOINT_ROLES[row.role] ?? "none";
    const { family, protocol, network } = row;
    const elsewhere = network > 0 ? ` (netns ${network})` : "";
    const name = `${nameOf(row, role, comms)}${elsewhere}`;
    return { name, role, protocol: protocolName(family, protocol), network };
  };
}

function nameOf(row: EndpointRow, role: EndpointRole, comms: ReadonlyMap<number, string>): string {
  switch (role) {
    case "remote":
    case "path":
      return addressOf(row);
    case "datagram":
      return `datagrams to ${addressOf(row)}`;
    case "accepted":
    case "served path":
      return `accepted on ${ownAddressOf(row)}`;
    case "listening":
      return `listening on ${ownAddressOf(row)}`;
    case "local":
      return `own address ${ownAddressOf(row)}`;
    case "process": {
      const comm = comms.get(Number(row.address));
      return `unix pair made by pid ${escaped(row.address)}${comm === undefined ? "" : ` (${shown(comm)})`}`;
    }
    case "family":
      return row.family === AF_NETLINK ? `netlink ${netlinkName(row.port)}` : familyName(row.family);
    case "none":
      return familyName(row.family);
  }
}

/** "10.0.0.1:8080", "[::1]:80", "unix /run/x.sock". */
function addressOf({ family, address, port }: EndpointRow): string {
  if (family === AF_UNIX) return address === "" ? "unix, without a name" : `unix ${escaped(address)}`;
  return `${family === AF_INET6 ? `[${escaped(address)}]` : escaped(address)}:${port}`;
}

/** The same of an own address: any address is none. */
const ownAddressOf = (row: EndpointRow): string =>
  row.family !== AF_UNIX && ["", "0.0.0.0", "::"].includes(row.address) ? `:${row.port}` : addressOf(row);
