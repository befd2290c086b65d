// The box beside the pointer: name, numbers, origin. Its content is set as text.
import type { FlameNode, Tooltip } from "d3-flame-graph";
import { el } from "./dom.js";
import type { DrawnFrame } from "./prune.js";
import { clip } from "./text.js";

const MARGIN = 12;
/** Longer names are cut here; the whole name stands below the graph once the frame is selected. */
const NAME_LIMIT = 600;

export interface FrameText {
  readonly name: string;
  readonly lines: readonly string[];
}

/** A tooltip for d3-flame-graph; `describe` says what stands in it. */
export function frameTooltip(describe: (node: number) => FrameText): Tooltip<DrawnFrame> {
  const box = el("div", { class: "tip", "aria-hidden": "true" });
  const place = (event: MouseEvent): void => {
    const { offsetWidth: width, offsetHeight: height } = box;
    const right = event.clientX + MARGIN;
    const below = event.clientY + MARGIN;
    box.style.left = `${right + width > innerWidth ? Math.max(4, event.clientX - width - MARGIN) : right}px`;
    box.style.top = `${below + height > innerHeight ? Math.max(4, event.clientY - height - MARGIN) : below}px`;
  };
  const show = (event: MouseEvent, frame: FlameNode<DrawnFrame>): void => {
    const text = describe(frame.data.node);
    box.replaceChildren(
      el("div", { class: "tip-name" }, clip(text.name, NAME_LIMIT)),
      ...text.lines.map((line) => el("div", {}, line)),
    );
    box.classList.add("on");
    place(event);
  };
  return Object.assign(
    () => {
      document.body.append(box);
    },
    { show, hide: () => box.classList.remove("on"), destroy: () => box.remove() },
  );
}
