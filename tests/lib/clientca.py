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
