"""The orders of semver and Maven against npm's and Maven's own code, where it is on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from allod.advisories.orders import MAVEN, SEMVER

pytestmark = pytest.mark.slow
NPM = next(
    (
        path
        for prefix in ("/usr/lib", "/usr/share", "/usr/local/lib")
        for path in Path(prefix).glob("node*/npm/node_modules/semver")
    ),
    None,
)
JAR = next(iter(Path("/usr/share/maven/lib").glob("maven-artifact*.jar")), None)
COMPARE_NPM = """
const semver = require(process.argv[1]);
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n"))
  console.log(semver.compare(...line.split(" ")));
"""
COMPARE_MAVEN = """
import java.util.Scanner;
import org.apache.maven.artifact.versioning.ComparableVersion;
public class Compare {
  public static void main(String[] none) {
    Scanner in = new Scanner(System.in);
    while (in.hasNext())
      System.out.println(Integer.signum(
        new ComparableVersion(in.next()).compareTo(new ComparableVersion(in.next()))));
  }
}
"""


def numbers(random: Random, least: int, most: int) -> str:
    return ".".join(random.choices("0129", k=random.randint(least, most)))


def npm_version(random: Random) -> str:
    before = ["", "-0", "-9", "-10", "-a", "-B", "-rc.1", "-rc.10", "-rc-1", "-rc.1.a", "-1a"]
    return numbers(random, 3, 3) + random.choice(before) + random.choice(["", "+7", "+a.b"])


def maven_version(random: Random) -> str:
    last = ["", "-1", "-10", "-alpha-1", "-beta", "-RC2", "rc1", "-SNAPSHOT", ".Final", "-ga", "a1"]
    words = ["-sp", ".SP1", "-jre", "-android", "-M2", "-20240101"]
    return numbers(random, 1, 4) + random.choice(last + words)


def asked(version, seed: int) -> list[tuple[str, str]]:
    random = Random(seed)
    return [(version(random), version(random)) for _ in range(5_000)]


def lines(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{first} {second}\n" for first, second in pairs)


@pytest.mark.skipif(NPM is None or shutil.which("node") is None, reason="no npm on this machine")
def test_npm() -> None:
    """Semver's versions stand as npm has them."""
    pairs = asked(npm_version, 1)
    command = ["node", "-e", COMPARE_NPM, str(NPM)]
    done = subprocess.run(command, input=lines(pairs), capture_output=True, text=True, check=True)
    theirs = [int(one) for one in done.stdout.split()]
    assert [SEMVER.compare(*one) for one in pairs] == theirs


@pytest.mark.skipif(JAR is None or shutil.which("java") is None, reason="no Maven on this machine")
def test_maven(tmp_path: Path) -> None:
    """Versions in the forms that projects publish stand as Maven's own code has them."""
    file = tmp_path / "Compare.java"
    file.write_text(COMPARE_MAVEN)
    pairs = asked(maven_version, 2)
    command = ["java", "-cp", f"{JAR}:/usr/share/java/commons-lang3.jar", str(file)]
    done = subprocess.run(command, input=lines(pairs), capture_output=True, text=True, check=True)
    theirs = [int(one) for one in done.stdout.split()]
    differing = [
        one for one, said in zip(pairs, theirs, strict=True) if MAVEN.compare(*one) != said
    ]
    assert differing == []
