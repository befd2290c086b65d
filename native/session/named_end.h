// The other end that a call which has not returned names in its own arguments: of a unix socket that is still to be
// connected, of a datagram on its way. The kernel holds a copy that nobody can see; the caller's memory still has it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "../../bpf/events.h"

namespace lowflame {

struct NamedEnd {
  lf_endpoint end;
  std::string name;  // of a unix socket
};

// Of call.tid, which sleeps in the call. Nothing if its socket has another end, the call names none, or the memory
// cannot be read.
std::optional<NamedEnd> EndNamedBy(const lf_open_call& call);

}  // namespace lowflame
