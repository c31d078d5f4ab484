"""The environment has no say in how a model is trained."""

import accelerate.state
import pytest
from accelerate.utils import DynamoBackend

from gravlensdiffusion.parallel import build_accelerator, find_device


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCAL_RANK", "3"),
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_DYNAMO_BACKEND", "EAGER"),
        ("ACCELERATE_USE_FSDP", "true"),
        ("ACCELERATE_USE_DEEPSPEED", "true"),
    ],
)
def test_the_environment_changes_no_weights(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    found = build_accelerator("cpu", "fp32")
    assert found.num_processes == 1
    assert found.mixed_precision == "no"
    assert found.gradient_accumulation_steps == 1
    assert found.state.dynamo_plugin.backend is DynamoBackend.NO


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_training_computes_where_everything_else_does(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(accelerate.state, "is_mps_available", lambda *_, **__: True)
    assert build_accelerator(device, "fp32").device.type == find_device(device)
