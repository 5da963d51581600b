"""What a handler takes, read from its signature: a contract or plain parameters, and a context."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import create_model

from streams.contracts import Event, JobPayload
from streams.cron.schedule import Schedule
from streams.cron.tick import Tick
from streams.jobs.after_dead import DeadJob, dead_contract
from streams.jobs.batching import BatchContext
from streams.jobs.context import JobContext
from streams.jobs.resource import Factory, Wanted
from streams.jobs.scheduled import tick_contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a handler is called."""

    payload_type: type[Event] | type[JobPayload]
    ctx_parameter: str | None
    resources: Mapping[str, Factory]  # by parameter
    plain: bool  # it takes the payload's fields, not the payload


def read_signature(
    fn: Callable[..., Any],
    local_names: Mapping[str, Any],
    *,
    name: str,
    queue: str,
    key: str | None,
    mistakes: list[str],
    is_batched: bool = False,
    cron: Schedule | None = None,
) -> Signature:
    """The signature of a handler; one that `is_batched` takes a list of payloads.

    `name`, `queue` and `key` are for the contract that plain parameters make, or a tick;
    `local_names` is where types are found that live inside a function. What is wrong goes to
    `mistakes`.
    """
    parameters = list(inspect.signature(fn).parameters.values())
    # The first that asks for one; with `from __future__ import annotations` and an import for
    # type checkers alone, the name is all there is to see.
    ctx = next((p for p in parameters if _is_context(p)), None)
    wanted = [p for p in parameters if isinstance(p.default, Wanted)]
    resources = {p.name: p.default.factory for p in wanted}
    values = [p for p in parameters if p is not ctx and p not in wanted]
    for given in [*wanted, *([] if ctx is None else [ctx])]:
        if given.kind is Parameter.POSITIONAL_ONLY:
            mistakes.append(f"{given.name!r} is positional only: move it behind the /")
    context = BatchContext if is_batched else JobContext
    if ctx is not None and (wrong := _wrong_context(fn, ctx, local_names, context)) is not None:
        mistakes.append(wrong)
    ctx_parameter = None if ctx is None else ctx.name
    hints = {p.name: _hint(fn, p, local_names, mistakes) for p in values}
    hint = hints[values[0].name] if values else None
    if is_batched and get_origin(hint) in (list, Sequence) and len(get_args(hint)) == 1:
        hint = get_args(hint)[0]
    elif is_batched:
        mistakes.append(
            "batch=...: its handler takes a list of payloads, as in documents: list[Document]"
        )
    contract = _contract(hint)
    if contract is Tick:
        contract = tick_contract(fn.__name__, fn.__module__, name=name, queue=queue, cron=cron)
    if contract is DeadJob:
        contract = dead_contract(fn.__name__, fn.__module__, name=name, queue=queue)
    if is_batched and contract is None and not mistakes:
        mistakes.append(f"batch=...: {hint!r} is no contract: a list of events or of payloads")
    if contract is None:
        model = _model_of(fn, values, hints, name=name, queue=queue, key=key, mistakes=mistakes)
        return Signature(
            payload_type=model, ctx_parameter=ctx_parameter, resources=resources, plain=True
        )
    if len(values) > 1:
        mistakes.append(f"takes {values[1].name!r} beside its payload: put it into the payload")
    if values[0].kind is Parameter.KEYWORD_ONLY:
        mistakes.append(f"{values[0].name!r} is keyword only: move it before the *")
    if key is not None:
        mistakes.append(f"key={key!r} is for plain parameters: name it in {contract.__name__}")
    if not (contract.__event_type__ if issubclass(contract, Event) else contract.__job_name__):
        base, argument = (
            ("Event", "type") if issubclass(contract, Event) else ("JobPayload", "name")
        )
        mistakes.append(
            f"{contract.__name__} has no {argument}: declare it with "
            f'class {contract.__name__}({base}, {argument}="...")'
        )
    return Signature(
        payload_type=contract, ctx_parameter=ctx_parameter, resources=resources, plain=False
    )


def _is_context(parameter: Parameter) -> bool:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        written = annotation.strip("'\" ").rpartition(".")[2]
        return parameter.name == "ctx" or written in ("JobContext", "BatchContext")
    return parameter.name == "ctx" or annotation in (JobContext, BatchContext)


