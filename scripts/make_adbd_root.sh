#!/usr/bin/env bash
# Unpack Android's adbd for x86-64 Linux, which Debian has from trixie on, with all that it needs, into a folder of its own:
# the tests of the target adb talk to it. Usage: scripts/make_adbd_root.sh FOLDER; MIRROR names another mirror of Debian.
set -Eeuo pipefail

root=$1
if [ -e "$root/usr/lib/android-sdk/platform-tools/adbd" ]; then
  exit 0
fi
if ! command -v mmdebstrap >/dev/null; then
  echo "error: found no mmdebstrap; run .ci/install-system-packages" >&2
  exit 1
fi
mirror=${MIRROR:-http://deb.debian.org/debian}
partial=$(mktemp -d "$root.XXXXXX" 2>/dev/null) || { mkdir -p "$(dirname "$root")"; partial=$(mktemp -d "$root.XXXXXX"); }
trap 'rm -rf "$partial"' EXIT
mmdebstrap --quiet --variant=extract --include=adbd trixie "$partial" \
  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main"
chmod 755 "$partial"
rm -rf "$root"
mv "$partial" "$root"
trap - EXIT
