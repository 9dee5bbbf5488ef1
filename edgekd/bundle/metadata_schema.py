"""TFLite Metadata's schema, as far as edgekd fills it: each field with its slot and kind (see flatbuffer_tables).

From metadata_schema.fbs, version 1.1.0, of TensorFlow Lite Support (https://github.com/tensorflow/tflite-support),
Copyright 2020 The TensorFlow Authors, Apache License 2.0. MediaPipe Tasks and Android Studio read the same.
"""

from __future__ import annotations

from edgekd.bundle.flatbuffer_tables import Schema

IDENTIFIER = b"M001"
BUFFER = b"TFLITE_METADATA"  # the name of the model's metadata entry that holds it
AXIS_LABELS, VOCABULARY = 2, 5  # kinds of associated files
RGB = 1
FIRST, WITH_VOCABULARY, WITH_TOKENIZER = "1.0.0", "1.0.1", "1.1.0"  # the least parsers that know these parts

SCHEMA: Schema = {
    "ModelMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "version": (2, "string"),
        "subgraph_metadata": (3, "[SubGraphMetadata]"),
        "author": (4, "string"),
        "license": (5, "string"),
        "associated_files": (6, "[AssociatedFile]"),
        "min_parser_version": (7, "string"),
    },
    "SubGraphMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "input_tensor_metadata": (2, "[TensorMetadata]"),
        "output_tensor_metadata": (3, "[TensorMetadata]"),
        "associated_files": (4, "[AssociatedFile]"),
        "input_process_units": (5, "[ProcessUnit]"),
        "output_process_units": (6, "[ProcessUnit]"),
    },
    "TensorMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "dimension_names": (2, "[string]"),
        "content": (3, "Content"),
        "process_units": (4, "[ProcessUnit]"),
        "stats": (5, "Stats"),
        "associated_files": (6, "[AssociatedFile]"),
    },
    "AssociatedFile": {
        "name": (0, "string"),
        "description": (1, "string"),
        "type": (2, "int8"),
        "locale": (3, "string"),
    },
    "Content": {"properties": (0, "union FeatureProperties ImageProperties")},  # bounding boxes have the third number
    "FeatureProperties": {},
    "ImageProperties": {"color_space": (0, "int8"), "default_size": (1, "ImageSize")},
    "ImageSize": {"width": (0, "uint32"), "height": (1, "uint32")},
    "ProcessUnit": {
        "options": (
            0,
            "union NormalizationOptions ScoreCalibrationOptions ScoreThresholdingOptions BertTokenizerOptions",
        )
    },
    "NormalizationOptions": {"mean": (0, "[float32]"), "std": (1, "[float32]")},
    "ScoreCalibrationOptions": {"score_transformation": (0, "int8"), "default_score": (1, "float32")},
    "ScoreThresholdingOptions": {"global_score_threshold": (0, "float32")},
    "BertTokenizerOptions": {"vocab_file": (0, "[AssociatedFile]")},
    "Stats": {"max": (0, "[float32]"), "min": (1, "[float32]")},
}
