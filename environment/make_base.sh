#!/usr/bin/env bash
# Makes the base image on a machine without a registry: debootstrap, then import.
#
#   environment/make_base.sh [IMAGE] [SUITE] [MIRROR]
#
# IMAGE is by default the one that environment/Dockerfile starts from, so that its commands work as
# written. DOCKER names another engine, such as podman.
set -euo pipefail

image="${1:-debian:bookworm-slim}"
suite="${2:-bookworm}"
mirror="${3:-}"
docker="${DOCKER:-docker}"

if ! command -v debootstrap >/dev/null; then
  echo "make_base.sh: debootstrap is missing: apt-get install debootstrap" >&2
  exit 5
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "make_base.sh: debootstrap needs root: sudo $0 $*" >&2
  exit 5
fi

root="$(mktemp -d)"
trap 'rm -rf --one-file-system "$root"' EXIT
log="$root.log"
packages="ca-certificates,curl,gettext-base,procps,python3,python3-venv,unzip,zip"
if ! debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${mirror:+"$mirror"} \
  >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  echo "make_base.sh: debootstrap failed; its log is $log" >&2
  exit 8
fi
rm -f "$log"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
  "$root"/usr/share/{doc,man,info,lintian}/* "$root"/etc/resolv.conf "$root"/etc/hostname
# Every language's messages but the untranslated ones.
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 ! -name 'en*' -exec rm -rf {} +
tar -C "$root" --one-file-system --numeric-owner -c . |
  "$docker" import --change 'CMD ["bash"]' - "$image" >/dev/null
echo "make_base.sh: $image is made"
