// Prints on a line of its own the histogram bucket of each time given, ns, as the BPF programs would choose it.
//
//   buckets NS...
#include "../../bpf/buckets.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    const __u64 ns = strtoull(argv[i], NULL, 10);
    if (lf_bucket(ns) != lf_bucket_of_short(ns)) return 1;
    printf("%u\n", lf_bucket(ns));
  }
  return 0;
}
