// Kinds of frames: what each is called and how it is coloured. The colours themselves stand in style/page.css.
import type { FrameKind } from "../src/capture/binding.js";

export const KIND_LABELS: Readonly<Record<FrameKind, string>> = {
  kernel: "kernel",
  bpf: "BPF program",
  user: "user",
  jit: "JIT (generated code)",
  vdso: "vDSO (kernel code run in user mode)",
  unknown: "unknown",
};

/** What an inlined function is called in the legend. */
export const INLINED_LABEL = "inlined function";

export type ColourName = FrameKind | "inlined" | "group";

/** Small and stable: neighbours of one kind get one of two shades, so that frames can be told apart. */
function shade(name: string): number {
  let sum = 0;
  for (let index = 0; index < Math.min(name.length, 24); index++)
    sum = (sum * 31 + name.charCodeAt(index)) | 0;
  return (sum >>> 0) % 2;
}

/** Fill of a frame; `dimmed` when a search is on and it does not match. */
export function fillOf(kind: ColourName, name: string, dimmed: boolean): string {
  return dimmed ? `var(--dim-${kind})` : `var(--${kind}-${shade(name)})`;
}
