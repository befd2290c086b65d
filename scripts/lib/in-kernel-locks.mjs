// Checks of in-kernel-check.mjs on waits for kernel locks: one recording of several loads, then names, kinds, owners and
// counts against /proc/kallsyms, the kernel's own event counts and what the loads counted.
import { readFileSync } from "node:fs";
import { version } from "node:os";
import { lockSummaries, notSelf } from "../../dist/analysis/lock-summary.js";
import { SampleFlag } from "../../dist/capture/binding.js";
import { bucketBounds } from "../../dist/model/histogram.js";
import {
  btfHas,
  counted,
  expect,
  file,
  loss,
  lowflame,
  percent,
  pidOf,
  profileOf,
  programs,
  rowsOf,
  sum,
} from "./in-kernel.mjs";

/** A real-time kernel has one kind of lock where others have spin locks, mutexes and rwsems; who owns it is not read. */
const realTime = version().includes("PREEMPT_RT");
const kindOf = (kind) => (realTime ? "rt mutex" : kind);

const WAITERS = 7;
const ENDS = "/sys/kernel/tracing/events/lock/contention_end";
const HISTOGRAM = "hist:keys=common_pid.execname:size=16384";
const contend = (name, mode, ms) =>
  `${programs}/lock-contention --mode ${mode} --ms ${ms} > ${file(`${name}.txt`)}`;
/**
 * The kernel counts the ends of waits by thread meanwhile. The first program still holds its mutex at the end; it begins
 * late, since the mappings of a process are read again after 100 ms at the earliest, and in a guest that is its start.
 */
const LOAD = `
echo '${HISTOGRAM}' > ${ENDS}/trigger
(sleep 0.5; echo) | ${programs}/held-mutex --hold --holds 1 --ms 60000 --waiters ${WAITERS} > ${file("holds-on.txt")} 2>&1 &
${programs}/held-mutex --holds 7 --ms 80 > ${file("held.txt")}
${contend("mmap", 1, 700)}
${contend("files", 2, 700)}
${contend("network", 3, 700)}
${contend("signals", 4, 700)}
group=/sys/fs/cgroup/lowflame-check
mkdir $group
while :; do echo 0 > $group/cgroup.procs; echo 0 > $group/../cgroup.procs; done 2> /dev/null &
${contend("threads", 5, 1000)}
kill $!; wait $!
rmdir $group
cat ${ENDS}/hist > ${file("ends.txt")}
echo '!${HISTOGRAM}' > ${ENDS}/trigger`;

let profile;
let locks;

const shownLocks = () =>
  locks
    .slice(0, 8)
    .map(({ kind, name, count }) => `${kind} "${name}" ${count}`)
    .join(", ");
function lockOf(name, kind) {
  const found = locks.find((lock) => lock.name === name && lock.kind === kind);
  expect(found, `no ${kind} "${name}"; there are: ${shownLocks()}`);
  return found;
}
const pidsOf = ({ waiters }) => waiters.map(({ process }) => profile.processes[process]?.pid);
const told = ({ name, kind, count }) => `${name} (${kind}, ${count} waits)`;

/** Symbols of the kernel proper from the end of its code to the end of its image: name -> addresses. */
function imageSymbols() {
  const symbols = new Map();
  const bounds = {};
  for (const line of readFileSync("/proc/kallsyms", "latin1").split("\n")) {
    const [address, , name] = line.split(" ");
    if (name === undefined || name.includes("\t")) continue; // a module's
    if (name === "_etext" || name === "_end") bounds[name] = BigInt(`0x${address}`);
    const known = symbols.get(name);
    if (known === undefined) symbols.set(name, [BigInt(`0x${address}`)]);
    else known.push(BigInt(`0x${address}`));
  }
  return { symbols, from: bounds._etext, to: bounds._end };
}

