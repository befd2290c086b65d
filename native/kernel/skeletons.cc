// The compiled BPF objects: see skeletons.h. Only the object bytes of the generated skeletons are used.
#include "skeletons.h"

#include <bpf/libbpf.h>

#include "lowflame_cpu.skel.h"
#include "lowflame_locks.skel.h"
#include "lowflame_locks_owners.skel.h"
#include "lowflame_offcpu.skel.h"
#include "lowflame_proc.skel.h"
#include "lowflame_slab.skel.h"
#include "lowflame_sockets.skel.h"
#include "lowflame_sockets_cast.skel.h"

namespace lowflame {

SkeletonData SkeletonBytes(Object::Kind kind) {
  size_t size = 0;
  switch (kind) {
    case Object::Kind::kCpu: {
      const void* bytes = lowflame_cpu::elf_bytes(&size);
      return {"lowflame_cpu", bytes, size, "lf_cpu_areas", "lf_cpu_rings", sizeof(lf_cpu_area)};
    }
    case Object::Kind::kOffCpu: {
      const void* bytes = lowflame_offcpu::elf_bytes(&size);
      return {"lowflame_offcpu", bytes, size, "lf_off_areas", "lf_off_rings", sizeof(lf_off_area)};
    }
    case Object::Kind::kLocks: {
      const void* bytes = lowflame_locks::elf_bytes(&size);
      return {"lowflame_locks", bytes, size, "lf_lock_areas", "lf_lock_rings", sizeof(lf_lock_area)};
    }
    case Object::Kind::kLocksOwners: {
      const void* bytes = lowflame_locks_owners::elf_bytes(&size);
      return {"lowflame_locks", bytes, size, "lf_lock_areas", "lf_lock_rings", sizeof(lf_lock_area)};
    }
    case Object::Kind::kSlab: {
      const void* bytes = lowflame_slab::elf_bytes(&size);
      return {"lowflame_slab", bytes, size, "", "", 0};
    }
    case Object::Kind::kSockets: {
      const void* bytes = lowflame_sockets::elf_bytes(&size);
      return {"lowflame_sockets", bytes, size, "lf_call_areas", "lf_call_rings", sizeof(lf_call_area)};
    }
    case Object::Kind::kSocketsCast: {
      const void* bytes = lowflame_sockets_cast::elf_bytes(&size);
      return {"lowflame_sockets", bytes, size, "lf_call_areas", "lf_call_rings", sizeof(lf_call_area)};
    }
    default: {
      const void* bytes = lowflame_proc::elf_bytes(&size);
      return {"lowflame_proc", bytes, size, "lf_proc_areas", "lf_proc_rings", sizeof(lf_proc_area)};
    }
  }
}

}  // namespace lowflame
