// States of TCP sockets: include/net/tcp_states.h of the kernel.
#pragma once

namespace lowflame {

constexpr unsigned kCloseWait = 8, kListen = 10;

}  // namespace lowflame
