"""`allod.toml`: precise about what is wrong, and what is written can be read again."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from allod.domain.release import Apply, Data, Kind
from allod.errors import InvalidInput
from allod.packaging.description import parse_description, read_description, write_description

HEAD = 'package = "pkg:generic/me/app"\nversion = "1.0"\n'


def test_a_whole_description_is_understood(tmp_path: Path) -> None:
    """Every table arrives in the release; schemas may stand in files of their own."""
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "allod.toml").write_text(
        HEAD
        + """
provider = "acme"
tree = "dist"
architecture = "aarch64"
access = ["network.listen:tcp/8080"]
mends = ["CVE-2024-1"]
support_end = "2027-01-31"
[service]
command = ["run", "{data}"]
environment = { PORT = "8080" }
[[health]]
kind = "http"
url = "http://127.0.0.1:8080/"
[data]
schema = 4
[configuration]
schema = "schema.json"
default = { }
apply = "reload"
[interrupts]
what = "toasting"
seconds = 9
[[constraints]]
id = "fuse"
says = "burns a fuse"
"""
    )
    known = read_description(tmp_path)
    release = known.release
    assert (release.package, release.version, release.provider) == (
        "pkg:generic/me/app",
        "1.0",
        "acme",
    )
    assert release.kind is Kind.TREE
    assert release.service is not None
    assert release.service.name == "app"
    assert release.service.environment == (("PORT", "8080"),)
    assert release.data == Data(4, (4,))
    assert release.configuration is not None
    assert release.configuration.schema == {"type": "object"}
    assert (release.configuration.apply, release.configuration.default) == (Apply.RELOAD, {})
    assert (release.interrupts, release.interrupts_seconds) == ("toasting", 9)
    assert [one.id for one in release.constraints] == ["fuse"]
    assert [(one.tree, one.architecture) for one in known.payloads] == [
        (tmp_path / "dist", "aarch64")
    ]


def test_the_version_of_the_command_line_wins(tmp_path: Path) -> None:
    """A build server says the version, and the file need not."""
    raw = b'package = "pkg:generic/me/app"\n'
    assert parse_description(raw, tmp_path, version="7").release.version == "7"
    assert parse_description(HEAD.encode(), tmp_path, version="7").release.version == "7"


def test_several_platforms_have_a_tree_each(tmp_path: Path) -> None:
    """Each platform is one payload."""
    text = (
        HEAD
        + '[[platform]]\narchitecture = "x86_64"\ntree = "a"\n[[platform]]\narchitecture = "aarch64"\ntree = "b"\n'
    )
    known = parse_description(text.encode(), tmp_path)
    assert [one.architecture for one in known.payloads] == ["x86_64", "aarch64"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("package = x\n", "bad-description", "line 1"),
        (HEAD + "pakage = 1", "bad-description", "pakage"),
        ('version = "1"', "bad-description", "package"),
        ('package = "pkg:generic/me/app"', "bad-description", "--version"),
        (HEAD + "[service]\ncommand = 'run'", "bad-description", "service.command"),
        (HEAD + "[service]\ncommand = ['run', 3]", "bad-description", "service.command[1]"),
        (HEAD + "[service]\ncommand = ['run', '{home}']", "bad-release", "{home}"),
        (HEAD + "[[health]]\nkind = 'pray'", "bad-description", "health[0].kind"),
        (HEAD + "[[health]]\nkind = 'http'", "bad-health", "url"),
        (HEAD + "kind = 'deb'", "bad-description", "deb"),
        (HEAD + "access = ['world']", "bad-access", "world"),
        (HEAD + "tree = '../x'", "bad-description", "tree"),
        (HEAD + "tree = '/x'", "bad-description", "tree"),
        (HEAD + "[configuration]\nschema = 'none.json'", "bad-description", "configuration.schema"),
        (
            HEAD + "[configuration]\nschema = '../../etc/x.json'",
            "bad-description",
            "configuration.schema",
        ),
        (HEAD + "[configuration]\nschema = { type = 'objekt' }", "bad-schema", "$.type"),
        (
            HEAD + "[configuration]\nschema = { type = 'object' }\ndefault = { }\nlocal = ['a']",
            "bad-release",
            "JSON pointer",
        ),
        (
            HEAD + "[configuration]\nschema = { required = ['port'] }\ndefault = { }",
            "bad-default",
            "port",
        ),
        (HEAD + "[[constraints]]\nid = 'x'", "bad-description", "constraints[0]"),
        (
            HEAD + "architecture = 'x86_64'\n[[platform]]\narchitecture = 'x86_64'\ntree = 'a'",
            "bad-description",
            "platform",
        ),
        (
            HEAD
            + "[[platform]]\narchitecture = 'x'\ntree = 'a'\n[[platform]]\narchitecture = 'x'\ntree = 'b'",
            "bad-description",
            "twice",
        ),
    ],
)
def test_a_mistake_is_named_where_it_stands(
    tmp_path: Path, text: str, code: str, says: str
) -> None:
    """The message names the field or the line, so that it can be mended at once."""
    with pytest.raises(InvalidInput) as caught:
        parse_description(text.encode(), tmp_path)
    assert caught.value.code == code
    assert says in caught.value.message


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    """The first thing that a newcomer meets leads on."""
    with pytest.raises(InvalidInput) as caught:
        read_description(tmp_path)
    assert caught.value.code == "no-description"
    assert "release init" in caught.value.message


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """Quotes, backslashes, control characters, empty and nested values go round."""
    table = {
        "package": "pkg:generic/me/app",
        "text": 'a "quoted" \\ back\nline\ttab \x01\x7f ü',
        "empty": {},
        "none": [],
        "flag": True,
        "number": 3.5,
        "service": {"command": ["a", "b"], "environment": {"A B": "c"}},
        "health": [{"kind": "http", "nested": {"a": 1}}, {"kind": "running"}],
        "deep": {"only": {"inner": {"x": 1}}},
    }
    text = write_description(table, ["A comment.", ""])
    assert tomllib.loads(text) == table
    assert text.startswith("# A comment.\n#\n")
