from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.arange(40, dtype=np.float32).reshape(10, 4))
    return tmp_path / "rows.npy"
