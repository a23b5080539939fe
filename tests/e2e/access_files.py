"""What TLS and API keys need as files: a CA and the certificates it signs, and access files."""
import hashlib
import json
import os
import subprocess

import grpc


def _openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def put(path, text):
    """Replaces a file at once, as whoever rotates secrets does."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, path)


class Authority:
    """A CA of its own in a directory; `cert` is its certificate's path."""

    def __init__(self, directory, name="ca"):
        directory.mkdir(exist_ok=True)
        self._dir, self._name = directory, name
        self.cert, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-subj", f"/CN={name}", "-addext", "keyUsage=keyCertSign", "-keyout", self._key, "-out", self.cert)

    def issue(self, name, days=30):
        """(certificate, key) as text, of localhost and 127.0.0.1; days < 0: it has expired."""
        request, key, cert, extensions = (self._dir / f"{name}.{end}" for end in ("csr", "key", "pem", "ext"))
        extensions.write_text("subjectAltName=DNS:localhost,DNS:barista.test,IP:127.0.0.1\n")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-days",
                 str(days), "-extfile", extensions, "-out", cert)
        return cert.read_text(), key.read_text()

    def pair(self, name):
        """Paths of a certificate and its key."""
        self.issue(name)
        return self._dir / f"{name}.pem", self._dir / f"{name}.key"

    def credentials(self, name=None):
        """Of a channel that trusts this CA, and shows a certificate of it where `name` is given."""
        cert, key = (text.encode() for text in self.issue(name)) if name else (None, None)
        return grpc.ssl_channel_credentials(self.cert.read_bytes(), key, cert)


def access(keys, tenants=None):
    """Text of an access file. keys: {key: tenant, or (tenant, is it an admin's)}."""
    rows = []
    for key, owner in keys.items():
        tenant, admin = owner if isinstance(owner, tuple) else (owner, False)
        rows.append({"sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": tenant, "admin": admin})
    return json.dumps({"keys": rows, "tenants": tenants or {}})


def bearer(key):
    """Metadata that shows an API key."""
    return [("authorization", f"Bearer {key}")]
