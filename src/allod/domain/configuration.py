"""Configuration documents: what they may hold, and how a device fills them in (docs/spec/desired-state.md).

Pure, and the same on the owner's machine, the server and the device. A document is a JSON object
that fits the release's schema (JSON Schema 2020-12). Inside its strings

* `{device.name}` stands for a fact of the device (any name with a dot); `{{` is a plain `{`
  before such a name: `{{device.name}` means the text `{device.name}`;
* a string that is `secret:NAME` as a whole stands for a secret that is kept on the device.

Where the schema says `writeOnly`, only a secret may stand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from allod.errors import InvalidInput

if TYPE_CHECKING:
    from jsonschema import ValidationError

DOCUMENT_CAP: Final = 1024 * 1024  #: bytes of a configuration document
MAX_DEPTH: Final = 24
MAX_VALUES: Final = 50_000
MAX_PATTERN: Final = 512  #: signs of a regular expression in a schema
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SECRET: Final = re.compile(r"secret:([a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)", re.ASCII)
_FACT_NAME: Final = r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)+"
_FACT: Final = re.compile(
    rf"\{{\{{(?P<text>{_FACT_NAME})\}}\}}|\{{(?P<fact>{_FACT_NAME})\}}", re.ASCII
)
_CONTENT: Final = ("minLength", "maxLength", "pattern", "format", "enum", "const")
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class References:
    """What a document asks of the device."""

    facts: frozenset[str]
    secrets: frozenset[str]


def validate(
    document: Mapping[str, Any], schema: Mapping[str, Any], *, filled: bool = False
) -> None:
    """Check a document against a release's schema.

    What the schema says of a string's content (its length, a pattern, a choice) waits for the
    device where the string names a fact or a secret: only there it is known.

    Args:
        document: as the owner wrote it, or as the device filled it in.
        schema: of the release.
        filled: the latter: nothing waits any more, and secrets stand in it.

    Raises:
        InvalidInput: `bad-schema`, `bad-configuration` (with the place and the rule, never a
            value), `write-only-value`.
    """
    import jsonschema  # heavy, and most runs need none of it
    from jsonschema.validators import extend
    from referencing import Registry

    check_schema(schema)
    _check_size(document)
    literal: list[str] = []

    def write_only(
        validator: Any, marked: Any, instance: Any, schema_part: Any
    ) -> Iterator[ValidationError]:
        del validator, schema_part
        if marked is True and not _only_secrets(instance):
            literal.append("here")  # also where another branch of the schema would forgive it
            yield jsonschema.ValidationError("holds a value that must be a secret")

    plain = jsonschema.Draft202012Validator
    rules = {} if filled else {"writeOnly": write_only} | _waiting(plain.VALIDATORS)
    checker: Any = extend(plain, rules)  # type: ignore[no-untyped-call]
    try:
        fault = next(checker(dict(schema), registry=Registry()).iter_errors(document), None)
    except RecursionError:
        _bad_schema("it refers to itself without end")
    except Exception as error:  # noqa: BLE001  # referencing and re have failures of their own
        _bad_schema(f"it can't be applied ({type(error).__name__})")
    if literal:
        where = "" if fault is None else f" at {_place(fault)}"
        raise InvalidInput(
            "write-only-value",
            f"cannot take this configuration: a value{where} must not stand in a document; "
            "keep it on the device with 'allod-agent secret set' and write 'secret:NAME'",
        )
    if fault is not None:
        raise InvalidInput(
            "bad-configuration",
            f"cannot take this configuration: {_place(fault)} {_rule(fault)}",
            pointer=_place(fault),
            rule=str(fault.validator),
        )


def _waiting(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rules about a string's content, which hold for now where the content is not known."""

    def until_filled(rule: Any) -> Any:
        def apply(
            validator: Any, value: Any, instance: Any, part: Any
        ) -> Iterator[ValidationError]:
            if not isinstance(instance, str) or not _waits(instance):
                yield from rule(validator, value, instance, part) or ()

        return apply

    return {name: until_filled(rules[name]) for name in _CONTENT}


