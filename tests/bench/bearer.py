# SPDX-License-Identifier: Apache-2.0
"""A hundred policies and a token that the last of them asks for. Signs by openssl, once for each site."""

import base64
import json
import subprocess
import time
from pathlib import Path

ISSUER = "https://accounts.example"

# Half of them deny what nobody asks for, by all that a request has; the others allow what nobody asks for, but the last.
DENY = """\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: deny-{number}, namespace: istio-system}}
spec:
  action: DENY
  rules:
  - to: [{{operation: {{paths: [/admin-{number}, /private-{number}/*], methods: [POST, PUT]}}}}]
    from: [{{source: {{notRemoteIpBlocks: [10.{number}.0.0/16], notRequestPrincipals: ["{issuer}/*"]}}}}]
"""
ALLOW = """\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: allow-{number}, namespace: istio-system}}
spec:
  rules:
  - to: [{{operation: {{hosts: ["team-{number}.example", "*.team-{number}.example"], methods: [GET]}}}}]
    when: [{{key: "request.headers[x-team]", values: [team-{number}]}}]
"""
LAST = """\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: last, namespace: istio-system}}
spec:
  rules:
  - to: [{{operation: {{methods: [GET], notPaths: [/internal/*]}}}}]
    from: [{{source: {{requestPrincipals: ["{issuer}/*"]}}}}]
    when: [{{key: "request.auth.claims[groups]", values: [customers]}}]
  # Who looks whether the proxy is there has no token.
  - when: [{{key: "request.headers[authorization]", notValues: ["*"]}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: istio-system}}
spec: {{jwtRules: [{{issuer: "{issuer}", jwks: '{jwks}'}}]}}
"""


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def key(folder: Path) -> Path:
    file = folder / "issuer.pem"
    if not file.exists():
        openssl("genrsa", "-out", str(file), "2048")
    return file


def token(folder: Path) -> str:
    """One that is good for an hour."""
    file = folder / "token"
    if not file.exists():
        claims = {"iss": ISSUER, "sub": "alice", "exp": int(time.time()) + 3600, "groups": ["customers", "staff"]}
        parts = [{"alg": "RS256", "kid": "bench", "typ": "JWT"}, claims]
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        signature = openssl("dgst", "-sha256", "-sign", str(key(folder)), data=signed.encode())
        file.write_text(f"{signed}.{encoded(signature)}")
    return file.read_text()


def policies(folder: Path) -> str:
    modulus = openssl("rsa", "-noout", "-modulus", "-in", str(key(folder))).decode().strip().split("=")[1]
    jwk = {"kty": "RSA", "kid": "bench", "alg": "RS256", "e": "AQAB", "n": encoded(bytes.fromhex(modulus))}
    numbered = [form.format(number=n, issuer=ISSUER) for n in range(49) for form in (DENY, ALLOW)]
    return "".join(numbered) + DENY.format(number=49, issuer=ISSUER) + LAST.format(issuer=ISSUER,
                                                                                  jwks=json.dumps({"keys": [jwk]}))
