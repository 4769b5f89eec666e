#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# image.sh ARCHIVE NAME[,NAME…] FOLDER COMMAND…: an image of one layer, for `ctr images import`; runs as 65532 unless
# IMAGE_USER says otherwise. The same content gives the same image.
set -euo pipefail

archive=$1 names=$2 folder=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# JSON of plain words: no quotes or backslashes in them.
words() {
  local list
  printf -v list '"%s",' "$@"
  printf '[%s]' "${list%,}"
}

machine=$(uname -m)
case $machine in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) echo "no image for $machine" >&2; exit 1 ;;
esac

tar --create --file "$work/layer.tar" --directory "$folder" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner .
digest=$(sha256sum <"$work/layer.tar" | cut -d' ' -f1)
cat >"$work/config.json" <<TEXT
{"architecture":"$architecture","os":"linux","created":"1970-01-01T00:00:00Z",
"config":{"Entrypoint":$(words "$@"),"User":"${IMAGE_USER:-65532}","WorkingDir":"/","Env":["PATH=/"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$digest"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}
TEXT
config=$(sha256sum <"$work/config.json" | cut -d' ' -f1).json
mv "$work/config.json" "$work/$config"
IFS=, read -ra tags <<<"$names"
printf '[{"Config":"%s","RepoTags":%s,"Layers":["layer.tar"]}]' "$config" "$(words "${tags[@]}")" >"$work/manifest.json"
tar --create --file "$archive" --directory "$work" "$config" layer.tar manifest.json
