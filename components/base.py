"""What every component shares: the image that holds the installed package, and nothing installed at run time."""

import os
from functools import partial

from kfp import dsl

import model
from model.errors import ConfigError

IMAGE = os.environ.get("RMTL_IMAGE") or f"residual-mtl:{model.__version__}"
if ":" not in IMAGE.rpartition("/")[2] or IMAGE.endswith(":latest"):
    raise ConfigError(f"RMTL_IMAGE={IMAGE}: name a version or a digest; `latest` may be another image tomorrow")

component = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
