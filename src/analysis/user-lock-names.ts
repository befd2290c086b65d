// Names of user functions that stand between a futex and who waits for it, and what they tell of the wait: is it for a lock,
// or for a condition, a semaphore, work? All of it is in this file, with the libraries that the names are from.
import { isLibc } from "../model/entry-points.js";

/** Inside a wait for a lock. */
const LOCK: readonly RegExp[] = [
  // glibc 2.28 to 2.41: nptl/pthread_mutex_lock.c, pthread_rwlock_common.c, lowlevellock.c; C11 threads
  /^_*(?:lll_(?:timed|clock|robust_)?lock\w*|pthread_(?:mutex|rwlock|spin)_\w*lock\w*|futex_lock_pi\w*|mtx_(?:timed)?lock)$/,
  // musl 1.2: src/thread/__lock.c, src/stdio/__lockfile.c
  /^__lock(?:file)?$/,
  // libstdc++, libc++: <mutex>, <shared_mutex>
  /^std::(?:\w+::)?(?:recursive_|shared_)?(?:timed_)?mutex::/,
  // Rust 1.62 to 1.86: library/std/src/sys/sync (before 1.77 sys/unix/locks), sync/mutex.rs, sync/rwlock.rs
  /^std::sys(?:_common)?::.*::(?:Mutex|RwLock|ReentrantMutex)\b/,
  /^std::sync::(?:poison::)?(?:mutex|rwlock|reentrant_lock)::/,
  // Rust crates parking_lot 0.12 and lock_api
  /^(?:parking_lot::raw_(?:mutex|rwlock|fair_mutex)|lock_api::(?:mutex|rwlock))::/,
  // Go 1.17 to 1.24: runtime/lock_futex.go, lock_spinbit.go
  /^runtime\.lock\w*$/,
  // abseil: synchronization/mutex.h, base/internal/spinlock.h; jemalloc: src/mutex.c
  /^absl::(?:\w+::)*(?:Mutex|SpinLock)::\w*Lock/,
  /^(?:_rjem_)?(?:je_)?malloc_mutex_lock\w*$/,
];

/** Inside a wait for a condition, a semaphore, another thread's end, or work. */
const CONDITION: readonly RegExp[] = [
  // glibc, musl: pthread_cond_wait.c, sem_waitcommon.c, pthread_join_common.c, pthread_barrier_wait.c; C11 threads
  /^_*(?:pthread_cond_\w*wait\w*|pthread_\w*join\w*|pthread_barrier_wait|cnd_(?:timed)?wait|thrd_join)$/,
  /^_*(?:new_)?sem_(?:timed|clock)?wait\w*$/,
  // libstdc++, libc++: <condition_variable>, <future>, <semaphore>, <latch>, <barrier>
  /^std::(?:\w+::)?(?:condition_variable|__condvar|__atomic_futex_unsigned|__future_base|__basic_future|(?:__)?\w*semaphore|latch|barrier)\w*(?:::|$)/,
  /^std::thread::join$/,
  // Rust: sys/sync/condvar, sys/sync/thread_parking, std::thread::park, channels
  /^std::sys(?:_common)?::.*::(?:Condvar|Parker)\b/,
  /^std::sync::(?:poison::)?(?:condvar|barrier|mpsc|mpmc)::/,
  /^std::thread::(?:park|JoinHandle|JoinInner|Thread::park|current::park)/,
  // Rust crates: parking_lot, crossbeam-utils, tokio, rayon-core
  /^(?:parking_lot|crossbeam_\w+|tokio|rayon_core)::(?:\w+::)*(?:Condvar|Parker|Notify|ParkThread|CachedParkThread|Inner::park|Sleep|LockLatch)\b/,
  /^(?:\w+::)*(?:Condvar|Notify|Parker)::\w+$/,
  // Go: runtime/lock_futex.go, proc.go
  /^runtime\.(?:notet?sleep\w*|semasleep|mPark|stopm|stoplockedm|gcstopm)$/,
  // abseil; CPython 3: Python/thread_pthread.h; OpenJDK: os_posix.cpp
  /^absl::(?:\w+::)*(?:CondVar|Notification|BlockingCounter)::\w*Wait/,
  /^PyThread_acquire_lock\w*$/,
  /^(?:os::)?Platform(?:Event|Monitor)::\w*(?:wait|park)/,
];

/**
 * Waits for a word of the program's own, C++20: who calls it says what for. libstdc++ 11 to 16: <bits/atomic_wait.h>,
 * <bits/atomic_base.h>; libc++: <__atomic/atomic_sync.h>, src/atomic.cpp.
 */
const WORD =
  /^std::(?:\w+::)*(?:__atomic_base|__atomic_float|__atomic_ref|__atomic_flag_base|atomic|atomic_flag|atomic_ref|__waiter\w*|__bare_wait|__enters_wait|__platform_wait\w*|__wait_\w+|__(?:cxx_|libcpp_)?(?:atomic|platform|contention)_(?:wait|spin)\w*)(?:::|$)/;

/** A lock of the program's own: lock, lock_shared, acquire_lock, Mutex::lock_slow. */
const OWN_LOCK = /(?:^|::|_)[lL]ock(?:_?(?:[sS]low|[sS]hared|[eE]xclusive|[cC]ontended|[wW]ait|[pP]ath))*$/;

