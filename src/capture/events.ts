// What a capture is, live or replayed: one header, batches, one end. Everything after this arrow sees only these events.
import type { RecordingFacts } from "../model/profile.js";
import type { Batch, FinalFacts, StartFacts } from "./binding.js";

export type CaptureEvent =
  | { readonly type: "header"; readonly facts: Omit<RecordingFacts, "endReason">; readonly start: StartFacts }
  | { readonly type: "batch"; readonly batch: Batch }
  | { readonly type: "end"; readonly final: FinalFacts; readonly endReason: string }
  /** The file ended or broke before its end; all whole members before that were delivered. One clear sentence. */
  | { readonly type: "damage"; readonly message: string };
