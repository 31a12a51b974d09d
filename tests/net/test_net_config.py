import pytest

from model.config import Config, dump_config, override, parse_config
from model.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"train.net.tasks": ["landmarks"]}, r"train\.net: .*residual\.kind must be none where tasks holds one task"),
        (
            {"train.net.tasks": ["expression"], "train.net.residual.kind": "none", "train.net.aflw_head": True},
            r"train\.net: .*aflw_head needs landmarks",
        ),
        ({"train.net.trunk": "lite0", "train.net.width": 0.5}, r"width 0\.5 must be 1 for trunk lite0"),
        (
            {"train.net.trunk": "lite0", "train.net.input_size": 48},
            r"input_size 48 must be a multiple of 32 for trunk lite0",
        ),
        ({"train.net.size": "base", "train.net.input_size": 112}, r"input_size 112 must be a multiple of 32"),
    ],
)
def test_parts_that_do_not_fit_are_refused(config: Config, values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(override(dump_config(config), values), origin="params.yaml")
