"""Handing a checkpoint to a witness over HTTP (C2SP tlog-witness), which may be slow, gone or hostile."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio

from sandbox.audit.witness import Answer, Submission
from sandbox.core.errors import Unavailable

if TYPE_CHECKING:
    import httpx2

SECONDS: Final = 5.0
"""How long connecting may take, and each step of the answer."""
MOST_SECONDS: Final = 2 * SECONDS
"""How long all of it may take: a byte every few seconds would never time out."""
MOST_BYTES: Final = 65_536
_MOST_DIGITS: Final = 18


def submit(url: str, submission: Submission) -> Answer:
    """What the witness at ``url`` answers, whatever that is.

    Raises:
        Unavailable: ``witness.unreachable``, ``witness.slow``, or ``witness.answer`` for one that is too long.
    """
    return anyio.run(_submitted, f"{url.rstrip('/')}/add-checkpoint", submission.as_bytes())


async def _submitted(url: str, body: bytes) -> Answer:
    import httpx2  # noqa: PLC0415  # only exchanges that have witnesses wait for it

    try:
        with anyio.fail_after(MOST_SECONDS):
            # the surroundings' proxies are not asked: what is sent is public, and what counts of the answer is signed
            async with (
                httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False, trust_env=False) as http,
                http.stream("POST", url, content=body) as answer,
            ):
                return Answer(answer.status_code, await _limited(answer), answer.headers.get("content-type", ""))
    except (TimeoutError, httpx2.TimeoutException):
        raise Unavailable("witness.slow", "The witness did not answer in time.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL):
        raise Unavailable("witness.unreachable", "The witness cannot be reached.") from None


async def _limited(answer: "httpx2.Response") -> bytes:
    content = b""
    async for part in answer.aiter_raw():  # undecoded: nothing honest is compressed, and a bomb would be
        content += part
        if len(content) > MOST_BYTES:
            raise Unavailable("witness.answer", "The witness's answer is too long.")
    return content


def size_of(answer: Answer) -> int | None:
    """The size of which a witness says that it cosigned it last, in a conflict; None in any other answer.

    Raises:
        Unavailable: ``witness.answer`` for a conflict without a size.
    """
    if answer.status != HTTPStatus.CONFLICT:
        return None
    text = answer.body.removesuffix(b"\n")
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise Unavailable("witness.answer", "The witness answered a conflict without its size.")
    return int(text)
