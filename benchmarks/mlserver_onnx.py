"""An ONNX model behind MLServer, which has no runtime of its own for it: loaded by MLServer, in its environment.

Decoding and encoding are MLServer's; the session is set up like that of our engine.
"""

import mlserver
import onnxruntime
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(mlserver.MLModel):  # type: ignore[misc]  # installed in its own environment alone
    """What MLServer's documentation calls a custom runtime."""

    async def load(self) -> bool:
        """Open the session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = await mlserver.utils.get_model_uri(self._settings)
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the label."""
        pixels = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        (labels,) = self._session.run(["label"], {"pixels": pixels})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output(name="label", payload=labels)])
