"""Images, figures, tables and texts as artifacts: what ``log_image`` and its like make of what they are given.

Nothing is imported that the value does not come from: an array is encoded with the standard library.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.client.logger import Logger

_TEXTS = {
    ".md": "text/markdown", ".html": "text/html", ".htm": "text/html", ".json": "application/json", ".csv": "text/csv",
    ".tsv": "text/tab-separated-values", ".yaml": "application/yaml", ".yml": "application/yaml", ".xml": "application/xml",
    ".svg": "image/svg+xml", ".tex": "application/x-tex",
}  # fmt: skip
_FIGURES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "jpg": "image/jpeg", "webp": "image/webp"}
_HEAD = 1 << 18
"""Bytes of an image in which its size stands: in JPEG it comes behind metadata."""
_BEYOND = 0.01
"""By how much a value may leave 0..1 through rounding and interpolation."""
MOST_TYPED = 100
"""Columns whose types are noted."""


def log_image(logger: Logger, name: str, image: Any, meta: dict[str, Any]) -> None:
    """An image: a file, its bytes, one of PIL's, or an array."""
    _log(logger, f"the image {name!r}", lambda: _image(name, image, logger._say), meta)


def log_figure(logger: Logger, name: str, figure: Any, meta: dict[str, Any]) -> None:
    """A figure of matplotlib, the current one if None, or of plotly."""
    _log(logger, f"the figure {name!r}", lambda: _figure(name, figure), meta)


def log_table(logger: Logger, name: str, table: Any, meta: dict[str, Any]) -> None:
    """A table, as CSV."""
    _log(logger, f"the table {name!r}", lambda: _table(name, table), meta)


def log_text(logger: Logger, name: str, text: str, meta: dict[str, Any]) -> None:
    """A text, in UTF-8."""
    _log(logger, f"the text {name!r}", lambda: _text(name, text), meta)


def _log(logger: Logger, what: str, made: Callable[[], tuple[str, Any, dict[str, Any]]], meta: dict[str, Any]) -> None:
    if not logger.active:
        return
    try:
        name, content, learnt = made()
    except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
        logger._refuse(error, f"{what} is not recorded", "artifacts")
        return
    logger.log_artifact(name, content, **{**learnt, **meta})


def _named(name: str, ending: str) -> str:
    """With an ending, if it has none."""
    own = os.path.splitext(str(name))[1]
    return str(name) if own[1:2].isalpha() and own[1:].isalnum() else f"{name}{ending}"


# -- images ----------------------------------------------------------------------------------------------------------


def _image(name: str, image: Any, say: Callable[[str], None] | None = None) -> tuple[str, Any, dict[str, Any]]:
    content: Any = image
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            head = file.read(_HEAD)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        head = bytes(memoryview(image)[:_HEAD])
    elif hasattr(image, "save") and hasattr(image, "mode"):
        name, head = _as_named(str(name), _of_pil(image), say)
        content = head
    elif hasattr(image, "shape"):
        name, head = _as_named(str(name), _of_array(image), say)
        content = head
    else:
        raise TypeError(f"an image is a file, bytes, an array or an image of PIL, not {type(image).__name__}")
    kind, width, height = sniffed(head)
    learnt = {"media_type": f"image/{kind}"} | ({"width": width, "height": height} if width else {})
    return _named(name, ".jpg" if kind == "jpeg" else f".{kind}"), content, learnt


_ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"lossless": True}),
    ".gif": ("GIF", {}),
}
_NO_ENCODINGS = (".bmp", ".tif", ".tiff", ".ico", ".svg", ".pdf", ".eps", ".avif", ".heic", ".jxl")


def _as_named(name: str, content: bytes, say: Callable[[str], None] | None) -> tuple[str, bytes]:
    """A PNG as what its name ends with, or under a name that ends with .png, which is said. Raises ValueError where it would
    lose something that can be seen.
    """
    base, ending = os.path.splitext(name)
    encoding = _ENCODINGS.get(ending.lower())
    if encoding is None and ending.lower() not in _NO_ENCODINGS:
        return name, content
    reason = "kleio writes images as png, jpg, webp and gif"
    if encoding is not None:
        try:
            from PIL import Image, features
        except ImportError as error:
            reason = f"a {ending} needs Pillow, which cannot be imported ({error})"
        else:
            if encoding[0] != "WEBP" or features.check("webp"):
                return name, _encoded(Image, content, *encoding)
            reason = "this Pillow knows no WebP"
    if say is not None:
        say(f"the image {name!r} is kept as {base + '.png'!r}: {reason}")
    return f"{base}.png", content


