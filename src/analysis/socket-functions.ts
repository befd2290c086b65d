// Kernel functions inside of which a system call works on a socket, from net/socket.c, fs/splice.c and fs/read_write.c of
// Linux 5.10 to 6.18, and how to tell from a stack which call it is in.

/**
 * Inside of these a thread is in a socket call: the calls that are for sockets only, and what read, write, readv, writev,
 * sendfile, splice and close lead to where the descriptor is a socket.
 */
export const SOCKET_CALL =
  /^(?:(?:__(?:x64|ia32|arm64|se|do)_|_{2,4})sys_(?:socket|socketpair|bind|listen|accept|accept4|connect|shutdown|getsockname|getpeername|setsockopt|getsockopt|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg)(?:_file|_socket|_sock|_sockaddr)?|do_(?:accept|recvmmsg|sock_setsockopt|sock_getsockopt)|sock_(?:read_iter|write_iter|splice_read|splice_eof|sendpage|close)|splice_to_socket|__sock_release)$/;

/**
 * User functions that do no more than the system call on a socket, where no module tells it: programs with the C library inside,
 * Go's package syscall.
 */
export const CALL_WRAPPER =
  /^(?:(?:__|__GI_|__libc_|__GI___libc_)?(?:recv|recvfrom|recvmsg|recvmmsg|send|sendto|sendmsg|sendmmsg|accept|accept4|connect|read|readv|write|writev|syscall)|__syscall(?:_cp|_cp_c|_cp_asm)?|__internal_syscall_cancel|__syscall_cancel(?:_arch)?|(?:syscall|internal\/runtime\/syscall|runtime\/internal\/syscall|golang\.org\/x\/sys\/unix)\..+)$/;

const SYSTEM_CALL =
  /^(?:__(?:x64|ia32|arm64|se|do)_sys_|ksys_|_{2,4}sys_)(\w+?)(?:64)?(?:_file|_socket|_sock|_sockaddr)?$/;

/** "__x64_sys_recvfrom", "__sys_recvfrom" -> "recvfrom"; undefined for other functions. */
export const systemCallOf = (name: string): string | undefined => SYSTEM_CALL.exec(name)?.[1];
