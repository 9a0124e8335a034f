"""A certification authority for a test, made by openssl: certificates of any name and any dates."""

import subprocess
from pathlib import Path

_CONFIGURATION = """
[ca]
default_ca = lab
[lab]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
subjectAltName = {hosts}
"""

_CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Authority:
    """One authority, with its trust store and the certificates it issues, in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        (self._folder / "index.txt").touch()
        (self._folder / "serial").write_text("01\n", encoding="ascii")
        self._openssl(
            *("req", "-x509", "-newkey", *_CURVE, "-nodes", "-sha256"),
            *("-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", f"/CN={name}"),
        )
        self.trust = self._folder / "ca.pem"

    def issue(
        self,
        name: str,
        *,
        start: str = "20200101000000Z",
        end: str = "20991231235959Z",
        key: tuple[str, ...] = _CURVE,
        hosts: str = "DNS:localhost, IP:127.0.0.1",
    ) -> Path:
        """A certificate with its key after it, in one file."""
        (self._folder / "lab.cnf").write_text(_CONFIGURATION.format(hosts=hosts), encoding="ascii")
        self._openssl(
            *("req", "-newkey", *key, "-nodes", "-sha256"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
        )
        self._openssl(
            *("ca", "-batch", "-notext", "-config", "lab.cnf", "-extensions", "leaf", "-cert", "ca.pem"),
            *("-keyfile", "ca.key", "-startdate", start, "-enddate", end),
            *("-in", f"{name}.csr", "-out", f"{name}.crt"),
        )
        both = self._folder / f"{name}.pem"
        both.write_text(
            (self._folder / f"{name}.crt").read_text("ascii")
            + (self._folder / f"{name}.key").read_text("ascii"),
            encoding="ascii",
        )
        return both

    def fingerprint(self, certificate: Path) -> str:
        """As openssl prints it, with colons."""
        printed = self._openssl("x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256")
        return printed.strip().split("=")[1]

    def _openssl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
