"""Who holds a face: data versions, objects of DVC, manifests, shards, tables, reports, and what was trained on it.

A face is named by the SHA-256 of its picture. What lies in this folder and in folders that it links to, in the cache
and in remotes that are folders is looked into; the rest is named as not looked into.
"""

import hashlib
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from model.data.contents import UNREADABLE, Contents, Trained
from model.data.versions import DATA, POINTER, DataVersion, Store, is_listing, read_listing, stores_of, versions_of
from model.data.walk import files_below
from model.schema import SPLITS, FaceRecord
from model.storage import PACK_SEPARATOR

_TEXTS = (".csv", ".html", ".json", ".jsonl", ".md")
_ROLES = {"train": "trained on", "val": "selected by", "test": "measured on"}
_DRAWN = "; the page and plots beside it may draw them"
_FETCH = "fetch it with `dvc fetch --all-commits data.dvc`, then repeat"


class Holding(NamedTuple):
    """One thing that holds faces: where its copies lie, and how it holds them where that is not plain."""

    kind: str
    name: str
    faces: tuple[str, ...]
    copies: tuple[str, ...] = ()
    how: str = ""


class Unseen(NamedTuple):
    """Something that may hold the faces, and why that cannot be told here."""

    name: str
    why: str


class Part(NamedTuple):
    """Objects of a store that hold faces."""

    store: str
    objects: tuple[str, ...]
    bytes: int


@dataclass
class Traces:
    """All that is known of the wanted faces; `kin` are other records of the same persons or photos."""

    records: dict[str, list[str]]
    holdings: list[Holding] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    kin: list[str] = field(default_factory=list)

    def note_unreadable(self, error: OSError) -> None:
        """Tell once of a folder that cannot be listed."""
        folder = Unseen(str(error.filename), f"the folder cannot be read: {error.strerror}")
        if folder not in self.unseen:
            self.unseen.append(folder)

    def unknown(self) -> list[str]:
        """Wanted digests that nothing here holds."""
        held = {face for holding in self.holdings for face in holding.faces}
        return [face for face in self.records if face not in held]


class Places:
    """Files by the MD5 of their content: paths in the workspace, and stores."""

    def __init__(self, workspace: Path, files: Iterable[Path], stores: Iterable[Store]) -> None:
        self.names: dict[str, list[str]] = defaultdict(list)
        self.files: dict[str, Path] = {}
        self.stores: dict[str, dict[str, Path]] = {}
        for path in files:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "md5").hexdigest()
            self._add(digest, path, str(path.relative_to(workspace)))
        for store in stores:
            self.stores[store.name] = dict(store.objects())
            for digest, path in self.stores[store.name].items():
                self._add(digest, path, f"{store.name}:{digest}")

    def _add(self, digest: str, path: Path, name: str) -> None:
        self.names[digest].append(name)
        self.files.setdefault(digest, path)


def trace(
    wanted: Iterable[str],
    *,
    workspace: Path,
    folders: Iterable[Path],
    reports: Iterable[Path],
    registered: Mapping[str, Trained] | None = None,
) -> Traces:
    """Look for pictures by their SHA-256.

    Args:
        folders: what may hold faces in the workspace: data, artifacts, reports, published weights.
        reports: text files below these are searched for the names of the records and of their pictures.
        registered: versions of a registry by name.
    """
    traces = Traces({digest: [] for digest in wanted})
    stores, far = stores_of(workspace)
    traces.unseen += [Unseen(f"remote {name}", "objects of a far remote are not looked into") for name in far]
    places = Places(workspace, files_below(folders, traces.note_unreadable), stores)
    contents = Contents(frozenset(traces.records))
    for digest, path in tqdm(places.files.items(), desc="forget", unit=" files", disable=None):
        if not is_listing(digest):
            contents.look_into(path, digest)
    traces.unseen += [Unseen(places.names[digest][0], why) for digest, why in contents.unread.items()]
    _take_records(traces, contents)
    versions, whole = versions_of(workspace)
    if not whole and (workspace / POINTER).is_file():
        traces.unseen.append(Unseen("history", "Git tells none here; former data versions are not looked for"))
    names = {name: face for face, records in traces.records.items() for name in records}
    names |= _addresses(contents, places, versions)
    traces.holdings += _versions(contents, places, versions, traces.unseen)
    traces.holdings += _files_holding(contents, places, names)
    traces.holdings += _trained(contents, places, registered or {}, traces.unseen)
    spelt = names | {face: face for face in traces.records}
    traces.holdings += _reports(files_below(reports, traces.note_unreadable), workspace, spelt)
    traces.parts = _parts(places, traces.holdings)
    return traces


def _take_records(traces: Traces, contents: Contents) -> None:
    far: set[str] = set()
    for manifest in contents.manifests.values():
        for record in manifest.faces:
            names = traces.records[str(record.sha256)]
            if record.record_id not in names:
                names.append(record.record_id)
            if record.image.startswith("s3://") and record.image not in far:
                far.add(record.image)
                traces.unseen.append(Unseen(record.image, "the picture lies on S3; delete it there"))
        traces.kin += [record.record_id for record in manifest.kin if record.record_id not in traces.kin]


def _addresses(contents: Contents, places: Places, versions: Iterable[DataVersion]) -> dict[str, str]:
    """Wanted faces by where their pictures lie, or lay in some data version: below the data's folder, and as a path.

    A table or a text may name a face so that no manifest names any more.
    """
    names = {digest: [*places.names[digest]] for digest in contents.pictures}
    for version in versions:
        listing = read_listing(places.files[version.digest]) if version.digest in places.files else {}
        for file, digest in listing.items():
            if digest in names:
                names[digest].append(f"{DATA}/{file}")
    found = {}
    for digest, faces in contents.pictures.items():
        for face, members in faces.items():
            for name in names[digest]:
                for path in [f"{name}{PACK_SEPARATOR}{member}" for member in members] or [name]:
                    found[path] = found[path.removeprefix(f"{DATA}/")] = face
    return found


