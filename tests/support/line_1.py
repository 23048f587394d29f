"""Run with Python: serve SamBackend by label-studio-ml 1.0.9's own server and print its answers as one JSON document.

The recordings to send are the arguments. Settings come from the environment, as they do under that server.
"""

import json
import sys
from pathlib import Path

from sam_backend.backend import SamBackend  # first: it keeps label-studio-ml from importing torch

from label_studio_ml.api import init_app  # isort: skip

client = init_app(model_class=SamBackend).test_client()
answers = []
for name in sys.argv[1:]:
    recording = json.loads(Path(name).read_text())
    response = client.open(recording["path"], method=recording["method"], json=recording["body"])
    answers.append({"status": response.status_code, "body": response.get_json()})
unwanted = sorted({"torch", "model_export"} & set(sys.modules))
print(json.dumps({"answers": answers, "unwanted": unwanted}))
