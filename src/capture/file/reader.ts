// Reads a capture as the events that were written, one member in memory at a time.
import type { CaptureEvent } from "../events.js";
import { type ByteSource, openBytes } from "./bytes.js";
import { decodeMember } from "./decode.js";
import type { WritableEvent } from "./encode.js";
import { CaptureError, messageOf } from "./errors.js";
import { type MemberHead, openMember } from "./member.js";
import { damagedError, type Walked, walkMembers } from "./walk.js";

export { isCapture } from "./member.js";
export { type SkimmedCapture, type SkimmedMember, skimCapture } from "./skim.js";

/**
 * The events of a capture, in order. The first is always the header. Where the file ends too early or breaks, every
 * whole member before that is delivered, and then one `damage` event with a sentence for the user; nothing follows it.
 * @param input path of a file or pipe (its name does not matter), or the bytes themselves
 * @throws CaptureError before the first event, where there is not even a header to show
 */
export async function* readCapture(input: string | Uint8Array): AsyncGenerator<CaptureEvent> {
  const source = await openBytes(input);
  let delivered = false;
  try {
    for await (const walked of walkMembers(source, true)) {
      const event = await eventOf(source, walked);
      if (event) {
        yield event;
        delivered = true;
      }
    }
  } catch (error) {
    if (!(error instanceof CaptureError) || !delivered) throw error;
    yield { type: "damage", message: error.message };
  } finally {
    await source.close();
  }
}

async function eventOf(source: ByteSource, { head, offset, bytes }: Walked): Promise<WritableEvent | null> {
  try {
    const { event, timeNs } = decodeMember(await openMember(bytes), head.version);
    agree(head, event, timeNs);
    return event;
  } catch (error) {
    throw damagedError(source, offset, `the record there cannot be read (${messageOf(error)})`);
  }
}

// gzip's checksum does not cover the extra field, so what stands there is held against the content.
function agree(head: MemberHead, event: WritableEvent | null, timeNs: bigint): void {
  const kind = event?.type ?? "other";
  if (head.kind !== kind) throw new Error(`it is "${kind}", but its extra field says "${head.kind}"`);
  if (head.timeNs !== timeNs)
    throw new Error(`its time is ${timeNs} ns, but its extra field says ${head.timeNs} ns`);
}
