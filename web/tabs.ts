// Tabs, as the ARIA authoring practices describe them: one stop for the Tab key, arrows between them.
import { button, el } from "./dom.js";

export interface TabDescription {
  readonly id: string;
  readonly title: string;
}

/** A row of tabs and their panels; a panel is filled when its tab is first opened. */
export class TabBar {
  readonly element: HTMLElement;
  readonly #tabs = new Map<string, { tab: HTMLButtonElement; panel: HTMLElement }>();

  constructor(
    tabs: readonly TabDescription[],
    readonly onOpen: (id: string, holder: HTMLElement) => void,
  ) {
    for (const { id, title } of tabs) {
      const tab = button(title, () => this.activate(id), {
        role: "tab",
        id: `tab-${id}`,
        "aria-controls": `panel-${id}`,
      });
      const panel = el("div", { role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}` });
      panel.hidden = true;
      this.#tabs.set(id, { tab, panel });
    }
    const bar = el(
      "div",
      { role: "tablist", "aria-label": "Sources" },
      ...[...this.#tabs.values()].map(({ tab }) => tab),
    );
    bar.addEventListener("keydown", (event) => this.#key(event));
    this.element = el(
      "section",
      { class: "tabs", "aria-label": "Graphs" },
      bar,
      ...[...this.#tabs.values()].map(({ panel }) => panel),
    );
  }

  /** Opens a tab. @returns false if there is none of that id */
  activate(id: string): boolean {
    const chosen = this.#tabs.get(id);
    if (!chosen) return false;
    for (const { tab, panel } of this.#tabs.values()) {
      const active = tab === chosen.tab;
      tab.setAttribute("aria-selected", String(active));
      tab.tabIndex = active ? 0 : -1;
      panel.hidden = !active;
    }
    this.onOpen(id, chosen.panel);
    return true;
  }

  #key(event: KeyboardEvent): void {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const ids = [...this.#tabs.keys()];
    const current = ids.findIndex((id) => this.#tabs.get(id)!.tab === document.activeElement);
    const next = ids[(current + step + ids.length) % ids.length]!;
    this.activate(next);
    this.#tabs.get(next)!.tab.focus();
    event.preventDefault();
  }
}
