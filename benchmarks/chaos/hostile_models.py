"""Model files as a stranger may have made them up: each a change of one that tune-app has written."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.chaos.forging import Evil, bomb, code_in_archive, rezipped

#: Makes a model file of the bytes of a sound one.
Make = Callable[[Path, bytes], None]


def packed(content: Any, **how: Any) -> bytes:
    """As torch writes it."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def altered(change: Callable[[dict[str, Any]], Any]) -> Make:
    """The same file with other content."""

    def make(path: Path, data: bytes) -> None:
        content = torch.load(io.BytesIO(data), weights_only=True)
        path.write_bytes(packed(change(content) or content))

    return make


def field(**fields: Any) -> Make:
    """Some of its keys have other values."""
    return altered(lambda content: content.update(fields))


def config(**fields: Any) -> Make:
    """Some of its parameters have other values."""
    return altered(lambda content: content["config"].update(fields))


def weights(change: Callable[[str, torch.Tensor], Any]) -> Make:
    """Its tensors are others."""
    return altered(
        lambda content: content.update(weights={n: change(n, each) for n, each in content["weights"].items()})
    )


def lacking(key: str) -> Make:
    """One of its keys is not there."""
    return altered(lambda content: {name: value for name, value in content.items() if name != key})


def of_bytes(change: Callable[[bytes], bytes]) -> Make:
    """Its bytes are others."""

    def make(path: Path, data: bytes) -> None:
        path.write_bytes(change(data))

    return make


def flipped(share: float) -> Make:
    """One bit is another, in the middle of a tensor."""

    def change(data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            part = max(archive.infolist(), key=lambda each: each.file_size)
            start = data.index(part.filename.encode()) + 200
        place = start + int(share * (part.file_size - 300))
        return data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :]

    return of_bytes(change)


def folder(path: Path, _: bytes) -> None:
    """A folder of that name."""
    path.mkdir()


def pipe(path: Path, _: bytes) -> None:
    """A named pipe."""
    os.mkfifo(path)


def nothing(path: Path, _: bytes) -> None:
    """There is no file."""


def zeros(path: Path, _: bytes) -> None:
    """A link to a device that has no end."""
    path.symlink_to("/dev/zero")


def overlapping(data: bytes) -> bytes:
    """Many parts that lie over one another, and are larger than the file together."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda each: each.file_size).file_size
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        first = archive.infolist()[-1]
        for number in range(1000):
            again = zipfile.ZipInfo(f"{first.filename.rpartition('/')[0]}/{number}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(again, name, getattr(max(archive.infolist(), key=lambda e: e.file_size), name))
            archive.filelist.append(again)
        archive._didModify = True  # type: ignore[attr-defined]
    assert largest
    return buffer.getvalue()


def laughs() -> list[Any]:
    """A list that is small as a pickle, and has 10^30 items when it is written out."""
    found: list[Any] = ["ha"] * 10
    for _ in range(30):
        found = [found] * 10
    return found


class Scripted(torch.nn.Module):
    """For a file of TorchScript."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def scripted(path: Path, _: bytes) -> None:
    """A program of torch's own language."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/constants.pkl", pickle.dumps(()))
        archive.writestr("m/data.pkl", pickle.dumps(Evil()))
        archive.writestr("m/version", "6\n")
        archive.writestr("m/code/__torch__.py", "import os\nos.system('touch ../outside/executed')\n")
    path.write_bytes(buffer.getvalue())


MODELS: dict[str, Make] = {
    # no model
    "no file": nothing,
    "a folder": folder,
    "a pipe": pipe,
    "a device without end": zeros,
    "an empty file": of_bytes(lambda _: b""),
    "a text": of_bytes(lambda _: b"a model"),
    "half a model": of_bytes(lambda data: data[: len(data) // 2]),
    "a model without its last byte": of_bytes(lambda data: data[:-1]),
    **{f"a bit flipped at {share:.0%} of a tensor": flipped(share) for share in (0.0, 0.3, 0.6, 0.99)},
    # code
    "a pickle that runs a command": of_bytes(lambda _: pickle.dumps(Evil())),
    "an archive that runs a command": of_bytes(code_in_archive),
    "an object that runs a command": of_bytes(lambda _: packed(Evil())),
    "an old file of torch that runs a command": of_bytes(
        lambda _: packed(Evil(), _use_new_zipfile_serialization=False)
    ),
    "an old file of torch": of_bytes(lambda _: packed([1], _use_new_zipfile_serialization=False)),
    "a program of torch": scripted,
    "a whole module of torch": of_bytes(lambda _: packed(torch.nn.Linear(2, 1))),
    # names of code
    **{
        f"the task {task!r}"[:60]: field(task=task)
        for task in (
            *(
                "evil:Task",
                "evil.deep.er:Task",
                "this:s",
                "antigravity:fly",
                "os:abort",
                "../outside/evil:Task",
            ),
            *("evil:Task\nok", "", "nothing", "pneumonia:", ":x", 5, None, ["evil:Task"]),
        )
    },
    # other types
    "a list": of_bytes(lambda _: packed([1, 2])),
    "a tensor": of_bytes(lambda _: packed(torch.zeros(3))),
    "another format": field(format="tune-app model 9"),
    **{f"no {key}": lacking(key) for key in ("task", "config", "shape", "weights", "format")},
    "a config that is a list": field(config=[1]),
    "a config that grows": field(config={"lr": laughs()}),
    "a config of NaN": config(lr=float("nan")),
    "a parameter that is no number": config(nodes="many"),
    "a shape that is a text": field(shape="16"),
    "a shape below 0": field(shape=[-16, 16]),
    "a shape of other inputs": field(shape=[16, 8]),
    "an extent that is a text": field(extent="wide"),
    "classes that grow": field(classes=laughs()),
    "data in escapes": field(data="\x1b]0;pwned\x07"),
    "data of two lines": field(data="x\nmodel ok"),
    # sizes
    "10^9 layers": config(hidden_layers=10**9),
    "10^9 nodes": config(nodes=10**9),
    "inputs of 10^6 x 10^6": field(shape=[10**6, 10**6]),
    "images of 4,000 x 4,000": field(shape=[4000, 4000]),
    "a tensor of 10^12 numbers": weights(lambda _, each: each.flatten()[:1].expand(10**12)),
    "a part that grows": of_bytes(bomb),
    "a compressed model": of_bytes(
        partial(rezipped, change=lambda _, part: part, compression=zipfile.ZIP_DEFLATED)
    ),
    "parts over one another": of_bytes(overlapping),
    # weights
    "weights of NaN": weights(lambda _, each: each * float("nan")),
    "infinite weights": weights(lambda _, each: each + float("inf")),
    "weights of another shape": weights(lambda _, each: each[..., :1]),
    "weights of another type": weights(lambda _, each: each.to(torch.int8)),
    "complex weights": weights(lambda _, each: each.to(torch.complex64)),
    "sparse weights": weights(lambda _, each: each.to_sparse()),
    "weights without numbers": weights(lambda _, each: each.to("meta")),
    "weights that are texts": weights(lambda _, each: "w"),
    "weights by number": altered(lambda c: c.update(weights=dict(enumerate(c["weights"].values())))),
    "weights of two classes": config(loss="ce"),
    "no weights": field(weights={}),
    "weights that are a list": field(weights=[1]),
}