/** The rest of what stands there: stubs of system calls and the ways to them. */
const BETWEEN: readonly RegExp[] = [
  // glibc: nptl/futex-internal.c, nptl/cancellation.c, sysdeps/unix/sysv/linux/syscall_cancel.S
  /^_*(?:(?:internal_)?syscall\w*|(?:do_)?futex_\w+|lll_\w+|pthread_(?:once|cond_\w+|(?:en|dis)able_asynccancel))$/,
  /^_*libc_(?:lock|once|(?:en|dis)able_asynccancel)\w*$/,
  // musl: src/thread/__timedwait.c, __wait.c, src/thread/x86_64/syscall_cp.s
  /^__(?:timedwait(?:_cp)?|wait|cp_(?:begin|end|cancel))$/,
  // libstdc++, libc++
  /^(?:__gthread_|__gthrw_)\w+$/,
  /^std::(?:__\w+|call_once|(?:unique|scoped|shared)_lock|lock_guard)\b/,
  // Rust
  /^std::sys(?:_common)?::.*\b(?:futex|once)\w*::/,
  /^std::sync::/,
  /^(?:parking_lot\w*|lock_api)::/,
  // Go: runtime/sys_linux_amd64.s, os_linux.go
  /^runtime\.(?:futex\w*|semacquire\w*|systemstack\w*|entersyscallblock\w*)$/,
  // abseil
  /^absl::(?:\w+::)*(?:synchronization_internal|base_internal)::/,
];

/** Files of the dynamic linker and the C++ runtimes: like the C library's, what has no name there says nothing. */
const RUNTIME_FILE = /^(?:ld-linux\S*\.so\.\d+|ld-2\.\d+\.so|lib(?:stdc|c)\+\+\.so\.\d+\S*)$/;

/**
 * A user function's name without what says nothing here: version of the symbol, glibc's prefix of inner calls, arguments,
 * template arguments and return type, Rust's hash, and what compilers append.
 */
export function plainUserName(name: string): string {
  const plain = name
    .replace(/^<(?=[\w:]+(?:[<>]| as ))/, "") // Rust: <std::sync::Mutex<T>>::lock, <T as Trait>::f
    .replace(/(?<=\w)[(@].*$/s, "")
    .replace(/(?<=\w)(?:::)?<.*$/s, "")
    .replace(/::h[0-9a-f]{16}$/, "")
    .replace(/\.(?:isra|constprop|part|cold|llvm|abi0|abiinternal)\b.*$/, "")
    .replace(/^__GI_/, "");
  return plain.slice(plain.lastIndexOf(" ") + 1);
}

/**
 * Runtimes' functions by which a thread begins, into which the program's first function is often inlined: Rust 1.62 to 1.86
 * (std/src/sys/backtrace.rs, rt.rs, thread/mod.rs, sys/pal/unix/thread.rs), libstdc++ (src/c++11/thread.cc).
 */
const START =
  /^(?:std::sys(?:_common)?::backtrace::__rust_begin_short_backtrace|std::rt::lang_start\w*|std::thread::Builder::spawn_unchecked_?|std::sys::(?:\w+::)*thread(?:::\w+)*::thread_start|core::ops::function::FnOnce::call_once|execute_native_thread_routine)(?:$|::|\{)/;

/** Whether a user function is how a language's runtime begins a thread: nobody's wish for a lock. */
export const isRuntimeStart = (name: string): boolean => START.test(plainUserName(name));

/** Functions of glibc's read-write lock (nptl/pthread_rwlock_common.c), whose readers and writers wait at a word each. */
const RWLOCK = /^_*pthread_rwlock_\w*lock\w*$/;
export const isRwlockText = (name: string): boolean => RWLOCK.test(plainUserName(name));

/**
 * A library's or a program's own name for taking a lock of any kind: uv_mutex_lock, g_rw_lock_writer_lock, apr_thread_mutex_lock,
 * SDL_LockMutex, Spinlock::Acquire. Nothing is done there while it is held. Not list_lock, which says which lock it is.
 */
const WRAPPER: readonly RegExp[] = [
  /(?:^|_)(?:mutex|rw_?lock|spin_?lock|critical_section)_(?:\w+_)?(?:rd|wr|try)?(?:lock|acquire|enter|wait)(?:_\w+)?$/i,
  /(?:Lock|Enter|Acquire)(?:Rec(?:ursive)?)?(?:Mutex|R[Ww]Lock|Spin[Ll]ock|CriticalSection)(?:\w*)$/,
  /(?:^|::)\w*(?:[mM]utex|[rR][wW]_?[lL]ock|[sS]pin_?[lL]ock|CriticalSection)\w*::(?:\w*[lL]ock\w*|[aA]cquire\w*|[eE]nter\w*)$/,
];
export const isLockWrapper = (name: string): boolean => {
  const plain = plainUserName(name);
  return WRAPPER.some((text) => text.test(plain));
};

/** What a function's own name tells of a wait inside it. */
export type WaitMeaning = "lock" | "condition" | undefined;

export function meaningOf(name: string): WaitMeaning {
  const plain = plainUserName(name);
  if (LOCK.some((text) => text.test(plain))) return "lock";
  return CONDITION.some((text) => text.test(plain)) ? "condition" : undefined;
}

/** Whether a user function waits for any word of the program's. */
export const isWordWait = (name: string): boolean => WORD.test(plainUserName(name));

/** Whether a function of a program is called as locks are taken. */
export const isOwnLock = (name: string): boolean => OWN_LOCK.test(plainUserName(name));

/** Whether a user function is text of the lock or of the wait itself, so that who calls it says more. */
export function isLockingText(name: string, module: string): boolean {
  const file = module.slice(module.lastIndexOf("/") + 1);
  // The model calls what has no name after its file: src/model/function-table.ts.
  if (name.startsWith(`${file}+0x`)) return isLibc(module) || RUNTIME_FILE.test(file);
  if (meaningOf(name) !== undefined || isWordWait(name)) return true;
  const plain = plainUserName(name);
  return BETWEEN.some((text) => text.test(plain));
}
