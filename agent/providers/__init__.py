"""Speech recognition, language models and speech synthesis behind one interface."""

import os

# onnxruntime 1.29 and later reports to Microsoft from Linux, too, and starts threads for it, unless this is set before
# it is loaded (microsoft/onnxruntime#27379; renamed from the second). Calls are private.
for _name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
    os.environ[_name] = "1"
