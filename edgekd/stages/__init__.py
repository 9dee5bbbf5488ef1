"""The stages: a module each, and one line each in STAGES."""

from edgekd.stages import (
    calibration,
    distill,
    evaluate,
    export_onnx,
    export_tflite,
    profile,
    prune,
    quantize_onnx,
    quantize_tflite,
    student,
    teacher,
    teacher_outputs,
)
from edgekd.stages.base import Stage

STAGES: dict[str, Stage] = {
    "teacher": teacher,
    "teacher_outputs": teacher_outputs,
    "student": student,
    "distill": distill,
    "prune": prune,
    "export_onnx": export_onnx,
    "export_tflite": export_tflite,
    "calibration": calibration,
    "quantize_onnx": quantize_onnx,
    "quantize_tflite": quantize_tflite,
    "evaluate": evaluate,
    "profile": profile,
}
