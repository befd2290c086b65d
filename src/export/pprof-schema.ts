// Field numbers of the pprof format, from github.com/google/pprof proto/profile.proto. Messages are written field by
// field with protobufjs' Writer: a million samples as JavaScript objects would take gigabytes.

/** Wire tag: field number and wire type (0 = varint, 2 = length-delimited). */
const varint = (field: number): number => field << 3;
const delimited = (field: number): number => (field << 3) | 2;

export const ProfileTag = {
  sampleType: delimited(1),
  sample: delimited(2),
  mapping: delimited(3),
  location: delimited(4),
  function: delimited(5),
  stringTable: delimited(6),
  timeNanos: varint(9),
  durationNanos: varint(10),
  periodType: delimited(11),
  period: varint(12),
  comment: varint(13),
  defaultSampleType: varint(14),
} as const;

export const ValueTypeTag = { type: varint(1), unit: varint(2) } as const;
export const SampleTag = { locationId: delimited(1), value: delimited(2), label: delimited(3) } as const;
export const LabelTag = { key: varint(1), str: varint(2), num: varint(3) } as const;
export const MappingTag = {
  id: varint(1),
  filename: varint(5),
  buildId: varint(6),
  hasFunctions: varint(7),
  hasFilenames: varint(8),
  hasLineNumbers: varint(9),
  hasInlineFrames: varint(10),
} as const;
export const LocationTag = { id: varint(1), mappingId: varint(2), line: delimited(4) } as const;
export const LineTag = { functionId: varint(1), line: varint(2) } as const;
export const FunctionTag = {
  id: varint(1),
  name: varint(2),
  filename: varint(4),
} as const;
