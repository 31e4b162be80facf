"""A CA for client certificates: good, expired and revoked ones, its CRL (openssl ca)."""

import os

from certs import KEYS, openssl

CONFIG = """\
[ca]
default_ca = own
[own]
dir = {dir}
database = {dir}/index.txt
new_certs_dir = {dir}
serial = {dir}/serial
certificate = {dir}/ca.pem
private_key = {dir}/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
[any]
commonName = optional
organizationalUnitName = optional
x500UniqueIdentifier = optional
"""


class ClientCA:
    def __init__(self, directory, name="Client CA"):
        self.dir = directory
        os.mkdir(directory, 0o755)
        self.conf = f"{directory}/ca.cnf"
        for file, text in (("ca.cnf", CONFIG.format(dir=directory)), ("index.txt", ""),
                           ("serial", "1000\n")):
            with open(f"{directory}/{file}", "w") as f:
                f.write(text)
        self.cert, self.crl = f"{directory}/ca.pem", f"{directory}/crl.pem"
        openssl("req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", f"{directory}/ca.key", "-out", self.cert, "-days", "30",
                "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.write_crl()

    def issue(self, subject, kind="p256", dates=()):
        """(certificate, key) paths; dates: ("-startdate", ..., "-enddate", ...)."""
        base = f"{self.dir}/{len(os.listdir(self.dir))}"
        openssl("genpkey", *KEYS[kind], "-out", base + ".key")
        openssl("req", "-new", "-key", base + ".key", "-subj", subject, "-out", base + ".csr")
        openssl("ca", "-config", self.conf, "-batch", "-notext", "-in", base + ".csr", "-out",
                base + ".crt", *dates)
        return base + ".crt", base + ".key"

    def chain(self, n):
        """Paths of n intermediate CAs, the first below this one, and of their one key."""
        key = f"{self.dir}/chain.key"
        openssl("genpkey", *KEYS["p256"], "-out", key)
        paths, issuer = [], (self.cert, f"{self.dir}/ca.key")
        for i in range(n):
            paths.append(self.sign(f"chain{i}", f"/CN=Intermediate {i}", key, issuer, "TRUE"))
            issuer = (paths[-1], key)
        return paths, key

    def sign(self, name, subject, key, issuer, ca="FALSE"):
        """A certificate for a key that is there, by issuer: (certificate, key)."""
        base = f"{self.dir}/{name}"
        with open(base + ".ext", "w") as f:
            f.write(f"basicConstraints = critical,CA:{ca}\n")
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", base + ".csr")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", issuer[0], "-CAkey", issuer[1],
                "-set_serial", str(9000 + len(os.listdir(self.dir))), "-days", "30", "-extfile",
                base + ".ext", "-out", base + ".crt")
        return base + ".crt"

    def revoke(self, cert):
        openssl("ca", "-config", self.conf, "-revoke", cert)
        self.write_crl()

    def write_crl(self):
        openssl("ca", "-config", self.conf, "-gencrl", "-out", self.crl)

    def ca_file(self, crl=True):
        path = f"{self.dir}/for-server{'' if crl else '-no-crl'}.pem"
        with open(path, "w") as out:
            for part in [self.cert] + ([self.crl] if crl else []):
                with open(part) as f:
                    out.write(f.read())
        return path
