// Names of address families by number (include/linux/socket.h), as `ss -f` and people call them.

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

const NAMES: Readonly<Record<number, string>> = {
  1: "unix",
  2: "IPv4",
  3: "AX.25",
  4: "IPX",
  5: "AppleTalk",
  9: "X.25",
  10: "IPv6",
  15: "key",
  16: "netlink",
  17: "packet",
  18: "Ash",
  20: "ATM SVC",
  21: "RDS",
  23: "IrDA",
  24: "PPPoX",
  26: "LLC",
  27: "InfiniBand",
  28: "MPLS",
  29: "CAN",
  30: "TIPC",
  31: "Bluetooth",
  32: "IUCV",
  33: "RxRPC",
  34: "ISDN",
  35: "Phonet",
  36: "IEEE 802.15.4",
  37: "CAIF",
  38: "crypto (AF_ALG)",
  39: "NFC",
  40: "vsock",
  41: "KCM",
  42: "Qualcomm IPC",
  43: "SMC",
  44: "XDP",
  45: "MCTP",
};

/** "netlink", "packet", "vsock", …; "family 99" for a number without a name. */
export const familyName = (family: number): string => NAMES[family] ?? `family ${family}`;
