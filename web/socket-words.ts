// What the tab of sockets calls things.
import type { HistogramWords } from "./wait-histogram.js";

export const SOCKETS_TAB = "sockets";
export const SOCKETS_TITLE = "Sockets";

export const CALLS: HistogramWords = {
  one: "call",
  many: "calls",
  caption: "Number of calls by their length (two bars for each doubling)",
};
export const BUSY: HistogramWords = {
  ...CALLS,
  caption: "The same by the part that they were busy in the kernel",
};
export const ANSWERS: HistogramWords = {
  one: "answer",
  many: "answers",
  caption: "Number of answers by the time from the question to their first bytes",
};
export const CONNECTS: HistogramWords = {
  one: "connection",
  many: "connections",
  caption: "Number of connections that this side opened by the time until they were established",
};

/** Captions of the tables. */
export const CAPTIONS = {
  answers:
    "Who keeps whom waiting: from the question to the first bytes of the answer (exact; percentiles interpolated)",
  calls:
    "Calls on sockets (exact; percentiles interpolated in a histogram; read, write and close only where the descriptor is a socket)",
  waiting: "Calls in which programs wait for events",
  endpoints: "Other ends of sockets (exact; percentiles interpolated in a histogram)",
  tcp: "TCP connections by end (exact; p50, p99, longest: until established; queue: most that waited to be accepted, of how many may)",
  spinning:
    "Descriptors that find nothing to do: nearly every call says EAGAIN (lower bounds; stacks of a few such calls)",
  errors: "Errors by name, waiting calls left out",
  slow: "Slow calls one by one: busy for 10 ms or blocked for 100 ms, up to a rate",
  unfinished: "Calls that had not returned when the recording ended, oldest first",
} as const;
