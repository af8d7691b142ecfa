"""Silero's 8 kHz model as a graph of ours, with the package's weights.

The package's has 70 operators to execute, in six levels of conditions: on the rate, and on shapes that are always the
same here. This one has 18, with the same inputs and outputs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.providers._onnx_format import FLOAT, INT64, GraphWriter, read_weights

__all__ = ["lean_model"]

Array = npt.NDArray[Any]
_SAMPLES, _UNITS = 288, 128
_BANDS = 65
_STEPS = (1, 2, 2, 1)  # strides of the encoder's convolutions


def lean_model(path: Path) -> bytes:
    """Of the package's model. Raises what a model that is not as expected may raise."""
    weights = _weights(path)
    graph = GraphWriter(weights)
    samples = graph.input("input", FLOAT, (1, _SAMPLES))
    state = graph.input("state", FLOAT, (2, 1, _UNITS))
    graph.input("sr", INT64, ())
    padded = graph.node("Pad", [samples, "pads"], ["padded"], mode="reflect")
    wave = graph.node("Reshape", [padded, "as_channel"], ["wave"])
    waves = graph.node("Conv", [wave, "stft"], ["waves"], kernel_shape=[128], strides=[64])
    graph.node("Split", [waves], ["real", "imaginary"], axis=1)
    squares = [graph.node("Mul", [part, part], [f"{part}.square"]) for part in ("real", "imaginary")]
    heard = graph.node("Sqrt", [graph.node("Add", squares, ["power"])], ["heard"])
    for number, stride in enumerate(_STEPS):
        given = [heard, f"{number}.weight", f"{number}.bias"]
        made = graph.node("Conv", given, [f"{number}.made"], kernel_shape=[3], strides=[stride], pads=[1, 1])
        heard = graph.node("Relu", [made], [f"{number}.out"])
    step = graph.node("Transpose", [heard], ["step"], perm=[2, 0, 1])
    graph.node("Split", [state], ["h", "c"], axis=0)
    graph.node("LSTM", [step, "w", "r", "b", "", "h", "c"], ["", "h_now", "c_now"], hidden_size=_UNITS)
    graph.node("Concat", ["h_now", "c_now"], ["stateN"], axis=0)
    last = graph.node("Transpose", [graph.node("Relu", ["h_now"], ["active"])], ["last"], perm=[1, 2, 0])
    score = graph.node("Conv", [last, "last.weight", "last.bias"], ["score"], kernel_shape=[1])
    graph.node("Reshape", [graph.node("Sigmoid", [score], ["probability"]), "as_one"], ["output"])
    graph.output("output", FLOAT, (1, 1))
    graph.output("stateN", FLOAT, (2, 1, _UNITS))
    return graph.model()


def _weights(path: Path) -> dict[str, Array]:
    """By their names in the graph. onnxruntime joins those of the LSTM, and writes them in its own format."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "silero.ort"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found, _ = read_weights(optimized.read_bytes())
    filters = "stft.forward_basis_buffer"
    (rate,) = (  # what the names of the 8 kHz half begin with
        name.removesuffix(filters) for name, weight in found.items()
        if name.endswith(filters) and weight.shape == (2 * _BANDS, 1, 128)
    )  # fmt: skip
    named = {"stft": filters, "last.weight": "decoder.decoder.2.weight", "last.bias": "decoder.decoder.2.bias"}
    for number in range(len(_STEPS)):
        for kind in ("weight", "bias"):
            named[f"{number}.{kind}"] = f"encoder.{number}.reparam_conv.{kind}"
    for name, number in (("w", 6), ("r", 7), ("b", 8)):
        named[name] = f"/decoder/rnn/Unsqueeze_{number}_output_0"
    weights = {name: found[f"{rate}{place}"].copy() for name, place in named.items()}
    shapes = {"pads": [0, 0, 0, 32], "as_channel": [1, 1, _SAMPLES + 32], "as_one": [1, 1]}
    return weights | {name: np.array(shape, "<i8") for name, shape in shapes.items()}
