#!/usr/bin/env python3
"""Reads what Keyside or Vault Agent wrote into a sink with `dh_type = "curve25519"`.

    open-sealed-token.py key KEY PUBLIC
        makes a key pair: KEY stays with the reader, PUBLIC is for the sink's `dh_path`
    open-sealed-token.py open KEY SINK [--derive-key] [--aad TEXT]
        prints what is inside: the token, or with `wrap_ttl` what Vault said of the wrapping token

Needs the package `cryptography`.

The sink holds JSON with three texts in base64: the sender's public key, made for this one message; the
nonce; and what AES-256-GCM made of the token, its tag at the end. The key is what X25519 gives. With
`derive_key` HKDF-SHA256 makes it from that: the salt is the smaller of the two public keys as bytes, the
info is the larger one. `aad` is authenticated, and must be the same text on both sides.
"""

import argparse
import base64
import json
import os
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def make_key(key: Path, public: Path) -> None:
    private = X25519PrivateKey.generate()
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private.private_bytes_raw())
    text = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    public.write_text(json.dumps({"curve25519_public_key": text}) + "\n")


def open_sink(key: Path, sink: Path, derive_key: bool, aad: str) -> bytes:
    private = X25519PrivateKey.from_private_bytes(key.read_bytes())
    envelope = json.loads(sink.read_text())
    sender = base64.b64decode(envelope["curve25519_public_key"])
    secret = private.exchange(X25519PublicKey.from_public_bytes(sender))
    if derive_key:
        salt, info = sorted([sender, private.public_key().public_bytes_raw()])
        secret = HKDF(SHA256(), 32, salt, info).derive(secret)
    nonce = base64.b64decode(envelope["nonce"])
    payload = base64.b64decode(envelope["encrypted_payload"])
    return AESGCM(secret).decrypt(nonce, payload, aad.encode())


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    key = verbs.add_parser("key")
    key.add_argument("key", type=Path)
    key.add_argument("public", type=Path)
    opening = verbs.add_parser("open")
    opening.add_argument("key", type=Path)
    opening.add_argument("sink", type=Path)
    opening.add_argument("--derive-key", action="store_true")
    opening.add_argument("--aad", default="")
    given = parser.parse_args()
    if given.verb == "key":
        make_key(given.key, given.public)
        return
    try:
        inside = open_sink(given.key, given.sink, given.derive_key, given.aad)
    except InvalidTag:
        sys.exit(f"{given.sink}: not for this key, or with another `derive_key` or `aad`")
    sys.stdout.buffer.write(inside)


if __name__ == "__main__":
    main()
