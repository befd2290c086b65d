// Lists the members of a capture from their heads alone, without inflating anything: how long, how big, how far.
import { openBytes } from "./bytes.js";
import { CaptureError } from "./errors.js";
import type { MemberKind } from "./member.js";
import { walkMembers } from "./walk.js";

export interface SkimmedMember {
  readonly kind: MemberKind;
  /** Of its first byte in the file. */
  readonly offset: number;
  /** Compressed bytes, head and trailer included. */
  readonly length: number;
  /** Nanoseconds since the start of the recording: latest sample of a batch, end of the recording. */
  readonly timeNs: bigint;
}

export interface SkimmedCapture {
  /** Format version of the writer. */
  readonly version: number;
  readonly members: readonly SkimmedMember[];
  /** One sentence where the file is cut or damaged as far as the heads tell; null where it is whole. */
  readonly damage: string | null;
}

/**
 * @param input path of a file or pipe, or the bytes themselves
 * @throws CaptureError where there is not even a first member
 */
export async function skimCapture(input: string | Uint8Array): Promise<SkimmedCapture> {
  const source = await openBytes(input);
  const members: SkimmedMember[] = [];
  let version = 0;
  try {
    for await (const { head, offset } of walkMembers(source, false)) {
      version ||= head.version;
      members.push({ kind: head.kind, offset, length: head.length, timeNs: head.timeNs });
    }
  } catch (error) {
    if (!(error instanceof CaptureError) || members.length === 0) throw error;
    return { version, members, damage: error.message };
  } finally {
    await source.close();
  }
  return { version, members, damage: null };
}
