// 64-bit integers between BigInt and protobuf. protobufjs writes a BigInt as 0 without a word, so every one goes
// through here, as two 32-bit words.
import Long from "long";

const MAX_UINT64 = (1n << 64n) - 1n;

/**
 * A BigInt as protobufjs wants a fixed64.
 * @param what name of the value, for the message
 * @throws RangeError where the value does not fit into 64 unsigned bits
 */
export function toFixed64(value: bigint, what: string): Long {
  if (typeof value !== "bigint" || value < 0n || value > MAX_UINT64) {
    throw new RangeError(`${what} is ${String(value)}, which is not an unsigned 64-bit integer`);
  }
  return new Long(Number(value & 0xffffffffn), Number(value >> 32n), true);
}

/** A decoded fixed64 as BigInt, exactly. */
export function fromFixed64(value: Long): bigint {
  return (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0);
}
