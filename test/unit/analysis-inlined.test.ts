// Findings name functions that were called, whether debug information tells what is inlined in them or not.
import { expect, test } from "vitest";
import { mainUserLockCaller, userLockCallers, waitMeanings } from "../../src/analysis/user-lock-callers.js";
import { calledTree } from "../../src/model/called-tree.js";
import { buildProfile, table } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame, u } from "./helpers/fake-capture.js";
import { inlinedProfile } from "./helpers/inlined-example.js";

test("in the tree of called functions the code of an inlined one is its caller's, at the same nodes", () => {
  const profile = inlinedProfile();
  const { tree, functions } = profile;
  const called = calledTree(profile);
  const deepest = tree.func.findIndex((func) => functions.name[func] === "get16");
  const names: string[] = [];
  for (let node = deepest; node !== 0; node = called.parent[node]!)
    names.push(functions.name[called.func[node]!]!);
  expect(names).toEqual(["parse", "parse", "parse", "main", "_start"]);
  expect([called.count, called.inlined]).toEqual([tree.count, undefined]);
  expect(calledTree(profile)).toBe(called);
});

const place = (name: string) => ({ function: name, file: "/src/pool.cc", line: 7 });
/** A wait for a lock in work(), with or without debug information of it. */
function waiting(inlined: readonly string[]) {
  const capture = new FakeCapture();
  const { thread } = capture.process(5, "pool");
  const lock = capture.lock({ kind: "user lock" });
  const work: FakeFrame = {
    ...u("work", "/usr/bin/pool"),
    ...(inlined.length > 0 && { places: [...inlined.map(place), place("work")] }),
  };
  capture.futex(thread, [u("_start"), work, u("pthread_mutex_lock", "/usr/lib/libc.so.6")], {
    lock,
    times: 20,
  });
  return { profile: buildProfile(capture.events()), lock };
}

test.each([
  ["nothing", []],
  ["what locks are made of", ["std::mutex::lock()", "std::lock_guard<std::mutex>::lock_guard(std::mutex&)"]],
  ["a function of the program", ["Cache::get(int)"]],
  [
    "a wait for a condition, which it is not",
    ["std::condition_variable::wait(std::unique_lock<std::mutex>&)"],
  ],
])("the caller and the meaning of a wait are the same with %s inlined", (_, inlined) => {
  const { profile, lock } = waiting(inlined);
  const [node] = table(profile, "futex").node;
  expect(userLockCallers(profile)(node!).name).toBe("work");
  expect(mainUserLockCaller(profile, lock)).toBe("work");
  expect(waitMeanings(profile)[node!]).toBe("lock");
});

test("a closure that was put into the function that starts its thread is the caller: nothing else is", () => {
  const START = "std::sys::backtrace::__rust_begin_short_backtrace";
  const PROGRAM = "/usr/bin/pool";
  const callerWith = (inlined: readonly string[]) => {
    const capture = new FakeCapture();
    const { thread } = capture.process(5, "pool");
    const start: FakeFrame = { ...u(START, PROGRAM), places: [...inlined.map(place), place(START)] };
    capture.futex(
      thread,
      [u("start_thread"), start, u("std::sys::sync::mutex::futex::Mutex::lock_contended", PROGRAM)],
      {
        lock: capture.lock({ kind: "user lock" }),
        times: 20,
      },
    );
    const profile = buildProfile(capture.events());
    return userLockCallers(profile)(table(profile, "futex").node[0]!).name;
  };
  expect(callerWith(["std::sync::poison::mutex::Mutex<T>::lock", "tp::Worker::new::{{closure}}"])).toBe(
    "tp::Worker::new::{{closure}}",
  );
  expect(callerWith(["std::sync::poison::mutex::Mutex<T>::lock"])).toBe("[unknown]");
});
