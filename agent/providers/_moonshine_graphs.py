"""Moonshine's decoder as a graph of ours, with the package's weights.

The package's decoder has 800 operators for each token, most of which compute shapes. This one has 130, and takes any
number of tokens at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.providers._onnx_format import FLOAT, INT64, GraphWriter, read_weights

__all__ = ["HEADS", "LAYERS", "WIDTH", "decoder_models"]

LAYERS, HEADS, WIDTH = 6, 8, 36
_ALL = HEADS * WIDTH
_TURNED = 32  # of a head's numbers, which a token's place turns (arXiv 2104.09864)
_PLACES = 512  # of tokens in a text
_VOCABULARY = 32_768
_EPSILON = 1e-5

Array = npt.NDArray[Any]


def decoder_models(ort: bytes) -> tuple[bytes, bytes]:
    """From `decoder_model_merged.ort`: what is computed once of the encoder's states (each layer's keys and values of
    them), and what is computed of tokens."""
    weights, nodes = read_weights(ort)
    turns = np.arange(_PLACES)[:, None] / 10_000.0 ** (np.arange(0, _TURNED, 2) / _TURNED)
    weights |= {"cos": np.cos(turns).astype("<f4"), "sin": np.sin(turns).astype("<f4")}
    weights["by_head"] = np.array([1, -1, HEADS, WIDTH], "<i8")
    return _Decoder(weights, nodes).of_sound(), _Decoder(weights, nodes).of_tokens()


class _Decoder:
    """`nodes`: the inputs of the package's operators by their first output."""

    def __init__(self, weights: Mapping[str, Array], nodes: Mapping[str, Sequence[str]]) -> None:
        self._nodes = nodes
        self._graph = GraphWriter(weights)

    def of_sound(self) -> bytes:
        graph = self._graph
        states = self._quantized(graph.input("states", FLOAT, (1, "frames", _ALL)))
        for layer in range(LAYERS):
            for kind in ("key", "value"):
                made = self._times(states, f"layers.{layer}/encoder_attn/{kind[0]}_proj")
                heads = graph.node("Reshape", [made, "by_head"], [f"{made}.heads"])
                graph.node("Transpose", [heads], [f"sound.{layer}.{kind}"], perm=[0, 2, 1, 3])
                graph.output(f"sound.{layer}.{kind}", FLOAT, (1, HEADS, "frames", WIDTH))
        return graph.model()

    def of_tokens(self) -> bytes:
        graph = self._graph
        graph.input("tokens", INT64, (1, "tokens"))
        graph.input("places", INT64, (1, "tokens"))
        embedding = "model.decoder.embed_tokens.weight_merged_0"
        found = graph.node("Gather", [f"{embedding}_quantized", "tokens"], ["found"])
        x = graph.node("DequantizeLinear", [found, f"{embedding}_scale", f"{embedding}_zero_point"], ["x"])
        for layer in range(LAYERS):
            x = self._layer(layer, x)
        self._product(self._normal(x, "model.decoder.norm"), "logits", to="logits")
        graph.output("logits", FLOAT, (1, "tokens", _VOCABULARY))
        return graph.model()

    def _layer(self, layer: int, x: str) -> str:
        graph, at = self._graph, f"layers.{layer}"
        past = [f"past.{layer}.{kind}" for kind in ("key", "value")]
        present = [f"present.{layer}.{kind}" for kind in ("key", "value")]
        sound = [f"sound.{layer}.{kind}" for kind in ("key", "value")]
        for names, length in ((past, "past"), (sound, "frames")):
            for name in names:
                graph.input(name, FLOAT, (1, HEADS, length, WIDTH))
        for name in present:
            graph.output(name, FLOAT, (1, HEADS, "so_far", WIDTH))
        normal = self._quantized(self._normal(x, f"model.decoder.{at}.input_layernorm"))
        query, key, value = (self._times(normal, f"{at}/self_attn/{name}_proj") for name in "qkv")
        turned = [self._turned(query), self._turned(key), value]
        heard = graph.node(
            "MultiHeadAttention", [*turned, "", "", "", *past], [f"{at}.own", *present],
            ms=True, num_heads=HEADS, unidirectional=1,
        )  # fmt: skip
        x = graph.node("Add", [x, self._product(heard, f"{at}/self_attn/o_proj/MatMul_output_0")], [f"{at}.x1"])
        between = self._normal(x, f"model.decoder.{at}.post_attention_layernorm")
        query = self._product(between, f"{at}/encoder_attn/q_proj/MatMul_output_0")
        heard = graph.node("MultiHeadAttention", [query, *sound], [f"{at}.sound"], ms=True, num_heads=HEADS)
        x = graph.node("Add", [x, self._product(heard, f"{at}/encoder_attn/o_proj/MatMul_output_0")], [f"{at}.x2"])
        both = self._product(self._normal(x, f"model.decoder.{at}.final_layernorm"), f"{at}/mlp/fc1/Add_output_0")
        graph.node("Split", [both], [f"{at}.open", f"{at}.gate"], axis=-1)
        gate = graph.node("QuickGelu", [f"{at}.gate"], [f"{at}.gated"], ms=True, alpha=1.0)
        open_ = graph.node("Mul", [gate, f"{at}.open"], [f"{at}.opened"])
        return graph.node("Add", [x, self._product(open_, f"{at}/mlp/fc2/Add_output_0")], [f"{at}.x3"])

    def _normal(self, x: str, name: str) -> str:
        return self._graph.node(
            "LayerNormalization", [x, f"{name}.weight_merged_0"], [f"{x}.normal"], axis=-1, epsilon=_EPSILON
        )

    def _turned(self, x: str) -> str:
        return self._graph.node(
            "RotaryEmbedding", [x, "places", "cos", "sin"], [f"{x}.turned"],
            ms=True, interleaved=1, num_heads=HEADS, rotary_embedding_dim=_TURNED,
        )  # fmt: skip

    def _quantized(self, x: str) -> tuple[str, str, str]:
        names = (f"{x}.bytes", f"{x}.scale", f"{x}.zero")
        self._graph.node("DynamicQuantizeLinear", [x], names)
        return names

    def _weight(self, output: str) -> tuple[str, str, str, str]:
        """Of the package's product with this output: bytes, scale, zero point; its bias, or nothing."""
        inputs = self._nodes[output if output == "logits" else f"/model/decoder/{output}"]
        quantized = next(name for name in inputs if name.startswith("onnx::MatMul") and name.endswith("_quantized"))
        base = quantized.removesuffix("_quantized")
        bias = next((name for name in inputs if ".bias" in name), "")
        return quantized, f"{base}_scale", f"{base}_zero_point", bias

    def _times(self, x: tuple[str, str, str], name: str) -> str:
        """The product of what is quantized already."""
        values, scale, zero = x
        weight, its_scale, its_zero, _ = self._weight(f"{name}/MatMul_output_0")
        return self._graph.node(
            "MatMulIntegerToFloat", [values, weight, scale, its_scale, zero, its_zero], [name], ms=True
        )

    def _product(self, x: str, name: str, to: str = "") -> str:
        return self._graph.node("DynamicQuantizeMatMul", [x, *self._weight(name)], [to or f"{name}.product"], ms=True)
