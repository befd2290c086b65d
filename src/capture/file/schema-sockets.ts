// The totals of sockets at the end of a recording, as messages of the schema.

/** Text in protobuf's language, part of schema.ts. */
export const SOCKET_TOTALS = `message CallTotal {
  sint32 process = 1;
  sint32 syscall = 2; // -1: calls without a row of their own
  double count = 3;
  double bytes = 4;
  double errors = 5;
  repeated ErrorCount by_error = 6;
  double busy_ns = 7;
  double blocked_ns = 8;
  double waiting_ns = 9;
  double max_ns = 10;
  repeated double buckets = 11;
  repeated double busy_buckets = 12;
}
message ErrorCount {
  uint32 errno = 1; // 0: others
  double count = 2;
}
message EndpointTotal {
  sint32 process = 1;
  sint32 endpoint = 2; // -1: endpoints without a row of their own
  double count = 3;
  double bytes_out = 4;
  double bytes_in = 5;
  double errors = 6;
  double again = 7;
  double busy_ns = 8;
  double blocked_ns = 9;
  double waiting_ns = 10;
  double max_ns = 11;
  repeated double buckets = 12;
  double turns = 13;
  double turn_sum_ns = 14;
  double turn_max_ns = 15;
  repeated double turn_buckets = 16;
  double queue_max = 17;
  double queue_limit = 18; // 0: not known
  double whole_sum_ns = 19;
  double whole_max_ns = 20;
  repeated double whole_buckets = 21; // empty: not known
  double late_reads = 22;
  double late_sum_ns = 23;
  double late_max_ns = 24;
  double pauses = 25;
  double late_passed_ns = 26; // 0 with late reads: not known, nor the next two
  double late_awake_ns = 27;
  double late_slept_ns = 28;
  double unanswered = 29;
  double closed = 30;
  double closed_sum_ns = 31;
  double closed_max_ns = 32;
  repeated double closed_buckets = 33;
  double unanswered_sum_ns = 34;
}
message DescriptorTotal {
  sint32 process = 1;
  sint32 fd = 2;
  sint32 endpoint = 3;
  double count = 4;
  double again = 5;
  double for_ns = 6;
  double worst_count = 7;
  double worst_again = 8;
  double worst_ns = 9;
}
message TcpTotal {
  sint32 endpoint = 1; // -1: endpoints without a row of their own
  double connects = 2;
  double connects_failed = 3;
  double connect_sum_ns = 4;
  double connect_max_ns = 5;
  repeated double connect_buckets = 6;
  double accepted = 7;
  double closes = 8;
  double resets_sent = 9;
  double resets_received = 10;
  double retransmits = 11;
  double connects_unanswered = 12;
  double connects_failed_ns = 13;
}
message Connecting {
  sint32 process = 1; // -1: not known
  sint32 endpoint = 2;
  double count = 3;
  double unanswered = 4;
  double sent_again = 5;
  double max_ns = 6;
}
message CloseWait {
  sint32 process = 1; // -1: not known
  sint32 endpoint = 2;
  double count = 3;
  sint32 fd = 4; // -1: not known
}
message ListenQueue {
  sint32 process = 1; // -1: not known
  sint32 endpoint = 2;
  double length = 3;
  double capacity = 4; // 0: not known
}
message TcpCounters {
  double listen_overflows = 1;
  double listen_drops = 2;
  double close_wait_at_end = 3;
  double tick_ns = 4; // 0: not known
}
`;
