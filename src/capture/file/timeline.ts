// The time that a member carries in its head, in nanoseconds since the start of the recording.
import type { Batch } from "../binding.js";
import type { WritableEvent } from "./encode.js";

/** Goes along with the events of one capture, in order. */
export class Timeline {
  #startNs: bigint | null = null;
  #latestNs = 0n;

  /**
   * Header: 0. Batch: its latest sample, or where it has none the time of the batch before. End: the length of the
   * recording.
   */
  at(event: WritableEvent): bigint {
    switch (event.type) {
      case "header":
        this.#startNs = event.start.startMonotonicNs;
        this.#latestNs = 0n;
        return 0n;
      case "batch":
        this.#latestNs = latestSampleNs(event.batch) ?? this.#latestNs;
        return this.#latestNs;
      case "end": {
        const length = this.#startNs === null ? this.#latestNs : event.final.endMonotonicNs - this.#startNs;
        return length > 0n ? length : 0n;
      }
    }
  }
}

function latestSampleNs({ samples }: Batch): bigint | null {
  let latest = -1;
  for (const { timeNs, count } of samples) {
    for (let i = 0; i < count; i++) if (timeNs[i]! > latest) latest = timeNs[i]!;
  }
  return latest >= 0 && latest < 2 ** 63 ? BigInt(Math.floor(latest)) : null;
}
