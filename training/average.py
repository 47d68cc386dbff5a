"""The mean of the weights over the last steps, which predicts better than the weights of any one of them."""

from __future__ import annotations

import copy

import torch

from engine.model import GPT


class Average:
    """Exponential moving average of a model's weights, after the averaging of Polyak & Juditsky 1992.

    A step keeps `decay` of the mean and adds 1 - `decay` of the new weights. In the first steps it keeps less, or the
    random weights of the beginning would stay in it for long: step n keeps n / (n + 9), the ramp of TensorFlow's
    ExponentialMovingAverage (https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage).
    """

    def __init__(self, model: GPT, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)  # validated, sampled from and exported
        self._decay = decay

    @torch.no_grad()
    def update(self, model: GPT, step: int) -> None:
        """Take in the weights after optimizer step number `step`, counted from 1."""
        keep = min(self._decay, step / (step + 9))
        for mean, new in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(new, 1 - keep)
