"""A certificate authority for tests of TLS: certificates and keys as files, and a list of the revoked."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """A certificate authority that lives in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self._key, self._name = folder, ec.generate_private_key(ec.SECP256R1()), _named(name)
        self.file = folder / f"{name}.pem"
        body = self._body(self._name, self._key.public_key(), 1).add_extension(x509.BasicConstraints(True, None), True)
        self.file.write_bytes(body.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _body(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        started = NOW - datetime.timedelta(days=10)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(started)
            .not_valid_after(NOW + datetime.timedelta(days=days))
        )

    def issue(self, name: str, *, days: int = 1, host: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for a name at an address of IP or DNS, and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        body = self._body(_named(name), key.public_key(), days)
        numeric = host.replace(".", "").isdigit()
        at = x509.IPAddress(ipaddress.ip_address(host)) if numeric else x509.DNSName(host)
        body = body.add_extension(x509.SubjectAlternativeName([at]), False)
        body = body.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        certificate, private = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(body.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        return certificate, private

    def revoke(self, certificate: Path) -> Path:
        """A list of the revoked with this one certificate on it, as a file."""
        number = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(NOW).build()
        body = x509.CertificateRevocationListBuilder().issuer_name(self._name).add_revoked_certificate(entry)
        body = body.last_update(NOW - datetime.timedelta(days=1)).next_update(NOW + datetime.timedelta(days=1))
        file = self.folder / "crl.pem"
        file.write_bytes(body.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return file

    def trusted(self, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """For a client that trusts this authority and shows its own certificate, if it has one."""
        made = ssl.create_default_context(cafile=str(self.file))
        if own is not None:
            made.load_cert_chain(*own)
        return made


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
