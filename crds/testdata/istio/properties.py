#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes properties.txt: every property of the v1 schemas of the kinds of Istio that Torana reads.

    python3 properties.py "$(go mod download -json istio.io/api@VERSION | jq -r .Dir)" >properties.txt

Needs PyYAML. The test `istio::tests::properties` of torana-crds reads the list.
"""

import pathlib
import sys

import yaml

KINDS = {
    "networking.istio.io": ["Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry"],
    "security.istio.io": ["AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication"],
    "telemetry.istio.io": ["Telemetry"],
}


def lines(schema, path, required):
    words = schema.get("enum", [])
    yield " ".join([path, schema["type"], *(["required"] if required else []), *(["=", *words] if words else [])])
    for name, child in sorted(schema.get("properties", {}).items()):
        yield from lines(child, f"{path}.{name}", name in schema.get("required", []))
    if "items" in schema:
        yield from lines(schema["items"], f"{path}[]", False)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from lines(schema["additionalProperties"], f"{path}{{}}", False)


def main(module):
    module = pathlib.Path(module)
    text = (module / "kubernetes" / "customresourcedefinitions.gen.yaml").read_text()
    crds = {crd["metadata"]["name"]: crd for crd in yaml.safe_load_all(text) if crd}
    print(f"# From kubernetes/customresourcedefinitions.gen.yaml of Go module {'/'.join(module.parts[-2:])}:")
    print("# Apache-2.0, © Istio Authors. Written by properties.py; do not edit.")
    for group, kind in [(group, kind) for group, kinds in KINDS.items() for kind in kinds]:
        own = [c for c in crds.values() if c["spec"]["group"] == group and c["spec"]["names"]["kind"] == kind]
        version = next(v for v in own[0]["spec"]["versions"] if v["name"] == "v1")
        print(f"\n{kind}")
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        print("\n".join(lines(spec, "spec", False)))


main(sys.argv[1])
