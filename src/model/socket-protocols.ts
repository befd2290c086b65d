// Names of protocols by number: of internet sockets (IPPROTO_*, include/uapi/linux/in.h) and of netlink (NETLINK_*,
// include/uapi/linux/netlink.h).
import { AF_INET, AF_INET6, AF_NETLINK, familyName } from "./address-families.js";

const INTERNET: Readonly<Record<number, string>> = {
  0: "ip",
  1: "icmp",
  2: "igmp",
  4: "ipip",
  6: "tcp",
  17: "udp",
  33: "dccp",
  41: "ipv6",
  47: "gre",
  50: "esp",
  51: "ah",
  58: "icmpv6",
  89: "ospf",
  103: "pim",
  112: "vrrp",
  115: "l2tp",
  132: "sctp",
  136: "udplite",
  255: "raw",
  262: "mptcp",
};

const NETLINK: readonly (string | undefined)[] = [
  ..."route unused usersock firewall sock_diag nflog xfrm selinux iscsi audit fib_lookup connector netfilter".split(
    " ",
  ),
  ..."ip6_fw dnrtmsg kobject_uevent generic".split(" "),
  undefined,
  ..."scsitransport ecryptfs rdma crypto smc".split(" "),
];

/** "route", "kobject_uevent", …; "protocol 99" for a number without a name. */
export const netlinkName = (protocol: number): string => NETLINK[protocol] ?? `protocol ${protocol}`;

/** What is spoken over a socket, in one word: "tcp", "udp", "unix", "netlink", "packet". */
export function protocolName(family: number, protocol: number): string {
  if (family === AF_INET || family === AF_INET6) return INTERNET[protocol] ?? `ip protocol ${protocol}`;
  return family === AF_NETLINK ? "netlink" : familyName(family);
}
