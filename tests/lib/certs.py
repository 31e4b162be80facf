"""Certificates and keys for tests and the demonstration, made by openssl(1)."""

import os
import ssl
import subprocess

# What "openssl genpkey" wants to hear.
KEYS = {
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*args, **kw):
    r = subprocess.run(["openssl"] + list(args), capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, timeout=120, **kw)
    if r.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(args)}: {r.stderr}")
    return r.stdout


class Certificate:
    """A self-signed certificate: .cert and .key are paths, the key 0600."""

    def __init__(self, directory, name="server", kind="p256", names=("localhost",),
                 addresses=("127.0.0.1",), days=30):
        self.kind = kind
        self.cert = os.path.join(directory, f"{name}.pem")
        self.key = os.path.join(directory, f"{name}.key")
        old = os.umask(0o077)
        try:
            openssl("genpkey", *KEYS[kind], "-out", self.key)
        finally:
            os.umask(old)
        os.chmod(self.key, 0o600)
        # An address as a DNS name, too: mbsync compares nothing else.
        alt = ",".join([f"DNS:{n}" for n in (*names, *addresses)]
                       + [f"IP:{a}" for a in addresses])
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.cert,
                "-days", str(days), "-subj", f"/CN={names[0]}",
                "-addext", f"subjectAltName={alt}")

    @classmethod
    def existing(cls, cert, key):
        self = cls.__new__(cls)
        self.kind, self.cert, self.key = None, cert, key
        return self

    def der(self):
        with open(self.cert) as f:
            return ssl.PEM_cert_to_DER_cert(f.read())

    def secret_bytes(self):
        """Byte strings that only the private key has, for searching memory."""
        text = openssl("pkey", "-in", self.key, "-noout", "-text")
        out, field = {}, None
        for line in text.splitlines():
            if line.startswith(" "):
                if field:
                    out[field] += line.strip()
            else:
                field = line.split(":")[0].strip()
                if field not in ("priv", "privateExponent", "prime1", "prime2", "exponent1",
                                 "exponent2"):
                    field = None
                else:
                    out[field] = ""
        secrets = {k: bytes.fromhex(v.replace(":", "")).lstrip(b"\0") for k, v in out.items()}
        return {k: v for k, v in secrets.items() if len(v) >= 24}
