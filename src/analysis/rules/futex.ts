// User locks (futexes) that threads wait for so long that it is felt. Condition variables and idle waits are none.
import type { Profile } from "../../model/profile.js";
import type { Finding } from "../finding.js";
import { lockFindingsOf } from "../lock-findings.js";
import { userLockAdvice } from "../user-lock-advice.js";

/** Findings "user-lock-contention" and "user-lock-convoy"; lowflame's own waits are left out. */
export const userLockFindings = (profile: Profile): Finding[] =>
  lockFindingsOf(profile, {
    source: "futex",
    contentionRule: "user-lock-contention",
    convoyRule: "user-lock-convoy",
    lock: "user lock",
    // An address tells a reader nothing: the function that wants it does.
    title: ({ name, callers }) =>
      callers[0] === undefined || callers[0].name === "[unknown]"
        ? name
        : `the one that ${callers[0].name} takes (${name})`,
    advice: userLockAdvice,
  });
