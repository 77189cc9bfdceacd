"""Writing package URLs (ECMA-427), as far as bills of materials made here need them."""

from __future__ import annotations

from urllib.parse import quote

_PLAIN = ".-_~:"  #: characters that stay as they are, besides letters and digits


def purl(
    kind: str,
    namespace: str,
    name: str,
    version: str = "",
    qualifiers: dict[str, str] | None = None,
) -> str:
    """`pkg:kind/namespace/name@version?qualifiers`; what is empty is left out."""
    parts = [quote(part, safe=_PLAIN) for part in (*namespace.split("/"), name) if part]
    text = f"pkg:{kind}/{'/'.join(parts)}"
    if version:
        text += f"@{quote(version, safe=_PLAIN)}"
    said = {key: value for key, value in sorted((qualifiers or {}).items()) if value}
    if said:
        text += "?" + "&".join(
            f"{key}={quote(value, safe=_PLAIN + '/')}" for key, value in said.items()
        )
    return text
