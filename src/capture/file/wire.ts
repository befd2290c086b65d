// protobufjs's reader and writer, made strict where they are lenient: its writer wraps numbers around without a word
// and writes lone surrogates that its own reader then refuses; its reader makes as many objects as the input asks for.
import protobuf from "protobufjs";
import { CaptureError } from "./errors.js";
import { MAX_MESSAGE_BYTES, MAX_MESSAGE_FIELDS } from "./limits.js";
import { MemberType } from "./schema.js";

const LONE_SURROGATE = /\p{Surrogate}/u;
const LONE_SURROGATES = /\p{Surrogate}/gu;

class StrictWriter extends protobuf.BufferWriter {
  override uint32(value: number): this {
    return super.uint32(whole(value, 0, 0xffffffff)) as this;
  }
  override int32(value: number): this {
    return super.int32(whole(value, -0x80000000, 0x7fffffff)) as this;
  }
  override sint32(value: number): this {
    return super.sint32(whole(value, -0x80000000, 0x7fffffff)) as this;
  }
  /** Half a surrogate pair has no UTF-8 form; it becomes U+FFFD, as in every output that is UTF-8. */
  override string(value: string): this {
    return super.string(
      LONE_SURROGATE.test(value) ? value.replace(LONE_SURROGATES, "\ufffd") : value,
    ) as this;
  }
}

function whole(value: number, lowest: number, highest: number): number {
  if (Number.isInteger(value) && value >= lowest && value <= highest) return value;
  throw new RangeError(`${value} is not a whole number from ${lowest} to ${highest}`);
}

class StrictReader extends protobuf.BufferReader {
  #fields = 0;

  // Called once for every field of every message.
  override tag(): number {
    if (++this.#fields > MAX_MESSAGE_FIELDS) {
      throw new RangeError(`it holds more than ${MAX_MESSAGE_FIELDS} fields`);
    }
    return super.tag();
  }
}

/**
 * Protobuf bytes of a member.
 * @throws RangeError where a number does not fit its field; CaptureError CAPTURE_TOO_LARGE where the message is too big
 */
export function encodeMessage(message: Record<string, unknown>): Uint8Array {
  const bytes = MemberType.encode(message, new StrictWriter()).finish();
  if (bytes.length <= MAX_MESSAGE_BYTES) return bytes;
  throw new CaptureError(
    "CAPTURE_TOO_LARGE",
    `One record of the capture is ${bytes.length} bytes, more than the ${MAX_MESSAGE_BYTES} that a reader accepts; record for a shorter time.`,
  );
}

/**
 * A member as a plain object, camelCase, every absent field with its default; absent messages are null or missing.
 * Unknown fields are left out.
 * @throws Error where the bytes are not such a message
 */
export function decodeMessage(bytes: Buffer): Record<string, unknown> {
  return MemberType.toObject(MemberType.decode(new StrictReader(bytes)), { defaults: true });
}
