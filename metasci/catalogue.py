"""Where data sets and learned priors lie: those that ship, those in a folder, those fetched once.

A wheel carries `datasets/` and `models/` inside the package; a checkout has them beside it. Data that may
not ship are named by a card with `external`: they are looked for under the environment variable
``METASCI_DATA_DIR``, and else in the user's cache, where `fetch` puts them. Nothing else opens a connection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from metasci.data.cards import Card
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet
    from metasci.model import Model

__all__ = ["card", "dataset", "fetch", "model_of", "names", "published_source", "shipped"]

_SUM = re.compile(r"[0-9a-f]{64}")
DATA_DIR = "METASCI_DATA_DIR"
_MARK = {"datasets": "dataset.toml", "models": "prior.json"}


def shipped(kind: str) -> Path:
    """The folder of what ships: `kind` is ``"datasets"`` or ``"models"``.

    Examples
    --------
    >>> (shipped("datasets") / "theophylline" / "dataset.toml").exists()
    True
    """
    if kind not in _MARK:
        raise InputError(f"nothing of the kind '{kind}' ships; kinds are {', '.join(_MARK)}.")
    package = Path(__file__).resolve().parent
    inside = package / "_shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def names(kind: str) -> tuple[str, ...]:
    """Names of the data sets or learned priors that ship.

    Examples
    --------
    >>> "theophylline" in names("datasets")
    True
    """
    folder = shipped(kind)
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{_MARK[kind]}")))


def published_source(name: str) -> str:
    """The publication of a prior that ships; empty where it was learned.

    Examples
    --------
    >>> published_source("digoxin_zhou_2010").partition(",")[0], published_source("theophylline")
    ('Zhou XD and others', '')
    """
    return str(_description(name).get("training", {}).get("published", {}).get("source", ""))


def model_of(name: str) -> str:
    """The name of the model that a prior that ships calibrates.

    Examples
    --------
    >>> model_of("phonon_peak")
    'materials.phonon_peak'
    """
    return str(_description(name)["model"])


def _description(name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(
        (shipped("models") / name / _MARK["models"]).read_text(encoding="utf-8")
    )
    return described


def card(name_or_folder: str | Path) -> Card:
    """The card of a data set, by the name of one that ships or by its folder.

    Raises
    ------
    InputError
        If there is none; the sentence lists those that ship.
    """
    return Card.from_toml(_folder(name_or_folder) / _MARK["datasets"])


def dataset(name_or_path: str | Path, card: Card | None = None, model: Model | None = None) -> TaskSet:
    """Tasks from a data set that ships, from a folder with a card, from a NetCDF file, or from a CSV file.

    Parameters
    ----------
    name_or_path : str or path
        Such as ``"theophylline"``, ``"my_data/"`` (holds `dataset.toml`), ``"tasks.nc"`` or ``"mine.csv"``.
    card : Card, optional
        Says what the columns of a CSV file mean; the others have a card of their own. It decides, too, if it is of
        another model and of the same file, by the checksum: alloys may be told apart by composition, or
        by their system of elements, as ``alloy_systems`` does with the file of ``mpea``. And so it does if it has
        columns that are computed of the structures (`metasci.data.simulators`).
    model : Model, optional
        Its units are those of the result, and the limits of its inputs are checked.

    Raises
    ------
    InputError
        If there is no such data, or they are not what the card says.

    Examples
    --------
    >>> dataset("theophylline")
    TaskSet('theophylline': 12 tasks, 132 measurements)
    """
    from metasci.data.door import read
    from metasci.data.tasks import TaskSet
    from metasci.regular_files import book_and_sheet

    path = Path(name_or_path)
    if str(name_or_path) not in names("datasets") and book_and_sheet(path)[0].is_file():
        if card is None and path.suffix != ".nc":
            raise InputError(
                f"'{path}' needs a card that says what its columns mean: give one, or a folder with a dataset.toml."
            )
        return read(path, None if path.suffix == ".nc" else card, model)
    folder = _folder(name_or_path)
    own = Card.from_toml(folder / _MARK["datasets"])
    path = _data_file(folder, own)
    if card is not None and own.sha256 and card.sha256 == own.sha256 and _tells_more(card, own):
        own = card
    if own.events:
        from metasci.library import find

        return TaskSet.from_events(path, model or find(own.model), own)
    return TaskSet.from_csv(path, own, model=model)


def _tells_more(card: Card, own: Card) -> bool:
    """Whether a card of the same file has another model, or computes more of its structures."""
    return card.model != own.model or any(column.computed for column in card.columns)


def fetch(name_or_folder: str | Path) -> Path:
    """Fetch the data of a card that do not ship from the address that it names, into the user's cache.

    Parameters
    ----------
    name_or_folder : str or path
        A data set by the name of one that ships, or by its folder.

    Returns
    -------
    path
        The file, which `dataset` finds there from then on.

    Raises
    ------
    InputError
        If the card names no address or no checksum, or there is no such file at the address.
    """
    own = Card.from_toml(_folder(name_or_folder) / _MARK["datasets"])
    if own.file:
        raise InputError(f"the data of '{own.name}' ship with metasci; there is nothing to fetch.")
    if not own.external or not own.url:
        raise InputError(
            f"the card of '{own.name}' names no address to fetch its data from; {_by_hand(own)}."
        )
    if not _is_safe(own.url) or not _SUM.fullmatch(own.sha256):
        raise InputError(
            f"the data of '{own.name}' are not fetched: its card needs an https address and a sha256."
        )
    from metasci.files import write_atomically

    target = _cached(own)
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == own.sha256:
        return target
    write_atomically(target, _as_the_card_says(own, _content_at(own)))
    return target


def _is_safe(address: str) -> bool:
    """Whether nobody on the way can read or change what comes: over HTTPS, or from this machine itself."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        return parts.scheme == "https" or (parts.scheme, parts.hostname) == ("http", "127.0.0.1")
    except ValueError:  # brackets that are no address
        return False


