// The one error type of the capture file: a stable code, and a sentence with the cause, the value found and what to do.

export const CAPTURE_ERRORS = [
  "CAPTURE_NOT_FOUND",
  "CAPTURE_IS_DIRECTORY",
  "CAPTURE_UNREADABLE",
  "CAPTURE_EMPTY",
  "CAPTURE_NOT_A_CAPTURE",
  "CAPTURE_NEWER_VERSION",
  "CAPTURE_TRUNCATED",
  "CAPTURE_DAMAGED",
  "CAPTURE_CONCATENATED",
  "CAPTURE_OPEN_FAILED",
  "CAPTURE_WRITE_FAILED",
  "CAPTURE_TOO_LARGE",
] as const;
export type CaptureErrorCode = (typeof CAPTURE_ERRORS)[number];

export interface CaptureErrorDetails {
  /** File, when there is one. */
  readonly path?: string;
  /** Code of the system's error, e.g. "ENOSPC". */
  readonly systemCode?: string;
  /** Bytes of whole members that are safely in the file (writing), or that were read before the trouble (reading). */
  readonly bytes?: number;
}

/** Trouble with a capture file. `message` can be shown to the user as it is. */
export class CaptureError extends Error {
  override readonly name = "CaptureError";
  readonly path: string | undefined;
  readonly systemCode: string | undefined;
  readonly bytes: number | undefined;

  constructor(
    readonly code: CaptureErrorCode,
    message: string,
    details: CaptureErrorDetails = {},
  ) {
    super(message);
    this.path = details.path;
    this.systemCode = details.systemCode;
    this.bytes = details.bytes;
  }
}

/** Code of an error from the system ("ENOSPC", "ERR_BUFFER_TOO_LARGE"), or "" where it has none. */
export function systemCodeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** What an error says, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
