// Errors of the command line: every failure ends as one sentence, a hint and an exit code. Never as a stack trace.

/** Exit codes; the table in docs/cli.md explains each one. */
export const Exit = {
  ok: 0,
  /** Something in lowflame itself broke, or `doctor` found that `record` cannot work. */
  failure: 1,
  usage: 2,
  /** The kernel, the privileges or the addon do not allow a recording. */
  cannotRecord: 3,
  /** What `--pid`, `--cgroup` or `--cpu` names is not there. */
  noTarget: 4,
  output: 5,
  /** The capture cannot be read at all. */
  badCapture: 6,
  /** The capture is cut or damaged; what is whole was reported. */
  damagedCapture: 7,
  commandNotExecutable: 126,
  commandNotFound: 127,
  hangup: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** A failure that is explained to the user: `message` is one sentence, `hint` the next step. */
export class CliError extends Error {
  override readonly name = "CliError";
  /** Stable, for scripts (`--json` shows it), e.g. "BAD_DURATION". */
  readonly code: string;
  readonly exitCode: number;
  readonly hint: string;

  constructor(code: string, exitCode: number, message: string, hint = "", options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** A mistake in the command line itself. */
export const usageError = (code: string, message: string, hint = ""): CliError =>
  new CliError(code, Exit.usage, message, hint);

/** The `code` of a system or native error ("ENOENT", "EPERM_BPF"), "" when it has none. */
export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** First line of an error's message: stacks and nested reports stay out of the user's sight. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0] || "unknown error";
}

const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on that disk",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission was denied",
  EPERM: "permission was denied",
  ENOENT: "it does not exist",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "it is a directory",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many files are open (ulimit -n)",
  ENFILE: "too many files are open on this machine",
  EIO: "the device reported an I/O error",
  EFBIG: "the file would be larger than allowed (ulimit -f)",
  ELOOP: "too many symbolic links",
  ENODEV: "there is no such device",
  ENXIO: "there is no such device",
};

/** What a system error means, as the end of a sentence ("no space is left on that disk"). */
export function systemReason(error: unknown): string {
  return SYSTEM_WORDS[errorCode(error)] ?? firstLine(error);
}