def _versions(
    contents: Contents, places: Places, versions: Iterable[DataVersion], unseen: list[Unseen]
) -> Iterator[Holding]:
    for version in versions:
        name = f"{version.digest} ({', '.join(version.commits)})"
        if version.digest not in places.files:
            unseen.append(Unseen(f"data version {name}", f"its list of files is not here; {_FETCH}"))
            continue
        listing = read_listing(places.files[version.digest])
        missing = [file for file, digest in listing.items() if digest not in places.files]
        if missing:
            what = f"{len(missing)} of its {len(listing)} files are not here, first {missing[0]}; {_FETCH}"
            unseen.append(Unseen(f"data version {name}", what))
        held = {file: contents.pictures[digest] for file, digest in listing.items() if digest in contents.pictures}
        if held:
            yield Holding("data version", name, _sorted(*held.values()), how=f"in {', '.join(held)}")


def _files_holding(contents: Contents, places: Places, names: Mapping[str, str]) -> Iterator[Holding]:
    for digest, held in contents.pictures.items():
        members = [member for found in held.values() for member in found]
        yield _holding("picture", digest, places, held, f"in it {', '.join(members)}" if members else "")
    for digest, manifest in contents.manifests.items():
        faces = {str(record.sha256) for record in manifest.faces}
        if faces:
            splits = {record.split for record in manifest.faces}
            yield _holding("manifest", digest, places, faces, f"in {', '.join(sorted(splits))}")
    for digest, table in contents.tables.items():
        faces = {names[name] for name in (*table.records, *table.images) if name in names}
        if faces:
            yield _holding(table.kind, digest, places, faces)


def _trained(
    contents: Contents, places: Places, registered: Mapping[str, Trained], unseen: list[Unseen]
) -> Iterator[Holding]:
    """What was trained or measured on data with the faces, or began from such weights, at any distance."""
    data = {manifest.data_digest: manifest.faces for manifest in contents.manifests.values()}
    everything = {**contents.trained, **registered}
    known = {item.weights_digest: item for item in everything.values() if item.weights_digest}
    for key, item in everything.items():
        name = key if key in registered else places.names[key][0]
        if item.data_digest not in data:
            unseen.append(Unseen(f"{item.kind} {name}", f"no manifest here describes its data {item.data_digest}"))
        faces = [record for record in data.get(item.data_digest, ()) if record.split in item.splits]
        ways = [_roles(faces)] if faces else []
        for digest in _ancestors(item, known):
            if digest not in known:
                unseen.append(Unseen(f"{item.kind} {name}", _unknown(digest)))
                continue
            more = data.get(known[digest].data_digest, ())
            faces += more
            ways += [f"began from {digest[:12]}, {_roles(more)}"] if more else []
        digests, how = {str(record.sha256) for record in faces}, "; ".join(ways)
        if digests and key in registered:
            yield Holding(item.kind, key, _sorted(digests), how=how)
        elif digests:
            yield _holding(item.kind, key, places, digests, how + (_DRAWN if item.kind == "evaluation" else ""))


def _ancestors(item: Trained, known: Mapping[str, Trained]) -> Iterator[str]:
    """Digests of the weights that it began from, the nearest first, as far as they are known."""
    seen = {""}
    digest = item.start_digest
    while digest not in seen:
        seen.add(digest)
        yield digest
        digest = known[digest].start_digest if digest in known else ""


def _unknown(digest: str) -> str:
    if digest == UNREADABLE:
        return "its description cannot be read: whether it began from other weights is not known"
    return f"it began from weights {digest[:12]}, not known here"


def _reports(files: Iterable[Path], workspace: Path, names: Mapping[str, str]) -> Iterator[Holding]:
    spelt = {spelling: face for name, face in names.items() for spelling in _spellings(name)}
    pattern = re.compile("|".join(rf"(?<![\w/]){re.escape(spelling)}(?![\w#])" for spelling in spelt))
    for path in files:
        if path.suffix in _TEXTS:
            found = {spelt[name] for name in pattern.findall(path.read_text(errors="replace"))}
            if found:
                yield Holding("report", str(path.relative_to(workspace)), _sorted(found))


def _spellings(name: str) -> set[str]:
    """A name as text, JSON and HTML spell it."""
    return {name, json.dumps(name)[1:-1], html.escape(name)}


def _parts(places: Places, holdings: Iterable[Holding]) -> list[Part]:
    """The objects of each store behind the holdings, which `dvc gc` has to remove."""
    held = {name for holding in holdings for name in (holding.name, *holding.copies)}
    parts = []
    for store, objects in places.stores.items():
        mine = tuple(sorted(digest for digest in objects if f"{store}:{digest}" in held))
        if mine:
            parts.append(Part(store, mine, sum(objects[digest].stat().st_size for digest in mine)))
    return parts


def _holding(kind: str, digest: str, places: Places, faces: Iterable[str], how: str = "") -> Holding:
    first, *copies = places.names[digest]
    return Holding(kind, first, _sorted(faces), tuple(copies), how)


def _roles(records: Iterable[FaceRecord]) -> str:
    splits = {record.split for record in records}
    return ", ".join(_ROLES[split] for split in SPLITS if split in splits)


def _sorted(*faces: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({face for some in faces for face in some}))
