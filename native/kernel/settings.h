// What the programs find in their .rodata.
#pragma once

#include "objects.h"

namespace lowflame {

// `config` as the programs take it. The verifier drops what is switched off here.
lf_settings SettingsOf(const ObjectConfig& config);

}  // namespace lowflame
