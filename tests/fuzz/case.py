"""A case: what is asked, and the files beside it; as JSON in the corpus."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Case:
    """Arguments of the command line, or of a function (``python:NAME``), and files by name."""

    door: str
    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The same for the same case."""
        return f"{self.door}-{hashlib.sha256(self.to_json().encode()).hexdigest()[:12]}"

    def to_json(self) -> str:
        """The case as text; contents that are no UTF-8 in base 64."""
        contents: dict[str, str | dict[str, str]] = {}
        for name, content in sorted(self.files.items()):
            try:
                contents[name] = content.decode("utf-8")
            except UnicodeDecodeError:
                contents[name] = {"base64": base64.b64encode(content).decode()}
        # lone surrogates, as in arguments that are no UTF-8, stay escaped
        return json.dumps({"door": self.door, "arguments": self.arguments, "files": contents}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The case that `to_json` wrote."""
        raw = json.loads(text)
        files = {
            name: base64.b64decode(content["base64"]) if isinstance(content, dict) else content.encode()
            for name, content in raw["files"].items()
        }
        return cls(raw["door"], tuple(raw["arguments"]), files)

    def write(self, folder: Path) -> None:
        """Put the files into a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def corpus() -> Iterator[tuple[str, Case]]:
    """Every input that ever failed, by name."""
    for path in sorted(CORPUS.glob("*.json")):
        yield path.stem, Case.from_json(path.read_text(encoding="utf-8"))