def _waits(text: str) -> bool:
    named = references(text)
    return bool(named.facts or named.secrets)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check a release's schema: its dialect, no reference to elsewhere, no costly pattern.

    Raises:
        InvalidInput: `bad-schema`.
    """
    import jsonschema

    for key, value in _members(schema):
        if key in {"$ref", "$dynamicRef"} and isinstance(value, str) and not value.startswith("#"):
            _bad_schema(f"it refers to {value[:80]!r} outside of itself")
        if key == "$schema" and value != _DIALECT:
            _bad_schema(f"it is not of {_DIALECT}")
        if key == "pattern" and isinstance(value, str):
            _check_pattern(value)
        if key == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                _check_pattern(pattern)
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        _bad_schema(f"{_place(error)} {_rule(error)}")
    except RecursionError:
        _bad_schema("it is nested too deep")


def _bad_schema(why: str) -> NoReturn:
    raise InvalidInput("bad-schema", f"cannot use the schema of the configuration: {why}")


def _check_pattern(pattern: str) -> None:
    """Refuse what Python's matcher may need forever for: a repetition inside a repetition."""
    if len(pattern) > MAX_PATTERN:
        _bad_schema(f"a pattern has more than {MAX_PATTERN} signs")
    open_groups: list[bool] = []
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)
    for match in re.finditer(r"\(|\)(?P<after>[*+]|\{\d*,\d*\})?|[*+]|\{\d*,\d*\}", plain):
        sign = match.group()[0]
        if sign == "(":
            open_groups.append(False)
        elif sign == ")":
            inner = open_groups.pop() if open_groups else False
            if inner and match["after"]:
                _bad_schema(f"the pattern {pattern[:80]!r} repeats a repetition")
            if open_groups and (inner or match["after"]):
                open_groups[-1] = True
        elif open_groups:
            open_groups[-1] = True


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every object, with its value; refuses what is too deep or too much."""
    stack = [(value, 0)]
    seen = 0
    while stack:
        part, depth = stack.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise InvalidInput(
                "bad-configuration",
                "cannot read this configuration: it is nested too deep, or too long",
            )
        if isinstance(part, Mapping):
            yield from part.items()
            stack.extend((inner, depth + 1) for inner in part.values())
        elif isinstance(part, list):
            stack.extend((inner, depth + 1) for inner in part)


def _check_size(document: Mapping[str, Any]) -> None:
    for _ in _members(document):
        pass


def _place(fault: ValidationError | Any) -> str:
    return "/" + "/".join(_escape(str(part)) for part in fault.absolute_path)


def _rule(fault: ValidationError | Any) -> str:
    """Which rule it breaks, without showing the value: it may be secret."""
    if fault.validator == "required":
        present = set(fault.instance) if isinstance(fault.instance, Mapping) else set()
        wanted: Any = fault.validator_value
        lacking = [name for name in wanted if name not in present]
        return f"lacks {', '.join(repr(name) for name in lacking)}"
    if fault.validator == "additionalProperties":
        return "holds a member that the schema does not know"
    rule = json.dumps(fault.validator_value, default=str)[:120]
    return f"breaks the rule {fault.validator!r}: {rule}"


def secret_name(value: object) -> str | None:
    """The secret that a value stands for, if it is `secret:NAME`."""
    match = _SECRET.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def _only_secrets(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_only_secrets(part) for part in value.values())
    if isinstance(value, list):
        return all(_only_secrets(part) for part in value)
    return secret_name(value) is not None


def references(document: Any) -> References:
    """The facts and the secrets that a document names."""
    facts: set[str] = set()
    names: set[str] = set()
    stack = [document]
    while stack:
        part = stack.pop()
        if isinstance(part, Mapping):
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
        elif isinstance(part, str):
            name = secret_name(part)
            if name is not None:
                names.add(name)
            else:
                facts.update(match["fact"] for match in _FACT.finditer(part) if match["fact"])
    return References(frozenset(facts), frozenset(names))


def substitute(
    document: Any, facts: Mapping[str, str], secrets: Mapping[str, str], granted: frozenset[str]
) -> Any:
    """The document with its facts and secrets filled in; keys of objects stay as they are.

    Args:
        document: a JSON value.
        facts: of the device.
        secrets: that are kept on the device for the package.
        granted: names of secrets that the owner lets the package use.

    Raises:
        InvalidInput: `unknown-fact`, `missing-secret`, `secret-not-granted`.
    """
    named = references(document)
    for fact in sorted(named.facts - facts.keys()):
        raise InvalidInput(
            "unknown-fact", f"cannot fill in {{{fact}}}: the device has no such fact", fact=fact
        )
    for name in sorted(named.secrets):
        if name not in granted:
            raise InvalidInput(
                "secret-not-granted",
                f"cannot use the secret {name}: the owner's document does not grant it to the package",
                secret=name,
            )
        if name not in secrets:
            raise InvalidInput(
                "missing-secret",
                f"cannot use the secret {name}: set it on the device with 'allod-agent secret set'",
                secret=name,
            )
    return _filled(document, facts, secrets)


def _filled(value: Any, facts: Mapping[str, str], secrets: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(part, facts, secrets) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, facts, secrets) for part in value]
    if not isinstance(value, str):
        return value
    name = secret_name(value)
    if name is not None:
        return secrets[name]
    return _FACT.sub(lambda match: facts[match["fact"]] if match["fact"] else match[0][1:-1], value)


# --- paths that users of the device may change ---------------------------------------------------


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def at(document: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901); `MISSING` if there is none."""
    for part in _parts(pointer):
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return _MISSING
    return document


