// Which kernels a test imitates besides this one. Older ones are tried for real by scripts/kernel-matrix.

/**
 * Sets of features to leave out, one test each: nothing, and where LOWFLAME_OLDER=1 also `missing`, as on an older kernel. The
 * main tests of each source imitate the older one always; the others only when asked, to keep the time of all checks.
 */
export const olderToo = (missing: readonly string[]): (readonly string[])[] =>
  process.env.LOWFLAME_OLDER === "1" ? [[], missing] : [[]];
