// Units in the type: a number of nanoseconds cannot be passed where bytes or a count are wanted.

declare const unit: unique symbol;

/** A span or point of CLOCK_MONOTONIC, in nanoseconds. Exact up to 2^53 ns (104 days), so spans are numbers. */
export type Nanoseconds = number & { readonly [unit]: "ns" };
export type Milliseconds = number & { readonly [unit]: "ms" };
export type Bytes = number & { readonly [unit]: "B" };
export type Hertz = number & { readonly [unit]: "Hz" };
/** A share of a whole, 0 to 1. */
export type Ratio = number & { readonly [unit]: "ratio" };

export const ns = (value: number): Nanoseconds => value as Nanoseconds;
export const ms = (value: number): Milliseconds => value as Milliseconds;
export const bytes = (value: number): Bytes => value as Bytes;
export const hertz = (value: number): Hertz => value as Hertz;
export const ratio = (value: number): Ratio => value as Ratio;

export const NS_PER_SECOND = 1_000_000_000;
export const nsToMs = (value: Nanoseconds): Milliseconds => ms(value / 1e6);
export const msToNs = (value: Milliseconds): Nanoseconds => ns(value * 1e6);
export const secondsToNs = (value: number): Nanoseconds => ns(value * NS_PER_SECOND);
