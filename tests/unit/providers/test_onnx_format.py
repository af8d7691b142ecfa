"""Graphs written by hand, run by onnxruntime."""

from __future__ import annotations

import numpy as np

from agent.providers._onnx import open_model
from agent.providers._onnx_format import FLOAT, INT64, GraphWriter


def test_a_graph_runs_with_its_weights_and_attributes() -> None:
    weights = {"more": np.array([[1.5, -2.0]], "<f4"), "unused": np.zeros(1_000_000, "<f4")}
    graph = GraphWriter(weights)
    graph.input("x", FLOAT, ("rows", 2))
    graph.input("places", INT64, (2,))
    turned = graph.node("Transpose", ["x"], ["turned"], perm=[1, 0])
    picked = graph.node("Gather", [turned, "places"], ["picked"], axis=0)
    back = graph.node("Transpose", [picked], ["back"], perm=[1, 0])
    added = graph.node("Add", [back, "more"], ["added"])
    graph.node("QuickGelu", [added], ["y"], ms=True, alpha=0.0)  # halves
    graph.output("y", FLOAT, ("rows", 2))
    model = graph.model()
    assert len(model) < 1000
    given = {"x": np.array([[1, 2], [3, 4], [5, 6]], np.float32), "places": np.array([1, -2], np.int64)}
    (y,) = open_model("test", model).run(None, given)
    assert y.tolist() == [[1.75, -0.5], [2.75, 0.5], [3.75, 1.5]]
