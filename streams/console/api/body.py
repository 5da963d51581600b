"""Bodies of requests: strict JSON, said to be JSON; anything else is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})


class Route(APIRoute):
    """A route whose body, if it takes one, is JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of a request."""
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def checked(request: Request) -> Response:
            if takes_json and request.method in _METHODS:
                _check_type(request)
            return await handle(_Strict(request.scope, request.receive))

        return checked


class _Strict(Request):
    async def json(self) -> Any:
        """The body; no NaN, no half of a surrogate pair, no number that would be rounded."""
        if not hasattr(self, "_json"):
            try:
                self._json = from_json(await self.body(), allow_inf_nan=False)
            except ValueError as error:
                raise HTTPException(400, f"the body is no JSON: {error}") from None
        return self._json


def _check_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    media = given.partition(";")[0].strip().lower()
    if not given and request.headers.get("content-length", "0") == "0":
        return  # no body: what is missing is told by name
    if not (media == "application/json" or media.endswith("+json")):
        raise HTTPException(415, "send JSON, with the header Content-Type: application/json")