def with_value(document: Any, pointer: str, value: Any) -> Any:
    """A copy with `value` at the pointer (`MISSING` takes it away); other places stay.

    Objects on the way are made; where the way leads through something else, nothing changes.
    """
    return _with(document, _parts(pointer), value)


def _with(document: Any, parts: Sequence[str], value: Any) -> Any:
    if not parts:
        return value
    head, rest = parts[0], parts[1:]
    if isinstance(document, list) and head.isdecimal() and int(head) < len(document):
        inner = _with(document[int(head)], rest, value)
        kept = [] if inner is _MISSING else [inner]
        return [*document[: int(head)], *kept, *document[int(head) + 1 :]]
    if not isinstance(document, Mapping):
        return document
    if head not in document and value is _MISSING:
        return document
    inner = _with(document.get(head, {} if rest else _MISSING), rest, value)
    others = {key: part for key, part in document.items() if key != head}
    return others if inner is _MISSING else {**others, head: inner}


def canonical(document: Any) -> bytes:
    """One form of bytes for one JSON value."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def value_mark(document: Any, pointer: str, salt: str) -> str:
    """A salted digest of the value at the pointer, to tell later whether somebody changed it."""
    value = at(document, pointer)
    data = b"" if value is _MISSING else canonical(value)
    return hashlib.sha256(salt.encode() + b"\0" + data).hexdigest()


def fixed_part(document: Any, local: Sequence[str]) -> Any:
    """The document without the paths that users may change."""
    for pointer in local:
        document = with_value(document, pointer, _MISSING)
    return document


def local_changes(
    marks: Mapping[str, str], current: Any, local: Sequence[str], salt: str
) -> tuple[str, ...]:
    """The local paths at which `current` differs from what was written (see `value_mark`)."""
    return tuple(
        pointer
        for pointer in local
        if pointer in marks and value_mark(current, pointer, salt) != marks[pointer]
    )


def merge_local(document: Any, current: Any, pointers: Sequence[str]) -> Any:
    """`document` with what users wrote into `current` at these local paths."""
    for pointer in pointers:
        document = with_value(document, pointer, at(current, pointer))
    return document
