"""A registry of contracts whose buyer signs under a CA's certificate, with what the CA says of it."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.contracts import certificates, keyring, participants
from sandbox.contracts.certificates import Trust
from sandbox.contracts.keyring import Signers
from sandbox.core.errors import Invalid
from sandbox.core.keys import SigningKey, new_key
from sandbox.core.terms import KeyUse, Participant, Role
from tests import authority

MST = "0101234567"
DAY = timedelta(days=1)
TICK = timedelta(seconds=1)  # instants in certificates and lists have no finer ones
ROOT = authority.root()
CA2 = ROOT.under("CA2 of a licensed CA")
TRUST = Trust((ROOT.certificate,))


def bundle(ca, content):
    """A list in PEM, with the certificates between its CA and the root beside it."""
    certified = [x509.load_der_x509_certificate(each) for each in ca.chain]
    return b"".join(each.public_bytes(Encoding.PEM) for each in (x509.load_der_x509_crl(content), *certified))


class World:
    """A register in which the buyer has a tax code, a certificate and lists of its CA for a day from now."""

    def __init__(self, register, parties):
        self.register, self.parties = register, parties
        self.key = SigningKey(f"{parties.buyer}/token", new_key("x", "ES256").private)
        self.chain = CA2.issue(self.key, MST)

    def store(self, content, *, trust=TRUST, at=None):
        """Keep a list, as the operator does some time later."""
        return self.register.write(certificates.put_crl, content, trust, at or self.parties.now + 400 * DAY)

    def cover(self, *cas, since=None, **said):
        """Keep a list of each of these CAs, with the certificates between it and the root."""
        return [self.store(bundle(ca, ca.revocations(since or self.parties.now, **said))) for ca in cas]

    def signers(self, connection, *, at=None, trust=TRUST, use=KeyUse.CONTRACT):
        return Signers(connection, at or self.parties.now, trust, use)

    def judged(self, chain=None, **when):
        """The key of a chain, its owner, and whether it is revoked; or the sentence that refuses it."""
        with self.register.database.read() as connection:
            signers = self.signers(connection, **when)
            try:
                key = signers.by_chain(chain or self.chain)
            except Invalid as refusal:
                assert refusal.code == "signature.invalid"
                return refusal.message
            return key.kid, signers.owner_of(key.kid), signers.ca_licensed(key.kid)

    def why_not(self, chain=None, **when):
        message = self.judged(chain, **when)
        assert isinstance(message, str)
        return message

    def counts(self, chain=None, **when):
        return not isinstance(self.judged(chain, **when), str)


def settle(empty, parties) -> World:
    """All parties admitted, of whom the buyer alone has a tax code."""
    roles = {parties.exchange: Role.OPERATOR, parties.provider: Role.PROVIDER}

    def unit(tx):
        for who, key in parties.keys.items():
            code = MST if who == parties.buyer else None
            member = Participant(who, f"Tổ chức {who}", frozenset({roles.get(who, Role.BUYER)}), tax_code=code)
            participants.admit(tx, member, parties.now)
            keyring.register_key(tx, who, key.verify_key, KeyUse.CONTRACT, parties.now)

    empty.database.write(unit)
    return World(empty, parties)
