// Names of errors by number, as asm-generic/errno-base.h and errno.h have them (the same on x86 and arm64), and what those
// that sockets give mean. Numbers are part of the kernel's stable interface.

/**
 * From this number on an error never leaves the kernel (ERESTARTSYS and the like, include/linux/errno.h): a signal came first. The
 * call starts again, or the program gets EINTR, which is decided only after the call has ended.
 */
export const FIRST_RESTART = 512;

const NAMES =
  `EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY
  EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM
  ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP errno-41 ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG
  EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT errno-58 EBFONT ENOSTR ENODATA ETIME ENOSR ENONET
  ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC
  ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE
  ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN
  ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED
  EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM
  EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON`.split(
    /\s+/,
  );

/** "ECONNRESET"; "interrupted" for what ends in a restart or in EINTR, "other" for 0, "errno 4095" for a number without a name. */
export function errnoName(errno: number): string {
  if (errno === 0) return "other";
  if (errno >= FIRST_RESTART) return "interrupted";
  return NAMES[errno - 1]?.replace("errno-", "errno ") ?? `errno ${errno}`;
}

const MEANINGS: ReadonlyMap<string, string> = new Map([
  ["EAGAIN", "nothing to do now: no data, no room, no connection; normal on sockets that do not block"],
  ["EINPROGRESS", "a connection is being made; normal on sockets that do not block"],
  ["EINTR", "a signal came first"],
  [
    "interrupted",
    "a signal came first: the call starts again, or gives EINTR after a handler without SA_RESTART",
  ],
  ["ECONNRESET", "the other side broke the connection off"],
  ["ECONNREFUSED", "nobody listens there"],
  ["ECONNABORTED", "the client was gone before its connection was accepted"],
  ["EPIPE", "sent into a connection that was closed"],
  ["ENOTCONN", "there is no connection"],
  ["ETIMEDOUT", "no answer in time, after all retries"],
  ["EHOSTUNREACH", "no way to that host"],
  ["ENETUNREACH", "no way to that network"],
  ["EADDRINUSE", "the address is taken"],
  ["EADDRNOTAVAIL", "no local address or no free port is left"],
  ["EMFILE", "the process has no file descriptor left"],
  ["ENFILE", "the machine has no file descriptor left"],
  ["ENOBUFS", "no buffer left in the kernel"],
  ["ENOMEM", "no memory left for the socket"],
  ["EBADF", "the descriptor is closed or no socket"],
  ["EMSGSIZE", "the datagram is too big"],
  ["EALREADY", "a connection is being made already"],
  ["EISCONN", "connected already"],
  ["ENOENT", "there is no such socket file"],
  ["EACCES", "not allowed"],
  ["EPERM", "not allowed, or a firewall rule dropped it"],
]);

/** What an error means on a socket, by its name; "" where the name says it all. */
export const errnoMeaning = (name: string): string => MEANINGS.get(name) ?? "";
