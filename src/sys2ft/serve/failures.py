"""Errors of requests, in OpenAI's form: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request that is refused, or that failed, with its HTTP status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def unknown_model(name: str, known: list[str]) -> ApiError:
    shown = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
    return ApiError(
        404, f"The model {name!r} does not exist. There are: {shown}.", param="model", code="model_not_found"
    )


def queue_full(most: int) -> ApiError:
    return ApiError(
        429,
        f"The server is busy: {most} answers run or wait. Try again in a few seconds.",
        kind="rate_limit_error",
        code="queue_full",
        headers={"Retry-After": "2"},
    )


def out_of_time(seconds: float) -> ApiError:
    # OpenAI's clients would repeat the request by themselves.
    return ApiError(
        503,
        f"The answer took longer than the server's limit of {seconds:g} seconds. Ask for fewer tokens (max_tokens).",
        kind="timeout_error",
        code="time_limit",
        headers={"x-should-retry": "false"},
    )


def failed(message: str) -> ApiError:
    return ApiError(500, message, kind="server_error", code="internal_error")


def stopping() -> ApiError:
    return ApiError(503, "The server is being stopped.", kind="server_error", code="stopping")