def _content_at(card: Card) -> bytes:
    """What lies at the address of a card."""
    import tempfile

    import pooch

    pooch.get_logger().setLevel("WARNING")
    with tempfile.TemporaryDirectory() as folder:
        try:
            # no checksum yet: what is compared with the card's is the file that comes of it
            path = pooch.retrieve(str(card.url), known_hash=None, fname="content", path=folder)
        except Exception as error:  # many kinds: no network, no such address
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"the data of '{card.name}' could not be fetched from {card.url}: {reason}; {_by_hand(card)}."
            ) from None
        return Path(path).read_bytes()


def _as_the_card_says(card: Card, content: bytes) -> bytes:
    """The content, converted where the card has rules for it, if its checksum is the card's."""
    if card.upstream:
        from metasci.data.upstream import converted

        content = converted(content, card.upstream, f"what {card.url} has")
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise InputError(
            f"the data of '{card.name}' could not be fetched from {card.url}: the SHA-256 of what is there is {digest} "
            f"and should be {card.sha256}; nothing was kept, and {_by_hand(card)}."
        )
    return content


def _by_hand(card: Card) -> str:
    return f"set {DATA_DIR} to a folder that holds '{card.external}'"


def _cached(card: Card) -> Path:
    """Where `fetch` puts the file of a card; its name and the card's are no paths."""
    import pooch

    return Path(pooch.os_cache("metasci")) / card.name / _external_path(card).name


def _folder(name_or_folder: str | Path) -> Path:
    """The folder that holds the card of a data set."""
    known = names("datasets")
    if str(name_or_folder) in known:
        return shipped("datasets") / str(name_or_folder)
    folder = Path(name_or_folder)
    if not folder.exists():
        raise InputError(
            f"there is no data set or file '{name_or_folder}'; data sets are {', '.join(known)}."
        )
    if not (folder / _MARK["datasets"]).is_file():
        raise InputError(f"the folder '{name_or_folder}' has no dataset.toml that says what its data mean.")
    return folder


def _data_file(folder: Path, card: Card) -> Path:
    """The file with the data of a card, its checksum compared."""
    from metasci.data.card_checks import file_inside
    from metasci.regular_files import bytes_of

    if card.file:
        path = file_inside(folder, card.file, f"the card of '{card.name}'")
    elif card.external:
        path = _external(card)
    else:
        raise InputError(f"the card of '{card.name}' names no file: give `file` or `external`.")
    try:
        digest = hashlib.sha256(bytes_of(path)).hexdigest()
    except InputError as error:
        raise InputError(f"the data of '{card.name}' cannot be read: {error}") from None
    if card.sha256 and digest != card.sha256:
        raise InputError(
            f"'{path}' is not the file that the card of '{card.name}' describes: its SHA-256 is {digest} and "
            f"should be {card.sha256}."
        )
    return path


def _external_path(card: Card) -> PurePosixPath:
    """The path of data that do not ship, below whatever folder holds them."""
    path = PurePosixPath(str(card.external))
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in str(path):
        raise InputError(
            f"the card of '{card.name}' names its data by '{card.external}', which leads out of any folder."
        )
    return path


def _external(card: Card) -> Path:
    """The file of data that do not ship: found under METASCI_DATA_DIR, or fetched before."""
    setting = os.environ.get(DATA_DIR)
    if setting and (path := Path(setting) / _external_path(card)).is_file():
        return path
    if card.url and (path := _cached(card)).is_file():
        return path
    setting_text = f"{DATA_DIR} is '{setting}'" if setting else f"{DATA_DIR} is not set"
    way = f", or fetch them with `metasci fetch {card.name}`" if card.url else ""
    raise InputError(
        f"the data of '{card.name}' do not ship: set {DATA_DIR} to the folder that holds '{card.external}' "
        f"({setting_text}){way}."
    )
