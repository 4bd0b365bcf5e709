"""Every way the exchange can say no.

::

    SandboxError
    ├── Refused                 the request was understood and is not allowed
    │   ├── NotIdentified       who asks is not known             401  exit 3
    │   ├── AgreementRefused    no agreement in force covers it   403  exit 4
    │   ├── PolicyRefused       a policy rule does not hold       403  exit 4
    │   ├── QueryRefused        the SQL asks for what is closed   403  exit 4
    │   ├── ReleaseRefused      the result may not leave          403  exit 4
    │   └── Insufficient        wallet or budget does not cover   402  exit 4
    ├── Invalid                 bad input                         422  exit 2
    ├── NotFound                no such thing, or not yours       404  exit 5
    ├── Conflict                it already is otherwise           409  exit 6
    ├── Tampered                bytes differ from their digest    500  exit 7
    ├── NotCovered              no checkpoint promises it yet     409  exit 9
    ├── Busy                    the exchange is full for now      429  exit 8
    └── Unavailable             try again later                   503  exit 8

``code`` is stable and documented; ``message`` says what was got and what was expected; ``hint`` says what to do;
``reasons`` are rule ids such as ``CONT-03``. No message holds a row value, another's SQL, a key, a path or engine text.
"""

from typing import ClassVar


class SandboxError(Exception):
    """Base of all errors that a user may see."""

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "", reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.reasons = reasons
        self.query: str | None = None
        """The id of the query that was refused or failed, once it stands in the log."""


class Refused(SandboxError):
    """Understood, and not allowed."""

    status = 403
    exit_code = 4


class NotIdentified(Refused):
    """Who asks is not known."""

    status = 401
    exit_code = 3


class AgreementRefused(Refused):
    """No verified agreement in force covers the request."""


class PolicyRefused(Refused):
    """The decision point said no; ``reasons`` names every rule that does not hold."""


class QueryRefused(Refused):
    """The SQL is not of the allowed shape or touches what is not granted."""


class ReleaseRefused(Refused):
    """The query ran and its result may not leave."""


class Insufficient(Refused):
    """The wallet or an access budget does not cover the price or the use."""

    status = 402


class Invalid(SandboxError):
    """The input is malformed."""

    status = 422
    exit_code = 2


class NotFound(SandboxError):
    """No such thing, or it belongs to someone else."""

    status = 404
    exit_code = 5


class Conflict(SandboxError):
    """The state is already another one."""

    status = 409
    exit_code = 6


class Tampered(SandboxError):
    """Stored bytes do not match the digest or signature that names them."""

    status = 500
    exit_code = 7


class NotCovered(SandboxError):
    """Nothing is wrong with it, but no checkpoint, or none with the cosignatures asked for, promises it yet."""

    status = 409
    exit_code = 9


class Busy(SandboxError):
    """Too much is being asked at once; nothing was changed. ``retry_after`` says in how many seconds to come again."""

    status = 429
    exit_code = 8

    def __init__(self, code: str, message: str, *, hint: str = "", retry_after: int = 1) -> None:
        super().__init__(code, message, hint=hint)
        self.retry_after = retry_after


class Unavailable(SandboxError):
    """A part of the exchange does not answer; nothing was changed."""

    status = 503
    exit_code = 8
