"""What a test API proves itself with: an authority, the server's and the administrator's certificate, a signing key."""

from __future__ import annotations

import subprocess
from pathlib import Path

_CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = ("-days", "3650")

# Python 3.13 and later demand both of a certificate (VERIFY_X509_STRICT).
_IDENTIFIERS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n"


def make_certificates(folder: Path) -> None:
    """Write ca, apiserver and admin (`.crt`, `.key`) and the key of ServiceAccount tokens `sa.key` into a folder."""
    _openssl(
        *("req", "-x509", "-newkey", *_CURVE, *_DAYS, "-subj", "/CN=comanda-test-api"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", folder / "ca.key", "-out", folder / "ca.crt"),
    )
    _sign(folder, "apiserver", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    _sign(folder, "admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth")
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key")


def _sign(folder: Path, name: str, subject: str, extension: str) -> None:
    request, key, extensions = (folder / f"{name}.{end}" for end in ("csr", "key", "ext"))
    extensions.write_text(f"{_IDENTIFIERS}{extension}\n")
    _openssl("req", "-newkey", *_CURVE, "-subj", subject, "-keyout", key, "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, *_DAYS, "-extfile", extensions),
        *("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-out", folder / f"{name}.crt"),
    )


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
