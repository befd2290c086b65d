// Made-up load for the bench: see synthetic.cc.
#pragma once

#include <napi.h>

namespace lowflame {

// makeSyntheticSource(stacks, depth) gives a function (count) => Batch. Not part of the typed binding.
Napi::Value MakeSyntheticSource(const Napi::CallbackInfo& info);

}  // namespace lowflame
