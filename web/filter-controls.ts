// The controls that choose what counts: process, thread, state, and the first level of the graph.
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import { el } from "./dom.js";
import {
  defaultSelection,
  matchingThreads,
  type ProcessFilter,
  type Selection,
  type ThreadFilter,
  weightByProcess,
} from "./selection.js";
import { clip, percent, visible } from "./text.js";
import { GROUPINGS, type Grouping, processLabel } from "./view-tree.js";

/** A list longer than this helps nobody; what is left out is said in its last line. */
const LIST_LIMIT = 500;

const GROUPING_LABELS: Readonly<Record<Grouping, string>> = {
  name: "process name",
  process: "process",
  thread: "thread",
  none: "nothing",
};

const STATE_LABELS = new Map([
  ["preempted", "preempted (ready, waiting for a CPU)"],
  ["interruptible", "asleep (interruptible)"],
  ["uninterruptible", "blocked (uninterruptible: disk, kernel locks)"],
  ["stopped", "stopped"],
  ["idle", "idle kernel threads"],
  ["kernel thread asleep", "kernel threads waiting for work"],
]);

interface Choice<Value> {
  readonly label: string;
  readonly value: Value;
}

/** A select element whose options carry values of any type. */
class Chooser<Value> {
  readonly element = el("select");
  #choices: Choice<Value>[] = [];

  constructor(onChange: (value: Value) => void) {
    this.element.addEventListener("change", () => {
      const choice = this.#choices[this.element.selectedIndex];
      if (choice) onChange(choice.value);
    });
  }

  /** Replaces the options; groups with a heading come after the first ones. */
  fill(
    first: readonly Choice<Value>[],
    groups: readonly { label: string; choices: readonly Choice<Value>[] }[],
  ): void {
    this.#choices = [...first];
    const option = (choice: Choice<Value>): HTMLOptionElement =>
      el("option", {}, clip(visible(choice.label), 90));
    this.element.replaceChildren(...first.map(option));
    for (const group of groups) {
      const shown = group.choices.slice(0, LIST_LIMIT);
      if (shown.length === 0) continue;
      const left = group.choices.length - shown.length;
      const label =
        left > 0 ? `${group.label} (the ${LIST_LIMIT} largest; ${left} are not listed)` : group.label;
      this.element.append(el("optgroup", { label }, ...shown.map(option)));
      this.#choices.push(...shown);
    }
  }
}

function processChoices(report: ReportDocument, source: ReportSource) {
  const weights = weightByProcess(report, source);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const byName = new Map<string, { weight: number; count: number }>();
  const single: { process: number; weight: number }[] = [];
  report.processes.forEach((row, process) => {
    const weight = weights[process]!;
    if (row.self || weight === 0) return;
    const name = byName.get(row.comm) ?? { weight: 0, count: 0 };
    byName.set(row.comm, { weight: name.weight + weight, count: name.count + 1 });
    single.push({ process, weight });
  });
  const share = (weight: number): string => percent(weight / total);
  const names: Choice<ProcessFilter>[] = [...byName]
    .sort((a, b) => b[1].weight - a[1].weight)
    .map(([comm, sum]) => ({
      label: `${comm}${sum.count > 1 ? ` (${sum.count} processes)` : ""}  ${share(sum.weight)}`,
      value: { kind: "comm", comm },
    }));
  const processes: Choice<ProcessFilter>[] = single
    .sort((a, b) => b.weight - a.weight)
    .map(({ process, weight }) => ({
      label: `${processLabel(report.processes[process]!)} (pid ${report.processes[process]!.pid})  ${share(weight)}`,
      value: { kind: "process", process },
    }));
  return { names, processes };
}

function threadChoices(report: ReportDocument, selection: Selection) {
  const matching = matchingThreads(report, { ...selection, thread: { kind: "all" } });
  const names = new Map<string, number>();
  const threads: Choice<ThreadFilter>[] = [];
  report.threads.forEach((row, thread) => {
    if (matching[thread] !== 1) return;
    names.set(row.comm, (names.get(row.comm) ?? 0) + 1);
    threads.push({ label: `${row.comm} (tid ${row.tid})`, value: { kind: "thread", thread } });
  });
  const byName: Choice<ThreadFilter>[] = [...names]
    .sort((a, b) => b[1] - a[1])
    .map(([comm, count]) => ({
      label: count > 1 ? `${comm} (${count} threads)` : comm,
      value: { kind: "comm", comm },
    }));
  return { byName, threads };
}

function labelled(label: string, control: HTMLElement): HTMLElement {
  control.setAttribute("aria-label", label);
  return el("label", {}, el("span", {}, label), control);
}

/** Builds the controls; `onChange` gets every new choice. */
export function filterControls(
  report: ReportDocument,
  source: ReportSource,
  onChange: (selection: Selection, grouping: Grouping) => void,
): HTMLElement {
  let selection = defaultSelection(source);
  let grouping: Grouping = "name";
  const changed = (): void => onChange(selection, grouping);

  const threads = new Chooser<ThreadFilter>((thread) => {
    selection = { ...selection, thread };
    changed();
  });
  const fillThreads = (): void => {
    const { byName, threads: single } = threadChoices(report, selection);
    threads.fill(
      [{ label: "all threads", value: { kind: "all" } }],
      [
        { label: "By name", choices: byName },
        { label: "Single threads", choices: single },
      ],
    );
  };
  const processes = new Chooser<ProcessFilter>((process) => {
    selection = { ...selection, process, thread: { kind: "all" } };
    fillThreads();
    changed();
  });
  const { names, processes: single } = processChoices(report, source);
  const self = report.processes.some((row) => row.self);
  processes.fill(
    [
      { label: self ? "all processes but lowflame" : "all processes", value: { kind: "machine" } },
      ...(self
        ? [
            { label: "lowflame itself", value: { kind: "self" } as const },
            { label: "all processes and lowflame", value: { kind: "all" } as const },
          ]
        : []),
    ],
    [
      { label: "By name", choices: names },
      { label: "Single processes", choices: single },
    ],
  );
  fillThreads();

  const group = new Chooser<Grouping>((value) => {
    grouping = value;
    changed();
  });
  group.fill(
    GROUPINGS.map((value) => ({ label: GROUPING_LABELS[value], value })),
    [],
  );

  const element = el(
    "div",
    { class: "filters" },
    labelled("Process", processes.element),
    labelled("Thread", threads.element),
    labelled("Group by", group.element),
  );
  const used = new Set(source.state);
  if (source.states.length > 1) {
    const states = el("fieldset", { class: "states" }, el("legend", {}, "State"));
    source.states.forEach((name, state) => {
      if (!used.has(state)) return;
      const box = el("input", { type: "checkbox" });
      box.checked = selection.states[state] === true;
      box.addEventListener("change", () => {
        selection = { ...selection, states: selection.states.with(state, box.checked) };
        changed();
      });
      states.append(el("label", {}, box, ` ${STATE_LABELS.get(name) ?? visible(name)}`));
    });
    element.append(states);
  }
  return element;
}
