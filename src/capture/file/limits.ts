// Bounds of the capture file. What the writer makes stays far below what the reader accepts, so that a bound
// can be lowered or a record can grow without making old files unreadable.

/** Compressed bytes of one member that a reader accepts. A longer length field is damage, not an allocation. */
export const MAX_MEMBER_BYTES = 64 * 1024 * 1024;
/** Bytes that one member may inflate to. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Rows of all columns together in one member that a reader accepts. */
export const MAX_COLUMN_ROWS = 1 << 22;
/**
 * Protobuf fields in one member that a reader accepts. Two bytes of input can ask for one object, so without
 * this bound 64 MiB of made-up input could ask for gigabytes.
 */
export const MAX_MESSAGE_FIELDS = 1 << 20;

/** Rows of one kind of column that the writer puts into one member; longer batches become several members. */
export const SPLIT_COLUMN_ROWS = 1 << 18;
/** Table rows (processes, threads, modules, names, locks, endpoints, calls, counts of sockets) that the writer puts into one member. */
export const SPLIT_TABLE_ROWS = 1 << 16;
/** UTF-16 units of names that the writer puts into one member. */
export const SPLIT_TEXT_UNITS = 1 << 22;

/** Uncompressed bytes that may wait for compressing and writing before `CaptureWriter` makes its caller wait. */
export const PENDING_BYTES = 16 * 1024 * 1024;
