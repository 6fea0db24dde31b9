"""A whole training step as a CUDA graph: one launch in place of some hundreds or thousands.

The first steps of each kind (System.kind) run as they are, on a side stream, as PyTorch asks: they are steps of the
training like any other. The next is recorded, then replayed. Between replays change the images and their labels, the
noise's step number, dropout's seed and the step sizes, all of which lie in tensors that the graph goes on reading.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
Step = Callable[..., dict[str, Tensor]]  # images, kimg and labels, if any, to terms


class GraphedStep:
    """`step`, replayed from a graph after its first calls. On a CPU all but the recording itself."""

    def __init__(self, step: Step, device: torch.device):
        self._step, self._device = step, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._calls: dict[str, int] = {}
        self._recorded: dict[str, _Recording] = {}
        self._inputs: tuple[Tensor, ...] = ()  # the places of the images and labels

    def __call__(self, x: Tensor, kimg: float, kind: str, *labels: Tensor) -> dict[str, Tensor]:
        """The terms stay where they are until the next call of this kind: copy what is to last."""
        places = self._placed(x, *labels)
        if kind not in self._recorded:
            call = functools.partial(self._step, places[0], kimg, *places[1:])
            self._calls[kind] = self._calls.get(kind, 0) + 1
            if self._calls[kind] <= WARM_UP:
                return self._aside(call)
            self._recorded[kind] = _Recording(call, self._device)
        return self._recorded[kind].replay()

    def _placed(self, *given: Tensor) -> tuple[Tensor, ...]:
        if not self._inputs:
            self._inputs = tuple(t.clone(memory_format=torch.preserve_format) for t in given)
        for place, t in zip(self._inputs, given, strict=True):
            if t.shape != place.shape:
                raise ValueError(
                    f"a recorded step takes batches of {list(place.shape)} only, got {list(t.shape)}"
                )
            place.copy_(t)
        return self._inputs

    def _aside(self, call: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        if self._stream is None:
            return call()
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            terms = call()
        current.wait_stream(self._stream)
        for term in terms.values():
            term.record_stream(current)
        return terms


class _Recording:
    """One kind of step: a CUDA graph, or on a CPU the call itself with its terms in a fixed place."""

    def __init__(self, call: Callable[[], dict[str, Tensor]], device: torch.device):
        self._call = call
        self._graph: Any = None
        self.terms: dict[str, Tensor] = {}
        if device.type == "cuda":
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, and does nothing yet
                self.terms = call()

    def replay(self) -> dict[str, Tensor]:
        if self._graph is not None:
            self._graph.replay()
            return self.terms
        for name, term in self._call().items():
            if name in self.terms:
                self.terms[name].copy_(term)
            else:
                self.terms[name] = term.clone()
        return self.terms
