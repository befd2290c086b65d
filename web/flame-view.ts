// The graph itself: d3-flame-graph, given only what can be seen. Zooming hands it a new, smaller tree, so a report
// of any size costs the same to draw; and all its texts and colours come from here.
import flamegraph, { type FlameGraph, type FlameNode } from "d3-flame-graph";
import { select } from "d3-selection";
import { timerFlush } from "d3-timer";
import { shortName } from "../src/model/short-name.js";
import { el } from "./dom.js";
import { fillOf } from "./kinds.js";
import type { Labels } from "./labels.js";
import { type DrawnFrame, prune } from "./prune.js";
import { clip, visible } from "./text.js";
import { type FrameText, frameTooltip } from "./tooltip.js";

const CELL_PX = 18;
/** A label is never wider than the graph; longer texts only cost layout time. */
const LABEL_LIMIT = 240;

export interface FlameScene {
  readonly labels: Labels;
  /** Node that fills the width. */
  readonly zoom: number;
  /** Selected node, -1 = none. */
  readonly selected: number;
  /** Null when no search is on. */
  readonly matches: ((node: number) => boolean) | null;
  /** Root at the top. */
  readonly icicle: boolean;
}

export interface FlameEvents {
  readonly describe: (node: number) => FrameText;
  readonly zoomTo: (node: number) => void;
  readonly select: (node: number) => void;
  readonly copy: () => void;
  readonly reset: () => void;
}

/** What stands in a frame. Only compilers of C++ and Rust make names that are too long to be read there. */
const labelOf = (labels: Labels, node: number): string =>
  labels.kind(node) === "user" ? shortName(labels.name(node)) : labels.name(node);

/** Draws scenes into its element and reports what the reader does there. */
export class FlameView {
  readonly element: HTMLElement;
  readonly #events: FlameEvents;
  readonly #host = el("div", { class: "flame" });
  readonly #resize: ResizeObserver;
  #chart: FlameGraph<DrawnFrame> | null = null;
  #scene: FlameScene | null = null;
  #width = 0;
  /** Frames that were left out of the last drawing although wide enough. */
  omitted = 0;

  constructor(events: FlameEvents) {
    this.#events = events;
    this.element = el(
      "div",
      {
        class: "flame-scroll",
        tabindex: 0,
        role: "group",
        "aria-label":
          "Flame graph. Arrow keys move between frames, Enter zooms, Escape zooms out, c copies the stack. " +
          "The table of functions below holds the same numbers.",
      },
      this.#host,
    );
    // Before d3-flame-graph sees it: its own zoom would only stretch what is drawn already.
    this.#host.addEventListener("click", (event) => this.#click(event), true);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.#resize = new ResizeObserver(() => {
      if (this.#scene && this.element.clientWidth !== this.#width) this.draw(this.#scene);
    });
    this.#resize.observe(this.element);
  }

  /** Draws; the first time also scrolls to the root. */
  draw(scene: FlameScene): void {
    const before = this.#scene;
    this.#scene = scene;
    this.#width = this.element.clientWidth;
    if (this.#width === 0) return;
    const { labels } = scene;
    const pruned = prune(labels.tree, scene.zoom, this.#width, (node) =>
      clip(visible(labelOf(labels, node)), LABEL_LIMIT),
    );
    this.omitted = pruned.omitted;
    this.#chart?.destroy();
    this.#host.replaceChildren();
    this.#chart = this.#newChart(scene);
    const host = select(this.#host).datum(pruned.root);
    this.#chart(host);
    this.#host.classList.toggle("searching", scene.matches !== null);
    if (scene.matches) this.#highlight(scene.matches);
    // The library sets widths and texts by transitions even where they last 0 ms: do it now, not two frames later.
    timerFlush();
    timerFlush();
    this.#mark(scene.selected);
    if (before?.labels.tree !== labels.tree || before.icicle !== scene.icicle || before.zoom !== scene.zoom) {
      this.element.scrollTop = scene.icicle ? 0 : this.element.scrollHeight;
    }
  }

  destroy(): void {
    this.#resize.disconnect();
    this.#chart?.destroy();
  }

  #newChart(scene: FlameScene): FlameGraph<DrawnFrame> {
    const { labels } = scene;
    const searching = scene.matches !== null;
    return flamegraph<DrawnFrame>()
      .width(this.#width)
      .cellHeight(CELL_PX)
      .minFrameSize(0.5) // pruned to 1 px already; 0 would switch the library's own filter off
      .transitionDuration(0)
      .inverted(scene.icicle)
      .resetHeightOnZoom(true)
      .tooltip(frameTooltip(this.#events.describe))
      .getName((frame) => frame.data.name)
      .setLabelHandler(() => "")
      .setDetailsHandler(() => {})
      .setSearchMatch((frame) => scene.matches?.(frame.data.node) ?? false)
      .setSearchHandler(() => {})
      .setColorMapper((frame) =>
        fillOf(labels.kind(frame.data.node), frame.data.name, searching && frame.highlight !== true),
      );
  }

  /** Shows matches: the library marks them; counts come from the whole tree, not from what is drawn. */
  #highlight(matches: (node: number) => boolean): void {
    this.#chart!.search("*");
    this.#frames().classed("match", (frame) => matches(frame.data.node));
  }

  #frames() {
    return select(this.#host).selectAll<SVGGElement, FlameNode<DrawnFrame>>("svg > g");
  }

  #mark(node: number): void {
    const marked = this.#frames().classed("selected", (frame) => frame.data.node === node);
    const frame = marked.filter(".selected").node();
    // Drawn last, so that neighbours do not cover the outline.
    if (frame) frame.parentNode?.append(frame);
  }

  #click(event: MouseEvent): void {
    const group = (event.target as Element).closest("g.frame");
    if (!group) return;
    event.stopPropagation();
    const frame = select<Element, FlameNode<DrawnFrame>>(group).datum();
    this.#events.zoomTo(frame.data.node);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#scene) return;
    const up = this.#scene.icicle ? "ArrowUp" : "ArrowDown";
    const down = this.#scene.icicle ? "ArrowDown" : "ArrowUp";
    const root = select<HTMLElement, FlameNode<DrawnFrame>>(this.#host).datum();
    const current = this.#find(root, this.#scene.selected) ?? root;
    const siblings = current.parent?.children ?? [current];
    const place = siblings.indexOf(current);
    const moves: Readonly<Record<string, FlameNode<DrawnFrame> | null | undefined>> = {
      [up]: current.parent,
      [down]: current.children?.[0],
      ArrowLeft: siblings[place - 1],
      ArrowRight: siblings[place + 1],
      Home: root,
    };
    if (Object.hasOwn(moves, event.key)) {
      const target = this.#scene.selected < 0 ? current : moves[event.key];
      if (target) this.#select(target);
    } else if (event.key === "Enter") this.#events.zoomTo(current.data.node);
    else if (event.key === "Escape") this.#events.reset();
    else if (event.key === "c") this.#events.copy();
    else return;
    event.preventDefault();
  }

  #select(frame: FlameNode<DrawnFrame>): void {
    this.#scene = { ...this.#scene!, selected: frame.data.node };
    this.#mark(frame.data.node);
    this.#frames().filter(".selected").node()?.scrollIntoView({ block: "nearest" });
    this.#events.select(frame.data.node);
  }

  #find(root: FlameNode<DrawnFrame>, node: number): FlameNode<DrawnFrame> | null {
    const stack = [root];
    for (let frame = stack.pop(); frame; frame = stack.pop()) {
      if (frame.data.node === node) return frame;
      stack.push(...(frame.children ?? []));
    }
    return null;
  }
}
