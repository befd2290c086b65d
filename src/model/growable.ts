// Typed arrays that grow by doubling, for columns whose length is known only when the capture ends.

/** The array itself when it holds `needed` elements, else a copy at least twice as long (new elements are 0). */
export function grownUint8(array: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const next = new Uint8Array(Math.max(needed, array.length * 2));
  next.set(array);
  return next;
}

/** See grownUint8. */
export function grownUint32(array: Uint32Array<ArrayBuffer>, needed: number): Uint32Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const next = new Uint32Array(Math.max(needed, array.length * 2));
  next.set(array);
  return next;
}

/** See grownUint8. */
export function grownInt32(array: Int32Array<ArrayBuffer>, needed: number): Int32Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const next = new Int32Array(Math.max(needed, array.length * 2));
  next.set(array);
  return next;
}

/** See grownUint8. */
export function grownFloat32(array: Float32Array<ArrayBuffer>, needed: number): Float32Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const next = new Float32Array(Math.max(needed, array.length * 2));
  next.set(array);
  return next;
}

/** See grownUint8. */
export function grownFloat64(array: Float64Array<ArrayBuffer>, needed: number): Float64Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const next = new Float64Array(Math.max(needed, array.length * 2));
  next.set(array);
  return next;
}

/** See grownUint8. */
export function grownBigUint64(
  array: BigUint64Array<ArrayBuffer>,
  needed: number,
): BigUint64Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const next = new BigUint64Array(Math.max(needed, array.length * 2));
  next.set(array);
  return next;
}
