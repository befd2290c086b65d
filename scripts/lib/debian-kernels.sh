# Kernels of Debian: finds a package by a short name, downloads it and keeps what a boot needs of it. Sourced by
# kernel-matrix. Uses an apt of its own (sources, lists, cache below $KERNELS), so the machine's stays as it is.
#
#   KERNELS   folder of all this; each kernel ends up as $KERNELS/RELEASE/{vmlinux,initrd.gz}
#   die TEXT  given by the caller

# The machine's own Debian mirror, where it has one.
debian_mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -nE 's#^(URIs:|deb( \[[^]]*\])?) +(https?://[^ ]*/debian)/?( .*)?$#\3#p' | head -n1)
  echo "${LOWFLAME_DEBIAN_MIRROR:-${found:-http://deb.debian.org/debian}}"
}

# apt-get or apt-cache with the private settings.
private_apt() { APT_CONFIG=$KERNELS/apt/apt.conf "$@"; }

# Lists of packages, refreshed once a day. Without a network the old ones serve.
refresh_lists() {
  local dir=$KERNELS/apt key=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  [ -z "$(find "$dir/fresh" -mmin -1440 2>/dev/null)" ] || return 0
  [ -e "$key" ] || die "no $key: apt-get install debian-archive-keyring"
  mirror=$(debian_mirror)
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
  for suite in bookworm trixie trixie-backports; do
    echo "deb [arch=amd64 signed-by=$key] $mirror $suite main"
  done > "$dir/sources.list"
  for suite in bookworm-security trixie-security; do
    echo "deb [arch=amd64 signed-by=$key] $mirror-security $suite main"
  done >> "$dir/sources.list"
  cat > "$dir/apt.conf" <<CONF
Dir::State::lists "$dir/lists";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "amd64";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
  if private_apt apt-get -q update > "$dir/update.log" 2>&1; then
    touch "$dir/fresh"
  else
    [ -e "$dir/fresh" ] || die "cannot read Debian's package lists from $mirror: $(tail -n1 "$dir/update.log")"
    echo "kernel-matrix: no new package lists ($(tail -n1 "$dir/update.log")); using the old ones" >&2
  fi
}

# Release of the newest signed kernel of a line: 6.1 -> 6.1.0-56-amd64, 6.1-rt -> 6.1.0-56-rt-amd64,
# 7 -> 7.2.12+deb13-amd64. A whole version (6.18.15+deb13) names itself. Empty when there is none.
resolve_release() { # NAME
  local line=${1%-rt} other='-(cloud|rt)-'
  [ "$line" = "$1" ] || other='-cloud-|[^t]-amd64$'
  private_apt apt-cache pkgnames linux-image- |
    grep -E "^linux-image-${line//./\\.}([.+-][0-9a-z.+~-]*)?-amd64$" |
    grep -Ev -e '-unsigned|-dbg' -e "$other" | sed 's/^linux-image-//' | sort -V | tail -n1
}

# Downloads and unpacks a kernel unless that was done; since 7.x it comes in several packages.
prepare_kernel() { # RELEASE
  local release=$1 dir=$KERNELS/$1 work name names=() part
  [ ! -e "$dir/initrd.gz" ] || [ "$dir/initrd.gz" -ot "$HERE/lib/guest-init" ] || return 0
  work=$(mktemp -d "$KERNELS/.new.XXXXXX")
  for part in image base binary modules; do
    name=linux-$part-$release
    ! private_apt apt-cache show "$name" > /dev/null 2>&1 || names+=("$name")
  done
  (cd "$work" && private_apt apt-get -q download "${names[@]}") > "$work/log" 2>&1 ||
    { tail -n3 "$work/log" >&2; rm -rf "$work"; die "cannot download ${names[*]}"; }
  for name in "$work"/*.deb; do
    dpkg-deb --fsys-tarfile "$name" | tar -x -C "$work" --wildcards './boot/vmlinuz*' './usr/lib/modules/*' \
      './lib/modules/*' 2> /dev/null || :   # a pattern without a match is no error
  done
  unpack_image "$work" "$release"
  make_initrd "$work" "$release"
  mkdir -p "$dir"
  mv "$work/vmlinux" "$dir/" && mv "$work/initrd.gz" "$dir/"
  rm -rf "$work"
}

# The ELF kernel out of the compressed image: an emulated CPU takes seconds to unpack it at each boot.
# Layout: Documentation/arch/x86/boot.rst (setup_sects 0x1f1, header magic 0x202, payload_offset and _length 0x248).
unpack_image() { # WORK RELEASE
  local image setup offset length
  image=$(find "$1" -name 'vmlinuz*' -type f | head -n1)
  [ -n "$image" ] || die "the packages of $2 hold no vmlinuz"
  field() { od -An "-tu$2" -j"$1" -N"$2" "$image" | tr -d ' '; }
  setup=$(field $((0x1f1)) 1)
  [ "$setup" != 0 ] || setup=4
  offset=$(((setup + 1) * 512 + $(field $((0x248)) 4)))
  length=$(($(field $((0x24c)) 4) - 4))   # the last four bytes are the unpacked size
  payload() { dd if="$image" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count="$length" status=none; }
  case $(payload | head -c4 | od -An -tx1 | tr -d ' \n') in
    fd377a58) payload | xz -dc --single-stream ;;
    28b52ffd) payload | zstd -dcq ;;
    02214c18) payload | lz4 -dcq ;;
    1f8b*) payload | gzip -dc ;;
    *) die "$image is packed in a way that is not known here" ;;
  esac > "$1/vmlinux"
}

# An initial file system of busybox, lib/guest-init and the modules that reach the host's files.
make_initrd() { # WORK RELEASE
  local root=$1/initrd modules name
  modules=$(find "$1" -type d -path "*/modules/$2" | head -n1)
  [ -n "$modules" ] || die "the packages of $2 hold no modules"
  mkdir -p "$root"/{bin,dev,proc,sys,modules,host,writes,root}
  : > "$root/modules/order"
  cp "$(command -v busybox)" "$root/bin/busybox"
  install -m 755 "$HERE/lib/guest-init" "$root/init"
  for name in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
    add_module "$modules" "$root/modules" "$name" || die "kernel $2 has no module $name"
  done
  (cd "$root" && find . | busybox cpio -o -H newc 2> /dev/null | gzip -1) > "$1/initrd.gz"
}

# Copies a module after those that it needs, unpacked, and notes the order. Built-in ones need nothing.
add_module() { # FROM TO NAME
  local name=${3//-/_} file need
  ! grep -qx "$name" "$2/order" || return 0
  file=$(find "$1" -name "${3//[-_]/[-_]}.ko*" | head -n1)
  if [ -z "$file" ]; then
    find "$1" -name modules.builtin -exec grep -q "/${3//[-_]/[-_]}\.ko" {} +
    return
  fi
  case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -dcq "$file" ;;
    *.gz) gzip -dc "$file" ;;
    *) cat "$file" ;;
  esac > "$2/$name.ko"
  for need in $(tr '\0' '\n' < "$2/$name.ko" | sed -n 's/^depends=//p' | head -n1 | tr , ' '); do
    add_module "$1" "$2" "$need" || return
  done
  echo "$name" >> "$2/order"
}
