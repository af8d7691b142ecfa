"""ONNX models: graphs written by hand, with weights read from models in onnxruntime's own format. Pure.

Writing needs no more of protocol buffers than two kinds of fields, so the package onnx (30 MB) is not needed. Field
numbers are those of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FLOAT", "INT64", "GraphWriter", "read_weights"]

Array = npt.NDArray[Any]
FLOAT, UINT8, INT8, INT64 = 1, 2, 3, 7  # TensorProto.DataType
_TYPES = {FLOAT: np.dtype("<f4"), UINT8: np.dtype("u1"), INT8: np.dtype("i1"), INT64: np.dtype("<i8")}
_NUMBERS = {kind: number for number, kind in _TYPES.items()}
_IR_VERSION, _OPSET = 8, 17


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _piece(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: int | float | str | Sequence[int]) -> bytes:
    if isinstance(value, float):
        body = _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, 1)
    elif isinstance(value, int):
        body = _number(3, value) + _number(20, 2)
    elif isinstance(value, str):
        body = _piece(4, value) + _number(20, 3)
    else:
        body = b"".join(_number(8, each) for each in value) + _number(20, 7)
    return _piece(1, name) + body


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """A named input or output; a dimension of any length has a name."""
    dimensions = (_number(1, size) if isinstance(size, int) else _piece(2, size) for size in shape)
    tensor = _number(1, kind) + _piece(2, b"".join(_piece(1, dimension) for dimension in dimensions))
    return _piece(1, name) + _piece(2, _piece(1, tensor))


class GraphWriter:
    """One graph. Operators outside the standard are onnxruntime's (`com.microsoft`)."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """`weights`: of which those that are used go into the model."""
        self._weights = weights
        self._used: dict[str, None] = {}
        self._nodes: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        self._inputs.append(_value(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        self._outputs.append(_value(name, kind, shape))

    def node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], *, ms: bool = False, **how: Any
    ) -> str:
        """Returns its first output. `ms`: the operator is onnxruntime's. An empty input is one that is left out."""
        self._used |= dict.fromkeys(name for name in inputs if name in self._weights)
        body = [_piece(1, name) for name in inputs] + [_piece(2, name) for name in outputs] + [_piece(4, operator)]
        body += [_piece(5, _attribute(name, value)) for name, value in how.items()]
        self._nodes.append(b"".join(body) + (_piece(7, "com.microsoft") if ms else b""))
        return outputs[0]

    def model(self) -> bytes:
        graph = [_piece(1, node) for node in self._nodes] + [_piece(2, "graph")]
        graph += [_piece(5, self._tensor(name)) for name in self._used]
        graph += [_piece(11, value) for value in self._inputs] + [_piece(12, value) for value in self._outputs]
        operators = _piece(8, _number(2, _OPSET)) + _piece(8, _piece(1, "com.microsoft") + _number(2, 1))
        return _number(1, _IR_VERSION) + _piece(7, b"".join(graph)) + operators

    def _tensor(self, name: str) -> bytes:
        weight = self._weights[name]
        kind = _NUMBERS[weight.dtype]
        dimensions = b"".join(_number(1, size) for size in weight.shape)
        return dimensions + _number(2, kind) + _piece(8, name) + _piece(9, weight.tobytes())


def read_weights(data: bytes) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
    """Of a model in onnxruntime's format: its weights by name, and the inputs of each node by the node's first output.
    Weights are views of `data`."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    weights: dict[str, Array] = {}
    nodes: dict[str, tuple[str, ...]] = {}
    for graph in _graphs(InferenceSession.GetRootAsInferenceSession(data, 0).Model().Graph()):
        for at in range(graph.InitializersLength()):
            tensor = graph.Initializers(at)
            if tensor.DataType() in _TYPES and tensor.RawDataLength():
                shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
                raw = tensor.RawDataAsNumpy().view(_TYPES[tensor.DataType()])
                weights[tensor.Name().decode()] = raw.reshape(shape)
        for at in range(graph.NodesLength()):
            node = graph.Nodes(at)
            inputs = tuple(node.Inputs(number).decode() for number in range(node.InputsLength()))
            nodes[node.Outputs(0).decode()] = inputs
    return weights, nodes


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for at in range(graph.NodesLength()):
        node = graph.Nodes(at)
        for number in range(node.AttributesLength()):
            inner = node.Attributes(number).G()
            if inner is not None:
                yield from _graphs(inner)
