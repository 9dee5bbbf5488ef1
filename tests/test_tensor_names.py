"""Names that converters give, as reports show them."""

from __future__ import annotations

import pytest

from edgekd.tensor_names import readable

WRAPPER = "litert_torch._convert.to_channel_last_io.ChannelLastIOWrapper/edgekd.models.convnet.ConvNet_wrapped"
BLOCK = f"{WRAPPER}/torch.nn.modules.container.Sequential_features/edgekd.models.convnet.ConvBlock_1"


FUSED = [
    f"{BLOCK}/torch.nn.modules.{name}" for name in ("activation.ReLU6_2", "batchnorm.BatchNorm2d_1", "conv.Conv2d_0")
]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (
            f"{FUSED[0]};;{FUSED[1]};;{FUSED[2]};1",
            "ConvNet_wrapped/Sequential_features/ConvBlock_1/Conv2d_0+BatchNorm2d_1+ReLU6_2",
        ),
        (f"{WRAPPER}/edgekd.models.convnet.Residual_2;", "ConvNet_wrapped/Residual_2"),
        (f"{WRAPPER}/a.Residual_2;;{WRAPPER}/a.Residual_2/b.Add_1", "ConvNet_wrapped/Residual_2/Add_1+Residual_2"),
        ("/features/0/conv/Conv_output_0", "/features/0/conv/Conv_output_0"),
        ("serving_default_args_0:0", "serving_default_args_0:0"),
        ("", ""),
        (";;7", ";;7"),
    ],
)
def test_scopes_are_named_by_their_class_and_what_was_fused_behind(name: str, shown: str) -> None:
    assert readable(name) == shown
