"""The embedded decision point: from any thread, and never open by an error."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.core.errors import Invalid, Unavailable
from sandbox.policy import embedded
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Question
from sandbox.policy.embedded import Embedded

ASKED = Question({}, "anything", {}, {"secret": "của-riêng-tôi"})


def of(decision: str) -> Bundle:
    """A bundle whose whole policy is ``decision``."""
    return Bundle.of({"exchange/authz/decision.rego": f"package exchange.authz\n\n{decision}\n".encode()})


def refusal(reason: str) -> str:
    return f'{{"allow": false, "reasons": ["{reason}"], "obligations": {{}}, "policy": data.exchange.policy}}'


def test_an_allowed_question_is_allowed(bundle: Bundle, question: Callable[..., Question]) -> None:
    point = Embedded(bundle)
    decision = point.decide(question("query.run"))
    assert decision.allow
    assert decision.obligations == {"min_group": 10, "max_rows": 5000, "max_bytes": 10_485_760}
    assert decision.policy == point.policy == bundle.digest


def test_many_threads_ask_one_decision_point(bundle: Bundle, question: Callable[..., Question]) -> None:
    point = Embedded(bundle)
    yes, no = question("query.run"), question("query.run", {"/context/purpose": "tiep_thi"})
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(point.decide, [yes, no] * 200))
    assert [answer.allow for answer in answers] == [True, False] * 200
    assert {answer.reasons for answer in answers} == {(), ("CONT-03",)}


def test_a_decision_point_may_be_dropped_while_other_threads_live(bundle: Bundle) -> None:
    asked, finish = threading.Event(), threading.Event()
    point = Embedded(bundle)

    def ask(decide: Callable[[Question], Any]) -> None:
        decide(ASKED)
        asked.set()
        finish.wait()

    thread = threading.Thread(target=ask, args=(point.decide,))
    thread.start()
    asked.wait()
    del point
    gc.collect()  # an engine dropped here, by another thread than its own, would be reported as a warning
    finish.set()
    thread.join()


def test_two_bundles_do_not_mix() -> None:
    first, second = Embedded(of(f"decision := {refusal('first')}")), Embedded(of(f"decision := {refusal('second')}"))
    for _ in range(2):
        assert first.decide(ASKED).reasons == ("first",)
        assert second.decide(ASKED).reasons == ("second",)


@pytest.mark.parametrize(
    "decision",
    [
        "decision :=",  # does not parse
        "decision := nothing",  # an unsafe variable
        "decision := nothing(input)",  # an unknown function
        "decision := data.exchange.authz.decision",  # itself
        "other := 1",  # no decision: undefined
    ],
)
def test_policies_that_do_not_work_stop_the_start(decision: str) -> None:
    with pytest.raises(Unavailable) as caught:
        Embedded(of(decision))
    assert caught.value.code in {"policy.engine_error", "policy.malformed"}


def test_the_operator_sees_what_does_not_compile() -> None:
    with pytest.raises(Unavailable) as caught:
        Embedded(of("decision := nothing(input)"))
    assert "nothing" in str(caught.value.__cause__)
    assert "Stack backtrace" not in str(caught.value.__cause__)


def test_policies_that_allow_an_empty_question_stop_the_start() -> None:
    yes = '{"allow": true, "reasons": [], "obligations": {"listed": 1}, "policy": data.exchange.policy}'
    with pytest.raises(Unavailable) as caught:
        Embedded(of(f"decision := {yes}"))
    assert caught.value.reasons == ("engine_error",)


def test_an_answer_without_the_digest_is_no_answer() -> None:
    with pytest.raises(Unavailable) as caught:
        Embedded(of('decision := {"allow": false, "reasons": ["policy_undefined"], "obligations": {}}'))
    assert caught.value.code == "policy.malformed"


def test_an_error_while_deciding_is_an_outage_that_tells_nothing() -> None:
    point = Embedded(
        of(f"decision := {refusal('empty')} if not input.context\n\ndecision := count(5) if input.context")
    )
    for _ in range(2):  # the engine that failed is replaced
        with pytest.raises(Unavailable) as caught:
            point.decide(ASKED)
        assert caught.value.code == "policy.engine_error"
        assert caught.value.__cause__ is None
        assert "riêng" not in caught.value.message
    point.probe()


class Panic(BaseException):
    """As a Rust panic comes: no Exception."""


class Panicking:
    def __init__(self, raised: type[BaseException]) -> None:
        self.raised = raised

    def set_input_json(self, _: str) -> None:
        raise self.raised


def test_a_panic_is_an_outage_and_the_next_question_is_answered(bundle: Bundle) -> None:
    point = Embedded(bundle)
    embedded._engines.by_digest[bundle.digest] = Panicking(Panic)
    with pytest.raises(Unavailable) as caught:
        point.decide(ASKED)
    assert caught.value.reasons == ("engine_error",)
    assert point.decide(ASKED).reasons == ("action_unknown",)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_who_stops_the_program_stops_it(bundle: Bundle, raised: type[BaseException]) -> None:
    point = Embedded(bundle)
    embedded._engines.by_digest[bundle.digest] = Panicking(raised)
    with pytest.raises(raised):
        point.decide(ASKED)
    point.probe()


def test_an_engine_of_another_thread_is_an_outage_and_not_a_crash(
    bundle: Bundle, capfd: pytest.CaptureFixture[str]
) -> None:
    engines: list[Any] = []
    made, finish = threading.Event(), threading.Event()

    def foreign() -> None:
        engines.append(embedded._compiled(bundle))
        made.set()
        finish.wait()
        engines.clear()  # in the thread that made it

    thread = threading.Thread(target=foreign)
    thread.start()
    made.wait()
    point = Embedded(bundle)
    embedded._engines.by_digest[bundle.digest] = engines[0]
    with pytest.raises(Unavailable):
        point.decide(ASKED)
    assert point.decide(ASKED).reasons == ("action_unknown",)
    finish.set()
    thread.join()
    assert "another thread" in capfd.readouterr().err


@pytest.mark.parametrize("value", [1.5, 2**53, "Ha\u0309i"])
def test_a_question_without_canonical_form_is_not_asked(bundle: Bundle, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        Embedded(bundle).decide(Question({}, "query.run", {}, {"purpose": value}))
    assert caught.value.code == "document.malformed"
