"""Run a TFLite file by tflite-runtime: python tflite_runtime_answers.py REQUEST ANSWERS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter

request = json.loads(Path(sys.argv[1]).read_text())
interpreter = Interpreter(request["model"], num_threads=1)
interpreter.allocate_tensors()
answers = []
for item in request["items"]:
    fed = np.load(item)
    for each in interpreter.get_input_details():
        interpreter.set_tensor(each["index"], fed[each["name"]])
    interpreter.invoke()
    answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist())
Path(sys.argv[2]).write_text(json.dumps(answers))
