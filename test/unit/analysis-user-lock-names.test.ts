// What names of user functions tell of a wait for a futex, by the library that they are from.
import { describe, expect, test } from "vitest";
import { isLockingText, meaningOf, plainUserName } from "../../src/analysis/user-lock-names.js";

describe("a plain name", () => {
  test.each([
    ["pthread_mutex_lock@@GLIBC_2.2.5", "pthread_mutex_lock"],
    ["__GI___lll_lock_wait", "__lll_lock_wait"],
    ["__futex_abstimed_wait_common64.constprop.0", "__futex_abstimed_wait_common64"],
    ["std::mutex::lock()", "std::mutex::lock"],
    [
      "void std::condition_variable_any::wait<std::unique_lock<std::mutex> >(std::unique_lock<std::mutex>&)",
      "std::condition_variable_any::wait",
    ],
    ["(anonymous namespace)::Pool::take(int)", "namespace)::Pool::take"],
    ["std::thread::JoinHandle<T>::join::h0123456789abcdef", "std::thread::JoinHandle"],
    ["<std::sync::mutex::Mutex<T>>::lock", "std::sync::mutex::Mutex"],
    ["runtime.futex.abi0", "runtime.futex"],
    ["operator new(unsigned long)", "new"],
    ["", ""],
  ])("%s", (name, plain) => expect(plainUserName(name)).toBe(plain));
});

describe("a wait for a lock", () => {
  test.each([
    "__lll_lock_wait",
    "__lll_lock_wait_private",
    "pthread_mutex_lock@@GLIBC_2.2.5",
    "___pthread_mutex_lock",
    "__pthread_mutex_lock_full",
    "__pthread_mutex_cond_lock",
    "pthread_mutex_timedlock",
    "__pthread_rwlock_rdlock_full64",
    "__futex_lock_pi64",
    "mtx_lock",
    "__lockfile",
    "std::mutex::lock()",
    "std::shared_timed_mutex::lock_shared()",
    "std::sys::sync::mutex::futex::Mutex::lock_contended",
    "std::sys::unix::locks::futex_rwlock::RwLock::write_contended",
    "parking_lot::raw_mutex::RawMutex::lock_slow",
    "runtime.lock2",
    "runtime.lockWithRank",
    "absl::lts_20230802::Mutex::Lock()",
    "je_malloc_mutex_lock_slow",
  ])("%s", (name) => {
    expect(meaningOf(name)).toBe("lock");
    expect(isLockingText(name, "/usr/bin/app")).toBe(true);
  });
});

describe("a wait for a condition, a semaphore, a thread, or work", () => {
  test.each([
    "pthread_cond_wait@@GLIBC_2.3.2",
    "___pthread_cond_timedwait64",
    "__pthread_cond_wait_common",
    "__pthread_clockjoin_ex",
    "pthread_barrier_wait",
    "cnd_wait",
    "sem_wait@@GLIBC_2.34",
    "__new_sem_wait_slow64.constprop.0",
    "sem_timedwait",
    "std::condition_variable::wait(std::unique_lock<std::mutex>&)",
    "std::_V2::condition_variable_any::wait_until",
    "std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned int*, unsigned int, bool)",
    "std::thread::join()",
    "std::sys::sync::condvar::futex::Condvar::wait_optional_timeout",
    "std::sys_common::thread_parking::futex::Parker::park",
    "std::thread::park",
    "std::sync::mpsc::Receiver<T>::recv",
    "parking_lot::condvar::Condvar::wait_until_internal",
    "tokio::runtime::park::CachedParkThread::park",
    "tokio::sync::notify::Notify::notified",
    "runtime.notesleep",
    "runtime.notetsleepg",
    "runtime.mPark",
    "runtime.stopm",
    "runtime.semasleep",
    "PyThread_acquire_lock_timed",
  ])("%s", (name) => {
    expect(meaningOf(name)).toBe("condition");
    expect(isLockingText(name, "/usr/bin/app")).toBe(true);
  });
});

describe("what else stands between a futex and who wants it", () => {
  test.each([
    "syscall",
    "__syscall_cancel_arch",
    "__futex_abstimed_wait_common64",
    "futex_wait",
    "__libc_enable_asynccancel",
    "__timedwait_cp",
    "__wait",
    "pthread_cond_signal",
    "__gthread_mutex_lock(pthread_mutex_t*)",
    "std::unique_lock<std::mutex>::lock()",
    "std::sys::pal::unix::futex::futex_wait",
    "std::sys::sync::once::futex::Once::call",
    "runtime.futex.abi0",
    "runtime.futexsleep",
  ])("%s tells nothing by itself", (name) => {
    expect(isLockingText(name, "/usr/bin/app")).toBe(true);
    expect(meaningOf(name)).toBeUndefined();
  });

  test.each([
    ["/usr/lib/x86_64-linux-gnu/libc.so.6", "libc.so.6+0x8a2b4"],
    ["/lib64/ld-linux-x86-64.so.2", "ld-linux-x86-64.so.2+0x1000"],
    ["/usr/lib/libstdc++.so.6.0.30", "libstdc++.so.6.0.30+0xd0"],
  ])("functions of %s without a name, which distributions strip off", (module, name) => {
    expect(isLockingText(name, module)).toBe(true);
  });
});

describe("who wants a lock", () => {
  test.each([
    "malloc",
    "__libc_malloc",
    "fputs",
    "wait",
    "ngx_shmtx_lock_and_count",
    "Lock::acquire()",
    "SemaphorePool::waiting()",
    "app::Mutex::report",
    "main.(*Server).lockAll",
    "runtime.mallocgc",
    "std::vector<int>::push_back(int const&)",
    "mylib::std::mutex::lock()",
    "",
    "__proto__",
  ])("is %s, no text of one", (name) => {
    expect(isLockingText(name, "/usr/bin/app")).toBe(false);
    expect(meaningOf(name)).toBeUndefined();
  });

  test("is a function of a program without symbols, called by its address", () => {
    expect(isLockingText("app+0x1f2e", "/usr/bin/app")).toBe(false);
  });
});
