"""The model behind MLServer: a custom runtime."""

from __future__ import annotations

from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.workload import load_from_environment


class Model(MLModel):
    """A batch is one request with the rows of all."""

    async def load(self) -> bool:
        """Load the model once per process."""
        self._predict: Any = load_from_environment()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict a batch."""
        answers = self._predict(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output("y", answers.reshape(-1, 1))
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=[output])
