"""An authority of a test's own, and certificates that it signs for servers on the loopback."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates; ``file`` holds its own."""

    def __init__(self, folder: Path, name: str = "Lab authority"):
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self._folder, self._key = name, folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        made = _builder(self._name, self._name, self._key).add_extension(constraints, critical=True)
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def serves(self, *hosts: str, days: int = 1) -> ssl.SSLContext:
        """Returns the context of a server whose certificate is for ``hosts``, and for so many days from now, or until so many ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        signed = _builder(subject, self._name, key, days).add_extension(names, critical=False)
        pem = signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._folder / f"{hosts[0]}{days}.pem"
        file.write_bytes(secret + pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def hashed(self, folder: Path) -> Path:
        """Returns a folder in which OpenSSL finds the authority by the hash of its name, as ``openssl rehash`` leaves it."""
        folder.mkdir()
        (folder / f"{_hash(self.name)}.0").write_bytes(self.file.read_bytes())
        return folder


def _hash(name: str) -> str:
    """OpenSSL's hash of a name that is a common name only: of its canonical form, which is in lower case."""
    encoded = name.lower().encode()
    for tag, before in ((0x0C, b""), (0x30, b"\x06\x03\x55\x04\x03"), (0x31, b"")):  # the text, with its kind, as a set
        encoded = bytes([tag, len(before + encoded)]) + before + encoded
    return f"{int.from_bytes(hashlib.sha1(encoded).digest()[:4], 'little'):08x}"


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + days * DAY)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
