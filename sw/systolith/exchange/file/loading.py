"""Reading of ONNX files: external data, missing declarations, versions and validity."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from google.protobuf.text_format import ParseError
from onnx import (
    ModelProto,
    TensorProto,
    ValueInfoProto,
    checker,
    external_data_helper,
    helper,
    inliner,
    numpy_helper,
)

from systolith.exchange.errors import ExchangeError

__all__ = ["STANDARD", "foreign_kind", "load_model", "validity_problems", "version_problems"]

QONNX_DOMAIN = "qonnx.custom_op.general"
CHANNELS_LAST_DOMAIN = "qonnx.custom_op.channels_last"
"""Domain of operators whose tensors are (N, H, W, C)."""
OPERATORS_OF_QONNX = ("BipolarQuant", "IntQuant", "Quant", "Trunc")
KNOWN_DOMAINS = (
    "",
    "com.microsoft",
    "finn.custom_op.general",
    "onnx.brevitas",
    CHANNELS_LAST_DOMAIN,
    QONNX_DOMAIN,
)
HARDWARE_DOMAIN = "finn.custom_op.fpgadataflow"
LEAST_OPSET, GREATEST_OPSET = 9, onnx.defs.onnx_opset_version()
GREATEST_IR = int(onnx.IR_VERSION)
STANDARD = ("", "ai.onnx")
"""Names of ONNX's own domain."""
FIRST_IR_OF_PLAIN_INITIALIZERS = 4
"""In older versions, every initializer is also an input of the graph."""


def load_model(path: Path) -> ModelProto:
    """Read a file and its external data, and inline the model's functions.

    Declarations that other readers of ONNX do not need are added: operator sets of domains that
    the file uses but does not import, and a format version in which initializers need not be
    inputs.

    Raises
    ------
    ExchangeError
        If the file does not exist, has another format, is damaged, or its data are missing.
    """
    if not path.exists():
        raise ExchangeError.of(f"there is no file {path}")
    if path.is_dir():
        models = sorted(file.name for file in path.glob("*.onnx"))
        hint = f": give one of {', '.join(models)}" if models else "; an ONNX file is needed"
        raise ExchangeError.of(f"{path} is a folder{hint}")
    try:
        if kind := foreign_kind(path):
            raise ExchangeError.of(f"{path} {kind}")
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ParseError, OSError, ValueError) as error:
        reason = _first_line(error) or "it cannot be read"
        raise ExchangeError.of(f"{path}: not an ONNX file, or a truncated one: {reason}") from error
    if not model.graph.node:
        raise ExchangeError.of(f"{path}: not an ONNX file, or a truncated one: it has no nodes")
    _load_external_data(model, path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _complete(model)
    return model


def model_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """List the inputs of a model that are not initializers."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def _load_external_data(model: ModelProto, path: Path) -> None:
    """Read tensors that are stored in files beside the model."""
    tensors = [
        tensor for tensor in _tensors(model) if external_data_helper.uses_external_data(tensor)
    ]
    names = {name for tensor in tensors for name in _locations(tensor)}
    missing = sorted(name for name in names if not (path.parent / name).is_file())
    if missing:
        where = "it" if len(missing) == 1 else "them"
        raise ExchangeError.of(
            f"{path.name}: keeps weights in {', '.join(missing)}, not there: copy {where} "
            f"into {path.parent}, or save the model as one file"
        )
    try:
        for tensor in tensors:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
            _check_size(tensor)
    except (checker.ValidationError, OSError, ValueError) as error:
        raise ExchangeError.of(
            f"{path.name}: its weights in {', '.join(sorted(names))} cannot be read: "
            f"{_first_line(error)}; copy model and weights anew, together"
        ) from error


def _check_size(tensor: TensorProto) -> None:
    try:
        numpy_helper.to_array(tensor)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{tensor.name}' has {len(tensor.raw_data)} bytes there") from error


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _locations(tensor: TensorProto) -> Iterator[str]:
    return (entry.value for entry in tensor.external_data if entry.key == "location")


def _complete(model: ModelProto) -> None:
    """Add declarations that files may leave out."""
    for opset in model.opset_import:
        if opset.domain in STANDARD:
            opset.domain = ""
    for node in model.graph.node:
        if node.domain in STANDARD:
            # QKeras writes no domain for QONNX's operators, which ONNX itself does not have.
            node.domain = QONNX_DOMAIN if node.op_type in OPERATORS_OF_QONNX else ""
    imported = {opset.domain for opset in model.opset_import}
    for domain in sorted({node.domain for node in model.graph.node} - imported - {""}):
        if domain in KNOWN_DOMAINS:
            # ONNX Runtime, qonnx and FINN read such files, for example those of FINN's tutorials.
            model.opset_import.append(helper.make_opsetid(domain, 1))
    inputs = {value.name for value in model.graph.input}
    if any(tensor.name not in inputs for tensor in model.graph.initializer):
        model.ir_version = max(model.ir_version, FIRST_IR_OF_PLAIN_INITIALIZERS)


def version_problems(model: ModelProto) -> Iterator[str]:
    """Name versions and domains that are not supported."""
    if model.ir_version > GREATEST_IR:
        yield (
            f"is written in version {model.ir_version} of ONNX's format, up to {GREATEST_IR} is "
            "known: install a newer onnx, or export it by an older one"
        )
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if "" not in versions and any(not node.domain for node in model.graph.node):
        yield (
            "does not say which operator set of ONNX it uses: add one to its opset_import "
            "(onnx.helper.make_opsetid), or export it anew"
        )
    version = versions.get("", LEAST_OPSET)
    if not LEAST_OPSET <= version <= GREATEST_OPSET:
        yield (
            f"operator set {version} of ONNX is not known, {LEAST_OPSET} to "
            f"{GREATEST_OPSET} are; convert it by onnx.version_converter, or export it anew"
        )
    used = {node.domain for node in model.graph.node}
    for domain in sorted(used - set(KNOWN_DOMAINS)):
        ops = sorted({node.op_type for node in model.graph.node if node.domain == domain})
        if domain.startswith(HARDWARE_DOMAIN):
            yield (
                f"holds hardware layers of FINN, which are built already: {', '.join(ops)}; import "
                "the graph from before they were made (step_convert_to_hw)"
            )
            continue
        yield (
            f"operators of domain '{domain}' are not known: {', '.join(ops)}; export the model "
            "with operators of ONNX or QONNX instead"
        )


def validity_problems(model: ModelProto) -> list[str]:
    """List what ONNX's checker finds wrong; it ignores operators of other domains."""
    checked = ModelProto()
    checked.CopyFrom(model)
    for value in checked.graph.output:
        # Some exporters leave out the shapes of results, which follow from the rest.
        value.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(checked)
    except checker.ValidationError as error:
        said = " ".join(str(error).split("==> Context")[0].split())
        return [f"not a valid ONNX model: {said.rstrip('. ')}; {_suggest(said)}"]
    return []


def _suggest(said: str) -> str:
    if "topologically sorted" in said:
        return "qonnx-cleanup, or onnxsim, writes its nodes in order"
    return (
        "no tool that follows the standard can read it: export it anew, or mend what is named "
        "(onnx.checker.check_model says the same)"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


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
"""(offset, bytes at this offset, message)."""


def foreign_kind(path: Path) -> str | None:
    """Name the format of a file and the way to an ONNX file, in words that follow its name.

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
