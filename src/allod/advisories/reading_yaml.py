"""YAML as far as it says what JSON can: some databases keep their records so.

Every plain value but null is a text, so that no version becomes a number and no time a date.
Refused are what JSON has not: anchors and aliases (which grow without end), tags, keys that are no
texts or stand twice, several documents; and what is nested too deep.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from allod.advisories.reading import fault
from allod.errors import InvalidInput
from allod.wire.codec import MAX_DEPTH, MAX_ITEMS

YAML_CAP: Final = 2 * 1024 * 1024  #: bytes of one document
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})


def read_yaml(data: bytes, *, file: str) -> Any:
    """The value of a file.

    Raises:
        InvalidInput: `too-large`; `bad-document` with the line, or as YAML is not read here.
    """
    if len(data) > YAML_CAP:
        says = f"{len(data)} bytes, at most {YAML_CAP} are allowed"
        raise InvalidInput("too-large", f"cannot read {file[:200]!r}: {says}")
    try:
        import yaml
    except ImportError as error:
        raise fault(file, "it is YAML; install allod[owner] to read that") from error
    try:
        text = data.decode("utf-8")
        return _Builder(yaml, file).document(yaml.parse(text, Loader=_loader(yaml)))
    except (yaml.YAMLError, ValueError) as error:
        raise fault(file, " ".join(str(error).split())) from error


def _loader(yaml: Any) -> Any:
    """The parser in C where there is one."""
    return getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _Builder:
    """Makes one value of a parser's events."""

    def __init__(self, yaml: Any, file: str) -> None:
        self._yaml = yaml
        self._file = file
        self._items = 0

    def document(self, events: Iterator[Any]) -> Any:
        """The value of the only document."""
        yaml = self._yaml
        value, documents = None, 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._fault(event, "a second document begins")
                value = self._value(next(events), events, 1)
        return value

    def _value(self, event: Any, events: Iterator[Any], depth: int) -> Any:
        yaml = self._yaml
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise self._fault(event, f"nested deeper than {MAX_DEPTH}, or too many values")
        if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
            raise self._fault(event, "anchors, aliases and tags are not read")
        if isinstance(event, yaml.ScalarEvent):
            return None if event.implicit[0] and event.value in _NULL else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._items_of(yaml.SequenceEndEvent, events, depth))
        made: dict[str, Any] = {}
        members = self._items_of(yaml.MappingEndEvent, events, depth)
        for key in members:
            if not isinstance(key, str) or key in made:
                raise self._fault(event, f"the key {str(key)[:40]!r} is no text, or stands twice")
            made[key] = next(members)
        return made

    def _items_of(self, end: type, events: Iterator[Any], depth: int) -> Iterator[Any]:
        for event in events:
            if isinstance(event, end):
                return
            yield self._value(event, events, depth + 1)

    def _fault(self, event: Any, says: str) -> InvalidInput:
        return fault(self._file, f"{says} - at line {event.start_mark.line + 1}")
