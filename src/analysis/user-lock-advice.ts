// What to do about a user lock that is waited for, by who wants it.
import type { LockAdvice } from "./lock-advice.js";
import type { LockGroup } from "./lock-groups.js";
import { plainUserName } from "./user-lock-names.js";

/** The C library's allocator and what calls it. */
const ALLOCATOR =
  /^(?:_*(?:libc_)?(?:malloc|calloc|realloc|free|cfree|memalign|posix_memalign|aligned_alloc)|operator (?:new|delete)\S*|_int_\w+|arena_get\w*)$/;
/** stdio locks its streams. */
const STDIO =
  /^_*(?:IO_\w+|f?(?:put|get)[cs](?:har)?|fwrite|fread|v?f?printf\w*|fflush|fclose|getline|getdelim)$/;

/** @param pid the process that waits most, where one is known */
export function userLockAdvice(group: LockGroup, pid: number | undefined): LockAdvice {
  const who = group.callers[0]?.name ?? "[unknown]";
  const looks = [
    `gdb -p ${pid ?? "PID"} -batch -ex 'thread apply all bt'    # who holds it, who waits; stops the process meanwhile`,
    `perf trace -s -p ${pid ?? "PID"} -e futex -- sleep 5    # how often its threads wait and wake one another`,
  ];
  const name = plainUserName(who);
  if (ALLOCATOR.test(name) || /^operator (?:new|delete)/.test(who))
    return {
      why: "It is a lock of the allocator: threads that allocate or free memory of one arena wait for one another.",
      next: [
        ...looks,
        "Allocate less in the threads that wait, or try an allocator with caches by thread: LD_PRELOAD of jemalloc or tcmalloc.",
      ],
    };
  if (STDIO.test(name))
    return {
      why: "It is the lock of a stdio stream: whoever prints to it waits for all others who do.",
      next: [...looks, "Print less, or let each thread format its own buffer and write it in one call."],
    };
  const read =
    who === "[unknown]"
      ? "No sampled stack reaches past the lock's own code: build the program with -fasynchronous-unwind-tables or -fno-omit-frame-pointer and record again."
      : `Search the flame graph of user locks for ${who}, and read what is done there while the lock is held.`;
  if (group.readWrite)
    return {
      why: "It is a read-write lock, which does not tell who holds it. Where readers hold it by turns, a writer waits for as long as they do: glibc's lets new readers pass a writer.",
      next: [
        ...looks,
        read,
        "Where a writer starves at glibc's lock: PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP (pthread_rwlockattr_setkind_np), or hold it for less long.",
      ],
    };
  return {
    why: "While a thread waits for it, it does nothing else.",
    next: [...looks, read],
  };
}