def _wrong_context(
    fn: Callable[..., Any],
    ctx: Parameter,
    local_names: Mapping[str, Any],
    wanted: type[JobContext] | type[BatchContext],
) -> str | None:
    """Why this can't be where the context goes; None if it can."""
    written = ctx.annotation
    if written is Parameter.empty:
        return None
    try:
        hint = _resolved(fn, ctx, local_names)
    except Exception as error:
        if isinstance(written, str) and _is_imported(fn, written):
            return None  # for type checkers alone, which a context may be
        return (
            f"the type {written!r} of {ctx.name!r} can't be resolved ({error}): write "
            f"{wanted.__name__}, from streams"
        )
    is_class = isinstance(hint, type) and not getattr(hint, "_is_protocol", False)
    if is_class and not (issubclass(hint, wanted) or issubclass(wanted, hint)):
        return (
            f"{ctx.name!r} is where the context goes, and its type is {hint.__name__}: write "
            f"{wanted.__name__}, or give the parameter another name"
        )
    return None


def _is_imported(fn: Callable[..., Any], written: str) -> bool:
    """Whether the handler's file imports this name anywhere, as under `if TYPE_CHECKING:`."""
    first = written.strip("'\" ").partition(".")[0]
    module = inspect.getmodule(inspect.unwrap(fn))
    try:
        tree = ast.parse("" if module is None else inspect.getsource(module))
    except (OSError, SyntaxError):
        return True  # no source to look into
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return any(first == (alias.asname or alias.name) for node in imports for alias in node.names)


def _resolved(fn: Callable[..., Any], parameter: Parameter, local_names: Mapping[str, Any]) -> Any:
    # One at a time: a type that only another parameter or the result needs may be unknown here.
    one = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    return get_type_hints(one, names, dict(local_names), include_extras=True)[parameter.name]


def _hint(
    fn: Callable[..., Any],
    parameter: Parameter,
    local_names: Mapping[str, Any],
    mistakes: list[str],
) -> Any:
    if parameter.annotation is Parameter.empty:
        if parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            mistakes.append(
                f"{parameter.name!r} has no type, so that nothing can be checked: annotate it"
            )
        return Any
    try:
        return _resolved(fn, parameter, local_names)
    except Exception as error:
        mistakes.append(
            f"the type {parameter.annotation!r} of {parameter.name!r} can't be resolved ({error}): "
            "import it at the top of the module, not for type checkers alone"
        )
        return Any


def _contract(hint: Any) -> type[Event] | type[JobPayload] | None:
    if get_origin(hint) is Annotated:
        hint = hint.__origin__
    if isinstance(hint, type) and issubclass(hint, Event | JobPayload):
        return hint
    return None


def _model_of(
    fn: Callable[..., Any],
    values: list[Parameter],
    hints: Mapping[str, Any],
    *,
    name: str,
    queue: str,
    key: str | None,
    mistakes: list[str],
) -> type[JobPayload]:
    fields: dict[str, Any] = {}
    for value in values:
        if value.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            mistakes.append(f"takes {str(value).partition(':')[0]}: name each parameter")
        elif value.kind is Parameter.POSITIONAL_ONLY:
            mistakes.append(f"{value.name!r} is positional only: move it behind the /")
        elif hasattr(JobPayload, value.name) or value.name.startswith("_"):
            mistakes.append(f"{value.name!r} can't be a field of a payload: rename it")
        else:
            default = ... if value.default is Parameter.empty else value.default
            fields[value.name] = (hints[value.name], default)
    if key is not None and key not in fields:
        mistakes.append(f"key={key!r} is not one of its parameters ({', '.join(fields) or 'none'})")
        key = None
    arguments = {"name": name, "queue": queue, "key": key}
    try:
        return create_model(
            fn.__name__,
            __base__=JobPayload,
            __module__=fn.__module__,
            __cls_kwargs__=arguments,
            **fields,
        )
    except Exception as error:  # pydantic's, about a type that has no schema
        reason = str(error).splitlines()[0]
        mistakes.append(f"its parameters make no payload ({reason}): use types that JSON can carry")
        return create_model(fn.__name__, __base__=JobPayload, __module__=fn.__module__)
