"""A request that is refused, in the words of the profile."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from mpi.api.problems import outcome


class Refused(Exception):
    """
    The request gets this OperationOutcome.

    Args:
        code: of the value set issue-type.
        text: never holds what the caller sent.
        allow: of a 405, the methods that the address takes.
    """

    def __init__(
        self, status: int, code: str, text: str, *, severity: str = "error", allow: str = ""
    ) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.severity = status, code, text, severity
        self.headers = {"Allow": allow} if allow else {}


def install(app: FastAPI) -> None:
    """Make the application answer `Refused`."""
    app.add_exception_handler(Refused, _on_refused)


def _on_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    found = outcome(error.status, [(error.code, error.text)], severity=error.severity)
    found.headers.update(error.headers)
    return found
