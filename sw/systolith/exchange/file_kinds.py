"""Files that are no ONNX model: what they are by their first bytes, and what to do with them."""

import zipfile
from pathlib import Path

__all__ = ["foreign_kind"]

FROM_PYTORCH = "export the model as QONNX (Brevitas: export_qonnx) or as ONNX (torch.onnx.export)"
FROM_KERAS = "convert it to ONNX by tf2onnx, or a model of QKeras to QONNX by qonnx"

STARTS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"TFL3", f"is a TFLite file, and ONNX files are read: {FROM_KERAS}"),
    (4, b"ORTM", "is in ONNX Runtime's own format (.ort): give the .onnx file it was made of"),
    (0, b"\x89HDF\r\n", f"is an HDF5 file, such as Keras writes: {FROM_KERAS}"),
    (0, b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: git lfs pull"),
    (0, b"\x1f\x8b", "is compressed by gzip: unpack it first"),
    (0, b"BZh", "is compressed by bzip2: unpack it first"),
    (0, b"\xfd7zXZ", "is compressed by xz: unpack it first"),
    (0, b"\x80\x02", f"is a pickle, such as PyTorch's .pt: {FROM_PYTORCH}"),
    (0, b"\x80\x03", f"is a pickle, such as PyTorch's .pt: {FROM_PYTORCH}"),
    (0, b"\x80\x04", f"is a pickle, such as PyTorch's .pt: {FROM_PYTORCH}"),
    (0, b"\x93NUMPY", "is an array of NumPy; a model is needed"),
    (0, b"<?xml", "is XML, such as OpenVINO's: give the ONNX file it was made of"),
    (0, b"ftrt", "is an engine of TensorRT: give the ONNX file it was made of"),
    (0, b"\x89PNG", "is a picture; a model is needed"),
)
"""Offset, bytes there, and what is to be said."""


def foreign_kind(path: Path) -> str | None:
    """Say what kind of file this is and what to do, in words that follow its name.

    Returns
    -------
    str or None
        None if it may be an ONNX model.
    """
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        return "is not an ONNX file, or a truncated one: it is empty"
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    for offset, start, words in STARTS:
        if head[offset:].startswith(start):
            return words
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return f"is a safetensors file, weights without a graph: {FROM_PYTORCH}"
    if head.lstrip().startswith(b"{") and path.suffix != ".json":
        return "is JSON text; a network.json goes into estimate, verify and simulate directly"
    if path.suffix == ".pb" and (head.startswith(b"\x0a") or path.name == "saved_model.pb"):
        return f"is a graph of TensorFlow: {FROM_KERAS}"
    return None


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "is a truncated ZIP archive, such as PyTorch's .pt files are"
    if any(name.endswith("data.pkl") for name in names):
        return f"is a PyTorch file: {FROM_PYTORCH}"
    if "model.weights.h5" in names:
        return f"is a Keras file: {FROM_KERAS}"
    models = [name for name in names if name.endswith(".onnx")]
    inside = f": unpack it and give {models[0]}" if models else "; an ONNX model is needed"
    return f"is a ZIP archive{inside}"
