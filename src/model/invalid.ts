// Counts what a damaged capture refers to but does not hold, so that the reader is told and nothing crashes.

const WORDING = {
  columns: "tables shorter than they say",
  frames: "frames outside the tables",
  stacks: "stacks outside the tables",
  samples: "samples with an impossible weight",
  threads: "samples of threads that are not in the capture",
  processes: "processes that are not in the capture",
  names: "names of frames that are not in the capture",
  sources: "source lines of frames that are not in the capture",
  endpoints: "ends of sockets that are not in the capture or impossible",
  calls: "socket calls with impossible times",
  connections: "counts of TCP connections that are impossible",
  locks: "locks that are not in the capture or of no known kind",
} as const;

export type InvalidKind = keyof typeof WORDING;

export class InvalidCounts {
  readonly #counts = new Map<InvalidKind, number>();

  add(kind: InvalidKind, count = 1): void {
    if (count > 0) this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + count);
  }

  /** One sentence for the reader, or undefined when everything referred to was there. */
  note(): string | undefined {
    if (this.#counts.size === 0) return undefined;
    const parts = [...this.#counts].map(([kind, count]) => `${count} ${WORDING[kind]}`);
    return `The capture is damaged: ${parts.join(", ")}. What belongs to them is shown under [unknown]; record again if it matters.`;
  }
}
