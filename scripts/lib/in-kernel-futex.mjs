// Checks of in-kernel-check.mjs on waits for futexes: every system call that waits for one, and the C library's locks,
// against what the programs counted themselves.
import { LOCK_KINDS } from "../../dist/capture/binding.js";
import {
  counted,
  expect,
  file,
  loss,
  lowflame,
  percent,
  pidOf,
  profileOf,
  programs,
  sum,
} from "./in-kernel.mjs";

const PTHREAD_BYTES = 56;
const CONDITION = "user condition or idle wait";
const KINDS = {
  mutex: "user lock",
  rwlock: "user lock",
  pi: "user lock, priority inheritance",
  lock_pi: "user lock, priority inheritance",
  lock_pi2: "user lock, priority inheritance",
};
/** Where a program's word lies in the array of them, or in the C library's object. */
const bytesOf = { "futex-forms": 64, "user-locks": PTHREAD_BYTES };

let profile;

const totalsOf = (program, { name, address }) => {
  const pid = pidOf(program); // not its name: it calls its threads by what they do
  // these two are semaphores beside others
  const bytes = name === "semaphore" || name === "timeout" ? 4 : bytesOf[program];
  return profile.final.lockTotals.filter((row) => {
    const at = Number(profile.locks[row.lock]?.address ?? -1n);
    return profile.processes[row.process]?.pid === pid && at >= address && at < address + bytes;
  });
};

/** Holds the totals of one word against the program's; gives the number of waits. */
function check(program, own, timed) {
  const rows = totalsOf(program, own);
  const count = sum(rows, "count");
  const kinds = [...new Set(rows.map((row) => LOCK_KINDS[profile.locks[row.lock].kind]))].join(", ");
  // the program's account is the kernel's count of its sleeps: a call that slept twice can hide that one did not
  expect(count <= own.count && count >= own.count - 1, `${own.name}: ${count} waits, ${own.count} made`);
  if (count === 0) return 0;
  expect(kinds === (KINDS[own.name] ?? CONDITION), `${own.name}: called ${kinds}`);
  const timeouts = sum(rows, "timeouts");
  expect(timeouts === (timed ? count : 0), `${own.name}: ${timeouts} of ${count} waits timed out`);
  // the program's time has the way into the call, out of it, and the wait for a CPU
  const share = sum(rows, "sumNs") / own.waitedNs;
  expect(share > 0.6 && share <= 1, `${own.name}: ${percent(share, 1)} of the time that it waited`);
  return count;
}

export const futexChecks = [
  [
    "record counts every wait for a futex: by every system call that waits, with its kind and timeouts",
    async () => {
      const load = ["futex-forms", "user-locks"]
        .map((name) => `${programs}/${name} > ${file(name)}`)
        .join("; ");
      const outputs = ["-o", file("f.lowflame")];
      const json = lowflame("record", "-d", "60s", "--what", "futex", ...outputs, "--", "bash", "-c", load);
      profile = await profileOf(file("f.lowflame"));
      const { forms } = counted("futex-forms");
      const waits = forms.map((form) => check("futex-forms", form, form.name !== "woken"));
      // futex_wait is not in every kernel, nor is all that a sleep takes always one
      const told = forms.map(({ name }, i) => `${name} ${waits[i]}`).join(", ");
      expect(waits.filter((n) => n > 0).length >= forms.length - 1, `forms without a wait: ${told}`);
      const lost = ["offcpu.slot_collision", "futex.table_full"].map((id) => loss(json, id));
      expect(
        lost.every((n) => n === 0),
        `lost: ${lost.join(", ")}`,
      );
      return told;
    },
  ],
  [
    "the C library's locks: each wait, and who held the lock",
    () => {
      const { locks, holderTid } = counted("user-locks");
      const told = locks.map((lock) => `${lock.name} ${check("user-locks", lock, lock.name === "timeout")}`);
      const owners = profile.weights.find(({ source }) => source === "futex-owners");
      for (const name of ["mutex", "pi"]) {
        const own = locks.find((lock) => lock.name === name);
        const ids = new Set(totalsOf("user-locks", own).map(({ lock }) => lock));
        let heldNs = 0;
        for (let row = 0; row < (owners?.count ?? 0); row++)
          if (ids.has(owners.lock[row]) && profile.threads[owners.thread[row]]?.tid === holderTid)
            heldNs += owners.weightNs[row];
        const part = heldNs / own.waitedNs;
        expect(part > 0.6, `${name}: ${percent(part, 1)} of the waits have their owner`);
        told.push(`${percent(part, 1)} of the waits for the ${name} with its owner`);
      }
      return told.join(", ");
    },
  ],
];
