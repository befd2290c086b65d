// Kernel locks that threads wait for so long that it is felt.
import type { Profile } from "../../model/profile.js";
import type { Finding } from "../finding.js";
import { adviceFor } from "../lock-advice.js";
import { lockFindingsOf } from "../lock-findings.js";

/** Findings "lock-contention" and "lock-convoy"; lowflame's own waits are left out. */
export const lockFindings = (profile: Profile): Finding[] =>
  lockFindingsOf(profile, {
    source: "locks",
    contentionRule: "lock-contention",
    convoyRule: "lock-convoy",
    lock: "kernel lock",
    title: ({ name }) => name,
    advice: adviceFor,
  });
