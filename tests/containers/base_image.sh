#!/usr/bin/env bash
# A base image without a registry: Debian's own packages, imported as one layer (45 s; nothing to do where it is there).
# Carries this machine's certificates and pip settings, so that a build inside reaches what a build outside reaches.
# Run: tests/containers/base_image.sh NAME
set -euo pipefail
name=$1

docker image inspect "$name" >/dev/null 2>&1 && exit 0

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates bookworm "$root" >"$root.log" \
  || { tail -20 "$root.log" >&2; exit 1; }
rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
ln -s python3 "$root/usr/bin/python"

for setting in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
  [ ! -f "$setting" ] || cp --dereference "$setting" "$root$setting"
done
tar --create --directory "$root" . | docker import - "$name" >/dev/null