def _encoded(pillow: Any, content: bytes, kind: str, options: dict[str, Any]) -> bytes:
    import io

    file = io.BytesIO()
    with pillow.open(io.BytesIO(content)) as image:
        if image.mode.startswith("I"):
            raise ValueError(f"it has 16 bits a value, and a {kind} has 8: name it .png")
        if kind == "JPEG" and ("A" in image.getbands() or "transparency" in image.info):
            raise ValueError("a JPEG has no transparency: name it .png or .webp")
        plain = image if kind != "JPEG" or image.mode in ("L", "RGB") else image.convert("RGB")
        plain.save(file, kind, **options)
    return file.getvalue()


def sniffed(head: bytes) -> tuple[str, int, int]:
    """What the beginning of a file tells: (png, jpeg, gif or webp, width, height); 0 where the size is not to be found."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png", int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif", int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"\xff\xd8\xff"):
        return ("jpeg", *_size_of_jpeg(head))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ("webp", *_size_of_webp(head))
    raise ValueError("this is no PNG, JPEG, GIF or WebP")


def _size_of_jpeg(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the frame; those three are tables
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + length if marker != 0xFF else 1
    return 0, 0


def _size_of_webp(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _of_pil(image: Any) -> bytes:
    import io

    if image.mode == "F" or (image.mode == "I" and not 0 <= min(image.getextrema()) <= max(image.getextrema()) < 1 << 16):
        raise ValueError(f"its values (mode {image.mode}) do not fit into a PNG; scale and convert it first")
    file = io.BytesIO()
    kept = image.mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
    plain = image if kept else image.convert("I;16" if image.mode == "I" else "RGB")
    plain.save(file, "PNG")
    return file.getvalue()


def _of_array(image: Any) -> bytes:
    """The PNG of an array: (H, W), or (H, W, C) with 1 to 4 channels; (C, H, W) of a tensor, or where only that makes sense."""
    import numpy

    is_tensor = hasattr(image, "detach")
    if is_tensor:
        image = image.detach().cpu()
        image = image if str(image.dtype) != "torch.bfloat16" else image.float()
    array = numpy.asarray(image)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and (is_tensor or array.shape[2] not in (1, 2, 3, 4)):
        array = array.transpose(1, 2, 0)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise ValueError(f"an array of shape {tuple(image.shape)} is no image; it has (H, W), (H, W, C) or (C, H, W) values")
    return png(_levels(array))


def _levels(array: Any) -> Any:
    """Whole numbers of 8 or 16 bits: floats run from 0 to 1."""
    import numpy

    if array.dtype in (numpy.uint8, numpy.uint16):
        return array
    if array.dtype == bool:
        return array.astype(numpy.uint8) * 255
    if array.dtype.kind not in "iuf":
        raise ValueError(f"values of type {array.dtype} are no brightness")
    low, high = array.min(), array.max()
    most, beyond = (1, _BEYOND) if array.dtype.kind == "f" else (255, 0)
    if not (-beyond <= low and high <= most + beyond):  # NaN as well
        raise ValueError(f"values from {low} to {high}: an image has floats from 0 to 1, or integers from 0 to 255")
    if array.dtype.kind == "f":
        array = numpy.rint(array.clip(0, 1) * 255)
    return array.astype(numpy.uint8)


def png(array: Any) -> bytes:
    """A PNG of an array (H, W, C) of uint8 or uint16."""
    import struct
    import zlib

    height, width, channels = array.shape
    depth = 8 * array.dtype.itemsize
    data = array.astype(array.dtype.newbyteorder(">")).tobytes()
    stride = len(data) // height
    rows = b"".join(b"\0" + data[at : at + stride] for at in range(0, len(data), stride))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# -- figures ---------------------------------------------------------------------------------------------------------


def _figure(name: str, figure: Any) -> tuple[str, Any, dict[str, Any]]:
    from kleio.client.figures import current_figure, saved

    if figure is None:
        figure = current_figure()
    if hasattr(figure, "to_html") and type(figure).__module__.startswith("plotly"):
        html = figure.to_html(include_plotlyjs="cdn")  # the library itself would be 4 MB in each
        return _named(name, ".html"), html.encode(), {"media_type": "text/html"}
    if not hasattr(figure, "savefig"):
        figure = getattr(figure, "figure", figure)  # axes know the figure they are in
    if not hasattr(figure, "savefig"):
        raise TypeError(f"a figure is one of matplotlib or plotly, not {type(figure).__name__}")
    name = _named(name, ".png")
    kind = name.rpartition(".")[2].lower().replace("jpeg", "jpg")
    if kind not in _FIGURES:
        raise ValueError(f"a figure is kept as {', '.join(_FIGURES)}, not {kind}")
    dpi = getattr(figure, "dpi", None) or 100
    content, _ = saved(figure, kind, name, {"dpi": dpi})
    learnt = {"media_type": _FIGURES[kind], "dpi": dpi}
    if kind in ("png", "jpg", "webp"):
        _, learnt["width"], learnt["height"] = sniffed(content)
    return name, content, learnt


# -- tables ----------------------------------------------------------------------------------------------------------


def _table(name: str, table: Any) -> tuple[str, Any, dict[str, Any]]:
    import csv
    import io

    columns, rows = _columns_and_rows(table)
    name = _named(name, ".csv")
    tabs = name.endswith(".tsv")
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t" if tabs else ",", lineterminator="\n")
    writer.writerow(columns)
    types: dict[int, str] = {}
    count = 0
    for count, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise ValueError(f"row {count} has {len(row)} values, and there are {len(columns)} columns")
        writer.writerow([_cell(value) for value in row])
        if len(types) < min(len(columns), MOST_TYPED):
            for at, value in enumerate(row[:MOST_TYPED]):
                if value is not None:
                    types.setdefault(at, _type(value))
    learnt: dict[str, Any] = {"media_type": _TEXTS[".tsv" if tabs else ".csv"], "rows": count, "columns": len(columns)}
    if types and len(columns) <= MOST_TYPED:
        learnt["types"] = {str(columns[at]): types[at] for at in sorted(types)}
    return name, file.getvalue().encode(errors="backslashreplace"), learnt


def _columns_and_rows(table: Any) -> tuple[Sequence[Any], Iterable[Sequence[Any]]]:
    """Of whatever offers them, by what it offers."""
    if hasattr(table, "to_pydict"):  # pyarrow
        table = table.to_pydict()
    elif hasattr(table, "itertuples"):  # pandas
        return _of_pandas(table)
    elif hasattr(table, "iter_rows") and hasattr(table, "columns"):  # polars
        return list(table.columns), table.iter_rows()
    elif hasattr(table, "dtype") and hasattr(table, "tolist"):  # NumPy
        return _of_numpy(table)
    if hasattr(table, "keys"):
        return _of_columns({name: _listed(values) for name, values in table.items()})
    if isinstance(table, (str, bytes)) or not hasattr(table, "__iter__"):
        raise TypeError(f"a table is rows, columns, or one of pandas, polars, pyarrow or NumPy, not {type(table).__name__}")
    rows = list(table)
    if all(hasattr(row, "keys") for row in rows):
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return columns, ([row.get(name) for name in columns] for row in rows)
    listed = [_listed(row) for row in rows]
    return list(range(max(map(len, listed), default=0))), listed


def _listed(values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"a column or a row is a list of values, not {type(values).__name__}")
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _of_columns(columns: Mapping[Any, list[Any]]) -> tuple[Sequence[Any], Iterable[Sequence[Any]]]:
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise ValueError(f"columns differ in length: {shortest} has {lengths[shortest]}, {longest} has {lengths[longest]}")
    return list(columns), zip(*columns.values(), strict=True)


def _of_pandas(table: Any) -> tuple[Sequence[Any], Iterable[Sequence[Any]]]:
    """With its index where that says something: where it has a name, or is not just a count from 0."""
    index = table.index
    counted = index.names == [None] and type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1
    frame = table if counted else table.reset_index()
    names = [" ".join(map(str, name)).strip() if isinstance(name, tuple) else name for name in frame.columns]
    frame = frame.astype(object)
    return names, frame.where(frame.notna(), None).itertuples(index=False, name=None)


def _of_numpy(table: Any) -> tuple[Sequence[Any], Iterable[Sequence[Any]]]:
    if table.dtype.names:
        return list(table.dtype.names), table.reshape(-1).tolist()
    if table.ndim not in (1, 2):
        raise ValueError(f"an array of {table.ndim} dimensions is no table")
    rows = table.reshape(-1, 1) if table.ndim == 1 else table
    return list(range(rows.shape[1])), rows.tolist()


def _cell(value: Any) -> Any:
    """As it stands in the file: nothing for what is missing, ISO for times, JSON for what is nested."""
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if value is None or isinstance(value, (str, int, float)):
        return value
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        return "" if text == "NaT" else text
    if type(value).__name__ == "NAType":
        return ""
    if isinstance(value, (list, tuple, dict, set, bytes)):
        from kleio.core.values import dumps

        return dumps(value)
    return str(value)


def _type(value: Any) -> str:
    return type(value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value).__name__


# -- texts -----------------------------------------------------------------------------------------------------------


def _text(name: str, text: Any) -> tuple[str, Any, dict[str, Any]]:
    if not isinstance(text, str):
        raise TypeError(f"a text is a str, not {type(text).__name__}")
    name = _named(name, ".txt")
    kind = _TEXTS.get(os.path.splitext(name)[1].lower(), "text/plain")
    return name, text.encode(), {"media_type": kind, "lines": len(text.splitlines())}
