# What the scripts want of the machine: root, apt, the kernel's file systems; and files that stay the owner's.
# Sourced after steps.sh; wants ROOT, the checkout.

# require_machine: refuses what cannot work, before anything is changed.
require_machine() {
  [[ $(uname -s) == Linux ]] || fail "this is $(uname -s); lowflame profiles Linux only."
  [[ $(uname -m) == x86_64 ]] || fail "this machine is $(uname -m); lowflame is built for x86_64 only so far."
  ((EUID == 0)) || fail "root is needed to install packages and to load BPF programs. Run: sudo $0"
  command -v apt-get >/dev/null || fail "there is no apt-get here. Install by hand what scripts/lib/packages.sh lists, then run: npm ci && npm run build"
  # git refuses to read a checkout of another user, and root is another user
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="$ROOT"
}

# mount_kernel_filesystems: tracefs and bpffs where the system has not mounted them.
mount_kernel_filesystems() {
  mount_one tracefs /sys/kernel/tracing
  mount_one bpf /sys/fs/bpf
}

mount_one() {
  local type=$1 where=$2
  if [[ $(findmnt -n -o FSTYPE --mountpoint "$where" | tail -n 1) == "$type" ]]; then
    say "$where: mounted"
  elif [[ -d $where ]] && mount -t "$type" "$type" "$where"; then
    say "$where: $type was not mounted; it is now (until the next boot)"
  else
    say "$where: cannot be mounted here (in a container?); \"lowflame doctor\" says what that costs"
  fi
}

# give_back PATH…: what root made in a user's checkout becomes the user's, or the next build without sudo would fail.
give_back() {
  local owner path
  owner=$(stat -c %u:%g "$ROOT")
  if [[ $owner == 0:* ]] || ((EUID != 0)); then
    # a bare `return` in an EXIT trap gives the status from before the trap, and errexit would end the trap there
    return 0
  fi
  for path in "$@"; do
    if [[ -e $ROOT/$path ]]; then chown -hR "$owner" "$ROOT/$path"; fi
  done
}
