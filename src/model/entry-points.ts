// Functions that stand at the root of a whole user stack. A stack whose outermost user frame is none of them ended
// early: the walker lost its way, in code without frame pointers and unwind tables, or followed frame pointers alone.

const EXACT: ReadonlySet<string> = new Set([
  // ELF entry and the dynamic linker's own start.
  "_start",
  "_start_c",
  "_dl_start",
  "_dl_start_user",
  "_dl_start_final",
  "__libc_start_call_main",
  "libc_start_main_stage2", // musl
  // Threads: glibc's start routine; older ones name the label inside clone.S.
  "start_thread",
  "thread_start",
  // Go: the bottom of a goroutine, of an operating system thread, of the scheduler's stack, and the process start.
  "runtime.goexit",
  "runtime.goexit.abi0",
  "runtime.mstart",
  "runtime.mstart.abi0",
  "runtime.mstart0",
  "runtime.mstart1",
  "runtime.mcall",
  "runtime.rt0_go",
  "runtime.rt0_go.abi0",
  "runtime.clone.abi0",
  "runtime.clone",
]);

// clone, __clone, clone3, __clone3, __clone_internal, __GI___clone; not a program's own clone_request.
const CLONE = /^(?:__GI_)?(?:__)?clone[23]?(?:_internal)?$/;
// Go's entry of each architecture: _rt0_amd64_linux, _rt0_arm64_linux, …
const GO_RT0 = /^_rt0_[a-z0-9]+(?:_[a-z0-9]+)?$/;
const LIBC =
  /^(?:libc\.so\.6|libc-2\.\d+\.so|libpthread\.so\.0|libpthread-2\.\d+\.so|ld-musl-.*|libc\.musl-.*)$/;

/** Whether a function of this name starts a thread, so that nothing can be missing outside it. */
export function isThreadEntry(name: string): boolean {
  const at = name.indexOf("@"); // versioned dynamic symbol: __libc_start_main@@GLIBC_2.34
  const plain = at > 0 ? name.slice(0, at) : name;
  return EXACT.has(plain) || plain.startsWith("__libc_start_main") || CLONE.test(plain) || GO_RT0.test(plain);
}

/**
 * Whether a module is the C library. Distributions strip it down to exported names, and neither start_thread nor
 * __libc_start_call_main is exported: there a nameless outermost frame that calls into another file is the entry.
 */
export function isLibc(modulePath: string): boolean {
  return LIBC.test(modulePath.slice(modulePath.lastIndexOf("/") + 1));
}
