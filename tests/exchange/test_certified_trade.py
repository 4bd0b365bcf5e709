"""A buyer who signs under a CA's certificate: agreed, queried; and what a revocation or another trust changes."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.contracts import envelope
from sandbox.core.errors import Invalid, SandboxError
from sandbox.core.keys import SigningKey, new_key
from sandbox.core.terms import Role
from tests import authority
from tests.certified import CA2, MST, ROOT, bundle
from tests.world import INDEX, OTHER, PROVIDER, START, World, checked

CERTIFIED = "ngan-hang"
OPEN = "SELECT noi FROM chi_so"
DAY = timedelta(days=1)
STRANGE = authority.root("Another Root CA")


class Office:
    """An exchange that trusts one root, and a buyer who holds a certificate under it and no registered key."""

    def __init__(self, folder: Path) -> None:
        (folder / "roots.pem").write_bytes(ROOT.pem)
        self.world = World(folder, overrides={"trust_store": folder / "roots.pem"})
        self.world.admit(CERTIFIED, Role.BUYER, 30, tax_code=MST)
        self.world.publish(INDEX)
        self.key = SigningKey(f"{CERTIFIED}/token", new_key("x", "ES256").private)
        self.chain = CA2.issue(self.key, MST)

    def lists(self, since: datetime | None = None, **said: Any) -> None:
        """Store the lists of both CAs, of one day."""
        for ca in (CA2, ROOT):
            self.world.exchange.store_crl(bundle(ca, ca.revocations(since or START, **said)))

    def bought(self, chain: tuple[bytes, ...] | None = None) -> bytes:
        now, offer = self.world.clock.now(), self.world.offered(INDEX)
        half = envelope.accept_offer(offer, self.key, secrets.token_bytes(32), now, chain or self.chain)
        return envelope.add_signature(half, self.world.keys[PROVIDER])

    def agreed(self) -> str:
        return self.world.exchange.agree(self.bought()).id

    def ask(self, agreement: str) -> int:
        return self.world.query(OPEN, buyer=CERTIFIED, agreements=(agreement,)).rows

    def refused(self, agreement: str) -> str:
        with pytest.raises(SandboxError) as caught:
            self.ask(agreement)
        assert self.world.entries()[-1]["type"] == "query.refused"
        return caught.value.code

    def trusting(self, content: bytes | None) -> None:
        """Another trust store, or none, from the next start on."""
        store = self.world.folder / "roots.pem"
        if content is not None:
            store.write_bytes(content)
        self.world.settings = replace(self.world.settings, trust_store=None if content is None else store)
        self.world.reopen()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    for _ in checked(made.world):
        yield made


def test_an_agreement_under_a_certificate_opens_data_and_says_so_on_the_record(office: Office) -> None:
    office.lists()
    agreement = office.agreed()
    assert office.ask(agreement) == 5
    (signed,) = [entry for entry in office.world.entries() if entry["type"] == "agreement.signed"]
    assert sorted(each["ca_licensed"] for each in signed["signatures"]) == [False, False, True]
    office.world.reopen()
    assert office.ask(agreement) == 5


def test_without_a_list_of_the_day_nothing_is_signed(office: Office) -> None:
    with pytest.raises(Invalid) as caught:
        office.agreed()
    assert caught.value.code == "signature.invalid"
    assert office.world.entries()[-1]["type"] == "contract.refused"
    office.lists(START - 2 * DAY)  # two days old, and of one day
    with pytest.raises(Invalid):
        office.agreed()
    office.lists()
    office.agreed()


def test_one_of_no_participants_tax_code_signs_nothing(office: Office) -> None:
    office.lists()
    with pytest.raises(Invalid):
        office.world.exchange.agree(office.bought(CA2.issue(office.key, "0109999999")))
    office.world.admit("cong-ty-d", Role.BUYER, 31, tax_code="0109999999")
    with pytest.raises(Invalid):  # nor does another participant in the buyer's name
        office.world.exchange.agree(office.bought(CA2.issue(office.key, "0109999999")))
    assert office.world.exchange.agreements() == []


def test_a_certificate_revoked_before_signs_nothing(office: Office) -> None:
    office.lists(revoked={office.chain[0]: START - DAY})
    with pytest.raises(Invalid):
        office.agreed()


def test_what_was_signed_before_the_revocation_stays_and_nothing_is_signed_after(office: Office) -> None:
    office.lists()
    agreement = office.agreed()
    office.world.clock.advance(DAY + timedelta(hours=2))
    revoked = {office.chain[0]: START + timedelta(hours=12)}
    office.lists(office.world.clock.now(), revoked=revoked)
    assert office.ask(agreement) == 5
    with pytest.raises(Invalid):
        office.agreed()
    office.world.reopen()
    assert office.ask(agreement) == 5


def test_a_revocation_that_reaches_back_before_the_signature_ends_the_agreement(office: Office) -> None:
    office.lists()
    agreement = office.agreed()
    assert office.ask(agreement) == 5
    office.world.clock.advance(DAY + timedelta(hours=2))
    office.lists(office.world.clock.now(), revoked={office.chain[0]: START - timedelta(hours=1)})
    assert office.refused(agreement)


def test_a_root_that_is_trusted_no_longer_opens_nothing_until_it_is_again(office: Office) -> None:
    office.lists()
    agreement = office.agreed()
    plain = office.world.agree(INDEX, buyer=OTHER)
    assert office.ask(agreement) == 5
    for content in (STRANGE.pem, None):
        office.trusting(content)
        assert office.refused(agreement)
        assert office.world.query(OPEN, buyer=OTHER, agreements=(plain,)).rows == 5
    office.trusting(ROOT.pem)
    assert office.ask(agreement) == 5


def test_a_list_of_a_strange_root_or_of_nobody_is_not_kept(office: Office) -> None:
    before = len(office.world.entries())
    for content in (STRANGE.revocations(START), b"no list"):
        with pytest.raises(Invalid):
            office.world.exchange.store_crl(content)
    assert len(office.world.entries()) == before
    office.trusting(None)
    with pytest.raises(Invalid, match="trusts no certificate authority"):
        office.world.exchange.store_crl(ROOT.revocations(START))


def test_a_suspended_holder_signs_no_agreement_under_a_certificate_either(office: Office) -> None:
    office.lists()
    office.world.order("suspend", "participant", CERTIFIED, "co-quan-giam-sat")
    with pytest.raises(SandboxError) as caught:
        office.agreed()
    assert "CHARTER-06" in caught.value.reasons
