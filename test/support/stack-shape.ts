// The shape of many user stacks, whoever walked them: how many reach the first frame of their thread, and in how many each
// function is. Two shapes of one load can be held against each other.

export interface OneStack {
  readonly count: number;
  /** It reaches the first frame of its thread. */
  readonly whole: boolean;
  readonly outermost: string;
  /** One of each. */
  readonly functions: ReadonlySet<string>;
}

export interface StackShape {
  readonly stacks: number;
  readonly whole: number;
  /** Whole stacks that a function is in: a yardstick that loses its way says nothing of who called. */
  readonly inclusive: ReadonlyMap<string, number>;
  /** Where those that are not whole end. */
  readonly ends: ReadonlyMap<string, number>;
}

export function shapeOf(stacks: Iterable<OneStack>): StackShape {
  let all = 0;
  let whole = 0;
  const inclusive = new Map<string, number>();
  const ends = new Map<string, number>();
  for (const stack of stacks) {
    all += stack.count;
    if (!stack.whole) {
      ends.set(stack.outermost, (ends.get(stack.outermost) ?? 0) + stack.count);
      continue;
    }
    whole += stack.count;
    for (const name of stack.functions) inclusive.set(name, (inclusive.get(name) ?? 0) + stack.count);
  }
  return { stacks: all, whole, inclusive, ends };
}

export interface SharePair {
  readonly name: string;
  readonly ours: number;
  readonly theirs: number;
  /** Most that chance lets them differ by. */
  readonly bound: number;
}

/**
 * Inclusive shares, among whole stacks, of the functions that are hottest in either. The bound is four standard deviations of the difference of two
 * binomial shares, and one point.
 */
export function compareShares(
  ours: StackShape,
  theirs: StackShape,
  options: { most?: number; only?: (name: string) => boolean } = {},
): SharePair[] {
  const { most = 20, only = () => true } = options;
  const hottest = (shape: StackShape) =>
    [...shape.inclusive]
      .filter(([name]) => only(name))
      .sort((a, b) => b[1] - a[1])
      .slice(0, most)
      .map(([name]) => name);
  return [...new Set([...hottest(theirs), ...hottest(ours)])].map((name) => {
    const [a, b] = [ours.inclusive.get(name) ?? 0, theirs.inclusive.get(name) ?? 0];
    const pooled = (a + b) / (ours.whole + theirs.whole);
    const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / ours.whole + 1 / theirs.whole));
    return { name, ours: a / ours.whole, theirs: b / theirs.whole, bound: 4 * deviation + 0.01 };
  });
}

/** Those that differ by more than chance, as sentences. */
export function disagreements(pairs: readonly SharePair[]): string[] {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return pairs
    .filter((pair) => Math.abs(pair.ours - pair.theirs) > pair.bound)
    .map((p) => `${p.name}: ${percent(p.ours)}, perf has ${percent(p.theirs)} (bound ${percent(p.bound)})`);
}

/** Where the stacks that are not whole end, most frequent first. */
export function topEnds(shape: StackShape, most = 8): string {
  return [...shape.ends]
    .sort((a, b) => b[1] - a[1])
    .slice(0, most)
    .map(([name, count]) => `${count} at ${name}`)
    .join(", ");
}
