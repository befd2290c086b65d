// What is embedded in the HTML report: the profile by column, ready for the page. Both sides of the page import this.
import type { Finding } from "../../analysis/finding.js";
import type { SourceName } from "../../capture/binding.js";
import type { NumberColumn } from "./columns.js";

export const REPORT_DOCUMENT_VERSION = 1;

export interface ReportHeader {
  readonly title: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationNs: number;
  readonly host: string;
  readonly kernel: string;
  readonly cpus: number;
  readonly command: string;
  readonly filters: readonly string[];
  readonly endReason: string;
  readonly frequencyHz: number;
  readonly toolVersion: string;
}

/** A table to print as it is: first row of `rows` is data; `columns` has titles. Numbers are right-aligned. */
export interface ReportTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

export interface ReportSource {
  readonly source: SourceName;
  readonly title: string; // "CPU", "Off-CPU"
  readonly unit: "ns";
  /** One row per (thread, node, state, system call): columns of equal length. */
  readonly thread: NumberColumn;
  readonly node: NumberColumn;
  readonly weight: NumberColumn;
  /** Index into `states`; all 0 for cpu. */
  readonly state: NumberColumn;
  readonly states: readonly string[];
  /** Indexes into `states` that the page hides until asked for (idle kernel threads would drown everything else). */
  readonly hiddenStates: readonly number[];
  /** Index into `ReportDocument.syscalls`, -1 none. */
  readonly syscall: NumberColumn;
  /** Extra tables under the flame graph (run-queue wait, off-CPU totals by process). */
  readonly tables: readonly ReportTable[];
}

export interface ReportDocument {
  readonly version: typeof REPORT_DOCUMENT_VERSION;
  readonly header: ReportHeader;
  readonly findings: readonly Finding[];
  readonly losses: readonly { readonly id: string; readonly count: number; readonly meaning: string }[];
  readonly cost: { readonly text: string; readonly rows: ReportTable } | null;
  readonly notes: readonly string[];
  /** Interned strings; index 0 is "". */
  readonly strings: readonly string[];
  /** Functions, index 0 unused. name/module index `strings`; kind indexes FRAME_KINDS. */
  readonly functions: {
    readonly name: NumberColumn;
    readonly module: NumberColumn;
    readonly kind: NumberColumn;
  };
  /** Prefix tree, node 0 = root. */
  readonly tree: { readonly parent: NumberColumn; readonly func: NumberColumn };
  readonly processes: readonly { readonly pid: number; readonly comm: string; readonly self: boolean }[];
  /** process = index into `processes`. */
  readonly threads: readonly { readonly tid: number; readonly comm: string; readonly process: number }[];
  readonly syscalls: readonly string[];
  readonly sources: readonly ReportSource[];
}
