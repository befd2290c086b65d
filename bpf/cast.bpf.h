/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel memory behind a plain number: read directly where the kernel has bpf_rdonly_cast (6.2), else through a helper,
 * at ten times the cost.
 */
#ifndef LOWFLAME_CAST_H
#define LOWFLAME_CAST_H

#include <bpf/bpf_core_read.h>

#ifdef LF_RDONLY_CAST
extern void* bpf_rdonly_cast(const void* obj__ign, __u32 btf_id__k) __ksym;
#define LF_AT(type, p) ((struct type*)bpf_rdonly_cast((const void*)(p), bpf_core_type_id_kernel(struct type)))
#define LF_GET(type, p, field) (LF_AT(type, p)->field)
#define LF_GET_BITS(type, p, field) LF_GET(type, p, field)
#else
#define LF_GET(type, p, field)                                           \
  ({                                                                     \
    __typeof__(((struct type*)0)->field) value_ = 0;                     \
    bpf_core_read(&value_, sizeof(value_), &((struct type*)(p))->field); \
    value_;                                                              \
  })
/* of fields that older kernels have as bits */
#define LF_GET_BITS(type, p, field) BPF_CORE_READ_BITFIELD_PROBED((struct type*)(p), field)
#endif

#endif
