"""Names of tensors and operators as people read them: a TFLite converter's can have 400 characters."""

from __future__ import annotations

import re

MODULE = re.compile(r"^(?:\w+\.)+(?=[A-Z])")  # of 'torch.nn.modules.conv.Conv2d_0', what stands before the class
WRAPPERS = ("ChannelLastIOWrapper",)  # put around every model by the converter


def readable(name: str) -> str:
    """The first of the operators that were fused, with the scopes around it, and what was fused to it.

    >>> readable("pkg.Net_0/torch.nn.modules.activation.ReLU6_2;;pkg.Net_0/torch.nn.modules.conv.Conv2d_0;1")
    'Net_0/Conv2d_0+ReLU6_2'
    >>> readable("features.2.weight_DequantizeLinear"), readable("Convert (NC) 0")
    ('features.2.weight_DequantizeLinear', 'Convert (NC) 0')
    """
    parts = [_scopes(part) for part in reversed(name.split(";")) if part and not part.isdigit()]
    if not parts:
        return name
    return "+".join(dict.fromkeys(["/".join(parts[0]), *(part[-1] for part in parts[1:])]))


def _scopes(name: str) -> list[str]:
    scopes = [MODULE.sub("", scope) for scope in name.split("/")]
    return [scope for scope in scopes if scope not in WRAPPERS] or scopes
