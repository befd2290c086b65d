// Stacks and tables made by hand: functions with a rule each, and the words of a stack.
import { Cfa, Machine, type Rule } from "./driver.js";

export const TEXT = 0x400000n;
export const STACK = 0x7ffc00000000n;
export const END: Rule = { cfa: Cfa.end };
export const NEVER = 0xffffffffffffffffn;
/** A number that is no address of anything. */
export const JUNK = 0x1111111111111111n;

/** Functions of 256 bytes each from TEXT on, one a rule, in one file at its own addresses; `gaps` have none. Words of stack from STACK. */
export function machine(
  rules: readonly Rule[],
  stack: readonly bigint[],
  more: { bias?: bigint; gaps?: readonly number[] } = {},
): Machine {
  const m = new Machine();
  const bias = more.bias ?? 0n;
  const rows = rules.map((rule, i) => ({
    from: TEXT + BigInt(256 * i),
    rule: more.gaps?.includes(i) ? 0 : m.rule(rule),
  }));
  const table = m.file([...rows, { from: TEXT + BigInt(256 * rules.length), rule: 0 }]);
  m.line("process", 1, 0, 1, 1, NEVER);
  m.line("mapping", TEXT + bias, 16, table, bias);
  m.stack(STACK, new Uint8Array(new BigUint64Array(stack).buffer));
  return m;
}
/** An address within the n-th function. */
export const inside = (n: number, offset = 16) => TEXT + BigInt(256 * n + offset);
export const at = (word: number) => STACK + BigInt(8 * word);