export const lockChecks = [
  [
    "record counts every wait for a kernel lock that the kernel counts",
    async () => {
      const json = lowflame(
        "record",
        "-d",
        "60s",
        "--what",
        "locks",
        "-o",
        file("l.lowflame"),
        "--",
        "bash",
        "-c",
        LOAD,
      );
      process.kill(pidOf("holds-on.txt"), "SIGKILL");
      expect(json.recording.complete && json.locks.exact, "the recording is not complete");
      profile = await profileOf(file("l.lowflame"));
      locks = lockSummaries(profile, "locks", notSelf(profile));
      const waits = sum(locks, "count");
      expect(json.locks.waits === waits, `${json.locks.waits} waits in JSON, ${waits} in the capture`);
      // { common_pid: lock-contention [       205] } hitcount:        123
      const rows = readFileSync(file("ends.txt"), "utf8").matchAll(/common_pid: (\S+) .* hitcount: +(\d+)/g);
      const ends = sum(
        [...rows].filter(([, comm]) => comm === "lock-contention").map(([, , n]) => ({ n: +n })),
        "n",
      );
      const mine = profile.final.lockTotals.filter(
        (row) => profile.processes[row.process]?.comm === "lock-contention",
      );
      const seen = sum(mine, "count");
      const lost = loss(json, "locks.nested") + loss(json, "bpf.recursion_missed");
      expect(ends > 300, `the kernel counted ${ends} ends of waits: the loads met at no lock`);
      const near = seen < ends * 1.01 + 20 && seen + lost > ends * 0.99 - 20;
      expect(near, `${seen} waits counted and ${lost} lost, ${ends} ends by the kernel's count`);
      return `${seen} waits of the loads, ${ends} ends by the kernel's own count, ${lost} lost; ${shownLocks()}`;
    },
  ],
  [
    "locks that are no object's have the kernel's symbol, right by address",
    () => {
      const { symbols, from, to } = imageSymbols();
      const known = profile.locks.filter((row) => row?.address >= from && row.address < to);
      for (const { name, address } of known) {
        const [, symbol, offset] = /^([\w.]+)(?:\+(0x[0-9a-f]+))?$/.exec(name) ?? [];
        const at = (symbols.get(symbol) ?? []).some((base) => base + BigInt(offset ?? 0) === address);
        expect(
          at,
          `the lock at 0x${address.toString(16)} is called "${name}", and /proc/kallsyms says otherwise`,
        );
      }
      const network = lockOf("rtnl_mutex", kindOf("mutex"));
      const pid = pidOf("network.txt");
      expect(pidsOf(network).includes(pid), `rtnl_mutex: waited for by ${pidsOf(network)}, not by ${pid}`);
      const owner = network.owners[0]?.name ?? "nobody";
      expect(realTime || owner.startsWith("lock-contention "), `rtnl_mutex is held by ${owner}`);
      const groups = lockOf("cgroup_threadgroup_rwsem", "percpu rwsem, read");
      return `${known.length} names right; ${[network, groups].map(told).join(", ")}; held by ${owner}`;
    },
  ],
  [
    "locks of a process and of a CPU: mmap_lock, file table, siglock, run queues",
    () => {
      const own = [
        ["mmap_lock", "mmap", "rwsem, write"],
        ["file table (file_lock)", "files", "spin lock"],
        ["siglock", "signals", "spin lock"],
      ].map(([lock, load, kind]) => {
        const found = lockOf(`${lock} of lock-contention (pid ${pidOf(`${load}.txt`)})`, kindOf(kind));
        const pids = pidsOf(found);
        expect(pids.length === 1 && pids[0] === pidOf(`${load}.txt`), `${found.name}: waited for by ${pids}`);
        return found;
      });
      const queues = locks.filter(({ name }) => /^run queue of CPU [0-3]$/.test(name));
      expect(queues.length > 0, `no run queue; there are: ${shownLocks()}`);
      const cpus = new Set(queues.map(({ name }) => name));
      const addresses = new Set(queues.map(({ lock }) => profile.locks[lock].address));
      expect(cpus.size === addresses.size, `${addresses.size} locks are called ${[...cpus].join(", ")}`);
      // the timer tick and a new thread's first run take no other spin lock that anybody waits for
      const nameless = locks.find(({ name }) =>
        /in (?:update_process_times|scheduler_tick|sched_tick|wake_up_new_task)$/.test(name),
      );
      expect(!nameless, `a run queue has no name: ${nameless?.name}`);
      return [...own, ...queues].map(told).join(", ");
    },
  ],
  [
    "a mutex that a sleeper holds: each wait, its length, its owner",
    () => {
      const { waits, heldNs, lengthNs } = counted("held.txt");
      const pid = pidOf("held.txt");
      const lock = locks.find((row) => row.kind === kindOf("mutex") && pidsOf(row).includes(pid));
      expect(lock, `nobody of pid ${pid} waited for a mutex; there are: ${shownLocks()}`);
      const long = sum(
        lock.buckets.map((n, i) => ({ n: bucketBounds(i).low >= lengthNs / 4 ? n : 0 })),
        "n",
      );
      expect(long === waits, `${long} long waits seen, ${waits} true`);
      const trueNs = (heldNs / 7) * waits;
      const part = lock.sumNs / trueNs;
      expect(part > 0.9 && part < 1.15, `${lock.sumNs} ns seen, ${trueNs} ns true`);
      if (realTime) return `${long} waits, ${percent(lock.sumNs, trueNs)} of their time`;
      const owner = lock.owners[0];
      expect(
        owner?.name.endsWith("of held-mutex)") && owner.share > 0.7,
        `held by ${owner?.name} (${owner?.share})`,
      );
      // its stack wants bpf_task_from_pid; without it (6.1) the owner has a name only
      const holding = rowsOf(profile, "lock-owners").filter((row) => row.lock === lock.lock);
      const asleep = holding.filter(({ stack }) => stack.some((name) => name.startsWith("handle_userfault")));
      const share = sum(asleep, "weightNs") / sum(holding, "weightNs");
      const wanted = btfHas("bpf_task_from_pid");
      expect(wanted ? share > 0.7 : share === 0, `${percent(share, 1)} of the owners' time with their stack`);
      return `${long} waits, ${percent(lock.sumNs, trueNs)} of their time, held by ${owner.name}, ${percent(share, 1)} with its stack`;
    },
  ],
  [
    "who still waits at the end is charged, with a stack",
    () => {
      const rows = rowsOf(profile, "locks").filter(({ flags }) => flags & SampleFlag.inProgress);
      const pid = pidOf("holds-on.txt");
      const lock = locks.find((row) => pidsOf(row).includes(pid) && row.lock === rows[0]?.lock);
      expect(lock?.count === WAITERS, `${lock?.count} waits of pid ${pid} for ${lock?.name}, not ${WAITERS}`);
      const mine = rows.filter((row) => row.lock === lock.lock);
      expect(
        sum(mine, "samples") === WAITERS,
        `${sum(mine, "samples")} of ${WAITERS} are marked as going on`,
      );
      const inPipe = ({ stack }) => stack.some((name) => /^(?:anon_)?pipe_write/.test(name));
      const other = mine.find((row) => !inPipe(row));
      expect(!other, `one waits somewhere else: ${other?.stack.join(";")}`);
      // glibc's write has no frame, so its caller may be missing
      const user = mine.some(({ stack }) => stack.includes("write"));
      expect(user, `no stack has its user half: ${mine.map(({ stack }) => stack.join(";")).join(" ")}`);
      // all but the start of the loads and what came after them
      const part = lock.sumNs / (WAITERS * profile.durationNs);
      expect(part > 0.6 && part < 1, `${percent(part, 1)} of the recording`);
      return `${told(lock)}, ${percent(part, 1)} of the recording each`;
    },
  ],
];
