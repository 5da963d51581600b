"""What requests bring: strict JSON, and parameters that there are; all else is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic_core import from_json

from streams.console.problems import Problem
from streams.jobs.meant import advice

_SHOWN: Final = 100  # characters of what a caller sent
_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})


class Route(APIRoute):
    """A route whose body, if it takes one, is JSON, and whose parameters are all known."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of a request."""
        handle = super().get_route_handler()
        takes_json = self.body_field is not None
        parameters = set(_parameters(self.dependant))

        async def checked(request: Request) -> Response:
            _check_parameters(request, parameters)
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


def _parameters(of: Dependant) -> Iterator[str]:
    yield from (field.alias for field in of.query_params)
    for other in of.dependencies:
        yield from _parameters(other)


def _check_parameters(request: Request, known: Collection[str]) -> None:
    """A filter that is misspelt, or meant for the body, would have all be found, or purged."""
    for name in request.query_params:
        if name in known:
            continue
        place = f"query.{name[:_SHOWN]}"
        near = advice(name[:_SHOWN], known, else_="there are")
        raise Problem(422, f"{place}: there is no such parameter; {near}", field=place)
