// The page as a whole. `mount` is the boundary: the report calls it with an unpacked document, a live page would call
// it with one that it fetched.
import { LOCK_SOURCES } from "../src/capture/sample-sources.js";
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import { el } from "./dom.js";
import { functionNames } from "./labels.js";
import { LockPanel } from "./lock-panel.js";
import { findingsSection, gravestTab, headerSection, honestySection } from "./overview.js";
import { placeIn } from "./place.js";
import { SocketPanel } from "./socket-panel.js";
import { SOCKETS_TAB, SOCKETS_TITLE } from "./socket-words.js";
import { SourcePanel } from "./source-panel.js";
import { TabBar } from "./tabs.js";

export interface MountedPage {
  /** Takes the page away, with all its listeners. */
  destroy(): void;
}

/** What a tab holds. */
interface Panel {
  readonly element: HTMLElement;
  /** Draws; called once the element is in the page. */
  start(): void;
  search(term: string): void;
  destroy(): void;
}

function panelOf(report: ReportDocument, source: ReportSource, names: readonly string[]): Panel {
  const lockSource = LOCK_SOURCES.find((each) => each === source.source);
  const locks = lockSource && report[lockSource];
  return locks
    ? new LockPanel(report, { ...source, source: lockSource }, locks, names)
    : new SourcePanel(report, source, names);
}

/** The panel of a tab; undefined where the report has no such tab. */
function panelFor(report: ReportDocument, id: string, names: readonly string[]): Panel | undefined {
  if (id === SOCKETS_TAB) return report.sockets ? new SocketPanel(report, report.sockets, names) : undefined;
  const source = report.sources.find((candidate) => candidate.source === id);
  return source && panelOf(report, source, names);
}

/** Shows a document in `root`, replacing what is there. */
export function mount(root: HTMLElement, report: ReportDocument): MountedPage {
  const names = functionNames(report);
  const listeners = new AbortController();
  const panels = new Map<string, Panel>();
  const described = [
    ...report.sources.map((source) => ({ id: source.source as string, title: source.title })),
    ...(report.sockets ? [{ id: SOCKETS_TAB, title: SOCKETS_TITLE }] : []),
  ];
  const tabs = new TabBar(described, (id, holder) => {
    if (panels.has(id)) return;
    const panel = panelFor(report, id, names);
    if (!panel) return;
    panels.set(id, panel);
    holder.append(panel.element);
    panel.start();
  });
  root.replaceChildren(
    headerSection(report),
    findingsSection(report),
    honestySection(report),
    described.length > 0
      ? tabs.element
      : el("p", { class: "empty" }, "This recording has no source: nothing was watched."),
  );

  const go = (hash: string): void => {
    const place = placeIn(hash);
    if (!place || !tabs.activate(place.tab)) return;
    panels.get(place.tab)?.search(place.search);
    tabs.element.scrollIntoView({ block: "start" });
  };
  const { signal } = listeners;
  window.addEventListener("hashchange", () => go(location.hash), { signal });
  // A second click on the link of a finding changes no hash.
  root.addEventListener(
    "click",
    (event) => {
      const link = (event.target as Element).closest("a.go");
      if (link instanceof HTMLAnchorElement && link.hash === location.hash) go(link.hash);
    },
    { signal },
  );
  const first = described.find(({ id }) => id === gravestTab(report)) ?? described[0];
  if (first) tabs.activate(first.id);
  go(location.hash);

  return {
    destroy: () => {
      listeners.abort();
      for (const panel of panels.values()) panel.destroy();
      root.replaceChildren();
    },
  };
}
