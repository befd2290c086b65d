// The pieces that the commands put together, as one object: tests hand over a fake addon and a fake machine.
import type { Finding } from "../analysis/finding.js";
import type { NativeBinding } from "../capture/binding.js";
import type { CaptureEvent } from "../capture/events.js";
import type { StackSource } from "../capture/sample-sources.js";
import type { CsvTable } from "../export/csv-tables.js";
import type { FormatName } from "../export/index.js";
import type { Profile } from "../model/profile.js";
import type { SignalSource } from "./signals.js";
import type { SystemView } from "./system.js";
import type { Terminal } from "./terminal.js";

/** Writes a capture file, event by event. */
export interface CaptureSink {
  /** Settled when the next event may come; rejects when the file cannot take it. */
  write(event: CaptureEvent): Promise<void>;
  /** Writes what still waits. Call it also after a failed write: whole members stay on disk. */
  close(): Promise<void>;
}

/** Builds the model, event by event. */
export interface ModelBuilder {
  add(event: CaptureEvent): void;
  build(): Profile;
}

export interface CliDeps {
  readonly loadBinding: () => NativeBinding;
  readonly openCapture: (path: string) => Promise<CaptureSink>;
  readonly readCapture: (path: string) => AsyncIterable<CaptureEvent>;
  readonly createBuilder: () => Promise<ModelBuilder>;
  readonly analyze: (profile: Profile) => Promise<readonly Finding[]>;
  readonly render: (
    format: FormatName,
    profile: Profile,
    findings: readonly Finding[],
    part?: StackSource | CsvTable,
  ) => Promise<string | Uint8Array>;
  readonly system: SystemView;
  readonly terminal: Terminal;
  readonly signals: SignalSource;
  /** Ends the process at once; used only when the user gives up on a recording. */
  readonly exitNow: (code: number) => void;
  readonly now: () => Date;
  readonly cwd: string;
  readonly hostname: string;
  readonly version: string;
}
