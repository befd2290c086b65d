// A finding: one thing that is wrong (or worth knowing), in plain words, with numbers and the next step.
import type { SourceName } from "../capture/binding.js";
import type { Ratio } from "../model/units.js";

export const SEVERITIES = ["critical", "warning", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Finding {
  /** Stable id of the rule, e.g. "spinlock-share", "foreign-bpf", "page-faults", "sample-shortfall". */
  readonly rule: string;
  readonly severity: Severity;
  /** One line, with the number and the name of the culprit. */
  readonly title: string;
  /** Two or three plain sentences: what was seen, why it matters. */
  readonly detail: string;
  /** Share of the machine's busy CPU time (or of what `detail` says). */
  readonly share?: Ratio;
  /** The name to blame where one is known: program, process, function. */
  readonly culprit?: string;
  /** Callers or contributors that make up the share, biggest first. */
  readonly contributors: readonly { readonly name: string; readonly share: Ratio }[];
  /** Commands or steps, exactly as to be typed where possible. */
  readonly next: readonly string[];
  /** Tab of the report that shows it and a search that highlights it there. */
  readonly tab?: SourceName;
  readonly search?: string;
}
